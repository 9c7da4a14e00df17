"""The curve's figures against loops over steps and episodes, and the table that declares them."""

import numpy as np
import pytest

from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.state import CHANGES
from maestromotif.train.counts import Counts, Episodes, Steps, count_episodes, count_steps, no_counts, total
from maestromotif.train.curve import Curve
from maestromotif.train.metrics import METRICS

SKILLS = ("walk", "eat", "idle")  # the last one never acts
N, T = 4, 9
FIGURES = ("policy_loss", "value_loss", "entropy", "kl", "clipped", "minibatches")


def rollout(rng: np.random.Generator) -> Steps:
    events = np.zeros((N, T, len(EVENTS)), np.int16)
    events[..., :2] = rng.integers(0, 3, (N, T, 2))
    return Steps(
        skill=rng.integers(0, 2, (N, T), np.int32),
        reward=np.where(rng.random((N, T)) < 0.4, rng.random((N, T)) - 0.3, 0).astype(np.float32),
        call_ended=rng.random((N, T)) < 0.2,
        events=events,
        changes=rng.integers(0, 3, (N, T, len(CHANGES)), np.int8),
        action=rng.integers(0, len(NAMES), (N, T), np.int32),
    )


def counted(steps: Steps, *ended: Episodes) -> Counts:
    counts = no_counts(len(SKILLS))
    count_steps(counts, steps)
    for episodes in ended:
        count_episodes(counts, episodes)
    return counts


def test_a_row_is_what_loops_count() -> None:
    """Over two rollouts of two actors each."""
    rng = np.random.default_rng(0)
    curve = Curve(SKILLS, dict)
    rollouts = [[rollout(rng), rollout(rng)] for _ in range(2)]
    ends = Episodes(
        counted=np.array([True, True, False, True]),  # the third one began in an arena
        end=np.array([End.DEATH, End.TRUNCATED, End.DEATH, End.DEATH], np.int8),
        state={
            "deepest": np.array([1, 2, 50, 6], np.int32),
            "step": np.array([10, 20, 999, 60], np.int32),
        },
    )
    for number, actors in enumerate(rollouts):
        figures = {name: float(10 * number + place) for place, name in enumerate(FIGURES)}
        curve.add([counted(actors[0], ends), counted(actors[1])], figures)
    row = curve.row(144)

    assert (row["env_step"], row["episodes"], row["deaths"]) == (144, 6, 4)
    assert row["depth/deepest_mean"] == 3
    assert row["episode/length_mean"] == 30
    assert row["depth/at_least_2"] == pytest.approx(2 / 3, abs=1e-6)
    assert [row[f"loss/{name}"] for name in FIGURES] == [5, 6, 7, 8, 9, 10]
    for k, skill in enumerate(SKILLS):
        steps = calls = paid = first = explored = 0
        reward = lost = 0.0
        actions = np.zeros(len(NAMES))
        for one in (one for actors in rollouts for one in actors):
            for n, t in np.ndindex(N, T):
                if one.skill[n, t] == k:
                    steps += 1
                    calls += int(one.call_ended[n, t])
                    first += int(one.events[n, t, 0])
                    reward += float(one.reward[n, t])
                    lost -= min(float(one.reward[n, t]), 0)
                    paid += int(one.reward[n, t] > 0)
                    explored += int(one.changes[n, t, tuple(CHANGES).index("explored")] > 0)
                    actions[one.action[n, t]] += 1
        expected = {
            f"skill/{skill}/time_share": steps / (4 * N * T),
            f"skill/{skill}/mean_duration": steps / max(calls, 1),
            f"skill/{skill}/paid_share": paid / max(steps, 1),
            f"skill/{skill}/reward_per_call": reward / max(calls, 1),
            f"skill/{skill}/reward_per_1k_steps": 1000 * reward / max(steps, 1),
            f"skill/{skill}/lost_per_1k_steps": 1000 * lost / max(steps, 1),
        }
        np.testing.assert_array_equal(curve.totals["actions"][k], actions)
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-5), name
        event = f"events/{skill}/{next(iter(EVENTS))}_per_1k_steps"
        if skill == "idle":
            assert event not in row
        else:
            assert row[event] == pytest.approx(1000 * first / steps, abs=1e-5)
            change = f"changes/{skill}/explored_per_1k_steps"
            assert row[change] == pytest.approx(1000 * explored / steps, abs=1e-5)


def test_a_row_closes_a_window_and_says_nothing_of_episodes_where_none_ended() -> None:
    curve = Curve(SKILLS, dict)
    figures = dict.fromkeys(FIGURES, 1.0)
    curve.add([counted(rollout(np.random.default_rng(1)))], figures)
    curve.row(36)
    curve.add([no_counts(len(SKILLS))], figures)
    row = curve.row(72)
    assert row["skill/walk/time_share"] == row["skill/walk/reward_per_call"] == 0
    assert not [name for name in row if name.startswith(("depth/", "events/"))]
    assert len(curve.rows) == 2


def test_totals_are_those_of_all_windows_and_survive_a_snapshot() -> None:
    rng = np.random.default_rng(3)
    parts = [counted(rollout(rng)) for _ in range(3)]
    curve = Curve(SKILLS, dict)
    for part in parts[:2]:
        curve.add([part], dict.fromkeys(FIGURES, 1.0))
        curve.row(36)
    other = Curve(SKILLS, dict)
    other.restore(curve.snapshot())
    other.add([parts[2]], dict.fromkeys(FIGURES, 1.0))
    other.row(36)
    np.testing.assert_equal(other.totals, total(parts))


def test_counts_of_parts_add_up_and_names_are_declared_once() -> None:
    rng = np.random.default_rng(2)
    one, other = counted(rollout(rng)), counted(rollout(rng))
    both = total([one, other])
    np.testing.assert_allclose(both["reward"], one["reward"] + other["reward"])
    assert both["steps"].sum() == 2 * N * T
    assert both["events"].shape == (len(SKILLS), len(EVENTS))
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    assert all(metric.doc.endswith(".") for metric in METRICS)
