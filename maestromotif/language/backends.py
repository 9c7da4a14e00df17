"""The configured language model. A new backend is a module here and its name in `config/schema.py`.

A backend's module has three functions; `load` may take long, the others are quick:

    load(settings) -> LanguageModel        the model, ready to be asked
    identity(settings) -> (str, str)       SHA-256 of what decides about its answers, and its licence
    check(settings) -> Iterator[Finding]   what it needs on this machine, for `maestromotif doctor`

The first two raise UserError.
"""

import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from maestromotif.config.schema import LanguageSettings
from maestromotif.errors import Finding, UserError
from maestromotif.language import presets, recorded
from maestromotif.language.model import LanguageModel

log = logging.getLogger("maestromotif")


def open_model(settings: LanguageSettings) -> LanguageModel:
    """The configured model, ready to be asked; with `record`, wrapped so that its answers are written down.

    Loads weights (gguf, vllm) or reads the file (recorded); a server is asked for nothing yet. Raises
    UserError.
    """
    _, licence = identity(settings)
    preset = presets.PRESETS.get(settings.model)
    if preset and settings.context > preset.context:
        raise UserError(
            f"language.context: {settings.context} tokens, but {settings.model} was made for at most "
            f"{preset.context}"
        )
    if preset and licence == preset.licence:
        log.info("%s: %s; %s", settings.model, licence, preset.duties)
    model: LanguageModel = _module(settings).load(settings)
    return recorded.Recorder(model, Path(settings.record).expanduser()) if settings.record else model


def identity(settings: LanguageSettings) -> tuple[str, str]:
    """(SHA-256, licence) of the configured model, for keys and manifests. Nothing is loaded or asked.

    The digest is over whatever decides about the answers and can be known beforehand: for gguf the weights;
    for recorded the file; for vllm and server see `hub.identity`. Raises UserError.
    """
    found: tuple[str, str] = _module(settings).identity(settings)
    return found


def reads(settings: LanguageSettings) -> dict[str, str]:
    """The model, in words -> its digest, for the keys of stages that ask it. Raises UserError."""
    return {f"weights of {settings.model}": identity(settings)[0]}


def check(settings: LanguageSettings) -> Iterator[Finding]:
    """What the configured backend needs, and what the model's licence asks of those who use it."""
    yield from _module(settings).check(settings)
    if settings.model in presets.PRESETS:
        preset = presets.PRESETS[settings.model]
        yield Finding("note", f"{preset.licence}: {preset.duties}")


def _module(settings: LanguageSettings) -> ModuleType:
    # Imported when it is needed: each takes a while, and a run needs one.
    return importlib.import_module(f"maestromotif.language.{settings.backend}")
