"""Settings of what learns: rewards, network, demonstrations, clone, training."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from maestromotif.config.section import DISTINCT, Section, WrittenPath


class RewardSettings(Section):
    """From a reward model's output to the reward of a step (MaestroMotif paper, section 3.2 and appendix)."""

    path: WrittenPath | None = Field(
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
    quantile_of: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        {}, description="quantile of single skills, by the skill's name"
    )
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


class DemonstrateSettings(Section):
    """Games of a scripted demonstrator (the stage `demonstrate`, see `run.further`)."""

    steps: int = Field(1_000_000, ge=1, description="environment steps, over all games")
    max_steps: int = Field(1_000, ge=1, description="environment steps after which an episode is cut off")
    noise: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of the steps at which random actions are played, a few in a row, instead of the "
        "demonstrator's. What it would play there is recorded, so that a clone learns to recover",
    )


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
    actions: Literal["published", "travel", "explore", "seek", "loot"] = Field(
        "published",
        description="published: the 28 published actions; travel: four more, which walk to what is in view "
        "(stairs, altar, nearest monster) with NetHack's travel command; explore: five more, which walk to "
        "the nearest unexplored place, door or object, attack what is beside the hero, and search longer; "
        "seek: one more, which walks to a likely place for a hidden door or corridor and searches there; "
        "loot: one more, which walks to the nearest object that walking picks up",
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
    sees: Annotated[tuple[Literal["marks", "aligned", "allowed"], ...], DISTINCT] = Field(
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


CLONED = "cloned"  # `train.teacher.policy` for the policy of the stage `clone`


class CloneSettings(Section):
    """A policy learns to act like the demonstrations (the stage `clone`, see `run.further`)."""

    epochs: int = Field(4, ge=1, description="passes over the demonstrations")
    demonstrations: WrittenPath | None = Field(
        None,
        description="file of demonstrations that another run has written; null: those of this run",
    )
    sequence: int = Field(
        32, ge=1, description="steps through which the gradient flows; the memory is carried further"
    )
    batch: int = Field(64, ge=1, description="sequences per gradient step")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate, constant")
    hide_action: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the episodes in which the network does not see its last action; a clone that "
        "always sees it learns to repeat it",
    )
    held_out: float = Field(
        0.1, gt=0, lt=1, description="share of the episodes that the policy does not learn from"
    )


class TeacherSettings(Section):
    """Kickstarting (Schmitt et al. 2018): the policy also learns to act like a teacher."""

    policy: WrittenPath | None = Field(
        None,
        description="the teacher. cloned: the policy of this run's stage `clone`; else a policy file that "
        "`train` or `clone` has written; null: none, as published",
    )
    start: bool = Field(True, description="whether training begins with the teacher's parameters")
    coefficient: float = Field(
        0.5, ge=0, description="weight of KL(teacher || policy) in the loss at the first step"
    )
    floor: float = Field(0.0, ge=0, description="weight to which it falls, linearly")
    steps: int = Field(
        500_000, ge=1, description="environment steps over which it falls, after those of critic_first"
    )
    critic_first: int = Field(
        0,
        ge=0,
        description="environment steps at the start in which only the value heads learn, because the values "
        "of a cloned policy are random",
    )

    @field_validator("floor")
    @classmethod
    def _falls(cls, value: float, info: Any) -> float:
        coefficient = info.data.get("coefficient")  # absent if it is wrong itself
        if coefficient is not None and value > coefficient:
            raise ValueError(f"should be at most train.teacher.coefficient, which is {coefficient:g}")
        return value


Bootstrap = Literal["acting", "next", "none"]


class BootstrapSettings(Section):
    """The value that stands for what follows a skill's call, by why the call ended. acting: of the skill that
    acted; next: of the next skill; none: zero.

    With `acting`, a skill also works for its later calls; with `next`, for the calls of other skills; with
    `none`, for this call alone. Where the episode ends, none of them applies. Published: next for all.
    """

    achieved: Bootstrap = Field(
        "none",
        description="where the skill ended itself after one of its `wanted` events, and no `forbidden` one "
        "happened in the last step",
    )
    failed: Bootstrap = Field(
        "none",
        description="where the skill ended itself with a `forbidden` event in the last step (the ascender, "
        "for example, went down), or before its `max_turns` had passed without a `wanted` one",
    )
    timed_out: Bootstrap = Field(
        "acting", description="where the skill ended itself because its `max_turns` had passed"
    )
    interrupted: Bootstrap = Field("acting", description="where the program over skills ended the call")


class TrainSettings(Section):
    policy: WrittenPath | None = Field(
        None,
        description="folder of a trained policy to use in place of training; its skills and its network must "
        "be those of the config; null: the run trains its own",
    )
    steps: int = Field(1_000_000, ge=1, description="environment steps, over all games")
    rollout: int = Field(32, ge=2, description="length of a rollout: environment steps per game and update")
    arenas: dict[WrittenPath, Annotated[float, Field(gt=0, le=1)]] = Field(
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
    teacher: TeacherSettings = TeacherSettings()
    network: NetworkSettings = NetworkSettings()

    @field_validator("arenas")
    @classmethod
    def _are_shares(cls, value: dict[str, float]) -> dict[str, float]:
        if sum(value.values()) > 1 + 1e-9:
            raise ValueError(f"shares should add up to at most 1, not to {sum(value.values()):g}")
        return value
