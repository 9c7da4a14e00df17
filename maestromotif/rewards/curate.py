"""Stage `curate`: selects the labels that reward models train on, and checks the doubtful ones.

1. A pair is left out if its two orders or wordings disagree (inconsistent) or if its margin is below
   `curate.keep_margin` (too close).
2. Every label is compared with reward models that saw neither of its captions. The captions are split into
   quarters; all captions of a message are in one quarter. Two quarters make a half. There are three ways to
   halve four quarters, and any two captions are in the same half in at least one of them, so the model of the
   other half can judge the pair. A model does not judge kinds of event that it has never seen: it knows
   nothing about them, and rare events would be doubted first.
3. A label that such a model does not reproduce is doubted. The most doubted pairs, `curate.again_pairs` per
   skill, are asked again in another way. If the second answer confirms the label, the label stays. If it
   clearly contradicts the label, the label is replaced (two against one). If it is unclear, the pair is
   dropped. Doubted pairs beyond that limit stay as they are, and are counted.

After Source2Synth (A. Lupidi et al., arXiv 2409.08239, 2024), whose curation trains on one slice of the data
and keeps the part of the other that the model can answer. It discards the rest; here that would discard rare
events first.

    <skill>/preferences.npz    the kept pairs: first, second, label, margin
    <skill>/fates.npz          every labelled pair's fate: first, second, fate (index of FATES)
    curate.json, curate.md     how much was kept, by kind of event; the effect of a higher margin
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.annotate import answers
from maestromotif.annotate.answers import Judge
from maestromotif.annotate.labels import Comparison
from maestromotif.annotate.preferences import read_captions, read_preferences, write_preferences
from maestromotif.annotate.questions import Method
from maestromotif.config.labels import DistilSettings
from maestromotif.config.schema import Config
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.quality import measures, oracle
from maestromotif.quality.figures import Figure, agreement, ask_again, by_kind, curate, curve, share, words
from maestromotif.rewards.batches import Captions
from maestromotif.rewards.fit import Learner, learn, start_of
from maestromotif.rewards.model import read_as
from maestromotif.rewards.pairs import parts, targets
from maestromotif.skill import Skill, skills_of
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

log = logging.getLogger("maestromotif")

FATES = ("kept", "inconsistent", "too close", "confirmed", "replaced", "dropped", "not asked")
KEPT, INCONSISTENT, CLOSE, CONFIRMED, REPLACED, DROPPED, NOT_ASKED = range(len(FATES))
LEFT_OUT = (INCONSISTENT, CLOSE, DROPPED)
# For each way to halve four quarters, the half of each quarter.
HALVINGS = np.array([[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]], np.int8)
# Settings of the halves' models, independent of `distil`: a check need not use the final model's settings.
# Each model keeps the epoch that reproduces the other half best, so only the doubts of that epoch count.
CHECK = DistilSettings(seeds=1)
CHECKPOINT = "halves.msgpack"


@dataclass(frozen=True)
class Labels:
    """The P labelled pairs of one skill.

    pairs: int32 [P, 2], captions. margin: float64 [P]. label: float32 [P]. consistent: bool [P].
    """

    pairs: np.ndarray
    margin: np.ndarray
    label: np.ndarray
    consistent: np.ndarray

    def usable(self, keep_margin: float, tie_margin: float) -> np.ndarray:
        return curate(self.margin, self.consistent, keep_margin, tie_margin)


LOGGED = (
    Logged("cur/{skill}/kept", "share", "Share of the labels that the reward model learns from."),
    Logged("cur/{skill}/reproduced", "share", "Share of labels that models of other captions reproduce."),
    Logged("cur/{skill}/labelled_oracle", "share", "Agreement of the labels with the skill's measures."),
    Logged("cur/{skill}/kept_oracle", "share", "The same of the labels that are kept."),
)


def reads(config: Config) -> dict[str, str]:
    """What `answers.reads` names, and the measures of the skills that have some."""
    return answers.reads(config) | measures.reads(config)


def foresee(config: Config) -> None:
    """Raises UserError for mistakes in files of measures, and as `answers.foresee` does."""
    measures.load_all(config.skills_folder, config.skills)
    answers.foresee(config, asks=config.curate.again_pairs > 0)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """The stage. Raises UserError for a mistake in a file of measures, and as the language model does."""
    settings, annotate = config.curate, config.annotate
    skills, folder = skills_of(config), inputs["annotate"].path
    known = measures.load_all(config.skills_folder, config.skills)
    captions = read_captions(folder)
    messages = [row["message"] for row in captions]
    raw = [message.encode("latin-1") for message in messages]
    changes = np.array([row["changes"] for row in captions], np.int8)
    kinds = [oracle.kind(message, row) for message, row in zip(messages, changes.tolist(), strict=True)]
    every = [_read(folder, skill.name) for skill in skills]
    usable = [labels.usable(settings.keep_margin, annotate.tie_margin) for labels in every]
    difference = contradictions(
        Captions(CHECK.network, [read_as(message, annotate.telling) for message in raw], changes),
        kinds,
        parts(raw, kinds, 4, np.random.default_rng([config.run.seed, 7])),
        {skill.name: (labels, kept) for skill, labels, kept in zip(skills, every, usable, strict=True)},
        config.run.seed,
        work.scratch / CHECKPOINT,
    )
    doubted = [
        ask_again(labels.margin, told, annotate.tie_margin) & kept
        for labels, told, kept in zip(every, difference, usable, strict=True)
    ]
    chosen = [
        most_doubted(doubts, labels.margin, told, settings.again_pairs)
        for doubts, labels, told in zip(doubted, every, difference, strict=True)
    ]
    method = settings.again or ("pointwise" if annotate.method == "pairwise" else "pairwise")
    second, questions = ask(config, skills, [row["caption"] for row in captions], every, chosen, method)

    found: dict[str, Any] = {}
    for k, skill in enumerate(skills):
        fate, curated = decide(every[k], usable[k], doubted[k], chosen[k], second[k], config)
        left = ~np.isin(fate, LEFT_OUT)
        pairs = curated.pairs
        label, margin = curated.label[left], curated.margin[left].astype(np.float32)
        write_preferences(work, skill.name, pairs[left], label=label, margin=margin)
        work.write_arrays(f"{skill.name}/fates.npz", first=pairs[:, 0], second=pairs[:, 1], fate=fate)
        truth = None
        if skill.name in known and known[skill.name].worth:
            truth = oracle.labels(oracle.scores(known[skill.name].worth, messages, changes), pairs)
        found[skill.name] = figures(every[k], curated, fate, difference[k], truth, kinds, annotate.tie_margin)
        _say(skill.name, found[skill.name])
        shares = {
            name: found[skill.name][name]["share"]
            for name in ("kept", "reproduced", "labelled_oracle", "kept_oracle")
            if found[skill.name].get(name)
        }
        tracker.row(k, {f"cur/{skill.name}/{name}": x for name, x in shares.items() if x is not None})
    work.write_json("curate.json", {"again": method, "settings": settings.model_dump(), "skills": found})
    work.write_text("curate.md", markdown(found, method))
    return {
        "again": method,
        "questions": questions,
        "skills": {
            name: {"share_kept": row["kept"]["share"], "fates": row["fates"]} for name, row in found.items()
        },
    }


def _read(folder: Path, skill: str) -> Labels:
    columns = read_preferences(folder, skill)
    return Labels(
        columns["pairs"].astype(np.int32),
        columns["margin"].astype(np.float64),
        columns["label"],
        columns["consistent"],
    )


# ------------------------------------------------------------------------------------------- the halves


def contradictions(
    captions: Captions,
    kinds: Sequence[str],
    quarter: np.ndarray,
    every: dict[str, tuple[Labels, np.ndarray]],
    seed: int,
    checkpoint: Path | None = None,
) -> list[np.ndarray]:
    """What models of other captions say about each label; float64 [P] for each skill.

    The first caption's reward minus the second's, averaged over the models that saw neither caption but both
    kinds of event; NaN if there are none. kinds: [N]. quarter: int8 [N]. every: by skill, its labels and
    which of them are usable, bool [P].
    """
    kind = np.unique(np.array(kinds), return_inverse=True)[1].reshape(-1)
    half = HALVINGS[:, quarter]  # [3, N]
    learners, places = [], []
    for k, (name, (labels, usable)) in enumerate(every.items()):
        target = targets(labels.label, labels.margin, CHECK)
        start = start_of(CHECK.network, name, seed, 0, captions.columns)
        for way, side in np.ndindex(3, 2):
            inside = half[way][labels.pairs] == side  # [P, 2]
            own, other = np.flatnonzero(usable & inside.all(1)), np.flatnonzero(usable & ~inside.any(1))
            if len(own):
                learners.append(Learner(f"{name} {way}{side}", 0, start, labels.pairs, target, own, other))
                places.append((k, way, side))
    scores = np.full((len(every), 3, 2, captions.count), np.nan)  # NaN stays where a model cannot judge
    if learners:
        members = learn(captions, learners, CHECK, seed, checkpoint, "curate: halves")
        for place, learner, member in zip(places, learners, members, strict=True):
            met = np.unique(kind[learner.pairs[learner.learned]])
            scores[place] = np.where(np.isin(kind, met), member.scores, np.nan)
    return [unseen(labels.pairs, half, scores[k]) for k, (labels, _) in enumerate(every.values())]


def unseen(pairs: np.ndarray, half: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Mean difference of rewards, float64 [P], by the models of halves that contain neither caption.

    pairs: int [P, 2]. half: int [W, N], the half of each caption in each of W ways to halve. scores: float64
    [W, 2, N], rewards by the models of both halves, NaN where one cannot judge. The result is NaN where no
    model can.
    """
    first, second = half[:, pairs[:, 0]], half[:, pairs[:, 1]]  # [W, P]
    way = np.arange(len(half))[:, None]
    told = scores[way, 1 - first, pairs[None, :, 0]] - scores[way, 1 - first, pairs[None, :, 1]]
    knows = (first == second) & np.isfinite(told)
    total: np.ndarray = np.where(knows, told, 0.0).sum(0)
    return np.where(knows.any(0), total / np.maximum(knows.sum(0), 1), np.nan)


def most_doubted(doubted: np.ndarray, margin: np.ndarray, difference: np.ndarray, most: int) -> np.ndarray:
    """Rows int [<= most] of doubted pairs; those that the model contradicts most strongly come first."""
    rows = np.flatnonzero(doubted)
    order = np.lexsort((rows, -np.abs(margin[rows]), -np.abs(difference[rows])))
    return rows[order[:most]]


# -------------------------------------------------------------------------------------------- asked again


def ask(
    config: Config,
    skills: Sequence[Skill],
    captions: Sequence[str],
    every: Sequence[Labels],
    chosen: Sequence[np.ndarray],
    method: Method,
) -> tuple[list[Labels], int]:
    """A second annotation of the chosen rows of each skill, and the number of questions."""
    settings = config.annotate.model_copy(update={"method": method})
    comparisons = []
    for skill, labels, rows in zip(skills, every, chosen, strict=True):
        own, place = np.unique(labels.pairs[rows], return_inverse=True)
        told = [captions[caption] for caption in own.tolist()]
        pairs = place.reshape(-1, 2).astype(np.int32)
        comparisons.append(Comparison(skill.description, told, pairs, settings))
    judge = Judge(config.language, settings)
    asked = [question for comparison in comparisons for question in comparison.questions()]
    if asked:
        with Progress("curate", len(asked), "questions", done=sum(judge.known(asked))) as progress:
            judge.ask(asked, progress)
    second = []
    for comparison, labels, rows in zip(comparisons, every, chosen, strict=True):
        if not len(rows):
            second.append(_empty())
            continue
        found = comparison.label(judge)
        second.append(Labels(labels.pairs[rows], found.margin, found.label(settings), found.consistent))
    return second, len(asked)


def _empty() -> Labels:
    return Labels(np.zeros((0, 2), np.int32), np.zeros(0), np.zeros(0, np.float32), np.zeros(0, bool))


def decide(
    labels: Labels,
    usable: np.ndarray,
    doubted: np.ndarray,
    chosen: np.ndarray,
    second: Labels,
    config: Config,
) -> tuple[np.ndarray, Labels]:
    """The fate of each pair, int8 [P], and the labels after replacement.

    second: the second annotation of the rows `chosen`.
    """
    fate = np.full(len(labels.margin), KEPT, np.int8)
    fate[~usable] = np.where(labels.consistent[~usable], CLOSE, INCONSISTENT)
    fate[doubted] = NOT_ASKED
    clear = second.usable(config.curate.keep_margin, config.annotate.tie_margin)
    same = second.label == labels.label[chosen]
    fate[chosen] = np.where(clear, np.where(same, CONFIRMED, REPLACED), DROPPED)
    replaced = clear & ~same
    label, margin = labels.label.copy(), labels.margin.copy()
    label[chosen[replaced]] = second.label[replaced]
    margin[chosen[replaced]] = second.margin[replaced]
    return fate, Labels(labels.pairs, margin, label, labels.consistent)


# ------------------------------------------------------------------------------------------------ figures


def figures(
    labels: Labels,
    curated: Labels,
    fate: np.ndarray,
    difference: np.ndarray,
    truth: np.ndarray | None,
    kinds: Sequence[str],
    tie_margin: float,
) -> dict[str, Any]:
    """All figures of one skill, for JSON.

    difference: float64 [P], see `contradictions`. truth: float64 [P], the scripted oracle's labels; None for
    a skill without an oracle. kinds: that of each caption (maestromotif.quality.oracle.kind).
    """
    kept = ~np.isin(fate, LEFT_OUT)
    again = np.isin(fate, (CONFIRMED, REPLACED, DROPPED))
    told = np.where(np.isfinite(difference), np.sign(difference), 0.0)

    def agrees(of: np.ndarray, which: Labels) -> Figure | None:
        if truth is None:
            return None
        return agreement(which.margin[of], truth[of], tie_margin)["decided"]

    def part(of: np.ndarray) -> dict[str, Any]:
        return {
            "kept": share(kept[of]),
            "labelled_oracle": agrees(of, labels),
            "kept_oracle": agrees(of & kept, curated),
        }

    decided = np.isfinite(difference) & (np.abs(labels.margin) >= tie_margin) & labels.consistent
    everything = np.ones(len(fate), bool)
    return {
        "labelled": len(fate),
        "fates": {name: int((fate == number).sum()) for number, name in enumerate(FATES)},
        **part(everything),
        "checked": share(np.isfinite(difference)),
        "reproduced": share(np.sign(labels.margin[decided]) == told[decided]),
        "again_oracle": agrees(again, labels),
        "replaced_oracle": agrees(fate == REPLACED, curated),
        "curve": _curve(labels, told, decided, truth),
        "by_kind": by_kind([(kinds[a], kinds[b]) for a, b in labels.pairs.tolist()], part),
    }


def _curve(
    labels: Labels, told: np.ndarray, decided: np.ndarray, truth: np.ndarray | None
) -> list[dict[str, Any]]:
    """The effect of a higher minimum margin on labels other than ties: kept fraction and agreement.

    For each threshold: the share that models of other captions reproduce (their held-out accuracy), and the
    agreement with the oracle where it decides.
    """
    margin = np.where(decided, labels.margin, np.nan)
    points = curve(margin, np.where(told == 0, 0.5, (told + 1) / 2))
    for point in points:
        kept = np.abs(margin) >= point["threshold"]
        point["reproduced"] = point.pop("agreement")
        point["oracle"] = None if truth is None else agreement(margin[kept], truth[kept], 0.0)["decided"]
    return points


def vanishing(found: dict[str, Any]) -> list[str]:
    """Kinds of event whose kept share is, even at its upper bound, below half of the skill's kept share."""
    bar = (found["kept"]["share"] or 0.0) / 2
    return [kind for kind, row in found["by_kind"].items() if row["kept"]["high"] < bar]


def _say(skill: str, found: dict[str, Any]) -> None:
    fates = ", ".join(f"{name} {count}" for name, count in found["fates"].items() if count)
    kinds = ", ".join(f"{kind} {row['kept']['share']:.0%}" for kind, row in found["by_kind"].items())
    log.info("curate: %s: %s; kept by kind of event: %s", skill, fates, kinds)
    for kind in vanishing(found):
        log.warning(
            "curate: %s: few pairs of '%s' are left, so the reward may not learn it; lower "
            "curate.keep_margin or raise curate.again_pairs",
            skill,
            kind,
        )


# ------------------------------------------------------------------------------------------------ in words


def markdown(found: dict[str, dict[str, Any]], method: Method) -> str:
    """Tables of the kept labels, by skill and by kind of event, and the margin curves."""
    name = oracle.NAME
    lines = [
        "| skill | labelled | " + " | ".join(FATES) + " | kept in total | checked | reproduced | "
        f"{name}, labelled | {name}, kept |",
        "|---|--:|" + "--:|" * len(FATES) + "---|---|---|---|---|",
    ]
    for skill, row in found.items():
        fates = " | ".join(str(count) for count in row["fates"].values())
        shares = (row[of] for of in ("kept", "checked", "reproduced", "labelled_oracle", "kept_oracle"))
        told = " | ".join(words(figure) or "–" for figure in shares)
        lines.append(f"| {skill} | {row['labelled']} | {fates} | {told} |")
    lines += [
        "",
        "Pairs are left out if their two orders or wordings disagree (inconsistent), if the margin is below "
        "curate.keep_margin (too close), or if the answer was unclear when they were asked again, "
        f"{method} (dropped). Confirmed and replaced pairs were also asked again. Not asked: doubted pairs "
        "beyond the limit curate.again_pairs, kept unchanged. Checked: pairs that reward models could judge "
        "that saw neither caption but both kinds of event. Reproduced: labels that these models agree with. "
        "Intervals treat pairs as independent, although pairs that share a caption are not.",
        "",
        f"| skill | asked again: first labels, {name} | replaced labels, {name} |",
        "|---|---|---|",
        *(
            f"| {skill} | {words(row['again_oracle']) or '–'} | {words(row['replaced_oracle']) or '–'} |"
            for skill, row in found.items()
        ),
        "",
        f"| skill | kind of event | kept | {name}, labelled | {name}, kept |",
        "|---|---|---|---|---|",
    ]
    for skill, row in found.items():
        for kind, part in row["by_kind"].items():
            told = " | ".join(words(part[of]) or "–" for of in ("kept", "labelled_oracle", "kept_oracle"))
            lines.append(f"| {skill} | {kind} | {told} |")
    lines += ["", f"| skill | minimum margin | kept | reproduced | {name} |", "|---|--:|--:|---|---|"]
    for skill, row in found.items():
        for point in row["curve"]:
            told = " | ".join(words(point[of]) or "–" for of in ("reproduced", "oracle"))
            lines.append(f"| {skill} | {point['threshold']:.2f} | {point['kept']:.0%} | {told} |")
    return "\n".join(lines) + "\n"
