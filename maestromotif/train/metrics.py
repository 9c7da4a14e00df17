"""The metrics of training: one table that defines the rows of the learning curve.

To add a figure, add an entry to METRICS and, if it needs a new count, one to the tables in `counts.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maestromotif.nethack.events import EVENTS
from maestromotif.train.counts import COUNTED_CHANGES, STEP_SUMS, Counts

CURVE = "curve.jsonl"  # the file that `train` writes, one row per line


@dataclass(frozen=True)
class Metric:
    """A figure of the curve.

    name: its key in a row, where {skill} stands for each skill's name, {event} for each event's and
        {change} for each change's.
    of: computes the value of a window; None leaves it out of the row.
    """

    name: str
    title: str  # of a plot
    unit: str
    doc: str
    of: Callable[["Window"], float | None]


@dataclass(frozen=True)
class Window:
    """The steps since the last row, as a metric sees them: all, those of a skill, or one event of a skill."""

    env_step: int
    counts: Counts
    figures: Sequence[Mapping[str, float]]  # of the learner, one per update
    skill: int | None = None
    column: int | None = None  # of the event or change

    def __getitem__(self, name: str) -> float:
        """A sum over the steps of this skill (and event or change), or over episodes."""
        count = self.counts[name]
        if name in STEP_SUMS and self.skill is not None:
            count = count[self.skill]
        return float((count if self.column is None or count.ndim == 0 else count[self.column]).sum())

    def of_all_skills(self, name: str) -> float:
        return float(self.counts[name].sum())

    def mean(self, figure: str) -> float:
        """Mean of a figure of the learner over updates."""
        return float(np.mean([one[figure] for one in self.figures]))


METRICS = (
    Metric(
        "env_step",
        "Environment steps",
        "steps",
        "Environment steps from the start of training to the end of the window, over all games.",
        lambda w: w.env_step,
    ),
    Metric(
        "episodes",
        "Episodes",
        "episodes",
        "Episodes that ended in the window, without those that began in an arena.",
        lambda w: int(w["episodes"]),
    ),
    Metric(
        "deaths",
        "Deaths",
        "episodes",
        "Those of `episodes` that ended with the hero's death.",
        lambda w: int(w["deaths"]),
    ),
    Metric(
        "episode/length_mean",
        "Steps in an episode, mean",
        "steps",
        "Mean over `episodes` of their environment steps; left out if no episode ended.",
        lambda w: w["length"] / w["episodes"] if w["episodes"] else None,
    ),
    Metric(
        "skill/{skill}/reward_per_call",
        "Reward in one call of the skill",
        "reward",
        "Sum of the skill's rewards, divided by how many of its calls ended (by 1 if none did).",
        lambda w: w["reward"] / max(w["calls"], 1),
    ),
    Metric(
        "skill/{skill}/reward_per_1k_steps",
        "Reward in 1,000 steps of the skill",
        "reward / 1,000 steps",
        "Sum of the skill's rewards in 1,000 of the steps in which it acted.",
        lambda w: 1000 * w["reward"] / max(w["steps"], 1),
    ),
    Metric(
        "skill/{skill}/lost_per_1k_steps",
        "Losses in 1,000 steps of the skill",
        "reward / 1,000 steps",
        "Sum of the skill's rewards below 0, without their sign, in 1,000 of the steps in which it acted.",
        lambda w: 1000 * w["lost"] / max(w["steps"], 1),
    ),
    Metric(
        "skill/{skill}/paid_share",
        "Share of the skill's steps that earn a reward",
        "share",
        "Share of the steps in which the skill acted that earned more than 0: whether its reward is dense or "
        "rare, which the sum of the reward does not show.",
        lambda w: w["paid"] / max(w["steps"], 1),
    ),
    Metric(
        "skill/{skill}/time_share",
        "Share of all steps",
        "share",
        "Share of all environment steps in which the skill acted.",
        lambda w: w["steps"] / max(w.of_all_skills("steps"), 1),
    ),
    Metric(
        "skill/{skill}/mean_duration",
        "Steps in one call of the skill",
        "steps",
        "Steps in which the skill acted, divided by how many of its calls ended (by 1 if none did).",
        lambda w: w["steps"] / max(w["calls"], 1),
    ),
    Metric(
        "events/{skill}/{event}_per_1k_steps",
        "{event} in 1,000 steps of the skill",
        "events / 1,000 steps",
        "How often the event happened in 1,000 of the steps in which the skill acted; left out if it did "
        "not happen.",
        lambda w: 1000 * w["events"] / w["steps"] if w["events"] else None,
    ),
    Metric(
        "changes/{skill}/{change}_per_1k_steps",
        "{change}: changes in 1,000 steps of the skill",
        "changes / 1,000 steps",
        "On how many of 1,000 of the skill's steps the change happened; left out if it did not happen. The "
        "depth is left out, because events count descents and ascents.",
        lambda w: 1000 * w["changes"] / w["steps"] if w["changes"] else None,
    ),
    Metric(
        "depth/deepest_mean",
        "Deepest level of an episode, mean",
        "levels",
        "Mean over `episodes` of the deepest level reached; left out if no episode ended.",
        lambda w: w["deepest"] / w["episodes"] if w["episodes"] else None,
    ),
    Metric(
        "depth/at_least_2",
        "Share of episodes that reach level 2",
        "share",
        "Share of `episodes` that reached level 2 or deeper; left out if no episode ended.",
        lambda w: w["at_least_2"] / w["episodes"] if w["episodes"] else None,
    ),
    # The learner's figures, from `ppo.loss` and `Learner.update`: means over the updates of the window.
    Metric(
        "loss/policy_loss",
        "Policy loss",
        "normalised advantage",
        "PPO's clipped surrogate loss, mean over steps.",
        lambda w: w.mean("policy_loss"),
    ),
    Metric(
        "loss/value_loss",
        "Value loss",
        "scaled return squared",
        "Squared error of the acting skill's value, clipped as `train.value_clip` says, mean over steps.",
        lambda w: w.mean("value_loss"),
    ),
    Metric(
        "loss/entropy",
        "Entropy of the policy",
        "nats",
        "Entropy of the acting skill's distribution over actions, mean over steps.",
        lambda w: w.mean("entropy"),
    ),
    Metric(
        "loss/kl",
        "How far the policy moved",
        "nats",
        "KL divergence of the policy that acted from the one that learns, estimated by mean(r - 1 - log r).",
        lambda w: w.mean("kl"),
    ),
    Metric(
        "loss/clipped",
        "Share of steps that are clipped",
        "share",
        "Share of steps whose term of the policy loss is the clipped one, which has no gradient.",
        lambda w: w.mean("clipped"),
    ),
    Metric(
        "loss/minibatches",
        "Minibatches of an update",
        "minibatches",
        "How many minibatches an update learned from; fewer than planned where `train.target_kl` ended it.",
        lambda w: w.mean("minibatches"),
    ),
)

# What a field in a metric's name stands for.
NAMED: dict[str, tuple[str, ...]] = {"event": tuple(EVENTS), "change": COUNTED_CHANGES}
