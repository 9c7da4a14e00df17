"""The programs of the project, their checks, their provenance and the compose stage."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif import skill
from maestromotif.compose import compose
from maestromotif.config.schema import ComposeSettings, Config, RunSettings
from maestromotif.errors import UserError
from maestromotif.nethack.state import FIELDS
from maestromotif.pipeline.store import Work
from maestromotif.programs import check, contract, provenance
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.programs.trial_states import Dice
from maestromotif.skill import Skill

ROOT = Path(__file__).parents[2]
FIVE = skill.load_all(ROOT / "skills", ["discoverer", "descender", "ascender", "merchant", "worshipper"])
DISCOVERER, DESCENDER, ASCENDER, MERCHANT, WORSHIPPER = FIVE
SIX = [*FIVE, skill.load(ROOT / "skills", "survivor")]
BRAWLER = replace(FIVE[0], name="brawler", path=Path("skills/brawler.md"), program=None)
TRAINING = (ROOT / "policies/training.py").read_text()
DOWN_AND_BACK = (ROOT / "policies/down_and_back.py").read_text()

SETS = [
    [DISCOVERER],
    [DISCOVERER, DESCENDER],
    [DISCOVERER, DESCENDER, ASCENDER],
    [DESCENDER, DISCOVERER, BRAWLER],
    [*FIVE, BRAWLER],
    [BRAWLER],
]

GOOD = """class Program:
    def __init__(self) -> None:
        self.last: int = 0

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        self.last = state.depth
        return available[0]
"""


class Game:
    """One game played by hand under a program: fields are set, and the host is asked what comes next."""

    def __init__(self, source: str, skills: list[Skill]) -> None:
        self.names = [one.name for one in skills]
        self.host = ProgramHost(source, skills, 1, seed=0)
        self.fields = dict.fromkeys((name for name in FIELDS if name != "skill"), 0)
        self.fields |= {"depth": 1, "deepest": 1, "skill_start_depth": 1, "upstairs_seen": 1}
        self.running, self.fresh = -1, True

    def step(self, turns: int = 1, **fields: int) -> str:
        """The skill that runs from now on, after a step that took these turns and changed these fields."""
        self.fields |= fields
        self.fields["skill_turns"] += turns
        self.fields["skill_steps"] += 1
        state = {name: np.array([value], np.int32) for name, value in self.fields.items()}
        running, switched, _ = self.host.step(state, np.array([self.running]), np.array([self.fresh]))
        self.running, self.fresh = int(running[0]), False
        if switched[0]:
            self.fields |= {"skill_turns": 0, "skill_steps": 0, "skill_start_depth": self.fields["depth"]}
        return self.names[self.running]


def test_down_and_back_by_hand() -> None:
    game = Game(DOWN_AND_BACK, [DISCOVERER, DESCENDER, ASCENDER])
    with game.host:
        assert game.step() == "discoverer"
        assert game.step(50) == "discoverer"
        assert game.step(downstairs_seen=1) == "descender"  # at once
        assert game.step(100) == "descender"
        assert game.step(100) == "discoverer"  # it took too long: another place, then again
        assert game.step(30) == "discoverer"
        assert game.step(10) == "descender"
        assert game.step(depth=2, deepest=2, downstairs_seen=0) == "ascender"
        assert game.step(199) == "ascender"
        assert game.step(1) == "discoverer"
        assert game.step(40) == "ascender"
        assert game.step(depth=3, deepest=3) == "ascender"  # a trap door
        assert game.step(depth=2) == "ascender"
        assert game.step(depth=1) == "discoverer"  # done


def test_down_and_back_explores_until_a_way_down_is_found() -> None:
    game = Game(DOWN_AND_BACK, [DISCOVERER, DESCENDER, ASCENDER])
    with game.host:
        assert game.step() == "discoverer"
        assert game.step(300) == "discoverer"
        assert game.step(1, downstairs_seen=1) == "descender"
        assert game.step(200) == "discoverer"  # failed: elsewhere first


def test_training_by_hand() -> None:
    game = Game(TRAINING, [DISCOVERER, DESCENDER])
    with game.host:
        assert game.step() == "discoverer"
        assert game.step(19, downstairs_seen=1) == "discoverer"  # its 20 turns are its own
        assert game.step(81) == "descender"
        assert game.step(200) == "discoverer"  # failed: elsewhere first
        assert game.step(300) == "descender"
        game.step(depth=2, downstairs_seen=0)
        assert game.step(300) in ("discoverer", "descender")


@pytest.mark.parametrize("skills", SETS, ids=lambda skills: "-".join(one.name for one in skills))
def test_training_program_takes_any_skills_and_uses_all(skills: list[Skill]) -> None:
    check.program(TRAINING, "policies/training.py", skills)
    report = check.behaviour(TRAINING, "policies/training.py", skills, seed=0)
    assert report["states"] == check.STEPS * check.GAMES // 2
    assert min(report["calls"].values()) > 0
    assert report == check.behaviour(TRAINING, "policies/training.py", skills, seed=0)


def test_training_gives_descender_and_ascender_plenty_of_steps() -> None:
    """On games of dice, where stairs are seen and taken by luck: each skill has a tenth of the steps."""
    skills = [DISCOVERER, DESCENDER, ASCENDER]
    dice, running = Dice(64, seed=3), np.full(64, -1, np.int32)
    steps = np.zeros(3, np.int64)
    with ProgramHost(TRAINING, skills, 64, seed=3) as host:
        for _ in range(400):
            running, switched, *_ = host.step(dice.state, running, dice.fresh)
            steps += np.bincount(running, minlength=3)
            dice.advance(running, switched)
    assert (steps / steps.sum()).min() > 0.1


POLICIES = [*(ROOT / "policies").glob("*.py"), *(ROOT / "policies/composed").glob("*/program.py")]


@pytest.mark.parametrize("path", sorted(POLICIES), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_policy_is_checked_and_comes_from_its_prompt(path: Path) -> None:
    source = path.read_text()
    check.program(source, str(path), SIX)
    check.behaviour(source, str(path), SIX, seed=1)
    origin = provenance.parse(source, str(path))
    assert provenance.stale(origin, path) == []
    assert origin["score"] is None or origin["score"] >= 0


@pytest.mark.parametrize("one", FIVE, ids=lambda one: one.name)
def test_every_skill_program_is_checked_and_comes_from_its_text(one: Skill) -> None:
    assert one.program is not None
    check.skill_program(one.program, str(one.program_path))
    origin = provenance.parse(one.program, str(one.program_path))
    assert origin["text"] == one.path.name
    assert provenance.stale(origin, one.program_path) == []


@pytest.mark.parametrize("one", [*FIVE, BRAWLER], ids=lambda one: one.name)
def test_no_skill_gets_stuck(one: Skill) -> None:
    """Steps that take no turn, and turns without news, come to an end."""
    for turns, idle in ((0, 0), (1, 0), (0, 1)):
        if turns == 0 and one is BRAWLER:
            continue  # the default counts turns alone, as its text says
        with ProgramHost(GOOD, [one], 1, seed=0) as host:
            state = {name: np.zeros(1, np.int32) for name in FIELDS}
            for name in (
                "depth",
                "skill_start_depth",
                "shopkeeper_in_view",
                "altar_in_view",
                "sellable_items",
            ):
                state[name][:] = 2
            running, *_ = host.step(state, np.array([-1]), np.array([True]))
            for step in range(1, 700):
                state["skill_steps"][:], state["skill_turns"][:] = step, step * turns
                state["idle_steps"][:] = step * idle
                running, switched, *_ = host.step(state, running, np.array([False]))
                if switched[0]:
                    break
            assert switched[0]


def test_when_skills_may_start() -> None:
    """merchant: shopkeeper and goods; worshipper: altar and goods; ascender: not on the first level."""
    situations = [
        ({}, {"discoverer", "descender"}),
        ({"depth": 2}, {"discoverer", "descender", "ascender"}),
        ({"shopkeeper_in_view": 1}, {"discoverer", "descender"}),
        ({"shopkeeper_in_view": 1, "sellable_items": 1}, {"discoverer", "descender", "merchant"}),
        ({"altar_in_view": 1, "sellable_items": 2}, {"discoverer", "descender", "worshipper"}),
    ]
    source = GOOD.replace("return available[0]", "raise ValueError(' '.join(available))")
    for fields, expected in situations:
        game = Game(source, FIVE)
        with pytest.raises(UserError) as error, game.host:
            game.step(**fields)
        assert set(str(error.value).rpartition("ValueError: ")[2].split()) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("state.depth", "state.dpth", "p.py:6:21: GameState has no field 'dpth'; did you mean 'depth'?"),
        ("self.last = state.depth", "state.depth = 3", "p.py:6:9: GameState.depth cannot be set"),
        (
            "available[0]",
            "'descnder'",
            "p.py:7:16: 'descnder' is not a skill of this run; did you mean 'desc",
        ),
        (
            "available[0]",
            "'merchant'",
            "p.py:7:16: 'merchant' is not a skill of this run; known are disc",
        ),
        ("available[0]", "None", "p.py:7:16: Return type does not match"),
        ("return available[0]", "pass", "p.py:5:"),
        ("available[0]", "avialable[0]", "p.py:7:16: Name 'avialable' used when not defined"),
        (
            "self.last: int = 0",
            "import numpy",
            "p.py:3:16: no module 'numpy' in the sandbox; available are",
        ),
        (
            "class Program",
            "class Player",
            "p.py:1: no class 'Program'; the file defines these classes: Player",
        ),
        ("def select", "def choose", "p.py:1: class Program has no method 'select("),
        (
            ", available: list[Skill]",
            "",
            "p.py:5: select has the wrong signature: Too many",
        ),
        ("__init__(self)", "__init__(self, depth: int)", "p.py:1: Program has the wrong signature"),
        ("return available[0]", "return available[0", "p.py:7:25: not Python: '[' was never closed"),
        ("self.last = state.depth", "self.lst = self.lat", "p.py:6:20: "),
        ("return", "x = [" + "1, " * 50_000 + "]\n        return", "the limit for a program is 100000"),
    ],
)
def test_mistakes_are_told_in_the_users_terms(old: str, new: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        check.program(GOOD.replace(old, new), "p.py", [DISCOVERER, DESCENDER])
    assert expected in str(error.value)


def test_all_problems_of_a_program_at_once() -> None:
    source = GOOD.replace("state.depth", "state.dpth").replace("available[0]", "'climber'")
    with pytest.raises(UserError) as error:
        check.program(source, "p.py", [DISCOVERER])
    assert [line.partition(" ")[0] for line in str(error.value).splitlines()] == ["p.py:6:21:", "p.py:7:16:"]


def test_should_end_is_checked_too() -> None:
    method = "\n    def should_end(self, state: GameState) -> int:\n        return 2\n"
    with pytest.raises(UserError, match=r"p.py:9: should_end has the wrong signature"):
        check.program(GOOD + method, "p.py", [DISCOVERER])


def test_skill_programs_mistakes() -> None:
    with pytest.raises(UserError, match=r"s.py:1: no function 'should_end\(state: GameState\) -> bool'"):
        check.skill_program("def may_start(state: GameState) -> bool:\n    return True\n", "s.py")
    both = contract.default_program(BRAWLER)
    check.skill_program(both, "s.py")
    with pytest.raises(UserError, match=r"s.py:6:12: GameState has no field 'depht'; did you mean 'depth'"):
        check.skill_program(both.replace("state.depth", "state.depht"), "s.py")


IN_CLASS = """class Program:
    seen: list[int] = [0]

    def __init__(self) -> None:
        self.seen[0] += 1

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return available[self.seen[0] % len(available)]
"""
IN_MODULE = """kills: list[int] = []


class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        kills.append(state.kills)
        return available[sum(kills) % len(available)]
"""


@pytest.mark.parametrize("source", [IN_CLASS, IN_MODULE], ids=["class", "module"])
def test_memory_outside_self_is_refused(source: str) -> None:
    check.program(source, "p.py", [DISCOVERER, DESCENDER])
    with pytest.raises(UserError, match=r"p.py: what it does in game \d+ at step \d+ depends on other games"):
        check.behaviour(source, "p.py", [DISCOVERER, DESCENDER], seed=0)


def test_behaviour_finds_a_skill_that_may_not_start() -> None:
    source = GOOD.replace("available[0]", "'ascender' if state.kills > 1 else available[0]")
    check.program(source, "p.py", [DISCOVERER, ASCENDER])
    with pytest.raises(UserError, match=r"p.py:5: select returned 'ascender' .* may not start now"):
        check.behaviour(source, "p.py", [DISCOVERER, ASCENDER], seed=0)


def assert_in_range(state: dict[str, np.ndarray]) -> None:
    """No game has a number that FIELDS excludes, is dead or at a depth that there is not."""
    for name, column in state.items():
        least, most = FIELDS[name].range
        assert least <= column.min(), name
        assert column.max() <= most, name
    assert (state["hp"] >= 1).all()
    assert (state["depth"] >= 1).all()
    assert ((state["dungeon"] != 0) | (state["level"] == state["depth"])).all()


def test_rare_dice_are_legal_and_reach_every_field() -> None:
    """By hand: a jump leads to exactly the gold that is asked for, and to each place; counts never fall."""
    near = {"gold": [12_345], "depth": [-3, 77], "turn": [5_000], "unknown": [1]}
    dice = Dice(64, 5, 0.02, near)
    seen: dict[str, set[int]] = {name: set() for name in dice.state}
    for number in range(200):
        before = {name: column.copy() for name, column in dice.state.items()}
        dice.advance(np.zeros(64, np.int32), np.arange(64) % 9 == number % 9)
        assert_in_range(dice.state)
        for name, field in FIELDS.items():
            if field.events or name in ("step", "turn", "deepest"):
                assert (dice.state[name] >= before[name])[~dice.fresh].all(), name
        for name, column in dice.state.items():
            seen[name] |= set(column.tolist())
    assert min(map(len, seen.values())) > 1
    assert 12_345 in seen["gold"]
    assert 5_000 in seen["turn"]
    assert seen["load"] == set(range(6))
    assert 53 in seen["depth"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_dice_are_legal(seed: int) -> None:
    dice = Dice(8, seed)
    for _ in range(60):
        s = dice.state
        assert_in_range(s)
        assert set(s) == set(FIELDS) - {"skill"}
        assert all(s[name].dtype == (bool if FIELDS[name].type is bool else np.int32) for name in s)
        assert (s["depth"] >= 1).all()
        assert (s["deepest"] >= s["depth"]).all()
        assert (s["on_downstairs"] <= s["downstairs_seen"]).all()
        assert (s["on_upstairs"] <= s["upstairs_seen"]).all()
        assert (s["skill_steps"] <= s["step"]).all()
        assert (s["sellable_items"] >= 0).all()
        assert ((s["dungeon"] == 0) | (s["depth"] > s["branch_depth"])).all()
        assert (np.abs(s["depth"] - s["skill_start_depth"])[s["skill_steps"] == 0] <= 0).all()
        dice.advance(np.zeros(8, np.int32), np.array([True, False] * 4))


def test_provenance_is_required() -> None:
    header, _, body = TRAINING.partition("\n\n")
    for key in provenance.REQUIRED:
        lines = [line for line in header.splitlines() if not line.startswith(f"#   {key}:")]
        with pytest.raises(UserError, match=f"p.py:1: the provenance header lacks '{key}'"):
            provenance.parse("\n".join(lines) + "\n\n" + body, "p.py")
    for source in (body, "# a comment\n" + body, ""):
        with pytest.raises(UserError, match=r"p.py:1: no provenance header"):
            provenance.parse(source, "p.py")
    with pytest.raises(UserError, match=r"unknown key 'modle'; did you mean 'model'"):
        provenance.parse(header.replace("model", "modle"), "p.py")
    for score in ("good", ".nan", "true"):
        with pytest.raises(UserError, match="'score' of the provenance header must be a number or null"):
            provenance.parse(header.replace("null", score), "p.py")
    for value, said in (
        ("[1", "is not valid YAML"),
        ("[" * 2000, "nested too deeply"),
        ("!!set {a}", "the tag !!set is not understood"),
        ("9" * 5000, "cannot be read as int"),
    ):
        with pytest.raises(UserError, match=rf"^p\.py.*{said}.*the provenance header, in YAML$"):
            provenance.parse(header.replace("null", value), "p.py")
    dated = re.sub("date: .*", "date: 2026-02-30", header)  # a date is text here
    assert provenance.parse(dated, "p.py")["date"] == "2026-02-30"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("skills", "policies"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "skills/brawler.md").write_text(
        "---\nname: brawler\nstarts: always\nends: when the level changes\n---\nThe agent should fight.\n"
    )
    return tmp_path


def config(project: Path, *skills: str) -> Config:
    return Config(
        run=RunSettings(root=str(project / "runs")),
        skills=skills,
        skills_folder=str(project / "skills"),
        compose=ComposeSettings(
            training=str(project / "policies/training.py"),
            programs={"down_and_back": str(project / "policies/down_and_back.py")},
        ),
        tasks=("down_and_back",),
    )


def test_compose_keeps_what_it_checked(project: Path) -> None:
    wanted = config(project, "discoverer", "descender", "ascender", "brawler")
    work = Work(project / "work")
    facts = compose.run(wanted, {}, work)
    assert facts["programs"]["down_and_back"]["model"].startswith("Claude")
    assert (work.path / "tasks/down_and_back.py").read_text() == DOWN_AND_BACK
    assert (work.path / "training.py").read_text() == TRAINING
    assert (work.path / "skills/brawler.py").read_text() == contract.default_program(BRAWLER)
    assert (work.path / "skills/ascender.py").read_text() == ASCENDER.program
    report = json.loads((work.path / "check.json").read_text())
    assert report["programs"]["training"]["sha256"] == hashlib.sha256(TRAINING.encode()).hexdigest()
    assert report["programs"]["training"]["behaviour"]["calls"]["brawler"] > 0
    assert report["programs"]["down_and_back"]["stale"] == []
    assert report["skills"]["brawler"] == {"file": None, "default": True}
    assert str(project) not in (work.path / "check.json").read_text()

    again = Work(project / "again")
    compose.run(wanted, {}, again)
    assert again.outputs() == work.outputs()


def test_compose_refuses_with_every_problem(project: Path) -> None:
    policies = project / "policies"
    (policies / "down_and_back.py").write_text(GOOD)
    (policies / "training.py").write_text(TRAINING.replace("state.depth", "state.dpth"))
    (project / "skills/ascender.py").unlink()
    (project / "skills/discoverer.py").write_text("x = 1\n")
    work = Work(project / "work")
    with pytest.raises(UserError) as error:
        compose.run(config(project, "discoverer", "descender"), {}, work)
    text = str(error.value)
    assert "down_and_back.py:1: no provenance header" in text
    assert "training.py:" in text
    assert "GameState has no field 'dpth'" in text
    assert "discoverer.py:1: no provenance header" in text
    assert not (work.path / "check.json").exists()


def test_compose_names_a_missing_program_and_what_is_there(project: Path) -> None:
    (project / "policies/down_and_back.py").unlink()
    with pytest.raises(UserError, match=r"down_and_back.py: no such program; known are .*training.py"):
        compose.run(config(project, "discoverer"), {}, Work(project / "work"))


def test_compose_says_when_a_text_has_changed(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = project / "skills/ascender.md"
    path.write_text(path.read_text() + "It hums.\n")
    work = Work(project / "work")
    compose.run(config(project, "discoverer", "descender", "ascender"), {}, work)
    assert "ascender.md has changed since" in caplog.text
    assert json.loads((work.path / "check.json").read_text())["skills"]["ascender"]["stale"] != []
