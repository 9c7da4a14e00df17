"""The curve's figures against loops over steps and episodes, and the table that declares them."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_learning import config

from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.death import CAUSE_GROUPS
from maestromotif.nethack.events import COLUMN, EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline.store import Work
from maestromotif.programs.sandbox import CallEnd
from maestromotif.skill import Skill
from maestromotif.train import train
from maestromotif.train.counts import (
    COUNTED_CHANGES,
    Counts,
    Episodes,
    Named,
    Steps,
    count_episodes,
    count_steps,
    no_counts,
    total,
)
from maestromotif.train.curve import Curve
from maestromotif.train.endings import Ending, endings
from maestromotif.train.metrics import METRICS
from maestromotif.train.window import Figures

N, T, ACTIONS = 4, 9, 5
FIRST, SECOND = tuple(EVENTS)[:2]


def make_skill(name: str, wanted: tuple[str, ...] = (), forbidden: tuple[str, ...] = ()) -> Skill:
    path = Path(f"skills/{name}.md")
    return Skill(name, "words", "any", "any", 30, path, "0", wanted=wanted, forbidden=forbidden)


# `idle` never acts, and names no events.
SKILLS = (
    make_skill("walk", (FIRST, "explored"), (SECOND,)),
    make_skill("eat", (SECOND,)),
    make_skill("idle"),
)
SCALARS = (
    "policy_loss",
    "value_loss",
    "entropy",
    "kl",
    "update_kl",
    "clipped",
    "minibatches",
    "gradient_norm",
    "learning_rate",
)
BY_SKILL = ("skill_steps", "skill_value_loss", "skill_entropy", "skill_kl")
OF_TARGETS = ("target_steps", "return_square", "error_square", "return_scale")


def figures_of(rng: np.random.Generator) -> dict[str, float | np.ndarray]:
    """Of an update in which `idle` did not act."""
    acted = np.array([1.0, 1.0, 0.0])
    scalars: dict[str, float | np.ndarray] = {name: float(rng.random()) for name in SCALARS}
    return scalars | {name: rng.random(3) * acted for name in (*BY_SKILL, *OF_TARGETS)}


def rollout(rng: np.random.Generator) -> Steps:
    events = np.zeros((N, T, len(EVENTS)), np.int16)
    events[..., :2] = rng.integers(0, 3, (N, T, 2))
    return Steps(
        skill=rng.integers(0, 2, (N, T), np.int32),
        reward=np.where(rng.random((N, T)) < 0.4, rng.random((N, T)) - 0.3, 0).astype(np.float32),
        ended=np.where(rng.random((N, T)) < 0.4, rng.integers(0, len(Ending), (N, T)), 0).astype(np.int8),
        events=events,
        changes=rng.integers(0, 3, (N, T, len(CHANGES)), np.int8),
        action=rng.integers(0, ACTIONS, (N, T), np.int32),
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
    curve = Curve(SKILLS, dict, ACTIONS)
    rollouts = [[rollout(rng), rollout(rng)] for _ in range(2)]
    ends = Episodes(
        counted=np.array([True, True, False, True]),  # the third one began in an arena
        end=np.array([End.DEATH, End.TRUNCATED, End.DEATH, End.DEATH], np.int8),
        state={
            "deepest": np.array([1, 2, 50, 6], np.int32),
            "step": np.array([10, 20, 999, 60], np.int32),
        },
        cause=np.array([b"killed by a fox", b"", b"killed by a fox", b"died of starvation"], "S128"),
    )
    figures = [figures_of(rng), figures_of(rng)]
    for said, actors in zip(figures, rollouts, strict=True):
        curve.add([counted(actors[0], ends), counted(actors[1])], said)
    row = curve.row(144)

    assert (row["env_step"], row["episodes"], row["deaths"]) == (144, 6, 4)
    of_episodes = {
        "depth/deepest_mean": 3,
        "depth/at_least_2": 2 / 3,
        "depth/at_least_5": 1 / 3,
        "depth/at_least_10": 0,
        "episode/length_mean": 30,
        "episode/death_share": 2 / 3,
        **{f"deaths/{cause}": 0 for cause in CAUSE_GROUPS},
        "deaths/monster": 1 / 3,
        "deaths/hunger": 1 / 3,
    }
    for name, value in of_episodes.items():
        assert row[name] == pytest.approx(value, abs=1e-6), name
    for name in SCALARS:
        assert row[f"loss/{name}"] == pytest.approx(np.mean([one[name] for one in figures]), abs=1e-6)
    for k, skill in enumerate(SKILLS):
        own = f"skill/{skill.name}"
        steps, paid, reward, lost = 0, 0, 0.0, 0.0
        actions, events = np.zeros(len(NAMES)), np.zeros(len(EVENTS))
        changes = dict.fromkeys(COUNTED_CHANGES, 0)
        ends_of_calls = dict.fromkeys(("achieved", "failed", "timed_out", "interrupted", "episode"), 0)
        for one in (one for actors in rollouts for one in actors):
            for n, t in np.ndindex(N, T):
                if one.skill[n, t] == k:
                    steps += 1
                    events = events + one.events[n, t]
                    reward += float(one.reward[n, t])
                    lost -= min(float(one.reward[n, t]), 0)
                    paid += int(one.reward[n, t] > 0)
                    for name in COUNTED_CHANGES:
                        changes[name] += int(one.changes[n, t, tuple(CHANGES).index(name)] > 0)
                    actions[one.action[n, t]] += 1
                    ending = Ending(int(one.ended[n, t]))
                    if ending is not Ending.NOT:
                        of_call = ending.name.lower()
                        ends_of_calls[of_call if of_call in ends_of_calls else "episode"] += 1
        calls = sum(ends_of_calls.values())
        assert row[f"{own}/calls"] == calls
        expected = {
            f"{own}/time_share": steps / (4 * N * T),
            f"{own}/mean_duration": steps / max(calls, 1),
            f"{own}/paid_share": paid / max(steps, 1),
            f"{own}/reward_per_call": reward / max(calls, 1),
            f"{own}/reward_per_1k_steps": 1000 * reward / max(steps, 1),
            f"{own}/lost_per_1k_steps": 1000 * lost / max(steps, 1),
        }
        expected |= {f"{own}/ended_{name}": count / max(calls, 1) for name, count in ends_of_calls.items()}
        for name, column in COLUMN.items():  # an event that did not happen has a rate of 0
            expected[f"events/{skill.name}/{name}_per_1k_steps"] = 1000 * events[column] / max(steps, 1)
        for name, count in changes.items():
            expected[f"changes/{skill.name}/{name}_per_1k_steps"] = 1000 * count / max(steps, 1)
        for name, times in zip(NAMES[:ACTIONS], actions, strict=False):
            expected[f"actions/{skill.name}/{name}"] = times / max(steps, 1)
        for side in ("wanted", "forbidden", "progress"):
            if names := getattr(skill, side):
                rates = [events[COLUMN[name]] if name in COLUMN else changes[name] for name in names]
                expected[f"{own}/{side}_per_1k_steps"] = 1000 * sum(rates) / steps
        np.testing.assert_array_equal(curve.totals["actions"][k], actions)
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-5), name
        assert f"actions/{skill.name}/{NAMES[ACTIONS]}" not in row  # not in this action set
        learned = {
            f"{own}/{name}" for name in ("value_loss", "entropy", "kl", "explained_variance", "advantage_std")
        }
        rest = (
            {name for name in row if name.startswith(own)}
            - expected.keys()
            - {f"{own}/calls", f"{own}/return_scale"}
        )
        assert rest == (set() if skill.name == "idle" else learned)


def test_the_learners_figures_by_skill_are_means_over_its_own_steps() -> None:
    """Against NumPy on values and returns of two updates; the returns of `eat` do not vary."""
    rng = np.random.default_rng(5)
    curve = Curve(SKILLS, dict, ACTIONS)
    errors, returns, losses = [], [], []
    for steps in (40, 10):
        aim = rng.normal(3, 2, steps)
        error = aim - (aim + rng.normal(0.5, 1, steps))
        said = figures_of(rng) | {
            "target_steps": np.array([steps, steps, 0]),
            "return_square": np.array([np.square(aim - aim.mean()).sum(), 0, 0]),
            "error_square": np.array([np.square(error - error.mean()).sum(), 9.0, 0]),
            "skill_steps": np.array([0.8, 0.2, 0]),
            "skill_value_loss": np.array([0.8 * np.square(error).mean(), 0.1, 0]),
        }
        curve.add([no_counts(3)], said)
        errors.append(error - error.mean())
        returns.append(aim - aim.mean())
        losses.append(np.square(error).mean())
    row = curve.row(50)
    expected = 1 - np.concatenate(errors).var() / np.concatenate(returns).var()
    assert 0.2 < expected < 0.95
    assert row["skill/walk/explained_variance"] == pytest.approx(expected, abs=1e-5)
    assert row["skill/walk/advantage_std"] == pytest.approx(np.concatenate(errors).std(), abs=1e-5)
    assert row["skill/walk/value_loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert row["skill/eat/value_loss"] == pytest.approx(0.5)
    assert "skill/eat/explained_variance" not in row  # its returns do not vary
    assert row["skill/walk/return_scale"] == pytest.approx(np.asarray(said["return_scale"])[0], abs=1e-6)


def test_every_reason_for_the_end_of_a_call_is_told() -> None:
    cases = [
        # reason, end of the episode, something wanted happened, something forbidden, the time is up
        (CallEnd.NOT, End.NOT, True, True, True, Ending.NOT),
        (CallEnd.SKILL, End.NOT, True, False, False, Ending.ACHIEVED),
        (CallEnd.SKILL, End.NOT, True, True, False, Ending.FAILED),
        (CallEnd.SKILL, End.NOT, False, False, False, Ending.FAILED),
        (CallEnd.SKILL, End.NOT, False, False, True, Ending.TIMED_OUT),
        (CallEnd.SKILL, End.NOT, True, False, True, Ending.TIMED_OUT),
        (CallEnd.SKILL, End.NOT, True, True, True, Ending.FAILED),
        (CallEnd.PROGRAM, End.NOT, True, True, True, Ending.INTERRUPTED),
        (CallEnd.EPISODE, End.DEATH, True, True, False, Ending.TERMINATED),
        (CallEnd.EPISODE, End.LEFT, False, False, False, Ending.TERMINATED),
        (CallEnd.EPISODE, End.TRUNCATED, False, False, True, Ending.TRUNCATED),
        (CallEnd.EPISODE, End.LOST, True, False, True, Ending.LOST),
    ]
    *columns, expected = (np.array(column) for column in zip(*cases, strict=True))
    assert endings(*columns).tolist() == expected.tolist()


def test_lists_name_events_and_changes_of_the_skill_that_acts() -> None:
    lists = Named.of([[FIRST, "explored"], []])
    events = np.zeros((1, 4, len(EVENTS)), np.int16)
    changes = np.zeros((1, 4, len(CHANGES)), np.int8)
    events[0, :, COLUMN[FIRST]] = 0, 2, 0, 2
    changes[0, :, tuple(CHANGES).index("explored")] = 0, 0, 1, 0
    skill = np.array([[0, 0, 0, 1]])
    assert lists.happened(skill, events, changes).tolist() == [[False, True, True, False]]


def test_a_row_closes_a_window_and_says_nothing_of_episodes_where_none_ended() -> None:
    rng = np.random.default_rng(1)
    curve = Curve(SKILLS, dict, ACTIONS)
    curve.add([counted(rollout(rng))], figures_of(rng))
    curve.row(36)
    curve.add([no_counts(len(SKILLS))], figures_of(rng))
    row = curve.row(72)
    assert row["skill/walk/time_share"] == row["skill/walk/reward_per_call"] == row["episodes"] == 0
    assert not [name for name in row if name.startswith(("depth/", "deaths/", "episode/"))]
    assert len(curve.rows) == 2


def test_rows_and_totals_survive_a_snapshot() -> None:
    rng = np.random.default_rng(3)
    none = Episodes(
        np.zeros(0, bool), np.zeros(0), {"step": np.zeros(0), "deepest": np.zeros(0)}, np.zeros(0, "S9")
    )
    ended = Episodes(
        np.ones(1, bool), np.array([3]), {"step": np.ones(1), "deepest": np.ones(1)}, np.zeros(1, "S9")
    )
    parts = [counted(rollout(rng), episodes) for episodes in (none, ended, none)]
    figures: list[Figures] = [figures_of(rng) for _ in parts]
    curve, other = Curve(SKILLS, dict, ACTIONS), Curve(SKILLS, dict, ACTIONS)
    other.restore(curve.snapshot())
    for place, (part, said) in enumerate(zip(parts, figures, strict=True)):
        curve.add([part], said)
        curve.row(36 * place)
        if place == 1:
            other.restore(curve.snapshot())
    other.add([parts[2]], figures[2])
    other.row(72)
    assert [json.dumps(row, sort_keys=True) for row in other.rows] == [
        json.dumps(row, sort_keys=True) for row in curve.rows
    ]
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


def test_training_tells_why_calls_ended_and_what_its_skills_learn(tmp_path: Path) -> None:
    """A real run of 8 updates: every row has the same figures where episodes ended, and shares sum to 1."""
    facts = train.run(config(tmp_path, "train.balance=1"), {}, Work(tmp_path / "work"))
    rows = [json.loads(line) for line in (tmp_path / "work/curve.jsonl").read_text().splitlines()]
    assert rows[-1] == facts["last"]
    for row in rows:
        assert row["loss/gradient_norm"] > 0
        for name in ("discoverer", "descender", "ascender"):
            shares = [
                row[f"skill/{name}/ended_{ending}"]
                for ending in ("achieved", "failed", "timed_out", "interrupted", "episode")
            ]
            assert sum(shares) == pytest.approx(min(row[f"skill/{name}/calls"], 1), abs=1e-5)
            actions = [share for key, share in row.items() if key.startswith(f"actions/{name}/")]
            assert sum(actions) == pytest.approx(float(row[f"skill/{name}/time_share"] > 0), abs=1e-4)
            if row[f"skill/{name}/time_share"]:
                parts = row[f"skill/{name}/value_loss"], row[f"skill/{name}/entropy"]
                assert all(np.isfinite(parts))
        shares_of_time = [row[f"skill/{name}/time_share"] for name in ("discoverer", "descender", "ascender")]
        losses = [row.get(f"skill/{name}/value_loss", 0) for name in ("discoverer", "descender", "ascender")]
        assert np.dot(shares_of_time, losses) == pytest.approx(row["loss/value_loss"], rel=1e-3, abs=1e-4)
