"""Stage `distil`: a reward model of each skill is learned from its preferences.

Bradley-Terry with soft labels. For a pair (i, j) with label y = P(i preferred):

    P(i > j) = sigmoid(R_i - R_j)
    loss     = -[ y log P(i > j) + (1 - y) log P(j > i) ]

With y = 1/2 for ties this is the loss of the paper (section 3.1, from Motif). By default y is
sigmoid(margin / temperature), the language model's own certainty, so that R keeps the distances between its
scores and not only their order; ties stay at 1/2.

All skills are trained by one program, vmapped over their stacked parameters. Captions are held out by
message: no message is on both sides, and captions without a message are all trained on. The parameters kept
are those of the epoch with the lowest held-out loss, so the held-out figures are a little flattering; the
card says so.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from maestromotif.errors import UserError
from maestromotif.preferences import dataset
from maestromotif.progress import Progress
from maestromotif.rewards.model import QUANTILES, Network, Params, RewardModels, features, initial, rewards
from maestromotif.settings import Config, DistilSettings
from maestromotif.skill import load_all
from maestromotif.store import Artefact, Work

SHOWN = 15  # best and worst items on a card
BOOTSTRAPS = 1000
CHANCE = 0.5  # accuracy of a coin, the baseline


@dataclass(frozen=True)
class Judged:
    """The judged captions, shared by all skills, and each skill's labelled pairs of them."""

    messages: list[bytes]  # [N]
    changes: np.ndarray  # int8 [N, 4]
    held_out: np.ndarray  # bool [N]
    pairs: list[np.ndarray]  # of each skill int32 [P, 2]
    labels: list[np.ndarray]  # float32 [P], P(first preferred)
    ties: list[np.ndarray]  # bool [P]


# ----------------------------------------------------------------------------------------------- stage


def run(config: Config, inputs: dict[str, Artefact], work: Work) -> dict[str, Any]:
    """The stage. Raises UserError if no part can be held out, or a skill's labels tell nothing."""
    settings, spoken = config.distil, config.annotate.changes
    skills = load_all(config.skills_folder, config.skills)
    annotated = inputs["annotate"]
    judged = read_judged(annotated, config.skills, settings, np.random.default_rng([config.run.seed, 2]))
    params, epochs, scores = train(judged, settings, config.run.seed)

    items = dataset.distinct(dataset.load(inputs["collect"].path / "observations.npz"), spoken)
    plain = [{"network": settings.network, "changes": list(spoken), "mean": 0.0, "std": 1.0}] * len(skills)
    raw = RewardModels(config.skills, plain, params).score(items.message_list(), items.changes)  # [I, K]
    judge = {
        name: annotated.manifest["facts"][name]
        for name in ("model", "model_sha256", "licence", "prompt_sha256")
    }
    facts: dict[str, Any] = {"network": settings.network, "judge": judge, "items": len(items), "skills": {}}
    for k, skill in enumerate(skills):
        mean, std = float(raw[:, k].mean()), float(raw[:, k].std())
        if judged.ties[k].all() or std < 1e-6:
            quality = annotated.path / skill.name / "quality.json"
            raise UserError(
                f"skill '{skill.name}': its labels do not tell captions apart: nothing can be learned; see "
                f"{quality}. Describe the skill in other words, or lower annotate.tie_margin."
            )
        z = (raw[:, k] - mean) / std
        random = np.random.default_rng([config.run.seed, 3, k])
        accuracy = {
            side: accuracy_of(scores[k], judged, k, chosen, random)
            for side, chosen in (("held_out", judged.held_out), ("train", ~judged.held_out))
        }
        order = np.argsort(-z, kind="stable")
        shown = [
            [
                {
                    "caption": items.caption(item, spoken),
                    "reward": round(float(z[item]), 4),
                    "count": int(items.count[item]),
                }
                for item in chosen.tolist()
            ]
            for chosen in (order[:SHOWN], order[::-1][:SHOWN])
        ]
        card = {
            "skill": skill.name,
            "description": skill.description,
            "network": settings.network,
            "changes": list(spoken),
            "accuracy_held_out": accuracy["held_out"],
            "accuracy_train": accuracy["train"],
            "accuracy_note": "share of pairs ordered as labelled, ties left out; interval by bootstrap over "
            "captions; the epoch was chosen by the held-out loss",
            "baseline": CHANCE,
            "pairs": len(judged.pairs[k]),
            "epoch": int(epochs[k]),
            "mean": mean,
            "std": std,
            "quantiles": {f"{q:.2f}": round(float(np.quantile(z, q)), 4) for q in QUANTILES},
            "items": len(items),
            "top": shown[0],
            "bottom": shown[1],
            "judge": judge,
        }
        work.write_bytes(f"{skill.name}/params.msgpack", flax.serialization.to_bytes(params[k]))
        work.write_json(f"{skill.name}/card.json", card)
        facts["skills"][skill.name] = {"accuracy_held_out": accuracy["held_out"], "epoch": int(epochs[k])}
    return facts


def read_judged(
    annotated: Artefact, skills: Sequence[str], settings: DistilSettings, random: np.random.Generator
) -> Judged:
    """Reads captions and preferences, and holds out a share of the messages with all their captions."""
    rows = [json.loads(line) for line in (annotated.path / "captions.jsonl").read_text().splitlines()]
    messages = [row["message"].encode("latin-1") for row in rows]
    pairs, labels, ties = [], [], []
    for skill in skills:
        with np.load(annotated.path / skill / "preferences.npz") as file:
            pairs.append(np.column_stack([file["first"], file["second"]]))
            ties.append(file["label"] == 0.5)
            soft = 1 / (1 + np.exp(-file["margin"] / settings.temperature))
            soft = np.where(ties[-1], 0.5, soft)
            labels.append((soft if settings.labels == "soft" else file["label"]).astype(np.float32))
    return Judged(
        messages,
        np.array([row["changes"] for row in rows], np.int8),
        hold_out(messages, settings.held_out, random),
        pairs,
        labels,
        ties,
    )


def hold_out(messages: Sequence[bytes], share: float, random: np.random.Generator) -> np.ndarray:
    """Which captions are held out, bool [N]: by message, about `share` of all; those without a message never.

    Raises UserError if fewer than two would be on either side.
    """
    counts = Counter(message for message in messages if message)
    distinct = sorted(counts)
    wanted = max(2, round(share * len(messages)))
    chosen: set[bytes] = set()
    held_out = 0
    for index in random.permutation(len(distinct)).tolist():
        left = len(messages) - held_out - counts[distinct[index]]
        if held_out < wanted and left >= 2:
            chosen.add(distinct[index])
            held_out += counts[distinct[index]]
    if held_out < 2:
        raise UserError(
            f"{len(messages)} judged captions with {len(distinct)} different messages cannot be split into a "
            "trained and a held-out part; raise annotate.captions, or collect.explorer_steps for more of them"
        )
    return np.array([message in chosen for message in messages])


# -------------------------------------------------------------------------------------------- learning


def bradley_terry(
    first: Float[Array, " b"],
    second: Float[Array, " b"],
    label: Float[Array, " b"],
    weight: Float[Array, " b"],
) -> Float[Array, ""]:
    """Mean loss of b pairs with rewards `first` and `second` (formula above), weighted."""
    loss = -label * jax.nn.log_sigmoid(first - second) - (1 - label) * jax.nn.log_sigmoid(second - first)
    return (loss * weight).sum() / jnp.maximum(weight.sum(), 1.0)


def train(judged: Judged, settings: DistilSettings, seed: int) -> tuple[list[Params], np.ndarray, np.ndarray]:
    """Learns a model for each of the K skills.

    Returns the parameters, the epoch (1..) each is from, and R of the judged captions float32 [K, N].
    """
    skills = len(judged.pairs)
    tokens = jnp.asarray(features(settings.network, judged.messages))
    changes = jnp.asarray(judged.changes, jnp.int32)
    sides = [judged.held_out[pairs] for pairs in judged.pairs]
    trained = _stack([p[~s.any(1)] for p, s in zip(judged.pairs, sides, strict=True)])
    train_labels = _stack([y[~s.any(1)] for y, s in zip(judged.labels, sides, strict=True)])
    weights = _stack([np.ones(int((~s.any(1)).sum()), np.float32) for s in sides])
    if not weights.any(1).all():
        raise UserError("there are skills without a labelled pair to train on; raise annotate.pairs")
    tested = _stack([p[s.all(1)] for p, s in zip(judged.pairs, sides, strict=True)])
    test_labels = _stack([y[s.all(1)] for y, s in zip(judged.labels, sides, strict=True)])
    test_weights = _stack([np.ones(int(s.all(1).sum()), np.float32) for s in sides])

    key = jax.random.key(seed)
    params = jax.vmap(partial(initial, settings.network))(
        jax.random.split(jax.random.fold_in(key, 0), skills)
    )
    optimiser = optax.adamw(settings.learning_rate, weight_decay=settings.weight_decay)
    state = jax.vmap(optimiser.init)(params)
    evaluate = jax.jit(jax.vmap(partial(_test, settings.network), (0, None, None, 0, 0, 0)))
    step = jax.jit(
        jax.vmap(
            partial(_step, settings.network, optimiser, settings.hide_message),
            (0, 0, 0, None, None, 0, 0, 0, 0),
        )
    )

    random = np.random.default_rng([seed, 4])
    best, best_loss, best_epoch = params, np.full(skills, np.inf), np.zeros(skills, np.int64)
    batch = min(settings.batch, trained.shape[1])
    with Progress("distil", settings.epochs, "epochs") as progress:
        for epoch in range(1, settings.epochs + 1):
            order = np.stack([random.permutation(trained.shape[1]) for _ in range(skills)])
            for number, start in enumerate(range(0, trained.shape[1] - batch + 1, batch)):
                rows = order[:, start : start + batch]
                keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, epoch), number), skills)
                captions, pairs = _captions(_pick(trained, rows), min(2 * batch, len(judged.messages)))
                labels, counts = _pick(train_labels, rows), _pick(weights, rows)
                params, state = step(params, state, keys, tokens, changes, captions, pairs, labels, counts)
            loss = np.asarray(evaluate(params, tokens, changes, tested, test_labels, test_weights))
            better = loss < best_loss
            best = jax.tree.map(lambda old, new, better=better: _choose(better, new, old), best, params)
            best_loss, best_epoch = np.where(better, loss, best_loss), np.where(better, epoch, best_epoch)
            progress.advance(note=f"held-out loss {loss.mean():.3f}")
    separate = [jax.tree.map(lambda leaf, k=k: np.asarray(leaf[k]), best) for k in range(skills)]
    scores = jax.vmap(partial(rewards, settings.network), (0, None, None))(best, tokens, changes)
    return separate, best_epoch, np.asarray(scores)


def _step(
    network: Network,
    optimiser: optax.GradientTransformation,
    hide: float,
    params: Params,
    state: optax.OptState,
    key: Array,
    tokens: Int[Array, "n f"],
    changes: Int[Array, "n 4"],
    captions: Int[Array, " c"],
    pairs: Int[Array, "b 2"],
    label: Float[Array, " b"],
    weight: Float[Array, " b"],
) -> tuple[Params, optax.OptState]:
    """One update on b pairs among c captions of one skill; a share `hide` of them lose their message."""
    shown = jax.random.uniform(key, (len(captions), 1)) >= hide

    def loss_of(params: Params) -> Float[Array, ""]:
        scores = rewards(network, params, tokens[captions] * shown, changes[captions])
        return bradley_terry(scores[pairs[:, 0]], scores[pairs[:, 1]], label, weight)

    updates, state = optimiser.update(jax.grad(loss_of)(params), state, params)
    new: Params = optax.apply_updates(params, updates)
    return new, state


def _test(
    network: Network,
    params: Params,
    tokens: Int[Array, "n f"],
    changes: Int[Array, "n 4"],
    pairs: Int[Array, "p 2"],
    label: Float[Array, " p"],
    weight: Float[Array, " p"],
) -> Float[Array, ""]:
    scores = rewards(network, params, tokens, changes)
    return bradley_terry(scores[pairs[:, 0]], scores[pairs[:, 1]], label, weight)


def _stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays [P_k, ...] of each skill as one [K, max P_k, ...], filled up with zeros."""
    longest = max(1, *(len(array) for array in arrays)) if len(arrays) > 1 else max(1, len(arrays[0]))
    return np.stack(
        [np.concatenate([a, np.zeros((longest - len(a), *a.shape[1:]), a.dtype)]) for a in arrays]
    )


def _pick(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of an array [K, P, ...] the rows [K, b], as [K, b, ...]."""
    picked: np.ndarray = array[np.arange(len(rows))[:, None], rows]
    return picked


def _captions(pairs: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The captions of pairs [K, b, 2], each once, as [K, size] filled up with 0; the pairs as places in them.

    A caption is in many pairs of a batch, and its reward need be computed only once.
    """
    captions = np.zeros((len(pairs), size), np.int32)
    places = np.zeros_like(pairs)
    for k, own in enumerate(pairs):
        distinct, inverse = np.unique(own, return_inverse=True)
        captions[k, : len(distinct)] = distinct
        places[k] = inverse.reshape(own.shape)
    return captions, places


def _choose(where: np.ndarray, new: Array, old: Array) -> Array:
    return jnp.where(where.reshape(-1, *[1] * (new.ndim - 1)), new, old)


# -------------------------------------------------------------------------------------------- accuracy


def accuracy_of(
    scores: np.ndarray, judged: Judged, skill: int, chosen: np.ndarray, random: np.random.Generator
) -> dict[str, Any]:
    """How many of the pairs within the captions `chosen` (bool [N]) are ordered as labelled, ties left out.

    The 95 % interval is a bootstrap over captions, because pairs that share a caption are not independent.
    With no pair that is no tie, the accuracy is None.
    """
    pairs, label, tie = judged.pairs[skill], judged.labels[skill], judged.ties[skill]
    used = chosen[pairs].all(1) & ~tie
    figures: dict[str, Any] = {"accuracy": None, "low": None, "high": None, "pairs": int(used.sum())}
    figures |= {"ties_left_out": int((chosen[pairs].all(1) & tie).sum()), "captions": int(chosen.sum())}
    if not used.any():
        return figures
    first, second = pairs[used].T
    right = (scores[first] > scores[second]) == (label[used] > 0.5)
    captions = np.flatnonzero(chosen)
    times = np.zeros((BOOTSTRAPS, len(scores)))
    for row in times:
        np.add.at(row, random.choice(captions, len(captions)), 1)
    weight = times[:, first] * times[:, second]
    seen = weight.sum(1) > 0
    low, high = np.quantile((weight[seen] @ right) / weight[seen].sum(1), [0.025, 0.975])
    return figures | {
        "accuracy": round(float(right.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }
