"""Speed of learning: where its time goes, how near it comes to what its parts allow, and its peers.

    python benchmarks/learner.py [--sample-factory ENV/bin/python] [--rounds 3] [--seconds 40]

In turn, in every round, with the same games, network, observations and settings of the update:

ours              `maestromotif train` as it is: rewards of distilled models, the program over skills, PPO
engine            the games alone, playing again what the policy had played
inference         the policy alone
update            the learner alone
Sample Factory    its asynchronous PPO (`peers/sample_factory_nethack.py` says how to install it)
synchronous PPO   in the style of CleanRL on AsyncVectorEnv (`peers/synchronous_ppo.py`)

A CPU's bound is its cores divided by the CPU-seconds that engine, inference and update take for a step, each
measured with nothing beside it but on all cores at once: two logical cores are often one physical one, which
makes a CPU-second worth less when both are busy, as they are in training. On a GPU the bound is the slower of
the engine alone and of inference and update together. Rewards, the program and all moving of data are not in
the bound. Ratios are medians over the rounds. The last line is one JSON object.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from meter import cpu_seconds

from maestromotif.config import load
from maestromotif.learning import train
from maestromotif.learning.acting import fresh_carry, make_acting
from maestromotif.learning.actor import Actor
from maestromotif.learning.inputs import Block, fill
from maestromotif.learning.learner import Learner
from maestromotif.learning.network import build
from maestromotif.machine import available_cores
from maestromotif.nethack.pool import GamePool, open_pool
from maestromotif.settings import Config
from maestromotif.store import Work

PEERS = Path(__file__).parent / "peers"
CONFIG = "configs/quickstart.yaml"


class _OverError(Exception):
    """The measurement is done."""


class Watch:
    """Wall and CPU time of a stretch of work, of this process and its children."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def per(self, steps: int) -> tuple[float, float]:
        """Seconds of wall and of CPU a step."""
        wall, now = time.perf_counter() - self._wall, cpu_seconds()
        return wall / steps, sum(used - self._cpu.get(pid, 0.0) for pid, used in now.items()) / steps


def measure_ours(config: Config, warm_up: int, seconds: float) -> tuple[dict[str, Any], list[Any], Any]:
    """A training run, measured from update `warm_up` on; what its games played, and a rollout."""
    played: dict[GamePool, list[np.ndarray]] = {}
    kept: dict[str, Any] = {}
    watch: Watch | None = None
    updates = 0

    class Measured(Learner):
        def update(self, learnt: Any, parts: Any, key: Any) -> Any:
            nonlocal watch, updates
            kept.update(learner=self, parts=parts, key=key)
            out = kept["out"] = super().update(learnt, parts, key)
            updates += 1
            if updates == warm_up:
                watch = Watch()
                kept["began"] = time.perf_counter()
                kept["before"] = where()
            elif watch is not None and time.perf_counter() - kept["began"] > seconds:
                steps = (updates - warm_up) * config.nethack.games * config.learning.rollout
                kept["speed"] = watch.per(steps)
                kept["where"] = {
                    name: (value - kept["before"][name]) / steps for name, value in where().items()
                }
                raise _OverError
            return out

    class Watched(Actor):
        def __init__(self, *arguments: Any, **further: Any) -> None:
            super().__init__(*arguments, **further)
            actors.append(self)

    def where() -> dict[str, float]:
        return {name: sum(vars(one.seconds)[name] for one in actors) for name in vars(actors[0].seconds)}

    actors: list[Actor] = []
    step = GamePool.step

    def noting(self: GamePool, actions: np.ndarray) -> None:
        played.setdefault(self, []).append(np.array(actions, np.int8))
        step(self, actions)

    with (
        patch.object(train, "Learner", Measured),
        patch.object(train, "Actor", Watched),
        patch.object(GamePool, "step", noting),
        tempfile.TemporaryDirectory() as folder,
        suppress(_OverError),
    ):
        train.run(config, {}, Work(Path(folder)))
    wall, cpu = kept["speed"]
    figures = {"steps_per_second": 1 / wall, "cpu": cpu, "where": kept["where"]}
    return figures, list(played.values()), kept


def measure_parts(
    config: Config, played: list[list[np.ndarray]], kept: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Engine, inference and update, each alone: (wall, CPU) seconds a step."""
    games, settings = config.nethack.games, config.learning
    each = games // settings.actors
    half = len(played[0]) // 2
    nethack = config.nethack
    with ExitStack() as stack:
        pools = [
            stack.enter_context(
                open_pool(config, "train", each, nethack.max_steps, nethack.levels, first_game=part * each)
            )
            for part in range(settings.actors)
        ]
        threads = stack.enter_context(ThreadPoolExecutor(settings.actors))

        def play(pool: GamePool, actions: list[np.ndarray]) -> None:
            for row in actions:
                pool.step(row)

        for pool in pools:
            pool.reset()
        # First to where the measurement of ours was under way.
        list(threads.map(play, pools, [actions[:half] for actions in played]))
        watch = Watch()
        list(threads.map(play, pools, [actions[half:] for actions in played]))
        engine = watch.per(sum(len(actions) - half for actions in played) * each)

        network = build(settings.network, len(config.skills))
        acting = make_acting(network, each, settings.rollout)
        block, views = Block(each, network.message_form).allocate()
        message = np.zeros(views.message.shape, views.message.dtype)
        nothing = np.zeros(each, np.int32)
        fill(views, pool.obs, pool.state, message, nothing.astype(bool), nothing, slice(None))
    learner, learnt = kept["learner"], kept["out"][0]
    params, key = learner.on_device(learnt.params, 0), jax.random.key(0)

    class Acts:
        def __init__(self) -> None:
            self._carry = jax.device_put(fresh_carry(network, each))
            self._rollout, _ = acting.begin(self._carry)

        def __call__(self) -> int:
            for t in range(settings.rollout):
                self._carry, self._rollout, action = acting.act(
                    params, self._carry, self._rollout, block, t, key, t
                )
                np.asarray(action)
            return each * settings.rollout

    class Updates:
        def __init__(self) -> None:
            self._learnt = jax.tree.map(lambda leaf: leaf + 0, learnt)  # a copy, for it is used up

        def __call__(self) -> int:
            self._learnt, _, _ = Learner.update(learner, self._learnt, kept["parts"], key)
            return games * settings.rollout

    return {"engine": engine, "inference": repeat(Acts, seconds), "update": repeat(Updates, seconds)}


def repeat(make: Callable[[], Callable[[], int]], seconds: float) -> tuple[float, float]:
    """Seconds of wall and CPU a step, of work that says how many steps it was.

    Of one such work on a GPU, of one a core on a CPU.
    """
    works = [make() for _ in range(available_cores() if jax.default_backend() == "cpu" else 1)]
    for work in works:
        work()
    watch, until = Watch(), time.perf_counter() + seconds

    def go_on(work: Callable[[], int]) -> int:
        steps = 0
        while time.perf_counter() < until:
            steps += work()
        return steps

    with ThreadPoolExecutor(len(works)) as threads:
        steps = sum(threads.map(go_on, works))
    return watch.per(steps)


def one_round(arguments: argparse.Namespace) -> dict[str, Any]:
    """All that is ours, in this process."""
    config = configured(arguments)
    figures, played, kept = measure_ours(config, arguments.warm_up, arguments.seconds)
    parts = measure_parts(config, played, kept, arguments.seconds / 6)
    if jax.default_backend() == "cpu":
        bound = available_cores() / sum(cpu for _, cpu in parts.values())
    else:
        bound = 1 / max(parts["engine"][0], parts["inference"][0] + parts["update"][0])
    return figures | {"parts": parts, "bound": bound, "device": jax.devices()[0].device_kind}


def configured(arguments: argparse.Namespace) -> Config:
    return load(
        CONFIG,
        [
            "reward.path=rewards",
            "learning.steps=1000000000",
            "learning.checkpoint_steps=1000000000",
            f"nethack.games={arguments.games}",
            f"learning.epochs={arguments.epochs}",
            *arguments.overrides,
        ],
    )


def in_a_process(python: str, script: Path, *arguments: str) -> dict[str, Any]:
    """The last line of what a script prints."""
    done = subprocess.run([python, str(script), *arguments], stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample-factory", metavar="PYTHON", help="of the environment that has it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40, help="of each measurement")
    parser.add_argument("--warm-up", type=int, default=10, help="updates before ours")
    parser.add_argument("--games", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--one-round", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of our config")
    arguments = parser.parse_args()
    if arguments.one_round:
        print(json.dumps(one_round(arguments)))
        return
    config = configured(arguments)
    ours_options = [word for word in sys.argv[1:] if not word.startswith("--no-peers")]
    peer_options = [
        *("--games", str(arguments.games), "--epochs", str(arguments.epochs)),
        *("--minibatches", str(config.learning.minibatches), "--rollout", str(config.learning.rollout)),
        *("--hidden", str(config.learning.network.hidden), "--seconds", str(arguments.seconds)),
    ]
    rounds: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        measured = {"ours": in_a_process(sys.executable, Path(__file__), "--one-round", *ours_options)}
        if not arguments.no_peers:
            if arguments.sample_factory:
                measured["sample_factory"] = in_a_process(
                    arguments.sample_factory, PEERS / "sample_factory_nethack.py", *peer_options
                )
            measured["sync_ppo"] = in_a_process(sys.executable, PEERS / "synchronous_ppo.py", *peer_options)
        rounds.append(measured)
        show(number, measured)
    print(json.dumps(summary(rounds, arguments)))


def show(number: int, measured: dict[str, Any]) -> None:
    ours = measured["ours"]
    print(f"\nround {number + 1}, {available_cores()} cores, {ours['device']}")
    print(f"  {'ours':18} {ours['steps_per_second']:9,.0f} steps/s {ours['cpu'] * 1e6:8.1f} us of CPU a step")
    where = {name: value * 1e6 for name, value in ours["where"].items() if name != "bytes"}
    told = ", ".join(f"{name} {value:.1f}" for name, value in where.items())
    print(
        f"    an actor's thread, were it alone, us a step: {told}; "
        f"{ours['where']['bytes']:.0f} bytes to and from the device"
    )
    for name, (wall, cpu) in ours["parts"].items():
        print(f"    {name + ' alone':16} {1 / wall:9,.0f} steps/s {cpu * 1e6:8.1f} us of CPU a step")
    print(
        f"    {'bound':16} {ours['bound']:9,.0f} steps/s; reached: "
        f"{ours['steps_per_second'] / ours['bound']:.0%}"
    )
    for name in ("sample_factory", "sync_ppo"):
        if name in measured:
            peer = measured[name]
            cpu = peer["cpu_seconds_per_step"] * 1e6
            print(f"  {name:18} {peer['steps_per_second']:9,.0f} steps/s {cpu:8.1f} us of CPU a step")
    sys.stdout.flush()


def summary(rounds: list[dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Medians over the rounds; null for a peer that was not measured."""

    def against(peer: str) -> float | None:
        ratios = [
            one["ours"]["steps_per_second"] / one[peer]["steps_per_second"] for one in rounds if peer in one
        ]
        return round(statistics.median(ratios), 2) if ratios else None

    def median(of: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(of(one["ours"]) for one in rounds)

    return {
        "fraction_of_bound": round(median(lambda ours: ours["steps_per_second"] / ours["bound"]), 3),
        "vs_sample_factory": against("sample_factory"),
        "vs_sync_ppo": against("sync_ppo"),
        "steps_per_second": round(median(lambda ours: ours["steps_per_second"])),
        "bytes_per_step": round(median(lambda ours: ours["where"]["bytes"])),
        "cpu_us_per_step": {
            "ours": round(median(lambda ours: ours["cpu"]) * 1e6, 1),
            **{
                name: round(median(lambda ours, name=name: ours["parts"][name][1]) * 1e6, 1)
                for name in ("engine", "inference", "update")
            },
        },
        "games": arguments.games,
        "epochs": arguments.epochs,
        "rounds": len(rounds),
        "cores": available_cores(),
        "device": rounds[0]["ours"]["device"],
    }


if __name__ == "__main__":
    main()
