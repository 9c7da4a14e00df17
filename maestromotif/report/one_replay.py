"""Any kept episode of a run as a page and an asciicast: the verb `replay`."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from maestromotif.agent.episodes import Episode
from maestromotif.config.schema import Config
from maestromotif.errors import UserError, did_you_mean
from maestromotif.evaluate.replays import Player, task_program
from maestromotif.pipeline.store import Artefact, writing
from maestromotif.programs import contract
from maestromotif.replay import kept
from maestromotif.replay.cast import to_cast
from maestromotif.replay.page import page
from maestromotif.replay.record import in_words


def replay_of_run(
    config: Config,
    folder: Path,
    artefact: Callable[[str], Artefact],
    task: str,
    agent: str,
    number: int | None,
    training: bool,
) -> list[str]:
    """Writes `<task>-<agent>-<number>.html` and `.cast` of a kept episode into `folder`; returns their paths.

    artefact: gives the finished artefact of a stage. task: one of the config's. training: take the sample
    kept in training, whose only agent is `trained`, instead of the evaluated episodes. Without a number,
    writes nothing and returns a table of the agent's episodes. Raises UserError for an agent or a number that
    does not exist, and if the episode does not end as it was recorded to end, after writing it with a note.
    """
    if task not in config.tasks:
        raise UserError(f"--task: '{task}' is not one of the run's tasks{did_you_mean(task, config.tasks)}")
    stage = "train" if training else "evaluate"
    inputs = {stage: artefact(stage)}
    path = inputs[stage].path / ("" if training else task) / kept.FILE
    episodes = kept.read(path, stage)
    if number is None:
        return listed(episodes, agent, path)
    episode = pick(episodes, agent, number, path)
    inputs |= {name: artefact(name) for name in _reads(config) if name not in inputs}
    program = contract.read(config.compose.training) if training else task_program(inputs, task)
    replay = Player(config, inputs, program, stage if training else task).replay(agent, number, episode)
    name = re.sub(r"[^a-z0-9]+", "-", agent.lower()).strip("-") + f"-{number}"
    name = f"{'training' if training else task}-{name}"
    written = [folder / f"{name}.html", folder / f"{name}.cast"]
    for file, text in zip(written, (page(replay), to_cast(replay)), strict=True):
        with writing(file) as stream:
            stream.write(text.encode("utf-8"))
    if replay.warning:
        raise UserError(f"{written[0]}: written, but: {replay.warning}")
    return [str(file) for file in written]


def _reads(config: Config) -> list[str]:
    """The stages whose artefacts a replay needs: the task's program, and the reward models of the run."""
    if config.reward.path is not None:
        return ["compose"]
    return ["compose", "train" if config.reward.online_steps is not None else "distil"]


def pick(episodes: Mapping[str, Sequence[Episode]], agent: str, number: int, path: Path) -> Episode:
    """Episode `number` of an agent, from 0. path: their file, for messages.

    Raises UserError that names the agents and numbers that exist.
    """
    own = _of(episodes, agent, path)
    if not 0 <= number < len(own):
        raise UserError(
            f"--episode: is {number}, but '{agent}' has the episodes 0 to {len(own) - 1} in {path}"
        )
    return own[number]


def _of(episodes: Mapping[str, Sequence[Episode]], agent: str, path: Path) -> Sequence[Episode]:
    if agent not in episodes:
        there = ", ".join(f"'{name}' ({len(own)} episodes)" for name, own in episodes.items()) or "none"
        raise UserError(
            f"--agent: '{agent}' has no episodes{did_you_mean(agent, episodes)}; in {path}: {there}"
        )
    own = episodes[agent]
    if not own:
        raise UserError(f"--agent: {path} holds no episode of '{agent}'")
    return own


def listed(episodes: Mapping[str, Sequence[Episode]], agent: str, path: Path) -> list[str]:
    """An agent's episodes as lines of a table: number, steps, deepest level, end. Raises UserError."""
    own = _of(episodes, agent, path)
    lines = [f"{'episode':>7}  {'steps':>6}  {'deepest':>7}  end"]
    lines += [
        f"{number:>7}  {one.steps:>6}  {one.deepest:>7}  {in_words(one)}" for number, one in enumerate(own)
    ]
    return lines
