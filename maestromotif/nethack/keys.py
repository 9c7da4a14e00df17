"""The 28 actions of the published agent, in its order, and the keys they send."""

from difflib import get_close_matches

from maestromotif.errors import UserError

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
NAMES: tuple[str, ...] = tuple(ACTIONS)
KEYS: tuple[int, ...] = tuple(ACTIONS.values())
NUM_ACTIONS = len(KEYS)
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}


def action(name: str) -> int:
    """The number of an action. Raises UserError for a name that no action has."""
    if name not in INDEX:
        close = get_close_matches(name, NAMES, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UserError(f"there is no action {name!r}; {hint}known: {', '.join(NAMES)}")
    return INDEX[name]


# At a yes/no question the agent answers with a compass key: northwest is `y`, southeast is `n`.
YES = ACTIONS["northwest"]

# Questions that the agent answers itself; every other one-key question is escaped.
AGENT_QUESTIONS = (b"eat", b"attack", b"direction?", b"pray", b"drop", b"drink", b"Sell")

# Of a message of several pages only these pages are shown to the agent after all pages have been turned.
KEPT_PAGES = (b"descend the stairs", b"climb up the stairs", b"You are frozen")

WAIT_TURNS = b"25"
