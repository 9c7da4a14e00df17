"""Plays kept episodes of a run again, and writes those that the report shows."""

from collections.abc import Mapping, Sequence

from maestromotif.agent.episodes import Episode
from maestromotif.agent.reward import RewardFunction
from maestromotif.compose.compose import program_file
from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.reading import read_text
from maestromotif.replay.choose import choose
from maestromotif.replay.record import play_again
from maestromotif.replay.replay import Replay, about, arrays
from maestromotif.skill import skills_of
from maestromotif.tasks.task import Task
from maestromotif.train.reward_source import DistilledRewards, reward_folder

FOLDER = "replays"  # in a task's folder of an evaluation, with an .npz and a .json for each kind of `choose`


class Player:
    """Plays kept episodes of a run again.

    program: source of the program over skills that chose the skills: a task's or the training program.
    title: of what was played.
    Raises UserError if the reward models cannot be read.
    """

    def __init__(self, config: Config, inputs: Mapping[str, Artefact], program: str, title: str) -> None:
        self._config, self._program, self._title = config, program, title
        self._skills = skills_of(config)
        self._scorer = DistilledRewards(config, reward_folder(config, inputs)).scorer(0)

    def replay(self, agent: str, number: int, episode: Episode, label: str = "") -> Replay:
        """Episode `number` of an agent. label: for a tab; default: agent and number."""
        name = f"{agent}, episode {number}"
        when = f" at training step {episode.at:,}" if episode.at else ""
        return play_again(
            self._config.nethack,
            self._skills,
            self._program,
            RewardFunction(self._scorer, self._config.reward, games=1),
            episode,
            title=f"{self._title}: {name}{when}, {episode.steps} steps",
            label=label or name,
        )


def task_program(inputs: Mapping[str, Artefact], task: str) -> str:
    """Source of the checked program that carries out the task of this name."""
    return read_text(inputs["compose"].path / program_file(task))


def write_shown(
    config: Config,
    inputs: Mapping[str, Artefact],
    work: Work,
    task: Task,
    agent: str,
    episodes: Sequence[Episode],
) -> list[Replay]:
    """Writes what the report shows of an agent's episodes of a task; returns it."""
    player = Player(config, inputs, task_program(inputs, task.name), task.name)
    replays = []
    for kind, number in choose(episodes, task.can_succeed).items():
        episode = episodes[number]
        label = f"death: {episode.cause}" if kind == "death" else kind
        shown = player.replay(agent, number, episode, label)
        work.write_arrays(f"{task.name}/{FOLDER}/{kind}.npz", **arrays(shown))
        work.write_json(f"{task.name}/{FOLDER}/{kind}.json", about(shown))
        replays.append(shown)
    return replays
