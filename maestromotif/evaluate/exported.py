"""The evaluator of an exported task (`export.py`): its `evaluate.py` calls `main`.

    python evaluate.py PROGRAM [--episodes N] [--salt FILE]

It reads only the exported folder, wherever it is called from, and prints one JSON object on stdout. The
manifest guards against accidents. Whoever can write to the folder can also write a new manifest, so a judge
compares `manifest` of the result with the one at export, or keeps an own copy of the folder.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from maestromotif.errors import UserError
from maestromotif.pipeline.store import sha256
from maestromotif.reading import decode, parse_json, read_bytes

MANIFEST = "hashes.json"  # file -> SHA-256, of all files but itself
STARTER = "starter.py"
_PASSED_OVER = "__pycache__"


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in the folder but the manifest, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _PASSED_OVER not in path.parts)
    own = [path for path in files if path != folder / MANIFEST]
    return {path.relative_to(folder).as_posix(): sha256(path) for path in own}


def check_unchanged(folder: Path) -> str:
    """The SHA-256 of the manifest. Raises UserError that lists files that changed, are missing or are new."""
    file = folder / MANIFEST
    text = read_bytes(file)
    wanted = parse_json(decode(text, str(file)), str(file))
    if not isinstance(wanted, dict):
        raise UserError(f"{file}: should be an object with the hash of each file; export the task again")
    found = hashes(folder)
    problems = [f"{folder / name}: is missing" for name in wanted if name not in found]
    both = [name for name in wanted if name in found]
    problems += [f"{folder / name}: was changed" for name in both if found[name] != wanted[name]]
    problems += [
        f"{folder / name}: is not part of the export; keep your programs in a folder of your own"
        for name in found
        if name not in wanted
    ]
    if problems:
        problems.append(f"{folder}: a changed folder scores nothing; export the task again")
        raise UserError("\n".join(problems))
    return hashlib.sha256(text).hexdigest()


def score_in(
    folder: Path, program: Path, episodes: int | None = None, salt: Path | None = None
) -> dict[str, Any]:
    """The score of a program in an exported folder, see `score.score`.

    episodes: None: as many as the config says. salt: the file that hides the games; None: the published ones.
    """
    from maestromotif.agent.saved_policy import policy_file, read_policy
    from maestromotif.config.load import load
    from maestromotif.evaluate.score import score
    from maestromotif.tasks.task import tasks_of

    program, hidden_by = program.absolute(), None if salt is None else str(salt.absolute())
    with contextlib.chdir(folder):  # the config names files relative to it
        config = load(".")
        settings = config.evaluate.model_copy(update={"salt_file": hidden_by})
        config = config.model_copy(update={"evaluate": settings})
        (task,) = tasks_of(config)
        policy = config.train.policy
        assert policy is not None
        params = read_policy(policy_file(policy, "train.policy"), config)
        return score(config, params, task, program, episodes or settings.episodes)


def main(folder: Path, words: Sequence[str]) -> None:
    """The command line. Exit status: 0 done, 2 a mistake that the user can fix."""

    @click.command()
    @click.argument("program", type=click.Path(path_type=Path))
    @click.option("--episodes", type=click.IntRange(1), help="How many. Default: as the config says.")
    @click.option(
        "--salt",
        type=click.Path(path_type=Path),
        help="File with a secret text of at least 16 characters. Plays hidden games, not the published.",
    )
    def evaluate(program: Path, episodes: int | None, salt: Path | None) -> None:
        """Score PROGRAM, a file with a program over skills, and print the score as JSON."""
        manifest = check_unchanged(folder)
        click.echo(json.dumps({**score_in(folder, program, episodes, salt), "manifest": manifest}))

    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the same draws on every machine
    try:
        evaluate.main(list(words), prog_name="evaluate.py", standalone_mode=False)
    except UserError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
