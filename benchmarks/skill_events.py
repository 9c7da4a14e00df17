"""Each skill's wanted events in 1,000 of its steps, beside agents that learn nothing.

    python benchmarks/skill_events.py runs/five_skills [--episodes 64] [--steps 1000] [--arenas shop altar]

RUN is the folder of a run that is trained, or of a shipped policy. All agents play under the training
program, with the config's `train.balance`, on the seeds of the evaluation. It writes `skill_events.md` and
`skill_events.json` into the folder, unless --print is given. The last line is one JSON object: for each place
and skill, whether the skill's wanted events happen three times as often as with untrained parameters and more
often than in random walking.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from maestromotif.agent.network import build
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.evaluate import skill_events
from maestromotif.evaluate.evaluate import Players
from maestromotif.evaluate.run_folder import RunFolder

AGENTS = ("trained", "untrained", "random", "wandering", "explorer")
NAME = "skill_events"


def measured(run: RunFolder, places: Sequence[str | None], episodes: int, steps: int) -> list[dict[str, Any]]:
    """Rows of all agents, for the newest policy of a run."""
    config: Config = run.config
    network = build(config.train.network, len(config.skills))
    games = min(config.nethack.games, episodes)
    players = Players(config, {"trained": run.newest(network).params}, games)
    agents: dict[str, skill_events.Make] = {agent: partial(players.policy, agent) for agent in AGENTS}
    return skill_events.measure(config, agents, places, episodes, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--episodes", type=int, default=64, help="per agent and place")
    parser.add_argument("--steps", type=int, default=1000, help="most steps of an episode")
    parser.add_argument("--arenas", nargs="*", help="places besides new dungeons; default: train.arenas")
    parser.add_argument("--print", action="store_true", help="write no files")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run = RunFolder(given.run)
        arenas = list(run.config.train.arenas) if given.arenas is None else given.arenas
        rows = measured(run, [None, *arenas], given.episodes, given.steps)
    except UserError as error:
        sys.exit(str(error))
    text = skill_events.table(rows, run.config.evaluate.confidence)
    print(text)
    if not given.print:
        (run.folder / f"{NAME}.md").write_text(text)
        (run.folder / f"{NAME}.json").write_text(json.dumps(rows, indent=1) + "\n")
    places = dict.fromkeys(row["place"] for row in rows)
    skills = run.config.skills
    found = {place: {skill: skill_events.reached(rows, skill, place) for skill in skills} for place in places}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
