"""Reward models that were distilled before training."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from maestromotif.agent.reward import Met, Scorer
from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Work
from maestromotif.rewards.model import load_rewards


class DistilledRewards:
    """The same pay for every rollout; in the form of `online.OnlineRewards`."""

    learns = False

    def __init__(self, config: Config, folder: Path) -> None:
        models = load_rewards(folder, config.skills)
        self._scorer = Scorer(models.score, models.thresholds(config.reward))

    def __enter__(self) -> "DistilledRewards":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def scorer(self, rollout: int) -> Scorer:
        return self._scorer

    def after(self, update: int, met: Iterable[Met]) -> None:
        pass

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        pass

    def write(self, work: Work) -> None:
        pass
