"""Counts of each skill's wanted events: against a count by hand in real games, and the figures by hand."""

import numpy as np
import pytest

from maestromotif.agent.episodes import Policy
from maestromotif.config.load import load
from maestromotif.evaluate.agents import explorer_policy
from maestromotif.evaluate.skill_events import DUNGEONS, Tally, measure, reached, rows_of, table
from maestromotif.nethack.events import COLUMN
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.skill import load_all, skills_of

GAMES = 6


def test_events_are_counted_for_the_skill_that_acts_until_the_last_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = load("configs/five_skills.yaml", [f"nethack.games={GAMES}", "train.minibatches=1"])
    skills = skills_of(config)
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # skill, playing; events after the step
    pools: list[GamePool] = []

    def make(pool: GamePool, wave: int) -> Policy:
        policy = explorer_policy(pool, skills, 0)
        pools.append(pool)
        step_of_pool = pool.step

        def step(actions: np.ndarray) -> None:
            step_of_pool(actions)
            seen[-1][2][:] = pool.events[:, COLUMN["descended"]]

        monkeypatch.setattr(pool, "step", step)

        def act(first: np.ndarray, skill: np.ndarray, playing: np.ndarray, step: int) -> np.ndarray:
            seen.append((skill.copy(), playing.copy(), np.zeros(GAMES, np.int64)))
            return policy(first, skill, playing, step)

        return act

    rows = measure(config, {"explorer": make}, [None], GAMES, 250)
    found = next(row for row in rows if (row["skill"], row["event"]) == ("descender", "descended"))
    acted = [(skill == 1) & playing for skill, playing, _ in seen]
    assert config.skills[1] == "descender"
    assert found["steps"] == sum(int(mask.sum()) for mask in acted)
    by_hand = sum(int(events[mask].sum()) for mask, (_, _, events) in zip(acted, seen, strict=True))
    assert found["happened"] == by_hand >= 2
    assert found["low"] <= found["per_1000"] <= found["high"]
    assert found["place"] == DUNGEONS


def test_rates_by_hand_and_what_is_reached() -> None:
    skills = load_all("skills", ["descender", "merchant"])
    steps = np.array([[100, 0], [300, 0]])

    def rows(agent: str, descended: list[int]) -> list[dict[str, object]]:
        happened = np.zeros((2, 2, 2), np.int64)
        happened[:, 0, 0] = descended
        return rows_of(Tally(steps, happened), skills, DUNGEONS, agent, 0.95)

    trained, other = rows("trained", [4, 8]), rows("untrained", [1, 3])
    assert [row["event"] for row in trained] == ["descended", "sold", "price_offered", "wanted"]
    assert trained[0]["per_1000"] == pytest.approx(1000 * 12 / 400)
    assert (trained[0]["low"], trained[0]["high"]) == (pytest.approx(26.667, abs=1e-3), 40.0)
    assert trained[1]["per_1000"] is None
    every = [*trained, *other, *rows("wandering", [0, 0])]
    assert reached(every, "descender", DUNGEONS)
    assert not reached(every, "descender", DUNGEONS, times=3.1)
    assert not reached(every, "merchant", DUNGEONS)
    assert not reached([*trained, *other, *rows("wandering", [4, 8])], "descender", DUNGEONS)
    assert "| new dungeons | descender | descended | 30.00 [26.67, 40.00] | 10.00 [" in table(every, 0.95)
    assert "| merchant | sold | never acted |" in table(every, 0.95)
