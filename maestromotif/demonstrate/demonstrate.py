"""Stage `demonstrate`: a scripted demonstrator plays all skills under the training program.

The games start as training starts them: in new dungeons or in the few of `nethack.levels`, and in the arenas
of `train.arenas`. No other stage uses their seeds. At a share of the steps (`demonstrate.noise`) random
actions are played, a few in a row. The demonstrator follows, and what it would have played is recorded too,
so that a clone learns to recover from its own mistakes (Laskey et al. 2017, DART).

Play is cut into segments of at most `demonstrate.max_steps` steps per game. Every segment begins new episodes
in all games and is written as a whole, so a stage that was killed plays only the missing ones. The result
does not depend on the number of worker processes.

Artefact: `demonstrations.npz` (see `recordings`) and `figures.json`.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maestromotif.agent.options import Options
from maestromotif.collect.explorer.intent import intent_of
from maestromotif.config.schema import Config
from maestromotif.demonstrate import recordings
from maestromotif.demonstrate.demonstrator import Demonstrator
from maestromotif.demonstrate.recordings import NO_LABEL, Recording
from maestromotif.errors import UserError
from maestromotif.nethack.actions import SETS, WEIGHTS
from maestromotif.nethack.arena import arena_files, check_arenas, places_to_start
from maestromotif.nethack.checksum import checksum
from maestromotif.nethack.events import COLUMN, EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import IDLE, GamePool, check_options, open_pool
from maestromotif.nethack.rcfile import options_file
from maestromotif.nethack.seeds import episode_seeds
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Artefact, Work, file_contents
from maestromotif.programs import contract
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.reading import read_json
from maestromotif.skill import Skill, skill_files, skills_of
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

FIGURES = "figures.json"
TRIES = 3  # at a segment whose games are lost with a dead worker
BURST = 8  # most random actions in a row

LOGGED = (
    Logged(
        "demonstrate/deepest_mean",
        "level",
        "Deepest level that the demonstrator reaches, mean of the episodes.",
    ),
    Logged("demonstrate/at_least_2", "share", "Episodes in which the demonstrator leaves level 1."),
    Logged("demonstrate/death_share", "share", "Episodes in which the demonstrator dies."),
    Logged("demonstrate/skill/{skill}/time_share", "share", "Steps in which the skill is running."),
    Logged(
        "demonstrate/skill/{skill}/wanted_{event}",
        "events / 1,000 steps",
        "How often an event or change that the skill wants happens, in 1,000 steps of the skill.",
    ),
)


class _Segment(NamedTuple):
    """The number of a segment determines its episodes and its random actions."""

    number: int
    length: int  # steps per game

    @property
    def name(self) -> str:
        return f"segment-{self.number:05d}"


class _Sums:
    """What the figures are made of: sums over steps by skill [K, ...], and the episodes."""

    def __init__(self, skills: int) -> None:
        self.steps = np.zeros(skills, np.int64)
        self.events = np.zeros((skills, len(EVENTS)), np.int64)
        self.changes = np.zeros((skills, len(CHANGES)), np.int64)
        self.episodes: list[tuple[int, bool]] = []  # those that began in the dungeon: deepest level, died

    def step(self, skill: np.ndarray, pool: GamePool) -> None:
        np.add.at(self.steps, skill, 1)
        np.add.at(self.events, skill, pool.events)
        np.add.at(self.changes, skill, pool.changes > 0)

    def end(self, pool: GamePool, game: int, state: Mapping[str, np.ndarray], end: int) -> None:
        """An episode of the game ended; `state` is its last."""
        if pool.starts[game] is None:
            self.episodes.append((int(state["deepest"][game]), end == End.DEATH))

    def plain(self) -> dict[str, Any]:
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}

    def add(self, plain: Mapping[str, Any]) -> None:
        for name in ("steps", "events", "changes"):
            getattr(self, name)[...] += np.array(plain[name])
        self.episodes += [(deepest, bool(died)) for deepest, died in plain["episodes"]]


def reads(config: Config) -> dict[str, str]:
    """The files of game, skills and training program -> SHA-256. Raises UserError."""
    return (
        options_file(config)
        | arena_files("train.arenas", config.train.arenas)
        | skill_files(config)
        | file_contents("compose.training", config.compose.training)
    )


def foresee(config: Config) -> None:
    """Raises UserError for arenas or options that the games would refuse."""
    check_options(config)
    check_arenas(config.train.arenas, config.nethack.games)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Makes the artefact; returns figures for the manifest."""
    del inputs  # it has none
    settings, games, skills = config.demonstrate, config.nethack.games, skills_of(config)
    segments = _segments(config)
    starts = places_to_start(config.train.arenas, games)
    missing = [one for one in segments if not (work.scratch / f"{one.name}.npz").exists()]
    total, left = (games * sum(one.length for one in some) for some in (segments, missing))
    with (
        Progress("demonstrate", total, "steps", done=total - left, tracker=tracker) as progress,
        ExitStack() as stack,
    ):
        pool: GamePool | None = None
        for segment in missing:
            pool = pool or stack.enter_context(
                open_pool(config, "demonstrate", games, settings.max_steps, config.nethack.levels, starts)
            )
            found, sums = _play(segment, pool, config, skills, progress)
            work.write_json(f"{work.scratch.name}/{segment.name}.json", sums.plain())
            recordings.write(work, found, config, f"{work.scratch.name}/{segment.name}.npz")
    together, everything = _Sums(len(skills)), list[Recording]()
    for segment in segments:
        together.add(read_json(work.scratch / f"{segment.name}.json"))
        everything += recordings.read(work.scratch / f"{segment.name}.npz", config)
    recordings.write(work, everything, config)
    figures = _figures(together, skills)
    work.write_json(FIGURES, figures)
    tracker.row(total, figures)
    labels = sum(int((one.labels != NO_LABEL).sum()) for one in everything)
    return {"steps": total, "labels": labels, "recordings": len(everything), "figures": figures}


def _segments(config: Config) -> list[_Segment]:
    """Segments of whole steps of all games, enough for the steps that are asked for."""
    left, segments = -(-config.demonstrate.steps // config.nethack.games), list[_Segment]()
    while left:
        length = min(left, config.demonstrate.max_steps)
        segments.append(_Segment(len(segments), length))
        left -= length
    return segments


def _figures(sums: _Sums, skills: Sequence[Skill]) -> dict[str, float]:
    figures: dict[str, float] = {}
    if sums.episodes:  # none if all games are in arenas
        deepest, died = np.array(sums.episodes).T
        figures |= {
            "demonstrate/deepest_mean": float(deepest.mean()),
            "demonstrate/at_least_2": float((deepest >= 2).mean()),
            "demonstrate/death_share": float(died.mean()),
        }
    for k, skill in enumerate(skills):
        own, steps = f"demonstrate/skill/{skill.name}", int(sums.steps[k])
        figures[f"{own}/time_share"] = steps / max(int(sums.steps.sum()), 1)
        for name in skill.wanted:
            happened = sums.events[k, COLUMN[name]] if name in COLUMN else sums.changes[k, _CHANGE[name]]
            figures[f"{own}/wanted_{name}"] = 1000 * int(happened) / max(steps, 1)
    return figures


_CHANGE = {name: column for column, name in enumerate(CHANGES)}


# ---------------------------------------------------------------------------------------------- play


def _play(
    segment: _Segment, pool: GamePool, config: Config, skills: Sequence[Skill], progress: Progress
) -> tuple[list[Recording], _Sums]:
    """A segment. If a worker died it is played again, so that failures leave no trace."""
    for _ in range(TRIES):
        lost = pool.lost
        played = _play_once(segment, pool, config, skills, progress)
        if pool.lost == lost:
            return played
        progress.advance(-segment.length * pool.games)
    raise UserError(
        f"demonstrate: workers died in each of {TRIES} attempts at {segment.length} steps of {pool.games} "
        "games; memory may be too small: lower nethack.games or nethack.workers"
    )


class _Rows(NamedTuple):
    """What was played in T steps of N games, and the checksum of what each episode showed last."""

    action: np.ndarray  # int32 [T, N]
    label: np.ndarray  # int32 [T, N]
    skill: np.ndarray  # int32 [T, N]
    switched: np.ndarray  # bool [T, N]
    over: np.ndarray  # bool [T, N]: the episode ended with the step
    checks: list[list[int]]  # by game: of each of its episodes


def _play_once(
    segment: _Segment, pool: GamePool, config: Config, skills: Sequence[Skill], progress: Progress
) -> tuple[list[Recording], _Sums]:
    games, length, chosen = pool.games, segment.length, config.train.network.actions
    first_episode = segment.number * (config.demonstrate.max_steps + 1)  # segments share no episode
    rng = np.random.default_rng([config.run.seed, segment.number])
    noisy = bursts(length, games, config.demonstrate.noise, rng)
    weights = np.array(WEIGHTS[: SETS[chosen]])
    drawn = rng.choice(len(weights), (length, games), p=weights / weights.sum())
    intents = [intent_of(skill) for skill in skills]
    action, label, acted = (np.zeros((length, games), np.int32) for _ in range(3))
    switched, over = (np.zeros((length, games), bool) for _ in range(2))
    rows = _Rows(action, label, acted, switched, over, [[] for _ in range(games)])
    sums = _Sums(len(skills))
    pool.reset(first_episode)
    demonstrator, played = Demonstrator(games, config.run.seed, chosen), np.full(games, IDLE, np.int32)
    path, seed = Path(config.compose.training), int(rng.integers(2**31))
    with ProgramHost(
        contract.read(path), skills, games, seed, str(path), balance=config.train.balance
    ) as host:
        options = Options(host, games)
        options.advance(pool.state, np.ones(games, bool))
        for t in range(length):
            skill = np.maximum(options.running, 0)
            wanted = {game: intents[k] for game, k in enumerate(skill.tolist())}
            choice = demonstrator.act(pool, wanted, played)
            played = np.where(noisy[t], drawn[t], choice).astype(np.int32)
            rows.action[t], rows.skill[t], rows.switched[t] = played, skill, options.switched
            rows.label[t] = np.where(demonstrator.sure, choice, NO_LABEL)
            pool.step(played)
            rows.over[t] = pool.ended != End.NOT
            sums.step(skill, pool)
            for game in np.flatnonzero(rows.over[t]).tolist():
                rows.checks[game].append(checksum(pool.final, game))
                sums.end(pool, game, pool.final_state, int(pool.ended[game]))
            options.advance(pool.state, rows.over[t])
            progress.advance(games)
    for game in np.flatnonzero(~rows.over[-1]).tolist():  # cut off by the end of the segment
        rows.checks[game].append(checksum(pool.obs, game))
        sums.end(pool, game, pool.state, End.TRUNCATED)
    return _recordings(rows, pool.starts, first_episode, config), sums


def _recordings(
    rows: _Rows, starts: Sequence[str | None], first_episode: int, config: Config
) -> list[Recording]:
    """The episodes of a segment, game by game. starts: the arena of each game, None for the dungeon."""
    found, (length, games) = [], rows.over.shape
    for game in range(games):
        stops = [*(np.flatnonzero(rows.over[:, game]) + 1).tolist()]
        stops += [] if rows.over[-1, game] else [length]
        spans = zip([0, *stops[:-1]], stops, rows.checks[game], strict=True)
        for number, (begin, stop, check) in enumerate(spans, first_episode):
            part = slice(begin, stop), game
            found.append(
                Recording(
                    episode_seeds("demonstrate", config.run.seed, game, number, config.nethack.levels),
                    starts[game],
                    rows.action[part],
                    rows.label[part],
                    rows.skill[part],
                    rows.switched[part],
                    check,
                )
            )
    return found


def bursts(length: int, games: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Where random actions are played: bool [length, games], true in runs of 1 to BURST steps.

    share: of all steps that are true, on average.
    """
    mean = (1 + BURST) / 2
    begins = share / (mean * (1 - share) + share)  # chance of a step outside of a burst to begin one
    left, noisy = np.zeros(games, np.int64), np.zeros((length, games), bool)
    for t in range(length):
        fresh = (left == 0) & (rng.random(games) < begins)
        left = np.where(fresh, rng.integers(1, BURST + 1, games), left)
        noisy[t] = left > 0
        left = np.maximum(left - 1, 0)
    return noisy
