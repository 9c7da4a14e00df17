"""Collects observations: the messages and changes of a scripted explorer's and of random play.

Play is cut into segments of at most `collect.max_steps` steps a game. Every segment begins new episodes in
all games, with seeds of its own, and is written as a whole; a stage that was killed plays only the segments
that are missing. What comes out is a function of the settings, whatever the number of worker processes.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack.game import End
from maestromotif.nethack.keys import INDEX, NAMES, NUM_ACTIONS
from maestromotif.nethack.observation import MESSAGE_BYTES
from maestromotif.nethack.pool import GamePool
from maestromotif.nethack.state import CHANGES
from maestromotif.preferences.explorer import Explorer
from maestromotif.progress import Progress
from maestromotif.settings import Config
from maestromotif.store import Artefact, Work

EXPLORER, RANDOM = 0, 1  # codes of `source`
SOURCES = ("explorer", "random")

# Random play: how often each action is drawn, against 1 for those that are not named. Mostly it walks, so
# that it gets about; praying is rare, because a second prayer soon after the first is what kills (uniform
# play dies of it within some 180 steps), and so are actions that only turn pages or change nothing.
RANDOM_WEIGHTS = (
    dict.fromkeys(NAMES[INDEX["north"] : INDEX["northwest"] + 1], 8.0)
    | dict.fromkeys(NAMES[INDEX["far_north"] : INDEX["far_northwest"] + 1], 2.0)
    | {"down": 4.0, "up": 4.0, "search": 3.0, "kick": 2.0, "more": 0.5, "enhance": 0.2, "pray": 0.02}
)
RARE = ("altar", "You sold")  # words of messages that a short collection may lack
TRIES = 3  # to play a segment whose games were lost with a dying worker


@dataclass(frozen=True)
class _Segment:
    """A piece of the collection; its number decides about its episodes and its random actions."""

    number: int
    source: int
    length: int  # steps a game

    @property
    def file(self) -> str:
        return f"segment-{self.number:05d}.npz"


def run(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    """Makes `observations.npz` and `episodes.json`; returns figures for the manifest.

    Observations are in the order of play: segment by segment, step by step, game by game, the explorer's
    first. An episode's last step is among them, with the message that ended it.
    """
    del inputs  # the first stage has none
    games, settings = config.nethack.games, config.collect
    if not settings.explorer_steps + settings.random_steps:
        raise UserError("collect: explorer_steps and random_steps are both 0; at least one must be more")
    segments = list(_segments(config))
    missing = [segment for segment in segments if not (work.scratch / segment.file).exists()]
    done = sum(segment.length for segment in segments if segment not in missing) * games
    played = sum(segment.length for segment in segments) * games
    if missing:
        with (
            Progress("collect", total=played, unit="steps", done=done) as progress,
            GamePool(games, "collect", config.run.seed, settings.max_steps, config.nethack.workers) as pool,
        ):
            for segment in missing:
                arrays = _play(segment, pool, config, progress)
                work.write_arrays(f"{work.scratch.name}/{segment.file}", **arrays)
    return _join(segments, config, work)


def _segments(config: Config) -> Iterator[_Segment]:
    """Enough whole steps of all games for the steps wanted of each source."""
    number = 0
    for source, steps in ((EXPLORER, config.collect.explorer_steps), (RANDOM, config.collect.random_steps)):
        left = -(-steps // config.nethack.games)
        while left:
            length = min(left, config.collect.max_steps)
            yield _Segment(number, source, length)
            number, left = number + 1, left - length


def random_actions(length: int, games: int, rng: np.random.Generator) -> np.ndarray:
    """Actions of random play, int32 [length, games]."""
    weights = np.array([RANDOM_WEIGHTS.get(name, 1.0) for name in NAMES])
    return rng.choice(NUM_ACTIONS, (length, games), p=weights / weights.sum()).astype(np.int32)


def _play(segment: _Segment, pool: GamePool, config: Config, progress: Progress) -> dict[str, np.ndarray]:
    """The arrays of a segment; played again if a worker died, so that no accident shows in them."""
    for _ in range(TRIES):
        lost = pool.lost
        arrays = _play_once(segment, pool, config, progress)
        if pool.lost == lost:
            return arrays
        progress.advance(-segment.length * pool.games)
    raise UserError(
        f"collect: workers died in each of {TRIES} attempts at {segment.length} steps of {pool.games} games; "
        "is there too little memory? Set nethack.games or nethack.workers lower"
    )


def _play_once(
    segment: _Segment, pool: GamePool, config: Config, progress: Progress
) -> dict[str, np.ndarray]:
    games, length = pool.games, segment.length
    # A game begins at most one episode a step, so segments share no episode.
    pool.reset(segment.number * (config.collect.max_steps + 1))
    explorer = Explorer(games, config.run.seed)
    drawn = random_actions(length, games, np.random.default_rng([config.run.seed, segment.number]))
    numbers: dict[bytes, int] = {}
    message_id = np.zeros((length, games), np.int32)
    changes = np.zeros((length, games, len(CHANGES)), np.int8)
    episodes: list[tuple[int, int, int]] = []  # steps, deepest, end
    for t in range(length):
        pool.step(explorer.act(pool) if segment.source == EXPLORER else drawn[t])
        ended = pool.ended != End.NOT
        lines = np.where(ended[:, None], pool.final["message"], pool.obs["message"])
        for game in range(games):
            message = lines[game].tobytes().rstrip(b"\0") if lines[game, 0] else b""
            message_id[t, game] = numbers.setdefault(message, len(numbers))
        changes[t] = pool.changes
        for game in np.flatnonzero(ended).tolist():
            end, state = int(pool.ended[game]), pool.final_state
            episodes.append((int(state["step"][game]), int(state["deepest"][game]), end))
        progress.advance(games)
    for game in np.flatnonzero(pool.state["step"]).tolist():  # cut off by the end of the segment
        state = pool.state
        episodes.append((int(state["step"][game]), int(state["deepest"][game]), int(End.TRUNCATED)))
    return {
        "messages": np.array(list(numbers), f"S{MESSAGE_BYTES}"),
        "message_id": message_id.reshape(-1),
        "changes": changes.reshape(-1, len(CHANGES)),
        "episodes": np.array(episodes, np.int64).reshape(-1, 3),
    }


def _join(segments: list[_Segment], config: Config, work: Work) -> dict[str, Any]:
    """Write the artefact from all segments; as many steps of each source as were asked for."""
    numbers: dict[bytes, int] = {}
    ids: list[np.ndarray] = []
    changes: list[np.ndarray] = []
    episodes: list[dict[str, Any]] = []
    left = [config.collect.explorer_steps, config.collect.random_steps]
    wanted = tuple(left)
    for segment in segments:
        part = _read(work.scratch / segment.file)
        kept = part["message_id"][: left[segment.source]]
        left[segment.source] -= len(kept)
        changes.append(part["changes"][: len(kept)])
        # Numbers follow the order of first appearance, and a message met only in steps left out has none.
        local, first = np.unique(kept, return_index=True)
        translate = np.zeros(len(part["messages"]), np.int32)
        for i in local[np.argsort(first)]:
            translate[i] = numbers.setdefault(bytes(part["messages"][i]), len(numbers))
        ids.append(translate[kept])
        for steps, deepest, end in part["episodes"].tolist():
            how = {"steps": steps, "deepest": deepest, "end": End(end).name.lower()}
            episodes.append({"source": SOURCES[segment.source], **how})
    messages = np.array(list(numbers), f"S{MESSAGE_BYTES}")
    message_id = np.concatenate(ids)
    work.write_arrays(
        "observations.npz",
        messages=messages,
        message_id=message_id,
        changes=np.concatenate(changes),
        source=np.repeat(np.array([EXPLORER, RANDOM], np.int8), wanted),
    )
    work.write_json("episodes.json", episodes)
    return {
        "steps": dict(zip(SOURCES, wanted, strict=True)),
        "messages": len(messages),
        "steps_with": {words: _count(words.encode(), messages, message_id) for words in RARE},
        "episodes": {name: _figures([e for e in episodes if e["source"] == name]) for name in SOURCES},
        "game": f"NetHack 3.6.7 through nle {version('nle')}",
        "licence": "NetHack General Public License",
    }


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def _count(words: bytes, messages: np.ndarray, message_id: np.ndarray) -> int:
    """Steps whose message contains the words."""
    return int(np.isin(message_id, [i for i, message in enumerate(messages) if words in message]).sum())


def _figures(episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """How far the episodes of one source went."""
    if not episodes:
        return {"count": 0}
    deepest = np.array([episode["deepest"] for episode in episodes])
    return {
        "count": len(episodes),
        "ends": dict(sorted(Counter(episode["end"] for episode in episodes).items())),
        "deepest_mean": round(float(deepest.mean()), 3),
        "reached_depth_2": round(float((deepest >= 2).mean()), 3),
    }
