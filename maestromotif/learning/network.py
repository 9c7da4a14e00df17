"""The skill-conditioned recurrent policy and value network.

B games, T time, K skills, A actions, H hidden units. The trunk does not see the skill; the heads give logits
and values for every skill at every step, so the value of any skill at a switch costs no second forward pass.

The default trunk, `fovea`, looks from the hero's place: single squares near by, coarser patches farther away,
and what is remembered of the stairs. It has no convolution, because XLA has no fast gradient for small ones
on a CPU; `_patches` and one matmul do the same.
"""

from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from maestromotif.learning.arrays import Array
from maestromotif.learning.messages import VOCABULARY
from maestromotif.nethack.keys import NUM_ACTIONS
from maestromotif.nethack.observation import COLUMNS, ROWS, X, Y
from maestromotif.nethack.state import SENSES
from maestromotif.settings import NetworkSettings

Params = dict[str, Any]


class Inputs(NamedTuple):
    """What the network sees of each game; leading axes [B] or [T, B]."""

    chars: Array  # uint8 [21, 79]
    colors: Array  # uint8 [21, 79]
    blstats: Array  # float32 [27], raw
    words: Array  # uint16 [WORDS], hashed words of the message
    senses: Array  # float32 [9]: offsets of the remembered stairs, how long still, stairs seen, stood on
    last_action: Array  # int32 [], -1 at the start of an episode


# What is fed of blstats, brought to about unit size (facts of the published network; depth is ours).
_SCALE = np.zeros(27, np.float32)
for _index, _scale in {
    0: 1 / 79, 1: 1 / 21, 10: 0.1, 11: 0.1, 12: 0.2,
    14: 0.1, 15: 0.1, 16: 0.1, 18: 0.1, 20: 0.001, 21: 1, 23: 1,
}.items():  # fmt: skip
    _SCALE[_index] = _scale

_KINDS = (">", "<", "+", "#", ".", "|-", "@", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:;&'")
_KIND_BITS = np.zeros(256, np.uint8)
for _bit, _kind in enumerate(_KINDS):
    for _char in _kind:
        _KIND_BITS[ord(_char)] |= 1 << _bit


def _cut(map_bhw: Array, x_b: Array, y_b: Array, height: int, width: int) -> Array:
    """The window [B, height, width] of each map around its (x, y); outside is 0."""
    padded = jnp.pad(map_bhw, ((0, 0), (height // 2,) * 2, (width // 2,) * 2))
    return jax.vmap(lambda m, y, x: jax.lax.dynamic_slice(m, (y, x), (height, width)))(padded, y_b, x_b)


def _patches(image_bhwc: Array, size: int, stride: int) -> Array:
    """All size x size patches of [B, h, w, C] as [B, h', w', size * size * C].

    This is a VALID convolution but for the matmul.
    """
    rows = (image_bhwc.shape[1] - size) // stride + 1
    columns = (image_bhwc.shape[2] - size) // stride + 1
    shifted = [
        image_bhwc[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(shifted, -1)


def _coarse(bits_bhw: UInt8[Array, "b h w"], cell: int) -> UInt8[Array, "b h2 w2"]:
    """Bitwise or over cells of cell x cell squares."""
    b, h, w = bits_bhw.shape
    padded = jnp.pad(bits_bhw, ((0, 0), (0, -h % cell), (0, -w % cell)))
    grid = padded.reshape(b, padded.shape[1] // cell, cell, padded.shape[2] // cell, cell)
    coarse: jax.Array = jax.lax.reduce(grid, np.uint8(0), jax.lax.bitwise_or, (2, 4))
    return coarse


def _unpack(bits: UInt8[Array, "..."]) -> Float[Array, "... 8"]:
    shifts = jnp.arange(8, dtype=jnp.uint8).reshape(*(1,) * bits.ndim, 8)
    return ((bits[..., None] >> shifts) & 1).astype(jnp.float32)


class Fovea(nn.Module):
    """Encodes B observations into [B, H]."""

    hidden: int

    @nn.compact
    def __call__(self, obs: Inputs) -> Float[Array, "b h"]:
        chars = obs.chars
        games = chars.shape[0]
        x, y = obs.blstats[:, X].astype(jnp.int32), obs.blstats[:, Y].astype(jnp.int32)
        half = self.hidden // 2

        def dense(size: int, value: Array) -> Array:
            return nn.relu(nn.Dense(size)(value))

        squares = _cut(chars.astype(jnp.int32) * 16 + (obs.colors.astype(jnp.int32) & 15), x, y, 9, 9)
        near = nn.Embed(256 * 16, 8, embedding_init=nn.initializers.normal(0.5))(squares)
        near = jnp.concatenate([near, _unpack(jnp.asarray(_KIND_BITS)[squares // 16])], -1)
        near = dense(16, _patches(dense(16, _patches(near, 3, 1)), 3, 1))
        near = dense(half, near.reshape(games, -1))

        bits = jnp.asarray(_KIND_BITS)[chars.astype(jnp.int32)]
        middle = _unpack(_cut(_coarse(bits, 3), x // 3, y // 3, 9, 9))
        middle = dense(16, _patches(dense(16, _patches(middle, 3, 1)), 3, 2))
        far = _unpack(_cut(_coarse(bits, 9), x // 9, y // 9, 5, 17))
        around = dense(half, jnp.concatenate([middle.reshape(games, -1), far.reshape(games, -1)], -1))

        words = obs.words.astype(jnp.int32)
        live = (words > 0).astype(jnp.float32)[..., None]
        message = (nn.Embed(VOCABULARY, 32)(words) * live).sum(-2) / jnp.sqrt(1 + live.sum(-2))

        stats = jnp.concatenate([jnp.clip(obs.blstats * _SCALE[None], -5, 5), obs.senses], -1)
        last = jax.nn.one_hot(obs.last_action, NUM_ACTIONS)
        own = dense(half, jnp.concatenate([stats, last], -1))
        return dense(self.hidden, jnp.concatenate([near, around, message, own], -1))


class ActorCritic(nn.Module):
    """Trunk, GRU and heads. `heads` "separate": a linear policy and value head a skill; "shared": one small
    network for all that is told the skill as a one-hot vector.
    """

    skills: int
    hidden: int = 128
    heads: str = "separate"

    def setup(self) -> None:
        self.trunk = Fovea(self.hidden)
        self.core = nn.GRUCell(self.hidden)
        policy = nn.initializers.orthogonal(0.01)
        if self.heads == "separate":
            self.policy = nn.Dense(self.skills * NUM_ACTIONS, kernel_init=policy)
            self.value = nn.Dense(self.skills, kernel_init=nn.initializers.orthogonal(1.0))
        else:
            self.condition = nn.Dense(self.hidden)
            self.policy = nn.Dense(NUM_ACTIONS, kernel_init=policy)
            self.value = nn.Dense(1, kernel_init=nn.initializers.orthogonal(1.0))

    def _heads(self, h: Float[Array, "*n h"]) -> tuple[Float[Array, "*n k a"], Float[Array, "*n k"]]:
        if self.heads == "separate":
            return self.policy(h).reshape(*h.shape[:-1], self.skills, NUM_ACTIONS), self.value(h)
        shape = (*h.shape[:-1], self.skills)
        which = jnp.broadcast_to(jnp.eye(self.skills), (*shape, self.skills))
        wide = jnp.broadcast_to(h[..., None, :], (*shape, h.shape[-1]))
        h = nn.relu(self.condition(jnp.concatenate([wide, which], -1)))
        return self.policy(h), self.value(h)[..., 0]

    def step(
        self, obs: Inputs, first_b: Float[Array, " b"], h_bh: Float[Array, "b h"]
    ) -> tuple[Float[Array, "b h"], Float[Array, "b k a"], Float[Array, "b k"]]:
        """One step; `first_b` is 1 where the observation begins an episode and the memory is cleared."""
        h_bh, _ = self.core(h_bh * (1 - first_b[:, None]), self.trunk(obs))
        return h_bh, *self._heads(h_bh)

    def unroll(
        self, obs: Inputs, first_tb: Float[Array, "t b"], h_bh: Float[Array, "b h"]
    ) -> tuple[Float[Array, "t b k a"], Float[Array, "t b k"]]:
        """T steps from memory `h_bh`: the same as `step` T times."""
        t, b = first_tb.shape
        flat = jax.tree.map(lambda leaf: leaf.reshape(t * b, *leaf.shape[2:]), obs)
        x_tbh = self.trunk(flat).reshape(t, b, -1)

        def advance(core: nn.GRUCell, h: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
            h, _ = core(h * (1 - x[1][:, None]), x[0])
            return h, h

        scan = nn.scan(advance, variable_broadcast="params", split_rngs={"params": False})
        _, h_tbh = scan(self.core, h_bh, (x_tbh, first_tb))
        return self._heads(h_tbh)


def apply_step(
    network: ActorCritic, params: Params, obs: Inputs, first_b: Array, h_bh: Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`ActorCritic.step` under `params`: memory [B, H], logits [B, K, A] and values [B, K]."""
    out = network.apply(params, obs, first_b, h_bh, method="step")
    return cast(tuple[jax.Array, jax.Array, jax.Array], out)


def apply_unroll(
    network: ActorCritic, params: Params, obs: Inputs, first_tb: Array, h_bh: Array
) -> tuple[jax.Array, jax.Array]:
    """`ActorCritic.unroll` under `params`: logits [T, B, K, A] and values [T, B, K]."""
    out = network.apply(params, obs, first_tb, h_bh, method="unroll")
    return cast(tuple[jax.Array, jax.Array], out)


def build(settings: NetworkSettings, skills: int) -> ActorCritic:
    return ActorCritic(skills, settings.hidden, settings.heads)


def empty_inputs(games: int) -> Inputs:
    """Zeros of the right shapes and dtypes, [games, ...]."""
    from maestromotif.learning.messages import WORDS

    return Inputs(
        chars=np.zeros((games, ROWS, COLUMNS), np.uint8),
        colors=np.zeros((games, ROWS, COLUMNS), np.uint8),
        blstats=np.zeros((games, 27), np.float32),
        words=np.zeros((games, WORDS), np.uint16),
        senses=np.zeros((games, len(SENSES) + 4), np.float32),
        last_action=np.full(games, -1, np.int32),
    )


def pick(values: Float[Array, "..."], skill: Int[Array, "*n"]) -> jax.Array:
    """The acting skill's part: values [*n, K, ...] and skill [*n] -> [*n, ...]."""
    index = skill.reshape(*skill.shape, *(1,) * (values.ndim - skill.ndim))
    return jnp.take_along_axis(values, index, axis=skill.ndim).squeeze(skill.ndim)
