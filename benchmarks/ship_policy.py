"""Copy the trained policy of a run into `policies/trained/`, with its config and a card.

    made="maestromotif run configs/five_skills.yaml reward.path=rewards"
    $made && python benchmarks/skill_events.py runs/five_skills
    python benchmarks/ship_policy.py runs/five_skills "$made" --to policies/trained/six_skills

The card (README.md) is made of the run's own artefacts: `train` and `evaluate` must be finished, and what
`skill_events.py` measured is copied if it is there. The run's reward models must be those in `rewards/`, so
that a user who watches the policy sees the rewards that it was trained on. Run it in the commit that trained
the policy. The last line is one JSON object.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maestromotif.agent.network import build
from maestromotif.agent.policy import POLICY, load_policy
from maestromotif.config.load import CONFIG, dump
from maestromotif.config.schema import Config, SlurmSettings, TrackingSettings
from maestromotif.errors import UserError
from maestromotif.evaluate.evaluate import TABLE
from maestromotif.pipeline.code import changed, code_of
from maestromotif.pipeline.runner import config_of
from maestromotif.pipeline.store import Artefact, Run, sha256
from maestromotif.rewards.model import PARAMS
from maestromotif.tasks.task import steps_of, tasks_of
from maestromotif.train.metrics import CURVE

EVENTS = "skill_events.md"  # what skill_events.py writes into a run's folder
CARD = "README.md"
QUARTERS = 4  # of the training that the card tells of


def shipped_config(config: Config, folder: Path, rewards: Path) -> Config:
    """The run's config, without what was said of the training machine; it uses the policy in `folder`."""
    changes: dict[str, dict[str, Any]] = {
        "run": {"name": f"shipped_{folder.name}", "root": "runs", "further": ()},
        "nethack": {"workers": None, "loader": "auto"},
        "reward": {"path": str(rewards)},
        "train": {"policy": str(folder), "devices": 1, "machines": 1},
    }
    sections = {name: getattr(config, name).model_copy(update=own) for name, own in changes.items()}
    return config.model_copy(update=sections | {"slurm": SlurmSettings(), "tracking": TrackingSettings()})


def check_rewards(config: Config, run: Path, rewards: Path) -> None:
    """Raises UserError if the run was trained on other reward models than those in the folder `rewards`."""
    if config.reward.online_steps is not None:
        raise UserError(
            f"{run}: learned its rewards during training; only models in {rewards} can be shipped"
        )
    own = Path(config.reward.path) if config.reward.path is not None else run / "distil"
    for skill in config.skills:
        pair = [folder / skill / PARAMS for folder in (own, rewards)]
        if not all(path.is_file() for path in pair) or sha256(pair[0]) != sha256(pair[1]):
            raise UserError(
                f"{pair[1]}: is not the reward model that the run was trained on, {pair[0]}; ship that "
                "first, with benchmarks/ship_rewards.py"
            )


def check_code(trained: Artefact, commit: str) -> None:
    """Raises UserError if the code here is not the code that trained the policy."""
    if files := changed(trained.manifest["code"], code_of("maestromotif.train.train")):
        raise UserError(
            f"{trained.path}: was trained by other code than that of commit {commit[:12]}: "
            f"{', '.join(files)}; check out the commit that trained it, or name it with --commit"
        )


def progress(curve: Sequence[dict[str, Any]], skills: Sequence[str]) -> str:
    """Wanted events in 1,000 steps of each skill, and depth, in each quarter of the training: a table."""
    size = -(-len(curve) // QUARTERS)
    parts = [curve[start : start + size] for start in range(0, len(curve), size)]
    names = {f"{skill}: wanted events": f"skill/{skill}/wanted_per_1k_steps" for skill in skills}
    names |= {"mean deepest level": "depth/deepest_mean", "deaths / episode": "episode/death_share"}

    def mean(rows: Sequence[dict[str, Any]], figure: str) -> str:
        known = [row[figure] for row in rows if row.get(figure) is not None]
        return f"{sum(known) / len(known):.2f}" if known else "–"

    heads = [f"to step {part[-1]['env_step']:,}" for part in parts]
    lines = [["", *heads], ["---"] * (len(parts) + 1)]
    lines += [[name, *(mean(part, figure) for part in parts)] for name, figure in names.items()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def card(
    config: Config, run: Path, folder: Path, trained: Artefact, evaluated: Artefact, command: str, commit: str
) -> str:
    """The policy's card, from the artefacts of its run."""
    facts = trained.manifest["facts"]
    curve = [json.loads(line) for line in (trained.path / CURVE).read_text().splitlines()]
    network, size = config.train.network, (trained.path / POLICY).stat().st_size / 1e6
    events = (run / EVENTS).read_text().strip() if (run / EVENTS).is_file() else "Not measured."
    task = tasks_of(config)[0]
    conditions = ", then ".join(f"`{one}`" for one in task.success) or "none"
    rows = {
        "skills": ", ".join(config.skills),
        "command": f"`{command}`",
        "commit": f"`{commit}`",
        "seed": f"{config.run.seed}, one training",
        "environment steps": f"{facts['steps']:,}",
        "speed": f"{facts['speed']['steps_per_second']:,.0f} steps per second",
        "finished": str(trained.manifest["created"])[:10],
        "network": f"{facts['parameters']:,} parameters ({size:.1f} MB), trunk `{network.trunk}`, "
        f"`hidden` {network.hidden}, actions `{network.actions}`",
        "rewards": "the models in `rewards/`; their cards name the language model that judged",
        "licence": "Apache-2.0, as this repository; NLE and NetHack have the NetHack General Public License",
        "SHA-256": f"`{trained.manifest['outputs'][POLICY]}`",
    }
    listed = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    return f"""# A trained policy: {", ".join(config.skills)}

`{POLICY}` holds the parameters and `{CONFIG}` every setting. `benchmarks/ship_policy.py` made both and
this page.

## Use it

In the root of the repository:

```bash
maestromotif watch {folder}
maestromotif evaluate {folder}
maestromotif evaluate {folder} tasks='[deep]' run.name=deep
```

The first one plays in your terminal. The second one plays the task below and prints this page's table. The
third one plays another task, which has no end. In a config of your own: `train.policy: {folder}`, with
the same `skills` and `train.network`. To train it yourself: the command below, or
`maestromotif run {folder} train.policy=null run.name=mine`.

## How it was trained

| | |
|---|---|
{listed}
Means over each quarter of the training; events in 1,000 steps of the skill.

{progress(curve, config.skills)}
## Results

Task `{task.name}`: "{task.words}" Program: `{task.program}`. Conditions: {conditions}.
{config.evaluate.episodes} episodes per agent, of at most {steps_of(task, config):,} steps, on seeds that
training never saw.

{(evaluated.path / TABLE).read_text()}
What each skill does under the training program:

{events}

The intervals cover the luck of the episodes, not that of training: it is one training with one seed.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run whose stages train and evaluate are done")
    parser.add_argument("command", help="the command that made the run")
    parser.add_argument("--to", type=Path, default=Path("policies/trained/six_skills"))
    parser.add_argument("--rewards", type=Path, default=Path("rewards"), help="folder of shipped models")
    parser.add_argument("--commit", help="the commit that trained the policy; default: the present one")
    given = parser.parse_args()
    now = ["git", "rev-parse", "HEAD"]
    commit = given.commit or subprocess.run(now, check=True, capture_output=True, text=True).stdout.strip()
    try:
        config = config_of(given.run)
        trained, evaluated = (Run(given.run).artefact(stage) for stage in ("train", "evaluate"))
        check_rewards(config, given.run, given.rewards)
        if given.commit is None:
            check_code(trained, commit)
        load_policy(trained.path / POLICY, build(config.train.network, len(config.skills)))
    except UserError as error:
        sys.exit(str(error))
    given.to.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(trained.path / POLICY, given.to / POLICY)
    (given.to / CONFIG).write_text(dump(shipped_config(config, given.to, given.rewards)))
    text = card(config, given.run, given.to, trained, evaluated, given.command, commit)
    (given.to / CARD).write_text(text)
    size = (given.to / POLICY).stat().st_size
    print(json.dumps({"policy": str(given.to), "bytes": size, "commit": commit}))


if __name__ == "__main__":
    main()
