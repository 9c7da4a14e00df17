"""Weights & Biases follows the journal of a run: online with an API key, offline without one.

A thread starts wandb and sends the journal's records, each with its number as wandb's step. So a run that was
killed goes on where wandb stopped: it sends the records that wandb does not have. Online, the server says how
many it has; offline, the files of the earlier processes in `runs/<name>/wandb` do. `wandb sync` uploads those
files in their order, and `wandb leet` shows them.
"""

import contextlib
import hashlib
import json
import logging
import netrc
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from wandb import Run

from maestromotif.config.schema import Config
from maestromotif.errors import Finding, UserError
from maestromotif.tracking.environment import MODE, wished_mode
from maestromotif.tracking.journal import Journal, Record
from maestromotif.tracking.logged import ENV_STEP, Logged, axis_of, logged_of

__all__ = ["check", "follow"]

log = logging.getLogger("maestromotif")

PACKAGE = Path(__file__).parents[1]
KEY, ADDRESS = "WANDB_API_KEY", "WANDB_BASE_URL"
INIT_SECONDS = 30  # timeout for a server that does not answer
START_SECONDS = 120  # timeout for wandb's own process, which takes seconds to start on a busy machine
FINISH_SECONDS = 120  # the longest that the end of a command waits for an upload


def follow(config: Config, run_folder: Path, config_file: str, journal: Journal) -> "Follower":
    """A follower that sends all of the journal's records that wandb does not have, and then each new one.

    With `auto`, wandb starts in the background, and is offline if there is no key or no server. Raises
    UserError if wandb cannot start in the mode that the config asks for.
    """
    follower = Follower(config, run_folder, config_file, journal)
    if config.tracking.wandb != "auto":
        follower.wait_for_start()
    return follower


class Follower:
    """See `tracking.Follower`."""

    def __init__(self, config: Config, run_folder: Path, config_file: str, journal: Journal) -> None:
        self._config, self._run_folder, self._config_file = config, run_folder, config_file
        self._run_id, self._folder = journal.run_id, journal.folder
        self._waiting: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        for record in journal.records():
            self._waiting.put(record)
        self._figures: dict[str, tuple[Logged, ...]] = {}
        self._known: set[str] = set()  # names that wandb has the axis and summary of
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._exit_code = 0
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def know(self, stage: str, figures: Sequence[Logged]) -> None:
        self._figures[stage] = tuple(figures)

    def follow(self, record: Record) -> None:
        self._waiting.put(record)

    def wait_for_start(self) -> None:
        """Raises UserError if wandb could not start."""
        self._started.wait()
        if self._error is not None:
            mode = self._config.tracking.wandb
            raise UserError(
                f"tracking.wandb: {mode}: wandb cannot start: {_first_line(self._error)}\n"
                "tracking.wandb=auto goes offline where there is no key or no server; "
                "tracking.wandb=disabled does without wandb"
            )

    def finish(self, failed: bool) -> None:
        """Sends what is left and ends the wandb run. Waits for an upload, but not for ever."""
        self._exit_code = int(failed)
        self._waiting.put(None)
        self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            log.warning(
                "wandb: the server does not take everything; the rest is in %s, and `wandb sync` uploads it",
                self._run_folder / "wandb",
            )

    def _work(self) -> None:
        try:
            run, first = self._start()
        except BaseException as error:
            self._error = error
            self._started.set()
            if self._config.tracking.wandb == "auto":
                self._give_up(error)
            return
        self._started.set()
        try:
            while (record := self._waiting.get()) is not None:
                if record["n"] >= first:
                    self._send(run, record)
            run.finish(exit_code=self._exit_code)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        log.warning(
            "wandb: nothing more is sent, but the run goes on, and %s has everything (%s: %s); "
            "tracking.wandb=disabled turns wandb off",
            self._folder,
            type(error).__name__,
            _first_line(error),
        )

    def _start(self) -> tuple[Run, int]:
        """The run, and the number of the first record that it does not have."""
        self._run_folder.mkdir(parents=True, exist_ok=True)
        earlier = sorted((self._run_folder / "wandb").glob(f"offline-run-*-{self._run_id}"), reverse=True)
        run = _start(self._config, self._run_folder, self._config_file, self._run_id)
        known = (last_step(folder) + 1 for folder in earlier)  # each process's steps follow the earlier ones
        first = max(run.starting_step, next((step for step in known if step), 0))
        if first == 0:
            try:
                run.log_code(root=str(PACKAGE), include_fn=lambda path: path.endswith(".py"))
            except Exception as error:  # rows matter more than a copy of the code
                log.warning("wandb: the code is not logged: %s", _first_line(error))
        run.define_metric(ENV_STEP)
        if run.offline:
            show = shlex.join(["wandb", "leet", str(Path(run.dir).parent)])
            log.info("wandb: offline run in %s; `%s` shows it", self._run_folder / "wandb", show)
        else:
            log.info("wandb: %s", run.url)
        return run, first

    def _send(self, run: Run, record: Record) -> None:
        stage, kind = record["stage"], record["kind"]
        if kind == "artefact":
            self._send_artefact(run, record)
            return
        axis = axis_of(stage)
        logged: dict[str, Any]
        if kind == "row":
            logged = dict(record["figures"])
            for name in logged.keys() - self._known:
                self._define(run, stage, axis, name)
        elif kind == "table":
            logged = {record["name"]: wandb.Table(columns=record["columns"], data=record["rows"])}
        else:
            logged = {f"{record['name']}/caption": record["caption"]}
            with contextlib.suppress(FileNotFoundError):  # an old page, which the journal has removed
                page = (self._folder / record["file"]).read_text(encoding="utf-8")
                # wandb writes its own page around other HTML; `inject=False` leaves ours as it is.
                logged[record["name"]] = wandb.Html(page, inject=False, data_is_not_path=True)
        run.log({axis: record["step"], **logged}, step=record["n"], commit=True)

    def _define(self, run: Run, stage: str, axis: str, name: str) -> None:
        figure = logged_of(name, self._figures.get(stage, ()))
        summary = figure.summary if figure else "last"
        if name != axis:
            run.define_metric(name, step_metric=axis, summary=summary)
        self._known.add(name)

    def _send_artefact(self, run: Run, record: Record) -> None:
        path = Path(record["file"])
        if not path.exists():  # replaced since: the run has a newer version
            return
        name = re.sub(r"[^\w.-]", "-", f"{self._config.run.name}-{record['name']}")
        artifact = wandb.Artifact(name, type=record["type"], metadata=record["facts"])
        artifact.add_dir(str(path)) if path.is_dir() else artifact.add_file(str(path))
        run.log_artifact(artifact, aliases=["latest", *record["aliases"]])


def last_step(folder: Path) -> int:
    """The largest step in the files of an offline run, -1 without any. Reads them with wandb's own tool."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != ADDRESS}  # may be none
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    steps = [
        int(json.loads(line)["history"]["step"].get("num", 0))
        for line in done.stdout.splitlines()
        if '"type":"history"' in line
    ]
    return max(steps, default=-1)


def group_of(config: Config, config_file: str) -> str:
    """The group of the runs that differ only in their seed and name: the config's name and a hash of it."""
    values = config.model_dump(mode="json", exclude={"run", "tracking", "slurm"})
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:6]
    return f"{Path(shlex.split(config_file)[0]).stem}-{digest}"


def _start(config: Config, run_folder: Path, config_file: str, run_id: str) -> Run:
    """Raises what `wandb.init` raises."""
    mode = config.tracking.wandb
    if mode == "auto" and wished_mode() == "offline":
        log.info("wandb: going offline (%s asks for it)", MODE)
        mode = "offline"
    if mode == "auto" and not _usable_address():
        log.info("wandb: going offline (%s: should be an address such as https://api.wandb.ai)", ADDRESS)
        mode = "offline"
    # Copies of artefacts belong beside the run's other files and not into the user's home.
    os.environ.setdefault("WANDB_DATA_DIR", str(run_folder.absolute() / "wandb"))
    options: dict[str, Any] = {
        "project": config.tracking.project,
        "entity": config.tracking.entity,
        "name": config.run.name,
        "id": f"{config.run.name}-{run_id}",
        "group": group_of(config, config_file),
        "tags": [f"seed-{config.run.seed}"],
        "resume": "allow",
        "dir": str(run_folder),
        "config": config.model_dump(mode="json"),
    }
    with quiet(run_folder):
        local = wandb.Settings(silent=True, console="off", init_timeout=START_SECONDS)
        remote = wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS)
        if mode == "offline":
            return wandb.init(mode="offline", settings=local, **options)
        try:
            # A wrong key is found here in a second; `init` would try again and again until its timeout.
            if not wandb.login(prompt=False, verify=True):
                raise wandb.errors.UsageError("no API key; `wandb login` saves one")
            return wandb.init(mode="online", settings=remote, **options)
        except Exception as error:  # of a key, a server or an address that wandb cannot use
            if mode == "online":
                raise
            log.info("wandb: going offline (%s)", _first_line(error))
            wandb.teardown()  # it would say that the run's id is in use
            return wandb.init(mode="offline", settings=local, **options)


def _first_line(error: BaseException) -> str:
    """The key is left out if wandb should repeat it."""
    said, key = str(error).strip(), os.environ.get(KEY, "").strip()
    return next(iter((said.replace(key, "(key)") if key else said).splitlines()), type(error).__name__)


@contextlib.contextmanager
def quiet(home: Path | None = None) -> Iterator[None]:
    """While wandb starts: sends no error reports and does not ask for a key on the terminal.

    wandb asks on any terminal that is not "dumb", and a run must not block on a question.

    home: for a user who has no home folder, or may not write there, which wandb cannot do without.
    """
    wanted: dict[str, str | None] = {
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
        "WANDB_X_SERVICE_WAIT": os.environ.get("WANDB_X_SERVICE_WAIT", str(START_SECONDS)),
        "TERM": "dumb",
    }
    try:
        Path.home()
        refused = not _may_write(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"))
    except RuntimeError:
        refused = False
        wanted |= {"HOME": str(home.absolute())} if home else {}
    if refused and home:  # else the log of wandb's process would go to the terminal
        wanted["XDG_CACHE_HOME"] = str(home.absolute() / "wandb" / ".cache")
    if not _usable_address():  # wandb would not even start offline
        wanted[ADDRESS] = None
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _may_write(folder: Path) -> bool:
    """Whether a folder can be written to, or made."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _usable_address() -> bool:
    """Whether the variable with the server's address, if it is set, holds one."""
    address = os.environ.get(ADDRESS, "")
    try:
        return not address or bool(urlsplit(address).hostname and address.startswith(("http://", "https://")))
    except ValueError:
        return False


def check() -> Iterator[Finding]:
    """Looks for a key in the environment, then in ~/.netrc, as wandb does."""
    host = urlsplit(os.environ.get(ADDRESS) or "https://api.wandb.ai").netloc.rpartition("@")[2]
    key = os.environ.get(KEY, "").strip()
    if key and not re.fullmatch(r"[\w-]+", key, re.ASCII):
        yield Finding(
            "absent",
            f"{KEY}: is no key, because it has other characters than letters, digits, '_' and '-': Weights & "
            "Biases runs are offline",
            f"copy the key again, or unset {KEY}",
        )
        return
    found = bool(key)
    with contextlib.suppress(OSError, netrc.NetrcParseError):  # no such file, or one that wandb cannot read
        found = found or netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    if found:
        yield Finding("ok", f"API key for {host} found")
    else:
        login = shlex.join([str(Path(sys.executable).parent / "wandb"), "login"])
        yield Finding("absent", f"no API key for {host}: Weights & Biases runs are offline", login)
