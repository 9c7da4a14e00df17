"""What a verb prints: the log on stderr, a stage's pages and its result."""

import contextlib
import io
import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from maestromotif.errors import UserError

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
                tqdm.write(self.format(record), file=sys.stderr)

    handler = Handler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("maestromotif")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def tolerate() -> None:
    """What the terminal's encoding has no character for is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def output_refused() -> UserError | None:
    """The error if what was printed cannot be written, as with `> FILE` on a full disk; else None.

    Then nothing is left that Python would try to write again at its end.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return UserError(
            f"what this command prints cannot be written: {error.strerror}; free some space, or print it "
            "somewhere else, and run the same command again"
        )
    return None
