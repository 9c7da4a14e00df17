"""Reward models that are trained together with the policy: you collect no play in advance.

Training counts the observations it sees. At intervals a language model judges some that have no label yet,
and the skills' reward models are retrained from scratch on all labels. Rollouts use the new models one
interval later, so training waits only if labelling and fitting take longer than that. The config determines
which models score which rollout: a run that is killed resumes to the same policy. All rewards are 0 before
the first models. Based on ONI (Zheng et al. 2024, "Online intrinsic rewards for decision making agents from
large language model feedback"), which also labels what the policy sees during training.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import flax.serialization
import numpy as np

from maestromotif.agent.messages import MOST
from maestromotif.agent.reward import Met, Scorer
from maestromotif.annotate.annotate import draw, draw_pairs
from maestromotif.annotate.answers import Judge
from maestromotif.annotate.labels import Comparison
from maestromotif.collect.observations import Items, canonical
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.state import FIRST_COLUMNS
from maestromotif.pipeline.store import Work
from maestromotif.rewards.card import over_items, raw_rewards, reads_of
from maestromotif.rewards.fit import best, train
from maestromotif.rewards.model import Params, RewardModels, write_model
from maestromotif.rewards.pairs import Judged, hold_out, targets
from maestromotif.skill import skills_of
from maestromotif.train.reward_source import ONLINE_FOLDER
from maestromotif.train.seen import Observation, Seen

log = logging.getLogger("maestromotif")


class Version(NamedTuple):
    """Reward models, and the first rollout that they score."""

    rollout: int
    cards: list[dict[str, Any]]
    params: list[Params]
    scorer: Scorer


def check_settings(config: Config, every: int, updates: int) -> None:
    """Raises UserError for settings that do not go with rewards learned in training; as `OnlineRewards`."""
    for wrong, why in (
        (every <= config.train.lag, "must be at least the steps of train.lag + 1 updates"),
        (2 * every >= updates, "must be less than half of train.steps, or all rewards stay 0"),
        (config.train.machines > 1, "needs a single machine: train.machines must be 1"),
        (bool(config.annotate.statistics), "cannot use statistics: annotate.statistics must be empty"),
    ):
        if wrong:
            raise UserError(f"reward.online_steps: {config.reward.online_steps} {why}")


class OnlineRewards:
    """Counts observations, has some judged, and selects the models of each rollout. A context manager.

    every: updates between two trainings of the reward models; more than `train.lag`. most: distinct
    observations that it keeps; what is judged is drawn from them. Raises UserError for incompatible settings.
    """

    learns = True

    def __init__(self, config: Config, every: int, updates: int, most: int = MOST) -> None:
        check_settings(config, every, updates)
        self._config, self._every, self._updates = config, every, updates
        self._skills = skills_of(config)
        self._judge = Judge(config.language, config.annotate)
        self._seen = Seen(most)
        self._judged: list[Observation] = []
        self._versions = [Version(0, [], [], _nothing(len(config.skills)))]
        self._pending: Future[tuple[list[Observation], Version]] | None = None
        self._ready = 0  # the first rollout that the pending models score
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="online-rewards")

    def __enter__(self) -> "OnlineRewards":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def scorer(self, rollout: int) -> Scorer:
        """The scorer of a rollout. Raises UserError if training the models failed."""
        if rollout >= self._ready:
            self._settle()
        return [version.scorer for version in self._versions if version.rollout <= rollout][-1]

    def after(self, update: int, met: Iterable[Met]) -> None:
        """Call after every update, in order; `met` holds the observations of its rollout."""
        spoken = self._config.annotate.changes
        self._seen.add(
            ((message, tuple(canonical(np.array(changes), spoken)[0].tolist())), times)
            for message, changes, times in met
        )
        if update % self._every == 0 and update + self._every < self._updates:  # else no rollout uses them
            self._settle()
            self._ready = update + self._every
            self._pending = self._thread.submit(
                self._learn, Counter(self._seen.count), self._judged, self._ready
            )

    def snapshot(self) -> dict[str, Any]:
        """The state for `restore`, in types that msgpack writes. Waits for pending models."""
        self._settle()
        return {
            "count": self._seen.snapshot(),
            "judged": [[message, list(changes)] for message, changes in self._judged],
            "versions": [
                {
                    "rollout": version.rollout,
                    "cards": version.cards,
                    "params": [flax.serialization.to_state_dict(one) for one in version.params],
                }
                for version in self._versions
                if version.cards
            ],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self._seen.restore(snapshot["count"])
        self._judged = [(message, tuple(changes)) for message, changes in snapshot["judged"]]
        for one in snapshot["versions"]:
            self._versions.append(self._version(one["rollout"], one["cards"], one["params"]))

    def write(self, work: Work) -> None:
        """Write the last models, in the format of `distil`."""
        self._settle()
        last = self._versions[-1]
        for skill, card, params in zip(self._skills, last.cards, last.params, strict=True):
            write_model(work, f"{ONLINE_FOLDER}/{skill.name}", card, params)

    def _settle(self) -> None:
        """Wait for the pending models."""
        if self._pending is not None:
            self._judged, version = self._pending.result()
            # A run that resumes from a checkpoint also needs the models of the rollout before it.
            self._versions = [*self._versions[-2:], version]
            self._pending = None

    def _learn(
        self, count: Counter[Observation], judged: list[Observation], ready: int
    ) -> tuple[list[Observation], Version]:
        """Runs in its own thread: judges more observations, then trains models on all labels."""
        config = self._config
        spoken, random = config.annotate.changes, np.random.default_rng([config.run.seed, 5, ready])
        known = set(judged)
        left = sorted(observation for observation in count if observation not in known)
        new = draw(_items(left, count), config.reward.online_captions, random).tolist() if left else []
        judged = [*judged, *(left[item] for item in new)]
        items = _items(judged, count)
        captions = [items.caption(item, spoken, config.annotate.telling) for item in range(len(items))]
        pairs = draw_pairs(len(captions), config.annotate.pairs, random)
        comparisons = [Comparison(one.description, captions, pairs, config.annotate) for one in self._skills]
        self._judge.ask([question for one in comparisons for question in one.questions()])
        own, labels, ties = [], [], []
        for comparison in comparisons:
            found = comparison.label(self._judge)
            answered = np.isfinite(found.margin)
            label = found.label(config.annotate)[answered]
            own.append(found.pairs[answered])
            labels.append(targets(label, found.margin[answered], config.distil))
            ties.append(label == 0.5)
        messages = items.message_list()
        held_out = hold_out(messages, config.distil.held_out, random)
        learned = train(
            Judged(messages, items.changes, held_out, own, labels, ties, config.annotate.telling),
            config.skills,
            config.distil,
            config.run.seed,
        )
        everything, reads = _items(sorted(count), count), reads_of(config)
        cards, chosen = [], []
        for skill, members in zip(self._skills, learned, strict=True):
            one = best(members)
            (raw,) = raw_rewards([one.params], reads, everything)
            about = {
                "skill": skill.name,
                "description": skill.description,
                **reads,
                "captions": len(captions),
                "loss_held_out": one.loss,
            }
            cards.append(about | over_items(raw, everything, reads))
            chosen.append(one.params)
        log.info("train: reward models from %d captions, used from rollout %d", len(captions), ready)
        return judged, self._version(ready, cards, chosen)

    def _version(self, rollout: int, cards: list[dict[str, Any]], params: list[Params]) -> Version:
        models = RewardModels(self._config.skills, cards, params)
        thresholds = models.thresholds(self._config.reward)
        return Version(rollout, cards, params, Scorer(models.score, thresholds))


def _nothing(skills: int) -> Scorer:
    return Scorer(
        lambda messages, changes: np.zeros((len(messages), skills), np.float32),
        np.full(skills, np.inf, np.float32),
    )


def _items(observations: list[Observation], count: Mapping[Observation, int]) -> Items:
    messages = sorted({message for message, _ in observations})
    place = {message: row for row, message in enumerate(messages)}
    return Items(
        messages=np.array(messages, "S256"),
        message_id=np.array([place[message] for message, _ in observations], np.int32),
        changes=np.array([changes for _, changes in observations], np.int8).reshape(
            len(observations), -1 if observations else FIRST_COLUMNS
        ),
        count=np.array([count[observation] for observation in observations], np.int64),
    )
