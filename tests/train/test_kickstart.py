"""A teacher: its term of the loss by loops, what it remembers, and trainings that begin as it plays."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import serialization
from small_learning import config, fresh, random_batch, unrolled

from maestromotif.agent import saved_policy, trunks
from maestromotif.agent.policy import POLICY
from maestromotif.agent.saved_policy import policy_bytes, read_policy
from maestromotif.config.learning import TeacherSettings, TrainSettings
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Work
from maestromotif.train import kickstart, train
from maestromotif.train.kickstart import Teacher, lesson
from maestromotif.train.learner import Learner
from maestromotif.train.metrics import CURVE
from maestromotif.train.ppo import Targets, loss

T, N = 6, 5


def another() -> Any:
    """Parameters of the small network that are far from the untrained ones."""
    shift = np.random.default_rng(9)
    return jax.tree.map(lambda leaf: leaf + shift.normal(0, 0.3, leaf.shape).astype(np.float32), fresh()[1])


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher's file."""
    folder = tmp_path_factory.mktemp("teacher")
    (folder / POLICY).write_bytes(policy_bytes(config(folder), another()))
    return folder / POLICY


def test_the_term_of_the_loss_is_that_of_the_loops() -> None:
    network, params = fresh()
    teacher, rng = another(), np.random.default_rng(0)
    batch = random_batch(rng, network, T, N)
    rollout, memory = batch.rollout, np.asarray(batch.memory[0])
    own_memory = rng.normal(size=(1, N, network.hidden)).astype(np.float32)
    weight = np.float32(0.7)
    told, after = jax.jit(lesson, static_argnums=0)(network, teacher, own_memory, rollout, weight)

    teacher_memory, theirs, _ = unrolled(network, teacher, rollout.glance, rollout.first, own_memory[0])
    _, ours, _ = unrolled(network, params, rollout.glance, rollout.first, memory)
    np.testing.assert_allclose(after[0], teacher_memory, rtol=1e-5, atol=1e-6)
    apart = np.zeros((T, N))
    for t, n in np.ndindex(T, N):
        p, q = (np.exp(logits[t, n, rollout.skill[t, n]].astype(np.float64)) for logits in (theirs, ours))
        p, q = p[p > 0] / p.sum(), q[p > 0] / q.sum()  # 0: masked, for both
        apart[t, n] = (p * np.log(p / q)).sum()
    assert apart.min() > 0.01

    advantage, value = rng.normal(size=(2, T, N)).astype(np.float32)
    target = Targets(advantage, value, None)
    compute = jax.jit(lambda target: loss(params, network, rollout, memory, target, TrainSettings()))
    (alone, _), (total, figures) = compute(target), compute(target._replace(lesson=told))
    assert float(figures["teacher_kl"]) == pytest.approx(apart.mean(), rel=1e-4)
    assert float(total - alone) == pytest.approx(0.7 * apart.mean(), rel=1e-3)


def test_the_teacher_remembers_from_rollout_to_rollout_and_forgets_at_an_episode() -> None:
    network, teacher = fresh()[0], another()
    batch = random_batch(np.random.default_rng(1), network, 2 * T, N)
    whole = batch.rollout
    halves = [jax.tree.map(lambda leaf, at=at: leaf[at : at + T], whole) for at in (0, T)]
    memory = np.zeros((1, N, network.hidden), np.float32)
    one, _ = jax.jit(lesson, static_argnums=0)(network, teacher, memory, whole, 1.0)
    parts = []
    for half in halves:
        told, memory = jax.jit(lesson, static_argnums=0)(network, teacher, memory, half, 1.0)
        parts.append(told.log_probs)
    np.testing.assert_allclose(np.concatenate(parts), one.log_probs, rtol=1e-4, atol=1e-5)
    assert whole.first[1:].any()


def test_the_weight_falls_in_a_line_after_the_critics_time() -> None:
    teacher = Teacher(TeacherSettings(coefficient=0.5, floor=0.1, steps=1000, critic_first=200), {})
    weights = [round(teacher.coefficient(steps), 6) for steps in (0, 199, 200, 700, 1200, 9999)]
    assert weights == [0.5, 0.5, 0.5, 0.3, 0.1, 0.1]
    assert [teacher.critic_only(steps) for steps in (0, 199, 200)] == [True, True, False]
    assert not teacher.done(9999)
    ends = Teacher(TeacherSettings(coefficient=0.5, steps=1000), {})
    assert [ends.done(steps) for steps in (0, 999, 1000)] == [False, False, True]


# One minibatch: what an update's figures say is said of the parameters before it.
LESSONS = ("train.minibatches=1", "train.lag=0", "train.curve_steps=128", "train.learning_rate=0.003")
PHASES = (
    "train.teacher.critic_first=384",
    "train.teacher.steps=384",
    "train.checkpoint_steps=256",
    "train.teacher.coefficient=0.8",
)


@pytest.mark.slow
def test_a_training_begins_as_its_teacher_plays_and_resumes_to_the_same_parameters(
    tmp_path: Path, taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On real observations: their distributions are equal while only the critic learns, then not any more."""
    settings = config(tmp_path, f"train.teacher.policy={taught}", *LESSONS, *PHASES)
    (teacher,) = (one.params for one in [kickstart.teacher_of(settings, {})] if one is not None)
    seen: list[Any] = []
    update = Learner.update

    def watching(self: Learner, *arguments: Any) -> Any:
        out = update(self, *arguments)
        seen.append(jax.tree.map(np.array, out[0].params))
        if len(seen) == 13:  # the fifth update of the second training, after a checkpoint
            raise Killed
        return out

    monkeypatch.setattr(Learner, "update", watching)
    train.run(settings, {}, Work(tmp_path / "whole"))
    rows = [json.loads(line) for line in (tmp_path / "whole" / CURVE).read_text().splitlines()]
    apart = [row.get("loss/teacher_kl") for row in rows]
    assert max(apart[:4]) < 1e-6  # the fourth update is the first one that changes the policy
    assert min(apart[4:6]) > 1e-6
    assert apart[6:] == [None, None]  # the teacher has finished
    assert [row["loss/teacher_coefficient"] for row in rows] == [
        0.8,
        0.8,
        0.8,
        0.8,
        *np.round([0.8 * 2 / 3, 0.8 / 3], 6),
        0,
        0,
    ]
    for number, same in enumerate([True, True, True, False]):
        for (place, one), own in zip(
            jax.tree_util.tree_leaves_with_path(seen[number]), jax.tree.leaves(teacher), strict=True
        ):
            is_value = "value" in jax.tree_util.keystr(place)
            assert np.array_equal(one, own) == (same and not is_value), (number, place)

    with pytest.raises(Killed):
        train.run(settings, {}, Work(tmp_path / "broken"))
    train.run(settings, {}, Work(tmp_path / "broken"))
    assert len(seen) == 13 + 4
    assert (tmp_path / "broken" / POLICY).read_bytes() == (tmp_path / "whole" / POLICY).read_bytes()


class Killed(BaseException):
    """In place of a signal."""


def test_a_teacher_that_does_not_fit_is_refused_before_a_game_starts(
    tmp_path: Path, taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(said: str, *overrides: str, path: Path = taught) -> None:
        settings = config(tmp_path, f"train.teacher.policy={path}", *overrides)
        with pytest.raises(UserError, match=said):
            train.run(settings, {}, Work(tmp_path / "work"))

    refused(r"policy.msgpack: .*train.network.hidden was 16, is 32", "train.network.hidden=32")
    refused(r"train.network.actions was published, is travel", "train.network.actions=travel")
    refused(
        r"skills was discoverer, descender, ascender, is descender, discoverer, ascender",
        "skills=[descender, discoverer, ascender]",
    )
    bare = tmp_path / "bare.msgpack"
    bare.write_bytes(serialization.to_bytes(another()))
    refused("does not say of which network", path=bare)
    (tmp_path / "half.msgpack").write_bytes(taught.read_bytes()[:1000])
    refused("cannot be read as a policy", path=tmp_path / "half.msgpack")
    with pytest.raises(UserError, match=r"train.teacher.policy: .*holds no policy.msgpack"):
        train.reads(config(tmp_path, f"train.teacher.policy={tmp_path / 'none.msgpack'}"))
    # Shapes and settings are the same, but an input is scaled in another way.
    saved_policy._probing.cache_clear()
    monkeypatch.setattr(trunks, "_SCALE", 3 * trunks._SCALE)
    refused("computes something else with its parameters")
    saved_policy._probing.cache_clear()


def test_a_policy_is_read_back_with_its_header_and_without(tmp_path: Path, taught: Path) -> None:
    settings, params = config(tmp_path, "train.network.precision=bfloat16"), another()
    bare = tmp_path / POLICY
    bare.write_bytes(serialization.to_bytes(params))
    for path in (taught, bare):
        for one, own in zip(
            jax.tree.leaves(read_policy(path, settings)), jax.tree.leaves(params), strict=True
        ):
            np.testing.assert_array_equal(one, own)
    bare.write_bytes(serialization.to_bytes(fresh(heads="shared")[1]))
    with pytest.raises(UserError, match="holds another network"):
        read_policy(bare, settings)
