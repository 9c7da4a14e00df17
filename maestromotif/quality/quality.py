"""Stage `quality`: how far a judge's labels can be trusted, on the run's own pairs and on the gold set.

The run's pairs are compared with the scripted oracle of events, the gold set's with labels made by hand.
Counterfactual pairs, which differ in one fact, show which clauses of a skill's text the judge obeys. Answers
beyond the annotation's are cached like all others, so a second run costs nothing. `again` asks the gold set's
questions once more with an empty cache, to see whether the answers stay the same.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from maestromotif.annotate import answers
from maestromotif.annotate.annotate import Task, plan
from maestromotif.annotate.answers import Judge
from maestromotif.annotate.labels import Comparison, Labelled
from maestromotif.annotate.questions import KINDS, Question
from maestromotif.collect import observations
from maestromotif.config.labels import AnnotateSettings
from maestromotif.config.schema import Config
from maestromotif.nethack.temporary import scratch
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import Artefact, Work, file_contents
from maestromotif.quality import clauses, figures, gold, measures, oracle
from maestromotif.quality.measures import Measures
from maestromotif.reading import is_there
from maestromotif.skill import Skill, skills_of
from maestromotif.tracking.logged import Logged
from maestromotif.tracking.tracker import SILENT, Tracker

PROBES = 5  # counterfactual pairs per clause


def examine(config: Config, collected: Artefact | None, again: bool = False) -> dict[str, dict[str, Any]]:
    """Figures by skill, as `figures.markdown` takes them; without `collected`, none of the run's own pairs.

    Raises UserError for a mistake in a gold file or in a file of measures, and as the language model does.
    """
    settings = config.annotate
    judge = Judge(config.language, settings)
    task = plan(config, collected) if collected else None
    golden = {
        name: gold.decidable(pairs, settings.changes)
        for name, pairs in gold.load_all(config.skills_folder, config.skills).items()
    }
    skills = skills_of(config)
    known = measures.load_all(config.skills_folder, config.skills)
    probes = {skill.name: _probes(known.get(skill.name), task, config) for skill in skills}
    by_hand = {
        skill.name: Comparison(
            skill.description,
            *gold.asked(golden[skill.name][0], settings.changes, settings.telling),
            settings,
        )
        for skill in skills
    }
    by_clause = {skill.name: _clauses(skill, probes[skill.name], settings) for skill in skills}
    _ask(judge, [*by_hand.values(), *by_clause.values()], task.questions() if task else [])

    found = {}
    for skill in skills:
        pairs, left_out = golden[skill.name]
        of_skill: dict[str, Any] = (
            _own_figures(skill, known.get(skill.name), task, judge, config)
            if task
            else {"pairs": 0, "by_kind": {}}
        )
        if pairs:
            labelled = by_hand[skill.name].label(judge)
            of_skill["gold"] = figures.gold_figures(
                pairs,
                figures.Answers(labelled.margin, labelled.odds, alike=_alike(labelled, settings)),
                tie_margin=settings.tie_margin,
                keep_margin=config.curate.keep_margin,
                left_out=left_out,
            )
            if again:
                of_skill["repeat"] = _repeat(config, by_hand[skill.name], labelled.margin)
        if probes[skill.name]:
            margin = by_clause[skill.name].label(judge).margin
            of_skill["counterfactuals"] = clauses.figures(probes[skill.name], margin)
        found[skill.name] = of_skill
    return found


LOGGED = (
    Logged("quality/{skill}/gold", "share", "Agreement with a person on the gold pairs that are reported."),
    Logged("quality/{skill}/kept", "share", "Share of the labels that the reward model would learn from."),
    Logged("quality/{skill}/same", "share", "Share of pairs with the same label in both orders."),
)


def reads(config: Config) -> dict[str, str]:
    """Maps what `answers.reads` names, and the skills' gold sets and measures, to SHA-256."""
    files = [gold.path_of(config.skills_folder, name) for name in config.skills]
    golden: dict[str, str] = {}
    for path in filter(is_there, files):
        golden |= file_contents("the gold set of a skill", str(path))
    return answers.reads(config) | golden | measures.reads(config)


def foresee(config: Config) -> None:
    """Raises UserError for mistakes in gold sets and measures, and as `answers.foresee` does."""
    gold.load_all(config.skills_folder, config.skills)
    measures.load_all(config.skills_folder, config.skills)
    answers.foresee(config)


def run(config: Config, inputs: dict[str, Artefact], work: Work, tracker: Tracker = SILENT) -> dict[str, Any]:
    """Runs the stage. Raises UserError as `examine` does."""
    found = examine(config, inputs["collect"])
    work.write_json("quality.json", found)
    work.write_text("quality.md", figures.markdown(found))
    for k, (name, of_skill) in enumerate(found.items()):
        shares = {
            "gold": (of_skill.get("gold") or {}).get("report", {}).get("decided"),
            "kept": of_skill.get("kept"),
            "same": (of_skill.get("order") or {}).get("same"),
        }
        row = {key: one["share"] for key, one in shares.items() if one and one["share"] is not None}
        tracker.row(k, {f"quality/{name}/{key}": share for key, share in row.items()})
    return {"skills": {name: of_skill["kept"] for name, of_skill in found.items()}}


def _ask(judge: Judge, comparisons: Iterable[Comparison], further: Iterable[Question] = ()) -> None:
    """Asks all questions that are not in the cache."""
    asked = {one.key: one for comparison in comparisons for one in comparison.questions()}
    questions = list((asked | {one.key: one for one in further}).values())
    with Progress("quality", len(questions), "questions", done=sum(judge.known(questions))) as progress:
        judge.ask(questions, progress)


def _own_figures(
    skill: Skill, known: Measures | None, task: Task, judge: Judge, config: Config
) -> dict[str, Any]:
    settings, labelled = task.settings, task.comparison(skill).label(judge)
    messages = [observations.text(task.items.message(item)) for item in task.drawn.tolist()]
    changes = task.items.changes[task.drawn]
    kinds = [oracle.kind(message, one) for message, one in zip(messages, changes.tolist(), strict=True)]
    truth = None
    if known and known.worth:
        truth = oracle.labels(oracle.scores(known.worth, messages, changes), labelled.pairs)
    return figures.figures(
        figures.Answers(
            labelled.margin,
            labelled.odds,
            [(kinds[a], kinds[b]) for a, b in labelled.pairs.tolist()],
            _alike(labelled, settings),
        ),
        tie_margin=settings.tie_margin,
        keep_margin=config.curate.keep_margin,
        oracle=truth,
        nonsense=(labelled.nonsense, labelled.questions),
    )


def _alike(labelled: Labelled, settings: AnnotateSettings) -> np.ndarray | None:
    return labelled.consistent if len(KINDS[settings.method]) > 1 else None


def _probes(known: Measures | None, task: Task | None, config: Config) -> Sequence[clauses.Probe]:
    if task is None or known is None:
        return []
    seen = [
        (observations.text(task.items.message(item)), task.items.changes[item].tolist())
        for item in range(len(task.items))
    ]
    random = np.random.default_rng([config.run.seed, 5])
    return clauses.probes(known, seen, config.annotate.changes, PROBES, random, config.annotate.telling)


def _clauses(skill: Skill, probes: Sequence[clauses.Probe], settings: AnnotateSettings) -> Comparison:
    captions = [caption for probe in probes for caption in (probe.a, probe.b)]
    pairs = np.arange(len(captions), dtype=np.int32).reshape(-1, 2)
    return Comparison(skill.description, captions, pairs, settings)


def _repeat(config: Config, comparison: Comparison, margin: np.ndarray) -> figures.Figure:
    with scratch() as empty:
        fresh = Judge(config.language, config.annotate.model_copy(update={"answers": str(empty)}))
        _ask(fresh, [comparison])
        return figures.repeat(margin, comparison.label(fresh).margin, config.annotate.tie_margin)
