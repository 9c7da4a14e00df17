"""The card of a set of observations: its contents, by source, for its users."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from maestromotif.collect import ttyrec
from maestromotif.collect.observations import RECORDINGS, SOURCES
from maestromotif.config.labels import CollectSettings
from maestromotif.nethack.events import EVENTS

CAUSES = 10  # causes of death that are listed
MESSAGES = 20  # messages that are listed

_TOLD = {
    "explorer": "a scripted explorer in whole dungeons: it explores, fights, takes the stairs, sells items "
    "in shops and drops items on altars",
    "random": "random actions, mostly moves, in whole dungeons",
    "arena": "the same explorer on levels made for rare events ({arenas}); the levels below them are the "
    "ordinary dungeon",
    "recordings": "recorded games: {read} of {found} recordings were read, {broken} could not be read; the "
    "players and characters differ from those of the other sources",
}
_LICENCE = (
    "Messages quote NetHack, which is under the NetHack General Public License; so are these observations. "
    "Games played here used {game}."
)
_LICENCE_OF_RECORDINGS = (
    " Observations from recordings are subject to the terms of the people who made them: ask them first."
)


def figures(arrays: Mapping[str, np.ndarray], episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The card's figures, for the manifest.

    arrays: those of `observations.npz`. Sources that were not asked for have no entries.
    """
    codes = [code for code in range(len(SOURCES)) if (arrays["source"] == code).any()]
    rows = {SOURCES[code]: arrays["source"] == code for code in codes}
    empty = np.array([not message for message in arrays["messages"].tolist()])
    frequent = np.bincount(arrays["message_id"], minlength=len(empty))
    order = [i for i in np.argsort(-frequent, kind="stable").tolist() if not empty[i]][:MESSAGES]
    licence = _LICENCE + (_LICENCE_OF_RECORDINGS if RECORDINGS in codes else "")
    game = f"NetHack 3.6.7 through nle {version('nle')}"
    return {
        "steps": {name: int(own.sum()) for name, own in rows.items()},
        "messages": len(empty),
        "messages_by_source": {name: len(np.unique(arrays["message_id"][own])) for name, own in rows.items()},
        "steps_without_message": {
            name: int(empty[arrays["message_id"][own]].sum()) for name, own in rows.items()
        },
        "frequent": [[arrays["messages"][i].decode("latin-1"), int(frequent[i])] for i in order],
        "events": {
            name: dict(zip(EVENTS, arrays["events"][own].sum(0, dtype=np.int64).tolist(), strict=True))
            for name, own in rows.items()
        },
        "depths": {name: _counted(arrays["depth"][own].tolist()) for name, own in rows.items()},
        "episodes": {name: _episodes([e for e in episodes if e["source"] == name]) for name in rows},
        "game": game,
        "licence": licence.format(game=game),
    }


def _counted(values: Iterable[int]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}


def _episodes(episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far the episodes of one source went, and how they ended."""
    deepest = np.array([episode["deepest"] for episode in episodes])
    causes = Counter(episode["cause"] for episode in episodes if "cause" in episode)
    return {
        "count": len(episodes),
        "ends": dict(sorted(Counter(episode["end"] for episode in episodes).items())),
        "deepest_mean": round(float(deepest.mean()), 3),
        "reached_depth_2": round(float((deepest >= 2).mean()), 3),
        "died_of": dict(sorted(causes.items(), key=lambda item: (-item[1], item[0]))[:CAUSES]),
    }


def text(figures: Mapping[str, Any], settings: CollectSettings) -> str:
    """The card, in Markdown."""
    steps: dict[str, int] = figures["steps"]
    sources, total = list(steps), sum(steps.values())
    lines = [
        "# Observations",
        "",
        f"{total:,} steps, {figures['messages']:,} distinct messages.",
        "No trained agent played."
        if "recordings" not in sources
        else "No trained agent played here. It is not known who played the recorded games.",
        "",
        "## Sources",
        "",
    ]
    lines += _table(
        ["source", "steps", "share", "episodes", "distinct messages", "steps without a message"],
        [
            [
                name,
                f"{steps[name]:,}",
                f"{steps[name] / total:.1%}",
                f"{figures['episodes'][name]['count']:,}",
                f"{figures['messages_by_source'][name]:,}",
                f"{figures['steps_without_message'][name] / steps[name]:.0%}",
            ]
            for name in sources
        ],
    )
    words = {"arenas": ", ".join(settings.arenas)} | figures.get("recordings", {})
    lines += ["", *(f"- **{name}**: {_TOLD[name].format(**words)}." for name in sources)]
    if "recordings" in sources:
        lines += ["", f"What recordings lack: {'; '.join(ttyrec.LACKS)}."]
    lines += ["", "## Events", ""]
    lines += _table(
        ["event", *sources, "all", "what counts"],
        [
            [name, *_with_sum([figures["events"][source][name] for source in sources]), event.source]
            for name, event in EVENTS.items()
        ],
    )
    depths = sorted({depth for name in sources for depth in figures["depths"][name]}, key=int)
    lines += ["", "## Steps by depth", ""]
    lines += _table(
        ["depth", *sources, "all"],
        [
            [
                "not shown" if int(depth) == ttyrec.UNKNOWN else depth,
                *_with_sum([figures["depths"][name].get(depth, 0) for name in sources]),
            ]
            for depth in depths
        ],
    )
    lines += [
        "",
        "## Ends of episodes",
        "",
        "Truncated: at the step limit, or at the end of a segment of play.",
        "",
    ]
    for name in sources:
        own = figures["episodes"][name]
        ends = ", ".join(f"{end} {count:,}" for end, count in own["ends"].items())
        lines.append(f"- **{name}**: {ends}; mean deepest level {own['deepest_mean']:.2f}.")
        if own["died_of"]:
            died = ", ".join(f"{cause} ({count})" for cause, count in own["died_of"].items())
            lines.append(f"  Most frequent causes of death: {died}.")
    lines += ["", "## Most frequent messages", ""]
    lines += _table(
        ["message", "steps"], [[f"`{told}`", f"{count:,}"] for told, count in figures["frequent"]]
    )
    lines += ["", "## Licence", "", figures["licence"], ""]
    return "\n".join(lines)


def _with_sum(counts: list[int]) -> list[str]:
    return [f"{count:,}" for count in (*counts, sum(counts))]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
