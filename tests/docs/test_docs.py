"""README, CONTRIBUTING and the documentation: their links, files, commands and words."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from maestromotif.cli.main import cli
from maestromotif.compose import rules
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.nethack.actions import NAMES, SETS
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import CHANGES, FIELDS
from maestromotif.tasks.atoms import ATOMS
from maestromotif.train import train

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FRONT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "configs" / "README.md"]
PAGES = [*FRONT, *sorted(DOCS.rglob("*.md"))]

# Turns that have no use in technical English of today, in small letters, as words or groups of words.
ARCHAIC = (
    "anew",
    "whilst",
    "thereof",
    "therein",
    "thereby",
    "hitherto",
    "thence",
    "whence",
    "henceforth",
    "heretofore",
    "nought",
    "naught",
    "lest",
    "albeit",
    "betwixt",
    "amidst",
    "in the midst",
    "upon which",
    "mend",
    "mends",
    "mended",
    "dear",
    "dearer",
    "none the less",
    "as ever",
    "as they lie",
    "as it lies",
    "numbers that are none",
    "is no number",
    "told apart",
    "tells apart",
    "tell apart",
    "whatever may be",
    "for want of",
    "by and by",
    "in vain",
    "nobody waits for anybody",
    "parted in",
)
_ARCHAIC = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, ARCHAIC))})(?![\w-])", re.IGNORECASE)

# A path of this repository in a text: in backticks, with a folder or with the ending of a file.
_PATH = re.compile(r"`([\w./-]+/[\w./*-]*|[\w-]+\.(?:md|py|yaml|toml|txt|cff|yml))`")


def _generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("documentation_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The pages that are written from the package's tables, by their path below docs/."""
    found: dict[str, str] = _generated().pages()
    return found


# ------------------------------------------------------------------------------------------- links and files


def test_the_readme_is_read_in_three_minutes() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 800


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path, generated: dict[str, str]) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        inside = str(file.relative_to(DOCS)) if file.is_relative_to(DOCS) else None
        text = generated.get(inside or "")
        assert text is not None or file.exists(), f"{page.name}: no {target}"
        if anchor:
            assert anchor in _anchors(file.read_text() if text is None else text), f"{page.name}: no {target}"


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ +(.*?) *$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for match in _PATH.finditer(text):
        name = match[1]
        if page.name == "CHANGELOG.md" or name.startswith(ELSEWHERE) or "..." in name:
            continue
        if re.search(r"NAME|collector|two_levels_down", name):  # a file that the reader writes
            name = str(Path(name).parent)
        where = [ROOT, ROOT / "maestromotif", page.parent, ROOT / "maestromotif" / "nethack"]
        forms = (name.rstrip("/"), f"{name}.py")  # modules go without their ending
        found = any(any(folder.glob(form)) for folder in where for form in forms)
        assert found or name in MADE, f"{page.relative_to(ROOT)} names {name}"


ELSEWHERE = (".", "/", "~", "runs/", "site/")  # what an installation or a run makes, and other machines
MADE = ("card.md", "manifest.json", "curve.jsonl", "train/curve.jsonl", "report.html", "report/report.html")


def test_new_module_names_of_the_changelog_exist() -> None:
    rows = re.findall(r"^\| `([\w/]+(?:\.py|/))` \| `([\w/]+(?:\.py|/))` \|$", _changelog(), re.MULTILINE)
    assert len(rows) > 80
    for old, new in rows:
        assert (ROOT / "maestromotif" / new).exists(), new
        assert not (ROOT / "maestromotif" / old).exists(), old


def _changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text()


def test_every_config_has_a_row_and_can_be_read() -> None:
    readme = (ROOT / "configs" / "README.md").read_text()
    for file in sorted((ROOT / "configs").glob("*.yaml")):
        assert f"[`{file.name}`]({file.name})" in readme, file.name
        load(file)


# ------------------------------------------------------------------------------------ commands and settings


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_have_verbs_and_options_that_exist(page: Path) -> None:
    for verb, rest in re.findall(r"maestromotif ([a-z]+)\b([^\n`]*)", page.read_text()):
        command = cli.commands.get(verb)
        if command is None:
            assert not re.match(r" (CONFIG|configs/)", rest), f"{page.name}: maestromotif {verb}{rest}"
            continue  # a sentence about maestromotif
        options = {name for parameter in command.params for name in parameter.opts}
        for option in re.findall(r"(?<!\S)(--[a-z-]+)", rest.split("#")[0]):
            assert option in options | {"--help"}, f"{page.name}: maestromotif {verb} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_are_named_exist(page: Path) -> None:
    keys = {key for key, _ in _settings(Config)}
    sections = {key.split(".")[0] for key in keys if "." in key}
    for named in re.findall(r"[`'\s]([a-z_]+(?:\.[a-z_]+)+)(?==|`|:)", page.read_text()):
        if named.split(".")[0] in sections and not named.endswith((".py", ".md", ".yaml", ".jsonl", ".json")):
            assert any(key == named or key.startswith(f"{named}.") for key in keys), f"{page.name}: {named}"


def _settings(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its dotted key."""
    for name, info in model.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _settings(kind, f"{before}{name}.")
        else:
            yield f"{before}{name}", info


def test_the_notation_has_the_sizes_of_the_tables() -> None:
    page = (DOCS / "notation.md").read_text()
    assert f"| {', '.join(f'{size} `{name}`' for name, size in SETS.items())} |" in page
    assert f"| E | [events](events.md) | {len(EVENTS)} |" in page


def test_every_setting_has_a_description() -> None:
    assert [name for name, info in _settings(Config) if not info.description] == []


def test_generated_pages_hold_every_entry_of_their_tables(generated: dict[str, str]) -> None:
    for page, names in {
        "configuration.md": [key for key, _ in _settings(Config)],
        "game-state.md": [*FIELDS, *CHANGES],
        "events.md": list(EVENTS),
        "task-grammar.md": list(ATOMS),
        "rule-tables.md": list(rules.FACTS),
        "metrics.md": [logged.name for logged in train.LOGGED],
    }.items():
        for name in names:
            assert re.search(rf"^\| `{re.escape(name)}` \|", generated[page], re.MULTILINE), f"{page}: {name}"
    for name in NAMES:
        assert f"| `{name}` |" in generated["actions.md"]
    for page, text in generated.items():
        for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            widths = {line.replace(r"\|", "").count("|") for line in block.splitlines()}
            assert len(widths) == 1, f"{page}: a cell holds a bar: {block}"


# ----------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    "page",
    [*PAGES, *sorted((ROOT / "configs").glob("*.yaml")), ROOT / "Makefile", DOCS / "hooks.py"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_pages_are_in_modern_english(page: Path) -> None:
    assert _archaic(page.read_text()) == []


def test_generated_pages_and_command_help_are_in_modern_english(generated: dict[str, str]) -> None:
    found = [f"{page}: {line}" for page, text in generated.items() for line in _archaic(text)]
    for verb, command in cli.commands.items():
        text = command.get_help(click.Context(command, info_name=verb))
        found += [f"{verb}: {line}" for line in _archaic(text)]
    assert found == []


def test_the_package_is_in_modern_english() -> None:
    """Docstrings, comments and messages, but no names: those are written with underscores."""
    found = []
    for file in sorted((ROOT / "maestromotif").rglob("*.py")):
        found += [f"{file.relative_to(ROOT)}:{line}" for line in _archaic(file.read_text())]
    assert found == []


def _archaic(text: str) -> list[str]:
    """Lines with one of the words, numbered."""
    return [
        f"{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if _ARCHAIC.search(line)
    ]
