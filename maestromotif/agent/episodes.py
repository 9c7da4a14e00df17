"""One wave of episodes: one per game, under a program over skills, until it ends or the task is decided.

Code that scores a program or an agent plays waves. The caller passes a `Policy`; this module needs no JAX.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maestromotif.agent.options import Options
from maestromotif.nethack.checksum import checksum
from maestromotif.nethack.death import cause_of_death
from maestromotif.nethack.events import COLUMN
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import IDLE, GamePool
from maestromotif.nethack.seeds import Purpose, episode_seeds
from maestromotif.programs.sandbox import Host
from maestromotif.tasks.expressions import Step
from maestromotif.tasks.task import Judge, Task

# (first bool [N], skill int32 [N], playing bool [N], step number) -> actions int32 [N], of which those of
# games that are not playing are ignored. It reads the pool that it was made for.
Policy = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


class LostGamesError(Exception):
    """A worker process died during the wave, so its games have no result. Play the wave again."""


@dataclass
class Episode:
    """The result of one episode, and all that it takes to play it again.

    `actions`, `skills`, `switched` and `reasons` have one entry per step. `switched` is true where a new call
    of the skill began with this step; there, `reasons` says why the call before it ended (`CallEnd`), and
    elsewhere it is 0.
    """

    seeds: Sequence[int]  # core, disp, lgen
    success: bool
    deepest: int
    steps: int
    end: str
    cause: str  # of death; "" if the episode did not end in death
    prayers: int
    actions: list[int]
    skills: list[int]
    switched: list[bool]
    reasons: list[int]
    check: int  # `checksum` of what was seen last
    arena: str | None = None  # where it began; None for the dungeon
    leave: bool = False  # whether the agent could leave the dungeon
    at: int = 0  # environment step of the training at which it ended; 0 outside of training
    told: dict[int, str] = field(default_factory=dict)  # step -> why the program chose the call that began
    # Steps by dungeon and depth, such as "0:1" (fields of GameState); empty if only the actions are kept.
    visited: dict[str, int] = field(default_factory=dict, compare=False)
    xp_level: int = 1  # the greatest
    turns: int = 0  # game turns
    # What the task's judge says (`tasks.task.Judge`): the step that achieved the task, 0 if none did; how
    # near it came, in [0, 1]; the published test; what is measured. None: the task has no such test.
    achieved_at: int = 0
    progress: float = 0.0
    published: bool | None = None
    measured: int | None = None
    published_measured: int | None = None

    def __post_init__(self) -> None:
        self.told = {int(step): text for step, text in self.told.items()}  # JSON has texts as keys

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))  # `asdict` would copy every action


def play_wave(
    pool: GamePool,
    policy: Policy,
    host: Host,
    task: Task,
    run_seed: int,
    wave: int,
    levels: int | None,
    purpose: Purpose = "evaluate",
    salt: str | None = None,
) -> Generator[None, None, list[Episode]]:
    """Play episode number `wave` of every game of the pool, until it ends or the task is decided.

    Yields after each step, for a caller that pauses, and returns one episode per game; `to_end` plays it
    without a pause. run_seed, levels, purpose, salt: those of the pool; they give the seeds that are recorded
    with each episode. Raises UserError if the program fails, and
    LostGamesError.
    """
    games = pool.games
    pool.reset(wave)
    options, judge = Options(host, games), Judge(task, games)
    judge.begin(np.ones(games, bool), pool.state)
    first = np.ones(games, bool)
    playing = np.ones(games, bool)
    prayers, xp_level = np.zeros(games, np.int64), np.zeros(games, np.int64)
    options.advance(pool.state, np.ones(games, bool))
    told: list[dict[int, str]] = [{} for _ in range(games)]
    played: list[tuple[np.ndarray, ...]] = []  # of each step: action, skill, switched, reason, dungeon, depth
    results: dict[int, dict[str, Any]] = {}
    while playing.any():
        skill, switched, reason = options.running, options.switched, options.reason
        for game, text in options.told.items():
            if playing[game]:
                told[game][len(played)] = text
        action = np.where(playing, policy(first, skill, playing, len(played)), IDLE)
        where = pool.state["dungeon"].copy(), pool.state["depth"].copy()
        pool.step(action)
        played.append((action, skill, switched, reason, *where))
        first = np.zeros(games, bool)
        over = playing & (pool.ended != End.NOT)
        if (pool.ended[over] == End.LOST).any():
            raise LostGamesError
        prayers[playing] += pool.events[playing, COLUMN["prayed"]]
        seen = judged_step(pool, playing)
        decided = judge.update(seen, playing)
        xp_level = np.maximum(xp_level, np.where(playing, seen.state["xp_level"], 0))
        for game in np.flatnonzero(playing & (decided | over)).tolist():
            end = End(int(pool.ended[game]))
            success = bool(judge.achieved[game])
            results[game] = {
                "seeds": tuple(episode_seeds(purpose, run_seed, game, wave, levels, salt)),
                "deepest": int(seen.state["deepest"][game]),
                "steps": len(played),
                "end": "success" if success else "failure" if end is End.NOT else end.name.lower(),
                "leave": task.leaves,
                "cause": "" if success else seen.causes.get(game, ""),
                "prayers": int(prayers[game]),
                "xp_level": int(xp_level[game]),
                "turns": int(seen.state["turn"][game]),
                **judge.verdict(game),
                "check": checksum(pool.final if over[game] else pool.obs, game),
            }
            playing[game] = False
        # Finished games wait at the beginning of a further episode.
        options.advance(pool.state, over)
        yield
    actions, skills, switches, reasons, dungeons, depths = (
        np.stack(column, axis=1) for column in zip(*played, strict=True)
    )
    return [
        Episode(
            **results[game],
            actions=actions[game, : results[game]["steps"]].tolist(),
            skills=skills[game, : results[game]["steps"]].tolist(),
            switched=switches[game, : results[game]["steps"]].tolist(),
            reasons=reasons[game, : results[game]["steps"]].tolist(),
            told=told[game],
            visited=_visited(*(column[game, : results[game]["steps"]] for column in (dungeons, depths))),
        )
        for game in range(games)
    ]


def judged_step(pool: GamePool, playing: np.ndarray) -> Step:
    """The last step of a pool for the judge of a task; of the games bool [N] `playing`."""
    over = pool.ended != End.NOT
    dead = np.flatnonzero(playing & (pool.ended == End.DEATH)).tolist()
    state, truth = pool.state, pool.truth
    if over.any():
        state = {name: np.where(over, pool.final_state[name], one) for name, one in state.items()}
        truth = {name: np.where(over, pool.final_truth[name], one) for name, one in truth.items()}
    causes = {game: cause_of_death(bytes(pool.cause[game])) for game in dead}
    return Step(state, pool.events, pool.ended, causes, truth)


def to_end(steps: Generator[None, None, list[Episode]]) -> list[Episode]:
    """Play all steps of a wave; returns its episodes."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return list(end.value)


def _visited(dungeon: np.ndarray, depth: np.ndarray) -> dict[str, int]:
    places, steps = np.unique(np.column_stack([dungeon, depth]), axis=0, return_counts=True)
    return {
        f"{one}:{level}": count for (one, level), count in zip(places.tolist(), steps.tolist(), strict=True)
    }
