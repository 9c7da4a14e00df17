"""All settings with their defaults. `load.py` reads YAML files and overrides into these classes.

One class per section; unknown keys are errors. Every section is frozen, so a config can be shared and hashed.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from maestromotif.machine import available_cores

GAMES_A_CORE = 32  # for `games: auto`: enough to hide a worker's waiting, few enough for the CPU's caches


# Old names of sections and fields, so that old configs get a helpful error.
RENAMED = {"learning": "train", "dashboard": "tracking"}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RunSettings(Section):
    name: str = Field(
        "quickstart",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="name of the run, and of its folder in `root`",
    )
    root: str = Field("runs", description="folder that holds all runs")
    seed: int = Field(0, ge=0, description="random seed; every other seed is derived from it")
    further: tuple[Literal["quality", "soup"], ...] = Field(
        (), description="optional stages that `run` runs too"
    )


def _automatic(games: object) -> object:
    return GAMES_A_CORE * available_cores() if games == "auto" else games


class NethackSettings(Section):
    games: Annotated[int, BeforeValidator(_automatic)] = Field(
        64,
        ge=1,
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
    options: str | None = Field(
        None, description="your own NetHack options file, without a character; null: the published one"
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


Change = Literal["depth", "explored", "downstairs", "upstairs", "health", "hunger", "load"]
Statistic = Literal["gold", "hp", "experience", "hunger"]


class CollectSettings(Section):
    """Sources of observations: a scripted explorer, random play, arenas, recorded games."""

    explorer_steps: int = Field(
        40_000, ge=0, description="environment steps of the scripted explorer, over all games"
    )
    random_steps: int = Field(10_000, ge=0, description="environment steps of random play, over all games")
    arena_steps: int = Field(
        4_000, ge=0, description="environment steps of the explorer in arenas, over all games and arenas"
    )
    arenas: tuple[str, ...] = Field(
        ("shop", "altar", "stairs"),
        description="arenas by name or path of a .des file; each gets an equal share of arena_steps",
    )
    recordings: str | None = Field(
        None, description="folder of recorded games in the format that nle.dataset reads; null: none"
    )
    recording_steps: int = Field(10_000, ge=0, description="most steps to read from the recordings")
    max_steps: int = Field(1_000, ge=1, description="environment steps after which an episode is truncated")


Backend = Literal["gguf", "vllm", "server", "recorded"]  # each is a module of `maestromotif.language`

# Which settings of the language model each backend uses, apart from those that all of them use.
BACKENDS: dict[Backend, tuple[str, ...]] = {
    "gguf": ("path", "sha256", "threads", "context"),
    "vllm": ("path", "revision", "threads", "context", "tensor_parallel"),
    "server": (
        "revision",
        "context",
        "url",
        "api_key_variable",
        "concurrency",
        "timeout",
        "retries",
        "top_logprobs",
    ),
    "recorded": ("path",),
}


class LanguageSettings(Section):
    """The language model that judges captions.

    With the backend gguf, `model` names an entry of `maestromotif.language.weights.MODELS`, which is fetched
    if needed, or your own model, for which you set `path` and `sha256`. With the backends vllm and server it
    names an entry of `maestromotif.language.presets.PRESETS` or any model that the hub or the server has.
    """

    backend: Backend = Field(
        "gguf",
        description="gguf: on the CPU in this process; vllm: on GPUs in this process; server: an "
        "OpenAI-compatible server such as `vllm serve`; recorded: answers from a file",
    )
    model: str = Field(
        "qwen2.5-coder-1.5b-instruct",
        description="the model: a built-in name, your own, or a name that the hub or the server has",
    )
    path: str | None = Field(
        None,
        validate_default=True,
        description="gguf: your own model file, which must match sha256; vllm: a folder with the model; "
        "recorded: the file with the answers",
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="gguf: SHA-256 of the file at `path`, for your own model",
    )
    revision: str | None = Field(
        None,
        min_length=1,
        description="vllm and server: commit of the model's repository on the hub; null: the preset's, or "
        "the newest if it has none. It is not sent to a server: state what the server was started with",
    )
    licence: str | None = Field(
        None, description="licence of a model that is not built in, for the run's manifest"
    )
    cache: str | None = Field(
        None,
        description="folder for downloaded weights; null: `models` in $MAESTROMOTIF_CACHE or "
        "~/.cache/maestromotif",
    )
    threads: int | None = Field(
        None, ge=1, description="gguf, and vllm on a CPU: number of threads; null: one per core"
    )
    context: int = Field(1024, ge=256, description="gguf and vllm: context length in tokens")
    tensor_parallel: int | None = Field(
        None, ge=1, description="vllm: GPUs that share one copy of the model; null: the preset's number, or 1"
    )
    url: str = Field(
        "http://127.0.0.1:8000/v1",
        description="server: base address, without /chat/completions",
    )
    api_key_variable: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="server: environment variable that holds the API key; if it is unset, no key is sent",
    )
    concurrency: int = Field(32, ge=1, le=4096, description="server: parallel requests")
    timeout: float = Field(300.0, gt=0, description="server: timeout of a request in seconds")
    retries: int = Field(6, ge=0, le=20, description="server: retries of a failed request")
    top_logprobs: int = Field(
        20,
        ge=1,
        le=1000,
        description="server: number of most likely tokens to request, among which answers are looked up; "
        "servers have limits",
    )
    record: str | None = Field(
        None, description="file to which every question and its answer are appended; null: none"
    )

    # Null by default, so a value was set on purpose.
    @field_validator("path", "sha256", "revision", "tensor_parallel")
    @classmethod
    def _fits_the_backend(cls, value: Any, info: Any) -> Any:
        backend = info.data.get("backend")  # absent if it is wrong itself
        legal = [name for name, used in BACKENDS.items() if info.field_name in used]
        if value is not None and backend is not None and backend not in legal:
            raise ValueError(
                f"applies to language.backend {' or '.join(legal)} only, not to {backend}; set it to null"
            )
        if info.field_name == "path" and value is None and backend == "recorded":
            raise ValueError("must name the file with the answers, because language.backend is recorded")
        return value

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is not a number
            usable = False
        if not usable:
            raise ValueError("should look like http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "should have no user, password or query; put a key in the environment variable that "
                "language.api_key_variable names"
            )
        return value.rstrip("/")

    @field_validator("record")
    @classmethod
    def _is_another_file(cls, value: str | None, info: Any) -> str | None:
        if value is not None and value == info.data.get("path"):
            raise ValueError("should be a different file from language.path")
        return value


class AnnotateSettings(Section):
    method: Literal["pointwise", "graded", "reworded", "pairwise", "reasoned"] = Field(
        "pointwise",
        description="pointwise, graded and reworded judge each caption alone and order pairs by the scores: "
        "pointwise asks Yes or No, graded asks Good, Bad or Neither, reworded asks both and shows where they "
        "disagree. pairwise compares pairs in both orders; reasoned does so with written reasoning (for "
        "large models)",
    )
    captions: int = Field(
        96,
        ge=4,
        description="distinct captions to judge, drawn in turn from groups by the rarest thing they tell",
    )
    pairs: int = Field(
        5_000,
        ge=1,
        description="most pairs per skill; each costs two questions with pairwise and reasoned, none "
        "otherwise",
    )
    tie_margin: float = Field(0.1, ge=0, description="pairs with a smaller margin, in log-odds, are ties")
    answer_mass: float = Field(
        0.25,
        gt=0,
        le=1,
        description="an answer is nonsense if the probabilities of all possible answers sum to less",
    )
    changes: tuple[Change, ...] = Field(
        ("depth", "explored", "downstairs", "upstairs"),
        description="changes that a caption states besides the message; the reward model sees them too",
    )
    telling: Literal["events", "messages"] = Field(
        "events",
        description="what captions and reward models read of the game's message. events: the events that it "
        "reports in plain words ('The agent picked up 7 gold pieces.'), and the rest quoted; messages: the "
        "message as the game wrote it ('$ - 7 gold pieces.'), as published",
    )
    statistics: tuple[Statistic, ...] = Field(
        (), description="statistics that a caption states for the judge; the reward model does not see them"
    )
    horizon: int = Field(
        1, ge=1, description="environment steps over which changes of the statistics are measured"
    )
    chunk: int = Field(
        48,
        ge=1,
        description="questions that are asked and cached together; their common prefix is computed once",
    )
    thoughts: int = Field(400, ge=16, description="reasoned: most tokens of a written answer")
    answers: str | None = Field(
        None,
        description="folder that caches answers for all runs, and for all machines that share it; null: "
        "`answers` next to the folder of the weights",
    )
    price: float | None = Field(
        None, ge=0, description="price of a million tokens, for --dry-run; null: no estimate"
    )


class CurateSettings(Section):
    """Which labels reward models learn from."""

    keep_margin: float = Field(
        0.0, ge=0, description="pairs with a smaller margin, in log-odds, are left out unless they are ties"
    )
    again: Literal["pointwise", "graded", "reworded", "pairwise", "reasoned"] | None = Field(
        None,
        description="method to ask again about doubted labels, which a reward model trained on the other "
        "half does not reproduce; must differ from annotate.method; null: pairwise, or pointwise if "
        "annotate.method is pairwise",
    )
    again_pairs: int = Field(
        0,
        ge=0,
        description="most doubted pairs per skill to ask again, the most doubted first; the other doubted "
        "pairs keep their labels",
    )


class DistilSettings(Section):
    network: Literal["words", "published"] = Field(
        "words",
        description="reward network over the message. words: a bag of embeddings of words and word pairs; "
        "published: convolutions over characters",
    )
    labels: Literal["soft", "hard"] = Field(
        "soft", description="soft: sigmoid(margin / temperature); hard: 1, 1/2 (tie) or 0, as published"
    )
    temperature: float = Field(1.0, gt=0, description="divides the language model's log-odds in soft labels")
    epochs: int = Field(30, ge=1, description="most passes over the training pairs")
    patience: int | None = Field(
        10, ge=1, description="epochs without a lower held-out loss after which training stops; null: never"
    )
    seeds: int = Field(3, ge=1, description="models per skill; the one with the lowest held-out loss is used")
    same_start: bool = Field(
        False,
        description="whether all models of a skill start from the same parameters and differ only in the "
        "order of the pairs, so that their parameters can be averaged",
    )
    batch: int = Field(256, ge=1, description="pairs per batch")
    learning_rate: float = Field(3e-3, gt=0, description="AdamW's learning rate")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW's weight decay")
    hide_message: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of training observations whose message is hidden, so that the model also learns "
        "from changes alone",
    )
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the distinct captions held out")


class SoupSettings(Section):
    """Averages of reward models with a common start (the stage `soup`, see `run.further`)."""

    of: Literal["experts", "members"] = Field(
        "experts",
        description="what is averaged. experts: models that this stage fine-tunes from one model per skill; "
        "members: the ensemble of distil, which needs distil.same_start",
    )
    experts: int = Field(
        4, ge=1, description="experts per skill: one for each of its most frequent kinds of event"
    )
    epochs: int = Field(5, ge=1, description="epochs of fine-tuning")
    learning_rate: float = Field(1e-3, gt=0, description="learning rate of fine-tuning")
    correlation: float = Field(
        0.5,
        gt=0,
        le=1,
        description="kinds of event count as weakly correlated below this absolute Pearson correlation",
    )
    folds: int = Field(
        5, ge=3, description="folds of the captions; each is used once to report and once to choose weights"
    )


class GateSettings(Section):
    """Checks that a reward must pass before training; skill texts name `wanted` and `forbidden` events."""

    enforce: bool = Field(True, description="whether a skill that fails ends the run; false: only report")
    auc: float = Field(
        0.8,
        ge=0,
        le=1,
        description="least AUC: probability that a wanted observation is rewarded more than another",
    )
    forbidden: float = Field(
        0.05, ge=0, le=1, description="largest share of steps with a forbidden event that may be rewarded"
    )
    fewest: int = Field(5, ge=1, description="least number of steps with an event for it to be judged")


class RewardSettings(Section):
    """From a reward model's output to the reward of a step (MaestroMotif paper, section 3.2 and appendix)."""

    path: str | None = Field(
        None, description="folder of reward models to use; null: the run distils its own"
    )
    online_steps: int | None = Field(
        None,
        ge=1,
        description="environment steps between two trainings of the reward models during training, on "
        "observations from training that the language model judges, without a dataset beforehand; null: the "
        "reward models are trained beforehand",
    )
    online_captions: int = Field(32, ge=4, description="most observations that are judged each time")
    scale: float = Field(0.1, gt=0, description="factor of the reward; published: 0.1")
    quantile: float = Field(
        0.85,
        ge=0,
        lt=1,
        description="quantile of the normalised rewards of the distinct collected observations: a step is "
        "rewarded only above it",
    )
    quantile_of: dict[str, float] = Field({}, description="quantile of single skills, by the skill's name")
    least_threshold: float | None = Field(
        0.0,
        description="least threshold, in standard deviations of the reward model above its mean over the "
        "collected observations; with 0 no step is ever charged; null: none, as published",
    )
    count_exponent: float = Field(
        3.0, ge=0, description="the reward is divided by count ** count_exponent; published: 3"
    )
    count_window: int = Field(20, ge=1, description="distinct messages whose counts are kept")
    count_empty: bool = Field(True, description="whether the empty message is counted too, as published")
    count_depth: bool = Field(
        False,
        description="whether steps that change the depth are counted too, as published, so that the second "
        "descent of an episode pays an eighth of the first",
    )
    timing: Literal["acting", "published"] = Field(
        "acting",
        description="acting: score the observation after the action, for the skill that acted; published: "
        "score the observation before the action",
    )

    @property
    def distilled(self) -> bool:
        """Whether the run's own stages train the reward models before `train`."""
        return self.path is None and self.online_steps is None

    @field_validator("online_steps")
    @classmethod
    def _in_place_of_the_others(cls, value: int | None, info: Any) -> int | None:
        if value is not None and info.data.get("path") is not None:
            raise ValueError("should be null, because reward.path names finished reward models")
        return value


class NetworkSettings(Section):
    trunk: Literal["fovea", "published"] = Field(
        "fovea",
        description="fovea: three windows around the hero, each coarser than the one before; published: "
        "convolutions over 12 x 12 squares and over the message's characters",
    )
    hidden: int = Field(128, ge=8, multiple_of=2, description="units of the recurrent core and of the trunk")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="precision of matrix multiplications; parameters and recurrent state stay float32. Use "
        "bfloat16 on GPUs",
    )
    actions: Literal["published", "travel", "explore", "seek"] = Field(
        "published",
        description="published: the 28 published actions; travel: four more, which walk to what is in view "
        "(stairs, altar, nearest monster) with NetHack's travel command; explore: five more, which walk to "
        "the nearest unexplored place, door or object, attack what is beside the hero, and search longer; "
        "seek: one more, which walks to a likely place for a hidden door or corridor and searches there",
    )
    prior: Literal["uniform", "play"] = Field(
        "play",
        description="probabilities of the actions in an untrained policy. play: those of random play, in "
        "which moves and travel are frequent and prayer is rare; uniform: all equal, as published",
    )
    mask: bool = Field(
        True,
        description="whether the policy never plays an action that a player can see to be useless: down off "
        "the stairs, a step into a wall, what has just changed nothing; published: false",
    )
    sees: tuple[Literal["marks", "aligned", "allowed"], ...] = Field(
        ("marks", "aligned", "allowed"),
        description="inputs of the fovea besides the published ones. marks: which squares are visited, "
        "searched, at the frontier of what is explored, doors; aligned: coarse cells are centred on the "
        "hero, not fixed to the map; allowed: which actions are not useless",
    )
    heads: Literal["separate", "shared"] = Field(
        "separate",
        description="separate: a policy head and a value head per skill; shared: one of each, with the skill "
        "as a one-hot input, as published",
    )

    @property
    def recalls(self) -> bool:
        """Whether the games must keep what the player remembers: marks and useless actions."""
        return self.mask or bool(self.sees)


Bootstrap = Literal["acting", "next", "none"]


class BootstrapSettings(Section):
    """The value that stands for what follows a skill's call, by why the call ended. acting: of the skill that
    acted; next: of the next skill; none: zero.

    With `acting`, a skill also works for its later calls; with `next`, for the calls of other skills; with
    `none`, for this call alone. Where the episode ends, none of them applies. Published: next for all.
    """

    achieved: Bootstrap = Field(
        "none",
        description="where the skill ended itself and one of its `wanted` events had happened in the call",
    )
    failed: Bootstrap = Field(
        "none",
        description="where the skill ended itself without a `wanted` event and before its `max_turns` had "
        "passed; the ascender, for example, went down",
    )
    timed_out: Bootstrap = Field(
        "acting", description="where the skill ended itself because its `max_turns` had passed"
    )
    interrupted: Bootstrap = Field("acting", description="where the program over skills ended the call")


class TrainSettings(Section):
    policy: str | None = Field(
        None,
        description="folder of a trained policy to use in place of training; its skills and its network must "
        "be those of the config; null: the run trains its own",
    )
    steps: int = Field(1_000_000, ge=1, description="environment steps, over all games")
    rollout: int = Field(32, ge=2, description="length of a rollout: environment steps per game and update")
    arenas: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        {},
        description="share of the games whose episodes start in an arena, by its name or .des file, so that "
        "rare skills get to act; published: none",
    )
    balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability that a skill call goes to the skill that acted least among those that may "
        "start, instead of the training program's choice; published: 0",
    )
    lag: int = Field(
        1,
        ge=0,
        le=8,
        description="policy lag in updates between the acting and the newest policy; 0: acting and learning "
        "alternate; more: they overlap",
    )
    actors: int = Field(
        1,
        ge=1,
        description="actor threads per machine, each with an equal share of the games, so that some games "
        "step while the policy evaluates others; the same number per device. Use 8 for a GPU and 16 cores",
    )
    devices: int = Field(1, ge=1, description="accelerators per machine that act and learn")
    machines: int = Field(
        1, ge=1, description="processes that train one policy, each with its own nethack.games games"
    )
    epochs: int = Field(1, ge=1, description="passes over each rollout; published: 1")
    minibatches: int = Field(
        4, ge=1, description="gradient steps per epoch; must divide nethack.games; published: 4"
    )
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate")
    anneal: Literal["none", "linear"] = Field(
        "none",
        description="learning rate over the training. none: constant, as published; linear: it falls evenly "
        "to nothing at train.steps",
    )
    adam_eps: float = Field(1e-6, gt=0, description="Adam's epsilon")
    max_grad_norm: float = Field(
        4.0, gt=0, description="global norm above which gradients are scaled down; published: 4"
    )
    gamma: float = Field(0.99, ge=0, le=1, description="discount per environment step")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="lambda of GAE and V-trace")
    correction: Literal["clip", "vtrace"] = Field(
        "clip",
        description="correction of the policy lag. clip: PPO's clipped ratio alone; vtrace: also advantages "
        "by V-trace, with both its clips at 1; published: vtrace with gae_lambda 1",
    )
    clip: float = Field(0.1, gt=0, description="PPO ratio clip: the ratio stays within [1/(1+clip), 1+clip]")
    target_kl: float | None = Field(
        None,
        gt=0,
        description="KL divergence of the policy at the update's start from the current one at which an "
        "update ends early; null: never, as published",
    )
    value_clip: float | None = Field(
        1.0, gt=0, description="clip of the change of a value in an update; null: no clip; published: 1"
    )
    value_coef: float = Field(0.5, ge=0, description="weight of the value loss; published: 0.5")
    entropy_coef: float = Field(0.003, ge=0, description="weight of the entropy bonus")
    normalise: Literal["skill", "batch"] = Field(
        "skill", description="normalise advantages per skill or over the whole batch"
    )
    least_deviation: float = Field(
        0.1,
        gt=0,
        description="least number by which advantages are divided when they are normalised, in units of the "
        "(scaled) return, so that noise stays small; published: 0.001",
    )
    bootstrap: BootstrapSettings = BootstrapSettings()
    scale_returns: bool = Field(
        True, description="whether to divide each skill's rewards by the root mean square of its returns"
    )
    return_memory: int = Field(
        100_000,
        ge=1,
        description="steps of a skill after which that mean forgets: what is as long ago weighs e times less",
    )
    skip_unrewarded: bool = Field(
        True,
        description="whether the policy loss leaves out the steps of a skill that has had no reward for "
        "return_memory of its steps: its advantages are the noise of its values; published: false",
    )
    curve_steps: int = Field(20_000, ge=1, description="environment steps between rows of the learning curve")
    checkpoint_steps: int = Field(200_000, ge=1, description="environment steps between checkpoints")
    checkpoints: int = Field(2, ge=1, description="number of newest checkpoints to keep")
    network: NetworkSettings = NetworkSettings()

    @field_validator("arenas")
    @classmethod
    def _are_shares(cls, value: dict[str, float]) -> dict[str, float]:
        if sum(value.values()) > 1 + 1e-9:
            raise ValueError(f"shares should add up to at most 1, not to {sum(value.values()):g}")
        return value


class ComposeSettings(Section):
    training: str = Field(
        "policies/training.py", description="program over skills that calls the skills during training"
    )


class TaskSettings(Section):
    name: str = Field(description="name of the task, for tables and wandb")
    words: str = Field(description="the task in plain words")
    program: str = Field(description="program over skills that carries out the task")
    success: tuple[str, ...] = Field(
        description="conditions on GameState that must become true, in this order; []: none, so an episode "
        "ends only by death or at its last step, and results say how deep the agent came"
    )


class EvaluateSettings(Section):
    episodes: int = Field(128, ge=1, description="episodes per agent")
    max_steps: int = Field(1_000, ge=1, description="environment steps after which an episode is truncated")
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
        "auto", description="mode of wandb; auto: online, or offline without a key or a connection"
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
    skills: tuple[str, ...] = Field(min_length=1, description="skill names; each is a file skills/<name>.md")
    skills_folder: str = Field("skills", description="folder that holds the skills' files")
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
                f"again should differ from annotate.method, which is {value.again}: its answers are known"
            )
        return value
