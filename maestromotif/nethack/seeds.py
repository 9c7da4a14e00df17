"""Seeds of episodes: a pure function of purpose, run, game and number, so any episode can be played again.

Each purpose draws its seeds from its own range, so no game of the evaluation can occur in training, nor in an
evaluation during training, for any run seed. Only the maps of levels can be shared, on request: with
`levels`, all purposes use the same few dungeons. Monsters and dice in them still differ.
"""

from typing import Literal, NamedTuple

import numpy as np

Purpose = Literal["collect", "train", "evaluate", "watch", "demonstrate"]  # watch: evaluation during training
# The hero's birthday in seconds since 1970 (2024-01-01). It is fixed so that shop prices and shopkeepers'
# names do not depend on the clock.
BIRTHDAY = 1_704_067_200
_RANGE = 1 << 29
_SHARED = 3 * _RANGE  # first seed of levels that all purposes share
_FIRST: dict[Purpose, int] = {
    "collect": 0,
    "train": _RANGE,
    "evaluate": 2 * _RANGE,
    "watch": 4 * _RANGE,
    "demonstrate": 5 * _RANGE,
}


class EpisodeSeeds(NamedTuple):
    """Seeds of NetHack's three generators: `core` for the rules, `disp` the display, `lgen` the levels."""

    core: int
    disp: int
    lgen: int


def episode_seeds(
    purpose: Purpose, run_seed: int, game: int, episode: int, levels: int | None = None
) -> EpisodeSeeds:
    """Seeds of a game's n-th episode, the same on every machine.

    levels: number of dungeons; None: a new one every episode.
    """
    draw = np.random.SeedSequence((_FIRST[purpose], run_seed, game, episode)).generate_state(3, np.uint64)
    core, disp, lgen = (_FIRST[purpose] + int(x % _RANGE) for x in draw)
    if levels is not None:
        chosen = (_SHARED, run_seed, (game + episode) % levels)
        lgen = _SHARED + int(np.random.SeedSequence(chosen).generate_state(1, np.uint64)[0] % _RANGE)
    return EpisodeSeeds(core, disp, lgen)
