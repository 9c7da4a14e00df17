"""The 28 actions of the published agent, in its order, and the keys they send; and some more to travel by."""

from maestromotif.errors import UserError, did_you_mean

ENTER, SPACE, ESC = 13, 32, 27


def _meta(letter: str) -> int:
    return ord(letter) | 0x80


def _control(letter: str) -> int:
    return ord(letter) & 0x1F


ACTIONS: dict[str, int] = {
    "more": ENTER,
    "north": ord("k"),
    "east": ord("l"),
    "south": ord("j"),
    "west": ord("h"),
    "northeast": ord("u"),
    "southeast": ord("n"),
    "southwest": ord("b"),
    "northwest": ord("y"),
    "far_north": ord("K"),
    "far_east": ord("L"),
    "far_south": ord("J"),
    "far_west": ord("H"),
    "far_northeast": ord("U"),
    "far_southeast": ord("N"),
    "far_southwest": ord("B"),
    "far_northwest": ord("Y"),
    "up": ord("<"),
    "down": ord(">"),
    "wait": ord("."),
    "kick": _control("d"),
    "eat": ord("e"),
    "search": ord("s"),
    "cast": ord("Z"),
    "enhance": _meta("e"),
    "pray": _meta("p"),
    "quaff": ord("q"),
    "drop": ord("d"),
}
NUM_ACTIONS = len(ACTIONS)

# NetHack's own command to walk somewhere: what is displayed is chosen by its symbol, from the hero's square
# on, and if there is nothing of the kind a turn passes. To a monster means next to it, and a shopkeeper is
# often the nearest one. The published agent has none of these.
TRAVEL: dict[str, bytes] = {
    "travel_down": b"_@>.",
    "travel_up": b"_@<.",
    "travel_altar": b"_@_.",
    "travel_monster": b"_@m.",
}
NAMES: tuple[str, ...] = (*ACTIONS, *TRAVEL)
KEYS: tuple[int, ...] = (*ACTIONS.values(), *(sent[0] for sent in TRAVEL.values()))
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}


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

# How many of NAMES an agent has that knows the published ones only, or all.
SETS = {"published": NUM_ACTIONS, "travel": len(NAMES)}
