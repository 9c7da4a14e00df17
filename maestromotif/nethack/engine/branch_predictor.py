"""Code addresses that the processor's branch predictor cannot distinguish.

Each game has NetHack's code at a different address. What the predictor learns about branches in one game is
then useless in the next, and dozens of games evict each other's entries from its tables. But a predictor does
not use every bit of an address. AMD's Zen 3, for example, combines bits that are twelve apart, so it cannot
distinguish two addresses that differ in both bits of such a pair (functions of this kind are in Wikner and
Razavi, Retbleed, USENIX Security 2022). If the code of all games is at such addresses, games share entries.

An experiment finds these bits: two copies of a long chain of jumps run in turn. They are fast if they share
entries, and slow if they evict each other's. If there is no measurable difference, addresses do not matter,
or not in a way that this module can use. A wrong result costs speed and nothing else.
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

from maestromotif.nethack.engine.memory import file_in_memory, map_if_free, unmap

SPAN = 1 << 23  # minimum distance between two games, in bytes
_BITS = range(23, 46)  # bits that may be flipped
_ANCHOR = 1 << 46  # far from where Linux puts programs, libraries and stacks

# More jumps than half of a predictor's entries, so that two chains do not fit into its tables together.
_JUMPS, _JUMP_OVER_SIX, _RETURN = 4096, bytes([0xEB, 6] + [0xCC] * 6), bytes([0xC3])
_ROUNDS = 5


def place(number: int) -> int | None:
    """Address number `number`, a multiple of SPAN. The branch predictor cannot distinguish these addresses.

    None if the processor has no such addresses, or too few for this number.
    """
    flips = unseen_flips()
    if not flips or number >> len(flips):
        return None
    return reduce(xor, (flip for bit, flip in enumerate(flips) if number >> bit & 1), _ANCHOR)


@cache
def unseen_flips() -> tuple[int, ...]:
    """Address bits, single or in pairs, whose flip the branch predictor does not notice.

    The lowest bit of each is in no other, so all combinations differ. Takes 0.1 s. None if the system does
    not let code run from memory.
    """
    try:
        code = file_in_memory("jumps", _JUMP_OVER_SIX * _JUMPS + _RETURN)
    except OSError:
        return ()
    try:
        return tuple(_search(code))
    except OSError:  # it may be written and not run
        return ()
    finally:
        os.close(code)


def _search(code: int) -> list[int]:
    size = len(_JUMP_OVER_SIX) * _JUMPS + len(_RETURN)
    executable = mmap.PROT_READ | mmap.PROT_EXEC

    def in_turn(flip: int) -> float:
        """Nanoseconds for two chains at addresses that differ by `flip`; for one chain twice if it is 0."""
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
