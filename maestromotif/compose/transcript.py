"""The record of a search that people read: every question, answer, problem and game, as Markdown."""

from pathlib import Path

from maestromotif.errors import UserError


class Transcript:
    """Adds to a Markdown file. Each entry is on the disk when `add` returns."""

    def __init__(self, path: Path | None = None) -> None:
        """path: None keeps nothing."""
        self._path = path

    def add(self, title: str, *parts: str) -> None:
        """A section with paragraphs; see `block`. Raises UserError if it cannot be written."""
        if self._path is None:
            return
        text = "\n\n".join([f"## {title}", *(part.strip("\n") for part in parts if part)])
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n\n")
        except OSError as error:
            raise UserError(f"{self._path}: cannot be written: {error.strerror}") from error


def block(text: str, language: str = "text") -> str:
    """A text as it is."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.strip()}\n{fence}"
