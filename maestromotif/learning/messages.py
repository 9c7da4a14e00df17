"""Messages as integers: every distinct message is hashed and scored once, and looked up after that."""

import zlib

import numpy as np

WORDS = 16  # of a message, as the policy network reads it
VOCABULARY = 1024  # word hashes; 0 is padding


def hash_words(message: bytes) -> np.ndarray:
    """uint16 [WORDS]: CRC-32 of the message's first words modulo the vocabulary, padded with 0."""
    words = np.zeros(WORDS, np.uint16)
    found = message.split()[:WORDS]
    words[: len(found)] = [zlib.crc32(word) % (VOCABULARY - 1) + 1 for word in found]
    return words


class MessageTable:
    """Numbers messages in the order in which they appear.

    `words` uint16 [capacity, WORDS] grows with them.
    """

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}
        self.texts: list[bytes] = []
        self.words = np.zeros((1024, WORDS), np.uint16)

    def __len__(self) -> int:
        return len(self.texts)

    def number(self, text: bytes) -> int:
        known = self._number.get(text)
        if known is not None:
            return known
        number = self._number[text] = len(self.texts)
        self.texts.append(text)
        if number == len(self.words):
            self.words = np.concatenate([self.words, np.zeros_like(self.words)])
        self.words[number] = hash_words(text)
        return number

    def numbers(self, message: np.ndarray) -> np.ndarray:
        """message: uint8 [N, 256], NUL-padded -> int32 [N]."""
        return np.array([self.number(row.tobytes().rstrip(b"\0")) for row in message], np.int32)
