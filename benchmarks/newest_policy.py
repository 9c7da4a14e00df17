"""The newest policy of a run that has not ended, as a file for `train.policy`.

    python benchmarks/newest_policy.py RUN --to FOLDER

RUN is a run's folder, or a checkpoint in one. Ends with one line of JSON: the environment steps that the
policy was trained for.
"""

import argparse
import json
import sys
from pathlib import Path

from maestromotif.agent.network import build
from maestromotif.agent.policy import POLICY
from maestromotif.agent.saved_policy import policy_bytes
from maestromotif.errors import UserError
from maestromotif.evaluate.run_folder import RunFolder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    given = parser.parse_args()
    try:
        run = RunFolder(given.run)
        newest = run.newest(build(run.config.train.network, len(run.config.skills)))
    except UserError as error:
        sys.exit(str(error))
    given.to.mkdir(parents=True, exist_ok=True)
    (given.to / POLICY).write_bytes(policy_bytes(run.config, newest.params))
    print(json.dumps({"steps": newest.step}))


if __name__ == "__main__":
    main()
