"""Rewards that are learned during training, from a real language model's judgements of real games."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_learning import config

from maestromotif.errors import UserError
from maestromotif.pipeline.store import Work
from maestromotif.rewards.model import load_rewards
from maestromotif.train import train
from maestromotif.train.learner import Learner
from maestromotif.train.reward_source import ONLINE_FOLDER

# Of 8 updates of 128 steps: models are learned after every second one, and pay from the fourth on.
SETTINGS = (
    "skills=[descender]",
    "reward.path=null",
    "reward.online_steps=256",
    "reward.online_captions=6",
    "reward.quantile=0.3",
    "language.model=smollm2-135m-instruct",
    "annotate.pairs=40",
    "annotate.chunk=4",
    "annotate.answer_mass=0.001",
    "distil.epochs=2",
    "distil.batch=16",
    "distil.seeds=1",
    "train.curve_steps=128",
)


class StopError(Exception):
    pass


@pytest.mark.slow
def test_what_training_meets_is_judged_and_pays_and_a_stop_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = f"annotate.answers={tmp_path / 'answers'}"
    wanted = config(tmp_path, *SETTINGS, answers)
    train.run(wanted, {}, Work(tmp_path / "whole"))

    rows = [json.loads(line) for line in (tmp_path / "whole/curve.jsonl").read_text().splitlines()]
    paid = [sum(row[f"skill/{name}/reward_per_1k_steps"] for name in wanted.skills) for row in rows]
    assert paid[:4] == [0, 0, 0, 0]
    assert any(one > 0 for one in paid[4:])
    models = load_rewards(tmp_path / "whole" / ONLINE_FOLDER, wanted.skills)
    assert [card["captions"] for card in models.cards] == [12]  # the last models are of two times

    # Elsewhere, with nothing known of the model's answers, stopped once models wait to pay.
    other = config(tmp_path, *SETTINGS, f"annotate.answers={tmp_path / 'others'}")
    update, updates = Learner.update, []

    def stopping(self: Learner, *arguments: Any) -> Any:
        updates.append(1)
        if len(updates) == 6:
            raise StopError
        return update(self, *arguments)

    monkeypatch.setattr(Learner, "update", stopping)
    with pytest.raises(StopError):
        train.run(other, {}, Work(tmp_path / "broken"))
    train.run(other, {}, Work(tmp_path / "broken"))
    assert len(updates) == 6 + 4  # it went on from the checkpoint after the fourth
    for name in ("policy.msgpack", "curve.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reward.online_steps=128"], r"at least the steps of train.lag \+ 1 updates"),
        (["reward.online_steps=512"], "must be less than half of train.steps"),
        (["annotate.statistics=[gold]"], "annotate.statistics must be empty"),
    ],
)
def test_settings_that_do_not_go_together(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train.run(config(tmp_path, *SETTINGS, *overrides), {}, Work(tmp_path / "work"))
