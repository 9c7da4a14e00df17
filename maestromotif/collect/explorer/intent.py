"""What the explorer is asked to do in a game: its own tour, or what a skill is for."""

from enum import IntEnum

from maestromotif.skill import Skill


class Intent(IntEnum):
    """TOUR is the play of collection, with errands, detours and whims. The others have none of these.

    EXPLORE: see this level and do not leave it. DOWN, UP: take the stairs, and explore until they are known.
    """

    TOUR = 0
    EXPLORE = 1
    DOWN = 2
    UP = 3


def intent_of(skill: Skill) -> Intent:
    """UP or DOWN if the skill wants `ascended` or `descended` (UP if it wants both), else EXPLORE."""
    if "ascended" in skill.wanted:
        return Intent.UP
    return Intent.DOWN if "descended" in skill.wanted else Intent.EXPLORE
