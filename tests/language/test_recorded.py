"""Answers that are written down and given again, here of a model that is a formula."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float64

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import backends
from maestromotif.language.model import Chat, LanguageModel
from maestromotif.language.recorded import RecordedModel, Recorder

ANSWERS = ("Yes", "No")


class Formula:
    """A language model whose answers are a hash of the question."""

    name = "formula"
    digest = "0" * 64
    licence = "CC0-1.0"

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        rows = [[self._number(prompt, answer) for answer in answers] for prompt in prompts]
        return np.array(rows, np.float64).reshape(len(prompts), len(answers))

    def complete(
        self,
        prompts: Sequence[Chat],
        max_tokens: int,
        temperature: float,
        seed: int,
        grammar: str | None = None,
    ) -> list[str]:
        return [
            f"{prompt[-1]['content']} {max_tokens} {temperature} {seed + n if temperature else 0} \u2028"
            for n, prompt in enumerate(prompts)
        ]

    def _number(self, prompt: Chat, answer: str) -> float:
        digest = hashlib.sha256(f"{prompt} {answer}".encode(errors="surrogatepass")).digest()
        return -np.inf if digest[0] < 50 else -int.from_bytes(digest[:7]) / 2**53


def ask(*words: str) -> list[Chat]:
    return [
        [{"role": "system", "content": "You judge."}, {"role": "user", "content": said}] for said in words
    ]


def replay(path: Path, **settings: str) -> LanguageModel:
    fields = {"backend": "recorded", "model": "formula", "path": str(path), **settings}
    return backends.open_model(LanguageSettings.model_validate(fields))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a few replies."""
    recorder = Recorder(Formula(), tmp_path / "new" / "answers.jsonl")
    recorder.answer_logprobs(ask("a", "b", "c"), ANSWERS)
    recorder.complete(ask("a", "a"), 5, 0.5, 10)
    recorder.complete(ask("b"), 5, 0.0, 10)
    return tmp_path / "new" / "answers.jsonl"


def test_replies_are_the_same(path: Path) -> None:
    model = replay(path)
    assert isinstance(model, LanguageModel)
    assert (model.name, model.licence) == ("formula", "CC0-1.0")
    assert model.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    for words in (("c", "a"), ("b",), ()):  # in another order, in other calls
        expected = Formula().answer_logprobs(ask(*words), ANSWERS)
        assert model.answer_logprobs(ask(*words), ANSWERS).tobytes() == expected.tobytes()
    assert model.complete(ask("a", "a"), 5, 0.5, 10) == Formula().complete(ask("a", "a"), 5, 0.5, 10)
    assert model.complete(ask("a"), 5, 0.5, 11) == Formula().complete(ask("a"), 5, 0.5, 11)
    assert model.complete(ask("b"), 5, 0.0, 99) == Formula().complete(ask("b"), 5, 0.0, 10)  # greedy: no seed


def test_what_is_not_there(path: Path) -> None:
    model = replay(path)
    with pytest.raises(UserError, match=r"answers\.jsonl: no reply to this question.*You judge.*user: d"):
        model.answer_logprobs(ask("a", "d"), ANSWERS)
    with pytest.raises(UserError, match=r'no reply to this question.*"answers": \["No", "Yes"\]'):
        model.answer_logprobs(ask("a"), ("No", "Yes"))
    with pytest.raises(UserError, match='"max_tokens": 6'):
        model.complete(ask("a"), 6, 0.5, 10)
    with pytest.raises(UserError, match='"seed": 12'):
        model.complete(ask("a"), 5, 0.5, 12)


def test_a_file_grows(path: Path) -> None:
    before = path.read_bytes()
    Recorder(Formula(), path).answer_logprobs(ask("d"), ANSWERS)
    assert path.read_bytes().startswith(before)
    replay(path).answer_logprobs(ask("a", "d"), ANSWERS)


def test_the_later_reply_counts(path: Path) -> None:
    line = json.loads(path.read_text().splitlines()[0])
    with path.open("a") as file:
        file.write(json.dumps(line | {"reply": [-0.5, None]}) + "\n")
    assert replay(path).answer_logprobs(ask("a"), ANSWERS).tolist() == [[-0.5, -np.inf]]


def test_an_incomplete_line(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A killed process leaves half a line; the next recorder cuts it off and goes on."""
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: whole.index(b"\n") // 2])
    with pytest.raises(UserError, match=r"answers\.jsonl:7: damaged: not valid JSON"):
        replay(path)
    with caplog.at_level(logging.WARNING):
        Recorder(Formula(), path)
    assert path.read_bytes() == whole
    assert "the last line is incomplete" in caplog.text


DAMAGED = {
    "": "not valid JSON",
    "{": "not valid JSON",
    "[]": "line",
    '{"model": "formula"}': "digest",
    "LINE-more": "reply.*",
    "LINE-nan": "reply",
    "LINE-text": "the reply should be a list for 'answers'",
    "LINE-short": "1 log-probabilities for 2 answers",
    "LINE-other": "a reply of other",
    "LINE-extra": "Extra inputs",
}
CHANGED = {
    "LINE-more": {"reply": {"a": 1}},
    "LINE-nan": {"reply": [-0.5, float("nan")]},
    "LINE-text": {"reply": "Yes"},
    "LINE-short": {"reply": [-0.5]},
    "LINE-other": {"model": "other"},
    "LINE-extra": {"more": 1},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_line(path: Path, damage: str) -> None:
    lines = path.read_text().split("\n")
    lines[1] = json.dumps(json.loads(lines[1]) | CHANGED[damage]) if damage in CHANGED else damage
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=rf"answers\.jsonl:2: .*{DAMAGED[damage]}"):
        replay(path)


def test_files_that_cannot_be_used(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: cannot be read: No such file"):
        replay(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match=r"holds replies of formula, but language\.model is other"):
        replay(path, model="other")
    path.write_text("")
    with pytest.raises(UserError, match="no recorded answers"):
        replay(path)
    with pytest.raises(UserError, match=r"language\.record: .*cannot be written"):
        Recorder(Formula(), path / "below_a_file")
    Recorder(Formula(), path).answer_logprobs(ask("a"), ANSWERS)
    with pytest.raises(UserError, match=r"holds replies of formula \(0+\); name another file"):
        Recorder(Said([], ""), path)


def test_record_is_a_setting(path: Path, tmp_path: Path) -> None:
    again = replay(path, record=str(tmp_path / "again.jsonl"))
    again.answer_logprobs(ask("a", "b", "c"), ANSWERS)
    again.complete(ask("a", "a"), 5, 0.5, 10)
    again.complete(ask("b"), 5, 0.0, 10)
    recorded = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()]
    original = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["question"] for line in recorded] == [line["question"] for line in original]
    assert [line["reply"] for line in recorded] == [line["reply"] for line in original]


def test_identity(path: Path) -> None:
    settings = LanguageSettings(backend="recorded", model="formula", path=str(path))
    digest, licence = backends.identity(settings)
    assert (digest, licence) == (hashlib.sha256(path.read_bytes()).hexdigest(), "CC0-1.0")
    Recorder(Formula(), path).answer_logprobs(ask("d"), ANSWERS)
    assert backends.identity(settings)[0] != digest


class Said:
    """A language model that gives what it is told to."""

    name, digest, licence = "said", "1" * 64, "none"

    def __init__(self, logprobs: list[float], text: str) -> None:
        self.logprobs, self.text = logprobs, text

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        return np.tile(np.array(self.logprobs), (len(prompts), 1))

    def complete(
        self,
        prompts: Sequence[Chat],
        max_tokens: int,
        temperature: float,
        seed: int,
        grammar: str | None = None,
    ) -> list[str]:
        return [self.text] * len(prompts)


texts = st.text(st.characters(codec=None, exclude_categories=()))  # line breaks and lone surrogates too
logprobs = st.floats(max_value=0.0, allow_nan=False)


@given(
    words=texts,
    rated=st.lists(st.tuples(texts, logprobs), min_size=1, max_size=4),
    said=texts,
    max_tokens=st.integers(1, 10_000),
    temperature=st.floats(0, 2),
    seed=st.integers(0, 2**63),
)
def test_whatever_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    words: str,
    rated: list[tuple[str, float]],
    said: str,
    max_tokens: int,
    temperature: float,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("recorded") / "answers.jsonl"
    answers = [answer for answer, _ in rated]
    model = Said([value for _, value in rated], said)
    recorder = Recorder(model, path)
    expected = recorder.answer_logprobs(ask(words), answers)
    recorder.complete(ask(words), max_tokens, temperature, seed)
    replayed = RecordedModel(path, "")
    assert replayed.answer_logprobs(ask(words), answers).tobytes() == expected.tobytes()
    assert replayed.complete(ask(words), max_tokens, temperature, seed) == [said]


def test_a_grammar_is_part_of_the_question(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    recorder = Recorder(Formula(), path)
    recorder.complete(ask("a"), 5, 0.0, 0, 'root ::= "x"')
    model = replay(path)
    assert model.complete(ask("a"), 5, 0.0, 0, 'root ::= "x"') == Formula().complete(ask("a"), 5, 0.0, 0)
    with pytest.raises(UserError, match="no reply to this question is recorded"):
        model.complete(ask("a"), 5, 0.0, 0)
    recorder.complete(ask("b"), 5, 0.0, 0)
    assert "grammar" not in path.read_text().splitlines()[1]  # as in files that older versions wrote
