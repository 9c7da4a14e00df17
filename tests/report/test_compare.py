"""Runs side by side: what differs between their configs, seeds as one group, in a real browser."""

from dataclasses import replace
from pathlib import Path

import artefacts
import pytest
from browser import CHROMIUM, Browser

from maestromotif.config.load import dump
from maestromotif.config.schema import RunSettings, TrackingSettings
from maestromotif.errors import UserError
from maestromotif.evaluate.evaluate import RESULTS
from maestromotif.pipeline.keys import picked
from maestromotif.report import evidence
from maestromotif.report.compare import Compared, differences, grouped, names_of, page, write
from maestromotif.train.metrics import CURVE


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Compared]:
    """Two seeds of one config, and a run with another learning rate."""
    root = tmp_path_factory.mktemp("runs")
    found = []
    for name, seed, rate in (("a </script>", 0, 1e-4), ("b", 1, 1e-4), ("c", 0, 1e-3)):
        made = artefacts.make(root / name.strip("</>"), seed)
        config = artefacts.config(root, tracking=TrackingSettings(wandb="disabled"))
        train = config.train.model_copy(update={"learning_rate": rate})
        config = config.model_copy(update={"run": RunSettings(name="x", seed=seed), "train": train})
        found.append(
            Compared(
                name,
                config,
                {key: value for key, value in picked(config, [""]).items() if key != "run.seed"},
                evidence.results(made["evaluate"].path / RESULTS)["down_and_back"],
                evidence.curve(made["train"].path / CURVE),
            )
        )
    return found


def test_seeds_of_a_config_are_one_group_and_differences_are_named(runs: list[Compared]) -> None:
    groups = grouped(runs)
    assert names_of(groups) == ["a </script>, b", "c"]
    assert differences(groups) == [("train.learning_rate", ["0.0001", "0.001"])]
    assert differences([[runs[0]], [runs[1]]]) == []


def test_the_page_shows_results_ranges_and_curves(runs: list[Compared]) -> None:
    text = page(runs)
    assert "a &lt;/script&gt;" in text
    assert "Over seeds" in text
    assert "train.learning_rate" in text
    assert text.count("<figure") > 5
    assert page(runs) == text
    assert "Nothing but the seed" in page(runs[:2])


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least two different runs"):
        write([tmp_path, tmp_path], tmp_path / "page.html")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(UserError, match=r"no config\.yaml"):
        write([tmp_path, other], tmp_path / "page.html")
    for folder in (tmp_path, other):
        (folder / "config.yaml").write_text(dump(artefacts.config(tmp_path)))
    with pytest.raises(UserError, match="the stage 'train' is not finished"):
        write([tmp_path, other], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_run_without_some_agents_has_dashes(runs: list[Compared]) -> None:
    alone = replace(runs[0], results=[runs[0].results[0]])
    assert '<td class="right">–</td>' in page([alone, runs[1]])


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
def test_opens_without_the_network_and_fits(runs: list[Compared], tmp_path: Path) -> None:
    path = tmp_path / "comparison.html"
    path.write_text(page(runs))
    with Browser(tmp_path) as browser:
        browser.open(path)
        browser.wait_for("document.querySelector('figure[data-drawn]') !== null")
        for width in (1280, 390):
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            browser.wait_for(
                f"document.documentElement.scrollWidth <= {width}"
            )  # plots follow a moment later
        assert browser.problems == []
        assert browser.requests == [path.as_uri()]
