"""Events: true wordings one by one, and everything once in a real game."""

import ctypes
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nle.nethack.nethack import DLPATH
from playing import Play

from maestromotif.nethack import arena, events
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.events import EVENTS, read
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import X, Y
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.prices import BASE_PRICES, Price, base_prices
from maestromotif.nethack.shops import SHOPKEEPERS
from maestromotif.nethack.squares import SHOPKEEPER

# Texts that NetHack 3.6.7 was seen to write, and what they tell.
SAID: list[tuple[bytes, dict[str, int]]] = [
    (b"You kill the newt!  You destroy the kobold zombie!", {"killed": 2}),
    (b"CRASH!  You destroy the throne.", {}),
    (b"CRASH!  You destroy it.", {}),
    (b"You destroy the bear trap with your dwarvish mattock.", {}),
    (b"You destroy it!", {"killed": 1}),
    (b"The newt is killed!", {}),
    (b"You hear the howling of the CwnAnnwn...", {}),
    (b"You finish eating the food ration.", {"ate": 1}),
    (b"You're having a hard time getting all of it down. You're finally finished.", {"ate": 1}),
    (b"This food really hits the spot!  You finish eating the food ration.", {"ate": 1}),
    (b"This orange is delicious!", {"ate": 1}),
    (b"Core dumped.", {"ate": 1}),  # an apple or a pear
    (b"Segmentation fault -- core dumped.", {"ate": 1}),
    (b"Blecch!  Rotten food!", {"ate": 1}),
    (b"Blecch!  Rotten food!  You feel rather light headed.", {"ate": 1}),
    (b"Blecch!  Rotten food!  The world spins and goes dark.", {}),
    (b"Blecch!  Rotten food!  The newt bites!  You stop eating the food ration.", {}),
    (b"This fortune cookie is terrible!", {"ate": 1}),
    (b"This orange is gnarly!", {"ate": 1}),
    (b"My, this is a primo slime mold!", {"ate": 1}),
    (b'"You bite that, you pay for it!"  My, this is a yummy slime mold!', {"ate": 1}),
    (b"This newt tastes okay.  You stop eating.", {}),
    (b"What do you want to eat? [abc or ?*] ", {}),
    (b"Yecch!  This stuff tastes like poison.", {"drank": 1}),
    (b"This tastes like slime mold juice.", {"drank": 1}),
    (b"Yecch!  This tastes rotten.", {"drank": 1}),
    (b"This tastes like 10% real slime mold juice all-natural beverage.", {"drank": 1}),
    (b"This tastes sour.", {"drank": 1}),
    (b"Ooph!  This tastes like watered down liquid fire!", {"drank": 1}),
    (b"This tastes like castor oil.", {"drank": 1}),
    (b"This tastes like impure water.", {"drank": 1}),
    (b"Yuk, this water tastes awful.", {"drank": 1}),
    (b"Gaggg... this tastes like sewage!  You vomit.", {"drank": 1}),
    (b"You take a sip of scalding hot water.  It seems quite tasty.", {"drank": 1}),
    (b"This tepid water is tasteless.", {"drank": 1}),
    (b"The cool draught refreshes you.", {"drank": 1}),
    (b"The water is foul!  You gag and vomit.", {"drank": 1}),
    (b"This newt corpse tastes okay.", {"ate": 1}),
    (b"This yellow mold corpse tastes terrible!", {"ate": 1}),
    # A prayer that ends hunger is no meal.
    (
        b"You begin praying to Chih Sung-tzu.  You are surrounded by a shimmering light. "
        b"You finish your prayer. You feel that Chih Sung-tzu is well-pleased. Your stomach feels content.",
        {"prayed": 1, "prayed_well": 1},
    ),
    (b"You sold a dagger for 2 gold pieces.", {"sold": 1}),
    (b"You sold 2 scrolls labeled ELAM EBOW for 100 gold pieces.", {"sold": 1}),
    (b"You traded a scroll for 54 zorkmids in additional credit.", {"sold": 1}),
    (b"You bought a sling for 30 gold pieces.", {"bought": 1}),
    (
        b"You drop a scroll of identify. Asidonhopo offers 10 gold pieces for your scroll of identify.  "
        b"Sell it? [ynaq] (y) ",
        {"price_offered": 1, "dropped": 1},
    ),
    (b"Asidonhopo offers only 7 gold pieces for your wand.  Sell it? [ynaq] (y) ", {"price_offered": 1}),
    # The question of the step before, with its answer.
    (b"Asidonhopo offers 25 gold pieces for your dark potion.  Sell it? [ynaq] (y) n", {}),
    (
        b'"For you, most gracious sir; only 107 zorkmids for this scroll of enchant\narmor." '
        b"v - a scroll of enchant armor (unpaid, 107 zorkmids).",
        {"price_quoted": 1, "picked_up": 1},
    ),
    (b'"For you, honored sir; only 7 zorkmids per tin." r - 2 tins (unpaid, 14 zorkmids).',
     {"price_quoted": 1, "picked_up": 1}),
    (b"You see here an iron wand (for sale, 100 zorkmids).", {"price_quoted": 1}),
    # A hallucinating hero hears of other money.
    (b"You see here an iron wand (for sale, 100 Altarian Dollars).", {"price_quoted": 1}),
    (b'"For you, honored sir; only 7 Triganic Pus per tin."', {"price_quoted": 1}),
    (b"The scroll will cost you 1 quatloo.", {"price_quoted": 1}),
    (b"There is a black flash as a milky potion hits the altar.", {"altar_cursed": 1, "dropped": 1}),
    (b"There is an amber flash as 2 puce potions hit the altar.", {"altar_blessed": 1, "dropped": 1}),
    (b"A scroll labeled LEP GEX VEN ZEA lands on the altar.", {"altar_uncursed": 1, "dropped": 1}),
    (b"There is an altar to Huan Ti (lawful) here.", {}),
    (
        b"You escaped the shop without paying! You stole 34 zorkmids worth of merchandise.  An alarm sounds!",
        {"stole": 1, "angered_shopkeeper": 1},
    ),
    (b"The beautiful water nymph seduces you and you take off your robe. She stole an uncursed +1 robe.",
     {"robbed": 1}),
    (b"The water nymph stole 3 uncursed food rations.", {"robbed": 1}),
    (b"Your purse feels lighter.", {"robbed": 1}),
    (b"You can move again. The water nymph steals an uncursed +2 pair of leather gloves!", {"robbed": 1}),
    (b"The water nymph steals an apple from the jackal!", {}),
    (b"Asidonhopo gets angry!  You hit Asidonhopo.", {"angered_shopkeeper": 1}),
    (b"Asidonhopo is furious!", {"angered_shopkeeper": 1}),
    (b"You miss Rath Luirc.  Rath Luirc gets angry!", {"angered_shopkeeper": 1}),
    (b"Beinn a Ghlo gets angry!", {"angered_shopkeeper": 1}),
    (b"Zum Loch is furious!", {"angered_shopkeeper": 1}),
    (b"Sgurr na Ciche gets angry!", {"angered_shopkeeper": 1}),
    (b"Hradec Kralove gets angry!", {"angered_shopkeeper": 1}),
    # Hallucinated names, names of monsters without an article, names given by a player.
    (b"Godzilla gets angry!", {}),
    (b"Luke Skywalker gets angry!", {}),
    (b"An Elvenking gets angry!", {}),
    (b"Big Izchaks gets angry!", {}),
    (b"Croesus is furious!", {}),
    (b"The watchman gets angry!", {"angered_watch": 1}),
    (b'The watchman yells:  "Halt, thief!  You\'re under arrest!"', {"angered_watch": 1}),
    (b'"Halt!  You\'re under arrest!"  The watch captain gets angry!', {"angered_watch": 1}),
    (b"You see an angry guard approaching!", {"angered_watch": 1}),
    (b'The watchman yells:  "Hey, stop picking that lock!"', {}),  # a warning
    (b'"Hello, Agent, welcome to Delphi!"', {"entered_delphi": 1}),
    (
        b'The priestess of Huan Ti intones:  "Pilgrim, you enter a sacred place!"  '
        b"You experience a sense of peace.",
        {"entered_temple": 1},
    ),
    (b"You have a strange forbidding feeling...", {"entered_temple": 1}),
    (b"You have a forbidding feeling...", {"entered_temple": 1}),
    (b"You have an eerie feeling...", {"entered_temple": 1}),
    (b"You experience an unusual sense of peace.", {"entered_temple": 1}),
    (b"A shiver runs up and down your spine!", {}),
    (b"Beware, there will be no return!  Still climb? [yn] (n) ", {"asked_to_leave": 1}),
    (b"Beware, there will be no return!  Still climb? [yn] (n) n", {}),
    (b"The hill orc gets angry!", {}),
    (b"The Keystone Kop gets angry!", {}),
    (b"You feel that Chih Sung-tzu is displeased.", {"angered_god": 1}),
    (
        b'The voice of Chih Sung-tzu rings out:   "Thou art arrogant, mortal." '
        b'"Thou must relearn thy lessons!"  You feel foolish!',
        {"angered_god": 1},
    ),
    (b'The voice of Chih Sung-tzu booms out: "Thou hast angered me." A black glow surrounds you.',
     {"angered_god": 1}),
    (b'The voice of Huan Ti booms: "How darest thou desecrate my altar!"', {"angered_god": 1}),
    (b'The voice of Huan Ti thunders:   "Thou durst call upon me?" "Then die, mortal!"', {"angered_god": 1}),
    (
        b"You begin praying to Chih Sung-tzu.  You are surrounded by a shimmering light. "
        b"You finish your prayer. You feel that Chih Sung-tzu is well-pleased.",
        {"prayed": 1, "prayed_well": 1},
    ),
    (b"k - a milky potion.  $ - 800 gold pieces.", {"picked_up": 2}),
    (b"You drop 2 scrolls labeled THARR.", {"dropped": 1}),
    (b'"Hello, Agent!  Welcome to Possogroenoe\'s general store!"', {"entered_shop": 1}),
    (b'"Hello, Agent!  Welcome again to Tjiwidej\'s delicatessen!"', {"entered_shop": 1}),
    (b"Hradec Kralove mutters imprecations against shoplifters.", {"entered_shop": 1}),
    (b'"So, Agent, you dare return to Tjiwidej\'s delicatessen?!"', {}),
    (b"Hello Agent, welcome to NetHack!  You are a neutral male human Monk.", {}),
    (b"You begin praying to Chih Sung-tzu.  You are surrounded by a shimmering light. You feel much better.",
     {"prayed": 1, "prayed_well": 1}),
    (b"The jackal bites!  You die...", {"died": 1}),
    (b"You feel more confident.  Welcome to experience level 2.", {}),
    # What looks like words of the game: names, what is read, a hallucinated name with a full stop.
    (b"You die bites the newt.  The newt misses You die.", {}),
    (b"You die... misses the newt.  The newt bites You die...!", {}),
    (b"You kill it! bites the newt.  The newt misses You kill it!.", {}),
    (b"You kill Crow T. Robot!  You kill poor Mr. Bones!", {"killed": 2}),
    (b"It reads: The orc swings his orcish broadsword named Elfrist at you.  You die...", {}),
    (b'It reads: "I couldn\'t afford this T-shirt so I stole it!"', {}),
    (b"You irradiate yourself with pure energy!  You die.  But wait...  Your medallion begins to glow!", {}),
    (b"You die from starvation.", {"died": 1}),
    # A deaf hero sees what she does not hear.
    (b"You enter Possogroenoe's general store!", {"entered_shop": 1}),
    (b"You enter Kars' rare books again!", {"entered_shop": 1}),
    (b"You enter an opulent throne room!", {}),
    (b"You enter a giant beehive!", {}),
    (b"Hradec Kralove is combing through his inventory list.", {"entered_shop": 1}),
    (b"Tjiwidej seems outraged over your return to his delicatessen!", {}),
    (b"Asidonhopo offers 60 gold pieces for the contents of your sack.  Sell them? [ynaq] (y) ",
     {"price_offered": 1}),
]  # fmt: skip


def counts(text: bytes) -> dict[str, int]:
    return {name: int(count) for name, count in zip(EVENTS, read(text).counts, strict=True) if count}


@pytest.mark.parametrize(("text", "expected"), SAID)
def test_what_a_text_tells(text: bytes, expected: dict[str, int]) -> None:
    assert counts(text) == expected


def test_pages_add_up() -> None:
    assert counts(b" ".join(text for text, _ in SAID[:2])) == {"killed": 2}
    assert counts(b"  ") == {}


@given(st.binary(max_size=300))
def test_any_text_can_be_read(text: bytes) -> None:
    assert (read(text).counts >= 0).all()


def test_no_text_is_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_KEPT", 10)
    for number in range(100):
        read(b"You kill newt %d!" % number)
    assert len(events._cache) <= 10
    assert counts(b"You kill newt 1!") == {"killed": 1}


# Seen in games with the charisma and the true item known.
@pytest.mark.parametrize(
    ("price", "charisma", "bases"),
    [
        (Price(10, 1, b"scroll", True), 13, (20,)),
        (Price(88, 1, b"wand", True), 13, (175,)),
        (Price(75, 1, b"wand", True), 13, (150, 200)),
        (Price(25, 1, b"potion", True), 13, (50,)),
        (Price(50, 2, b"potion", True), 13, (50,)),
        (Price(80, 1, b"scroll", False), 13, (60, 80)),
        (Price(150, 1, b"wand", False), 7, (100,)),
        (Price(142, 1, b"scroll", False), 9, (80,)),
        (Price(107, 1, b"scroll", False), 9, (60, 80)),
        (Price(67, 1, b"potion", False), 10, (50,)),
        (Price(11, 1, b"scroll", True), 13, ()),
    ],
)
def test_base_prices(price: Price, charisma: int, bases: tuple[int, ...]) -> None:
    assert base_prices(price, charisma, False) == bases


@given(st.sampled_from(sorted(BASE_PRICES)), st.integers(3, 25), st.integers(1, 9), st.booleans())
def test_the_true_base_price_is_among_those_found(
    look: bytes, charisma: int, quantity: int, tourist: bool
) -> None:
    for base in filter(None, BASE_PRICES[look]):
        # NetHack rounds halves up, after a tenth was cut off.
        gold = max(1, (base * quantity * 10 // (3 if tourist else 2) + 5) // 10)
        assert base in base_prices(Price(gold, quantity, look, True), charisma, tourist)


def test_what_is_identified_has_no_price_to_find() -> None:
    offer = b"X offers 50 gold pieces for your %s.  Sell it? [ynaq] (y) "
    for item, price in (
        (b"milky potion", Price(50, 1, b"potion", True)),
        (b"scroll labeled ELAM EBOW", Price(50, 1, b"scroll", True)),
        (b"plain spellbook", Price(50, 1, b"spellbook", True)),
        (b"potion of healing", None),
        (b"ring mail", None),
        (b"dagger", None),
    ):
        said = read(offer % item)
        assert said.prices == ((price,) if price else ())
        assert said.offer == 50


def test_an_offer_for_a_stack_is_for_all_of_it() -> None:
    text = (
        b"You drop 3 milky potions. X offers 150 gold pieces for your milky potions.  Sell them? [ynaq] (y) "
    )
    assert read(text).prices == (Price(150, 3, b"potion", True),)
    # Without the number, or where the shopkeeper offers all that she has, nothing can be said.
    assert read(text[text.index(b"X offers") :]).prices == ()
    assert read(text.replace(b"offers 150", b"offers only 150")).prices == ()


def test_an_angry_greeting_is_no_welcome_but_tells_that_one_is_in_the_shop() -> None:
    angry = b'"So, Agent, you dare return to X\'s delicatessen?!"'
    assert read(angry).greeted
    assert not counts(angry)
    assert read(b'"Hello, Agent!  Welcome to X\'s delicatessen!"').greeted
    assert not read(b"You hear someone cursing shoplifters.").greeted


# Real games.


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Play]]:
    """A game in the named arena."""
    opened: dict[str, Play] = {}

    def play(name: str) -> Play:
        if name not in opened:
            opened[name] = Play(name, tmp_path_factory.mktemp("arena"))
        return opened[name]

    yield play
    for one in opened.values():
        one.game.close()


WALK_IN = "far_east far_east far_east far_east "  # to the third square of the shop, where things are sold


def test_selling(play: Callable[[str], Play]) -> None:
    shop = play("shop")
    identified = 0
    for seed in range(6):
        shop.reset(seed)
        shop(WALK_IN)
        assert shop.events == {"entered_shop": 1}
        assert (shop.now("in_shop"), shop.now("offer")) == (1, 0)
        carried = shop.now("sellable_items")
        shop("drop")
        assert (shop.events["price_offered"], shop.events["sold"]) == (1, 0)
        offered, gold = shop.now("offer"), shop.now("gold")
        assert b" %d gold piece" % offered in shop.text
        shop("north search")  # no answers: the question is asked again, which is no second offer
        assert shop.events["price_offered"] == 1
        assert shop.now("offer") == offered
        shop("northwest")
        assert shop.events["sold"] == shop.now("items_sold") == 1
        assert (shop.now("offer"), shop.now("gold")) == (0, gold + offered)
        assert shop.now("sellable_items") == carried - 1
        shop("drop southeast")
        assert (shop.events["price_offered"], shop.events["sold"], shop.now("offer")) == (2, 1, 0)
        shop("drop northwest " * 3)
        assert shop.events["price_offered"] == shop.events["dropped"] == 5
        assert shop.now("items_sold") == shop.events["sold"] == 4
        assert shop.now("prices_identified") == shop.events["price_identified"]
        identified += shop.events["price_identified"]
        assert shop.events["published_buc"] == 0
    assert identified > 6


def test_the_published_test_of_prices(play: Callable[[str], Play]) -> None:
    """A sale counts if twice the offer is a base price of the item's class."""
    shop = play("shop")
    counted = []
    for seed in range(6):
        shop.reset(seed)
        shop(WALK_IN)
        for _ in range(5):
            shop("drop")
            offer, kind = shop.now("offer"), re.search(rb"your .*(potion|scroll|wand)", shop.text)
            before = shop.events["published_price"]
            shop("northwest")
            assert kind
            counted.append(2 * offer in BASE_PRICES[kind[1]])
            assert shop.events["published_price"] == before + counted[-1]
        assert shop.events["sold"] == 5
        carried = shop.now("sellable_items")
        shop("drop southeast")
        assert shop.events["sold"] == 5
        assert shop.now("sellable_items") == carried - 1
    assert 0 < sum(counted) < len(counted)


def test_a_shop_is_entered_and_left_through_its_door(play: Callable[[str], Play]) -> None:
    shop = play("shop")
    shop.reset(2)
    inside = []
    for action in ("east", "east", "east", "west", "east", "east", "east", "east"):
        shop(action)
        inside.append(shop.now("in_shop"))
    assert inside == [0, 0, 1, 0, 1, 1, 1, 1]
    assert shop.events["entered_shop"] == 2
    assert shop.now("shopkeeper_in_view")
    assert shop.now("shopkeeper_near")
    assert not shop.now("player_in_view")


def test_quotes_and_buying(play: Callable[[str], Play]) -> None:
    """Shops' goods are not picked up by walking over them, so these keys are none of the 28 actions."""
    shop = play("shop")
    identified = 0
    for seed in range(6, 12):
        shop.reset(seed)
        shop(WALK_IN)
        shop.keys(",,\r")  # pick up everything here
        assert shop.events["price_quoted"] == shop.events["picked_up"] > 0
        assert shop.now("unpaid")
        identified += shop.events["price_identified"]
        shop.keys("pn" + "y" * shop.events["picked_up"])  # pay, one by one
        assert shop.events["bought"] == shop.now("items_bought") > 0
        assert not shop.now("unpaid")
    assert identified > 0


def test_an_angered_shopkeeper(play: Callable[[str], Play]) -> None:
    shop = play("shop")
    for seed in range(3):
        shop.reset(seed)
        shop("far_east far_east")
        towards = {(-1, -1): "northwest", (-1, 0): "west", (-1, 1): "southwest", (0, -1): "north"}
        towards |= {(0, 1): "south", (1, 0): "east", (1, -1): "northeast", (1, 1): "southeast"}
        y, x = np.argwhere(shop.tracker._maps.kinds[0].reshape(21, 79) == SHOPKEEPER)[0]
        offset = x - shop.obs["blstats"][0, X], y - shop.obs["blstats"][0, Y]
        shop(towards[int(offset[0]), int(offset[1])])
        assert b"Really attack" in shop.text
        assert shop.events["angered_shopkeeper"] == 0
        shop("northwest")
        assert shop.events["angered_shopkeeper"] == 1


def test_theft(play: Callable[[str], Play]) -> None:
    shop = play("theft")
    thefts = 0
    for seed in range(6):
        shop.reset(seed)
        shop("far_east far_east far_east far_east eat northwest")
        owes = shop.now("unpaid")
        assert owes == (b"You bite that, you pay for it!" in shop.text)
        for _ in range(4):
            if shop("far_east") is not End.NOT or shop.depth != 2:
                break
        if shop.depth == 2 or not owes:
            continue
        thefts += 1
        assert shop.events["stole"] == shop.events["angered_shopkeeper"] == 1
        assert not shop.now("unpaid")
        assert shop.events["descended"] + shop.events["ascended"] == 1
    assert thefts > 1


def test_all_three_outcomes_on_an_altar(play: Callable[[str], Play]) -> None:
    altar = play("altar")
    for seed in range(4):
        altar.reset(seed)
        assert (altar.now("altar_in_view"), altar.now("altar_near"), altar.now("on_altar")) == (1, 1, 0)
        carried = altar.now("sellable_items")
        altar("east east east")
        assert (altar.now("altar_near"), altar.now("on_altar")) == (1, 1)
        altar("drop " * carried)
        outcomes = [altar.events[f"altar_{how}"] for how in ("blessed", "cursed", "uncursed")]
        assert min(outcomes) >= 2
        assert sum(outcomes) == altar.now("altar_tests") == altar.events["dropped"] == carried
        assert altar.events["published_buc"] == carried
        altar("west")
        assert not altar.now("on_altar")
        assert altar.now("altar_near")  # though the things on it cover it
        assert altar.events["picked_up"] == 0
        altar("east")
        assert altar.events["picked_up"] == altar.events["published_buc"] == carried
        assert altar.now("sellable_items") == carried


def test_gods(play: Callable[[str], Play]) -> None:
    """A prayer in the first turns comes too soon; after turn 300 and in need it is heard."""
    altar = play("altar")
    for seed in range(4):
        altar.reset(seed)
        altar("pray")
        assert altar.events == {"prayed": 1, "angered_god": 1}
        ended = altar("pray")
        assert altar.events["prayed"] == 2
        assert altar.events["angered_god"] == 2 or ended is not End.NOT
    heard = 0
    for seed in range(20):
        altar.reset(seed)
        ended = End.NOT
        while ended is End.NOT and altar.now("hp") > 5 and altar.now("turn") < 1500:
            ended = altar("search")
        if ended is End.NOT and altar.now("turn") > 110:  # earlier not even a dying hero is heard
            altar.events.clear()
            altar("pray")
            heard += altar.events["prayed_well"]
            assert altar.events["prayed_well"] + altar.events["angered_god"] == 1
            assert altar.now("prayers") == 1
    assert heard > 0


def test_robbed(play: Callable[[str], Play]) -> None:
    closet = play("nymph")
    robbed = 0
    for seed in range(6):
        closet.reset(seed)
        things = np.count_nonzero(closet.obs["inv_letters"])
        for _ in range(20):
            if closet("search") is not End.NOT or closet.events["robbed"]:
                break
        if closet.events["robbed"]:
            robbed += 1
            assert b" stole " in closet.text
            assert np.count_nonzero(closet.obs["inv_letters"]) < things
    assert robbed > 3


def test_fights(tmp_path: Path) -> None:
    text = Path(arena.__file__).with_name("arenas").joinpath("stairs.des").read_text()
    places = [(x, y) for x in (5, 6, 7) for y in (1, 2, 3)]
    lichens = "".join(f"MONSTER:('F',\"lichen\"),({x},{y}),asleep\n" for x, y in places)
    own = tmp_path / "lichens.des"
    own.write_text(text + lichens)
    play = Play(str(own), tmp_path)
    play.reset(1)
    for action in list(INDEX)[1:9] * 60:  # at whatever is beside her
        if not play.events["gained_level"]:
            assert play(action) is End.NOT
    assert play.events["killed"] == play.now("kills") == 5
    assert play.events["gained_level"] == 1
    assert play.now("xp_level") == 2
    play.game.close()


def test_stairs_and_meals(play: Callable[[str], Play]) -> None:
    stairs = play("stairs")
    stairs.reset(1)
    stairs("east down")
    assert stairs.events == {"descended": 1}
    stairs("up")
    assert stairs.events == {"descended": 1, "ascended": 1}
    stairs("eat southeast")
    assert "ate" not in stairs.events
    stairs("eat northwest")
    assert stairs.events["ate"] == 1
    assert not stairs.now("has_eaten_in_mines")


def test_drinks_are_no_meals(play: Callable[[str], Play]) -> None:
    altar = play("altar")
    for seed in range(5):
        altar.reset(seed)
        altar("quaff southeast")  # another answer than yes: nothing
        assert altar.events == {}
        for number in (1, 2, 3):
            altar("quaff")
            assert altar.events["drank"] == number - 1
            altar("northwest")
            assert altar.events["drank"] == number
        assert altar.events["ate"] == 0


def test_meals_while_hungry(play: Callable[[str], Play]) -> None:
    stairs, hungry = play("stairs"), 0
    for seed in range(12):
        stairs.reset(seed)
        while stairs.now("hunger") < 2:
            if stairs("fight search_long") is not End.NOT:
                break
        else:
            end = stairs("eat northwest")
            while not stairs.events["ate"] and end is End.NOT:
                end = stairs("fight eat northwest")
            if end is not End.NOT or stairs.events["fed"] > 1:  # she died, or an earlier bite had fed her
                continue
            hungry += 1
            assert stairs.now("meals_while_hungry") == stairs.events["ate"] == 1
            stairs("eat northwest")
            assert stairs.now("meals_while_hungry") == 1
        if hungry == 2:
            return
    pytest.fail("no hero lived until she was hungry")


@pytest.fixture(scope="module")
def wizard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """A game in the arena "stairs" whose hero has what she wishes for."""
    play = Play("stairs", tmp_path_factory.mktemp("wizard"), wizard=True)
    yield play
    play.game.close()


@pytest.mark.parametrize(
    "food",
    [
        "apple",
        "cursed apple",
        "pear",
        "cursed orange",
        "K-ration",
        "cursed fortune cookie",
        "cursed K-ration",
    ],
)
def test_food_of_one_turn_is_a_meal(wizard: Play, food: str) -> None:
    """NetHack does not say that such a meal ends, only how it tastes; of rotten food not even that."""
    wizard.reset(3)
    eaten = ord(wizard.wish(food))
    wizard.keys(f"e{chr(eaten)}")
    assert eaten not in wizard.obs["inv_letters"][0]
    assert wizard.events["ate"] == 1


def test_who_leaves_a_level_otherwise_than_by_its_stairs_arrives_on_none(wizard: Play) -> None:
    """From stairs up through the ceiling, and from stairs down by level teleport."""
    for way, keys, depth in (("", "q{cursed potion of gain level}", 1), ("east", "\x165\r", 5)):
        wizard.reset(1)
        wizard(way)
        assert wizard.now("on_downstairs" if way else "on_upstairs")
        if "{" in keys:
            keys = keys[0] + wizard.wish(keys[2:-1])
        wizard.keys(keys, "quaff")
        assert wizard.depth == depth
        assert (wizard.now("on_downstairs"), wizard.now("on_upstairs")) == (0, 0)
        assert wizard.now("branch_depth") == -1


def test_a_dog_that_is_called_like_an_event(tmp_path: Path) -> None:
    for name, event in (("You die...", "died"), ("You kill it!", "killed")):
        own = tmp_path / "options"
        own.write_text(f"OPTIONS=pettype:dog\nOPTIONS=dogname:{name}\n")
        play = Play("stairs", tmp_path, wizard=True, own=own)
        play.reset(1)
        seen = 0
        for number in range(40):
            play.keys("s" if number % 4 else "\x07newt\r")
            seen += name.encode() in play.text
        assert seen > 5
        assert play.events[event] == 0
        play.game.close()


def test_a_saved_life_is_no_death(wizard: Play) -> None:
    wizard.reset(4)
    wizard.keys("P" + wizard.wish("blessed amulet of life saving"))
    wizard.keys("z" + wizard.wish("wand of death") + ".")
    assert b"You die.  But wait..." in wizard.text
    assert wizard.events["died"] == 0


@pytest.mark.parametrize("words", [b"You die...", b"You burn to a crisp...", b""])
def test_a_death_is_one_in_any_words(wizard: Play, words: bytes) -> None:
    column = list(EVENTS).index("died")
    for died in (True, False):
        wizard.tracker.over(0, words, died)
        assert wizard.tracker.events[0, column] == died


def test_a_deaf_hero_enters_a_shop(tmp_path: Path) -> None:
    shop = Play("shop", tmp_path, wizard=True)
    shop.reset(1)
    shop.keys("a" + shop.wish("leather drum"))
    assert b"deafening row" in shop.text
    shop(WALK_IN)
    assert b"You enter " in shop.text or shop.events["entered_shop"]
    assert (shop.events["entered_shop"], shop.now("in_shop")) == (1, 1)
    shop.game.close()


MIMIC = """
MONSTER:('m',"giant mimic"),(8,3),m_feature "staircase down",asleep
"""


def test_a_mimic_is_no_staircase(tmp_path: Path) -> None:
    text = Path(arena.__file__).with_name("arenas").joinpath("mines_branch.des").read_text()
    own = tmp_path / "mimic.des"
    own.write_text(text.replace("BRANCH:(2,5,2,5),(0,0,0,0)\n", "") + MIMIC)
    play = Play(str(own), tmp_path)
    play.reset(1)
    assert (play.now("downstairs_seen"), play.now("branch_depth")) == (1, 2)
    play("east east east")
    assert b"Wait!" in play.text
    assert (play.now("downstairs_seen"), play.now("branch_depth")) == (1, -1)
    assert (play.now("downstairs_dx"), play.now("downstairs_dy")) == (1, -2)
    play.game.close()


def test_a_temple_is_entered_and_left_through_its_door(tmp_path: Path) -> None:
    text = Path(arena.__file__).with_name("arenas").joinpath("shop.des").read_text()
    own = tmp_path / "temple.des"
    own.write_text(text.replace('lit,"shop"', 'lit,"temple"') + "ALTAR:(16,1),neutral,shrine\n")
    play = Play(str(own), tmp_path)
    for seed in range(3):
        play.reset(seed)
        inside = []
        for action in ("east", "east", "east", "east", "west", "west", "east", "east"):
            play(action)
            inside.append(play.now("in_temple"))
        assert inside == [0, 0, 1, 1, 1, 0, 1, 1]
        assert play.events["entered_temple"] >= 1
        assert not play.now("in_shop")
        assert not play.now("in_minetown")
    play.game.close()


def test_the_branch_is_known_from_the_start_and_from_either_side(play: Callable[[str], Play]) -> None:
    branch = play("mines_branch")
    branch.reset(1)
    assert branch.now("branch_depth") == 2
    branch("southwest southwest west down")
    assert (branch.now("dungeon"), branch.now("depth"), branch.now("branch_depth")) == (2, 3, 2)
    branch("eat northwest")
    assert branch.now("has_eaten_in_mines")
    branch("up")
    assert (branch.now("dungeon"), branch.now("on_downstairs"), branch.now("branch_depth")) == (0, 1, 2)


def test_events_of_a_pool_are_those_of_its_last_step() -> None:
    """Also on the step that ends an episode; numbers agree with what the status lines say."""
    names = list(EVENTS)
    with GamePool(4, "train", 1, 150, workers=2, arena="altar") as pool:
        pool.reset()
        draw = np.random.default_rng(2)
        seen = np.zeros(len(EVENTS), np.int64)
        at_ends = 0
        before = {name: pool.state[name].copy() for name in ("kills", "altar_tests", "prayers")}
        for _ in range(600):
            there = draw.choice([INDEX["drop"], INDEX["search"], INDEX["west"], INDEX["pray"]], 4)
            pool.step(np.where(pool.state["on_altar"] == 1, there, INDEX["east"]))
            going = pool.ended == 0
            seen += pool.events.sum(0)
            at_ends += int(pool.events[~going].sum())
            for field, told in (
                ("kills", ["killed"]),
                ("altar_tests", ["altar_blessed", "altar_cursed", "altar_uncursed"]),
                ("prayers", ["prayed"]),
            ):
                grown = pool.state[field] - before[field]
                counted = pool.events[:, [names.index(name) for name in told]].sum(1)
                np.testing.assert_array_equal(grown[going], counted[going])
                before[field] = pool.state[field].copy()
        assert seen[names.index("altar_blessed")] > 0
        assert seen[names.index("prayed")] > 0
        assert at_ends > 0


def test_shopkeepers_have_the_names_that_the_game_has() -> None:
    """`shtypes` of the loaded library: 80 bytes a kind of shop, which ends with the address of its names."""
    library = ctypes.CDLL(DLPATH)
    start = ctypes.addressof(ctypes.c_char.in_dll(library, "shtypes"))
    names = {"Izchak", "Dirk", "Lucrezia"}  # of Minetown's lighting store, and if all names are taken
    for kind in itertools.count():
        at = start + 80 * kind
        if not ctypes.c_char_p.from_address(at).value:
            break
        own = ctypes.c_void_p.from_address(at + 72).value
        assert own is not None
        for number in itertools.count():
            found = ctypes.c_char_p.from_address(own + 8 * number).value
            if not found:
                break
            names.add(found.decode().lstrip("-_+|="))
    assert set(SHOPKEEPERS) == names
    for name in SHOPKEEPERS:
        assert counts(f"{name} gets angry!".encode()) == {"angered_shopkeeper": 1}


def test_every_event_is_described() -> None:
    assert all(event.doc.endswith(".") and event.source for event in EVENTS.values())
