"""Prices that shops state, and which base prices of unidentified items they leave possible.

The texts are those of NetHack 3.6.7, with single spaces.
"""

import re
from typing import NamedTuple

from nle import nethack

from maestromotif.nethack.shops import CURRENCY

_OFFER = re.compile(
    rb"offers( only)? (\d+) gold pieces? for (?:the contents of )?your ((?:(?! offers ).)+?)\. "
    rb"Sell (it|them)\?(?: \[ynaq\] \(y\)( .)?)?"
)
_MONEY = CURRENCY.encode()
_DROPPED = re.compile(rb"You drop (\d+) [^.]*\. [^.]*$")
_QUOTE = re.compile(rb'"For you, ([^"]*?);(?: only)? (\d+) ' + _MONEY + rb' (?:per|for this) ([^"]*)\."')
_COST = re.compile(rb"\bThe ([^.]*) will cost you (\d+) " + _MONEY + rb"(?: each)?\.")
_TAG = re.compile(rb"\((?:for sale|unpaid), (\d+) " + _MONEY + rb"\)")

# How an unidentified item of a class appears: "milky potion", "scroll labeled X".
_LOOKS = re.compile(rb"(?:^|.* )(potion|scroll|wand|ring|spellbook)s?(?: (?:labeled|called|named) .*)?$")
# The class of any item, by its name.
_CLASS = re.compile(rb"\b(potion|scroll|wand|ring|spellbook)s?\b")
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


NO_OFFERS: tuple[int, int, list[Price], bool] = (0, 0, [], False)


def offers(text: bytes) -> tuple[int, int, list[Price], bool]:
    """Number of offers; the one that waits for an answer, 0 if none; the prices of unidentified items.

    Last, whether the offer that waits is half a base price of the item's class, identified or not: the test
    of the published task `price`.
    """
    count, waits, prices, half = 0, 0, list[Price](), False
    for found in _OFFER.finditer(text):
        only, gold, item, number, answer = found.groups()
        if answer:  # the question of the previous step is still shown, with its answer
            continue
        count += 1
        if found.end() == len(text):
            waits = int(gold)
            kind = _CLASS.search(item)
            half = kind is not None and 2 * waits in BASE_PRICES[kind[1]]
        look = _LOOKS.match(item)
        # The offer is for the whole stack; the message on dropping it gave the number of items.
        dropped = _DROPPED.search(text[: found.start()])
        quantity = 1 if number == b"it" else int(dropped[1]) if dropped else 0
        if look and quantity and not only:  # a shopkeeper short of gold offers all of it
            prices.append(Price(int(gold), quantity, look[1], True))
    return count, waits, prices, half


def quotes(text: bytes) -> tuple[int, list[Price]]:
    """Number of quotes, and the prices of unidentified items."""
    spoken = [(item, gold, address == b"scum") for address, gold, item in _QUOTE.findall(text)]
    spoken += [(item, gold, False) for item, gold in _COST.findall(text)]
    # Picking up an item states its price twice, in speech and in a tag: one quote.
    count = max(len(spoken), len(_TAG.findall(text)))
    looks = [(_LOOKS.match(item), int(gold), angry) for item, gold, angry in spoken]
    return count, [Price(gold, 1, look[1], False, angry) for look, gold, angry in looks if look]
