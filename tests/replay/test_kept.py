"""Episodes come back from their file as they were, in few bytes; a damaged file is refused with its name."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maestromotif.agent.episodes import Episode
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Work
from maestromotif.replay import kept


def episode(random: np.random.Generator, steps: int = 1000, **changes: Any) -> Episode:
    """Steps as a policy plays them: mostly moves, calls of about 50 steps."""
    switched = random.random(steps) < 0.02
    switched[:1] = True
    skills = random.integers(0, 3, steps)[np.maximum.accumulate(np.where(switched, np.arange(steps), 0))]
    reasons = np.where(switched, random.integers(1, 3, steps), 0)
    made = Episode(
        seeds=(1_188_103_766, 2**30, 7),
        success=False,
        deepest=2,
        steps=steps,
        end="death",
        cause='killed by a "<jackal>"',
        prayers=1,
        actions=random.choice(28, steps, p=np.r_[np.full(8, 0.1), np.full(20, 0.01)]).tolist(),
        skills=skills.tolist(),
        switched=switched.tolist(),
        reasons=reasons.tolist(),
        check=4_000_000_000,
    )
    return dataclasses.replace(made, **changes)


def test_every_episode_comes_back(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    episodes = {
        "trained": [episode(random, 100), episode(random, 0, end="success", success=True, cause="")],
        "trained, new levels": [episode(random, 13, arena="arenas/shop", at=12_345_678_901)],
        "explained": [
            episode(random, 30, told={0: "when hungry \u00e5"}),
            episode(random, 9, told={0: "otherwise"}),
        ],
        "nobody": [],
    }
    work = Work(tmp_path)
    work.write_arrays(kept.FILE, **kept.arrays(episodes))
    assert kept.read(tmp_path / kept.FILE, "evaluate") == episodes
    before = (tmp_path / kept.FILE).read_bytes()
    work.write_arrays(kept.FILE, **kept.arrays(episodes))
    assert (tmp_path / kept.FILE).read_bytes() == before


def test_files_without_reasons_are_read(tmp_path: Path) -> None:
    episodes = {"a": [episode(np.random.default_rng(0), 30)]}
    older = {name: array for name, array in kept.arrays(episodes).items() if name not in ("texts", "told")}
    Work(tmp_path).write_arrays(kept.FILE, **older)
    assert kept.read(tmp_path / kept.FILE, "evaluate") == episodes


def test_a_step_takes_less_than_a_byte(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    Work(tmp_path).write_arrays(kept.FILE, **kept.arrays({"a": [episode(random) for _ in range(64)]}))
    assert (tmp_path / kept.FILE).stat().st_size / 64_000 < 0.8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": np.zeros(5, np.uint8)}, "'steps' adds up to 40, but there are 5 actions"),
        ({"action": np.full(40, 99, np.uint8)}, "'action' has 99; actions are 0 to"),
        ({"skill": np.zeros(0, np.int8)}, "calls, but 0 in 'skill'"),
        ({"told": np.zeros(0, np.uint32)}, "calls, but 0 in 'told'"),
        ({"seeds": np.zeros((1, 3), np.int64)}, "differ in their number of episodes"),
        ({"agent": np.ones(2, np.uint8)}, "'agent' has 1, but there are 1 agents"),
        ({"switched": np.zeros(1, np.uint8)}, "'switched' has 1 bytes for 40 steps"),
        ({"steps": np.array([-1, 41], np.int32)}, "'steps' adds up to 40"),
    ],
)
def test_what_contradicts_itself_is_refused(
    changes: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    whole = kept.arrays({"a": [episode(random, 20), episode(random, 20)]})
    Work(tmp_path).write_arrays(kept.FILE, **(whole | changes))
    with pytest.raises(UserError, match=message) as error:
        kept.read(tmp_path / kept.FILE, "evaluate")
    assert str(tmp_path / kept.FILE) in str(error.value)
    assert "Run the stage 'evaluate' again" in str(error.value)


def test_a_file_that_is_cut_off_or_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / kept.FILE
    with pytest.raises(UserError, match="no such file"):
        kept.read(path, "train")
    Work(tmp_path).write_arrays(kept.FILE, **kept.arrays({"a": [episode(np.random.default_rng(0))]}))
    whole = path.read_bytes()
    for part in (b"", whole[:300], whole[:400] + bytes(100) + whole[500:], b"not a zip"):
        path.write_bytes(part)
        with pytest.raises(UserError, match=r"episodes\.npz: damaged: .*'train' again"):
            kept.read(path, "train")
