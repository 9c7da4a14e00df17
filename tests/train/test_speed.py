"""Where the time of training goes: by hand, and in a run."""

import json
from pathlib import Path

import pytest
from small_learning import config

from maestromotif.pipeline.store import Work
from maestromotif.tracking.journal import read
from maestromotif.tracking.tracking import Tracking
from maestromotif.train import train
from maestromotif.train.metrics import CURVE
from maestromotif.train.schedule import schedule
from maestromotif.train.speed import TIMINGS, WINDOW_SECONDS, Clock, Seconds, Speed, timings


def test_timings_by_hand() -> None:
    """Ten seconds of three updates with 4,000 steps each, and two actors."""
    begin = Clock(100.0, 5, 3.0, 2.0, games=6.0, policy=1.0, program=0.5, host=0.5)
    end = Clock(110.0, 8, 9.0, 4.0, games=16.0, policy=6.0, program=2.5, host=1.5)
    assert timings(begin, end, 4000, actors=2) == pytest.approx(
        {
            "speed/steps_per_second": 1200,
            "speed/learner": 0.6,
            "speed/learner_waits": 0.2,
            "speed/learner_other": 0.2,
            "speed/actors_games": 0.5,
            "speed/actors_policy": 0.25,
            "speed/actors_program": 0.1,
            "speed/actors_host": 0.05,
            "speed/actors_other": 0.1,
        }
    )


def test_the_window_forgets_what_is_long_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("maestromotif.train.speed.time.perf_counter", lambda: now)
    plan = schedule(config(tmp_path, "train.lag=2").train, games=8)
    speed = Speed(plan, [Seconds()])
    speed.begin(0)
    lags, rates = [], []
    for update in range(1, 9):
        now += 100 if update == 1 else WINDOW_SECONDS / 2  # the first one compiles
        figures = speed.after(update, 0.0, 0.0)
        lags.append(figures["speed/policy_lag"])
        rates.append(figures["speed/steps_per_second"])
    assert lags == [0, 1, 2, 2, 2, 2, 2, 2]
    assert rates[0] == plan.steps / 100
    assert rates[2:] == pytest.approx([plan.steps / (WINDOW_SECONDS / 2)] * 6, rel=1e-4)


def test_timings_go_to_the_tracker_and_never_into_the_curve(tmp_path: Path) -> None:
    whole = config(tmp_path, "tracking.wandb=disabled")
    with Tracking(whole, tmp_path, "small.yaml") as tracking:
        train.run(whole, {}, Work(tmp_path / "work"), tracking.stage("train", "first", train.LOGGED))
    records = read(tmp_path / "tracking/journal.jsonl")
    rows = [{"step": one["step"], **one["figures"]} for one in records if one["kind"] == "row"]
    timed = [row for row in rows if "speed/steps_per_second" in row]
    assert timed[-1]["step"] == 1024
    for row in timed:
        assert {one.name for one in TIMINGS} <= row.keys()
        assert row["speed/steps_per_second"] > 0
        shares = [value for name, value in row.items() if name.startswith("speed/actors_")]
        assert sum(shares) == pytest.approx(1, abs=0.2)  # an actor tells its time at a rollout's end
    curve = [json.loads(line) for line in (tmp_path / "work" / CURVE).read_text().splitlines()]
    assert not [name for row in curve for name in row if name.startswith("speed/")]
    assert [row["step"] for row in rows if "env_step" in row] == [row["env_step"] for row in curve]
