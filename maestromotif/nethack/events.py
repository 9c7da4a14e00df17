"""Events: what happened on a step, read from the game's messages and a few numbers of its status lines.

The messages are those of NetHack 3.6.7, with all pages of a step joined. Most steps have no message, and the
others repeat, so each text is parsed once and cached.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maestromotif.nethack.actions import LEAVE_QUESTION
from maestromotif.nethack.prices import NO_OFFERS, Price, offers, quotes
from maestromotif.nethack.shops import CURRENCY, NAME


class Pattern(NamedTuple):
    """Words that signal an event, in text with single spaces. Every match counts."""

    needle: str  # part of every text that matches; checked first, because it is faster
    regex: str
    # What a caption says instead of the matched sentence; {what} stands for the group `what`.
    says: str = ""
    quoted: bool = False  # whether a caption quotes the sentence as well


@dataclass(frozen=True)
class Event:
    """Something that happens on a step, and how to recognise it."""

    doc: str  # a sentence
    source: str  # the words or numbers that signal it
    patterns: tuple[Pattern, ...] = ()  # if empty, `change`, code below or the tracker recognises it
    words: tuple[Pattern, ...] = ()  # more patterns for captions, which do not count
    change: tuple[str, str] | None = None  # the change of `state.CHANGES` that this event is, and its code


# What begins and ends a sentence about the agent: a dog may be called "You die".
_BEGINS, _ENDS = r"(?<![a-z]{2} )(?<!, )", r"(?! [a-z]{2})"
_WHOM = r"(?P<what>(?:[^.!]|(?:(?<= Mr)|(?<= Dr)|(?<= [A-Z]))\.(?= ))*)"  # a hallucinated Crow T. Robot
# How food tasted. Of a drink, NetHack says "This tastes ...", without its name, and uses other words. An
# apple and a pear say what programs do; cursed and old food is rotten, and eaten unless the hero faints.
_TASTE = (
    r"(?:[Dd]elicious|hits the spot|(?<!This) tastes (?:okay|terrible)[.!]|is bland\.|yummy|This satiates "
    r"|surprisingly good!|A little goes a long way|Mmm, tripe|elf kibble|makes you feel like "
    r"|This [^.!]* is (?:terrible|grody|gnarly)!|primo |\b[Cc]ore dumped\.|Ugh\. Rotten egg\."
    r"|Blecch! Rotten [^!]*!(?!.*The world spins and ))"
)
_STOPPED = "You stop eating"
# What only a drink does: of potions (`potion.c`), and of fountains and sinks (`fountain.c`).
_DRUNK = (
    r"(?:\bThis (?:stuff )?tastes (?!just like chicken)|\bthis (?:[^.!]* )?tastes (?:awful|like sewage)"
    r"|Ulch! This makes you feel mediocre!|That potion tasted foul!"
    r"|Ahh, a refreshing drink\.|That was smooth!|You take a sip of |cool draught refreshes you"
    r"|This tepid [^.]* is tasteless\.|is foul! You gag and vomit|is contaminated!"
    r"|This [^.!]* contains toxic wastes!|This [^.!]*'s no good!|This [^.!]* gives you bad breath!)"
)
_ARREST = r"\"Halt(?:, (?:thief|vandal))?! You're under arrest!\""
_STOLE = r"You stole (?P<what>\d+ [^.!]*)"

# In column order of the arrays `events`.
EVENTS: dict[str, Event] = {
    "descended": Event(
        "The agent came to a deeper level.",
        "the depth is greater than on the previous step (blstats)",
        change=("depth", "deeper"),
    ),
    "ascended": Event(
        "The agent came to a higher level.",
        "the depth is smaller than on the previous step (blstats)",
        change=("depth", "higher"),
    ),
    "killed": Event(
        "The agent killed a monster.",
        '"You kill ...!", "You destroy ...!"; not "You destroy the throne.", of furniture and traps',
        (
            Pattern(
                "You ",
                rf"{_BEGINS}(?<!CRASH! )You (?:kill|destroy) {_WHOM}!{_ENDS}",
                "The agent killed {what}.",
            ),
        ),
    ),
    "ate": Event(
        "The agent finished a meal.",
        'the end of a meal: "You finish eating", or how a meal of one turn tasted',
        words=(
            Pattern("You finish", r"You finish eating (?P<what>[^.!]*)", "The agent ate {what}."),
            Pattern("You're finally", r"You're finally finished", "The agent finished its meal."),
            Pattern("You consume", r"You consume (?P<what>[^.!]*)", "The agent ate {what}."),
            Pattern("", f"(?!.*{_STOPPED}){_TASTE}", "The agent ate something.", quoted=True),
        ),
    ),
    "sold": Event(
        "The agent sold something to a shopkeeper.",
        '"You sold ..."; if the shopkeeper has no gold: "You traded ...", "You relinquish ..."',
        (
            Pattern(
                "You ",
                r"You (?:sold|traded|relinquish) "
                r"(?P<what>[^.]* (?:gold pieces?|credit|in compensation))\b[^.!]*",
                "The agent sold {what}.",
            ),
        ),
    ),
    "bought": Event(
        "The agent bought something in a shop.",
        '"You bought ..."',
        (Pattern("You bought", r"You bought (?P<what>[^.!]*)", "The agent bought {what}."),),
    ),
    "price_offered": Event(
        "A shopkeeper offered gold for an item.",
        'a shopkeeper offers gold for an item: "X offers 88 gold pieces for your copper wand."',
        words=(
            Pattern(
                "offers",
                r"(?:[A-Z][^.!]*? )?offers(?: only)? (?P<what>\d+ gold pieces?) "
                r"for (?:the contents of )?your (?P<item>[^.]*)\. "
                r"Sell (?:it|them)\?(?: \[ynaq\] \(y\))?(?! [\[(\w])",
                "A shopkeeper offered the agent {what} for its {item}.",
            ),
        ),
    ),
    "price_quoted": Event(
        "A shop stated what an item costs.",
        'a shop states what an item costs: "For you, good sir; only 66 zorkmids for this ...", '
        '"... will cost you ...", "(for sale, ...)", "(unpaid, ...)"; in any hallucinated currency',
        words=(
            Pattern(
                '"For you',
                rf'"For you, [^"]*?;(?: only)? (?P<what>\d+ {CURRENCY}) (?:per|for this) (?P<item>[^"]*)\."',
                "A shopkeeper asked the agent for {what} for this {item}.",
            ),
            Pattern(
                "will cost",
                rf"The (?P<item>[^.]*) will cost you (?P<what>\d+ {CURRENCY})(?: each)?",
                "A shopkeeper asked the agent for {what} for the {item}.",
            ),
            Pattern(
                "for sale",
                rf"You see here (?P<item>[^.(]*) \(for sale, (?P<what>\d+ {CURRENCY})\)",
                "The agent sees {item} for sale for {what}.",
            ),
        ),
    ),
    "price_identified": Event(
        "A price left one possible base price for an unidentified item.",
        "an offer or a quote that leaves one possible base price for an unidentified potion, "
        "scroll, wand, ring or spellbook",
    ),
    "altar_blessed": Event(
        "An altar showed that an item is blessed.",
        '"There is an amber flash as ... hits the altar."',
        (
            Pattern(
                "the altar",
                r"(?:There is )?an amber flash as (?:an? |the |your )?(?P<what>[^.]*) hits? the altar",
                "The agent dropped its {what} on an altar and learned that it is blessed.",
            ),
        ),
    ),
    "altar_cursed": Event(
        "An altar showed that an item is cursed.",
        '"There is a black flash as ... hits the altar."',
        (
            Pattern(
                "the altar",
                r"(?:There is )?a black flash as (?:an? |the |your )?(?P<what>[^.]*) hits? the altar",
                "The agent dropped its {what} on an altar and learned that it is cursed.",
            ),
        ),
    ),
    "altar_uncursed": Event(
        "An altar showed that an item is neither blessed nor cursed.",
        '"... lands on the altar."',
        (
            Pattern(
                "the altar",
                r"(?:An? |The |Your )?(?P<what>[^.!]*) lands? on the altar",
                "The agent dropped its {what} on an altar and learned that it is neither blessed nor cursed.",
            ),
        ),
    ),
    "stole": Event(
        "The agent left a shop without paying.",
        '"You stole 120 zorkmids worth of merchandise."',
        (Pattern("You stole", _STOLE, "The agent left the shop without paying and stole {what}."),),
    ),
    "robbed": Event(
        "A monster stole something from the agent.",
        'something was stolen from the hero: "She stole ...", "Your purse feels lighter.", ...',
        tuple(
            Pattern(needle, regex, "A monster stole something from the agent.", quoted=True)
            for needle, regex in (
                ("stole", r"(?<!You)(?<! I)(?<!Somebody) stole (?!from )"),
                ("steals", r" steals (?![^!]* from )[^!]*!"),
                ("lighter", r"Your purse feels lighter"),
                ("snatches", r"quickly snatches some gold from (?:between|under|beneath) your "),
                ("backpack", r" grabs? your backpack"),
            )
        ),
    ),
    "angered_god": Event(
        "The agent angered its god.",
        '"You feel that X is displeased.", "Thou hast angered me.", ...',
        (
            Pattern(
                "is ",
                r"You feel that (?P<what>[^.]*) is (?:displeased|bummed)\.",
                "The agent displeased its god {what}.",
            ),
            Pattern(
                "angry...",
                r"You have a strong feeling that (?P<what>[^.]*) is angry\.\.\.",
                "The agent angered its god {what}.",
            ),
            Pattern("darest thou", r'"How darest thou ', "The agent angered its god.", quoted=True),
            Pattern(
                '"Thou',
                r'"Thou must relearn thy lessons!"|"Thou hast angered me\."|"Thou durst ',
                "The agent angered its god.",
                quoted=True,
            ),
        ),
    ),
    "angered_shopkeeper": Event(
        "The agent angered a shopkeeper.",
        '"X gets angry!", "X is furious!" where X is one of the names that shopkeepers have; a theft',
        (
            Pattern(
                "gets angry!",
                rf"(?P<what>{NAME}) gets angry!",
                "The agent angered the shopkeeper {what}.",
            ),
            Pattern(
                "is furious!",
                rf"(?P<what>{NAME}) is furious!",
                "The agent made the shopkeeper {what} furious.",
            ),
            Pattern("You stole", _STOLE, "The shopkeeper is angry."),
        ),
    ),
    "picked_up": Event(
        "An item came into the inventory.",
        'an item came into the inventory: "k - a milky potion."',
        (
            Pattern(
                " - ",
                r"(?:^| )[a-zA-Z$#] - (?P<what>(?:an? |the |\d|[A-Z])[^.]*)",
                "The agent picked up {what}.",
            ),
        ),
    ),
    "dropped": Event(
        "The agent dropped an item.",
        '"You drop ...", or an item put on an altar',
        (
            Pattern("You drop ", r"You drop (?!to the |like )(?P<what>[^.!]*)", "The agent dropped {what}."),
            Pattern("the altar", r"(?:flash as [^.]* hits?| lands? on) the altar"),
        ),
    ),
    "prayed_well": Event(
        "The agent's god heard its prayer.",
        'a prayer was heard: "You feel that X is well-pleased.", "pleased", "satisfied", or else '
        '"You are surrounded by a shimmering light."',
        (
            Pattern(
                "You feel that",
                r"You feel that (?P<what>[^.]*) is "
                r"(?P<how>well-pleased|pleased(?: as punch)?|satisfied|ticklish|full)\.",
                "The agent's prayer was heard: {what} is {how}.",
            ),
            Pattern(
                "shimmering",
                r"You are surrounded by a shimmering light"
                r"(?!.*You feel that [^.]* is (?:well-pleased|pleased|satisfied|ticklish|full))",
                "The agent's prayer was heard.",
                quoted=True,
            ),
        ),
    ),
    "gained_level": Event(
        "The agent's experience level rose. Each level counts.",
        "the experience level is higher than on the step before (blstats)",
        words=(
            Pattern(
                "Welcome to exp",
                r"Welcome to experience level (?P<what>\d+)",
                "The agent rose to experience level {what}.",
            ),
        ),
    ),
    "prayed": Event(
        "The agent began to pray.",
        '"You begin praying to ..."',
        (
            Pattern(
                "praying", r"You begin praying to (?P<what>[^.!]*)", "The agent prayed to its god {what}."
            ),
        ),
    ),
    "entered_shop": Event(
        "The agent entered a shop and was greeted.",
        'a shopkeeper\'s greeting: "Hello, Agent! Welcome to X\'s general store!", to a deaf hero "You enter '
        "X's general store!\", or that he mutters against shoplifters or counts his goods; "
        'not "So, Agent, you dare return to ...", which begins an attack',
        (
            Pattern(
                "Welcome",
                r'(?:"[^"]*)?! Welcome(?: again)? to (?P<what>[^"]*)!"',
                "The agent entered a shop: {what}.",
            ),
            # What a deaf hero sees in place of what she would hear.
            Pattern(
                "You enter ",
                r"You enter (?P<what>(?!an? |the )[^.!\"]*'s? [a-z][^.!\"]*?)(?: again)?!",
                "The agent entered a shop: {what}.",
            ),
            Pattern(
                "",
                r"mutters imprecations against shoplifters|is combing through \w+ inventory list",
                "The agent entered a shop.",
                quoted=True,
            ),
        ),
    ),
    "died": Event(
        "The agent died.",
        'the end of the episode by death; in captions "You die...", "You drown.", "You turn to stone."',
        (
            Pattern(
                "You ",
                rf"{_BEGINS}(?<!named Elfrist at you\. )"  # a rumour in a fortune cookie
                rf"You (?:die|drown|turn to stone)(?: from [^.!]*)?\.+(?!\.| But wait\.){_ENDS}",
                "The agent died.",
            ),
        ),
    ),
    "hurt": Event(
        "The agent lost hit points.",
        "fewer hit points than on the previous step (blstats)",
        change=("health", "lost"),
    ),
    "healed": Event(
        "The agent regained hit points.",
        "more hit points than on the previous step (blstats)",
        change=("health", "gained"),
    ),
    "hungrier": Event(
        "The agent became hungrier: hungry, weak or fainting.",
        "a higher hunger state than on the previous step (blstats)",
        change=("hunger", "hungrier"),
    ),
    "fed": Event(
        "The agent became less hungry.",
        "a lower hunger state than on the previous step (blstats)",
        change=("hunger", "fed"),
    ),
    "burdened": Event(
        "The agent's load became a heavier burden.",
        "a higher load state than on the previous step (blstats)",
        change=("load", "heavier"),
    ),
    "unburdened": Event(
        "The agent's load became a lighter burden.",
        "a lower load state than on the previous step (blstats)",
        change=("load", "lighter"),
    ),
    "drank": Event(
        "The agent drank something: a potion, or from a fountain or a sink.",
        'an answer to "What do you want to drink?" that was accepted, or how a drink tasted: '
        '"This tastes like water.", "You take a sip of very cold water.", "The cool draught refreshes you."',
        words=(Pattern("", _DRUNK, "The agent drank something.", quoted=True),),
    ),
    "asked_to_leave": Event(
        "The game asked whether the agent will leave the dungeon by the stairs up of level 1.",
        '"Beware, there will be no return! Still climb?"',
        words=(
            Pattern(
                "Still climb?",
                r"Beware, there will be no return! Still climb\?",
                "The game asked whether the agent will leave the dungeon.",
                quoted=True,
            ),
        ),
    ),
    "entered_delphi": Event(
        "The agent entered Delphi, the Oracle's centre.",
        'the Oracle\'s greeting: "Hello, Agent, welcome to Delphi!", or, if she is angry, '
        '"You\'re in Delphi, Agent."',
        (
            Pattern(
                "Delphi",
                r"\"(?:[^\"]*, welcome to Delphi!|You're in Delphi, [^\"]*)\"",
                "The agent entered Delphi.",
            ),
        ),
    ),
    "entered_temple": Event(
        "The agent entered a temple. NetHack does not say so again within some turns.",
        'what a priest says: "Pilgrim, you enter a sacred place!", "You experience a sense of peace.", '
        '"You have a forbidding feeling..."; without a priest "You have an eerie feeling...", '
        '"You feel like you are being watched.", "A shiver runs down your spine."',
        words=(
            Pattern(
                "",
                r"(?:Pilgrim, you enter a (?P<what>sacred|desecrated) place!"
                r"|Infidel, you have entered Moloch's Sanctum!"
                r"|You experience (?:a|an unusual|a strange) sense of peace\."
                r"|You have an? (?:strange )?(?:forbidding|eerie) feeling\.\.\."
                r"|You feel like you are being watched\.|A shiver runs down your )",
                "The agent entered a temple.",
                quoted=True,
            ),
        ),
    ),
    "angered_watch": Event(
        "The agent angered the watch of Minetown.",
        '"Halt, thief! You\'re under arrest!", "The watchman gets angry!", "The guards get angry!", '
        '"You see an angry guard approaching!"',
        words=(
            Pattern("arrest", _ARREST, "The agent is under arrest.", quoted=True),
            Pattern(
                "angry",
                r"\b(?:The (?:watchman|watch captain) gets angry!|The guards? gets? angry!"
                r"|angry guards? approaching!)",
                "The agent angered the watch.",
                quoted=True,
            ),
        ),
    ),
    "published_price": Event(
        "The agent sold something whose price the published test of the task price counts as identified.",
        "an item is sold on the step after an offer for a potion, scroll, wand, ring or spellbook, known "
        "or not, and twice the offer is a base price of that class",
    ),
    "published_buc": Event(
        "The agent dropped something on an altar, by the published test of the task buc.",
        'the action was drop, and the messages contain "altar" and neither "cursed" nor "blessed"',
    ),
}
COLUMN: dict[str, int] = {name: column for column, name in enumerate(EVENTS)}
_COUNTED = tuple(
    (COLUMN[name], pattern.needle.encode(), re.compile(pattern.regex.encode()))
    for name, event in EVENTS.items()
    for pattern in event.patterns
)

# Texts in the cache: less than ten megabytes.
_KEPT = 20_000

_DRINKS = re.compile(_DRUNK.encode())
_ASKS_TO_DRINK = re.compile(
    rb"(?:What do you want to drink\?|Drink (?:from the (?:fountain|sink)|the water around you)\?)"
    rb"(?: \[[^\]]*\])?(?: \(n\))?$"
)
_REFUSED = re.compile(
    rb"Never mind|silly thing to drink|You cannot drink|You don't have that object|You mime drinking"
)
_LEAVE = re.compile(re.escape(LEAVE_QUESTION) + rb"(?: \[yn\] \(n\)(?: ([yn])\b)?)?")
_ONCE = tuple(
    (COLUMN[name], re.compile("|".join(pattern.regex for pattern in EVENTS[name].words).encode()))
    for name in ("entered_temple", "angered_watch")  # NetHack says in several sentences what happens once
)
_MEALS_END = re.compile(rb"You finish eating|You're finally finished|You consume ")
_TASTED = re.compile(_TASTE.encode())
_RESUMED = re.compile(rb"You resume (?:the last bite of )?your meal")

_ANGRY_GREETING = re.compile(rb"you dare return to | over your return to ")  # the second to a deaf hero
_OWED = re.compile(rb'you pay for it!"|you bought it!|You owe |\(unpaid, ')
_PAID = re.compile(rb"You (?:bought|paid for|stole|escaped the shop without paying)|debt is paid off")


class Said(NamedTuple):
    """What a text says."""

    counts: np.ndarray  # int16 [len(EVENTS)], without the events that numbers signal
    prices: tuple[Price, ...] = ()  # for unidentified items
    greeted: bool = False  # a shopkeeper spoke to the hero on entry, kindly or not
    offer: int = 0  # gold pieces, if the text ends with the question whether to sell
    owes: bool = False  # the hero took or ate something from the shop
    paid: bool = False  # ... and has paid for it or carried it away
    half: bool = False  # the offer's double is a base price of the item's class
    drinks: bool = False  # the text ends with the question what or whether to drink
    refused: bool = False  # nothing was drunk after that question
    leaves: bool = False  # the text ends with the question whether to leave the dungeon
    resumed: bool = False  # the hero goes on with a meal that was interrupted
    stopped: bool = False  # a meal was interrupted
    eats: bool = False  # a meal ended or was interrupted
    temple: bool = False  # the hero entered a temple
    altar: bool = False  # the text names an altar, and neither "cursed" nor "blessed"


NOTHING = Said(np.zeros(len(EVENTS), np.int16))
_cache: dict[bytes, Said] = {}


def read(text: bytes) -> Said:
    """Parse the messages of a step, cached."""
    said = _cache.get(text)
    if said is None:
        if len(_cache) >= _KEPT:
            _cache.clear()
        said = _cache[text] = _read(b" ".join(text.split()))
    return said


def _read(text: bytes) -> Said:
    counts = np.zeros(len(EVENTS), np.int16)
    for column, needle, pattern in _COUNTED:
        if needle in text:
            counts[column] += len(pattern.findall(text))
    counts[COLUMN["ate"]] = _meals(text)
    counts[COLUMN["drank"]] = _DRINKS.search(text) is not None
    for column, pattern in _ONCE:
        counts[column] = pattern.search(text) is not None
    offered, offer, prices, half = offers(text) if b"gold piece" in text else NO_OFFERS
    quoted, more = quotes(text)
    asked = list(_LEAVE.finditer(text)) if LEAVE_QUESTION in text else []
    counts[COLUMN["asked_to_leave"]] = sum(found[1] is None for found in asked)
    counts[COLUMN["price_offered"]], counts[COLUMN["price_quoted"]] = offered, quoted
    owes, paid = bool(_OWED.search(text)), bool(_PAID.search(text))
    greeted = bool(counts[COLUMN["entered_shop"]]) or _ANGRY_GREETING.search(text) is not None
    said = Said(
        counts,
        (*prices, *more),
        greeted,
        offer,
        owes,
        paid,
        half,
        drinks=_ASKS_TO_DRINK.search(text) is not None,
        refused=_REFUSED.search(text) is not None,
        leaves=bool(asked) and asked[-1][1] is None and asked[-1].end() == len(text),
        resumed=_RESUMED.search(text) is not None,
        stopped=_STOPPED.encode() in text,
        eats=bool(counts[COLUMN["ate"]]) or _STOPPED.encode() in text,
        temple=bool(counts[COLUMN["entered_temple"]]),
        altar=b"altar" in text and b"cursed" not in text and b"blessed" not in text,
    )
    if not counts.any() and not any(said[1:]):
        return NOTHING
    counts.flags.writeable = False
    return said


def _meals(text: bytes) -> int:
    """Meals that ended. A message on the taste comes first; "finished" follows only after a long meal."""
    if finished := len(_MEALS_END.findall(text)):
        return finished
    return int(_STOPPED.encode() not in text and _TASTED.search(text) is not None)
