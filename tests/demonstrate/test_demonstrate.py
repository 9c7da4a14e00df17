"""The stage `demonstrate` and its demonstrator, in real games: played again, followed, killed, in arenas."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from nle import nethack
from small_learning import CONFIG, ROOT

from maestromotif.collect.explorer.intent import Intent, intent_of
from maestromotif.collect.explorer.memory import WATCH
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.demonstrate import demonstrate
from maestromotif.demonstrate.demonstrator import Demonstrator, _Player
from maestromotif.demonstrate.past import Now
from maestromotif.demonstrate.recordings import FILE, NO_LABEL, Recording, read
from maestromotif.nethack import paths
from maestromotif.nethack.actions import INDEX, SETS
from maestromotif.nethack.checksum import checksum
from maestromotif.nethack.events import COLUMN, EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import DEPTH, HP, HUNGER, MAX_HP, TURN, X, Y
from maestromotif.nethack.pool.pool import IDLE, GamePool, open_pool
from maestromotif.pipeline.store import Work
from maestromotif.skill import skills_of

# Three segments, noise, and two of eight games in an arena.
SETTINGS = (
    "skills=[discoverer,descender,ascender,merchant,worshipper]",
    "run.further=[demonstrate]",
    "train.arenas={shop: 0.25}",
    "train.network.actions=explore",
    "demonstrate={steps: 1120, max_steps: 50, noise: 0.2}",
)


def config(folder: Path, *overrides: str) -> Config:
    path = folder / "small.yaml"
    path.write_text(CONFIG)
    return load(str(path), (*SETTINGS, *overrides))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Work]:
    """An unbroken run of the stage."""
    folder = tmp_path_factory.mktemp("made")
    chosen, work = config(folder), Work(folder / "work")
    facts = demonstrate.run(chosen, {}, work)
    assert facts["steps"] == 1120
    return chosen, work


def test_recordings_play_again_and_the_teacher_would_play_there_what_was_recorded(
    made: tuple[Config, Work],
) -> None:
    """A fifth of the actions is noise, so the demonstrator follows play that is not its own."""
    chosen, work = made
    found = read(work.path / FILE, chosen)
    assert {one.arena for one in found} == {None, "shop"}
    labelled = [one.labels != NO_LABEL for one in found]
    assert np.concatenate(labelled).mean() > 0.9
    own = np.concatenate([(one.labels == one.actions)[has] for one, has in zip(found, labelled, strict=True)])
    assert 0.7 < own.mean() < 0.95  # with 20 % noise, of which some is by chance what it would play
    found.sort(key=lambda one: one.arena or "")
    for arena, group in groupby(found, key=lambda one: one.arena):
        play_again(chosen, arena, list(group))


def play_again(chosen: Config, arena: str | None, recordings: list[Recording]) -> None:
    games, longest = len(recordings), max(len(one.actions) for one in recordings)
    intents = [intent_of(skill) for skill in skills_of(chosen)]
    seeds = [[one.seeds] for one in recordings]
    with open_pool(chosen, "train", games, longest + 1, arena=arena, seeds=seeds) as pool:
        pool.reset()
        demonstrator, played = Demonstrator(games, chosen.run.seed, "explore"), np.full(games, IDLE, np.int32)
        for t in range(longest):
            going = [game for game, one in enumerate(recordings) if t < len(one.actions)]
            choice = demonstrator.act(
                pool, {game: intents[recordings[game].skills[t]] for game in going}, played
            )
            played = np.full(games, IDLE, np.int32)
            for game in going:
                one = recordings[game]
                assert one.labels[t] in (NO_LABEL, choice[game]), (arena, one.seeds, t)
                played[game] = one.actions[t]
            pool.step(played)
            for game in going:
                if t + 1 == len(recordings[game].actions):
                    seen = pool.final if pool.ended[game] != End.NOT else pool.obs
                    assert checksum(seen, game) == recordings[game].check, (arena, recordings[game].seeds)


def test_without_noise_the_labels_are_what_was_played(tmp_path: Path) -> None:
    chosen, work = config(tmp_path, "demonstrate.noise=0", "demonstrate.steps=400"), Work(tmp_path / "work")
    demonstrate.run(chosen, {}, work)
    for one in read(work.path / FILE, chosen):
        has = one.labels != NO_LABEL
        np.testing.assert_array_equal(one.labels[has], one.actions[has])


def test_killed_and_run_again_it_writes_the_same_file(made: tuple[Config, Work], tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "maestromotif", "demonstrate", "small.yaml", *SETTINGS]
    settings: dict[str, Any] = {"cwd": tmp_path, "env": tiny.environment(PYTHONPATH=str(ROOT))}
    process = subprocess.Popen(
        command, **settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not list(tmp_path.glob("runs/*/.work/*/.scratch/segment-00000.npz")):
        time.sleep(0.002)
    assert process.poll() is None, "it ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob(f"runs/*/demonstrate/{FILE}"))
    again = subprocess.run(
        [*command, "nethack.workers=1"], **settings, capture_output=True, text=True, check=False, timeout=120
    )
    assert again.returncode == 0, again.stdout + again.stderr
    written = next(tmp_path.glob(f"runs/*/demonstrate/{FILE}"))
    assert written.read_bytes() == (made[1].path / FILE).read_bytes()


def test_the_teacher_follows_random_play() -> None:
    games, rng = 8, np.random.default_rng(0)
    with GamePool(games, "collect", 3, 200, workers=1) as pool:
        pool.reset()
        demonstrator, played = Demonstrator(games, 3, "explore"), np.full(games, IDLE, np.int32)
        for _ in range(100):
            choice = demonstrator.act(pool, dict.fromkeys(range(games), Intent.DOWN), played)
            assert ((choice >= 0) & (choice < SETS["explore"])).all()
            played = rng.integers(0, SETS["explore"], games).astype(np.int32)
            pool.step(played)


@pytest.mark.parametrize("actions", ["explore", "seek"])
def test_the_travel_of_the_teacher_moves_the_hero(actions: str) -> None:
    """Travel that a monster stops at once is rare; towards what cannot be reached it was every second one."""
    games, travel = 16, INDEX["travel_unexplored"]
    travels, stayed, hidden = 0, 0, 0
    with GamePool(games, "collect", 8, 500, workers=2) as pool:
        pool.reset()
        demonstrator, played = Demonstrator(games, 8, actions), np.full(games, IDLE, np.int32)
        for _ in range(400):
            before = pool.obs["blstats"][:, [X, Y]].copy()
            played = demonstrator.act(pool, dict.fromkeys(range(games), Intent.DOWN), played)
            pool.step(played)
            travelled = (played == travel) & (pool.ended == End.NOT)
            travels += int(travelled.sum())
            stayed += int((travelled & (pool.obs["blstats"][:, [X, Y]] == before).all(1)).sum())
            hidden += int((played == INDEX["search_hidden"]).sum())
    assert travels > 50
    assert stayed < 0.15 * travels
    assert (hidden > 0) is (actions == "seek")


@pytest.mark.parametrize(
    ("arena", "intent", "wanted"),
    [
        ("shop", Intent.TRADE, ["sold"]),
        ("altar", Intent.ALTAR, ["altar_blessed", "altar_cursed", "altar_uncursed"]),
    ],
)
def test_in_the_arenas_the_teacher_does_what_the_skill_is_for(
    arena: str, intent: Intent, wanted: list[str]
) -> None:
    games, counts = 4, np.zeros((4, len(EVENTS)), np.int64)
    with GamePool(games, "collect", 0, 61, workers=1, arena=arena) as pool:
        pool.reset()
        demonstrator, played = Demonstrator(games, 0, "explore"), np.full(games, IDLE, np.int32)
        for _ in range(60):
            played = demonstrator.act(pool, dict.fromkeys(range(games), intent), played)
            pool.step(played)
            counts += pool.events
    for name in wanted:
        assert (counts[:, COLUMN[name]] >= 2).all(), (name, counts[:, COLUMN[name]])


@pytest.mark.parametrize("watched", [False, True])
def test_no_door_is_kicked_while_a_watchman_is_in_view(watched: bool) -> None:
    """The hero stands in a closet whose only door, to the east, is locked."""
    symbol = nethack.GLYPH_CMAP_OFF
    glyphs = np.full((21, 79), symbol, np.int16)
    glyphs[9:12, 9:12] = symbol + 1  # walls
    glyphs[10, 10] = symbol + 19
    glyphs[10, 11] = symbol + 16  # a closed door
    if watched:
        glyphs[5, 30] = np.flatnonzero(WATCH)[0]
    status = [0] * 27
    for index, value in ((X, 10), (Y, 10), (HP, 20), (MAX_HP, 20), (HUNGER, 1), (DEPTH, 5)):
        status[index] = value
    state = {"on_upstairs": 0, "on_downstairs": 0, "shopkeeper_in_view": 0, "sellable_items": 0, "prayers": 0}
    player = _Player(0, random.Random(0), SETS["explore"])

    def see(message: bytes, asks: bool, played: str | None) -> int:
        status[TURN] += 1
        now = Now(message, asks, glyphs, list(status), np.zeros(55, np.uint8), state, paths.square(10, 10))
        player.past.see(now, IDLE if played is None else INDEX[played])
        return player.choose(now, Intent.EXPLORE)

    assert see(b"", False, None) == INDEX["travel_unexplored"]
    chosen = see(b"This door is locked.", False, "travel_unexplored")
    assert chosen != INDEX["travel_unexplored"]  # it showed nothing new
    answered = see(b"In what direction? [><.yubnhjkl, or .]", True, "kick")
    assert (chosen == INDEX["kick"]) is not watched
    assert answered == INDEX["more" if watched else "east"]
