"""The sandbox: what a program cannot do, what is said about it, and that games and snapshots are exact."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maestromotif.agent.options import Options
from maestromotif.compose import rules
from maestromotif.errors import UserError
from maestromotif.nethack.state import FIELDS
from maestromotif.programs import contract
from maestromotif.programs.sandbox import CallEnd, ProgramHost
from maestromotif.programs.trial_states import Dice
from maestromotif.skill import Skill

PATH = "policies/tried.py"
PROGRAM = """class Program:
    def __init__(self) -> None:
        self.calls: int = 0
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        self.calls += 1
        {line}
        return available[self.calls % len(available)]
"""
DICE = PROGRAM.replace("{line}", "return random.choice(available)") + (
    "    def should_end(self, state: GameState) -> bool:\n        return random.random() < 0.05\n"
)


TABLE = """\
when after(kills >= 1) and downstairs_seen use descender
when depth >= 2 use ascender
otherwise use discoverer
"""
ENDS = "def should_end(state):\n    return True\n"


def make_skill(name: str, program: str | None = None, max_turns: int = 30) -> Skill:
    return Skill(name, "words", "any", "any", max_turns, Path(f"skills/{name}.md"), "0", program)


SKILLS = [make_skill(name) for name in ("discoverer", "descender", "ascender")]


def begin(
    source: str, games: int = 3, skills: list[Skill] = SKILLS, call_seconds: float = 10.0
) -> ProgramHost:
    return ProgramHost(source, skills, games, seed=5, path=PATH, call_seconds=call_seconds)


Step = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]  # what a host is given
Choice = tuple[np.ndarray, np.ndarray, np.ndarray]  # what it answers


def first_step(host: ProgramHost, **fields: int) -> Choice:
    games = host.games
    state = {name: np.full(games, fields.get(name, 0), np.int32) for name in FIELDS if name != "skill"}
    return host.step(state, np.full(games, -1), np.ones(games, bool))


def failure(source: str, skills: list[Skill] = SKILLS, call_seconds: float = 10.0) -> str:
    with pytest.raises(UserError) as error, begin(source, 3, skills, call_seconds) as host:
        first_step(host)
    return str(error.value)


def play(host: ProgramHost, dice: Dice, running: np.ndarray, steps: int) -> Iterator[tuple[Step, Choice]]:
    for _ in range(steps):
        given = ({name: column.copy() for name, column in dice.state.items()}, running, dice.fresh)
        choice = host.step(*given)
        yield given, choice
        dice.advance(*choice[:2])
        running = choice[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return 1 / 0", "tried.py:6: ZeroDivisionError: division by zero"),
        ("raise KeyError('lost')", "tried.py:6: KeyError: 'lost'"),
        ("return state.dpth", "tried.py:6: AttributeError"),
        ("return open('/etc/passwd').read()", "tried.py:6: asks for "),
        ("open('written_by_a_program', 'w')", "tried.py:6: asks for "),
        ("import os; os.system('id')", "tried.py:6: AttributeError"),
        ("import os; os.environ['HOME']", "tried.py:6: asks for os.environ; programs have no files"),
        ("import os; os.listdir('/')", "tried.py:6: asks for "),
        ("import subprocess", "tried.py:6: no module '{line}' in the sandbox; available are"),
        ("import socket", "tried.py:6: no module '{line}' in the sandbox; available are"),
        ("import numpy", "tried.py:6: no module '{line}' in the sandbox; available are"),
        ("_exchange(None)", "tried.py:6: NameError"),
        ("_players.clear()", "tried.py:6: NameError"),
        ("().__class__.__bases__[0].__subclasses__()", "tried.py:6: AttributeError"),
        ("def f(n): return f(n + 1)\n        f(0)", "RecursionError"),
        ("x = [0] * 10**9", "tried.py:6: it took more than 64 MB of memory"),
        ("s = 'a'\n        while True: s += s", "tried.py:7: it took more than 64 MB of memory"),
        ("yield 1", "tried.py:6: NotImplementedError"),
        ("x = (", "tried.py:7: SyntaxError"),
        (
            "return 'descnder'",
            "tried.py:4: select returned 'descnder' (game 0), which is not a skill; did you mean 'd",
        ),
        ("return None", "tried.py:4: select returned None (game 0), which is not a skill; known are"),
        ("return 3", "tried.py:4: select returned 3"),
        ("return [available[0]]", "tried.py:4: select returned ['discoverer']"),
    ],
)
def test_attacks_and_mistakes_end_with_the_line(line: str, expected: str) -> None:
    assert expected.replace("{line}", line.removeprefix("import ")) in failure(
        PROGRAM.replace("{line}", line)
    )
    assert not Path("written_by_a_program").exists()


@pytest.mark.parametrize("line", ["while True: pass", "sum(range(10**12))", "10**10**9"])
def test_endless_work_is_stopped(line: str) -> None:
    text = failure(PROGRAM.replace("{line}", line), call_seconds=0.3)
    assert "tried.py" in text
    assert "more than 0.3 s" in text or "MB of memory" in text


def test_endless_skill_program_is_named() -> None:
    loop = "def may_start(state):\n    return True\ndef should_end(state):\n    while True:\n        pass\n"
    skills = [make_skill("discoverer"), make_skill("looper", loop)]
    with begin(PROGRAM.replace("{line}", "return 'looper'"), skills=skills, call_seconds=0.3) as host:
        skill, *_ = first_step(host)
        state = {name: np.zeros(3, np.int32) for name in FIELDS}
        with pytest.raises(UserError, match=r"^skills/looper.py:3: it took more than 0.3 s"):
            host.step(state, skill, np.zeros(3, bool))
        with pytest.raises(UserError, match="has failed before"):
            host.step(state, skill, np.zeros(3, bool))


def test_floods_of_prints_are_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with begin(PROGRAM.replace("{line}", "print('x' * 1000)")) as host:
        first_step(host)
    assert capfd.readouterr() == ("", "")


def workers() -> list[int]:
    """Process ids of this process's Monty workers."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        if name == "monty" and rest.split()[1] == str(os.getpid()):
            found.append(int(stat.parent.name))
    return found


def test_worker_ends_with_the_host() -> None:
    before = workers()
    with begin(PROGRAM.replace("{line}", "pass")) as host:
        first_step(host)
        assert len(workers()) == len(before) + 1
    failure(PROGRAM.replace("{line}", "1 / 0"))
    assert workers() == before


def test_a_killed_worker_is_reported() -> None:
    before = workers()
    with begin(PROGRAM.replace("{line}", "pass")) as host:
        os.kill(next(pid for pid in workers() if pid not in before), signal.SIGKILL)
        with pytest.raises(UserError, match="the sandbox's process ended"):
            first_step(host)


def test_exceptions_of_skill_programs_name_their_file() -> None:
    broken = "LIMIT = 0\n\n\ndef may_start(state):\n    return 1 // LIMIT > 0\n" + ENDS
    text = failure(
        PROGRAM.replace("{line}", "pass"), [make_skill("discoverer"), make_skill("broken", broken)]
    )
    assert text == "skills/broken.py:5: ZeroDivisionError: division by zero"
    vague = "def may_start(state):\n    return None\n" + ENDS
    text = failure(PROGRAM.replace("{line}", "pass"), [make_skill("discoverer"), make_skill("vague", vague)])
    assert text == "skills/vague.py:1: may_start returned None (game 0); it must return True or False"


def test_skill_programs_do_not_share_names() -> None:
    """Two skills and the program each have a LIMIT of their own."""
    text = "LIMIT = {n}\n" + ENDS + "def may_start(state):\n    return state.depth >= LIMIT\n"
    skills = [make_skill("shallow", text.format(n=1)), make_skill("deep", text.format(n=9))]
    program = "LIMIT = 5\n" + PROGRAM.replace("{line}", "return available[-1 if state.depth > LIMIT else 0]")
    with begin(program, skills=skills) as host:
        assert first_step(host, depth=4)[0].tolist() == [0, 0, 0]
        assert first_step(host, depth=12)[0].tolist() == [1, 1, 1]


def test_may_start_is_kept_to() -> None:
    never = "def may_start(state):\n    return state.gold > 5\n" + ENDS
    skills = [make_skill("rich", never), make_skill("discoverer")]
    insists = PROGRAM.replace("{line}", "return 'rich'")
    assert "tried.py:4: select returned 'rich' (game 0), which may not start now" in failure(insists, skills)
    with begin(insists, skills=skills) as host:
        assert first_step(host, gold=6)[0].tolist() == [0, 0, 0]
    assert "no skill may start at the beginning of an episode" in failure(insists, skills[:1])


def test_running_skill_goes_on_where_none_may_start() -> None:
    once = "def may_start(state):\n    return state.gold == 0\n" + ENDS
    with begin(PROGRAM.replace("{line}", "pass"), skills=[make_skill("once", once)]) as host:
        running, switched, _ = first_step(host)
        assert switched.all()
        state = {name: np.zeros(3, np.int32) for name in FIELDS}
        state["gold"] = np.array([0, 1, 0], np.int32)
        running, switched, *_ = host.step(state, running, np.zeros(3, bool))
        assert running.tolist() == [0, 0, 0]
        assert switched.tolist() == [True, False, True]


def test_a_skill_without_a_program_ends_at_another_depth_or_after_its_turns() -> None:
    with begin(PROGRAM.replace("{line}", "pass"), skills=[make_skill("walker", max_turns=7)]) as host:
        running, *_ = first_step(host)
        state = {name: np.zeros(3, np.int32) for name in FIELDS}
        state["skill_turns"] = np.array([6, 7, 0], np.int32)
        state["depth"] = np.array([1, 1, 2], np.int32)
        state["skill_start_depth"][:] = 1
        _, switched, _ = host.step(state, running, np.zeros(3, bool))
    assert switched.tolist() == [False, True, True]


def test_why_a_call_ended() -> None:
    """By hand. The skill ends after 9 turns, and the program interrupts where there is gold."""
    source = PROGRAM.replace("{line}", "pass") + (
        "    def should_end(self, state: GameState) -> bool:\n        return state.gold > 0\n"
    )
    text = (
        "def may_start(state):\n    return state.hp == 0\n"
        "def should_end(state):\n    return state.skill_turns > 9\n"
    )
    state = {name: np.zeros(6, np.int32) for name in FIELDS}
    state["turn"][:] = 0, 10, 0, 10, 10, 10
    state["gold"][:] = 0, 0, 1, 1, 1, 1
    state["hp"][5] = 1  # no skill may start, so the call goes on
    with begin(source, games=6, skills=[make_skill("walker", text)]) as host:
        options = Options(host, 6)
        options.advance(dict.fromkeys(FIELDS, np.zeros(6, np.int32)), np.ones(6, bool))
        assert options.reason.tolist() == [CallEnd.NOT] * 6  # there was no call before
        options.advance(state, np.array([False] * 4 + [True, False]))
    assert options.running.tolist() == [0] * 6
    assert options.switched.tolist() == [False, True, True, True, True, False]
    names = [CallEnd(code).name for code in options.reason.tolist()]
    assert names == ["NOT", "SKILL", "PROGRAM", "SKILL", "EPISODE", "NOT"]


def test_program_meets_the_state_and_its_own_memory() -> None:
    """By hand: select sees the names of the skills, bools as bools, and a fresh Program forgets."""
    line = """
        assert state.downstairs_seen is True and state.depth == 3
        assert available == ["discoverer", "descender", "ascender"]
        assert state.skill == ("" if self.calls == 1 else "descender"), state.skill
        available.clear()
        return "descender"
    """
    with begin(PROGRAM.replace("{line}", line.strip())) as host:
        state = {name: np.full(3, 3, np.int32) for name in FIELDS}
        state["downstairs_seen"] = np.ones(3, np.int32)
        state["skill_turns"][:] = 1000
        running = np.array([-1, 2, 0])  # of no meaning where an episode begins
        for fresh in (True, False, True):
            running, switched, *_ = host.step(state, running, np.full(3, fresh))
            assert running.tolist() == [1, 1, 1]
            assert switched.all()


@pytest.mark.parametrize(
    ("source", "games"),
    [
        (PROGRAM.replace("{line}", "pass"), slice(3, 4)),  # one game in a host of its own
        (rules.program(rules.parse(TABLE, [one.name for one in SKILLS]), "words"), slice(2, 3)),
        ("import random\n" + DICE, slice(0, 2)),  # chance depends on the game's number, so the first two
    ],
)
def test_batch_equals_one_by_one(source: str, games: slice) -> None:
    with begin(source, games=4) as host:
        played = list(play(host, Dice(4, seed=1), np.full(4, -1, np.int32), 80))
    assert len({str(choice) for _, choice in played}) > 5
    with begin(source, games=games.stop - games.start) as host:
        for (state, running, fresh), (expected, switched, reason) in played:
            part = {name: column[games] for name, column in state.items()}
            chosen, began, why = host.step(part, running[games], fresh[games])
            assert np.array_equal(chosen, expected[games])
            assert np.array_equal(began, switched[games])
            assert np.array_equal(why, reason[games])


def test_chance_follows_the_seed_and_differs_between_games_and_episodes() -> None:
    source = "import random\n" + PROGRAM.replace("{line}", "return random.choice(available)")
    with begin(source, games=200) as one, begin(source, games=200) as two:
        first = first_step(one)[0]
        assert np.array_equal(first, first_step(two)[0])
        assert set(np.bincount(first, minlength=3) > 30) == {True}
        assert not np.array_equal(first, first_step(one)[0])
    with ProgramHost(source, SKILLS, 200, seed=6) as other:
        assert not np.array_equal(first, first_step(other)[0])


# It remembers numbers, texts, a nested list, an object, a bound method and a random generator of its own.
MEMORY = """import random
from collections import Counter, deque

class Trail:
    def __init__(self) -> None:
        self.depths: list[list[int]] = [[]]
    def add(self, depth: int) -> None:
        self.depths[-1].append(depth)
        if len(self.depths[-1]) > 2:
            self.depths.append([])

class Program:
    def __init__(self) -> None:
        self.trail: Trail = Trail()
        self.add = self.trail.add
        self.last: deque[str] = deque(maxlen=3)
        self.count: Counter[str] = Counter()
        self.dice: random.Random = random.Random(7)
        self.wait: float = random.uniform(2, 9)
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        self.add(state.depth)
        total = sum(sum(depths) for depths in self.trail.depths) + len(self.last) + sum(self.count.values())
        chosen = available[(total + self.dice.randint(0, 5)) % len(available)]
        self.last.append(chosen)
        self.count[chosen] += 1
        return chosen
    def should_end(self, state: GameState) -> bool:
        self.wait -= 1
        if self.wait < 0:
            self.wait = random.uniform(2, 9)
            return True
        return False
"""


@pytest.mark.parametrize("source", ["import random\n" + DICE, MEMORY], ids=["dice", "memory"])
def test_snapshot_goes_on_exactly(source: str) -> None:
    dice = Dice(8, seed=2)
    with begin(source, games=8) as host:
        *_, (_, (running, *_)) = play(host, dice, np.full(8, -1, np.int32), 40)
        saved = host.dump()
        played = list(play(host, dice, running, 40))
    assert len({str(choice) for _, choice in played}) > 5
    with ProgramHost.load(saved, source, SKILLS, PATH) as again:
        for given, (expected, switched, reason) in played:
            chosen, began, why = again.step(*given)
            assert np.array_equal(chosen, expected)
            assert np.array_equal(began, switched)
            assert np.array_equal(why, reason)
    with pytest.raises(UserError, match=r"tried.py: the program or a skill's program was changed"):
        ProgramHost.load(saved, source + "\n", SKILLS, PATH)


def test_balance_gives_calls_to_the_skill_that_acted_least() -> None:
    always_the_first = PROGRAM.replace("{line}", "return available[0]")
    steps = []
    for balance in (0.0, 0.5, 1.0):
        with ProgramHost(always_the_first, SKILLS, 8, seed=5, balance=balance) as host:
            played = list(play(host, Dice(8, seed=3), np.full(8, -1, np.int32), 150))
            chosen = np.concatenate([running for _, (running, *_) in played])
            steps.append(np.bincount(chosen, minlength=3) / len(chosen))
            saved, last = host.dump(), played[-1][1][0]
            expected = [choice for _, choice in play(host, Dice(8, seed=4), last, 40)]
        with ProgramHost.load(saved, always_the_first, SKILLS) as again:
            for one, other in zip(expected, play(again, Dice(8, seed=4), last, 40), strict=True):
                np.testing.assert_array_equal(one, other[1])
    never, half, always = (share.min() for share in steps)
    assert never == 0
    assert 0.05 < half < always
    assert always > 0.25


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = [0] * 10**9", "it took more than 64 MB"),
        ("import os; os.listdir('/')", "asks for Path.iterdir"),
        ("\n            while True: pass", "it took more than 0.3 s for one call"),
    ],
)
def test_limits_hold_after_loading(line: str, expected: str) -> None:
    late = PROGRAM.replace("{line}", f"if self.calls > 1: {line}")
    with begin(late, call_seconds=0.3) as host:
        running, *_ = first_step(host)
        saved = host.dump()
    state = {name: np.zeros(3, np.int32) for name in FIELDS}
    state["skill_turns"][:] = 1000
    began = time.monotonic()
    with (
        ProgramHost.load(saved, late, SKILLS, PATH) as host,
        pytest.raises(UserError, match=rf"tried.py:\d: {expected}"),
    ):
        host.step(state, running, np.zeros(3, bool))
    assert time.monotonic() - began < 2


def test_thousands_of_steps_take_no_more_memory() -> None:
    """More exchanges than Monty allows by default (1,000), and a snapshot that does not grow with them."""
    with begin(PROGRAM.replace("{line}", "pass")) as host:
        running, *_ = first_step(host)
        state = {name: np.zeros(3, np.int32) for name in FIELDS}
        sizes = []
        for _ in range(2):
            for _ in range(1500):
                running, *_ = host.step(state, running, np.zeros(3, bool))
            sizes.append(len(host.dump()))
    assert sizes[1] - sizes[0] < 200


def test_only_the_fields_that_occur_are_sent() -> None:
    told = '"""Of the turn."""\nhp: int = 1  # gold\n'
    assert contract.used_fields(["state.hp", told + "state.skill_turns"]) == ["hp", "skill_turns"]
    match = "match state:\n    case GameState(depth=1):\n        getattr(state, 'kills')"
    assert contract.used_fields([match]) == ["depth", "kills"]
    assert contract.used_fields(["state.hp +"]) == ["hp"]


EXPLAINS = """class Program:
    def __init__(self) -> None:
        self.calls: int = 0
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        assert self.reason == ""
        self.calls += 1
        if self.calls % 2:
            {line}
        return available[0]
"""


def test_why_a_program_chose() -> None:
    """By hand: at its first and third call it says why, and two games of three begin a call at each step."""
    line = "self.reason = f'call {self.calls} at depth {state.depth}'"
    state = {name: np.full(3, 2, np.int32) for name in FIELDS}
    walker = [make_skill("walker", max_turns=7)]
    with begin(EXPLAINS.replace("{line}", line), skills=walker) as host:
        running, *_ = host.step(state, np.full(3, -1), np.ones(3, bool))
        assert host.told == dict.fromkeys(range(3), "call 1 at depth 2")
        state["skill_turns"][:] = 9, 0, 9
        running, *_ = host.step(state, running, np.zeros(3, bool))
        assert host.told == {}
        saved = host.dump()
    with ProgramHost.load(saved, EXPLAINS.replace("{line}", line), walker, PATH) as again:
        running, *_ = again.step(state, running, np.zeros(3, bool))
        assert again.told == dict.fromkeys((0, 2), "call 3 at depth 2")
    with begin(PROGRAM.replace("{line}", "pass")) as host:
        first_step(host)
        assert host.told == {}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("'x' * 10_000", "x" * contract.MOST_REASON),
        ("'two\\nlines\\x1b[31m'", "two\\nlines\\x1b[31m"),
        ("3", "tried.py:8: reason is 3 (game 0); it must be a text"),
        ("None", "tried.py:8: reason is None (game 0); it must be a text"),
    ],
)
def test_a_reason_is_a_short_text_on_one_line(value: str, told: str) -> None:
    source = EXPLAINS.replace("{line}", f"self.reason = {value}")
    if told.startswith("tried"):
        assert told in failure(source)
    else:
        with begin(source) as host:
            first_step(host)
            assert host.told == dict.fromkeys(range(3), told)
