"""Tasks without end: compositions of atoms by operators, with their words and conditions.

A seed gives a stream of tasks; a larger count makes it longer and leaves its beginning as it is. Tasks are
split by the `shape` of their composition, which has no numbers: no shape is in both splits, for any seeds and
counts. Single atoms are training tasks, so the test tasks are new compositions of known atoms. The shapes of
the published composite tasks are test tasks.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from maestromotif.errors import UserError, elsewhere
from maestromotif.pipeline.refused import in_words
from maestromotif.pipeline.store import writing
from maestromotif.tasks.atoms import ATOMS
from maestromotif.tasks.compositions import (
    OPERATORS,
    Composition,
    Joint,
    Operator,
    Use,
    features_of,
    measure_of,
    read,
    sentence,
    success_of,
)
from maestromotif.tasks.parse import parse_all
from maestromotif.tasks.sense import fault, involved
from maestromotif.tasks.task import Task

Split = Literal["train", "test"]
PROGRAM = "policies/training.py"
INDEX = "index.jsonl"
TEST_SHARE = 0.25  # of the shapes
PARAPHRASES = 3  # of each task, the first of which is its words
_TRIES = 400  # at a new task, before the grammar is taken to have no more of them

# The nine tasks of the paper (arXiv 2412.08542) as compositions; the files of their names are in `tasks/`.
PUBLISHED = {
    "gnomish_mines": "mines",
    "delphi": "oracle",
    "minetown": "minetown",
    "transactions": "most(sell(1))",
    "price": "most(identify_price(1))",
    "buc": "most(test_on_altar(1))",
    "golden_exit": "then(all_of(kill(25), gold(20), descend(3)), leave)",
    "level_up_and_sell": "then(experience(4), sell(1), survive(300))",
    "discovery_hunger": "then(eat_hungry_in_mines, oracle)",
}
# How often each operator is at the top of a task; "goal" is a single atom.
_TOPS: dict[str, int] = {
    "goal": 2, "then": 6, "all_of": 2, "any_of": 1, "not_before": 2, "avoiding": 4, "until": 2, "repeat": 2,
}  # fmt: skip
# Parts of operators are mostly atoms.
_INSIDE: dict[str, int] = {**_TOPS, "goal": 12, "then": 3, "ban": 1, "stay": 1}
_BACK = 0.4  # of the places in `then`: the hero climbs back up from there
_STAY = 0.3  # of the other visits to the Mines in `then`: the hero stays there for a while
_LONG = 600  # turns of an atom that is drawn half as often as one that takes none
# Steps after which an episode is truncated, by difficulty.
_STEPS = {1: 1_000, 2: 2_000, 3: 5_000, 4: 10_000}


@dataclass(frozen=True)
class Generated:
    """A generated task. features: as of `features_of`. paraphrases: its words, and more ways to say it."""

    name: str
    composition: str
    shape: str
    split: Split
    success: tuple[str, ...]
    measure: str | None
    features: dict[str, Any]
    paraphrases: tuple[str, ...]

    @property
    def words(self) -> str:
        return self.paraphrases[0]

    @property
    def steps(self) -> int:
        return _STEPS[self.features["difficulty"]]

    def task(self, program: str = PROGRAM) -> Task:
        """As a task that has no file."""
        return Task(self.name, self.words, program, self.success, self.measure, steps=self.steps)

    def text(self, program: str = PROGRAM) -> str:
        """The task's file, as `tasks.task.load` reads it."""
        head: dict[str, Any] = {"name": self.name}
        if self.success:
            head["success"] = list(self.success)
        if self.measure is not None:
            head["measure"] = self.measure
        head |= {"steps": self.steps, "program": program, "about": f"generated: {self.composition}"}
        written = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1_000)
        return f"---\n{written}---\n{self.words}\n"

    def row(self) -> dict[str, Any]:
        """A row of the index."""
        return {
            "name": self.name,
            "words": self.words,
            "paraphrases": list(self.paraphrases),
            "success": list(self.success),
            "measure": self.measure,
            "features": self.features,
            "composition": self.composition,
            "shape": self.shape,
            "split": self.split,
        }


def generate(count: int, seed: int, split: Split = "train") -> list[Generated]:
    """`count` tasks of a split, no two with the same conditions.

    Raises UserError if there are not as many.
    """
    if count < 1:
        raise UserError(f"tasks: the count must be at least 1, got {count}")
    found: dict[tuple[str, ...], Generated] = {}
    stream, seen = _sensible(random.Random(f"{seed} {split}")), set()
    for _ in range(_TRIES * count):
        composition = next(stream)
        if composition in seen or split_of(composition.shape()) != split:
            continue
        seen.add(composition)
        task = generated(composition, seed)
        found.setdefault(task.success, task)
        if len(found) == count:
            return list(found.values())
    raise UserError(f"tasks: found only {len(found)} different tasks of the split '{split}', wanted {count}")


def generated(composition: Composition, seed: int = 0) -> Generated:
    """The task of a composition; the seed chooses its words. Raises UserError if it makes no sense."""
    if problem := fault(composition):
        raise UserError(f"{str(composition)!r}: {problem}")
    success, text = success_of(composition), str(composition)
    parse_all(success, text)
    shape = composition.shape()
    atoms = "_".join(dict.fromkeys(one.name for one in composition.uses()))
    return Generated(
        name=f"{atoms}_{hashlib.sha256(text.encode()).hexdigest()[:8]}",
        composition=text,
        shape=shape,
        split=split_of(shape),
        success=success,
        measure=measure_of(composition),
        features=features_of(composition),
        paraphrases=_paraphrases(composition, random.Random(f"{seed} {text}")),
    )


def split_of(shape: str) -> Split:
    """Of all tasks with this shape."""
    if shape in ATOMS:
        return "train"
    if shape in _held_out():
        return "test"
    number = int.from_bytes(hashlib.sha256(shape.encode()).digest()[:8], "big")
    return "test" if number < TEST_SHARE * 2**64 else "train"


@cache
def _held_out() -> frozenset[str]:
    return frozenset({read(text).shape() for text in PUBLISHED.values()} - ATOMS.keys())


def _paraphrases(composition: Composition, rng: random.Random) -> tuple[str, ...]:
    said: dict[str, None] = {}
    for _ in range(100):
        said.setdefault(sentence(composition.words(rng)))
        if len(said) == PARAPHRASES:
            break
    return tuple(said)


# ------------------------------------------------------------------------------------------------ sampling


def _sensible(rng: random.Random) -> Iterator[Composition]:
    """Compositions that make sense, drawn again and again."""
    while True:
        sort = _drawn(rng, _TOPS, tuple(_TOPS))
        composition = _sampled(rng, sort)
        if fault(composition) is None:
            yield composition


def _sampled(rng: random.Random, sort: str) -> Composition:
    """A composition of a sort: an atom of a role, or an operator; it need not make sense."""
    if sort in ("goal", "ban", "stay"):
        uses = _uses(sort)
        return rng.choices(list(uses), list(uses.values()))[0]
    operator: Operator = next(one for one in OPERATORS if one == sort)
    form = OPERATORS[operator]
    least, most = form.parts
    parts: list[Composition] = []
    for number in range(rng.randint(least, most)):
        place = parts[-1] if parts else None
        if operator == "then" and isinstance(place, Use) and place.above > 1 and rng.random() < _BACK:
            parts.append(Use("climb", rng.randrange(1, min(place.above, 4))))
        elif (
            operator == "then" and isinstance(place, Use) and _leads_to_mines(place) and rng.random() < _STAY
        ):
            parts.append(Joint("until", (Use("in_the_mines"), _sampled(rng, "goal"))))
        else:
            takes = form.takes[min(number, len(form.takes) - 1)]
            parts.append(_sampled(rng, _drawn(rng, _INSIDE, takes)))
    return Joint(operator, tuple(parts), rng.randint(2, 3) if operator == "repeat" else 1)


def _leads_to_mines(place: Use) -> bool:
    return "mines" in involved(place.name)


@cache
def _uses(role: str) -> dict[Use, float]:
    """All atoms of a role with all numbers, and how often each is drawn.

    Short goals are drawn more often; limits by the count of their numbers, of which most do not fit a goal.
    """
    weights: dict[Use, float] = {}
    for name, atom in ATOMS.items():
        if atom.role == role:
            uses = [Use(name, number) for number in atom.numbers or (None,)]
            share = 1 / len(uses) if role == "goal" else 1
            weights |= {one: share / (1 + one.turns() / _LONG) for one in uses}
    return weights


def _drawn(rng: random.Random, weights: dict[str, int], of: Sequence[str]) -> str:
    return rng.choices(of, [weights[one] for one in of])[0]


# ------------------------------------------------------------------------------------------------- files


def write(tasks: Sequence[Generated], folder: Path, program: str = PROGRAM) -> list[Path]:
    """Writes a file for each task and the index, a row of JSON for each; returns their paths.

    A file that exists and says the same is left as it is. Raises UserError, before anything is written, if
    one says something else.
    """
    if not Path(program).is_file():
        raise UserError(f"tasks: the program {program} does not exist{elsewhere(program)}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is not a folder; name one for the files of the tasks")
    files = {folder / f"{one.name}.md": one.text(program) for one in tasks}
    files[folder / INDEX] = "".join(json.dumps(one.row()) + "\n" for one in tasks)
    try:
        differ = [
            path for path, text in files.items() if path.exists() and path.read_bytes() != text.encode()
        ]
        if differ:
            raise UserError(
                f"{differ[0]}: exists and says something else"
                + (f" ({len(differ)} files do)" if len(differ) > 1 else "")
                + "; nothing was written; choose an empty folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            if not path.exists():
                with writing(path) as file:
                    file.write(text.encode())
    except OSError as error:
        raise in_words(error, folder) or UserError(
            f"{error.filename or folder}: cannot be written: {error.strerror}"
        ) from error
    return list(files)
