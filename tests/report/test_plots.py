"""Plots: what their specifications say, and the order of the learning curve's plots."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from maestromotif.report import plots
from maestromotif.report.plots import Axis, Columns, Estimate, Level, Series
from maestromotif.report.sections import curves
from maestromotif.skill import load_all
from maestromotif.train.metrics import METRICS, NAMED

ASSETS = Path(plots.__file__).parent / "assets"


def test_vendored_files_are_what_their_note_says() -> None:
    note = (ASSETS / "README.md").read_text()
    row = next(line for line in note.splitlines() if line.startswith("| `plotly-basic.min.js`"))
    assert hashlib.sha256((ASSETS / "plotly-basic.min.js").read_bytes()).hexdigest() in row
    assert "MIT License" in (ASSETS / "plotly-basic.LICENSE").read_text()


def test_smoothing_by_hand() -> None:
    assert plots.smooth([1, 2, 6, 3], 3) == pytest.approx([1.5, 3, 11 / 3, 4.5])
    assert plots.smooth([4, 5], 1) == [4, 5]
    assert plots.smooth([1, None, 3, None, None], 3) == [1, 2, 3, 3, None]


def test_long_lines_are_averaged_and_gaps_stay() -> None:
    y: list[float | None] = [float(step % 2) for step in range(4000)]
    y[:20] = [None] * 20
    figure = plots.lines([Series("a", range(4000), y, "c0")], Axis("steps", "steps"), Axis("share", "share"))
    assert figure is not None
    (line,) = figure["data"]
    assert len(line["x"]) == plots.MOST_POINTS
    assert line["y"][:3] == [None, None, 0.5]  # ten rows a point
    assert figure["layout"]["yaxis"]["tickformat"] == ".0%"


def test_a_running_mean_lies_over_its_raw_line_in_one_colour() -> None:
    figure = plots.lines([Series("a", [0, 1, 2], [1, 2, 6], "c1")], Axis("x"), Axis("y"), window=3)
    assert figure is not None
    raw, mean = figure["data"]
    assert (raw["y"], mean["y"]) == ([1, 2, 6], [1.5, 3, 4])
    assert raw["line"]["color"] == mean["line"]["color"] == "--c1"
    assert raw["legendgroup"] == mean["legendgroup"]
    assert raw["opacity"] < 1


def test_labels_are_escaped_everywhere() -> None:
    name = '<b>&</b> <a href="x">y</a>\n</script>'
    axis = Axis(name)
    series = [Series(name, [0, 1], [1, 2], "c0"), Series("b", [0, 1], [1, 2], "c1")]
    figures = (
        plots.lines(series, axis, axis, levels=[Level(name, 0, 1, "c0")]),
        plots.paired(series, series, axis, (axis, axis)),
        plots.columns([name], [Columns(name, [1], "c0"), Columns("b", [1], "c1")], axis, axis),
        plots.histogram([1, 2], [0.0, 1.0, 2.0], "c0", axis, axis),
        plots.intervals([Estimate(name, 1, 0, 2, "c0", name)], axis, baseline=(1, name)),
    )
    for figure in figures:
        assert figure is not None
        page = str(plots.html(figure, name))
        assert "<b>" not in page
        assert "<a " not in page
        assert page.count("</script") == 1
        labels = json.dumps([figure["data"], figure["layout"]]).replace(
            '"legendgroup": ' + json.dumps(name), ""
        )
        assert not re.search(r"<(?!br>|extra>|/extra>)", labels)  # Plotly's own, in what we wrote


def test_nothing_to_draw_is_a_sentence() -> None:
    assert plots.lines([Series("a", [0], [None], "c0")], Axis("x"), Axis("y")) is None
    assert plots.columns([], [], Axis("x"), Axis("y")) is None
    assert plots.intervals([], Axis("x")) is None
    assert plots.html(None, "about", "No <values>.") == '<p class="empty">No &lt;values&gt;.</p>'


# ------------------------------------------------------------------------------------ the order of the curves


def test_every_metric_has_its_place_and_depth_comes_first() -> None:
    skills = ("discoverer", "descender")
    keys = [
        metric.name.format(**{"skill": skill} | {name: values[-1] for name, values in NAMED.items()})
        for metric in METRICS
        for skill in skills
    ]
    found = curves.quantities([dict.fromkeys(sorted(keys), 1.0)], skills)
    assert {line.key for one in found for line in one.lines} == set(keys) - {"env_step"}
    assert found[0].group.title == "Depth and reward"
    assert found[0].lines[0].key.startswith("depth/")
    assert [one.group for one in found] == sorted((one.group for one in found), key=curves.GROUPS.index)
    for one in found:
        assert one.unit
        assert "{" not in one.title
        assert len(one.lines) == 1 or [line.name for line in one.lines] == list(skills)


def test_levels_are_lines_of_one_plot_in_the_order_of_their_numbers() -> None:
    row = {"env_step": 1.0} | {f"depth/at_least_{level}": 1.0 for level in (10, 2, 5)}
    (one,) = curves.quantities([row], ("descender",))
    assert [line.name for line in one.lines] == ["2", "5", "10"]
    assert one.title == "Share of episodes that reach level …"


def test_shares_of_a_whole_are_lines_of_one_plot_the_largest_first() -> None:
    causes = {f"deaths/{cause}": share for cause, share in (("god", 0.1), ("hunger", 0.3))}
    actions = {f"actions/descender/{name}": 0.01 * number for number, name in enumerate(NAMED["action"][:12])}
    died, acted = curves.quantities([causes | actions], ("descender", "ascender"))
    assert [line.name for line in died.lines] == ["hunger", "god"]
    assert died.title == "Share of episodes that end in death, by cause"
    assert [line.key for line in acted.lines] == list(actions)[:3:-1]  # eight of twelve
    assert acted.title == "descender: share of the skill's steps, by action"
    assert acted.doc.endswith("Drawn are the 8 largest of 12.")


def test_events_that_a_skill_names_come_before_frequent_ones() -> None:
    names = ("discoverer", "descender")
    events = {"angered_god": 1.0, "healed": 90.0, "descended": 0.5, "hurt": 50.0}
    curve = [{f"events/descender/{event}_per_1k_steps": rate for event, rate in events.items()}]
    ordered = curves.by_weight(curves.quantities(curve, names), curve, load_all("skills", names))
    assert [one.what for one in ordered] == ["descended", "healed", "hurt", "angered_god"]
