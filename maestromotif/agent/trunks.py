"""Trunks: features of a step's inputs, about H numbers, without skill and memory.

n games. A trunk has two halves. Its *glance* is what it reads from the inputs without parameters: windows
around the hero, cropped once when the policy acts, and stored as small integers. The module computes features
from a glance. Updates start from stored glances, so whole maps are never stored.

A new trunk is a class with `message_form`, `glance` and `__call__`, and an entry in TRUNKS.
"""

from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8, UInt16
from nle import nethack

from maestromotif.agent.arrays import Array
from maestromotif.agent.inputs import Inputs, MessageForm
from maestromotif.agent.messages import VOCABULARY
from maestromotif.nethack.actions import NUM_ACTIONS
from maestromotif.nethack.observation import X, Y

# Inputs from blstats, scaled to about 1 (as in the published network; depth is our addition).
_SCALES = {
    0: 1 / 79, 1: 1 / 21, 10: 0.1, 11: 0.1, 12: 0.2,
    14: 0.1, 15: 0.1, 16: 0.1, 18: 0.1, 20: 0.001, 21: 1, 23: 1,
}  # fmt: skip
_FED = np.array([*_SCALES])
_SCALE = np.array([*_SCALES.values()], np.float32)
# One square (or step) gives 0.24, eight give 0.96: a direction is clear at any distance.
_NEAR = 4.0

_KINDS = (">", "<", "+", "#", ".", "|-", "@", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:;&'")
_KIND_BITS = np.zeros(256, np.uint8)
for _bit, _kind in enumerate(_KINDS):
    for _char in _kind:
        _KIND_BITS[ord(_char)] |= 1 << _bit
_COLORS = 16  # a square's number is character * _COLORS + colour


class Sees(NamedTuple):
    """What a trunk reads besides the published inputs.

    marks: bits of `nethack.marks` of each square. aligned: coarse cells are centred on the hero instead of
    fixed to the map. allowed: which actions are not useless.
    """

    marks: bool = False
    aligned: bool = False
    allowed: bool = False


class Own(NamedTuple):
    """The hero's own state."""

    blstats: Array  # int32 [n, 12], raw, those of _SCALES
    senses: Array  # int32 [n, 9]
    inventory: Array  # uint8 [n, 18]: items of each class
    last_action: Array  # int32 [n], -1 at the start of an episode
    allowed: Array  # bool [n, all actions], actions that are not useless


class FoveaGlance(NamedTuple):
    """Three windows of the map around the hero, each coarser than the last; 0 outside the map."""

    near: Array  # uint16 [n, 9, 9], squares
    middle: Array  # uint8 [n, 9, 9], bits of _KINDS in cells of 3 x 3 squares
    far: Array  # uint8 [n, 5, 17], the same in cells of 9 x 9
    message: Array  # uint16 [n, WORDS]
    own: Own
    # Marks of the same windows, None if the trunk does not read them.
    near_marks: Array | None = None  # uint8 [n, 9, 9]
    middle_marks: Array | None = None  # uint8 [n, 9, 9]
    far_marks: Array | None = None  # uint8 [n, 5, 17]


class PublishedGlance(NamedTuple):
    """The squares that the published network reads as an image."""

    crop: Array  # uint16 [n, 12, 12], squares
    message: Array  # uint8 [n, 256]
    own: Own


Glance = FoveaGlance | PublishedGlance


def _own(inputs: Inputs, last_action: Array) -> Own:
    classes = jnp.arange(nethack.MAXOCLASSES, dtype=inputs.inventory.dtype)
    inventory = (jnp.asarray(inputs.inventory)[..., None] == classes[None, None]).sum(1, dtype=jnp.uint8)
    return Own(jnp.asarray(inputs.blstats)[:, _FED], inputs.senses, inventory, last_action, inputs.allowed)


def _own_features(own: Own, actions: int, sees: Sees) -> Float[Array, "n f"]:
    stats = jnp.clip(jnp.asarray(own.blstats).astype(jnp.float32) * _SCALE[None], -5, 5)
    senses = jnp.tanh(jnp.asarray(own.senses).astype(jnp.float32) / _NEAR)
    items = jnp.log1p(jnp.asarray(own.inventory).astype(jnp.float32))
    parts = [stats, senses, items, jax.nn.one_hot(own.last_action, actions)]
    if sees.allowed:
        parts.append(jnp.asarray(own.allowed)[:, :actions].astype(jnp.float32))
    return jnp.concatenate(parts, -1)


def _hero(inputs: Inputs) -> tuple[Array, Array]:
    return inputs.blstats[:, X], inputs.blstats[:, Y]


def _squares(inputs: Inputs) -> UInt16[Array, "n h w"]:
    chars, colors = jnp.asarray(inputs.chars), jnp.asarray(inputs.colors)
    return chars.astype(jnp.uint16) * _COLORS + (colors.astype(jnp.uint16) & (_COLORS - 1))


def _cut(map_nhw: Array, x_n: Array, y_n: Array, height: int, width: int) -> Array:
    """A window [n, height, width] of each map, centred on its (x, y); 0 outside the map."""
    padded = jnp.pad(map_nhw, ((0, 0), (height // 2,) * 2, (width // 2,) * 2))
    return jax.vmap(lambda m, y, x: jax.lax.dynamic_slice(m, (y, x), (height, width)))(padded, y_n, x_n)


def _coarse(bits_nhw: UInt8[Array, "n h w"], cell: int) -> UInt8[Array, "n h2 w2"]:
    """Bitwise or over cells of cell x cell squares."""
    n, h, w = bits_nhw.shape
    padded = jnp.pad(bits_nhw, ((0, 0), (0, -h % cell), (0, -w % cell)))
    grid = padded.reshape(n, padded.shape[1] // cell, cell, padded.shape[2] // cell, cell)
    coarse: jax.Array = jax.lax.reduce(grid, np.uint8(0), jax.lax.bitwise_or, (2, 4))
    return coarse


def _unpack(bits: UInt8[Array, "..."]) -> Float[Array, "... 8"]:
    shifts = jnp.arange(8, dtype=jnp.uint8).reshape(*(1,) * bits.ndim, 8)
    return ((bits[..., None] >> shifts) & 1).astype(jnp.float32)


def _patches(image_nhwc: Array) -> Array:
    """[n, 9, 9, C] as nine patches of 3 x 3: [n, 9, 9 * C]."""
    n, c = image_nhwc.shape[0], image_nhwc.shape[-1]
    return image_nhwc.reshape(n, 3, 3, 3, 3, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, 9, 9 * c)


class Fovea(nn.Module):
    """Single squares near the hero, cells of 3 x 3 squares around them, cells of 9 x 9 around those.

    One matmul reads the 3 x 3 patches, without overlap, of each 9 x 9 window: XLA has no fast gradient of
    small convolutions on a CPU. The middle patch is the hero and the squares that she can reach in one step.
    """

    hidden: int
    actions: int = NUM_ACTIONS
    sees: Sees = Sees()
    dtype: Any = jnp.float32

    message_form: ClassVar[MessageForm] = "words"

    @staticmethod
    def glance(inputs: Inputs, last_action: Array, sees: Sees) -> FoveaGlance:
        x, y = _hero(inputs)

        def cells(bits_nhw: Array, cell: int, height: int, width: int) -> Array:
            """A window of height x width cells around the hero."""
            if sees.aligned:
                return _coarse(_cut(bits_nhw, x, y, cell * height, cell * width), cell)
            return _cut(_coarse(bits_nhw, cell), x // cell, y // cell, height, width)

        def windows(bits_nhw: Array) -> tuple[Array, Array]:
            return cells(bits_nhw, 3, 9, 9), cells(bits_nhw, 9, 5, 17)

        middle, far = windows(jnp.asarray(_KIND_BITS)[inputs.chars])
        near = _cut(_squares(inputs), x, y, 9, 9)
        glance = FoveaGlance(near, middle, far, inputs.message, _own(inputs, last_action))
        if not sees.marks:
            return glance
        middle, far = windows(jnp.asarray(inputs.marks))
        return glance._replace(near_marks=_cut(inputs.marks, x, y, 9, 9), middle_marks=middle, far_marks=far)

    @nn.compact
    def __call__(self, glance: FoveaGlance) -> Float[Array, "n h"]:
        n, half = glance.near.shape[0], self.hidden // 2

        def dense(size: int, value: Array) -> Array:
            return nn.relu(nn.Dense(size, dtype=self.dtype)(value))

        # All lookups are in float32: their gradients sum many rows per index, which GPUs do in parallel in
        # float32, but one by one in bfloat16.
        squares = jnp.asarray(glance.near).astype(jnp.int32)
        embed = nn.Embed(256 * _COLORS, 8, embedding_init=nn.initializers.normal(0.5))
        kinds = _unpack(jnp.asarray(_KIND_BITS)[squares // _COLORS]).astype(self.dtype)
        marks = [
            [] if one is None else [_unpack(jnp.asarray(one)).astype(self.dtype)]
            for one in (glance.near_marks, glance.middle_marks, glance.far_marks)
        ]
        near = _patches(jnp.concatenate([embed(squares).astype(self.dtype), kinds, *marks[0]], -1))
        near = dense(half, dense(32, near).reshape(n, -1))

        cells = [_unpack(jnp.asarray(one)).astype(self.dtype) for one in (glance.middle, glance.far)]
        coarse, far = (jnp.concatenate([one, *more], -1) for one, more in zip(cells, marks[1:], strict=True))
        middle = dense(16, _patches(coarse))
        around = dense(half, jnp.concatenate([middle.reshape(n, -1), far.reshape(n, -1)], -1))

        words = jnp.asarray(glance.message).astype(jnp.int32)
        live = (words > 0).astype(jnp.float32)[..., None]
        message = (nn.Embed(VOCABULARY, 32)(words) * live).sum(-2)
        message = (message / jnp.sqrt(1 + live.sum(-2))).astype(self.dtype)

        own = dense(half, _own_features(glance.own, self.actions, self.sees))
        return dense(self.hidden, jnp.concatenate([near, around, message, own], -1))


class Published(nn.Module):
    """The published network, except for images: it embeds 12 x 12 squares instead of 72 x 72 pixels.

    Three convolutions of 32, 64 and 128 channels and 512 units; four layers of 128 for the statistics; six
    convolutions of 64 channels over the message's characters (sizes of the published code).
    """

    hidden: int
    actions: int = NUM_ACTIONS
    sees: Sees = Sees()
    dtype: Any = jnp.float32

    message_form: ClassVar[MessageForm] = "characters"

    @staticmethod
    def glance(inputs: Inputs, last_action: Array, sees: Sees) -> PublishedGlance:
        x, y = _hero(inputs)
        return PublishedGlance(
            _cut(_squares(inputs), x, y, 12, 12), inputs.message, _own(inputs, last_action)
        )

    @nn.compact
    def __call__(self, glance: PublishedGlance) -> Float[Array, "n f"]:
        n = glance.crop.shape[0]

        def dense(size: int, value: Array) -> Array:
            return nn.elu(nn.Dense(size, dtype=self.dtype, kernel_init=nn.initializers.orthogonal())(value))

        def convolve(channels: int, size: tuple[int, ...], value: Array, stride: int = 1) -> Array:
            return nn.Conv(channels, size, stride, padding="VALID", dtype=self.dtype)(value)

        embed = nn.Embed(256 * _COLORS, 16, embedding_init=nn.initializers.normal(0.5))
        image = embed(jnp.asarray(glance.crop).astype(jnp.int32)).astype(self.dtype)
        for channels, stride in ((32, 1), (64, 2), (128, 1)):
            image = nn.elu(convolve(channels, (3, 3), image, stride))
        image = dense(512, image.reshape(n, -1))

        stats = own = _own_features(glance.own, self.actions, self.sees)
        for _ in range(4):
            stats = dense(128, stats)

        letters = jnp.asarray(glance.message).astype(jnp.int32)
        live = (letters > 0).astype(self.dtype)[..., None]
        text = nn.Embed(256, 32)(letters).astype(self.dtype) * live
        for size, pool in ((7, True), (7, True), (3, False), (3, False), (3, False), (3, True)):
            text = nn.relu(convolve(64, (size,), text))
            if pool:
                text = nn.max_pool(text, (3,), (3,))
        text = nn.relu(nn.Dense(128, dtype=self.dtype)(text.reshape(n, -1)))
        return jnp.concatenate([image, stats, own.astype(self.dtype), text], -1)


TRUNKS: dict[str, type[Fovea] | type[Published]] = {"fovea": Fovea, "published": Published}
