"""Where training's rewards come from, and reward models that were distilled before training."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from maestromotif.agent.reward import Met, Scorer
from maestromotif.annotate import answers
from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Work, canonical, file_contents
from maestromotif.rewards.model import load_rewards


def reward_files(config: Config) -> dict[str, str]:
    """What rewards depend on beside the stage `distil` -> SHA-256. Raises UserError.

    The reward models that the config names or, where training learns them, what judges and how it learns.
    """
    contents = {}
    if config.reward.online_steps is not None:
        annotate = config.annotate.model_dump(mode="json", exclude={"answers", "price"})
        ways = canonical([annotate, config.distil.model_dump(mode="json")])
        contents = answers.reads(config) | {"annotate and distil": hashlib.sha256(ways).hexdigest()}
    if config.reward.path is not None:
        for name in config.skills:
            for file in ("params.msgpack", "card.json"):
                contents |= file_contents("reward.path", str(Path(config.reward.path) / name / file))
    return contents


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
