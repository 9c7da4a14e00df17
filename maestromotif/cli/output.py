"""What a verb prints: the log on stderr, a stage's pages and its result."""

import contextlib
import io
import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from maestromotif.errors import UserError, without_users
from maestromotif.pipeline.refused import is_disk_full

if TYPE_CHECKING:
    from maestromotif.pipeline.store import Artefact


def print_result(artefact: "Artefact") -> None:
    """Prints a stage's Markdown files and what its results say. The last line is the path of its output."""
    print_pages(artefact)
    if said := artefact.manifest["facts"].get("summary"):
        click.echo(said)
    pages = [name for name in artefact.manifest["outputs"] if name.endswith(".html")]
    click.echo(artefact.path / pages[0] if pages else artefact.path)


def print_pages(artefact: "Artefact") -> None:
    from maestromotif.reading import read_text

    for name in artefact.manifest["outputs"]:
        if name.endswith(".md"):
            click.echo(f"# {artefact.path / name}\n\n{read_text(artefact.path / name)}")


def log_to_stderr() -> None:
    """Log lines on stderr, above the progress bar where there is one."""
    from tqdm import tqdm

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # A log file on a full disk, or a terminal that is gone, does not end the work.
            with contextlib.suppress(OSError):
                tqdm.write(without_users(self.format(record)), file=sys.stderr)

    handler = Handler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("maestromotif")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def tolerate() -> None:
    """What the output's encoding has no character for is written as an escape, as Python does for errors."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def output_refused(error: BaseException) -> UserError | None:
    """The error if what was printed cannot be written, as with `> FILE` on a full disk; else None.

    error: what ended the command. One that names a file is not about what it prints.
    """
    if not (isinstance(error, OSError) and error.filename is None and is_disk_full(error)):
        return None
    if not isinstance(sys.stdout, io.TextIOWrapper):  # closed when the command began
        return None
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except OSError as again:
        return UserError(
            f"what this command prints cannot be written: {again.strerror}; free some space, or print it "
            "somewhere else, and run the same command again"
        )
    return None
