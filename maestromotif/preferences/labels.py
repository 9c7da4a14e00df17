"""From answers to labelled pairs: margins, ties, nonsense."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maestromotif.preferences import quality
from maestromotif.preferences.answers import Judge
from maestromotif.preferences.questions import CHOICES, Question, about_captions, about_pairs, decision
from maestromotif.settings import AnnotateSettings

CERTAIN = 3.0  # log-odds that a written decision counts as


@dataclass(frozen=True)
class Labelled:
    """P pairs with what the model makes of them.

    pairs: int [P, 2], indices of captions. margin: float64 [P], log-odds of the first being the better; of
    pairwise answers the mean of both orders, NaN where an answer was nonsense. consistent: bool [P], whether
    both orders say the same (`quality.consistent`; pointwise scores do so by their nature).
    odds: float64 [P, 2], log-odds of the one named first in either order, None for pointwise.
    score: float64 [captions], pointwise log-odds of Yes, or else by how much a caption is better than those
    it was compared with, on average; NaN where nothing is known. nonsense: how many questions were answered
    with anything else. mass: the mean probability of all choices together.
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
        """float32 [P]: 1 where the first is the better, 0 where the second is, one half for a tie."""
        return quality.labels(self.margin, settings.tie_margin).astype(np.float32)


@dataclass(frozen=True)
class Comparison:
    """Captions that are to be compared by what one skill wants."""

    goal: str  # the skill's text
    captions: Sequence[str]
    pairs: np.ndarray  # int [P, 2], indices of captions
    settings: AnnotateSettings

    def questions(self) -> list[Question]:
        """What must be asked to label the pairs."""
        method = self.settings.method
        if method == "pointwise":
            return about_captions(self.goal, self.captions)
        pairs = ([self.captions[a], self.captions[b]] for a, b in self.pairs.tolist())
        return about_pairs(method, self.goal, pairs, 1 if CHOICES[method] else self.settings.thoughts)

    def label(self, judge: Judge) -> Labelled:
        """Labels from the answers that the judge has given to `questions`."""
        asked, pairs, settings = self.questions(), self.pairs, self.settings
        if settings.method == "reasoned":
            odds, good, mass = _decisions(judge.written(asked))
        else:
            logprobs = np.round(judge.logprobs(asked), 4)
            probability = np.exp(logprobs).sum(1)
            good = np.isfinite(logprobs).all(1) & (probability >= settings.answer_mass)
            odds = np.full(len(asked), np.nan)
            odds[good] = logprobs[good, 0] - logprobs[good, 1]
            mass = float(probability[good].mean()) if good.any() else 0.0
        nonsense = int(np.sum(~good))
        if settings.method == "pointwise":
            margin = np.round(odds[pairs[:, 0]] - odds[pairs[:, 1]], 4)
            return Labelled(pairs, margin, np.isfinite(margin), None, odds, len(asked), nonsense, mass)
        both = odds.reshape(-1, 2)
        margin, consistent = (both[:, 0] - both[:, 1]) / 2, quality.consistent(both, settings.tie_margin)
        score = _mean_margin(pairs, margin, len(self.captions))
        return Labelled(pairs, margin, consistent, both, score, len(asked), nonsense, mass)


def _mean_margin(pairs: np.ndarray, margin: np.ndarray, captions: int) -> np.ndarray:
    """float64 [captions]: by how much each is better than those it was compared with, on average."""
    answered = np.isfinite(margin)
    pairs, margin = pairs[answered], margin[answered]
    total, seen = np.zeros(captions), np.zeros(captions)
    for column, sign in ((0, 1.0), (1, -1.0)):
        np.add.at(total, pairs[:, column], sign * margin)
        np.add.at(seen, pairs[:, column], 1)
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan)


def _decisions(written: Sequence[str]) -> tuple[np.ndarray, np.ndarray, float]:
    found = [decision(text) for text in written]
    odds = [{1: CERTAIN, 2: -CERTAIN, 0: 0.0, None: np.nan}[one] for one in found]
    good = np.array([one is not None for one in found], bool)
    return np.array(odds, np.float64), good, float(good.mean()) if len(good) else 0.0
