"""The policies in a run's folder: the finished one, and those in the checkpoints of a training.

It only reads, and takes no lock, so another process may be training in the folder.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from maestromotif.agent.network import ActorCritic, Params, initial_params
from maestromotif.agent.policy import POLICY, fitted
from maestromotif.agent.saved_policy import policy_file, read_policy
from maestromotif.compose.compose import TRAINING, program_file
from maestromotif.config.load import CONFIG
from maestromotif.config.schema import Config
from maestromotif.errors import UserError, elsewhere
from maestromotif.pipeline.runner import config_of
from maestromotif.pipeline.store import MANIFEST
from maestromotif.pipeline.trees import parse_tree, refusing
from maestromotif.programs import contract
from maestromotif.tasks.task import Task, tasks_of
from maestromotif.train.checkpoint import FOLDER, Checkpoints
from maestromotif.train.reward_source import ONLINE_FOLDER
from maestromotif.train.schedule import Schedule, schedule

TRIES = 5  # at a checkpoint, which training may remove while it is read


@dataclass(frozen=True)
class Version:
    """The parameters of a policy. path: its file, or the folder of its checkpoint. step: environment steps
    that it was trained for.
    """

    path: Path
    step: int
    params: Params


class RunFolder:
    """A run, or one checkpoint or policy of it.

    target: the run's folder, or in it a checkpoint's folder, a file of a checkpoint, or a `policy.msgpack`.
    Raises UserError if that is no such place.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        places = [target, *target.absolute().parents]
        found = next((place for place in places if (place / CONFIG).is_file()), None)
        if not target.exists() or found is None:
            what = (
                "does not exist" if not target.exists() else f"neither it nor a folder above has a {CONFIG}"
            )
            where = "" if target.parent.exists() else elsewhere(target)
            raise UserError(
                f"{target}: {what}; name a run's folder, such as runs/quickstart, or a checkpoint or policy "
                f"in one{where}"
            )
        self.folder = found
        self.config: Config = config_of(found)
        if not Path(self.config.skills_folder).is_dir():
            raise UserError(
                f"{self.config.skills_folder}: no such folder; the run's config names files relative to the "
                "folder in which the run was started: start this command there"
            )
        self._plan = _plan(self.config)

    @property
    def task(self) -> Task:
        """The first task of the config. Raises UserError."""
        return tasks_of(self.config)[0]

    def program(self, training: bool) -> tuple[str, str]:
        """Source and path of the program over skills: the first task's, or that of training."""
        task = self.task
        checked = self.folder / "compose" / program_file(TRAINING if training else task.name)
        given = self.config.compose.training if training else task.program
        path = checked if checked.is_file() else Path(given)
        return contract.read(path), str(path)

    def rewards(self) -> Path | None:
        """The folder of the run's reward models; None if it has none."""
        online = self.config.reward.online_steps is not None
        made = self.folder / "train" / ONLINE_FOLDER if online else self.folder / "distil"
        folder = Path(self.config.reward.path) if self.config.reward.path is not None else made
        return folder if folder.is_dir() else None

    def newest(self, network: ActorCritic) -> Version:
        """The newest policy in the target. Raises UserError if there is none or it is of another network."""
        for _ in range(TRIES):
            path = self._newest()
            try:
                if path.is_file():
                    return Version(path, self._steps_of_finished(path), read_policy(path, self.config))
                file = path / f"0-of-{self.config.train.machines}.msgpack"
                saved = _read(file)
                with refusing(file, "a checkpoint"):
                    newest = _newest_params(saved)
                return Version(path, int(path.name) * self._plan.steps, _fit(file, newest, network))
            except FileNotFoundError:
                continue  # training has removed it since, because there are newer ones
        raise UserError(f"{path}: was removed while it was read; try again")

    def _newest(self) -> Path:
        """A policy's file or a checkpoint's folder."""
        target = self.target.parent if self.target.suffix == ".msgpack" else self.target
        bases = [target, target / "train", *target.glob(".work/train-*")]
        found = [base / POLICY for base in bases if (base / POLICY).is_file()]
        if not found and self.config.train.policy is not None and target == self.folder:
            return policy_file(self.config.train.policy, "train.policy")
        if target.name.isdigit():
            found += [target] if target.name in _whole(target.parent, self.config) else []
        for base in bases:
            for folder in (base, base / FOLDER):
                found += [folder / name for name in _whole(folder, self.config)[-1:]]
        if not found:
            raise UserError(
                f"{self.target}: holds no policy and no complete checkpoint yet; training writes its first "
                f"checkpoint after train.checkpoint_steps = {self.config.train.checkpoint_steps} steps"
            )
        return max(found, key=lambda path: path.stat().st_mtime)

    def _steps_of_finished(self, path: Path) -> int:
        try:
            return int(json.loads((path.parent / MANIFEST).read_text())["facts"]["steps"])
        except (OSError, ValueError, KeyError, TypeError):
            plan = RunFolder(path)._plan
            return plan.updates * plan.steps


def _plan(config: Config) -> Schedule:
    return schedule(config.train, config.nethack.games * config.train.machines)


def _whole(folder: Path, config: Config) -> list[str]:
    """Names of the complete checkpoints in a folder, oldest first."""
    with Checkpoints(folder, keep=1, processes=config.train.machines) as checkpoints:
        return [f"{updates:010d}" for updates in checkpoints.complete()]


def _read(path: Path) -> Any:
    """Raises FileNotFoundError, and UserError for a file that is damaged."""
    return parse_tree(path.read_bytes(), path, "a policy or checkpoint")


def _newest_params(saved: dict[str, Any]) -> Any:
    """Raises an error if a checkpoint holds no parameters."""
    versions = saved["common"]["params"]
    if not versions:
        raise ValueError("it holds no parameters")
    return versions[-1]


def _fit(path: Path, state: Any, network: ActorCritic) -> Params:
    blank = jax.eval_shape(lambda: initial_params(network, 0))
    params: Params = fitted(path, blank, state)
    return params
