"""Stage `distil`: trains a reward model of each skill on the skill's preferences.

By default a label is sigmoid(margin / temperature), the language model's certainty, so that R keeps the
distances between its scores and not only their order; ties stay at 1/2. `fit.py` trains the models. A skill
gets the one of its models with the lowest held-out loss, so the held-out figures are slightly too good; the
card says so.

    <skill>/card.json, params.msgpack    the skill's model
    <skill>/members/<seed>.msgpack       all models of the skill, if there are several
"""

from typing import Any

import numpy as np

from maestromotif.annotate.preferences import FIGURES
from maestromotif.collect import observations
from maestromotif.collect.observations import Items
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.pipeline.trees import tree_bytes
from maestromotif.rewards.accuracy import accuracy, calibration, disagreement
from maestromotif.rewards.card import normalised, over_items, raw_rewards, reads_of
from maestromotif.rewards.fit import Member, best, train
from maestromotif.rewards.model import FLAT, member_file, write_model
from maestromotif.rewards.pairs import Judged, read_judged
from maestromotif.skill import Skill, skill_files, skills_of
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

CHANCE = 0.5  # accuracy of guessing, the baseline
CHECKPOINT = "members.msgpack"

LOGGED = (
    Logged("distil/loss_held_out", "nats", "Loss on held-out pairs, mean over skills and members.", "min"),
    Logged("rm/{skill}/val_acc", "share", "Share of held-out pairs ordered as labelled; guessing gives 0.5."),
    Logged("rm/{skill}/val_acc_low", "share", "Lower end of its 95 % interval."),
    Logged("rm/{skill}/val_acc_high", "share", "Upper end of its 95 % interval."),
    Logged("rm/{skill}/train_acc", "share", "The same on the pairs that the model learned from."),
    Logged("rm/{skill}/val_nll", "nats", "Loss on held-out pairs."),
    Logged("rm/{skill}/ece", "probability", "Expected calibration error on held-out pairs."),
    Logged("rm/{skill}/epoch", "epochs", "Epoch with the lowest held-out loss, whose parameters are used."),
    Logged("rm/{skill}/std", "reward", "Standard deviation of R over the collected observations."),
    Logged("rm/{skill}/observations", "table", "The best and the worst paid observations."),
    Logged("rm/{skill}/calibration", "table", "Confidence and accuracy by bins of held-out pairs."),
    Logged("rm/{skill}/quantiles", "table", "Quantiles of the normalised reward over the observations."),
)


def reads(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the skill files."""
    return skill_files(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Run the stage. Raises UserError if nothing can be held out, or a skill's labels teach nothing."""
    settings, spoken = config.distil, config.annotate.changes
    skills = skills_of(config)
    annotated = inputs["annotate"]
    random = np.random.default_rng([config.run.seed, 2])
    judged = read_judged(
        annotated.path, inputs["curate"].path, config.skills, settings, random, config.annotate.telling
    )
    members = train(judged, config.skills, settings, config.run.seed, work.scratch / CHECKPOINT, tracker)

    items = observations.distinct(observations.load(inputs["collect"].path), spoken)
    judge = {
        name: annotated.manifest["facts"][name]
        for name in ("model", "model_sha256", "licence", "prompt_sha256")
    }
    facts: dict[str, Any] = {"network": settings.network, "judge": judge, "items": len(items), "skills": {}}
    for k, skill in enumerate(skills):
        chosen = best(members[k])
        card = _card(config, skill, k, judged, members[k], chosen, items)
        if judged.ties[k].all() or card["std"] < FLAT:
            raise UserError(
                f"skill '{skill.name}': its labels do not distinguish captions, so nothing can be learned; "
                f"see {annotated.path / skill.name / FIGURES}. Describe the skill in other words, or "
                "lower annotate.tie_margin."
            )
        write_model(work, skill.name, card | {"judge": judge}, chosen.params)
        if len(members[k]) > 1:
            for member in members[k]:
                work.write_bytes(f"{skill.name}/{member_file(member.seed)}", tree_bytes(member.params))
        _track(tracker, k, card)
        facts["skills"][skill.name] = {"accuracy_held_out": card["accuracy_held_out"], "epoch": card["epoch"]}
    return facts


def _card(
    config: Config, skill: Skill, k: int, judged: Judged, members: list[Member], chosen: Member, items: Items
) -> dict[str, Any]:
    """The card of a skill's model; `k` is the skill's number."""
    sides = {"held_out": judged.held_out, "train": ~judged.held_out}
    accuracies = {
        side: accuracy(
            chosen.scores, judged, k, which, np.random.default_rng([config.run.seed, 3, k, number])
        )
        for number, (side, which) in enumerate(sides.items())
    }
    reads = reads_of(config)
    raw = raw_rewards([member.params for member in members], reads, items)
    number = members.index(chosen)
    return {
        "skill": skill.name,
        "description": skill.description,
        **reads,
        "accuracy_held_out": accuracies["held_out"],
        "accuracy_train": accuracies["train"],
        "accuracy_note": "share of pairs ordered as labelled, ties left out; interval by bootstrap over "
        "captions; epoch and model were chosen by the held-out loss",
        "calibration_held_out": calibration(chosen.scores, judged, k, judged.held_out),
        "disagreement": disagreement(
            normalised(raw), [member.scores for member in members], judged, k, judged.held_out
        ),
        "baseline": CHANCE,
        "pairs": len(judged.pairs[k]),
        "epoch": chosen.epoch,
        "seed": chosen.seed,
        "ancestry": chosen.ancestry,
        "members": [
            {
                "seed": member.seed,
                "ancestry": member.ancestry,
                "epoch": member.epoch,
                "loss_held_out": member.loss,
                "mean": float(own.mean()),
                "std": float(own.std()),
            }
            for member, own in zip(members, raw, strict=True)
        ],
        **over_items(raw[number], items, reads),
    }


def _track(tracker: Tracker, step: int, card: dict[str, Any]) -> None:
    held_out, key = card["accuracy_held_out"], f"rm/{card['skill']}"
    chosen = next(one for one in card["members"] if one["seed"] == card["seed"])
    row = {
        "val_acc": held_out["accuracy"],
        "val_acc_low": held_out["low"],
        "val_acc_high": held_out["high"],
        "train_acc": card["accuracy_train"]["accuracy"],
        "val_nll": chosen["loss_held_out"],
        "ece": card["calibration_held_out"]["ece"],
        "epoch": card["epoch"],
        "std": card["std"],
    }
    tracker.row(step, {f"{key}/{name}": value for name, value in row.items() if value is not None})
    ends = [
        [side, one["caption"], one["reward"], one["count"]]
        for side in ("top", "bottom")
        for one in card[side]
    ]
    tracker.table(step, f"{key}/observations", ["end", "caption", "reward", "observations"], ends)
    bins = [
        [one["confidence"], one["accuracy"], one["pairs"]] for one in card["calibration_held_out"]["bins"]
    ]
    tracker.table(step, f"{key}/calibration", ["confidence", "accuracy", "pairs"], bins)
    quantiles = [[float(name), value] for name, value in card["quantiles"].items()]
    tracker.table(step, f"{key}/quantiles", ["quantile", "reward"], quantiles)
