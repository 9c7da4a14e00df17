"""A program from a sentence: `maestromotif compose "go down to level 3, then come back"`.

Conditions for success are written and fixed. Then candidates are drafted, checked and searched in real games
with a trained policy, and the best one is measured in games that the search has not seen. The result's
folder:

    task.md         the words and conditions; correct them and start again in another folder
    program.py      the program, with its provenance; prompt.md is what the model was asked first
    result.md       its success beside that of random skills, and what the search took; result.json in numbers
    transcript.md   the answers of the model, and what happened in games
    search.jsonl    the journal of the search, which goes on from here after a kill
    search.html     result, tree of the search and transcript on one page
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maestromotif.agent.network import Params
from maestromotif.agent.saved_policy import policy_file, read_policy
from maestromotif.compose import searches, tree_page
from maestromotif.compose.budget import Budget
from maestromotif.compose.draft import WRITINGS
from maestromotif.compose.fixed_task import PROGRAM, fixed
from maestromotif.compose.player import GAMES, GamePlayer
from maestromotif.compose.result import figures, table, write_program
from maestromotif.compose.search import Rules
from maestromotif.compose.transcript import Told, Transcript
from maestromotif.config.schema import Config
from maestromotif.errors import UserError, did_you_mean
from maestromotif.language import backends
from maestromotif.language.model import LanguageModel
from maestromotif.pipeline.store import Work, sha256
from maestromotif.programs import baselines, check
from maestromotif.reading import check_characters
from maestromotif.skill import skills_of
from maestromotif.tasks.task import Task

log = logging.getLogger("maestromotif")

RESULT, FIGURES, TRANSCRIPT = "result.md", "result.json", "transcript.md"
JOURNAL, PAGE = "search.jsonl", "search.html"
CONTEXT = {"python": 16_384}  # tokens, by the way to write
_CONTEXT = 4_096  # of the other ways
AT_ONCE = 32  # final games: a wave lasts as long as its longest game
_GROWTH = 4  # of the games from rung to rung


@dataclass(frozen=True)
class Plan:
    """How a program is sought. games: of the last rung; final: of the final measure, None for as many;
    steps: of an episode of a task in words. Raises UserError for a search or a way of writing that does not
    exist.
    """

    search: str
    writing: str
    budget: Budget
    games: int = 32
    steps: int = 2_000
    final: int | None = None

    def __post_init__(self) -> None:
        for option, name, known in (
            ("search", self.search, searches.SEARCHES),
            ("by", self.writing, WRITINGS),
        ):
            if name not in known:
                raise UserError(f"--{option}: there is no '{name}'{did_you_mean(name, list(known))}")


def compose(config: Config, words: str, folder: Path, plan: Plan, conditions: Sequence[str] = ()) -> str:
    """Seeks a program and writes the folder; returns the table of the result.

    words, conditions: as for `fixed_task.fixed`. A folder in which a search was stopped goes on from there.
    Raises UserError.
    """
    check_characters(words, "compose: the task")
    skills = skills_of(config)
    params, policy = _policy(config)
    work = _open(folder)
    transcript = Transcript(folder / TRANSCRIPT)
    asking = _Asking(config, plan)
    task = fixed(work, words, plan.steps, conditions, asking.model, skills, transcript)
    log.info("compose: %s: %s (%s)", task.words, _aim(task), task.about)
    model = asking.model() if WRITINGS[plan.writing].asks else None
    identity = {
        "task": task.digest,
        "skills": [one.name for one in skills],
        "policy": sha256(policy),
        "writing": plan.writing,
        "model": None if model is None else model.digest,
    }
    operators = WRITINGS[plan.writing].make(model, task, skills, transcript, config.run.seed)
    with GamePlayer(config, params, task) as player:
        rules = Rules(rungs=_rungs(plan.games), seed=config.run.seed)
        tree = searches.run(
            plan.search, folder / JOURNAL, operators, Told(player, transcript), plan.budget, rules, identity
        )
    best = tree.best
    assert best is not None  # else `run` has raised an error
    source = best.candidate.source
    check.program(source, PROGRAM, skills)
    check.behaviour(source, PROGRAM, skills, config.run.seed)
    games = plan.final or plan.games
    with GamePlayer(config, params, task, "final", min(games, AT_ONCE)) as player:
        rows = {
            name: player.play(one, range(games))
            for name, one in (("written", source), ("random skills", baselines.RANDOM_SKILLS))
        }
    write_program(work, task, skills, plan.writing, tree, model, rows["written"])
    result = table(task, plan.writing, tree, rows, model)
    work.write_text(RESULT, result)
    work.write_json(FIGURES, figures(rows))
    transcript.add("Result", result)
    steps = {"Transcript": transcript.text()}
    work.write_text(PAGE, tree_page.page(tree, task.words, result, steps))
    return result


def _aim(task: Task) -> str:
    return f"done when {', then '.join(task.success)}" if task.success else f"measured: {task.measure}"


def _open(folder: Path) -> Work:
    try:
        return Work(folder)
    except OSError as error:
        raise UserError(f"--output: {folder}: is no folder that can be written: {error.strerror}") from error


class _Asking:
    """The configured model, loaded when it is first needed."""

    def __init__(self, config: Config, plan: Plan) -> None:
        needed = CONTEXT.get(plan.writing, _CONTEXT)
        context = max(config.language.context, needed)
        self._settings = config.language.model_copy(update={"context": context})
        self._model: LanguageModel | None = None

    def model(self) -> LanguageModel:
        if self._model is None:
            self._model = backends.open_model(self._settings)
        return self._model


def _policy(config: Config) -> tuple[Params, Path]:
    """The trained policy: the one that the config names, else that of its run."""
    given = config.train.policy or Path(config.run.root, config.run.name)
    path = policy_file(given, "train.policy")
    return read_policy(path, config), path


def _rungs(games: int) -> tuple[int, ...]:
    """8, 32, 128, ... up to the number of games."""
    rungs = [GAMES]
    while rungs[-1] * _GROWTH < games:
        rungs.append(rungs[-1] * _GROWTH)
    return tuple(rungs) if rungs[-1] >= games else (*rungs, games)
