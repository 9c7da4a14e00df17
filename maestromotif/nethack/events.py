"""Events: what happened on a step, read from the game's messages and a few numbers of its status lines.

The messages are those of NetHack 3.6.7, with all pages of a step joined. Most steps have no message, and the
others repeat, so each text is parsed once and cached.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from nle import nethack


class Pattern(NamedTuple):
    """Words that signal an event, in text with single spaces. Every match counts."""

    needle: str  # part of every text that matches; checked first, because it is faster
    regex: str


@dataclass(frozen=True)
class Event:
    """Something that happens on a step, and how to recognise it."""

    doc: str  # a sentence
    source: str  # the words or numbers that signal it
    patterns: tuple[Pattern, ...] = ()  # if empty, code below or the tracker recognises it


_STOLE = Pattern("You stole", r"You stole \d+ ")

# In column order of the arrays `events`.
EVENTS: dict[str, Event] = {
    "descended": Event(
        "The agent came to a deeper level.",
        "the depth is greater than on the previous step (blstats)",
    ),
    "ascended": Event(
        "The agent came to a higher level.",
        "the depth is smaller than on the previous step (blstats)",
    ),
    "killed": Event(
        "The agent killed a monster.",
        '"You kill ...", "You destroy ..."',
        (Pattern("You ", r"You (?:kill|destroy) "),),
    ),
    "ate": Event(
        "The agent finished a meal.",
        'the end of a meal: "You finish eating", or how a meal of one turn tasted',
    ),
    "sold": Event(
        "The agent sold something to a shopkeeper.",
        '"You sold ..."; if the shopkeeper has no gold: "You traded ...", "You relinquish ..."',
        (
            Pattern(
                "You ",
                r"You (?:sold|traded|relinquish) [^.]* (?:gold pieces?|credit|in compensation)\b",
            ),
        ),
    ),
    "bought": Event(
        "The agent bought something in a shop.",
        '"You bought ..."',
        (Pattern("You bought", r"You bought "),),
    ),
    "price_offered": Event(
        "A shopkeeper offered gold for an item.",
        'a shopkeeper offers gold for an item: "X offers 88 gold pieces for your copper wand."',
    ),
    "price_quoted": Event(
        "A shop stated what an item costs.",
        'a shop states what an item costs: "For you, good sir; only 66 zorkmids for this ...", '
        '"... will cost you ...", "(for sale, ...)", "(unpaid, ...)"',
    ),
    "price_identified": Event(
        "A price left one possible base price for an unidentified item.",
        "an offer or a quote that leaves one possible base price for an unidentified potion, "
        "scroll, wand, ring or spellbook",
    ),
    "altar_blessed": Event(
        "An altar showed that an item is blessed.",
        '"There is an amber flash as ... hits the altar."',
        (Pattern("the altar", r"an amber flash as [^.]* hits? the altar"),),
    ),
    "altar_cursed": Event(
        "An altar showed that an item is cursed.",
        '"There is a black flash as ... hits the altar."',
        (Pattern("the altar", r"a black flash as [^.]* hits? the altar"),),
    ),
    "altar_uncursed": Event(
        "An altar showed that an item is neither blessed nor cursed.",
        '"... lands on the altar."',
        (Pattern("the altar", r" lands? on the altar"),),
    ),
    "stole": Event(
        "The agent left a shop without paying.",
        '"You stole 120 zorkmids worth of merchandise."',
        (_STOLE,),
    ),
    "robbed": Event(
        "A monster stole something from the agent.",
        'something was stolen from the hero: "She stole ...", "Your purse feels lighter.", ...',
        (
            Pattern("stole", r"(?<!You) stole "),
            Pattern("steals", r" steals (?![^!]* from )[^!]*!"),
            Pattern("lighter", r"Your purse feels lighter"),
            Pattern("snatches", r"quickly snatches some gold from (?:between|under|beneath) your "),
            Pattern("backpack", r" grabs? your backpack"),
        ),
    ),
    "angered_god": Event(
        "The agent angered its god.",
        '"You feel that X is displeased.", "Thou hast angered me.", ...',
        (
            Pattern("is ", r"You feel that [^.]* is (?:displeased|bummed)\."),
            Pattern("angry...", r"You have a strong feeling that [^.]* is angry\.\.\."),
            Pattern("darest thou", r'"How darest thou '),
            Pattern('"Thou', r'"Thou must relearn thy lessons!"|"Thou hast angered me\."|"Thou durst '),
        ),
    ),
    "angered_shopkeeper": Event(
        "The agent angered a shopkeeper.",
        '"X gets angry!" where X is a name, "X is furious!", a theft',
        (
            # Monsters without a name, and the hero as "you", begin with one of the excluded words. Names of
            # shopkeepers have up to three words: Asidonhopo, Rath Luirc, Beinn a Ghlo, Sgurr na Ciche.
            Pattern(
                "gets angry!",
                r"(?<![\w-] )\b(?!The |It |Your? )[A-Z][\w'-]+(?: (?:a|na|[A-Z][\w'-]+))* gets angry!",
            ),
            Pattern("is furious!", r"\b[A-Z][\w'-]+ is furious!"),
            _STOLE,
        ),
    ),
    "picked_up": Event(
        "An item came into the inventory.",
        'an item came into the inventory: "k - a milky potion."',
        (Pattern(" - ", r"(?:^| )[a-zA-Z$#] - (?=an? |the |\d|[A-Z])"),),
    ),
    "dropped": Event(
        "The agent dropped an item.",
        '"You drop ...", or an item put on an altar',
        (
            Pattern("You drop ", r"You drop (?!to the |like )"),
            Pattern("the altar", r"(?:flash as [^.]* hits?| lands? on) the altar"),
        ),
    ),
    "prayed_well": Event(
        "The agent's god heard its prayer.",
        'a prayer was heard: "You feel that X is well-pleased.", "pleased", "satisfied"',
        (
            Pattern(
                "You feel that",
                r"You feel that [^.]* is (?:well-pleased|pleased(?: as punch)?|satisfied|ticklish|full)\.",
            ),
        ),
    ),
    "gained_level": Event(
        "The agent's experience level rose. Each level counts.",
        "the experience level is higher than on the step before (blstats)",
    ),
    "prayed": Event(
        "The agent began to pray.",
        '"You begin praying to ..."',
        (Pattern("praying", r"You begin praying to "),),
    ),
    "entered_shop": Event(
        "The agent entered a shop and was greeted.",
        "a shopkeeper's greeting: \"Hello, Agent! Welcome to X's general store!\", or that he "
        'mutters against shoplifters; not "So, Agent, you dare return to ...", which begins an attack',
        (
            Pattern("Welcome", r'! Welcome(?: again)? to [^"]*!"'),
            Pattern("shoplifters", r"mutters imprecations against shoplifters"),
        ),
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

_MEALS_END = re.compile(rb"You finish eating|You're finally finished|You consume ")
_TASTE = re.compile(
    rb"[Dd]elicious|hits the spot| tastes |is bland\.|yummy|This satiates your|surprisingly good!"
    rb"|A little goes a long way|Mmm, tripe|elf kibble|makes you feel like "
)
_STOPPED = b"You stop eating"

_OFFER = re.compile(
    rb"offers( only)? (\d+) gold pieces? for your ((?:(?! offers ).)+?)\. "
    rb"Sell (it|them)\?(?: \[ynaq\] \(y\)( .)?)?"
)
_DROPPED = re.compile(rb"You drop (\d+) [^.]*\. [^.]*$")
_QUOTE = re.compile(rb'"For you, ([^"]*?);(?: only)? (\d+) zorkmids? (?:per|for this) ([^"]*)\."')
_COST = re.compile(rb"\bThe ([^.]*) will cost you (\d+) zorkmids?(?: each)?\.")
_TAG = re.compile(rb"\((?:for sale|unpaid), (\d+) zorkmids?\)")
_ANGRY_GREETING = b"you dare return to "
_OWED = re.compile(rb'you pay for it!"|you bought it!|You owe |\(unpaid, ')
_PAID = re.compile(rb"You (?:bought|paid for|stole|escaped the shop without paying)|debt is paid off")

# How an unidentified item of a class appears: "milky potion", "scroll labeled X".
_LOOKS = re.compile(rb"(?:^|.* )(potion|scroll|wand|ring|spellbook)s?(?: (?:labeled|called|named) .*)?$")
_CLASSES = {
    b"potion": nethack.POTION_CLASS,
    b"scroll": nethack.SCROLL_CLASS,
    b"wand": nethack.WAND_CLASS,
    b"ring": nethack.RING_CLASS,
    b"spellbook": nethack.SPBOOK_CLASS,
}
_NEVER_A_SPELLBOOK = ("novel", "Book of the Dead")


def _base_prices(kind: int) -> tuple[int, ...]:
    items = [nethack.objclass(index) for index in range(nethack.NUM_OBJECTS)]
    names = [(nethack.OBJ_NAME(item), item) for item in items if ord(item.oc_class) == kind]
    return tuple(sorted({int(i.oc_cost) for name, i in names if name and name not in _NEVER_A_SPELLBOOK}))


# Base prices that occur in each class, in gold pieces.
BASE_PRICES: dict[bytes, tuple[int, ...]] = {look: _base_prices(kind) for look, kind in _CLASSES.items()}


class Price(NamedTuple):
    """What a shopkeeper pays (`offered`) or charges for an unidentified item."""

    gold: int
    quantity: int  # number of items that the price is for
    look: bytes  # key of BASE_PRICES
    offered: bool
    angry: bool = False


class Said(NamedTuple):
    """What a text says."""

    counts: np.ndarray  # int16 [len(EVENTS)], without the events that numbers signal
    prices: tuple[Price, ...] = ()  # for unidentified items
    greeted: bool = False  # a shopkeeper spoke to the hero on entry, kindly or not
    offer: int = 0  # gold pieces, if the text ends with the question whether to sell
    owes: bool = False  # the hero took or ate something from the shop
    paid: bool = False  # ... and has paid for it or carried it away


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


def base_prices(price: Price, charisma: int, tourist: bool) -> tuple[int, ...]:
    """Base prices of the item's class that are consistent with this price, in gold pieces.

    For an item that the hero has not identified, some shopkeepers pay three eighths of the base price instead
    of half, and some items cost a third more. Charisma scales what shopkeepers charge. Tourists get worse
    prices both ways. The effects of a dunce cap and of a visible shirt are ignored.
    """
    if price.offered:
        ways = ((1, 3), (1, 4)) if tourist else ((1, 2), (3, 8))
    else:
        more, of = _by_charisma(charisma)
        if tourist:
            more, of = more * 4, of * 3
        ways = ((more, of), (more * 4, of * 3))

    def leads_here(base: int) -> bool:
        worth = (base or 5) * price.quantity
        for times, divisor in ways:
            gold = max(1, (worth * times * 10 // divisor + 5) // 10)
            if price.angry:
                gold += (gold + 2) // 3
            if gold == price.gold:
                return True
        return False

    return tuple(base for base in BASE_PRICES[price.look] if leads_here(base))


def _by_charisma(charisma: int) -> tuple[int, int]:
    """Multiplier and divisor of what a shopkeeper charges."""
    for most, factor in ((5, (2, 1)), (7, (3, 2)), (10, (4, 3)), (15, (1, 1)), (17, (3, 4)), (18, (2, 3))):
        if charisma <= most:
            return factor
    return (1, 2)


def _read(text: bytes) -> Said:
    counts = np.zeros(len(EVENTS), np.int16)
    for column, needle, pattern in _COUNTED:
        if needle in text:
            counts[column] += len(pattern.findall(text))
    counts[COLUMN["ate"]] = _meals(text)
    offer, prices = _offers(text, counts) if b"gold piece" in text else (0, [])
    if b"zorkmid" in text:
        prices += _quotes(text, counts)
    owes, paid = bool(_OWED.search(text)), bool(_PAID.search(text))
    greeted = bool(counts[COLUMN["entered_shop"]]) or _ANGRY_GREETING in text
    if not counts.any() and not owes and not paid and not greeted:
        return NOTHING
    counts.flags.writeable = False
    return Said(counts, tuple(prices), greeted, offer, owes, paid)


def _meals(text: bytes) -> int:
    """Meals that ended. A message on the taste comes first; "finished" follows only after a long meal."""
    if finished := len(_MEALS_END.findall(text)):
        return finished
    return int(_STOPPED not in text and _TASTE.search(text) is not None)


def _offers(text: bytes, counts: np.ndarray) -> tuple[int, list[Price]]:
    """The offer that waits for an answer, 0 if there is none; and the prices of unidentified items."""
    waits, prices = 0, []
    for found in _OFFER.finditer(text):
        only, gold, item, number, answer = found.groups()
        if answer:  # the question of the previous step is still shown, with its answer
            continue
        counts[COLUMN["price_offered"]] += 1
        if found.end() == len(text):
            waits = int(gold)
        look = _LOOKS.match(item)
        # The offer is for the whole stack; the message on dropping it gave the number of items.
        dropped = _DROPPED.search(text[: found.start()])
        quantity = 1 if number == b"it" else int(dropped[1]) if dropped else 0
        if look and quantity and not only:  # a shopkeeper short of gold offers all of it
            prices.append(Price(int(gold), quantity, look[1], True))
    return waits, prices


def _quotes(text: bytes, counts: np.ndarray) -> list[Price]:
    spoken = [(item, gold, address == b"scum") for address, gold, item in _QUOTE.findall(text)]
    spoken += [(item, gold, False) for item, gold in _COST.findall(text)]
    # Picking up an item states its price twice, in speech and in a tag: one quote.
    counts[COLUMN["price_quoted"]] += max(len(spoken), len(_TAG.findall(text)))
    looks = [(_LOOKS.match(item), int(gold), angry) for item, gold, angry in spoken]
    return [Price(gold, 1, look[1], False, angry) for look, gold, angry in looks if look]
