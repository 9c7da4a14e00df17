"""A clone of demonstrations in real games."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from demonstrated import RULE, recordings, write_demonstrations
from small_learning import config, fresh, random_glance, unrolled

from maestromotif.agent.network import build
from maestromotif.agent.policy import POLICY
from maestromotif.agent.saved_policy import read_policy
from maestromotif.clone import clone, imitation
from maestromotif.clone.glances import Again, Steps
from maestromotif.clone.imitation import batches, loss
from maestromotif.config.schema import Config
from maestromotif.demonstrate.recordings import FILE, write
from maestromotif.errors import UserError
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Work

SETTINGS = ("clone.epochs=4", "clone.batch=4", "clone.sequence=8", "clone.learning_rate=0.02")


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demonstrations")
    return write_demonstrations(folder, config(folder))


def cloned(folder: Path, demonstrations: Path, *overrides: str) -> Config:
    return config(folder, f"clone.demonstrations={demonstrations}", *SETTINGS, *overrides)


def test_a_clone_does_what_was_demonstrated_and_resumes_to_the_same_parameters(
    tmp_path: Path, demonstrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = cloned(tmp_path, demonstrations)
    facts = clone.run(settings, {}, Work(tmp_path / "whole"))
    first, *_, last = facts["epochs"]
    assert last["accuracy_held_out"] > 0.9 > 0.5 > last["loss_held_out"]
    assert last["loss"] < first["loss"]
    assert {f"{skill}/accuracy_held_out" for skill in settings.skills} <= set(last)
    assert facts["recordings"] == 8
    assert 0 < facts["labelled"] == facts["played_as_labelled"] < facts["steps"]
    params = read_policy(tmp_path / "whole" / POLICY, settings, needs_header=True)

    # On inputs of no game, too, each skill's head does what its rule says.
    network = build(settings.train.network.model_copy(update={"mask": False}), len(settings.skills))
    glance = random_glance(np.random.default_rng(0), network, 2, 4)
    _, logits, _ = unrolled(
        network, params, glance, np.zeros((2, 4), bool), np.zeros((4, network.hidden), np.float32)
    )
    assert (logits.argmax(-1) == RULE).mean() > 0.9

    judge = imitation.Imitation.judge
    judged = []

    def dies(self: imitation.Imitation, *arguments: Any) -> Any:
        judged.append(1)
        if len(judged) == 3:
            raise Killed
        return judge(self, *arguments)

    monkeypatch.setattr(imitation.Imitation, "judge", dies)
    with pytest.raises(Killed):
        clone.run(settings, {}, Work(tmp_path / "broken"))
    monkeypatch.setattr(GamePool, "__init__", None)  # the glances are there: no game is played again
    resumed = clone.run(settings, {}, Work(tmp_path / "broken"))
    assert len(judged) == 5
    assert resumed == facts
    assert (tmp_path / "broken" / POLICY).read_bytes() == (tmp_path / "whole" / POLICY).read_bytes()


def test_played_again_the_network_sees_what_it_would_see_while_it_plays(tmp_path: Path) -> None:
    """The last action, but for episodes in which it is hidden, and nothing of another recording."""
    settings = config(tmp_path)
    made = recordings(settings)
    network = build(settings.train.network, len(settings.skills))
    hidden = np.arange(len(made)) % 2 == 1
    found = []
    for number, some in enumerate((made, made[3:5])):
        again = Again(settings, network, some, hidden[: len(some)], tmp_path / str(number))
        with Progress("test", sum(len(one.actions) for one in some)) as progress:
            found.append(again.steps(progress))
    ends = np.cumsum([len(one.actions) for one in made])
    place = slice(ends[2], ends[3])
    for one, other in zip(jax.tree.leaves(found[0].glance), jax.tree.leaves(found[1].glance), strict=True):
        same = (one[place] == other[: len(made[3].actions)]).reshape(len(made[3].actions), -1).all(1)
        assert same[0] or leaf_of_last_action(one)
        assert same.all() or leaf_of_last_action(one)  # hidden in one of the two
    assert found[0].first.sum() == len(made)


class Killed(BaseException):
    """In place of a signal."""


def leaf_of_last_action(leaf: np.ndarray) -> bool:
    return leaf.ndim == 1


def test_the_loss_is_that_of_the_labels() -> None:
    rng = np.random.default_rng(1)
    network, params = fresh()
    glance = jax.tree.map(lambda leaf: leaf.reshape(20, *leaf.shape[2:]), random_glance(rng, network, 10, 2))
    first = np.isin(np.arange(20), (0, 13))
    steps = Steps(glance, first, rng.integers(0, 3, 20, np.int32), rng.integers(-1, 28, 20, np.int32))
    given = [*batches(steps, [(13, 20), (0, 13)], lanes=2, length=4)]
    assert [batch.first.shape for batch in given] == [(4, 2)] * 3
    # Lane by lane, the recordings follow each other, and what is left of the last lane has no label.
    lanes = np.concatenate([batch.label for batch in given]).T.reshape(-1)
    np.testing.assert_array_equal(lanes[:20], np.concatenate([steps.label[13:], steps.label[:13]]))
    assert (lanes[20:] == -1).all()

    memory, counted, forbidden = np.zeros((2, network.hidden), np.float32), 0, 0
    for batch in given:
        _, logits, _ = unrolled(network, params, batch.glance, batch.first, memory)
        mean, (memory, sums) = jax.jit(loss, static_argnums=1)(params, network, memory, batch)
        parts, possible = np.zeros(3), 0
        for t, b in np.argwhere(batch.label >= 0):
            own = logits[t, b, batch.skill[t, b]].astype(np.float64)
            if own[batch.label[t, b]] > -1e6:
                parts[batch.skill[t, b]] += np.log(np.exp(own).sum()) - own[batch.label[t, b]]
                possible += 1
        np.testing.assert_allclose(sums.loss, parts, rtol=1e-4)
        assert float(mean) == pytest.approx(parts.sum() / possible, rel=1e-4)
        assert sums.steps.sum() == possible
        counted, forbidden = counted + possible, forbidden + int(sums.forbidden.sum())
    assert counted + forbidden == (steps.label >= 0).sum()
    assert min(counted, forbidden) > 0  # some are masked, because the network has a mask


def test_other_demonstrations_are_refused_before_a_game_starts(tmp_path: Path, demonstrations: Path) -> None:
    for override, said in (
        ("train.network.actions=travel", "its action set: published; needed: travel"),
        ("skills=[discoverer, ascender, descender]", "its skills: discoverer, descender, ascender; needed: "),
    ):
        with pytest.raises(UserError, match=said):
            clone.run(cloned(tmp_path, demonstrations, override), {}, Work(tmp_path / "work"))


def test_a_game_that_does_not_play_as_recorded_is_named(tmp_path: Path) -> None:
    """One that ends too early, and one that ends with something else on the screen."""
    settings = config(tmp_path)
    made = recordings(settings)
    pray = np.full(60, INDEX["pray"], np.int32)  # ends in death
    early = dataclasses.replace(
        made[0], actions=pray, labels=pray, skills=0 * pray, switched=np.arange(60) < 1
    )
    other = dataclasses.replace(made[0], check=made[0].check ^ 1)
    for number, (wrong, said) in enumerate(
        ((early, r"seen after \d+ of 60 steps"), (other, "after 40 of 40"))
    ):
        write(Work(tmp_path / str(number)), [wrong, *made[1:]], settings)
        with pytest.raises(UserError, match=said):
            clone.run(cloned(tmp_path, tmp_path / str(number) / FILE), {}, Work(tmp_path / "work"))


def test_without_demonstrations_there_is_nothing_to_clone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clone\.demonstrations: is null"):
        clone.run(config(tmp_path), {}, Work(tmp_path / "work"))
    with pytest.raises(UserError, match=r"train.teacher.policy: is cloned, but no policy is cloned"):
        config(tmp_path, "train.teacher.policy=cloned")
