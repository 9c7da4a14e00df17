"""Recordings of games, made by NLE in the test and read back; and those that the nle wheel ships."""

import bz2
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

import nle
import numpy as np
import pytest
from nle.env import NLE

from maestromotif.collect import ttyrec
from maestromotif.errors import UserError
from maestromotif.nethack.actions import KEPT_PAGES
from maestromotif.nethack.engine.loader import pin_birthday
from maestromotif.nethack.observation import DEPTH, TURN

SHIPPED = Path(nle.__file__).parent / "tests"  # recordings of human players among them
SEEDS = (0, 1, 6)
WALK = [ord(key) for key in "hjklyubnHJKLYUBN>s,"]


class Seen(NamedTuple):
    message: bytes
    depth: int
    turn: int


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[Seen]]]:
    """A directory with three recorded games, and what their environment showed at the player's turns.

    Random keys play them. In the first the hero is killed, the second is abandoned, and in the third the hero
    prays until struck down. They are the same on any day, though NLE by itself would ask the clock for the
    moon and the hour.
    """
    folder = tmp_path_factory.mktemp("nle_data")
    env = NLE(
        save_ttyrec_every=1,
        savedir=str(folder / "one"),
        character="mon-hum-neu-mal",
        max_episode_steps=100_000,
        fix_moon_phase=True,
    )
    keys = [int(key) for key in env.actions]
    walk = [keys.index(key) for key in WALK]
    pray = keys.index(ord("p") | 0x80)
    yes = keys.index(ord("y"))
    games: list[list[Seen]] = []
    for episode, seed in enumerate(SEEDS):
        env.unwrapped.seed(seed, seed, reseed=False)
        obs, _ = env.reset()
        pin_birthday(env.nethack.dlpath)
        rng = np.random.default_rng(seed)
        seen: list[Seen] = []
        over = False
        for t in range(4_000):
            asked = bool(env.last_observation[env._internal_index][1])  # a question of one key
            action = walk[rng.integers(len(walk))]
            if episode == 2 and t >= 200:
                action = yes if asked else pray
            obs, _, over, _, _ = env.step(action)
            if over:
                break
            if not env.last_observation[env._internal_index][1:4].any():
                message = obs["message"].tobytes().rstrip(b"\0")
                seen.append(Seen(message, int(obs["blstats"][DEPTH]), int(obs["blstats"][TURN])))
            if episode < 2 and t == 400:
                break
        assert over == (episode != 1)
        games.append(seen)
    env.close()
    return folder, games


def test_what_is_read_is_what_was_shown(recorded: tuple[Path, list[list[Seen]]]) -> None:
    """Messages, depths and turns, step by step; apart from the screen on which a game ends."""
    folder, games = recorded
    paths = ttyrec.find(folder)
    assert len(paths) == 3
    for path, shown in zip(paths, games, strict=True):
        game = ttyrec.read(path)
        rows = zip(game.messages, game.depth.tolist(), game.turn.tolist(), game.question, strict=True)
        read = [Seen(message, depth, turn) for message, depth, turn, question in rows if not question]
        assert len(shown) > 150
        for there, here in zip(shown, read, strict=False):
            assert (there.depth, there.turn) == (here.depth, here.turn)
            # Of several pages the environment shows the last, our agents see that of a staircase.
            kept = any(words in here.message for words in KEPT_PAGES)
            assert here.message.split() == there.message.split() or (kept and not there.message)
        # The pages of a death make a step; of an abandoned game NLE does not write the last screen.
        assert len(read) - len(shown) == (-1 if path == paths[1] else 1)
        assert len({message for message in game.messages if message}) > 10
        assert any(text != message for text, message in zip(game.texts, game.messages, strict=True))


def test_links_are_followed_and_loops_end(recorded: tuple[Path, list[list[Seen]]], tmp_path: Path) -> None:
    folder, _ = recorded
    away = tmp_path / "away"
    away.mkdir()
    first, second, third = ttyrec.find(folder)
    (tmp_path / "linked").symlink_to(folder)
    assert [ttyrec.ending(path) for path in ttyrec.find(tmp_path / "linked")] == [
        ttyrec.ending(path) for path in (first, second, third)
    ]
    mine = tmp_path / "mine"
    (mine / "deep").mkdir(parents=True)
    (mine / "deep" / "up").symlink_to(mine)
    (mine / "deep" / "up.ttyrec3.bz2").symlink_to("up.ttyrec3.bz2.gone")
    with pytest.raises(UserError, match=r"deep/up\.ttyrec3\.bz2: is a link to .*gone, which does not exist"):
        ttyrec.find(mine)
    (mine / "deep" / "up.ttyrec3.bz2").unlink()
    (mine / first.name).symlink_to(first)
    (mine / "again.ttyrec3.bz2").symlink_to(first)
    (mine / "folder").symlink_to(second.parent)
    found = ttyrec.find(mine)
    assert len({path.resolve() for path in found}) == len(found) > 1
    assert first in {path.resolve() for path in found}
    assert ttyrec.ending(mine / first.name) == ttyrec.ending(first)
    assert ttyrec.identity(mine) == ttyrec.identity(mine)


def test_the_end_of_a_game_is_read_from_its_log(recorded: tuple[Path, list[list[Seen]]]) -> None:
    folder, _ = recorded
    found = ttyrec.endings(folder / "one")
    assert [name.split(".")[2] for name in sorted(found)] == ["0", "2"]
    assert not any(ending.left for ending in found.values())
    causes = [found[name].cause for name in sorted(found)]
    assert causes == ["killed by a sewer rat", "killed by the wrath of Chih Sung-tzu"]


def test_reading_leaves_nothing_behind(
    recorded: tuple[Path, list[list[Seen]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = recorded
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sqlite3, "connect", None)
    for path in ttyrec.find(folder):
        ttyrec.read(path)
    assert sorted(folder.rglob("*")) == before
    assert not list(tmp_path.iterdir())


def test_games_of_people_are_read() -> None:
    """A server's recordings have no keys and begin in the midst of a game."""
    game = ttyrec.read(SHIPPED / "2020-10-03.17_27_10.ttyrec.bz2")
    assert len(game) > 1_200
    # A meal of many turns was drawn turn by turn, but it was one action.
    assert sum(message == b"This ettin corpse tastes okay." for message in game.messages) <= 1
    assert set(game.depth.tolist()) == {19, 20, 21, 22}
    assert (np.diff(game.turn) >= 0).all()
    assert any(b"You kill" in text for text in game.texts)
    assert not any(b"--More--" in text or b"(end)" in text for text in game.texts)


def test_broken_recordings_are_told_apart(
    recorded: tuple[Path, list[list[Seen]]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = ttyrec.find(recorded[0])[0].read_bytes()
    for content, words in (
        (whole[: len(whole) // 2], "cut off"),
        (b"", "cut off"),
        (b"no recording at all", "cannot be read"),
        (whole[:500] + bytes(20) + whole[520:], "cannot be read"),
        (bz2.compress(b"a text of something else " * 100), "cannot be decoded|no step"),
    ):
        path = tmp_path / "nle.1.0.ttyrec3.bz2"
        path.write_bytes(content)
        with pytest.raises(ttyrec.BrokenError, match=words):
            ttyrec.read(path)
    capfd.readouterr()


def test_a_directory_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        ttyrec.find(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(UserError, match="no recordings"):
        ttyrec.find(tmp_path)
    with pytest.raises(UserError, match="is not a directory"):
        ttyrec.find(tmp_path / "notes.txt")


def test_a_name_that_is_no_text_counts_too(tmp_path: Path) -> None:
    for name in (b"a", b"\xff"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".ttyrec3.bz2")).touch()
    assert len(ttyrec.find(tmp_path)) == 2
    assert len(ttyrec.identity(tmp_path)) == 64
