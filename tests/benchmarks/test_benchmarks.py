"""Every benchmark runs, as small as it goes, and ends with one line of JSON."""

import json
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import tiny
from dice_player import STEPS, DicePlayer
from packaging.requirements import Requirement

from maestromotif import skill
from maestromotif.agent.policy import POLICY
from maestromotif.compose.budget import Budget
from maestromotif.compose.operators import Edits
from maestromotif.compose.search import Rules
from maestromotif.nethack.actions import ACTIONS

FOLDER = tiny.ROOT / "benchmarks"
PEERS = FOLDER / "peers"


def run(script: str, *arguments: str) -> dict[str, Any]:
    """What is in the last line that a benchmark prints."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *arguments],
        cwd=tiny.ROOT,
        env=tiny.environment(PYTHONPATH=str(tiny.ROOT)),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def untaught(folder: Path, **how: Any) -> Path:
    """The tiny config without a teacher: a benchmark trains by itself, without the stages before."""
    path = tiny.write_config(folder, **how)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "teacher:" not in line))
    return path


def test_evaluating() -> None:
    figures = run("evaluating.py", "--games", "4", "--steps", "10", "--rounds", "1")
    assert 0 < figures["bare_ms"] < 10 * figures["evaluated_ms"]


def test_the_engine() -> None:
    found = run("engine.py", "--games", "4", "--workers", "2", "--rounds", "1", "--seconds", "0.3")
    assert found["steps_per_second"] > 0
    assert found["vs_async_vector_env"] > 0
    assert sum(found["worker_time"].values()) == pytest.approx(1, abs=0.01)
    assert found["worker_time"]["NetHack"] > 0


def test_the_pool_in_the_long_run() -> None:
    found = run("soak.py", "--steps", "2000", "--games", "4", "--minutes", "0")["pool"]
    assert found["steps"] == 2_000
    assert all(len(found[name]) == 10 for name in ("megabytes", "files", "processes", "descriptors"))
    assert found["growth"]["files"] == found["growth"]["processes"] == found["growth"]["descriptors"] == 0


def test_solvable_tasks() -> None:
    found = run("solvable.py", "--tasks", "12", "--episodes", "2", "--steps", "40", "--games", "2")
    assert found["all"]["tasks"] == 12
    assert found["all"]["solved"] >= max(found["all"]["by_agent"].values())


def test_the_training_program() -> None:
    found = run("sandbox.py", "4", "20")
    assert found["calls"] == 20
    assert 0 < found["us_best"] <= found["us_median"] <= found["us_p99"]


def test_a_policy_of_a_checkpoint(tmp_path: Path) -> None:
    shipped = tiny.ROOT / "policies" / "trained" / "six_skills"
    assert run("newest_policy.py", str(shipped), "--to", str(tmp_path / "made"))["steps"] > 0
    made, given = (folder / POLICY for folder in (tmp_path / "made", shipped))
    assert made.stat().st_size == given.stat().st_size
    with pytest.raises(AssertionError, match="nowhere: does not exist; name a run's folder"):
        run("newest_policy.py", str(tmp_path / "nowhere"), "--to", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_evaluation_during_training(tmp_path: Path) -> None:
    sizes = ("--minutes", "0.1", "--turn", "2", "--warm-up", "2")
    config = ("--config", str(untaught(tmp_path)))
    found = run("watching.py", *config, *sizes, "tracking.evaluate_share=1", "tracking.evaluate_steps=128")
    assert found["turns"] >= 2
    assert found["share_spent"] > 0
    assert found["evaluations"] == len(found["seconds_each"])


@pytest.mark.slow
def test_learning_and_a_peer(tmp_path: Path) -> None:
    sizes = ("--rounds", "1", "--turns", "1", "--seconds", "1", "--warm-up", "3", "--peer-warm-up", "0")
    against = ("--against", "train.epochs=2")
    found = run("learner.py", "--config", str(untaught(tmp_path)), *sizes, *against)
    assert found["steps_per_second"] > 0
    assert found["vs_sync_ppo"] > 0
    assert found["vs_against"] > 0
    assert found["actions"] == "published"  # as the peers
    assert found["vs_sample_factory"] is None
    assert found["games"] == 8


@pytest.mark.slow
def test_the_cost_of_logging(tmp_path: Path) -> None:
    sizes = (
        "--config",
        str(untaught(tmp_path)),
        "--minutes",
        "0.05",
        "--turn",
        "1",
        "--warm-up",
        "0",
    )
    found = run("tracking.py", *sizes, "train.curve_steps=128")
    assert found["turns"] >= 2
    assert found["rows"] > 0
    assert found["us_per_row"] > 0


@pytest.mark.slow
def test_distillation_without_pytorch() -> None:
    sizes = ("--rounds", "1", "--batches", "1", "--batch", "20", "--epochs", "1", "--scale", "0.003")
    found = run("distil.py", *sizes)
    assert found["default_seconds"] > 0
    assert found["timed_batches"] == 2
    assert found["distil_speedup"] is None


@pytest.mark.slow
def test_labels_of_a_language_model(tmp_path: Path) -> None:
    """A model of 135 million parameters seldom says Yes or No; here every answer is taken."""
    skills = shutil.copytree(tiny.ROOT / "skills", tmp_path / "skills")
    gold = skills / "gold" / "descender.jsonl"
    gold.write_text("".join(gold.read_text().splitlines(keepends=True)[::6]))
    config = untaught(tmp_path, skills="descender", skills_folder=skills)
    sizes = ("annotate.answer_mass=1.0e-9", "language.threads=1", "distil.epochs=1", "--pairs", "20")
    found = run("preferences.py", str(config), *sizes)
    assert found["calls_per_label_gain"] > 0
    assert 0 <= found["gold_agreement"]["descender"] <= 1


@pytest.mark.slow
def test_skills_once_they_are_learned(tmp_path: Path) -> None:
    config = untaught(tmp_path)
    found = run("skills.py", str(config), "reward.path=rewards", "train.steps=1280", "--seeds", "0")
    assert set(found) == {"trained, seed 0", "untrained, seed 0"}
    assert all(rate >= 0 for rates in found.values() for rate in rates.values())


@pytest.mark.slow
def test_events_of_a_shipped_policy_and_ten_minutes_in_seconds(tmp_path: Path) -> None:
    small = ("nethack.games=8", "train.minibatches=2", "train.network.hidden=16", "evaluate.episodes=8")
    steps = ("--steps", "1024", "--minutes", "0.01", "evaluate.max_steps=40", "tracking.evaluate_steps=null")
    found = run("ten_minutes.py", "--root", str(tmp_path), *steps, *small)
    assert 1 <= found["mean_deepest_new_low"] <= found["mean_deepest_new"] <= found["mean_deepest_new_high"]
    assert {"explorer", "random_walk", "success_quickstart"} <= set(found)
    assert found["steps"] == 1024
    trained = tmp_path / "seed0" / "quickstart"
    arenas = ("--arenas", "stairs", "--episodes", "4", "--steps", "40")
    reached = run("skill_events.py", str(trained), *arenas)
    assert set(reached) == {"new dungeons", "stairs"}
    assert set(reached["stairs"]) == {"discoverer", "descender", "ascender"}
    text = (trained / "skill_events.md").read_text()
    assert "| stairs | descender | descended |" in text


@pytest.mark.slow  # five trainings
def test_ablations_with_a_policy_for_each_skill(tmp_path: Path) -> None:
    sizes = ("--steps", "2560", "--seeds", "0", "--episodes", "4", "--max-steps", "30", "--only", "isolated")
    small = (
        "nethack.games=8",
        "train.minibatches=2",
        "train.network.hidden=16",
        "tracking.evaluate_steps=null",
    )
    words = (*sizes, "--root", str(tmp_path), *small)
    found = run("ablations.py", *words)
    assert set(found) == {"isolated"}
    assert "new dungeons: discoverer explored" in found["isolated"]
    trained = [path.parent.name for path in tmp_path.glob("*/train")]
    assert sorted(trained) == sorted(
        f"isolated-0-{skill}" for skill in ("discoverer", "descender", "ascender", "merchant", "worshipper")
    )
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/train/*")}
    assert run("ablations.py", *words) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/train/*")} == before


def test_peers_play_the_published_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PEERS)
    monkeypatch.setattr("tempfile.tempdir", None)
    import game

    game.prepare(tmp_path)
    peer = game.PeerGame(tmp_path, 100)
    assert peer._env.actions == tuple(ACTIONS.values())
    assert peer.action_space == gymnasium.spaces.Discrete(28)
    first, _ = peer.reset()
    assert peer.observation_space.contains(first)
    for action in range(28):
        seen, _, over, truncated, _ = peer.step(action)
        assert peer.observation_space.contains(seen)
        if over or truncated:
            peer.reset()
    peer.close()


def test_peers_need_few_packages() -> None:
    """Those that `sample_factory_nethack.py` tells the user to install in its environment."""
    ours = {Requirement(text).name.lower().replace("-", "_") for text in requires("maestromotif") or []}
    blocked = sorted(ours - {"nle", "numpy", "gymnasium", "pydantic", "pyyaml", "maestromotif"})
    assert "jax" in blocked
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import game"
    done = subprocess.run([sys.executable, "-c", code], cwd=PEERS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_searches_at_equal_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On simulated games; `python benchmarks/searches.py` plays the real one."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import searches

    skills = skill.load_all(tiny.ROOT / "skills", ["discoverer", "descender", "ascender"])
    player, hidden = DicePlayer(skills), DicePlayer(skills, first=1_000)
    contestants = [
        searches.Contestant(name, "edits", lambda seed: Edits(skills, "Be right."), Budget(candidates=3))
        for name in ("best_of", "refine")
    ]
    rows = searches.compare(contestants, player, hidden, Rules(rungs=(2,)), [0, 1], 3, tmp_path)
    assert [(row.search, row.searches, row.candidates, row.score[1], row.hidden[1]) for row in rows] == [
        ("random skills", 0, 0, 0, 3),
        ("best_of", 2, 6, 4, 6),
        ("refine", 2, 6, 4, 6),
    ]
    assert all(row.steps == (6 - row.refused) * 2 * STEPS for row in rows[1:])
    played = len(player.played)
    assert searches.compare(contestants, player, hidden, Rules(rungs=(2,)), [0, 1], 3, tmp_path) == rows
    assert len(player.played) == played  # the journals had it all
    table = searches.markdown(rows)
    assert "| best_of | edits | 2 | 6 (" in table
    assert "| random skills | – | – | 0 (0) |" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


@pytest.mark.slow
def test_composing() -> None:
    sizes = shlex.split("--games 8 --calls 10 --drafts 1 --tasks 1 --episodes 2 --steps 20")
    search = ["--by", "edits", "--candidates", "1", "--final", "8"]
    found = run("composing.py", *sizes, *search, "language.model=smollm2-135m-instruct", "nethack.workers=1")
    assert found["decision_8_ms"] > 0
    assert 0 < found["share_of_actor"] < 1
    assert 0 < found["share_without_network"] < 1
    assert found["valid_program_rate"] == 1
    assert found["conditions"]["nine"]["tasks"] == 6
    assert 0 <= found["conditions"]["generated"]["verdicts"] <= 1
    assert len(found["tasks"]) == 1
