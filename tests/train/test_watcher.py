"""Evaluation during training: what it logs, what it may take, and that it changes nothing."""

import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_learning import config, fresh

from maestromotif.agent import playing
from maestromotif.agent.episodes import Episode, Policy
from maestromotif.agent.policy import POLICY, load_policy
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.pipeline.store import Work
from maestromotif.tracking.logged import logged_of
from maestromotif.train import train
from maestromotif.train.watch.budget import Budget
from maestromotif.train.watch.figures import COLUMNS, figures, title, to_show

# Four evaluations of a training of 1,024 steps, if there is time for all of them.
WATCHED = (
    "tracking.evaluate_share=1",
    "tracking.evaluate_steps=256",
    "tracking.evaluate_episodes=4",
    "evaluate.max_steps=30",
)


class Notes:
    """A tracker that keeps everything."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self.tables: list[tuple[int, str, Sequence[str], Sequence[Sequence[Any]]]] = []
        self.pages: list[tuple[int, str, str, str]] = []
        self.policies: list[tuple[Sequence[str], bytes]] = []

    def row(self, step: int, figures: Mapping[str, int | float]) -> None:
        self.rows.append((step, dict(figures)))

    def table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.tables.append((step, name, columns, rows))

    def page(self, step: int, name: str, html: str, caption: str) -> None:
        self.pages.append((step, name, html, caption))

    def artefact(
        self,
        name: str,
        kind: str,
        path: Path,
        aliases: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.policies.append((aliases, path.read_bytes()))

    def watched(self) -> list[tuple[int, dict[str, Any]]]:
        return [(step, row) for step, row in self.rows if "watch/seconds" in row]


def episode(skills: Sequence[int], **further: Any) -> Episode:
    facts: dict[str, Any] = {"seeds": (1, 2, 3), "success": False, "deepest": 1, "end": "truncated"}
    facts |= {"cause": "", "prayers": 0, "steps": len(skills), "skills": list(skills)}
    facts |= {"actions": [0] * len(skills), "switched": [False] * len(skills)}
    facts |= {"reasons": [0] * len(skills), "check": 0}
    return Episode(**(facts | further))


def test_the_budget_is_a_share_of_the_time_so_far() -> None:
    now = 100.0
    budget = Budget(0.1, {"open": 2.0}, clock=lambda: now)
    assert not budget.covers("open")  # nothing is left at the beginning
    now += 10
    assert budget.left() == pytest.approx(1.0)
    assert budget.left(later=10.0) == pytest.approx(2.0)
    assert not budget.affords(1.5)
    assert budget.affords(1.5, later=10.0)
    assert Budget(1.0, {}, clock=lambda: now).affords(1e9)  # no limit
    assert budget.covers("step")
    assert not budget.covers("open")  # is expected to take two seconds
    now += 10
    with budget.piece("open"):
        now += 5
    assert budget.left() == pytest.approx(2.5 - 5)
    assert not budget.covers("step")
    now += 30
    assert budget.left() == pytest.approx(0.5)
    assert budget.covers("step")
    assert not budget.covers("open")  # took five
    with suppress(ValueError), budget.piece("step"):
        now += 1
        raise ValueError
    assert budget.spent == 6  # what fails costs time too


def test_the_figures_of_an_evaluation() -> None:
    dead = {"end": "death", "cause": "killed by a newt"}
    played = {
        "new": [
            episode([0, 0, 1, 1], success=True, deepest=2, end="success"),
            episode([0, 0], deepest=10, **dead),
        ]
    }
    row = figures(played, ["discoverer", "descender"], 0.95)
    assert row.pop("watch/new/success_low") == pytest.approx(0.0945, abs=1e-4)  # Wilson's, for 1 of 2
    assert row.pop("watch/new/success_high") == pytest.approx(0.9055, abs=1e-4)
    endless = figures(played, ["discoverer", "descender"], 0.95, has_end=False)
    assert {name: row[name] for name in endless} == endless
    assert {name for name in row if name not in endless} == {"watch/new/success"}
    assert row == {
        "watch/new/success": 0.5,
        "watch/new/deepest_mean": 6.0,
        "watch/new/at_least_2": 1.0,
        "watch/new/at_least_5": 0.5,
        "watch/new/at_least_10": 0.5,
        "watch/new/death_share": 0.5,
        "watch/new/steps_mean": 3.0,
        "watch/new/episodes": 2,
        "watch/new/time_share/discoverer": round(4 / 6, 6),
        "watch/new/time_share/descender": round(2 / 6, 6),
    }
    titles = [title("descender", 600_000, one) for one in (*played["new"], episode([1]))]
    assert titles == [
        "descender after 600,000 steps: success in 4 steps",
        "descender after 600,000 steps: killed by a newt, at step 2",
        "descender after 600,000 steps: no success in 1 steps",
    ]


def test_each_skill_shows_the_episode_in_which_it_acts_most() -> None:
    long, short, other = episode([0] * 9 + [1] * 4), episode([0] * 5 + [1] * 2), episode([0, 1])
    shown = to_show([other, short, long], skills=3)
    assert list(shown) == [0, 1]  # the third skill never acts
    assert shown[1] is long  # acts less, so it chooses first
    assert shown[0] is short
    assert to_show([long], skills=2) == {0: long, 1: long}  # there is no other episode


def test_watching_logs_what_the_table_names_and_changes_nothing(tmp_path: Path) -> None:
    notes, levels = Notes(), "nethack.levels=4"
    train.run(config(tmp_path, *WATCHED, levels), {}, Work(tmp_path / "with"), notes)
    assert not multiprocessing.active_children()
    train.run(config(tmp_path, "tracking.evaluate_steps=null", levels), {}, Work(tmp_path / "without"))
    assert (tmp_path / "with" / POLICY).read_bytes() == (tmp_path / "without" / POLICY).read_bytes()

    watched = notes.watched()
    assert watched
    for step, row in watched:
        assert 256 <= step < 1024
        assert row["watch/new/episodes"] == row["watch/seen/episodes"] == 4
        assert all(logged_of(name, train.LOGGED) for name in row)
    steps = [step for step, _ in watched]
    assert [step // 256 for step in steps] == sorted({step // 256 for step in steps})
    for step, name, columns, rows in notes.tables:
        assert step in steps
        assert name == "watch/episodes"
        assert columns == COLUMNS
        assert [row[0] for row in rows] == ["new"] * 4 + ["seen"] * 4
        core, lgen = (np.array([row[columns.index(seed)] for row in rows]) >> 29 for seed in ("core", "lgen"))
        assert (core == 4).all()  # a range of its own
        assert lgen.tolist() == [4] * 4 + [3] * 4  # new dungeons, and those of training
    assert {step for step, *_ in notes.pages} <= set(steps)
    assert all(logged_of(name, train.LOGGED) for _, name, *_ in notes.pages)
    assert all(caption in html for _, _, html, caption in notes.pages)
    assert [aliases[0] for aliases, _ in notes.policies] == [f"step-{step}" for step in steps]
    assert notes.policies[0][0][1:] == ["best"]
    (tmp_path / POLICY).write_bytes(notes.policies[0][1])
    load_policy(tmp_path / POLICY, fresh()[0])


def test_a_failure_is_a_warning_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, pools = playing.network_policy, []

    def killing(pool: GamePool, *arguments: Any) -> Policy:
        """Kills a worker of the first evaluation at its fourth step."""
        policy = make(pool, *arguments)
        pools.append(pool)

        def act(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
            if step == 3 and len(pools) == 1:
                pid = pool._processes[0].pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            return policy(first, skill, playing, step)

        return act

    monkeypatch.setattr(playing, "network_policy", killing)
    notes = Notes()
    facts = train.run(config(tmp_path, *WATCHED), {}, Work(tmp_path / "killed"), notes)
    assert facts["steps"] == 1024
    warnings = [record.getMessage() for record in caplog.records if "no evaluation" in record.getMessage()]
    assert warnings == ["train: no evaluation after 256 steps: a worker of its games died"]
    assert notes.watched()  # later ones

    caplog.clear()
    missing = f"compose.programs.down={tmp_path / 'missing.py'}"
    facts = train.run(config(tmp_path, *WATCHED, missing), {}, Work(tmp_path / "missing"), Notes())
    assert facts["steps"] == 1024
    warnings = [record.getMessage() for record in caplog.records if "no evaluation" in record.getMessage()]
    assert len(warnings) == 3
    assert "missing.py" in warnings[0]
    assert warnings[-1].endswith("no further one is tried")
