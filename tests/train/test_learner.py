"""The learner's updates, and which parameters play which rollout."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from small_learning import config, fresh, random_batch, unrolled

from maestromotif.agent.network import build, pick
from maestromotif.config.learning import TrainSettings
from maestromotif.pipeline.store import Work
from maestromotif.train import ppo, train
from maestromotif.train.learner import Learner
from maestromotif.train.schedule import schedule

GAMES = 8


def updated(settings: TrainSettings, *rates: float) -> list[tuple[Any, dict[str, Any]]]:
    """Parameters before and after, and figures, of one update with each learning rate from the same start.

    The rollout was played by another policy.
    """
    network, _ = fresh(hidden=8)
    learner = Learner(network, settings, GAMES, jax.devices()[:1])
    batch = jax.device_put(random_batch(np.random.default_rng(0), network, 3, GAMES), jax.devices()[0])
    found = []
    for rate in rates:
        learnt = learner.fresh(1)
        before = jax.tree.map(np.array, learnt.params)
        learnt, figures, _ = learner.update(learnt, [batch], jax.random.key(0), rate)
        moved = jax.tree.map(lambda new, old: np.array(new) - old, learnt.params, before)
        found.append((moved, dict(figures)))
    return found


def test_the_minibatches_of_an_epoch_partition_the_games(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen by the real loss: each game once in each epoch, in another order."""
    seen: list[np.ndarray] = []
    loss, memories = ppo.loss, random_batch(np.random.default_rng(0), fresh(hidden=8)[0], 3, GAMES).memory

    def told(params: Any, network: Any, rollout: Any, memory_bh: Any, *others: Any) -> Any:
        jax.debug.callback(lambda memory: seen.append(np.array(memory)), memory_bh)
        return loss(params, network, rollout, memory_bh, *others)

    monkeypatch.setattr(ppo, "loss", told)
    updated(TrainSettings(epochs=3, minibatches=4), 1e-2)
    jax.effects_barrier()
    assert [len(memory) for memory in seen] == [2] * 12
    games = [int(np.flatnonzero((memories[0] == row).all(1))[0]) for memory in seen for row in memory]
    epochs = [games[start : start + GAMES] for start in range(0, 3 * GAMES, GAMES)]
    assert all(sorted(epoch) == list(range(GAMES)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_divergence_that_ends_an_update_is_from_its_own_start() -> None:
    """The acting policy is far away, and still the first minibatch has moved nothing."""
    ((_, figures),) = updated(TrainSettings(epochs=2, minibatches=4, target_kl=1e-9), 1e-2)
    assert figures["minibatches"] == 2  # the second one sees what the first has moved
    assert figures["update_kl"] > 1e-9
    assert figures["kl"] > 0.1


def test_the_learning_rate_falls_evenly_to_nothing() -> None:
    settings = TrainSettings(steps=1000, rollout=10, learning_rate=0.5, anneal="linear")
    plan = schedule(settings, 10)  # of 10 updates
    np.testing.assert_allclose([plan.learning_rate(u) for u in (1, 2, 10)], [0.5, 0.45, 0.05])
    constant = schedule(settings.model_copy(update={"anneal": "none"}), 10)
    assert {constant.learning_rate(update) for update in range(1, 11)} == {0.5}
    (far, figures), (near, _) = updated(TrainSettings(minibatches=1), 1e-2, 1e-3)
    assert figures["learning_rate"] == 1e-2
    assert "update_kl" not in figures
    for one, other in zip(jax.tree.leaves(far), jax.tree.leaves(near), strict=True):
        np.testing.assert_allclose(one, 10 * other, rtol=0.1, atol=1e-5)


def test_a_rollout_is_played_by_the_parameters_of_lag_updates_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a real run with lag 2: the log-probabilities of its actions are those of that version alone."""
    versions: list[Any] = []
    batches: list[Any] = []
    update = Learner.update

    def noting(self: Learner, learnt: Any, parts: Any, *arguments: Any) -> Any:
        versions.append(jax.tree.map(np.array, learnt.params))
        batches.append(jax.tree.map(np.array, parts[0]))
        return update(self, learnt, parts, *arguments)

    monkeypatch.setattr(Learner, "update", noting)
    run = config(tmp_path, "train.lag=2", "train.learning_rate=0.01")
    train.run(run, {}, Work(tmp_path / "work"))
    network = build(run.train.network, len(run.skills))
    assert len(batches) == 8
    for rollout, batch in enumerate(batches):
        acted = batch.rollout
        differs = []
        for params in versions:
            _, logits, _ = unrolled(network, params, acted.glance, acted.first, batch.memory[0])
            log_prob = pick(jax.nn.log_softmax(pick(logits, acted.skill)), acted.action)
            differs.append(float(np.abs(log_prob - acted.log_prob).max()))
        assert np.argmin(differs) == max(0, rollout - 2), rollout
        nearest, second = sorted(differs)[:2]
        assert nearest < 1e-4 < second
