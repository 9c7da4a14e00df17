"""Task files: their mistakes, the nine of the paper, and a judge who watches two tests and a measure."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from maestromotif.config.load import load as load_config
from maestromotif.errors import UserError
from maestromotif.nethack.events import COLUMN, EVENTS
from maestromotif.nethack.game import End
from maestromotif.programs import contract, provenance
from maestromotif.tasks.expressions import Step
from maestromotif.tasks.task import Judge, Task, load, steps_of, task_files, tasks_of

ROOT = Path(__file__).parents[2]
GOOD = """---
name: mine
success: [depth >= 3, gold >= 10]
---
Go down, then collect gold.
"""
NINE = ("gnomish_mines", "delphi", "minetown", "transactions", "price", "buc", "golden_exit",
        "level_up_and_sell", "discovery_hunger")  # fmt: skip


def write(folder: Path, text: str, name: str = "mine") -> Path:
    folder.joinpath(f"{name}.md").write_text(text)
    return folder


def test_a_task_is_read(tmp_path: Path) -> None:
    task = load(write(tmp_path, GOOD), "mine")
    assert (task.success, task.steps, task.program) == (
        ("depth >= 3", "gold >= 10"),
        10_000,
        "policies/mine.py",
    )
    assert task.words == "Go down, then collect gold."
    assert task.can_succeed
    assert not task.leaves
    assert load(write(tmp_path, GOOD.replace("gold >= 10", "left")), "mine").leaves


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: mine", "name: other", "mine.md:2: the name is 'other' but the file is 'mine.md'"),
        ("name: mine\n", "", "mine.md:2: the key 'name' is missing"),
        ("success", "succes", "mine.md:3: unknown key 'succes'; did you mean 'success'?"),
        ("[depth >= 3, gold >= 10]", "depth >= 3", "mine.md:3: 'success' must be a list of conditions"),
        ("depth >= 3", "dpeth >= 3", "mine.md:3: success[0]: 'dpeth >= 3': GameState has no field 'dpeth'"),
        (
            "depth >= 3",
            "depth > 3 and depth < 2",
            "mine.md:3: success[0]: 'depth > 3 and depth < 2': can never",
        ),
        (
            "success:",
            "steps: 0\nsuccess:",
            "mine.md:3: 'steps' must be a whole number of at least 1 and less",
        ),
        (
            "success:",
            "measure: depth > 2\nsuccess:",
            "mine.md:3: measure: 'depth > 2': 'depth > 2' is true or",
        ),
        ("success:", "paper: [1]\nsuccess:", "mine.md:3: 'paper' must give a number for each agent"),
        ("success:", "paper: {a: .nan}\nsuccess:", "mine.md:3: 'paper' must give a number for each agent"),
        ("success:", "paper: {1: 2}\nsuccess:", "mine.md:3: 'paper' must give a number for each agent"),
        (
            "success:",
            f"steps: {10**20}\nsuccess:",
            "at least 1 and less than 2**53, got 100000000000000000000",
        ),
        (
            "depth >= 3",
            "any_of(left, died)",
            'in a file, one with a comma needs quotes, as in ["any_of(left, ',
        ),
        ("success:", "program: 3\nsuccess:", "mine.md:3: 'program' must be text, got 3"),
        ("Go down, then collect gold.\n", "", "mine.md:5: nothing below the head; say in plain words"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        load(write(tmp_path, GOOD.replace(old, new)), "mine")
    assert told in str(error.value)


def test_a_missing_task_names_its_neighbour(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mien\.md: no such file; did you mean 'mine'\?"):
        load(write(tmp_path, GOOD), "mien")


def test_the_nine_tasks_of_the_paper_have_two_tests_and_a_program_from_their_prompt() -> None:
    config = load_config(ROOT / "configs/nine.yaml")
    tasks = tasks_of(config.model_copy(update={"tasks_folder": str(ROOT / "tasks")}))
    assert tuple(task.name for task in tasks) == NINE
    for task in tasks:
        assert bool(task.success) == bool(task.published)
        assert (task.measure is None) == (task.published_measure is None)
        assert task.can_succeed == (task.measure is None)
        assert task.about
        assert set(task.paper) == {"MaestroMotif", "best baseline"}
        source = contract.read(ROOT / task.program)
        origin = provenance.parse(source, task.program)
        prompt = ROOT / "policies" / origin["prompt"]
        assert origin["prompt_sha256"] == hashlib.sha256(prompt.read_bytes()).hexdigest()
        assert " ".join(task.words.split()) in " ".join(prompt.read_text().split())


def test_programs_of_the_config_win_and_every_file_counts(tmp_path: Path) -> None:
    program = tmp_path / "other.py"
    program.write_text("class Program: ...\n")
    mine = [f"tasks_folder={write(tmp_path, GOOD)}", "tasks=[mine]"]
    config = load_config(ROOT / "configs/quickstart.yaml", [*mine, f"compose.programs={{mine: {program}}}"])
    (task,) = tasks_of(config)
    assert task.program == str(program)
    assert set(task_files(config)) == {str(tmp_path / "mine.md"), task.program}
    assert steps_of(task, config) == 10_000
    wrong = load_config(ROOT / "configs/quickstart.yaml", [*mine, "compose.programs={mien: x.py}"])
    with pytest.raises(UserError, match=r"compose\.programs\.mien: .*did you mean 'mine'"):
        tasks_of(wrong)


def at(depth: int, *happened: str, ended: End = End.NOT) -> Step:
    events = np.zeros((1, len(EVENTS)), np.int16)
    for name in happened:
        events[0, COLUMN[name]] += 1
    state = {"depth": np.array([depth]), "turn": np.array([1]), "step": np.array([1])}
    return Step(state, events, np.array([int(ended)]))


def judged(task: Task, *steps: Step) -> tuple[list[bool], dict[str, object]]:
    judge = Judge(task, 1)
    judge.begin(np.ones(1, bool), at(1).state)
    return [bool(judge.update(step, np.ones(1, bool))[0]) for step in steps], judge.verdict(0)


def test_an_episode_is_over_when_both_tests_are_decided() -> None:
    task = Task("t", "", "", success=("avoiding(depth == 2, happened(prayed))",), published=("depth >= 3",))
    over, verdict = judged(task, at(1), at(2), at(2, "prayed"), at(3))
    assert over == [False, False, False, True]
    assert verdict["success"] is verdict["published"] is True
    assert (verdict["achieved_at"], verdict["progress"]) == (2, 1)
    over, verdict = judged(task, at(1, "prayed"), at(3))
    assert over == [False, True]
    assert (verdict["success"], verdict["published"], verdict["achieved_at"]) == (False, True, 0)


def test_what_is_measured_is_read_at_the_end() -> None:
    task = Task(
        "t", "", "", success=("depth == 2",), measure="total(sold) * 2", published_measure="total(ate)"
    )
    over, verdict = judged(task, at(2, "sold"), at(2, "sold", "ate"), at(2, "sold", ended=End.DEATH))
    assert over == [False] * 3  # it is played to its end
    assert (verdict["success"], verdict["measured"], verdict["published_measured"]) == (True, 6, 1)
    assert judged(Task("t", "", ""), at(2), at(9))[0] == [False, False]
