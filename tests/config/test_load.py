"""What people write into configs, wrongly and rightly."""

import math
import re
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif.config.load import dump, load
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.machine import available_cores

SMALLEST = """
    skills: [descender, ascender]
    tasks: [down]
"""


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Paths in messages are relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, *texts: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(dedent(text).lstrip("\n") for text in texts))
    return name


def mistakes(path: str, *overrides: str) -> list[str]:
    """The lines of the error that loading must raise."""
    with pytest.raises(UserError) as caught:
        load(path, overrides)
    return str(caught.value).splitlines()


def test_defaults_fill_what_a_file_leaves_out() -> None:
    config = load(write("a.yaml", SMALLEST))
    assert config.skills == ("descender", "ascender")
    assert config.train == Config.model_fields["train"].default
    assert config.evaluate.max_steps is None


def test_the_configs_of_this_repository_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    files = sorted(Path("configs").rglob("*.yaml"))
    assert files
    for file in files:
        assert load(file).skills


def test_extends_lays_files_over_each_other_and_overrides_over_all() -> None:
    write("parts/base.yaml", SMALLEST, "run: {seed: 1, name: base}\ntrain: {steps: 10, gamma: 0.5}\n")
    write("parts/fast.yaml", "train: {steps: 20}\n")
    path = write("mine.yaml", "extends: [parts/base.yaml, parts/fast.yaml]\nrun:\n  name: mine\n")
    config = load(path, ["nethack.games=8", "train.gamma=1"])
    assert (config.run.seed, config.run.name) == (1, "mine")
    assert (config.train.steps, config.train.gamma) == (20, 1.0)
    assert config.nethack.games == 8


def test_the_number_of_games_can_be_chosen_for_the_machine() -> None:
    config = load(write("a.yaml", SMALLEST, "nethack: {games: auto}\n"), [])
    assert config.nethack.games == 32 * available_cores()
    with pytest.raises(UserError, match=r"nethack\.games: should be a valid integer"):
        load(write("a.yaml", SMALLEST, "nethack: {games: many}\n"), [])


def test_a_reference_stands_for_another_value_even_a_default() -> None:
    path = write("a.yaml", SMALLEST, "reward:\n  path: shared/${run.name}/${run.seed}\n")
    assert load(path, ["run.name=mine"]).reward.path == "shared/mine/0"


def test_every_mistake_is_reported_with_its_place() -> None:
    write("base.yaml", "run:\n  seed: many\n")
    path = write(
        "mine.yaml",
        """
        extends: base.yaml
        skills: [descender]
        train:
          step: 5
          gamma: 2
          bootstrap: {achieved: actign}
        task:
          name: down
        annotate:
          changes: [depth, exploredd]
        nethack:
          games: ${nethack.gamez}
        gae_lambda: 0.9
        """,
    )
    found = mistakes(path, "distil.epochs=0", "train.rolout=3")
    expected = [
        "base.yaml:2: run.seed: should be a valid integer, unable to parse string as an integer (got 'many')",
        "mine.yaml:4: train.step: unknown key; did you mean 'steps'?",
        "mine.yaml:5: train.gamma: should be less than or equal to 1 (got 2)",
        "mine.yaml:6: train.bootstrap.achieved: should be 'acting', 'next' or 'none' (got 'actign'); "
        "did you mean 'acting'?",
        "mine.yaml:7: task: is a file now, tasks/<name>.md; name it in the list 'tasks'",
        "mine.yaml:12: nethack.games: Interpolation key 'nethack.gamez' not found",
        "mine.yaml:13: gae_lambda: unknown key; did you mean 'train.gae_lambda'?",
        "command line: distil.epochs: should be greater than or equal to 1 (got 0)",
        "command line: train.rolout: unknown key; did you mean 'rollout'?",
    ]
    assert set(expected) <= set(found)
    in_list = [
        line for line in found if line.startswith("mine.yaml:10: annotate.changes[1]: should be 'depth'")
    ]
    assert len(in_list) == 1
    assert in_list[0].endswith("(got 'exploredd'); did you mean 'explored'?")
    assert any(
        line.endswith(
            "tasks: must be set: task names; each is a file tasks/<name>.md. The first is the "
            "one that `watch` and the evaluations during training play"
        )
        for line in found
    )
    assert len(found) == len(expected) + 2


def test_the_file_that_sets_a_value_last_is_blamed() -> None:
    write("base.yaml", SMALLEST, "train:\n  steps: 0\n")
    path = write("mine.yaml", "extends: base.yaml\n\ntrain:\n  steps: -1\n")
    assert mistakes(path) == ["mine.yaml:4: train.steps: should be greater than or equal to 1 (got -1)"]
    assert mistakes(path, "train.steps=-2")[0].startswith("command line: train.steps: should be")
    assert load(path, ["train.steps=2"]).train.steps == 2


def test_an_old_section_is_answered_with_its_new_name() -> None:
    path = write("mine.yaml", SMALLEST, "learning: {steps: 20}\n")
    assert mistakes(path) == ["mine.yaml:3: learning: is called 'train' now; rename it"]
    path = write("mine.yaml", SMALLEST)
    assert mistakes(path, "dashboard.wandb=offline") == [
        "command line: dashboard: is called 'tracking' now; rename it"
    ]


_BOMB = "".join(f"{new}: &{new} [*{old}, *{old}]\n" for old, new in pairwise("bcdefghijklmnopqrstuvwxyz"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: [1\n", "mine.yaml:2: is not valid YAML: while parsing a flow sequence"),
        ("run: {}\nskills: [a]\nrun: {}\n", "mine.yaml:3: 'run' is given twice, first on line 1"),
        ("run:\n\tname: x\n", "mine.yaml:2: is not valid YAML"),
        ("key: !!set {a}\n", "mine.yaml:1: the tag !!set is not understood"),
        ("run:\n  name: !mine x\n", "mine.yaml:2: the tag !mine is not understood"),
        ("run:\n  seed: !!int x\n", "mine.yaml:2: 'x' cannot be read as int"),
        ("run: {[a]: 1}\n", "mine.yaml:1: a key must be text"),
        ("run:\n  ~: 1\n", "mine.yaml:2: a key must be text"),
        ("a: &a [1]\nb: &b [*a, *a]\n" + _BOMB, "mine.yaml:1: more than 100,000 values"),
        ("run: &a {name: *a}\n", "mine.yaml:1: nested more than 40 levels deep, or an alias of itself"),
        ("run:\n  name: a\x01b\n", "mine.yaml:2: is not valid YAML: the character U+0001"),
        ("nethack: {games: yes}\n", "mine.yaml:1: nethack.games: should be a number, not true or false"),
        ("reward: {quantile_of: {a: no}}\n", "mine.yaml:1: reward.quantile_of: should be a number, not true"),
        (
            "reward: {quantile_of: {a: 2}}\n",
            "mine.yaml:1: reward.quantile_of.a: should be less than 1 (got 2)",
        ),
        ("train: {steps: 010}\n", "mine.yaml:1: '010' would be read as the number 8"),
        (
            "slurm: {parameters: {time: 1:30:00}}\n",
            "mine.yaml:1: '1:30:00' would be read as the number 5400; write that, or put text in quotes",
        ),
        (
            "train: {steps: ${run.seed}}\n",
            "mine.yaml:1: is not valid YAML: while parsing a flow mapping, expected ',' or '}', but got '{'; "
            "between braces or brackets, put ${...} in quotes",
        ),
        ("skills: []\n", "mine.yaml:1: skills: should have at least one entry, as in [one] (got [])"),
        ("Extend: base.yaml\n", "mine.yaml:1: Extend: unknown key; did you mean 'extends'?"),
        ("train: {steps: 2026-02-30}\n", "mine.yaml:1: train.steps: should be a valid integer"),
        ("train: {learning_rate: .nan}\n", "mine.yaml:1: train.learning_rate: should be a finite number"),
        ("just words\n", "mine.yaml: should hold 'key: value' lines"),
        ("- a\n- b\n", "mine.yaml: should hold 'key: value' lines"),
        ("extends: [3]\n", "mine.yaml:1: extends: should be a file or a list of files (got [3])"),
        ("extends: mine.yaml\n", "mine.yaml: 'extends' forms a cycle: mine.yaml -> mine.yaml"),
        (
            "extends: bases.yaml\n",
            "bases.yaml: no such file (extended by mine.yaml); did you mean 'base.yaml'?",
        ),
        (
            "skills: [a]\nnethack:\n  options: ${oc.env:HOME}/x\n",
            "mine.yaml:3: ${oc.env:HOME} calls a function",
        ),
        ("extends: ${oc.env:HOME}/base.yaml\n", "mine.yaml:1: ${oc.env:HOME} calls a function"),
        ("run: {root: '${oc.decode:${oc.env:HOME}}'}\n", "mine.yaml:1: ${oc.env:HOME} calls a function"),
        ("run: {root: '${run.${oc.env:HOME}}'}\n", "mine.yaml:1: ${oc.env:HOME} calls a function"),
        ("skills: ['${oc.select:run.name}']\n", "mine.yaml:1: ${oc.select:run.name} calls a function"),
        ("language: {key: sk-AAAA}\n", "mine.yaml:1: language.key: is no setting, because a config is saved"),
        ("skills: [a]\nnethack: {options: 'up ${ down'}\n", "mine.yaml:2: '${' starts a reference"),
        ("collect: 4\n", "mine.yaml:1: collect: should be a section with some of the keys explorer_steps"),
        (
            "skills: descender\n",
            "mine.yaml:1: skills: should be a list, such as [one, two] (got 'descender')",
        ),
        ("train:\n  steps: ???\n", "mine.yaml:2: train.steps: must be set; it is still '???'"),
    ],
)
def test_files_that_cannot_be_used(text: str, message: str) -> None:
    write("base.yaml", SMALLEST)
    path = write("mine.yaml", text)
    assert any(line.startswith(message) for line in mistakes(path))


@pytest.mark.parametrize(
    "wrong",
    [
        "url=https://me:SECRET@there/v1",
        "url=https://there/v1?key=SECRET",
        "url=there/SECRET",
        "api_key_variable=sk-SECRET",
        "api_key_variable=sk_SECRETa",
        "api_key=sk-SECRET",
    ],
)
def test_a_key_in_a_config_is_refused_and_not_repeated(wrong: str) -> None:
    """On the command line and in a file."""
    name, value = wrong.split("=", 1)
    found = [
        mistakes(write("a.yaml", SMALLEST), f"language.{wrong}"),
        mistakes(write("b.yaml", SMALLEST, f"language:\n  {name}: {value}\n")),
    ]
    for lines in found:
        assert len(lines) == 1
        assert f"language.{name}: " in lines[0]
        assert "SECRET" not in lines[0]


def test_what_only_looks_like_a_function_is_text() -> None:
    path = write("a.yaml", SMALLEST, "nethack: {options: '\\${oc.env:HOME}'}\n")
    assert load(path).nethack.options == "${oc.env:HOME}"
    assert load(path, ["nethack.options=time 10:20 {a:b}"]).nethack.options == "time 10:20 {a:b}"


def test_what_a_base_leaves_open_must_be_set_by_somebody() -> None:
    write("base.yaml", SMALLEST, "train:\n  steps: ???\n")
    path = write("mine.yaml", "extends: base.yaml\n")
    assert mistakes(path) == ["base.yaml:4: train.steps: must be set; it is still '???'"]
    assert load(path, ["train.steps=7"]).train.steps == 7


def test_a_missing_file_names_its_neighbour() -> None:
    write("configs/quickstart.yaml", SMALLEST)
    expected = "configs/quickstrat.yaml: no such file; did you mean 'quickstart.yaml'?"
    assert mistakes("configs/quickstrat.yaml") == [expected]


def test_a_file_that_is_no_text() -> None:
    Path("a.yaml").write_bytes(b"run: \xff\xfe")
    assert mistakes("a.yaml") == ["a.yaml:1: not UTF-8 text (byte 0xFF); save it as UTF-8"]


def test_a_folder_instead_of_a_file() -> None:
    Path("a.yaml").mkdir()
    assert mistakes("a.yaml") == ["a.yaml: cannot be read: Is a directory; a file is needed"]


def test_a_section_with_nothing_in_it_sets_nothing() -> None:
    path = write("a.yaml", SMALLEST, "train:\n  # steps: 5\n")
    assert load(path).train.steps == Config.model_fields["train"].default.steps


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (["--train.steps=1000"], "write train.steps=1000"),
        (["--train.steps", "1000"], "write train.steps=1000"),
        (["-train.steps=1000"], "write train.steps=1000"),
        (["--train.steps"], "write train.steps=VALUE"),
        (["train.steps"], "should be KEY=VALUE, such as train.steps=1000"),
        (["=5"], "should be KEY=VALUE"),
        (["train..steps=5"], "should be KEY=VALUE"),
        (["train.steps=[1"], "train.steps: is not valid YAML"),
        (["train.steps=5 # few"], "train.steps: should be one value; what follows the first would be lost"),
        (["train.steps=!!set {a}"], "train.steps: the tag !!set is not understood"),
        (["train.steps=" + "9" * 5000], "train.steps: '999"),
        (["train.steps=9007199254740992"], "train.steps: should be less than 2**53"),
        (["run.seed=9223372036854775806"], "run.seed: should be less than or equal to 4294967295"),
        (["train.actors=3"], "train.actors: should divide nethack.games = 64 (got 3)"),
        (["train.devices=16", "train.actors=16", "train.minibatches=8"], "times train.devices = 16 should"),
        (["run.name.first=3"], "run.name: should be a valid string"),
        (["reward.quantile_of.desender=0.5"], "is not one of the run's skills, which are"),
        (["skills=[descender, descender]"], "skills[1]: 'descender' is listed twice"),
        (
            ["train.minibatches=7"],
            "train.minibatches: should divide nethack.games = 64 (got 7)",
        ),
        (["run.name=.."], "run.name: "),
        (["annotate.answers=${oc.env:HOME}/x"], "annotate.answers: ${oc.env:HOME} calls a function"),
        (["run.seed=${oc.env:SEED}"], "run.seed: ${oc.env:SEED} calls a function"),
        (["reward.scale=.inf"], "reward.scale: should be a finite number"),
        (["reward.quantile_of.descender=1"], "reward.quantile_of.descender: should be less than 1"),
        (["train.steps=010"], "train.steps: '010' would be read as the number 8; write that"),
        (["skills=[7]"], "skills[0]: should be a valid string (got 7)"),
        (["extends=base.yaml"], "extends: is for files: write 'extends: configs/quickstart.yaml' at the top"),
        (["TRAIN.steps=5"], "TRAIN: unknown key; did you mean 'train'?"),
        (["compose.programs=mine.py"], "compose.programs: should be lines of 'key: value' (got 'mine.py')"),
        (["evaluate.agents=[random, random]"], "evaluate.agents[1]: 'random' is listed twice"),
        (["annotate.changes=[depth, load, depth]"], "annotate.changes[2]: 'depth' is listed twice"),
        (["run.root=~/runs"], "run.root: should be a whole path: '~' is not replaced here (got '~/runs')"),
        (["compose.programs.down=~me/x.py"], "compose.programs.down: should be a whole path"),
        (["evaluate.trainings=[a, ~/b]"], "evaluate.trainings[1]: should be a whole path"),
        (["train.arenas={~/a.des: 0.2}"], "train.arenas.~/a.des: should be a whole path"),
        (["run.root=runs\udcff"], "run.root: should be UTF-8 text; reach a file with another name through"),
    ],
)
def test_overrides_that_cannot_be_used(given: list[str], hint: str) -> None:
    found = mistakes(write("a.yaml", SMALLEST), *given)
    assert len(found) == 1
    assert found[0].startswith("command line: ")
    assert hint in found[0]


@pytest.mark.parametrize(
    ("override", "section", "name", "value"),
    [
        ("nethack.options=it is: here, 'really'", "nethack", "options", "it is: here, 'really'"),
        ("nethack.options=[really]", "nethack", "options", "[really]"),
        ("nethack.options=level 2 #fast", "nethack", "options", "level 2 #fast"),
        ("nethack.options='kept as \"written\"'", "nethack", "options", "'kept as \"written\"'"),
        ("run.root=#1 here", "run", "root", "#1 here"),
        ("run.root=2026-02-30", "run", "root", "2026-02-30"),
        ("compose.programs.delphi=my #1.py", "compose", "programs", {"delphi": "my #1.py"}),
        ("run.name=2026", "run", "name", "2026"),
        ("reward.path=null", "reward", "path", None),
        ("train.learning_rate=3e-4", "train", "learning_rate", 3e-4),
        ("train.steps=1e6", "train", "steps", 1_000_000),
        ("reward.quantile_of={ascender: 0.5}", "reward", "quantile_of", {"ascender": 0.5}),
        ("annotate.changes=[depth, upstairs]", "annotate", "changes", ("depth", "upstairs")),
    ],
)
def test_overrides_are_read_as_their_fields_want(override: str, section: str, name: str, value: Any) -> None:
    config = load(write("a.yaml", SMALLEST), [override])
    assert getattr(getattr(config, section), name) == value


def test_a_config_cannot_be_changed_afterwards() -> None:
    config = load(write("a.yaml", SMALLEST))
    with pytest.raises(Exception, match="frozen"):
        config.run.seed = 5  # type: ignore[misc]


# Control characters cannot be passed on a command line or written in YAML as they are.
words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1)


@settings(max_examples=40, deadline=None)
@given(words=words, steps=st.integers(1, 10**12), rate=st.floats(1e-12, 1e6), seed=st.integers(0, 2**32 - 1))
def test_overrides_arrive_exactly_and_a_dump_reads_back_the_same(
    words: str, steps: int, rate: float, seed: int
) -> None:
    path = write("a.yaml", SMALLEST)
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", words)  # as the message for a lone '${' asks for
    given_overrides = [f"train.steps={steps}", f"train.learning_rate={rate!r}", f"run.seed={seed}"]
    config = load(path, [*given_overrides, f"slurm.partition={text}"])
    assert config.train.steps == steps
    assert math.isclose(config.train.learning_rate, rate, rel_tol=1e-15)
    assert config.run.seed == seed
    assert config.slurm.partition == words
    assert load(write("b.yaml", dump(config))) == config


@settings(max_examples=40, deadline=None)
@given(name=st.from_regex(r"[a-z_]{1,12}(\.[a-z_]{1,12}){0,2}", fullmatch=True))
def test_an_unknown_key_is_never_taken(name: str) -> None:
    path = write("a.yaml", SMALLEST)
    known = set(_dotted(Config))
    if any(key == name or key.startswith(f"{name}.") for key in known) or name.startswith(
        "reward.quantile_of"
    ):
        return
    assert mistakes(path, f"{name}=1")[0].startswith("command line: ")


def _dotted(model: Any, prefix: str = "") -> list[str]:
    keys = []
    for name, info in model.model_fields.items():
        keys.append(prefix + name)
        if hasattr(info.annotation, "model_fields"):
            keys += _dotted(info.annotation, f"{prefix}{name}.")
    return keys


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: ${run.name}", r"a.yaml:4: extends: should be a file or a list"),
        ('extends: ["${run.name}"]', r"a.yaml:4: extends: should be a file or a list"),
        ('extends: "a\\0b"', r"a.yaml:4: extends: should be a file or a list"),
        ("extends: ???", r"\?\?\?: no such file"),
        ("run: []", r"a.yaml:4: run: should be lines of 'key: value' \(got \[\]\)"),
        ("train: [1]", r"a.yaml:4: train: should be lines of 'key: value'"),
        ("reward: {quantile_of: [down]}", r"a.yaml:4: reward.quantile_of: should be lines of 'key: value'"),
        ("collect: {arenas: shop}", r"a.yaml:4: collect.arenas: should be a list, .* \(got 'shop'\)"),
        ('run: {root: "a\\0b"}', r"a.yaml:4: run.root: should have no zero byte"),
        ('collect: {arenas: ["\\0"]}', r"a.yaml:4: collect.arenas: should have no zero byte"),
        (f"run: {{name: {'x' * 300}}}", r"a.yaml:4: run.name: string should have at most 200 characters"),
        ('run: {name: "\\ud83d"}', r"a.yaml:4: \\ud83d is half of a surrogate pair"),
        ("<<: 1", r"a.yaml:4: '<<' takes in lines"),
        ("<<: [x]", r"a.yaml:4: '<<' takes in lines"),
        ("run.seed: 3", r"a.yaml:4: run.seed: unknown key; in a file, write 'seed' below a line 'run:'"),
        ("run: {s\u0435ed: 3}", r"unknown key; it has CYRILLIC SMALL LETTER IE \(U\+0435\)"),
        ("\u200brun: {seed: 3}", r"unknown key; it has ZERO WIDTH SPACE \(U\+200B\); did you mean 'run'"),
    ],
)
def test_what_is_of_the_wrong_shape_is_named_with_its_line(text: str, said: str) -> None:
    Path("a.yaml").write_text(f"{dedent(SMALLEST)}{text}\n", encoding="utf-8")
    assert re.search(said, "\n".join(mistakes("a.yaml")))


def test_a_mistake_of_many_characters_is_told_in_few() -> None:
    (told,) = mistakes(write("a.yaml", SMALLEST), f"train.steps={'x' * 100_000}")
    assert told.startswith("command line: train.steps: should be a valid integer")
    assert told.endswith("xxx')")
    assert len(told) < 2_100


def test_overrides_of_the_wrong_shape() -> None:
    file = write("a.yaml", SMALLEST)
    assert mistakes(file, "run=[]") == ["command line: run: should be lines of 'key: value' (got [])"]
    assert "command line: collect.arenas: should be a list" in mistakes(file, "collect.arenas=shop")[0]
