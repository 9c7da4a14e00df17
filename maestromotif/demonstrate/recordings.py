"""Demonstrations in a file: seeds and actions of games, and what the explorer would have played at each step.

A recording holds no observations: who learns from it plays it again. `demonstrations.npz` holds E recordings
of S steps and C skill calls in all. Its arrays are flat, one recording after the other, and `steps` says
where each ends:

about     uint8 [...]    JSON: `format`, `nle` and what a config must agree with (`_expected`)
seeds     int64 [E, 3]   core, disp, lgen
arena     S [E]          where the episode began; empty for the dungeon
steps     int32 [E]
action    uint8 [S]      what was played, as an index into `actions.NAMES`
label     int8 [S]       what the explorer would play there; -1 if it has no label
switched  uint8 [S / 8]  bits (numpy.packbits): a skill's call begins with this step
skill     int8 [C]       of each call, as an index into the config's skills
check     uint32 [E]     `checksum` of what was seen last
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.actions import NAMES, SETS
from maestromotif.nethack.engine.loader import NLE_VERSION
from maestromotif.nethack.rcfile import options_file
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.pipeline.store import Work
from maestromotif.reading import INTEGER, decode, parse_json, read_arrays

FILE = "demonstrations.npz"
FORMAT = 1
NO_LABEL = -1

_BY_RECORDING = ("seeds", "arena", "steps", "check")
_ALL = {
    **dict.fromkeys(("about", *_BY_RECORDING, "action", "label", "switched", "skill"), INTEGER),
    "arena": "S",
}
_AGAIN = "run the stage 'demonstrate' again"
# What the file and the config must agree on -> how to make them agree.
_REMEDIES = {
    "format": _AGAIN,
    "nle": f"install that version, or {_AGAIN}",
    "action_set": f"set train.network.actions to that set, or {_AGAIN}",
    "actions": _AGAIN,
    "skills": f"list these skills in this order, or {_AGAIN}",
    "character": f"set nethack.character to it, or {_AGAIN}",
    "options": f"set nethack.options to the file that was used, or {_AGAIN}",
    "pages": f"set nethack.pages to it, or {_AGAIN}",
}


@dataclass(eq=False)
class Recording:
    """One episode from its start, T steps of it. Playing `actions` again gives the same observations.

    `skills` is the skill that acted at each step; `switched` is true where a new call of it began. `labels`
    is what the explorer would have played, NO_LABEL where it has no opinion. `check` is the `checksum` of
    what was seen after the last action: of the last observation if the episode ended with it.
    """

    seeds: EpisodeSeeds
    arena: str | None  # where the episode began; None for the dungeon
    actions: np.ndarray  # int32 [T]
    labels: np.ndarray  # int32 [T]
    skills: np.ndarray  # int32 [T]
    switched: np.ndarray  # bool [T]
    check: int


def write(work: Work, recordings: Sequence[Recording], config: Config, file: str = FILE) -> None:
    """Write the file, a path in the work's folder. Equal recordings give equal bytes.

    Raises ValueError if the skill changes on a step that is not marked as switched.
    """
    parts: dict[str, list[np.ndarray]] = {"actions": [], "labels": [], "skills": [], "switched": []}
    for row in recordings:
        for name, own in parts.items():
            own.append(getattr(row, name))
        if (np.diff(row.skills, prepend=-1) != 0)[~row.switched].any():
            raise ValueError("the skill changes on a step where 'switched' is false")
    whole = {name: np.concatenate([np.zeros(0, np.int32), *own]) for name, own in parts.items()}
    switched = whole["switched"].astype(bool)
    arenas = [(row.arena or "").encode() for row in recordings]
    work.write_arrays(
        file,
        about=np.frombuffer(json.dumps(_expected(config), sort_keys=True).encode(), np.uint8),
        seeds=np.array([row.seeds for row in recordings], np.int64).reshape(-1, 3),
        arena=np.array(arenas, "S" if arenas else "S1"),
        steps=np.array([len(row.actions) for row in recordings], np.int32),
        check=np.array([row.check for row in recordings], np.uint32),
        action=whole["actions"].astype(np.uint8),
        label=whole["labels"].astype(np.int8),
        switched=np.packbits(switched),
        skill=whole["skills"][switched].astype(np.int8),
    )


def read(path: Path, config: Config) -> list[Recording]:
    """The recordings of a file.

    Raises UserError, naming the file, what was found and what would be right, if the file is missing or
    damaged, or has another format, or was made with another NLE, other actions, other skills or another
    hero, options or form of messages than the config's.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; it holds demonstrations. Run the stage 'demonstrate' first")
    raw, where = read_arrays(path, {"about": INTEGER}, remedy=_AGAIN)["about"].tobytes(), f"{path}: about"
    about = parse_json(decode(raw, where), where)
    if not isinstance(about, dict):
        raise UserError(f"{path}: damaged: 'about' is not a JSON object; {_AGAIN}")
    _compare(path, about, _expected(config))
    found = read_arrays(path, _ALL, remedy=_AGAIN)
    try:
        _check(found, len(config.skills))
        return _recordings(found)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise UserError(f"{path}: damaged: {error}; its arrays are {', '.join(_ALL)}; {_AGAIN}") from error


def _expected(config: Config) -> dict[str, Any]:
    """What a file that fits the config says about itself."""
    chosen = config.train.network.actions
    return {
        "format": FORMAT,
        "nle": NLE_VERSION,
        "action_set": chosen,
        "actions": list(NAMES[: SETS[chosen]]),
        "skills": list(config.skills),
        "character": config.nethack.character,
        "options": next(iter(options_file(config).values()), None),  # SHA-256; None: the package's
        "pages": config.nethack.pages,
    }


def _compare(path: Path, about: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, right in expected.items():
        found = about.get(name)
        if found == right:
            continue
        what = name.replace("_", " ")
        if isinstance(found, list) and isinstance(right, list):
            found, right = ", ".join(map(str, found)), ", ".join(right)
        raise UserError(f"{path}: its {what}: {found}; needed: {right}; {_REMEDIES[name]}")


def _check(found: Mapping[str, np.ndarray], skills: int) -> None:
    """Raises ValueError, saying what does not fit."""
    counts = {name: len(found[name]) for name in _BY_RECORDING}
    if len(set(counts.values())) > 1:
        raise ValueError(f"the arrays differ in their number of recordings: {counts}")
    if found["seeds"].min(initial=0) < 0:
        raise ValueError(f"'seeds' has {found['seeds'].min()}; seeds are whole numbers from 0")
    steps = int(found["steps"].sum())
    for name in ("action", "label"):
        if found["steps"].min(initial=0) < 0 or steps != len(found[name]):
            raise ValueError(f"'steps' adds up to {steps}, but '{name}' has {len(found[name])}")
        low = NO_LABEL if name == "label" else 0
        wrong = found[name][(found[name] < low) | (found[name] >= len(NAMES))]
        if len(wrong):
            raise ValueError(f"'{name}' has {wrong[0]}; it should be from {low} to {len(NAMES) - 1}")
    if len(found["switched"]) != -(-steps // 8):
        raise ValueError(f"'switched' has {len(found['switched'])} bytes for {steps} steps")
    switched = np.unpackbits(found["switched"], count=steps)
    starts = (np.cumsum(found["steps"]) - found["steps"])[found["steps"] > 0]
    if not switched[starts].all():
        raise ValueError("'switched' is false on the first step of a recording")
    if switched.sum() != len(found["skill"]):
        raise ValueError(f"{switched.sum()} calls, but {len(found['skill'])} in 'skill'")
    if len(found["skill"]) and not 0 <= found["skill"].min() <= found["skill"].max() < skills:
        raise ValueError(f"'skill' has numbers outside of 0 to {skills - 1}")


def _recordings(found: Mapping[str, np.ndarray]) -> list[Recording]:
    stops = np.cumsum(found["steps"])
    switched = np.unpackbits(found["switched"], count=len(found["action"])).astype(bool)
    skill = (
        found["skill"].astype(np.int32)[np.cumsum(switched) - 1] if len(switched) else np.zeros(0, np.int32)
    )
    recordings = []
    for row, (steps, stop) in enumerate(zip(found["steps"].tolist(), stops.tolist(), strict=True)):
        part = slice(stop - steps, stop)
        recordings.append(
            Recording(
                seeds=EpisodeSeeds(*found["seeds"][row].tolist()),
                arena=bytes(found["arena"][row]).decode() or None,
                actions=found["action"][part].astype(np.int32),
                labels=found["label"][part].astype(np.int32),
                skills=skill[part],
                switched=switched[part],
                check=int(found["check"][row]),
            )
        )
    return recordings
