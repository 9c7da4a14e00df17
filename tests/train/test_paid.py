"""What training paid for: sums by event and caption, and warnings where the reward misses the text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import serialization
from small_learning import config

from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline.store import Work
from maestromotif.skill import Skill, skills_of
from maestromotif.train import train
from maestromotif.train.account import PAID, Reader, account, names_of, told
from maestromotif.train.counts import Counts, no_counts
from maestromotif.train.forgotten import Forgotten
from maestromotif.train.paid import Ends, Paid, no_others, together
from maestromotif.train.pay_warnings import warnings

NONE = (0,) * len(CHANGES)
DEEPER = (1, *NONE[1:])
NEW = (0, 1, *NONE[2:])
CLOSER = (0, 0, 2, *NONE[3:])
SPOKEN = ("depth", "explored", "downstairs", "upstairs")
# Message, changes, gained, lost, steps of one skill.
Entry = tuple[bytes, tuple[int, ...], float, float, int]


def skills(folder: Path) -> list[Skill]:
    """The project's own: discoverer, descender, ascender."""
    return skills_of(config(folder))


def paid(*entries: Entry, skill: int = 0) -> Paid:
    def by_skill(column: int, kind: Any) -> np.ndarray:
        sums = np.zeros((len(entries), 3), kind)
        sums[:, skill] = [entry[column] for entry in entries]
        return sums

    return Paid(
        [entry[0] for entry in entries],
        np.array([entry[1] for entry in entries], np.int8).reshape(-1, len(CHANGES)),
        by_skill(2, np.float64),
        by_skill(3, np.float64),
        by_skill(4, np.int64),
        Ends().snapshot(),
        no_others(3),
    )


def counts(of: Paid, **actions: int) -> Counts:
    """All three skills chose the same actions."""
    whole = no_counts(3)
    whole["steps"] = of.steps.sum(0).astype(float)
    for name, times in actions.items():
        whole["actions"][:, INDEX[name]] = times
    return whole


def test_events_are_told_by_message_and_changes() -> None:
    assert told(b"", NONE) == ("nothing",)
    assert told(b"", DEEPER) == ("descended",)
    assert told(b"You kill the newt!", CLOSER) == ("downstairs: closer", "killed")
    assert names_of("downstairs: closer") == {"downstairs"}
    assert names_of("health: lost") == {"health", "hurt"}


def test_shares_are_what_a_loop_sums(tmp_path: Path) -> None:
    of = paid(
        (b"You kill the newt!", NEW, 6.0, 0.0, 10),  # killed and explored: half each
        (b"", NEW, 2.0, 0.0, 20),
        (b"", NONE, 0.0, 1.5, 60),
        (b"", DEEPER, 0.0, 0.5, 10),
    )
    own = account(of, counts(of, pray=60, north=40), 100, skills(tmp_path), Reader(SPOKEN))["skills"][
        "discoverer"
    ]
    events = {row["event"]: row for row in own["events"]}
    assert events.keys() == {"killed", "explored: new", "nothing", "descended"}
    assert (events["killed"]["gained"], events["explored: new"]["gained"]) == (3, 5)
    assert (events["killed"]["steps"], events["explored: new"]["steps"]) == (10, 30)
    assert events["nothing"] == {
        "event": "nothing", "side": "", "steps": 60, "gained": 0, "lost": 1.5, "share": 0.15, "mean": -0.025,
    }  # fmt: skip
    assert events["descended"]["side"] == "forbidden"
    assert (own["reward"], own["gained"], own["lost"]) == (6, 8, 2)
    assert own["unwanted_share"] == 0.15  # the loss for descending is what the text asks for
    assert sum(row["share"] for row in own["captions"]) == pytest.approx(1)
    assert own["captions"][0]["caption"].startswith("The agent killed the newt. New parts")
    assert own["actions"][:2] == [
        {"action": "pray", "steps": 60, "share": 0.6},
        {"action": "north", "steps": 40, "share": 0.4},
    ]


def test_captions_beyond_the_listed_ones_are_summed(tmp_path: Path) -> None:
    of = paid(*[(b"message %d" % n, NONE, float(n), 0.0, 1) for n in range(30)])
    own = account(of, counts(of), 30, skills(tmp_path), Reader(SPOKEN))["skills"]["discoverer"]
    assert len(own["captions"]) == 20
    assert own["other_captions"]["captions"] == 10
    shares = [row["share"] for row in (*own["captions"], own["other_captions"])]
    assert sum(shares) == pytest.approx(1, abs=1e-4)


def test_environments_add_up() -> None:
    ends, others = Ends(), Ends()
    ends.add(np.array([5, 9]), np.array([1, 3]), np.array([b"killed by a newt", b""]))
    others.add(np.array([5]), np.array([1]), np.array([b"killed by a newt"]))
    one = paid((b"a", NONE, 1.0, 0.0, 2), (b"b", NEW, 0.0, 3.0, 4))._replace(ends=ends.snapshot())
    other = paid((b"b", NEW, 1.0, 0.0, 1), (b"b", NONE, 2.0, 0.0, 1))._replace(ends=others.snapshot())
    both = together([one, other])
    assert both.messages == [b"a", b"b", b"b"]
    assert both.gained[:, 0].tolist() == [1, 1, 2]
    assert both.lost[:, 0].tolist() == [0, 3, 0]
    assert both.steps[:, 0].tolist() == [2, 5, 1]
    assert both.ends == {"causes": {"killed by a newt": 2}, "lengths": [[5, 2], [9, 1]]}


def test_what_was_forgotten_still_counts(tmp_path: Path) -> None:
    """By event as if nothing had been; the captions of the largest rewards stay, also over a checkpoint."""
    rng = np.random.default_rng(0)
    all_parts, own = [], Forgotten(3, most=25)
    for _ in range(6):
        told = rng.permutation(60)[:40].tolist()
        part = paid(
            *[(b"You kill the newt!" * (n % 2) + b"%d" % n, NEW, 2.0 ** (n // 10), 0.5, 1) for n in told]
        )
        all_parts.append(part)
        if len(all_parts) < 6:
            own.add(part)
            saved = serialization.msgpack_serialize(own.snapshot())
            own = Forgotten(3, most=25)
            own.restore(serialization.msgpack_restore(saved))
    now = own.and_now(all_parts[-1])
    assert len(now.messages) < 60
    assert now.steps.sum() < together(all_parts).steps.sum()
    whole, bounded = (
        account(one, counts(together(all_parts)), 240, skills(tmp_path), Reader(SPOKEN))["skills"][
            "discoverer"
        ]
        for one in (together(all_parts), now)
    )
    assert {**bounded, "captions": 0, "other_captions": 0} == {**whole, "captions": 0, "other_captions": 0}
    assert bounded["captions"] == whole["captions"]
    for row in (whole["other_captions"], bounded["other_captions"]):
        row.pop("captions")  # one that was forgotten twice counts twice
    assert bounded["other_captions"] == whole["other_captions"]


def curve(rows: int = 16, **figures: tuple[float, float]) -> list[dict[str, float]]:
    """Rows whose figures go from the first to the second number; __ stands for a slash."""
    return [
        {
            name.replace("__", "/"): first + (last - first) * row / (rows - 1)
            for name, (first, last) in figures.items()
        }
        for row in range(rows)
    ]


def test_the_discoverer_that_is_charged_for_idle_steps_and_prays(tmp_path: Path) -> None:
    """θ below the reward of "nothing changed": each such step is paid -0.35, and death ends the costs."""
    own = skills(tmp_path)
    of = paid((b"", NONE, 0.0, 0.35 * 900, 900), (b"", NEW, 40.0, 0.0, 100))
    ends = Ends()
    ends.add(
        np.array([50] * 9 + [600]),
        np.array([1] * 9 + [3]),
        np.array([b"killed by a minotaur, while praying"] * 9 + [b""]),
    )
    whole = counts(of, pray=90, north=910)
    whole["episodes"], whole["deaths"] = np.array(10.0), np.array(9.0)
    found = account(of._replace(ends=ends.snapshot()), whole, 1000, own, Reader(SPOKEN))
    assert found["episodes"]["median_steps"] == 50
    assert found["episodes"]["causes"] == [{"cause": "killed by a minotaur, while praying", "count": 9}]
    # The reward rises, because episodes become short; it explores less.
    rows = curve(
        skill__discoverer__reward_per_1k_steps=(-350, -250),
        skill__discoverer__wanted_per_1k_steps=(100, 60),
        episodes=(5, 50),
        deaths=(4, 48),
    )
    told = {one["about"]: one["text"] for one in warnings(found, rows, own)}
    assert told.keys() == {"unwanted/discoverer", "charged/discoverer", "rise/discoverer", "deaths"}
    assert "discoverer: 89% of its reward comes from" in told["unwanted/discoverer"]
    assert "'nothing': gains of 0 and losses of 315 in 900 steps, -0.35 a step" in told["unwanted/discoverer"]
    assert "north 91%, pray 9%" in told["unwanted/discoverer"]
    assert (
        "charged for steps that its text does not forbid, most for 'nothing': 315 in"
        in (told["charged/discoverer"])
    )
    assert "explored, killed, picked_up) did not" in told["rise/discoverer"]
    assert "killed by a minotaur, while praying" in told["deaths"]


def test_a_reward_that_pays_for_what_is_asked_gives_no_warning(tmp_path: Path) -> None:
    own = skills(tmp_path)
    of = paid(
        (b"", DEEPER, 50.0, 0.0, 20), (b"", CLOSER, 30.0, 0.0, 100), (b"", NEW, 20.0, 0.0, 880), skill=1
    )
    rows = curve(
        skill__descender__reward_per_1k_steps=(1, 20),
        skill__descender__wanted_per_1k_steps=(0.1, 3),
        episodes=(5, 5),
        deaths=(5, 1),
    )
    found = account(of, counts(of), 1000, own, Reader(SPOKEN))
    assert found["skills"]["descender"]["unwanted_share"] == 0.2
    assert warnings(found, rows, own) == []
    # A few steps are no ground for a warning.
    few = account(paid((b"", NONE, 1.0, 0.0, 3)), counts(of), 1000, own, Reader(SPOKEN))
    assert few["skills"]["discoverer"]["unwanted_share"] == 1
    assert warnings(few, rows, own) == []
    # Without `progress`, coming closer to the stairs would be unwanted.
    names = [one for one in own if one.name != "descender"]
    text = (own[1].path.read_text()).replace("progress: [downstairs]\n", "")
    (tmp_path / "descender.md").write_text(text)
    bare = skills_of(
        config(tmp_path, f"skills_folder={tmp_path}", "skills=[descender]", f"reward.path={tmp_path}")
    )
    other = account(of, counts(of), 1000, [names[0], bare[0], names[1]], Reader(SPOKEN))
    assert other["skills"]["descender"]["unwanted_share"] == 0.5


def test_training_writes_what_it_paid_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its sums are those of the curve, over all actors."""
    facts = train.run(config(tmp_path, "train.actors=2"), {}, Work(tmp_path / "work"))
    found = json.loads((tmp_path / "work" / PAID).read_text())
    rows = [json.loads(line) for line in (tmp_path / "work/curve.jsonl").read_text().splitlines()]
    assert found["env_step"] == facts["steps"] == 1024
    assert sum(own["steps"] for own in found["skills"].values()) == 1024
    for name, own in found["skills"].items():
        windows = [256 * row[f"skill/{name}/time_share"] for row in rows]
        rewards = [row[f"skill/{name}/reward_per_1k_steps"] / 1000 for row in rows]
        assert own["reward"] == pytest.approx(np.dot(windows, rewards), abs=1e-3)
        assert sum(row["steps"] for row in (*own["captions"], own["other_captions"])) == own["steps"]
        if own["gained"] + own["lost"]:
            assert sum(row["share"] for row in own["events"]) == pytest.approx(1, abs=1e-4)
    assert found["episodes"]["episodes"] == sum(row["episodes"] for row in rows)
    assert found["episodes"]["median_steps"] == 40  # max_steps
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for one in found["warnings"]:
        assert f"train: {one['text']}" in said
