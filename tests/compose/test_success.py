"""Conditions for a sentence: by a model under a grammar, voted for, and what no skill works towards."""

import re
from pathlib import Path

import pytest
from scripted import Scripted

from maestromotif.compose import fixed_task, served, success, success_prompt
from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import backends
from maestromotif.language.model import Chat
from maestromotif.skill import Skill, load
from maestromotif.tasks.atoms import ATOMS
from maestromotif.tasks.compositions import OPERATORS, read
from maestromotif.tasks.generate import generate, split_of

ROOT = Path(__file__).parents[2]
WORDS = "go down to level 3, but not before you have killed something"


@pytest.fixture(scope="module")
def skills() -> list[Skill]:
    return [load(ROOT / "skills", name) for name in ("discoverer", "descender", "ascender")]


def test_the_examples_are_like_the_task_and_no_test_tasks() -> None:
    shown = [read(text) for _, text in success_prompt.examples("Pray, and do so without once eating.")]
    assert {split_of(one.shape()) for one in shown} == {"train"}
    assert {one.sort for one in shown} == {"goal", *OPERATORS} - {"most"}
    assert shown[-1].sort == "avoiding"


def test_the_prompt_shows_phrases_that_are_like_the_task() -> None:
    shown = dict(success_prompt.phrases("Visit the Oracle, but do not pray."))
    assert {"oracle", "pray", "praying"} <= set(shown.values())
    assert "sell(1)" not in shown.values()
    assert success_prompt.prompt(WORDS)[-1] == {"role": "user", "content": f"Task: {WORDS}"}


def test_what_the_grammar_allows_is_a_composition_or_breaks_off() -> None:
    model = backends.open_model(LanguageSettings(model="smollm2-135m-instruct", threads=1, context=1024))
    chat: Chat = [{"role": "user", "content": "Write what a task means."}]
    for known in (None, (1,), (1, 3)):
        for text in model.complete([chat] * 3, success.TOKENS, 1.0, 0, success_prompt.grammar(known)):
            assert not text.endswith("\n") or read(text)


def test_the_grammar_has_all_atoms_and_operators() -> None:
    assert all(f'"{name}' in success_prompt.grammar() for name in (*ATOMS, *OPERATORS) if name != "most")


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (WORDS, (1, 3)),
        ("collect 1,500 gold, twice", (1, 2, 1500)),
        ("sell an item, and do so without once praying", None),
        ("climb back to the first level", (1,)),
        ("explore 300 squares of the fourth level", (1, 4, 300)),
        ("kill twenty-five monsters", None),
        ("kill a dozen monsters", None),
    ],
)
def test_an_answer_has_no_numbers_that_the_task_lacks(words: str, known: tuple[int, ...] | None) -> None:
    assert success_prompt.numbers(words) == known
    *_, last = success_prompt.grammar(known).splitlines()
    assert known is None or {int(text) for text in re.findall(r"\d+", last)} == {*known}
    assert ('"repeat(' in success_prompt.grammar(known)) == (
        known is None or any(2 <= one <= 9 for one in known)
    )


def test_most_votes_count_and_impossible_answers_do_not() -> None:
    never = "avoiding(descend(3), going_below(2))\n"
    model = Scripted(never, " descend(3)\n", "then(kill(1), descend(3))\n", "descend(3)\n", never)
    assert success.write(model, WORDS) == success.Written(("depth >= 3",), 2, success.SAMPLES)


def test_answers_that_make_sense_count_before_others() -> None:
    model = Scripted(*["then(descend(3), climb(1), descend(2))\n"] * 4, "descend(3)\n")
    assert success.write(model, WORDS).conditions == ("depth >= 3",)  # level 2 lies on the way to level 3
    again = Scripted(*["then(descend(2), climb(1), descend(3))\n"] * 5)
    assert success.write(again, WORDS).conditions == ("depth >= 2", "depth == 1", "depth >= 3")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("avoiding(descend(3), going_below(2))", "contradict"),
        ("climb(1)", "is met as soon as an episode begins"),
        ("not_before(descend(1), kill(1))", "is broken as soon as an episode begins"),
        ("descend(3", "cannot read it"),
        ("fly", "cannot read 'fly'"),
    ],
)
def test_an_answer_is_refused_in_words(answer: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        success.read_answer(answer)


def test_words_are_a_task_however_many_they_are() -> None:
    for words in ("go down", "go down " * 100, "go down and read " * 100 + "README.md"):
        assert fixed_task.is_task(words)
        assert not fixed_task.is_file(words)
    assert fixed_task.is_file(str(ROOT / "tasks/down.md"))
    assert not fixed_task.is_task(str(ROOT / "configs/quickstart.yaml"))


def test_every_visit_can_be_an_answer() -> None:
    for name, atom in ATOMS.items():
        if atom.kind == "visit":
            assert success.read_answer(name)[1] == (atom.condition,)


def test_only_impossible_answers_are_an_error() -> None:
    with pytest.raises(UserError, match=r"(?s)scripted found no conditions.*as soon as.*--success"):
        success.write(Scripted(*["climb(1)"] * success.SAMPLES), WORDS)


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
    assert [part for part, _ in served.unserved(conditions, skills)] == parts


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("Go down to level 3, but not before you have killed something.", []),
        ("go down to level 2 and translate this text into French", ["translate this text into French"]),
        ("Book a flight to Paris; pray", ["Book a flight to Paris"]),
    ],
)
def test_parts_of_which_no_word_is_known(words: str, parts: list[str], skills: list[Skill]) -> None:
    assert served.strange(words, skills) == parts


def test_no_part_of_a_generated_task_is_strange(skills: list[Skill]) -> None:
    tasks = generate(40, 0, "test") + generate(40, 0, "train")
    assert [words for task in tasks for words in task.paraphrases if served.strange(words, skills)] == []
