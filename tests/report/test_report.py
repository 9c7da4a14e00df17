"""The report: opened in a real browser, escaped, deterministic, and honest about what it could not read."""

import html
import json
import re
import shutil
from pathlib import Path

import artefacts
import numpy as np
import pytest
from browser import CHROMIUM, Browser

from maestromotif.config.schema import Config, TrackingSettings
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.replay.page import ASSETS
from maestromotif.report import evidence, report
from maestromotif.report.sections.programs import highlight
from maestromotif.report.sections.writing import percent


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


# Every label of a plot and every entry of its legend that does not lie within the plot, with its text.
CUT_OFF = """[...document.querySelectorAll('figure.plot')].flatMap((plot) => {
  const box = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('svg text, .legend button')].filter((one) => {
    const own = one.getBoundingClientRect();
    return own.width > 0 && (own.left < box.left - 1 || own.right > box.right + 1
      || own.top < box.top - 1 || own.bottom > box.bottom + 1);
  }).map((one) => one.textContent);
})"""
# Panels whose content is wider than they are: tables must scroll in their own box.
TOO_WIDE = """[...document.querySelectorAll('.panel, header, nav, section')]
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent.slice(0, 80))"""
UNDRAWN = """[...document.querySelectorAll('figure.plot')]
  .filter((one) => one.dataset.drawn !== 'yes' || !one.querySelector('svg .trace, svg .bars .point'))
  .map((one) => one.parentElement.textContent.slice(0, 80))"""
EPISODE = '{"task": "down_and_back", "agent": "trained", "deepest": 1, "steps": 9, "seeds": [1, 2, 3]}\n'
HOSTILE = "<b>x</b> & <a href='https://example.invalid/'>y</a><br>%{x} $z$"


def hostile(made: tuple[Config, dict[str, Artefact]], folder: Path) -> dict[str, Artefact]:
    """The artefacts, with an agent and a figure of the curve whose names are markup."""
    _, inputs = made
    changed = dict(inputs)
    for stage in ("evaluate", "train"):
        shutil.copytree(inputs[stage].path, folder / stage)
        changed[stage] = Artefact(folder / stage, inputs[stage].manifest)
    results = json.loads((folder / "evaluate" / "results.json").read_text())
    results["rows"][1]["agent"] = HOSTILE
    (folder / "evaluate" / "results.json").write_text(json.dumps(results))
    for path in (folder / "evaluate" / "episodes.jsonl", folder / "train" / "curve.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            if row.get("agent") == "untrained":
                row["agent"] = HOSTILE
            if "env_step" in row:
                row[f"new/descender/{HOSTILE}"] = 1.5 + row["env_step"] % 3
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return changed


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_opens_in_a_browser_without_an_error_and_without_the_network(
    made: tuple[Config, dict[str, Artefact]], tmp_path: Path, width: int
) -> None:
    page = tmp_path / "report.html"
    page.write_text(report.page(made[0], evidence.read(made[0], hostile(made, tmp_path))))
    with Browser(tmp_path) as browser:
        browser.resize(width, 900)
        browser.open(page)
        browser.wait_for("document.body?.dataset.ready === 'yes'")
        count = int(browser.evaluate("document.querySelectorAll('figure.plot').length"))
        assert count > 20
        assert len(browser.evaluate(UNDRAWN)) > count / 2  # plots that are far away wait
        browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.resize(width, int(browser.evaluate("document.documentElement.scrollHeight")))
        browser.wait_for(f"{UNDRAWN}.length === 0")
        for scheme, background in ((False, "rgb(247, 247, 245)"), (True, "rgb(18, 20, 24)")):
            browser.dark(scheme)
            assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == background
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.evaluate(TOO_WIDE) == []
            assert browser.evaluate(CUT_OFF) == []
            # The plots follow: the first line has the colour that its skill has in this scheme.
            wanted = browser.evaluate(
                "getComputedStyle(document.querySelector('.key.trained i')).backgroundColor"
            )
            browser.wait_for(
                "getComputedStyle(document.querySelector('#train svg .scatter path.js-line')).stroke === "
                f"'{wanted}'"
            )
        # What the game, the language model and the config said is text, not markup.
        shown = browser.evaluate(
            "[...document.querySelectorAll('#evaluate svg .ytick text')].map((one) => one.textContent)"
        )
        # A label in several lines has no space where the line breaks.
        assert HOSTILE.replace(" ", "") in [text.replace(" ", "") for text in shown]
        columns = "[...document.querySelectorAll('#evaluate .drawing')][2]"
        browser.evaluate(f"void Plotly.Fx.hover({columns}, [{{curveNumber: 1, pointNumber: 0}}])")
        browser.wait_for(f"{columns}.querySelector('.hoverlayer')?.textContent.includes('example.invalid')")
        markup = "blockquote b, .caption script, svg a, figure b, [style*='font-weight:bold']"
        assert browser.evaluate(f"[...document.querySelectorAll(`{markup}`)].length") == 0
        assert browser.evaluate("document.body.innerText.includes('<b>towards</b>')")
        # Every link in the page leads somewhere in it.
        broken = "[...document.links].filter(a => !document.getElementById(a.hash.slice(1))).map(a => a.href)"
        assert browser.evaluate(broken) == []
        # A click on the legend hides a line, another one shows it again.
        first = "document.querySelector('#train figure.plot:has(.legend) $')"
        hidden = first.replace("$", ".drawing") + ".data.map((trace) => trace.visible)"
        button = first.replace("$", ".legend button")
        browser.evaluate(f"{button}.click()")
        assert browser.evaluate(hidden).count(False) == 2  # the raw line and its running mean
        assert browser.evaluate(f"{button}.getAttribute('aria-pressed')") == "false"
        browser.evaluate(f"{button}.click()")
        assert all(browser.evaluate(hidden))
        # A plot can be kept as a picture, which the content security policy must allow.
        assert browser.evaluate(f"Plotly.toImage({columns}, {{format: 'png'}})").startswith("data:image/png")
        assert browser.problems == []
        assert [one for one in browser.requests if not one.startswith(("blob:", "data:"))] == [page.as_uri()]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
def test_prints_with_all_plots_in_light_colours(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.dark(True)
        browser.resize(1280, 900)
        browser.open(page)
        browser.wait_for("document.body?.dataset.ready === 'yes'")
        browser.evaluate(
            "addEventListener('beforeprint', () => { window.seen = ["
            "[...document.querySelectorAll('figure.plot')]"
            ".filter((one) => !one.closest('details:not([open])'))"
            ".every((one) => one.dataset.drawn === 'yes'),"
            "getComputedStyle(document.querySelector('#train svg .xtitle')).fill]; })"
        )
        browser.call("Page.printToPDF", preferCSSPageSize=True)
        assert browser.evaluate("window.seen") == [True, "rgb(95, 102, 113)"]  # --muted of the light scheme
        assert browser.problems == []


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
        assert percent(row["success"]) in text
        assert f"{row['deepest_mean']:.2f}" in text
        assert f"{row['deaths']} of 64" in text
        assert f"<td>a &lt;jackal&gt; {row['deaths']}" in text
    first_lines = text[text.index("<h1>") : text.index('<div class="cards">')]
    assert f"the trained agent succeeds in {100 * rows[0]['success']:.1f} % of 64 episodes" in first_lines
    assert "the trained agent succeeds more often than untrained and random" in text
    for skill in artefacts.SKILLS:
        assert f"skills/{skill}.md" in text
    assert "Apache-2.0" in text
    assert "1,200,000 environment steps" in text
    assert "94 %<small>(89–99, n 300)</small>" in text  # kept
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
    assert (
        "succeeds less often than untrained and cannot be distinguished from random (the intervals overlap)"
        in text
    )


def test_a_task_without_an_end_has_no_success(
    made: tuple[Config, dict[str, Artefact]], tmp_path: Path
) -> None:
    config, inputs = made
    evaluate = tmp_path / "evaluate"
    shutil.copytree(inputs["evaluate"].path, evaluate)
    results = json.loads((evaluate / "results.json").read_text())
    for row in results["rows"]:
        row |= {"success": None, "success_low": None, "success_high": None}
    (evaluate / "results.json").write_text(json.dumps(results))
    changed = {**inputs, "evaluate": Artefact(evaluate, inputs["evaluate"].manifest)}
    text = report.page(config, evidence.read(config, changed))
    section = text[text.index('<section id="evaluate">') : text.index('<section id="replay-section">')]
    assert "success" not in section.lower()
    assert "intervals on its mean deepest level, the trained agent comes deeper than" in text


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
    assert (
        "the trained agent cannot be distinguished from random (the intervals overlap). In the 4 dungeons of"
        in text
    )
    assert "the trained agent succeeds more often than untrained and random." in text
    # New dungeons come first, in the cards at the top and in the table.
    for part in (text[: text.index("<nav>")], text[text.index('<section id="evaluate">') :]):
        assert 0 < part.index(">New dungeons<") < part.index(">The 4 dungeons of training<")


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
    for name in ("annotate", "quality", "curate", "soup", "gate"):
        assert f'id="{name}"' not in text


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        (
            "evaluate/results.json",
            '{"rows": [{"task": "down_and_back", "agent": "trained", "max_steps": 9}]}',
            "no field 'episodes'",
        ),
        ("evaluate/episodes.jsonl", EPISODE + '{"agent": "tra', r"episodes\.jsonl:2: not JSON.*'evaluate'"),
        ("evaluate/episodes.jsonl", EPISODE.replace("9", '"9"'), r"jsonl:1: steps must be a whole number"),
        ("evaluate/results.json", '{"rows": [', r"results\.json: not JSON"),
        ("distil/ascender/card.json", '{"description": ""}', r"no field 'accuracy_held_out'"),
        ("evaluate/results.json", '{"rows": []}', r"'rows' is empty"),
        ("distil/ascender/card.json", '["a list"]', r"card\.json: the file must be an object with fields"),
        ("gate/gate.json", '{"rows": [{"skill": 3}]}', r"rows\[0\]\.skill must be a text, not 3|no field"),
        ("collect/episodes.json", "{}", r"episodes\.json: the file must be a list"),
        ("train/paid.json", '{"skills": {"descender": []}}', "skills.descender must be an object|no field"),
        ("distil/descender/card.json", "{}", r"card\.json: no field 'description'.*'distil'"),
        (
            "annotate/ascender/preferences.npz",
            "no zip",
            r"preferences\.npz: damaged: .*; its arrays are first, second, label",
        ),
        ("collect/observations.npz", None, r"observations\.npz.*'collect'"),
        ("curate/curate.json", '{"skills": {}}', r"curate\.json: no field 'again'.*'curate'"),
        ("gate/gate.json", None, r"gate\.json.*'gate'"),
        ("compose/training.py", None, r"training\.py.*'compose'"),
        ("quality/quality.json", '{"ascender": {"ties": 3}}', r"ascender\.ties must be a share or mean"),
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


def test_half_written_artefacts_are_named(tmp_path: Path) -> None:
    """Of every file only the first half is there: the report says which, and does not stop in another way."""
    inputs = artefacts.make(tmp_path)
    config = artefacts.config(tmp_path)
    files = [
        path
        for path in tmp_path.rglob("*")
        if path.suffix in (".json", ".jsonl", ".npz") and path.name != "manifest.json"
    ]
    assert len(files) > 25
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2 + 3])
        with pytest.raises(UserError, match=re.escape(path.stem)):
            evidence.read(config, inputs)
        path.write_bytes(whole)


def test_episodes_without_a_step_and_training_without_a_row_are_shown(tmp_path: Path) -> None:
    inputs = artefacts.make(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "evaluate" / "episodes.jsonl").read_text().splitlines()]
    (tmp_path / "evaluate" / "episodes.jsonl").write_text(
        "".join(json.dumps(row | {"steps": 0}) + "\n" for row in rows)
    )
    results = json.loads((tmp_path / "evaluate" / "results.json").read_text())
    for row in results["rows"]:
        row |= {"steps_median": 0.0, "prayers_per_1000": None, "causes": {}}
    (tmp_path / "evaluate" / "results.json").write_text(json.dumps(results))
    (tmp_path / "train" / "curve.jsonl").write_text("")
    config = artefacts.config(tmp_path)
    text = report.page(config, evidence.read(config, inputs))
    assert '<section id="train">' not in text
    assert 'href="#train"' not in text
    assert "Length of an episode" in text


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


def test_replays_have_the_same_colours_alone_and_in_a_report() -> None:
    colours = re.compile(r"--c\d: (#[0-9a-f]{6});")
    sheets = [
        folder / "assets" / name
        for folder, name in ((report.HERE, "report.css"), (ASSETS.parent, "replay.css"))
    ]
    found = [colours.findall(sheet.read_text()) for sheet in sheets]
    assert found[0] == found[1]
    assert len(found[0]) == 20  # light and dark
