"""The actions, the keys they send, and the sets of them that an agent can be given."""

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
    """An action, and the keys that it sends. Keys of macros (wait, cast, ...) continue in `game.py`."""

    keys: bytes
    doc: str


@dataclass(frozen=True)
class ActionSet:
    """Actions that an agent can be given. A set has all actions of the sets before it in the table."""

    doc: str
    adds: dict[str, Action]


def _move(key: str, direction: str) -> Action:
    return Action(key.encode(), f"Move one square {direction}.")


def _run(key: str, direction: str) -> Action:
    return Action(key.encode(), f"Move {direction} until something interesting appears.")


# In the order of their numbers.
ACTION_SETS: dict[str, ActionSet] = {
    "published": ActionSet(
        "The 28 actions of the published agent, in its order.",
        {
            "more": Action(bytes([ENTER]), "Press Enter, which also turns pages."),
            "north": _move("k", "north"),
            "east": _move("l", "east"),
            "south": _move("j", "south"),
            "west": _move("h", "west"),
            "northeast": _move("u", "northeast"),
            "southeast": Action(b"n", "Move one square southeast. At a question: no."),
            "southwest": _move("b", "southwest"),
            "northwest": Action(b"y", "Move one square northwest. At a question: yes."),
            "far_north": _run("K", "north"),
            "far_east": _run("L", "east"),
            "far_south": _run("J", "south"),
            "far_west": _run("H", "west"),
            "far_northeast": _run("U", "northeast"),
            "far_southeast": _run("N", "southeast"),
            "far_southwest": _run("B", "southwest"),
            "far_northwest": _run("Y", "northwest"),
            "up": Action(b"<", "Go up the stairs."),
            "down": Action(b">", "Go down the stairs."),
            "wait": Action(b".", "Wait for 25 turns, or until something interrupts."),
            "kick": Action(_control("d"), "Kick. The next action says in which direction."),
            "eat": Action(b"e", "Eat. The next action answers what."),
            "search": Action(b"s", "Search the squares around for hidden things."),
            "cast": Action(b"Z", "Cast the first spell."),
            "enhance": Action(_meta("e"), "Improve a weapon skill or spell skill."),
            "pray": Action(_meta("p"), "Pray."),
            "quaff": Action(b"q", "Drink. The next action answers what."),
            "drop": Action(b"d", "Drop the first item that is not from the start, not food and not coins."),
        },
    ),
    # NetHack's own command to walk somewhere: what is displayed is chosen by its symbol, from the hero's
    # square on, and if there is nothing of the kind a turn passes. To a monster means next to it, and a
    # shopkeeper is often the nearest one.
    "travel": ActionSet(
        "Four more, which walk to something in view by NetHack's travel command.",
        {
            "travel_down": Action(b"_@>.", "Walk to the staircase down."),
            "travel_up": Action(b"_@<.", "Walk to the staircase up."),
            "travel_altar": Action(b"_@_.", "Walk to the altar."),
            "travel_monster": Action(b"_@m.", "Walk next to the nearest monster."),
        },
    ),
}
_ALL = {name: action for actions in ACTION_SETS.values() for name, action in actions.adds.items()}
NAMES: tuple[str, ...] = tuple(_ALL)
SENT: tuple[bytes, ...] = tuple(action.keys for action in _ALL.values())  # the keys of each action
KEYS: tuple[int, ...] = tuple(keys[0] for keys in SENT)  # the first key of each action
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}
# How many of NAMES an agent with each set has.
SETS: dict[str, int] = dict(
    zip(ACTION_SETS, accumulate(len(actions.adds) for actions in ACTION_SETS.values()), strict=True)
)
NUM_ACTIONS = SETS["published"]
ACTIONS: dict[str, int] = dict(zip(NAMES[:NUM_ACTIONS], KEYS[:NUM_ACTIONS], strict=True))  # published: keys


def action(name: str) -> int:
    """The number of an action. Raises UserError for a name that no action has."""
    if name not in INDEX:
        raise UserError(f"there is no action {name!r}{did_you_mean(name, NAMES)}")
    return INDEX[name]


# At a yes/no question the agent answers with a compass key: northwest is `y`, southeast is `n`.
YES = ACTIONS["northwest"]

# Questions that the agent answers itself; every other one-key question is escaped.
AGENT_QUESTIONS = (b"eat", b"attack", b"direction?", b"pray", b"drop", b"drink", b"Sell")

# Of a message of several pages only these pages are shown to the agent after all pages have been turned.
KEPT_PAGES = (b"descend the stairs", b"climb up the stairs", b"You are frozen")

WAIT_TURNS = b"25"
