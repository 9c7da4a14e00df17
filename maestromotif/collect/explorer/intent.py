"""What the explorer is asked to do in a game: its own tour, or what a skill is for."""

from enum import IntEnum

from maestromotif.skill import Skill


class Intent(IntEnum):
    """TOUR is the play of collection, with errands, detours and whims. The others have none of these.

    EXPLORE: see this level and do not leave it. DOWN, UP: take the stairs, and explore until they are known.
    TRADE: sell in a shop what it carries. ALTAR: drop it on an altar. Both explore the level until they know
    such a place, and when nothing is left to do there.
    """

    TOUR = 0
    EXPLORE = 1
    DOWN = 2
    UP = 3
    TRADE = 4
    ALTAR = 5


# The first of these events that a skill wants decides.
_BY_EVENT = {
    "ascended": Intent.UP,
    "descended": Intent.DOWN,
    **dict.fromkeys(("sold", "price_offered", "entered_shop"), Intent.TRADE),
    **dict.fromkeys(("altar_blessed", "altar_cursed", "altar_uncursed"), Intent.ALTAR),
}


def intent_of(skill: Skill) -> Intent:
    """What causes the skill's wanted events; EXPLORE if no other intent does."""
    return next((intent for event, intent in _BY_EVENT.items() if event in skill.wanted), Intent.EXPLORE)
