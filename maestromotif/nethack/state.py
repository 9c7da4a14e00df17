"""Two tables: `FIELDS`, what a program can read about a game, and `CHANGES`, what a step can change.

`nethack/tracker.py` keeps both up to date. Type stubs, prompts, captions and the documentation are generated
from these entries, so each field and each change is described only here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nle import nethack

from maestromotif.nethack.observation import (
    DEPTH,
    DUNGEON,
    ENERGY,
    GOLD,
    HP,
    HUNGER,
    LEVEL,
    MAX_HP,
    TURN,
    XP_LEVEL,
)


@dataclass(frozen=True)
class Field:
    """A field of GameState.

    The tracker fills fields with `column` or `events` automatically; every other field needs code there.
    """

    type: type  # int, bool or str
    doc: str  # sentences, with the unit and the meaning of special values
    source: str  # what it is read from
    column: int | None = None  # of blstats, for a field that copies a number from the status lines
    events: tuple[str, ...] = ()  # names in EVENTS, for a field that counts these events per episode
    range: tuple[int, int] = (0, 2**31 - 1)  # of a number: the least and the greatest that the game can give


_CALL = "call of the skill"


def _status(column: int, doc: str, least: int = 0, most: int = 2**31 - 1) -> Field:
    return Field(int, doc, "status lines", column=column, range=(least, most))


def _count(doc: str, *events: str) -> Field:
    return Field(int, doc, f"events {', '.join(f'`{event}`' for event in events)}", events=events)


def _seen(doc: str) -> Field:
    return Field(bool, doc, "map")


# In the order programs see them.
FIELDS: dict[str, Field] = {
    "step": Field(int, "Environment steps since the episode began.", "environment"),
    "turn": _status(
        TURN, "Game turn of the episode, starting at 1. One step can take zero, one or many turns.", 1
    ),
    "depth": _status(DEPTH, "Depth of the current level. 1 is the first level.", -5, 53),
    "deepest": Field(int, "Greatest depth reached in the episode.", "status lines", range=(1, 53)),
    "dungeon": _status(DUNGEON, "The dungeon: 0 is the Dungeons of Doom, 2 the Gnomish Mines.", 0, 7),
    "level": _status(
        LEVEL,
        "Number of the current level in its dungeon, from 1 at the top. In dungeon 0 it is the depth.",
        *(1, 53),
    ),
    "branch_depth": Field(
        int,
        "Depth of the level with the stairs into the Gnomish Mines. -1 until the agent has seen two ways "
        "down on that level or has taken those stairs.",
        "map, status lines",
        range=(-1, 4),
    ),
    "sokoban_depth": Field(
        int,
        "Depth of the level with the stairs into Sokoban, below the Oracle's level. -1 until the agent has "
        "seen two ways up on that level or has taken those stairs.",
        "map, status lines",
        range=(-1, 10),
    ),
    "at_oracle": Field(
        bool,
        "Whether the agent knows this level as the Oracle's: by the greeting in Delphi, the Oracle or three "
        "statues of centaurs, seen in this episode.",
        "messages, map",
    ),
    "in_minetown": Field(
        bool,
        "Whether the agent knows this level as Minetown, level 3 or 4 of the Mines: by a watchman, a priest, "
        "a shopkeeper, an altar, a fountain or the words at the door of a temple or shop, in this episode.",
        "messages, map, status lines",
    ),
    "hp": _status(HP, "Hit points."),
    "max_hp": _status(MAX_HP, "Maximum hit points."),
    "xp_level": _status(XP_LEVEL, "Experience level, starting at 1.", 1, 30),
    "gold": _status(GOLD, "Gold pieces that the agent carries."),
    "hunger": _status(HUNGER, "0 satiated, 1 not hungry, 2 hungry, 3 weak, 4 fainting.", 0, 6),
    "load": _status(
        nethack.NLE_BL_CAP,
        "0 not burdened, 1 burdened, 2 stressed, 3 strained, 4 overtaxed, 5 overloaded.",
        *(0, 5),
    ),
    "energy": _status(ENERGY, "Energy for casting spells."),
    "max_energy": _status(nethack.NLE_BL_ENEMAX, "Maximum energy."),
    "armor_class": _status(nethack.NLE_BL_AC, "Armor class. Lower is better.", -128, 127),
    "kills": _count("Monsters that the agent killed in this episode.", "killed"),
    "items_sold": _count("Sales in this episode. Selling a whole stack counts once.", "sold"),
    "has_eaten_in_mines": Field(
        bool, "Whether the agent finished a meal in the Gnomish Mines in this episode.", "events `ate`"
    ),
    "meals_while_hungry": Field(
        int,
        "Meals that the agent began when hunger was 2 or more and finished, in this episode.",
        "events `ate`, status lines",
    ),
    "items_bought": _count("Purchases in this episode.", "bought"),
    "prices_identified": _count(
        "Offers and quotes in this episode that left one possible base price for an unidentified item.",
        "price_identified",
    ),
    "altar_tests": _count(
        "Items that the agent dropped on an altar in this episode and that the altar showed to be blessed, "
        "cursed or uncursed.",
        *("altar_blessed", "altar_cursed", "altar_uncursed"),
    ),
    "prayers": _count("Prayers that the agent began in this episode.", "prayed"),
    "skill": Field(
        str,
        'Name of the skill that is running or has just ended. "" at the start of the episode.',
        _CALL,
    ),
    "skill_steps": Field(int, "Environment steps since this skill began.", _CALL),
    "skill_turns": Field(int, "Game turns since this skill began.", _CALL),
    "skill_start_depth": Field(int, "Depth at which this skill began.", _CALL),
    "explored": Field(
        int,
        "The most squares of this level that the map has shown on this visit to the level.",
        "map",
    ),
    "idle_steps": Field(int, "Environment steps since the agent last saw a new square of this level.", "map"),
    "downstairs_seen": _seen("Whether a staircase or ladder down was seen on this visit to the level."),
    "upstairs_seen": _seen("Whether a staircase or ladder up was seen on this visit to the level."),
    "on_downstairs": _seen(
        "Whether the agent stands on a staircase or ladder down that it has seen or has come up by."
    ),
    "on_upstairs": _seen(
        "Whether the agent stands on a staircase or ladder up that it has seen or has come down by. True "
        "at the start of the episode."
    ),
    "altar_in_view": _seen("Whether the map shows an altar."),
    "shopkeeper_in_view": _seen("Whether the map shows a shopkeeper."),
    "sellable_items": Field(
        int,
        "Stacks in the inventory that the agent did not start with and that are neither food nor coins.",
        "inventory",
    ),
    "priest_in_view": _seen("Whether the map shows a priest of a temple."),
    "player_in_view": _seen("Whether the map shows another human who looks like a player."),
    "shopkeeper_near": _seen("Whether the map shows a shopkeeper within 3 squares of the agent."),
    "altar_near": _seen(
        "Whether the first altar seen on this visit to the level is within 3 squares, even if something "
        "covers it now."
    ),
    "on_altar": _seen("Whether the agent stands on that altar."),
    "in_shop": Field(
        bool,
        "Whether the agent is in a shop: from the shopkeeper's greeting at the door until the agent leaves "
        "by the door or leaves the level.",
        "messages, status lines",
    ),
    "in_temple": Field(
        bool,
        "Whether the agent is in a temple: from the words at the door until the agent leaves by that door or "
        "leaves the level.",
        "messages, status lines",
    ),
    "unpaid": Field(
        bool, "Whether the agent took or ate something from the shop and has not paid for it.", "messages"
    ),
    "offer": Field(
        int,
        "Gold pieces that a shopkeeper offers in a question that waits for an answer. 0 if there is no such "
        "question.",
        "messages",
    ),
}
# Fields about the running skill, updated by `agent/options.py` and not by the tracker.
SKILL_FIELDS = tuple(name for name, field in FIELDS.items() if field.source == _CALL)


@dataclass(frozen=True)
class Change:
    """Something that a step can change, as a code: 0 is no change; 1, 2, ... are the keys of `says`."""

    doc: str
    says: dict[str, str]  # name of each code from 1 on -> its sentence in a caption
    # A numeric field of `FIELDS`: code 1 if it rose on the step, 2 if it fell. None: code in the tracker
    # detects this change.
    field: str | None = None

    @cached_property
    def codes(self) -> dict[str, int]:
        """Name -> code, without 0."""
        return {name: code for code, name in enumerate(self.says, 1)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each code; "" for 0."""
        return ("", *self.says)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The sentence of each code; "" for 0, which captions leave out."""
        return ("", *self.says.values())


# In column order of the arrays `changes`. Append new ones, so that existing files, labels and reward models
# stay valid. `config.labels.Change` lists those that a config can name.
CHANGES: dict[str, Change] = {
    "depth": Change(
        "The depth of the level, compared with the depth at which the running skill began, or with the "
        "previous step if no skill is running.",
        {
            "deeper": "The agent left the level: it went down to a deeper dungeon level.",
            "higher": "The agent left the level: it went up to a higher dungeon level.",
        },
    ),
    "explored": Change(
        "The map shows more squares of the level than before on this visit.",
        {"new": "New parts of the level came into view."},
    ),
    "downstairs": Change(
        "The distance to a staircase or ladder down. Closer means closer than before on this visit.",
        {
            "seen": "A staircase down came into view for the first time.",
            "closer": "The agent came closer to a staircase down than before.",
            "reached": "The agent now stands on a staircase down.",
        },
    ),
    "upstairs": Change(
        "The distance to a staircase or ladder up. Closer means closer than before on this visit.",
        {
            "seen": "A staircase up came into view for the first time.",
            "closer": "The agent came closer to a staircase up than before.",
            "reached": "The agent now stands on a staircase up.",
        },
    ),
    "health": Change(
        "The hit points, compared with the previous step.",
        {"gained": "The agent regained hit points.", "lost": "The agent lost hit points."},
        field="hp",
    ),
    "hunger": Change(
        "The hunger, compared with the previous step.",
        {"hungrier": "The agent became hungrier.", "fed": "The agent became less hungry."},
        field="hunger",
    ),
    "load": Change(
        "The load, compared with the previous step.",
        {"heavier": "The agent's load became a burden.", "lighter": "The agent's load became lighter."},
        field="load",
    ),
}
DEPTH_CHANGE = tuple(CHANGES).index("depth")  # column of the depth
NUM_CODES = tuple(len(change.words) for change in CHANGES.values())  # per change, including 0
# Labels and reward models always have the columns of the first changes, in captions or not. They have the
# columns of later changes only if captions mention them.
FIRST_COLUMNS = 4


def columns_of(spoken: Sequence[str]) -> int:
    """Number of change columns in labels and reward models if captions mention the changes `spoken`."""
    last = max((column for column, name in enumerate(CHANGES) if name in spoken), default=0)
    return max(FIRST_COLUMNS, last + 1)
