"""What the results say, in a few sentences: the trained agent against walking and the explorer.

They speak of dungeons that training never saw if there are such rows, because that is what counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from maestromotif.intervals import intervals_overlap

_WORDS = {
    "wandering": "random play that mostly walks",
    "explorer": "the scripted explorer",
    "demonstrator": "the scripted demonstrator",
    "cloned": "the clone of the demonstrations",
}
_SHORT = {
    "wandering": "walking",
    "explorer": "the explorer",
    "demonstrator": "the demonstrator",
    "cloned": "the clone",
}


def agent_of(row: Mapping[str, Any]) -> str:
    """The agent of a row of results, whatever dungeons it played."""
    return str(row["agent"]).partition(",")[0]


def has_success(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the task of the rows can be achieved: `task.success` has conditions."""
    return any(row["success"] is not None for row in rows)


def measure(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    """The fields by which agents are compared, with their bounds: success, or the depth without a success."""
    if has_success(rows):
        return "success", "success_low", "success_high"
    return "deepest_mean", "deepest_low", "deepest_high"


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
    others = [name for name in _SHORT if name in told and told[name] is not main]
    compared = [_compared(main, told[name]) for name in others]
    depths = [_depth(main), *(f"{_SHORT[name]} {_depth(told[name])}" for name in others)]
    if has_success(rows):
        share = _share(main, f" of {main['episodes']} episodes", level)
        shares = [f"the {agent_of(main)} agent succeeds in {share}"]
        shares += [f"{_WORDS[name]} in {_share(told[name])}" for name in others]
        said = [f"{where} {_listed(shares)}."]
    else:
        said = [f"{where} the mean deepest level of the {agent_of(main)} agent is {', '.join(depths)}."]
    if compared:
        said.append(f"It is {' and '.join(compared)}.")
    if has_success(rows):
        said.append(f"Mean deepest level: {', '.join(depths)}.")
    said.append(
        f"{main['deaths']} of the {agent_of(main)} agent's {main['episodes']} episodes ended in death."
    )
    if new and few:
        seen = next((row for row in few if agent_of(row) == agent_of(main)), few[0])
        dungeons = f"In the {seen['levels']} dungeons of training"
        if has_success(rows):
            said.append(f"{dungeons} it succeeds in {_share(seen)}.")
        else:
            said.append(f"{dungeons} its mean deepest level is {_depth(seen)}.")
    return " ".join(said)


# Columns of the table that a task may lack: field of a row, name, factor, form and unit.
_JUDGED = (
    ("success", "success", 100, ".1f", " %"),
    ("published", "published test", 100, ".1f", " %"),
    ("measured", "measured", 1, ".2f", ""),
    ("published_measured", "published measure", 1, ".2f", ""),
)
_NORMALISED = "0: the paper's best baseline, 1: its agent, by the published test; each nine counts alike"


def table(rows: Sequence[Mapping[str, Any]], confidence: float) -> str:
    """The rows of `results.json` as a table in Markdown, with intervals. confidence: of them."""
    judged = [column for column in _JUDGED if any(row.get(column[0]) is not None for row in rows)]
    scaled = any(row.get("normalised") is not None for row in rows)
    head = ["agent", "dungeons", *(name for _, name, *_ in judged), *(["normalised"] if scaled else [])]
    head += ["mean deepest level", "reach level 2"]
    lines = [[*head, "deaths", "median steps"], ["---"] * (len(head) + 2)]
    for row in rows:
        lines.append(
            [
                agent_of(row),
                "new" if row.get("levels") is None else f"the {row['levels']} of training",
                *(_estimate(row, key, factor, form, unit) for key, _, factor, form, unit in judged),
                *([f"{row['normalised']:.2f}"] if scaled else []),
                f"{row['deepest_mean']:.2f} [{row['deepest_low']:.2f}, {row['deepest_high']:.2f}]",
                f"{100 * row['at_least_2']:.0f} %",
                f"{row['deaths']} of {row['episodes']}",
                f"{row['steps_median']:.0f}",
            ]
        )
    written = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    explained = f" Normalised: {_NORMALISED}." if scaled else ""
    return f"{written}\nIn brackets: {100 * confidence:g} % intervals.{explained}\n"


def _estimate(row: Mapping[str, Any], key: str, factor: int, form: str, unit: str) -> str:
    value, low, high = (f"{factor * row[f'{key}{end}']:{form}}" for end in ("", "_low", "_high"))
    return f"{value}{unit} [{low}, {high}]"


def _share(row: Mapping[str, Any], of: str = "", level: str = "") -> str:
    low, high = (100 * row[f"success_{end}"] for end in ("low", "high"))
    return f"{100 * row['success']:.1f} %{of} ({level}{low:.1f} to {high:.1f} %)"


def _depth(row: Mapping[str, Any]) -> str:
    return f"{row['deepest_mean']:.2f} ({row['deepest_low']:.2f} to {row['deepest_high']:.2f})"


def _compared(main: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What the two intervals of success, or of the depth, say."""
    words = _SHORT[agent_of(other)]
    value, low, high = measure([main])
    if not intervals_overlap(*((row[low], row[high]) for row in (main, other))):
        return f"{'better' if main[value] > other[value] else 'worse'} than {words}"
    if words == "walking":
        return "not better than walking (the intervals overlap)"
    return f"neither better nor worse than {words} beyond chance (the intervals overlap)"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
