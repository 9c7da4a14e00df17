"""Conditions for a sentence: by a model under a grammar, voted for, and what no skill works towards."""

import re
from pathlib import Path

import pytest
from scripted import Scripted

from maestromotif.compose import success
from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import backends
from maestromotif.skill import Skill, load
from maestromotif.tasks.compositions import read
from maestromotif.tasks.generate import generate, split_of

ROOT = Path(__file__).parents[2]
WORDS = "go down to level 3, but not before you have killed something"


@pytest.fixture(scope="module")
def skills() -> list[Skill]:
    return [load(ROOT / "skills", name) for name in ("discoverer", "descender", "ascender")]


def test_the_examples_are_no_test_tasks() -> None:
    assert {split_of(read(text).shape()) for text in success.EXAMPLES} == {"train"}


def test_the_prompt_shows_phrases_that_are_like_the_task() -> None:
    shown = dict(success.phrases("Visit the Oracle, but do not pray."))
    assert "dungeon == 0 and level == truth.oracle_level" in shown.values()
    assert "count(prayed) >= 1" in shown.values()
    assert "count(sold) >= 1" not in shown.values()
    assert success.prompt(WORDS).endswith(f"Task: {WORDS}\nConditions:")


def test_what_the_grammar_allows_is_read_or_refused_in_words() -> None:
    model = backends.open_model(LanguageSettings(model="smollm2-135m-instruct", threads=1, context=2048))
    chat = [{"role": "user", "content": "Write conditions."}]
    said = model.complete([chat] * 4, success.TOKENS, 1.0, 0, success.grammar())
    for text in said:
        assert re.search("^$|cannot read it|can never be met", _told(text))


def _told(text: str) -> str:
    """Why an answer is refused; "" if it is not."""
    try:
        success.read_answer(text)
    except UserError as error:
        return str(error)
    return ""


def test_most_votes_count_and_impossible_answers_do_not() -> None:
    never = "avoiding(depth >= 3, depth > 2)\n"
    model = Scripted(never, "depth>=3\n", "kills >= 1\ndepth >= 3", "depth >= 3\n", never)
    made = success.write(model, WORDS)
    assert made == success.Written(("depth >= 3",), 2, success.SAMPLES)


def test_only_impossible_answers_are_an_error() -> None:
    with pytest.raises(UserError, match=r"(?s)scripted wrote no conditions.*never be met.*--success"):
        success.write(Scripted(*["depth > 3 and depth < 2"] * success.SAMPLES), WORDS)


@pytest.mark.parametrize(
    ("conditions", "parts"),
    [
        (["depth >= 3", "depth == 1"], []),
        (["count(drank) >= 1"], ["count(drank) >= 1"]),
        (["avoiding(gold >= 20, happened(drank))"], []),  # what must not happen needs no skill
        (["any_of(count(bought) >= 1, depth >= 2)"], []),  # the other way is served
        (["depth >= 2", "repeat(2, count(bought) >= 1 and in_shop)"], ["count(bought) >= 1"]),
        (["left"], []),
        (["survive(300)"], []),
    ],
)
def test_what_no_skill_works_towards(conditions: list[str], parts: list[str], skills: list[Skill]) -> None:
    assert [part for part, _ in success.unserved(conditions, skills)] == parts


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("Go down to level 3, but not before you have killed something.", []),
        ("go down to level 2 and translate this text into French", ["translate this text into French"]),
        ("Book a flight to Paris; pray", ["Book a flight to Paris"]),
    ],
)
def test_parts_of_which_no_word_is_known(words: str, parts: list[str], skills: list[Skill]) -> None:
    assert success.strange(words, skills) == parts


def test_no_part_of_a_generated_task_is_strange(skills: list[Skill]) -> None:
    tasks = generate(40, 0, "test") + generate(40, 0, "train")
    assert [words for task in tasks for words in task.paraphrases if success.strange(words, skills)] == []
