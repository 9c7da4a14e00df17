"""Episodes kept in few bytes: all that it takes to play them again, bit for bit.

`episodes.npz` holds E episodes of S steps and C skill calls in all. Its arrays are flat, one episode after
the other, and `steps` says where each ends:

agents    S [A]          names of the agents, in the order of their episodes
agent     uint8 [E]      index into `agents`
seeds     int64 [E, 3]   core, disp, lgen
arena     S [E]          where the episode began; empty for the dungeon
leave     bool [E]       whether the agent could leave the dungeon
steps     int32 [E]
action    uint8 [S]      index into `actions.NAMES`
switched  uint8 [S / 8]  bits (numpy.packbits): a skill's call begins with this step
skill     int8 [C]       of each call
reason    uint8 [C]      why the call before it ended
texts     S [T]          what programs said of their choices; files of before 2026-12 have neither
told      uint32 [C]     index into `texts` + 1; 0 where the program said nothing
end       S [E]          success, failure, death, left or truncated
cause     S [E]          of death
deepest   int16 [E]
prayers   int32 [E]
at        int64 [E]      environment step of the training at which it ended; 0 in an evaluation
check     uint32 [E]     `checksum` of what was seen last
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maestromotif.agent.episodes import Episode
from maestromotif.errors import UserError
from maestromotif.nethack.actions import NAMES
from maestromotif.reading import INTEGER, read_arrays

FILE = "episodes.npz"

_BY_EPISODE = (
    "agent",
    "seeds",
    "arena",
    "leave",
    "steps",
    "end",
    "cause",
    "deepest",
    "prayers",
    "at",
    "check",
)
_ALL = {
    **dict.fromkeys(("agents", *_BY_EPISODE, "action", "switched", "skill", "reason"), INTEGER),
    **dict.fromkeys(("agents", "arena", "end", "cause"), "S"),
    "leave": "b",
}


def arrays(episodes: Mapping[str, Sequence[Episode]]) -> dict[str, np.ndarray]:
    """The arrays of the file, for `Work.write_arrays`. episodes: by agent, in the order of the file."""
    rows = [episode for own in episodes.values() for episode in own]
    switched = np.array([bit for row in rows for bit in row.switched], bool)
    skill = np.array([one for row in rows for one in row.skills], np.int8)
    reason = np.array([one for row in rows for one in row.reasons], np.uint8)
    told = [row.told.get(step, "") for row in rows for step, bit in enumerate(row.switched) if bit]
    numbers = {text: number for number, text in enumerate(sorted({*told} - {""}), start=1)}
    return {
        "agents": _texts(list(episodes)),
        "agent": np.repeat(np.arange(len(episodes), dtype=np.uint8), [len(own) for own in episodes.values()]),
        "seeds": np.array([row.seeds for row in rows], np.int64).reshape(-1, 3),
        "arena": _texts([row.arena or "" for row in rows]),
        "leave": np.array([row.leave for row in rows], bool),
        "steps": np.array([row.steps for row in rows], np.int32),
        "action": np.array([one for row in rows for one in row.actions], np.uint8),
        "switched": np.packbits(switched),
        "skill": skill[switched],
        "reason": reason[switched],
        "texts": _texts(list(numbers)),
        "told": np.array([numbers.get(text, 0) for text in told], np.uint32),
        "end": _texts([row.end for row in rows]),
        "cause": _texts([row.cause for row in rows]),
        "deepest": np.array([row.deepest for row in rows], np.int16),
        "prayers": np.array([row.prayers for row in rows], np.int32),
        "at": np.array([row.at for row in rows], np.int64),
        "check": np.array([row.check for row in rows], np.uint32),
    }


def read(path: Path, stage: str) -> dict[str, list[Episode]]:
    """The episodes by agent. stage: what writes the file, for messages.

    Raises UserError if the file is missing, cannot be read, or contradicts itself.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; it holds every episode. Run the stage '{stage}' again")
    found = read_arrays(
        path, _ALL, optional={"texts": "S", "told": INTEGER}, remedy=f"run the stage '{stage}' again"
    )
    try:
        _check(found)
        return _episodes(found)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise UserError(
            f"{path}: damaged: {error}; its arrays are {', '.join(_ALL)}. Run the stage '{stage}' again"
        ) from error


def _check(found: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError, saying what does not fit."""
    counts = {name: len(found[name]) for name in _BY_EPISODE}
    if len(set(counts.values())) > 1:
        raise ValueError(f"the arrays differ in their number of episodes: {counts}")
    steps, actions = int(found["steps"].sum()), len(found["action"])
    if found["steps"].min(initial=0) < 0 or steps != actions:
        raise ValueError(f"'steps' adds up to {steps}, but there are {actions} actions")
    if found["action"].max(initial=0) >= len(NAMES):
        raise ValueError(f"'action' has {found['action'].max()}; actions are 0 to {len(NAMES) - 1}")
    if found["agent"].max(initial=0) >= max(1, len(found["agents"])):
        raise ValueError(f"'agent' has {found['agent'].max()}, but there are {len(found['agents'])} agents")
    if len(found["switched"]) != -(-steps // 8):
        raise ValueError(f"'switched' has {len(found['switched'])} bytes for {steps} steps")
    calls = int(np.unpackbits(found["switched"], count=steps).sum())
    if not calls == len(found["skill"]) == len(found["reason"]):
        raise ValueError(
            f"{calls} calls, but {len(found['skill'])} in 'skill' and {len(found['reason'])} in 'reason'"
        )
    if "told" in found:
        if len(found["told"]) != calls:
            raise ValueError(f"{calls} calls, but {len(found['told'])} in 'told'")
        if found["told"].max(initial=0) > len(found.get("texts", ())):
            raise ValueError(f"'told' has {found['told'].max()}, but there are {len(found['texts'])} texts")


def _episodes(found: Mapping[str, np.ndarray]) -> dict[str, list[Episode]]:
    stops = np.cumsum(found["steps"])
    switched = np.unpackbits(found["switched"], count=len(found["action"])).astype(bool)
    call = np.cumsum(switched) - 1  # number of the running call at each step
    if len(call) and call[0] < 0:
        raise ValueError("the first step begins no call")
    skill, reason = found["skill"][call], np.where(switched, found["reason"][call], 0)
    names = [_text(name) for name in found["agents"]]
    texts = ["", *(_text(text) for text in found.get("texts", ()))]
    told = found.get("told", np.zeros(len(found["skill"]), np.uint32))[call]
    episodes: dict[str, list[Episode]] = {name: [] for name in names}
    for row, stop in enumerate(stops.tolist()):
        steps = int(found["steps"][row])
        part = slice(stop - steps, stop)
        end = _text(found["end"][row])
        episodes[names[found["agent"][row]]].append(
            Episode(
                seeds=tuple(found["seeds"][row].tolist()),
                success=end == "success",
                deepest=int(found["deepest"][row]),
                steps=steps,
                end=end,
                cause=_text(found["cause"][row]),
                prayers=int(found["prayers"][row]),
                actions=found["action"][part].tolist(),
                skills=skill[part].tolist(),
                switched=switched[part].tolist(),
                reasons=reason[part].tolist(),
                check=int(found["check"][row]),
                arena=_text(found["arena"][row]) or None,
                leave=bool(found["leave"][row]),
                at=int(found["at"][row]),
                told={
                    step: texts[told[part][step]]
                    for step in np.flatnonzero(switched[part] & (told[part] > 0)).tolist()
                },
            )
        )
    return episodes


def _texts(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.encode() for text in texts], dtype="S" if texts else "S1")


def _text(value: bytes) -> str:
    return bytes(value).decode("utf-8", "replace")
