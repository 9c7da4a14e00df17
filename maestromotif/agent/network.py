"""The skill-conditioned recurrent policy and value network.

n games, T time, B games of a minibatch, K skills, A actions, H hidden units. The trunk does not see the
skill. The heads compute logits and values of every skill at every step, so the value of any skill at a switch
needs no second forward pass.
"""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from maestromotif.agent.arrays import Array
from maestromotif.agent.gru import gru
from maestromotif.agent.inputs import Block, Form, Inputs
from maestromotif.agent.trunks import TRUNKS, Glance, Sees
from maestromotif.config.learning import NetworkSettings
from maestromotif.nethack.actions import NUM_ACTIONS, SETS, WEIGHTS

Params = dict[str, Any]

# The logit of an action that the mask forbids: its probability and its part of the entropy are exactly 0.
_IMPOSSIBLE = -1e9


def unpack(layout: Block, block: Array) -> Inputs:
    """The parts of a block uint8 [size], on the device."""
    parts = []
    for place, shape, dtype in layout.parts:
        part = jnp.asarray(block[place])
        if dtype.itemsize > 1:
            part = jax.lax.bitcast_convert_type(part.reshape(-1, dtype.itemsize), dtype)
        parts.append(part.astype(dtype).reshape(shape))
    return Inputs(*parts)


class Memory(nn.Module):
    """A gated recurrent unit (Cho et al. 2014; reset gate after the matmul, as in cuDNN).

    Terms that do not depend on the memory are computed for all T at once, which leaves one matmul per step.
    """

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x_tbf: Float[Array, "t b f"], first_tb: Bool[Array, "t b"], h_bh: Float[Array, "b h"]
    ) -> tuple[Float[Array, "b h"], Float[Array, "t b h"]]:
        """The memory after the last step and after each step; reset where `first_tb`."""
        h = self.hidden
        x_tbg = nn.Dense(3 * h, dtype=self.dtype, name="input")(x_tbf).astype(jnp.float32)
        kernel = self.param("kernel", nn.initializers.orthogonal(), (h, 3 * h))
        bias = self.param("bias", nn.initializers.zeros, (h,))
        live_tb = 1.0 - jnp.asarray(first_tb).astype(jnp.float32)
        h_tbh = gru(kernel, bias, x_tbg, live_tb, jnp.asarray(h_bh), self.dtype)
        return h_tbh[-1], h_tbh


class ActorCritic(nn.Module):
    """Trunk, memory and heads.

    heads: "separate": a linear policy and value head per skill; "shared": one small network for all skills,
    with the skill as a one-hot input.
    prior: "uniform" or "play", the action probabilities of the untrained policy, of every skill.
    mask: whether useless actions have probability 0.
    sees: what the trunk reads besides the published inputs.
    """

    skills: int
    hidden: int = 128
    actions: int = NUM_ACTIONS
    trunk: str = "fovea"
    heads: str = "separate"
    prior: str = "uniform"
    mask: bool = False
    sees: Sees = Sees()
    dtype: Any = jnp.float32

    @property
    def form(self) -> Form:
        return Form(TRUNKS[self.trunk].message_form, self.sees.marks)

    def glance(self, inputs: Inputs, last_action: Array) -> Glance:
        """The part of the inputs that the network reads; needs no parameters."""
        return TRUNKS[self.trunk].glance(inputs, last_action, self.sees)

    @nn.compact
    def __call__(
        self, glance: Glance, first_tb: Bool[Array, "t b"], h_bh: Float[Array, "b h"]
    ) -> tuple[Float[Array, "b h"], Float[Array, "t b k a"], Float[Array, "t b k"]]:
        """T steps from memory `h_bh`; leaves of `glance` are [T, B, ...]."""
        t, b = first_tb.shape
        flat = jax.tree.map(lambda leaf: leaf.reshape(t * b, *leaf.shape[2:]), glance)
        trunk = TRUNKS[self.trunk](self.hidden, self.actions, self.sees, self.dtype, name="trunk")
        x_tbf = trunk(flat).reshape(t, b, -1)
        h_bh, h_tbh = Memory(self.hidden, self.dtype, name="memory")(x_tbf, first_tb, h_bh)
        policy = nn.initializers.orthogonal(0.01)
        value = nn.initializers.orthogonal(1.0)
        prior_a = prior_logits(self.prior, self.actions)

        def masked(logits_tbka: Array) -> jax.Array:
            if not self.mask:
                return jnp.asarray(logits_tbka)
            return jnp.where(glance.own.allowed[..., None, : self.actions], logits_tbka, _IMPOSSIBLE)

        if self.heads == "separate":
            bias = nn.initializers.constant(jnp.tile(prior_a, self.skills))
            head = nn.Dense(self.skills * self.actions, kernel_init=policy, bias_init=bias, name="policy")
            logits = head(h_tbh)
            values = nn.Dense(self.skills, kernel_init=value, name="value")(h_tbh)
            return h_bh, masked(logits.reshape(t, b, self.skills, self.actions)), values
        which = jnp.broadcast_to(jnp.eye(self.skills), (t, b, self.skills, self.skills))
        wide = jnp.broadcast_to(h_tbh[:, :, None], (t, b, self.skills, self.hidden))
        told = nn.relu(nn.Dense(self.hidden, name="condition")(jnp.concatenate([wide, which], -1)))
        bias = nn.initializers.constant(prior_a)
        logits = nn.Dense(self.actions, kernel_init=policy, bias_init=bias, name="policy")(told)
        return h_bh, masked(logits), nn.Dense(1, kernel_init=value, name="value")(told)[..., 0]


def prior_logits(prior: str, actions: int) -> jax.Array:
    """Initial bias of a policy head, float32 [A]: for "play" the log-probabilities of random play, else 0."""
    if prior == "uniform":
        return jnp.zeros(actions)
    weights = jnp.array(WEIGHTS[:actions])
    return jnp.log(weights / weights.sum())


def unroll(
    network: ActorCritic, params: Params, glance: Glance, first_tb: Array, h_bh: Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The network under `params` over T steps: memory [B, H], logits [T, B, K, A], values [T, B, K]."""
    out = network.apply(params, glance, first_tb, h_bh)
    return cast(tuple[jax.Array, jax.Array, jax.Array], out)


def step(
    network: ActorCritic, params: Params, glance: Glance, first_n: Array, h_nh: Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One step of n games: memory [n, H], logits [n, K, A], values [n, K]."""
    glance = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], glance)
    h_nh, logits, values = unroll(network, params, glance, jnp.asarray(first_n)[None], h_nh)
    return h_nh, logits[0], values[0]


def build(settings: NetworkSettings, skills: int) -> ActorCritic:
    return ActorCritic(
        skills,
        settings.hidden,
        SETS[settings.actions],
        settings.trunk,
        settings.heads,
        settings.prior,
        settings.mask,
        Sees(*(name in settings.sees for name in Sees._fields)),
        jnp.dtype(settings.precision).type,
    )


def pick(values: Float[Array, "..."], skill: Int[Array, "*n"]) -> jax.Array:
    """Select the acting skill: values [*n, K, ...] and skill [*n] -> [*n, ...]."""
    index = skill.reshape(*skill.shape, *(1,) * (values.ndim - skill.ndim))
    return jnp.take_along_axis(values, index, axis=skill.ndim).squeeze(skill.ndim)


def initial_params(network: ActorCritic, seed: int | Array) -> Params:
    """An untrained policy's parameters, determined by the seed."""
    layout = Block(1, network.form)
    inputs = unpack(layout, jnp.zeros(layout.size, jnp.uint8))
    glance = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], network.glance(inputs, inputs.skill))
    memory = jnp.zeros((1, network.hidden))
    return dict(network.init(jax.random.key(seed), glance, jnp.ones((1, 1), bool), memory))
