"""The atoms of generated tasks: what a player can be asked to do, to avoid, and to keep true meanwhile.

An atom is a condition (`parse.py` has their language) and ways to say it. In both, `{n}` stands for its
number in digits. In what is said, `{n item}` stands for "an item", "three items" or "50 items". The turns are
rough guesses of how long a good player needs; they only rank tasks.

Sources of depths: NetHack 3.6.7's `dungeon.def`. The stairs into the Mines are on level 2, 3 or 4, and
Minetown is the third or fourth level of the Mines. The Oracle is on level 5 to 9, and the stairs into Sokoban
are on the level below the Oracle's.
"""

import re
from dataclasses import dataclass
from typing import Literal

Role = Literal["goal", "ban", "stay"]
# Where a goal can stand and what may follow it:
#   move  a level of the dungeon        visit  a place; it can be visited again
#   deed  something that happens        have   something that the hero then has, and keeps
#   last  only as the last part of `then`; survive also alone
Kind = Literal["move", "visit", "deed", "have", "last"]
Need = Literal["altar", "food", "shop", "mines", "oracle", "minetown", "sokoban", "temple"]

_WORDS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


@dataclass(frozen=True)
class Atom:
    """One atom. says: of a goal and a stay, "sell an item"; of a ban, what follows "without": "praying".

    done: of a goal, what follows "until" and "before": "you have sold an item". numbers: the values of n; ()
    if it has no number. depth: the deepest level that may be needed, in any dungeon; 0 stands for n. above:
    the least depth at which the hero then is; 0 stands for n. involves: names of goals that one reaches on
    the way. forbids, of a ban or stay: names of goals that it makes impossible. measure: of what can be
    counted until an episode ends.
    """

    role: Role
    condition: str
    says: tuple[str, ...]
    done: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    kind: Kind = "deed"
    depth: int = 1
    above: int = 1
    needs: tuple[Need, ...] = ()
    turns: int = 0
    turns_each: int = 0  # further turns for each of n
    involves: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    measure: str | None = None
    twin: str | None = None


def say(text: str, number: int | None) -> str:
    """The text with its number in words."""
    if number is None:
        return text

    def counted(match: re.Match[str]) -> str:
        thing = match[1]
        if number == 1:
            return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"
        return f"{in_words(number)} {thing}s"

    return re.sub(r"\{n ([a-z ]+)\}", counted, text).replace("{n}", str(number))


def in_words(number: int) -> str:
    return _WORDS[number] if number < len(_WORDS) else f"{number:,}"


_TESTED = "count(altar_blessed) + count(altar_cursed) + count(altar_uncursed)"
_SHOP: tuple[Need, ...] = ("shop",)

ATOMS: dict[str, Atom] = {
    # ------------------------------------------------------------------------------------------ moves, places
    "descend": Atom(
        *("goal", "depth >= {n}"),
        says=(
            "go down to dungeon level {n}",
            "descend to dungeon level {n}",
            "take the stairs down to dungeon level {n}",
            "make your way down to dungeon level {n}",
        ),
        done=("you have been down to dungeon level {n}", "you have reached dungeon level {n}"),
        numbers=(2, 3, 4, 5, 6, 8, 10),
        kind="move",
        depth=0,
        above=0,
        turns_each=150,
    ),
    "climb": Atom(
        *("goal", "depth == {n}"),
        says=(
            "climb back up to dungeon level {n}",
            "go back up to dungeon level {n}",
            "return to dungeon level {n}",
        ),
        done=("you are back on dungeon level {n}", "you have returned to dungeon level {n}"),
        numbers=(1, 2, 3),
        kind="move",
        turns=250,
    ),
    "mines": Atom(
        *("goal", "dungeon == 2"),
        says=(
            "enter the Gnomish Mines",
            "take the stairs into the Gnomish Mines",
            "go down into the Gnomish Mines",
            "reach the Gnomish Mines",
        ),
        done=("you have entered the Gnomish Mines", "you have been in the Gnomish Mines"),
        kind="visit",
        depth=5,
        above=3,
        needs=("mines",),
        turns=900,
    ),
    "minetown": Atom(
        *("goal", "dungeon == 2 and level == truth.minetown_level"),
        says=("reach Minetown", "visit Minetown in the Gnomish Mines", "find your way to Minetown"),
        done=("you have been in Minetown", "you have reached Minetown"),
        kind="visit",
        depth=8,
        above=5,
        needs=("mines", "minetown"),
        turns=2_200,
        involves=("mines",),
    ),
    "oracle": Atom(
        *("goal", "dungeon == 0 and level == truth.oracle_level"),
        says=(
            "find the level of the Oracle",
            "reach Delphi, the level of the Oracle",
            "go down as far as the level of the Oracle",
        ),
        done=("you have reached Delphi", "you have been on the level of the Oracle"),
        kind="visit",
        depth=9,
        above=5,
        needs=("oracle",),
        turns=2_200,
    ),
    "sokoban": Atom(
        *("goal", "dungeon == 4"),
        says=(
            "enter Sokoban",
            "climb the stairs into Sokoban",
            "make your way up into Sokoban",
        ),
        done=("you have entered Sokoban", "you have been in Sokoban"),
        kind="visit",
        depth=10,
        above=5,
        needs=("sokoban",),
        turns=3_000,
    ),
    "shop": Atom(
        *("goal", "count(entered_shop) >= 1"),
        says=("enter a shop", "walk into a shop", "let a shopkeeper greet you"),
        done=("you have been in a shop", "you have entered a shop"),
        kind="visit",
        depth=4,
        needs=_SHOP,
        turns=1_500,
    ),
    "temple": Atom(
        *("goal", "count(entered_temple) >= 1"),
        says=("enter a temple", "walk into a temple", "set foot in a temple"),
        done=("you have been in a temple", "you have entered a temple"),
        depth=8,
        needs=("temple",),
        turns=2_500,
    ),
    "explore": Atom(
        *("goal", "explored >= {n}"),
        says=(
            "explore {n} squares of one level",
            "see at least {n} squares of one level",
            "bring {n} squares of one level onto your map",
        ),
        done=("you have seen {n} squares of one level", "your map has shown {n} squares of one level"),
        numbers=(200, 300, 400),
        turns=100,
    ),
    # -------------------------------------------------------------------------------------------------- trade
    "sell": Atom(
        *("goal", "count(sold) >= {n}"),
        says=("sell {n item}", "sell {n item} to a shopkeeper", "let a shopkeeper buy {n item} from you"),
        done=("you have sold {n item}", "a shopkeeper has bought {n item} from you"),
        numbers=(1, 2, 3, 5),
        depth=4,
        needs=_SHOP,
        turns=1_600,
        turns_each=30,
        involves=("shop",),
        measure="total(sold)",
    ),
    "buy": Atom(
        *("goal", "count(bought) >= {n}"),
        says=("buy {n item}", "buy {n item} in a shop", "pay for {n item} in a shop"),
        done=("you have bought {n item}", "you have paid for {n item} in a shop"),
        numbers=(1, 2),
        depth=4,
        needs=_SHOP,
        turns=1_800,
        turns_each=30,
        involves=("shop",),
        measure="total(bought)",
    ),
    "identify_price": Atom(
        *("goal", "count(price_identified) >= {n}"),
        says=(
            "learn the base price of {n unknown item} in a shop",
            "find out in a shop what {n unknown item} must be worth",
            "use the prices of a shop to identify the base price of {n unknown item}",
        ),
        done=(
            "you have learned the base price of {n unknown item}",
            "a shop has told you the base price of {n unknown item}",
        ),
        numbers=(1, 2, 3),
        depth=4,
        needs=_SHOP,
        turns=1_800,
        turns_each=60,
        involves=("shop",),
        measure="total(price_identified)",
    ),
    # ----------------------------------------------------------------------------------------------- religion
    "test_on_altar": Atom(
        *("goal", f"{_TESTED} >= {{n}}"),
        says=(
            "test {n item} on an altar",
            "drop {n item} on an altar to learn about blessings and curses",
            "let an altar show the blessings or curses of {n item}",
        ),
        done=("you have tested {n item} on an altar", "an altar has judged {n item} of yours"),
        numbers=(1, 2, 3, 5),
        depth=8,
        needs=("altar",),
        turns=2_000,
        turns_each=10,
        measure=_TESTED.replace("count", "total"),
    ),
    "pray": Atom(
        *("goal", "count(prayed) >= 1"),
        says=("pray", "pray to your god", "say a prayer"),
        done=("you have prayed", "you have said a prayer"),
        turns=10,
    ),
    "be_heard": Atom(
        *("goal", "count(prayed_well) >= 1"),
        says=(
            "pray at a time when your god will hear you",
            "say a prayer that pleases your god",
            "pray with success",
        ),
        done=("your god has heard a prayer of yours", "you have prayed with success"),
        turns=400,
        involves=("pray",),
    ),
    # ----------------------------------------------------------------------------------------- fight, collect
    "kill": Atom(
        *("goal", "count(killed) >= {n}"),
        says=("kill {n monster}", "slay {n monster}", "defeat {n monster}"),
        done=("you have killed {n monster}", "you have slain {n monster}"),
        numbers=(1, 3, 5, 10, 25),
        turns=50,
        turns_each=60,
        measure="total(killed)",
    ),
    "experience": Atom(
        *("goal", "xp_level >= {n}"),
        says=(
            "reach experience level {n}",
            "work your way up to experience level {n}",
            "become an adventurer of experience level {n}",
        ),
        done=("you are at experience level {n}", "you have reached experience level {n}"),
        numbers=(2, 3, 4, 5, 6, 8),
        kind="have",
        turns_each=300,
        involves=("kill",),
    ),
    "gold": Atom(
        *("goal", "gold >= {n}"),
        says=("collect {n gold piece}", "gather {n gold piece}", "fill your purse with {n gold piece}"),
        done=("you carry {n gold piece}", "you have {n gold piece} in your purse"),
        numbers=(20, 50, 100, 200, 500),
        kind="have",
        turns=200,
        turns_each=5,
    ),
    "pick_up": Atom(
        *("goal", "count(picked_up) >= {n}"),
        says=("pick up {n item}", "take {n item} from the floor", "add {n item} to what you carry"),
        done=("you have picked up {n item}", "you have taken {n item} from the floor"),
        numbers=(1, 3, 5, 10),
        turns=100,
        turns_each=80,
    ),
    # ----------------------------------------------------------------------------------------- food and drink
    "eat": Atom(
        *("goal", "count(ate) >= {n}"),
        says=("eat {n meal}", "finish {n meal}", "have {n meal}"),
        done=("you have eaten {n meal}", "you have finished {n meal}"),
        numbers=(1, 2, 3),
        needs=("food",),
        turns_each=100,
    ),
    "eat_hungry": Atom(
        *("goal", "meals_while_hungry >= 1 and count(ate) >= 1"),
        says=(
            "eat as soon as you are hungry",
            "eat a meal when you are hungry",
            "satisfy your hunger with a meal",
        ),
        done=("you have eaten a meal while hungry", "you have satisfied your hunger with a meal"),
        needs=("food",),
        turns=1_200,
        involves=("eat",),
    ),
    "eat_in_mines": Atom(
        *("goal", "happened(ate) and dungeon == 2"),
        says=(
            "eat a meal in the Gnomish Mines",
            "have something to eat in the Gnomish Mines",
            "finish a meal inside the Gnomish Mines",
        ),
        done=("you have eaten in the Gnomish Mines", "you have finished a meal in the Gnomish Mines"),
        depth=5,
        above=3,
        needs=("food", "mines"),
        turns=1_000,
        involves=("mines", "eat"),
    ),
    "eat_hungry_in_mines": Atom(
        *("goal", "meals_while_hungry >= 1 and happened(ate) and dungeon == 2"),
        says=(
            "eat in the Gnomish Mines when you are hungry",
            "eat a meal in the Gnomish Mines as soon as you are hungry",
            "satisfy your hunger with a meal in the Gnomish Mines",
        ),
        done=(
            "you have eaten in the Gnomish Mines while hungry",
            "you have satisfied your hunger in the Gnomish Mines",
        ),
        depth=5,
        above=3,
        needs=("food", "mines"),
        turns=1_400,
        involves=("mines", "eat", "eat_hungry", "eat_in_mines"),
    ),
    "drink": Atom(
        *("goal", "count(drank) >= 1"),
        says=(
            "drink from a potion, a fountain or a sink",
            "take a drink from anything you find",
            "drink something",
        ),
        done=("you have drunk something", "you have had a drink"),
        depth=4,
        turns=500,
    ),
    # --------------------------------------------------------------------------------------------------- ends
    "leave": Atom(
        *("goal", "left"),
        says=(
            "leave the dungeon alive",
            "climb the stairs out of the dungeon",
            "get out of the dungeon by the stairs up of level 1",
        ),
        done=("you have left the dungeon",),
        kind="last",
        turns=300,
        involves=("climb",),
    ),
    "survive": Atom(
        *("goal", "survive({n})"),
        says=(
            "stay alive for {n turn}",
            "survive for {n turn}",
            "keep out of the grave for {n turn}",
        ),
        done=("you have stayed alive for {n turn}",),
        numbers=(100, 300, 500, 1_000),
        kind="last",
        turns_each=1,
    ),
    # --------------------------------------------------------------------------------------------------- bans
    "praying": Atom(
        *("ban", "happened(prayed)"),
        says=("praying", "saying a prayer", "asking your god for help"),
        forbids=("pray",),
    ),
    "killing": Atom(
        *("ban", "happened(killed)"),
        says=("killing anything", "killing a monster", "taking a life"),
        forbids=("kill",),
    ),
    "eating": Atom(
        *("ban", "happened(ate)"),
        says=("eating", "finishing a meal", "having a meal"),
        forbids=("eat",),
    ),
    "going_below": Atom(
        *("ban", "depth > {n}"),
        says=(
            "going below dungeon level {n}",
            "setting foot below dungeon level {n}",
            "going deeper than dungeon level {n}",
        ),
        numbers=(1, 2, 3, 4, 5, 6, 8, 10),
    ),
    "going_up": Atom(
        *("ban", "happened(ascended)"),
        says=("going up to a higher level", "climbing up to a level above", "turning back to a higher level"),
        forbids=("climb", "leave", "sokoban"),
    ),
    "entering_the_mines": Atom(
        *("ban", "dungeon == 2"),
        says=(
            "entering the Gnomish Mines",
            "setting foot in the Gnomish Mines",
            "going into the Gnomish Mines",
        ),
        forbids=("mines",),
    ),
    "entering_a_shop": Atom(
        *("ban", "in_shop"),
        says=("entering a shop", "being inside a shop", "setting foot in a shop"),
        forbids=("shop",),
    ),
    "hunger": Atom(
        *("ban", "hunger >= 2"),
        says=("becoming hungry", "growing hungry", "letting hunger get hold of you"),
        forbids=("eat_hungry",),
    ),
    "half_health": Atom(
        *("ban", "hp * 2 < max_hp"),
        says=(
            "falling below half of your hit points",
            "losing more than half of your hit points",
            "letting your hit points fall below half",
        ),
    ),
    "carrying_gold": Atom(
        *("ban", "gold > 0"),
        says=("carrying gold", "having gold in your purse", "taking gold with you"),
        forbids=("gold", "sell", "buy"),
    ),
    "picking_up": Atom(
        *("ban", "happened(picked_up)"),
        says=("picking up an item", "taking an item into your pack", "adding an item to what you carry"),
        forbids=("pick_up", "buy", "identify_price"),
    ),
    "burden": Atom(
        *("ban", "load >= 1"),
        says=(
            "becoming burdened",
            "carrying so much that you are burdened",
            "taking on a load that burdens you",
        ),
    ),
    # -------------------------------------------------------------------------------------------------- stays
    "above": Atom(
        *("stay", "depth < {n}"),
        twin="going_below",
        says=(
            "stay above dungeon level {n}",
            "do not go down to dungeon level {n}",
            "keep above dungeon level {n}",
        ),
        numbers=(2, 3, 4, 5, 6),
    ),
    "in_the_mines": Atom(
        *("stay", "dungeon == 2"),
        says=("stay in the Gnomish Mines", "do not leave the Gnomish Mines", "remain in the Gnomish Mines"),
        forbids=("oracle", "sokoban", "climb", "descend", "leave"),
        above=3,
        needs=("mines",),
    ),
    "out_of_the_mines": Atom(
        *("stay", "dungeon != 2"),
        twin="entering_the_mines",
        says=(
            "stay out of the Gnomish Mines",
            "keep out of the Gnomish Mines",
            "do not go into the Gnomish Mines",
        ),
        forbids=("mines",),
    ),
    "out_of_shops": Atom(
        *("stay", "not in_shop"),
        twin="entering_a_shop",
        says=("stay out of shops", "do not enter any shop", "set no foot in a shop"),
        forbids=("shop",),
    ),
    "peaceful": Atom(
        *("stay", "not happened(killed)"),
        twin="killing",
        says=("kill nothing", "do not kill anything", "spare every monster"),
        forbids=("kill",),
    ),
    "fed": Atom(
        *("stay", "hunger <= 1"),
        twin="hunger",
        says=("do not let yourself become hungry", "keep hunger away", "never be hungry"),
        forbids=("eat_hungry",),
    ),
    "unburdened": Atom(
        *("stay", "load == 0"),
        twin="burden",
        says=("carry no more than you can bear unburdened", "do not become burdened", "stay unburdened"),
    ),
    "healthy": Atom(
        *("stay", "hp * 2 >= max_hp"),
        twin="half_health",
        says=(
            "keep at least half of your hit points",
            "do not fall below half of your hit points",
            "never let your hit points fall below half",
        ),
    ),
    "poor": Atom(
        *("stay", "gold == 0"),
        twin="carrying_gold",
        says=("carry no gold", "leave all gold where it is", "keep your purse empty"),
        forbids=("gold", "sell", "buy"),
    ),
}
