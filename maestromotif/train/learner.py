"""The learner: one state, and its jitted update on a rollout, over a mesh of devices.

Devices belong to one process or to several (`jax.distributed`). Each holds some of the games; they exchange
only gradients and sums. An update is one call for the targets and one per minibatch, so that on a GPU the
policy's steps can run in between.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from maestromotif.agent.arrays import Array, compilations
from maestromotif.agent.network import ActorCritic, Params, initial_params
from maestromotif.agent.policy import fitted
from maestromotif.config.learning import TrainSettings
from maestromotif.pipeline.trees import refusing
from maestromotif.train import kickstart, ppo
from maestromotif.train.kickstart import Teacher
from maestromotif.train.ppo import AXIS, Batch, Targets
from maestromotif.train.return_scale import ReturnScale, fresh_scale
from maestromotif.train.window import Figures


class Learnt(NamedTuple):
    """Everything that an update changes."""

    params: Params
    opt_state: optax.OptState
    scale: ReturnScale
    teacher: Array | None = None  # float32 [1, n, H], the teacher's memory


# How arrays, and the parts of `Learnt`, are sharded over the mesh.
_EVERYWHERE: Any = P()
_BY_GAME: Any = P(None, AXIS)
_LEARNT = Learnt(_EVERYWHERE, _EVERYWHERE, ReturnScale(_BY_GAME, *[_EVERYWHERE] * 3))


class Learner:
    """Updates `network` under `settings`; `games` is the total over all devices of the mesh."""

    def __init__(
        self,
        network: ActorCritic,
        settings: TrainSettings,
        games: int,
        devices: Sequence[jax.Device],
        teacher: Teacher | None = None,
    ) -> None:
        self._network, self._settings, self._games = network, settings, games
        self.busy = 0.0  # seconds in `update`
        self._mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
        self._optimizer = ppo.make_optimizer(settings)
        self._here = [device for device in devices if device.process_index == jax.process_index()]
        over = partial(jax.shard_map, mesh=self._mesh, check_vma=False)
        self._targets = jax.jit(
            over(
                self._prepare,
                in_specs=(_EVERYWHERE, _LEARNT.scale, _BY_GAME),
                out_specs=(_BY_GAME, _BY_GAME, _LEARNT.scale, _EVERYWHERE),
            ),
            donate_argnums=1,
        )
        self._minibatch, self._critic_minibatch = (
            jax.jit(
                over(
                    partial(self._learn, critic_only),
                    in_specs=(_EVERYWHERE, _EVERYWHERE, _BY_GAME, _BY_GAME, *[_EVERYWHERE] * 3),
                    out_specs=(_EVERYWHERE, _EVERYWHERE, _EVERYWHERE),
                ),
                donate_argnums=1,  # not the parameters: an actor may still use them
            )
            for critic_only in (False, True)
        )
        self._teacher = teacher
        self._taught: Params = {} if teacher is None else self.everywhere(teacher.params)
        self._lesson = jax.jit(
            over(
                partial(kickstart.lesson, network),
                in_specs=(_EVERYWHERE, _BY_GAME, _BY_GAME, _EVERYWHERE),
                out_specs=(_BY_GAME, _BY_GAME),
            )
        )

    def fresh(self, seed: int) -> Learnt:
        """The state of an untrained learner; the seed determines it."""

        def make() -> Learnt:
            params = initial_params(self._network, seed)
            return Learnt(
                params, self._optimizer.init(params), fresh_scale(self._games, self._network.skills)
            )

        places = jax.tree.map(
            lambda spec: NamedSharding(self._mesh, spec), _LEARNT, is_leaf=lambda x: isinstance(x, P)
        )
        made: Learnt = jax.jit(make, out_shardings=places)()
        if self._teacher is None:
            return made
        here = self._games * len(self._here) // self._mesh.devices.size
        memory = self.by_game(np.zeros((1, here, self._network.hidden), np.float32))
        params = self._taught if self._teacher.settings.start else made.params
        return made._replace(params=params, teacher=memory)

    def everywhere(self, tree: Any) -> Any:
        """Copy host arrays, which are the same in all processes, to every device."""
        return self._spread(tree, _EVERYWHERE, 1)

    def by_game(self, array: np.ndarray) -> jax.Array:
        """An array over all games, from each process's own part [1, n, ...]."""
        spread: jax.Array = self._spread(array, _BY_GAME, self._mesh.devices.size // len(self._here))
        return spread

    def _spread(self, tree: Any, spec: P, processes: int) -> Any:
        def one(leaf: Any) -> jax.Array:
            local = np.asarray(leaf)
            shape = local.shape if processes == 1 else (1, local.shape[1] * processes, *local.shape[2:])
            made: jax.Array = jax.make_array_from_process_local_data(
                NamedSharding(self._mesh, spec), local, shape
            )
            return made

        return jax.tree.map(one, tree)

    def on_device(self, params: Params, number: int) -> Params:
        """The copy of the parameters on this process's n-th device."""
        device = self._here[number]

        def copy(leaf: jax.Array) -> jax.Array:
            found: jax.Array = next(s.data for s in leaf.addressable_shards if s.device == device)
            return found

        there: Params = jax.tree.map(copy, params)
        return there

    def snapshot(self, learnt: Learnt, versions: Sequence[Params]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The state that all processes share, and this process's own, in types that msgpack writes.

        versions: parameters after the latest updates, oldest first; the last are those of `learnt`.
        """
        common = {
            "params": [serialization.to_state_dict(on_host(one)) for one in versions],
            "opt_state": serialization.to_state_dict(on_host(learnt.opt_state)),
            "scale": [np.asarray(leaf) for leaf in learnt.scale[1:]],
        }
        own = {"returns": shards_of_this_process(learnt.scale.running)}
        if learnt.teacher is not None:
            own["teacher"] = shards_of_this_process(learnt.teacher)
        return common, own

    def restore(
        self, fresh: Learnt, common: Mapping[str, Any], own: Mapping[str, Any], file: Path
    ) -> tuple[Learnt, list[Params]]:
        """The arguments of `snapshot`, on any number of devices; `fresh` gives their structure.

        Raises UserError, which names `file`, if the snapshot is of another network.
        """
        with refusing(file, "a checkpoint"):
            params = [self.everywhere(fitted(file, fresh.params, one)) for one in common["params"]]
            opt_state = self.everywhere(fitted(file, fresh.opt_state, common["opt_state"]))
            by_skill = (self.everywhere(leaf) for leaf in common["scale"])
            scale = ReturnScale(self.by_game(own["returns"]), *by_skill)
            memory = self.by_game(own["teacher"]) if fresh.teacher is not None else None
        return Learnt(params[-1], opt_state, scale, memory), params

    def update(
        self, learnt: Learnt, parts: Sequence[Batch], key: Array, learning_rate: float, steps: int = 0
    ) -> tuple[Learnt, Figures, Batch]:
        """Learn from one rollout, and wait for the result.

        parts: the batches of this process's devices, the same number for each, device by device. key: this
        update's key, the same in all processes. learning_rate: Adam's. steps: environment steps before the
        rollout, for the teacher. Returns the new state; the figures of `ppo.targets`, and those of `ppo.loss`
        as means over the minibatches, with the norm of the gradient, the learning rate and the number of
        minibatches; and the rollout as one batch. Except for the parameters, the arrays of `learnt` are
        donated.
        """
        began, settings = time.perf_counter(), self._settings
        batch = self._gather(parts)
        batch, target, scale, of_targets = self._targets(learnt.params, learnt.scale, batch)
        params, opt_state, memory, teacher = learnt.params, learnt.opt_state, learnt.teacher, self._teacher
        minibatch = self._minibatch
        if teacher is not None:
            if not teacher.done(steps):
                lesson, memory = self._lesson(self._taught, memory, batch.rollout, teacher.coefficient(steps))
                target = target._replace(lesson=lesson)
            if teacher.critic_only(steps):
                minibatch = self._critic_minibatch
            elif teacher.critic_only(steps - batch.reward.size):
                # Adam counts the steps without a gradient, and would begin with steps that are far too long.
                opt_state = self.everywhere(jax.tree.map(np.zeros_like, on_host(opt_state)))
        figures: list[dict[str, np.ndarray]] = []
        for epoch, number in product(range(settings.epochs), range(settings.minibatches)):
            shuffle = jax.random.fold_in(key, epoch)
            params, opt_state, one = minibatch(
                params, opt_state, batch, target, shuffle, number, learning_rate
            )
            # Wait: else all minibatches queue up before the policy's steps.
            figures.append(jax.device_get(one))
            if settings.target_kl is not None and figures[-1]["update_kl"] > settings.target_kl:
                break
        said: dict[str, float | np.ndarray] = dict(jax.device_get(of_targets))
        for name in figures[0]:
            mean = np.mean([one[name] for one in figures], axis=0)
            said[name] = mean if mean.ndim else float(mean)
        said |= {"minibatches": len(figures), "learning_rate": learning_rate}
        said |= {} if teacher is None else {"teacher_coefficient": teacher.coefficient(steps)}
        self.busy += time.perf_counter() - began
        return Learnt(params, opt_state, scale, memory), said, batch

    def compilations(self) -> int:
        """Number of compilations for the update; it must not grow after the first updates."""
        functions = (self._targets, self._lesson, self._minibatch, self._critic_minibatch)
        return sum(map(compilations, functions))

    def _gather(self, parts: Sequence[Batch]) -> tuple[Batch, ...]:
        """The parts as arrays over the mesh: one array joins the n-th part of every device."""
        each = len(parts) // len(self._here)
        sharding = NamedSharding(self._mesh, _BY_GAME)
        devices = self._mesh.devices.size

        def join(*leaves: jax.Array) -> jax.Array:
            rows, games, *rest = leaves[0].shape
            return jax.make_array_from_single_device_arrays(
                (rows, games * devices, *rest), sharding, list(leaves)
            )

        return tuple(jax.tree.map(join, *parts[n::each]) for n in range(each))

    def _prepare(
        self, params: Params, scale: ReturnScale, parts: tuple[Batch, ...]
    ) -> tuple[Batch, Targets, ReturnScale, ppo.Figures]:
        batch = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, 1), *parts)
        target, scale, figures = ppo.targets(self._network, params, scale, batch, self._settings)
        return batch, target, scale, figures

    def _learn(
        self,
        critic_only: bool,
        params: Params,
        opt_state: optax.OptState,
        batch: Batch,
        target: Targets,
        key: Array,
        number: Array,
        learning_rate: Array,
    ) -> tuple[Params, optax.OptState, dict[str, Array]]:
        """One minibatch: whole sequences of some games of every device, with their stored memory."""
        games = batch.reward.shape[1]
        size = games // self._settings.minibatches
        order = jax.random.permutation(jax.random.fold_in(key, jax.lax.axis_index(AXIS)), games)
        chosen = jax.lax.dynamic_slice(order, (number * size,), (size,))
        rollout, memory, target = jax.tree.map(
            lambda leaf: leaf[:, chosen], (batch.rollout, batch.memory, target)
        )
        grads, figures = jax.grad(ppo.loss, has_aux=True)(
            params, self._network, rollout, memory[0], target, self._settings
        )
        grads = kickstart.only_values(grads) if critic_only else grads
        grads, figures = jax.lax.pmean((grads, figures), AXIS)
        figures |= {"gradient_norm": optax.tree.norm(grads)}
        steps, opt_state = self._optimizer.update(grads, opt_state, params)
        updates = jax.tree.map(lambda step: -learning_rate * step, steps)
        return optax.apply_updates(params, updates), opt_state, figures


def shards_of_this_process(array: Array) -> np.ndarray:
    """A copy of this process's shards of an array [rows, games, ...]."""
    assert isinstance(array, jax.Array)
    shards = {shard.index[1].start or 0: shard.data for shard in array.addressable_shards}
    return np.concatenate([np.array(shards[start]) for start in sorted(shards)], 1)


def on_host(tree: Any) -> Any:
    """Copies in host memory: the next update may donate the device arrays."""
    return jax.tree.map(np.array, tree)
