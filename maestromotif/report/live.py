"""`maestromotif report RUN --live`: the report of a run that goes on, served on this machine only.

The page is made from what the run's folder holds at the moment: finished stages' artefacts, and the journal
for the rest. It reads the folder without its lock and writes nothing.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from maestromotif.errors import UserError
from maestromotif.pipeline.progress import duration
from maestromotif.pipeline.runner import config_of, stages_of
from maestromotif.pipeline.store import MANIFEST, Artefact, Run
from maestromotif.report import evidence, plots, report
from maestromotif.report.evidence import Training
from maestromotif.report.plots import Axis, Series
from maestromotif.report.sections.trained import STEPS
from maestromotif.report.sections.writing import thousands
from maestromotif.tracking.journal import FOLDER, JOURNAL, Record, read
from maestromotif.tracking.logged import ENV_STEP
from maestromotif.train.account import PAID
from maestromotif.train.watch.figures import PLACES

log = logging.getLogger("maestromotif")


class Live:
    """The page of a run's folder. Raises UserError if it is not the folder of a run."""

    def __init__(self, folder: Path) -> None:
        self._config = config_of(folder)
        self.folder, self._run = folder, Run(folder)

    def version(self) -> str:
        """Another one whenever the page changes."""
        files = [self.folder / FOLDER / JOURNAL, *sorted(self.folder.glob(f"*/{MANIFEST}"))]
        found = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.exists()]
        return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    def page(self) -> str:
        """The page as it is now. Raises UserError if an artefact cannot be read."""
        version = self.version()
        records = list(read(self.folder / FOLDER / JOURNAL))
        stages = [stage.name for stage in stages_of(self._config)]
        inputs = {name: artefact for name in stages if (artefact := self._finished(name)) is not None}
        rows = [one["figures"] for one in records if one["stage"] == "train" and one["kind"] == "row"]
        accounts = sorted(self.folder.glob(f".work/train-*/{PAID}"), key=lambda path: path.stat().st_mtime)
        curve = [{key: float(value) for key, value in row.items()} for row in rows if ENV_STEP in row]
        training = Training(curve, accounts[-1] if accounts else None)
        found = evidence.read(self._config, inputs, training)
        live = {
            "version": version,
            "stages": [_stage(name, inputs, records) for name in stages],
            "watched": _watched(records, training.curve),
            "pages": [(one["file"], one["caption"]) for one in _newest_pages(records)],
        }
        return report.page(self._config, found, live)

    def logged_page(self, file: str) -> str | None:
        """One of the HTML pages that the run has logged; None if there is no such page."""
        known = (one["file"] for one in read(self.folder / FOLDER / JOURNAL) if one["kind"] == "page")
        path = self.folder / FOLDER / file
        return path.read_text(encoding="utf-8") if file in known and path.is_file() else None

    def _finished(self, stage: str) -> Artefact | None:
        return next(self._run.finished(stage), None) if (self.folder / stage / MANIFEST).exists() else None


def serve(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of the page on 127.0.0.1; 0 chooses a free port. Raises UserError if the port is taken."""
    live = Live(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                if self.path == "/":
                    self._send(200, "text/html", live.page())
                elif self.path == "/version":
                    self._send(200, "text/plain", live.version())
                elif (logged := live.logged_page(self.path.removeprefix("/"))) is not None:
                    self._send(200, "text/html", logged)
                else:
                    self._send(404, "text/plain", "there is no such page\n")
            except UserError as error:  # such as a stage that is being replaced at this moment
                self._send(503, "text/plain", f"{error}\n")

        def _send(self, status: int, kind: str, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UserError(
            f"report --live: port {port} cannot be used: {error.strerror}; choose another with --port"
        ) from error


def _stage(name: str, inputs: Mapping[str, Artefact], records: Sequence[Record]) -> dict[str, str]:
    """A row of the table of stages."""
    rows = [one["figures"] for one in records if one["stage"] == name and one["kind"] == "row"]
    newest = {key: value for row in rows for key, value in row.items()}
    done, rate = newest.get(f"{name}/done"), newest.get(f"{name}/per_second")
    left = newest.get(f"{name}/seconds_left")
    finished = name in inputs
    begun = any(one["stage"] == name for one in records)
    seconds = inputs[name].manifest.get("seconds") if finished else None
    state = "waits" if not begun else "runs"
    if finished:
        state = "done" if seconds is None else f"done in {duration(seconds)}"
    return {
        "name": name,
        "state": state,
        "done": "" if done is None else thousands(done),
        "per_second": "" if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}",
        "left": "" if left is None or finished else duration(left),
    }


def _newest_pages(records: Sequence[Record]) -> list[Record]:
    """The newest page of each name."""
    newest = {one["name"]: one for one in records if one["kind"] == "page"}
    return [newest[name] for name in sorted(newest)]


def _watched(records: Sequence[Record], curve: Sequence[Mapping[str, float]]) -> list[tuple[str, Any]]:
    """Plots of the evaluations during training: success, and depth beside that of the training itself."""
    rows = [
        one for one in records if one["kind"] == "row" and any(k.startswith("watch/") for k in one["figures"])
    ]
    if not rows:
        return []
    steps = [row["step"] for row in rows]

    def series(name: str, figure: str, css: str, dash: str = "solid") -> list[Series]:
        values = [row["figures"].get(figure) for row in rows]
        return [Series(name, steps, values, css, dash)] if any(one is not None for one in values) else []

    words = {"new": "new dungeons", "seen": "dungeons of training"}
    success = [
        line
        for css, place in zip(("trained", "explorer"), PLACES, strict=True)
        for end, dash in (("", "solid"), ("_low", "dot"), ("_high", "dot"))
        for line in series(
            f"{words[place]}{end.replace('_', ', ')}", f"watch/{place}/success{end}", css, dash
        )
    ]
    depth = [
        line
        for css, place in zip(("trained", "explorer"), PLACES, strict=True)
        for line in series(words[place], f"watch/{place}/deepest_mean", css)
    ]
    known = [row for row in curve if "depth/deepest_mean" in row]
    training = Series(
        "episodes of training",
        [row[ENV_STEP] for row in known],
        [row["depth/deepest_mean"] for row in known],
        "random",
    )
    succeeds = (
        "Success, with its interval",
        plots.html(
            plots.lines(success, STEPS, Axis("share of episodes", "share")),
            "success in evaluations during training, over environment steps",
        ),
    )
    return [
        *([succeeds] if success else []),  # a task without an end has no success
        (
            "Deepest level, mean",
            plots.html(
                plots.lines([*depth, training], STEPS, Axis("level")),
                "mean deepest level in evaluations and in training, over environment steps",
            ),
        ),
    ]
