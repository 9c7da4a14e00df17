"""Stage `annotate`: a language model judges captioned observations for every skill, which gives preferences.

`pointwise` asks of each caption once whether it is what the skill wants; the log-odds of Yes against No are
its score, and any two scores make a labelled pair. `pairwise` shows two captions and asks which is better,
in both orders, and takes the mean of the two log-odds. Only the probabilities of the next token are read:
small models' written-out judgements are worthless, their probabilities are not.

An answer counts as nonsense when the model puts too little probability on all possible answers together, or
does not have one of them among its candidates. It is left out and counted, never guessed.

The unit of work is a chunk of questions of one skill, answered from an empty cache and written in one file,
so a run that was killed and goes on gives the same bytes as an unbroken one.
"""

import hashlib
import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.errors import UserError
from maestromotif.language import weights
from maestromotif.language.model import Chat, LanguageModel
from maestromotif.preferences import dataset
from maestromotif.preferences.caption import COLUMNS, SENTENCES
from maestromotif.preferences.dataset import Items
from maestromotif.progress import Progress
from maestromotif.settings import AnnotateSettings, Config, LanguageSettings
from maestromotif.skill import Skill, load_all
from maestromotif.store import Artefact, Work

SYSTEM = "You are an expert NetHack player. You are told what an agent should do and what just happened. "
POINTWISE_SYSTEM = SYSTEM + (
    "You answer Yes if what happened is what the agent should do, and No if it is bad or unimportant."
)
POINTWISE = "{goal}\n\nWhat happened: {caption}\n\nIs this good? Answer Yes or No."
PAIRWISE_SYSTEM = (
    SYSTEM + "You answer with the number of the event that is closer to what the agent should do."
)
PAIRWISE = "{goal}\n\nEvent 1: {first}\nEvent 2: {second}\n\nWhich event is better? Answer 1 or 2."
YES_NO = ("Yes", "No")
ONE_TWO = ("1", "2")
SHOWN = 10  # best and worst captions in quality.json


def run(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    """The stage. Raises UserError if there is too little to judge or most answers are nonsense."""
    settings = config.annotate
    skills = load_all(config.skills_folder, config.skills)
    items = dataset.distinct(dataset.load(inputs["collect"].path / "observations.npz"), settings.changes)
    drawn = draw(items, settings.captions, np.random.default_rng([config.run.seed, 0]))
    if len(drawn) < 2:
        raise UserError(
            f"{inputs['collect'].path}: {len(items)} distinct observations; there is nothing to compare. "
            "Raise collect.explorer_steps, or name more changes in annotate.changes."
        )
    captions = [items.caption(item, settings.changes) for item in drawn.tolist()]
    judge = Judge(config.language)
    pairs = draw_pairs(len(drawn), settings.pairs, np.random.default_rng([config.run.seed, 1]))
    per_skill = len(drawn) if settings.method == "pointwise" else 2 * len(pairs)

    figures = {}
    done = sum(_finished(work, skill, per_skill, settings.chunk) for skill in skills)
    with Progress("annotate", per_skill * len(skills), "questions", done=done) as progress:
        for skill in skills:
            answers = _ask(
                questions(skill, captions, pairs, settings), skill, judge, settings, work, progress
            )
            good = _sensible(answers, skill, settings, config.language)
            label = _pointwise if settings.method == "pointwise" else _pairwise
            quality = label(skill, captions, pairs, answers, good, settings, work)
            quality["events"] = _by_event(quality.pop("scores"), items.changes[drawn])
            work.write_json(f"{skill.name}/quality.json", quality)
            figures[skill.name] = {name: quality[name] for name in ("pairs", "ties", "nonsense")}

    lines = [
        {
            "id": row,
            "message": dataset.text(items.message(item)),
            "changes": items.changes[item].tolist(),
            "count": int(items.count[item]),
            "caption": captions[row],
        }
        for row, item in enumerate(drawn.tolist())
    ]
    work.write_text("captions.jsonl", _jsonl(lines))
    digest, licence = weights.identity(config.language)
    return {
        "method": settings.method,
        "model": config.language.model,
        "model_sha256": digest,
        "licence": licence,
        "prompt_sha256": prompt_hash(),
        "items": len(items),
        "captions": len(drawn),
        "questions": per_skill * len(skills),
        "skills": figures,
    }


def prompt_hash() -> str:
    """SHA-256 over all that the language model is shown, apart from the skill texts and the messages."""
    words = [POINTWISE_SYSTEM, POINTWISE, PAIRWISE_SYSTEM, PAIRWISE, YES_NO, ONE_TWO, SENTENCES]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


# --------------------------------------------------------------------------------------- what is asked


def draw(items: Items, count: int, random: np.random.Generator) -> np.ndarray:
    """Indices int64 [<= count] of the items to judge, ascending.

    One item after the other from each combination of changes in turn, so that rare events are in; within a
    combination by turns the most frequent item left and any other.
    """
    strata: dict[tuple[int, ...], list[int]] = {}
    for item in np.lexsort((np.arange(len(items)), -items.count)):  # most frequent first
        strata.setdefault(tuple(items.changes[item].tolist()), []).append(int(item))
    drawn: list[int] = []
    for turn in itertools.count():
        left = [strata[changes] for changes in sorted(strata) if strata[changes]]
        for stratum in left:
            if len(drawn) < count:
                drawn.append(stratum.pop(0 if turn % 2 == 0 else int(random.integers(len(stratum)))))
        if len(drawn) == count or not left:
            return np.array(sorted(drawn), np.int64)
    raise AssertionError("unreachable")


def draw_pairs(captions: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Distinct pairs of captions int32 [P, 2], each in random order; all there are if `count` allows."""
    every = np.column_stack(np.triu_indices(captions, k=1)).astype(np.int32)
    chosen = every[random.permutation(len(every))[:count]]
    swapped = random.random(len(chosen)) < 0.5
    chosen[swapped] = chosen[swapped][:, ::-1]
    return chosen


def questions(
    skill: Skill, captions: Sequence[str], pairs: np.ndarray, settings: AnnotateSettings
) -> list[Chat]:
    """What is asked for one skill, in order. The goal comes first, so that its part of it is cached."""
    goal = " ".join(skill.description.split())
    if settings.method == "pointwise":
        return [_chat(POINTWISE_SYSTEM, POINTWISE.format(goal=goal, caption=told)) for told in captions]
    both_orders = ((a, b) for pair in pairs.tolist() for a, b in (pair, pair[::-1]))
    return [
        _chat(PAIRWISE_SYSTEM, PAIRWISE.format(goal=goal, first=captions[a], second=captions[b]))
        for a, b in both_orders
    ]


def _chat(system: str, words: str) -> Chat:
    return [{"role": "system", "content": system}, {"role": "user", "content": words}]


# ---------------------------------------------------------------------------------------------- asking


class Judge:
    """The language model, loaded when the first question needs it."""

    def __init__(self, settings: LanguageSettings) -> None:
        self._settings = settings

    @cached_property
    def model(self) -> LanguageModel:
        from maestromotif.language import gguf  # takes a while; not needed when all chunks are there

        return gguf.load(self._settings)


def _ask(
    prompts: Sequence[Chat],
    skill: Skill,
    judge: Judge,
    settings: AnnotateSettings,
    work: Work,
    progress: Progress,
) -> np.ndarray:
    """Log-probabilities float64 [n, 2] of the two answers; chunks of an earlier process are read."""
    answers = YES_NO if settings.method == "pointwise" else ONE_TWO
    chunks = []
    for start in range(0, len(prompts), settings.chunk):
        file = _chunk(work, skill, start)
        if file.is_file():
            chunks.append(np.load(file))
            continue
        chunks.append(judge.model.answer_logprobs(prompts[start : start + settings.chunk], answers))
        work.write_bytes(str(file.relative_to(work.path)), _npy(chunks[-1]))
        progress.advance(len(chunks[-1]), note=skill.name)
    return np.concatenate(chunks)


def _chunk(work: Work, skill: Skill, start: int) -> Path:
    """The file of the answers to one skill's questions from number `start` on."""
    return work.scratch / skill.name / f"{start:06d}.npy"


def _finished(work: Work, skill: Skill, questions: int, chunk: int) -> int:
    """How many of a skill's questions are answered already."""
    starts = [start for start in range(0, questions, chunk) if _chunk(work, skill, start).is_file()]
    return sum(min(chunk, questions - start) for start in starts)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _sensible(
    logprobs: np.ndarray, skill: Skill, settings: AnnotateSettings, language: LanguageSettings
) -> np.ndarray:
    """Which answers are no nonsense, bool [n]. Raises UserError if most are."""
    good: np.ndarray = np.isfinite(logprobs).all(1) & (np.exp(logprobs).sum(1) >= settings.answer_mass)
    if good.mean() < 0.5:
        words = "Yes or No" if settings.method == "pointwise" else "1 or 2"
        raise UserError(
            f"language model {language.model}: {np.sum(~good)} of {len(good)} answers for the skill "
            f"'{skill.name}' are nonsense: asked for {words}, it gives both together less than "
            f"{settings.answer_mass:.0%} probability (annotate.answer_mass). Choose another language.model."
        )
    return good


# ------------------------------------------------------------------------------------------- labelling


@dataclass(frozen=True)
class _Labelled:
    """Pairs with the log-odds of the first being the better."""

    pairs: np.ndarray  # int32 [P, 2]
    margin: np.ndarray  # float64 [P]

    def write(self, skill: Skill, settings: AnnotateSettings, work: Work) -> int:
        """Writes the preferences and returns the number of ties."""
        tie = np.abs(self.margin) < settings.tie_margin
        label = np.where(tie, 0.5, self.margin > 0)
        work.write_arrays(
            f"{skill.name}/preferences.npz",
            first=self.pairs[:, 0].astype(np.int32),
            second=self.pairs[:, 1].astype(np.int32),
            label=label.astype(np.float32),
            margin=self.margin.astype(np.float32),
        )
        return int(tie.sum())


def _pointwise(
    skill: Skill,
    captions: Sequence[str],
    pairs: np.ndarray,
    logprobs: np.ndarray,
    good: np.ndarray,
    settings: AnnotateSettings,
    work: Work,
) -> dict[str, Any]:
    """Labels the pairs of captions with sensible answers by the difference of their scores."""
    logprobs = np.round(logprobs, 4)
    score = np.where(good, np.round(np.nan_to_num(logprobs[:, 0] - logprobs[:, 1]), 4), np.nan)
    lines = [
        {"id": row, "yes": yes, "no": no, "score": float(score[row])}
        for row, (yes, no) in enumerate(logprobs.tolist())
        if good[row]
    ]
    work.write_text(f"{skill.name}/scores.jsonl", _jsonl(lines))
    kept = pairs[good[pairs].all(1)]
    labelled = _Labelled(kept, score[kept[:, 0]] - score[kept[:, 1]])
    ties = labelled.write(skill, settings, work)
    return {
        "method": "pointwise",
        "questions": len(captions),
        "pairs": len(kept),
        "ties": ties,
        "nonsense": int(np.sum(~good)),
        "answer_mass": round(float(np.exp(logprobs[good]).sum(1).mean()), 4),
        "position_bias": None,  # one caption a question has no position
        "consistent": None,
        **_extremes(captions, score),
        "scores": score,
    }


def _pairwise(
    skill: Skill,
    captions: Sequence[str],
    pairs: np.ndarray,
    logprobs: np.ndarray,
    good: np.ndarray,
    settings: AnnotateSettings,
    work: Work,
) -> dict[str, Any]:
    """Labels the pairs of which both orders got a sensible answer by the mean of the two log-odds.

    `position_bias` is the share of answers "1", one half if the position does not matter; `consistent` the
    share of pairs for which both orders prefer the same caption.
    """
    usable = good.reshape(-1, 2).all(1)
    odds = np.round(np.where(good, logprobs[:, 0] - logprobs[:, 1], 0.0), 4).reshape(-1, 2)[usable]
    kept = pairs[usable]
    labelled = _Labelled(kept, (odds[:, 0] - odds[:, 1]) / 2)
    ties = labelled.write(skill, settings, work)
    total, seen = np.zeros(len(captions)), np.zeros(len(captions))
    for column, sign in ((0, 1.0), (1, -1.0)):
        np.add.at(total, kept[:, column], sign * labelled.margin)
        np.add.at(seen, kept[:, column], 1)
    score = np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
    return {
        "method": "pairwise",
        "questions": 2 * len(pairs),
        "pairs": len(kept),
        "ties": ties,
        "nonsense": int(np.sum(~good)),
        "answer_mass": round(float(np.exp(logprobs[good]).sum(1).mean()), 4),
        "position_bias": round(float((odds > 0).mean()), 4),
        "consistent": round(float((odds[:, 0] * odds[:, 1] < 0).mean()), 4),
        **_extremes(captions, score),
        "scores": score,
    }


def _extremes(captions: Sequence[str], score: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """The best and the worst captions with their scores (pairwise: mean margins)."""
    known = np.flatnonzero(np.isfinite(score))
    order = known[np.argsort(-score[known], kind="stable")]
    return {
        side: [{"caption": captions[row], "score": round(float(score[row]), 4)} for row in rows]
        for side, rows in (("top", order[:SHOWN]), ("bottom", order[::-1][:SHOWN]))
    }


def _by_event(score: np.ndarray, changes: np.ndarray) -> list[dict[str, Any]]:
    """Mean score of the captions that tell each change, best first; one kind is that nothing changed."""
    kinds = [
        (sentence, changes[:, column] == code)
        for column, name in enumerate(COLUMNS)
        for code, sentence in enumerate(SENTENCES[name])
        if code
    ]
    kinds.append(("Nothing changed.", (changes == 0).all(1)))
    rows = [
        {"event": sentence, "captions": int(told.sum()), "score": round(float(score[told].mean()), 4)}
        for sentence, told in ((sentence, told & np.isfinite(score)) for sentence, told in kinds)
        if told.any()
    ]
    return sorted(rows, key=lambda row: -row["score"])


def _jsonl(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
