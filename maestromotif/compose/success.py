"""Success conditions for a task in words: a language model says what the words mean, in the grammar of tasks.

They are fixed before a program is drafted, so that no program chooses what it is scored by. The model writes
a composition of atoms (`tasks.compositions`), such as not_before(descend(3), kill(1)), which has conditions.
Several answers are drawn, those whose conditions can never be met are dropped, and the conditions that were
given most often count.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from maestromotif.compose.success_prompt import grammar, numbers, prompt
from maestromotif.compose.transcript import Transcript, block
from maestromotif.errors import UserError
from maestromotif.language.model import LanguageModel
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.truth import TRUTH
from maestromotif.programs.trial_states import Dice
from maestromotif.tasks import expressions as ex
from maestromotif.tasks.compositions import Composition, read, success_of
from maestromotif.tasks.conditions import Success
from maestromotif.tasks.parse import parse_all
from maestromotif.tasks.sense import fault

SAMPLES = 5  # answers
TEMPERATURE = 0.5
TOKENS = 60


@dataclass(frozen=True)
class Written:
    """Conditions that must be met one after the other. votes: how many of the answers gave them."""

    conditions: tuple[str, ...]
    votes: int
    answers: int


def write(model: LanguageModel, words: str, seed: int = 0, transcript: Transcript | None = None) -> Written:
    """The conditions of a task in words. Raises UserError if no answer can ever be met."""
    said = model.complete([prompt(words)] * SAMPLES, TOKENS, TEMPERATURE, seed, grammar(numbers(words)))
    good: list[tuple[str, ...]] = []
    sensible: list[tuple[str, ...]] = []
    refused: dict[str, None] = {}
    for text in said:
        try:
            composition, conditions = read_answer(text)
        except UserError as error:
            refused[str(error)] = None
            continue
        good.append(conditions)
        sensible += [conditions] if fault(composition) is None else []
    if not good:
        told = "\n".join(refused)
        raise UserError(
            f"compose: {model.name} found no conditions that can be met for {words!r}:\n{told}\n"
            "Give them yourself with --success CONDITION (docs/conditions.md has their language)."
        )
    ((best, votes),) = Counter(sensible or good).most_common(1)
    if transcript is not None:
        transcript.add(
            "Conditions",
            f"{model.name} wrote:",
            block("\n".join(text.strip() for text in said)),
            f"The conditions of {votes} of the {len(said)} answers count:",
            block("\n".join(best)),
        )
    return Written(best, votes, len(said))


def read_answer(text: str) -> tuple[Composition, tuple[str, ...]]:
    """The composition of an answer, and its conditions.

    Raises UserError if it is none, if they can never be met, and if an episode is decided as it begins.
    """
    composition = read(text)
    conditions = success_of(composition)
    parse_all(conditions, text.strip())
    games = Dice(8, seed=0)
    judge = Success(conditions, 8, where=text.strip())
    judge.begin(games.fresh, games.state)
    nothing = np.zeros((8, len(EVENTS)), np.int64)
    nowhere = {name: np.full(8, -1) for name in TRUTH}
    judge.update(ex.Step(games.state, nothing, np.zeros(8, np.int64), truth=nowhere), np.ones(8, bool))
    if judge.achieved.all() or judge.failed.all():
        how = "met" if judge.achieved.all() else "broken"
        raise UserError(
            f"{text.strip()}: {', then '.join(conditions)}: is {how} as soon as an episode begins"
        )
    return composition, conditions
