"""Changes of the hero's statistics over some steps, as codes for captions.

For every collected step, `observations.npz` holds `status` int32 [S, 5], the numbers of the status lines
after it (`NUMBERS`; `UNKNOWN` where a recording does not show them), and `episode` int32 [S], the number of
its episode. The steps of an episode are in order of play, with steps of other games between them.
"""

from collections.abc import Sequence

import numpy as np
from nle import nethack

from maestromotif.nethack.observation import GOLD, HP, HUNGER, XP_LEVEL

# Columns of `status`, as indices of blstats.
NUMBERS: dict[str, int] = {
    "gold": GOLD,
    "hp": HP,
    "xp_level": XP_LEVEL,
    "xp_points": nethack.NLE_BL_EXP,
    "hunger": HUNGER,  # 0 satiated, 1 not hungry, 2 hungry, 3 weak, 4 fainting
}
UNKNOWN = -1
MORE, LESS = 1, 2  # codes of gold and hit points
GAINED, LEVEL_UP, LEVEL_DOWN = 1, 2, 3  # of experience
HUNGRIER, LESS_HUNGRY = 1, 2  # of hunger


def before(episode: np.ndarray, horizon: int) -> np.ndarray:
    """int64 [S]: for every step, the step `horizon` earlier in its episode, or the episode's first one."""
    order = np.argsort(episode, kind="stable")
    place = np.arange(len(order))
    begins = np.concatenate([[True], np.diff(episode[order]) != 0])[: len(order)]
    first = np.maximum.accumulate(np.where(begins, place, 0))
    earlier = np.empty(len(order), np.int64)
    earlier[order] = order[np.maximum(place - horizon, first)]
    return earlier


def codes(status: np.ndarray, episode: np.ndarray, told: Sequence[str], horizon: int) -> np.ndarray:
    """int8 [S, len(told)]: how each statistic (`captions.STATISTICS`) changed over `horizon` steps.

    status: int32 [S, 5]. episode: int32 [S]. A value that is unknown at either step counts as no change.
    """
    then = status[before(episode, horizon)]
    change = np.where((status == UNKNOWN) | (then == UNKNOWN), 0, np.sign(status - then)).astype(np.int8)
    gold, hp, level, points, hunger = change.T
    by_sign = np.array([0, 1, 2], np.int8)  # indexed by 0, +1, and -1 (the last)
    found = {
        "gold": by_sign[gold],
        "hp": by_sign[hp],
        "experience": np.where(
            level > 0, LEVEL_UP, np.where(level < 0, LEVEL_DOWN, np.where(points > 0, GAINED, 0))
        ).astype(np.int8),
        "hunger": by_sign[hunger],
    }
    columns: np.ndarray = np.array([found[name] for name in told], np.int8).reshape(len(told), -1).T
    return columns
