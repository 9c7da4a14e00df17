"""The live report: made from a journal that grows, and kept up to date in a real browser."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import artefacts
import pytest
from browser import CHROMIUM, Browser

from maestromotif.config.load import dump
from maestromotif.config.schema import TrackingSettings
from maestromotif.errors import UserError
from maestromotif.report.live import Live, serve
from maestromotif.tracking.tracking import Tracking


def log(folder: Path, first: int, last: int) -> None:
    """Rows of a training, as it logs them."""
    config = artefacts.config(folder.parent, tracking=TrackingSettings(wandb="disabled"))
    with Tracking(config, folder, "handmade.yaml") as tracking:
        tracker = tracking.stage("train", "train-a", ())
        for row in range(first, last):
            step = 1000 * (row + 1)
            tracker.row(step, {"train/done": step, "train/per_second": 2000.0, "train/seconds_left": 75.0})
            curve = {"env_step": step, "episodes": 4, "depth/deepest_mean": 1 + row / 10}
            tracker.row(
                step, curve | {f"skill/{name}/reward_per_1k_steps": float(row) for name in config.skills}
            )
            tracker.page(step, "replay/descender", "<p>a replay</p>", "descender after <b> steps")
            tracker.row(step, {"watch/new/success": row / 20, "watch/new/deepest_mean": 1 + row / 20})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "handmade"
    run.mkdir()
    config = artefacts.config(tmp_path, tracking=TrackingSettings(wandb="disabled"))
    (run / "config.yaml").write_text(dump(config))
    log(run, 0, 6)
    return run


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with serve(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_shows_what_there_is_and_no_more(folder: Path) -> None:
    page = Live(folder).page()
    for section in ("live", "watched", "train", "provenance"):
        assert f'id="{section}"' in page
    for section in ("evaluate", "paid", "compose", "replay-section", "distil"):
        assert f'id="{section}"' not in page
    assert "1 min 15 s" in page
    assert "connect-src 'self'" in page


def test_other_places_and_damaged_artefacts_are_said(folder: Path, address: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"{address}/etc/passwd")
    missing.value.close()
    assert missing.value.code == 404
    assert "descender after &lt;b&gt; steps" in Live(folder).page()
    with urllib.request.urlopen(f"{address}/pages/train-a-replay-descender-6000.html") as page:
        assert page.read() == b"<p>a replay</p>"
    (folder / "train").mkdir()
    (folder / "train" / "manifest.json").write_text("{")
    with pytest.raises(urllib.error.HTTPError) as damaged:
        urllib.request.urlopen(address)
    with damaged.value:
        assert damaged.value.code == 503
        assert "manifest.json: is damaged" in damaged.value.read().decode()


def test_a_folder_that_is_no_run_and_a_port_in_use(tmp_path: Path, folder: Path, address: str) -> None:
    with pytest.raises(UserError, match="is not the folder of a run"):
        serve(tmp_path, 0)
    port = int(address.rpartition(":")[2])
    with pytest.raises(UserError, match=f"port {port} cannot be used"):
        serve(folder, port)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
def test_the_page_follows_the_run_without_a_reload(folder: Path, address: str, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.call("Page.navigate", url=address)
        browser.wait_for("document.querySelector('#watched') !== null")
        browser.evaluate("document.querySelector('#watched').scrollIntoView()")
        browser.wait_for("document.querySelector('#watched figure[data-drawn]') !== null")
        browser.evaluate("window.sameDocument = true")
        browser.evaluate("document.querySelector('#provenance details').open = true")
        assert "6,000" in browser.evaluate("document.querySelector('#live').innerText")
        log(folder, 6, 12)
        browser.wait_for("document.querySelector('#live').innerText.includes('12,000')", 30)
        browser.wait_for("document.querySelector('#watched figure[data-drawn]') !== null")
        points = "document.querySelector('#watched .drawing').data.at(-1).x.length"
        until = time.monotonic() + 20
        while browser.evaluate(points) != 12:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert browser.evaluate("window.sameDocument")
        assert browser.evaluate("document.querySelector('#provenance details').open")
        assert browser.problems == []
        assert set(browser.requests) == {f"{address}/", f"{address}/version"}
