"""The configured language model, whatever runs it: the one place that knows all backends."""

import hashlib
import json
import logging
from pathlib import Path

from maestromotif.config.schema import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import presets, recorded, weights
from maestromotif.language.model import LanguageModel

log = logging.getLogger("maestromotif")

NOT_STATED = "not stated (language.licence)"


def open_model(settings: LanguageSettings) -> LanguageModel:
    """The configured model, ready to be asked; with `record`, wrapped so that its answers are written down.

    Loads weights (gguf, vllm) or reads the file (recorded); a server is asked for nothing yet. Raises
    UserError.
    """
    digest, licence = identity(settings)
    preset = presets.PRESETS.get(settings.model)
    if preset and settings.context > preset.context:
        raise UserError(
            f"language.context: {settings.context} tokens, but {settings.model} was made for at most "
            f"{preset.context}"
        )
    if preset and licence == preset.licence:
        log.info("%s: %s; %s", settings.model, licence, preset.duties)
    model: LanguageModel
    match settings.backend:  # imported here: each takes a while, and one is needed
        case "gguf":
            from maestromotif.language import gguf

            model = gguf.load(settings)
        case "vllm":
            from maestromotif.language import vllm

            model = vllm.load(settings)
        case "server":
            from maestromotif.language import server

            model = server.ServerModel(settings, digest, licence)
        case "recorded":
            model = recorded.load(settings)
    return recorded.Recorder(model, Path(settings.record).expanduser()) if settings.record else model


def identity(settings: LanguageSettings) -> tuple[str, str]:
    """(SHA-256, licence) of the configured model, for keys and manifests. Nothing is loaded or asked.

    The digest is over whatever decides about the answers and can be known beforehand: for gguf the weights;
    for recorded the file; for vllm and server the model's name on the hub and the revision, so that it does
    not depend on where a server runs; for a vllm model in a folder, see `folder_digest`. Raises UserError.
    """
    match settings.backend:
        case "gguf":
            return weights.identity(settings)
        case "recorded":
            return recorded.identity(settings)
    if settings.path:
        digest = folder_digest(Path(settings.path).expanduser())
    else:
        preset = presets.PRESETS.get(settings.model)
        digest = named_digest(
            presets.hub_name(settings.model), settings.revision or (preset.revision if preset else None)
        )
    return digest, _licence(settings)


def reads(settings: LanguageSettings) -> dict[str, str]:
    """The model, in words -> its digest, for the keys of stages that ask it. Raises UserError."""
    return {f"weights of {settings.model}": identity(settings)[0]}


def named_digest(model: str, revision: str | None) -> str:
    """SHA-256 over a model's name on the hub and the revision of its repository."""
    return hashlib.sha256(json.dumps({"model": model, "revision": revision}).encode()).hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 over a folder's files: their names and sizes, and the content of the JSON files among them.

    Reading tens of gigabytes of weights takes minutes; their index and configuration are among the JSON
    files, so another model has another digest. Raises UserError if there is no model.
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


def _licence(settings: LanguageSettings) -> str:
    preset = presets.PRESETS.get(settings.model)
    return settings.licence or (preset.licence if preset else NOT_STATED)
