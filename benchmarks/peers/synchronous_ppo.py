"""Synchronous recurrent PPO in JAX, in the style of CleanRL: one file, one loop, one process per game.

    python benchmarks/peers/synchronous_ppo.py [--games 64] [--seconds 60] ...

For a rollout, the policy acts on all games and Gymnasium's AsyncVectorEnv steps them all, in alternation.
Then the policy learns from the rollout while the games wait. It is CleanRL's ppo_atari_lstm with CleanRL's
JAX idioms (jitted functions for acting, advantages and updates) and the network of our learner. As in
CleanRL, a minibatch is whole rollouts of some of the games, and the rollout stores raw observations.

It runs in our Python environment. Progress goes to stderr; the last line of stdout is one JSON object.
"""

import json
import math
import multiprocessing
import os
import sys
import threading
import time
import warnings
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.linen.initializers import constant, orthogonal
from game import CLASSES, COLORS, FED, KIND_BITS, KINDS, NUM_ACTIONS, VOCABULARY, Obs, PeerGame, prepare
from gymnasium.vector import AutoresetMode
from meter import Meter, arguments, workplace

Losses = dict[str, Any]

GAMMA, GAE_LAMBDA = 0.99, 0.95
CLIP, ENTROPY_COEF, VALUE_COEF, MAX_GRAD_NORM = 0.2, 0.01, 0.5, 0.5


def coarse(bits: jax.Array) -> jax.Array:
    """Bitwise or over the 3 x 3 cells of [n, h, w]."""
    n, h, w = bits.shape
    bits = jnp.pad(bits, ((0, 0), (0, -h % 3), (0, -w % 3)))
    cells = bits.reshape(n, bits.shape[1] // 3, 3, bits.shape[2] // 3, 3)
    reduced: jax.Array = jax.lax.reduce(cells, np.uint8(0), jax.lax.bitwise_or, (2, 4))
    return reduced


def window(map_nhw: jax.Array, x: jax.Array, y: jax.Array, height: int, width: int) -> jax.Array:
    """Windows [n, height, width] of the maps, centred on (x, y) and padded with 0."""
    padded = jnp.pad(map_nhw, ((0, 0), (height // 2,) * 2, (width // 2,) * 2))
    return jax.vmap(lambda m, y, x: jax.lax.dynamic_slice(m, (y, x), (height, width)))(padded, y, x)


def unpack(bits: jax.Array) -> jax.Array:
    return ((bits[..., None] >> jnp.arange(len(KINDS), dtype=jnp.uint8)) & 1).astype(jnp.float32)


def patches(image: jax.Array) -> jax.Array:
    """[n, 9, 9, C] as nine patches of 3 x 3: [n, 9, 9 * C]."""
    n, c = image.shape[0], image.shape[-1]
    return image.reshape(n, 3, 3, 3, 3, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, 9, 9 * c)


class Trunk(nn.Module):
    """Our default trunk: see `maestromotif.agent.network.Fovea`."""

    hidden: int

    @nn.compact
    def __call__(self, obs: Any) -> jax.Array:
        def dense(size: int, value: jax.Array) -> jax.Array:
            return nn.relu(nn.Dense(size, kernel_init=orthogonal(np.sqrt(2)))(value))

        chars, blstats = obs["chars"], obs["blstats"]
        n, half = len(chars), self.hidden // 2
        x, y = blstats[:, 0].astype(jnp.int32), blstats[:, 1].astype(jnp.int32)
        squares = chars.astype(jnp.uint16) * COLORS + (obs["colors"].astype(jnp.uint16) & (COLORS - 1))
        bits = jnp.asarray(KIND_BITS)[chars]
        cells = coarse(bits)

        near = window(squares, x, y, 9, 9).astype(jnp.int32)
        kinds = unpack(jnp.asarray(KIND_BITS)[near // COLORS])
        embedded = nn.Embed(256 * COLORS, 8, embedding_init=nn.initializers.normal(0.5))(near)
        near = dense(32, patches(jnp.concatenate([embedded, kinds], -1)))
        near = dense(half, near.reshape(n, -1))

        middle = dense(16, patches(unpack(window(cells, x // 3, y // 3, 9, 9)))).reshape(n, -1)
        far = unpack(window(coarse(cells), x // 9, y // 9, 5, 17)).reshape(n, -1)
        around = dense(half, jnp.concatenate([middle, far], -1))

        words = obs["words"].astype(jnp.int32)
        live = (words > 0).astype(jnp.float32)[..., None]
        message = (nn.Embed(VOCABULARY, 32)(words) * live).sum(1) / jnp.sqrt(1 + live.sum(1))

        stats = jnp.clip(blstats[:, np.array([*FED])] * np.array([*FED.values()], np.float32), -5, 5)
        items = jnp.log1p((obs["inventory"][..., None] == jnp.arange(CLASSES, dtype=jnp.uint8)).sum(1))
        action = jax.nn.one_hot(obs["last_action"][:, 0], NUM_ACTIONS)
        own = dense(half, jnp.concatenate([stats, items, action], -1))
        return dense(self.hidden, jnp.concatenate([near, around, message, own], -1))


class Agent(nn.Module):
    hidden: int

    @nn.compact
    def __call__(self, obs: Obs, first: jax.Array, memory: jax.Array) -> tuple[jax.Array, ...]:
        """From obs [T, N, ...], first bool [T, N], memory [N, H]: memory, logits [T, N, A], values [T, N]."""
        steps, games = first.shape
        flat = jax.tree.map(lambda leaf: leaf.reshape(steps * games, *leaf.shape[2:]), obs)
        x = Trunk(self.hidden)(flat).reshape(steps, games, self.hidden)

        def step(cell: nn.GRUCell, memory: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> Any:
            x, first = inputs
            return cell(jnp.where(first[:, None], 0.0, memory), x)

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        memory, x = scan(nn.GRUCell(self.hidden), memory, (x, first))
        logits = nn.Dense(NUM_ACTIONS, kernel_init=orthogonal(0.01), bias_init=constant(0.0))(x)
        value = nn.Dense(1, kernel_init=orthogonal(1.0), bias_init=constant(0.0))(x)
        return memory, logits, value[..., 0]


class Rollout(NamedTuple):
    """Leaves have shape [T, N, ...], in a minibatch [T, M, ...]."""

    obs: Obs
    first: Any
    action: Any
    log_prob: Any
    value: Any
    advantage: Any


@partial(jax.jit, static_argnums=0)
def act(agent: Agent, params: Any, obs: Obs, first: Any, memory: Any, key: Any) -> tuple[jax.Array, ...]:
    """Samples actions [N]. Also returns their log probabilities, the values, the memory and the next key."""
    obs = jax.tree.map(lambda leaf: leaf[None], obs)
    out: Any = agent.apply(params, obs, first[None], memory)
    memory, logits, value = out
    key, sample = jax.random.split(key)
    action = jax.random.categorical(sample, logits[0])
    log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits[0]), action[:, None], 1)[:, 0]
    return action, log_prob, value[0], memory, key


@jax.jit
def advantages(reward: Any, value: Any, done: Any, last_value: Any) -> jax.Array:
    """Generalised advantage estimation; arrays are [T, N], `last_value` is [N]."""
    following = jnp.concatenate([value[1:], last_value[None]])
    delta = reward + GAMMA * following * (1 - done) - value

    def step(advantage: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        delta, done = inputs
        advantage = delta + GAMMA * GAE_LAMBDA * (1 - done) * advantage
        return advantage, advantage

    return jax.lax.scan(step, jnp.zeros_like(last_value), (delta, done), reverse=True)[1]


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def update(
    agent: Agent,
    optimizer: optax.GradientTransformation,
    params: Any,
    moments: Any,
    batch: Rollout,
    memory: Any,
) -> tuple[Any, Any, Losses]:
    """One step of gradient descent on a minibatch that begins with `memory` [M, H]."""

    def loss(params: Any) -> tuple[jax.Array, Losses]:
        out: Any = agent.apply(params, batch.obs, batch.first, memory)
        _, logits, value = out
        log_probs = jax.nn.log_softmax(logits)
        log_prob = jnp.take_along_axis(log_probs, batch.action[..., None], -1)[..., 0]
        ratio = jnp.exp(log_prob - batch.log_prob)
        advantage = (batch.advantage - batch.advantage.mean()) / (batch.advantage.std() + 1e-8)
        clipped = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
        policy_loss = -jnp.minimum(ratio * advantage, clipped * advantage).mean()
        value_loss = 0.5 * jnp.square(value - (batch.advantage + batch.value)).mean()
        entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean()
        total = policy_loss - ENTROPY_COEF * entropy + VALUE_COEF * value_loss
        return total, {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}

    gradients, losses = jax.grad(loss, has_aux=True)(params)
    updates, moments = optimizer.update(gradients, moments)
    return optax.apply_updates(params, updates), moments, losses


def make_game(folder: Path, max_steps: int) -> PeerGame:
    """Makes a game in its own process, which exits when its parent does, for any reason."""
    if parent := multiprocessing.parent_process():
        wait: Any = parent.join
        threading.Thread(target=lambda: (wait(), os._exit(1)), daemon=True).start()
    return PeerGame(folder, max_steps)


def train(envs: gymnasium.vector.AsyncVectorEnv, options: Any, meter: Meter) -> dict[str, Any]:
    """Trains until the measurement is over. Returns the further figures."""
    games, steps = options.games, options.rollout
    seen: Obs
    seen, _ = envs.reset()
    terminated: np.ndarray
    truncated: np.ndarray
    first = np.ones(games, bool)
    agent = Agent(options.hidden)
    memory = jnp.zeros((games, options.hidden))
    key, init = jax.random.split(jax.random.key(0))
    params = agent.init(init, jax.tree.map(itemgetter(None), seen), first[None], memory)
    optimizer = optax.chain(
        optax.clip_by_global_norm(MAX_GRAD_NORM), optax.adam(options.learning_rate, eps=1e-5)
    )
    moments = optimizer.init(params)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))

    obs = {name: np.zeros((steps, *array.shape), array.dtype) for name, array in seen.items()}
    firsts, dones = np.zeros((steps, games), bool), np.zeros((steps, games), np.float32)
    actions, rewards = np.zeros((steps, games), np.int32), np.zeros((steps, games), np.float32)
    log_probs, values = np.zeros((steps, games), np.float32), np.zeros((steps, games), np.float32)
    rng = np.random.default_rng(0)
    learned, said = 0, time.perf_counter()
    spent = {"games": 0.0, "acting": 0.0, "learning": 0.0}
    while True:
        begin = time.perf_counter()
        memory_before = memory
        for t in range(steps):
            for name, array in seen.items():
                obs[name][t] = array
            firsts[t] = first
            action, log_prob, value, memory, key = act(agent, params, seen, first, memory, key)
            actions[t], log_probs[t], values[t] = action, log_prob, value
            before = time.perf_counter()
            seen, rewards[t], terminated, truncated, _ = envs.step(actions[t])
            spent["games"] += time.perf_counter() - before
            first = terminated | truncated
            dones[t] = first
        spent["acting"] += time.perf_counter() - begin
        begin = time.perf_counter()
        _, _, last_value, _, _ = act(agent, params, seen, first, memory, key)
        advantage = np.asarray(advantages(rewards, values, dones, last_value))
        rollout = Rollout(obs, firsts, actions, log_probs, values, advantage)
        start = np.asarray(memory_before)
        for _ in range(options.epochs):
            for chosen in np.split(rng.permutation(games), options.minibatches):
                batch = jax.tree.map(itemgetter((slice(None), chosen)), rollout)
                params, moments, losses = update(agent, optimizer, params, moments, batch, start[chosen])
        losses = {name: float(loss) for name, loss in losses.items()}
        spent["learning"] += time.perf_counter() - begin
        if not all(map(math.isfinite, losses.values())):
            raise FloatingPointError(f"losses are not finite: {losses}")
        learned += games * steps
        if (now := time.perf_counter()) - said > 5:
            print(f"{learned} steps, {losses}", file=sys.stderr)
            said = now
        if meter.over(learned):
            break
    spent["acting"] -= spent["games"]
    shares = {name: round(seconds / sum(spent.values()), 3) for name, seconds in spent.items()}
    return {"parameters": parameters, "wall_shares": shares, "losses": losses}


def main() -> None:
    options = (parser := arguments(__doc__)).parse_args()
    if options.games % options.minibatches:
        parser.error("--games must be a multiple of --minibatches")
    # The games are forked (the default) before JAX starts any threads.
    warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
    with workplace() as folder:
        prepare(folder)
        envs = gymnasium.vector.AsyncVectorEnv(
            [partial(make_game, folder, options.max_steps)] * options.games,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        meter = Meter(options.warm_up, options.seconds, options.steps)
        others = train(envs, options, meter)
        envs.close()
    print(json.dumps({"name": "synchronous PPO", "games": options.games, **meter.figures(), **others}))


if __name__ == "__main__":
    main()
