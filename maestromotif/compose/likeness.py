"""How like two texts are, by the rare words that they share."""

import math
import re
from collections import Counter
from collections.abc import Sequence


def words_of(text: str) -> frozenset[str]:
    """The words of a text without numbers, in small letters and without endings such as -ed and -ing."""
    found = re.findall(r"[a-z]{3,}", text.lower())
    return frozenset(re.sub(r"(?<=...)(?:ing|ed|es|e|s)$", "", word) for word in found)


class Rarity:
    """How rare words are among texts, each a set of words. A word that is in none weighs nothing."""

    def __init__(self, texts: Sequence[frozenset[str]]) -> None:
        counts = Counter(word for words in texts for word in words)
        self._weight = {word: math.log(len(texts) / count) for word, count in counts.items()}

    def weight(self, words: frozenset[str]) -> float:
        """The sum over the words."""
        return math.fsum(self._weight.get(word, 0.0) for word in words)

    def likeness(self, some: frozenset[str], others: frozenset[str]) -> float:
        """The cosine between two sets of words, from 0 to 1."""
        return self._norm(some & others) ** 2 / (self._norm(some) * self._norm(others) or 1.0)

    def _norm(self, words: frozenset[str]) -> float:
        return math.sqrt(math.fsum(self._weight.get(word, 0.0) ** 2 for word in words))
