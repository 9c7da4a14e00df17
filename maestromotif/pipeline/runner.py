"""Runs stages: skips finished ones, makes missing ones, and reports stale ones.

A finished stage with the same key (see `keys`) does not run again. A killed stage resumes in its work folder.
Work is stale if only the code has changed since; it is neither reused nor repeated until the user chooses
`--stale reuse` or `--stale repeat`.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maestromotif import __version__
from maestromotif.config.load import CONFIG, dump, load
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline import store
from maestromotif.pipeline.code import changed, code_of, mixed
from maestromotif.pipeline.keys import differences, identity, key_of
from maestromotif.pipeline.progress import duration
from maestromotif.pipeline.refused import in_words
from maestromotif.pipeline.stages import STAGES, Stage
from maestromotif.pipeline.store import Artefact, Run
from maestromotif.tracking.tracker import SILENT
from maestromotif.tracking.tracking import Tracking

log = logging.getLogger("maestromotif")

# What to do with work of older code: use it as it is, or make it again. None: name it and stop.
Stale = Literal["reuse", "repeat"]

FILES_SHOWN = 8  # changed files to list in a message


def stages_of(config: Config) -> list[Stage]:
    """The stages that `run` runs under this config."""
    path = _Path(config, open_run(config), STAGES, None, "run")
    return [stage for stage in STAGES if path.includes(stage)]


def config_of(folder: Path) -> Config:
    """The config that a run was last used with. Raises UserError if `folder` is not the folder of a run."""
    file = folder / CONFIG
    if not file.is_file():
        raise UserError(f"{folder}: is not the folder of a run, because it has no {CONFIG}")
    try:
        return load(str(file))
    except UserError as error:
        if others := store.versions(folder) - {__version__}:
            was = ", ".join(sorted(others))
            raise UserError(
                f"{error}\n{folder}: was made by version {was}, and this is version {__version__}, whose "
                "settings differ: use that version, or correct the config"
            ) from error
        raise


def open_run(config: Config, config_file: str = "CONFIG") -> Run:
    """The run of a config, not locked yet; `config_file` as the user wrote it, with overrides."""
    return Run(Path(config.run.root) / config.run.name, config_file)


def run_all(
    config: Config,
    run: Run,
    stages: Sequence[Stage] = STAGES,
    until: str | None = None,
    stale: Stale | None = None,
) -> list[Artefact]:
    """Runs every stage of the run that is not finished, in order, and returns all their artefacts.

    until: the last stage to run. Raises UserError if the config does not include it, and if work is stale.
    """
    command = f"run {run.config_file}" + (f" --until {until}" if until else "")
    with run, Tracking(config, run.folder, run.config_file) as tracking:
        path = _Path(config, run, stages, stale, command, tracking)
        wanted = [stage for stage in stages if path.includes(stage)]
        names = [stage.name for stage in wanted]
        if until is not None:
            if until not in names:
                raise UserError(
                    f"--until {until}: not a stage of this run; its stages are: {', '.join(names)}"
                )
            wanted = wanted[: names.index(until) + 1]
        for stage in wanted:  # finds unreadable files now and not after an hour
            path.reads(stage)
            path.code(stage)
        _foresee(config, path.to_make(wanted))
        path.stop_at_stale(wanted)
        _write_config(config, run)
        done: dict[str, Artefact] = {}
        for number, stage in enumerate(wanted, start=1):
            inputs = {name: done[name] for name in path.inputs(stage)}
            left = [other.name for other in wanted[number:]]
            done[stage.name] = path.ensure(stage, inputs, f"[{number}/{len(wanted)}] ", left)
        return list(done.values())


def _foresee(config: Config, stages: Sequence[Stage]) -> None:
    """Raises UserError with all that the stages would refuse, as far as the config and its files tell it."""
    problems: dict[str, None] = {}
    for stage in stages:
        try:
            stage.foresee()(config)
        except UserError as error:
            problems[str(error)] = None  # once, if several stages would refuse the same
    if problems:
        raise UserError("\n".join(problems))


def run_stage(
    config: Config, name: str, run: Run, stages: Sequence[Stage] = STAGES, stale: Stale | None = None
) -> Artefact:
    """Runs one stage, if it is not finished, on the finished artefacts of the stages before it.

    stale: what to do with the stage's own work of older code; if given, inputs of older code are used as
    they are. Raises UserError if an input is not finished, was made with other settings, or has other code
    and `stale` is None.
    """
    with run, Tracking(config, run.folder, run.config_file) as tracking:
        path = _Path(config, run, stages, stale, f"{name} {run.config_file}", tracking)
        stage = path.by_name[name]
        inputs = {name: path.current(name) for name in path.inputs(stage)}
        _write_config(config, run)
        return path.ensure(stage, inputs, "", [])


def assist_stage(
    config: Config, name: str, run: Run, stages: Sequence[Stage] = STAGES, stale: Stale | None = None
) -> None:
    """Takes part in a stage that another process runs; that process holds the lock and finishes the stage.

    Raises UserError as `run_stage` does.
    """
    path = _Path(config, run, stages, stale, f"{name} {run.config_file}")
    stage = path.by_name[name]
    inputs = {name: path.current(name) for name in path.inputs(stage)}
    found = path.find(stage, {name: artefact.digest for name, artefact in inputs.items()})
    if found.finished is None:
        stage.run()(config, inputs, store.Work(found.folder))


def input_of(
    config: Config, name: str, run: Run, stages: Sequence[Stage] = STAGES, stale: Stale | None = None
) -> Artefact:
    """A finished stage's artefact, to read it without running a stage.

    Raises UserError if it is not finished, was made with other settings, or has other code and `stale` is
    None.
    """
    return _Path(config, run, stages, stale, f"{name} {run.config_file}").current(name)


@dataclass(frozen=True)
class _Found:
    """The existing work of a stage."""

    identity: dict[str, Any]  # the requested one, or that of the artefact to be made
    finished: Artefact | None  # the one to use, not verified yet
    folder: Path  # if not finished: where the stage starts or resumes
    goes_on: bool = False


@dataclass(frozen=True)
class _StaleWork:
    """Work that differs from the request only in its code."""

    folder: Path
    files: list[str]  # the changed ones
    seconds: float | None  # the time it took; None if not finished

    def __str__(self) -> str:
        shown = self.files[:FILES_SHOWN]
        more = f" and {len(self.files) - len(shown)} more" if len(self.files) > len(shown) else ""
        state = "unfinished" if self.seconds is None else f"took {duration(self.seconds)}"
        return f"{self.folder} ({state}): the code has changed since: {', '.join(shown)}{more}"


class _Path:
    """The stages of a run under one config. Reads each artefact, file and module once."""

    def __init__(
        self,
        config: Config,
        run: Run,
        stages: Sequence[Stage],
        stale: Stale | None,
        command: str,
        tracking: Tracking | None = None,
    ) -> None:
        self._tracking = tracking
        self.by_name = {stage.name: stage for stage in stages}
        self._config, self._run, self._stale, self._command = config, run, stale, command
        self._reads: dict[str, dict[str, str]] = {}
        self._code: dict[str, dict[str, str]] = {}
        self._current: dict[str, Artefact] = {}

    def includes(self, stage: Stage) -> bool:
        """Whether the run has this stage."""
        return not self._replaced(stage) and (not stage.optional or stage.name in self._config.run.further)

    def inputs(self, stage: Stage) -> list[str]:
        """The stages whose artefacts a stage reads under this config."""
        return [
            name
            for name in stage.inputs
            if (stage.makes_rewards or not self._replaced(self.by_name[name]))
            and (not self.by_name[name].optional or name in self._config.run.further)
        ]

    def reads(self, stage: Stage) -> dict[str, str]:
        if stage.name not in self._reads:
            self._reads[stage.name] = stage.reads()(self._config)
        return self._reads[stage.name]

    def code(self, stage: Stage) -> dict[str, str]:
        """The code at the first call; later edits do not change the result."""
        if stage.name not in self._code:
            self._code[stage.name] = code_of(stage.module)
        return self._code[stage.name]

    def current(self, name: str) -> Artefact:
        """A finished stage's artefact, if it and its inputs match the present config."""
        if name not in self._current:
            stage, artefact = self.by_name[name], self._run.artefact(name)
            asked = self._identity(
                stage, {source: self.current(source).digest for source in self.inputs(stage)}
            )
            if found := differences(artefact.manifest, asked):
                raise UserError(
                    f"{artefact.path}: was made with other settings or inputs: {'; '.join(found)}\n"
                    f"make it again with: maestromotif {name} {self._run.config_file}\n"
                    f"or make everything that is needed with: maestromotif run {self._run.config_file}"
                )
            if work := _stale_artefact(artefact, asked):
                if self._stale is None:
                    raise self._stale_error([work], f"{name} {self._run.config_file}")
                log.warning("%s: used as it is; %s", name, work)
            self._current[name] = artefact
        return self._current[name]

    def find(self, stage: Stage, inputs: Mapping[str, str]) -> _Found:
        """The existing work of a stage with these input digests. Changes nothing.

        Raises UserError if it is stale and the user has not chosen `--stale`.
        """
        asked = self._identity(stage, inputs)
        finished = self._finished(stage, asked)
        if finished is not None and (self._stale == "reuse" or not _stale_artefact(finished, asked)):
            return _Found(asked, finished, finished.path)
        exact, older = self._begun(stage, asked)
        if exact is not None:
            return _Found(asked, None, exact, goes_on=True)
        if self._stale is None and (finished is not None or older is not None):
            raise self._stale_error([work for work in [self._stale_work(stage, asked)] if work])
        if self._stale == "reuse" and older is not None:
            folder, code = older
            return _Found(asked | {"code": mixed(code, asked["code"])}, None, folder, goes_on=True)
        return _Found(asked, None, self._run.new_work(stage.name, key_of(asked), asked))

    def to_make(self, stages: Sequence[Stage]) -> list[Stage]:
        """The stages that have no finished artefact to use."""
        digests: dict[str, str] = {}
        for stage in stages:
            if all(name in digests for name in self.inputs(stage)):
                asked = self._identity(stage, {name: digests[name] for name in self.inputs(stage)})
                artefact = self._finished(stage, asked)
                if artefact and (self._stale == "reuse" or not _stale_artefact(artefact, asked)):
                    digests[stage.name] = artefact.digest
        return [stage for stage in stages if stage.name not in digests]

    def stop_at_stale(self, stages: Sequence[Stage]) -> None:
        """Raises UserError that lists all stages with stale work, unless the user has chosen `--stale`."""
        if self._stale is not None:
            return
        digests: dict[str, str] = {}
        found = []
        for stage in stages:
            if all(name in digests for name in self.inputs(stage)):
                asked = self._identity(stage, {name: digests[name] for name in self.inputs(stage)})
                if artefact := self._finished(stage, asked):
                    digests[stage.name] = artefact.digest
                if work := self._stale_work(stage, asked):
                    found.append(work)
        if found:
            raise self._stale_error(found)

    def ensure(self, stage: Stage, inputs: Mapping[str, Artefact], label: str, left: list[str]) -> Artefact:
        """The stage's artefact; makes it if necessary."""
        found = self.find(stage, {name: artefact.digest for name, artefact in inputs.items()})
        if found.finished is not None:
            artefact = self._run.restore(found.finished)
            if work := _stale_artefact(artefact, found.identity):
                log.warning("%s%s: used as it is; %s", label, stage.name, work)
            else:
                log.info("%s%s: already done", label, stage.name)
            return artefact
        return self._make(stage, inputs, found, label, left)

    def _make(
        self, stage: Stage, inputs: Mapping[str, Artefact], found: _Found, label: str, left: list[str]
    ) -> Artefact:
        started = time.monotonic()
        where = self._run.folder
        try:
            work = store.Work(found.folder)
            where = work.path
            code = mixed(found.identity["code"], code_of(stage.module))
            if files := changed(found.identity["code"], code):
                log.warning("%s: edited while this command was running: %s", stage.name, ", ".join(files))
            known = found.identity | {"code": code}
            work.begin(known)
            log.info("%s%s: %s", label, stage.name, "resumes" if found.goes_on else "begins")
            tracker = SILENT
            if self._tracking is not None:
                tracker = self._tracking.stage(stage.name, work.path.name, stage.logged())
            facts = stage.run()(self._config, dict(inputs), work, tracker)
            seconds = round(time.monotonic() - started, 1)
            more = {"key": key_of(known), "facts": facts, "seconds": seconds, "resumed": found.goes_on}
            artefact = self._run.finish(work, known | more)
            if stage.tracked_as:
                told = {"digest": artefact.digest, "inputs": known["inputs"], "key": more["key"]}
                tracker.artefact(stage.name, stage.tracked_as, artefact.path, facts=told)
        except Exception as error:
            if (refused := in_words(error, where)) is not None:
                raise refused from error
            raise
        rest = f"; left: {', '.join(left)}" if left else ""
        log.info("%s%s: done in %s%s", label, stage.name, duration(seconds), rest)
        return artefact

    def _identity(self, stage: Stage, inputs: Mapping[str, str]) -> dict[str, Any]:
        return identity(self._config, stage, inputs, self.reads(stage), self.code(stage))

    def _finished(self, stage: Stage, asked: Mapping[str, Any]) -> Artefact | None:
        """The finished artefact with this identity, or else one that differs only in its code."""
        same = [
            artefact
            for artefact in self._run.finished(stage.name)
            if not differences(artefact.manifest, asked)
        ]
        current = [artefact for artefact in same if not _stale_artefact(artefact, asked)]
        return next(iter([*current, *same]), None)

    def _replaced(self, stage: Stage) -> bool:
        """Whether the config names what the stage would make, or training learns it."""
        given_rewards = stage.makes_rewards and not self._config.reward.distilled
        return given_rewards or (stage.makes_policy and self._config.train.policy is not None)

    def _begun(
        self, stage: Stage, asked: Mapping[str, Any]
    ) -> tuple[Path | None, tuple[Path, dict[str, str]] | None]:
        """Unfinished work: the folder with this identity, and (folder, code) where only the code differs."""
        exact, older = None, None
        for folder, begun in self._run.begun(stage.name):
            if not store.has_work(folder) or differences(begun, asked):
                continue
            if begun["code"] == asked["code"]:
                exact = exact or folder
            else:
                older = older or (folder, begun["code"])
        return exact, older

    def _stale_work(self, stage: Stage, asked: Mapping[str, Any]) -> _StaleWork | None:
        """The stage's work that differs only in its code; None if the user need not choose."""
        exact, older = self._begun(stage, asked)
        if exact is not None:
            return None
        if finished := self._finished(stage, asked):
            return _stale_artefact(finished, asked)
        return _StaleWork(older[0], changed(older[1], asked["code"]), None) if older else None

    def _stale_error(self, works: Sequence[_StaleWork], of: str | None = None) -> UserError:
        """of: the command that makes the work again, if it is not the command that was given."""
        return UserError(
            "\n".join(
                [
                    *map(str, works),
                    f"use it as it is with: maestromotif {self._command} --stale reuse",
                    f"or make it again with: maestromotif {of or self._command} --stale repeat",
                ]
            )
        )


def _stale_artefact(artefact: Artefact, asked: Mapping[str, Any]) -> _StaleWork | None:
    """Why an artefact is stale; None if its code is the requested one."""
    files = changed(artefact.manifest["code"], dict(asked["code"]))
    return _StaleWork(artefact.path, files, artefact.manifest.get("seconds", 0.0)) if files else None


def _write_config(config: Config, run: Run) -> None:
    """Writes the last used config for people to read; the manifests record what each stage used."""
    with store.writing(run.folder / CONFIG) as file:
        file.write(dump(config).encode())
