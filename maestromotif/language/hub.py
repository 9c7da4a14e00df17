"""Identifies a model of the model hub, for the backends vllm and server."""

import hashlib
import json
from pathlib import Path

from maestromotif.config.labels import LanguageSettings
from maestromotif.config.paths import expanded
from maestromotif.errors import UserError
from maestromotif.language import presets

NOT_STATED = "not stated (language.licence)"


def identity(settings: LanguageSettings) -> tuple[str, str]:
    """(SHA-256, licence) of the model. The SHA-256 covers the folder `language.path`, or name and revision.

    It does not depend on a server's address. Raises UserError if the folder holds no model.
    """
    preset = presets.PRESETS.get(settings.model)
    if settings.path:
        digest = folder_digest(expanded(settings.path, "language.path"))
    else:
        revision = settings.revision or (preset.revision if preset else None)
        digest = named_digest(presets.hub_name(settings.model), revision)
    return digest, settings.licence or (preset.licence if preset else NOT_STATED)


def named_digest(model: str, revision: str | None) -> str:
    """SHA-256 over a model's name on the hub and the revision of its repository."""
    return hashlib.sha256(json.dumps({"model": model, "revision": revision}).encode()).hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and sizes of a folder's files and the content of its JSON files.

    Hashing tens of gigabytes of weights would take minutes. The JSON files hold their index and
    configuration, so different models have different digests. Raises UserError if there is no model.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"language.path: {folder}: should be a folder with a model in the hub's format (config.json, "
            "weights, tokenizer)"
        )
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        if file.suffix == ".json":
            digest.update(file.read_bytes())
    return digest.hexdigest()
