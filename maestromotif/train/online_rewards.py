"""Reward models that are learned while the policy is: no play need be collected in advance.

What training meets is counted. At intervals a language model judges some of it that it has not judged yet,
the skills' reward models are learned anew from all labels so far, and one interval later rollouts begin to
be paid by them, so that nobody waits while the model thinks, unless it takes longer than that. Which rollout
is paid by which models is a function of the config: a run that is killed goes on to the same policy. Before
the first models nothing is paid. After ONI (Zheng et al. 2024, "Online intrinsic rewards for decision making
agents from large language model feedback"), which also labels what the policy meets while it learns.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import flax.serialization
import numpy as np

from maestromotif.agent.reward import Met, Scorer
from maestromotif.annotate.annotate import draw, draw_pairs
from maestromotif.annotate.answers import Judge
from maestromotif.annotate.labels import Comparison
from maestromotif.collect.observations import Items, canonical
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.state import FIRST_COLUMNS
from maestromotif.pipeline.store import Work
from maestromotif.rewards.card import over_items, raw_rewards
from maestromotif.rewards.fit import best, train
from maestromotif.rewards.model import Params, RewardModels, write_model
from maestromotif.rewards.pairs import Judged, hold_out, targets
from maestromotif.skill import skills_of
from maestromotif.train.reward_source import ONLINE_FOLDER

log = logging.getLogger("maestromotif")

Observation = tuple[bytes, tuple[int, ...]]  # message, and changes as captions tell them


class Version(NamedTuple):
    """Models and from which rollout on they pay."""

    rollout: int
    cards: list[dict[str, Any]]
    params: list[Params]
    scorer: Scorer


class OnlineRewards:
    """Counts what is met, has it judged, and says which models score a rollout. A context manager.

    every: updates between two times of learning reward models; more than `train.lag`. Raises UserError for
    settings that do not go together with this.
    """

    learns = True

    def __init__(self, config: Config, every: int, updates: int) -> None:
        settings = config.train
        for wrong, why in (
            (every <= settings.lag, "must be at least the steps of train.lag + 1 updates"),
            (2 * every >= updates, "must be less than half of train.steps, or nothing is ever paid"),
            (settings.machines > 1, "is for one machine only: train.machines must be 1"),
            (bool(config.annotate.statistics), "judges no statistics: annotate.statistics must be empty"),
        ):
            if wrong:
                raise UserError(f"reward.online_steps: {config.reward.online_steps} {why}")
        self._config, self._every, self._updates = config, every, updates
        self._skills = skills_of(config)
        self._judge = Judge(config.language, config.annotate)
        self._count: Counter[Observation] = Counter()
        self._judged: list[Observation] = []
        self._versions = [Version(0, [], [], _nothing(len(config.skills)))]
        self._pending: Future[tuple[list[Observation], Version]] | None = None
        self._ready = 0  # the rollout from which on pay those that are being learned
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="online-rewards")

    def __enter__(self) -> "OnlineRewards":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def scorer(self, rollout: int) -> Scorer:
        """What scores the steps of a rollout. Raises UserError where the models could not be learned."""
        if rollout >= self._ready:
            self._settle()
        return [version.scorer for version in self._versions if version.rollout <= rollout][-1]

    def after(self, update: int, met: Iterable[Met]) -> None:
        """So many updates are done; `met` is what the last one's rollout met. Told in order."""
        spoken = self._config.annotate.changes
        for message, changes, times in met:
            told = canonical(np.array(changes), spoken)[0]
            self._count[message, tuple(told.tolist())] += times
        if update % self._every == 0 and update + self._every < self._updates:  # else they pay for nothing
            self._settle()
            self._ready = update + self._every
            self._pending = self._thread.submit(self._learn, Counter(self._count), self._judged, self._ready)

    def snapshot(self) -> dict[str, Any]:
        """Everything, once the models that are being learned are there; of types that msgpack writes."""
        self._settle()
        return {
            "count": [[message, list(changes), times] for (message, changes), times in self._count.items()],
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
        for message, changes, times in snapshot["count"]:
            self._count[message, tuple(changes)] = times
        self._judged = [(message, tuple(changes)) for message, changes in snapshot["judged"]]
        for one in snapshot["versions"]:
            self._versions.append(self._version(one["rollout"], one["cards"], one["params"]))

    def write(self, work: Work) -> None:
        """The last models, in the form of those of `distil`."""
        self._settle()
        last = self._versions[-1]
        for skill, card, params in zip(self._skills, last.cards, last.params, strict=True):
            write_model(work, f"{ONLINE_FOLDER}/{skill.name}", card, params)

    def _settle(self) -> None:
        """Wait for the models that are being learned."""
        if self._pending is not None:
            self._judged, version = self._pending.result()
            # Who goes on from a checkpoint asks for those of the rollout before it, too.
            self._versions = [*self._versions[-2:], version]
            self._pending = None

    def _learn(
        self, count: Counter[Observation], judged: list[Observation], ready: int
    ) -> tuple[list[Observation], Version]:
        """In a thread of its own: some more is judged, and models are learned from all that is."""
        config = self._config
        spoken, random = config.annotate.changes, np.random.default_rng([config.run.seed, 5, ready])
        known = set(judged)
        left = sorted(observation for observation in count if observation not in known)
        new = draw(_items(left, count), config.reward.online_captions, random).tolist() if left else []
        judged = [*judged, *(left[item] for item in new)]
        items = _items(judged, count)
        captions = [items.caption(item, spoken) for item in range(len(items))]
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
            Judged(messages, items.changes, held_out, own, labels, ties),
            config.skills,
            config.distil,
            config.run.seed,
        )
        everything = _items(sorted(count), count)
        cards, chosen = [], []
        for skill, members in zip(self._skills, learned, strict=True):
            one = best(members)
            (raw,) = raw_rewards([one.params], config.distil.network, everything, spoken)
            about = {
                "skill": skill.name,
                "description": skill.description,
                "network": config.distil.network,
                "changes": list(spoken),
                "captions": len(captions),
                "loss_held_out": one.loss,
            }
            cards.append(about | over_items(raw, everything, spoken))
            chosen.append(one.params)
        log.info("train: reward models of %d captions, from rollout %d on", len(captions), ready)
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
