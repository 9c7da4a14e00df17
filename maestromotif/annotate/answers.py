"""Caches a language model's answers by question: no model judges the same question twice.

The cache is a folder per model, which runs, skills and machines may share. Each process appends to its own
file there, one line per chunk of questions, so nothing is locked and a process that dies loses only its own
chunk. A line that a kill cut short is a chunk that is asked again as a whole. So a killed and resumed
annotation equals an uninterrupted one. That holds even if a model's last bits depend on which questions are
asked together, as they do when a shared prefix is computed once.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from maestromotif.annotate.questions import Question, prompt_hash
from maestromotif.config.labels import AnnotateSettings, LanguageSettings
from maestromotif.config.paths import expanded
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.language import backends
from maestromotif.language.model import LanguageModel
from maestromotif.language.weights import cache_folder
from maestromotif.pipeline import locks
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.refused import in_words
from maestromotif.pipeline.store import append
from maestromotif.skill import check_told, skill_files

log = logging.getLogger("maestromotif")

READER = 2  # of a server's or a model's tokens (`language.model.match`); it is in every line of the cache

Answer = list[float] | str  # natural log-probabilities of the choices, or what the model wrote


def reads(config: Config) -> dict[str, str]:
    """Maps the skill files, the language model and the prompts to SHA-256.

    Raises UserError, also if the gate counts and a skill names an event that no caption can tell.
    """
    if config.gate.enforce:
        check_told(config)
    return skill_files(config) | backends.reads(config.language) | {"prompts": prompt_hash()}


def foresee(config: Config, asks: bool = True) -> None:
    """Raises UserError for what `Judge` and its model would refuse on this machine.

    asks: whether questions are asked at all. If so, one request looks for the model's server. Without it the
    run goes on if answers are remembered: they may be all that it needs.
    """
    language = config.language
    backends.foresee(language)
    folder = answers_folder(language, config.annotate)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _not_writable(folder, error) from error
    if not asks:
        return
    try:
        backends.reach(language)
    except UserError as error:
        remembered = folder / _model_folder(language, backends.identity(language)[0])
        if not any(path.stat().st_size for path in remembered.glob("*.jsonl")):
            raise
        log.warning("%s; the run goes on as long as the answers in %s are enough", error, remembered)


class Judge:
    """A language model with a cache of its answers. The model is loaded when an answer is missing.

    Raises UserError if the cache's folder cannot be used.
    """

    def __init__(self, language: LanguageSettings, settings: AnnotateSettings) -> None:
        self._language, self._settings = language, settings
        self.digest, self.licence = backends.identity(language)
        self.folder = answers_folder(language, settings) / _model_folder(language, self.digest)
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        self._own = self.folder / name  # the answers that this object adds
        self._known: dict[str, Answer] = {}
        self._asked = self._seconds = 0.0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(self.folder.glob("*.jsonl")):
                self._read(path)
        except OSError as error:
            raise _not_writable(self.folder, error) from error

    def known(self, questions: Sequence[Question]) -> list[bool]:
        """Which of the questions are in the cache."""
        return [question.key in self._known for question in questions]

    def seconds_a_question(self) -> float | None:
        """Mean seconds per question over all answers of this model in the folder; None without any."""
        return self._seconds / self._asked if self._asked else None

    def ask(
        self, questions: Sequence[Question], progress: Progress | None = None, share: tuple[int, int] = (1, 1)
    ) -> None:
        """Asks the questions that are not in the cache; with a share (i, n), only every n-th chunk from i.

        Raises UserError as the model does; earlier answers are kept.
        """
        size = self._settings.chunk
        for number, start in enumerate(range(0, len(questions), size)):
            if number % share[1] != share[0] - 1:
                continue
            chunk = questions[start : start + size]
            missing = {question.key: question for question in chunk if question.key not in self._known}
            if missing:
                self._think(list(missing.values()))
                if progress is not None:
                    progress.advance(len(missing))

    def logprobs(self, questions: Sequence[Question]) -> np.ndarray:
        """float64 [n, choices] for answered questions; -inf where the model did not give that choice."""
        return np.array([self._known[question.key] for question in questions], np.float64)

    def written(self, questions: Sequence[Question]) -> list[str]:
        """What the model wrote for questions without choices."""
        return [str(self._known[question.key]) for question in questions]

    @cached_property
    def _model(self) -> LanguageModel:
        return backends.open_model(self._language)

    def _think(self, questions: list[Question]) -> None:
        model, started = self._model, time.monotonic()
        chunk: dict[str, Answer] = {}
        for kind in dict.fromkeys((question.choices, question.most_tokens) for question in questions):
            choices, most_tokens = kind
            asked = [question for question in questions if (question.choices, question.most_tokens) == kind]
            chats = [question.chat for question in asked]
            answers: list[Answer]
            if choices:
                answers = model.answer_logprobs(chats, choices).tolist()
            else:
                answers = list(model.complete(chats, most_tokens, 0.0, 0))
            chunk |= {question.key: answer for question, answer in zip(asked, answers, strict=True)}
        seconds = time.monotonic() - started
        line = {
            "reader": READER,
            "seconds": round(seconds, 3),
            "answers": {key: _plain(answer) for key, answer in chunk.items()},
        }
        try:
            append(self._own, json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n")
        except OSError as error:
            raise in_words(error, self._own) or UserError(
                f"{self._own}: cannot be written: {error.strerror}"
            ) from error
        self._take(chunk, seconds)

    def _take(self, chunk: dict[str, Answer], seconds: float) -> None:
        self._known |= chunk
        self._asked += len(chunk)
        self._seconds += seconds

    def _read(self, path: Path) -> None:
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            if not line:
                continue
            try:
                chunk = json.loads(line)
                answers = {str(key): _answer(answer) for key, answer in chunk["answers"].items()}
                if self._language.backend != "recorded" and chunk.get("reader") != READER:
                    answers = {key: answer for key, answer in answers.items() if _complete(answer)}
                self._take(answers, float(chunk["seconds"]))
            except (ValueError, KeyError, TypeError, AttributeError):
                # Cut short by a kill, or damaged: ask again, never guess.
                log.info("%s:%d: incomplete line; its questions will be asked again", path, number)


def _not_writable(folder: Path, error: OSError) -> UserError:
    return UserError(f"{folder}: {error.strerror}; annotate.answers must name a writable folder")


def answers_folder(language: LanguageSettings, settings: AnnotateSettings) -> Path:
    """The folder that caches the answers of all models."""
    if settings.answers is not None:
        return expanded(settings.answers, "annotate.answers")
    return cache_folder(language).parent / "answers"


def _model_folder(language: LanguageSettings, digest: str) -> str:
    """A server's answers depend on `top_logprobs`: tokens beyond it have no probability."""
    return digest[:16] + (f"-top-{language.top_logprobs}" if language.backend == "server" else "")


@contextlib.contextmanager
def claimed(judge: Judge, questions: Sequence[Question], share: tuple[int, int]) -> Iterator[None]:
    """Holds a lock on this share of the questions, so that no other process works on it.

    Raises UserError if another process holds it, also on another machine if the file system shares locks.
    """
    i, n = share
    what = hashlib.sha256("".join(question.key for question in questions).encode()).hexdigest()[:16]
    path = judge.folder / f"{what}-{i}-of-{n}.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            if reason := locks.lock(lock):
                log.warning(
                    "%s: cannot be locked, because the file system says: %s; see to it yourself that every "
                    "machine answers a shard of its own",
                    *(path, reason.strerror),
                )
        except locks.HeldError as error:
            owner = os.read(lock, 200).decode(errors="replace") or "another process"
            raise UserError(
                f"shard {i}/{n} of these questions is being answered: {owner} ({path}); give every "
                f"machine its own shard, 1/{n} to {n}/{n}"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(lock)


def _plain(answer: Answer) -> list[float | None] | str:
    """JSON has no infinity: null stands for -inf, for a choice that the model did not give."""
    if isinstance(answer, str):
        return answer
    return [logprob if math.isfinite(logprob) else None for logprob in answer]


def _answer(plain: list[float | None] | str) -> Answer:
    if isinstance(plain, str):
        return plain
    return [-math.inf if logprob is None else float(logprob) for logprob in plain]


def _complete(answer: Answer) -> bool:
    """Whether an earlier reader has found all choices; what it has not found is asked again."""
    return isinstance(answer, str) or all(map(math.isfinite, answer))
