"""Collects observations: messages, changes and events of play without a trained agent.

The sources are a scripted explorer and random play in whole dungeons, the explorer in arenas, where rare
events are frequent, and recorded games. Every observation says which source it comes from.

Play is cut into segments of at most `collect.max_steps` steps per game. Every segment begins new episodes in
all games, with its own seeds, and is written as a whole. A stage that was killed plays only the missing
segments. The result depends only on the settings, not on the number of worker processes.
"""

import logging
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.collect import card, observations, statistics, ttyrec
from maestromotif.collect.explorer.explorer import Explorer
from maestromotif.collect.observations import ARENA, EXPLORER, RANDOM, RECORDINGS, SOURCES
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack import arena, events
from maestromotif.nethack.actions import NUM_ACTIONS, WEIGHTS
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import MESSAGE_BYTES
from maestromotif.nethack.pool.pool import GamePool, check_options, open_pool
from maestromotif.nethack.rcfile import options_file
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE
from maestromotif.nethack.temporary import scratch
from maestromotif.nethack.tracker import depth_codes
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.reading import INTEGER, read_arrays
from maestromotif.tracking.tracker import SILENT, Tracker

log = logging.getLogger("maestromotif")

TRIES = 3  # at a segment whose games are lost with a dead worker
_MOST = np.iinfo(np.int8).max  # largest count of an event on one step, and largest depth
_CAUSE = "S128"


@dataclass(frozen=True, eq=False)  # the same arena may be listed twice
class _Stretch:
    """A number of steps of one source; for arenas, of one arena."""

    source: int
    steps: int
    arena: str | None = None


@dataclass(frozen=True)
class _Segment:
    """A piece of a stretch; its number determines its episodes and its random actions."""

    number: int
    stretch: _Stretch
    length: int  # steps per game; for recordings, steps of all of them

    @property
    def file(self) -> str:
        return f"segment-{self.number:05d}.npz"

    def steps(self, games: int) -> int:
        return self.length if self.stretch.source == RECORDINGS else self.length * games


class _Notes:
    """The messages and episodes of a segment. Messages are numbered in order of first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self.episodes: list[tuple[int, int, int]] = []  # steps, deepest, end
        self.causes: list[bytes] = []  # of death, one an episode

    def number(self, message: bytes) -> int:
        return self._numbers.setdefault(message, len(self._numbers))

    def episode(self, steps: int, deepest: int, end: int, cause: bytes) -> None:
        self.episodes.append((steps, deepest, end))
        self.causes.append(cause)

    def arrays(
        self,
        message_id: np.ndarray,
        changes: np.ndarray,
        counts: np.ndarray,
        depth: np.ndarray,
        status: np.ndarray,
        episode: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """All arrays of the segment's file. The arguments may have any leading axes, in order of play."""
        return {
            "messages": np.array(list(self._numbers), f"S{MESSAGE_BYTES}"),
            "message_id": message_id.reshape(-1).astype(np.int32),
            "changes": changes.reshape(-1, len(CHANGES)).astype(np.int8),
            "events": np.minimum(counts, _MOST).reshape(-1, len(EVENTS)).astype(np.int8),
            "depth": np.minimum(depth, _MOST).reshape(-1).astype(np.int8),
            "status": status.reshape(-1, len(statistics.NUMBERS)).astype(np.int32),
            "episode": episode.reshape(-1).astype(np.int32),
            "episodes": np.array(self.episodes, np.int64).reshape(-1, 3),
            "causes": np.array(self.causes, _CAUSE),
        }


def reads(config: Config) -> dict[str, str]:
    """SHA-256 of what the stage reads besides settings: options, arenas, recordings. Raises UserError."""
    contents = options_file(config) | arena.arena_files("collect.arenas", config.collect.arenas)
    if config.collect.recordings is not None:
        contents["recordings"] = ttyrec.identity(Path(config.collect.recordings))
    return contents


def foresee(config: Config) -> None:
    """Raises UserError if nothing is to be collected, or an arena, recordings or an option cannot be used."""
    check_options(config)
    _check(_stretches(config), config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Makes `observations.npz`, `episodes.json` and `card.md`; returns figures for the manifest.

    Observations are in order of play: by source, segment, step and game. They include an episode's last step,
    with the message that ended it.
    """
    del inputs  # the first stage has none
    stretches = _stretches(config)
    _check(stretches, config)
    games = config.nethack.games
    segments = list(_segments(stretches, config))
    missing = [segment for segment in segments if not (work.scratch / segment.file).exists()]
    total = sum(segment.steps(games) for segment in segments)
    left = sum(segment.steps(games) for segment in missing)
    with Progress("collect", total, "steps", done=total - left, tracker=tracker) as progress:
        for place, group in groupby(missing, key=lambda segment: segment.stretch.arena or ""):
            with ExitStack() as stack:
                pool: GamePool | None = None
                for segment in group:
                    if segment.stretch.source == RECORDINGS:
                        arrays = _read(segment, config, progress)
                    else:
                        pool = pool or stack.enter_context(
                            open_pool(config, "collect", games, config.collect.max_steps, arena=place or None)
                        )
                        arrays = _play(segment, pool, config, progress)
                    work.write_arrays(f"{work.scratch.name}/{segment.file}", **arrays)
    return _join(segments, config, work)


def _stretches(config: Config) -> list[_Stretch]:
    """The requested stretches, in order. Raises UserError if there are none."""
    settings = config.collect
    asked = [_Stretch(EXPLORER, settings.explorer_steps), _Stretch(RANDOM, settings.random_steps)]
    for i, name in enumerate(settings.arenas):  # equal shares; the first ones get the remainder
        share, over = divmod(settings.arena_steps, len(settings.arenas))
        asked.append(_Stretch(ARENA, share + (i < over), name))
    if settings.recordings is not None:
        asked.append(_Stretch(RECORDINGS, settings.recording_steps))
    asked = [stretch for stretch in asked if stretch.steps]
    if not asked:
        raise UserError(
            "collect: explorer_steps and random_steps are both 0, and no arenas or recordings are asked for; "
            "set at least one of them"
        )
    return asked


def _check(stretches: list[_Stretch], config: Config) -> None:
    """Raises UserError for missing arenas or recordings, before anything is played."""
    for stretch in stretches:
        if stretch.arena is not None:
            with scratch() as folder:
                arena.build(stretch.arena, folder)
    if config.collect.recordings is not None:
        ttyrec.find(Path(config.collect.recordings))


def _segments(stretches: list[_Stretch], config: Config) -> Iterator[_Segment]:
    """Segments of whole steps of all games, enough for each stretch. All recordings are one segment."""
    number = 0
    for stretch in stretches:
        if stretch.source == RECORDINGS:
            yield _Segment(number, stretch, stretch.steps)
            continue
        left = -(-stretch.steps // config.nethack.games)
        while left:
            length = min(left, config.collect.max_steps)
            yield _Segment(number, stretch, length)
            number, left = number + 1, left - length


# ---------------------------------------------------------------------------------------------- play


def random_actions(length: int, games: int, rng: np.random.Generator) -> np.ndarray:
    """Actions of random play with the published actions, by their weights, int32 [length, games]."""
    weights = np.array(WEIGHTS[:NUM_ACTIONS])
    return rng.choice(NUM_ACTIONS, (length, games), p=weights / weights.sum()).astype(np.int32)


def _play(segment: _Segment, pool: GamePool, config: Config, progress: Progress) -> dict[str, np.ndarray]:
    """The arrays of a segment. If a worker died it is played again, so that failures leave no trace."""
    for _ in range(TRIES):
        lost = pool.lost
        arrays = _play_once(segment, pool, config, progress)
        if pool.lost == lost:
            return arrays
        progress.advance(-segment.length * pool.games)
    raise UserError(
        f"collect: workers died in each of {TRIES} attempts at {segment.length} steps of {pool.games} games; "
        "memory may be too small: lower nethack.games or nethack.workers"
    )


def _play_once(
    segment: _Segment, pool: GamePool, config: Config, progress: Progress
) -> dict[str, np.ndarray]:
    games, length = pool.games, segment.length
    # A game begins at most one episode per step, so segments share no episode.
    pool.reset(segment.number * (config.collect.max_steps + 1))
    explorer = Explorer(games, config.run.seed)
    drawn = random_actions(length, games, np.random.default_rng([config.run.seed, segment.number]))
    notes = _Notes()
    message_id = np.zeros((length, games), np.int32)
    changes = np.zeros((length, games, len(CHANGES)), np.int8)
    counts = np.zeros((length, games, len(EVENTS)), np.int16)
    depth = np.zeros((length, games), np.int32)
    status = np.zeros((length, games, len(statistics.NUMBERS)), np.int32)
    episode = np.zeros((length, games), np.int32)
    numbers, running = list(statistics.NUMBERS.values()), np.arange(games)
    for t in range(length):
        pool.step(drawn[t] if segment.stretch.source == RANDOM else explorer.act(pool))
        ended = pool.ended != End.NOT
        lines = np.where(ended[:, None], pool.final["message"], pool.obs["message"])
        for game in range(games):
            message = lines[game].tobytes().rstrip(b"\0") if lines[game, 0] else b""
            message_id[t, game] = notes.number(message)
        changes[t], counts[t] = pool.changes, pool.events
        depth[t] = np.where(ended, pool.final_state["depth"], pool.state["depth"])
        last = np.where(ended[:, None], pool.final["blstats"], pool.obs["blstats"])
        status[t], episode[t] = last[:, numbers], running
        running[ended] += games  # so that each episode has its own number
        for game in np.flatnonzero(ended).tolist():
            end, state = int(pool.ended[game]), pool.final_state
            cause = bytes(pool.cause[game]) if end == End.DEATH else b""
            notes.episode(int(state["step"][game]), int(state["deepest"][game]), end, cause)
        progress.advance(games)
    for game in np.flatnonzero(pool.state["step"]).tolist():  # cut off by the end of the segment
        state = pool.state
        notes.episode(int(state["step"][game]), int(state["deepest"][game]), int(End.TRUNCATED), b"")
    return notes.arrays(message_id, changes, counts, depth, status, episode)


# ---------------------------------------------------------------------------------------- recordings


def _read(segment: _Segment, config: Config, progress: Progress) -> dict[str, np.ndarray]:
    """The arrays of recorded games: whole ones in random order, the last one cut to the requested steps.

    A recording that cannot be read is left out, with a warning, and counted.
    """
    assert config.collect.recordings is not None
    paths = ttyrec.find(Path(config.collect.recordings))
    order = np.random.default_rng([config.run.seed, segment.number]).permutation(len(paths))
    notes, broken, read = _Notes(), 0, 0
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    lengths: list[int] = []
    left = segment.length
    for path in (paths[i] for i in order):
        if not left:
            break
        try:
            game = ttyrec.read(path)
        except ttyrec.BrokenError as error:
            broken += 1
            log.warning("%s: left out: %s", path, error)
            continue
        parts.append(_recorded(game, left, path, notes))
        steps = len(parts[-1][0])
        lengths.append(steps)
        read, left = read + 1, left - steps
        progress.advance(steps)
    if not parts:
        raise UserError(
            f"{config.collect.recordings}: none of its {len(paths)} recordings can be read; "
            "set collect.recordings to a directory that NLE has written, or to null"
        )
    if left:
        log.warning(
            "%s: its recordings have %d steps, but %d were requested (collect.recording_steps)",
            config.collect.recordings,
            segment.length - left,
            segment.length,
        )
        progress.advance(left)
    message_id, changes, counts, depth = (np.concatenate(column) for column in zip(*parts, strict=True))
    status = np.full((len(depth), len(statistics.NUMBERS)), statistics.UNKNOWN)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    return notes.arrays(message_id, changes, counts, depth, status, episode) | {
        "recordings": np.array([read, broken, len(paths)], np.int64)
    }


def _recorded(
    game: ttyrec.TerminalRecording, most: int, path: Path, notes: _Notes
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Message numbers, changes, events and depth of at most `most` steps of a recorded game."""
    whole = len(game) <= most
    steps = min(len(game), most)
    message_id = np.array([notes.number(message) for message in game.messages[:steps]], np.int32)
    counts = np.array([events.read(text).counts for text in game.texts[:steps]], np.int16)
    depth = game.depth[:steps].astype(np.int32)
    before = np.concatenate([depth[:1], depth[:-1]])
    known = (before != ttyrec.UNKNOWN) & (depth != ttyrec.UNKNOWN)
    changes = np.zeros((steps, len(CHANGES)), np.int8)
    changes[:, DEPTH_CHANGE] = np.where(known, depth_codes(before, depth), 0)
    counts[:, events.COLUMN["descended"]] = known & (depth > before)
    counts[:, events.COLUMN["ascended"]] = known & (depth < before)
    ending = ttyrec.ending(path) if whole else None
    end = End.TRUNCATED if ending is None else End.LEFT if ending.left else End.DEATH
    cause = ending.cause.encode() if ending is not None and end == End.DEATH else b""
    notes.episode(steps, int(depth.max(initial=0)), int(end), cause)
    return message_id, changes, counts, depth


# ---------------------------------------------------------------------------------------- the artefact


def _segment_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a segment that was played before. Raises UserError."""
    return read_arrays(
        path,
        {
            **dict.fromkeys(("message_id", "changes", "events", "depth", "status", "episode"), INTEGER),
            "messages": "S",
            "episodes": INTEGER,
            "causes": "S",
        },
        optional={"recordings": INTEGER},
        remedy=f"remove {shlex.quote(str(path))} to play it again",
    )


def _join(segments: list[_Segment], config: Config, work: Work) -> dict[str, Any]:
    """Write the artefact from all segments, with the requested number of steps of each stretch."""
    numbers: dict[bytes, int] = {}
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("message_id", "changes", "events", "depth", "status", "episode", "source")
    }
    episodes: list[dict[str, Any]] = []
    recorded: list[int] | None = None
    episodes_before = 0
    left = {segment.stretch: segment.stretch.steps for segment in segments}
    for segment in segments:
        source = segment.stretch.source
        part = _segment_of(work.scratch / segment.file)
        kept = part["message_id"][: left[segment.stretch]]
        left[segment.stretch] -= len(kept)
        # Messages are numbered in order of first appearance; those only in dropped steps get no number.
        local, first = np.unique(kept, return_index=True)
        translate = np.zeros(len(part["messages"]), np.int32)
        for i in local[np.argsort(first)]:
            translate[i] = numbers.setdefault(bytes(part["messages"][i]), len(numbers))
        columns["message_id"].append(translate[kept])
        for name in ("changes", "events", "depth", "status"):
            columns[name].append(part[name][: len(kept)])
        columns["episode"].append(part["episode"][: len(kept)] + episodes_before)
        episodes_before += int(part["episode"].max(initial=-1)) + 1
        columns["source"].append(np.full(len(kept), source, np.int8))
        for (steps, deepest, end), cause in zip(part["episodes"].tolist(), part["causes"], strict=True):
            episode = {"source": SOURCES[source], "steps": steps, "deepest": deepest}
            episode |= {"arena": segment.stretch.arena} if segment.stretch.arena else {}
            episode |= {"end": End(end).name.lower()}
            episodes.append(episode | ({"cause": cause.decode("latin-1")} if cause else {}))
        if "recordings" in part:
            recorded = part["recordings"].tolist()
    arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
    arrays["messages"] = np.array(list(numbers), f"S{MESSAGE_BYTES}")
    work.write_arrays(observations.FILE, **arrays, event_names=np.array(list(EVENTS), "S32"))
    work.write_json(observations.EPISODES, episodes)
    figures = card.figures(arrays, episodes)
    if recorded is not None:
        figures["recordings"] = dict(zip(("read", "broken", "found"), recorded, strict=True))
    work.write_text("card.md", card.text(figures, config.collect))
    return figures
