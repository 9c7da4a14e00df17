"""The stages from words to behaviour: what each reads, and on what its output depends."""

import hashlib
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maestromotif import skill
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline import store
from maestromotif.pipeline.store import Artefact, Work

StageFunction = Callable[[Config, dict[str, Artefact], Work], dict[str, Any]]
Contents = dict[str, str]  # what is read, in words -> SHA-256


def game_contents(config: Config) -> Contents:
    """The file of NetHack's options, if the config names one."""
    return file_contents("nethack.options", config.nethack.options) if config.nethack.options else {}


def arena_contents(setting: str, arenas: Iterable[str]) -> Contents:
    """The files of arenas of one's own."""
    from maestromotif.nethack import arena

    contents: Contents = {}
    for name in arenas:
        try:
            arena.check(name)
        except UserError as error:
            raise UserError(f"{setting}: {error}") from None
        if name.endswith(".des"):
            contents |= file_contents(setting, name)
    return contents


def collect_contents(config: Config) -> Contents:
    """The game, and what else is played or read: arenas of one's own, recorded games."""
    contents = game_contents(config)
    contents |= arena_contents("collect.arenas", config.collect.arenas)
    if config.collect.recordings is not None:
        from maestromotif.collect import ttyrec

        contents["recordings"] = ttyrec.identity(Path(config.collect.recordings))
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
    from maestromotif.annotate import questions
    from maestromotif.language import backends

    digest, _ = backends.identity(config.language)
    model = {f"weights of {config.language.model}": digest, "prompts": questions.prompt_hash()}
    return skill_contents(config) | model


def measure_contents(config: Config) -> Contents:
    """What `model_contents` names, and the measures of the skills that have some."""
    from maestromotif.quality import measures

    files = [measures.path_of(config.skills_folder, name) for name in config.skills]
    return model_contents(config) | {str(path): store.sha256(path) for path in files if path.is_file()}


def gold_contents(config: Config) -> Contents:
    """What `measure_contents` names, and the gold sets of the skills that have one."""
    from maestromotif.quality import gold

    files = [gold.path_of(config.skills_folder, name) for name in config.skills]
    return measure_contents(config) | {str(path): store.sha256(path) for path in files if path.is_file()}


def training_contents(config: Config) -> Contents:
    """The game, the skills, the training program, and the reward models if the config names some."""
    contents = (
        game_contents(config)
        | skill_contents(config)
        | file_contents("compose.training", config.compose.training)
        | arena_contents("train.arenas", config.train.arenas)
    )
    if config.reward.online_steps is not None:
        annotate = config.annotate.model_dump(mode="json", exclude={"answers", "price"})
        ways = store.canonical([annotate, config.distil.model_dump(mode="json")])
        contents |= model_contents(config) | {"annotate and distil": hashlib.sha256(ways).hexdigest()}
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


# Stages without which the config can do if it names finished reward models, or has training learn them.
MAKE_REWARDS = ("collect", "annotate", "quality", "curate", "distil", "soup", "gate")

STAGES = (
    Stage(
        "collect",
        "maestromotif.collect.collect:run",
        inputs=(),
        settings=("run", "nethack.games", "nethack.character", "nethack.options", "collect"),
        contents=collect_contents,
    ),
    Stage(
        "annotate",
        "maestromotif.annotate.annotate:run",
        inputs=("collect",),
        settings=("run", "skills", "language", "annotate"),
        contents=model_contents,
    ),
    Stage(
        "quality",
        "maestromotif.quality.quality:run",
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
        contents=measure_contents,
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
        "maestromotif.train.train:run",
        inputs=("distil",),
        settings=("run", "skills", "nethack", "annotate.changes", "reward", "train"),
        contents=training_contents,
    ),
    Stage(
        "compose",
        "maestromotif.compose.compose:run",
        inputs=(),
        settings=("run", "skills", "compose", "task"),
        contents=program_contents,
    ),
    Stage(
        "evaluate",
        "maestromotif.evaluate.evaluate:run",
        inputs=("distil", "train", "compose"),  # distil: the replay shows the rewards
        settings=(
            "run",
            "skills",
            "nethack",
            "annotate.changes",
            "reward",
            "train.network",
            "task",
            "evaluate",
        ),
        contents=training_contents,
    ),
    Stage(
        "report",
        "maestromotif.report.report:run",
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
