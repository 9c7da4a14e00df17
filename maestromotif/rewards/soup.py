"""Stage `soup`: averages reward models of one ancestry, weighted by what each is good at.

After SoCE (Souper-Model: soup of category experts, arXiv 2511.13254, 2025). Categories are a skill's kinds of
event. For every skill:

1. Models with a common start: fine-tuned from one model, one on all pairs and one expert for each of the most
   frequent kinds of event (`soup.of: experts`), or the ensemble that `distil` trained (`members`), if its
   models have the same start. Models with different starts are refused: they lie in different basins of the
   loss.
2. Categories in which models have different strengths: the accuracies of the models are weakly correlated.
   First the category in which the models differ most, then every other one whose |Pearson correlation| with
   all chosen ones is below `soup.correlation`. The best model of each category is in the soup.
3. Weights: on the simplex in steps of 1/STEPS, those with the highest mean accuracy over all categories.

Steps 2 and 3 see only pairs of the captions for choosing. The soup is compared on pairs of other captions,
which neither training nor choosing has seen, with the best single model by the same measure, the uniform
average of all models, and their ensemble (the mean of their rewards). Experts are trained and compared
`soup.folds` times, and each fold is reported on once, so all captions count.

    <skill>/card.json, params.msgpack    the soup; reward.path may name this folder
    soup.json, soup.md                   the comparison
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from maestromotif.collect import observations
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.quality import oracle
from maestromotif.rewards.accuracy import over_captions
from maestromotif.rewards.batches import Captions
from maestromotif.rewards.card import over_items, raw_rewards, reads_of
from maestromotif.rewards.experts import ALL, Pot, experts, members
from maestromotif.rewards.fit import Member, score
from maestromotif.rewards.model import Params, write_model
from maestromotif.rewards.pairs import Judged, read_judged
from maestromotif.skill import skill_files, skills_of
from maestromotif.tracking.tracker import SILENT, Tracker

STEPS = 10  # weights are multiples of a tenth
MOST = 3  # maximum number of models in a soup, so that all weights can be tried
FEWEST = 10  # a category with fewer pairs is ignored
METHODS = ("start", ALL, "best single", "uniform", "soup", "ensemble")
SAYS = {
    "start": "the common model, before it was fine-tuned",
    ALL: "fine-tuned on all pairs for as many epochs; not an expert",
    "best single": "the best model on the captions for choosing",
    "uniform": "average of all models' parameters",
    "soup": "average with chosen weights",
    "ensemble": "mean of all models' rewards",
}


@dataclass(frozen=True)
class Soup:
    """The chosen average: weights float64 [J] of a pot's models, and R of all captions by each method."""

    weights: np.ndarray
    params: Params
    categories: list[str]  # the weakly correlated ones
    single: int  # the best single model
    scores: dict[str, np.ndarray]


def reads(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the skill files."""
    return skill_files(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Run the stage. Raises UserError if models of a skill started from unrelated parameters."""
    settings, spoken = config.distil, config.annotate.changes
    skills = skills_of(config)
    random = np.random.default_rng([config.run.seed, 2])  # as distil, so the same captions are held out
    judged = read_judged(
        inputs["annotate"].path,
        inputs["curate"].path,
        config.skills,
        settings,
        random,
        config.annotate.telling,
    )
    captions = Captions(settings.network, judged.read, judged.changes)
    kinds = [
        oracle.kind(observations.text(message), row)
        for message, row in zip(judged.messages, judged.changes.tolist(), strict=True)
    ]
    if config.soup.of == "experts":
        pots = experts(config, judged, captions, kinds, work)
    else:
        pots = members(config, judged, captions, kinds, inputs["distil"])
    items = observations.distinct(observations.load(inputs["collect"].path), spoken)
    cooked = [(pot, cook(pot, judged, captions, kinds, config.soup.correlation)) for pot in pots]
    found: dict[str, Any] = {}
    for k, skill in enumerate(skills):
        own = [(pot, soup) for pot, soup in cooked if pot.fold.skill == k]
        compared = [(pot, soup) for pot, soup in own if pot.fold.report.any()]
        found[skill.name] = compare(
            judged, k, compared, kinds, np.random.default_rng([config.run.seed, 8, k])
        )
        pot, soup = own[-1]
        recipe = {
            name: round(float(weight), 4)
            for name, weight in zip(pot.names, soup.weights, strict=True)
            if weight
        }
        reads = reads_of(config)
        raw = raw_rewards([soup.params], reads, items)
        card = {
            "skill": skill.name,
            "description": skill.description,
            **reads,
            "recipe": recipe,
            "ancestry": pot.models[0].ancestry,
            "accuracy_held_out": found[skill.name]["methods"]["soup"],
            "accuracy_note": "of soups made in the same way without the captions that they are reported on",
            **over_items(raw[0], items, reads),
        }
        found[skill.name]["recipe"] = recipe
        write_model(work, skill.name, card, soup.params)
    work.write_json("soup.json", {"settings": config.soup.model_dump(), "skills": found})
    work.write_text("soup.md", markdown(found))
    return {"skills": {name: row["methods"]["soup"] for name, row in found.items()}}


# ------------------------------------------------------------------------------------------------- cooking


def blend(names: Sequence[str], models: Sequence[Member], weights: np.ndarray) -> Params:
    """The average of models' parameters by weights float [J] that sum to 1.

    Raises UserError if two of them started from unrelated parameters.
    """
    for name, model in zip(names, models, strict=True):
        if model.ancestry != models[0].ancestry:
            raise UserError(
                f"models '{names[0]}' and '{name}' started from unrelated parameters (ancestry "
                f"{models[0].ancestry} and {model.ancestry}), so they cannot be averaged; train them from "
                "one start (distil.same_start=true), or set soup.of=experts"
            )
    total = sum(weights)
    return dict(
        jax.tree.map(
            lambda *leaves: np.asarray(
                sum(w * leaf for w, leaf in zip(weights, leaves, strict=True)) / total, leaves[0].dtype
            ),
            *[model.params for model in models],
        )
    )


def cook(pot: Pot, judged: Judged, captions: Captions, kinds: Sequence[str], correlation: float) -> Soup:
    """The soup of a pot, chosen on its captions `choose`."""
    names, models, k = pot.names, pot.models, pot.fold.skill
    even = np.full(len(models), 1 / len(models))
    uniform = blend(names, models, even)  # first, because it refuses models of different ancestry
    each = np.stack([model.scores for model in models])  # [J, N]
    categories = {
        kind: rows
        for kind, rows in _categories(judged, k, pot.fold.choose, kinds).items()
        if len(rows) >= FEWEST
    }
    accuracy = _accuracies(each, judged, k, categories)  # [J, C]
    overall = accuracy.mean(1) if categories else np.zeros(len(models))
    single = int(overall.argmax())
    chosen = weakly_correlated(accuracy, correlation)
    best = list(dict.fromkeys([int(accuracy[:, c].argmax()) for c in chosen] + [single]))[:MOST]
    grid = np.array(_simplex(len(best), STEPS)) / STEPS
    weights = np.zeros((len(grid), len(models)))
    weights[:, best] = grid
    stacked = [blend(names, models, row) for row in weights]
    scores = score(captions, stacked)
    value = _accuracies(scores, judged, k, categories).mean(1) if categories else np.zeros(len(grid))
    # Of equally good weights the most even: averages of many models lie in flatter regions of the loss.
    order = np.lexsort(((grid**2).sum(1), -value.round(9)))
    taken = int(order[0])
    told = {
        ALL: each[names.index(ALL)] if ALL in names else None,
        "start": pot.start,
        "best single": each[single],
        "uniform": score(captions, [uniform])[0],
        "soup": scores[taken],
        "ensemble": each.mean(0),
    }
    return Soup(
        weights=weights[taken],
        params=stacked[taken],
        categories=[list(categories)[c] for c in chosen],
        single=single,
        scores={name: told[name] for name in METHODS if told[name] is not None},
    )


def weakly_correlated(accuracy: np.ndarray, below: float) -> list[int]:
    """Categories in which models have different strengths; accuracy: float64 [J, C].

    First the one in which the models differ most; then, in order of how much they differ, each one whose
    absolute Pearson correlation with all chosen ones is less than `below`. A category in which all models are
    alike is never chosen.
    """
    spread = accuracy.std(0)
    chosen: list[int] = []
    for c in np.lexsort((np.arange(len(spread)), -spread.round(9))).tolist():
        if spread[c] < 1e-9:
            break
        if all(abs(np.corrcoef(accuracy[:, c], accuracy[:, other])[0, 1]) < below for other in chosen):
            chosen.append(c)
    return chosen


def _simplex(models: int, steps: int) -> list[tuple[int, ...]]:
    """All ways to distribute `steps` equal shares among the models."""
    if models == 1:
        return [(steps,)]
    return [(own, *rest) for own in range(steps + 1) for rest in _simplex(models - 1, steps - own)]


def _categories(
    judged: Judged, skill: int, chosen: np.ndarray, kinds: Sequence[str]
) -> dict[str, np.ndarray]:
    """Rows of a skill's pairs within captions `chosen` (bool [N]), without ties, by kind of event."""
    rows = np.flatnonzero(judged.within(skill, chosen) & ~judged.ties[skill])
    told = np.array(kinds, object)[judged.pairs[skill][rows]]
    return {kind: rows[(told == kind).any(1)] for kind in sorted(set(told.reshape(-1).tolist()))}


def _right(scores: np.ndarray, judged: Judged, skill: int, rows: np.ndarray) -> np.ndarray:
    """Whether pairs are ordered as labelled, bool [J, len(rows)]; scores: float32 [J, N]."""
    pairs = judged.pairs[skill][rows]
    right: np.ndarray = (scores[:, pairs[:, 0]] > scores[:, pairs[:, 1]]) == (
        judged.labels[skill][rows] > 0.5
    )
    return right


def _accuracies(
    scores: np.ndarray, judged: Judged, skill: int, categories: dict[str, np.ndarray]
) -> np.ndarray:
    """float64 [J, C]."""
    columns = [_right(scores, judged, skill, rows).mean(1) for rows in categories.values()]
    return np.stack(columns, 1) if columns else np.zeros((len(scores), 0))


# ----------------------------------------------------------------------------------------------- comparing


def compare(
    judged: Judged,
    skill: int,
    cooked: Sequence[tuple[Pot, Soup]],
    kinds: Sequence[str],
    random: np.random.Generator,
) -> dict[str, Any]:
    """Accuracy of each method on all pots' captions for reporting, and its gain over the best single model.

    Intervals are 95 %, by bootstrap over captions.
    """
    names = list(cooked[0][1].scores)
    rows, right = [], []
    for pot, soup in cooked:
        own = np.flatnonzero(judged.within(skill, pot.fold.report) & ~judged.ties[skill])
        rows.append(own)
        right.append(_right(np.stack([soup.scores[name] for name in names]), judged, skill, own))
    row, hit = np.concatenate(rows), np.concatenate(right, 1).astype(np.float64)  # [P], [methods, P]
    pairs = judged.pairs[skill][row]
    single = names.index("best single")
    methods: dict[str, dict[str, float | int | None]] = {}
    samples = over_captions(pairs, hit, random) if len(row) else np.zeros((0, len(names)))
    for m, name in enumerate(names):
        if not len(row):
            methods[name] = {"accuracy": None, "low": None, "high": None, "pairs": 0}
            continue
        low, high = np.quantile(samples[:, m], [0.025, 0.975])
        better = np.quantile(samples[:, m] - samples[:, single], [0.025, 0.975])
        methods[name] = {
            "accuracy": round(float(hit[m].mean()), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
            "pairs": len(row),
            "over_single": round(float(hit[m].mean() - hit[single].mean()), 4),
            "over_single_low": round(float(better[0]), 4),
            "over_single_high": round(float(better[1]), 4),
        }
    told = np.array(kinds, object)[pairs]
    by_kind = {}
    for kind in sorted(set(told.reshape(-1).tolist())):
        of = (told == kind).any(1)
        by_kind[kind] = {
            "pairs": int(of.sum()),
            **{name: round(float(hit[m, of].mean()), 4) for m, name in enumerate(names)},
        }
    return {
        "methods": methods,
        "by_kind": by_kind,
        "folds": [
            {
                "weights": {
                    name: round(float(w), 4) for name, w in zip(pot.names, soup.weights, strict=True)
                },
                "categories": soup.categories,
                "best_single": pot.names[soup.single],
            }
            for pot, soup in cooked
        ],
    }


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """Tables by skill, and by skill and kind of event."""
    first = next(iter(found.values()))
    names = list(first["methods"])

    def share(figure: dict[str, Any]) -> str:
        if figure["accuracy"] is None:
            return "–"
        return f"{figure['accuracy']:.1%} ({figure['low']:.0%} to {figure['high']:.0%})"

    lines = [
        "| skill | pairs | " + " | ".join(names) + " | soup over best single, points | recipe |",
        "|---|--:|" + "---|" * (len(names) + 2),
    ]
    for skill, row in found.items():
        soup = row["methods"]["soup"]
        cells = [share(row["methods"][name]) for name in names]
        over = (
            "–"
            if soup["accuracy"] is None
            else f"{100 * soup['over_single']:+.1f} ({100 * soup['over_single_low']:+.1f} to "
            f"{100 * soup['over_single_high']:+.1f})"
        )
        recipe = ", ".join(f"{weight:g} {name}" for name, weight in row["recipe"].items())
        lines.append(f"| {skill} | {soup['pairs']} | {' | '.join(cells)} | {over} | {recipe} |")
    lines += [
        "",
        "Held-out accuracy on captions that neither training nor choosing weights has seen; 95 % intervals "
        "by bootstrap over captions. " + "; ".join(f"{name}: {SAYS[name]}" for name in names) + ".",
        "",
        "| skill | kind of event | pairs | " + " | ".join(names) + " |",
        "|---|---|--:|" + "--:|" * len(names),
    ]
    for skill, row in found.items():
        for kind, figures in row["by_kind"].items():
            cells = [f"{figures[name]:.1%}" for name in names]
            lines.append(f"| {skill} | {kind} | {figures['pairs']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
