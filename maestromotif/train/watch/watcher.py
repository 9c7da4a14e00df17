"""Plays the config's first task with the newest policy while training goes on, within a share of its time.

An evaluation begins when it is due and the budget has saved up the time of the last one. It is played in
pieces, of one step of all its games or one replay, between updates: after the actors' next rollouts are
queued and before the learner waits for them. So the actors go on playing in a pause, and where they are
slower than the learner, most of the pause is time in which it would wait anyway. A thread would take the time
of the actors' threads unseen; pieces are counted, so the budget is kept to the length of one. The parameters
are those of the update at which the evaluation began.

Nothing here touches the state of training: the games have workers of their own, and the draws keys of their
own. A failure is a warning.
"""

import json
import logging
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from maestromotif.agent import playing
from maestromotif.agent.episodes import Episode, LostGamesError, play_wave
from maestromotif.agent.inputs import Block
from maestromotif.agent.network import ActorCritic, Params
from maestromotif.agent.policy import POLICY, Acting, fresh_carry, make_acting
from maestromotif.agent.reward import RewardFunction, Scorer
from maestromotif.agent.saved_policy import policy_bytes
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.pool.pool import GamePool, open_pool
from maestromotif.pipeline.store import SCRATCH, Work
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.reading import read_text
from maestromotif.skill import skills_of
from maestromotif.tasks.task import steps_of, tasks_of
from maestromotif.tracking.tracker import Tracker
from maestromotif.train.learner import on_host
from maestromotif.train.schedule import Schedule
from maestromotif.train.watch.budget import Budget
from maestromotif.train.watch.figures import (
    COLUMNS,
    EPISODES,
    REPLAY,
    SECONDS,
    Seen,
    figures,
    table,
    title,
    to_show,
)

log = logging.getLogger("maestromotif")

FOLDER = f"{SCRATCH}/watch"
_STATE = f"{FOLDER}/state.json"  # the step of the next evaluation, and the best score so far
_PAUSE = 1.0  # seconds that training waits at a time; longer only for a piece that takes longer
_FAILURES = 3  # in a row, after which no evaluation is tried any more
_MANY = 20  # a training with room for so many evaluations begins with one of the untrained policy
_KEPT = 5  # newest policies that stay on the disk until training ends
_WAVE = 0  # every evaluation plays the same episodes, so figures and replays of different steps compare
# Kinds of pieces, and seconds that the first one of a kind is expected to take.
_COMPILE, _OPEN, _STEP, _TELL, _SHOW = "compile", "open", "step", "tell", "show"
_GUESSES = {_COMPILE: 2.0, _OPEN: 1.0, _SHOW: 1.0}

Pieces = Generator[str, None, None]  # yields the kind of the next piece


class Watcher:
    """Evaluates the policy during a training. A context manager; on exit it ends its games.

    first: number of updates done when training begins or resumes. tracker: gets what `figures.LOGGED` lists,
    and the policies.
    """

    def __init__(
        self, config: Config, network: ActorCritic, plan: Schedule, work: Work, tracker: Tracker, first: int
    ) -> None:
        tracking, levels = config.tracking, config.nethack.levels
        assert tracking.evaluate_steps is not None
        self._config, self._network, self._plan = config, network, plan
        self._work, self._tracker = work, tracker
        self._every, self._games = tracking.evaluate_steps, tracking.evaluate_episodes
        self._levels: dict[str, int | None] = {"new": None} | ({} if levels is None else {"seen": levels})
        self._first, self._skills, self._task = first, skills_of(config), tasks_of(config)[0]
        many = config.train.steps >= _MANY * self._every
        state = _read(work.path / _STATE, {"due": 0 if many else self._every, "best": -1.0})
        self._due, self._best = int(state["due"]), float(state["best"])
        self._failures = 0
        self._cost = 0.0  # seconds of the last evaluation; 0 before the first one
        self._running: Pieces | None = None
        self._kind: str | None = None  # of the next piece
        self._step = 0  # environment steps after which the evaluation began that is running
        self._stack = ExitStack()
        self._pools: dict[str, GamePool] = {}  # by place
        self._acting: Acting | None = None
        self.budget = Budget(tracking.evaluate_share, _GUESSES)

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        if self._running is not None:
            log.debug("train: the evaluation after %s steps is not finished", f"{self._step:,}")
        self._stop()

    def go_on(self, update: int, params: Params, scorer: Scorer) -> None:
        """Call it between updates: play as many pieces as the budget allows, for about a second at most.

        update: number of updates done; params: the newest, on this process's first device; they must not be
        donated. scorer: the newest, for the rewards that replays show. An evaluation keeps the arguments with
        which it began.
        """
        try:
            if self._running is None:
                self._begin(update, params, scorer)
            began = time.perf_counter()
            while (
                self._running is not None
                and self._kind is not None
                and self.budget.covers(self._kind)
                and time.perf_counter() - began < _PAUSE
            ):
                with self.budget.piece(self._kind):
                    self._kind = next(self._running, None)
                if self._kind is None:
                    self._running = None
        except Exception as error:
            self._fail(error)

    def _begin(self, update: int, params: Params, scorer: Scorer) -> None:
        """Begin an evaluation if it is due and as much is left as the last one took.

        What the first one takes is unknown, so it begins at once and its pieces wait instead.
        """
        env_step, budget = update * self._plan.steps, self.budget
        if env_step < self._due or self._failures >= _FAILURES:
            return
        if budget.affords(self._cost):
            self._step, self._running = env_step, self._evaluate(update, params, scorer)
            self._kind = _STEP if self._pools else _OPEN if self._acting else _COMPILE
        elif update > self._first:
            rest = budget.elapsed / (update - self._first) * (self._plan.updates - update)
            if not budget.affords(self._cost, later=rest):
                log.debug("train: no further evaluation: it would not be finished before training is")
                self._due = self._plan.updates * self._plan.steps

    def _prepare(self, params: Params) -> Pieces:
        """Before the first evaluation: compiles, and opens the games."""
        self._compiled(params)
        pools: dict[str, GamePool] = {}
        for place, levels in self._levels.items():
            yield _OPEN
            steps = steps_of(self._task, self._config)
            pools[place] = self._stack.enter_context(
                open_pool(self._config, "watch", self._games, steps, levels, leave=self._task.leaves)
            )
        yield _STEP
        self._pools = pools

    def _evaluate(self, update: int, params: Params, scorer: Scorer) -> Pieces:
        """One evaluation."""
        if not self._pools:
            yield from self._prepare(params)
        env_step, spent = update * self._plan.steps, self.budget.spent
        acting = self._compiled(params)
        played: dict[str, list[Episode]] = {}
        for place, levels in self._levels.items():
            played[place] = yield from self._play(self._pools[place], acting, update, params, levels)
        yield _TELL
        self._tell(env_step, played, params, self.budget.spent - spent)
        for skill, episode in to_show(played["new"], len(self._skills)).items():
            yield _SHOW
            name = self._config.skills[skill]
            caption = title(name, env_step, episode, self._task.can_succeed)
            html = self._page(episode, scorer, caption)
            self._tracker.page(env_step, REPLAY.name.format(skill=name), html, caption)
        self._cost, self._failures = self.budget.spent - spent, 0
        self._due = (env_step // self._every + 1) * self._every
        self._work.write_json(_STATE, {"due": self._due, "best": self._best})

    def _play(
        self, pool: GamePool, acting: Acting, update: int, params: Params, levels: int | None
    ) -> Generator[str, None, list[Episode]]:
        task, seed = self._task, self._config.run.seed
        key = jax.random.fold_in(jax.random.key(seed + 4), update)
        policy = playing.network_policy(pool, self._network, params, key, {self._games: acting})
        with ProgramHost(self._program(), self._skills, pool.games, seed, task.program) as host:
            steps = play_wave(pool, policy, host, task, seed, _WAVE, levels, "watch")
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return list(end.value)
                yield _STEP

    def _tell(
        self, env_step: int, played: Mapping[str, list[Episode]], params: Params, seconds: float
    ) -> None:
        """Logs an evaluation: its row, its episodes and the policy."""
        confidence = self._config.evaluate.confidence
        has_end = self._task.can_succeed
        row = figures(played, self._config.skills, confidence, has_end)
        self._tracker.row(env_step, row | {SECONDS.name: round(seconds, 3)})
        self._tracker.table(env_step, EPISODES.name, COLUMNS, table(played))
        name = f"{FOLDER}/{env_step}/{POLICY}"
        self._forget()
        self._work.write_bytes(name, policy_bytes(self._config, on_host(params), probed=False))
        success = Seen(played["new"], confidence)
        share, interval = success.share(lambda one: one.success), success.success()
        depth = row["watch/new/deepest_mean"]
        score = share if has_end else depth
        is_best = score > self._best
        self._best = max(score, self._best)
        aliases = [f"step-{env_step}", *(["best"] if is_best else [])]
        self._tracker.artefact("policy", "policy", self._work.path / name, aliases=aliases)
        dungeons = f"{len(played['new'])} new dungeons"
        if has_end:
            bounds = f"{100 * interval.low:.0f} to {100 * interval.high:.0f} %"
            done = f"the task succeeds in {100 * share:.0f} % of {dungeons} ({bounds}); mean deepest level"
        else:
            done = f"the mean deepest level in {dungeons} is"
        log.info("train: after %s steps %s %.2f; played in %.1f s", f"{env_step:,}", done, depth, seconds)

    def _forget(self) -> None:
        """Remove old policies, which the tracker has passed on."""
        old = sorted(int(path.parent.name) for path in (self._work.path / FOLDER).glob(f"*/{POLICY}"))
        for env_step in old[: 1 - _KEPT]:
            shutil.rmtree(self._work.path / FOLDER / str(env_step), ignore_errors=True)

    def _page(self, episode: Episode, scorer: Scorer, caption: str) -> str:
        """The HTML page of a replay."""
        # Here, because nothing else in the stage needs it.
        from maestromotif.replay.page import page
        from maestromotif.replay.record import play_again

        reward = RewardFunction(scorer, self._config.reward, games=1)
        return page(
            play_again(
                self._config.nethack, self._skills, self._program(), reward, episode, caption, label=caption
            )
        )

    def _compiled(self, params: Params) -> Acting:
        """The policy's functions; compiles them the first time."""
        if self._acting is None:
            acting, layout = (
                make_acting(self._network, self._games, 1),
                Block(self._games, self._network.form),
            )
            carry = jax.device_put(fresh_carry(self._network, self._games))
            _, action = acting.choose(params, carry, np.zeros(layout.size, np.uint8), jax.random.key(0), 0)
            jax.block_until_ready(action)
            self._acting = acting
        return self._acting

    def _program(self) -> str:
        return read_text(Path(self._task.program))

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        self._due = (self._step // self._every + 1) * self._every
        why = "a worker of its games died" if isinstance(error, LostGamesError) else str(error) or repr(error)
        last = "; no further one is tried" if self._failures == _FAILURES else ""
        log.warning("train: no evaluation after %s steps: %s%s", f"{self._step:,}", why, last)
        if not isinstance(error, (LostGamesError, UserError)):
            log.debug("train: the evaluation failed", exc_info=error)
        self._stop()

    def _stop(self) -> None:
        """End what is running, and the games."""
        running, self._running = self._running, None
        self._pools = {}
        try:
            if running is not None:
                running.close()
            self._stack.close()
        except Exception as error:
            log.debug("train: ending the evaluation's games failed", exc_info=error)


def _read(path: Path, otherwise: dict[str, Any]) -> dict[str, Any]:
    """A state that was written before; `otherwise` if there is none or it is damaged."""
    try:
        state = json.loads(path.read_text())
        return {name: type(value)(state[name]) for name, value in otherwise.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return otherwise
