"""What composing programs costs and gives, in four parts. The last line is one JSON object.

    python benchmarks/composing.py [--parts decision,programs,conditions,tasks] [KEY=VALUE ...]

decision    a decision of a table's program for all games at once, `--games` of them:
            decision_256_ms        the median call, in games of random play
            share_without_network  its share of the time of that play: of the program and the games alone
            share_of_actor         its share of an actor's time in training, like `speed/actors_program`: the
                                   config's policy acts in an actor's thread; games, rewards and program are
                                   in the environment's process. No learner runs, so the actor never waits
programs    the share of a model's drafts that the checks accept
conditions  how often conditions that a model writes and the known ones give the same verdict, on the nine
            tasks that have conditions and on generated ones of the split "test", in episodes of the explorer
tasks       generated tasks of the split "test": the written program beside random skills, on games that the
            search did not see. A task is won if the intervals of the success rates do not overlap. With
            --room only tasks count that random skills achieve in 5 to 75 % of 32 other games, before anything
            is written: above that no program can be much better, and below it hardly any skill helps

The model is that of the config: by default the embedded one. Whatever a part did not measure is absent.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from solvable import wave

from maestromotif.agent.network import build
from maestromotif.agent.options import Options
from maestromotif.agent.policy import make_acting
from maestromotif.agent.saved_policy import policy_file, read_policy
from maestromotif.collect.collect import random_actions
from maestromotif.compose import rules, served, success
from maestromotif.compose.budget import Budget
from maestromotif.compose.draft import TableWriter
from maestromotif.compose.sentence import Plan, compose
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.language import backends
from maestromotif.language.model import LanguageModel
from maestromotif.nethack.arena import places_to_start
from maestromotif.nethack.pool.pool import open_pool
from maestromotif.programs import check
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import skills_of
from maestromotif.tasks import task as task_file
from maestromotif.tasks.generate import generate
from maestromotif.tasks.task import Task
from maestromotif.train import environment
from maestromotif.train.actor import Actor
from maestromotif.train.environment_process import EnvironmentProcess
from maestromotif.train.reward_source import DistilledRewards

CONFIG = "policies/trained/six_skills"
PARTS = ("decision", "programs", "conditions", "tasks")
ROOM = (0.05, 0.75)  # shares of games
ROOM_GAMES = 32
TABLE = """\
when badly_hurt use survivor
when after(kills >= 1 and depth == 1) and downstairs_seen use descender
when depth >= 4 use ascender
when after(depth >= 3) use ascender
otherwise use discoverer
"""
NEVER = ("depth >= 53",)  # in place of conditions, where the model wrote none that can be met
PUBLISHED = (
    *("gnomish_mines", "delphi", "minetown", "golden_exit", "level_up_and_sell", "discovery_hunger"),
)


def decision(config: Config, games: int, calls: int) -> dict[str, Any]:
    """Milliseconds of the median decision for `games` games, and its two shares."""
    source = rules.program(rules.parse(TABLE, config.skills), "a benchmark")
    deciding, playing = random_play(config, source, games, calls)
    return {
        f"decision_{games}_ms": round(float(np.median(deciding)) * 1e3, 3),
        "share_without_network": round(sum(deciding) / (sum(deciding) + sum(playing)), 4),
        "share_of_actor": round(share_of_actor(config, source, games, calls), 4),
    }


def random_play(config: Config, source: str, games: int, calls: int) -> tuple[list[float], list[float]]:
    """Seconds of each decision of the program, and of each step of the games."""
    actions = random_actions(calls, games, np.random.default_rng(0))
    deciding, playing = [], []
    with (
        open_pool(config, "collect", games, 1_000) as pool,
        ProgramHost(source, skills_of(config), games, 0) as host,
    ):
        options, fresh = Options(host, games), np.ones(games, bool)
        pool.reset()
        for step in range(calls):
            start = time.perf_counter()
            options.advance(pool.state, fresh)
            decided = time.perf_counter()
            pool.step(actions[step])
            playing.append(time.perf_counter() - decided)
            deciding.append(decided - start)
            fresh = pool.ended != 0
    return deciding, playing


def share_of_actor(config: Config, source: str, games: int, calls: int) -> float:
    """The program's share of the time of an actor that plays by the config's policy for `calls` steps."""
    length, device = config.train.rollout, jax.devices()[0]
    network = build(config.train.network, len(config.skills))
    params = read_policy(policy_file(str(config.train.policy), "train.policy"), config)
    scorer = DistilledRewards(config, Path(str(config.reward.path))).scorer(0)
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(source)
        file.flush()
        compose_settings = config.compose.model_copy(update={"training": file.name})
        plan = environment.Plan(
            config.model_copy(update={"compose": compose_settings}),
            games,
            first_game=0,
            starts=places_to_start(config.train.arenas, games),
            form=network.form,
            program=None,
        )
        acting = make_acting(network, games, length)
        with (
            EnvironmentProcess(plan, scorer) as process,
            Actor(process, games, network, acting, length, device, jax.random.key(0)) as actor,
        ):
            actor.begin()
            spent = []
            for _ in range(1 + -(-calls // length)):  # the first one compiles
                actor.play(params, scorer, snapshot=False, met=False, paid=False).result()
                now = actor.seconds
                spent.append(np.array([now.program, now.games, now.policy, now.host]))
    each = spent[-1] - spent[0]
    return float(each[0] / each.sum())


def programs(config: Config, model: LanguageModel, tasks: Sequence[Task], drafts: int) -> dict[str, Any]:
    """The share of drafts without problems, by the model's own text and by all checks of the program."""
    skills, valid, seconds = skills_of(config), 0, []
    for task in tasks:
        writer = TableWriter(model, task, skills)
        for seed in range(drafts):
            start = time.perf_counter()
            made = writer.draft(seed)
            seconds.append(time.perf_counter() - start)
            try:
                if not made.problems:
                    check.program(made.source, "program.py", skills)
                    check.behaviour(made.source, "program.py", skills, seed)
                    valid += 1
            except UserError as error:
                print(error)
            print(f"{task.words}\n{made.table}", flush=True)
    return {
        "drafts": len(seconds),
        "valid_program_rate": round(valid / len(seconds), 4),
        "draft_seconds": round(float(np.median(seconds)), 2),
    }


def conditions(
    config: Config, model: LanguageModel, tasks: Sequence[Task], episodes: int, steps: int, games: int
) -> dict[str, Any]:
    """Agreement of written and known conditions: of the text, and of the verdicts on episodes.

    verdicts: share of tasks and episodes with the same verdict. where_met: the same among those where one of
    the two says that the task was achieved, which chance does not help.
    """
    written = []
    for task in tasks:
        try:
            made: tuple[str, ...] = success.write(model, task.words).conditions
        except UserError as error:
            print(error, flush=True)
            made = NEVER
        written.append(Task(task.name, task.words, task.program, made))
        print(f"{task.words}\n  known:   {task.success}\n  written: {made}", flush=True)
    both = [*tasks, *written]
    met = []
    games = min(games, episodes)
    with open_pool(config, "search", games, steps, leave=True) as pool:
        for number in range(-(-episodes // games)):
            met.append(wave(config, pool, "explorer", both, number))
    verdicts = np.concatenate(met, axis=1)[:, :episodes]
    known, other = verdicts[: len(tasks)], verdicts[len(tasks) :]
    either = known | other
    return {
        "tasks": len(tasks),
        "episodes": episodes,
        "same_text": sum(one.success == two.success for one, two in zip(tasks, written, strict=True)),
        "refused": sum(one.success == NEVER for one in written),
        "same_in_all_episodes": int((known == other).all(1).sum()),
        "verdicts": round(float((known == other).mean()), 4),
        "where_met": round(float((known == other)[either].mean()), 4) if either.any() else None,
        "met": round(float(known.mean()), 4),
    }


def with_room(config: Config, tasks: Sequence[Task], steps: int) -> list[Task]:
    """The tasks that random skills achieve in some games, but not in most."""
    with open_pool(config, "collect", ROOM_GAMES, steps) as pool:
        shares = wave(config, pool, "trained", tasks, 0).mean(1).tolist()
    for task, share in zip(tasks, shares, strict=True):
        print(f"random skills {share:4.0%}: {task.words}", flush=True)
    return [task for task, share in zip(tasks, shares, strict=True) if ROOM[0] <= share <= ROOM[1]]


def tried(config: Config, tasks: Sequence[Task], plan: Plan, folder: Path) -> dict[str, Any]:
    """A search for each task."""
    rows = []
    for number, task in enumerate(tasks):
        start = time.perf_counter()
        place = folder / f"{number}_{task.name}"
        print(compose(config, task.words, place, plan, task.success), flush=True)
        minutes = (time.perf_counter() - start) / 60
        rows.append({"task": task.name, "minutes": round(minutes, 1), **_rates(place / "result.json")})
    return {"tasks": rows, "won": sum(row["low"] > row["random_high"] for row in rows)}


def _rates(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())["success"]
    (rate, low, _), (random, _, high) = found["written"], found["random skills"]
    return {"success": rate, "low": low, "random": random, "random_high": high}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--games", type=int, default=256, help="of a decision")
    parser.add_argument("--calls", type=int, default=200, help="decisions")
    parser.add_argument("--drafts", type=int, default=4, help="of each task")
    parser.add_argument("--tasks", type=int, default=5, help="generated ones")
    parser.add_argument("--room", action="store_true", help="only tasks in which programs can differ")
    parser.add_argument("--seed", type=int, default=0, help="of the generated tasks")
    parser.add_argument("--episodes", type=int, default=64, help="on which conditions are compared")
    parser.add_argument("--steps", type=int, default=1_000, help="of such an episode, and of a task's")
    parser.add_argument("--candidates", type=int, default=40, help="of a search")
    parser.add_argument("--final", type=int, default=32, help="games of a search's result")
    parser.add_argument("--search", default="greedy")
    parser.add_argument("--by", default="tables")
    parser.add_argument("--minutes", type=float, default=12, help="of a search")
    parser.add_argument("--to", type=Path, help="folder of the searches; default: a temporary one")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    parts = given.parts.split(",")
    try:
        config = load(given.config, [*given.overrides, "language.context=4096"])
        unseen = [one.task() for one in generate(10 * given.tasks, given.seed, "test") if _fits(one, config)]
        if given.room:
            unseen = with_room(config, unseen, given.steps)
        unseen = unseen[: given.tasks]
        found: dict[str, Any] = {"model": config.language.model}
        if "decision" in parts:
            found |= decision(config, given.games, given.calls)
        if "programs" in parts or "conditions" in parts:
            model = backends.open_model(config.language)
        if "programs" in parts:
            found |= programs(config, model, unseen, given.drafts)
        if "conditions" in parts:
            nine = [task_file.load("tasks", name) for name in PUBLISHED]
            found["conditions"] = {
                name: conditions(config, model, of, given.episodes, given.steps, 32)
                for name, of in (("nine", nine), ("generated", unseen))
            }
        if "tasks" in parts:
            budget = Budget(candidates=given.candidates, seconds=60 * given.minutes)
            plan = Plan(given.search, given.by, budget, given.final, given.steps)
            with tempfile.TemporaryDirectory() as temporary:
                found |= tried(config, unseen, plan, given.to or Path(temporary))
    except UserError as error:
        sys.exit(str(error))
    print(json.dumps(found))


def _fits(task: Any, config: Config) -> bool:
    """Whether it is short and the skills serve it."""
    return task.features["difficulty"] <= 2 and not served.unserved(task.success, skills_of(config))


if __name__ == "__main__":
    main()
