"""Copy the reward models of a run into `rewards/`, with the commit and the command that made them.

    made="maestromotif run configs/five_skills.yaml --until gate"
    $made && python benchmarks/ship_rewards.py runs/five_skills "$made"

Prints one line of JSON: the skills, and the commit.
"""

import argparse
import json
import shutil
import subprocess
from pathlib import Path

from maestromotif.rewards.model import CARD, PARAMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run whose stage distil is done")
    parser.add_argument("command", help="the command that made the run")
    parser.add_argument("--to", type=Path, default=Path("rewards"), help="folder of shipped models")
    arguments = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    skills = sorted(path.parent.name for path in (arguments.run / "distil").glob(f"*/{CARD}"))
    for skill in skills:
        source, target = arguments.run / "distil" / skill, arguments.to / skill
        target.mkdir(parents=True, exist_ok=True)
        card = json.loads((source / CARD).read_text())
        card["made"] = {"commit": commit, "command": arguments.command}
        (target / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
        shutil.copyfile(source / PARAMS, target / PARAMS)
    print(json.dumps({"skills": skills, "commit": commit}))


if __name__ == "__main__":
    main()
