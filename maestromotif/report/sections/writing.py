"""How figures are written in the report's tables."""

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup, escape

from maestromotif.collect.observations import SOURCES

AGENTS = ("trained", "untrained", "random", "wandering", "explorer")  # agents with a colour of their own

Number = int | float


def short(value: Number) -> str:
    """1250000 -> '1.25M', 0.3333 -> '0.333', 40 -> '40'."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}" if value else "0"


def percent(value: Number) -> str:
    """0.5 -> '50 %', 0.123 -> '12.3 %', with a space that does not break."""
    text = f"{100 * value:.1f}".removesuffix(".0")
    return f"{text}\N{NO-BREAK SPACE}%"


def thousands(value: int | float) -> str:
    """12345.0 -> '12,345'."""
    return f"{int(value):,}"


def number(value: Any) -> str:
    """A figure of a table: whole numbers whole, others with three digits, nothing for None."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return thousands(value)
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def interval(bounds: tuple[Number, Number], write: Callable[[Number], str]) -> str:
    return f"{write(bounds[0])} to {write(bounds[1])}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def prose(doc: str) -> Markup:
    """A docstring as HTML: names in backticks become code."""
    parts = doc.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {thousands(count)}" for name, count in counts.items())


def and_(words: list[str]) -> str:
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def bars(rows: Sequence[tuple[str, float]], low: float, high: float) -> list[tuple[str, float, float]]:
    """(text, value, width of its bar in %) of every row."""
    size = high - low if high > low else 1.0
    return [(text, value, round(100 * (value - low) / size, 1)) for text, value in rows]


def agent_colour(name: str) -> str:
    """CSS class of an agent, in whatever dungeons it played, or of a source of observations."""
    name = name.partition(",")[0]
    return name if name in (*AGENTS, *SOURCES) else "c9"
