"""That training learns something: one skill in one fixed dungeon, in the time of a coffee."""

import json
from pathlib import Path

import pytest
import tiny

STEPS = 100_000  # under a minute on two idle cores; at 60,000 it came to 3.5, untrained to 1.9


@pytest.mark.slow
def test_a_descender_learns_its_dungeon(tmp_path: Path) -> None:
    """The trained agent comes deeper than the untrained one's interval, in the dungeon of the training."""
    sizes = (
        f"train.steps={STEPS}",
        "nethack.levels=1",
        "nethack.max_steps=600",
        "evaluate.episodes=32",
        "evaluate.max_steps=500",
    )
    where = (
        f"run.root={tmp_path}",
        "run.name=learns",
        "tracking.wandb=disabled",
        "tracking.evaluate_steps=null",
    )
    tiny.run(
        "run", tiny.ROOT / "configs" / "descender.yaml", *sizes, *where, "--until=evaluate", timeout=3600
    )
    results = json.loads((tmp_path / "learns" / "evaluate" / "results.json").read_text())
    trained, untrained = (
        next(row for row in results["rows"] if row["agent"] == agent) for agent in ("trained", "untrained")
    )
    assert trained["levels"] == 1
    assert trained["deepest_mean"] > untrained["deepest_high"], (trained, untrained)
