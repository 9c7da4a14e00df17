"""Models of one ancestry for a soup: experts on kinds of event, or the ensemble that `distil` trained.

The captions are split into folds; all captions of a message are in one fold. For each fold, its captions are
for reporting, those of the next fold are for choosing, and the models train only on the others.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.rewards.batches import Captions
from maestromotif.rewards.fit import Learner, Member, learn, score, start_of
from maestromotif.rewards.model import Params, load_members
from maestromotif.rewards.pairs import Judged, parts

ALL = "all pairs"  # the model that is not an expert
WHOLE = -1  # the fold whose soup is kept: its models train on all captions except those for choosing
NONE = np.zeros(0, np.int64)  # rows


@dataclass(frozen=True)
class Fold:
    """One skill's captions for choosing and for reporting, bool [N], and rows of its pairs.

    learned: pairs without any of these captions. held_out: pairs of captions for choosing.
    """

    skill: int
    number: int
    choose: np.ndarray
    report: np.ndarray
    learned: np.ndarray
    held_out: np.ndarray

    def learner(
        self,
        config: Config,
        judged: Judged,
        name: str,
        start: Params,
        rows: np.ndarray,
        tested: np.ndarray,
    ) -> Learner:
        full = f"{config.skills[self.skill]} {self.number} {name}"
        pairs, labels = judged.pairs[self.skill], judged.labels[self.skill]
        return Learner(full, 0, start, pairs, labels, rows, tested)


@dataclass(frozen=True)
class Pot:
    """Models of one skill, their names, and R float32 [N] of the model they start from; None if unknown."""

    fold: Fold
    names: list[str]
    models: list[Member]
    start: np.ndarray | None


def experts(
    config: Config, judged: Judged, captions: Captions, kinds: Sequence[str], work: Work
) -> list[Pot]:
    """Pots of models that are fine-tuned for a soup: for every skill, one per fold and then that of WHOLE."""
    settings, own = config.soup, config.distil.model_copy(update={"seeds": 1, "patience": None})
    part = parts(judged.messages, kinds, settings.folds, np.random.default_rng([config.run.seed, 9]))
    folds = [
        _fold(judged, k, skill, number, part, settings.folds)
        for k, skill in enumerate(config.skills)
        for number in (*range(settings.folds), WHOLE)
    ]
    learners = []
    for fold in folds:
        start = start_of(own.network, config.skills[fold.skill], config.run.seed, 0, captions.columns)
        learners.append(fold.learner(config, judged, "start", start, fold.learned, fold.held_out))
    starts = learn(captions, learners, own, config.run.seed, work.scratch / "starts.msgpack", "soup: starts")

    names: list[list[str]] = []
    learners = []
    for fold, begun in zip(folds, starts, strict=True):
        learned = {kind: _about(judged, fold.skill, kind, fold.learned, kinds) for kind in sorted(set(kinds))}
        frequent = sorted(
            (kind for kind in learned if len(learned[kind])), key=lambda kind: -len(learned[kind])
        )
        names.append([ALL, *frequent[: settings.experts]])
        learners.append(fold.learner(config, judged, ALL, begun.params, fold.learned, fold.held_out))
        for kind in names[-1][1:]:
            # As many pairs of its own kind as of all others.
            further = np.resize(learned[kind], max(0, len(fold.learned) - 2 * len(learned[kind])))
            rows = np.concatenate([fold.learned, further])
            tested = _about(judged, fold.skill, kind, fold.held_out, kinds)
            learners.append(fold.learner(config, judged, kind, begun.params, rows, tested))
    tuning = own.model_copy(update={"epochs": settings.epochs, "learning_rate": settings.learning_rate})
    checkpoint = work.scratch / "experts.msgpack"
    tuned = iter(learn(captions, learners, tuning, config.run.seed, checkpoint, "soup: experts"))
    return [
        Pot(fold, told, list(itertools.islice(tuned, len(told))), begun.scores)
        for fold, told, begun in zip(folds, names, starts, strict=True)
    ]


def _fold(judged: Judged, k: int, skill: str, number: int, part: np.ndarray, count: int) -> Fold:
    report, choose = part == number, part == (number + 1) % count
    learned = np.flatnonzero(judged.within(k, ~report & ~choose))
    if not len(learned):
        raise UserError(
            f"skill '{skill}': no labelled pair is left for training, apart from the captions for choosing "
            "and reporting; raise annotate.captions or annotate.pairs"
        )
    return Fold(k, number, choose, report, learned, np.flatnonzero(judged.within(k, choose)))


def _about(judged: Judged, skill: int, kind: str, rows: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
    """Those of the rows of a skill's pairs that have a caption of the kind."""
    told = np.array([one == kind for one in kinds])[judged.pairs[skill][rows]]
    found: np.ndarray = rows[told.any(1)]
    return found


def members(
    config: Config, judged: Judged, captions: Captions, kinds: Sequence[str], distilled: Artefact
) -> list[Pot]:
    """One pot per skill, of the models that `distil` trained. Half of its held-out captions are for choosing.

    All held-out captions chose the epoch of each model, so the figures of all methods are too good alike.
    """
    held_out = np.flatnonzero(judged.held_out)
    messages = [judged.messages[row] for row in held_out.tolist()]
    told = [kinds[row] for row in held_out.tolist()]
    half = parts(messages, told, 2, np.random.default_rng([config.run.seed, 9]))
    choose, report = np.zeros((2, captions.count), bool)
    choose[held_out[half == 0]], report[held_out[half == 1]] = True, True
    pots = []
    for k, skill in enumerate(config.skills):
        loaded = load_members(distilled.path / skill)
        if len(loaded) < 2:
            raise UserError(
                f"{distilled.path / skill}: has one model, but a soup averages several; raise distil.seeds"
            )
        scores = score(captions, [params for _, params in loaded])
        models = [
            Member(row["seed"], row["ancestry"], params, row["epoch"], row["loss_held_out"], own)
            for (row, params), own in zip(loaded, scores, strict=True)
        ]
        names = [f"seed {model.seed}" for model in models]
        pots.append(Pot(Fold(k, WHOLE, choose, report, NONE, NONE), names, models, None))
    return pots
