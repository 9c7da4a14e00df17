"""Which episodes a report shows: a success, a failure, the longest, and a death of the commonest cause.

Of a task without an end it shows the deepest episode instead of a success and a failure.
"""

from collections import Counter
from collections.abc import Sequence

from maestromotif.agent.episodes import Episode

KINDS = ("success", "failure", "deepest", "longest", "death")  # in the order in which they are shown


def choose(episodes: Sequence[Episode], has_end: bool = True) -> dict[str, int]:
    """Kind -> index of the episode to show, each time another one if there are enough; first ones first.

    has_end: whether the task can be achieved.
    success: one that did the task. failure: one that did not. deepest: one that reached the deepest level, if
    the task has no end. longest: one with the most steps. death: one of the commonest cause (of equally
    common ones, the first by name). A kind is left out if no episode is of it, or if all of its episodes
    already stand for other kinds.
    """
    taken: set[int] = set()
    chosen: dict[str, int] = {}
    candidates = _candidates(episodes)
    kinds = ("success", "death", "failure", "longest") if has_end else ("deepest", "death", "longest")
    # The kinds with the fewest candidates choose first, so that no other kind takes their only one.
    for kind in sorted(kinds, key=lambda kind: len(candidates[kind])):
        free = next((index for index in candidates[kind] if index not in taken), None)
        if free is not None:
            taken.add(free)
            chosen[kind] = free
    return {kind: chosen[kind] for kind in KINDS if kind in chosen}


def _candidates(episodes: Sequence[Episode]) -> dict[str, list[int]]:
    causes = Counter(episode.cause for episode in episodes if episode.end == "death")
    commonest = min(causes, key=lambda cause: (-causes[cause], cause), default=None)
    most = max((episode.steps for episode in episodes), default=0)
    depth = max((episode.deepest for episode in episodes), default=0)
    return {
        "success": [n for n, one in enumerate(episodes) if one.success],
        "failure": [n for n, one in enumerate(episodes) if not one.success],
        "deepest": [n for n, one in enumerate(episodes) if one.deepest == depth],
        "longest": [n for n, one in enumerate(episodes) if one.steps == most],
        "death": [n for n, one in enumerate(episodes) if one.end == "death" and one.cause == commonest],
    }
