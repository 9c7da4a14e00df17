"""Actions, macros and prompts against real games of NetHack."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
from nle import nethack

from maestromotif.config.learning import NetworkSettings
from maestromotif.config.schema import NethackSettings
from maestromotif.nethack import actions, glyphs
from maestromotif.nethack.actions import ACTION_SETS, AGENT_QUESTIONS, INDEX, NUM_ACTIONS
from maestromotif.nethack.engine.loader import choose
from maestromotif.nethack.game import End, Pages, Setup
from maestromotif.nethack.hidden import SEARCH_TURNS, Searches
from maestromotif.nethack.loot import Loot
from maestromotif.nethack.observation import (
    ENGINE,
    GOLD,
    HUNGER,
    MAX_HP,
    MESSAGE_BYTES,
    TURN,
    X,
    Y,
    engine_layout,
)
from maestromotif.nethack.rcfile import write_options
from maestromotif.nethack.seeds import EpisodeSeeds

SEEDS = EpisodeSeeds(11, 22, 33)
DEXTERITY = nethack.NLE_BL_DEX
STONE = nethack.GLYPH_CMAP_OFF  # never seen
YES, NO = INDEX["northwest"], INDEX["southeast"]


class Played:
    """A game with the arrays that it writes to."""

    def __init__(
        self,
        folder: Path,
        loader: Literal["shared", "stock"],
        options: str | None = None,
        pages: Pages = "last",
    ) -> None:
        self.obs = {name: np.zeros(shape, dtype) for name, (shape, dtype) in engine_layout(ENGINE).items()}
        self.game = Setup(loader, options or write_options(folder), folder, pages=pages).open(self.obs)

    @property
    def turn(self) -> int:
        return int(self.obs["blstats"][TURN])

    def message(self) -> bytes:
        return self.obs["message"].tobytes().rstrip(b"\0")

    def asks(self) -> bool:
        return bool(self.obs["misc"][0])

    def reset(self, seeds: EpisodeSeeds = SEEDS) -> None:
        self.game.reset(seeds)

    def step(self, name: str) -> End:
        return self.game.step(INDEX[name])

    def letters(self, kind: int) -> list[int]:
        """Inventory letters of one class of items."""
        letters: list[int] = self.obs["inv_letters"][self.obs["inv_oclasses"] == kind].tolist()
        return letters


@pytest.fixture(scope="module", params=sorted({"stock", choose("auto")}))
def opened(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Played]:
    played = Played(tmp_path_factory.mktemp("options"), request.param)
    yield played
    played.game.close()


@pytest.fixture
def played(opened: Played) -> Played:
    opened.reset()
    return opened


def test_a_game_is_a_lone_monk_with_her_things(played: Played) -> None:
    hero = played.obs["glyphs"][played.obs["blstats"][Y], played.obs["blstats"][X]]
    assert nethack.permonst(nethack.glyph_to_mon(int(hero))).mname == "monk"
    for core in range(20):
        played.reset(EpisodeSeeds(core, 1, 1))
        pets = (played.obs["glyphs"] >= nethack.GLYPH_PET_OFF) & (
            played.obs["glyphs"] < nethack.GLYPH_INVIS_OFF
        )
        assert not pets.any()
    assert played.letters(nethack.FOOD_CLASS)
    assert len(played.letters(nethack.SPBOOK_CLASS)) == 1


def test_a_question_before_the_first_move_is_left_open(played: Played) -> None:
    """The hero begins on a scroll of scare monster, picks it up, and is asked what to call it."""
    played.reset(EpisodeSeeds(953213422, 942187211, 863702581))
    assert not any(played.obs["misc"])
    played.step("search")
    assert played.turn == 2


def test_equal_seeds_make_equal_games_and_each_seed_matters(played: Played) -> None:
    def first_map(seeds: EpisodeSeeds) -> bytes:
        played.reset(seeds)
        for _ in range(3):
            played.step("wait")
        return b"".join(played.obs[name].tobytes() for name in ("glyphs", "blstats", "inv_glyphs"))

    once = first_map(SEEDS)
    assert first_map(SEEDS) == once
    assert first_map(SEEDS._replace(core=12)) != once
    assert first_map(SEEDS._replace(lgen=34)) != once


def test_eat_asks_and_northwest_takes_the_first_food(played: Played) -> None:
    before = played.turn
    assert played.step("eat") is End.NOT
    assert played.asks()
    assert played.message().startswith(b"What do you want to eat? [")
    first = played.message().split(b"[")[1][:1]
    assert first[0] in played.letters(nethack.FOOD_CLASS)
    assert played.turn == before
    played.step("northwest")
    assert not played.asks()
    assert any(words in played.game.text for words in (b"delicious", b"tastes", b"finish", b"cookie"))


def test_any_other_answer_cancels_the_meal(played: Played) -> None:
    before = played.turn, played.obs["inv_glyphs"].tobytes()
    for name in ("southeast", "northeast", "more", "search"):
        played.step("eat")
        played.step(name)
        assert not played.asks()
        assert (played.turn, played.obs["inv_glyphs"].tobytes()) == before


def test_wait_rests_up_to_25_moves(played: Played) -> None:
    turns = []
    for core in range(5):
        played.reset(SEEDS._replace(core=core))
        before = played.turn
        played.step("wait")
        turns.append(played.turn - before)
    # A Monk is fast: 25 moves take her about 19 turns, fewer if something turns up.
    assert max(turns) > 10
    assert max(turns) <= 25


def test_drop_keeps_starting_things_and_food(played: Played) -> None:
    before = played.obs["inv_letters"].tobytes(), played.turn
    played.step("drop")
    assert not played.asks()
    assert (played.obs["inv_letters"].tobytes(), played.turn) == before


def test_drop_drops_the_first_thing_that_was_found(played: Played) -> None:
    book, food = played.letters(nethack.SPBOOK_CLASS)[0], played.letters(nethack.FOOD_CLASS)
    # As if the book and the food had been found on the way.
    played.game.starting_letters -= {book, *food}
    played.step("drop")
    assert not played.asks()
    assert played.letters(nethack.SPBOOK_CLASS) == []
    assert played.letters(nethack.FOOD_CLASS) == food


def test_kick_asks_for_a_direction_and_kicks(played: Played) -> None:
    before = played.turn
    played.step("kick")
    assert played.asks()
    assert b"direction?" in played.message()
    for _ in range(3):  # being fast she gets some moves without a turn
        if not played.asks():
            played.step("kick")
        played.step("east")
    assert played.turn > before


def test_cast_chooses_the_first_spell(played: Played) -> None:
    energy = int(played.obs["blstats"][14])
    played.step("cast")
    if played.asks():  # the spell of sleep is aimed
        assert b"direction?" in played.message()
        played.step("west")
    assert not played.obs["misc"].any()
    assert int(played.obs["blstats"][14]) < energy


@pytest.mark.parametrize("core", range(3))
def test_random_play_is_never_stuck(played: Played, core: int) -> None:
    """Whatever is played, no page and no line of text waits, and questions are those the agent may see."""
    rng = np.random.default_rng(core)
    played.reset(SEEDS._replace(core=core))
    still, longest, before, turns, questions = 0, 0, played.turn, 0, 0
    for action in rng.integers(len(actions.NAMES), size=1500).tolist():
        if played.game.step(action) is not End.NOT:
            played.reset(SEEDS._replace(core=int(rng.integers(1 << 20))))
            before = played.turn
        question, line, page = played.obs["misc"].tolist()
        assert not line
        assert not page
        if question:
            questions += 1
            assert any(words in played.message() for words in AGENT_QUESTIONS), played.message()
        turns += played.turn - before
        still = still + 1 if played.turn == before else 0
        longest, before = max(longest, still), played.turn
    assert questions > 0
    assert turns > 1500  # uniform play waits often, 25 turns at a time
    assert longest < 60


@pytest.mark.parametrize("core", range(4))
def test_death_keeps_the_last_map_and_what_was_said(played: Played, core: int) -> None:
    """Prayer after prayer angers the god, who sees to the rest."""
    played.reset(SEEDS._replace(core=core))
    end = End.NOT
    for _ in range(200):
        alive = {name: played.obs[name].copy() for name in ("chars", "blstats")}
        end = played.step("pray")
        if end is not End.NOT:
            break
    assert end is End.DEATH
    final = played.game.final
    said = final["message"].tobytes().rstrip(b"\0")
    assert said == b"You die..." or b"You fry to a crisp!" in said
    # The same level at the same place, not the empty screen that NetHack leaves behind.
    assert final["blstats"][[X, Y, MAX_HP]].tolist() == alive["blstats"][[X, Y, MAX_HP]].tolist()
    assert (final["chars"] == alive["chars"]).mean() > 0.95
    played.reset()
    assert played.turn == 1


def test_keys_are_those_of_the_published_agent() -> None:
    """Facts: 28 actions in this order; northwest is also yes, southeast no."""
    assert NUM_ACTIONS == 28
    assert bytes(actions.KEYS[1:9]) == b"kljhunby"
    assert bytes(actions.KEYS[9:17]) == b"KLJHUNBY"
    assert bytes(actions.KEYS[17:20]) == b"<>."
    assert actions.KEYS[YES] == ord("y")
    assert actions.KEYS[NO] == ord("n")
    assert [actions.NAMES[i] for i in (0, 20, 21, 22, 25, 27)] == [
        "more",
        "kick",
        "eat",
        "search",
        "pray",
        "drop",
    ]


def test_every_set_of_actions_can_be_configured_and_is_described() -> None:
    assert get_args(NetworkSettings.model_fields["actions"].annotation) == tuple(actions.SETS)
    assert actions.SETS == {"published": 28, "travel": 32, "explore": 37, "seek": 38, "loot": 39}
    assert all(action.keys and action.doc for one in ACTION_SETS.values() for action in one.adds.values())


def test_travel_to_the_unexplored_sees_more_of_the_level_than_walking(played: Played) -> None:
    def seen(names: Sequence[str]) -> int:
        total, rng = 0, np.random.default_rng(0)
        for core in range(6):
            played.reset(EpisodeSeeds(core, core, core))
            for _ in range(40):
                if played.step(str(rng.choice(names))) is not End.NOT:
                    break
            total += int((played.obs["glyphs"] != STONE).sum())
        return total

    walking = actions.NAMES[actions.INDEX["north"] : actions.INDEX["northwest"] + 1]
    assert seen(["travel_unexplored"]) > 1.5 * seen(walking)


def test_all_pages_of_a_step_are_its_message_where_that_is_wanted(tmp_path: Path) -> None:
    """The game itself is the same; only the message of a step with several pages differs."""
    assert get_args(Pages) == get_args(NethackSettings.model_fields["pages"].annotation)
    folders = [tmp_path / pages for pages in get_args(Pages)]
    for folder in folders:
        folder.mkdir()
    every, last = (
        Played(folder, choose("auto"), pages=pages)
        for folder, pages in zip(folders, get_args(Pages), strict=True)
    )
    rng, paged = np.random.default_rng(0), 0
    for core in range(4):
        for played in (every, last):
            played.reset(EpisodeSeeds(core, core, core))
        for action in rng.integers(0, NUM_ACTIONS, 300).tolist():
            ends = {played.game.step(action) for played in (every, last)}
            assert every.game.text == last.game.text
            if ends != {End.NOT}:
                assert (every.game.final["message"] == last.game.final["message"]).all()
                break
            text = b" ".join(every.game.text.split())
            assert (every.obs["glyphs"] == last.obs["glyphs"]).all()
            if every.asks() or b" ".join(last.message().split()) == text:
                assert every.message() == last.message()
            else:
                assert every.message() == text[: MESSAGE_BYTES - 1]
                paged += 1
    assert paged > 5
    for played in (every, last):
        played.game.close()


def test_search_long_is_one_step_of_many_turns(played: Played) -> None:
    played.reset()
    before = played.turn
    assert played.step("search_long") is End.NOT
    assert 5 < played.turn - before <= 16  # a monk is fast
    assert not played.obs["misc"].any()


def test_fight_strikes_what_is_beside_the_hero_and_never_the_pet(played: Played) -> None:
    """Otherwise it searches: a turn passes, and the hero stays where she is."""
    struck = 0
    rng = np.random.default_rng(3)
    for core in range(12):
        played.reset(EpisodeSeeds(core, core, core))
        for _ in range(150):
            here = played.obs["blstats"][[X, Y]].tolist()
            if played.step("fight") is not End.NOT:
                break
            text = played.game.text
            assert b"displace" not in text
            assert b"swap places" not in text
            struck += b"You kill" in text or b"You hit" in text or b"You miss" in text or b"kick" in text
            if not struck:
                assert here == played.obs["blstats"][[X, Y]].tolist()
            if played.game.step(int(rng.integers(1, 17))) is not End.NOT:
                break
    assert struck > 3


@pytest.mark.parametrize("name", [name for name in actions.NAMES if name.startswith("travel_")])
def test_travel_is_one_step_and_its_keys_are_never_commands(played: Played, name: str) -> None:
    """It drops, picks up and eats nothing, and asks nothing, whatever was in the way."""
    rng = np.random.default_rng(1)
    travelled = 0
    for core in range(4):
        played.reset(EpisodeSeeds(core, core, core))
        for _ in range(60):
            here = played.obs["blstats"][[X, Y]].tolist()
            if played.step(name) is not End.NOT:
                break
            assert not played.obs["misc"].any()
            assert not any(b"Where do you want" in page for page in (played.game.text, played.message()))
            assert b"drop" not in played.game.text
            assert b"You have a little trouble" not in played.game.text
            travelled += here != played.obs["blstats"][[X, Y]].tolist()
            if played.game.step(int(rng.integers(1, 17))) is not End.NOT:
                break
    assert travelled > 0 or name in ("travel_altar", "travel_monster", "travel_down")


def test_travel_opens_a_closed_door_on_the_way(played: Played) -> None:
    said, clumsy = b"", 0
    for core in (*range(12), 48):
        played.reset(EpisodeSeeds(core, core, core))
        clumsy += int(played.obs["blstats"][DEXTERITY]) < 10
        for _ in range(40):
            if played.step("travel_unexplored") is not End.NOT:
                break
            assert not any(words in played.message() for words in actions.CLOSED_DOOR)
            said += played.game.text
    assert b"The door opens." in said
    assert b"This door is locked." in said
    assert clumsy


def test_travel_sends_no_further_keys_if_nothing_asks_where(tmp_path: Path) -> None:
    """With the option `travel` off, `o` and `d` would be commands that open a prompt, and `.` would rest."""
    options = Path(write_options(tmp_path).removeprefix("@"))
    options.write_text(options.read_text() + "OPTIONS=!travel\n")
    played = Played(tmp_path, choose("auto"), f"@{options}")
    played.reset()
    for name in (name for name in actions.NAMES if name.startswith("travel_")):
        played.step(name)
        assert (played.turn, played.asks()) == (1, False)
    played.game.close()


def test_travel_at_a_question_only_answers_it(played: Played) -> None:
    for question in ("eat", "kick"):
        before = played.turn, played.obs["blstats"][[X, Y]].tolist()
        played.step(question)
        assert played.asks()
        played.step("travel_unexplored")
        assert not played.asks()
        assert (played.turn, played.obs["blstats"][[X, Y]].tolist()) == before


def test_hunger_is_read_from_the_right_place(played: Played) -> None:
    assert int(played.obs["blstats"][HUNGER]) == 1  # not hungry


def test_search_hidden_walks_to_where_she_has_not_searched_and_searches_there(played: Played) -> None:
    """It never opens a door, asks or falls; and it does not stay where it has searched for long."""
    walked, searched, different = 0, 0, 0
    for core in range(6):
        played.reset(EpisodeSeeds(core, core, core))
        places: dict[tuple[int, ...], int] = {}
        for _ in range(40):
            here, turn = tuple(played.obs["blstats"][[X, Y]].tolist()), played.turn
            if played.step("search_hidden") is not End.NOT:
                break
            assert not played.obs["misc"].any()
            if tuple(played.obs["blstats"][[X, Y]].tolist()) != here:
                walked += 1
            elif played.turn - turn > 5:
                searched += 1
                places[here] = places.get(here, 0) + 1
        assert max(places.values(), default=0) < 8
        different += len(places)
    assert different > 6
    assert walked > 20
    assert searched > 20


def test_search_hidden_finds_dead_ends_first() -> None:
    bl = np.zeros(27, np.int64)
    bl[[X, Y]] = 10, 10
    shown = np.full((21, 79), nethack.GLYPH_CMAP_OFF, np.int16)  # nothing is known
    shown[10, 10:30] = nethack.GLYPH_CMAP_OFF + 21  # a corridor
    shown[8:11, 8:11] = nethack.GLYPH_CMAP_OFF + 19  # begins at a room
    obs: dict[str, np.ndarray] = {"blstats": bl, "glyphs": shown}
    searches = Searches()
    assert searches.place(obs) == (29, 10)
    bl[X] = 29
    assert searches.place(obs) == (29, 10)
    for _ in range(4):
        searches.add(bl, SEARCH_TURNS)
    assert searches.place(obs) != (29, 10)
    searches.reset()
    assert searches.place(obs) == (29, 10)


def test_travel_loot_picks_up_what_lies_about(played: Played) -> None:
    """It never opens a door, asks or falls; and it does not stand still while there is something to fetch."""
    fetched = 0
    for core in range(8):
        played.reset(EpisodeSeeds(core, core, core))
        for step in range(40):
            gold, items = int(played.obs["blstats"][GOLD]), int((played.obs["inv_oclasses"] < 18).sum())
            action = "travel_loot" if step % 2 else "travel_unexplored"
            if played.step(action) is not End.NOT:
                break
            if action == "travel_loot":
                assert not played.obs["misc"].any()
                now = int((played.obs["inv_oclasses"] < 18).sum())
                fetched += int(played.obs["blstats"][GOLD]) > gold or now > items
    assert fetched >= 4


def test_loot_is_left_in_shops_and_where_it_was_dropped() -> None:
    bl = np.zeros(27, np.int64)
    bl[[X, Y]] = 10, 10
    shown = np.full((21, 79), nethack.GLYPH_CMAP_OFF, np.int16)  # nothing is known
    shown[10, 8:20] = nethack.GLYPH_CMAP_OFF + 19  # a room
    shown[10, 14] = nethack.GLYPH_CMAP_OFF + 13  # an open door, and behind it a shop
    coins = int(np.flatnonzero(glyphs.LOOT_OBJECTS)[0])
    shown[10, 17] = coins
    obs: dict[str, np.ndarray] = {"blstats": bl, "glyphs": shown}
    loot = Loot()
    assert loot.place(obs) == ((16, 10), 1)
    shown[10, 15] = glyphs.SHOPKEEPER
    assert loot.place(obs) is None
    shown[10, 15] = nethack.GLYPH_CMAP_OFF + 19  # out of view, but known
    assert loot.place(obs) is None
    shown[10, 12] = coins
    assert loot.place(obs) == ((11, 10), 1)
    bl[X] = 12
    loot.leave(bl)
    bl[X] = 10
    assert loot.place(obs) is None
    loot.reset()
    assert loot.place(obs) == ((11, 10), 1)


def test_the_end_of_a_game_leaves_sighup_as_it_was(played: Played) -> None:
    """NetHack would have the whole process ignore it from then on."""
    came: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, frame: came.append(number))
    try:
        played.reset(SEEDS)
        praying = ("pray", "northwest", "more")  # a god is soon angry enough
        assert any(played.step(praying[step % 3]) is End.DEATH for step in range(1_000))
        os.kill(os.getpid(), signal.SIGHUP)
        assert came == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, before)
