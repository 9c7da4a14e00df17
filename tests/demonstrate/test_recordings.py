"""Recordings come back from their file as they were; files that do not fit the config are refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif.config.load import load
from maestromotif.config.schema import Config
from maestromotif.demonstrate import recordings
from maestromotif.demonstrate.recordings import NO_LABEL, Recording
from maestromotif.errors import UserError
from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.pipeline.store import Work

ARENAS = st.sampled_from([None, "shop", "arenas/würfel.des"])


def config(*overrides: str) -> Config:
    return load("configs/five_skills.yaml", overrides)


@st.composite
def one(draw: st.DrawFn) -> Recording:
    steps = draw(st.integers(0, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    switched = random.random(steps) < 0.2
    switched[:1] = True
    skills = random.integers(0, 5, steps)[np.maximum.accumulate(np.where(switched, np.arange(steps), 0))]
    return Recording(
        seeds=EpisodeSeeds(*(draw(st.integers(0, 2**33)) for _ in range(3))),
        arena=draw(ARENAS),
        actions=random.integers(0, len(NAMES), steps),
        labels=random.integers(NO_LABEL, len(NAMES), steps),
        skills=skills,
        switched=switched,
        check=draw(st.integers(0, 2**32 - 1)),
    )


def plain(recording: Recording) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in vars(recording).items()}


@settings(max_examples=30, deadline=None)
@given(st.lists(one(), max_size=5))
def test_every_recording_comes_back(tmp_path_factory: pytest.TempPathFactory, made: list[Recording]) -> None:
    folder = tmp_path_factory.mktemp("work")
    recordings.write(Work(folder), made, config())
    found = recordings.read(folder / recordings.FILE, config())
    assert [plain(row) for row in found] == [plain(row) for row in made]
    for row in found:
        assert row.actions.dtype == row.labels.dtype == row.skills.dtype == np.int32
        assert row.switched.dtype == bool


def some(steps: int) -> Recording:
    switched = np.arange(steps) == 0
    numbers = np.zeros(steps, np.int32)
    return Recording(EpisodeSeeds(1, 2, 3), None, numbers, numbers, numbers, switched, 0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.network.actions=published", "its action set: .*; needed: published; set train.network.act"),
        (
            "skills=[descender, discoverer, ascender, merchant, worshipper]",
            "its skills: .*; needed: descender, d",
        ),
        ("nethack.character=val-hum-neu-fem", "its character: mon-hum-neu-mal; needed: val-hum-neu-fem; set"),
        ("nethack.pages=last", "its pages: all; needed: last; set nethack.pages"),
    ],
)
def test_recordings_of_another_config_are_refused(override: str, message: str, tmp_path: Path) -> None:
    recordings.write(Work(tmp_path), [some(3)], config("train.network.actions=explore"))
    with pytest.raises(UserError, match=rf"demonstrations\.npz: {message}.* run the stage 'demonstrate'"):
        recordings.read(tmp_path / recordings.FILE, config("train.network.actions=explore", override))


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", 0, "its format: 0; needed: 1"),
        ("nle", "0.9.9", r"its nle: 0\.9\.9; needed: 1.*; install that version, or run the stage"),
        ("actions", ["hop"], "its actions: hop; needed: more, north"),
    ],
)
def test_recordings_of_another_version_are_refused(
    name: str, value: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / recordings.FILE
    recordings.write(Work(tmp_path), [some(3)], config())
    whole = arrays(path)
    about = json.loads(whole["about"].tobytes()) | {name: value}
    whole["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    Work(tmp_path).write_arrays(recordings.FILE, **whole)
    with pytest.raises(UserError, match=message):
        recordings.read(path, config())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": np.zeros(5, np.uint8)}, "'steps' adds up to 40, but 'action' has 5"),
        ({"action": np.full(40, 99, np.uint8)}, "'action' has 99; it should be from 0"),
        ({"label": np.full(40, -2, np.int8)}, "'label' has -2; it should be from -1"),
        ({"skill": np.zeros(0, np.int8)}, "2 calls, but 0 in 'skill'"),
        ({"skill": np.full(2, 5, np.int8)}, "'skill' has numbers outside of 0 to 4"),
        ({"seeds": np.zeros((1, 3), np.int64)}, "differ in their number of recordings"),
        ({"seeds": np.full((2, 3), -1, np.int64)}, "'seeds' has -1; seeds are whole numbers from 0"),
        ({"switched": np.zeros(1, np.uint8)}, "'switched' has 1 bytes for 40 steps"),
        ({"switched": np.zeros(5, np.uint8)}, "false on the first step"),
    ],
)
def test_what_contradicts_itself_is_refused(
    changes: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    path = tmp_path / recordings.FILE
    recordings.write(Work(tmp_path), [some(20), some(20)], config())
    Work(tmp_path).write_arrays(recordings.FILE, **(arrays(path) | changes))
    with pytest.raises(UserError, match=rf"demonstrations\.npz: damaged: .*{message}.*'demonstrate' again"):
        recordings.read(path, config())


def test_a_file_that_is_cut_off_or_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / recordings.FILE
    with pytest.raises(UserError, match="no such file"):
        recordings.read(path, config())
    recordings.write(Work(tmp_path), [some(20)], config())
    whole = path.read_bytes()
    for part in (b"", whole[:300], b"not a zip"):
        path.write_bytes(part)
        with pytest.raises(UserError, match="damaged"):
            recordings.read(path, config())
