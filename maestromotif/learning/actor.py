"""Play for the learner: the policy, the program over skills and the rewards, step by step over N games.

The order of things in one step: the policy acts under skill k_t; the games move on; the step is rewarded by
the model of k_t on what is seen after it; then the program says which skill acts next.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maestromotif.learning.network import ActorCritic, Inputs, Params, apply_step, pick
from maestromotif.learning.options import Options
from maestromotif.learning.ppo import Batch
from maestromotif.learning.reward import RewardFunction
from maestromotif.nethack.game import End
from maestromotif.nethack.pool import GamePool, Snapshot
from maestromotif.nethack.state import SENSES, depth_codes
from maestromotif.settings import LearningSettings

_FLAGS = ("downstairs_seen", "upstairs_seen", "on_downstairs", "on_upstairs")
# One square (or step) gives 0.24, eight give 0.96: a direction is clear at any distance.
_NEAR = 4.0


def observe(
    chars: np.ndarray,
    colors: np.ndarray,
    blstats: np.ndarray,
    state: Mapping[str, np.ndarray],
    words: np.ndarray,
    last_action: np.ndarray,
) -> Inputs:
    """The network's inputs from arrays [N, ...], copied: the pool's arrays change with the next step."""
    senses = [np.tanh(state[name] / _NEAR) for name in SENSES] + [state[name] for name in _FLAGS]
    return Inputs(
        chars.copy(),
        colors.copy(),
        blstats.astype(np.float32),
        words,
        np.stack(senses, -1).astype(np.float32),
        last_action.astype(np.int32),
    )


Act = Callable[..., tuple[jax.Array, jax.Array, jax.Array, jax.Array]]


def make_act(network: ActorCritic) -> Act:
    """Jitted policy step of N games, which samples the actions.

    (params, obs, first [N], memory [N, H], skill [N], key, count) -> memory, action, log_prob, values [N, K].
    The key is folded with `count`, so that a run that is taken up again draws the same.
    """

    @jax.jit
    def act(
        params: Params,
        obs: Inputs,
        first: jax.Array,
        memory: jax.Array,
        skill: jax.Array,
        key: jax.Array,
        count: jax.Array,
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        memory, logits, values = apply_step(network, params, obs, first, memory)
        logits = pick(logits, skill)
        action = jax.random.categorical(jax.random.fold_in(key, count), logits)
        return memory, action, pick(jax.nn.log_softmax(logits), action), values

    return act


class Actor:
    """Fills rollouts [T, N] and tells what happened in them."""

    def __init__(
        self,
        pool: GamePool,
        options: Options,
        reward: RewardFunction,
        network: ActorCritic,
        settings: LearningSettings,
        key: jax.Array,
    ) -> None:
        self._pool, self._options, self._reward = pool, options, reward
        self._settings, self._key = settings, key
        self._act = make_act(network)
        games = pool.games
        self._memory = jnp.zeros((games, network.hidden))
        self._first = np.ones(games, np.float32)
        self._last_action = np.full(games, -1, np.int32)
        self._count = 0

    def begin(self) -> None:
        """Start all games' first episodes."""
        self._pool.reset()
        self._options.advance(self._pool.state, np.ones(self._pool.games, bool))

    def rollout(self, params: Params) -> tuple[Batch, dict[str, np.ndarray]]:
        """Play T steps; returns the batch and what happened, by step and game.

        happened: skill int32, reward float32, switched bool, ended uint8, deepest int32, all [T, N].
        """
        length = self._settings.rollout
        memory_before = np.asarray(self._memory)
        rows: list[dict[str, Any]] = []
        for _ in range(length):
            rows.append(self._step(params))
        last_values = self._evaluate(params, self._inputs(), self._first)

        def column(name: str) -> np.ndarray:
            return np.stack([row[name] for row in rows])

        skill, switched, ended = column("skill"), column("switched"), column("ended")
        values_tbk = np.concatenate([column("values"), last_values[None]])
        over = ended != End.NOT
        next_skill = np.concatenate([skill[1:], self._options.running[None]])
        chosen = next_skill if self._settings.bootstrap == "next" else skill
        next_value = np.take_along_axis(values_tbk[1:], chosen[..., None], -1)[..., 0]
        if self._settings.bootstrap == "none":
            next_value = np.where(switched, 0, next_value)
        next_value = np.where(over, column("final_value"), next_value)
        batch = Batch(
            obs=Inputs(*(np.stack(part) for part in zip(*(row["obs"] for row in rows), strict=True))),
            first=column("first"),
            skill=skill,
            action=column("action"),
            log_prob=column("log_prob"),
            value=np.take_along_axis(values_tbk[:-1], skill[..., None], -1)[..., 0],
            next_value=next_value.astype(np.float32),
            reward=column("reward"),
            cont=(~np.isin(ended, (End.DEATH, End.LEFT))).astype(np.float32),
            same=(~(switched | over)).astype(np.float32),
            memory=memory_before,
        )
        happened = {
            "skill": skill,
            "reward": batch.reward,
            "switched": switched | over,
            "ended": ended,
            "deepest": column("deepest"),
        }
        return batch, happened

    def snapshot(self) -> dict[str, Any]:
        games = self._pool.snapshot()
        return {
            "episode": games.episode,
            "actions": games.actions,
            "options": self._options.snapshot(),
            "reward": self._reward.snapshot(),
            "memory": np.asarray(self._memory),
            "first": self._first,
            "last_action": self._last_action,
            "count": self._count,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._pool.restore(Snapshot(np.array(snapshot["episode"]), list(snapshot["actions"])))
        self._options.restore(snapshot["options"])
        self._reward.restore(snapshot["reward"])
        self._memory = jnp.asarray(snapshot["memory"])
        self._first, self._last_action = np.array(snapshot["first"]), np.array(snapshot["last_action"])
        self._count = int(snapshot["count"])

    def _inputs(self) -> Inputs:
        table, obs = self._reward.messages, self._pool.obs
        words = table.words[table.numbers(obs["message"])]
        return observe(
            obs["chars"], obs["colors"], obs["blstats"], self._pool.state, words, self._last_action
        )

    def _evaluate(self, params: Params, obs: Inputs, first: np.ndarray) -> np.ndarray:
        """Values [N, K] of observations that are not acted on."""
        skill = np.maximum(self._options.running, 0)
        return np.asarray(self._act(params, obs, first, self._memory, skill, self._key, 0)[3])

    def _step(self, params: Params) -> dict[str, Any]:
        pool, options = self._pool, self._options
        skill, first, obs = options.running, self._first, self._inputs()
        self._count += 1
        self._memory, action, log_prob, values = self._act(
            params, obs, first, self._memory, skill, self._key, self._count
        )
        row: dict[str, Any] = {
            "obs": obs,
            "skill": skill,
            "first": first,
            "action": np.asarray(action),
            "values": np.asarray(values),
        }
        pool.step(row["action"])
        ended = pool.ended.copy()
        over = ended != End.NOT
        row |= {"log_prob": np.asarray(log_prob), "ended": ended, "deepest": self._seen("deepest", over)}
        # Nobody saw what a lost game came to.
        row["reward"] = np.where(ended == End.LOST, 0, self._score(skill, over)).astype(np.float32)
        row["final_value"] = self._final_value(params, skill, row["action"], ended)
        self._first = over.astype(np.float32)
        self._last_action = np.where(over, -1, row["action"]).astype(np.int32)
        options.advance(pool.state, over)
        row["switched"] = options.switched
        return row

    def _seen(self, name: str, over: np.ndarray) -> np.ndarray:
        return np.where(over, self._pool.final_state[name], self._pool.state[name])

    def _score(self, skill: np.ndarray, over: np.ndarray) -> np.ndarray:
        pool = self._pool
        message = np.where(over[:, None], pool.final["message"], pool.obs["message"])
        changes = pool.changes.copy()
        changes[:, 0] = depth_codes(self._options.start_depth, self._seen("depth", over))
        return self._reward(self._reward.messages.numbers(message), changes, skill, over)

    def _final_value(
        self, params: Params, skill: np.ndarray, action: np.ndarray, ended: np.ndarray
    ) -> np.ndarray:
        """Value float32 [N] of the last observation where an episode was cut off, 0 elsewhere."""
        cut = ended == End.TRUNCATED
        if not cut.any():
            return np.zeros(len(cut), np.float32)
        pool, table = self._pool, self._reward.messages
        words = table.words[table.numbers(pool.final["message"])]
        final = pool.final
        obs = observe(final["chars"], final["colors"], final["blstats"], pool.final_state, words, action)
        values = self._evaluate(params, obs, np.zeros(len(cut), np.float32))
        return np.where(cut, np.take_along_axis(values, skill[:, None], 1)[:, 0], 0).astype(np.float32)
