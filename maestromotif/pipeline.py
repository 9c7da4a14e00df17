"""The stages from words to behaviour, and how they are run: what is done is skipped, what is missing is made.

A stage is a function `run(config, inputs, work) -> facts`. It is identified by a key: the SHA-256 of the
settings that matter to it, the digests of its inputs, the content of files that it reads and the version of
the package. The same key means the same output, so a finished stage with the same key need not run again, and
a stage that was killed goes on in its own work folder.
"""

import hashlib
import importlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maestromotif import __version__, skill, store
from maestromotif.config import dump
from maestromotif.errors import UserError
from maestromotif.progress import duration
from maestromotif.settings import Config
from maestromotif.store import Artefact, Run, Work

log = logging.getLogger("maestromotif")

# Settings that say where and how fast, never what comes out. Results must not depend on them.
NOT_IN_KEYS = {
    "run.name",
    "run.root",
    "run.further",
    "nethack.workers",
    "nethack.loader",
    "nethack.options",  # the file's content is in the key
    "collect.recordings",  # so are the names and sizes of the files in the folder
    "language.path",  # the file's content is in the key by its SHA-256
    "language.cache",
    "language.threads",
    "language.url",
    "language.api_key_variable",
    "language.concurrency",
    "language.timeout",
    "language.retries",
    "language.record",
    "annotate.answers",
    "annotate.price",
    "learning.checkpoints",
    "slurm",
}

StageFunction = Callable[[Config, dict[str, Artefact], Work], dict[str, Any]]
Contents = dict[str, str]  # what is read, in words -> SHA-256


def game_contents(config: Config) -> Contents:
    """The file of NetHack's options, if the config names one."""
    return file_contents("nethack.options", config.nethack.options) if config.nethack.options else {}


def collect_contents(config: Config) -> Contents:
    """The game, and what else is played or read: arenas of one's own, recorded games."""
    contents = game_contents(config)
    for name in config.collect.arenas:
        if name.endswith(".des"):
            contents |= file_contents("collect.arenas", name)
    if config.collect.recordings is not None:
        from maestromotif.preferences import recordings

        contents["recordings"] = recordings.identity(Path(config.collect.recordings))
    return contents


def skill_contents(config: Config) -> Contents:
    """The skill texts and the programs beside them."""
    contents = {}
    for one in skill.load_all(config.skills_folder, config.skills):
        contents[str(one.path)] = one.digest
        if one.program is not None:
            contents[str(one.program_path)] = store.sha256(one.program_path)
    return contents


def model_contents(config: Config) -> Contents:
    """The skill texts, the language model that judges by them, and the words it is asked in."""
    from maestromotif.language import backends
    from maestromotif.preferences import questions

    digest, _ = backends.identity(config.language)
    model = {f"weights of {config.language.model}": digest, "prompts": questions.prompt_hash()}
    return skill_contents(config) | model


def gold_contents(config: Config) -> Contents:
    """What `model_contents` names, and the gold sets of the skills that have one."""
    from maestromotif.preferences import gold

    files = [gold.path_of(config.skills_folder, name) for name in config.skills]
    return model_contents(config) | {str(path): store.sha256(path) for path in files if path.is_file()}


def training_contents(config: Config) -> Contents:
    """The game, the skills, the training program, and the reward models if the config names some."""
    contents = (
        game_contents(config)
        | skill_contents(config)
        | file_contents("compose.training", config.compose.training)
    )
    if config.reward.path is not None:
        for name in config.skills:
            for file in ("params.msgpack", "card.json"):
                contents |= file_contents("reward.path", str(Path(config.reward.path) / name / file))
    return contents


def program_contents(config: Config) -> Contents:
    """The skills and both programs over skills."""
    return (
        skill_contents(config)
        | file_contents("compose.training", config.compose.training)
        | file_contents("task.program", config.task.program)
    )


def file_contents(setting: str, path: str) -> Contents:
    """One file that a setting names."""
    try:
        return {path: store.sha256(Path(path))}
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}; {setting} must name a readable file"
        ) from error


@dataclass(frozen=True)
class Stage:
    """One step of the path. Whatever its output depends on must be named here."""

    name: str
    function: str  # "package.module:function", imported when the stage runs and not before
    inputs: tuple[str, ...]
    settings: tuple[str, ...]  # dotted keys of sections or fields
    contents: Callable[[Config], Contents]
    beside: bool = False  # no part of the path: `run` does it if `run.further` names it

    def load(self) -> StageFunction:
        module, _, name = self.function.partition(":")
        function: StageFunction = getattr(importlib.import_module(module), name)
        return function


# Stages whose work is done already if the config names a folder of reward models.
MAKE_REWARDS = ("collect", "annotate", "quality", "curate", "distil", "soup", "gate")

STAGES = (
    Stage(
        "collect",
        "maestromotif.preferences.collect:run",
        inputs=(),
        settings=("run", "nethack.games", "nethack.character", "nethack.options", "collect"),
        contents=collect_contents,
    ),
    Stage(
        "annotate",
        "maestromotif.preferences.annotate:run",
        inputs=("collect",),
        settings=("run", "skills", "language", "annotate"),
        contents=model_contents,
    ),
    Stage(
        "quality",
        "maestromotif.preferences.examine:run",
        inputs=("collect",),
        settings=("run", "skills", "language", "annotate", "curate.keep_margin"),
        contents=gold_contents,
        beside=True,
    ),
    Stage(
        "curate",
        "maestromotif.rewards.curate:run",
        inputs=("annotate",),
        settings=("run", "skills", "language", "annotate", "curate"),
        contents=model_contents,
    ),
    Stage(
        "distil",
        "maestromotif.rewards.distil:run",
        inputs=("collect", "annotate", "curate"),
        settings=("run", "skills", "annotate", "distil"),
        contents=skill_contents,
    ),
    Stage(
        "soup",
        "maestromotif.rewards.soup:run",
        inputs=("collect", "annotate", "curate", "distil"),
        settings=("run", "skills", "annotate", "distil", "soup"),
        contents=skill_contents,
        beside=True,
    ),
    Stage(
        "gate",  # no input of those behind it: what it lets pass is not trained anew for other thresholds
        "maestromotif.rewards.gate:run",
        inputs=("collect", "distil"),
        settings=("run", "skills", "annotate.changes", "reward", "gate"),
        contents=skill_contents,
    ),
    Stage(
        "train",
        "maestromotif.learning.train:run",
        inputs=("distil",),
        settings=("run", "skills", "nethack", "annotate.changes", "reward", "learning"),
        contents=training_contents,
    ),
    Stage(
        "compose",
        "maestromotif.composing.compose:run",
        inputs=(),
        settings=("run", "skills", "compose", "task"),
        contents=program_contents,
    ),
    Stage(
        "evaluate",
        "maestromotif.evaluation.evaluate:run",
        inputs=("distil", "train", "compose"),  # distil: the replay shows the rewards
        settings=(
            "run",
            "skills",
            "nethack",
            "annotate.changes",
            "reward",
            "learning.network",
            "task",
            "evaluate",
        ),
        contents=training_contents,
    ),
    Stage(
        "report",
        "maestromotif.dashboard.report:run",
        inputs=(
            "collect",
            "annotate",
            "quality",
            "curate",
            "distil",
            "soup",
            "gate",
            "train",
            "compose",
            "evaluate",
        ),
        settings=tuple(Config.model_fields),
        contents=program_contents,
    ),
)


BESIDE = tuple(stage.name for stage in STAGES if stage.beside)


def open_run(config: Config, config_file: str = "CONFIG") -> Run:
    """The run that the config names, not yet locked; `config_file` as the user wrote it, with overrides."""
    return Run(Path(config.run.root) / config.run.name, config_file)


def run_all(
    config: Config, run: Run, stages: Sequence[Stage] = STAGES, until: str | None = None
) -> list[Artefact]:
    """Runs every stage of the path that is not done yet, in order, and returns their artefacts.

    until: the last stage to run. Raises UserError if the config does without it.
    """
    with run:
        wanted = [stage for stage in stages if _is_run(config, stage)]
        names = [stage.name for stage in wanted]
        if until is not None:
            if until not in names:
                raise UserError(f"--until {until}: no stage of this run, which has: {', '.join(names)}")
            wanted = wanted[: names.index(until) + 1]
        for stage in wanted:  # what cannot be read is found now, not after an hour
            stage.contents(config)
        _write_config(config, run)
        done: dict[str, Artefact] = {}
        for number, stage in enumerate(wanted, start=1):
            inputs = {name: done[name] for name in _inputs(config, stage)}
            left = [other.name for other in wanted[number:]]
            done[stage.name] = _ensure(config, stage, inputs, run, f"[{number}/{len(wanted)}] ", left)
        return list(done.values())


def run_stage(config: Config, name: str, run: Run, stages: Sequence[Stage] = STAGES) -> Artefact:
    """Runs one stage, if it is not done yet, from the finished outputs of those before it.

    Raises UserError if one of them is not finished, or was made with other settings than these.
    """
    by_name = {stage.name: stage for stage in stages}
    with run:
        stage = by_name[name]
        inputs = {name: _current(config, by_name, name, run) for name in _inputs(config, stage)}
        _write_config(config, run)
        return _ensure(config, stage, inputs, run, "", [])


def assist_stage(config: Config, name: str, run: Run, stages: Sequence[Stage] = STAGES) -> None:
    """Takes part in a stage that another process runs, which alone holds the run's lock and ends the stage.

    Raises UserError as `run_stage` does.
    """
    by_name = {stage.name: stage for stage in stages}
    stage = by_name[name]
    inputs = {name: _current(config, by_name, name, run) for name in _inputs(config, stage)}
    key = key_of(identity(config, stage, {name: artefact.digest for name, artefact in inputs.items()}))
    if not run.is_done(name, key):
        stage.load()(config, inputs, run.work(name, key))


def input_of(config: Config, name: str, run: Run, stages: Sequence[Stage] = STAGES) -> Artefact:
    """A finished stage's artefact, for who wants to read it without running a stage.

    Raises UserError if it is not finished, or was made with other settings than these.
    """
    return _current(config, {stage.name: stage for stage in stages}, name, run)


def identity(config: Config, stage: Stage, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Everything that a stage's output depends on; `inputs` are digests."""
    return {
        "stage": stage.name,
        "version": __version__,
        "config": _picked(config, stage.settings),
        "inputs": dict(inputs),
        "files": stage.contents(config),
    }


def key_of(identity: dict[str, Any]) -> str:
    return hashlib.sha256(store.canonical(identity)).hexdigest()


def _ensure(
    config: Config, stage: Stage, inputs: dict[str, Artefact], run: Run, label: str, left: list[str]
) -> Artefact:
    """The stage's artefact: found, or made."""
    known = identity(config, stage, {name: artefact.digest for name, artefact in inputs.items()})
    key = key_of(known)
    if artefact := run.find(stage.name, key):
        log.info("%s%s: done already", label, stage.name)
        return artefact
    started = time.monotonic()
    where = run.folder
    try:
        work = run.work(stage.name, key)
        where = work.path
        goes_on = any(work.path.iterdir())
        log.info("%s%s: %s", label, stage.name, "goes on where it was stopped" if goes_on else "begins")
        facts = stage.load()(config, inputs, work)
        seconds = round(time.monotonic() - started, 1)
        artefact = run.finish(
            work, known | {"key": key, "facts": facts, "seconds": seconds, "resumed": goes_on}
        )
    except Exception as error:
        if store.is_disk_full(error) and not isinstance(error, UserError):
            named = getattr(error, "filename", None)
            raise store.disk_full(Path(named) if isinstance(named, str) else where) from error
        raise
    rest = f"; left: {', '.join(left)}" if left else ""
    log.info("%s%s: done in %s%s", label, stage.name, duration(seconds), rest)
    return artefact


def _current(config: Config, stages: Mapping[str, Stage], name: str, run: Run) -> Artefact:
    """A finished stage's artefact, if it and those before it are what the config asks for now."""
    artefact = run.artefact(name)
    stage = stages[name]
    digests = {}
    for source in _inputs(config, stage):
        digests[source] = _current(config, stages, source, run).digest
    differences = _differences(artefact.manifest, identity(config, stage, digests))
    if differences:
        raise UserError(
            f"{artefact.path}: was made otherwise: {'; '.join(differences)}\n"
            f"make it anew with: maestromotif {name} {run.config_file}\n"
            f"or all that is needed with: maestromotif run {run.config_file}"
        )
    return artefact


def _differences(made: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What differs between a manifest and an identity, in words."""
    differences = []
    if made["version"] != asked["version"]:
        differences.append(f"by version {made['version']}, this is {asked['version']}")
    for key in sorted(made["config"].keys() | asked["config"].keys()):
        before, now = made["config"].get(key), asked["config"].get(key)
        if before != now:
            differences.append(f"{key} was {before!r}, is {now!r}")
    for path in sorted(made["files"].keys() | asked["files"].keys()):
        if made["files"].get(path) != asked["files"].get(path):
            differences.append(f"{path} has changed")
    for name in sorted(made["inputs"].keys() | asked["inputs"].keys()):
        if made["inputs"].get(name) != asked["inputs"].get(name):
            differences.append(f"'{name}' has been made anew since")
    return differences


def _inputs(config: Config, stage: Stage) -> list[str]:
    return [
        name
        for name in stage.inputs
        if (stage.name in MAKE_REWARDS or not _replaced(config, name))
        and (name not in BESIDE or name in config.run.further)
    ]


def _is_run(config: Config, stage: Stage) -> bool:
    """Whether `run` does the stage."""
    return not _replaced(config, stage.name) and (not stage.beside or stage.name in config.run.further)


def _replaced(config: Config, name: str) -> bool:
    """Whether the config's own reward models stand in for a stage."""
    return config.reward.path is not None and name in MAKE_REWARDS


def _picked(config: Config, settings: Sequence[str]) -> dict[str, Any]:
    """Dotted key -> plain value of every field below `settings`."""
    flat: dict[str, Any] = {}

    def flatten(value: Any, key: str) -> None:
        if isinstance(value, dict) and value:
            for name, item in value.items():
                flatten(item, f"{key}.{name}" if key else name)
        elif _below(key, settings) and not _below(key, NOT_IN_KEYS):
            flat[key] = value

    flatten(config.model_dump(mode="json"), "")
    return flat


def _below(key: str, names: Iterable[str]) -> bool:
    """Whether a dotted key is one of `names` or lies below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _write_config(config: Config, run: Run) -> None:
    """The whole config as it was used last, for people; the manifests say what each stage used."""
    with store.writing(run.folder / "config.yaml") as file:
        file.write(dump(config).encode())
