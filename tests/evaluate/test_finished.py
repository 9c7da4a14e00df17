"""A trained policy in place of training: shipped with its card, evaluated and watched at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small_learning
import tiny

from maestromotif.agent.network import ActorCritic, build
from maestromotif.agent.policy import POLICY
from maestromotif.agent.saved_policy import policy_file, policy_files
from maestromotif.config.load import load
from maestromotif.errors import UserError
from maestromotif.evaluate.run_folder import RunFolder

COMMAND = "maestromotif run small.yaml"


def command(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tiny.ROOT,
        env=tiny.environment(PYTHONPATH=str(tiny.ROOT)),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a policy that the benchmark shipped, of a run of eight updates."""
    folder = tmp_path_factory.mktemp("ship")
    config = folder / "small.yaml"
    config.write_text(small_learning.CONFIG)
    sizes = (f"run.root={folder}", "run.name=small", "evaluate.episodes=8", "evaluate.max_steps=40")
    command(
        "-m", "maestromotif", "run", str(config), *sizes, "tracking.evaluate_steps=null", "--until=evaluate"
    )
    shutil.copytree(tiny.ROOT / "rewards", folder / "rewards")
    target, rewards = folder / "trained" / "three", str(folder / "rewards")
    told = command(
        "benchmarks/ship_policy.py", str(folder / "small"), COMMAND, "--to", str(target), "--rewards", rewards
    )
    assert json.loads(told.splitlines()[-1])["policy"] == str(target)
    return target


def test_the_card_tells_how_it_was_made_and_what_it_reached(shipped: Path) -> None:
    text = (shipped / "README.md").read_text()
    results = json.loads((shipped.parents[1] / "small" / "evaluate" / "results.json").read_text())
    trained = results["rows"][0]
    assert f"| command | `{COMMAND}` |" in text
    assert f"{trained['deepest_mean']:.2f} [{trained['deepest_low']:.2f}" in text
    assert "| environment steps | 1,024 |" in text
    assert "to step 1,024" in text
    assert (shipped / POLICY).read_bytes() == (shipped.parents[1] / "small" / "train" / POLICY).read_bytes()


def test_it_is_evaluated_without_training_beside_another_training(shipped: Path) -> None:
    root = shipped.parents[1] / "again"
    two = f"evaluate.trainings=[{shipped}]"  # the same one, so only the luck of episodes could differ
    told = command("-m", "maestromotif", "evaluate", str(shipped), f"run.root={root}", "tasks=[deep]", two)
    run = root / "shipped_three"
    assert told.splitlines()[-1] == str(run / "report" / "report.html")
    assert "| agent | dungeons | mean deepest level |" in told
    assert (run / "evaluate" / "deep" / "replays").is_dir()
    assert not (run / "train").exists()
    episodes = [json.loads(line) for line in (run / "evaluate" / "episodes.jsonl").read_text().splitlines()]
    before = shipped.parents[1] / "small" / "evaluate" / "episodes.jsonl"
    same = [json.loads(line) for line in before.read_text().splitlines()]
    trained, other = ([one for one in episodes if one["agent"] == name] for name in ("trained", "training_2"))
    assert [one | {"agent": ""} for one in trained] == [one | {"agent": ""} for one in other]
    first = [one["seeds"] for one in same if one["agent"] == "trained"]
    assert [one["seeds"] for one in trained] == first
    spread = json.loads((run / "evaluate" / "results.json").read_text())["trainings"][0]
    assert set(spread["means"]) == {"trained", "training_2"}
    assert spread["deviation"] == 0
    assert "Over 2 trainings, the mean of the deepest level is" in told
    assert RunFolder(run).newest(_network(run)).path == shipped / POLICY


def test_it_is_watched_without_training(shipped: Path) -> None:
    told = command("-m", "maestromotif", "watch", str(shipped), "--episodes", "1")
    assert "episode 1: policy of step 1,024 " in told
    assert "reward +" in told or "reward -" in told


def test_a_policy_of_something_else_is_refused_before_games_start(shipped: Path, tmp_path: Path) -> None:
    def told(*overrides: str) -> str:
        with pytest.raises(UserError) as error:
            policy_files(load(shipped, overrides))
        return str(error.value)

    os.chdir(tiny.ROOT)
    assert policy_files(load(shipped)).keys() == {str(shipped / POLICY)}
    assert "skills was discoverer, descender, ascender, is desc" in told("skills=[descender, discoverer]")
    assert "train.network.hidden was 16, is 32" in told("train.network.hidden=32")
    assert "holds no policy.msgpack" in told(f"train.policy={tmp_path}")
    (tmp_path / POLICY).write_bytes(b"no policy")
    assert "cannot be read as a policy" in told(f"train.policy={tmp_path}")
    run = str(shipped.parents[1] / "small")
    assert policy_file(run, "train.policy").parent.name == "train"  # a run's folder will do
    with pytest.raises(UserError, match="online_steps learns rewards during training"):
        load(shipped, ["reward.path=null", "reward.online_steps=100"])


def _network(run: Path) -> ActorCritic:
    config = load(run)
    return build(config.train.network, len(config.skills))
