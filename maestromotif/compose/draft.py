"""The operators of a search by a language model, in two forms of programs.

`TableWriter` asks for tables of rules under their grammar, which a small model on a CPU can write; a template
makes programs of them. `ProgramWriter` asks for Python, for larger models. Both feed back the exact problems
or what happened in games, and both write every question and answer into a transcript.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maestromotif.compose import aims, prompts, rules, table_prompts
from maestromotif.compose.candidates import Candidate, Game, Operators
from maestromotif.compose.operators import Edits
from maestromotif.compose.transcript import Transcript, block
from maestromotif.errors import UserError
from maestromotif.language.model import Chat, LanguageModel, Message
from maestromotif.programs import check
from maestromotif.skill import Skill
from maestromotif.tasks.task import Task

TEMPERATURE = 0.7
TABLE_TOKENS = 240
PROGRAM_TOKENS = 4_000
NO_CODE = 3  # answers in a row without a program, after which the model is taken not to write any
STORIES = 2  # games that a model is told of
STORY_LINES = 14  # of each, for a small model
SHOWN = 200  # characters of an answer in an error
FILE = "program.py"  # in the messages about a candidate


class _Asking:
    """A model that is asked, with the count of its answers."""

    def __init__(self, model: LanguageModel, transcript: Transcript) -> None:
        self.calls = 0
        self._model, self._transcript = model, transcript

    def text(self, title: str, chat: Chat, tokens: int, seed: int, grammar: str | None = None) -> str:
        (said,) = self._model.complete([chat], tokens, TEMPERATURE, seed, grammar)
        self.calls += 1
        self._transcript.add(title, f"{self._model.name} wrote (seed {seed}):", block(said))
        return said

    def choose(self, task: Task, options: Sequence[str]) -> int:
        """The option whose number has the greatest probability; the first of equals."""
        listed = "\n\n".join(f"Candidate {number}: {one}" for number, one in enumerate(options, 1))
        question = (
            f"Candidates for a program that carries out this task of a NetHack agent: {task.words}\n\n"
            f"{listed}\n\nWhich candidate is the most promising? Answer with its number only."
        )
        numbers = [str(number) for number in range(1, len(options) + 1)]
        chat: Chat = [{"role": "user", "content": question}]
        chosen = int(np.argmax(self._model.answer_logprobs([chat], numbers)[0]))
        self.calls += 1
        self._transcript.add("Choice", f"{self._model.name} chose candidate {chosen + 1} of:", block(listed))
        return chosen


class TableWriter:
    """`candidates.Operators` whose programs are tables of rules that the model writes under a grammar.

    The program of a table passes the checks by its making, so only the text is checked.
    """

    def __init__(
        self,
        model: LanguageModel,
        task: Task,
        skills: Sequence[Skill],
        transcript: Transcript | None = None,
    ) -> None:
        self._asking = _Asking(model, transcript or Transcript())
        self._task, self._skills = task, skills
        self._names = [one.name for one in skills]
        self._grammar = rules.grammar(self._names, aims.earlier_stages(task.success))

    @property
    def calls(self) -> int:
        return self._asking.calls

    def draft(self, seed: int) -> Candidate:
        return self._written("Draft", table_prompts.draft(self._task, self._skills), seed)

    def debug(self, candidate: Candidate, seed: int) -> Candidate:
        prompt = table_prompts.debug(self._task, self._skills, _text(candidate), candidate.problems)
        return self._written("Debug", prompt, seed)

    def improve(self, candidate: Candidate, games: Sequence[Game], seed: int) -> Candidate:
        stories = [_short(game.story) for game in told(games)]
        prompt = table_prompts.improve(self._task, self._skills, _text(candidate), stories)
        return self._written("Improve", prompt, seed)

    def crossover(self, first: Candidate, second: Candidate, seed: int) -> Candidate:
        prompt = table_prompts.crossover(self._task, self._skills, _text(first), _text(second))
        return self._written("Crossover", prompt, seed)

    def choose(self, options: Sequence[str], seed: int) -> int:
        return self._asking.choose(self._task, options)

    def _written(self, title: str, prompt: str, seed: int) -> Candidate:
        chat: Chat = [{"role": "user", "content": prompt}]
        text = self._asking.text(title, chat, TABLE_TOKENS, seed, self._grammar)
        return self.candidate(text)

    def candidate(self, text: str) -> Candidate:
        """The candidate of a table's text."""
        try:
            table = rules.parse(text, self._names).tidy()
        except UserError as error:
            return Candidate("", text, tuple(str(error).splitlines()))
        return Candidate(rules.program(table, self._task.words), str(table))


class ProgramWriter:
    """`candidates.Operators` whose programs are Python that the model writes.

    seed: of the check's simulated games. Raises UserError if the model never writes a program.
    """

    def __init__(
        self,
        model: LanguageModel,
        task: Task,
        skills: Sequence[Skill],
        transcript: Transcript | None = None,
        seed: int = 0,
    ) -> None:
        self._asking = _Asking(model, transcript or Transcript())
        self._task, self._skills, self._seed = task, skills, seed
        self._name = model.name
        self._good = "achieved the task" if task.success else f"had at least 1 of `{task.measure}`"
        self._without = 0  # answers in a row that held no program

    @property
    def calls(self) -> int:
        return self._asking.calls

    def draft(self, seed: int) -> Candidate:
        return self._written("Draft", [], seed)

    def debug(self, candidate: Candidate, seed: int) -> Candidate:
        told = "\n".join(candidate.problems)
        ask = f"The program is refused:\n\n{told}\n\nWrite the whole file again without these problems."
        return self._written("Debug", [_answered(candidate), {"role": "user", "content": ask}], seed)

    def improve(self, candidate: Candidate, games: Sequence[Game], seed: int) -> Candidate:
        stories = "\n\n".join(game.story for game in told(games))
        achieved = sum(game.success for game in games)
        ends = Counter(end_of(game.story) for game in games)
        ended = "\n".join(f"- {end}{f' ({times}x)' if times > 1 else ''}" for end, times in ends.items())
        ask = (
            f"The program was tried in {len(games)} games with the trained skills; {achieved} {self._good}. "
            f"How they ended:\n\n{ended}\n\nWhat happened in the worst and the best:\n\n{stories}\n\n"
            "Say in a sentence what went wrong, then write the whole file again, so that it does better in "
            "more games."
        )
        return self._written("Improve", [_answered(candidate), {"role": "user", "content": ask}], seed)

    def crossover(self, first: Candidate, second: Candidate, seed: int) -> Candidate:
        ask = (
            f"Another program for the same task:\n\n```python\n{second.source}```\n\n"
            "Write one program that joins what is good in both."
        )
        return self._written("Crossover", [_answered(first), {"role": "user", "content": ask}], seed)

    def choose(self, options: Sequence[str], seed: int) -> int:
        return self._asking.choose(self._task, options)

    def _written(self, title: str, further: Chat, seed: int) -> Candidate:
        prompt = prompts.task_program(self._task, self._skills)
        chat: Chat = [{"role": "user", "content": prompt}, *further]
        said = self._asking.text(title, chat, PROGRAM_TOKENS, seed)
        source = code_of(said)
        self._without = 0 if source is not None else self._without + 1
        if self._without == NO_CODE:
            raise UserError(
                f"language model {self._name}: wrote no program in {NO_CODE} answers in a row; the last one "
                f"begins {said[:SHOWN]!r}; use a larger model, or tables of rules"
            )
        if source is None:
            return Candidate(said, None, ("the answer holds no Python file with a class Program",))
        return self.candidate(source)

    def candidate(self, source: str) -> Candidate:
        """The candidate of a file's text, with the problems that the checks find."""
        try:
            check.program(source, FILE, self._skills)
            check.behaviour(source, FILE, self._skills, self._seed)
        except UserError as error:
            return Candidate(source, None, tuple(str(error).splitlines()))
        return Candidate(source)


def code_of(text: str) -> str | None:
    """The Python file in an answer: its fenced block with the class, or all from the first line of code on.

    None if there is none. A block without its end counts: the check then says where the file breaks off.
    """
    blocks = re.findall(r"^```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:^```|\Z)", text, re.DOTALL | re.MULTILINE)
    with_class = [one for one in blocks if re.search(r"^class Program\b", one, re.MULTILINE)]
    if with_class:
        return f"{with_class[-1].strip()}\n"
    plain = re.search(r"^(?:class Program\b|import |from \w+ import |# provenance:)", text, re.MULTILINE)
    if not blocks and plain and re.search(r"^class Program\b", text, re.MULTILINE):
        return f"{text[plain.start() :].strip()}\n"
    return None


def told(games: Sequence[Game]) -> list[Game]:
    """The games that a model is told of: the worst and the best, by progress and then length."""
    ranked = sorted(games, key=lambda game: (game.success, game.progress, -game.steps))
    return ranked if len(ranked) <= STORIES else [ranked[0], ranked[-1]]


def end_of(story: str) -> str:
    """The line of a story that says how the game ended, and when."""
    return next((line for line in reversed(story.splitlines()) if line.startswith("step ")), "")


def _short(story: str) -> str:
    """The beginning and the end of a story."""
    lines = story.splitlines()
    if len(lines) <= STORY_LINES:
        return story
    half = STORY_LINES // 2
    return "\n".join([*lines[:half], "...", *lines[-half:]])


def _text(candidate: Candidate) -> str:
    return candidate.table if candidate.table is not None else candidate.source


def _answered(candidate: Candidate) -> Message:
    return {"role": "assistant", "content": f"```python\n{candidate.source}```"}


class WithEdits:
    """`candidates.Operators` of two: a model drafts and chooses, and most improvements are edits without it.

    A small model's drafts are close to something right, and the games tell which edits of them help; it
    improves a table itself one time in `BY_MODEL`.
    """

    BY_MODEL = 4

    def __init__(self, writer: Operators, edits: Operators) -> None:
        self._writer, self._edits = writer, edits

    @property
    def calls(self) -> int:
        return self._writer.calls + self._edits.calls

    def draft(self, seed: int) -> Candidate:
        return self._writer.draft(seed)

    def debug(self, candidate: Candidate, seed: int) -> Candidate:
        """By an edit if the table can be read: then it failed in a game, or is a twin of another."""
        by = self._edits if candidate.source else self._writer
        return by.debug(candidate, seed)

    def improve(self, candidate: Candidate, games: Sequence[Game], seed: int) -> Candidate:
        by = self._writer if seed % self.BY_MODEL == 0 else self._edits
        return by.improve(candidate, games, seed)

    def crossover(self, first: Candidate, second: Candidate, seed: int) -> Candidate:
        return self._edits.crossover(first, second, seed)

    def choose(self, options: Sequence[str], seed: int) -> int:
        return self._writer.choose(options, seed)


@dataclass(frozen=True)
class Writing:
    """A way to write programs: what it does in few words, and its operators.

    make: of a model, the task, the skills, the transcript and the seed of the checks. asks: whether it asks
    the model; the model is None if not.
    """

    doc: str
    make: Callable[[Any, Task, Sequence[Skill], Transcript, int], Operators]
    asks: bool = True


def _edits(task: Task, skills: Sequence[Skill]) -> Edits:
    return Edits(skills, task.words, task.success)


# The ways to write programs, by name.
WRITINGS = {
    "tables": Writing(
        "a model drafts tables of rules; most improvements are edits of rules",
        lambda model, task, skills, transcript, seed: WithEdits(
            TableWriter(model, task, skills, transcript), _edits(task, skills)
        ),
    ),
    "model": Writing(
        "a model drafts and improves tables of rules",
        lambda model, task, skills, transcript, seed: TableWriter(model, task, skills, transcript),
    ),
    "python": Writing(
        "a model writes and improves Python; for larger models",
        lambda model, task, skills, transcript, seed: ProgramWriter(model, task, skills, transcript, seed),
    ),
    "edits": Writing(
        "random tables and edits of them, without a model: the control",
        lambda model, task, skills, transcript, seed: _edits(task, skills),
        asks=False,
    ),
}
