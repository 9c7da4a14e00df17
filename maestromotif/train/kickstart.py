r"""Kickstarting (Schmitt et al. 2018, arXiv 1803.03835): the policy also learns to act like a teacher.

The teacher pi_T is a finished policy of the same network, such as a clone of demonstrations. It sees what the
policy pi saw, and has a memory of its own. The loss gets the term (equation 2 of the paper, up to the
teacher's entropy, which has no gradient)

    lambda mean_t KL(pi_T(. | o_t, k_t) || pi(. | o_t, k_t))

The paper lets population-based training choose lambda; here it falls linearly from `coefficient` to `floor`:

    lambda(s) = coefficient - (coefficient - floor) clip((s - critic_first) / steps, 0, 1)

where s is the number of environment steps before the update. In the first `critic_first` steps only the value
heads learn: the values of a cloned policy are random, and their advantages would undo what was cloned.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from maestromotif.agent.arrays import Array
from maestromotif.agent.network import ActorCritic, Params, pick, unroll
from maestromotif.agent.policy import POLICY, Rollout
from maestromotif.agent.saved_policy import policy_file, read_policy
from maestromotif.config.learning import CLONED, TeacherSettings
from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact, file_contents

_VALUE = "value"  # the layers of the network that compute values


class Teacher(NamedTuple):
    """The teacher and how it teaches; `params` are on the host."""

    settings: TeacherSettings
    params: Params

    def coefficient(self, steps: int) -> float:
        """The weight lambda after so many environment steps."""
        one = self.settings
        passed = min(1.0, max(0, steps - one.critic_first) / one.steps)
        return one.coefficient - (one.coefficient - one.floor) * passed

    def critic_only(self, steps: int) -> bool:
        """Whether only the value heads learn after so many environment steps."""
        return steps < self.settings.critic_first

    def done(self, steps: int) -> bool:
        """Whether the teacher is not needed any more."""
        return self.coefficient(steps) == 0 and self.settings.floor == 0


class Lesson(NamedTuple):
    """What the teacher says of a rollout."""

    log_probs: Array  # float32 [T, B, A], log pi_T(. | o_t, k_t)
    weight: Array  # float32 [T, B], lambda


def teacher_files(config: Config) -> dict[str, str]:
    """The file of a teacher from outside this run -> SHA-256. Raises UserError."""
    path = teacher_file(config)
    return {} if path is None else file_contents("train.teacher.policy", str(path))


def teacher_of(config: Config, inputs: dict[str, Artefact]) -> Teacher | None:
    """The teacher, None if the config has none. Raises UserError if it is no policy for this config."""
    settings = config.train.teacher
    if settings.policy is None:
        return None
    path = teacher_file(config) or inputs["clone"].path / POLICY
    return Teacher(settings, read_policy(path, config, needs_header=True))


def teacher_file(config: Config) -> Path | None:
    """A policy's file, or that of its folder or of a run's folder; None for the run's own clone."""
    given = config.train.teacher.policy
    if given is None or given == CLONED:
        return None
    return policy_file(given, "train.teacher.policy")


def lesson(
    network: ActorCritic, params: Params, memory: Array, rollout: Rollout, weight: Array
) -> tuple[Lesson, Array]:
    """The lesson of a rollout, and the teacher's memory after it. memory: float32 [1, B, H], before it.

    The memory is reset where an episode begins, as the policy's is.
    """
    memory_bh, logits, _ = unroll(network, params, rollout.glance, rollout.first, memory[0])
    log_probs = jax.nn.log_softmax(pick(logits, jnp.asarray(rollout.skill)))
    return Lesson(log_probs, jnp.full(rollout.skill.shape, weight, jnp.float32)), memory_bh[None]


def only_values(grads: Params) -> Params:
    """The gradient of the value heads alone; 0 for all other parameters."""

    def kept(place: tuple[jax.tree_util.KeyEntry, ...], leaf: Array) -> Array:
        of_value = any(getattr(key, "key", None) == _VALUE for key in place)
        return leaf if of_value else jnp.zeros_like(leaf)

    found: Params = jax.tree_util.tree_map_with_path(kept, grads)
    return found
