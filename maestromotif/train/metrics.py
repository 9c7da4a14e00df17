"""The metrics of training: one table that defines the rows of the learning curve.

To add a figure, add an entry to METRICS and, if it needs a new count, one to the tables in `counts.py`.
"""

import numpy as np

from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.death import CAUSE_GROUPS
from maestromotif.nethack.events import EVENTS
from maestromotif.train.counts import COUNTED_CHANGES, DEPTHS
from maestromotif.train.window import LEAST_EXPLAINED, Metric

CURVE = "curve.jsonl"  # the file that `train` writes, one row per line


METRICS = (
    Metric(
        "env_step",
        "Environment steps",
        "steps",
        "Environment steps from the start of training to the end of the window, over all games.",
        lambda w: w.env_step,
        "max",
    ),
    Metric(
        "episodes",
        "Episodes",
        "episodes",
        "Episodes that ended in the window, without those that began in an arena.",
        lambda w: int(w["episodes"]),
        "mean",
    ),
    Metric(
        "deaths",
        "Deaths",
        "episodes",
        "Those of `episodes` that ended with the hero's death.",
        lambda w: int(w["deaths"]),
        "mean",
    ),
    Metric(
        "episode/length_mean",
        "Steps in an episode, mean",
        "steps",
        "Mean over `episodes` of their environment steps; left out if no episode ended.",
        lambda w: w.per_episode("length"),
    ),
    Metric(
        "episode/death_share",
        "Share of episodes that end in death",
        "share",
        "`deaths` divided by `episodes`; left out if no episode ended.",
        lambda w: w.per_episode("deaths"),
    ),
    Metric(
        "deaths/{cause}",
        "Share of episodes that end in death: {cause}",
        "share",
        "Share of `episodes` that ended in a death of this group of causes; left out if no episode "
        "ended. The shares of all groups sum to `episode/death_share`.",
        lambda w: w.per_episode("causes"),
    ),
    Metric(
        "depth/deepest_mean",
        "Deepest level of an episode, mean",
        "levels",
        "Mean over `episodes` of the deepest level reached; left out if no episode ended.",
        lambda w: w.per_episode("deepest"),
    ),
    Metric(
        "depth/at_least_{depth}",
        "Share of episodes that reach level {depth}",
        "share",
        "Share of `episodes` that reached this level or a deeper one; left out if no episode ended.",
        lambda w: w.per_episode("at_least"),
    ),
    # What a skill earns, and what it does.
    Metric(
        "skill/{skill}/reward_per_1k_steps",
        "Reward in 1,000 steps of the skill",
        "reward / 1,000 steps",
        "Sum of the skill's rewards in 1,000 of the steps in which it acted.",
        lambda w: 1000 * w.rate("reward"),
    ),
    Metric(
        "skill/{skill}/wanted_per_1k_steps",
        "Wanted events in 1,000 steps of the skill",
        "events / 1,000 steps",
        "How often the events under `wanted` in the skill's file happened in 1,000 of its steps, all "
        "together. If the reward rises and this does not, the skill is paid for something else. Left out for "
        "a skill that names none.",
        lambda w: w.listed("wanted"),
    ),
    Metric(
        "skill/{skill}/forbidden_per_1k_steps",
        "Forbidden events in 1,000 steps of the skill",
        "events / 1,000 steps",
        "Likewise for the events under `forbidden`.",
        lambda w: w.listed("forbidden"),
    ),
    Metric(
        "skill/{skill}/progress_per_1k_steps",
        "Events of progress in 1,000 steps of the skill",
        "events / 1,000 steps",
        "Likewise for the events under `progress`.",
        lambda w: w.listed("progress"),
    ),
    Metric(
        "skill/{skill}/reward_per_call",
        "Reward in one call of the skill",
        "reward",
        "Sum of the skill's rewards, divided by how many of its calls ended (by 1 if none did).",
        lambda w: w["reward"] / max(w["ended"], 1),
    ),
    Metric(
        "skill/{skill}/lost_per_1k_steps",
        "Losses in 1,000 steps of the skill",
        "reward / 1,000 steps",
        "Sum of the skill's rewards below 0, without their sign, in 1,000 of the steps in which it acted.",
        lambda w: 1000 * w.rate("lost"),
    ),
    Metric(
        "skill/{skill}/paid_share",
        "Share of the skill's steps that earn a reward",
        "share",
        "Share of the steps in which the skill acted that earned more than 0: whether its reward is dense or "
        "rare, which the sum of the reward does not show.",
        lambda w: w.rate("paid"),
    ),
    # Who acts, for how long, and why it stops.
    Metric(
        "skill/{skill}/time_share",
        "Share of all steps",
        "share",
        "Share of all environment steps in which the skill acted.",
        lambda w: w["steps"] / max(w.of_all_skills("steps"), 1),
    ),
    Metric(
        "skill/{skill}/calls",
        "Calls of the skill",
        "calls",
        "How many of the skill's calls ended in the window.",
        lambda w: int(w["ended"]),
        "mean",
    ),
    Metric(
        "skill/{skill}/mean_duration",
        "Steps in one call of the skill",
        "steps",
        "Steps in which the skill acted, divided by how many of its calls ended (by 1 if none did).",
        lambda w: w["steps"] / max(w["ended"], 1),
    ),
    Metric(
        "skill/{skill}/ended_achieved",
        "Share of calls that the skill ends after a wanted event",
        "share",
        "Share of the skill's ended calls that its own `should_end` ended after one of its `wanted` events "
        "had happened in the call, without a `forbidden` one in the last step, and before its `max_turns` "
        "had passed. With the other four `ended_` figures it sums to 1, or all are 0 if no call ended. A "
        "skill that names no `wanted` events has 0 here.",
        lambda w: w.ended("achieved"),
    ),
    Metric(
        "skill/{skill}/ended_failed",
        "Share of calls that the skill ends with a forbidden event, or without a wanted one",
        "share",
        "Share of the skill's ended calls that its own `should_end` ended with a `forbidden` event in the "
        "last step, for example when the discoverer left the level, or without a `wanted` event in the call "
        "before its `max_turns` had passed.",
        lambda w: w.ended("failed"),
    ),
    Metric(
        "skill/{skill}/ended_timed_out",
        "Share of calls that the skill ends because its time is up",
        "share",
        "Share of the skill's ended calls that its own `should_end` ended when its `max_turns` had passed.",
        lambda w: w.ended("timed_out"),
    ),
    Metric(
        "skill/{skill}/ended_interrupted",
        "Share of calls that the program interrupts",
        "share",
        "Share of the skill's ended calls that the `should_end` of the program over skills ended.",
        lambda w: w.ended("interrupted"),
    ),
    Metric(
        "skill/{skill}/ended_episode",
        "Share of calls that end with the episode",
        "share",
        "Share of the skill's ended calls that ended because the episode was over: the hero died or left, or "
        "`nethack.max_steps` was reached.",
        lambda w: w.ended("episode"),
    ),
    Metric(
        "actions/{skill}/{action}",
        "{action}: share of the skill's steps",
        "share",
        "Share of the skill's steps on which it chose the action. Actions that are not in "
        "`train.network.actions` are left out.",
        lambda w: w.rate("actions"),
    ),
    Metric(
        "events/{skill}/{event}_per_1k_steps",
        "{event} in 1,000 steps of the skill",
        "events / 1,000 steps",
        "How often the event happened in 1,000 of the steps in which the skill acted.",
        lambda w: 1000 * w.rate("events"),
    ),
    Metric(
        "changes/{skill}/{change}_per_1k_steps",
        "{change}: changes in 1,000 steps of the skill",
        "changes / 1,000 steps",
        "On how many of 1,000 of the skill's steps the change happened. The depth "
        "is left out, because events count descents and ascents.",
        lambda w: 1000 * w.rate("changes"),
    ),
    # The learner's figures by skill, from `ppo.loss` and `ppo.targets`.
    Metric(
        "skill/{skill}/value_loss",
        "Value loss of the skill",
        "scaled return squared",
        "`loss/value_loss` over the skill's steps alone; left out if it did not act.",
        lambda w: w.ratio("skill_value_loss", "skill_steps"),
    ),
    Metric(
        "skill/{skill}/explained_variance",
        "Explained variance of the skill's value",
        "share",
        "1 - Var(R - V) / Var(R) over the skill's steps in an update, before it learns from them; V is the "
        "value and R its target. Both variances are sums over the updates of the window. 1 is perfect, 0 is "
        f"no better than a constant, and {LEAST_EXPLAINED:g} stands for anything below it too. Left out if "
        "the targets do not vary.",
        lambda w: w.explained(),
    ),
    Metric(
        "skill/{skill}/entropy",
        "Entropy of the skill's policy",
        "nats",
        "`loss/entropy` over the skill's steps alone; left out if it did not act.",
        lambda w: w.ratio("skill_entropy", "skill_steps"),
    ),
    Metric(
        "skill/{skill}/kl",
        "How far the skill's policy moved",
        "nats",
        "`loss/kl` over the skill's steps alone; left out if it did not act.",
        lambda w: w.ratio("skill_kl", "skill_steps"),
        "max",
    ),
    Metric(
        "skill/{skill}/advantage_std",
        "Standard deviation of the skill's advantages",
        "scaled return",
        "Of the advantages over the skill's steps in an update, before they are normalised; left out if it "
        "did not act.",
        lambda w: w.advantage_std(),
    ),
    Metric(
        "skill/{skill}/return_scale",
        "Scale of the skill's rewards",
        "reward",
        "By what the skill's rewards are divided before it learns from them: the root mean square of its "
        "discounted returns. 1 before the first reward, and with `train.scale_returns: false`.",
        lambda w: float(np.asarray(w.figures[-1]["return_scale"])[w.skill]),
    ),
    # The learner's other figures, from `ppo.loss` and `Learner.update`: means over the window's updates.
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
        "max",
    ),
    Metric(
        "loss/update_kl",
        "How far an update moves the policy",
        "nats",
        "KL divergence of the policy at the update's start from the one that learns, mean over minibatches; "
        "left out without `train.target_kl`, which bounds it.",
        lambda w: w.mean("update_kl") if "update_kl" in w.figures[-1] else None,
        "max",
    ),
    Metric(
        "loss/clipped",
        "Share of steps that are clipped",
        "share",
        "Share of steps whose term of the policy loss is the clipped one, which has no gradient.",
        lambda w: w.mean("clipped"),
    ),
    Metric(
        "loss/gradient_norm",
        "Norm of the gradient",
        "1",
        "Euclidean norm of the gradient of a minibatch before `train.max_grad_norm` clips it, mean over "
        "minibatches.",
        lambda w: w.mean("gradient_norm"),
        "max",
    ),
    Metric(
        "loss/learning_rate",
        "Learning rate",
        "1",
        "Adam's learning rate, mean over the window's updates; `train.anneal` may lower it.",
        lambda w: w.mean("learning_rate"),
    ),
    Metric(
        "loss/teacher_kl",
        "How far the policy is from its teacher",
        "nats",
        "KL divergence of the policy from the teacher (`train.teacher`), for the acting skill, mean over "
        "steps; left out without a teacher, and after it has finished.",
        lambda w: w.mean_of_some("teacher_kl"),
    ),
    Metric(
        "loss/teacher_coefficient",
        "Weight of the teacher",
        "1",
        "Weight of `loss/teacher_kl` in the loss; left out without a teacher.",
        lambda w: w.mean_of_some("teacher_coefficient"),
    ),
    Metric(
        "loss/minibatches",
        "Minibatches of an update",
        "minibatches",
        "How many minibatches an update learned from; fewer than planned where `train.target_kl` ended it.",
        lambda w: w.mean("minibatches"),
        "mean",
    ),
)

# What a field in a metric's name stands for.
NAMED: dict[str, tuple[str, ...]] = {
    "event": tuple(EVENTS),
    "change": COUNTED_CHANGES,
    "action": NAMES,
    "cause": tuple(CAUSE_GROUPS),
    "depth": tuple(map(str, DEPTHS)),
}
