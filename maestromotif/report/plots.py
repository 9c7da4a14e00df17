"""Plots as specifications for Plotly.js, and the HTML that holds them. The same data gives the same text.

A specification is what `Plotly.newPlot` takes, "data" and "layout", with only what is special about the plot:
`assets/plots.js` adds fonts, grid lines and margins, and draws it when it comes into view. A colour is the
name of a CSS variable ("--c0"), which the script looks up, so that one page serves light and dark screens.

Plotly reads some HTML in labels, such as <b> and <a>. Every text from outside goes through `label`, which
escapes it. Legends are HTML, so that no name of a line is ever cut off.
"""

import itertools
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

Number = int | float
Figure = dict[str, Any]

HEIGHT = 240  # pixels
MOST_POINTS = 400  # of a line; longer lines are averaged over equal stretches


@dataclass(frozen=True)
class Series:
    """One line: `x` and `y` of equal length, finite; None where nothing is known."""

    name: str
    x: Sequence[Number]
    y: Sequence[Number | None]
    colour: str  # CSS class
    dash: str = "solid"  # "dot" or "dash" for a second line of one colour


@dataclass(frozen=True)
class Columns:
    """One column for each group, in order."""

    name: str
    y: Sequence[Number]
    colour: str


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, one row of an interval plot."""

    name: str
    value: Number
    low: Number
    high: Number
    colour: str
    note: str = ""


@dataclass(frozen=True)
class Axis:
    """What an axis says. The unit "share" writes values between 0 and 1 as percentages; "steps" is for x."""

    title: str
    unit: str = ""
    bounds: tuple[Number, Number] | None = None

    @property
    def share(self) -> bool:
        return self.unit == "share"


@dataclass(frozen=True)
class Level:
    """A dotted line across a plot, at `y` from `x` on, with a marker there."""

    name: str
    x: Number
    y: Number
    colour: str


def lines(
    series: Sequence[Series], x: Axis, y: Axis, *, window: int = 1, levels: Sequence[Level] = ()
) -> Figure | None:
    """Lines over a common x axis; None if there are no values.

    window: over more than 1 value, the running mean is drawn boldly over the faint raw line.
    """
    known = [one for one in series if any(value is not None for value in one.y)]
    if not known:
        return None
    data = [trace for one in known for trace in _line(one, "y", y, window)]
    right = max(max(one.x) for one in known)
    for level in levels:
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [_number(level.x), _number(right)],
                "y": [_number(level.y)] * 2,
                "name": label(f"{level.name}, threshold"),
                "legendgroup": level.name,
                "line": {"color": f"--{level.colour}", "dash": "dot", "width": 1.5},
                "marker": {"color": f"--{level.colour}", "size": [9, 0], "symbol": "diamond"},
            }
        )
    layout = {"xaxis": _steps(x), "yaxis": _axis(y) | _from_zero(known), "hovermode": "x unified"}
    return {"data": data, "layout": layout, "height": HEIGHT, "legend": _names(known)}


def paired(
    above: Sequence[Series], below: Sequence[Series], x: Axis, ys: tuple[Axis, Axis], *, window: int = 1
) -> Figure | None:
    """Two plots over one x axis, so that one can see whether they rise together; None without values."""
    known = [[one for one in part if any(value is not None for value in one.y)] for part in (above, below)]
    if not all(known):
        return None
    data = [
        trace
        for part, axis, y in zip(known, ("y", "y2"), ys, strict=True)
        for one in part
        for trace in _line(one, axis, y, window)
    ]
    layout = {
        "xaxis": _steps(x) | {"anchor": "y2"},
        "yaxis": _axis(ys[0]) | _from_zero(known[0]) | {"domain": [0.56, 1]},
        "yaxis2": _axis(ys[1]) | _from_zero(known[1]) | {"domain": [0, 0.46]},
        "hovermode": "x unified",
    }
    return {"data": data, "layout": layout, "height": 360, "legend": _names([*known[0], *known[1]])}


def columns(groups: Sequence[str], series: Sequence[Columns], x: Axis, y: Axis) -> Figure | None:
    """Grouped columns, one group a name; None without values."""
    if not groups or not series:
        return None
    names = [label(name) for name in groups]
    data = [
        {
            "type": "bar",
            "x": names,
            "y": [_number(value) for value in one.y],
            "name": label(one.name),
            "legendgroup": one.name,
            "marker": {"color": f"--{one.colour}"},
            "hovertemplate": f"%{{y{_format(y)}}}",
        }
        for one in series
    ]
    layout = {
        "xaxis": _axis(x) | {"type": "category", "showgrid": False},
        "yaxis": _axis(y) | {"rangemode": "tozero"},
        "barmode": "group",
        "hovermode": "x unified",
    }
    return {"data": data, "layout": layout, "height": HEIGHT, "legend": _names(series)}


def histogram(counts: Sequence[int], edges: Sequence[float], colour: str, x: Axis, y: Axis) -> Figure | None:
    """How many values lie between each two of the ascending `edges`, one more than `counts`."""
    if not any(counts):
        return None
    layout = {
        "xaxis": _axis(x),
        "yaxis": _axis(y) | {"rangemode": "tozero"},
        "bargap": 0.04,
    }
    bars = {
        "type": "bar",
        "x": [_number((low + high) / 2) for low, high in itertools.pairwise(edges)],
        "y": list(counts),
        "width": [_number(high - low) for low, high in itertools.pairwise(edges)],
        "marker": {"color": f"--{colour}"},
        "customdata": [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)],
        "hovertemplate": "%{y} from %{customdata}<extra></extra>",
    }
    return {"data": [bars], "layout": layout, "height": 210, "legend": []}


def intervals(
    rows: Sequence[Estimate], x: Axis, *, baseline: tuple[Number, str] | None = None
) -> Figure | None:
    """A dot with its interval for every row, names on the left, values on the right; None without rows.

    baseline: an x with a label, a dashed upright line.
    """
    if not rows:
        return None
    write = "{:.1%}".format if x.share else "{:.2f}".format
    names = [_wrapped(row.name, 16) for row in rows]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [_number(row.value)],
            "y": [name],
            "name": name,
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [_number(max(0.0, row.high - row.value))],
                "arrayminus": [_number(max(0.0, row.value - row.low))],
                "color": f"--{row.colour}",
                "thickness": 2,
                "width": 5,
            },
            "marker": {"color": f"--{row.colour}", "size": 10},
            "customdata": [label(f"{write(row.low)} to {write(row.high)}{row.note and ', ' + row.note}")],
            "hovertemplate": f"%{{x{':.1%' if x.share else ':.2f'}}}<br>%{{customdata}}<extra></extra>",
        }
        for row, name in zip(rows, names, strict=True)
    ]
    annotations = [
        {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "y": name, "showarrow": False,
         "text": write(row.value)}
        for row, name in zip(rows, names, strict=True)
    ]  # fmt: skip
    shapes = []
    if baseline:
        shapes.append(
            {"type": "line", "x0": baseline[0], "x1": baseline[0], "y0": 0, "y1": 1, "yref": "paper",
             "line": {"color": "--muted", "dash": "dash", "width": 1.2}}
        )  # fmt: skip
        annotations.append(
            {"x": baseline[0], "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "left",
             "showarrow": False, "text": label(baseline[1])}
        )  # fmt: skip
    layout = {
        "xaxis": _axis(x),
        "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False, "fixedrange": True},
        "margin": {"r": 58, "t": 22 if baseline else 8},
        "annotations": annotations,
        "shapes": shapes,
    }
    return {"data": data, "layout": layout, "height": 86 + 40 * len(rows), "legend": []}


def html(figure: Figure | None, about: str, empty: str = "No values.") -> Markup:
    """The plot as HTML: a place to draw, a legend of buttons, and the specification as JSON.

    about: what the plot shows, for readers who cannot see it.
    """
    if figure is None:
        return Markup('<p class="empty">{}</p>').format(empty)
    keys = Markup("").join(
        Markup('<button type="button" class="key {}" aria-pressed="true" data-group="{}"><i></i>{}</button>')
        .format(css, name, name)
        for name, css in (figure["legend"] if len(figure["legend"]) > 1 else [])
    )  # fmt: skip
    return Markup(
        '<figure class="plot"><div class="drawing" role="img" aria-label="{}" style="height:{}px"></div>{}'
        '<script type="application/json">{}</script></figure>'
    ).format(
        about,
        figure["height"],
        Markup('<p class="legend">{}</p>').format(keys) if keys else "",
        script_json({"data": figure["data"], "layout": figure["layout"]}),
    )


def script_json(data: object) -> Markup:
    """JSON that may stand inside a <script> element: no text can close it or open a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def label(text: str) -> str:
    """A text as Plotly shows it: its HTML is escaped, and line breaks are spaces."""
    return " ".join(str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def smooth(values: Sequence[Number | None], window: int) -> list[Number | None]:
    """Centred running mean over `window` values, fewer at both ends and where values are None."""
    half = window // 2
    sums, counts = [0.0], [0]
    for value in values:
        sums.append(sums[-1] + (value or 0.0))
        counts.append(counts[-1] + (value is not None))
    means: list[Number | None] = []
    for index in range(len(values)):
        first, last = max(0, index - half), min(len(values), index + half + 1)
        count = counts[last] - counts[first]
        means.append((sums[last] - sums[first]) / count if count else None)
    return means


def _line(one: Series, axis: str, y: Axis, window: int) -> list[dict[str, Any]]:
    """Traces of a series: its running mean, and below it the raw line if they differ."""
    size = -(-len(one.x) // MOST_POINTS)
    x = [_number(value or 0) for value in _averaged(one.x, size)]
    common = {
        "type": "scatter",
        "mode": "lines" if len(x) > 1 else "markers",
        "x": x,
        "name": label(one.name),
        "legendgroup": one.name,
        "yaxis": axis,
    }
    line = {"color": f"--{one.colour}", "dash": one.dash}
    bold = common | {
        "y": _numbers(_averaged(smooth(one.y, window), size)),
        "line": line | {"width": 2},
        "marker": {"color": f"--{one.colour}"},
        "hovertemplate": f"%{{y{_format(y)}}}",
    }
    if window < 2:
        return [bold]
    raw = common | {
        "y": _numbers(_averaged(one.y, size)),
        "line": line | {"width": 1},
        "opacity": 0.3,
        "hoverinfo": "skip",
    }
    return [raw, bold]


def _averaged(values: Sequence[Number | None], size: int) -> list[Number | None]:
    """Means over stretches of `size` values, None where all are."""
    if size < 2:
        return list(values)
    found: list[Number | None] = []
    for start in range(0, len(values), size):
        known = [value for value in values[start : start + size] if value is not None]
        found.append(sum(known) / len(known) if known else None)
    return found


def _axis(axis: Axis) -> dict[str, Any]:
    layout: dict[str, Any] = {"title": {"text": label(axis.title)}}
    if axis.share:
        layout["tickformat"] = ".0%"
    if axis.bounds:
        layout["range"] = [_number(bound) for bound in axis.bounds]
    return layout


def _from_zero(series: Sequence[Series]) -> dict[str, Any]:
    """An axis begins at 0 if all values are above it and 0 is near."""
    values = [value for one in series for value in one.y if value is not None]
    return {"rangemode": "tozero"} if 0 <= min(values) <= 0.6 * max(values) else {}


def _steps(x: Axis) -> dict[str, Any]:
    """An x axis; steps are written as 200k or 1.2M."""
    return _axis(x) | ({"tickformat": "~s"} if x.unit == "steps" else {})


def _format(y: Axis) -> str:
    return ":.1%" if y.share else ":.4~g"


def _wrapped(text: str, width: int) -> str:
    """A label in lines of at most `width` characters; a longer word is broken."""
    return "<br>".join(label(line) for line in textwrap.wrap(text, width)) or " "


def _names(series: Sequence[Series] | Sequence[Columns]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.name, one.colour) for one in series))


def _numbers(values: Sequence[Number | None]) -> list[Number | None]:
    return [None if value is None else _number(value) for value in values]


def _number(value: Number) -> Number:
    """Five digits are more than a screen can show."""
    if isinstance(value, int) or float(value).is_integer():
        return int(value)
    return float(f"{value:.5g}")
