"""The verb `quality`: how far a judge's labels can be trusted, on the run's own pairs and on the gold set.

The run's pairs are held against the scripted oracle of events, the gold set's against labels made by hand;
counterfactual pairs, which differ in one fact, tell which clauses of a skill's text the judge obeys. What is
asked beyond the annotation is remembered like all answers, so a second look costs nothing; `again` asks the
gold set's questions once more from an empty memory, to see whether the answers stay the same.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maestromotif.preferences import counterfactual, dataset, gold, oracle, quality
from maestromotif.preferences.annotate import Task, plan
from maestromotif.preferences.answers import Judge
from maestromotif.preferences.labels import Labelled, label, questions
from maestromotif.progress import Progress
from maestromotif.settings import AnnotateSettings, Config
from maestromotif.skill import Skill, load_all
from maestromotif.store import Artefact

PROBES = 5  # counterfactual pairs a clause


@dataclass(frozen=True)
class _Asked:
    """Pairs of captions that a skill's judge is asked about beyond the run's own."""

    goal: str
    captions: list[str]
    pairs: np.ndarray  # int32 [P, 2], indices of captions
    settings: AnnotateSettings

    def ask(self, judge: Judge, progress: Progress) -> None:
        asked = questions(self.settings.method, self.goal, self.captions, self.pairs)
        judge.ask(asked, progress)

    def label(self, judge: Judge) -> Labelled:
        return label(self.settings.method, self.goal, self.captions, self.pairs, judge, self.settings)


def examine(config: Config, collected: Artefact | None, again: bool = False) -> dict[str, dict[str, Any]]:
    """Figures by skill, as `quality.markdown` takes them; of the run's pairs only where there are some.

    Raises UserError for a mistake in a gold file, and as the language model does.
    """
    settings = config.annotate
    judge = Judge(config.language, settings)
    task = plan(config, collected) if collected else None
    skills = load_all(config.skills_folder, config.skills)
    golden = {
        name: gold.decidable(pairs, settings.changes)
        for name, pairs in gold.load_all(config.skills_folder, config.skills).items()
    }
    probes = {skill.name: _probes(skill, task, config) for skill in skills}
    found = {}
    total = sum(2 * (len(golden[skill.name][0]) + len(probes[skill.name])) for skill in skills)
    with Progress("quality", total, "questions") as progress:
        for skill in skills:
            pairs, left_out = golden[skill.name]
            hand = _Asked(skill.description, *gold.asked(pairs, settings.changes), settings)
            hand.ask(judge, progress)
            clauses = _Asked(
                skill.description,
                [caption for probe in probes[skill.name] for caption in (probe.a, probe.b)],
                np.arange(2 * len(probes[skill.name]), dtype=np.int32).reshape(-1, 2),
                settings,
            )
            clauses.ask(judge, progress)
            figures: dict[str, Any] = {"pairs": 0, "by_kind": {}}
            if task is not None:
                judge.ask(task.questions(skill), progress)
                figures = _own_figures(skill, task, judge)
            if pairs:
                labelled = hand.label(judge)
                figures["gold"] = quality.gold_figures(
                    pairs,
                    quality.Answers(labelled.margin, labelled.odds),
                    tie_margin=settings.tie_margin,
                    keep_margin=settings.keep_margin,
                    left_out=left_out,
                )
                if again:
                    figures["repeat"] = _repeat(config, hand, labelled, progress)
            if probes[skill.name]:
                figures["counterfactuals"] = counterfactual.figures(
                    probes[skill.name], clauses.label(judge).margin
                )
            found[skill.name] = figures
    return found


def _own_figures(skill: Skill, task: Task, judge: Judge) -> dict[str, Any]:
    settings = task.settings
    labelled = label(settings.method, skill.description, task.captions, task.pairs, judge, settings)
    messages = [dataset.text(task.items.message(item)) for item in task.drawn.tolist()]
    changes = task.items.changes[task.drawn]
    kinds = [oracle.kind(message, one) for message, one in zip(messages, changes.tolist(), strict=True)]
    known = skill.name in counterfactual.CLAUSES  # so does the oracle know it
    return quality.figures(
        quality.Answers(
            labelled.margin, labelled.odds, [(kinds[a], kinds[b]) for a, b in labelled.pairs.tolist()]
        ),
        tie_margin=settings.tie_margin,
        keep_margin=settings.keep_margin,
        oracle=oracle.labels(oracle.scores(skill.name, messages, changes), labelled.pairs) if known else None,
        nonsense=(labelled.nonsense, labelled.questions),
    )


def _probes(skill: Skill, task: Task | None, config: Config) -> Sequence[counterfactual.Probe]:
    if task is None:
        return []
    observations = [
        (dataset.text(task.items.message(item)), task.items.changes[item].tolist())
        for item in range(len(task.items))
    ]
    random = np.random.default_rng([config.run.seed, 5])
    return counterfactual.probes(skill.name, observations, config.annotate.changes, PROBES, random)


def _repeat(config: Config, asked: _Asked, labelled: Labelled, progress: Progress) -> quality.Figure:
    with tempfile.TemporaryDirectory(prefix="maestromotif-answers-") as empty:
        settings = config.annotate.model_copy(update={"answers": empty})
        fresh = Judge(config.language, settings)
        asked.ask(fresh, progress)
        return quality.repeat(labelled.margin, asked.label(fresh).margin, settings.tie_margin)
