"""Prompts for programs: everything of the tables is in them, and what they ask for is accepted."""

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from maestromotif.cli.main import cli
from maestromotif.compose import prompts
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.rules import BETWEEN_PRAYERS, FIRST_PRAYER
from maestromotif.nethack.state import FIELDS
from maestromotif.programs import contract, provenance
from maestromotif.skill import load_all, skills_of
from maestromotif.tasks.task import load as load_task

ROOT = Path(__file__).parents[2]
ARGUMENTS = ("configs/quickstart.yaml", ["skills=[discoverer, descender, ascender, merchant]"])
KINDS = ("training", "down_and_back", "discoverer", "merchant")


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def config() -> Config:
    return load(*ARGUMENTS)


def test_the_stubs_declare_every_field_with_its_documentation() -> None:
    declared = contract.stubs([])
    for name, field in FIELDS.items():
        assert f"    {name}: {field.type.__name__}  # {field.doc}\n" in declared
        assert field.doc.endswith(".")
        assert field.source
    compile(declared, "stubs", "exec")


@pytest.mark.parametrize("what", KINDS)
def test_a_prompt_tells_every_field_and_the_language(config: Config, what: str) -> None:
    text = prompts.of(config, what).text
    assert contract.game_state() in text
    words = " ".join(text.split())
    assert all(f"{name}: {field.type.__name__} # {field.doc}" in words for name, field in FIELDS.items())
    assert all(lack in words for lack in contract.LACKS)
    assert all(f"`{module}`" in words for module in contract.MODULES)
    assert "\n\n\n" not in text
    assert text.endswith(".\n")


@pytest.mark.parametrize("what", ["training", "down_and_back"])
def test_a_program_over_skills_is_told_of_every_skill(config: Config, what: str) -> None:
    words = " ".join(prompts.of(config, what).text.split())
    for skill in skills_of(config):
        assert f"- `{skill.name}` may start {skill.starts}. It ends {skill.ends}." in words
        assert " ".join(skill.description.split()) in words
    assert "worshipper" not in words
    task = load_task("tasks", "down_and_back")
    assert all(part in words for part in (*task.success, task.words)) == (what == task.name)


def test_a_task_s_program_is_told_when_episodes_end_and_prayers_help(config: Config) -> None:
    words = " ".join(prompts.of(config, "down_and_back").text.split())
    assert "after 1,000 environment steps" in words
    assert f"not before turn {FIRST_PRAYER} and not within {BETWEEN_PRAYERS} turns" in words


def test_a_skill_that_is_only_a_text_starts_and_ends_by_default(tmp_path: Path, config: Config) -> None:
    (tmp_path / "walker.md").write_text(
        "---\nname: walker\nstarts: at noon\nends: at night\nmax_turns: 7\n---\nThe agent should walk."
    )
    walker = load_all(tmp_path, ["walker"])
    words = " ".join(prompts.task_program(load_task("tasks", "down_and_back"), walker).split())
    told = "`walker` may start at any time. It ends when the depth has changed, or after 7 game turns."
    assert told in words
    words = " ".join(prompts.skill_program(walker[0]).split())
    assert "starts: at noon - ends: at night - game turns at most: 7" in words
    assert "Events that" not in words


def test_the_prompt_of_a_skill_explains_its_events(config: Config) -> None:
    text = prompts.of(config, "merchant").text
    assert "- `sold`: The agent sold something to a shopkeeper.\n" in text
    assert "- `stole`: The agent left a shop without paying.\n" in text


@pytest.mark.parametrize("what", KINDS)
def test_the_verb_prints_the_prompt_and_the_header_of_its_answer(config: Config, what: str) -> None:
    words = ["prompt", ARGUMENTS[0], what, *ARGUMENTS[1]]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    prompt = prompts.of(config, what)
    assert done.stdout == prompt.text
    header = done.stderr[done.stderr.index("# provenance:") :]
    fields = provenance.parse(header, "answer.py")
    assert fields["prompt_sha256"] == hashlib.sha256(prompt.text.encode()).hexdigest()
    assert f"and the answer as {prompt.program}, below" in done.stderr
    assert fields.get("text_sha256") == (prompt.skill and prompt.skill.digest)


def test_without_a_name_the_task_is_meant_and_unknown_names_are_refused(config: Config) -> None:
    words = ["prompt", ARGUMENTS[0], *ARGUMENTS[1]]
    assert CliRunner().invoke(cli, words).stdout == prompts.of(config, "down_and_back").text
    with pytest.raises(UserError, match=r"no program for 'mercant'; did you mean 'merchant'\?"):
        prompts.of(config, "mercant")
