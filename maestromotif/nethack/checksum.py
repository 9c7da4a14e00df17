"""A checksum of what a game shows, to tell whether a game that is played again is the same."""

import zlib
from collections.abc import Mapping

import numpy as np

from maestromotif.nethack.observation import FINAL


def checksum(obs: Mapping[str, np.ndarray], game: int) -> int:
    """CRC-32 of the arrays `FINAL` of one game; `obs` has a leading game axis. Different games hardly ever
    have the same.
    """
    check = 0
    for name in FINAL:
        check = zlib.crc32(obs[name][game].tobytes(), check)
    return check
