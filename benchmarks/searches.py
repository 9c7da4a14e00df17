"""Searches over programs at equal cost, with the score of what they found in games that they did not see.

    python benchmarks/searches.py TASK [TASK ...] --searches best_of,greedy --by edits,tables
        [--calls 16] [--steps 40000] [--seeds 0,1] [KEY=VALUE ...]

TASK is the name of a task in `tasks/` or a task's file. `--calls` gives every search as many answers of a
model; where no model is asked, as many candidates instead. `--steps` gives every search as many game steps.
A search stops at the first of the two. All of a task play the same dungeons. What each of them found plays
`--final` others, as random skills do. The score in the search belongs to the best of many candidates, so it
is too high on average (the winner's curse): the table has both scores and their difference. The last line is
one JSON object.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from maestromotif.agent.saved_policy import policy_file, read_policy
from maestromotif.compose import told
from maestromotif.compose.budget import Budget
from maestromotif.compose.candidates import Game, Operators, Player
from maestromotif.compose.draft import WRITINGS
from maestromotif.compose.player import GamePlayer
from maestromotif.compose.search import Rules
from maestromotif.compose.searches import SEARCHES, run
from maestromotif.compose.transcript import Transcript
from maestromotif.config.load import load
from maestromotif.errors import UserError
from maestromotif.intervals import newcombe, wilson
from maestromotif.language import backends
from maestromotif.programs.baselines import RANDOM_SKILLS
from maestromotif.skill import skills_of
from maestromotif.tasks import task as tasks
from maestromotif.tasks.task import Task

CONFIG = "policies/trained/six_skills"
RANDOM = "random skills"


@dataclass(frozen=True)
class Contestant:
    """A search with its operators. make: new operators for a search with this seed."""

    search: str
    by: str
    make: Callable[[int], Operators]
    budget: Budget


@dataclass(frozen=True)
class Row:
    """What one search took and found; sums over several. Pairs are (successes, games), of the program found.

    progress, hidden_progress: sums over the same games.
    """

    search: str
    by: str
    searches: int
    failed: int  # searches that found no program; they have no games below
    candidates: int
    refused: int
    calls: int
    steps: int
    score: tuple[int, int]
    hidden: tuple[int, int]
    progress: float
    hidden_progress: float


def compare(
    contestants: Sequence[Contestant],
    player: Player,
    hidden: Player,
    rules: Rules,
    seeds: Sequence[int],
    final: int,
    folder: Path,
) -> list[Row]:
    """A row for each contestant, over all seeds, and the first one for random skills.

    player: of the games that searches see; hidden: of those that measure what was found, `final` each. The
    journals lie in `folder`; a comparison that was stopped goes on from there.
    """
    chance = hidden.play(RANDOM_SKILLS, range(final))
    rows = [_row(RANDOM, "", hidden=chance)]
    print(rows[0], file=sys.stderr, flush=True)
    for one in contestants:
        found = []
        for seed in seeds:
            journal = folder / f"{one.search}-{one.by}-{seed}.jsonl"
            found.append(_searched(one, journal, player, hidden, replace(rules, seed=seed), final))
            print(f"{one.search} by {one.by}, seed {seed}: {found[-1]}", file=sys.stderr, flush=True)
        rows.append(_sum(found))
    return rows


def _searched(
    one: Contestant, journal: Path, player: Player, hidden: Player, rules: Rules, final: int
) -> Row:
    try:
        tree = run(one.search, journal, one.make(rules.seed), player, one.budget, rules, {"by": one.by})
    except UserError as error:
        print(error, file=sys.stderr)
        return _row(one.search, one.by, failed=1, searches=1)
    best = tree.best
    assert best is not None  # else `run` has raised an error
    print(told.text(tree), best.candidate.table or best.candidate.source, sep="\n", file=sys.stderr)
    return _row(
        one.search,
        one.by,
        best.games,
        hidden.play(best.candidate.source, range(final)),
        searches=1,
        candidates=tree.spent.candidates,
        refused=sum(node.refused for node in tree.nodes),
        calls=tree.spent.calls,
        steps=tree.spent.steps,
    )


def _row(search: str, by: str, seen: Sequence[Game] = (), hidden: Sequence[Game] = (), **spent: int) -> Row:
    zeros = dict.fromkeys(("searches", "failed", "candidates", "refused", "calls", "steps"), 0)
    return Row(
        search,
        by,
        **zeros | spent,
        score=(sum(game.success for game in seen), len(seen)),
        hidden=(sum(game.success for game in hidden), len(hidden)),
        progress=sum(game.progress for game in seen),
        hidden_progress=sum(game.progress for game in hidden),
    )


def _sum(rows: Sequence[Row]) -> Row:
    """One row of several searches that differ in their seed only."""
    numbers = ("searches", "failed", "candidates", "refused", "calls", "steps", "progress", "hidden_progress")
    return replace(
        rows[0],
        **{name: sum(getattr(row, name) for row in rows) for name in numbers},
        score=(sum(row.score[0] for row in rows), sum(row.score[1] for row in rows)),
        hidden=(sum(row.hidden[0] for row in rows), sum(row.hidden[1] for row in rows)),
    )


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table, with 95 % intervals."""
    lines = [
        "| search | by | searches | candidates (refused) | answers | game steps | success in the search "
        "| success in hidden games | the first minus the second | progress, and in hidden games |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = f"{row.searches}" + (f", {row.failed} without a program" if row.failed else "")
        cells = (
            row.search,
            row.by or "–",
            found if row.searches else "–",
            f"{row.candidates} ({row.refused})",
            f"{row.calls}",
            f"{row.steps:,}",
            _rate(row.score),
            _rate(row.hidden),
            _gap(row),
            f"{_mean(row.progress, row.score)}, {_mean(row.hidden_progress, row.hidden)}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(
        [
            *lines,
            "",
            "In brackets: 95 % intervals, over games; that searches with other seeds find other programs is "
            "not in them. The score in the search is that of the best of many candidates, so it is too high "
            "on average.",
            "",
        ]
    )


def _rate(of: tuple[int, int]) -> str:
    if not of[1]:
        return "–"
    low, high = wilson(*of)
    return f"{of[0] / of[1]:.0%} [{low:.0%}, {high:.0%}] of {of[1]}"


def _gap(row: Row) -> str:
    if not (row.score[1] and row.hidden[1]):
        return "–"
    low, high = newcombe(row.score, row.hidden)
    return f"{row.score[0] / row.score[1] - row.hidden[0] / row.hidden[1]:+.0%} [{low:+.0%}, {high:+.0%}]"


def _mean(total: float, of: tuple[int, int]) -> str:
    return f"{total / of[1]:.2f}" if of[1] else "–"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="+", metavar="TASK | KEY=VALUE")
    parser.add_argument("--searches", default=",".join(SEARCHES))
    parser.add_argument("--by", default="edits,tables", help=f"of {', '.join(WRITINGS)}")
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--calls", type=int, default=16)
    parser.add_argument("--steps", type=int, help="game steps of a search; default: no limit")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--rungs", default="8,32,128", help="numbers of games")
    parser.add_argument("--episode-steps", type=int, help="most steps of a game; default: the task's")
    parser.add_argument("--final", type=int, default=64, help="hidden games of what was found")
    parser.add_argument("--to", type=Path, help="folder of the journals; default: a temporary one")
    given = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    overrides = [word for word in given.words if "=" in word]
    names = [word for word in given.words if "=" not in word]
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.to or Path(temporary)
            found = {}
            for name in names:
                place = Path(name)
                task = tasks.load(place.parent if place.suffix else "tasks", place.stem)
                rows = _of_task(given, overrides, task, folder / task.name)
                print(f"{task.words}\n\n{markdown(rows)}", flush=True)
                found[task.name] = [asdict(row) for row in rows]
    except UserError as error:
        sys.exit(str(error))
    print(json.dumps({"tasks": found}))


def _of_task(given: argparse.Namespace, overrides: Sequence[str], task: Task, folder: Path) -> list[Row]:
    config = load(given.config, [*overrides, "language.context=4096"])
    task = replace(task, steps=given.episode_steps or task.steps)
    skills = skills_of(config)
    writings = {name: WRITINGS[name] for name in given.by.split(",")}
    asked = any(writing.asks for writing in writings.values())
    model = backends.open_model(config.language) if asked else None
    folder.mkdir(parents=True, exist_ok=True)

    def contestant(search: str, by: str) -> Contestant:
        writing = writings[by]
        equal = {"calls": given.calls} if writing.asks else {"candidates": given.calls}
        return Contestant(
            search,
            by,
            lambda seed: writing.make(model, task, skills, Transcript(), seed),
            Budget(**equal, steps=given.steps),
        )

    params = read_policy(policy_file(config.train.policy or Path(given.config), "train.policy"), config)
    rules = Rules(tuple(int(rung) for rung in given.rungs.split(",")))
    with (
        GamePlayer(config, params, task) as player,
        GamePlayer(config, params, task, "final") as hidden,
    ):
        contestants = [contestant(search, by) for search in given.searches.split(",") for by in writings]
        seeds = [int(seed) for seed in given.seeds.split(",")]
        return compare(contestants, player, hidden, rules, seeds, given.final, folder)


if __name__ == "__main__":
    main()
