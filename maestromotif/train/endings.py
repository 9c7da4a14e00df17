"""Why a skill's call ended: one code, which the learner and the learning curve both read."""

from enum import IntEnum

import numpy as np

from maestromotif.nethack.game import End
from maestromotif.programs.sandbox import CallEnd


class Ending(IntEnum):
    """What the step did to the call of the skill that acted.

    With the last three, the episode ended too.
    """

    NOT = 0  # the call goes on
    ACHIEVED = 1  # the skill ended itself, and one of its `wanted` events had happened in the call
    FAILED = 2  # the skill ended itself with something forbidden, or early and without anything wanted
    TIMED_OUT = 3  # the skill ended itself, and its `max_turns` had passed since the call began
    INTERRUPTED = 4  # the program over skills ended it
    TERMINATED = 5  # the hero died or left the dungeon
    TRUNCATED = 6  # the episode reached its step limit
    LOST = 7  # the game's process died, so what the step did is unknown


_OF_EPISODES = {
    End.DEATH: Ending.TERMINATED,
    End.LEFT: Ending.TERMINATED,
    End.TRUNCATED: Ending.TRUNCATED,
    End.LOST: Ending.LOST,
}
_OF_EPISODE = np.array([_OF_EPISODES.get(end, Ending.NOT) for end in sorted(End)], np.int8)


def endings(
    reason: np.ndarray, ended: np.ndarray, achieved: np.ndarray, forbidden: np.ndarray, time_up: np.ndarray
) -> np.ndarray:
    """`Ending` of each game's call after a step, int8 [n].

    reason: int8 [n], `CallEnd`. ended: int8 [n], `game.End` of the episode. achieved: bool [n], whether
    something wanted has happened since the call began. forbidden: bool [n], whether something forbidden has
    happened in this step. time_up: bool [n], whether `max_turns` of the skill have passed since the call
    began. The discoverer achieves something in every call; so a call of it that leaves the level has failed,
    and one whose time is up has timed out, whatever was achieved before.
    """
    codes = [Ending.FAILED, Ending.TIMED_OUT, Ending.ACHIEVED]
    itself = np.select([forbidden, time_up, achieved], codes, Ending.FAILED)
    reasons = [reason == CallEnd.SKILL, reason == CallEnd.PROGRAM, reason == CallEnd.EPISODE]
    found: np.ndarray = np.select(reasons, [itself, Ending.INTERRUPTED, _OF_EPISODE[ended]], Ending.NOT)
    return found.astype(np.int8)
