"""A search in words: its tree for the terminal, and a candidate as one of several options for a model."""

from maestromotif.compose.tree import Node, Tree

_LINES = 40  # of a candidate, in an option


def text(tree: Tree) -> str:
    """The tree of a search as plain text: a line for each candidate below its first parent.

    A candidate that is its parent's only child stands straight below it, so that a long chain stays narrow.
    """
    lines = [summary(tree)]
    best, children_of = tree.best, tree.children()

    def below(parent: int, before: str) -> list[tuple[Node, str, str]]:
        """The children with what stands before each and before what is below it, the last one first."""
        children = children_of[parent]
        if len(children) == 1 and parent:
            return [(children[0], before, before)]
        rows = [(child, f"{before}├─ ", f"{before}│  ") for child in children[:-1]]
        return [*((child, f"{before}└─ ", f"{before}   ") for child in children[-1:]), *reversed(rows)]

    waiting = below(0, "")
    while waiting:
        node, before, further = waiting.pop()
        lines.append(f"{before}{line(node)}{'  ← best' if node is best else ''}")
        waiting += below(node.number, further)
    return "\n".join(lines) + "\n"


def summary(tree: Tree) -> str:
    """What was searched, what it took, and why it stopped."""
    spent = tree.spent
    stopped = f"; {tree.stopped}" if tree.stopped else ""
    return (
        f"search {tree.identity.get('search', '?')}, seed {tree.identity.get('seed', '?')}: "
        f"{_count(spent.candidates, 'candidate')}, {_count(spent.games, 'game')}, "
        f"{_count(spent.steps, 'game step')}, {_count(spent.calls, 'answer')} of a model, "
        f"{spent.seconds:,.0f} s{stopped}"
    )


def line(node: Node) -> str:
    """Number, operator, and the score or the first line of the problem."""
    return f"{node.number} {made(node)}: {f'refused: {problem(node)}' if node.refused else score(node)}"


def made(node: Node) -> str:
    """The operator, and the candidates that it was given."""
    of = " and ".join(str(number) for number in node.parents)
    return f"{node.operator} of {of}" if of else node.operator


def problem(node: Node) -> str:
    """The first line of what is wrong with a refused candidate."""
    return node.problems[0].strip().partition("\n")[0]


def score(node: Node) -> str:
    """Success rate with its 95 % interval, number of games, and mean progress."""
    if not node.games:
        return "not played"
    low, high = node.interval
    rate = node.successes / len(node.games)
    return (
        f"success {rate:.0%} [{low:.0%}, {high:.0%}] in {_count(len(node.games), 'game')}, "
        f"progress {node.progress:.2f}"
    )


def option(node: Node, tree: Tree) -> str:
    """A candidate as a model is told of it: what it was made of, what that scored, and its text."""
    parents = [tree.node(number) for number in node.parents]
    of = "; ".join(f"candidate {one.number}, {one.operator}, {score(one)}" for one in parents)
    body = (node.candidate.table or node.candidate.source).strip().splitlines()
    left_out = [f"... {len(body) - _LINES} more lines"] if len(body) > _LINES else []
    return "\n".join([f"{node.operator}{f' of {of}' if of else ''}", *body[:_LINES], *left_out])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
