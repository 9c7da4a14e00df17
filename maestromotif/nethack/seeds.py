"""Seeds of episodes: a pure function of what the episode is for, so that any episode can be played again.

Each purpose draws its core seed from a range of its own. A dungeon of the evaluation can therefore not have
been met in training, whatever the run's seed.
"""

from typing import Literal, NamedTuple

import numpy as np

Purpose = Literal["collect", "train", "evaluate"]
_RANGE = 1 << 29
_FIRST: dict[Purpose, int] = {"collect": 0, "train": _RANGE, "evaluate": 2 * _RANGE}


class EpisodeSeeds(NamedTuple):
    """NetHack's three generators: `core` the rules, `disp` the display, `lgen` the levels."""

    core: int
    disp: int
    lgen: int


def episode_seeds(purpose: Purpose, run_seed: int, game: int, episode: int) -> EpisodeSeeds:
    """Seeds of a game's n-th episode, equal on every machine."""
    draw = np.random.SeedSequence((_FIRST[purpose], run_seed, game, episode)).generate_state(3, np.uint64)
    core, disp, lgen = (_FIRST[purpose] + int(x % _RANGE) for x in draw)
    return EpisodeSeeds(core, disp, lgen)
