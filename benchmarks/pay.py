"""What a skill was paid for in training, and its most frequent actions, for the tables of benchmarks."""

from typing import Any


def shares(paid: dict[str, Any], skill: str, of: str, most: int) -> str:
    """The first `most` of a skill's "events" or "actions" in an account of training, each with its share.

    paid: what `train` writes as `train.account.PAID`, in which the most frequent come first.
    """
    listed = [one for one in paid["skills"][skill][of][:most] if one["share"]]
    return ", ".join(f"{one[of.removesuffix('s')]} {100 * one['share']:.0f} %" for one in listed)
