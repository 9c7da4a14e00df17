"""An environment plays in a process of its own as it would in this one, and its failures come home."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from small_learning import config

from maestromotif.agent.inputs import FEW, Form
from maestromotif.agent.reward import Scorer
from maestromotif.errors import UserError
from maestromotif.nethack.actions import NAMES, NUM_ACTIONS
from maestromotif.train.endings import Ending
from maestromotif.train.environment import Arrays, Environment, Plan
from maestromotif.train.environment_process import EnvironmentProcess

FORM = Form("words", marks=True)
GAMES, STEPS = 8, 16  # of a rollout
TOLD = ("inputs", "running", "acted", "cut", "reward", "ended")


def lengths(messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
    """Scores [n, 3] that differ between messages, changes and skills."""
    told = [len(message) + change.sum() for message, change in zip(messages, changes, strict=True)]
    return np.add.outer(np.array(told, np.float32), np.arange(3, dtype=np.float32))


SCORER = Scorer(lengths, np.zeros(3, np.float32))
STRICTER = Scorer(lengths, np.full(3, 30, np.float32))


def plan(folder: Path, *overrides: str, starts: Sequence[str | None] = (None,) * GAMES) -> Plan:
    return Plan(config(folder, *overrides), GAMES, 0, list(starts), FORM, None)


def test_a_process_plays_what_this_one_plays(tmp_path: Path) -> None:
    """Through ends of episodes, other rewards, and a snapshot from which another process goes on."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, NUM_ACTIONS, (5 * STEPS, GAMES), np.int32)
    whole = plan(tmp_path, starts=[*["shop", "altar"] * 2, *[None] * 4])
    arrays = Arrays(whole)
    cut = 0
    with (
        Environment(whole, arrays, SCORER) as here,
        EnvironmentProcess(whole, SCORER) as there,
    ):
        here.begin()
        there.begin()
        for t, row in enumerate(actions):
            arrays.action[:] = row
            here.step()
            there.step(row)
            for name in TOLD:
                assert np.array_equal(getattr(arrays, name), getattr(there.arrays, name)), name
            if count := int(arrays.cut.sum()):
                cut += count
                some = -(-count // FEW)
                assert np.array_equal(arrays.final_inputs[:some], there.arrays.final_inputs[:some])
            if (t + 1) % STEPS == 0:
                one, other = here.finish_rollout(True, True, True), there.finish_rollout(True, True, True)
                assert one.met == other.met
                np.testing.assert_equal(one.paid, other.paid)
                np.testing.assert_equal(one.counts, other.counts)
                here.pay_by(STRICTER)
                there.pay_by(STRICTER)
    assert cut >= GAMES  # each game has had an episode of 40 steps
    assert arrays.reward.any()
    assert other.snapshot is not None
    with EnvironmentProcess(replace(whole, program=other.snapshot["program"]), STRICTER) as again:
        again.restore(other.snapshot)
        assert np.array_equal(again.arrays.inputs, arrays.inputs)
        assert np.array_equal(again.arrays.running, arrays.running)
    arrays.close()


@pytest.mark.parametrize(
    ("max_turns", "expected"), [(300, [Ending.ACHIEVED, Ending.FAILED]), (1, [Ending.TIMED_OUT] * 2)]
)
def test_why_a_call_ended_reaches_the_learner(max_turns: int, expected: list[Ending], tmp_path: Path) -> None:
    """The skill wants prayer and ends after four steps; the first game prays, the second one searches."""
    (tmp_path / "monk.md").write_text(
        f"---\nname: monk\nstarts: now\nends: soon\nmax_turns: {max_turns}\nwanted: [prayed]\n---\nPray.\n"
    )
    (tmp_path / "monk.py").write_text(
        "def may_start(state):\n    return True\ndef should_end(state):\n    return state.skill_steps >= 4\n"
    )
    skill = plan(tmp_path, "skills=[monk]", f"skills_folder={tmp_path}", "nethack.max_steps=9")
    play = np.full(GAMES, NAMES.index("search"), np.int32)
    arrays = Arrays(skill)
    with Environment(skill, arrays, SCORER) as environment:
        environment.begin()
        for t in range(STEPS):
            play[0] = NAMES.index("pray" if t == 1 else "search")
            arrays.action[:] = play
            environment.step()
    ended = arrays.ended[:2].tolist()
    assert [game[3] for game in ended] == expected
    for game in ended:
        assert game[7] == expected[1]  # what was achieved in the call before does not count
        assert game[8] == Ending.TRUNCATED
        assert [t for t in range(STEPS) if game[t]] == [3, 7, 8, 12]
    arrays.close()


def test_processes_of_environments_start_without_jax() -> None:
    """JAX takes seconds to import, and its threads must not be copied into processes of games."""
    code = (
        "import sys, maestromotif.agent, maestromotif.train.environment_process; "
        "print([m for m in ('jax', 'flax', 'optax') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_a_failing_program_is_named(tmp_path: Path) -> None:
    program = tmp_path / "failing.py"
    program.write_text(
        "class Program:\n"
        "    def select(self, state: GameState, available: list[Skill]) -> Skill:\n"
        "        return available[0]\n\n"
        "    def should_end(self, state: GameState) -> bool:\n"
        "        return 1 // (2 - state.step) > 5\n"
    )
    with EnvironmentProcess(plan(tmp_path, f"compose.training={program}"), SCORER) as environment:
        environment.begin()
        environment.step(np.zeros(GAMES, np.int32))
        with pytest.raises(UserError, match=r"failing.py:6: ZeroDivisionError"):
            environment.step(np.zeros(GAMES, np.int32))
    with (
        EnvironmentProcess(plan(tmp_path, "nethack.character=elf-bar-cha-mal"), SCORER) as environment,
        pytest.raises(UserError, match=r"nethack.character"),
    ):
        environment.begin()


def test_a_process_that_was_killed_is_missed_and_its_games_end(tmp_path: Path) -> None:
    with EnvironmentProcess(plan(tmp_path), SCORER) as environment:
        environment.begin()
        process = psutil.Process(environment._process.pid)
        games = process.children(recursive=True)
        assert games
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(UserError, match=r"environment-0 of the training died \(exit code -9\)"):
            environment.step(np.zeros(GAMES, np.int32))
    _, alive = psutil.wait_procs(games, timeout=20)
    assert not alive
