"""Which files count as a stage's code, and which edits change its hash."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maestromotif.pipeline import code
from maestromotif.pipeline.code import changed, code_of, mixed
from maestromotif.pipeline.stages import STAGES

ROOT = Path(code.__file__).parents[2]
TRAIN = "maestromotif.train.train"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "maestromotif", folder / "maestromotif")
    return folder


@pytest.fixture
def checkout(original: Path, tmp_path: Path) -> Path:
    """A copy of the package to edit."""
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize("stage", ["collect", "distil", "gate", "train", "compose", "evaluate"])
def test_editing_events_changes_the_code_of_a_stage_and_nothing_else_of_it(
    checkout: Path, stage: str
) -> None:
    (module,) = [one.module for one in STAGES if one.name == stage]
    before = code_of(module, checkout)
    assert before == code_of(module)  # the same code, wherever it lies
    events = checkout / "maestromotif/nethack/events.py"
    events.write_text(events.read_text() + "\nMORE = 1\n")
    assert changed(before, code_of(module, checkout)) == ["maestromotif/nethack/events.py"]


def test_words_about_the_code_are_not_the_code(checkout: Path) -> None:
    before = code_of(TRAIN, checkout)
    events = checkout / "maestromotif/nethack/events.py"
    lines = events.read_text().splitlines()
    assert lines[0].startswith('"""')
    lines[0] = '"""Another beginning of the docstring.' + ('"""' if lines[0].count('"""') == 2 else "")
    events.write_text("# a comment\n\n" + "\n".join(lines) + "\n\n\n# the end\n")
    assert changed(before, code_of(TRAIN, checkout)) == []


@pytest.mark.parametrize("file", ["nethack/nethackrc", "nethack/arenas/shop.des"])
def test_data_of_a_package_counts(checkout: Path, file: str) -> None:
    before = code_of(TRAIN, checkout)
    path = checkout / "maestromotif" / file
    path.write_text(path.read_text() + "\n")
    assert changed(before, code_of(TRAIN, checkout)) == [f"maestromotif/{file}"]


def test_what_only_frames_or_shows_a_training_does_not_count() -> None:
    files = code_of(TRAIN)
    for part in ("cli/", "config/", "pipeline/", "report/", "compose/", "evaluate/", "errors.py"):
        assert not any(file.startswith(f"maestromotif/{part}") for file in files), part
    for part in ("replay/page.py", "replay/assets/", "replay/record.py", "train/watch/"):
        assert not any(file.startswith(f"maestromotif/{part}") for file in files), part
    for frame in code.FRAME:  # the list names what there is
        path = ROOT.joinpath(*frame.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("stage", ["annotate", "evaluate"])
def test_no_module_that_python_imports_is_missed(stage: str) -> None:
    (module,) = [one.module for one in STAGES if one.name == stage]
    files = "[m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)]"
    script = f"import sys, {module}; print(*{files}, sep=chr(10))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {Path(file) for file in done.stdout.splitlines()}
    ours = {
        file.relative_to(ROOT).as_posix() for file in loaded if file.is_relative_to(ROOT / "maestromotif")
    }
    frame = tuple(name.replace(".", "/") for name in code.FRAME)
    wanted = {file for file in ours if not file.startswith(frame) and not file.endswith("__init__.py")}
    assert len(wanted) > 10
    assert wanted <= code_of(module).keys()


def test_imports_wherever_they_stand(tmp_path: Path) -> None:
    package = tmp_path / "small"
    (package / "deep").mkdir(parents=True)
    (package / "any").mkdir()
    for name in (
        "used",
        "lazy",
        "table",
        "typed",
        "beside",
        "other",
        "deep/__init__",
        "deep/below",
        "any/one",
        "any/two",
    ):
        (package / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (package / "__init__.py").write_text('"""Nothing but words."""\n')
    (package / "deep/levels.txt").write_text("data")
    (package / "stage.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from small import used\n"
        "from . import beside\n"
        "if TYPE_CHECKING:\n    from small import typed\n"
        "TABLE = {'a': 'small.table', 'b': 'small.nowhere'}\n"
        "def run():\n    from small.deep.below import NAME\n    import small.lazy\n"
        "def chosen(name):\n    return importlib.import_module(f'small.any.{name}')\n"
    )
    names = ("used", "lazy", "table", "beside", "stage", "deep/__init__", "deep/below", "any/one", "any/two")
    assert set(code_of("small.stage", tmp_path)) == {
        *(f"small/{name}.py" for name in names),
        "small/deep/levels.txt",
    }


def test_work_of_two_states_of_the_code_is_neither() -> None:
    a, b = {"x": "1", "y": "5"}, {"x": "2", "z": "7"}
    both = mixed(a, b)
    assert changed(a, both) == ["x", "y", "z"] == changed(b, both)
    assert mixed(both, b) == both
    assert mixed(a, a) == a
