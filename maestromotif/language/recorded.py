"""Records a language model's answers in a file and replays them without the model.

The file has one line of JSON per question:

    {"model": "...", "digest": "...", "licence": "...",
     "question": {"prompt": [{"role": "user", "content": "..."}], "answers": ["Yes", "No"]},
     "reply": [-0.1, null]}

`reply` is a list of log-probabilities (null: -inf). A question for text has `max_tokens`, `temperature` and
`seed` (null at temperature 0, where it does not matter) and perhaps `grammar` in place of `answers`, and its
reply is the text.
Numbers are read back to the same bits. Files of one model can be concatenated; if a question occurs twice,
the later reply counts.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, ValidationError

from maestromotif.config.labels import LanguageSettings
from maestromotif.config.paths import expanded
from maestromotif.errors import Finding, UserError
from maestromotif.language.model import Chat, LanguageModel
from maestromotif.pipeline.refused import in_words
from maestromotif.pipeline.store import append

log = logging.getLogger("maestromotif")

SHOWN = 200  # characters of a question in an error


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Rating(_Strict):
    """A question for the log-probability of each answer."""

    prompt: list[dict[str, str]]
    answers: list[str]


class Completion(_Strict):
    """A question for text. `seed` is this prompt's own; None at temperature 0."""

    prompt: list[dict[str, str]]
    max_tokens: int
    temperature: float
    seed: int | None
    grammar: str | None = None


class Line(_Strict):
    model: str
    digest: str
    licence: str
    question: Rating | Completion
    reply: list[float | None] | str


def ratings(prompts: Sequence[Chat], answers: Sequence[str]) -> list[Rating]:
    """The questions of one call of `answer_logprobs`."""
    return [Rating(prompt=_plain(prompt), answers=list(answers)) for prompt in prompts]


def completions(
    prompts: Sequence[Chat], max_tokens: int, temperature: float, seed: int, grammar: str | None = None
) -> list[Completion]:
    """The questions of one call of `complete`; each has its own seed."""
    return [
        Completion(
            prompt=_plain(prompt),
            max_tokens=max_tokens,
            temperature=float(temperature),
            seed=seed + number if temperature else None,
            grammar=grammar,
        )
        for number, prompt in enumerate(prompts)
    ]


def _plain(prompt: Chat) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


class Recorder:
    """Wraps a language model and records each call's questions and replies when the call has returned."""

    def __init__(self, model: LanguageModel, path: Path) -> None:
        """Raises UserError if the file cannot be written or holds replies of another model."""
        self.name = model.name
        self.digest = model.digest
        self.licence = model.licence
        self._model = model
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_unfinished_line(path)
        except OSError as error:
            raise UserError(f"language.record: {path}: cannot be written: {error.strerror}") from error
        first, _ = _first_and_digest(path)
        if first is not None and first.digest != model.digest:
            raise UserError(
                f"language.record: {path}: holds replies of {first.model} ({first.digest}); name another "
                f"file for those of {model.name} ({model.digest})"
            )

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        found = self._model.answer_logprobs(prompts, answers)
        replies = [[value if math.isfinite(value) else None for value in row] for row in found.tolist()]
        self._write(ratings(prompts, answers), replies)
        return found

    def complete(
        self,
        prompts: Sequence[Chat],
        max_tokens: int,
        temperature: float,
        seed: int,
        grammar: str | None = None,
    ) -> list[str]:
        said = self._model.complete(prompts, max_tokens, temperature, seed, grammar)
        self._write(completions(prompts, max_tokens, temperature, seed, grammar), said)
        return said

    def _write(self, questions: Sequence[Rating | Completion], replies: Sequence[Any]) -> None:
        lines = [
            Line(model=self.name, digest=self.digest, licence=self.licence, question=question, reply=reply)
            for question, reply in zip(questions, replies, strict=True)
        ]
        text = "".join(json.dumps(_written(line), allow_nan=False) + "\n" for line in lines)
        try:
            append(self._path, text.encode())
        except OSError as error:
            raise in_words(error, self._path) or UserError(
                f"language.record: {self._path}: cannot be written: {error.strerror}"
            ) from error


class RecordedModel:
    """Replays the replies in a file. The constructor reads the whole file."""

    def __init__(self, path: Path, digest: str) -> None:
        """`digest` is the file's SHA-256. Raises UserError with the line number if a line is damaged."""
        self.digest = digest
        self._path = path
        self._replies: dict[str, list[float | None] | str] = {}
        first: Line | None = None
        for number, text in enumerate(_lines(path), start=1):
            line = _parse(text, f"{path}:{number}")
            first = first or line
            if (line.model, line.digest) != (first.model, first.digest):
                raise UserError(
                    f"{path}:{number}: a reply of {line.model} ({line.digest}), but the file began with "
                    f"replies of {first.model} ({first.digest}); a file should hold replies of one model"
                )
            self._replies[_key(line.question)] = line.reply
        if first is None:
            raise UserError(f"{path}: no recorded answers; it should be a file that language.record wrote")
        self.name = first.model
        self.licence = first.licence

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        found = np.full((len(prompts), len(answers)), -math.inf)
        for row, question in enumerate(ratings(prompts, answers)):
            for column, value in enumerate(self._reply(question)):
                if value is not None:
                    found[row, column] = value
        return found

    def complete(
        self,
        prompts: Sequence[Chat],
        max_tokens: int,
        temperature: float,
        seed: int,
        grammar: str | None = None,
    ) -> list[str]:
        questions = completions(prompts, max_tokens, temperature, seed, grammar)
        return [str(self._reply(one)) for one in questions]

    def _reply(self, question: Rating | Completion) -> Any:
        key = _key(question)
        if key not in self._replies:
            raise UserError(
                f"{self._path}: no reply to this question is recorded: {_shown(question)}\n"
                "To record it, set language.backend to another backend and language.record to this file."
            )
        return self._replies[key]


def load(settings: LanguageSettings) -> RecordedModel:
    """Loads the configured file. Raises UserError if it is damaged or holds replies of another model."""
    digest, _ = identity(settings)
    path = _path(settings)
    model = RecordedModel(path, digest)
    if model.name != settings.model:
        raise UserError(f"{path}: holds replies of {model.name}, but language.model is {settings.model}")
    return model


def identity(settings: LanguageSettings) -> tuple[str, str]:
    """(SHA-256 of the file, licence of the recorded model). Raises UserError."""
    first, digest = _first_and_digest(_path(settings))
    return digest, settings.licence or (first.licence if first else "")


def foresee(settings: LanguageSettings) -> None:
    """Raises UserError as `load` does."""
    load(settings)


def check(settings: LanguageSettings) -> Iterator[Finding]:
    """Whether the file can be read and holds replies of the configured model."""
    try:
        load(settings)
    except UserError as error:
        yield Finding("missing", str(error))
    else:
        yield Finding("ok", f"{settings.path}: replies of {settings.model}")


def _first_and_digest(path: Path) -> tuple[Line | None, str]:
    """The file's first line (None if the file is empty) and its SHA-256."""
    try:
        with path.open("rb") as file:
            first = file.readline().decode(errors="replace")
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error
    return (_parse(first, f"{path}:1") if first else None), digest


def _path(settings: LanguageSettings) -> Path:
    assert settings.path is not None  # the schema checks this
    return expanded(settings.path, "language.path")


def _lines(path: Path) -> list[str]:
    """The file's lines; the last one is incomplete if the file does not end with a newline."""
    try:
        lines = path.read_bytes().decode(errors="replace").split("\n")
    except OSError as error:
        raise _unreadable(path, error) from error
    return lines if lines[-1] else lines[:-1]


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"language.path: {path}: cannot be read: {error.strerror}; it should be a file that "
        "language.record wrote"
    )


def _parse(text: str, where: str) -> Line:
    try:
        line = Line.model_validate(json.loads(text))
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "line"
        raise UserError(f"{where}: damaged: {field}: {problem['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: damaged: not valid JSON: {error}; remove the line") from error
    if isinstance(line.question, Completion) != isinstance(line.reply, str):
        raise UserError(
            f"{where}: damaged: the reply should be a list for 'answers' and text for 'max_tokens'"
        )
    if isinstance(line.question, Rating) and len(line.reply) != len(line.question.answers):
        raise UserError(
            f"{where}: damaged: {len(line.reply)} log-probabilities for {len(line.question.answers)} answers"
        )
    return line


def _written(one: Line | Rating | Completion) -> dict[str, Any]:
    """As plain JSON; without a grammar where there is none, as in files of versions that knew none."""
    return one.model_dump(exclude_defaults=True)


def _key(question: Rating | Completion) -> str:
    content = json.dumps(_written(question), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _shown(question: Rating | Completion) -> str:
    said = json.dumps(question.model_dump(exclude={"prompt", "grammar"}))
    prompt = " | ".join(f"{message['role']}: {message['content']}" for message in question.prompt)
    if len(prompt) > SHOWN:  # prompts differ at the end
        prompt = "... " + prompt[-SHOWN:]
    return f"{said} to {prompt!r}"


def _drop_unfinished_line(path: Path) -> None:
    """Removes an incomplete last line, which a killed process left, so that the next reply starts a line."""
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        kept = 0
        for line in file:
            if line.endswith(b"\n"):
                kept += len(line)
        if kept < size:
            log.warning("%s: the last line is incomplete; removing it", path)
            file.truncate(kept)
