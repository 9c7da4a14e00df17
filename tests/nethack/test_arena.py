"""Arenas are built, and what they are for can be done in them with the 28 actions."""

import hashlib
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nle.nethack import nethack
from playing import Play

from maestromotif.errors import UserError
from maestromotif.nethack import arena
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import DEPTH, HP, TURN
from maestromotif.nethack.pool.pool import GamePool

NAMES = ("altar", "mines_branch", "nymph", "shop", "stairs", "theft")
SEEDS = range(12)


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Play]]:
    plays = {name: Play(name, tmp_path_factory.mktemp(name)) for name in NAMES}
    yield plays
    for play in plays.values():
        play.game.close()


def test_names() -> None:
    assert arena.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_episodes_begin_in_the_arena_on_the_stairs_up(plays: dict[str, Play], name: str) -> None:
    play = plays[name]
    for seed in SEEDS:
        play.reset(seed)
        assert play.depth == 2
        assert (play.now("depth"), play.now("deepest"), play.now("on_upstairs")) == (2, 2, 1)
        assert play.now("step") == 0
        assert b"descend the stairs" in play.text


def test_the_hero_carries_things_to_sell(plays: dict[str, Play]) -> None:
    for name, things in (("shop", 7), ("altar", 9), ("stairs", 0)):
        for seed in SEEDS:
            plays[name].reset(seed)
            # A scroll may join the one that a Monk owns from the start, which is kept.
            assert plays[name].now("sellable_items") in (things, max(things - 1, 0))
    plays["shop"].reset(0)
    assert plays["shop"].now("gold") == 800


def test_travelling_leads_to_what_is_in_view(plays: dict[str, Play]) -> None:
    for seed in range(5):  # in which no monster comes between
        altar = plays["altar"]
        altar.reset(seed)
        altar("travel_altar")
        assert altar.now("on_altar") == 1
        altar("travel_down")
        assert altar.now("on_downstairs") == 1
        altar("travel_up")
        assert altar.now("on_upstairs") == 1
        place = (altar.now("upstairs_dx"), altar.now("depth"))
        plays["shop"].reset(seed)
        plays["shop"]("travel_altar")  # there is none
        assert (plays["shop"].now("upstairs_dx"), plays["shop"].now("depth")) == place


def test_the_rest_of_the_dungeon_is_there(plays: dict[str, Play]) -> None:
    play = plays["stairs"]
    play.reset(1)
    play("east down")
    assert play.depth == 3
    play("up west up")
    assert play.depth == 1
    assert play("up") is End.NOT  # the antechamber's stairs up are a step away
    # NetHack's overview knows the levels and their branches.
    plays["mines_branch"].reset(1)
    plays["mines_branch"].game._send(ord(">"))
    for key in "#overview\r":
        plays["mines_branch"].game._send(ord(key))
    shown = plays["mines_branch"].screen()
    assert "The Dungeons of Doom" in shown
    assert "Level 2" in shown


def test_the_same_description_makes_the_same_bytes(tmp_path: Path) -> None:
    def digest(name: str, folder: str) -> str:
        arena.build(name, tmp_path / folder)
        return hashlib.sha256((tmp_path / folder / "nhdat").read_bytes()).hexdigest()

    assert digest("shop", "one") == digest("shop", "two")
    assert digest("altar", "three") != digest("shop", "one")
    assert [entry.name for entry in (tmp_path / "one").iterdir()] == ["nhdat"]


def test_a_pool_plays_in_an_arena_and_workers_change_nothing() -> None:
    def seen(workers: int) -> list[bytes]:
        moves = np.random.default_rng(1).integers(0, len(INDEX), (60, 4))
        with GamePool(4, "train", 5, 1000, workers=workers, arena="shop") as pool:
            pool.reset()
            assert (pool.obs["blstats"][:, DEPTH] == 2).all()
            frames = []
            for row in moves:
                pool.step(row)
                frames.append(pool.obs["glyphs"].tobytes() + pool.events.tobytes())
        return frames

    assert seen(1) == seen(2)


def test_games_of_one_pool_in_different_places() -> None:
    starts = ["shop", None, "altar", None]
    with GamePool(4, "train", 5, 1000, workers=2, arena=starts, parts=2) as pool:
        pool.reset()
        assert pool.obs["blstats"][:, DEPTH].tolist() == [2, 1, 2, 1]
        assert pool.state["shopkeeper_in_view"].tolist() == [1, 0, 0, 0]
        assert pool.state["altar_in_view"].tolist() == [0, 0, 1, 0]
        mixed = pool.obs["glyphs"].copy()
    with GamePool(4, "train", 5, 1000, workers=1) as pool:
        pool.reset()
        np.testing.assert_array_equal(mixed[1::2], pool.obs["glyphs"][1::2])


def test_an_arena_of_ones_own(tmp_path: Path) -> None:
    text = Path(arena.__file__).with_name("arenas").joinpath("stairs.des").read_text()
    own = tmp_path / "own.des"
    own.write_text(text.replace("STAIR:(4,2),down", "STAIR:(7,3),down"))
    play = Play(str(own), tmp_path)
    play.reset(3)
    assert (play.now("downstairs_dx"), play.now("downstairs_dy")) == (4, 1)
    play.game.close()


WRONG = {
    "objects": ("MAZE:\"arena\",' '", "MAZE:\"arena\",' '\nBOGUS", "own.des:18: syntax error"),
    "names": ("STAIR:(4,1),down", "OBJECT:('?',\"no such\"),(1,1)\nSTAIR:(4,1),down", "own.des:15: Unknown"),
    "levels": ('MAZE:"before"', 'MAZE:"first"', 'no level "before"'),
    "opening": ("# opening: east", "# opening: eastwards", "own.des:2: there is no action 'eastwards'"),
    "a third level": (
        "MAZE:\"before\",' '",
        "MAZE:\"oracle\",' '\nMAZE:\"before\",' '",
        'own.des:18: there is another level "arena"',
    ),
    "a level twice": (
        "MAZE:\"arena\",' '",
        "MAZE:\"before\",' '\nMAZE:\"arena\",' '",
        'another level "arena"; an arena has',
    ),
    "two openings": (
        "# opening:",
        "# opening: east\n# opening:",
        "own.des:3: the opening is given twice, first on line 2",
    ),
    "no opening": ("# opening:", "# way:", "a line such as '# opening: east down'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_description_names_file_and_line(case: str, tmp_path: Path) -> None:
    text = Path(arena.__file__).with_name("arenas").joinpath("stairs.des").read_text()
    good, bad, message = WRONG[case]
    assert good in text
    own = tmp_path / "own.des"
    own.write_text(text.replace(good, bad))
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as raised:
        arena.build(str(own), tmp_path / "out")
    assert str(own) in str(raised.value)
    assert "arena.des" not in str(raised.value)


def test_unknown_arenas(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no arena 'shopp'; did you mean 'shop'"):
        arena.build("shopp", tmp_path)
    with pytest.raises(UserError, match=r"gone\.des: cannot be read: No such file"):
        arena.build(str(tmp_path / "gone.des"), tmp_path)


def test_fight_spares_a_peaceful_shopkeeper() -> None:
    """Nothing is asked, no time passes, and nobody gets angry; to walk into the shopkeeper would ask."""
    with GamePool(4, "train", 5, 1000, workers=1, arena="shop", recall=True) as pool:
        pool.reset()
        beside = 0
        for _ in range(30):
            pool.step(np.full(4, INDEX["travel_monster"], np.int32))
            near = pool.state["shopkeeper_near"] != 0
            turn = pool.obs["blstats"][:, TURN].copy()
            fights = pool.allowed[:, INDEX["fight"]] & near
            pool.step(np.full(4, INDEX["fight"], np.int32))
            assert (pool.ended == 0).all()
            assert not pool.obs["misc"].any()
            for game in np.flatnonzero(fights).tolist():
                beside += int(pool.obs["blstats"][game, TURN] == turn[game])
                assert b"angry" not in pool.obs["message"][game].tobytes()
        assert beside
        assert (pool.obs["blstats"][:, HP] > 0).all()


EYES = """\
# opening: east east east down
MAZE:"before",' '
FLAGS:noteleport
GEOMETRY:center,center
MAP
------     ------------
|....|     |..........|
------     |..........|
           ------------
ENDMAP
REGION:(1,1,4,1),lit,"ordinary"
BRANCH:(1,1,1,1),(0,0,0,0)
STAIR:(4,1),down

MAZE:"arena",' '
FLAGS:noteleport
GEOMETRY:center,center
MAP
-----
|...|
|...|
-----
ENDMAP
REGION:(1,1,3,2),lit,"ordinary"
STAIR:(2,2),up
STAIR:(1,2),down
MONSTER:('e',"floating eye"),(1,1)
MONSTER:('e',"floating eye"),(2,1)
MONSTER:('e',"floating eye"),(3,1)
"""


def test_nobody_fights_or_walks_into_a_floating_eye(tmp_path: Path) -> None:
    """Its gaze paralyses whoever strikes it."""
    (tmp_path / "eyes.des").write_text(EYES)
    with GamePool(2, "train", 5, 1000, workers=1, arena=str(tmp_path / "eyes.des"), recall=True) as pool:
        pool.reset()
        assert b"floating eye" not in pool.obs["message"].tobytes()
        assert not pool.allowed[:, INDEX["fight"]].any()
        towards = [INDEX[name] for name in ("north", "northeast", "northwest", "far_north")]
        assert not pool.allowed[:, towards].any()
        assert pool.allowed[:, INDEX["west"]].all()
        for _ in range(20):
            pool.step(np.full(2, INDEX["fight"], np.int32))
        assert b"frozen" not in pool.obs["message"].tobytes()
        assert (pool.state["turn"] < 40).all()  # it searches; who is paralysed misses turns


def test_characters_that_the_level_compiler_does_not_read_are_named(tmp_path: Path) -> None:
    whole = (Path(arena.__file__).parent / "arenas/altar.des").read_text()
    file = tmp_path / "mine.des"
    file.write_text("# \u201cmine\u201d\n" + whole, encoding="utf-8")
    assert arena.build(str(file), tmp_path / "made").opening == arena.build("altar", tmp_path / "own").opening
    file.write_text(whole.replace('"ordinary"', "\u201cordinary\u201d"), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        arena.build(str(file), tmp_path / "curly")
    first, second = str(caught.value).split("\n")
    assert first.startswith(f"{file}:13: '\u201c' is not ASCII")
    assert first.endswith('; write " instead')
    assert second.startswith(f"{file}:37: ")


@pytest.mark.parametrize("silent", ["lev_comp", "dgn_comp", "dlb"])
def test_a_compiler_that_writes_nothing_is_refused(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tools = Path(nethack.HACKDIR), tmp_path / "tools"
    shutil.copytree(real, tools)
    tool = tools / silent
    tool.unlink()
    reads = f'case "$1" in x*) exec {shlex.quote(str(real))}/dlb "$@";; esac\n' if silent == "dlb" else ""
    tool.write_text(f"#!/bin/sh\n{reads}exit 0\n")
    tool.chmod(0o755)
    monkeypatch.setattr(arena, "HACKDIR", str(tools))
    with pytest.raises(UserError, match="reports no mistake but has not written"):
        arena.build("altar", tmp_path / "made")


def test_an_opening_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    text = Path(arena.__file__).with_name("arenas").joinpath("stairs.des").read_text()
    own = tmp_path / "own.des"
    for opening in ("", " east east"):
        own.write_text(text.replace(" east east east down", opening, 1))
        with (
            pytest.raises(UserError, match=r"leads to level 1, but the arena is level 2"),
            GamePool(1, "train", 1, 10, workers=1, arena=str(own)) as pool,
        ):
            pool.reset()
