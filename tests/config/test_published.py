"""`configs/published.yaml` has the published value of all that can differ from the published system."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from maestromotif.config.load import load

# Switches of what the published system does not do, or does in another way, with its own values.
PUBLISHED: dict[str, Any] = {
    "annotate.telling": "messages",
    "distil.labels": "hard",
    "distil.network": "published",
    "nethack.levels": None,
    "nethack.options": None,
    "nethack.pages": "last",
    "reward.count_depth": True,
    "reward.count_empty": True,
    "reward.count_exponent": 3.0,
    "reward.least_threshold": None,
    "reward.online_steps": None,
    "reward.scale": 0.1,
    "reward.timing": "published",
    "train.anneal": "none",
    "train.arenas": {},
    "train.balance": 0.0,
    "train.bootstrap.achieved": "next",
    "train.bootstrap.failed": "next",
    "train.bootstrap.interrupted": "next",
    "train.bootstrap.timed_out": "next",
    "train.correction": "vtrace",
    "train.epochs": 1,
    "train.gae_lambda": 1.0,
    "train.least_deviation": 1e-3,
    "train.max_grad_norm": 4.0,
    "train.minibatches": 4,
    "train.network.actions": "published",
    "train.network.heads": "shared",
    "train.network.mask": False,
    "train.network.prior": "uniform",
    "train.network.sees": (),
    "train.network.trunk": "published",
    "train.normalise": "batch",
    "train.scale_returns": False,
    "train.skip_unrewarded": False,
    "train.target_kl": None,
    "train.teacher.policy": None,
    "train.value_clip": 1.0,
    "train.value_coef": 0.5,
}


def settings_of(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Key, value and description of every setting."""
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from settings_of(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value, info.description or ""


def test_what_is_not_published_is_switched_off() -> None:
    found = list(settings_of(load(Path(__file__).parents[2] / "configs" / "published.yaml")))
    values = {key: value for key, value, _ in found}
    assert {key: values[key] for key in PUBLISHED} == PUBLISHED
    speak_of_it = {key for key, _, description in found if "published" in description.lower()}
    assert speak_of_it <= PUBLISHED.keys(), "state the published value of these settings above"
