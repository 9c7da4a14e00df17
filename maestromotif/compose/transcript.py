"""The record of a search that people read: answers of the model, and what happened in games, as Markdown."""

from pathlib import Path

from maestromotif.compose.candidates import Game, Player
from maestromotif.errors import UserError
from maestromotif.pipeline.refused import in_words
from maestromotif.pipeline.store import append


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
            append(self._path, f"{text}\n\n".encode())
        except OSError as error:
            raise in_words(error, self._path) or UserError(
                f"{self._path}: cannot be written: {error.strerror}"
            ) from error

    def text(self) -> str:
        """All that was added. Raises UserError if it cannot be read."""
        try:
            return self._path.read_text(encoding="utf-8") if self._path else ""
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self._path}: cannot be read: {error}") from error


def block(text: str, language: str = "text") -> str:
    """A text as it is."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.strip()}\n{fence}"


class Told:
    """A player whose games are told in a transcript: how many succeeded, and the story of the worst."""

    def __init__(self, player: Player, transcript: Transcript) -> None:
        self._player, self._transcript = player, transcript

    def play(self, source: str, episodes: range) -> list[Game]:
        """See `candidates.Player`."""
        plan = "\n".join(line.strip() for line in source.splitlines() if line.lstrip().startswith("#"))
        title = f"Games {episodes.start} to {episodes.stop - 1}"
        try:
            games = self._player.play(source, episodes)
        except UserError as error:
            self._transcript.add(title, block(plan), "The games broke off:", block(str(error)))
            raise
        worst = min(games, key=lambda game: (game.success, game.progress))
        progress = sum(game.progress for game in games) / len(games)
        self._transcript.add(
            title,
            block(plan) if plan else "",
            f"{sum(game.success for game in games)} of {len(games)} achieved the task; mean progress "
            f"{progress:.2f}. The worst game:",
            block(worst.story),
        )
        return games
