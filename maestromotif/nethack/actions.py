"""The actions, the keys they send, and the sets of actions that an agent can use."""

import re
from dataclasses import dataclass
from itertools import accumulate

from maestromotif.errors import UserError, did_you_mean

ENTER, SPACE, ESC = 13, 32, 27


def _meta(letter: str) -> bytes:
    return bytes([ord(letter) | 0x80])


def _control(letter: str) -> bytes:
    return bytes([ord(letter) & 0x1F])


@dataclass(frozen=True)
class Action:
    """An action and the keys it sends. `game.py` sends the further keys of macros (wait, cast, ...).

    weight: relative probability in random play, and in the prior of an untrained policy (the setting
        train.network.prior). Random play mostly walks, to cover ground. Praying is rare, because a second
        prayer soon after the first kills (uniform play dies of it within about 180 steps). Actions that only
        dismiss pages or change nothing are rare too. Travel is frequent, because it is worth many moves.
    """

    keys: bytes
    doc: str
    weight: float = 1.0


@dataclass(frozen=True)
class ActionSet:
    """Actions that an agent can use. A set includes all actions of the sets before it in the table."""

    doc: str
    adds: dict[str, Action]


def _move(key: str, direction: str) -> Action:
    return Action(key.encode(), f"Move one square {direction}.", weight=8.0)


def _run(key: str, direction: str) -> Action:
    return Action(key.encode(), f"Move {direction} until something interesting appears.", weight=2.0)


# In the order of the action numbers.
ACTION_SETS: dict[str, ActionSet] = {
    "published": ActionSet(
        "The 28 actions of the published agent, in the published order.",
        {
            "more": Action(bytes([ENTER]), "Press Enter, which also turns pages.", weight=0.5),
            "north": _move("k", "north"),
            "east": _move("l", "east"),
            "south": _move("j", "south"),
            "west": _move("h", "west"),
            "northeast": _move("u", "northeast"),
            "southeast": Action(b"n", "Move one square southeast. At a question: no.", weight=8.0),
            "southwest": _move("b", "southwest"),
            "northwest": Action(b"y", "Move one square northwest. At a question: yes.", weight=8.0),
            "far_north": _run("K", "north"),
            "far_east": _run("L", "east"),
            "far_south": _run("J", "south"),
            "far_west": _run("H", "west"),
            "far_northeast": _run("U", "northeast"),
            "far_southeast": _run("N", "southeast"),
            "far_southwest": _run("B", "southwest"),
            "far_northwest": _run("Y", "northwest"),
            "up": Action(b"<", "Go up the stairs.", weight=4.0),
            "down": Action(b">", "Go down the stairs.", weight=4.0),
            "wait": Action(b".", "Wait for 25 turns, or until something interrupts."),
            "kick": Action(_control("d"), "Kick. The next action gives the direction.", weight=2.0),
            "eat": Action(b"e", "Eat. The next action chooses the item."),
            "search": Action(b"s", "Search the adjacent squares for hidden things.", weight=3.0),
            "cast": Action(b"Z", "Cast the first spell."),
            "enhance": Action(_meta("e"), "Improve a weapon skill or spell skill.", weight=0.2),
            "pray": Action(_meta("p"), "Pray.", weight=0.02),
            "quaff": Action(b"q", "Drink. The next action chooses the item."),
            "drop": Action(b"d", "Drop the first item that is not starting inventory, food or coins."),
        },
    ),
    # The keys of NetHack's travel command: `_` asks for a place, `@` moves the cursor to the hero, the next
    # key moves it to the nearest target of a kind, and `.` accepts.
    "travel": ActionSet(
        "Four more, which walk to something in view with NetHack's travel command. A monster beside the hero "
        "or one that comes into view stops the walk; the same action goes on. A closed door on the way is "
        "opened. If no known way leads there, the hero walks as near as she can. If she is there already, or "
        "nothing of that kind is in view, she stays and a move passes.",
        {
            "travel_down": Action(b"_@>.", "Walk to the staircase down.", weight=8.0),
            "travel_up": Action(b"_@<.", "Walk to the staircase up.", weight=1.0),
            "travel_altar": Action(b"_@_.", "Walk to the altar.", weight=0.5),
            "travel_monster": Action(b"_@m.", "Walk next to the nearest monster, often a shopkeeper."),
        },
    ),
    "explore": ActionSet(
        "Five more: three walk to what is not explored yet, in the same way, one attacks what is beside the "
        "hero, and one searches for longer. Travel picks nothing up, not even where it ends.",
        {
            "travel_unexplored": Action(
                b"_@x.",
                "Walk to the nearest floor, corridor or doorway next to a square that was never seen.",
                weight=24.0,
            ),
            "travel_door": Action(b"_@d.", "Walk to the nearest door or doorway."),
            "travel_object": Action(b"_@o.", "Walk to the nearest object."),
            "fight": Action(
                b"F",
                "Attack a monster beside the hero that is neither a pet nor peaceful nor dangerous to touch; "
                "without any, search.",
                weight=16.0,
            ),
            "search_long": Action(
                b"15s",
                "Search for 15 turns, or until something interrupts: finds hidden doors and corridors.",
                weight=4.0,
            ),
        },
    ),
    "seek": ActionSet(
        "One more, which looks for hidden doors and corridors where they are likely.",
        {
            "search_hidden": Action(
                b"_s",
                "Walk to the likeliest place for something hidden: near, a dead end or with much unknown "
                "around, and not yet searched. There, search for 15 turns.",
                weight=4.0,
            ),
        },
    ),
    "loot": ActionSet(
        "One more, which walks to what walking picks up.",
        {
            "travel_loot": Action(
                b"_l",
                "Walk to the nearest coins, food, potion, scroll or wand that lies outside of shops; without "
                "any, search.",
                weight=8.0,
            ),
        },
    ),
}
_ALL = {name: action for actions in ACTION_SETS.values() for name, action in actions.adds.items()}
NAMES: tuple[str, ...] = tuple(_ALL)
SENT: tuple[bytes, ...] = tuple(action.keys for action in _ALL.values())  # the keys of each action
KEYS: tuple[int, ...] = tuple(keys[0] for keys in SENT)  # the first key of each action
WEIGHTS: tuple[float, ...] = tuple(action.weight for action in _ALL.values())
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}
# Number of actions in each set. A set is a prefix of NAMES.
SETS: dict[str, int] = dict(
    zip(ACTION_SETS, accumulate(len(actions.adds) for actions in ACTION_SETS.values()), strict=True)
)
NUM_ACTIONS = SETS["published"]
ACTIONS: dict[str, int] = dict(zip(NAMES[:NUM_ACTIONS], KEYS[:NUM_ACTIONS], strict=True))  # published: keys


def action(name: str) -> int:
    """The number of an action. Raises UserError for an unknown name."""
    if name not in INDEX:
        raise UserError(f"there is no action {name!r}{did_you_mean(name, NAMES)}")
    return INDEX[name]


# The agent answers yes/no questions with a compass key: northwest is `y`, southeast is `n`.
YES = ACTIONS["northwest"]

# Questions that the agent answers; every other one-key question is escaped.
AGENT_QUESTIONS = (b"eat", b"attack", b"direction?", b"pray", b"drop", b"drink", b"Sell")

# The question at the stairs up of level 1. The agent answers it only in games that it may leave.
LEAVE_QUESTION = b"Still climb?"

# After turning all pages of a message, the agent sees only the pages that contain these words.
KEPT_PAGES = (b"descend the stairs", b"climb up the stairs", b"You are frozen")

WAIT_TURNS = b"25"

# The question of NetHack's travel command, and what it says where a closed door is in the way: the second to
# clumsy heroes, with a dexterity below 10.
TRAVEL, FIGHT = ord("_"), ord("F")
SEARCH_HIDDEN, TRAVEL_LOOT = INDEX["search_hidden"], INDEX["travel_loot"]
SEARCHES = frozenset(INDEX[name] for name in ("search", "search_long"))
TRAVEL_QUESTION = b"Where do you want to travel to?"
CLOSED_DOOR = (b"That door is closed.", b"You bump into a door.")
LOCKED_DOOR = b"door is locked"

# The question about a corpse on the floor. How old it is cannot be seen, and old ones kill.
CORPSE = re.compile(rb"(?<!lichen )corpses? here; eat")

# The question before a blow against a peaceful monster.
PEACEFUL = b"Really attack"

# What is written in the dust before a shop that is closed.
CLOSED_SHOP = b"Closed for inventory"
