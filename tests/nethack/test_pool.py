"""The pool of worker processes, with real games."""

import hashlib
import logging
import multiprocessing as mp
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_disk import on_small_disk

from maestromotif.errors import UserError
from maestromotif.nethack.actions import INDEX, NAMES, NUM_ACTIONS
from maestromotif.nethack.events import COLUMN
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import ENGINE, SCREEN, TURN
from maestromotif.nethack.pool import capacity
from maestromotif.nethack.pool.pool import IDLE, GamePool
from maestromotif.nethack.seeds import Purpose, episode_seeds
from maestromotif.nethack.temporary import scratch

GAMES, LIMIT = 5, 40
PURPOSES: dict[Purpose, int] = {  # 3: shared levels
    "collect": 0,
    "train": 1,
    "evaluate": 2,
    "watch": 4,
    "demonstrate": 5,
}


def actions(steps: int, seed: int = 0) -> np.ndarray:
    """Mostly walking, int32 [steps, GAMES]."""
    weights = np.ones(NUM_ACTIONS)
    weights[1:9] = 8
    return np.random.default_rng(seed).choice(NUM_ACTIONS, (steps, GAMES), p=weights / weights.sum())


def digest(pool: GamePool) -> str:
    """Everything that a pool shows."""
    parts = [pool.obs[name] for name in ENGINE]
    parts += [*pool.state.values(), pool.changes, pool.events, pool.ended, pool.episode]
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def play(pool: GamePool, moves: np.ndarray) -> list[str]:
    """Digests after every step."""
    shown = []
    for row in moves:
        pool.step(row)
        shown.append(digest(pool))
    return shown


def pool_of(workers: int = 2, **how: Any) -> GamePool:
    return GamePool(GAMES, "collect", 3, LIMIT, workers=workers, **how)


@pytest.mark.parametrize("leave", [False, True])
def test_an_agent_leaves_the_dungeon_only_where_it_may(leave: bool) -> None:
    """It begins on the stairs up of level 1."""
    asked, up = COLUMN["asked_to_leave"], np.full(GAMES, INDEX["up"])
    with pool_of(leave=leave, recall=True) as pool:
        pool.reset()
        assert (pool.allowed[:, INDEX["up"]] == leave).all()
        pool.step(up)
        assert (pool.events[:, asked] == 1).all()
        assert (pool.obs["misc"][:, 0] == leave).all()
        if not leave:
            assert (pool.state["level"] == 1).all()
            return
        assert (pool.allowed.sum(1) == 2).all()  # yes and no
        pool.step(up)  # no answer: the question stays open, and counts once
        assert not pool.events[:, asked].any()
        pool.step(np.full(GAMES, INDEX["southeast"]))
        assert not pool.ended.any()
        assert not pool.obs["misc"].any()
        pool.step(up)
        assert (pool.events[:, asked] == 1).all()
        pool.step(np.full(GAMES, INDEX["northwest"]))
        assert (pool.ended == End.LEFT).all()
        assert (pool.final_state["level"] == 1).all()
        assert (pool.cause == b"").all()
        assert (pool.episode == 1).all()


def left_behind(folder: Path) -> list[str]:
    """What pools have left in the folder for temporary files."""
    return sorted(path.name for path in folder.glob("maestromotif-*"))


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files whose path is short, as it usually is."""
    with tempfile.TemporaryDirectory(prefix="test-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def shared() -> Iterator[GamePool]:
    """A pool for tests that leave it usable; each begins with a reset."""
    with pool_of() as pool:
        yield pool


def test_the_number_of_workers_changes_nothing(shared: GamePool) -> None:
    moves = actions(100)
    shared.reset()
    two = [digest(shared), *play(shared, moves)]
    with pool_of(workers=1) as pool:
        pool.reset()
        assert [digest(pool), *play(pool, moves)] == two
    assert len(set(two)) == len(two)


def test_given_seeds_play_the_games_of_those_seeds(shared: GamePool) -> None:
    """Each game has as many as it likes; episodes that end go on with the next."""
    moves = actions(LIMIT + 5)
    shared.reset()
    expected = play(shared, moves)
    seeds = [[episode_seeds("collect", 3, game, number) for number in range(2)] for game in range(GAMES)]
    with GamePool(GAMES, "train", 9, LIMIT, workers=2, seeds=seeds) as pool:
        pool.reset()
        assert play(pool, moves) == expected


def test_another_process_in_another_time_zone_plays_the_same_games(shared: GamePool, tmp_path: Path) -> None:
    """From nothing but the episodes' numbers and the actions, in a script that comes from a pipe.

    The script has no `if __name__ == "__main__":`, and the workers do not run it again.
    """
    script = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        "import test_pool\n"
        "print('begins')\n"
        "with test_pool.pool_of(workers=1) as pool:\n"
        "    pool.reset(7)\n"
        "    print(test_pool.play(pool, test_pool.actions(60))[-1])\n"
    )
    (tmp_path / "elsewhere.py").write_text(script)
    environment = os.environ | {"TZ": "Asia/Tokyo", "PYTHONPATH": os.pathsep.join(sys.path)}
    shared.reset(7)
    here = play(shared, actions(60))[-1]
    for file in ("-", str(tmp_path / "elsewhere.py")):
        elsewhere = subprocess.run(
            [sys.executable, file],
            input=script,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert elsewhere.stdout.split() == ["begins", here]


def _opened(said: Any) -> None:
    try:
        pool_of(workers=1)
    except UserError as error:
        said.put(str(error))


def test_a_daemonic_process_is_told_that_it_can_have_no_games() -> None:
    context = mp.get_context("forkserver")
    said = context.Queue()
    process = context.Process(target=_opened, args=(said,), daemon=True)
    process.start()
    assert "a daemonic process cannot have: start it with daemon=False" in said.get(timeout=120)
    process.join()


def test_a_snapshot_brings_back_the_very_games(shared: GamePool) -> None:
    shared.reset()
    before, after = actions(LIMIT + 25), actions(50, seed=1)
    play(shared, before)
    snapshot, shown = shared.snapshot(), {name: shared.obs[name].copy() for name in ENGINE}
    assert snapshot.episode.min() >= 1  # all games have gone on to another episode
    future = play(shared, after)
    with pool_of(workers=1) as pool:
        pool.restore(snapshot)
        for name in ENGINE:
            np.testing.assert_array_equal(pool.obs[name], shown[name], err_msg=name)
        assert play(pool, after) == future
    shared.restore(snapshot)
    assert play(shared, after) == future


def test_truncation_keeps_the_last_observation_and_is_no_death(shared: GamePool) -> None:
    shared.reset(5)  # episodes in which nobody dies of standing still
    for t in range(LIMIT):
        assert not shared.ended.any(), t
        last = shared.obs["blstats"].copy()
        shared.step(np.full(GAMES, INDEX["search"]))
    assert (shared.ended == End.TRUNCATED).all()
    assert (shared.final_state["step"] == LIMIT).all()
    assert (shared.final["blstats"][:, TURN] >= last[:, TURN]).all()
    assert (shared.final["blstats"][:, TURN] == shared.final_state["turn"]).all()
    assert (shared.final["chars"] != ord(" ")).any((1, 2)).all()
    # The rest shows the first observation of the next episode.
    assert (shared.state["step"] == 0).all()
    assert (shared.obs["blstats"][:, TURN] == 1).all()
    assert (shared.episode == 6).all()
    shared.step(np.full(GAMES, INDEX["wait"]))
    assert not shared.ended.any()


def test_death_is_told_from_truncation_and_keeps_its_message(shared: GamePool) -> None:
    shared.reset()
    ends = []
    for _ in range(LIMIT - 1):
        shared.step(np.full(GAMES, INDEX["pray"]))
        for game in np.flatnonzero(shared.ended):
            said = shared.final["message"][game].tobytes().rstrip(b"\0")
            ends.append(int(shared.ended[game]))
            assert said == b"You die..." or b"You fry to a crisp!" in said
            assert shared.final_state["step"][game] < LIMIT
            assert shared.state["step"][game] == 0
            assert (shared.final["chars"][game] != ord(" ")).any()
    assert len(ends) >= GAMES
    assert set(ends) == {End.DEATH}


def test_idle_games_stay_as_they_are(shared: GamePool) -> None:
    shared.reset()
    play(shared, actions(5))
    before = {name: shared.obs[name].copy() for name in ENGINE}
    steps = shared.state["step"].copy()
    move = np.full(GAMES, IDLE)
    move[1] = INDEX["wait"]
    shared.step(move)
    others = np.arange(GAMES) != 1
    for name in ENGINE:
        np.testing.assert_array_equal(shared.obs[name][others], before[name][others])
    assert (shared.state["step"] - steps).tolist() == [0, 1, 0, 0, 0]
    assert not shared.changes[others].any()


@pytest.mark.parametrize("bad", [len(NAMES), -2, 1000])
def test_an_action_that_does_not_exist_is_refused(shared: GamePool, bad: int) -> None:
    shared.reset()
    before = digest(shared)
    move = np.zeros(GAMES, np.int64)
    move[2] = bad
    with pytest.raises(ValueError, match="actions must be"):
        shared.step(move)
    assert digest(shared) == before


def test_a_killed_worker_is_replaced(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Its games are lost and counted; the others go on as if nothing had happened."""
    moves = actions(30)
    with pool_of() as pool:
        pool.reset()
        untouched = pool._of_worker[1][0].start
        undisturbed = []
        for row in moves:
            pool.step(row)
            undisturbed.append(pool.obs["glyphs"][untouched:].tobytes())
    with pool_of() as pool:
        pool.reset()
        for t, row in enumerate(moves):
            if t == 10:
                victim = pool._processes[0]
                os.kill(victim.pid or 0, signal.SIGKILL)
                victim.join()
            began = time.monotonic()
            with caplog.at_level(logging.WARNING):
                pool.step(row)
            assert time.monotonic() - began < 1
            assert pool.obs["glyphs"][untouched:].tobytes() == undisturbed[t]
            lost = (pool.ended == End.LOST).tolist()
            assert lost == [t == 10 and game < untouched for game in range(GAMES)]
        assert pool.lost == untouched
        assert pool.episode.tolist() == [1] * untouched + [0] * (GAMES - untouched)
        assert (pool.state["step"][:untouched] == 19).all()
        assert f"the episodes of its {untouched} games are lost" in caplog.text
        snapshot = pool.snapshot()
        assert [len(log) for log in snapshot.actions] == [19] * untouched + [30] * (GAMES - untouched)


def test_a_worker_killed_while_it_works_is_replaced() -> None:
    """Games of the part that was not being played are lost too, which the next step of that part tells."""
    with pool_of(parts=2) as pool:
        pool.reset()
        first, second = pool.rows
        wait = np.full(GAMES, INDEX["wait"])
        pool.step(wait)
        victim = pool._processes[1].pid or 0
        lost = [game for rows in pool._of_worker[1] for game in range(rows.start, rows.stop)]
        os.kill(victim, signal.SIGSTOP)  # it will not read its order ...
        pool.begin(wait[first], 0)
        os.kill(victim, signal.SIGKILL)  # ... and dies with it unread
        pool.finish(0)
        assert pool.lost == len(lost)
        assert np.flatnonzero(pool.ended == End.LOST).tolist() == [g for g in lost if g < first.stop]
        # This action was chosen for games that are no more.
        pool.begin(wait[second], 1)
        pool.finish(1)
        assert np.flatnonzero(pool.ended == End.LOST).tolist() == lost
        assert (pool.state["step"][lost] == 0).all()
        pool.step(wait)
        assert not pool.ended.any()
        assert (pool.state["step"][lost] == 1).all()
        assert [len(log) for log in pool.snapshot().actions] == pool.state["step"].tolist()


def test_a_worker_lost_at_a_reset_changes_no_episode(shared: GamePool) -> None:
    """Nothing was played in the lost games, so they begin what they were told to begin."""
    shared.reset(4)
    expected = digest(shared)
    with pool_of() as pool:
        victim = pool._processes[0]
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
        pool.reset(4)
        assert pool.lost == pool._of_worker[0][0].stop
        assert digest(pool) == expected


@pytest.mark.parametrize("seed", range(3))
def test_workers_killed_at_any_moment_lose_nothing_but_their_games(seed: int) -> None:
    rng = random.Random(seed)
    games, moves = 8, np.full(8, INDEX["wait"])
    with GamePool(games, "train", seed, 10_000, workers=2, parts=2) as pool:
        pool.reset()
        for _ in range(4):
            victim = pool._processes[rng.randrange(2)].pid or 0
            timer = threading.Timer(rng.random() * 0.02, os.kill, (victim, signal.SIGKILL))
            timer.start()
            lost, told = pool.lost, 0
            while pool.lost == lost:
                pool.step(moves)
                told += int((pool.ended == End.LOST).sum())
            timer.join()
            pool.step(moves)
            told += int((pool.ended == End.LOST).sum())
            assert told == pool.lost - lost == games // 2
        assert all(process.is_alive() for process in pool._processes)


def test_a_worker_that_hangs_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    wait = np.full(GAMES, INDEX["wait"])
    with pool_of() as pool:
        pool.reset()
        pool._patience = 4.0
        hung = pool._processes[0]
        os.kill(hung.pid or 0, signal.SIGSTOP)
        pool.step(wait)
        assert not hung.is_alive()
        lost = [game for rows in pool._of_worker[0] for game in range(rows.start, rows.stop)]
        assert np.flatnonzero(pool.ended == End.LOST).tolist() == lost
        pool.step(wait)
        assert not pool.ended.any()
        assert "worker 0 did not answer for 4 s and was stopped" in caplog.text


def test_a_worker_that_dies_at_its_start_is_told_in_a_sentence(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is among the reasons only where it can be one."""
    start = GamePool._start
    number = signal.SIGKILL

    def killed(pool: GamePool, w: int) -> None:
        start(pool, w)
        os.kill(pool._processes[w].pid or 0, number)

    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with pool_of() as pool:
        pool.reset()
        monkeypatch.setattr(GamePool, "_start", killed)
        with pytest.raises(UserError, match=r"^worker 0 of the games died \(SIGKILL\) at its start; if mem"):
            pool_of()
        number = signal.SIGSEGV
        with pytest.raises(UserError, match=r"^worker 0 of the games died \(SIGSEGV\) at its start$"):
            pool_of()
        os.kill(pool._processes[1].pid or 0, signal.SIGKILL)
        with pytest.raises(UserError, match=r"^worker 1 of the games died .*; the one that took its"):
            pool.step(np.full(GAMES, INDEX["wait"]))
    assert left_behind(temporary) == []


CLEANED = """
import logging, shutil, sys, tempfile
from pathlib import Path
import numpy as np
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.pool.pool import GamePool
if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    starts = ["stairs", None, None, None]
    with GamePool(4, "train", 0, 10, workers=2, loader=sys.argv[1], arena=starts) as pool:
        pool.reset()
        for t in range(25):
            if t == 3:
                for folder in Path(tempfile.gettempdir()).iterdir():
                    shutil.rmtree(folder)
            pool.step(np.full(4, INDEX["search"]))
            if pool.ended.any():
                print(t, *pool.ended)
"""


@pytest.mark.parametrize("loader", ["shared", "stock"])
def test_when_the_temporary_folder_is_cleaned_games_go_on_in_a_new_one(
    temporary: Path, tmp_path: Path, loader: str
) -> None:
    """In a folder whose name has a space and other letters; with all that is there, sockets too."""
    (tmp_path / "cleaned.py").write_text(CLEANED)
    folder = temporary / "ein Örtchen"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(tmp_path / "cleaned.py"), loader],
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["9 4 4 4 4", "19 3 3 3 3"]
    first, moved, second = done.stderr.splitlines()
    assert first.startswith(f"worker 0 cannot go on: {folder}/maestromotif-")
    assert first.endswith(" was removed; the episodes of its 2 games are lost")
    assert "the folder of the games' temporary files, was removed; now: " in moved
    assert second.startswith("worker 1 cannot go on: ")
    assert not list(folder.iterdir())


FULL = """
import os, signal, sys, tempfile
import numpy as np
from maestromotif.errors import UserError
from maestromotif.nethack.pool.pool import GamePool
if __name__ == "__main__":
    tempfile.tempdir = sys.argv[1]
    for games, arena in ((64, None), (2, "stairs")):
        try:
            GamePool(games, "train", 0, 10, workers=1, arena=arena)
        except UserError as error:
            print(error)
    with GamePool(2, "train", 0, 10, workers=1) as pool:
        pool.reset()
        with open(f"{sys.argv[1]}/big", "wb", buffering=0) as big:
            try:
                while True:
                    big.write(bytes(4096))
            except OSError:
                pass
        os.kill(pool._processes[0].pid, signal.SIGKILL)
        pool.step(np.full(2, 19))
        print(pool.lost, "lost")
"""


def test_no_room_for_temporary_files_is_said_with_what_is_needed(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "full.py").write_text(FULL)
    done = on_small_disk(temporary, sys.executable, tmp_path / "full.py", temporary / "disk")
    assert done.returncode == 0, done.stdout + done.stderr
    games, arena, lost = done.stdout.splitlines()
    where = (
        f"for temporary files in {temporary}/disk, but 2.1 MB are free there; free some space, or set TMPDIR"
    )
    assert games.startswith(f"nethack.games: 64 games need about 6.4 MB {where}")
    assert arena.startswith(f"nethack.games: 2 games need about 4.2 MB {where}")
    # A game needs room only where it writes a level, so it begins again even on a disk that is full.
    assert lost == "2 lost"


def test_nothing_is_left_behind(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    left = temporary / "maestromotif-of-a-dead-process"
    left.mkdir()
    (left / "in-use").touch()
    with pool_of() as pool:
        assert not left.exists()
        with pool_of() as other:  # what is in use stays
            other.reset()
        pool.reset()
        pool.step(np.full(GAMES, INDEX["wait"]))
        (folder,) = temporary.iterdir()
        assert len(list(folder.glob("worker-*"))) == 2
        os.kill(pool._processes[0].pid or 0, signal.SIGKILL)
        pool.step(np.full(GAMES, INDEX["wait"]))
        os.kill(pool._processes[1].pid or 0, signal.SIGKILL)
        held, processes = pool.obs["chars"], [*pool._processes]
        assert left_behind(temporary)
    assert left_behind(temporary) == []
    assert not any(process.is_alive() for process in processes)
    assert held.shape[0] == GAMES  # an array that somebody holds does no harm


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_main_process_leaves_nothing(
    tmp_path: Path, temporary: Path, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C goes to the whole group of processes, as a terminal does it; SIGKILL to the main one alone."""
    file = tmp_path / "main.py"
    file.write_text(
        "from maestromotif.nethack.pool.pool import GamePool\n"
        "import numpy as np\n"
        "if __name__ == '__main__':\n"
        "    with GamePool(4, 'train', 0, 100, workers=2) as pool:\n"
        "        pool.reset()\n"
        "        print(*(process.pid for process in pool._processes), flush=True)\n"
        "        while True:\n"
        "            pool.step(np.full(4, 19))\n"
    )
    main = subprocess.Popen(
        [sys.executable, str(file)],
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert main.stdout is not None
    workers = [Path("/proc", pid) for pid in main.stdout.readline().split()]
    assert len(workers) == 2
    assert left_behind(temporary)
    if how is signal.SIGINT:
        os.killpg(main.pid, how)
    else:
        main.kill()
    _, errors = main.communicate(timeout=60)  # ends when the last process that holds the pipes has ended
    assert main.returncode == -how
    if how is signal.SIGINT:
        assert errors.count("Traceback") == 1  # that of the main process alone
        assert "KeyboardInterrupt" in errors
    deadline = time.monotonic() + 20
    while any(worker.exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(worker.exists() for worker in workers)
    # After SIGKILL nobody is left who could remove the folders of the pool and its server; the next one does.
    assert len(left_behind(temporary)) == 2 * (how is signal.SIGKILL)
    assert not list(temporary.glob("*/worker-*"))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with scratch() as folder:
        assert left_behind(temporary) == [folder.name]
    assert not list(temporary.iterdir())


def test_the_screen_is_there_when_it_is_asked_for() -> None:
    with GamePool(1, "evaluate", 0, 10, workers=1, observe=SCREEN) as pool:
        pool.reset()
        pool.step(np.array([INDEX["wait"]]))
        assert {name: pool.obs[name].shape[1:] for name in SCREEN} == {
            "tty_chars": (24, 80),
            "tty_colors": (24, 80),
            "tty_cursor": (2,),
        }
        assert b"Agent" in pool.obs["tty_chars"][0, 22].tobytes()


def test_parts_are_stepped_in_turn_and_change_nothing(shared: GamePool) -> None:
    moves = actions(60)
    shared.reset()
    whole = play(shared, moves)
    with pool_of(parts=2) as pool:
        assert [(rows.start, rows.stop) for rows in pool.rows] == [(0, 2), (2, 5)]
        pool.reset()
        assert play(pool, moves) == whole
        # One part ahead of the other, both under way at once.
        pool.reset()
        first, second = pool.rows
        pool.begin(moves[0][first], 0)
        for t in range(len(moves) - 1):
            pool.begin(moves[t][second], 1)
            pool.finish(0)
            standing = pool.obs["blstats"][first].copy()
            pool.finish(1)
            np.testing.assert_array_equal(pool.obs["blstats"][first], standing)
            assert digest(pool) == whole[t]
            pool.begin(moves[t + 1][first], 0)
        pool.begin(moves[-1][second], 1)
        pool.finish(1)
        pool.finish(0)
        assert digest(pool) == whole[-1]


def test_both_loaders_make_the_same_pool(shared: GamePool) -> None:
    moves = actions(80)
    shared.reset()
    with pool_of(loader="stock") as stock:
        stock.reset()
        assert play(stock, moves) == play(shared, moves)


def test_death_has_a_cause(shared: GamePool) -> None:
    shared.reset()
    causes = []
    for _ in range(LIMIT - 1):
        shared.step(np.full(GAMES, INDEX["pray"]))
        causes += shared.cause[shared.ended == End.DEATH].tolist()
        assert not shared.cause[shared.ended == End.TRUNCATED].any()
    assert len(causes) >= GAMES
    assert any(b", while praying" in cause for cause in causes), causes
    assert any(b"the wrath of" in cause or b"killed by" in cause for cause in causes), causes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"games": 10**7}, r"nethack\.games: 10000000 games in 2 worker processes need about .* GB"),
        ({"games": 3, "parts": 4}, "3 games cannot be divided into 4 parts"),
        ({"observe": ("glyps",)}, "NLE has no observation 'glyps'; did you mean 'glyphs'"),
        ({"arena": "shopp"}, "there is no arena 'shopp'; did you mean 'shop'"),
        ({"character": "mon-orc-neu-mal"}, "the race of a Monk is one of: hum"),
        ({"character": "mon-hum-neu"}, "role-race-alignment-gender, such as 'mon-hum-neu-mal'"),
        ({"character": "mok-hum-neu-mal"}, "no role 'mok'; did you mean 'mon'"),
        ({"options": Path("nowhere.rc")}, r"nethack\.options: nowhere\.rc: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_is_said_before_any_game_starts(
    arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(GamePool, "_start", lambda *_: pytest.fail("a worker was started"))
    with pytest.raises(UserError, match=message):
        GamePool(arguments.pop("games", 4), "train", 0, 10, workers=2, **arguments)
    assert left_behind(temporary) == []


def test_too_many_open_files_are_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 512))
    limits = []
    monkeypatch.setattr("resource.setrlimit", lambda _, limit: limits.append(limit))
    capacity.check_room(100, 1, 0, "shared")
    assert limits == [(364, 512)]
    with pytest.raises(UserError, match="200 games in each of 1 worker processes need about 664 open files"):
        capacity.check_room(200, 1, 0, "shared")


def test_a_bad_line_of_an_options_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "my.nethackrc"
    file.write_text("# mine\nOPTIONS=color,showexp\nOPTIONS=pickup_burden:wobble\nMSGTYPE=hide x\n")
    with pytest.raises(UserError) as refused:
        pool_of(options=file)
    assert str(refused.value).splitlines() == [
        f"{file}:3: OPTIONS=pickup_burden:wobble",
        "  NetHack says: Unknown pickup_burden parameter 'wobble'.",
    ]
    file.write_text("OPTIONS=color,showexp,time,!legacy,pettype:none\n")
    with GamePool(2, "train", 0, 10, workers=1, options=file, character="val-dwa-law-fem") as pool:
        pool.reset()
        assert (pool.obs["blstats"][:, 26] == 1).all()  # lawful


def test_a_long_path_of_temporary_files_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pool_of() as pool:
        pool.reset()
        assert (pool.obs["blstats"][:, TURN] == 1).all()


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "many-games.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    file = tmp_path / "example.py"
    file.write_text(example)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@given(
    st.integers(0, 2**63 - 1),
    st.integers(0, 10_000),
    st.integers(0, 10**6),
    st.sampled_from(sorted(PURPOSES)),
)
def test_seeds_of_different_purposes_never_meet(
    run_seed: int, game: int, episode: int, purpose: Purpose
) -> None:
    seeds = episode_seeds(purpose, run_seed, game, episode)
    assert seeds == episode_seeds(purpose, run_seed, game, episode)
    assert all(seed >> 29 == PURPOSES[purpose] for seed in seeds)


def test_every_episode_has_seeds_of_its_own() -> None:
    seeds = {episode_seeds("train", 0, game, episode) for game in range(64) for episode in range(20)}
    assert len(seeds) == 64 * 20
