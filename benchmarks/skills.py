"""How often a skill's own events happen after training, compared with an untrained policy.

    python benchmarks/skills.py configs/five_skills.yaml reward.path=runs/five_skills/distil [--seeds 0 1 2]

For each seed the config is trained twice: unchanged, and for a fifth of the steps with a learning rate near
zero. The benchmark counts the events that the skills' texts name as `wanted`, per 1,000 steps of the skill,
over the last quarter of the learning curve (over all of it for the untrained policy). The 95 % Poisson
intervals (Garwood 1936) show the variation within a run, the seeds the variation between runs. Changes such
as `explored` are not events and are left out. The last line is one JSON object.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from scipy.stats import chi2

from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.nethack.events import EVENTS
from maestromotif.pipeline.store import Work
from maestromotif.skill import Skill, skills_of
from maestromotif.train import train

UNTRAINED = "train.learning_rate=1.0e-12"


def curve_of(config: Config) -> list[dict[str, Any]]:
    """Trains the config and returns its learning curve."""
    with tempfile.TemporaryDirectory() as folder:
        train.run(config, {}, Work(Path(folder)))
        return [json.loads(line) for line in (Path(folder) / "curve.jsonl").read_text().splitlines()]


def rates(
    curve: list[dict[str, Any]], skills: list[Skill], share: float
) -> dict[str, tuple[float, float, float]]:
    """'skill event' -> rate per 1,000 steps of the skill in the last `share` of the curve, and interval."""
    begins = [0, *(row["env_step"] for row in curve)]
    last = list(zip(begins, curve, strict=False))[-max(1, round(share * len(curve))) :]
    found = {}
    for skill in skills:
        steps = [
            (row["env_step"] - begin) * row[f"skill/{skill.name}/time_share"] / 1000 for begin, row in last
        ]
        total = max(sum(steps), 1e-9)
        for event in (event for event in skill.wanted if event in EVENTS):
            key = f"events/{skill.name}/{event}_per_1k_steps"
            times = sum(thousand * row.get(key, 0) for thousand, (_, row) in zip(steps, last, strict=True))
            low = float(chi2.ppf(0.025, 2 * times)) / 2 if times > 0 else 0.0
            high = float(chi2.ppf(0.975, 2 * times + 2)) / 2
            found[f"{skill.name} {event}"] = (times / total, low / total, high / total)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_intermixed_args()
    columns = {}
    for seed in given.seeds:
        config = load(given.config, [*given.overrides, f"run.seed={seed}"])
        skills = skills_of(config)
        columns[f"trained, seed {seed}"] = rates(curve_of(config), skills, 0.25)
        fewer = f"train.steps={config.train.steps // 5}"
        untrained = load(given.config, [*given.overrides, f"run.seed={seed}", UNTRAINED, fewer])
        columns[f"untrained, seed {seed}"] = rates(curve_of(untrained), skills, 1.0)
    print(f"{'':28}" + "".join(f"{name:>24}" for name in columns))
    for event in next(iter(columns.values())):
        told = (
            f"{rate:.1f} [{low:.1f}, {high:.1f}]"
            for rate, low, high in (of[event] for of in columns.values())
        )
        print(f"{event:28}" + "".join(f"{one:>24}" for one in told))
    print(json.dumps({name: {event: round(of[event][0], 2) for event in of} for name, of in columns.items()}))


if __name__ == "__main__":
    main()
