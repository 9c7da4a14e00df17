"""Soups: what is averaged and what is refused, on what it is chosen, and on what it is compared."""

import itertools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import small_rewards
from small_rewards import MESSAGES, SKILLS

from maestromotif.config.labels import SoupSettings
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.quality import oracle
from maestromotif.rewards import distil, experts, fit, soup
from maestromotif.rewards.batches import Captions
from maestromotif.rewards.model import load_rewards
from maestromotif.rewards.pairs import Judged, read_judged

FOLDS = 3


def configured(seeds: int = 1, same_start: bool = False, **settings: Any) -> Config:
    chosen = {"folds": FOLDS, "experts": 2, "epochs": 3} | settings
    config = small_rewards.configured(epochs=20, seeds=seeds, same_start=same_start)
    return config.model_copy(update={"soup": SoupSettings.model_validate(chosen)})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artefact]:
    return small_rewards.write_inputs(tmp_path_factory.mktemp("soup"))


@pytest.fixture(scope="module")
def judged(inputs: dict[str, Artefact]) -> Judged:
    folders = inputs["annotate"].path, inputs["curate"].path
    return read_judged(*folders, SKILLS, configured().distil, np.random.default_rng([0, 2]))


@pytest.fixture(scope="module")
def captions(judged: Judged) -> Captions:
    return Captions("words", judged.messages, judged.changes)


@pytest.fixture(scope="module")
def kinds(judged: Judged) -> list[str]:
    rows = zip(judged.messages, judged.changes.tolist(), strict=True)
    return [oracle.kind(message.decode("latin-1"), row) for message, row in rows]


@pytest.fixture(scope="module")
def pots(
    judged: Judged, captions: Captions, kinds: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[experts.Pot]:
    return experts.experts(configured(), judged, captions, kinds, Work(tmp_path_factory.mktemp("work")))


def test_models_are_reported_on_captions_that_nothing_has_seen(
    pots: list[experts.Pot], judged: Judged
) -> None:
    for k in range(len(SKILLS)):
        own = [pot.fold for pot in pots if pot.fold.skill == k]
        assert [fold.number for fold in own] == [0, 1, 2, experts.WHOLE]
        assert np.sum([fold.report for fold in own], axis=0).tolist() == [1] * len(judged.messages)
        for fold in own:
            assert not (fold.choose & fold.report).any()
            learned = np.zeros(len(judged.messages), bool)
            learned[judged.pairs[k][fold.learned]] = True
            assert not (learned & (fold.choose | fold.report)).any()
            for one, other in itertools.combinations((learned, fold.choose, fold.report), 2):
                words = [{judged.messages[row] for row in np.flatnonzero(of)} - {b""} for of in (one, other)]
                assert not words[0] & words[1]


def test_models_of_a_pot_descend_from_one(pots: list[experts.Pot]) -> None:
    for pot in pots:
        assert pot.names[0] == experts.ALL
        assert len(pot.names) == len(pot.models) == 3
        assert len({model.ancestry for model in pot.models}) == 1
        assert not np.array_equal(pot.models[0].scores, pot.models[1].scores)
    assert len({pot.models[0].ancestry for pot in pots}) == len(pots)


def test_the_average_is_of_parameters(pots: list[experts.Pot]) -> None:
    pot = pots[0]
    weights = np.array([0.5, 0.2, 0.3])
    blended = soup.blend(pot.names, pot.models, weights)
    leaves = zip(*[jax.tree.leaves(model.params) for model in pot.models], strict=True)
    for found, of in zip(jax.tree.leaves(blended), leaves, strict=True):
        np.testing.assert_allclose(found, np.tensordot(weights, np.stack(of), 1), rtol=1e-5, atol=1e-7)
        assert found.dtype == np.float32


def test_models_of_unrelated_starts_are_refused(pots: list[experts.Pot]) -> None:
    models = [pots[0].models[0], pots[1].models[0]]
    with pytest.raises(UserError, match="'a' and 'b' started from unrelated parameters"):
        soup.blend(["a", "b"], models, np.array([0.5, 0.5]))


def test_weights_are_the_best_of_the_simplex_on_what_they_are_chosen_on(
    pots: list[experts.Pot], judged: Judged, captions: Captions, kinds: list[str]
) -> None:
    for pot in pots:
        cooked = soup.cook(pot, judged, captions, kinds, 0.5)
        assert cooked.weights.sum() == pytest.approx(1)
        assert np.allclose(cooked.weights * soup.STEPS, np.round(cooked.weights * soup.STEPS))
        pairs = judged.pairs[pot.fold.skill]
        rows = np.flatnonzero(judged.within(pot.fold.skill, pot.fold.choose) & ~judged.ties[pot.fold.skill])
        about = {
            kind: [row for row in rows.tolist() if kind in (kinds[pairs[row][0]], kinds[pairs[row][1]])]
            for kind in set(kinds)
        }

        def overall(scores: np.ndarray, pot: experts.Pot = pot, about: dict[str, list[int]] = about) -> float:
            label, pairs = judged.labels[pot.fold.skill], judged.pairs[pot.fold.skill]
            shares = [
                np.mean(
                    [(scores[pairs[row][0]] > scores[pairs[row][1]]) == (label[row] > 0.5) for row in own]
                )
                for own in about.values()
                if len(own) >= soup.FEWEST
            ]
            return float(np.mean(shares))

        best = max(overall(model.scores) for model in pot.models)
        assert overall(cooked.scores["best single"]) == pytest.approx(best)
        assert overall(cooked.scores["soup"]) >= best - 1e-9
        own = fit.score(captions, [cooked.params])[0]
        np.testing.assert_array_equal(own > own.mean(), cooked.scores["soup"] > cooked.scores["soup"].mean())


def test_weakly_correlated_categories_by_hand() -> None:
    # The second is the first once more, the third is another order, the fourth tells no model apart.
    accuracy = np.array(
        [[0.2, 0.3, 0.7, 0.5], [0.8, 0.7, 0.4, 0.5], [0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.9, 0.5]]
    )
    assert abs(np.corrcoef(accuracy[:, 0], accuracy[:, 2])[0, 1]) < 0.7
    assert soup.weakly_correlated(accuracy, 0.7) == [0, 2]
    assert soup.weakly_correlated(accuracy, 0.1) == [0]
    assert soup.weakly_correlated(np.full((3, 2), 0.5), 0.7) == []


def test_the_stage_compares_and_leaves_models_that_can_be_trained_on(
    inputs: dict[str, Artefact], tmp_path: Path
) -> None:
    work = Work(tmp_path)
    facts = soup.run(configured(), inputs, work)
    found = json.loads((tmp_path / "soup.json").read_text())["skills"]
    for skill in SKILLS:
        methods = found[skill]["methods"]
        assert list(methods) == list(soup.METHODS)
        assert methods["soup"] == facts["skills"][skill]
        assert len({row["pairs"] for row in methods.values()}) == 1
        for row in methods.values():
            assert row["low"] <= row["accuracy"] <= row["high"]
            assert row["accuracy"] > 0.75
        single = methods["best single"]
        assert (single["over_single_low"], single["over_single"], single["over_single_high"]) == (0, 0, 0)
        assert sum(found[skill]["recipe"].values()) == pytest.approx(1)
        assert len(found[skill]["folds"]) == FOLDS
        assert "depth: deeper" in found[skill]["by_kind"]
    page = (tmp_path / "soup.md").read_text()
    assert "| descender | depth: deeper | " in page
    assert "by bootstrap over captions" in page
    z = load_rewards(tmp_path, SKILLS).score([m.encode() for m in MESSAGES[:2]], np.zeros((2, 4), np.int8))
    assert np.isfinite(z).all()
    again = Work(tmp_path / "again")
    soup.run(configured(), inputs, again)
    assert (again.path / "soup.json").read_bytes() == (tmp_path / "soup.json").read_bytes()


def test_the_ensemble_of_distil_is_averaged_only_if_it_began_alike(
    inputs: dict[str, Artefact], tmp_path: Path
) -> None:
    for same_start in (True, False):
        config = configured(seeds=2, same_start=same_start, of="members")
        folder = tmp_path / str(same_start)
        distil.run(config, inputs, Work(folder / "distil"))
        given = inputs | {"distil": Artefact(folder / "distil", {})}
        if same_start:
            soup.run(config, given, Work(folder / "soup"))
            found = json.loads((folder / "soup" / "soup.json").read_text())["skills"]["descender"]
            assert list(found["methods"]) == ["best single", "uniform", "soup", "ensemble"]
            assert set(found["recipe"]) <= {"seed 0", "seed 1"}
        else:
            with pytest.raises(
                UserError, match=r"'seed 0' and 'seed 1' started from unrelated .*same_start=true"
            ):
                soup.run(config, given, Work(folder / "soup"))
    config = configured(seeds=1, of="members")
    distil.run(config, inputs, Work(tmp_path / "one"))
    with pytest.raises(UserError, match=r"has one model, but a soup averages several; raise distil\.seeds"):
        soup.run(config, inputs | {"distil": Artefact(tmp_path / "one", {})}, Work(tmp_path / "soup"))
