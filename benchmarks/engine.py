"""Speed of the game engine against its peers, measured by turns in one run. Ends with one line of JSON.

python benchmarks/engine.py [--games 64] [--workers 2] [--rounds 5] [--seconds 4]

All peers play the same kind of games with the same actions, macros, prompt rules and observations, and start
the next episode when one ends. The action mix resembles a policy: mostly walking, rarely a prayer.

pool               `GamePool` in two halves: one half plays while the caller waits for the other's step;
                   with GameState, changes and events
pool, whole        the same, but every step waits for all games
pool, stock        `pool` on NLE's own loader
workers, stock     only stock NLE in worker processes with shared memory
workers, shared    the same on our loader; shows what tracking costs
async vector env   Gymnasium's AsyncVectorEnv over NLE's own environment, one process per game
hot game           only one game per core: an upper bound for any number of games

Each round measures every peer. A reported ratio is the median of the ratios within rounds, because the load
of a machine varies.
"""

import argparse
import json
import multiprocessing as mp
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import nle.env
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from maestromotif.machine import available_cores
from maestromotif.nethack.actions import ESC, INDEX, KEYS, NUM_ACTIONS, WAIT_TURNS
from maestromotif.nethack.engine.loader import address_in, choose, pin_birthday
from maestromotif.nethack.game import End, Game, Setup
from maestromotif.nethack.observation import ENGINE, TURN, Block, engine_layout
from maestromotif.nethack.pool import worker
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.nethack.rcfile import CHARACTER, write_options
from maestromotif.nethack.seeds import EpisodeSeeds, episode_seeds

CAP = 10_000  # steps of an episode


def policy_like_actions(steps: int, games: int, seed: int) -> np.ndarray:
    """int32 [steps, games]: 70 % steps, 10 % runs, 8 % searching, 6 % < > and waiting, 6 % all others."""
    share = np.full(NUM_ACTIONS, 0.005)
    share[INDEX["north"] : INDEX["northwest"] + 1] = 0.70 / 8
    share[INDEX["far_north"] : INDEX["far_northwest"] + 1] = 0.10 / 8
    share[[INDEX["up"], INDEX["down"], INDEX["wait"]]] = 0.02
    share[INDEX["search"]] = 0.08
    share[[INDEX["more"], INDEX["cast"]]] = 0.01
    share[INDEX["pray"]] = 0.0002
    rng = np.random.default_rng(seed)
    return rng.choice(NUM_ACTIONS, (steps, games), p=share / share.sum()).astype(np.int32)


class Peer(Protocol):
    """Steps all games at once. The figures come from `turns` int64 [games] and `processes`."""

    @property
    def turns(self) -> np.ndarray: ...
    @property
    def processes(self) -> Sequence[Any]: ...
    def step(self, actions: np.ndarray) -> None: ...
    def close(self) -> None: ...


class Whole:
    def __init__(self, games: int, workers: int, loader: Any) -> None:
        self._pool = GamePool(games, "train", 0, CAP, workers, loader=loader)
        self._pool.reset()
        self.turns, self.processes = self._pool.obs["blstats"][:, TURN], self._pool._processes
        self.step, self.close = self._pool.step, self._pool.close


class Halves:
    """The pool in two halves: one half plays while the caller waits for the other."""

    def __init__(self, games: int, workers: int, loader: Any) -> None:
        self._pool = GamePool(games, "train", 0, CAP, workers, parts=2, loader=loader)
        self._pool.reset()
        self.turns, self.processes = self._pool.obs["blstats"][:, TURN], self._pool._processes
        self._playing = False

    def step(self, actions: np.ndarray) -> None:
        first, second = self._pool.rows
        if self._playing:
            self._pool.finish(0)
        self._pool.begin(actions[first], 0)
        if self._playing:
            self._pool.finish(1)
        self._pool.begin(actions[second], 1)
        self._playing = True

    def close(self) -> None:
        self._pool.close()


class Workers:
    """Worker processes that only play: what a researcher with performance in mind would write."""

    def __init__(self, games: int, workers: int, setup: Setup) -> None:
        context = mp.get_context("forkserver")
        layout = {**engine_layout(ENGINE), "action": ((), np.dtype(np.int32))}
        self._block = Block(layout, games)
        self.turns = self._block["blstats"][:, TURN]
        self._connections: list[Connection] = []
        self.processes = []
        for first, last in pairwise(games * i // workers for i in range(workers + 1)):
            ours, theirs = context.Pipe()
            arguments = (theirs, DupFd(self._block.file), games, first, last, setup)
            self.processes.append(context.Process(target=play_when_told, args=arguments, daemon=True))
            self.processes[-1].start()
            theirs.close()  # so that a process that dies ends the benchmark
            self._connections.append(ours)
        for connection in self._connections:
            connection.recv_bytes()

    def step(self, actions: np.ndarray) -> None:
        self._block["action"][:] = actions
        for connection in self._connections:
            connection.send_bytes(b"s")
        for connection in self._connections:
            connection.recv_bytes()

    def close(self) -> None:
        for connection in self._connections:
            connection.send_bytes(b"q")
        for process in self.processes:
            process.join()


def play_when_told(
    connection: Connection, memory: Any, games: int, first: int, last: int, setup: Setup
) -> None:
    layout = {**engine_layout(ENGINE), "action": ((), np.dtype(np.int32))}
    block = Block(layout, games, memory.detach())
    episode = [0] * games
    mine = {game: setup.open({name: block[name][game] for name in ENGINE}) for game in range(first, last)}
    for number, game in mine.items():
        game.reset(episode_seeds("train", 0, number, 0))
    connection.send_bytes(b"k")
    while connection.recv_bytes() == b"s":
        for number, game in mine.items():
            if game.step(int(block["action"][number])):
                episode[number] += 1
                game.reset(episode_seeds("train", 0, number, episode[number]))
        connection.send_bytes(b"k")
    for game in mine.values():
        game.close()


class NLEEngine:
    """NLE's environment as an engine: each key is one environment step."""

    def __init__(self, env: nle.env.NLE) -> None:
        self._env, self._number = env, {int(key): i for i, key in enumerate(env.actions)}
        self.folder = Path(env.nethack._vardir)
        self.seen: Mapping[str, np.ndarray] = {}
        self._over = False

    def start(self, seeds: EpisodeSeeds) -> None:
        self._env.seed(seeds.core, seeds.disp, False, seeds.lgen)
        self.seen, _ = self._env.reset()
        pin_birthday(self._env.nethack.dlpath)
        self._over = False

    def send(self, key: int) -> None:
        self.seen, _, self._over, _, _ = self._env.step(self._number[key])

    def over(self) -> int:
        return self._over

    def how_done(self) -> int:
        return int(self._env.nethack.how_done())

    def address(self, name: str) -> int:
        return address_in(self._env.nethack.dlpath, name)

    def close(self) -> None:
        self._env.close()


class NLEGame(gymnasium.Env[Any, np.integer[Any]]):
    """NLE's environment with our actions, macros and prompt rules.

    folder: it holds the options file that `AsyncVector` wrote; the environments' processes only read it.
    """

    def __init__(self, number: int, folder: Path) -> None:
        env = nle.env.NLE(
            observation_keys=ENGINE,
            actions=tuple(sorted({*KEYS, *WAIT_TURNS, *range(32, 127), ESC})),
            options=[f"@{folder}/nethackrc"],
            max_episode_steps=1 << 60,
            allow_all_modes=True,
            allow_all_yn_questions=True,
            fix_moon_phase=True,
        )
        self._engine = NLEEngine(env)
        self._game = Game(env.nethack._obs_buffers, self._engine)
        self._number, self._episode = number, 0
        self.action_space = gymnasium.spaces.Discrete(NUM_ACTIONS)
        self.observation_space = gymnasium.spaces.Dict({name: env.observation_space[name] for name in ENGINE})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._game.reset(episode_seeds("train", 0, self._number, self._episode))
        self._episode += 1
        return self._engine.seen, {}

    def step(self, action: np.integer[Any] | int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        end = self._game.step(int(action))
        return self._engine.seen, 0.0, end != End.NOT, False, {}

    def close(self) -> None:
        self._game.close()


class AsyncVector:
    def __init__(self, games: int, folder: Path) -> None:
        # NLE appends the character to the name of the file.
        (folder / f"nethackrc,name:Agent-{CHARACTER}").write_bytes(
            (folder / "nethackrc,name:Agent").read_bytes()
        )
        self._env = AsyncVectorEnv(
            [partial(NLEGame, game, folder) for game in range(games)],
            shared_memory=True,
            copy=False,
            context="forkserver",
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        seen: Mapping[str, np.ndarray]
        seen, _ = self._env.reset()
        self.turns, self.processes = seen["blstats"][:, TURN], self._env.processes

    def step(self, actions: np.ndarray) -> None:
        self._env.step(actions)

    def close(self) -> None:
        self._env.close()


def hot_games(workers: int, seconds: float, setup: Setup) -> tuple[float, float]:
    """Total steps and turns a second of one game per worker, without synchronisation."""
    context = mp.get_context("forkserver")
    results = context.SimpleQueue()
    players = [context.Process(target=play_alone, args=(i, seconds, setup, results)) for i in range(workers)]
    for player in players:
        player.start()
    found = [results.get() for _ in players]
    for player in players:
        player.join()
    steps, turns = np.sum(found, axis=0).tolist()
    return steps, turns


def play_alone(number: int, seconds: float, setup: Setup, results: Any) -> None:
    arrays = {name: np.zeros(*what) for name, what in engine_layout(ENGINE).items()}
    game = setup.open(arrays)
    game.reset(episode_seeds("train", 0, number, 0))
    actions = policy_like_actions(100_000, 1, number)[:, 0].tolist()
    steps = turns = last = episode = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(100):
            if game.step(actions[steps % len(actions)]):
                episode += 1
                game.reset(episode_seeds("train", 0, number, episode))
                last = 0
            now = int(arrays["blstats"][TURN])
            turns, last, steps = turns + now - last, now, steps + 1
    game.close()
    results.put((steps / elapsed, turns / elapsed))


def cpu_seconds(processes: Sequence[Any]) -> float:
    """CPU time that these processes and this one have used so far."""
    total = time.process_time()
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(peer: Peer, actions: np.ndarray, seconds: float) -> dict[str, float]:
    """Figures of one peer over `seconds`."""
    games, steps, turns = actions.shape[1], 0, 0
    last = peer.turns.copy()
    used, start = cpu_seconds(peer.processes), time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        peer.step(actions[steps % len(actions)])
        now = peer.turns
        turns += int(np.maximum(now - last, 0).sum())
        last[:] = now
        steps += 1
    used = cpu_seconds(peer.processes) - used
    return {
        "steps_per_second": games * steps / elapsed,
        "turns_per_second": turns / elapsed,
        "steps_per_cpu_second": games * steps / used,
    }


def profile(games: int, steps: int, setup: Setup) -> dict[str, float]:
    """Shares of the time of a worker with `games` games."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments)
            spent[name] += time.perf_counter() - start
            return result

        return call

    plan = worker.Plan(
        games=games,
        first_game=0,
        purpose="train",
        seed=0,
        max_steps=CAP,
        observe=(),
        levels=None,
        recall=False,
        setups=(setup,) * games,
    )
    block = Block(worker.layout(()), games)
    rows = worker._Rows(block, 0, games, plan)
    rows._begin = timed("resets", rows._begin)  # type: ignore[method-assign]
    rows.reset()
    for game in rows.games:
        game._send = timed("NetHack", game._send)
    rows._tracker.update = timed("GameState and events", rows._tracker.update)  # type: ignore[method-assign]
    spent.clear()
    start = time.perf_counter()
    for action in policy_like_actions(steps, games, 1):
        block["action"][:] = action
        rows.step()
    total = time.perf_counter() - start
    rows.close()
    shares = {name: seconds / total for name, seconds in spent.items()}
    return shares | {"actions, prompts and ends of episodes": 1 - sum(shares.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--games", type=int, default=64)
    parser.add_argument("--workers", type=int, default=available_cores())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="per peer and round")
    given = parser.parse_args()
    games, workers = given.games, given.workers
    loader = choose("auto")
    actions = policy_like_actions(2_000, games, 0)

    rounds: list[dict[str, dict[str, float]]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-benchmark-")))
        # Written once: a game that starts while another process writes the file finds it empty.
        options = write_options(folder)
        setup, stock = Setup(loader, options, folder), Setup("stock", options, folder)
        shares = profile(-(-games // workers), 1_000, setup)
        peers: dict[str, Peer] = {
            "pool": Halves(games, workers, loader),
            "pool, whole": Whole(games, workers, loader),
            "pool, stock": Halves(games, workers, "stock"),
            "workers, stock": Workers(games, workers, stock),
            "workers, shared": Workers(games, workers, setup),
            "async vector env": AsyncVector(games, folder),
        }
        for peer in peers.values():
            stack.callback(peer.close)
            measure(peer, actions, min(1.0, given.seconds))  # warm
        for _ in range(given.rounds):
            figures = {name: measure(peer, actions, given.seconds) for name, peer in peers.items()}
            steps, turns = hot_games(workers, given.seconds, setup)
            figures["hot game"] = {"steps_per_second": steps, "turns_per_second": turns}
            rounds.append(figures)
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)

    def ratio(peer: str) -> float:
        return statistics.median(r["pool"]["steps_per_second"] / r[peer]["steps_per_second"] for r in rounds)

    def median(peer: str, figure: str) -> float:
        return statistics.median(r[peer][figure] for r in rounds)

    print(f"{games} games, {workers} workers, loader: {loader}")
    print(f"{'':18} {'steps/s':>9} {'turns/s':>9} {'pool is':>8}")
    for name in rounds[0]:
        steps, turns = median(name, "steps_per_second"), median(name, "turns_per_second")
        print(f"{name:18} {steps:9,.0f} {turns:9,.0f} {ratio(name):7.2f}x")
    print("where a worker's time goes: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    print(
        json.dumps(
            {
                "games": games,
                "workers": workers,
                "loader": loader,
                "steps_per_second": round(median("pool", "steps_per_second")),
                "turns_per_second": round(median("pool", "turns_per_second")),
                "steps_per_cpu_second": round(median("pool", "steps_per_cpu_second")),
                "vs_async_vector_env": round(ratio("async vector env"), 2),
                "vs_stock_processes": round(ratio("workers, stock"), 2),
                "vs_pool_on_stock_loader": round(ratio("pool, stock"), 2),
                "vs_pool_as_a_whole": round(ratio("pool, whole"), 2),
                "vs_shared_workers_without_tracking": round(ratio("workers, shared"), 2),
                "fraction_of_hot_game": round(ratio("hot game"), 3),
                "worker_time": {name: round(share, 3) for name, share in shares.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
