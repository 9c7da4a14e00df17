"""Ablations of the paper: each skill's wanted events after as many steps of training with one thing changed.

    python benchmarks/ablations.py --steps 600000 --seeds 0 1 2 [--only joint isolated] [KEY=VALUE ...]

Every config in `configs/ablations/` is trained once for each seed. `isolated` is five trainings, one for each
skill with an equal share of the steps, in which the skill may start anywhere; its five policies play
together, each when its skill acts. All play under the training program on the seeds of the evaluation, in new
dungeons and in the arenas of the config, beside untrained parameters and random walking. What is finished is
not done again, so a stopped command goes on. The first table shows events in 1,000 of the skill's steps: the
mean over the seeds, and the lowest and the highest. The second shows, for the first seed, what each skill was
paid for in training, its most frequent actions, and how many training episodes ended in death. The last line
is one JSON object with the means.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
from pay import shares

from maestromotif.agent.episodes import Policy
from maestromotif.agent.network import Params, build
from maestromotif.agent.playing import isolated_policy
from maestromotif.agent.policy import POLICY, load_policy, make_acting
from maestromotif.cli.output import log_to_stderr
from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.evaluate import skill_events
from maestromotif.evaluate.evaluate import Players
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.pipeline.runner import open_run, run_all
from maestromotif.pipeline.store import Artefact
from maestromotif.train.account import PAID

FOLDER = Path("configs/ablations")
JOINT, ISOLATED = "joint", "isolated"
BASELINES = ("untrained", "wandering")

Row = dict[str, Any]


def trained(config: Config) -> Artefact:
    """Trains a config, if it is not trained yet."""
    return run_all(config, open_run(config), until="train")[-1]


def only(config: Config, skill: str) -> Config:
    """The config of one skill's own policy, with its share of the steps.

    The skill has its text and not its program, so it may start anywhere: nobody else would bring the agent to
    where it could. Tasks are not played, but their programs are checked, and theirs name other skills.
    """
    folder = Path(config.run.root) / "texts"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(config.skills_folder) / f"{skill}.md", folder)
    quantiles = {name: value for name, value in config.reward.quantile_of.items() if name == skill}
    share = max(1, config.train.steps // len(config.skills))
    parts: dict[str, dict[str, Any]] = {
        "run": {"name": f"{config.run.name}-{skill}"},
        "reward": {"quantile_of": quantiles},
        "train": {"steps": share},
        "compose": {"programs": dict.fromkeys(config.tasks, config.compose.training)},
    }
    sections = {name: getattr(config, name).model_copy(update=own) for name, own in parts.items()}
    return config.model_copy(update={"skills": (skill,), "skills_folder": str(folder)} | sections)


def policies(name: str, config: Config) -> dict[str, Artefact]:
    """Skill -> the training of its policy; the same one for all skills unless they are isolated."""
    if name != ISOLATED:
        return dict.fromkeys(config.skills, trained(config))
    return {skill: trained(only(config, skill)) for skill in config.skills}


def params_of(artefact: Artefact, config: Config, skills: int) -> Params:
    return load_policy(artefact.path / POLICY, build(config.train.network, skills))


def apart(config: Config, params: Sequence[Params], games: int) -> skill_events.Make:
    """The agent of isolated policies."""
    network = build(config.train.network, 1)
    acting = make_acting(network, games, 1)

    def make(pool: GamePool, wave: int) -> Policy:
        key = jax.random.fold_in(jax.random.key(config.run.seed + 3), wave)
        return isolated_policy(pool, network, params, key, acting)

    return make


def measured(
    name: str, config: Config, of: Mapping[str, Artefact], episodes: int, steps: int, to: Path
) -> list[Row]:
    """Rows of `skill_events` for one config and seed, kept in the file `to`; baselines with the joint one."""
    asked = {
        "policies": {skill: artefact.digest for skill, artefact in of.items()},
        "episodes": episodes,
        "steps": steps,
    }
    if to.is_file() and (kept := json.loads(to.read_text()))["of"] == asked:
        rows: list[Row] = kept["rows"]
        return rows
    games = min(config.nethack.games, episodes)
    agents: dict[str, skill_events.Make] = {}
    if name == ISOLATED:
        agents[name] = apart(config, [params_of(one, config, 1) for one in of.values()], games)
    else:
        first = params_of(of[config.skills[0]], config, len(config.skills))
        players = Players(config, {"trained": first}, games)
        agents[name] = partial(players.policy, "trained")
        if name == JOINT:
            agents |= {"untrained": partial(players.policy, "untrained")}
            agents |= {"wandering": partial(players.policy, "wandering")}
    found = skill_events.measure(config, agents, [None, *config.train.arenas], episodes, steps)
    to.write_text(json.dumps({"of": asked, "rows": found}) + "\n")
    return found


def over_seeds(rows: Sequence[Row]) -> dict[tuple[str, str, str], dict[str, list[float]]]:
    """(place, skill, event) -> agent -> events in 1,000 steps with each seed in which the skill acted."""
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in rows:
        rates = found.setdefault((row["place"], row["skill"], row["event"]), {})
        rates.setdefault(row["agent"], []).extend([] if row["per_1000"] is None else [row["per_1000"]])
    return found


def table(rates: Mapping[tuple[str, str, str], Mapping[str, list[float]]], agents: Sequence[str]) -> str:
    def cell(values: Sequence[float]) -> str:
        if not values:
            return "never acted"
        spread = f" [{min(values):.2f}, {max(values):.2f}]" if len(values) > 1 else ""
        return f"{statistics.mean(values):.2f}{spread}"

    lines = [["place", "skill", "event", *agents], ["---"] * (3 + len(agents))]
    lines += [[*key, *(cell(of.get(agent, [])) for agent in agents)] for key, of in rates.items()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def pay(of: Mapping[str, Mapping[str, Artefact]]) -> str:
    """A row for each skill and one of deaths, a column for each config. of: name -> skill -> its training."""
    accounts = {
        name: {skill: json.loads((one.path / PAID).read_text()) for skill, one in trainings.items()}
        for name, trainings in of.items()
    }

    def deaths(trainings: Mapping[str, Any]) -> str:
        each = dict.fromkeys(f"{100 * one['episodes']['death_share']:.0f} %" for one in trainings.values())
        return ", ".join(each)

    def cell(trainings: Mapping[str, Any], skill: str) -> str:
        paid = trainings[skill]
        return f"{shares(paid, skill, 'events', 2)}; {shares(paid, skill, 'actions', 3)}"

    lines = [["", *accounts], ["---"] * (1 + len(accounts))]
    for skill in next(iter(accounts.values())):
        lines.append([skill, *(cell(trainings, skill) for trainings in accounts.values())])
    lines.append(["episodes that end in death", *map(deaths, accounts.values())])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    parser.add_argument("--steps", type=int, default=600_000, help="of each training, over all its skills")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--episodes", type=int, default=64, help="of the measurement, per agent and place")
    parser.add_argument("--max-steps", type=int, default=1000, help="of such an episode")
    parser.add_argument("--root", type=Path, default=Path("runs/ablations"), help="folder of the runs")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of all trainings")
    given = parser.parse_intermixed_args()
    log_to_stderr()
    own = [f"train.steps={given.steps}", f"run.root={given.root}", "tracking.wandb=disabled"]
    rows: list[Row] = []
    first: dict[str, dict[str, Artefact]] = {}
    try:
        for seed in given.seeds:
            for name in sorted(given.only, key=lambda name: (name != JOINT, name)):
                run = [*own, f"run.seed={seed}", f"run.name={name}-{seed}", *given.overrides]
                config = load(FOLDER / f"{name}.yaml", run)
                to = given.root / f"{name}-{seed}.json"
                trainings = policies(name, config)
                first.setdefault(name, trainings)
                rows += measured(name, config, trainings, given.episodes, given.max_steps, to)
    except UserError as error:
        sys.exit(str(error))
    rates = over_seeds(rows)
    agents = list(dict.fromkeys(row["agent"] for row in rows))
    agents = [*(one for one in agents if one not in BASELINES), *(one for one in agents if one in BASELINES)]
    print(table(rates, agents))
    print(pay(first))
    means: dict[str, dict[str, float]] = {agent: {} for agent in agents}
    for (place, skill, event), of in rates.items():
        for agent, values in of.items():
            if values:
                means[agent][f"{place}: {skill} {event}"] = round(statistics.mean(values), 3)
    print(json.dumps(means))


if __name__ == "__main__":
    main()
