"""The observations that rewards learned in training are drawn from: a bound, and a fair sample within it."""

from pathlib import Path

import numpy as np
from small_learning import config

from maestromotif.nethack.state import FIRST_COLUMNS
from maestromotif.train.online_rewards import OnlineRewards
from maestromotif.train.seen import Observation, Seen


def observation(number: int) -> Observation:
    return b"You see %d here." % number, (number % 3, -1)


def test_few_are_all_counted_and_many_are_a_fair_sample_of_all() -> None:
    seen = Seen(most=1000)
    seen.add((observation(number), 2) for number in range(1000))
    assert len(seen.count) == 1000
    for start in range(1000, 20_000, 100):
        seen.add((observation(number), 1) for number in range(start, start + 100))
        assert len(seen.count) <= 1000
    numbers = np.array([int(message.split()[2]) for message, _ in seen.count])
    assert np.histogram(numbers, 4, (0, 20_000))[0].min() > 150  # neither the first nor the last ones only
    assert {times for (message, _), times in seen.count.items() if int(message.split()[2]) < 1000} == {2}


def test_a_stop_changes_nothing_and_the_order_of_a_rollout_neither() -> None:
    whole, broken = Seen(most=64), Seen(most=64)
    for start in range(0, 600, 60):
        rollout = [(observation(number), 1) for number in range(start, start + 60)]
        whole.add(rollout)
        broken.add(reversed(rollout))
        saved, broken = broken.snapshot(), Seen(most=64)
        broken.restore(saved)
    assert whole.count == broken.count


def test_rewards_that_are_learned_in_training_keep_no_more(tmp_path: Path) -> None:
    settings = ("reward.path=null", "reward.online_steps=256", "language.model=smollm2-135m-instruct")
    with OnlineRewards(config(tmp_path, *settings), 1000, 10_000, most=50) as rewards:
        for update in range(1, 40):
            rewards.after(
                update, [(observation(update * 10 + k)[0], (0,) * FIRST_COLUMNS, 1) for k in range(10)]
            )
            assert len(rewards.snapshot()["count"]) <= 50
