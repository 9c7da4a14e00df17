"""An environment plays in a process of its own as it would in this one, and its failures come home."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
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
from maestromotif.train.paid import Paid

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


def test_a_bound_on_what_is_kept_changes_nothing_that_is_played_or_paid(tmp_path: Path) -> None:
    """Real games; the bounded environment forgets between any two rollouts, and another goes on from it."""
    actions = np.random.default_rng(1).integers(0, NUM_ACTIONS, (6 * STEPS, GAMES), np.int32)
    whole = plan(tmp_path, "nethack.max_steps=60")
    bounded, forgot = replace(whole, most=3), 0
    free, bound = Arrays(whole), Arrays(bounded)
    with ExitStack() as stack:
        one = stack.enter_context(Environment(whole, free, SCORER))
        other = stack.enter_context(Environment(bounded, bound, SCORER))
        one.begin()
        other.begin()
        for t, row in enumerate(actions):
            free.action[:] = bound.action[:] = row
            one.step()
            other.step()
            for name in TOLD:
                assert np.array_equal(getattr(free, name), getattr(bound, name)), name
            if (t + 1) % STEPS == 0:
                expected, found = (here.finish_rollout(True, True, True) for here in (one, other))
                assert sorted(expected.met) == sorted(found.met)
                np.testing.assert_equal(found.counts, expected.counts)
                assert expected.paid is not None
                assert found.paid is not None
                assert sums(found.paid) == sums(expected.paid)
                assert expected.snapshot is not None
                assert found.snapshot is not None
                forgot += len(found.snapshot["reward"]["texts"]) < len(expected.snapshot["reward"]["texts"])
                if t + 1 == 3 * STEPS:
                    again = replace(bounded, program=found.snapshot["program"])
                    other = stack.enter_context(Environment(again, bound, SCORER))
                    other.restore(found.snapshot)
    assert forgot == 6
    for arrays in (free, bound):
        arrays.close()


def sums(paid: Paid) -> dict[tuple[bytes, bytes], list[list[float]]]:
    told = zip(paid.messages, paid.changes, paid.gained, paid.lost, paid.steps, strict=True)
    return {
        (message, changes.tobytes()): [one.tolist() for one in rest]
        for message, changes, *rest in told
        if rest[2].any()
    }


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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_dies_or_hangs_is_replaced_and_nothing_is_lost(
    number: signal.Signals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the first snapshot, and two rollouts after one; its games' processes end with it."""
    actions = np.random.default_rng(2).integers(0, NUM_ACTIONS, (4 * STEPS, GAMES), np.int32)
    whole, games = plan(tmp_path), []
    arrays = Arrays(whole)
    with Environment(whole, arrays, SCORER) as here, EnvironmentProcess(whole, SCORER) as there:
        here.begin()
        there.begin()
        for t, row in enumerate(actions):
            if t in (5, 3 * STEPS + 5):
                process = psutil.Process(there._process.pid)
                games += process.children(recursive=True)
                there._process._patience = 2.0
                os.kill(process.pid, number)
            arrays.action[:] = row
            here.step()
            with caplog.at_level(logging.WARNING):
                there.step(row)
            for name in TOLD:
                assert np.array_equal(getattr(arrays, name), getattr(there.arrays, name)), name
            if (t + 1) % STEPS == 0:
                snapshot = t + 1 == STEPS
                one, other = (each.finish_rollout(True, snapshot, True) for each in (here, there))
                assert one.met == other.met
                assert (one.snapshot is None) == (other.snapshot is None) == (not snapshot)
                np.testing.assert_equal(one.paid, other.paid)
                np.testing.assert_equal(one.counts, other.counts)
                assert other.lost == 0
                here.pay_by(STRICTER)
                there.pay_by(STRICTER)
    arrays.close()
    why = "died (SIGKILL)" if number == signal.SIGKILL else "did not answer for 2 s and was stopped"
    assert [record.getMessage() for record in caplog.records if "environment-0" in record.getMessage()] == [
        f"the process environment-0 of the training {why}; another one plays its last {steps} steps again"
        for steps in (5, 2 * STEPS + 5)
    ]
    assert games
    _, alive = psutil.wait_procs(games, timeout=20)
    assert not alive


def test_a_process_that_dies_twice_in_a_rollout_is_missed(tmp_path: Path) -> None:
    wait = np.zeros(GAMES, np.int32)
    with EnvironmentProcess(plan(tmp_path), SCORER) as environment:
        environment.begin()
        os.kill(environment._process.pid or 0, signal.SIGKILL)
        environment.step(wait)
        os.kill(environment._process.pid or 0, signal.SIGKILL)
        with pytest.raises(
            UserError, match=r"environment-0 of the training died \(SIGKILL\); if memory is too small"
        ):
            environment.step(wait)


def test_after_a_lost_worker_a_process_goes_on_from_the_next_snapshot(tmp_path: Path) -> None:
    """A lost game cannot be played again, so its rollout ends with a snapshot."""
    wait = np.zeros(GAMES, np.int32)
    with EnvironmentProcess(plan(tmp_path), SCORER) as environment:
        environment.begin()
        process = psutil.Process(environment._process.pid)
        servants = [one for one in process.children(recursive=True) if one.ppid() != process.pid]
        next(one for one in servants if "forkserver" in " ".join(one.cmdline())).kill()
        for _ in range(STEPS):
            environment.step(wait)
        lost = environment.arrays.ended == Ending.LOST
        assert 0 < environment.finish_rollout(False, False).lost == lost.sum() < GAMES
        shown = environment.arrays.inputs.copy()
        os.kill(environment._process.pid or 0, signal.SIGKILL)
        environment.pay_by(STRICTER)
        assert np.array_equal(environment.arrays.inputs, shown)
        for _ in range(STEPS):
            environment.step(wait)
        assert environment.finish_rollout(False, False).lost == lost.sum()
