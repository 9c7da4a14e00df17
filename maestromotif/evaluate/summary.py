"""What the results say, in a few sentences: the trained agent against walking and the explorer.

They speak of dungeons that training never saw if there are such rows, because that is what counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from maestromotif.intervals import intervals_overlap

_WORDS = {
    "wandering": "random play that mostly walks",
    "explorer": "the scripted explorer",
    "cloned": "the clone of the demonstrations",
}
_SHORT = {"wandering": "walking", "explorer": "the explorer", "cloned": "the clone"}


def agent_of(row: Mapping[str, Any]) -> str:
    """The agent of a row of results, whatever dungeons it played."""
    return str(row["agent"]).partition(",")[0]


def summary(rows: Sequence[Mapping[str, Any]], confidence: float) -> str:
    """Sentences about the rows of `results.json`. confidence: of their intervals."""
    new = [row for row in rows if row.get("levels") is None]
    few = [row for row in rows if row.get("levels") is not None]
    told = {agent_of(row): row for row in new or few}
    main = told.get("trained", next(iter(told.values())))
    where = (
        "In new dungeons" if new else f"In the {few[0]['levels']} dungeons of training, the only ones played,"
    )
    level = f"{100 * confidence:g} % interval "
    share = _share(main, f" of {main['episodes']} episodes", level)
    shares = [f"the {agent_of(main)} agent succeeds in {share}"]
    shares += [f"{words} in {_share(told[name])}" for name, words in _WORDS.items() if name in told]
    said = [f"{where} {_listed(shares)}."]
    compared = [_compared(main, told[name]) for name in _SHORT if name in told]
    if compared:
        said.append(f"It is {' and '.join(compared)}.")
    depths = [
        _depth(main),
        *(f"{words} {_depth(told[name])}" for name, words in _SHORT.items() if name in told),
    ]
    said.append(f"Mean deepest level: {', '.join(depths)}.")
    said.append(
        f"{main['deaths']} of the {agent_of(main)} agent's {main['episodes']} episodes ended in death."
    )
    if new and few:
        seen = next((row for row in few if agent_of(row) == agent_of(main)), few[0])
        said.append(f"In the {seen['levels']} dungeons of training it succeeds in {_share(seen)}.")
    return " ".join(said)


def _share(row: Mapping[str, Any], of: str = "", level: str = "") -> str:
    low, high = (100 * row[f"success_{end}"] for end in ("low", "high"))
    return f"{100 * row['success']:.1f} %{of} ({level}{low:.1f} to {high:.1f} %)"


def _depth(row: Mapping[str, Any]) -> str:
    return f"{row['deepest_mean']:.2f} ({row['deepest_low']:.2f} to {row['deepest_high']:.2f})"


def _compared(main: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What the two intervals of success say."""
    words = _SHORT[agent_of(other)]
    if not intervals_overlap(*((row["success_low"], row["success_high"]) for row in (main, other))):
        return f"{'better' if main['success'] > other['success'] else 'worse'} than {words}"
    if words == "walking":
        return "not better than walking (the intervals overlap)"
    return f"neither better nor worse than {words} beyond chance (the intervals overlap)"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
