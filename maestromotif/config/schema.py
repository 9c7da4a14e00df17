"""All settings with their defaults. `load.py` reads YAML files and overrides into these classes.

One class per section; those that make rewards are in `labels.py`, and those of what learns in
`learning.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from maestromotif.config.labels import (
    AnnotateSettings,
    CollectSettings,
    CurateSettings,
    DistilSettings,
    GateSettings,
    LanguageSettings,
    SoupSettings,
)
from maestromotif.config.learning import CloneSettings, DemonstrateSettings, RewardSettings, TrainSettings
from maestromotif.config.section import DISTINCT, Section, WrittenPath
from maestromotif.machine import available_cores

MOST_SEED = 2**32 - 1  # of JAX, whose generators take 32 bits
GAMES_A_CORE = 32  # for `games: auto`: enough to hide a worker's waiting, few enough for the CPU's caches


NO_KEY = (
    "because a config is saved and logged: put the key in the environment variable that "
    "language.api_key_variable names"
)
NO_WANDB_KEY = "because a config is saved: `wandb login` keeps the key, or WANDB_API_KEY holds it"
# Sections and fields of old configs, and others that people try, and what to do about them.
FORMER = {
    "extends": "is for files: write 'extends: configs/quickstart.yaml' at the top of your own",
    "learning": "is called 'train' now; rename it",
    "dashboard": "is called 'tracking' now; rename it",
    "language.key": f"is no setting, {NO_KEY}",
    "language.api_key": f"is no setting, {NO_KEY}",
    "tracking.key": f"is no setting, {NO_WANDB_KEY}",
    "tracking.api_key": f"is no setting, {NO_WANDB_KEY}",
    "task": "is a file now, tasks/<name>.md; name it in the list 'tasks'",
}


# Agents of the evaluation; `ONLY` and the name of a skill is one more.
AGENTS = ("trained", "untrained", "random", "wandering", "explorer", "demonstrator", "random_skills")
ONLY = "only_"


class RunSettings(Section):
    name: str = Field(
        "quickstart",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=200,
        description="name of the run, and of its folder in `root`",
    )
    root: WrittenPath = Field("runs", description="folder that holds all runs")
    seed: int = Field(
        0, ge=0, le=MOST_SEED, description="random seed below 2**32; every other seed is derived from it"
    )
    further: Annotated[tuple[Literal["quality", "soup", "demonstrate", "clone"], ...], DISTINCT] = Field(
        (), description="optional stages that `run` runs too"
    )


def _automatic(games: object) -> object:
    return GAMES_A_CORE * available_cores() if games == "auto" else games


class NethackSettings(Section):
    games: Annotated[int, BeforeValidator(_automatic)] = Field(
        64,
        ge=1,
        le=10_000_000,
        description="parallel games; auto: 32 per core of this machine. Results depend on it",
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="worker processes that run the games; in training, per actor; null: one per core",
    )
    loader: Literal["auto", "shared", "stock"] = Field(
        "auto",
        description="shared: all games of a worker share one copy of NetHack's code; stock: one copy per "
        "game, as in NLE; auto: shared if this machine supports it. Games play the same either way",
    )
    character: str = Field(
        "mon-hum-neu-mal",
        description="the hero as role-race-alignment-gender, in NetHack's abbreviations",
    )
    options: WrittenPath | None = Field(
        None,
        description="your own NetHack options file, without a character, and without options that change "
        "keys, questions or the mode of play; null: the published one",
    )
    pages: Literal["all", "last"] = Field(
        "all",
        description="the message of a step that NetHack writes on several pages. all: the pages joined, so a "
        "caption tells all that happened; last: the last page, as published",
    )
    max_steps: int = Field(10_000, ge=1, description="environment steps after which an episode is truncated")
    levels: int | None = Field(
        None,
        ge=1,
        description="number of different dungeons in training; null: a new one every episode, as published",
    )


class ComposeSettings(Section):
    training: WrittenPath = Field(
        "policies/training.py", description="program over skills that calls the skills during training"
    )
    programs: dict[str, WrittenPath] = Field(
        {}, description="task: file of its program over skills, instead of the one that the task names"
    )


class EvaluateSettings(Section):
    agents: Annotated[tuple[str, ...], DISTINCT] = Field(
        ("trained", "untrained", "random", "wandering", "explorer"),
        min_length=1,
        description="who plays each task. trained, untrained: the network; random, wandering: random play; "
        "explorer: the script that collects observations; demonstrator: the one that demonstrates, with the "
        "actions of the policy; random_skills, only_SKILL: the trained network under a program that picks a "
        "skill at random, or this one whenever it may start. A cloned policy plays too if there is one",
    )
    trainings: Annotated[tuple[WrittenPath, ...], DISTINCT] = Field(
        (),
        description="further policies, such as trainings with other seeds: files, or folders of policies or "
        "runs, with this config's skills and network. Each has a row, training_2, training_3, ..., and the "
        "results say how much the trainings differ",
    )
    episodes: int = Field(128, ge=1, description="episodes per agent")
    max_steps: int | None = Field(
        None,
        ge=1,
        description="environment steps after which an episode is truncated, for all tasks; null: each task's "
        "own `steps`",
    )
    salt_file: WrittenPath | None = Field(
        None,
        description="file with a secret of at least 16 characters. The evaluation then plays games that "
        "nobody can list beforehand; results name only the first digits of the secret's hash. null: "
        "the known games, which follow from run.seed",
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence level of the intervals")


class SlurmSettings(Section):
    """What a job of `maestromotif slurm` requests from the cluster, per machine."""

    partition: str | None = Field(None, description="SLURM partition; null: the cluster's default")
    minutes: int = Field(24 * 60, ge=1, description="time limit; the job is then queued again and continues")
    cores: int = Field(16, ge=1, description="CPU cores per machine")
    gpus: int = Field(
        0, ge=0, description="GPUs per machine; at least train.devices, unless training runs on the CPU"
    )
    memory_gb: int = Field(32, ge=1, description="memory per machine, in GB")
    parameters: dict[str, str] = Field(
        {}, description="other parameters of sbatch, such as {account: lab, qos: low}"
    )


class TrackingSettings(Section):
    wandb: Literal["auto", "online", "offline", "disabled"] = Field(
        "auto",
        description="mode of wandb; auto: online, or offline without a key or a connection; the "
        "environment's WANDB_MODE may then ask for disabled or offline",
    )
    project: str = Field("maestromotif", description="project in wandb")
    entity: str | None = Field(None, description="user or team in wandb; null: your default")
    evaluate_steps: int | None = Field(
        100_000,
        ge=1,
        description="environment steps between evaluations of the newest policy during training; null: none. "
        "They play the task on seeds of their own and change nothing that is learned",
    )
    evaluate_episodes: int = Field(
        32,
        ge=1,
        description="episodes of such an evaluation, in new dungeons; if nethack.levels is a number, as many "
        "again in the dungeons of training",
    )
    evaluate_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="largest share of training's time that these evaluations may take; they are spread out "
        "or left out to keep to it. 1: no limit",
    )


class Config(Section):
    run: RunSettings = RunSettings()
    skills: Annotated[tuple[str, ...], DISTINCT] = Field(
        min_length=1, description="skill names; each is a file skills/<name>.md"
    )
    skills_folder: WrittenPath = Field("skills", description="folder that holds the skills' files")
    tasks: Annotated[tuple[str, ...], DISTINCT] = Field(
        min_length=1,
        description="task names; each is a file tasks/<name>.md. The first is the one that `watch` and the "
        "evaluations during training play",
    )
    tasks_folder: WrittenPath = Field("tasks", description="folder that holds the tasks' files")
    nethack: NethackSettings = NethackSettings()
    collect: CollectSettings = CollectSettings()
    language: LanguageSettings = LanguageSettings()
    annotate: AnnotateSettings = AnnotateSettings()
    curate: CurateSettings = CurateSettings()
    distil: DistilSettings = DistilSettings()
    soup: SoupSettings = SoupSettings()
    gate: GateSettings = GateSettings()
    reward: RewardSettings = RewardSettings()
    demonstrate: DemonstrateSettings = DemonstrateSettings()
    clone: CloneSettings = CloneSettings()
    train: TrainSettings = TrainSettings()
    compose: ComposeSettings = ComposeSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    slurm: SlurmSettings = SlurmSettings()
    tracking: TrackingSettings = TrackingSettings()

    @field_validator("curate")
    @classmethod
    def _asks_another_way(cls, value: CurateSettings, info: Any) -> CurateSettings:
        annotate = info.data.get("annotate")  # absent if it is wrong itself
        if annotate is not None and value.again == annotate.method:
            raise ValueError(
                f"again should differ from annotate.method, which is {value.again}: its answers are known"
            )
        return value
