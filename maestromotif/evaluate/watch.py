"""Plays the newest policy of a run, one game, step by step, for somebody who looks on (`live.py`).

The games have the seeds of the evaluation, which training never uses. Before each episode the newest
checkpoint is read, so you see what training has just learned.
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from maestromotif.agent.episodes import judged_step
from maestromotif.agent.network import build
from maestromotif.agent.options import Options
from maestromotif.agent.playing import batches, network_policy
from maestromotif.agent.reward import RewardFunction
from maestromotif.config.schema import Config
from maestromotif.evaluate.run_folder import RunFolder, Version
from maestromotif.nethack.death import cause_of_death
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import SCREEN
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.state import DEPTH_CHANGE, columns_of
from maestromotif.nethack.tracker import depth_codes
from maestromotif.programs.decisions import Decisions
from maestromotif.programs.sandbox import CallEnd, ProgramHost
from maestromotif.skill import skills_of
from maestromotif.tasks.task import Judge, Task, steps_of
from maestromotif.train.reward_source import DistilledRewards

# Why a call ended, in words.
REASONS = {
    CallEnd.NOT: "",
    CallEnd.SKILL: "ended itself",
    CallEnd.PROGRAM: "ended by the program",
    CallEnd.EPISODE: "the episode was over",
}


@dataclass(frozen=True)
class Episode:
    """number: from 1 on. version: of the policy that plays."""

    number: int
    version: Version


@dataclass(frozen=True)
class Switch:
    """A call begins. before: the skill whose call ended, "" at the start of an episode; why: see `REASONS`.

    read: the fields of GameState that the program reads to decide, with their values. told: the program's own
    reason, "" if it gives none.
    """

    before: str
    why: str
    read: str
    told: str = ""


@dataclass(frozen=True)
class Moment:
    """What the agent sees before an action; step 0 is the start of the episode.

    reward: of the action before; None if the run has no reward models. skill: runs from now on. switch: if
    its call begins now.
    """

    step: int
    chars: np.ndarray  # uint8 [24, 80]
    colours: np.ndarray  # int8 [24, 80]
    cursor: np.ndarray  # uint8 [2]
    message: str
    state: Mapping[str, int]  # fields of GameState
    skill: int
    reward: float | None
    switch: Switch | None


@dataclass(frozen=True)
class Outcome:
    """The end of an episode. reward: of the last action. words: how it ended."""

    steps: int
    success: bool
    words: str
    deepest: int
    reward: float | None


def play(
    run: RunFolder, seed: int | None = None, training: bool = False
) -> Generator[Episode | Moment | Outcome, None, None]:
    """Episodes without end: for each an `Episode`, a `Moment` a step and an `Outcome`.

    seed: of the games; None: the run's, so that they are the first game's of the evaluation, in new dungeons.
    training: play as in training instead, under the training program and in the dungeons of training.
    """
    config = run.config
    network = build(config.train.network, len(config.skills))
    version = run.newest(network)  # before any game starts: there may be none
    skills, (program, path) = skills_of(config), run.program(training)
    seed = config.run.seed if seed is None else seed
    acting = batches(network, 1)
    with ExitStack() as stack:
        pool = stack.enter_context(_open_pool(config, run.task, seed, training))
        host = stack.enter_context(ProgramHost(program, skills, 1, seed, path))
        decisions = Decisions(program, skills, 1)
        game = _Game(config, run.task, pool, Options(host, 1), decisions, run.rewards())
        number = 0
        while True:
            if number:
                version = run.newest(network)
            yield Episode(number + 1, version)
            key = jax.random.fold_in(jax.random.key(seed + 3), number)
            policy = network_policy(pool, network, version.params, key, acting)
            yield game.begin(number)
            step, outcome = 0, None
            while outcome is None:
                first, playing = np.array([step == 0]), np.ones(1, bool)
                seen = game.step(policy(first, game.running, playing, step))
                step += 1
                yield seen
                outcome = seen if isinstance(seen, Outcome) else None
            number += 1


def _open_pool(config: Config, task: Task, seed: int, training: bool) -> GamePool:
    settings = config.nethack
    return GamePool(
        1,
        "evaluate",
        seed,
        settings.max_steps if training else steps_of(task, config),
        workers=1,
        observe=SCREEN,
        levels=settings.levels if training else None,
        loader=settings.loader,
        character=settings.character,
        options=Path(settings.options) if settings.options else None,
        pages=settings.pages,
        recall=config.train.network.recalls,
        leave=task.leaves and not training,
    )


class _Game:
    """The one game of a pool, with the program over skills and the rewards."""

    def __init__(
        self,
        config: Config,
        task: Task,
        pool: GamePool,
        options: Options,
        decisions: Decisions,
        rewards: Path | None,
    ) -> None:
        self._config, self._pool, self._options, self._decisions = config, pool, options, decisions
        self._task, self._judge = task, Judge(task, 1)
        self._scorer = None if rewards is None else DistilledRewards(config, rewards).scorer(0)
        self._untold = slice(columns_of(config.annotate.changes), None)

    @property
    def running(self) -> np.ndarray:
        """The skill that acts next, int32 [1]."""
        return self._options.running

    def begin(self, episode: int) -> Moment:
        self._pool.reset(episode)
        self._judge.begin(np.ones(1, bool), self._pool.state)
        self._reward = None  # a new one counts from 0 what the episode has seen
        if self._scorer is not None:
            self._reward = RewardFunction(self._scorer, self._config.reward, games=1)
        self._step = 0
        return self._moment(None, self._advance(np.ones(1, bool)))

    def step(self, action: np.ndarray) -> Moment | Outcome:
        """Play an action, int32 [1]."""
        pool, skill = self._pool, self._options.running
        pool.step(action)
        self._step += 1
        over = pool.ended != End.NOT
        reward = self._reward_of(skill, over)
        seen = judged_step(pool, np.ones(1, bool))
        decided = self._judge.update(seen, np.ones(1, bool))
        if decided[0] or over[0]:
            return self._outcome(bool(self._judge.achieved[0]), int(seen.state["deepest"][0]), reward)
        return self._moment(reward, self._advance(np.zeros(1, bool)))

    def _advance(self, fresh: np.ndarray) -> Switch | None:
        """Lets the program decide; returns the switch, if there is one."""
        pool, options = self._pool, self._options
        ended = np.where(fresh, -1, options.running)
        if fresh[0]:
            options.advance(pool.state, fresh)
            seen = options.full_state(pool.state)
        else:
            seen = options.full_state(pool.state)
            options.advance(pool.state, fresh)
        found = self._decisions.follow(seen, ended, options.running, options.switched)
        if 0 not in found:
            return None
        before = self._config.skills[ended[0]] if ended[0] >= 0 else ""
        why = REASONS[CallEnd(int(options.reason[0]))] if before else ""
        return Switch(before, why, found[0].words, options.told.get(0, ""))

    def _reward_of(self, skill: np.ndarray, over: np.ndarray) -> float | None:
        """As in training (`train.environment`)."""
        if self._reward is None:
            return None
        pool = self._pool
        text = np.where(over[:, None], pool.final["message"], pool.obs["message"])
        depth = np.where(over, pool.final_state["depth"], pool.state["depth"])
        changes = pool.changes.copy()
        changes[:, self._untold] = 0
        changes[:, DEPTH_CHANGE] = depth_codes(self._options.start_depth, depth)
        return float(self._reward(self._reward.messages.numbers(text), changes, skill, over)[0])

    def _moment(self, reward: float | None, switch: Switch | None) -> Moment:
        obs = self._pool.obs
        chars, colours, cursor = (obs[name][0].copy() for name in SCREEN)
        message = obs["message"][0].tobytes().rstrip(b"\0").decode("latin-1")
        state = {name: int(value[0]) for name, value in self._pool.state.items()}
        skill = int(self._options.running[0])
        return Moment(self._step, chars, colours, cursor, message, state, skill, reward, switch)

    def _outcome(self, achieved: bool, deepest: int, reward: float | None) -> Outcome:
        end = End(int(self._pool.ended[0]))
        words = {
            End.DEATH: cause_of_death(bytes(self._pool.cause[0])),
            End.LEFT: "the agent left the dungeon",
            End.TRUNCATED: "no success before the last step"
            if self._task.can_succeed
            else "the last step was played",
            End.NOT: "the task can no longer be achieved",
            End.LOST: "the game's process died",
        }
        return Outcome(self._step, achieved, "success" if achieved else words[end], deepest, reward)
