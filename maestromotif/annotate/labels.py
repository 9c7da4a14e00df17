"""Turns answers into labelled pairs: margins, ties, nonsense."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maestromotif.annotate.answers import Judge
from maestromotif.annotate.questions import CHOICES, KINDS, Question, about_captions, about_pairs, decision
from maestromotif.config.labels import AnnotateSettings

CERTAIN = 3.0  # log-odds that a written decision counts as


@dataclass(frozen=True)
class Labelled:
    """P pairs with the model's judgements.

    pairs: int [P, 2], indices of captions. margin: float64 [P], log-odds that the first is better; the mean
    over both orders or both wordings, NaN where an answer was nonsense. consistent: bool [P], whether both
    orders or wordings agree (`consistent`; a single score always agrees with itself). odds: float64 [P, 2],
    log-odds of the caption named first, per order; None if captions were judged alone. score: float64
    [captions], a caption's own score if it was judged alone, else its mean margin over those it was compared
    with; NaN where nothing is known. nonsense: number of questions that were not answered with one of the
    choices. mass: mean probability of all choices together.
    """

    pairs: np.ndarray
    margin: np.ndarray
    consistent: np.ndarray
    odds: np.ndarray | None
    score: np.ndarray
    questions: int
    nonsense: int
    mass: float

    def label(self, settings: AnnotateSettings) -> np.ndarray:
        """float32 [P]: 1 if the first is better, 0 if the second is, one half for a tie, NaN for nonsense."""
        return labels_of(self.margin, settings.tie_margin).astype(np.float32)


@dataclass(frozen=True)
class Comparison:
    """Captions to compare by what one skill wants."""

    goal: str  # the skill's text
    captions: Sequence[str]
    pairs: np.ndarray  # int [P, 2], indices of captions
    settings: AnnotateSettings

    def questions(self) -> list[Question]:
        """The questions whose answers label the pairs."""
        return [question for asked in self._by_kind() for question in asked]

    def label(self, judge: Judge) -> Labelled:
        """Labels from the judge's answers to `questions`."""
        asked, pairs, tie_margin = self._by_kind(), self.pairs, self.settings.tie_margin
        found = [self._odds(judge, of_kind) for of_kind in asked]
        odds = np.array([one for one, _ in found])  # [kinds, questions]
        nonsense = int(np.isnan(odds).sum())
        mass = float(np.mean([mass for _, mass in found]))
        if self.settings.method in ("pairwise", "reasoned"):
            both = odds.reshape(-1, 2)
            margin, alike = (both[:, 0] - both[:, 1]) / 2, consistent(both, tie_margin)
            score = _mean_margin(pairs, margin, len(self.captions))
            return Labelled(pairs, margin, alike, both, score, odds.size, nonsense, mass)
        score = odds.mean(0)
        margin = np.round(score[pairs[:, 0]] - score[pairs[:, 1]], 4)
        by_kind = odds[:, pairs[:, 0]] - odds[:, pairs[:, 1]]  # [kinds, P]
        # Negated, because `consistent` expects the pair swapped in the second column.
        alike = consistent(np.column_stack([by_kind[0], -by_kind[-1]]), tie_margin)
        return Labelled(pairs, margin, alike, None, score, odds.size, nonsense, mass)

    def _by_kind(self) -> list[list[Question]]:
        """The questions, a list for each kind that the method asks."""
        asked = []
        for kind in KINDS[self.settings.method]:
            if kind == "pointwise" or kind == "graded":
                asked.append(about_captions(kind, self.goal, self.captions))
            else:
                pairs = ([self.captions[a], self.captions[b]] for a, b in self.pairs.tolist())
                most = 1 if CHOICES[kind] else self.settings.thoughts
                asked.append(about_pairs(kind, self.goal, pairs, most))
        return asked

    def _odds(self, judge: Judge, asked: list[Question]) -> tuple[np.ndarray, float]:
        """Log-odds float64 [questions] of the first choice over the second, NaN for nonsense; and mass."""
        if self.settings.method == "reasoned":
            return _decisions(judge.written(asked))
        logprobs = np.round(judge.logprobs(asked), 4)
        probability = np.exp(logprobs).sum(1)
        good = np.isfinite(logprobs[:, :2]).all(1) & (probability >= self.settings.answer_mass)
        odds = np.full(len(asked), np.nan)
        odds[good] = logprobs[good, 0] - logprobs[good, 1]
        return odds, float(probability[good].mean()) if good.any() else 0.0


def consistent(odds: np.ndarray, tie_margin: float) -> np.ndarray:
    """Whether both orders prefer the same caption or both are below `tie_margin` log-odds, bool [P].

    odds: float64 [P, 2], log-odds of the caption named first, per order. A judge that says "the first" both
    times has a mean margin near 0, like a tie, but has expressed no preference.
    """
    prefer_same = np.sign(odds[:, 0]) == -np.sign(odds[:, 1])
    same: np.ndarray = np.isfinite(odds).all(1) & (prefer_same | (np.abs(odds) < tie_margin).all(1))
    return same


def labels_of(margin: np.ndarray, tie_margin: float) -> np.ndarray:
    """float64 [P]: 1 if the first is better, 0 if the second is, 1/2 for a tie, NaN without an answer."""
    decided = np.where(margin > 0, 1.0, 0.0)
    tie = (np.abs(margin) < tie_margin) | (margin == 0)
    return np.where(np.isnan(margin), np.nan, np.where(tie, 0.5, decided))


def _mean_margin(pairs: np.ndarray, margin: np.ndarray, captions: int) -> np.ndarray:
    """float64 [captions]: mean margin of each over those it was compared with; NaN without a comparison."""
    answered = np.isfinite(margin)
    pairs, margin = pairs[answered], margin[answered]
    total, seen = np.zeros(captions), np.zeros(captions)
    for column, sign in ((0, 1.0), (1, -1.0)):
        np.add.at(total, pairs[:, column], sign * margin)
        np.add.at(seen, pairs[:, column], 1)
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan)


def _decisions(written: Sequence[str]) -> tuple[np.ndarray, float]:
    found = [decision(text) for text in written]
    odds = np.array([{1: CERTAIN, 2: -CERTAIN, 0: 0.0, None: np.nan}[one] for one in found], np.float64)
    return odds, float(np.isfinite(odds).mean()) if len(odds) else 0.0
