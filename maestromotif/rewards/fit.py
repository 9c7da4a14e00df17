"""Trains reward models on labelled pairs: all skills, and all members of their ensembles, at once.

Bradley-Terry with soft labels. For a pair (i, j) with label y = P(i preferred):

    P(i > j) = sigmoid(R_i - R_j)
    loss     = -[ y log P(i > j) + (1 - y) log P(j > i) ]

With y = 1/2 for ties this is the loss of the paper (section 3.1, from Motif).

The M learners (skills and seeds; halves of the labels; experts) are one program, vmapped over their stacked
parameters; an epoch is one scan. The result of a learner depends on the run's seed, its name, its own seed
and its start, not on the other learners. Its parameters are those of the epoch with the lowest held-out loss.
If that does not improve for `distil.patience` epochs, later epochs do not count. The loop ends when no
learner is left.
"""

import hashlib
import shlex
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int, UInt

from maestromotif.config.labels import DistilSettings
from maestromotif.errors import UserError
from maestromotif.nethack.state import FIRST_COLUMNS
from maestromotif.pipeline.progress import Progress
from maestromotif.pipeline.store import writing
from maestromotif.pipeline.trees import read_tree, refusing, tree_bytes
from maestromotif.rewards.batches import WIDTHS, Batch, Captions, Shown, Sizes
from maestromotif.rewards.model import Network, Params, initial, rewards
from maestromotif.rewards.pairs import Judged
from maestromotif.tracking.tracker import SILENT, Tracker

SCORED = 512  # captions scored at once
SECONDS_BETWEEN_CHECKPOINTS = 30.0


@dataclass(frozen=True)
class Learner:
    """A model to train, and its data: pairs int32 [P, 2] of captions with labels float32 [P].

    learned, held_out: int, rows of pairs. It trains on `learned`, on a row as often as it is listed. Its
    epochs are compared on `held_out` (empty: the last epoch is taken). start: initial parameters, without a
    leading axis. name and seed determine its random numbers.
    """

    name: str
    seed: int
    start: Params
    pairs: np.ndarray
    labels: np.ndarray
    learned: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class Member:
    """A trained model of one skill."""

    seed: int
    ancestry: str  # what it started from: members of the same ancestry may be averaged
    params: Params
    epoch: int  # from 1: the one that the parameters are from
    loss: float | None  # held-out loss of that epoch; None if no pair was held out
    scores: np.ndarray  # float32 [N]: R of the judged captions


def best(members: Sequence[Member]) -> Member:
    """The member with the lowest held-out loss; if that does not decide, the one with the lowest seed."""
    return min(members, key=lambda member: (member.loss is None, member.loss or 0.0, member.seed))


def bradley_terry(
    first: Float[Array, " b"],
    second: Float[Array, " b"],
    label: Float[Array, " b"],
    weight: Float[Array, " b"],
) -> Float[Array, ""]:
    """Weighted mean loss of b pairs with rewards `first` and `second` (formula above)."""
    loss = -label * jax.nn.log_sigmoid(first - second) - (1 - label) * jax.nn.log_sigmoid(second - first)
    return (loss * weight).sum() / jnp.maximum(weight.sum(), 1.0)


def ancestry_of(network: Network, params: Params) -> str:
    """A name for the start of training: equal for equal networks with equal parameters."""
    digest = hashlib.sha256(f"{network}\n".encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.shape}\n".encode())
        digest.update(np.ascontiguousarray(leaf, np.float32).tobytes())
    return digest.hexdigest()[:16]


def train(
    judged: Judged,
    skills: Sequence[str],
    settings: DistilSettings,
    seed: int,
    checkpoint: Path | None = None,
    tracker: Tracker = SILENT,
) -> list[list[Member]]:
    """Train `settings.seeds` models of each skill on the pairs of captions that are not held out.

    checkpoint: as in `learn`. Raises UserError if a skill has no such pair.
    """
    learners = []
    for k, skill in enumerate(skills):
        learned = np.flatnonzero(judged.within(k, ~judged.held_out))
        if not len(learned):
            raise UserError(
                f"skill '{skill}': no labelled pair is left to train on; raise annotate.pairs, or lower "
                "distil.held_out"
            )
        held_out = np.flatnonzero(judged.within(k, judged.held_out))
        for j in range(settings.seeds):
            number, columns = 0 if settings.same_start else j, judged.changes.shape[1]
            start = start_of(settings.network, skill, seed, number, columns)
            learners.append(Learner(skill, j, start, judged.pairs[k], judged.labels[k], learned, held_out))
    captions = Captions(settings.network, judged.read, judged.changes)
    members = learn(captions, learners, settings, seed, checkpoint, tracker=tracker)
    return [members[k * settings.seeds : (k + 1) * settings.seeds] for k in range(len(skills))]


def start_of(network: Network, skill: str, seed: int, number: int, columns: int = FIRST_COLUMNS) -> Params:
    """The start of a skill's model with this number: a function of the run's seed and the arguments only.

    columns: number of changes that the model sees.
    """
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(skill.encode()))
    return initial(network, jax.random.fold_in(key, number), columns)


def learn(
    captions: Captions,
    learners: Sequence[Learner],
    settings: DistilSettings,
    seed: int,
    checkpoint: Path | None = None,
    says: str = "distil",
    tracker: Tracker = SILENT,
) -> list[Member]:
    """Train the M learners and return their models.

    checkpoint: a file that is written about every 30 s, and read if it exists. says: what the progress bar
    shows. tracker: gets progress and loss.
    """
    network = captions.network
    batch = min(settings.batch, max(len(one.learned) for one in learners))
    params: Params = dict(jax.tree.map(lambda *leaves: jnp.stack(leaves), *[one.start for one in learners]))
    optimiser = optax.adamw(settings.learning_rate, weight_decay=settings.weight_decay)
    table = jnp.asarray(captions.features, jnp.uint16)
    every = _groups(captions, np.arange(captions.count))
    tested = _tested(captions, learners)
    untested = np.array([not len(one.held_out) for one in learners])
    sizes = Sizes()
    state: dict[str, Any] = {
        "params": params,
        "optimiser": jax.vmap(optimiser.init)(params),
        "best": params,
        "loss": np.full(len(learners), np.inf),
        "from": np.zeros(len(learners), np.int64),
        "epoch": 0,
        "sizes": {},
    }
    if checkpoint is not None and checkpoint.exists():
        state = _restore(state, checkpoint)
        sizes = Sizes(state["sizes"])

    def prepare(epoch: int) -> Batch:
        # Each (run, purpose, learner's seed, learner's name, epoch) has its own generator.
        randoms = [
            np.random.default_rng([seed, 4, one.seed, zlib.crc32(one.name.encode()), epoch])
            for one in learners
        ]
        orders = [random.permutation(one.learned) for random, one in zip(randoms, learners, strict=True)]
        pairs, labels = [one.pairs for one in learners], [one.labels for one in learners]
        return captions.epoch(orders, pairs, labels, batch, settings.hide_message, randoms, sizes)

    patience = settings.patience or settings.epochs
    saved = time.monotonic()
    with Progress(says, settings.epochs, "epochs", done=state["epoch"], tracker=tracker) as progress:
        ready = prepare(state["epoch"] + 1)
        for epoch in range(state["epoch"] + 1, settings.epochs + 1):
            learned = _epoch(network, optimiser, state["params"], state["optimiser"], table, ready)
            state["params"], state["optimiser"] = learned
            loss = _test(network, state["params"], table, *tested)
            if epoch < settings.epochs:
                ready = prepare(epoch + 1)  # while the device is busy
            loss = np.asarray(loss, np.float64)
            better = ((loss < state["loss"]) | untested) & (epoch - state["from"] <= patience)
            state |= {
                "best": _choose(better, state["params"], state["best"]),
                "loss": np.where(better, loss, state["loss"]),
                "from": np.where(better, epoch, state["from"]),
                "epoch": epoch,
                "sizes": sizes.known,
            }
            held_out = float(state["loss"].mean())
            figures = {"distil/loss_held_out": held_out}
            progress.advance(note=f"held-out loss {held_out:.3f}", figures=figures)
            if not (epoch - state["from"] < patience).any():
                break
            if checkpoint is not None and time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                with writing(checkpoint) as file:
                    plain = jax.tree.map(np.asarray, flax.serialization.to_state_dict(state))
                    file.write(tree_bytes(plain))
                saved = time.monotonic()
    best = jax.tree.map(np.asarray, state["best"])
    scores = _of_captions(network, best, table, every, captions.count)
    return [
        Member(
            seed=one.seed,
            ancestry=ancestry_of(network, one.start),
            params=jax.tree.map(lambda leaf, m=m: leaf[m], best),
            epoch=int(state["from"][m]),
            loss=None if untested[m] else float(state["loss"][m]),
            scores=scores[m],
        )
        for m, one in enumerate(learners)
    ]


def score(captions: Captions, params: Sequence[Params]) -> Float32[np.ndarray, "M N"]:
    """R of all N captions by M models."""
    stacked: Params = dict(jax.tree.map(lambda *leaves: jnp.stack(leaves), *params))
    every = _groups(captions, np.arange(captions.count))
    table = jnp.asarray(captions.features, jnp.uint16)
    return _of_captions(captions.network, stacked, table, every, captions.count)


def _of_captions(
    network: Network, params: Params, table: UInt[Array, "d f"], every: Shown, count: int
) -> np.ndarray:
    """float32 [M, count]: without the padding after the last group."""
    return np.asarray(_scores(network, params, table, every))[:, :count]


# --------------------------------------------------------------------------------------------- compiled


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(3,))
def _epoch(
    network: Network,
    optimiser: optax.GradientTransformation,
    params: Params,
    state: optax.OptState,
    table: UInt[Array, "d f"],
    batches: Batch,
) -> tuple[Params, optax.OptState]:
    """Train all members on their batches [S, M, ...]; a member that has no more pairs stays as it is."""

    def step(params: Params, state: optax.OptState, batch: Batch) -> tuple[Params, optax.OptState]:
        def loss_of(params: Params) -> Float[Array, ""]:
            scores = _rewards(network, params, table, batch.shown)
            pairs = scores[batch.pairs]
            return bradley_terry(
                pairs[:, 0], pairs[:, 1], jnp.asarray(batch.label), jnp.asarray(batch.weight)
            )

        updates, new_state = optimiser.update(jax.grad(loss_of)(params), state, params)
        new = (optax.apply_updates(params, updates), new_state)
        any_left = batch.weight.sum() > 0
        kept: tuple[Params, optax.OptState] = jax.tree.map(
            lambda after, before: jnp.where(any_left, after, before), new, (params, state)
        )
        return kept

    def all_members(
        carry: tuple[Params, optax.OptState], batch: Batch
    ) -> tuple[tuple[Params, optax.OptState], None]:
        return jax.vmap(step)(*carry, batch), None

    carry, _ = jax.lax.scan(all_members, (params, state), batches)
    return carry


def _rewards(network: Network, params: Params, table: UInt[Array, "d f"], shown: Shown) -> Float[Array, " c"]:
    """R of c observations."""
    tokens = [
        table[rows, :width].astype(jnp.int32)
        for rows, width in zip(shown.parts, WIDTHS[network], strict=True)
        if rows.shape[0]
    ]
    changes = jnp.asarray(shown.changes, jnp.int32)
    return rewards(network, params, tokens, changes, jnp.asarray(shown.message))


@partial(jax.jit, static_argnums=0)
def _scores(network: Network, params: Params, table: UInt[Array, "d f"], shown: Shown) -> Float[Array, "m n"]:
    """R of groups of observations [G, c], one after the other, by all M members."""

    def group(one: Shown) -> Float[Array, "m c"]:
        return jax.vmap(lambda p: _rewards(network, p, table, one))(params)

    scores: Array = jax.lax.map(group, shown)  # [G, M, c]
    return scores.transpose(1, 0, 2).reshape(scores.shape[1], -1)


@partial(jax.jit, static_argnums=0)
def _test(
    network: Network,
    params: Params,
    table: UInt[Array, "d f"],
    shown: Shown,
    pairs: Int[Array, "m p 2"],
    label: Float[Array, "m p"],
    weight: Float[Array, "m p"],
) -> Float[Array, " m"]:
    """Held-out loss of each member."""
    scores = _scores(network, params, table, shown)

    def loss(own: Array, pairs: Array, label: Array, weight: Array) -> Float[Array, ""]:
        return bradley_terry(own[pairs[:, 0]], own[pairs[:, 1]], label, weight)

    return jax.vmap(loss)(scores, pairs, label, weight)


# ------------------------------------------------------------------------------------------ on the host


def _groups(captions: Captions, which: np.ndarray) -> Shown:
    """Captions as groups of at most SCORED; caption `which[i]` is at place i of all groups together."""
    size = min(SCORED, len(which))
    starts = range(0, len(which), size)
    return captions.show([which[start : start + size].astype(np.int32) for start in starts], _Exact(size))


class _Exact(Sizes):
    """All groups have the same size, so the places of observations are known."""

    def __init__(self, size: int) -> None:
        super().__init__({"observations": size})


def _tested(
    captions: Captions, learners: Sequence[Learner]
) -> tuple[Shown, np.ndarray, np.ndarray, np.ndarray]:
    """The held-out captions of all learners, and each one's pairs [M, P, 2], labels and weights [M, P]."""
    which = np.unique(np.concatenate([one.pairs[one.held_out].reshape(-1) for one in learners]))
    which = which if len(which) else np.zeros(1, np.int64)
    place = np.zeros(captions.count, np.int32)
    place[which] = np.arange(len(which))
    most = max(1, *(len(one.held_out) for one in learners))
    pairs = np.zeros((len(learners), most, 2), np.int32)
    label, weight = np.zeros((2, len(learners), most), np.float32)
    for m, one in enumerate(learners):
        own = one.held_out
        pairs[m, : len(own)] = place[one.pairs[own]]
        label[m, : len(own)] = one.labels[own]
        weight[m, : len(own)] = 1
    return _groups(captions, which), pairs, label, weight


def _choose(where: np.ndarray, new: Params, old: Params) -> Params:
    def one(after: Array, before: Array) -> Array:
        return jnp.where(where.reshape(-1, *[1] * (after.ndim - 1)), after, before)

    return dict(jax.tree.map(one, new, old))


def _restore(state: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """The state in a checkpoint of the same training. The continued training gives the same bits."""
    remedy = f"remove {shlex.quote(str(checkpoint))} to begin again"
    saved = read_tree(checkpoint, "a checkpoint", *state, remedy=remedy)
    with refusing(checkpoint, "a checkpoint", remedy):
        restored = {
            name: jax.tree.map(jnp.asarray, flax.serialization.from_state_dict(state[name], saved[name]))
            for name in ("params", "optimiser", "best")
        }
        return restored | {
            "loss": saved["loss"],
            "from": saved["from"],
            "epoch": int(saved["epoch"]),
            "sizes": {name: int(size) for name, size in saved["sizes"].items()},
        }
