"""Stage `annotate`: a language model judges captioned observations for every skill, which gives preferences.

`questions` builds the prompts, `answers` caches the answers, and `labels` turns answers into labels. Many
machines can answer at once, each its own shard of the chunks; a run of the stage then finds all answers in
the cache. A chunk is answered as a whole or not at all. So a killed and resumed run gives the same bytes as
an uninterrupted one, and shards give the same bytes as one machine.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from maestromotif.annotate import answers
from maestromotif.annotate.answers import Judge, claimed
from maestromotif.annotate.labels import Comparison, Labelled
from maestromotif.annotate.preferences import CAPTIONS, FIGURES, SCORES, write_preferences
from maestromotif.annotate.questions import CHOICES, KINDS, Question, prompt_hash
from maestromotif.collect import observations
from maestromotif.collect.observations import Items
from maestromotif.config.labels import AnnotateSettings
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline.progress import Progress, duration
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.skill import Skill, skills_of
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

SHOWN = 10  # best and worst captions in quality.json
CHARACTERS_A_TOKEN = 4  # approximate, for English


@dataclass(frozen=True)
class Task:
    """What to judge: the same captions and the same pairs for every skill."""

    skills: list[Skill]
    items: Items
    drawn: np.ndarray  # int64 [C], the items whose captions are judged
    captions: list[str]  # [C]
    pairs: np.ndarray  # int32 [P, 2], indices of captions
    settings: AnnotateSettings

    def comparison(self, skill: Skill) -> Comparison:
        return Comparison(skill.description, self.captions, self.pairs, self.settings)

    def questions(self) -> list[Question]:
        """All questions, for all skills."""
        return [question for skill in self.skills for question in self.comparison(skill).questions()]


def plan(config: Config, collected: Artefact) -> Task:
    """Selects what to judge from the collected observations. Raises UserError if there are too few."""
    settings = config.annotate
    steps = observations.load(collected.path)
    items = observations.distinct(steps, settings.changes, settings.statistics, settings.horizon)
    drawn = draw(items, settings.captions, np.random.default_rng([config.run.seed, 0]))
    if len(drawn) < 2:
        raise UserError(
            f"{collected.path}: {len(items)} distinct observations, but a comparison needs at least 2. "
            "Raise collect.explorer_steps, or add changes to annotate.changes."
        )
    captions = [items.caption(item, settings.changes, settings.telling) for item in drawn.tolist()]
    pairs = draw_pairs(len(drawn), settings.pairs, np.random.default_rng([config.run.seed, 1]))
    return Task(skills_of(config), items, drawn, captions, pairs, settings)


def reads(config: Config) -> dict[str, str]:
    """Maps what the stage reads besides its inputs to SHA-256; see `answers.reads`."""
    return answers.reads(config)


def foresee(config: Config) -> None:
    """Raises UserError for a language model or a folder of answers that cannot be used on this machine."""
    answers.foresee(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Runs the stage. Raises UserError if there is too little to judge or most answers are nonsense."""
    task, judge = plan(config, inputs["collect"]), Judge(config.language, config.annotate)
    asked = task.questions()
    before = sum(judge.known(asked))
    with Progress("annotate", len(asked), "questions", done=before, tracker=tracker) as progress:
        judge.ask(asked, progress)
    tracker.row(len(asked), _costs(asked, len(asked) - before, config.annotate.price))
    figures = {}
    for skill in task.skills:
        found = task.comparison(skill).label(judge)
        if found.nonsense > found.questions / 2:
            raise UserError(
                f"language model {config.language.model}: {found.nonsense} of {found.questions} answers for "
                f"the skill '{skill.name}' are nonsense: {_nonsense(task.settings)}. "
                "Choose another language.model."
            )
        quality = _write(skill, found, task, work)
        figures[skill.name] = {name: quality[name] for name in ("pairs", "ties", "nonsense")}
        _track(tracker, len(asked), skill.name, quality)
    _write_captions(task, work)
    return {
        "method": task.settings.method,
        "model": config.language.model,
        "model_sha256": judge.digest,
        "licence": judge.licence,
        "prompt_sha256": prompt_hash(),
        "items": len(task.items),
        "captions": len(task.drawn),
        "questions": len(asked),
        "skills": figures,
    }


LOGGED = (
    Logged("cost/questions", "questions", "Questions to the language model for all skills."),
    Logged("cost/asked", "questions", "Those of them that this process asked; the others were remembered."),
    Logged("cost/input_tokens", "tokens", "Input of the questions asked, estimated from their characters."),
    Logged("cost/output_tokens", "tokens", "The most that the language model could write in answer."),
    Logged("cost/money", "as annotate.price", "What these tokens cost at most; only with `annotate.price`."),
    Logged("ann/{skill}/pairs", "pairs", "Pairs with a label."),
    Logged("ann/{skill}/tie_share", "share", "Share of the pairs that count as ties."),
    Logged("ann/{skill}/nonsense_share", "share", "Share of the answers that are none of the choices."),
    Logged("ann/{skill}/answer_mass", "probability", "Mean probability that the model gives to the choices."),
    Logged("ann/{skill}/position_bias", "share", "Share of pairs whose first caption wins; 0.5 is no bias."),
    Logged("ann/{skill}/consistent", "share", "Share of pairs on which both orders or wordings agree."),
    Logged("ann/{skill}/captions", "table", "The most and the least wanted captions, with their scores."),
    Logged("ann/{skill}/events", "table", "Mean score of the captions that tell each change."),
)


def _costs(asked: Sequence[Question], new: int, price: float | None) -> dict[str, int | float]:
    read, written = _tokens(asked)
    costs: dict[str, int | float] = {"cost/questions": len(asked), "cost/asked": new}
    share = new / max(len(asked), 1)
    costs |= {"cost/input_tokens": round(share * read), "cost/output_tokens": round(share * written)}
    return costs | ({"cost/money": share * price * (read + written) / 1e6} if price else {})


def _track(tracker: Tracker, step: int, skill: str, quality: dict[str, Any]) -> None:
    row = {
        "pairs": quality["pairs"],
        "tie_share": quality["ties"] / max(quality["pairs"], 1),
        "nonsense_share": quality["nonsense"] / max(quality["questions"], 1),
        **{name: quality[name] for name in ("answer_mass", "position_bias", "consistent")},
    }
    tracker.row(step, {f"ann/{skill}/{name}": value for name, value in row.items() if value is not None})
    ends = [[side, one["caption"], one["score"]] for side in ("top", "bottom") for one in quality[side]]
    tracker.table(step, f"ann/{skill}/captions", ["end", "caption", "score"], ends)
    events = [[one["event"], one["captions"], one["score"]] for one in quality["events"]]
    tracker.table(step, f"ann/{skill}/events", ["event", "captions", "score"], events)


def _tokens(questions: Sequence[Question]) -> tuple[int, int]:
    """Input tokens, estimated from the characters, and the most output tokens."""
    read = sum(len(turn["content"]) for question in questions for turn in question.chat)
    return read // CHARACTERS_A_TOKEN, sum(question.most_tokens for question in questions)


def answer_shard(config: Config, collected: Artefact, share: tuple[int, int]) -> str:
    """Answers shard i of n; returns a line that says how many questions are answered.

    Raises UserError if another process is working on the same shard.
    """
    judge, asked = Judge(config.language, config.annotate), plan(config, collected).questions()
    before = sum(judge.known(asked))
    with claimed(judge, asked, share), Progress("annotate", len(asked), "questions", before) as progress:
        judge.ask(asked, progress, share)
    answered = sum(judge.known(asked))
    return (
        f"shard {share[0]}/{share[1]}: {answered - before} questions answered; this process knows the "
        f"answers to {answered} of all {len(asked)}, in {judge.folder}"
    )


def dry_run(config: Config, collected: Artefact) -> str:
    """A text that says what the annotation would ask and what it would cost."""
    judge, asked = Judge(config.language, config.annotate), plan(config, collected).questions()
    left = [question for question, known in zip(asked, judge.known(asked), strict=True) if not known]
    read, written = _tokens(left)
    pace, price = judge.seconds_a_question(), config.annotate.price
    lines = [
        f"questions      {len(asked)}, {len(asked) - len(left)} of them answered already",
        f"tokens         about {read} input and at most {written} output",
        "time           "
        + (
            f"about {duration(pace * len(left))}, at this model's pace so far"
            if pace
            else "unknown: this model has answered nothing yet"
        ),
        "money          "
        + (
            f"about {price * (read + written) / 1e6:.2f}, at annotate.price"
            if price
            else "no estimate: annotate.price is not set"
        ),
        f"answers go to  {judge.folder}",
        "",
        "the first question:",
        *(f"  [{turn['role']}] {turn['content']}" for turn in asked[0].chat),
    ]
    return "\n".join(lines)


def _nonsense(settings: AnnotateSettings) -> str:
    if settings.method == "reasoned":
        return "they do not end with 'Answer: 1', 'Answer: 2' or 'Answer: none'"
    asked = " and for ".join(" or ".join(CHOICES[kind]) for kind in KINDS[settings.method])
    return (
        f"asked for {asked}, the model gives these together less than {settings.answer_mass:.0%} probability "
        "(annotate.answer_mass)"
    )


# --------------------------------------------------------------------------------------- what is judged


def draw(items: Items, count: int, random: np.random.Generator) -> np.ndarray:
    """Indices int64 [<= count] of the items to judge, ascending.

    Items are grouped by the rarest thing that they tell: an event, a change, a statistic; or else whether
    they have a message. Each group gives one item a round, so that rare events are included. A group of ten
    items or more gives two a round, of a hundred three, and so on, because it is more varied. Within a group
    it alternates between the most frequent remaining item and a random one.
    """
    told = observations.rarest_told(items)
    groups: dict[int, list[int]] = {}
    for item in np.lexsort((np.arange(len(items)), -items.count)).tolist():  # most frequent first
        groups.setdefault(int(told[item]), []).append(item)
    left = {group: groups[group] for group in sorted(groups)}
    turns = {group: 1 + int(np.log10(len(own))) for group, own in groups.items()}
    frequent = dict.fromkeys(groups, True)  # whether the most frequent item comes next
    drawn: list[int] = []
    for turn in cycle(range(max(turns.values(), default=0))):
        if len(drawn) == min(count, len(items)):
            break
        for group, own in left.items():
            if own and turn < turns[group] and len(drawn) < count:
                place = 0 if frequent[group] else int(random.integers(len(own)))
                drawn.append(own[place])
                del own[place]
                frequent[group] = not frequent[group]
    return np.array(sorted(drawn), np.int64)


def draw_pairs(captions: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Distinct pairs of captions int32 [P, 2], each in random order; all pairs if `count` allows."""
    every = np.column_stack(np.triu_indices(captions, k=1)).astype(np.int32)
    chosen = every[random.permutation(len(every))[:count]]
    swapped = random.random(len(chosen)) < 0.5
    chosen[swapped] = chosen[swapped][:, ::-1]
    return chosen


# ------------------------------------------------------------------------------------ what is written


def _write(skill: Skill, found: Labelled, task: Task, work: Work) -> dict[str, Any]:
    """Writes the preferences and scores of one skill; returns the content of quality.json.

    Preferences are all pairs with a valid answer; `consistent` says for each pair whether both orders, or
    both wordings, agree.
    """
    settings, answered = task.settings, np.isfinite(found.margin)
    pairs, labels, consistent = (
        of[answered] for of in (found.pairs, found.label(settings), found.consistent)
    )
    margin = found.margin[answered].astype(np.float32)
    write_preferences(work, skill.name, pairs, label=labels, margin=margin, consistent=consistent)
    scored = np.flatnonzero(np.isfinite(found.score)).tolist()
    lines = [{"id": row, "score": round(float(found.score[row]), 4)} for row in scored]
    work.write_text(f"{skill.name}/{SCORES}", _jsonl(lines))
    odds = None if found.odds is None else found.odds[answered]
    quality = {
        "method": settings.method,
        "questions": found.questions,
        "pairs": len(pairs),
        "ties": int(((labels == 0.5) & consistent).sum()),
        "nonsense": found.nonsense,
        "answer_mass": round(found.mass, 4),
        # the share of answers "1", one half without position bias; a single caption has no position
        "position_bias": None if odds is None else round(float((odds > 0).mean()), 4),
        # captions that were asked about once have no second answer that could disagree
        "consistent": None
        if odds is None and len(KINDS[settings.method]) == 1
        else round(float(consistent.mean()), 4),
        **_extremes(task.captions, found.score),
        "events": _by_event(found.score, task.items.changes[task.drawn]),
    }
    work.write_json(f"{skill.name}/{FIGURES}", quality)
    return quality


def _write_captions(task: Task, work: Work) -> None:
    lines = [
        {
            "id": row,
            "message": observations.text(task.items.message(item)),
            "changes": task.items.changes[item].tolist(),
            "count": int(task.items.count[item]),
            "caption": task.captions[row],
        }
        for row, item in enumerate(task.drawn.tolist())
    ]
    work.write_text(CAPTIONS, _jsonl(lines))


def _extremes(captions: Sequence[str], score: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """The best and the worst captions with their scores (for pairwise: mean margins)."""
    known = np.flatnonzero(np.isfinite(score))
    order = known[np.argsort(-score[known], kind="stable")]
    return {
        side: [{"caption": captions[row], "score": round(float(score[row]), 4)} for row in rows]
        for side, rows in (("top", order[:SHOWN]), ("bottom", order[::-1][:SHOWN]))
    }


def _by_event(score: np.ndarray, changes: np.ndarray) -> list[dict[str, Any]]:
    """Mean score of the captions with each change, best first; one row is for captions without a change."""
    kinds = [
        (sentence, changes[:, column] == code)
        for column, change in zip(range(changes.shape[1]), CHANGES.values(), strict=False)
        for code, sentence in enumerate(change.words)
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
