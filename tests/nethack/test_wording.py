"""Events in plain words: what captions say of messages that NetHack 3.6.7 was seen to write."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.wording import in_words

SAID: list[tuple[str, list[str], str]] = [
    ("$ - 7 gold pieces.", ["The agent picked up 7 gold pieces."], ""),
    ("j - a clear potion.", ["The agent picked up a clear potion."], ""),
    (
        "k - a milky potion.  $ - 800 gold pieces.",
        ["The agent picked up a milky potion.", "The agent picked up 800 gold pieces."],
        "",
    ),
    (
        "You kill the newt!  You see here a newt corpse.",
        ["The agent killed the newt."],
        "You see here a newt corpse.",
    ),
    ("CRASH!  You destroy the throne.", [], "CRASH! You destroy the throne."),
    ("You finish eating the food ration.", ["The agent ate the food ration."], ""),
    ("This apple is delicious!", ["The agent ate something."], "This apple is delicious!"),
    (
        "This tastes like slime mold juice.",
        ["The agent drank something."],
        "This tastes like slime mold juice.",
    ),
    (
        "Beware, there will be no return!  Still climb? [yn] (n) n",
        ["The game asked whether the agent will leave the dungeon."],
        "Beware, there will be no return! Still climb? [yn] (n) n",
    ),
    ('"Hello, Agent, welcome to Delphi!"', ["The agent entered Delphi."], ""),
    ("You have an eerie feeling...", ["The agent entered a temple."], "You have an eerie feeling..."),
    (
        'The watchman yells:  "Halt, thief!  You\'re under arrest!"  The watchman gets angry!',
        ["The agent is under arrest.", "The agent angered the watch."],
        'The watchman yells: "Halt, thief! You\'re under arrest!" The watchman gets angry!',
    ),
    ("You sold a dagger for 2 gold pieces.", ["The agent sold a dagger for 2 gold pieces."], ""),
    ("You bought a sling for 30 gold pieces.", ["The agent bought a sling for 30 gold pieces."], ""),
    (
        "You drop a scroll of identify. Asidonhopo offers 10 gold pieces for your scroll of identify.  "
        "Sell it? [ynaq] (y) ",
        [
            "The agent dropped a scroll of identify.",
            "A shopkeeper offered the agent 10 gold pieces for its scroll of identify.",
        ],
        "",
    ),
    (
        '"For you, honored sir; only 7 zorkmids per tin." r - 2 tins (unpaid, 14 zorkmids).',
        [
            "A shopkeeper asked the agent for 7 zorkmids for this tin.",
            "The agent picked up 2 tins (unpaid, 14 zorkmids).",
        ],
        "",
    ),
    (
        "You see here an iron wand (for sale, 100 zorkmids).",
        ["The agent sees an iron wand for sale for 100 zorkmids."],
        "",
    ),
    (
        "There is a black flash as a milky potion hits the altar.",
        ["The agent dropped its milky potion on an altar and learned that it is cursed."],
        "",
    ),
    (
        "There is an amber flash as 2 puce potions hit the altar.",
        ["The agent dropped its 2 puce potions on an altar and learned that it is blessed."],
        "",
    ),
    (
        "A scroll labeled LEP GEX VEN ZEA lands on the altar.",
        [
            "The agent dropped its scroll labeled LEP GEX VEN ZEA on an altar and learned that it is neither "
            "blessed nor cursed."
        ],
        "",
    ),
    (
        "You stole 34 zorkmids worth of merchandise.  An alarm sounds!",
        [
            "The agent left the shop without paying and stole 34 zorkmids worth of merchandise.",
            "The shopkeeper is angry.",
        ],
        "An alarm sounds!",
    ),
    (
        "The water nymph stole 3 uncursed food rations.",
        ["A monster stole something from the agent."],
        "The water nymph stole 3 uncursed food rations.",
    ),
    (
        "You miss Rath Luirc.  Rath Luirc gets angry!",
        ["The agent angered the shopkeeper Rath Luirc."],
        "You miss Rath Luirc.",
    ),
    ("Zum Loch is furious!", ["The agent made the shopkeeper Zum Loch furious."], ""),
    ("You feel that Chih Sung-tzu is displeased.", ["The agent displeased its god Chih Sung-tzu."], ""),
    (
        "You begin praying to Chih Sung-tzu.  You finish your prayer. "
        "You feel that Chih Sung-tzu is well-pleased.",
        [
            "The agent prayed to its god Chih Sung-tzu.",
            "The agent's prayer was heard: Chih Sung-tzu is well-pleased.",
        ],
        "You finish your prayer.",
    ),
    (
        '"Hello, Agent!  Welcome to Possogroenoe\'s general store!"',
        ["The agent entered a shop: Possogroenoe's general store."],
        "",
    ),
    (
        "You feel more confident.  Welcome to experience level 2.",
        ["The agent rose to experience level 2."],
        "You feel more confident.",
    ),
    ("The jackal bites!  You die...", ["The agent died."], "The jackal bites!"),
    ("It's solid stone.", [], "It's solid stone."),
    ("", [], ""),
]


@pytest.mark.parametrize(("message", "sentences", "rest"), SAID)
def test_what_a_message_says(message: str, sentences: list[str], rest: str) -> None:
    assert in_words(message)[1:] == (tuple(sentences), rest)


def test_every_event_that_a_message_tells_has_words() -> None:
    told = {sentence for _, sentences, _ in SAID for sentence in sentences}
    for name, event in EVENTS.items():
        spoken = [pattern.says for pattern in (*event.patterns, *event.words) if pattern.says]
        assert spoken or event.change or name in ("price_identified", "published_price", "published_buc"), (
            name
        )
        if spoken:
            forms = [re.sub(r"\\{\w+\\}", ".*", re.escape(says)) for says in spoken]
            assert any(re.fullmatch(form, one) for form in forms for one in told), name


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_any_message_has_words(message: str) -> None:
    _, sentences, rest = in_words(message)
    assert all(sentence == " ".join(sentence.split()) for sentence in sentences)
    assert all(word in message for word in rest.split())
