"""Writes a task as a folder for research agents: "write a better program over these skills".

The form follows the tasks of MLGym (arXiv 2502.14499) and AIRS-Bench (arXiv 2602.06855): a description, a
starter, an evaluator that the agent does not change, scores of baselines, and metadata.

    README.md         what to write, how it is scored, and the prompt that `maestromotif prompt` prints
    starter.py        a program to begin with: the task's, or one that always calls the first skill
    random_skills.py  a baseline: a program that calls skills at random
    evaluate.py       scores a program and prints one JSON object (`exported.py`)
    scores.json       what the evaluator says of the two programs
    metadata.yaml     task, metric, licence, versions
    config.yaml, policy/, skills/, tasks/     all that the evaluator reads
    hashes.json       SHA-256 of every file

All files are read-only. The folder needs the installed package, and no other file of the repository.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from maestromotif import __version__
from maestromotif.agent.network import build
from maestromotif.agent.policy import POLICY
from maestromotif.agent.saved_policy import policy_bytes
from maestromotif.compose.prompts import task_program
from maestromotif.config.load import CONFIG, dump
from maestromotif.config.schema import ONLY, Config
from maestromotif.errors import UserError
from maestromotif.evaluate.agents import program_of
from maestromotif.evaluate.exported import MANIFEST, STARTER, hashes, score_in
from maestromotif.evaluate.run_folder import RunFolder, Version
from maestromotif.evaluate.score import METRICS, metric_of
from maestromotif.pipeline.refused import disk_full, in_words, is_disk_full
from maestromotif.pipeline.store import sha256
from maestromotif.programs import check
from maestromotif.reading import read_text
from maestromotif.skill import Skill, skills_of
from maestromotif.tasks.task import Task, load, steps_of

RANDOM = "random_skills.py"
SCORES = "scores.json"
EVALUATOR = "evaluate.py"
_OPTIONS = "nethackrc"
_LICENCE = "Apache-2.0; the games need NLE and NetHack, which have the NetHack General Public License"

_EVALUATE = '''\
"""Scores a program over skills: python evaluate.py PROGRAM. README.md says how."""

import sys
from pathlib import Path

from maestromotif.evaluate.exported import main

if __name__ == "__main__":
    main(Path(__file__).parent, sys.argv[1:])
'''

_README = """\
# {name}: write a better program over skills

> {words}

An agent plays NetHack with trained skills: {skills}. A program decides which skill runs when. Write one \
that does this task better than `starter.py`. The last section says what a program may do.

## Score

```bash
python evaluate.py PROGRAM
```

This plays {episodes} episodes of at most {steps:,} steps and prints one JSON object. `value` is the score: \
{metric} (`low` to `high`, at a confidence of {confidence:g}). More is better.

- `--episodes N` plays fewer or more episodes.
- `--salt FILE` plays hidden games: FILE holds a secret text of at least 16 characters, which the author of \
the program must not know. Without it everybody plays the same published games.

A program that fails its checks, or fails while it plays, has no score: the evaluator says where, and ends \
with status 2. So it does if a file of this folder was changed: the policy and the skills stay as they are. \
Keep your programs in a folder of your own.

`scores.json` holds the scores of `starter.py` and `random_skills.py`{without}. The evaluator needs Python \
with maestromotif {version}, and can be called from any folder.

"""


def export(
    run: Path, task: str, to: Path, episodes: int, starter: Path | None = None, max_steps: int | None = None
) -> Path:
    """Writes the folder `to`, which must be new or empty, and returns it.

    run: as in `RunFolder`; its newest policy plays. episodes: of the baselines; 0: leave their scores out.
    starter: a program to begin with; None: the task's, or a trivial one if that file does not exist.
    max_steps: environment steps of an episode; None: as in the run's config.

    Raises UserError, and leaves no folder behind, for an unknown run or task, a folder that holds something,
    and a starter that fails its check.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to}: exists and is not an empty folder; name a new one")
    folder = RunFolder(run)
    config = folder.config
    wanted = load(config.tasks_folder, task)
    skills = skills_of(config)
    version = folder.newest(build(config.train.network, len(skills)))
    source, origin = _starter(config, wanted, starter)
    check.program(source, origin, skills)
    made = _config(config, wanted, max_steps)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(to, error) from error
        raise UserError(
            f"--to: {to}: is no folder that can be written: {error.strerror}; name one where you may write"
        ) from error
    try:
        work.chmod(0o755)
        _write_files(work, config, made, wanted, skills, version)
        (work / STARTER).write_text(source, encoding="utf-8")
        (work / RANDOM).write_text(program_of("random_skills", ""), encoding="utf-8")
        (work / EVALUATOR).write_text(_EVALUATE, encoding="utf-8")
        scores = [score_in(work, work / name, episodes) for name in (STARTER, RANDOM) if episodes]
        (work / SCORES).write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        (work / "README.md").write_text(_readme(made, wanted, skills, scores), encoding="utf-8")
        told = _metadata(made, wanted, version, work / "policy" / POLICY, scores)
        metadata = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
        (work / "metadata.yaml").write_text(metadata, encoding="utf-8")
        (work / MANIFEST).write_text(json.dumps(hashes(work), indent=2) + "\n", encoding="utf-8")
        for path in work.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        work.rename(to)
    except BaseException as error:
        shutil.rmtree(work, ignore_errors=True)
        if (refused := in_words(error, to)) is not None:
            raise refused from error
        raise
    return to


def _starter(config: Config, task: Task, given: Path | None) -> tuple[str, str]:
    """Source of the starter, and where it is from. Raises UserError if the given file cannot be read."""
    path = Path(config.compose.programs.get(task.name, task.program)) if given is None else given
    if given is None and not path.is_file():
        return program_of(f"{ONLY}{config.skills[0]}", ""), STARTER
    return read_text(path), str(path)


def _config(config: Config, task: Task, max_steps: int | None) -> Config:
    """The config of the folder: that of the run, with the folder's files."""
    told = config.model_dump()
    told |= {"skills_folder": "skills", "tasks_folder": "tasks", "tasks": (task.name,)}
    told["compose"] |= {"training": STARTER, "programs": {task.name: STARTER}}
    told["train"] |= {"policy": "policy"}
    told["reward"] |= {"path": None}
    steps = steps_of(task, config) if max_steps is None else max_steps
    told["evaluate"] |= {"max_steps": steps, "salt_file": None}
    told["nethack"] |= {"options": None if config.nethack.options is None else _OPTIONS}
    told["tracking"] |= {"wandb": "disabled"}
    return Config.model_validate(told)


def _write_files(
    work: Path, config: Config, made: Config, task: Task, skills: list[Skill], version: Version
) -> None:
    """What the evaluator reads: config, policy, skills, the task."""
    for name in ("policy", "skills", "tasks"):
        (work / name).mkdir()
    (work / CONFIG).write_text(dump(made), encoding="utf-8")
    if config.nethack.options is not None:
        shutil.copyfile(config.nethack.options, work / _OPTIONS)
    if version.path.is_file():
        shutil.copyfile(version.path, work / "policy" / POLICY)
    else:
        (work / "policy" / POLICY).write_bytes(policy_bytes(config, version.params))
    for skill in skills:
        shutil.copyfile(skill.path, work / "skills" / skill.path.name)
        if skill.program is not None:
            shutil.copyfile(skill.program_path, work / "skills" / skill.program_path.name)
    shutil.copyfile(task.path, work / "tasks" / task.path.name)


def _readme(config: Config, task: Task, skills: list[Skill], scores: list[dict[str, Any]]) -> str:
    text = _README.format(
        name=task.name,
        words=" ".join(task.words.split()),
        skills=", ".join(f"`{skill.name}`" for skill in skills),
        episodes=config.evaluate.episodes,
        steps=steps_of(task, config),
        confidence=config.evaluate.confidence,
        metric=METRICS[metric_of(task)],
        without="" if scores else "; here it is empty, because it was exported without",
        version=__version__,
    )
    return text + task_program(task, skills).replace("\n## ", "\n### ").replace("# A pro", "## A pro", 1)


def _metadata(
    config: Config, task: Task, version: Version, policy: Path, scores: list[dict[str, Any]]
) -> dict[str, Any]:
    metric = metric_of(task)
    return {
        "id": f"maestromotif/{task.name}",
        "name": task.name,
        "description": task.words,
        "conditions": list(task.success),
        "measure": task.measure,
        "max_steps": steps_of(task, config),
        "episodes": config.evaluate.episodes,
        "metric": metric,
        "metric_meaning": METRICS[metric],
        "higher_is_better": True,
        "starter_code": STARTER,
        "evaluate": f"python {EVALUATOR} PROGRAM",
        "evaluation_read_only": True,
        "baseline_scores": {one["program"]: one["value"] for one in scores},
        "skills": list(config.skills),
        "policy": {"sha256": sha256(policy), "environment_steps": version.step},
        "licence": _LICENCE,
        "package": "maestromotif",
        "version": __version__,
    }
