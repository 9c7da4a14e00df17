"""Messages as integers: every distinct message is hashed and scored once, then looked up."""

import zlib

import numpy as np

from maestromotif.nethack.observation import MESSAGE_BYTES

MOST = 1 << 14  # distinct messages or observations that a table keeps for longer than it must
WORDS = 16  # words of a message that the policy network reads
VOCABULARY = 1024  # word hashes; 0 is padding

_LANES = MESSAGE_BYTES // 8
_ODD = np.random.default_rng(0x6D657373).integers(0, 2**63, _LANES, np.uint64) * np.uint64(2) + np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def hash_words(message: bytes) -> np.ndarray:
    """uint16 [WORDS]: CRC-32 of the message's first words modulo the vocabulary, padded with 0."""
    words = np.zeros(WORDS, np.uint16)
    found = message.split()[:WORDS]
    words[: len(found)] = [zlib.crc32(word) % (VOCABULARY - 1) + 1 for word in found]
    return words


def fingerprints(message: np.ndarray) -> np.ndarray:
    """uint64 [n] hashes of NUL-padded messages uint8 [n, 256], vectorised.

    Each group of eight bytes is folded and multiplied by an odd number that depends on its place, twice, so
    that every bit affects every other. Among a million messages, the chance of any collision is about 3e-8.
    """
    lanes = np.ascontiguousarray(message).view(np.uint64)
    lanes = (lanes ^ (lanes >> np.uint64(29))) * _ODD
    total: np.ndarray = ((lanes ^ (lanes >> np.uint64(32))) * _MIX).sum(1)
    return total


class MessageTable:
    """Numbers messages in the order of their first occurrence.

    `words` uint16 [capacity, WORDS] grows as needed; `keep` and `show` make room. A message takes about 300
    bytes, so `MOST` messages take 5 MB.
    """

    def __init__(self) -> None:
        self._number: dict[int, int] = {}
        self.texts: list[bytes] = []
        self.words = np.zeros((1024, WORDS), np.uint16)

    def number(self, text: bytes) -> int:
        """The number of one message."""
        row = np.zeros((1, MESSAGE_BYTES), np.uint8)
        row[0, : len(text)] = np.frombuffer(text, np.uint8)
        return int(self.numbers(row)[0])

    def numbers(self, message: np.ndarray) -> np.ndarray:
        """message: uint8 [n, 256], NUL-padded -> int32 [n]."""
        prints = fingerprints(message).tolist()
        known = self._number
        try:
            return np.array([known[print_] for print_ in prints], np.int32)
        except KeyError:
            for print_, row in zip(prints, message, strict=True):
                if print_ not in known:
                    known[print_] = self._add(row.tobytes().rstrip(b"\0"))
            return np.array([known[print_] for print_ in prints], np.int32)

    def keep(self, numbers: np.ndarray) -> np.ndarray:
        """Forget all messages but those with these numbers, int [k], all different.

        Returns the new number of each old one, int64, -1 for those that are forgotten.
        """
        new = np.full(len(self.texts), -1, np.int64)
        new[numbers] = np.arange(len(numbers))
        prints, texts, words = list(self._number), self.texts, self.words
        self._number = {prints[old]: number for number, old in enumerate(numbers.tolist())}
        self.texts = [texts[old] for old in numbers.tolist()]
        self.words = np.concatenate([words[numbers], np.zeros((1024, WORDS), np.uint16)])
        return new

    def show(self, form: str, message: np.ndarray) -> np.ndarray:
        """`read` of messages uint8 [n, 256] whose numbers nobody keeps: a full table begins again."""
        if form != "words":
            return message
        numbers = self.numbers(message)  # first: `words` may grow
        shown: np.ndarray = self.words[numbers]
        if len(self.texts) > MOST:
            self.keep(np.zeros(0, np.int64))
        return shown

    def read(self, form: str, numbers: np.ndarray, message: np.ndarray) -> np.ndarray:
        """Messages in a trunk's form: "words" uint16 [n, WORDS] or "characters" uint8 [n, 256]."""
        return self.words[numbers] if form == "words" else message

    def _add(self, text: bytes) -> int:
        number = len(self.texts)
        self.texts.append(text)
        if number == len(self.words):
            self.words = np.concatenate([self.words, np.zeros_like(self.words)])
        self.words[number] = hash_words(text)
        return number
