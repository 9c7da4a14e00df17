"""Causes of death in words that can be counted: without the names of shopkeepers, gods and pets.

NetHack 3.6 writes the words: the killer in `done_in_by` (end.c) and wherever else the hero is hurt, the verb
before it in `formatkiller` (topten.c).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

# NetHack's words -> ours.
_NAMES = (
    (re.compile(r"\b(?:Mr|Ms|Mrs)\. [^,;]+[,;] the shopkeeper"), "a shopkeeper"),
    (re.compile(r"\bthe ghost of [^,]*"), "a ghost"),
    (re.compile(r" of (?!Yendor|Thieves)[A-Z][^,]*"), " of a god"),  # wrath, priests, minions
    (re.compile(r" (?:called|named) [^,]*"), ""),
    (re.compile(r"hallucinogen-distorted "), ""),
)


def cause_of_death(entry: bytes) -> str:
    """What `Game.cause` returns, such as "killed by a jackal", without names. "unknown" if it is empty."""
    cause = entry.decode("latin-1").strip()
    for pattern, words in _NAMES:
        cause = pattern.sub(words, cause)
    return cause or "unknown"


@dataclass(frozen=True)
class CauseGroup:
    """Causes of death that are counted together: those in which the pattern is found."""

    doc: str
    pattern: str


_THROWN = (
    "arrow|ya|bolt|dart|shuriken|dagger|athame|knife|stiletto|scalpel|spear|javelin|trident|boomerang|aklys|axe|"
    "rock|boulder|stone|gem|glass|cream pie|egg|venom|club|mace"
)
# The first group whose pattern is found in the words of `cause_of_death`. The patterns follow the texts in
# NetHack 3.6.7's sources; a text cannot say who shot an arrow or set off an explosion.
CAUSE_GROUPS: dict[str, CauseGroup] = {
    "god": CauseGroup(
        "a god's wrath or minion, or anything while the hero prayed",
        r"wrath of|, while praying|^killed by (?!.*priest).* of a god",
    ),
    "hunger": CauseGroup("starvation, or anything while the hero had fainted", r"starvation|, while faint"),
    "petrified": CauseGroup("turning to stone or to slime", r"^petrified|^turned to"),
    "eating": CauseGroup(
        "too much food, or food that was rotten or poisonous",
        r"^choked on|^poisoned by an? rotted|(?:corpse|egg|cadaver|glob)$",
    ),
    "poison": CauseGroup("a poisoned weapon, bite or sting", r"^poisoned by"),
    "drowned": CauseGroup("water or lava", r"^drowned|^dissolved|^burned by|molten lava"),
    "helpless": CauseGroup("anything while the hero slept, was paralysed or could not act", r", while "),
    "trap": CauseGroup(
        "a trap, a pit, or a box that explodes",
        r"\b(?:pit|spikes|chasm|trap|falling rock|land mine|tower of flame|magical explosion|electric shock|"
        r"needle|portcullis|drawbridge)$|exploding .*(?:box|chest)",
    ),
    "magic": CauseGroup(
        "a wand, ray or spell, the hero's own included, or what it burned or froze",
        r"\b(?:wand|magic missile|ray|spell|touch of death|scroll|book|potions?|fireball|magical blast)\b|"
        r"\b(?:bolt|blast|ball) of |^killed by an? (?:burning|boiling|freezing|exploding)|alchemic blast",
    ),
    "accident": CauseGroup(
        "kicking a wall, falling down the stairs and other mishaps",
        # A killer that has no article and no name of its own is no monster: "kicking a wall".
        r"^killed by (?!an? |the |[A-Z])|collision|falling object|^crushed|^fell|^slipped|system shock|"
        r"teleported out of|suicide",
    ),
    "missile": CauseGroup(
        "an arrow, dart or other thing, thrown or shot", rf"^killed by (?:an? )?(?:.* )?(?:{_THROWN})s?$"
    ),
    "peaceful": CauseGroup(
        "a shopkeeper, priest, guard or watchman, whom the hero angered",
        r"^killed by .*\b(?:shopkeeper|priest|priestess|guard|watchman|watch captain)\b",
    ),
    "monster": CauseGroup("any other monster", r"^killed by"),
    "other": CauseGroup("what NetHack says in other words, or not at all", ""),
}
_PATTERNS = [re.compile(group.pattern) for group in CAUSE_GROUPS.values()]


@lru_cache(4096)
def cause_group(entry: bytes) -> int:
    """The index in CAUSE_GROUPS of what `Game.cause` returns."""
    cause = cause_of_death(entry)
    return next(number for number, pattern in enumerate(_PATTERNS) if pattern.search(cause))
