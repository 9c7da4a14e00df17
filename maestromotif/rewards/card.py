"""A card's figures of a reward model over all collected observations: scale, quantiles, extremes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maestromotif.collect.observations import Items
from maestromotif.config.schema import Config
from maestromotif.rewards.model import QUANTILES, Params, RewardModels

SHOWN = 15  # best and worst items


def reads_of(config: Config) -> dict[str, Any]:
    """The part of a card that says what the model reads, and how."""
    return {
        "network": config.distil.network,
        "changes": list(config.annotate.changes),
        "telling": config.annotate.telling,
    }


def raw_rewards(params: Sequence[Params], reads: dict[str, Any], items: Items) -> np.ndarray:
    """R of all I items by J models, not normalised, float64 [J, I]; `reads` as from `reads_of`."""
    plain = reads | {"mean": 0.0, "std": 1.0}
    models = RewardModels([str(j) for j in range(len(params))], [plain] * len(params), params)
    return models.score(items.message_list(), items.changes).T.astype(np.float64)


def over_items(raw: np.ndarray, items: Items, reads: dict[str, Any]) -> dict[str, Any]:
    """Mean, standard deviation and quantiles of R float64 [I], and the items rewarded most and least."""
    z = normalised(raw)
    order = np.argsort(-z, kind="stable")
    top, bottom = (
        [
            {
                "caption": items.caption(item, reads["changes"], reads["telling"]),
                "reward": round(float(z[item]), 4),
                "count": int(items.count[item]),
            }
            for item in shown.tolist()
        ]
        for shown in (order[:SHOWN], order[::-1][:SHOWN])
    )
    return {
        "mean": float(raw.mean()),
        "std": float(raw.std()),
        "quantiles": {f"{q:.2f}": round(float(np.quantile(z, q)), 4) for q in QUANTILES},
        "items": len(items),
        "top": top,
        "bottom": bottom,
    }


def normalised(raw: np.ndarray) -> np.ndarray:
    """Z = (R - mean) / std over the last axis."""
    spread = np.maximum(raw.std(-1, keepdims=True), 1e-9)
    return np.asarray((raw - raw.mean(-1, keepdims=True)) / spread)
