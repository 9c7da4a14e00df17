"""Searches over programs: real operators without a model, real programs, simulated games."""

import os
import signal
import subprocess
import sys
import time
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
from dice_player import STEPS, DicePlayer

from maestromotif import skill
from maestromotif.compose import tree
from maestromotif.compose.budget import Budget
from maestromotif.compose.candidates import Candidate, Game, Operators, Player
from maestromotif.compose.journal import Event, Journal, read
from maestromotif.compose.operators import Edits
from maestromotif.compose.search import Rules, Search
from maestromotif.compose.searches import CHILDREN, DRAFTS, SEARCHES, run
from maestromotif.compose.tree import Tree
from maestromotif.errors import UserError

SKILLS = skill.load_all(tiny.ROOT / "skills", ["discoverer", "descender", "ascender"])
RULES = Rules(rungs=(2, 4), debugs=1, seed=3)
SEVEN = Budget(candidates=7)  # enough for a candidate of a candidate in each search


def searched(name: str, path: Path, budget: Budget = SEVEN, **given: Any) -> Tree:
    operators = given.get("operators") or Edits(SKILLS, "Be right.", ["downstairs_seen", "depth > 2"])
    return run(name, path, operators, given.get("player") or DicePlayer(SKILLS), budget, RULES)


def told(path: Path) -> list[dict[str, Any]]:
    """What a journal says, without the times."""
    began, events = read(path)
    return [began.model_dump(), *(one.model_dump(exclude={"seconds"}) for one in events)]


class Asked:
    """Operators that count what they are asked, as those of a model do: each answer is one call."""

    def __init__(self) -> None:
        self._edits = Edits(SKILLS, "Be right.", ["downstairs_seen", "depth > 2"])
        self.calls = 0
        self.options: list[Sequence[str]] = []

    def draft(self, seed: int) -> Candidate:
        self.calls += 1
        return self._edits.draft(seed)

    def debug(self, candidate: Candidate, seed: int) -> Candidate:
        self.calls += 1
        return self._edits.debug(candidate, seed)

    def improve(self, candidate: Candidate, games: Sequence[Game], seed: int) -> Candidate:
        self.calls += 1
        return self._edits.improve(candidate, games, seed)

    def crossover(self, first: Candidate, second: Candidate, seed: int) -> Candidate:
        self.calls += 1
        return self._edits.crossover(first, second, seed)

    def choose(self, options: Sequence[str], seed: int) -> int:
        self.calls += 1
        self.options.append(options)
        return 0


class Prose(Asked):
    """A model that never writes a program, and half a character."""

    def draft(self, seed: int) -> Candidate:
        self.calls += 1
        return Candidate(
            "Sure! The agent should go down \ud83d.\n", problems=("candidate.py:1:5: not Python",)
        )

    def debug(self, candidate: Candidate, seed: int) -> Candidate:
        return self.draft(seed)


def test_the_doubles_keep_the_contract() -> None:
    assert isinstance(Asked(), Operators)
    assert isinstance(Edits(SKILLS, ""), Operators)
    assert isinstance(DicePlayer(SKILLS), Player)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_goes_on_from_half_its_journal_with_the_same_choices(name: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    found = searched(name, whole)
    assert len(found.nodes) == (1 if name == "oneshot" else 7)
    assert found.best in found.played
    assert all(len(node.games) in (0, *RULES.rungs) for node in found.nodes)
    assert all(node.problems == () or "is the same program" in node.problems[0] for node in found.nodes)

    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    half = len(told(cut))
    player = DicePlayer(SKILLS)
    again = searched(name, cut, player=player)
    assert told(cut) == told(whole)
    assert again.nodes == found.nodes
    played = [one for one in told(whole)[half:] if one["kind"] == "games"]
    assert len(player.played) == sum(len(one["games"]) for one in played)  # none was played again


SEARCH = """
import sys
from pathlib import Path
sys.path.insert(0, {helpers!r})
sys.path.insert(0, {here!r})
import test_searches
test_searches.searched("evolution", Path(sys.argv[1]))
"""


def test_a_search_that_is_killed_goes_on_with_the_same_choices(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    searched("evolution", whole)
    script = SEARCH.format(helpers=str(tiny.ROOT / "tests/helpers"), here=str(Path(__file__).parent))
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(killed)],
        cwd=tiny.ROOT,
        env=tiny.environment(PYTHONPATH=str(tiny.ROOT)),
    )
    try:
        deadline = time.monotonic() + 900
        while not killed.exists() or killed.read_bytes().count(b"\n") < 7:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = told(killed)
    assert 7 <= len(before) < len(told(whole))
    searched("evolution", killed)
    assert told(killed) == told(whole)


def test_a_search_goes_on_with_a_larger_budget(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = searched("greedy", path, Budget(2))
    assert first.stopped == "the budget of 2 candidates is used up"
    content = path.read_bytes()
    searched("greedy", path, Budget(2))
    assert path.read_bytes() == content
    more = searched("greedy", path, Budget(4))
    assert more.nodes[:2] == first.nodes
    assert len(more.nodes) == 4


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (Budget(calls=3), "the budget of 3 answers of a model is used up"),
        (Budget(steps=5 * STEPS), f"the budget of {5 * STEPS} game steps is used up"),
        (Budget(seconds=0.001), "the budget of 0.001 seconds is used up"),
    ],
)
def test_a_search_stops_when_its_budget_is_used_up(budget: Budget, why: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    if budget.seconds:
        with pytest.raises(UserError, match=f"journal.jsonl: no candidate was .*: {why}"):
            searched("best_of", path, budget, operators=Asked())
    else:
        searched("best_of", path, budget, operators=Asked())
    found = tree.load(path)
    assert found.stopped == why
    if budget.calls:
        assert (found.spent.calls, len(found.played)) == (3, 3)
    if budget.steps:
        assert (found.spent.games, sorted(len(node.games) for node in found.nodes)) == (6, [2, 4])


def test_a_budget_and_rules_that_make_no_sense_are_refused() -> None:
    for wrong, message in (
        (lambda: Budget(steps=0), "budget: steps is 0; a search needs more than 0"),
        (lambda: Rules(rungs=(8, 8)), r"rungs are \[8, 8\]; they must be growing"),
        (lambda: Rules(debugs=-1), "debugs is -1"),
    ):
        with pytest.raises(UserError, match=message):
            wrong()


def test_a_search_of_which_all_candidates_are_refused_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    message = (
        r"journal\.jsonl: all of the 6 candidates .* were refused, the last because of: candidate\.py:1:5: "
        "not Python; the journal has every one"
    )
    with pytest.raises(UserError, match=message):
        searched("mcts", path, Budget(6), operators=Prose())
    found = tree.load(path)
    assert [node.operator for node in found.nodes] == ["draft", "debug"] * 3
    assert found.nodes[0].candidate.source == "Sure! The agent should go down ?.\n"
    assert found.spent.calls == 6
    assert found.best is None


class Failing(Asked):
    """A model whose drafts pass the check and fail in a game."""

    def draft(self, seed: int) -> Candidate:
        self.calls += 1
        return Candidate(
            "class Program:\n    def select(self, state: GameState, available: list[Skill]) -> Skill:\n"
            "        return available[1 // 0]\n"
        )

    def debug(self, candidate: Candidate, seed: int) -> Candidate:
        assert "candidate.py:3: ZeroDivisionError" in candidate.problems[0]
        return super().draft(seed)


def test_a_program_that_fails_in_a_game_is_debugged(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    searched("oneshot", path, operators=Failing())
    draft, repaired = tree.load(path).nodes
    assert (draft.candidate.problems, draft.games) == ((), [])
    assert "ZeroDivisionError" in (draft.failure or "")
    assert (repaired.operator, repaired.parents) == ("debug", (1,))
    assert len(repaired.games) == RULES.rungs[-1]


class Stuck(DicePlayer):
    """Its games cannot be played any more after the first call."""

    def play(self, source: str, episodes: range) -> list[Game]:
        if self.played:
            raise UserError("workers died")
        return super().play(source, episodes)


def test_games_that_are_lost_end_a_search_which_goes_on_later(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with pytest.raises(UserError, match="workers died"):
        searched("best_of", path, Budget(3), player=Stuck(SKILLS))
    before = tree.load(path)
    assert (len(before.nodes), len(before.played)) == (2, 1)
    after = searched("best_of", path, Budget(3))
    assert after.nodes[0] == before.nodes[0]
    assert len(after.played) == 3


def test_a_program_that_was_there_before_is_not_played_again(tmp_path: Path) -> None:
    class Repeating(Numbered):
        def draft(self, seed: int) -> Candidate:
            self.calls += 1
            return Candidate("10 in every call")

        def debug(self, candidate: Candidate, seed: int) -> Candidate:
            return self.improve(candidate, [], seed)

    found = by_numbers("best_of", tmp_path / "j", Budget(3), Rules(rungs=(100,)), operators=Repeating())
    assert [node.operator for node in found.nodes] == ["draft", "draft", "debug"]
    assert found.nodes[1].problems == ("is the same program as candidate 1",)
    assert found.spent.games == 200


def test_an_unknown_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no search 'greed'; did you mean 'greedy'"):
        searched("greed", tmp_path / "journal.jsonl")


def test_the_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    searched("best_of", path, Budget(2))
    text = path.read_text()
    path.write_text(
        text.replace(
            '"number":2,"operator":"draft","parents":[]', '"number":2,"operator":"improve","parents":[1]'
        )
    )
    with pytest.raises(
        UserError, match=r"journal\.jsonl:4: this search would do .*operator draft.* operator improve"
    ):
        searched("best_of", path, Budget(3))


class Scored:
    """Games without playing: `score` gives a candidate's share of successes. To compute choices by hand."""

    def __init__(self, score: Callable[[str], float]) -> None:
        self._score = score

    def play(self, source: str, episodes: range) -> list[Game]:
        share = self._score(source)
        return [Game(number % 10 < share * 10, share, 1, "") for number in episodes]


class Numbered(Asked):
    """Candidates that are numbers: drafts are 10, 20, ..., and an improvement is 1 more than its parent.

    Behind each stands the number of the call, so that all differ.
    """

    def draft(self, seed: int) -> Candidate:
        self.calls += 1
        return Candidate(f"{self.calls * 10} in call {self.calls}")

    def improve(self, candidate: Candidate, games: Sequence[Game], seed: int) -> Candidate:
        self.calls += 1
        return Candidate(f"{number_of(candidate.source) + 1} in call {self.calls}")

    def crossover(self, first: Candidate, second: Candidate, seed: int) -> Candidate:
        return self.improve(max((first, second), key=lambda one: number_of(one.source)), [], seed)


def number_of(source: str) -> int:
    return int(source.split()[0])


def by_numbers(name: str, path: Path, budget: Budget, rules: Rules, **given: Any) -> Tree:
    """A search in which 31 has a share of successes of 0.31."""
    return run(
        name,
        path,
        given.get("operators") or Numbered(),
        Scored(lambda text: number_of(text) / 100),
        budget,
        rules,
    )


def test_successive_halving_plays_the_best_quarter_on(tmp_path: Path) -> None:
    found = by_numbers("best_of", tmp_path / "j", Budget(8), Rules(rungs=(10, 40, 160)))
    # The best quarter of 4 is 40, of 5 is 50, of 6 is 60, ...; of 4 with 40 games it is 70.
    assert [len(node.games) for node in found.nodes] == [10, 10, 10, 40, 40, 40, 160, 160]
    assert found.best is found.nodes[-1]


def test_a_search_ends_when_a_program_never_fails(tmp_path: Path) -> None:
    budget, rules = Budget(30), Rules(rungs=(10, 40, 160))
    found = by_numbers("best_of", tmp_path / "j", budget, rules)
    assert len(found.nodes) == 10  # the first draft of 100
    assert found.stopped == "candidate 10 achieved the task in all 160 games"
    before = told(tmp_path / "j")
    by_numbers("best_of", tmp_path / "j", budget, rules)
    assert told(tmp_path / "j") == before


def test_greedy_improves_the_best(tmp_path: Path) -> None:
    found = by_numbers("greedy", tmp_path / "j", Budget(DRAFTS + 3), Rules(rungs=(100,)))
    assert [node.parents for node in found.nodes] == [()] * DRAFTS + [(5,), (6,), (7,)]


def test_refine_improves_the_newest(tmp_path: Path) -> None:
    found = by_numbers("refine", tmp_path / "j", Budget(4), Rules(rungs=(100,)))
    assert [node.parents for node in found.nodes] == [(), (1,), (2,), (3,)]


def test_mcts_goes_where_uct_is_greatest(tmp_path: Path) -> None:
    found = by_numbers("mcts", tmp_path / "j", Budget(CHILDREN + 3), Rules(rungs=(100,)))
    # Values 0.1 to 0.5 are scaled to 0 to 1. The fifth draft has 1 + 0.25 sqrt(ln 5 / 1) = 1.32, the fourth
    # 1.07. With a child of 0.51, it has 0.99 + 0.25 sqrt(ln 6 / 2) = 1.22, the fourth 1.07.
    assert [node.parents for node in found.nodes[CHILDREN:]] == [(5,), (5,), (5,)]
    low = by_numbers("mcts", tmp_path / "k", Budget(CHILDREN + 40), Rules(rungs=(100,)))
    assert {node.parents for node in low.nodes} > {(5,), (4,)}  # in time it tries the others too


def test_evolution_keeps_the_fittest(tmp_path: Path) -> None:
    found = by_numbers("evolution", tmp_path / "j", Budget(20), Rules(rungs=(100,)))
    operators = [node.operator for node in found.nodes]
    assert operators[:10] == ["draft"] * 5 + ["improve"] * 5
    assert "crossover" in operators[10:]
    assert found.best is not None
    assert found.best.number > 10


def test_llm_first_plays_what_the_model_chooses(tmp_path: Path) -> None:
    operators = Numbered()
    found = by_numbers("llm_first", tmp_path / "j", Budget(7), Rules(rungs=(100,)), operators=operators)
    assert [len(options) for options in operators.options] == [3, 5]
    assert [node.number for node in found.played] == [1, 2, 3]  # it always chooses the first that waits
    assert "improve of candidate 1, draft, success 10%" in operators.options[0][0]
    assert operators.options[0][0].endswith("\n11 in call 2")
    assert found.spent.calls == 7 + 2


def test_search_draws_its_seeds_from_the_rules(tmp_path: Path) -> None:
    seeds = []
    for seed in (0, 1):
        with Journal(tmp_path / f"{seed}.jsonl", {}) as journal:
            search = Search(journal, Numbered(), Scored(lambda text: 0.5), Rules(seed=seed), Budget(9))
            seeds += [search.draft().seed for _ in range(3)]
    assert len(set(seeds)) == 6


def test_the_page_on_searches_lists_them_all() -> None:
    page = (tiny.ROOT / "docs/search.md").read_text()
    for name, policy in SEARCHES.items():
        assert f"| `{name}` | {policy.doc} |" in page
    for kind in typing.get_args(Event):
        assert f"| `{kind.model_fields['kind'].default}` |" in page
