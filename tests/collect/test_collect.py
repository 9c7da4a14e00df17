"""The collection of observations: real games, arenas and recordings, resumed, replayed and counted."""

import json
import logging
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import nle
import numpy as np
import pytest

from maestromotif.collect import collect
from maestromotif.collect.observations import RECORDINGS, distinct, load
from maestromotif.collect.statistics import NUMBERS
from maestromotif.config.labels import CollectSettings
from maestromotif.config.schema import Config, NethackSettings, RunSettings
from maestromotif.errors import UserError
from maestromotif.nethack.actions import INDEX, NUM_ACTIONS
from maestromotif.nethack.events import COLUMN, EVENTS
from maestromotif.nethack.pool.pool import GamePool
from maestromotif.pipeline import keys
from maestromotif.pipeline.stages import STAGES
from maestromotif.pipeline.store import Work

SHIPPED = Path(nle.__file__).parent / "tests"  # recordings that come with the nle wheel
OUTPUTS = {"observations.npz", "episodes.json", "card.md"}


def config(workers: int = 2, **settings: Any) -> Config:
    asked: dict[str, Any] = {"explorer_steps": 150, "random_steps": 90, "arena_steps": 0, "max_steps": 30}
    return Config(
        run=RunSettings(name="test", seed=4),
        skills=("descender",),
        nethack=NethackSettings(games=4, workers=workers),
        collect=CollectSettings(**asked | settings),
        tasks=("down_and_back",),
    )


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A directory with two recordings that can be read and one that cannot."""
    folder = tmp_path / "recorded" / "one"
    folder.mkdir(parents=True)
    for name in ("nle.2734875.0.ttyrec2.bz2", "nle.2783801.0.ttyrec3.bz2"):
        shutil.copy(SHIPPED / name, folder)
    (folder / "nle.7.0.ttyrec3.bz2").write_bytes(b"no recording at all")
    (folder / "nle.7.xlogfile").write_text(
        "version=3.6.7\tdeath=killed by a newt\twhile=praying\tttyrecname=nle.2783801.0.ttyrec3.bz2\n"
    )
    return folder.parent


def test_the_collection_holds_what_was_asked_for(tmp_path: Path) -> None:
    work = Work(tmp_path / "work")
    facts = collect.run(config(), {}, work)
    observations = load(work.path)
    assert np.bincount(observations.source).tolist() == [150, 90]
    assert (np.diff(observations.source) >= 0).all()
    assert observations.changes.dtype == np.int8
    with np.load(work.path / "observations.npz") as file:
        assert file["events"].shape == (240, len(EVENTS))
        assert file["event_names"].astype(str).tolist() == list(EVENTS)
        assert set(file["depth"].tolist()) <= {1, 2, 3}
        counts = file["events"].sum(0)
    assert {name: counts[column] for name, column in COLUMN.items()} == {
        name: sum(facts["events"][source][name] for source in ("explorer", "random")) for name in EVENTS
    }
    assert len(set(observations.messages.tolist())) == len(observations.messages) == facts["messages"]
    # Numbers in the order of first appearance, none of them unused.
    _, first = np.unique(observations.message_id, return_index=True)
    assert (np.diff(first) > 0).all()
    assert len(first) == len(observations.messages)
    episodes = json.loads((work.path / "episodes.json").read_text())
    assert {episode["source"] for episode in episodes} == {"explorer", "random"}
    assert max(episode["steps"] for episode in episodes) == 30
    # Every episode's statistics: as many as it has steps, and monks begin without gold or experience.
    assert observations.status is not None
    assert observations.episode is not None
    assert np.bincount(observations.episode).max() == 30
    assert len(np.unique(observations.episode)) >= 240 / 30
    status = dict(zip(NUMBERS, observations.status.T, strict=True))
    assert (status["hp"].max(), status["xp_level"].min(), status["hunger"].max()) >= (10, 1, 1)
    named = distinct(observations, ("depth",), ("gold", "hp", "experience", "hunger"), 10)
    assert len(named) > len(distinct(observations, ("depth",)))
    # 150 steps of 4 games are 38 each: a segment of 30 and one of 8.
    assert sum(e["steps"] for e in episodes if e["source"] == "explorer") == 38 * 4
    json.dumps(facts)


def test_the_collection_does_not_depend_on_workers_or_kills(tmp_path: Path, recorded: Path) -> None:
    asked: dict[str, Any] = {"arena_steps": 70, "arenas": ("altar", "stairs"), "recordings": str(recorded)}
    whole, resumed = Work(tmp_path / "whole"), Work(tmp_path / "resumed")
    facts = collect.run(config(**asked), {}, whole)
    # What a killed stage leaves behind: some of its segments.
    for name in ("segment-00001.npz", "segment-00002.npz", "segment-00005.npz"):
        (resumed.scratch / name).write_bytes((whole.scratch / name).read_bytes())
    assert collect.run(config(workers=1, **asked), {}, resumed) == facts
    assert resumed.outputs() == whole.outputs()
    assert set(whole.outputs()) == OUTPUTS


def test_a_segment_whose_worker_died_is_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, hurt = Work(tmp_path / "whole"), Work(tmp_path / "hurt")
    facts = collect.run(config(), {}, whole)
    step, steps = GamePool.step, []

    def step_and_kill(pool: GamePool, actions: np.ndarray) -> None:
        steps.append(1)
        if len(steps) == 20:
            victim = pool._processes[1]
            os.kill(victim.pid or 0, signal.SIGKILL)
            victim.join()
        step(pool, actions)

    monkeypatch.setattr(GamePool, "step", step_and_kill)
    with caplog.at_level(logging.WARNING):
        assert collect.run(config(), {}, hurt) == facts
    assert hurt.outputs() == whole.outputs()
    assert "of its 2 games are lost" in caplog.text


def test_nothing_to_collect_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="explorer_steps and random_steps are both 0"):
        collect.run(config(explorer_steps=0, random_steps=0), {}, Work(tmp_path / "work"))


def test_random_play_walks_and_rarely_prays() -> None:
    drawn_actions = collect.random_actions(2_000, 10, np.random.default_rng(0))
    shares = np.bincount(drawn_actions.reshape(-1), minlength=NUM_ACTIONS) / drawn_actions.size
    assert shares[INDEX["north"] : INDEX["northwest"] + 1].sum() > 0.5
    assert shares[INDEX["pray"]] < 0.001
    assert (np.delete(shares, INDEX["pray"]) > 0).all()


def test_arenas_give_what_is_rare_elsewhere(tmp_path: Path) -> None:
    work = Work(tmp_path / "work")
    asked = config(explorer_steps=8, random_steps=0, arena_steps=401, arenas=("shop", "altar"), max_steps=60)
    facts = collect.run(asked, {}, work)
    assert facts["steps"] == {"explorer": 8, "arena": 401}
    found = facts["events"]["arena"]
    for name in ("sold", "price_offered", "price_identified", "altar_blessed", "altar_cursed"):
        assert found[name] >= 4, name
    assert found["altar_uncursed"] >= 4
    assert sum(facts["events"]["explorer"].values()) < 10
    episodes = json.loads((work.path / "episodes.json").read_text())
    assert {episode.get("arena") for episode in episodes} == {None, "shop", "altar"}
    card = (work.path / "card.md").read_text()
    assert f"| altar_cursed | 0 | {found['altar_cursed']} |" in card
    assert "NetHack General Public License" in card


def test_recordings_are_a_source(tmp_path: Path, recorded: Path, caplog: pytest.LogCaptureFixture) -> None:
    work = Work(tmp_path / "work")
    asked = config(explorer_steps=8, random_steps=0, recordings=str(recorded), recording_steps=150)
    with caplog.at_level(logging.WARNING):
        facts = collect.run(asked, {}, work)
    assert facts["steps"] == {"explorer": 8, "recordings": 150}
    observations = load(work.path)
    assert np.bincount(observations.source, minlength=4).tolist() == [8, 0, 0, 150]
    assert not observations.changes[observations.source == RECORDINGS, 1:].any()
    # Whether the one that cannot be read was come to depends on the order.
    assert facts["recordings"]["found"] == 3
    assert facts["recordings"]["broken"] == caplog.text.count("left out: it cannot be read")
    assert (
        sum(e["source"] == "recordings" for e in json.loads((work.path / "episodes.json").read_text())) == 2
    )
    assert "What recordings lack" in (work.path / "card.md").read_text()

    short = config(explorer_steps=0, random_steps=0, recordings=str(recorded), recording_steps=100_000)
    facts = collect.run(short, {}, Work(tmp_path / "short"))
    assert facts["recordings"] == {"read": 2, "broken": 1, "found": 3}
    assert 150 < facts["steps"]["recordings"] < 1_000
    assert facts["episodes"]["recordings"]["died_of"] == {"killed by a newt, while praying": 1}


def test_recordings_none_of_which_can_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "nle.1.0.ttyrec3.bz2").write_bytes(b"no recording at all")
    asked = config(explorer_steps=0, random_steps=0, recordings=str(tmp_path))
    with pytest.raises(UserError, match="none of its 1 recordings can be read"):
        collect.run(asked, {}, Work(tmp_path / "work"))


def test_what_does_not_exist_is_said_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no arena 'shopp'; did you mean 'shop'"):
        collect.run(config(arena_steps=4, arenas=("shopp",)), {}, Work(tmp_path / "work"))
    with pytest.raises(UserError, match=r"does not exist; collect\.recordings must name"):
        collect.run(config(recordings=str(tmp_path / "nowhere")), {}, Work(tmp_path / "work"))
    assert not list((tmp_path / "work").rglob("*.npz"))


def test_other_recordings_are_another_collection(recorded: Path) -> None:
    """The key of the stage depends on what is in the folder, not on where it lies."""
    (stage,) = (stage for stage in STAGES if stage.name == "collect")

    def key(folder: Path) -> str:
        of = config(recordings=str(folder))
        return keys.key_of(keys.identity(of, stage, {}, collect.reads(of), {}))

    moved = recorded.parent / "moved"
    shutil.copytree(recorded, moved)
    assert key(moved) == key(recorded)
    next(moved.rglob("*.ttyrec2.bz2")).unlink()
    assert key(moved) != key(recorded)
