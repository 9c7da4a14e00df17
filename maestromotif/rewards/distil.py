"""Stage `distil`: a reward model of each skill is learned from its preferences.

By default a label is sigmoid(margin / temperature), the language model's own certainty, so that R keeps the
distances between its scores and not only their order; ties stay at 1/2. How models are learned stands in
`fit`. Of the models of a skill the one with the lowest held-out loss is the skill's, so the held-out figures
are a little flattering; the card says so.

    <skill>/card.json, params.msgpack    the skill's model
    <skill>/members/<seed>.msgpack       all models of the skill, if there are several
"""

from typing import Any

import flax.serialization
import numpy as np

from maestromotif.errors import UserError
from maestromotif.preferences import dataset
from maestromotif.preferences.dataset import Items
from maestromotif.rewards import quality
from maestromotif.rewards.fit import Member, train
from maestromotif.rewards.judged import Judged, read_judged
from maestromotif.rewards.model import QUANTILES, RewardModels
from maestromotif.settings import Config
from maestromotif.skill import Skill, load_all
from maestromotif.store import Artefact, Work

SHOWN = 15  # best and worst items on a card
CHANCE = 0.5  # accuracy of a coin, the baseline
CHECKPOINT = "members.msgpack"


def run(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    """The stage. Raises UserError if no part can be held out, or a skill's labels tell nothing."""
    settings, spoken = config.distil, config.annotate.changes
    skills = load_all(config.skills_folder, config.skills)
    annotated = inputs["annotate"]
    random = np.random.default_rng([config.run.seed, 2])
    judged = read_judged(annotated.path, config.skills, settings, random)
    members = train(judged, config.skills, settings, config.run.seed, work.scratch / CHECKPOINT)

    items = dataset.distinct(dataset.load(inputs["collect"].path / "observations.npz"), spoken)
    judge = {
        name: annotated.manifest["facts"][name]
        for name in ("model", "model_sha256", "licence", "prompt_sha256")
    }
    facts: dict[str, Any] = {"network": settings.network, "judge": judge, "items": len(items), "skills": {}}
    for k, skill in enumerate(skills):
        best = min(members[k], key=lambda member: (member.loss is None, member.loss or 0.0, member.seed))
        card = _card(config, skill, k, judged, members[k], best, items)
        if judged.ties[k].all() or card["std"] < 1e-6:
            raise UserError(
                f"skill '{skill.name}': its labels do not tell captions apart: nothing can be learned; see "
                f"{annotated.path / skill.name / 'quality.json'}. Describe the skill in other words, or "
                "lower annotate.tie_margin."
            )
        work.write_json(f"{skill.name}/card.json", card | {"judge": judge})
        work.write_bytes(f"{skill.name}/params.msgpack", flax.serialization.to_bytes(best.params))
        if len(members[k]) > 1:
            for member in members[k]:
                content = flax.serialization.to_bytes(member.params)
                work.write_bytes(f"{skill.name}/members/{member.seed}.msgpack", content)
        facts["skills"][skill.name] = {"accuracy_held_out": card["accuracy_held_out"], "epoch": card["epoch"]}
    return facts


def _card(
    config: Config, skill: Skill, k: int, judged: Judged, members: list[Member], best: Member, items: Items
) -> dict[str, Any]:
    """What is to be known of a skill's model; `k` is the skill's number."""
    spoken = config.annotate.changes
    chosen = {"held_out": judged.held_out, "train": ~judged.held_out}
    accuracy = {
        side: quality.accuracy(
            best.scores, judged, k, which, np.random.default_rng([config.run.seed, 3, k, number])
        )
        for number, (side, which) in enumerate(chosen.items())
    }
    plain = {"network": config.distil.network, "changes": list(spoken), "mean": 0.0, "std": 1.0}
    models = RewardModels(
        [str(member.seed) for member in members],
        [plain] * len(members),
        [member.params for member in members],
    )
    raw = models.score(items.message_list(), items.changes).T.astype(np.float64)  # R of all items [J, I]
    every_z = (raw - raw.mean(1, keepdims=True)) / np.maximum(raw.std(1, keepdims=True), 1e-9)
    number = members.index(best)
    z = every_z[number]
    order = np.argsort(-z, kind="stable")
    top, bottom = (
        [
            {
                "caption": items.caption(item, spoken),
                "reward": round(float(z[item]), 4),
                "count": int(items.count[item]),
            }
            for item in shown.tolist()
        ]
        for shown in (order[:SHOWN], order[::-1][:SHOWN])
    )
    return {
        "skill": skill.name,
        "description": skill.description,
        "network": config.distil.network,
        "changes": list(spoken),
        "accuracy_held_out": accuracy["held_out"],
        "accuracy_train": accuracy["train"],
        "accuracy_note": "share of pairs ordered as labelled, ties left out; interval by bootstrap over "
        "captions; epoch and model were chosen by the held-out loss",
        "calibration_held_out": quality.calibration(best.scores, judged, k, judged.held_out),
        "disagreement": quality.disagreement(
            every_z, [member.scores for member in members], judged, k, judged.held_out
        ),
        "baseline": CHANCE,
        "pairs": len(judged.pairs[k]),
        "epoch": best.epoch,
        "seed": best.seed,
        "ancestry": best.ancestry,
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
        "mean": float(raw[number].mean()),
        "std": float(raw[number].std()),
        "quantiles": {f"{q:.2f}": round(float(np.quantile(z, q)), 4) for q in QUANTILES},
        "items": len(items),
        "top": top,
        "bottom": bottom,
    }
