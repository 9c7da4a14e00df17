"""The dashboard, saved to a server on this machine that keeps views as Weights & Biases does."""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb_stub

from maestromotif.cli.main import run_words
from maestromotif.config.load import load
from maestromotif.errors import UserError
from maestromotif.pipeline.runner import stages_of
from maestromotif.tracking import panels
from maestromotif.tracking.logged import ENV_STEP, PROGRESS, axis_of

KEY = "k" * 40
CONFIG = "configs/quickstart.yaml"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[wandb_stub.Server]:
    for variable in ("WANDB_ENTITY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with wandb_stub.running(KEY) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield server


def sections(spec: str) -> dict[str, list[dict[str, Any]]]:
    bank = json.loads(spec)["section"]["panelBankConfig"]
    return {section["name"]: section["panels"] for section in bank["sections"]}


def shows(panels: list[dict[str, Any]], name: str) -> bool:
    """Whether one of the panels shows what is logged under this name."""
    for panel in panels:
        config = panel["config"]
        names = [*config.get("metrics", []), *config.get("mediaKeys", [])]
        if name in names or re.search(config.get("metricRegex", "(?!)"), name):
            return True
        if panel["viewType"] == "Weave" and f'"{name}"' in json.dumps(config):
            return True
    return False


def test_the_saved_workspace_has_all_sections_with_their_panels_and_is_updated(
    server: wandb_stub.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    run_words(["dashboard", CONFIG])
    address = capsys.readouterr().out.strip()
    [(number, view)] = server.views.items()
    assert view["displayName"] == "MaestroMotif: quickstart"
    assert address.startswith(f"{server.address}/me/maestromotif?nw=")
    saved = sections(view["spec"])
    assert list(saved) == ["Health", "Skills", "Generalisation", "Rewards", "Programs", "Replays"]
    assert shows(saved["Health"], "loss/kl")
    assert shows(saved["Generalisation"], "depth/deepest_mean")
    assert shows(saved["Generalisation"], "watch/new/success")
    assert shows(saved["Generalisation"], "eval/down_and_back/results")
    assert shows(saved["Programs"], "gen/rounds")
    assert shows(saved["Replays"], "report")
    for skill in load(CONFIG).skills:
        assert shows(saved["Skills"], f"skill/{skill}/reward_per_1k_steps")
        assert shows(saved["Skills"], f"events/{skill}/descended_per_1k_steps")
        assert shows(saved["Rewards"], f"rm/{skill}/val_acc")
        assert shows(saved["Rewards"], f"rm/{skill}/observations")
        assert shows(saved["Replays"], f"replay/{skill}")
    assert not shows(saved["Health"], "gen/rounds")

    run_words(["dashboard", CONFIG, "train.steps=1000"])
    assert capsys.readouterr().out.strip() == address
    [(again, updated)] = server.views.items()
    assert again == number == updated["id"]
    groups = [re.findall(r"quickstart-[0-9a-f]{6}", one["spec"]) for one in (view, updated)]
    assert len(groups[0]) == len(groups[1]) == 1
    assert groups[0] != groups[1]

    run_words(["dashboard", CONFIG, "tracking.project=another"])
    assert len(server.views) == 2
    assert server.projects == {"maestromotif", "another"}


def refused() -> str:
    began = time.monotonic()
    with pytest.raises(UserError) as error:
        run_words(["dashboard", CONFIG])
    assert time.monotonic() - began < 30
    return str(error.value)


def test_without_a_key_or_a_server_it_says_what_to_do(
    server: wandb_stub.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "w" * 40)
    assert "does not accept the API key" in (said := refused())
    assert "wandb login --relogin" in said
    monkeypatch.delenv("WANDB_API_KEY")
    assert f"no API key for {server.address}; log in with `wandb login`" in refused()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        closed = f"http://127.0.0.1:{listening.getsockname()[1]}"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", closed)
    assert f"{closed} cannot be reached (" in (said := refused())
    assert "--print" in said
    assert not server.views


def test_the_specification_in_the_documentation_is_the_present_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_words(["dashboard", CONFIG, "--print"])
    texts = [capsys.readouterr().out, Path("docs/dashboard.json").read_text()]
    # The hash in the name of the group changes with every setting of the config.
    now, kept = (re.sub(r"quickstart-[0-9a-f]{6}", "quickstart", one) for one in texts)
    assert now == kept, f"write it again: maestromotif dashboard {CONFIG} --print > docs/dashboard.json"


def test_everything_that_a_stage_logs_is_in_a_panel() -> None:
    config = load(CONFIG, ("run.further=[quality,soup,demonstrate,clone]",))
    logged = {stage.name: stage.logged() for stage in stages_of(config)}
    shown = [
        panel
        for own in panels.filled({"skill": config.skills, "task": config.tasks}, logged).values()
        for panel in own
    ]
    for stage, own in logged.items():
        for one in (*own, *PROGRESS):
            name = one.name.replace("{skill}", "descender").replace("{stage}", stage)
            name = name.replace("{task}", config.tasks[0])
            example = re.sub(r"\{\w+\}", "x", name)
            found = [
                panel
                for panel in shown
                if example in panel.names or re.search(panel.pattern or "(?!)", example)
            ]
            assert found or one.name == ENV_STEP, (
                f"{stage} logs {one.name}: add it to a section in maestromotif/tracking/panels.py"
            )
            assert all(panel.axis in (axis_of(stage), panels.WALL_TIME) for panel in found)
