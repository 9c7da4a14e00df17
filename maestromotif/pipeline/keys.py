"""The key of a stage: the SHA-256 of everything that its output depends on.

It covers the settings that affect the output, the digests of the inputs, the content of the files that the
stage reads, and its code. The same key means the same output.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maestromotif.config.schema import Config
from maestromotif.pipeline import store
from maestromotif.pipeline.stages import Stage

# Settings about places and speed. Results must not depend on them.
NOT_IN_KEYS = {
    "run.name",
    "run.root",
    "run.further",
    "nethack.workers",
    "nethack.loader",
    "tracking",
    "nethack.options",  # the file's content is in the key
    "collect.recordings",  # so are the names and sizes of the files in the folder
    "language.path",  # the file's content is in the key by its SHA-256
    "language.cache",
    "language.threads",
    "language.url",
    "language.api_key_variable",
    "language.check_model",
    "language.concurrency",
    "language.timeout",
    "language.retries",
    "language.record",
    "annotate.answers",
    "annotate.price",
    "train.checkpoints",
    "train.devices",  # it affects which games share a minibatch, but a run may resume on other devices
    "slurm",
}


def identity(
    config: Config, stage: Stage, inputs: Mapping[str, str], reads: Mapping[str, str], code: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that a stage's output depends on.

    inputs: stage -> digest. reads: the result of the stage's `reads`. code: see `code.code_of`.
    """
    return {
        "stage": stage.name,
        "config": picked(config, stage.settings),
        "inputs": dict(inputs),
        "files": dict(reads),
        "code": dict(code),
    }


def key_of(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(store.canonical(identity)).hexdigest()


def differences(made: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The differences between a manifest and an identity, in words; does not compare the code."""
    found = []
    for key in sorted(made.get("config", {}).keys() | asked["config"].keys()):
        before, now = made.get("config", {}).get(key), asked["config"].get(key)
        if before != now:
            found.append(f"{key} was {before!r}, is {now!r}")
    for path in sorted(made.get("files", {}).keys() | asked["files"].keys()):
        if made.get("files", {}).get(path) != asked["files"].get(path):
            found.append(f"{path} has changed")
    for name in sorted(made.get("inputs", {}).keys() | asked["inputs"].keys()):
        if made.get("inputs", {}).get(name) != asked["inputs"].get(name):
            found.append(f"'{name}' was made again since")
    return found


def picked(config: Config, settings: Sequence[str]) -> dict[str, Any]:
    """Dotted key -> plain value of every field under `settings` that counts for the key."""
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
    """Whether a dotted key is one of `names` or under one; every key is under ""."""
    return any(name in ("", key) or key.startswith(f"{name}.") for name in names)
