"""Seeds of episodes: a pure function of what the episode is for, so that any episode can be played again.

Each purpose draws its seeds from a range of its own. A game of the evaluation can therefore not have been met
in training, whatever the run's seed. Only the levels' maps can be shared on purpose: with `levels`, all
purposes meet the same few dungeons, though never with the same monsters' and dice's fortunes.
"""

from typing import Literal, NamedTuple

import numpy as np

Purpose = Literal["collect", "train", "evaluate"]
# The hero's birthday, in seconds since 1970: one for all (2024-01-01) takes the clock out of shop prices and
# shopkeepers' names.
BIRTHDAY = 1_704_067_200
_RANGE = 1 << 29
_FIRST: dict[Purpose, int] = {"collect": 0, "train": _RANGE, "evaluate": 2 * _RANGE}
_SHARED = 3 * _RANGE  # first seed of levels that all purposes meet


class EpisodeSeeds(NamedTuple):
    """NetHack's three generators: `core` the rules, `disp` the display, `lgen` the levels."""

    core: int
    disp: int
    lgen: int


def episode_seeds(
    purpose: Purpose, run_seed: int, game: int, episode: int, levels: int | None = None
) -> EpisodeSeeds:
    """Seeds of a game's n-th episode, equal on every machine.

    levels: how many dungeons there are, or None for a new one every episode.
    """
    draw = np.random.SeedSequence((_FIRST[purpose], run_seed, game, episode)).generate_state(3, np.uint64)
    core, disp, lgen = (_FIRST[purpose] + int(x % _RANGE) for x in draw)
    if levels is not None:
        chosen = (_SHARED, run_seed, (game + episode) % levels)
        lgen = _SHARED + int(np.random.SeedSequence(chosen).generate_state(1, np.uint64)[0] % _RANGE)
    return EpisodeSeeds(core, disp, lgen)
