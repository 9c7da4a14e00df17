"""Where rewards come from: models distilled before training, or models trained together with the policy."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from maestromotif.agent.reward import Met, Scorer
from maestromotif.annotate import answers
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work, canonical, file_contents
from maestromotif.pipeline.trees import refusing
from maestromotif.rewards.model import CARD, PARAMS, load_rewards

ONLINE_FOLDER = "rewards"  # in the artefact `train`: the last models trained with the policy


@runtime_checkable
class RewardSource(Protocol):
    """Says which models score the steps of each rollout. A context manager."""

    @property
    def learns(self) -> bool:
        """Whether `after` needs the observations that training saw."""
        ...

    def __enter__(self) -> "RewardSource": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def scorer(self, rollout: int) -> Scorer:
        """The scorer of a rollout; rollouts count from 0."""
        ...

    def after(self, update: int, met: Iterable[Met]) -> None:
        """Call after every update, in order; `met` holds the observations of its rollout."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """The state for `restore`, in types that msgpack writes."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None: ...

    def write(self, work: Work) -> None:
        """Write the trained models, if there are any, into the artefact of `train`."""
        ...


def reward_files(config: Config) -> dict[str, str]:
    """What rewards depend on besides the stage `distil` -> SHA-256. Raises UserError.

    These are the files of `reward.path`, or the judge's inputs and the settings of online reward training.
    """
    contents = {}
    if config.reward.online_steps is not None:
        annotate = config.annotate.model_dump(mode="json", exclude={"answers", "price"})
        ways = canonical([annotate, config.distil.model_dump(mode="json")])
        contents = answers.reads(config) | {"annotate and distil": hashlib.sha256(ways).hexdigest()}
    if config.reward.path is not None:
        for name in config.skills:
            for file in (PARAMS, CARD):
                contents |= file_contents("reward.path", str(Path(config.reward.path) / name / file))
    return contents


class DistilledRewards:
    """The same models for every rollout, from a folder in the format of `distil`."""

    learns = False

    def __init__(self, config: Config, folder: Path) -> None:
        models = load_rewards(folder, config.skills)
        thresholds = models.thresholds(config.reward)
        for skill, card, threshold in zip(config.skills, models.cards, thresholds.tolist(), strict=True):
            with refusing(folder / skill / CARD, "the card of a reward model"):
                best = float(card["quantiles"]["1.00"])
            if not threshold < best:
                raise UserError(
                    f"{folder / skill / CARD}: the reward pays nothing: its highest value is {best:.2f}, not "
                    f"above the threshold {threshold:.2f}; lower reward.quantile_of.{skill}, or distil the "
                    "skill again with other words"
                )
        self._scorer = Scorer(models.score, thresholds)

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


def reward_folder(config: Config, inputs: Mapping[str, Artefact]) -> Path:
    """The folder of the reward models of a run: the configured one, `distil`'s, or `train`'s last ones."""
    if config.reward.path is not None:
        return Path(config.reward.path)
    if config.reward.online_steps is not None:
        return inputs["train"].path / ONLINE_FOLDER
    return inputs["distil"].path
