"""Addresses of code that the processor's branch predictor takes for one another.

The code of NetHack stands at another address for each game. What the predictor has learned about its branches
in one game is then of no use in the next, and dozens of games push each other's out of its tables. But a
predictor does not look at every bit of an address. AMD's Zen 3, for one, combines bits that lie twelve apart,
so that two addresses that differ in both of such a pair are one to it (functions of this kind are in Wikner
and Razavi, Retbleed, USENIX Security 2022). Where all games' code stands at such addresses, they learn
together.

Which bits these are is found by trying: two copies of a long chain of jumps, run in turn, are quick if they
share what is learned, and slow if they push each other out. Where no difference can be told, addresses do not
matter, or not in a way that this can use. A mistake costs speed and nothing else.
"""

import ctypes
import math
import mmap
import os
import statistics
import time
from functools import cache, reduce
from itertools import combinations
from operator import xor

from maestromotif.nethack.engine.memory import map_if_free, unmap

SPAN = 1 << 23  # bytes between two games at least
_BITS = range(23, 46)  # that may be flipped
_ANCHOR = 1 << 46  # far from where Linux puts programs, libraries and stacks

# More jumps than half of what a predictor's tables hold, so that two chains do not fit in side by side.
_JUMPS, _JUMP_OVER_SIX, _RETURN = 4096, bytes([0xEB, 6] + [0xCC] * 6), bytes([0xC3])
_ROUNDS = 5


def place(number: int) -> int | None:
    """An address, a multiple of SPAN, that is one to the branch predictor with those of all other numbers.

    None on processors where there are no such addresses, and for numbers for which they do not suffice.
    """
    flips = unseen_flips()
    if not flips or number >> len(flips):
        return None
    return reduce(xor, (flip for bit, flip in enumerate(flips) if number >> bit & 1), _ANCHOR)


@cache
def unseen_flips() -> tuple[int, ...]:
    """Bits of an address, alone or in pairs, that the branch predictor does not notice when they are flipped.

    The lowest bit of each is in no other, so all combinations differ. Takes a tenth of a second.
    """
    code = os.memfd_create("jumps")
    try:
        os.write(code, _JUMP_OVER_SIX * _JUMPS + _RETURN)
        return tuple(_search(code))
    finally:
        os.close(code)


def _search(code: int) -> list[int]:
    size = len(_JUMP_OVER_SIX) * _JUMPS + len(_RETURN)
    executable = mmap.PROT_READ | mmap.PROT_EXEC

    def in_turn(flip: int) -> float:
        """Nanoseconds for two chains at addresses that differ by `flip`; for one chain twice without."""
        address, best = _ANCHOR ^ flip, math.inf
        if flip and not map_if_free(address, size, executable, code):
            return best
        first, second = (ctypes.PYFUNCTYPE(None)(at) for at in (_ANCHOR, address))
        for _ in range(_ROUNDS):
            start = time.perf_counter_ns()
            first(), second(), first(), second()
            best = min(best, float(time.perf_counter_ns() - start))
        if flip:
            unmap(address, size)
        return best

    if not map_if_free(_ANCHOR, size, executable, code):
        return []
    try:
        together = in_turn(0)
        single = {1 << bit: in_turn(1 << bit) for bit in _BITS}
        apart = statistics.median(single.values())
        if apart < 2 * together or math.isinf(apart):
            return []
        limit = (2 * together + apart) / 3
        flips = [flip for flip, taken in single.items() if taken < limit]
        for low, high in combinations(_BITS, 2):
            lowest = reduce(lambda bits, flip: bits | flip & -flip, flips, 0)
            pair = 1 << low | 1 << high
            if not pair & lowest and in_turn(pair) < limit and in_turn(pair) < limit:
                flips.append(pair)
        return flips
    finally:
        unmap(_ANCHOR, size)
