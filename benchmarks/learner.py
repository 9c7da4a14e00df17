"""Speed of training: where the time goes, how close it comes to its bound, and how it compares with peers.

    python benchmarks/learner.py [--sample-factory ENV/bin/python] [--rounds 3] [--seconds 40]
    python benchmarks/learner.py --config configs/five_skills_gpu.yaml --no-peers reward.path=FOLDER

    python benchmarks/learner.py --no-peers --against 'train.network.mask=false train.network.sees=[]'

Every round measures these in turn, with the same games, network, observations and update settings. The
peers play the 28 published actions, without a mask and further inputs, so beside them ours does too; with
--no-peers ours is as in the config:

ours              `maestromotif train` unchanged: rewards of distilled models, the program over skills, PPO;
                  alternating with its parts, each measured alone while training waits:
  engine            the games, replaying the policy's actions
  inference         the policy
  update            the learner
against           ours again with the settings of --against, for the ratio of the speeds in one run
Sample Factory    its asynchronous PPO (`peers/sample_factory_nethack.py` says how to install it)
synchronous PPO   in the style of CleanRL on AsyncVectorEnv (`peers/synchronous_ppo.py`)

On a CPU the bound is the number of cores divided by the CPU-seconds per step of engine, inference and update.
Each part is measured alone but on all cores at once: two logical cores are often one physical core, so a
CPU-second is worth less when both are busy, as in training. On a GPU the bound is the slower of the engine
alone and of inference and update together. The bound leaves out rewards, the program and data transfers.
Figures are medians over turns and rounds; ratios are computed within a turn or round before taking the
median. The last line is one JSON object.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from meter import cpu_seconds

from maestromotif.agent.inputs import Block, fill
from maestromotif.agent.network import build
from maestromotif.agent.policy import fresh_carry, make_acting
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.machine import available_cores
from maestromotif.nethack.pool.pool import GamePool, open_pool
from maestromotif.pipeline.store import Work
from maestromotif.train import train
from maestromotif.train.actor import Actor
from maestromotif.train.environment_process import EnvironmentProcess
from maestromotif.train.learner import Learner, Learnt
from maestromotif.train.ppo import Batch

PARTS = ("engine", "inference", "update")
PEERS = Path(__file__).parent / "peers"
# What the peers play and see; ours plays and sees no more beside them.
PEERS_HAVE = ["train.network.actions=published", "train.network.mask=false", "train.network.sees=[]"]


_STEP = EnvironmentProcess.step  # the original; `measure` wraps it to record actions


class _OverError(Exception):
    """The measurement is done."""


class Watch:
    """Wall and CPU time of a piece of work, in this process and its children."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def per(self, steps: int) -> tuple[float, float]:
        """Seconds of wall time and of CPU time per step."""
        wall, now = time.perf_counter() - self._wall, cpu_seconds()
        return wall / steps, sum(used - self._cpu.get(pid, 0.0) for pid, used in now.items()) / steps


class Parts:
    """Engine, inference and update, each measured alone; a call measures one part for `seconds`.

    played: actions of our games, by actor and step; the engine's games replay them from the start.
    """

    def __init__(
        self,
        config: Config,
        played: Mapping[EnvironmentProcess, list[np.ndarray]],
        learner: Learner,
        learnt: Learnt,
        batches: Sequence[Batch],
    ) -> None:
        self._config, self._played, self._learner, self._batches = config, played, learner, batches
        self._learnt = jax.tree.map(lambda leaf: leaf + 0, learnt)  # a copy, because updates donate it
        self._each = config.nethack.games // config.train.actors
        self._next = [0] * config.train.actors  # next step of the engine's games, by actor
        self._stack = ExitStack()
        self._works: dict[str, list[Callable[[], int]]] = {}

    def __enter__(self) -> "Parts":
        nethack = self._config.nethack
        self._pools = [
            self._stack.enter_context(
                open_pool(
                    self._config,
                    "train",
                    self._each,
                    nethack.max_steps,
                    nethack.levels,
                    train.places_to_start(self._config.train.arenas, self._each),
                    part * self._each,
                )
            )
            for part in range(self._config.train.actors)
        ]
        self._threads = self._stack.enter_context(
            ThreadPoolExecutor(max(len(self._pools), available_cores()))
        )
        for pool in self._pools:
            pool.reset()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def engine(self, seconds: float) -> tuple[float, float]:
        watch, until = Watch(), time.perf_counter() + seconds

        def go_on(part: int, pool: GamePool, rows: list[np.ndarray]) -> int:
            first = self._next[part]
            while time.perf_counter() < until and self._next[part] < len(rows):
                pool.step(rows[self._next[part]])
                self._next[part] += 1
            return (self._next[part] - first) * pool.games

        each = self._threads.map(go_on, range(len(self._pools)), self._pools, self._played.values())
        return watch.per(sum(each))

    def inference(self, seconds: float) -> tuple[float, float]:
        each, length = self._each, self._config.train.rollout
        network = build(self._config.train.network, len(self._config.skills))
        acting = make_acting(network, each, length)
        params = self._learner.on_device(self._learnt.params, 0)
        block, views = Block(each, network.form).allocate()
        message = np.zeros(views.message.shape, views.message.dtype)
        nothing, pool, key = np.zeros(each, np.int32), self._pools[0], jax.random.key(0)
        shown = pool.obs, pool.state, message, nothing.astype(bool), nothing, pool.marks, pool.allowed
        fill(views, *shown, slice(None))

        def make() -> Callable[[], int]:
            carry = jax.device_put(fresh_carry(network, each))
            rollout, _ = acting.begin(carry)

            def act() -> int:
                nonlocal carry, rollout
                for t in range(length):
                    carry, rollout, action = acting.act(params, carry, rollout, block, t, key, t)
                    np.asarray(action)
                return each * length

            return act

        return self._repeat("inference", make, seconds)

    def update(self, seconds: float) -> tuple[float, float]:
        key, rate = jax.random.key(0), self._config.train.learning_rate

        def make() -> Callable[[], int]:
            own = jax.tree.map(lambda leaf: leaf + 0, self._learnt)

            def update() -> int:
                nonlocal own
                own, _, _ = Learner.update(self._learner, own, self._batches, key, rate)
                return self._config.nethack.games * self._config.train.rollout

            return update

        return self._repeat("update", make, seconds)

    def _repeat(
        self, name: str, make: Callable[[], Callable[[], int]], seconds: float
    ) -> tuple[float, float]:
        """Measures one worker on a GPU, one worker per core on a CPU."""
        if name not in self._works:
            count = available_cores() if jax.default_backend() == "cpu" else 1
            self._works[name] = [make() for _ in range(count)]
            for work in self._works[name]:
                work()
        watch, until = Watch(), time.perf_counter() + seconds

        def go_on(work: Callable[[], int]) -> int:
            steps = 0
            while time.perf_counter() < until:
                steps += work()
            return steps

        return watch.per(sum(self._threads.map(go_on, self._works[name])))


def measure(config: Config, warm_up: int, seconds: float, turns: int) -> dict[str, Any]:
    """Alternates between a training run and its parts, because the machine's load changes over minutes.

    Half of each turn's time is for training, the rest for the parts.
    """
    played: dict[EnvironmentProcess, list[np.ndarray]] = {}
    actors: list[Actor] = []
    measured: list[dict[str, tuple[float, float]]] = []
    where: list[dict[str, float]] = []
    slice_ = seconds / turns / 2
    stack = ExitStack()

    class Measured(Learner):
        updates = 0  # since training resumed
        watch: Watch | None = None
        parts: Parts | None = None

        def update(self, learnt: Any, parts: Any, key: Any, learning_rate: float) -> Any:
            out = super().update(learnt, parts, key, learning_rate)
            self.updates += 1
            if self.updates == warm_up:
                self.watch, self.began, self.before = Watch(), time.perf_counter(), spent()
            elif self.updates > warm_up and time.perf_counter() - self.began > slice_:
                steps = (self.updates - warm_up) * config.nethack.games * config.train.rollout
                assert self.watch is not None
                ours, now = self.watch.per(steps), spent()
                where.append({name: (now[name] - self.before[name]) / steps for name in now})
                for actor in actors:
                    actor._thread.submit(
                        lambda: None
                    ).result()  # wait until it has played all submitted steps
                if self.parts is None:
                    self.parts = stack.enter_context(Parts(config, played, self, out[0], parts))
                measured.append(
                    {
                        "ours": ours,
                        "engine": self.parts.engine(slice_ / 3),
                        "inference": self.parts.inference(slice_ / 3),
                        "update": self.parts.update(slice_ / 3),
                    }
                )
                self.updates = warm_up - 3
                if len(measured) == turns:
                    raise _OverError
            return out

    class Watched(Actor):
        def __init__(self, *arguments: Any, **further: Any) -> None:
            super().__init__(*arguments, **further)
            actors.append(self)
            played[self._environment] = []

    def spent() -> dict[str, float]:
        return {name: sum(vars(one.seconds)[name] for one in actors) for name in vars(actors[0].seconds)}

    def noting(self: EnvironmentProcess, actions: np.ndarray) -> None:
        played[self].append(np.array(actions, np.int8))
        _STEP(self, actions)

    with (
        stack,
        patch.object(train, "Learner", Measured),
        patch.object(train, "Actor", Watched),
        patch.object(EnvironmentProcess, "step", noting),
        tempfile.TemporaryDirectory() as folder,
        suppress(_OverError),
    ):
        train.run(config, {}, Work(Path(folder)))
    return {
        "turns": measured,
        "where": {name: statistics.median(one[name] for one in where) for name in where[0]},
    }


def one_round(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures ours and its parts in this process: medians over the turns."""
    figures = measure(configured(arguments), arguments.warm_up, arguments.seconds, arguments.turns)
    turns = figures["turns"]

    def bound(turn: dict[str, tuple[float, float]]) -> float:
        """Steps per second."""
        if jax.default_backend() == "cpu":
            return available_cores() / sum(turn[part][1] for part in PARTS)
        return 1 / max(turn["engine"][0], turn["inference"][0] + turn["update"][0])

    def medians(name: str) -> list[float]:
        """Median wall time and CPU time."""
        return [statistics.median(turn[name][which] for turn in turns) for which in (0, 1)]

    wall, cpu = medians("ours")
    return {
        "steps_per_second": 1 / wall,
        "cpu": cpu,
        "where": figures["where"],
        "parts": {name: medians(name) for name in PARTS},
        "bound": statistics.median(map(bound, turns)),
        "fraction": statistics.median(1 / turn["ours"][0] / bound(turn) for turn in turns),
        "device": jax.devices()[0].device_kind,
    }


def configured(arguments: argparse.Namespace) -> Config:
    return load(
        arguments.config,
        [
            "reward.path=rewards",
            "train.steps=1000000000000",
            "train.checkpoint_steps=1000000000000",
            *([] if arguments.no_peers else PEERS_HAVE),
            *([] if arguments.games is None else [f"nethack.games={arguments.games}"]),
            *([] if arguments.epochs is None else [f"train.epochs={arguments.epochs}"]),
            *arguments.overrides,
            *shlex.split(arguments.changed or ""),
        ],
    )


def in_a_process(python: str, script: Path, *arguments: str) -> dict[str, Any]:
    """Runs a script and returns the last line that it prints, parsed as JSON."""
    done = subprocess.run([python, str(script), *arguments], stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sample-factory", metavar="PYTHON", help="interpreter of the environment that has it"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40, help="per round, for ours and for each peer")
    parser.add_argument("--turns", type=int, default=5, help="turns of ours and its parts per round")
    parser.add_argument("--warm-up", type=int, default=10, help="updates before measuring ours")
    parser.add_argument(
        "--peer-warm-up", type=float, default=15, help="seconds of training before measuring a peer"
    )
    parser.add_argument("--config", default="configs/quickstart.yaml")
    parser.add_argument("--games", type=int, help="instead of the config's")
    parser.add_argument("--epochs", type=int, help="instead of the config's")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--against", metavar="'KEY=VALUE ...'", help="settings to measure ours with too")
    parser.add_argument("--changed", help=argparse.SUPPRESS)
    parser.add_argument("--one-round", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that override the config")
    arguments = parser.parse_args()
    if arguments.one_round:
        print(json.dumps(one_round(arguments)))
        return
    config = configured(arguments)
    ours_options = ["--one-round", *sys.argv[1:]]
    peer_options = [
        *("--games", str(config.nethack.games), "--epochs", str(config.train.epochs)),
        *("--minibatches", str(config.train.minibatches), "--rollout", str(config.train.rollout)),
        *("--hidden", str(config.train.network.hidden), "--seconds", str(arguments.seconds)),
        *("--warm-up", str(arguments.peer_warm_up)),
    ]
    rounds: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        measured = {"ours": in_a_process(sys.executable, Path(__file__), *ours_options)}
        if arguments.against:
            changed = ("--changed", arguments.against)
            measured["against"] = in_a_process(sys.executable, Path(__file__), *changed, *ours_options)
        if not arguments.no_peers:
            if arguments.sample_factory:
                measured["sample_factory"] = in_a_process(
                    arguments.sample_factory, PEERS / "sample_factory_nethack.py", *peer_options
                )
            measured["sync_ppo"] = in_a_process(sys.executable, PEERS / "synchronous_ppo.py", *peer_options)
        rounds.append(measured)
        show(number, measured)
    print(json.dumps(summary(rounds, config)))


def show(number: int, measured: dict[str, Any]) -> None:
    ours = measured["ours"]
    print(f"\nround {number + 1}, {available_cores()} cores, {ours['device']}")
    print(f"  {'ours':18} {ours['steps_per_second']:9,.0f} steps/s {ours['cpu'] * 1e6:8.1f} us of CPU a step")
    where = {name: value * 1e6 for name, value in ours["where"].items() if name != "bytes"}
    told = ", ".join(f"{name} {value:.1f}" for name, value in where.items())
    print(
        f"    an actor's thread alone, us a step: {told}; "
        f"{ours['where']['bytes']:.0f} bytes to and from the device"
    )
    for name, (wall, cpu) in ours["parts"].items():
        print(f"    {name + ' alone':16} {1 / wall:9,.0f} steps/s {cpu * 1e6:8.1f} us of CPU a step")
    print(f"    {'bound':16} {ours['bound']:9,.0f} steps/s; reached: {ours['fraction']:.0%}")
    for name in ("against", "sample_factory", "sync_ppo"):
        if name in measured:
            peer = measured[name]
            cpu = 1e6 * (peer["cpu"] if name == "against" else peer["cpu_seconds_per_step"])
            print(f"  {name:18} {peer['steps_per_second']:9,.0f} steps/s {cpu:8.1f} us of CPU a step")
    sys.stdout.flush()


def summary(rounds: list[dict[str, Any]], config: Config) -> dict[str, Any]:
    """Medians over the rounds; null for a peer that was not measured."""

    def against(peer: str) -> float | None:
        ratios = [
            one["ours"]["steps_per_second"] / one[peer]["steps_per_second"] for one in rounds if peer in one
        ]
        return round(statistics.median(ratios), 2) if ratios else None

    def median(of: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(of(one["ours"]) for one in rounds)

    def cpu_of(part: str) -> float:
        return median(lambda ours: ours["parts"][part][1])

    return {
        "fraction_of_bound": round(median(lambda ours: ours["fraction"]), 3),
        "vs_sample_factory": against("sample_factory"),
        "vs_sync_ppo": against("sync_ppo"),
        "vs_against": against("against"),
        "steps_per_second": round(median(lambda ours: ours["steps_per_second"])),
        "bytes_per_step": round(median(lambda ours: ours["where"]["bytes"])),
        "cpu_us_per_step": {
            "ours": round(median(lambda ours: ours["cpu"]) * 1e6, 1),
            **{name: round(cpu_of(name) * 1e6, 1) for name in PARTS},
        },
        "games": config.nethack.games,
        "actors": config.train.actors,
        "epochs": config.train.epochs,
        "rounds": len(rounds),
        "cores": available_cores(),
        "actions": config.train.network.actions,
        "device": rounds[0]["ours"]["device"],
    }


if __name__ == "__main__":
    main()
