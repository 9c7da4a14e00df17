"""The report: opened in a real browser, escaped, deterministic, and honest about what it could not read."""

import html
import itertools
import json
import re
import shutil
from pathlib import Path

import artefacts
import numpy as np
import pytest
from browser import CHROMIUM, Browser
from hypothesis import given
from hypothesis import strategies as st

from maestromotif.config.schema import Config, TrackingSettings
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.report import evidence, report, svg
from maestromotif.report.sections.programs import highlight


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, Artefact]]:
    root = tmp_path_factory.mktemp("artefacts")
    return artefacts.config(root, tracking=TrackingSettings(wandb="disabled")), artefacts.make(root)


@pytest.fixture
def page(made: tuple[Config, dict[str, Artefact]], tmp_path: Path) -> Path:
    config, inputs = made
    work = Work(tmp_path / "report")
    report.run(config, inputs, work)
    return work.path / "report.html"


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
def test_opens_in_a_browser_without_an_error_and_without_the_network(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(page)
        browser.wait_for("document.body?.dataset.ready === 'yes'")
        # The scripts have run: the first screen is drawn (tests/replay has the rest).
        assert "HP:14(14)" in browser.evaluate("document.querySelector('.replay .screen').innerText")
        # What the game and the language model said is text, not markup.
        assert browser.evaluate("[...document.querySelectorAll('blockquote b, .caption script')].length") == 0
        assert browser.evaluate("document.body.innerText.includes('<b>towards</b>')")
        # Every link in the page leads somewhere in it.
        broken = "[...document.links].filter(a => !document.getElementById(a.hash.slice(1))).map(a => a.href)"
        assert browser.evaluate(broken) == []
        # It fits a laptop's width, and a narrow window.
        for width in (1280, 420):
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
        browser.dark(True)
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 24)"
        assert browser.problems == []
        assert browser.requests == [page.as_uri()]


def test_same_artefacts_give_the_same_bytes(page: Path, tmp_path: Path) -> None:
    # Another folder, and so another run.root: no path of this machine may be in the page.
    elsewhere = tmp_path / "elsewhere"
    config = artefacts.config(elsewhere, tracking=TrackingSettings(wandb="disabled"))
    work = Work(elsewhere / "report")
    report.run(config, artefacts.make(elsewhere), work)
    assert (elsewhere / "report" / "report.html").read_bytes() == page.read_bytes()
    assert str(tmp_path) not in page.read_text()


def test_names_nothing_to_load(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"<(?:img|iframe|link|script|source)[^>]+(?:src|href)=\"(?!data:)", text)
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_shows_what_the_artefacts_say(page: Path, made: tuple[Config, dict[str, Artefact]]) -> None:
    text = page.read_text()
    rows = json.loads((made[1]["evaluate"].path / "results.json").read_text())["rows"]
    for row in rows:
        assert svg.percent(row["success"]) in text
        assert f"{row['deepest_mean']:.2f}" in text
        assert f"{row['deaths']} of 64" in text
        assert f"<td>a &lt;jackal&gt; {row['deaths']}" in text
    first_lines = text[text.index("<h1>") : text.index('<div class="grid three">')]
    assert f"the trained agent succeeds in {100 * rows[0]['success']:.1f} % of 64 episodes" in first_lines
    assert "the trained agent succeeds more often than untrained and random" in text
    for skill in artefacts.SKILLS:
        assert f"skills/{skill}.md" in text
    assert "Apache-2.0" in text
    assert "1,200,000 environment steps" in text
    assert "94 % (89–99, n 300)" in text  # kept
    assert "0.7 all pairs, 0.3 depth: deeper" in text
    assert "5,432" in text
    assert "wanted, not judged" not in text
    assert "forbidden, not judged" in text
    assert "ascender: pays for `&lt;descended&gt;`." in text
    assert "100,000 steps, gains +80, losses −20." in text
    assert "New &lt;parts&gt; came into view." in text
    assert "321 other captions" in text
    assert "killed by a &lt;newt&gt;" in text
    assert "Median length: 777 steps" in text
    assert "No warnings" in text


def test_warnings_of_training_come_first_and_are_repeated(
    made: tuple[Config, dict[str, Artefact]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, inputs = made
    train = tmp_path / "train"
    shutil.copytree(inputs["train"].path, train)
    account = json.loads((train / "paid.json").read_text())
    account["warnings"] = [{"about": "deaths", "text": "99% of the last episodes ended in <death>."}]
    (train / "paid.json").write_text(json.dumps(account))
    work = Work(tmp_path / "report")
    report.run(config, {**inputs, "train": Artefact(train, inputs["train"].manifest)}, work)
    text = (work.path / "report.html").read_text()
    section = text[text.index('<section id="paid">') :]
    assert '<p class="warning">99% of the last episodes ended in &lt;death&gt;.</p>' in section
    assert section.index('class="warning"') < section.index("<table")
    assert "report: 99% of the last episodes ended in <death>." in caplog.messages


def test_verdict_follows_the_intervals(made: tuple[Config, dict[str, Artefact]], tmp_path: Path) -> None:
    config, inputs = made
    evaluate = tmp_path / "evaluate"
    shutil.copytree(inputs["evaluate"].path, evaluate)
    results = json.loads((evaluate / "results.json").read_text())
    results["rows"][1] |= {"success": 0.99, "success_low": 0.95, "success_high": 1.0}
    results["rows"][2] |= {"success": 0.6, "success_low": 0.5, "success_high": 0.7}
    (evaluate / "results.json").write_text(json.dumps(results))
    changed = {**inputs, "evaluate": Artefact(evaluate, inputs["evaluate"].manifest)}
    text = report.page(config, evidence.read(config, changed))
    assert "succeeds less often than untrained and cannot be told from random (the intervals overlap)" in text


def test_new_levels_are_compared_among_themselves(
    made: tuple[Config, dict[str, Artefact]], tmp_path: Path
) -> None:
    config, inputs = made
    evaluate = tmp_path / "evaluate"
    shutil.copytree(inputs["evaluate"].path, evaluate)
    results = json.loads((evaluate / "results.json").read_text())
    for row in results["rows"]:
        row["levels"] = 4
    new = {"levels": None, "success": 0.1, "success_low": 0.05, "success_high": 0.15}
    results["rows"] += [
        results["rows"][0] | new | {"agent": f"{who}, new levels"} for who in ("trained", "random")
    ]
    (evaluate / "results.json").write_text(json.dumps(results))
    changed = {**inputs, "evaluate": Artefact(evaluate, inputs["evaluate"].manifest)}
    text = report.page(config, evidence.read(config, changed))
    assert "In the 4 dungeons of the training: " in text
    assert "the trained agent succeeds more often than untrained and random. In dungeons with levels" in text
    assert "the trained agent cannot be told from random (the intervals overlap)." in text


def test_rewards_from_a_folder_need_no_annotation(
    made: tuple[Config, dict[str, Artefact]], tmp_path: Path
) -> None:
    config, inputs = made
    for skill in artefacts.SKILLS:
        (tmp_path / f"{skill}.md").write_text(
            f"---\nname: {skill}\nstarts: now\nends: soon\n---\nOnly {skill} things.\n"
        )
    config = config.model_copy(
        update={
            "skills_folder": str(tmp_path),
            "reward": config.reward.model_copy(update={"path": "rewards/published"}),
        }
    )
    found = evidence.read(config, {name: inputs[name] for name in ("train", "compose", "evaluate")})
    text = report.page(config, found)
    assert "Only ascender things." in text
    assert "rewards/published" in text
    for name in ("annotate", "curate", "soup", "gate"):
        assert f'id="{name}"' not in text


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("evaluate/results.json", '{"rows": [{"agent": "trained"}]}', "no field 'episodes'"),
        ("evaluate/episodes.jsonl", '{"agent": "trained"}\n{oops\n', r"episodes\.jsonl:2: not JSON"),
        ("distil/descender/card.json", "{}", r"card\.json: no field 'accuracy_held_out'.*'distil'"),
        (
            "annotate/ascender/preferences.npz",
            "no zip",
            r"preferences\.npz: needs the arrays first, second, label",
        ),
        ("collect/observations.npz", None, r"observations\.npz.*'collect'"),
        ("curate/curate.json", '{"skills": {}}', r"curate\.json: no field 'again'.*'curate'"),
        ("gate/gate.json", None, r"gate\.json.*'gate'"),
        ("compose/program.py", None, r"program\.py.*'compose'"),
        ("train/paid.json", '{"skills": {}}', r"paid\.json: no field 'episodes'.*'train'"),
        ("train/curve.jsonl", '{"reward": 1}\n', "no field 'env_step'"),
    ],
)
def test_damaged_artefacts_are_named(name: str, damage: str | None, told: str, tmp_path: Path) -> None:
    inputs = artefacts.make(tmp_path)
    if damage is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(damage)
    with pytest.raises(UserError, match=told):
        evidence.read(artefacts.config(tmp_path), inputs)


def test_pairwise_labels_are_ranked_by_their_comparisons(tmp_path: Path) -> None:
    inputs = artefacts.make(tmp_path)
    for skill in artefacts.SKILLS:
        (tmp_path / "annotate" / skill / "scores.jsonl").unlink()
    # 0 beats 1 and 2; 1 ties with 2: shares 1, 1/4, 1/4.
    first, second = np.array([0, 2, 1], np.int32), np.array([1, 0, 2], np.int32)
    Work(tmp_path / "annotate").write_arrays(
        "descender/preferences.npz", first=first, second=second, label=np.array([1, 0, 0.5], np.float32)
    )
    found = evidence.read(artefacts.config(tmp_path), inputs)
    labels = next(one for one in found.labels if one.skill == "descender")
    assert [score for _, score in labels.captions] == [1.0, 0.25, 0.25]
    assert (labels.pairs, labels.ties) == (3, 1)


def test_highlighting_keeps_the_source() -> None:
    for source in (artefacts.PROGRAM, "x = '''a\nb'''\n\n\ndef f(): pass", "if (", "", "π = 1 < 2 # é\r\ny"):
        assert html.unescape(re.sub(r"<[^>]+>", "", highlight(source))) == source
    assert '<span class="keyword">def</span>' in highlight("def f(): pass")


def test_ticks_by_hand() -> None:
    assert svg.ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert svg.ticks(-3, 7) == [-2, 0, 2, 4, 6]
    assert svg.ticks(0, 1_200_000, 7) == [0, 200_000, 400_000, 600_000, 800_000, 1_000_000, 1_200_000]
    assert svg.ticks(5, 5) == [5]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_even_inside_and_few(low: float, width: float) -> None:
    found = svg.ticks(low, low + width)
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert 2 <= len(found) <= 7
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)
    assert max(gaps) - min(gaps) <= 1e-5 * width


def test_smoothing_by_hand() -> None:
    assert svg.smooth([1, 2, 6, 3], 3) == pytest.approx([1.5, 3, 11 / 3, 4.5])
    assert svg.smooth([4, 5], 1) == [4, 5]


def test_plots_escape_names() -> None:
    series = [svg.Series("<b>&", [0, 1], [1, 2], "c0")]
    for plot in (
        svg.lines(series, "<x>", "<y>"),
        svg.columns(["<i>", "j"], series, "<x>", "<y>"),
        svg.intervals([svg.Estimate("<b>&", 1, 0, 2, "c0")], "<x>", (0, 2)),
    ):
        assert "<b>" not in plot
        assert "<i>" not in plot
        assert "&lt;b&gt;&amp;" in plot
        assert "<x>" not in plot
