"""The figures of an evaluation during training, in one table, and the choice of episodes to show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maestromotif.agent.episodes import Episode
from maestromotif.intervals import Interval, wilson
from maestromotif.tracking.logged import Logged

# Where episodes are played. new: a new dungeon each; seen: the dungeons of training, if those are few.
PLACES = ("new", "seen")


@dataclass(frozen=True)
class Seen:
    """The episodes of an evaluation in one place, at least one, as a figure sees them.

    skill: the number of the skill for figures of a skill.
    """

    episodes: Sequence[Episode]
    confidence: float
    skill: int = -1

    def share(self, of: Callable[[Episode], bool]) -> float:
        return sum(map(of, self.episodes)) / len(self.episodes)

    def at_least(self, depth: int) -> float:
        return self.share(lambda episode: episode.deepest >= depth)

    def success(self) -> Interval:
        return wilson(sum(one.success for one in self.episodes), len(self.episodes), self.confidence)


@dataclass(frozen=True)
class Measured(Logged):
    """A figure that the episodes give.

    {place} in its name stands for each of `PLACES`, and {skill} for each skill's name.
    """

    of: Callable[[Seen], float] = field(kw_only=True)


MEASURED = (
    Measured(
        "watch/{place}/success",
        "share",
        "Share of the episodes that achieve the task.",
        of=lambda seen: seen.share(lambda episode: episode.success),
    ),
    Measured(
        "watch/{place}/success_low",
        "share",
        "Lower bound of the interval of `success` (Wilson; `evaluate.confidence`).",
        of=lambda seen: seen.success().low,
    ),
    Measured(
        "watch/{place}/success_high",
        "share",
        "Upper bound of the interval of `success` (Wilson; `evaluate.confidence`).",
        of=lambda seen: seen.success().high,
    ),
    Measured(
        "watch/{place}/deepest_mean",
        "levels",
        "Mean over the episodes of the deepest level reached.",
        of=lambda seen: float(np.mean([episode.deepest for episode in seen.episodes])),
    ),
    *(
        Measured(
            f"watch/{{place}}/at_least_{depth}",
            "share",
            f"Share of the episodes that reach level {depth} or deeper.",
            of=lambda seen, depth=depth: seen.at_least(depth),  # type: ignore[misc]
        )
        for depth in (2, 5, 10)
    ),
    Measured(
        "watch/{place}/death_share",
        "share",
        "Share of the episodes that end with the hero's death before the task is achieved.",
        of=lambda seen: seen.share(lambda episode: episode.end == "death"),
    ),
    Measured(
        "watch/{place}/steps_mean",
        "steps",
        "Mean over the episodes of their environment steps. An episode ends when the task is achieved.",
        of=lambda seen: float(np.mean([episode.steps for episode in seen.episodes])),
    ),
    Measured(
        "watch/{place}/episodes",
        "episodes",
        "Number of episodes of the evaluation.",
        of=lambda seen: len(seen.episodes),
    ),
    Measured(
        "watch/{place}/time_share/{skill}",
        "share",
        "Share of the episodes' steps in which the skill acted, under the task's program.",
        of=lambda seen: _steps(seen.episodes, seen.skill).sum() / sum(one.steps for one in seen.episodes),
    ),
)
SECONDS = Logged(
    "watch/seconds",
    "s",
    "Seconds for which training paused for this evaluation, in all places, without its replays.",
)
EPISODES = Logged("watch/episodes", "table", "The episodes of the evaluation: seeds, success, depth, end.")
REPLAY = Logged(
    "replay/{skill}", "page", "The episode of the evaluation in which the skill acted most, to replay."
)
LOGGED: tuple[Logged, ...] = (*MEASURED, SECONDS, EPISODES, REPLAY)

# Of the table `EPISODES`.
COLUMNS = ("place", "core", "disp", "lgen", "success", "deepest", "steps", "end", "cause")


def figures(
    played: Mapping[str, Sequence[Episode]], skills: Sequence[str], confidence: float, has_end: bool = True
) -> dict[str, float]:
    """The row of an evaluation, without `SECONDS`.

    played: place -> episodes. has_end: whether the task can be achieved; if not, success is left out.
    """
    row = {}
    for place, episodes in played.items():
        for figure in MEASURED:
            if not has_end and "/success" in figure.name:
                continue
            for number, skill in enumerate(skills if "{skill}" in figure.name else [""]):
                value = figure.of(Seen(episodes, confidence, number))
                row[figure.name.format(place=place, skill=skill)] = round(value, 6)
    return row


def table(played: Mapping[str, Sequence[Episode]]) -> list[tuple[Any, ...]]:
    """Rows with `COLUMNS`. played: place -> episodes."""
    return [
        (place, *one.seeds, one.success, one.deepest, one.steps, one.end, one.cause)
        for place, episodes in played.items()
        for one in episodes
    ]


def to_show(episodes: Sequence[Episode], skills: int) -> dict[int, Episode]:
    """Number of a skill -> the episode in which it acts most, another one for each skill if possible.

    Skills that act in no episode are left out. A skill that acts little chooses first.
    """
    steps_ke = np.stack([_steps(episodes, skill) for skill in range(skills)])
    shown: dict[int, int] = {}
    for skill in np.argsort(steps_ke.max(1), kind="stable").tolist():
        order = np.argsort(-steps_ke[skill], kind="stable")
        acting = [number for number in order.tolist() if steps_ke[skill, number]]
        if acting:
            shown[skill] = next((one for one in acting if one not in shown.values()), acting[0])
    return {skill: episodes[shown[skill]] for skill in sorted(shown)}


def title(skill: str, env_step: int, episode: Episode, has_end: bool = True) -> str:
    """Of a replay, for example "descender after 600,000 steps: success in 321 steps"."""
    if episode.success:
        outcome = f"success in {episode.steps} steps"
    elif episode.end == "death":
        outcome = f"{episode.cause or 'death'}, at step {episode.steps}"
    elif has_end:
        outcome = f"no success in {episode.steps} steps"
    else:
        outcome = f"level {episode.deepest} in {episode.steps} steps"
    return f"{skill} after {env_step:,} steps: {outcome}"


def _steps(episodes: Sequence[Episode], skill: int) -> np.ndarray:
    """int64 [episodes]: steps in which the skill acted."""
    return np.array([episode.skills.count(skill) for episode in episodes])
