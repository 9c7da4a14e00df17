"""What the game itself knows of an episode's dungeon, for judges of tasks only.

A player does not know these numbers, so policies, programs and GameState must not see them. They are fixed
when an episode begins. They are read from the variables of the loaded library: the list of special levels
`sp_levchn`, and the table `dungeons` (structures of NetHack 3.6.7's `dungeon.h`, on x86-64 and aarch64).
"""

import ctypes
from collections.abc import Iterator

from maestromotif.nethack.engine.loader import Engine

# Name -> what it is. Depths count from 1 at the top, levels from 1 at the top of their dungeon.
TRUTH: dict[str, str] = {
    "oracle_level": "Level of the Oracle in dungeon 0.",
    "oracle_depth": "Depth of the Oracle's level.",
    "minetown_level": "Level of Minetown in the Gnomish Mines, dungeon 2.",
    "minetown_depth": "Depth of Minetown.",
    "mines_branch_depth": "Depth of the level with the stairs down into the Gnomish Mines.",
    "sokoban_branch_depth": "Depth of the level with the stairs up into Sokoban.",
}
_MINES, _SOKOBAN = 2, 4  # numbers of dungeons, as in `dungeon.def`
_MOST = 100  # special levels; NetHack has about 50


class _Level(ctypes.Structure):
    _fields_ = [("dungeon", ctypes.c_int8), ("level", ctypes.c_int8)]


class _SpecialLevel(ctypes.Structure):
    _fields_ = [
        ("next", ctypes.c_void_p),
        ("at", _Level),
        ("name", ctypes.c_char * 15),
        ("bones", ctypes.c_char),
        ("similar", ctypes.c_uint8),
        ("flags", ctypes.c_uint),
    ]


class _Dungeon(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 24),
        ("file", ctypes.c_char * 15),
        ("bones", ctypes.c_char),
        ("flags", ctypes.c_uint),
        ("entry", ctypes.c_int8),  # level
        ("levels", ctypes.c_int8),
        ("deepest", ctypes.c_int8),
        ("ledger", ctypes.c_int),
        ("depth", ctypes.c_int),  # of its first level
    ]


def read(engine: Engine) -> tuple[int, ...]:
    """The numbers of `TRUTH` of a started game, in its order; -1 for what the dungeon lacks."""
    dungeons = (_Dungeon * (_SOKOBAN + 1)).from_address(engine.address("dungeons"))

    def depth(place: tuple[int, int]) -> int:
        return dungeons[place[0]].depth + place[1] - 1 if place[1] > 0 else -1

    found = dict(_special_levels(engine))
    oracle, town = found.get(b"oracle", (0, -1)), found.get(b"minetn", (_MINES, -1))
    # The branch's stairs lead to the first level of the Mines, and to the last one of Sokoban.
    mines, sokoban = ((number, dungeons[number].entry) for number in (_MINES, _SOKOBAN))
    return (oracle[1], depth(oracle), town[1], depth(town), depth(mines) - 1, depth(sokoban) + 1)


def _special_levels(engine: Engine) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Name, and dungeon and level, of each special level."""
    at = ctypes.c_void_p.from_address(engine.address("sp_levchn")).value
    for _ in range(_MOST):
        if not at:
            return
        one = _SpecialLevel.from_address(at)
        yield one.name, (one.at.dungeon, one.at.level)
        at = one.next
