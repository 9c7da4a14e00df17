"""What the values of a config must be to each other: unique and known names, a divisor of the games."""

from collections.abc import Iterator
from typing import Any

from maestromotif.config.keys import Key
from maestromotif.config.learning import CLONED
from maestromotif.config.schema import AGENTS, ONLY, Config
from maestromotif.config.section import DISTINCT, Section
from maestromotif.errors import did_you_mean


def broken(config: Config) -> Iterator[tuple[Key, str]]:
    """(key, what is wrong) of each relation that does not hold."""
    yield from _names(config)
    yield from _shares(config)
    if config.train.policy is not None and config.reward.online_steps is not None:
        yield (
            ("train", "policy"),
            "should be null, because reward.online_steps learns rewards during training",
        )
    if config.train.teacher.policy == CLONED and "clone" not in config.run.further:
        yield (
            ("train", "teacher", "policy"),
            f"is {CLONED}, but no policy is cloned; add clone to run.further",
        )


def _names(config: Config) -> Iterator[tuple[Key, str]]:
    for key, names in _distinct(config):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield (*key, index), f"'{name}' is listed twice"
    for index, name in enumerate(config.tasks):
        if name == "training" or name in config.skills:
            taken = "the training program" if name == "training" else "a skill"
            yield ("tasks", index), f"'{name}' is the name of {taken}; rename the task"
    known = (*AGENTS, *(f"{ONLY}{skill}" for skill in config.skills))
    for index, name in enumerate(config.evaluate.agents):
        if name not in known:
            yield ("evaluate", "agents", index), f"there is no agent '{name}'{did_you_mean(name, known)}"
    for name in config.reward.quantile_of:
        if name not in config.skills:
            told = f"is not one of the run's skills, which are {', '.join(config.skills)}"
            yield ("reward", "quantile_of", name), told


def _shares(config: Config) -> Iterator[tuple[Key, str]]:
    """Games are dealt out to actors, actors to devices, and the games of a device to minibatches."""
    games, train = config.nethack.games, config.train
    if train.actors % train.devices:
        told = f"should be a multiple of train.devices = {train.devices} (got {train.actors})"
        yield ("train", "actors"), told
    if games % train.actors:
        yield ("train", "actors"), f"should divide nethack.games = {games} (got {train.actors})"
    if games % train.minibatches:
        yield ("train", "minibatches"), f"should divide nethack.games = {games} (got {train.minibatches})"
    elif games % (train.devices * train.minibatches):
        told = f"times train.devices = {train.devices} should divide nethack.games = {games}"
        yield ("train", "minibatches"), f"{told} (got {train.minibatches})"


def _distinct(section: Section, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """The lists in which no name may be repeated."""
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _distinct(value, (*key, name))
        elif DISTINCT in info.metadata:
            yield (*key, name), value
