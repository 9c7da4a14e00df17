"""The game's own truth: by the menu of wizard mode, by the ranges of dungeon.def, and by going there."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playing import Play

from maestromotif.nethack.engine.loader import Loader
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.state import FIELDS
from maestromotif.nethack.tracker import TRACKED
from maestromotif.nethack.truth import TRUTH

LEVEL_TELEPORT, MAP, TELEPORT = "\x16", "\x06", "\x14"
# The lines of the menu that say what `TRUTH` says. Letters choose a place.
LISTED = {
    "oracle_depth": r"(\w) -  +oracle: (\d+)",
    "minetown_depth": r"(\w) -  +minetn: (\d+)",
    "mines_branch_depth": r"(\w) -  +Stair to The Gnomish Mines: (\d+)",
    "sokoban_branch_depth": r"(\w) -  +Stair to Sokoban: (\d+)",
}


class Wizard(Play):
    """A game in wizard mode."""

    def __init__(self, folder: Path, loader: Loader = "auto") -> None:
        super().__init__(None, folder, loader, wizard=True)

    @property
    def truth(self) -> dict[str, int]:
        return dict(zip(TRUTH, self.game.truth(), strict=True))

    def menu(self) -> str:
        """Open the menu of places to teleport to; all its pages."""
        pages = ""
        for key in f"{LEVEL_TELEPORT}?\r":
            self.game._send(ord(key))
        for _ in range(3):
            pages += self.screen()
            self.game._send(ord(">"))
        return pages

    def go(self, place: str) -> None:
        """Teleport to a level of `LISTED`, and show its map, without its monsters and objects."""
        found = re.search(LISTED[place], self.menu())
        assert found
        self.keys(f"<<<{'' if place != 'minetown_depth' else '>'}{found[1]}")
        self.keys(MAP)

    def jump(self, symbol: str) -> None:
        """Teleport to a symbol of the map."""
        self.keys(f"{TELEPORT}{symbol}.")


@pytest.fixture(scope="module")
def wizard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wizard]:
    play = Wizard(tmp_path_factory.mktemp("wizard"))
    yield play
    play.game.close()


@pytest.mark.parametrize("loader", ["shared", "stock"])
def test_the_menu_of_wizard_mode_says_the_same(tmp_path: Path, loader: Loader) -> None:
    play = Wizard(tmp_path, loader)
    for seed in range(5):
        play.reset(seed)
        menu = play.menu()
        for name, line in LISTED.items():
            found = re.search(line, menu)
            assert found
            assert play.truth[name] == int(found[2]), name
    play.game.close()


def test_places_lie_where_the_dungeon_can_have_them_and_both_loaders_tell_them() -> None:
    told = []
    for loader, games in (("shared", 30), ("stock", 8)):
        with GamePool(games, "train", 2, 100, workers=1, loader=loader) as pool:  # type: ignore[arg-type]
            pool.reset()
            told.append({name: values.copy() for name, values in pool.truth.items()})
    shared, stock = told
    for name in TRUTH:
        np.testing.assert_array_equal(shared[name][:8], stock[name])
        assert len(set(shared[name].tolist())) > 1
    for name, low, high in (
        ("oracle_depth", 5, 9),
        ("minetown_level", 3, 4),
        ("minetown_depth", 5, 8),
        ("mines_branch_depth", 2, 4),
        ("sokoban_branch_depth", 6, 10),
    ):
        assert shared[name].min() >= low, name
        assert shared[name].max() <= high, name
    for field, name in (("branch_depth", "mines_branch_depth"), ("sokoban_depth", "sokoban_branch_depth")):
        assert FIELDS[field].range[0] <= -1
        assert shared[name].max() <= FIELDS[field].range[1]
    np.testing.assert_array_equal(shared["oracle_level"], shared["oracle_depth"])
    np.testing.assert_array_equal(
        shared["minetown_depth"], shared["mines_branch_depth"] + shared["minetown_level"]
    )
    np.testing.assert_array_equal(shared["sokoban_branch_depth"], shared["oracle_depth"] + 1)


def test_the_truth_of_an_ended_episode_is_kept() -> None:
    with GamePool(4, "train", 2, 3, workers=1) as pool:
        pool.reset()
        first = {name: values.copy() for name, values in pool.truth.items()}
        for _ in range(3):
            pool.step(np.zeros(4, int))
        assert pool.ended.all()
        for name in TRUTH:
            np.testing.assert_array_equal(pool.final_truth[name], first[name])
        assert any((pool.truth[name] != first[name]).any() for name in TRUTH)


def test_no_player_sees_the_truth() -> None:
    assert not {*TRUTH} & {*FIELDS, *TRACKED}


def test_the_oracles_level_is_known_once_it_is_seen(wizard: Wizard) -> None:
    for seed in range(4):
        wizard.reset(seed)
        wizard.go("oracle_depth")
        assert wizard.now("level") == wizard.now("depth") == wizard.truth["oracle_level"]
        wizard.jump("{")  # one of the four fountains around the Oracle
        assert wizard.events["entered_delphi"] == 1
        assert wizard.now("at_oracle")
        wizard.go("sokoban_branch_depth")
        assert not wizard.now("at_oracle")
        assert wizard.now("sokoban_depth") == wizard.now("depth") == wizard.truth["sokoban_branch_depth"]
        wizard.go("mines_branch_depth")
        assert wizard.now("branch_depth") == wizard.now("depth") == wizard.truth["mines_branch_depth"]
        wizard.go("oracle_depth")
        assert wizard.now("at_oracle")


def test_minetown_is_known_once_it_is_seen(wizard: Wizard) -> None:
    for seed in range(6):
        wizard.reset(seed)
        assert not wizard.now("in_minetown")
        wizard.go("minetown_depth")
        assert wizard.now("level") == wizard.truth["minetown_level"]
        assert wizard.now("depth") == wizard.truth["minetown_depth"]
        assert (wizard.now("dungeon"), wizard.now("in_minetown")) == (2, 1)
        wizard.go("mines_branch_depth")
        assert not wizard.now("in_minetown")
