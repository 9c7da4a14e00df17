"""A Gymnasium environment in which an action is a skill: trained skills for a controller of one's own.

    env = SkillEnv("policies/trained/six_skills", task="down_and_back")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.skills.index("discoverer"))

One step is one call of a skill: the trained policy plays it until the skill's own program ends it, after
`call_steps` environment steps, or until the episode ends. So steps take different times (options in a
semi-Markov decision process, Sutton, Precup and Singh 1999); `info["steps"]` is the length of the call. As
under a program over skills, a call goes on for as long as no skill may start.

Registered as "maestromotif/Skills-v0" when this module is imported, which Gymnasium does by itself:

    gymnasium.make("maestromotif.evaluate.skill_env:maestromotif/Skills-v0", run=..., task=...)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from maestromotif.agent.choices import Choices
from maestromotif.agent.episodes import LostGamesError, judged_step
from maestromotif.agent.network import build
from maestromotif.agent.options import CallStart
from maestromotif.agent.playing import batches, network_policy
from maestromotif.errors import UserError
from maestromotif.evaluate.run_folder import RunFolder
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import open_pool
from maestromotif.nethack.seeds import Purpose, episode_seeds
from maestromotif.nethack.state import FIELDS
from maestromotif.skill import skills_of
from maestromotif.tasks.expressions import Step
from maestromotif.tasks.task import Judge, Task, load, steps_of

__all__ = ["SkillEnv"]

_REWARDS = ("success", "progress", "measure")
_PURPOSES: dict[str, Purpose] = {"train": "train", "evaluate": "evaluate"}
_EPISODES = 2**31  # an episode without a seed is one of the first so many
_ALL = np.ones(1, bool)


class SkillEnv(gymnasium.Env[np.ndarray, np.int64]):
    """One game of NetHack, played by trained skills that the caller chooses. A context manager.

    Actions: Discrete(K), the skill's index in `skills`. If that skill may not start, the first one that may
    runs instead, and `info["skill"]` differs from `info["asked"]`. `action_masks` and `info["action_mask"]`
    say which may start; at least one always may.

    Observations: Box int32 [F], the fields of GameState in the order of `fields`, with the least and greatest
    values that the game can give as bounds. A bool is 0 or 1; `skill` is the index of the skill that ran
    last, -1 at the beginning; the other fields about the skill are about its call.

    Rewards, summed over the steps of the call: "success": 1 for the step that achieves the task.
    "progress": the increase of the task's progress in [0, 1] (`tasks.task.Judge`). "measure": the increase of
    what the task measures, from 0 on; of the deepest level, if the task has neither conditions nor a measure.

    An episode is terminated when the task is achieved or can no longer be, at the hero's death, and when the
    hero leaves the dungeon; it is truncated at its last environment step.

    info, after `reset` and `step`:

        action_mask   int8 [K], 1 for the skills that may start; all 1 after the end of an episode
        state         dict of all fields of GameState; `skill` is a name
        seeds         (core, disp, lgen) of NetHack's generators
        episode       number of the episode
        steps, turns  environment steps and game turns of the call; 0 after `reset`
        skill, asked  names of the skill that ran, and of the one that was asked for; "" after `reset`
        ended         why the call ended: "skill" (its own program), "steps" (`call_steps`), "episode";
                      "" after `reset`
        end           how the episode ended: "success", "failure", "death", "left", "truncated"; "" before
        success, progress, measured
                      what the task's judge says so far; measured is None if the task measures nothing
        cause         of death, in NetHack's words; "" without one

    run: a run's folder, a checkpoint or a policy in one, or the folder of a shipped policy. task: a name in
    the run's folder of tasks, or a `Task`; None: the run's first. seed: with the number of an episode it
    determines the episode; None: the run's. purpose: which episodes; "evaluate" are those of evaluations,
    which no training uses, so let a controller learn in "train". arena: where episodes begin; None: the
    dungeon. max_steps: environment steps of an episode; None: the task's. call_steps: of a call; None: no
    limit but the skill's own.

    `reset(seed=n)` plays episode number n, bit for bit the same for the same actions. Without a seed the
    number is drawn from `np_random`, which the last `reset(seed=n)` seeded.

    Raises UserError for a run, task, arena or number that is wrong, and if a skill's program fails;
    `agent.episodes.LostGamesError` if the game's process dies, after which `reset` begins another episode.
    """

    metadata = {"render_modes": []}  # noqa: RUF012, as in Gymnasium

    def __init__(
        self,
        run: str | Path,
        task: str | Task | None = None,
        *,
        seed: int | None = None,
        purpose: str = "train",
        arena: str | None = None,
        max_steps: int | None = None,
        call_steps: int | None = None,
        reward: str = "success",
    ) -> None:
        folder = RunFolder(Path(run))
        config = folder.config
        if seed is not None:
            config = config.model_copy(update={"run": config.run.model_copy(update={"seed": seed})})
        if isinstance(task, Task):
            self.task = task
        else:
            self.task = folder.task if task is None else load(config.tasks_folder, task)
        _check(self.task, reward, purpose, max_steps, call_steps)
        self.config, self._reward, self._call_steps = config, reward, call_steps
        self._purpose = _PURPOSES[purpose]
        self._levels = config.nethack.levels if purpose == "train" else None
        self._skills = skills_of(config)
        self.skills = tuple(config.skills)
        self.fields = tuple(FIELDS)
        self.action_space = spaces.Discrete(len(self.skills))
        self.observation_space = _observations(len(self.skills))
        self._network = build(config.train.network, len(self.skills))
        self.version = folder.newest(self._network)
        self._acting = batches(self._network, 1)
        self._choices: Choices | None = None
        self._playing = False
        self._pool = open_pool(
            config,
            self._purpose,
            1,
            steps_of(self.task, config) if max_steps is None else max_steps,
            self._levels,
            arena,
            leave=self.task.leaves,
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins the episode with the number `seed`, at least 0; None: one that is drawn. No options."""
        super().reset(seed=seed)
        number = int(self.np_random.integers(_EPISODES)) if seed is None else int(seed)
        run_seed, pool = self.config.run.seed, self._pool
        self._playing = False
        if self._choices is not None:
            self._choices.close()
        pool.reset(number)
        self._number = number
        self._seeds = episode_seeds(self._purpose, run_seed, 0, number, self._levels)
        key = jax.random.fold_in(jax.random.key(run_seed + 3), number)
        self._policy = network_policy(pool, self._network, self.version.params, key, self._acting)
        self._judge = Judge(self.task, 1)
        self._judge.begin(_ALL, pool.state)
        self._choices = Choices(self._skills, run_seed + number, self.config.skills_folder)
        self._call, self._running, self._steps, self._paid = CallStart(1), -1, 0, 0.0
        self._call.begin(pool.state, _ALL)
        state = self._call.full_state(pool.state)
        self._may_start = self._choices.begin(state)
        self._playing = True
        told = {"steps": 0, "turns": 0, "skill": "", "asked": "", "ended": "", "end": "", "cause": ""}
        verdict = {"success": False, "progress": 0.0, "measured": None}
        return self._observation(state), self._info(state, told | verdict)

    def step(self, action: np.int64 | int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Calls a skill and plays until the call ends. Raises ValueError for a number of no skill."""
        if not self._playing or self._choices is None:
            raise gymnasium.error.ResetNeeded("the episode is over, or none has begun; call reset")
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r}: must be the index of a skill, 0 to {len(self.skills) - 1}")
        asked = int(action)
        self._running = asked if self._may_start[asked] else int(np.argmax(self._may_start))
        self._call.begin(self._pool.state, _ALL)
        began_at, began_turn = self._steps, int(self._pool.state["turn"][0])
        ended, seen, decided = "", None, False
        while not ended:
            seen, decided = self._play()
            ended = self._end_of_call(seen, decided, self._steps - began_at)
        assert seen is not None
        end = End(int(seen.ended[0]))
        state = self._call.full_state(seen.state)
        verdict = self._judge.verdict(0)
        terminated = decided or end in (End.DEATH, End.LEFT)
        truncated = end is End.TRUNCATED and not terminated
        if terminated or truncated:
            self._playing = False
            self._may_start = np.ones(len(self.skills), bool)
        told = {
            "steps": self._steps - began_at,
            "turns": int(state["turn"][0]) - began_turn,
            "skill": self.skills[self._running],
            "asked": self.skills[asked],
            "ended": ended,
            "end": "" if self._playing else _end(verdict["success"], end),
            "cause": seen.causes.get(0, ""),
            **{name: verdict[name] for name in ("success", "progress", "measured")},
        }
        info = self._info(state, told)
        return self._observation(state), self._earned(info), terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """Which skills may start now, bool [K]; the name and form that sb3-contrib's MaskablePPO expects."""
        return self._may_start.copy()

    def close(self) -> None:
        """Ends the game's process and the sandbox. Safe to call twice."""
        self._playing = False
        if self._choices is not None:
            self._choices.close()
            self._choices = None
        self._pool.close()

    def _play(self) -> tuple[Step, bool]:
        """One environment step: what the judge saw, and whether the task is decided."""
        pool = self._pool
        action = self._policy(
            np.array([self._steps == 0]), np.array([self._running], np.int32), _ALL, self._steps
        )
        pool.step(action)
        if pool.ended[0] == End.LOST:
            self._playing = False
            raise LostGamesError(
                f"the process of the game died in episode {self._number} after {self._steps} steps, so the "
                "episode has no result; call reset. Is memory short?"
            )
        self._steps += 1
        seen = judged_step(pool, _ALL)
        return seen, bool(self._judge.update(seen, _ALL)[0])

    def _end_of_call(self, seen: Step, decided: bool, steps: int) -> str:
        """Why the call ends with this step, "" if it goes on. Takes in which skills may start."""
        assert self._choices is not None
        if decided or seen.ended[0] != End.NOT:
            return "episode"
        self._may_start, ended = self._choices.ask(self._call.full_state(seen.state), self._running)
        if not self._may_start.any():
            return ""
        if ended:
            return "skill"
        return "steps" if self._call_steps is not None and steps >= self._call_steps else ""

    def _earned(self, info: Mapping[str, Any]) -> float:
        """The reward of the call: what the episode has earned, less what was paid before."""
        if self._reward == "measure":
            earned = info["state"]["deepest"] if self.task.measure is None else info["measured"]
        else:
            earned = info[self._reward]
        before, self._paid = self._paid, float(earned)
        return self._paid - before

    def _observation(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.array(
            [self._running if name == "skill" else int(state[name][0]) for name in self.fields], np.int32
        )

    def _info(self, state: Mapping[str, np.ndarray], told: dict[str, Any]) -> dict[str, Any]:
        values = {name: FIELDS[name].type(state[name][0]) for name in self.fields if name != "skill"}
        return {
            "action_mask": self._may_start.astype(np.int8),
            "state": {name: told["skill"] if name == "skill" else values[name] for name in self.fields},
            "seeds": tuple(self._seeds),
            "episode": self._number,
            **told,
        }


def _check(task: Task, reward: str, purpose: str, max_steps: int | None, call_steps: int | None) -> None:
    """Raises UserError for a number that is too small, and a reward that the task cannot give."""
    for name, value in (("max_steps", max_steps), ("call_steps", call_steps)):
        if value is not None and value < 1:
            raise UserError(f"SkillEnv: {name} must be at least 1, got {value}")
    for name, given, known in (("reward", reward, _REWARDS), ("purpose", purpose, _PURPOSES)):
        if given not in known:
            raise UserError(f"SkillEnv: {name} must be one of {', '.join(known)}, got {given!r}")
    if reward == "measure" and task.measure is None and task.can_succeed:
        raise UserError(f"{task.path}: has no 'measure'; use reward='success' or reward='progress'")
    if reward != "measure" and not task.can_succeed:
        raise UserError(f"{task.path}: has no 'success', so nothing earns reward={reward!r}; use 'measure'")


def _observations(skills: int) -> spaces.Box:
    bounds = {name: (0, 1) if field.type is bool else field.range for name, field in FIELDS.items()}
    bounds["skill"] = (-1, skills - 1)
    low, high = np.array(list(bounds.values()), np.int32).T
    return spaces.Box(low, high, dtype=np.int32)


def _end(success: bool, end: End) -> str:
    """How an episode ended, in the words of `agent.episodes.Episode`."""
    return "success" if success else "failure" if end is End.NOT else end.name.lower()


gymnasium.register("maestromotif/Skills-v0", "maestromotif.evaluate.skill_env:SkillEnv")
