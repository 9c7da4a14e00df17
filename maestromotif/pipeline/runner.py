"""How stages are run: what is done is skipped, what is missing is made.

A stage is a function `run(config, inputs, work) -> facts`. It is identified by a key: the SHA-256 of the
settings that matter to it, the digests of its inputs, the content of files that it reads and the version of
the package. The same key means the same output, so a finished stage with the same key need not run again, and
a stage that was killed goes on in its own work folder.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maestromotif import __version__
from maestromotif.config.load import dump
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline import store
from maestromotif.pipeline.progress import duration
from maestromotif.pipeline.stages import STAGES, Stage
from maestromotif.pipeline.store import Artefact, Run

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
    "train.checkpoints",
    "train.devices",  # which games share a minibatch does depend on it; a run may go on on other devices
    "slurm",
}


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
            stage.reads()(config)
        _write_config(config, run)
        done: dict[str, Artefact] = {}
        for number, stage in enumerate(wanted, start=1):
            inputs = {name: done[name] for name in _inputs(config, stage, stages)}
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
        inputs = {name: _current(config, by_name, name, run) for name in _inputs(config, stage, stages)}
        _write_config(config, run)
        return _ensure(config, stage, inputs, run, "", [])


def assist_stage(config: Config, name: str, run: Run, stages: Sequence[Stage] = STAGES) -> None:
    """Takes part in a stage that another process runs, which alone holds the run's lock and ends the stage.

    Raises UserError as `run_stage` does.
    """
    by_name = {stage.name: stage for stage in stages}
    stage = by_name[name]
    inputs = {name: _current(config, by_name, name, run) for name in _inputs(config, stage, stages)}
    key = key_of(identity(config, stage, {name: artefact.digest for name, artefact in inputs.items()}))
    if not run.is_done(name, key):
        stage.run()(config, inputs, run.work(name, key))


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
        "files": stage.reads()(config),
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
        facts = stage.run()(config, inputs, work)
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
    for source in _inputs(config, stage, tuple(stages.values())):
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


def _inputs(config: Config, stage: Stage, stages: Sequence[Stage]) -> list[str]:
    """The stages whose artefacts a stage is given under this config."""
    by_name = {other.name: other for other in stages}
    return [
        name
        for name in stage.inputs
        if (stage.makes_rewards or not _replaced(config, by_name[name]))
        and (not by_name[name].optional or name in config.run.further)
    ]


def _is_run(config: Config, stage: Stage) -> bool:
    """Whether `run` does the stage."""
    return not _replaced(config, stage) and (not stage.optional or stage.name in config.run.further)


def _replaced(config: Config, stage: Stage) -> bool:
    """Whether finished reward models, or those that training learns, stand in for a stage."""
    return stage.makes_rewards and not config.reward.distilled


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
    """Whether a dotted key is one of `names` or lies below one; everything lies below ""."""
    return any(name in ("", key) or key.startswith(f"{name}.") for name in names)


def _write_config(config: Config, run: Run) -> None:
    """The whole config as it was used last, for people; the manifests say what each stage used."""
    with store.writing(run.folder / "config.yaml") as file:
        file.write(dump(config).encode())
