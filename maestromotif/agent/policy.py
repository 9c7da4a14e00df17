"""The policy on the device: one jitted step that acts, and stores its inputs in the rollout's arrays.

Also loads a policy from its file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from maestromotif.agent.arrays import Array, compilations
from maestromotif.agent.inputs import FEW, Block
from maestromotif.agent.network import ActorCritic, Params, initial_params, pick, step, unpack
from maestromotif.agent.trunks import Glance
from maestromotif.errors import UserError
from maestromotif.nethack.actions import SETS
from maestromotif.pipeline.trees import read_tree


class Carry(NamedTuple):
    """The policy's state between two steps."""

    memory: Array  # float32 [n, H]
    last_action: Array  # int32 [n]


class Rollout(NamedTuple):
    """T steps of n games, with inputs and actions of the policy; never leaves the device."""

    glance: Glance  # [T, n, ...]
    first: Array  # bool [T, n]: o_t begins an episode
    skill: Array  # int32 [T, n]
    action: Array  # int32 [T, n]
    log_prob: Array  # float32 [T, n], of the action under the acting policy
    values: Array  # float32 [T, n, K], of all skills at o_t


class Acting(NamedTuple):
    """Jitted functions of n games; a block holds their `Inputs`.

    begin: (carry) -> an empty rollout, and a copy of the memory, [1, n, H].
    act: (params, carry, rollout, block, t, key, count) -> carry, rollout, action int32 [n]. The carry and the
        rollout are donated. The key is folded with `count`, so a resumed run draws the same actions.
    choose: (params, carry, block, key, count) -> carry, action: the same without a rollout.
    last: (params, carry, block) -> the row of observations without an action, which are a rollout's last:
        `Rollout` of [1, n, ...], with zeros for the action and its log-probability.
    values_of_few: (params, carry, games int32 [FEW], block of FEW games) -> float32 [FEW, K].
    """

    begin: Callable[[Carry], tuple[Rollout, jax.Array]]
    act: Callable[..., tuple[Carry, Rollout, jax.Array]]
    choose: Callable[..., tuple[Carry, jax.Array]]
    last: Callable[..., Rollout]
    values_of_few: Callable[..., jax.Array]

    def compilations(self) -> int:
        """Number of compilations; it must not grow after the first rollouts."""
        return sum(compilations(function) for function in self)


def fresh_carry(network: ActorCritic, games: int) -> Carry:
    return Carry(np.zeros((games, network.hidden), np.float32), np.full(games, -1, np.int32))


def make_acting(network: ActorCritic, games: int, length: int) -> Acting:
    """Jitted functions for rollouts of `length` steps of `games` games."""
    layout, few = Block(games, network.form), Block(FEW, network.form)

    def look(params: Params, carry: Carry, block: Array, layout: Block) -> tuple[Rollout, Array, Array]:
        """Everything before an action is sampled: a row, the memory, the acting skill's logits."""
        inputs = unpack(layout, block)
        last_action = jnp.where(inputs.first, -1, carry.last_action)
        glance = network.glance(inputs, last_action)
        memory, logits, values = step(network, params, glance, inputs.first, carry.memory)
        nothing = jnp.zeros_like(inputs.skill)
        row = Rollout(glance, inputs.first, inputs.skill, nothing, nothing.astype(jnp.float32), values)
        return row, memory, pick(logits, jnp.asarray(inputs.skill))

    def decide(
        params: Params, carry: Carry, block: Array, key: Array, count: Array
    ) -> tuple[Rollout, Carry, Array]:
        row, memory, logits = look(params, carry, block, layout)
        action = jax.random.categorical(jax.random.fold_in(key, count), logits).astype(jnp.int32)
        log_prob = pick(jax.nn.log_softmax(logits), action)
        return row._replace(action=action, log_prob=log_prob), Carry(memory, action), action

    def begin(carry: Carry) -> tuple[Rollout, Array]:
        rollout = jax.tree.map(lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), row_shapes)
        return rollout, jnp.asarray(carry.memory)[None]

    def act(
        params: Params, carry: Carry, rollout: Rollout, block: Array, t: Array, key: Array, count: Array
    ) -> tuple[Carry, Rollout, Array]:
        row, carry, action = decide(params, carry, block, key, count)
        filed: Rollout = jax.tree.map(lambda whole, one: whole.at[t].set(one), rollout, row)
        return carry, filed, action

    def choose(params: Params, carry: Carry, block: Array, key: Array, count: Array) -> tuple[Carry, Array]:
        _, carry, action = decide(params, carry, block, key, count)
        return carry, action

    def last(params: Params, carry: Carry, block: Array) -> Rollout:
        row: Rollout = jax.tree.map(lambda leaf: leaf[None], look(params, carry, block, layout)[0])
        return row

    def values_of_few(params: Params, carry: Carry, games: Array, block: Array) -> Array:
        carry = jax.tree.map(lambda leaf: leaf[games], carry)
        return look(params, carry, block, few)[0].values

    def one_row() -> Rollout:
        block = jnp.zeros(layout.size, jnp.uint8)
        params, carry = initial_params(network, 0), fresh_carry(network, games)
        return decide(params, carry, block, jax.random.key(0), jnp.zeros((), jnp.int32))[0]

    row_shapes = jax.eval_shape(one_row)
    return Acting(
        jax.jit(begin),
        jax.jit(act, donate_argnums=(1, 2)),
        jax.jit(choose, donate_argnums=1),
        jax.jit(last),
        jax.jit(values_of_few),
    )


POLICY = "policy.msgpack"  # the file that `train` and `clone` write
HEADER = "header"  # beside the parameters in such a file, see `saved_policy`


def load_policy(path: Path, network: ActorCritic) -> Params:
    """Parameters from a file that `train` wrote. Raises UserError if they are of another network."""
    blank = jax.eval_shape(lambda: initial_params(network, 0))
    params: Params = fitted(path, blank, read_tree(path, "a policy"))
    return params


def fitted(path: Path, blank: Any, state: Any) -> Any:
    """`state`, as msgpack read it from `path`, in the structure of `blank`, a tree of arrays or shapes.

    Raises UserError if it is of another network, of other actions or of other skills.
    """
    if isinstance(state, dict):
        state = {name: part for name, part in state.items() if name != HEADER}
    _check_actions(path, blank, state)
    try:
        found = serialization.from_state_dict(blank, state)
        leaves = jax.tree_util.tree_leaves_with_path(blank)
        arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(found)]
        pairs = list(zip(leaves, arrays, strict=True))
    except Exception as error:  # flax and NumPy raise many kinds on foreign trees
        raise UserError(f"{path}: holds another network than train.network describes: {error}") from error
    for (place, wanted), array in pairs:
        if array.shape != wanted.shape or array.dtype.kind != wanted.dtype.kind:
            raise UserError(
                f"{path}: holds another network than train.network and skills describe: "
                f"{jax.tree_util.keystr(place)} has shape {array.shape} and should have {wanted.shape}, of "
                f"type {wanted.dtype}, not {array.dtype}"
            )
    return found


def _check_actions(path: Path, blank: Any, state: Any) -> None:
    """Raises UserError if both are a network's parameters, of the same skills but other actions."""
    try:
        wanted, found = (_heads(tree["params"]) for tree in (blank, state))
    except (KeyError, TypeError, IndexError, ValueError, ZeroDivisionError):
        return  # not a network's parameters
    if wanted[0] == found[0] and wanted[1] != found[1]:
        names = {number: f" (set `{name}`)" for name, number in SETS.items()}
        raise UserError(
            f"{path}: was trained with {found[1]} actions{names.get(found[1], '')}, but "
            f"train.network.actions has {wanted[1]}{names.get(wanted[1], '')}; "
            "set it to the set of the training, or train again"
        )


def _heads(params: Any) -> tuple[int, int]:
    """Value heads, and actions of a policy head."""
    values, logits = (int(np.shape(params[name]["bias"])[0]) for name in ("value", "policy"))
    return values, logits // values
