"""How figures are written in the report's tables."""

from collections.abc import Callable, Sequence
from typing import Any

from maestromotif.collect.observations import SOURCES
from maestromotif.report import svg

AGENTS = ("trained", "untrained", "random")  # agents with a colour of their own


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


def interval(bounds: tuple[svg.Number, svg.Number], write: Callable[[svg.Number], str]) -> str:
    return f"{write(bounds[0])} to {write(bounds[1])}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {thousands(count)}" for name, count in counts.items())


def and_(words: list[str]) -> str:
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def bars(rows: Sequence[tuple[str, float]], low: float, high: float) -> list[tuple[str, float, float]]:
    """(text, value, width of its bar in %) of every row."""
    size = high - low if high > low else 1.0
    return [(text, value, round(100 * (value - low) / size, 1)) for text, value in rows]


def agent_colour(name: str) -> str:
    """CSS class of an agent or a source of observations."""
    return name if name in (*AGENTS, *SOURCES) else "c9"
