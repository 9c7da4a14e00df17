"""The configured language model. A new backend is a module here and its name in `config/labels.py`.

A backend's module has three functions; `load` may be slow, the others are fast:

    load(settings) -> LanguageModel        the model, ready to be asked
    identity(settings) -> (str, str)       SHA-256 of what determines its answers, and its licence
    check(settings) -> Iterator[Finding]   its requirements on this machine, for `maestromotif doctor`

The first two raise UserError. So does a fourth, if `load` refuses anything that the machine already tells:

    foresee(settings)                      raises that UserError; fast, and sends no request

A module whose model is elsewhere has a fifth:

    reach(settings)                        raises UserError if it would answer no question now; within seconds
"""

import importlib
import logging
from collections.abc import Iterator
from types import ModuleType

from maestromotif.config.labels import LanguageSettings
from maestromotif.config.paths import expanded
from maestromotif.errors import Finding, UserError
from maestromotif.language import presets, recorded
from maestromotif.language.model import LanguageModel

log = logging.getLogger("maestromotif")


def foresee(settings: LanguageSettings) -> None:
    """Raises UserError for what `open_model` would refuse, as far as it can be seen without asking the model.

    That is a key, a proxy, certificates or an address that cannot be used, a file that is missing or damaged,
    no place for weights, and a file for `record` that cannot be written.
    """
    _check_context(settings)
    identity(settings)
    getattr(_module(settings), "foresee", _nothing)(settings)
    if settings.record:
        path = expanded(settings.record, "language.record")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab"):
                pass
        except OSError as error:
            raise UserError(f"language.record: {path}: cannot be written: {error.strerror}") from error


def reach(settings: LanguageSettings) -> None:
    """Raises UserError if the model's server is not there, rejects the key, or does not have the model.

    Sends one request, which no server charges for, and waits a few seconds at most.
    """
    getattr(_module(settings), "reach", _nothing)(settings)


def _nothing(settings: LanguageSettings) -> None:
    """Of a backend without that function."""


def _check_context(settings: LanguageSettings) -> None:
    preset = presets.PRESETS.get(settings.model)
    if preset and settings.context > preset.context:
        raise UserError(
            f"language.context: {settings.context} tokens, but {settings.model} has a context of at most "
            f"{preset.context}"
        )


def open_model(settings: LanguageSettings) -> LanguageModel:
    """The configured model, ready for questions; with `record`, wrapped to record its answers in a file.

    Loads weights (gguf, vllm) or reads the file (recorded). Sends no request to a server yet. Raises
    UserError.
    """
    _, licence = identity(settings)
    preset = presets.PRESETS.get(settings.model)
    _check_context(settings)
    if preset and licence == preset.licence:
        log.info("%s: %s; %s", settings.model, licence, preset.duties)
    model: LanguageModel = _module(settings).load(settings)
    return (
        recorded.Recorder(model, expanded(settings.record, "language.record")) if settings.record else model
    )


def identity(settings: LanguageSettings) -> tuple[str, str]:
    """(SHA-256, licence) of the configured model, for keys and manifests. Loads no model and asks nothing.

    The digest covers what determines the answers: the weights (gguf) or the file (recorded); for vllm and
    server see `hub.identity`. Raises UserError.
    """
    found: tuple[str, str] = _module(settings).identity(settings)
    return found


def reads(settings: LanguageSettings) -> dict[str, str]:
    """Name of the model -> its digest, for the keys of stages that ask it. Raises UserError."""
    return {f"weights of {settings.model}": identity(settings)[0]}


def check(settings: LanguageSettings) -> Iterator[Finding]:
    """Checks the configured backend, and notes what the model's licence requires."""
    yield from _module(settings).check(settings)
    if settings.model in presets.PRESETS:
        preset = presets.PRESETS[settings.model]
        yield Finding("note", f"{preset.licence}: {preset.duties}")


def _module(settings: LanguageSettings) -> ModuleType:
    # Imported when it is needed: each takes a while, and a run needs one.
    return importlib.import_module(f"maestromotif.language.{settings.backend}")
