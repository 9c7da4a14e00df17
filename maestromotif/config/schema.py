"""Everything that can be set, with its default. YAML files and overrides are read into this by `load.py`.

One class a section; unknown keys are errors. Every section is frozen, so a config can be shared and hashed.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from maestromotif.machine import available_cores

GAMES_A_CORE = 32  # for `games: auto`: enough to hide a worker's waiting, few enough for its caches


# Sections and fields that had another name, for configs that were written before.
RENAMED = {"learning": "train", "dashboard": "tracking"}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RunSettings(Section):
    name: str = Field(
        "quickstart",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="folder below root that holds the run",
    )
    root: str = Field("runs", description="folder of all runs")
    seed: int = Field(0, ge=0, description="every other seed is derived from this one")
    further: tuple[Literal["quality", "soup"], ...] = Field(
        (), description="stages beside the path that `run` does as well"
    )


def _automatic(games: object) -> object:
    return GAMES_A_CORE * available_cores() if games == "auto" else games


class NethackSettings(Section):
    games: Annotated[int, BeforeValidator(_automatic)] = Field(
        64,
        ge=1,
        description="games stepped together; auto: 32 a core of this machine. What is learned depends on it",
    )
    workers: int | None = Field(
        None, ge=1, description="worker processes of the games, in training of each actor's; null: one a core"
    )
    loader: Literal["auto", "shared", "stock"] = Field(
        "auto",
        description="shared: all games of a worker on one copy of NetHack's code; stock: as NLE loads it; "
        "auto: shared where it can be. The games are the same",
    )
    character: str = Field("mon-hum-neu-mal", description="role-race-alignment-gender, in NetHack's letters")
    options: str | None = Field(
        None, description="a NetHack options file of your own, without a character; null: the published one"
    )
    max_steps: int = Field(10_000, ge=1, description="environment steps after which an episode is truncated")
    levels: int | None = Field(
        None,
        ge=1,
        description="train in this many dungeons only; null: a new one every episode, as published",
    )


Change = Literal["depth", "explored", "downstairs", "upstairs", "health"]
Statistic = Literal["gold", "hp", "experience", "hunger"]


class CollectSettings(Section):
    """Where observations are taken from: an explorer's and random play, arenas, recorded games."""

    explorer_steps: int = Field(
        40_000, ge=0, description="environment steps of the scripted explorer, all games together"
    )
    random_steps: int = Field(
        10_000, ge=0, description="environment steps of random play, all games together"
    )
    arena_steps: int = Field(
        4_000, ge=0, description="environment steps of the explorer in arenas, all games and arenas together"
    )
    arenas: tuple[str, ...] = Field(
        ("shop", "altar", "stairs"),
        description="arenas, by name or path of a .des file; each gets an equal share of the steps",
    )
    recordings: str | None = Field(
        None, description="directory of recorded games as nle.dataset reads them; null: none"
    )
    recording_steps: int = Field(10_000, ge=0, description="steps taken from the recordings, at most")
    max_steps: int = Field(1_000, ge=1, description="step cap of an episode")


Backend = Literal["gguf", "vllm", "server", "recorded"]

# Settings of the language model that mean something with some backends only.
OF_BACKENDS: dict[str, tuple[Backend, ...]] = {
    "path": ("gguf", "vllm", "recorded"),
    "sha256": ("gguf",),
    "revision": ("vllm", "server"),
    "tensor_parallel": ("vllm",),
}


class LanguageSettings(Section):
    """The language model that judges captions.

    `model` names an entry of `maestromotif.language.weights.MODELS` (backend gguf), which is fetched if need
    be, or any other model for which `path` and `sha256` are given; with the backends vllm and server an entry
    of `maestromotif.language.presets.PRESETS` or any name that the model hub or the server knows.
    """

    backend: Backend = Field(
        "gguf",
        description="gguf: on the CPU in this process; vllm: on GPUs in this process; server: by an "
        "OpenAI-compatible server, such as `vllm serve`; recorded: answers that were written down",
    )
    model: str = "qwen2.5-coder-1.5b-instruct"
    path: str | None = Field(
        None,
        validate_default=True,
        description="gguf: a file of your own, which must match the SHA-256; vllm: a folder with the model; "
        "recorded: the file of questions and answers",
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="gguf: of the file at `path`, for a model that the table does not know",
    )
    revision: str | None = Field(
        None,
        min_length=1,
        description="vllm and server: commit of the model's repository on the hub; null: the preset's or, "
        "without one, the newest. A server is not told it: what it was started with is meant",
    )
    licence: str | None = Field(
        None, description="licence of a model that the tables do not know, for the run's manifest"
    )
    cache: str | None = Field(
        None,
        description="downloaded weights; null: models in $MAESTROMOTIF_CACHE or ~/.cache/maestromotif",
    )
    threads: int | None = Field(None, ge=1, description="gguf, and vllm on a CPU: null: one a core")
    context: int = Field(1024, ge=256, description="gguf and vllm: tokens of context")
    tensor_parallel: int | None = Field(
        None, ge=1, description="vllm: GPUs that share one copy of the model; null: the preset's, or 1"
    )
    url: str = Field(
        "http://127.0.0.1:8000/v1",
        description="server: where it is, up to what comes before /chat/completions",
    )
    api_key_variable: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="server: name of the environment variable that holds the key; unset: no key is sent",
    )
    concurrency: int = Field(32, ge=1, le=4096, description="server: questions under way at once")
    timeout: float = Field(300.0, gt=0, description="server: seconds until a question counts as lost")
    retries: int = Field(6, ge=0, le=20, description="server: how often a lost question is asked again")
    top_logprobs: int = Field(
        20,
        ge=1,
        le=1000,
        description="server: likeliest next tokens among which an answer is looked for; servers have limits",
    )
    record: str | None = Field(
        None, description="file to which every question and its answer are added; null: none"
    )

    @field_validator(*OF_BACKENDS)
    @classmethod
    def _fits_the_backend(cls, value: Any, info: Any) -> Any:
        backend = info.data.get("backend")  # absent if it is wrong itself
        legal = OF_BACKENDS[str(info.field_name)]
        if value is not None and backend is not None and backend not in legal:
            raise ValueError(f"is for language.backend {' or '.join(legal)}, not {backend}; set it to null")
        if info.field_name == "path" and value is None and backend == "recorded":
            raise ValueError("must be set: language.backend recorded answers from the file that it names")
        return value

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            usable = False
        if not usable:
            raise ValueError("should be like http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "should be without user, password and query; a key belongs in the environment variable that "
                "language.api_key_variable names"
            )
        return value.rstrip("/")

    @field_validator("record")
    @classmethod
    def _is_another_file(cls, value: str | None, info: Any) -> str | None:
        if value is not None and value == info.data.get("path"):
            raise ValueError("should be another file than language.path")
        return value


class AnnotateSettings(Section):
    method: Literal["pointwise", "graded", "reworded", "pairwise", "reasoned"] = Field(
        "pointwise",
        description="captions are judged alone and pairs ordered by their scores: pointwise asks Yes or No, "
        "graded Good, Bad or Neither, reworded both, so that it shows where they disagree. pairwise compares "
        "pairs in both orders, reasoned with written reasons (for large models)",
    )
    captions: int = Field(96, ge=4, description="distinct captions to judge, drawn stratified by change")
    pairs: int = Field(
        5_000,
        ge=1,
        description="most pairs a skill; each costs two questions where pairs are compared, none else",
    )
    tie_margin: float = Field(0.1, ge=0, description="log-odds closer than this are a tie")
    answer_mass: float = Field(
        0.25,
        gt=0,
        le=1,
        description="an answer is nonsense if all possible answers together are less probable",
    )
    changes: tuple[Change, ...] = Field(
        ("depth",), description="what a caption tells beside the message, and the reward model sees too"
    )
    statistics: tuple[Statistic, ...] = Field(
        (), description="what a caption tells the judge in addition, and the reward model does not see"
    )
    horizon: int = Field(
        1, ge=1, description="steps of the episode over which changes of the statistics are told"
    )
    chunk: int = Field(16, ge=1, description="questions asked together and remembered together")
    thoughts: int = Field(400, ge=16, description="most tokens of a written answer ('reasoned')")
    answers: str | None = Field(
        None,
        description="folder that remembers answers for all runs, and for all machines that share it; "
        "null: answers beside the folder of the weights",
    )
    price: float | None = Field(None, ge=0, description="of a million tokens, for --dry-run")


class CurateSettings(Section):
    """Which labels reward models learn from."""

    keep_margin: float = Field(0.0, ge=0, description="pairs that are no ties and closer are left out")
    again: Literal["pointwise", "graded", "reworded", "pairwise", "reasoned"] | None = Field(
        None,
        description="how labels are asked again that a model of the other half does not reproduce, another "
        "way than annotate.method; null: pairwise, or pointwise where they were asked pairwise",
    )
    again_pairs: int = Field(
        16,
        ge=0,
        description="most pairs a skill that are asked again, the most doubted first; other doubted ones "
        "stay as they are",
    )


class DistilSettings(Section):
    network: Literal["words", "published"] = "words"
    labels: Literal["soft", "hard"] = Field(
        "soft", description="target: sigmoid(margin / temperature), or 1, 1/2 (tie) and 0 as published"
    )
    temperature: float = Field(
        1.0, gt=0, description="log-odds of the language model that count as one of the labels'"
    )
    epochs: int = Field(30, ge=1)
    patience: int | None = Field(
        10, ge=1, description="epochs without a lower held-out loss after which learning ends; null: never"
    )
    seeds: int = Field(3, ge=1, description="models a skill; the one with the lowest held-out loss is used")
    same_start: bool = Field(
        False,
        description="all models of a skill begin with the same parameters and differ in the order of the "
        "pairs, so that their parameters could be averaged",
    )
    batch: int = Field(256, ge=1, description="pairs")
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    hide_message: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of training observations whose message is hidden, so that changes count alone",
    )
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the distinct captions kept for validation")


class SoupSettings(Section):
    """Averages of reward models that descend from one (the stage `soup`, see `run.further`)."""

    of: Literal["experts", "members"] = Field(
        "experts",
        description="experts: models fine-tuned for this from one model a skill; members: the ensemble that "
        "distil learned, for which distil.same_start must be on",
    )
    experts: int = Field(
        4, ge=1, description="kinds of event a skill, the most frequent ones, with an expert each"
    )
    epochs: int = Field(5, ge=1, description="of fine-tuning")
    learning_rate: float = Field(1e-3, gt=0, description="of fine-tuning")
    correlation: float = Field(
        0.5, gt=0, le=1, description="absolute Pearson correlation below which categories are far apart"
    )
    folds: int = Field(5, ge=3, description="parts of the captions; each is reported on once, chosen on once")


class GateSettings(Section):
    """What a reward must be able to do before anything is trained on it: see the skill texts' `wanted`."""

    enforce: bool = Field(True, description="whether a skill that fails ends the run; false: only report")
    auc: float = Field(
        0.8, ge=0, le=1, description="least probability that a wanted observation is rewarded above another"
    )
    forbidden: float = Field(
        0.05, ge=0, le=1, description="largest share of the steps of a forbidden event that may be paid"
    )
    fewest: int = Field(5, ge=1, description="steps with an event without which it is not judged")


class RewardSettings(Section):
    """From a reward model's output to the reward of a step (maestromotif paper, section 3.2 and appendix)."""

    path: str | None = Field(None, description="folder of distilled rewards to use instead of this run's own")
    online_steps: int | None = Field(
        None,
        ge=1,
        description="environment steps after which reward models are learned anew from what training met and "
        "the language model judged of it (by annotate and distil), without a dataset in advance; null: not",
    )
    online_captions: int = Field(32, ge=4, description="observations that are judged each time, at most")
    scale: float = Field(0.1, gt=0)
    quantile: float = Field(0.85, ge=0, lt=1, description="normalised rewards below this quantile become 0")
    quantile_of: dict[str, float] = Field({}, description="the same for single skills, by name")
    count_exponent: float = Field(3.0, ge=0, description="reward is divided by count ** this")
    count_window: int = Field(20, ge=1, description="distinct messages remembered for the count")
    count_empty: bool = Field(True, description="whether the empty message is counted too, as published")
    timing: Literal["acting", "published"] = Field(
        "acting", description="score the next observation for the skill that acted, or this one as published"
    )

    @property
    def distilled(self) -> bool:
        """Whether the run's own stages make the reward models in advance."""
        return self.path is None and self.online_steps is None

    @field_validator("online_steps")
    @classmethod
    def _in_place_of_the_others(cls, value: int | None, info: Any) -> int | None:
        if value is not None and info.data.get("path") is not None:
            raise ValueError("should be null where reward.path names finished reward models")
        return value


class NetworkSettings(Section):
    trunk: Literal["fovea", "published"] = Field(
        "fovea",
        description="fovea: three windows around the hero, each coarser than the one before; published: "
        "convolutions over 12 x 12 squares and over the message's characters",
    )
    hidden: int = Field(128, ge=8, multiple_of=2, description="units of the memory and of the trunk")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the matmuls; parameters and memory stay float32. bfloat16 is for GPUs"
    )
    actions: Literal["published", "travel"] = Field(
        "published",
        description="the 28 published ones; travel: four more, which walk to what is in view (stairs, altar, "
        "nearest monster) by NetHack's own travel command",
    )
    heads: Literal["separate", "shared"] = Field(
        "separate",
        description="a policy and a value head for each skill, or one of each told the skill as a one-hot",
    )


class TrainSettings(Section):
    steps: int = Field(1_000_000, ge=1, description="environment steps, all games together")
    rollout: int = Field(32, ge=2, description="steps a game between two updates")
    arenas: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        {},
        description="share of the games whose episodes begin in an arena, by its name or .des file, so that "
        "rare skills get something to do; as published: none",
    )
    balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability that a call goes to the skill that has acted least of those that may start, "
        "instead of the training program's choice; as published: 0",
    )
    lag: int = Field(
        1,
        ge=0,
        le=8,
        description="updates by which the acting policy is older than the newest; 0: acting and learning "
        "take turns, more: they overlap",
    )
    actors: int = Field(
        1,
        ge=1,
        description="threads of each machine that play, each with an equal share of the games, so that some "
        "games move while the policy thinks about others; as many on each device. 8 for a GPU and 16 cores",
    )
    devices: int = Field(1, ge=1, description="accelerators of each machine that act and learn")
    machines: int = Field(
        1, ge=1, description="processes that learn one policy, each with nethack.games games of its own"
    )
    epochs: int = Field(1, ge=1)
    minibatches: int = Field(4, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    adam_eps: float = Field(1e-6, gt=0)
    max_grad_norm: float = Field(4.0, gt=0)
    gamma: float = Field(0.99, ge=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    correction: Literal["clip", "vtrace"] = Field(
        "clip",
        description="of the policy's lag: clip: PPO's clipped ratio alone, vtrace: advantages by V-trace "
        "too, with both its clips at 1; as published with gae_lambda 1",
    )
    clip: float = Field(0.1, gt=0, description="PPO ratio clip: the ratio stays within [1/(1+clip), 1+clip]")
    target_kl: float | None = Field(
        None,
        gt=0,
        description="an update ends when the policy has moved farther than this from the one that acted (KL "
        "divergence); as published: null, never",
    )
    value_clip: float | None = Field(1.0, gt=0)
    value_coef: float = Field(0.5, ge=0)
    entropy_coef: float = Field(0.003, ge=0)
    normalise: Literal["skill", "batch"] = Field(
        "skill", description="advantages: by skill or over the whole batch"
    )
    bootstrap: Literal["acting", "next", "none"] = Field(
        "acting", description="value after a skill switch: of the skill that acted, of the next one, or zero"
    )
    scale_returns: bool = Field(
        True, description="divide each skill's rewards by the deviation of its returns"
    )
    curve_steps: int = Field(20_000, ge=1, description="environment steps between rows of the learning curve")
    checkpoint_steps: int = Field(200_000, ge=1, description="environment steps between checkpoints")
    checkpoints: int = Field(2, ge=1, description="newest checkpoints that are kept")
    network: NetworkSettings = NetworkSettings()

    @field_validator("arenas")
    @classmethod
    def _are_shares(cls, value: dict[str, float]) -> dict[str, float]:
        if sum(value.values()) > 1 + 1e-9:
            raise ValueError(f"shares should add up to 1 at most, not to {sum(value.values()):g}")
        return value


class ComposeSettings(Section):
    training: str = Field(
        "policies/training.py", description="program over skills under which the skills are trained"
    )


class TaskSettings(Section):
    name: str
    words: str = Field(description="the task as somebody would say it")
    program: str = Field(description="program over skills that carries it out")
    success: tuple[str, ...] = Field(
        min_length=1, description="conditions on GameState that must become true one after the other"
    )


class EvaluateSettings(Section):
    episodes: int = Field(128, ge=1, description="episodes an agent")
    max_steps: int = Field(1_000, ge=1)
    confidence: float = Field(0.95, gt=0, lt=1)


class SlurmSettings(Section):
    """What a job of `maestromotif slurm` asks of the cluster, for each of its machines."""

    partition: str | None = None
    minutes: int = Field(24 * 60, ge=1, description="after which the job is queued again, and goes on")
    cores: int = Field(16, ge=1)
    gpus: int = Field(0, ge=0, description="at least train.devices, unless those are the CPU")
    memory_gb: int = Field(32, ge=1)
    parameters: dict[str, str] = Field(
        {}, description="further ones of sbatch, as in {account: lab, qos: low}"
    )


class TrackingSettings(Section):
    wandb: Literal["auto", "online", "offline", "disabled"] = Field(
        "auto", description="auto: offline without a key"
    )
    project: str = "maestromotif"


class Config(Section):
    run: RunSettings = RunSettings()
    skills: tuple[str, ...] = Field(min_length=1, description="skill names; each is a file skills/<name>.md")
    skills_folder: str = "skills"
    nethack: NethackSettings = NethackSettings()
    collect: CollectSettings = CollectSettings()
    language: LanguageSettings = LanguageSettings()
    annotate: AnnotateSettings = AnnotateSettings()
    curate: CurateSettings = CurateSettings()
    distil: DistilSettings = DistilSettings()
    soup: SoupSettings = SoupSettings()
    gate: GateSettings = GateSettings()
    reward: RewardSettings = RewardSettings()
    train: TrainSettings = TrainSettings()
    compose: ComposeSettings = ComposeSettings()
    task: TaskSettings
    evaluate: EvaluateSettings = EvaluateSettings()
    slurm: SlurmSettings = SlurmSettings()
    tracking: TrackingSettings = TrackingSettings()

    @field_validator("curate")
    @classmethod
    def _asks_another_way(cls, value: CurateSettings, info: Any) -> CurateSettings:
        annotate = info.data.get("annotate")  # absent if it is wrong itself
        if annotate is not None and value.again == annotate.method:
            raise ValueError(
                f"again should not be {value.again}, as annotate.method is: its answers are known already"
            )
        return value
