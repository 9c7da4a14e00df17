"""The searches over programs: one short function each, and the table that names them.

A function makes candidates and tries them until it returns or the budget ends it. Where a search has no end
of its own, it goes on for ever. Its result is read from the tree: the candidate that is most surely good.

The operators, and the policies greedy, mcts and evolution, are those of Toledo et al., "AI Research Agents
for Machine Learning" (AIRA, arXiv 2507.02554, 2025), with the constants given there.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.compose.budget import Budget
from maestromotif.compose.candidates import Operators, Player
from maestromotif.compose.journal import Journal
from maestromotif.compose.search import EndedError, Rules, Search
from maestromotif.compose.tree import Node, Tree
from maestromotif.errors import UserError, did_you_mean

DRAFTS = 5  # of greedy, before it improves the best one
CHILDREN = 5  # of a node of the tree that mcts grows, and drafts at its root
EXPLORATION = 0.25  # the constant c of UCT
POPULATION = 5  # individuals of a generation
CROSSOVER = 0.5  # probability that a child has two parents
FROM_GENERATION = 2  # the first generation, counted from 0, with crossover
BRANCHES = 3  # children of a candidate from which llm_first chooses
OPTIONS = 8  # of llm_first, the newest: the prompt of a small model has no room for more


def oneshot(search: Search) -> None:
    """One draft, debugged if it is refused."""
    search.tried(search.draft())


def refine(search: Search) -> None:
    """One draft, and every candidate is improved in turn.

    Source: Madaan et al., "Self-Refine" (NeurIPS 2023). The feedback is what happened in the games.
    """
    newest = search.tried(search.draft())
    while True:
        newest = _go_on(search, newest if not newest.refused else search.tree.best)


def best_of(search: Search) -> None:
    """Drafts only. What the other searches must beat at the same cost."""
    while True:
        search.tried(search.draft())


def greedy(search: Search) -> None:
    """A few drafts, then the best candidate is improved, always. Source: AIRA, after AIDE."""
    for _ in range(DRAFTS):
        search.tried(search.draft())
    while True:
        _go_on(search, search.tree.best)


def mcts(search: Search) -> None:
    """Monte Carlo tree search: the node to improve is chosen by UCT.

        UCT(v) = Q(v) + c sqrt(ln N(parent of v) / N(v))

    N counts the candidates tried at or below a node, and Q is their mean value, scaled by the least and the
    greatest value so far. Sources: L. Kocsis and C. Szepesvari, "Bandit based Monte-Carlo Planning" (ECML
    2006); the scaling, c and the number of children: AIRA. A value must be one number: the mean of success
    rate and progress. A candidate that is refused has the value 0 and no place in the tree.
    """
    children: dict[int, list[int]] = {0: []}  # 0 is the root; its children are the drafts
    values: dict[int, list[float]] = {0: []}

    def uct(node: int, parent: int) -> float:
        least, greatest = min(values[0]), max(values[0])
        mean = (np.mean(values[node]) - least) / (greatest - least or 1.0)
        return float(mean + EXPLORATION * math.sqrt(math.log(len(values[parent])) / len(values[node])))

    while True:
        path = [0]
        while len(below := children[path[-1]]) >= CHILDREN:
            path.append(max(below, key=lambda node: uct(node, path[-1])))
        parent = path[-1]
        made = search.tried(search.improve(search.tree.node(parent)) if parent else search.draft())
        if not made.refused:
            children[parent].append(made.number)
            children[made.number], values[made.number] = [], []
            path.append(made.number)
        value = 0.0 if made.refused else sum(made.fitness(len(made.games))) / 2
        for node in path:
            values[node].append(value)


def evolution(search: Search) -> None:
    """Generations of improved candidates and of children of two; the fittest of old and new live on.

    Parents are the better of two drawn at random. Source: AIRA (population and rate of crossover).
    """
    population = [search.tried(search.draft()) for _ in range(POPULATION)]
    generation = 0
    while True:
        generation += 1
        living = sorted((one for one in population if not one.refused), key=Node.surely, reverse=True)
        fittest = living[:POPULATION]
        children = [search.tried(_child(search, fittest, generation)) for _ in range(POPULATION)]
        population = fittest + children


def llm_first(search: Search) -> None:
    """The model itself chooses which candidate to go on with; no formula does.

    Source: Herr et al., "LLM-First Search" (arXiv 2506.05213, 2025). There the model values all children,
    and is then asked whether to stay on the path or to leave it for the best of the others. Here one
    question does both: the children stand beside the candidates that were left, and it chooses one of all.
    Only what it chooses is played.
    """
    chosen = search.tried(search.draft())
    waiting: list[Node] = []
    while True:
        for _ in range(BRANCHES):
            child = search.sound(search.draft() if chosen.refused else search.improve(chosen))
            waiting += [] if child.refused else [child]
        waiting = waiting[-OPTIONS:]
        if waiting:
            choice = search.choose(waiting)
            waiting.remove(choice)
            chosen = search.tried(choice)


def _go_on(search: Search, node: Node | None) -> Node:
    """What becomes of improving a candidate; of a new draft if there is none."""
    return search.tried(search.improve(node) if node else search.draft())


def _child(search: Search, fittest: list[Node], generation: int) -> Node:
    if not fittest:
        return search.draft()

    def parent(among: list[Node]) -> int:
        return min(search.random.randrange(len(among)) for _ in range(2))  # the fittest come first

    first = fittest[parent(fittest)]
    others = [one for one in fittest if one is not first]
    if others and generation >= FROM_GENERATION and search.random.random() < CROSSOVER:
        return search.crossover(first, others[parent(others)])
    return search.improve(first)


@dataclass(frozen=True)
class Policy:
    """A search: its function, and what it does in few words."""

    function: Callable[[Search], None]
    doc: str


SEARCHES = {
    "oneshot": Policy(oneshot, "one draft"),
    "refine": Policy(refine, "one draft, improved again and again"),
    "best_of": Policy(best_of, "many drafts, of which the best is kept"),
    "greedy": Policy(greedy, "a few drafts, then the best candidate is improved"),
    "mcts": Policy(mcts, "a tree of improvements, grown where UCT says"),
    "evolution": Policy(evolution, "generations of improvements and crossovers"),
    "llm_first": Policy(llm_first, "the model chooses which candidate to go on with"),
}


def run(
    name: str,
    journal: Path,
    operators: Operators,
    player: Player,
    budget: Budget,
    rules: Rules | None = None,
    identity: Mapping[str, Any] | None = None,
) -> Tree:
    """Search until it is done, a program never fails, or the budget is used up; the result is `tree.best`.

    journal: the file to write, or to resume if it exists. identity: what else the search depends on (the
    task, the skills, the operators), as JSON; a journal with another identity is not resumed. Raises
    UserError if no candidate could be played, and for a journal that cannot be resumed. The journal is whole
    after any error.
    """
    if name not in SEARCHES:
        raise UserError(f"search: there is no search '{name}'{did_you_mean(name, SEARCHES)}")
    rules = rules or Rules()
    of = {"search": name, **asdict(rules), **(identity or {})}
    with Journal(journal, of) as opened:
        search = Search(opened, operators, player, rules, budget)
        try:
            SEARCHES[name].function(search)
            search.finish()
            search.stop("the search is done")
        except EndedError as ended:
            search.stop(str(ended))
    tree = search.tree
    if tree.best is None:
        raise UserError(f"{journal}: {_none_played(tree)}")
    return tree


def _none_played(tree: Tree) -> str:
    if not tree.nodes:
        return f"no candidate was made: {tree.stopped}"
    refused = [node for node in tree.nodes if node.refused]
    if not refused:
        return f"no candidate was played: {tree.stopped}"
    first = refused[-1].problems[0].splitlines()[0]
    return (
        f"all of the {len(refused)} candidates that could be played were refused, "
        f"the last because of: {first}; the journal has every one with its problems"
    )
