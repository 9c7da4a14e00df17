"""An episode with its screens, rewards and decisions: what a page or an asciicast shows of it.

Stored as two files, `<name>.npz` with the arrays and `<name>.json` with the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.observation import MESSAGE_BYTES
from maestromotif.programs.decisions import Value
from maestromotif.programs.sandbox import CallEnd
from maestromotif.reading import INTEGER, read_arrays, read_json

ROWS, COLUMNS = 24, 80  # of NetHack's terminal


@dataclass(frozen=True)
class Call:
    """Steps [start, stop) of one call of a skill, and why it began.

    `reason` is the `CallEnd` of the call before. `values` holds the fields of GameState that the programs
    read at this switch, and `before` those that changed since the call before began
    (`programs.decisions.Decision`). `readers` says what reads each field (`Reads.readers`). `told` is the
    program's own reason; "" if it gave none, or if the files are older than reasons.
    """

    start: int
    stop: int
    skill: int  # index into `Replay.skills`
    reason: int
    values: dict[str, Value]
    before: dict[str, Value]
    readers: dict[str, list[str]]
    told: str = ""


@dataclass(frozen=True)
class Replay:
    """One episode of T steps. Frame t is what the agent saw before step t; frame T is what the last one left.

    An episode without steps has one frame or none.
    """

    chars: np.ndarray  # uint8 [T + 1, 24, 80], code page 437
    colours: np.ndarray  # int8 [T + 1, 24, 80], NetHack's 16 colours
    cursor: np.ndarray  # uint8 [T + 1, 2], row and column
    depth: np.ndarray  # int16 [T + 1]
    hp: np.ndarray  # int16 [T + 1], hit points
    max_hp: np.ndarray  # int16 [T + 1]
    messages: list[str]  # T + 1
    action: np.ndarray  # uint8 [T], index into `actions.NAMES`
    skill: np.ndarray  # int8 [T], index into `skills`
    reward: np.ndarray  # float32 [T], of each step, from the model of the skill that acted
    calls: list[Call]  # in order; together they cover all T steps
    skills: list[str]
    title: str
    label: str  # a word or two for a tab
    end: str  # how the episode ended, in words
    warning: str = ""  # why it may not be the episode that was played

    @property
    def steps(self) -> int:
        """T."""
        return len(self.skill)


_FRAMES = {
    "chars": ((ROWS, COLUMNS), np.uint8),
    "colours": ((ROWS, COLUMNS), np.int8),
    "cursor": ((2,), np.uint8),
    "depth": ((), np.int16),
    "hp": ((), np.int16),
    "max_hp": ((), np.int16),
    "message": ((), f"S{MESSAGE_BYTES}"),
}
_STEPS = {"action": np.uint8, "skill": np.int8, "reward": np.float32}
_WORDS = ("title", "label", "end", "warning")


def arrays(replay: Replay) -> dict[str, np.ndarray]:
    """The arrays of `<name>.npz`, for `Work.write_arrays`."""
    message = np.array([text.encode("latin-1", "replace") for text in replay.messages], f"S{MESSAGE_BYTES}")
    own = {name: getattr(replay, name) for name in (*_FRAMES, *_STEPS) if name != "message"}
    return own | {"message": message}


def about(replay: Replay) -> dict[str, Any]:
    """The content of `<name>.json`."""
    words = {name: getattr(replay, name) for name in _WORDS}
    return {**words, "skills": replay.skills, "calls": [vars(call) for call in replay.calls]}


def load(folder: Path, name: str) -> Replay:
    """Reads `<name>.npz` and `<name>.json`. Raises UserError for a file that is missing or damaged."""
    kinds = {**dict.fromkeys((*_FRAMES, *_STEPS), INTEGER), "message": "S", "reward": "f"}
    found = read_arrays(folder / f"{name}.npz", kinds, remedy="run the stage 'evaluate' again")
    rest = read_json(folder / f"{name}.json")
    try:
        messages = [bytes(text).rstrip(b"\0").decode("latin-1") for text in found.pop("message").tolist()]
        words: dict[str, Any] = {key: str(rest[key]) for key in _WORDS}
        arrays: dict[str, Any] = {key: found[key].astype(_dtype(key)) for key in found}
        replay = Replay(
            **arrays,
            messages=messages,
            calls=[_call(one) for one in rest["calls"]],
            skills=[str(one) for one in rest["skills"]],
            **words,
        )
        check(replay)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        names = ", ".join((*_FRAMES, *_STEPS))
        raise UserError(
            f"{folder / name}.npz or {name}.json: cannot be read: {error!r}; they hold the arrays {names} "
            "and the list 'calls'. Run the stage 'evaluate' again"
        ) from error
    return replay


def check(replay: Replay) -> None:
    """Raises ValueError, saying what does not fit together."""
    steps, frames = replay.steps, len(replay.chars)
    if frames != steps + 1 and (steps or frames):
        raise ValueError(f"{frames} screens for {steps} steps; there must be one more than steps")
    for name, (shape, _) in _FRAMES.items():
        if name == "message":
            continue
        array = getattr(replay, name)
        if array.shape != (frames, *shape):
            raise ValueError(f"{name} has the shape {array.shape}, not {(frames, *shape)}")
    if len(replay.messages) != frames:
        raise ValueError(f"{len(replay.messages)} messages for {frames} screens")
    for name in _STEPS:
        if getattr(replay, name).shape != (steps,):
            raise ValueError(f"{name} must have one value a step, {steps} of them")
    if steps and not 0 <= replay.skill.min() <= replay.skill.max() < len(replay.skills):
        raise ValueError(f"skill must lie in 0..{len(replay.skills) - 1}: there are {len(replay.skills)}")
    if steps and replay.action.max() >= len(NAMES):
        raise ValueError(f"action must lie in 0..{len(NAMES) - 1}")
    if not np.isfinite(replay.reward).all():
        raise ValueError("reward has values that are not finite")
    stops = [0, *(call.stop for call in replay.calls)]
    if [call.start for call in replay.calls] != stops[:-1] or stops[-1] != steps:
        raise ValueError("the calls must follow each other and cover all steps")
    for call in replay.calls:
        if call.start >= call.stop or not (replay.skill[call.start : call.stop] == call.skill).all():
            raise ValueError(f"the call of skill {call.skill} from step {call.start} contradicts 'skill'")


def why(replay: Replay, number: int) -> str:
    """Why call `number` began, as a sentence."""
    told = replay.calls[number].told
    chosen = f" {replay.skills[replay.calls[number].skill]} was chosen: {told}" if told else ""
    if number == 0:
        return f"The episode began.{chosen}"
    before = replay.skills[replay.calls[number - 1].skill]
    ended = {
        CallEnd.SKILL: f"{before} ended itself: its own program says that it is done or out of time.",
        CallEnd.PROGRAM: f"The program over skills interrupted {before}.",
        CallEnd.EPISODE: f"The episode of {before} was over.",
    }.get(CallEnd(replay.calls[number].reason), f"{before} ended; the reason was not recorded.")
    return ended + chosen


def gains_and_losses(rewards: np.ndarray) -> tuple[float, float]:
    """Sums of the rewards above 0 and of those below 0, the second without its sign."""
    positive, negative = np.maximum(rewards, 0), np.maximum(-rewards, 0)
    return float(positive.sum(dtype=np.float64)), float(negative.sum(dtype=np.float64))


def calls_of(skills: Sequence[int], switched: Sequence[bool]) -> list[tuple[int, int, int]]:
    """(start, stop, skill) of each call; `switched` is true where one begins."""
    starts = np.flatnonzero(np.asarray(switched, bool)).tolist()
    return [
        (start, stop, skills[start])
        for start, stop in zip(starts, [*starts[1:], len(skills)], strict=bool(starts))
    ]


def _call(one: dict[str, Any]) -> Call:
    for name in ("values", "before"):
        if not all(isinstance(value, int | bool | str) for value in one[name].values()):
            raise ValueError(f"'{name}' of a call must hold numbers, booleans or texts: {one[name]}")
    if not all(isinstance(word, str) for words in one["readers"].values() for word in words):
        raise ValueError(f"'readers' of a call must hold lists of texts: {one['readers']}")
    CallEnd(one["reason"])
    told = one.get("told", "")
    if not isinstance(told, str):
        raise ValueError(f"'told' of a call must be a text: {told!r}")
    return Call(**{field.name: one[field.name] for field in fields(Call) if field.name != "told"}, told=told)


def _dtype(name: str) -> Any:
    return _STEPS.get(name) or _FRAMES[name][1]
