"""Runs and their artefacts. A finished stage is a folder with a manifest; a kill loses no finished work.

    runs/<name>/<stage>/                    finished output of a stage and its manifest.json
    runs/<name>/.work/<stage>-<key12>/      a stage that is running or was killed
    runs/<name>/.work/<stage>-<key12>/.scratch/     its identity.json and checkpoints, deleted at the end
    runs/<name>/.earlier/<stage>-<key12>/   finished outputs that newer settings have replaced
    runs/<name>/.lock                       locked by the process that works here; holds its id

The key of a stage is a hash of everything that its output depends on (see `keys.py`). Files are written
under a temporary name, flushed to the disk and renamed, so a file is complete if it has its final name. The
manifest is written last: a work folder that has one is finished.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import reprlib
import shlex
import shutil
import stat
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any

from maestromotif import __version__
from maestromotif.errors import UserError
from maestromotif.pipeline import locks
from maestromotif.pipeline.refused import disk_full, is_disk_full
from maestromotif.reading import decode, opened, parse_json, read_bytes, read_json

log = logging.getLogger("maestromotif")

MANIFEST = "manifest.json"
SCRATCH = ".scratch"
IDENTITY = f"{SCRATCH}/identity.json"  # everything that the output of a started stage depends on
TEMPORARY = ".tmp-"  # prefix of files that are being written

_STAGE = re.compile(r"[a-z][a-z0-9_]*")
_KEY = re.compile(r"[0-9a-f]{64}")


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(folder: Path) -> set[str]:
    """The versions of this package that made the finished stages of a run, as far as their manifests say."""
    found = set()
    for path in folder.glob(f"*/{MANIFEST}"):
        with contextlib.suppress(UserError, AttributeError):
            found.add(str(read_json(path).get("version", "unknown")))
    return found


def file_contents(setting: str, path: str) -> dict[str, str]:
    """Path -> SHA-256 of a file that a setting names. Raises UserError if it cannot be read."""
    try:
        with opened(Path(path)) as file:
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                raise UserError(f"{path}: cannot be read: Is a pipe, and is read more than once")
            return {path: hashlib.file_digest(file, "sha256").hexdigest()}
    except UserError as error:
        raise UserError(f"{error}; {setting} must name a readable file") from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}; {setting} must name a readable file"
        ) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A file object that replaces `path` atomically when it is closed.

    After an error the old file is unchanged. Raises UserError if the disk is full.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            to_disk(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if is_disk_full(error):
            raise disk_full(path, error) from error
        raise


def append(path: Path, content: bytes) -> None:
    """Adds the whole content at the end of a file, or nothing. Raises OSError."""
    with path.open("ab", buffering=0) as file:
        before, left = file.seek(0, os.SEEK_END), memoryview(content)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise


def _flush_folder(folder: Path) -> None:
    """Makes the renames in a folder survive a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder in which one may write but not look
        return
    try:
        to_disk(descriptor)
    finally:
        os.close(descriptor)


def to_disk(descriptor: int) -> None:
    """Waits until a file or folder is on the disk, if its file system can say so. Raises OSError."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # shared ones refuse folders
            raise


def _plain(value: Any) -> Any:
    """Converts NumPy and JAX arrays and scalars, and paths, to JSON types."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


def write_arrays(file: IO[bytes], arrays: Mapping[str, Any]) -> None:
    """Writes arrays as .npz for numpy.load. Equal arrays give equal bytes; numpy.savez stores the time."""
    import numpy as np  # here, so that `maestromotif --help` starts fast

    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), allow_pickle=False)


@dataclass(frozen=True)
class Artefact:
    """The finished output of a stage."""

    path: Path
    manifest: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 over the hashes of all output files."""
        return hashlib.sha256(canonical(self.manifest["outputs"])).hexdigest()


class Work:
    """The folder of a running stage. After a kill its files stay there for the next attempt.

    Several processes may work in it. So what a killed one was writing is not removed when another starts,
    which could not tell it from what is being written now: it is written over, or removed at the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Records what the output depends on, so that a later process can resume the work."""
        self.write_json(IDENTITY, dict(identity))

    @property
    def scratch(self) -> Path:
        """Folder for checkpoints and chunks: not part of the artefact, deleted when the stage finishes."""
        folder = self.path / SCRATCH
        folder.mkdir(exist_ok=True)
        return folder

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes the file `name` atomically, as the other methods do; the name may contain subfolders."""
        with writing(self.path / name) as file:
            file.write(content)

    def write_text(self, name: str, content: str) -> None:
        self.write_bytes(name, content.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Arrays and scalars of NumPy become lists and numbers. ValueError for NaN and infinities."""
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=_plain)
        self.write_text(name, text + "\n")

    def write_arrays(self, name: str, **arrays: Any) -> None:
        """Writes an .npz file; equal arrays give equal bytes."""
        with writing(self.path / name) as file:
            write_arrays(file, arrays)

    def tidy(self) -> None:
        """Removes what killed processes were writing. Only when nothing is written any more."""
        for folder, _, names in os.walk(self.path):
            for name in names:
                if name.startswith(TEMPORARY):
                    Path(folder, name).unlink(missing_ok=True)

    def outputs(self) -> dict[str, str]:
        """Relative path -> SHA-256 of every file of the artefact, sorted by path."""
        names = (
            path.relative_to(self.path)
            for path in self.path.rglob("*")
            if path.is_file() and not path.name.startswith(TEMPORARY)
        )
        kept = sorted(str(name) for name in names if name.parts[0] not in (SCRATCH, MANIFEST))
        return {name: sha256(self.path / name) for name in kept}


class Run:
    """The folder of a run, locked for this process. Use as a context manager.

    `config_file` is what the user types after a verb; only messages use it.
    """

    def __init__(self, folder: Path, config_file: str = "CONFIG") -> None:
        self.folder = folder
        self.config_file = config_file
        self._lock: int | None = None

    def __enter__(self) -> "Run":
        lock = self.folder / ".lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be used as the run's folder: {error.strerror} ({error.filename}); "
                "set run.root to a folder where you may write"
            ) from error
        try:
            if reason := locks.lock(self._lock):
                log.warning(
                    "%s: cannot be locked, because the file system says: %s; the run goes on, but nothing "
                    "keeps a second process out of its folder",
                    *(lock, reason.strerror),
                )
        except locks.HeldError as error:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            self._unlock()
            raise UserError(
                f"{self.folder}: process {holder} is using this run; wait for it, stop it, "
                "or set run.name=another to start another run"
            ) from error
        # A forked worker that outlives this process must not hold the lock. Closing its copy keeps ours.
        os.register_at_fork(after_in_child=self._unlock)
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
            self._heal()
        except BaseException as error:
            self._unlock()
            if is_disk_full(error):
                raise disk_full(lock, error) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _heal(self) -> None:
        """Completes what a killed process left: moves folders with a manifest to their places."""
        manifests = (self.folder / ".work").glob(f"*/{MANIFEST}")
        for manifest in sorted(manifests, key=lambda path: path.stat().st_mtime):
            finished, again = manifest.parent, _remove(manifest.parent)
            told = self._read_manifest(finished, again)
            if not re.fullmatch(rf"{told['stage']}-{told['key'][:12]}(-\d+)?", finished.name):
                raise UserError(
                    f"{manifest}: is of the stage '{told['stage']}' with the key {told['key'][:12]}, but its "
                    f"folder has another name\nmove it away, or remove it: {again}"
                )
            self._publish(finished)

    def new_work(self, stage: str, key: str, identity: Mapping[str, Any]) -> Path:
        """The folder for a new stage. Does not create it. It never holds work of another identity."""
        base = self.folder / ".work" / f"{stage}-{key[:12]}"
        number, folder = 1, base
        while _read_identity(folder) not in (None, dict(identity)):
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        return folder

    def begun(self, stage: str) -> list[tuple[Path, dict[str, Any]]]:
        """Folders of unfinished work of the stage with their identities, newest first."""
        there = (self.folder / ".work").glob(f"{stage}-*")
        folders = sorted(there, key=lambda path: path.stat().st_mtime, reverse=True)
        found = [(folder, _read_identity(folder)) for folder in folders]
        return [(folder, told) for folder, told in found if told and told.get("stage") == stage]

    def finish(self, work: Work, manifest: dict[str, Any]) -> Artefact:
        """Turns a work folder into the stage's artefact.

        `manifest` needs "stage" and "key"; this adds "outputs", "version" and "created".
        """
        work.tidy()
        outputs = work.outputs()
        created = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        work.write_json(MANIFEST, manifest | {"outputs": outputs, "version": __version__, "created": created})
        return self._publish(work.path)

    def _publish(self, finished: Path) -> Artefact:
        """Moves a finished folder to its place, the old one to `.earlier`. A kill is healed by `_heal`."""
        shutil.rmtree(finished / SCRATCH, ignore_errors=True)
        manifest = self._read_manifest(finished, _remove(finished))
        place = self.folder / manifest["stage"]
        if place.exists() or place.is_symlink():
            self._move_aside(place)
        finished.rename(place)
        _flush_folder(self.folder)
        return Artefact(place, manifest)

    def _move_aside(self, place: Path) -> None:
        key = self._read_manifest(place, self._again(place.name))["key"]
        aside = self.folder / ".earlier" / f"{place.name}-{key[:12]}"
        aside.parent.mkdir(exist_ok=True)
        if aside.exists():  # same key, so same content, unless somebody has edited it
            shutil.rmtree(aside)
        place.rename(aside)

    def finished(self, stage: str) -> Iterator[Artefact]:
        """The present artefact of a stage, then the ones that it replaced; not verified. Raises UserError."""
        place = self.folder / stage
        if place.exists():
            yield Artefact(place, self._read_manifest(place, self._again(stage)))
        for earlier in sorted((self.folder / ".earlier").glob(f"{stage}-*")):
            yield Artefact(earlier, self._read_manifest(earlier, _remove(earlier)))

    def restore(self, artefact: Artefact) -> Artefact:
        """Makes one of the `finished` artefacts the present one; checks every file. Raises UserError."""
        place = self.folder / artefact.manifest["stage"]
        if artefact.path == place:
            return self.artefact(place.name)
        checked = self._verify(artefact.path, _remove(artefact.path))
        if place.exists():
            self._move_aside(place)
        artefact.path.rename(place)  # after a kill before this line, the next start repeats it
        return Artefact(place, checked.manifest)

    def artefact(self, stage: str) -> Artefact:
        """The finished output of a stage; checks every file.

        Raises UserError if the stage is not finished or one of its files is missing or damaged.
        """
        place = self.folder / stage
        if not place.exists():
            raise UserError(
                f"{place}: stage '{stage}' is not finished; run it, and what it needs, with: "
                f"maestromotif run {self.config_file} --until {stage}"
            )
        return self._verify(place, self._again(stage))

    def _again(self, stage: str) -> str:
        """The commands that replace a damaged artefact of a stage."""
        return f"{_remove(self.folder / stage)} && maestromotif {stage} {self.config_file}"

    def _verify(self, folder: Path, again: str) -> Artefact:
        manifest = self._read_manifest(folder, again)
        problems = []
        for name, digest in manifest["outputs"].items():
            path = folder / name
            if not path.is_file():
                problems.append(f"{path}: is missing")
            elif sha256(path) != digest:
                problems.append(f"{path}: is damaged: its SHA-256 differs from the one in {MANIFEST}")
        if problems:
            raise UserError("\n".join([*problems, f"restore it, or make it again: {again}"]))
        return Artefact(folder, manifest)

    def _read_manifest(self, folder: Path, again: str) -> dict[str, Any]:
        """A folder's manifest. again: the commands that make the artefact again, for messages."""
        path = folder / MANIFEST
        try:
            content = read_bytes(path)
        except UserError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise UserError(f"{path}: is missing\nrestore it, or make it again: {again}") from error
            raise UserError(f"{error}\nfix that, or make it again: {again}") from error
        try:
            manifest = parse_json(decode(content, str(path)), str(path))
            problem = _problem(manifest)
        except UserError as error:
            problem = str(error).removeprefix(f"{path}: ")
        if problem:
            raise UserError(f"{path}: is damaged: {problem}\nrestore it, or make it again: {again}")
        if not isinstance(manifest.get("code"), dict):
            raise UserError(
                f"{path}: does not say which code made it, because version "
                f"{manifest.get('version', 'unknown')} did not record that; this version "
                f"cannot continue such a run\n"
                f"start another run with run.name=another, or remove this one: {_remove(self.folder)}"
            )
        return dict(manifest)


def _problem(manifest: Any) -> str:
    """What is wrong with a manifest, "" if nothing is. Its names become paths, so they are checked too."""
    if not isinstance(manifest, dict):
        return "it is not an object with fields"
    for name, pattern in (("stage", _STAGE), ("key", _KEY)):
        value = manifest.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            return f"{name} is {reprlib.repr(value)}"
    if "outputs" not in manifest:
        return "it has no outputs"
    for name in ("outputs", "config", "inputs", "files"):
        if not isinstance(manifest.get(name, {}), dict):
            return f"{name} is {reprlib.repr(manifest[name])}, not an object with fields"
    for name, digest in manifest["outputs"].items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or not isinstance(digest, str):
            return f"outputs has {reprlib.repr(name)}: {reprlib.repr(digest)}"
    return ""


def has_work(folder: Path) -> bool:
    """Whether a work folder holds anything besides its identity."""
    # Not `rglob`, which fails if another process removes a folder of checkpoints meanwhile.
    return any(
        Path(where, name) != folder / IDENTITY for where, _, names in os.walk(folder) for name in names
    )


def _read_identity(folder: Path) -> dict[str, Any] | None:
    """The identity in a work folder; None if it has none."""
    try:
        identity = read_json(folder / IDENTITY)
    except UserError:
        return None
    if not isinstance(identity, dict):
        return None
    parts = ("config", "inputs", "files", "code")
    return identity if all(isinstance(identity.get(part), dict) for part in parts) else None


def _remove(folder: Path) -> str:
    """The command that removes a folder."""
    return f"rm -r {shlex.quote(str(folder))}"
