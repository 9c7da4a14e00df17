"""Settings from play to rewards: collect, language, annotate, quality, curate, distil, soup, gate."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from maestromotif.config.section import DISTINCT, Section, WrittenPath

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
    arenas: tuple[WrittenPath, ...] = Field(
        ("shop", "altar", "stairs"),
        description="arenas by name or path of a .des file; each gets an equal share of arena_steps",
    )
    recordings: WrittenPath | None = Field(
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
        "check_model",
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
        repr=False,  # a user may have put a key in it
        description="server: base address, without /chat/completions",
    )
    api_key_variable: str = Field(
        "OPENAI_API_KEY",
        repr=False,
        description="server: environment variable that holds the API key, in capitals; if it is unset, no "
        "key is sent",
    )
    check_model: bool = Field(
        True,
        description="server: whether to check first that the server lists the model; false for a gateway "
        "that serves models which it does not list",
    )
    concurrency: int = Field(32, ge=1, le=4096, description="server: parallel requests")
    timeout: float = Field(
        300.0,
        gt=0,
        description="server: timeout of a request in seconds, and the longest pause that a server can ask "
        "for",
    )
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
        if not value.isprintable() or " " in value:
            raise ValueError("should have no spaces and no control characters")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "should have no user, password or query; put a key in the environment variable that "
                "language.api_key_variable names"
            )
        value = value.rstrip("/")
        if value.endswith("/chat/completions"):
            raise ValueError("should end before /chat/completions, as http://127.0.0.1:8000/v1 does")
        return value

    @field_validator("api_key_variable")
    @classmethod
    def _names_a_variable(cls, value: str) -> str:
        # Keys have small letters, and a config is saved, logged and sent to wandb.
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", value):
            raise ValueError(
                "should be the name of an environment variable, in capitals, such as OPENAI_API_KEY; the "
                "key itself belongs in that variable and never in a config"
            )
        return value

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
    changes: Annotated[tuple[Change, ...], DISTINCT] = Field(
        ("depth", "explored", "downstairs", "upstairs"),
        description="changes that a caption states besides the message; the reward model sees them too",
    )
    telling: Literal["events", "messages"] = Field(
        "events",
        description="what captions and reward models read of the game's message. events: the events that it "
        "reports in plain words ('The agent picked up 7 gold pieces.'), and the rest quoted; messages: the "
        "message as the game wrote it ('$ - 7 gold pieces.'), as published",
    )
    statistics: Annotated[tuple[Statistic, ...], DISTINCT] = Field(
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
