"""Training runs of the real game: killed, spread over devices and processes, and with mistakes in them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny
from flax import serialization
from small_learning import CONFIG, ROOT, config, fresh

from maestromotif.agent.network import build
from maestromotif.agent.policy import POLICY, load_policy
from maestromotif.cli.cluster import submit
from maestromotif.cli.main import run_words
from maestromotif.config.learning import NetworkSettings
from maestromotif.errors import UserError
from maestromotif.evaluate import evaluate
from maestromotif.nethack.arena import places_to_start
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.replay import kept
from maestromotif.tracking.journal import read
from maestromotif.train import ppo, train
from maestromotif.train.account import PAID
from maestromotif.train.actor import Actor
from maestromotif.train.checkpoint import FOLDER, Checkpoints
from maestromotif.train.distributed import all_devices
from maestromotif.train.environment_process import EnvironmentProcess
from maestromotif.train.learner import Learner


def start(folder: Path, *overrides: str, devices: int = 1) -> subprocess.Popen[str]:
    """`maestromotif train` as a user starts it."""
    (folder / "small.yaml").write_text(CONFIG)
    return subprocess.Popen(
        [sys.executable, "-m", "maestromotif", "train", "small.yaml", *overrides],
        cwd=folder,
        env=tiny.environment(JAX_NUM_CPU_DEVICES=str(devices), PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def policy(folder: Path) -> bytes:
    return (folder / "runs/quickstart/train/policy.msgpack").read_bytes()


def journal(folder: Path) -> list[dict[str, Any]]:
    return list(read(folder / "runs/quickstart/tracking/journal.jsonl"))


def test_killed_and_taken_up_again_it_comes_to_the_same_parameters(tmp_path: Path) -> None:
    """With older versions of the parameters in the checkpoint, and two actors; also on more devices.

    The whole run is not evaluated during training; the broken one is, before and after the kill.
    """
    whole, broken, moved = tmp_path / "whole", tmp_path / "broken", tmp_path / "moved"
    whole.mkdir()
    broken.mkdir()
    common = ("train.lag=2", "train.actors=2")
    often = ("tracking.evaluate_share=1", "tracking.evaluate_steps=128", "tracking.evaluate_episodes=4")
    finish(start(whole, *common, "tracking.evaluate_steps=null"))
    settings = (*common, *often, "evaluate.max_steps=20")
    process = start(broken, *settings)
    while process.poll() is None and not list(
        broken.glob("runs/*/.work/*/.scratch/checkpoints/*/0-of-1.msgpack")
    ):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    shutil.copytree(broken, moved)
    for output in (
        finish(start(broken, *settings)),
        finish(start(moved, *settings, "train.devices=2", devices=2)),
    ):
        assert "going on from step" in output, output
    assert policy(broken) == policy(whole)
    for name in (PAID, kept.FILE):
        one, other = ((folder / "runs/quickstart/train" / name).read_bytes() for folder in (whole, broken))
        assert one == other, name
    sampled = kept.read(whole / "runs/quickstart/train" / kept.FILE, "train")["trained"]
    assert len(sampled) >= 8  # of each actor's watched games at least one
    evaluated = [record["step"] for record in journal(broken) if "watch/seconds" in record.get("figures", {})]
    assert evaluated
    assert evaluated == sorted(set(evaluated))
    for folder in (whole, broken, moved):
        assert len((folder / "runs/quickstart/train/curve.jsonl").read_text().splitlines()) == 4


def test_two_processes_of_a_job_learn_what_two_devices_of_one_process_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of submitit's stand-in for a cluster: real processes of this machine."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    finish(start(one, "train.devices=2", "train.actors=2", devices=2))
    monkeypatch.chdir(two)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a cluster's proxy that passes nothing on
    for name, value in tiny.environment().items():
        monkeypatch.setenv(name, value)
    halves = ("train.machines=2", "nethack.games=4")
    submit(run_words, config(two, *halves), "train", ["small.yaml", *halves], here=True).results()
    network = build(NetworkSettings(hidden=16), 3)
    a, b = (load_policy(folder / "runs/quickstart/train/policy.msgpack", network) for folder in (one, two))
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)
    curves = [(folder / "runs/quickstart/train/curve.jsonl").read_text() for folder in (one, two)]
    steps = [re.findall(r'"skill/\w+/time_share": [\d.]+', curve) for curve in curves]
    assert steps[0] == steps[1]
    accounts = [json.loads((folder / "runs/quickstart/train" / PAID).read_text()) for folder in (one, two)]
    assert accounts[0]["episodes"] == accounts[1]["episodes"]
    for left, right in zip(*(account["skills"].values() for account in accounts), strict=True):
        assert left == right


def test_nothing_is_compiled_after_the_first_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    update = Learner.update

    def counting(self: Learner, *arguments: Any) -> Any:
        out = update(self, *arguments)
        seen.append(self.compilations())
        return out

    monkeypatch.setattr(Learner, "update", counting)
    actors = []
    play = Actor._play

    def playing(self: Actor, *arguments: Any) -> Any:
        out = play(self, *arguments)
        actors.append(self._acting.compilations())
        return out

    monkeypatch.setattr(Actor, "_play", playing)
    facts = train.run(config(tmp_path, "train.actors=2"), {}, Work(tmp_path / "work"))
    assert len(seen) == 8
    assert len(actors) == 16  # two actors
    assert len(set(seen[2:])) == 1, seen
    assert len(set(actors[6:])) == 1, actors
    # The full maps, 21 x 79 characters and colours a step, and little else; at an episode's end, here after
    # 40 steps, once more.
    assert 2 * 21 * 79 < facts["speed"]["bytes_per_step"] < 6000


def test_a_stopped_process_of_games_is_replaced_and_the_policy_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped in the middle of a rollout, after a checkpoint."""
    facts = train.run(config(tmp_path), {}, Work(tmp_path / "whole"))
    stopped = []
    step = EnvironmentProcess.step

    def stopping(self: EnvironmentProcess, action: np.ndarray) -> None:
        stopped.append(0)
        if len(stopped) == 16 * 5 + 3:
            self._process._patience = 2.0
            stopped[0] = self._process.pid or 0
            os.kill(stopped[0], signal.SIGSTOP)
        step(self, action)

    monkeypatch.setattr(EnvironmentProcess, "step", stopping)
    again = train.run(config(tmp_path), {}, Work(tmp_path / "stopped"))
    assert stopped[0]
    assert not Path("/proc", str(stopped[0])).exists()
    assert again["last"] == facts["last"]
    assert again["lost_episodes"] == 0
    for name in (POLICY, PAID):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_update_ends_when_the_policy_has_moved_far_enough(tmp_path: Path) -> None:
    minibatches = []
    for target in ("null", "1e-6"):
        settings = ("train.epochs=4", "train.learning_rate=0.01", f"train.target_kl={target}")
        facts = train.run(config(tmp_path, *settings), {}, Work(tmp_path / target))
        minibatches.append(facts["last"]["loss/minibatches"])
    assert minibatches[0] == 8
    assert minibatches[1] < 4


def test_what_is_no_number_stops_the_run_and_leaves_what_was_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = ppo.targets
    monkeypatch.setattr(
        ppo,
        "targets",
        lambda network, params, scale, batch, settings: targets(
            network, params, scale, batch._replace(reward=batch.reward / (batch.last.skill < 0)), settings
        ),
    )
    with pytest.raises(UserError, match=r"not finite; .*offending-batch.*there is no checkpoint yet"):
        train.run(config(tmp_path), {}, Work(tmp_path / "work"))
    (written,) = (tmp_path / "work").glob(".scratch/offending-batch-0.npz")
    with np.load(written) as batch:
        assert batch["reward"].shape == (16, 8)
        assert batch["rollout.glance.near"].shape == (16, 8, 9, 9)


def test_arenas_get_their_shares_of_the_games_all_over_them() -> None:
    starts = places_to_start({"shop": 0.25, "altar": 0.5}, 32)
    assert [starts.count(place) for place in ("shop", "altar", None)] == [8, 16, 8]
    for half in (starts[:16], starts[16:]):
        assert all(half.count(place) > 2 for place in ("shop", "altar", None))
    assert places_to_start({"a": 0.5, "b": 0.5}, 3).count(None) == 0
    with pytest.raises(UserError, match=r"train.arenas: 0.01 of 8 games rounds to 0 games in 'shop'"):
        places_to_start({"shop": 0.01}, 8)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.devices=3", "train.actors=3", "nethack.games=12"], "train.devices: is 3, but JAX sees"),
        (["train.machines=2"], "train.machines: is 2, but 1 processes are connected"),
        (["train.arenas={shop: 0.01}"], "0.01 of 8 games rounds to 0 games"),
        (["train.actors=3"], "train.actors: should divide nethack.games = 8 (got 3)"),
        (["nethack.games=8000000", "train.actors=8"], "8000000 games in 16 worker processes need about"),
        (
            ["skills=[gatherer]", "skills_folder=benchmarks/new_texts"],
            "no reward model for the skill 'gatherer'",
        ),
    ],
)
def test_what_cannot_be_is_said_before_a_game_starts(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        train.run(config(tmp_path, *overrides), {}, Work(tmp_path / "work"))


def test_a_policy_of_another_network_or_other_skills_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.msgpack"
    path.write_bytes(serialization.to_bytes(fresh()[1]))
    with pytest.raises(UserError, match=r"policy.msgpack: holds another network.*shape.*should have"):
        load_policy(path, build(NetworkSettings(hidden=16), 2))
    with pytest.raises(UserError, match=r"policy.msgpack: holds another network"):
        load_policy(path, build(NetworkSettings(hidden=16, heads="shared"), 3))


def test_a_policy_of_another_action_set_is_refused_before_a_game_starts(tmp_path: Path) -> None:
    """A policy at the stage evaluate, and a checkpoint at the stage train."""
    travel, explore = (config(tmp_path, f"train.network.actions={name}") for name in ("travel", "explore"))
    network = build(travel.train.network, len(travel.skills))
    learner = Learner(network, travel.train, travel.nethack.games, all_devices(travel.train))
    learnt = learner.fresh(0)
    work = Work(tmp_path / "train")
    work.write_bytes(POLICY, serialization.to_bytes(learnt.params))
    said = (
        r"msgpack: was trained with 32 actions \(set `travel`\), but train.network.actions has 37 "
        r"\(set `explore`\)"
    )
    inputs = {"train": Artefact(work.path, {})}  # without a program: no game could be played
    with pytest.raises(UserError, match="policy." + said):
        evaluate.run(explore, inputs, Work(tmp_path / "evaluate"))
    with Checkpoints(work.path / FOLDER, keep=1) as checkpoints:
        common, own = learner.snapshot(learnt, [learnt.params])
        actor = dict.fromkeys(("program", "memory", "last_action", "count"), 0)
        own["actors"] = [actor] * travel.train.actors
        checkpoints.save(1, common | {"curve": {}, "rewards": {}}, own)
    with pytest.raises(UserError, match="0-of-1." + said):
        train.run(explore, {}, work)
