"""Small plots as inline SVG: lines, grouped columns, intervals. The same data gives the same text.

Colours are CSS classes (`c0`, `c1`, ... for skills, `trained`, `untrained`, `random` for agents), so one
style sheet serves light and dark pages. Every mark has a `<title>`, which browsers show on hovering.
All functions return `Markup`: text that is already escaped.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Number = int | float

WIDTH = 520
HEIGHT = 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 42
MAX_MARKS = 60  # hover targets a line; more would only make the page heavy
PALETTE = 10  # classes c0..c9 in report.css


def colour(index: int) -> str:
    """CSS class of the skill with this index."""
    return f"c{index % PALETTE}"


@dataclass(frozen=True)
class Series:
    """One line or one set of columns: `x` and `y` of equal length, finite."""

    name: str
    x: Sequence[Number]
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
class _Scale:
    """Data interval [low, high] -> pixels [start, end]."""

    low: Number
    high: Number
    start: Number
    end: Number

    def __call__(self, value: Number) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: Number, high: Number, count: int = 5) -> list[Number]:
    """Round numbers (1, 2 or 5 times a power of ten apart), about `count` of them, inside [low, high].

    Spacing rule: P. Heckbert, "Nice numbers for graph labels", Graphics Gems (1990), 61-63.
    """
    if not high > low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(multiple for multiple in (1, 2, 5, 10) if multiple * power >= raw * 0.999) * power
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def short(value: Number) -> str:
    """A number for an axis or a tooltip: 1250000 -> '1.25M', 0.3333 -> '0.333', 40 -> '40'."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}" if value else "0"


def percent(value: Number) -> str:
    """0.5 -> '50 %', 0.123 -> '12.3 %', with a space that does not break."""
    text = f"{100 * value:.1f}".removesuffix(".0")
    return f"{text}\N{NO-BREAK SPACE}%"


def smooth(values: Sequence[Number], window: int) -> list[Number]:
    """Centred running mean over `window` values (fewer at both ends)."""
    half = window // 2
    cumulative = [0.0]
    for value in values:
        cumulative.append(cumulative[-1] + value)
    means = []
    for index in range(len(values)):
        first, last = max(0, index - half), min(len(values), index + half + 1)
        means.append((cumulative[last] - cumulative[first]) / (last - first))
    return means


def lines(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    y_range: tuple[Number, Number] | None = None,
    as_percent: bool = False,
    window: int = 1,
    mark: tuple[Number, str] | None = None,
) -> Markup:
    """Lines over a common x axis. `window` > 1 draws the running mean boldly over the faint raw line.

    `mark` is an x with a label: a dashed upright line.
    """
    series = [one for one in series if len(one.x)]
    if not series:
        return _empty("no values")
    xs = [value for one in series for value in one.x] + ([mark[0]] if mark else [])
    low, high = min(xs), max(xs)
    if 0 < low < 0.6 * high:
        low = 0.0
    x = _Scale(low, high if high > low else low + 1, LEFT, WIDTH - RIGHT)
    low, high = y_range or _padded([value for one in series for value in one.y])
    y = _Scale(low, high, HEIGHT - BOTTOM, TOP)
    write = percent if as_percent else short
    body = [_grid(x, y, x_label, y_label, ticks(x.low, x.high, 7), write)]
    if mark:
        end = x(mark[0]) > WIDTH / 2  # the label stands where there is more room
        body.append(_line("mark", x(mark[0]), TOP, x(mark[0]), HEIGHT - BOTTOM))
        shift, anchor = (-5, "end") if end else (5, "start")
        body.append(_text("tick", x(mark[0]) + shift, TOP + 10, mark[1], anchor))
    for one in series:
        bold = smooth(one.y, window)
        if window > 1:
            body.append(_polyline(f"line raw {one.colour}", x, y, one.x, one.y))
        body.append(_polyline(f"line {one.colour}", x, y, one.x, bold))
        for index in _spread(len(one.x)):
            title = _title(f"{one.name}: {write(bold[index])} at {short(one.x[index])}")
            place = f'cx="{x(one.x[index]):.1f}" cy="{y(bold[index]):.1f}"'
            body.append(f'<circle class="dot {one.colour}" {place} r="5">{title}</circle>')
    return _figure(body, f"{y_label} over {x_label}")


def columns(
    labels: Sequence[str], series: Sequence[Series], x_label: str, y_label: str, *, as_percent: bool = False
) -> Markup:
    """Grouped columns: one group a label; `x` of each series is ignored, `y` has one value a label."""
    if not labels or not series:
        return _empty("no values")
    top = max(value for one in series for value in one.y)
    x = _Scale(0, len(labels), LEFT, WIDTH - RIGHT)
    y = _Scale(0, top * 1.05 if top > 0 else 1, HEIGHT - BOTTOM, TOP)
    write = percent if as_percent else short
    every = math.ceil(len(labels) / 12)  # labels that have room
    body = [_grid(x, y, x_label, y_label, [], write)]
    for index in range(0, len(labels), every):
        body.append(_text("tick", x(index + 0.5), HEIGHT - BOTTOM + 16, labels[index]))
    width = 0.84 / len(series)
    for number, one in enumerate(series):
        for index, value in enumerate(one.y):
            left, right = (x(index + 0.08 + width * (number + side)) for side in (0, 1))
            title = _title(f"{one.name + ', ' if one.name else ''}{labels[index]}: {write(value)}")
            place = f'x="{left:.1f}" y="{y(value):.1f}"'
            size = f'width="{right - left - 1:.1f}" height="{y(0) - y(value):.1f}"'
            body.append(f'<rect class="column {one.colour}" {place} {size}>{title}</rect>')
    return _figure(body, f"{y_label} by {x_label}")


def intervals(
    rows: Sequence[Estimate],
    x_label: str,
    x_range: tuple[Number, Number],
    *,
    as_percent: bool = False,
    baseline: tuple[Number, str] | None = None,
) -> Markup:
    """A dot with its interval for every row, names on the left; `baseline` is an x with a label.

    Values are written as percentages or with two decimals.
    """
    if not rows:
        return _empty("no values")
    left, row_height = max(110, 24 + 6 * max(len(row.name) for row in rows)), 40
    floor = TOP + row_height * len(rows) + 6
    x = _Scale(*x_range, left, WIDTH - 64)
    write = percent if as_percent else "{:.2f}".format
    body = []
    for tick in ticks(*x_range):
        body.append(_line("grid", x(tick), TOP, x(tick), floor))
        body.append(_text("tick", x(tick), floor + 16, percent(tick) if as_percent else short(tick)))
    body.append(_text("label", (x.start + x.end) / 2, floor + BOTTOM - 8, x_label))
    if baseline:
        body.append(_line("mark", x(baseline[0]), TOP - 4, x(baseline[0]), floor))
        body.append(_text("tick", x(baseline[0]) + 4, TOP + 5, baseline[1], "start"))
    for index, row in enumerate(rows):
        y = TOP + row_height * (index + 0.5) + 4
        low, value, high = x(row.low), x(row.value), x(row.high)
        title = f"{row.name}: {write(row.value)} [{write(row.low)}, {write(row.high)}] {row.note}"
        body += [
            f'<g class="estimate {row.colour}">',
            _title(title.strip()),
            _text("name", left - 12, y + 4, row.name, "end"),
            _line("", low, y, high, y),
            _line("", low, y - 5, low, y + 5),
            _line("", high, y - 5, high, y + 5),
            f'<circle cx="{value:.1f}" cy="{y:.1f}" r="5"/>',
            _text("value", WIDTH - 4, y + 4, write(row.value), "end"),
            "</g>",
        ]
    return _figure(body, x_label, floor + BOTTOM)


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """A line of (name, colour class) with swatches, as HTML."""
    swatches = Markup("").join(
        Markup('<span class="key {}"><i></i>{}</span>').format(css, name) for name, css in entries
    )
    return Markup('<p class="legend">{}</p>').format(swatches)


def path(stages: Sequence[tuple[str, str, Sequence[str]]]) -> Markup:
    """The stages in order as linked boxes: (id of the section, name, at most three short lines)."""
    box, gap, height = 118, 22, 104
    body = []
    for index, (target, name, facts) in enumerate(stages):
        left = index * (box + gap)
        middle = left + box / 2
        if index:
            body.append(f'<path class="arrow" d="M{left - gap + 3} {height / 2}H{left - 3}m-5 -4l5 4l-5 4"/>')
        body.append(f'<a href="#{escape(target)}">')
        size = f'width="{box - 1}" height="{height - 1}"'
        body.append(f'<rect class="box" x="{left + 0.5}" y="0.5" {size} rx="9"/>')
        body.append(_text("stage", middle, 25, name))
        body += [_text("fact", middle, 48 + 17 * row, fact) for row, fact in enumerate(facts)]
        body.append("</a>")
    width = len(stages) * (box + gap) - gap
    return Markup(
        f'<svg class="path drawn" viewBox="0 0 {width} {height}" role="img" aria-label="stages of the run">'
        f"{''.join(body)}</svg>"
    )


def _padded(values: Sequence[Number]) -> tuple[Number, Number]:
    """An axis range that holds all values with a little air, and zero when zero is near."""
    low, high = min(values), max(values)
    if 0 < low < 0.6 * high:
        low = 0.0
    air = 0.06 * (high - low) if high > low else max(1.0, 0.1 * abs(high))
    return (low if low == 0 else low - air, high + air)


def _grid(
    x: _Scale,
    y: _Scale,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[Number],
    write_y: Callable[[Number], str],
) -> str:
    """Axes, their labels and ticks."""
    floor = HEIGHT - BOTTOM
    parts = []
    for tick in ticks(y.low, y.high):
        parts.append(_line("grid", LEFT, y(tick), WIDTH - RIGHT, y(tick)))
        parts.append(_text("tick", LEFT - 7, y(tick) + 4, write_y(tick), "end"))
    for tick in x_ticks:
        parts.append(_line("axis", x(tick), floor, x(tick), floor + 4))
        parts.append(_text("tick", x(tick), floor + 16, short(tick)))
    parts.append(_line("axis", LEFT, floor, WIDTH - RIGHT, floor))
    parts.append(_text("label", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label))
    turned = f"translate(12 {(TOP + floor) / 2:.1f}) rotate(-90)"
    parts.append(f'<text class="label" transform="{turned}" text-anchor="middle">{escape(y_label)}</text>')
    return "".join(parts)


def _text(css: str, x: Number, y: Number, content: str, anchor: str = "middle") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def _line(css: str, x1: Number, y1: Number, x2: Number, y2: Number) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _polyline(css: str, x: _Scale, y: _Scale, xs: Sequence[Number], ys: Sequence[Number]) -> str:
    points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))
    return f'<polyline class="{css}" points="{points}"/>'


def _title(content: str) -> str:
    return f"<title>{escape(content)}</title>"


def _spread(count: int) -> list[int]:
    """At most MAX_MARKS indexes of 0..count-1, evenly apart, the last one always among them."""
    if count <= MAX_MARKS:
        return list(range(count))
    return sorted({round(index * (count - 1) / (MAX_MARKS - 1)) for index in range(MAX_MARKS)})


def _figure(body: Sequence[str], label: str, height: Number = HEIGHT) -> Markup:
    size = f'viewBox="0 0 {WIDTH} {height:g}"'
    return Markup(
        f'<svg class="plot drawn" {size} role="img" aria-label="{escape(label)}">{"".join(body)}</svg>'
    )


def _empty(reason: str) -> Markup:
    return Markup('<p class="empty">{}</p>').format(reason)
