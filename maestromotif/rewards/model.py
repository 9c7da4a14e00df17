"""Reward networks R(message, changes) and the distilled models of all skills, ready to score steps of play.

A network is a flax module over *features* of messages, which `features` computes on the host, and one-hot
change codes. Parameters are plain dicts of arrays.
"""

import itertools
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import flax
import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int8

from maestromotif.collect.captions import Telling
from maestromotif.collect.observations import canonical
from maestromotif.config.learning import RewardSettings
from maestromotif.errors import UserError
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE, FIRST_COLUMNS, NUM_CODES, columns_of
from maestromotif.nethack.wording import in_words
from maestromotif.pipeline.store import Work
from maestromotif.pipeline.trees import read_tree, refusing, tree_bytes
from maestromotif.reading import read_json

Network = Literal["words", "published"]
Params = dict[str, Any]

CARD = "card.json"  # what is known of a model
PARAMS = "params.msgpack"

MESSAGE_BYTES = 256
BUCKETS = 4096  # of hashed words; 0 is padding
# Times that an event's name is read. Read once, it weighs no more than one word of the details that follow.
NAMED = 3
WORDS = 32  # words of a message that are read; with pairs of neighbours, 63 features
FLAT = 1e-6  # standard deviation of R below which a model counts as constant
QUANTILES = tuple(round(0.05 * step, 2) for step in range(21))
SMALLEST_BATCH, LARGEST_BATCH = 64, 1024  # scored at once; padded to powers of two between them
_REMEMBERED = 1 << 12  # messages; a long training meets a hundred thousand, most of them once

_WORD = re.compile(rb"[a-z]+(?:'[a-z]+)?|\d+")


# -------------------------------------------------------------------------------------------- features


@lru_cache(maxsize=_REMEMBERED)
def word_features(message: bytes) -> np.ndarray:
    """int32 [2 * WORDS - 1]: buckets of the words and of the pairs of neighbouring words, padded with 0.

    Case and the values of numbers do not count. The hash is CRC-32, so that buckets never change. The result
    is cached, because a message occurs with many changes, and read-only.
    """
    words = [b"#" if word.isdigit() else word for word in _WORD.findall(message.lower())][:WORDS]
    terms = words + [left + b" " + right for left, right in itertools.pairwise(words)]
    buckets = [zlib.crc32(term) % (BUCKETS - 1) + 1 for term in terms]
    features = np.array(buckets + [0] * (2 * WORDS - 1 - len(buckets)), np.int32)
    features.flags.writeable = False
    return features


def byte_features(message: bytes) -> np.ndarray:
    """int32 [256]: the bytes of the message, padded with 0."""
    return np.frombuffer(message[:MESSAGE_BYTES].ljust(MESSAGE_BYTES, b"\0"), np.uint8).astype(np.int32)


@lru_cache(maxsize=_REMEMBERED)
def read_as(message: bytes, telling: Telling) -> bytes:
    """What a reward model reads of a message: what the captions said of it to the judge.

    messages: the message itself, as published. events: the names of the events that it reports, NAMED times
    each, the events in plain words, and the rest of it. A hundred judged captions hold few of the words that
    follow "The agent picked up"; the names say that all of them are pickups.
    """
    if telling == "messages" or not message.strip():
        return message
    told, sentences, rest = in_words(message.decode("latin-1"))
    names = [event.replace("_", "") for event in told] * NAMED
    return " ".join([*names, *sentences, rest]).strip().encode("latin-1")


FEATURES: dict[str, Callable[[bytes], np.ndarray]] = {"words": word_features, "published": byte_features}


def features(network: Network, messages: Sequence[bytes]) -> Int[np.ndarray, "n f"]:
    """Features of n messages; a row of zeros is the empty message."""
    one = FEATURES[network]
    return (
        np.stack([one(message) for message in messages])
        if messages
        else np.zeros((0, len(one(b""))), np.int32)
    )


# -------------------------------------------------------------------------------------------- networks


def one_hot_changes(changes: Int[Array, "n c"]) -> Float[Array, "n d"]:
    return jnp.concatenate(
        [jax.nn.one_hot(changes[:, i], codes) for i, codes in enumerate(NUM_CODES[: changes.shape[1]])],
        axis=-1,
    )


class Words(nn.Module):
    """A bag of embeddings of words and pairs of words, concatenated with the changes, into a small MLP.

    The embeddings start at zero, so a word that is in no judged caption contributes nothing, and an unseen
    message is rewarded for what changed. `scale` slows their learning: at 1 the model memorises a hundred
    captions within two epochs, before it has learned the changes.
    """

    width: int = 64
    embedding: int = 16
    scale: float = 0.1

    @nn.compact
    def __call__(
        self, tokens: Sequence[Array], changes: Int[Array, "n c"], message: Int[Array, " n"]
    ) -> Float[Array, " n"]:
        table = self.param("embedding", nn.initializers.zeros, (BUCKETS, self.embedding))

        def bag(words: Int[Array, "u f"]) -> Float[Array, "u e"]:
            present = (words > 0).astype(jnp.float32)
            total = (table[words] * present[:, :, None]).sum(1)
            return self.scale * total / jnp.sqrt(jnp.maximum(present.sum(1), 1.0))[:, None]

        bags = jnp.concatenate([bag(part) for part in tokens])
        x = jnp.concatenate([bags[message], one_hot_changes(changes)], axis=-1)
        x = nn.relu(nn.Dense(self.width)(x))
        x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(1)(x)[:, 0]


class Window(nn.Module):
    """A convolution over time, then ReLU, of sequences that are constant from some position on.

    x [u, a, c] holds the first positions of sequences of `length` positions; all others are `tail` [c]. The
    output after a message's end is the same everywhere, so it is computed once and not 200 times. The
    convolution is a sum of matrix products, which stays fast under vmap, unlike a convolution operation.
    """

    features: int
    width: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "u a c"], tail: Float[Array, " c"], length: int
    ) -> tuple[Float[Array, "u b d"], Float[Array, " d"], int]:
        _, a, c = x.shape
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.width, c, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        length = length - self.width + 1
        x = _extend(x, tail, min(a, length) + self.width - 1)
        places = x.shape[1] - self.width + 1
        y = sum((x[:, i : i + places] @ kernel[i] for i in range(self.width)), start=bias[None, None])
        y = nn.relu(y)
        return y, nn.relu(tail @ kernel.sum(0) + bias), length


def _extend(x: Float[Array, "u a c"], tail: Float[Array, " c"], places: int) -> Float[Array, "u b c"]:
    """The first `places` positions."""
    u, a, c = x.shape
    if places <= a:
        return x[:, :places]
    return jnp.concatenate([x, jnp.broadcast_to(tail, (u, places - a, c))], axis=1)


def _pool(
    x: Float[Array, "u a c"], tail: Float[Array, " c"], length: int
) -> tuple[Float[Array, "u b c"], int]:
    """The maximum of every three positions."""
    places = min(-(-x.shape[1] // 3), length // 3)
    x = _extend(x, tail, 3 * places).reshape(len(x), places, 3, -1)
    return jnp.maximum(jnp.maximum(x[:, :, 0], x[:, :, 1]), x[:, :, 2]), length // 3


class Published(nn.Module):
    """The published architecture (MaestroMotif, ICLR 2025): a message tower and a change tower.

    The published change input is five numbers; all but the change of depth, in {-1, 0, 1}, are zero. Ours is
    that number (1 = deeper) and, for each other change, its code scaled to [0, 1].
    """

    @nn.compact
    def __call__(
        self, tokens: Sequence[Array], changes: Int[Array, "n c"], message: Int[Array, " n"]
    ) -> Float[Array, " n"]:
        embed = nn.Embed(MESSAGE_BYTES, 32)
        layers = [
            (Window(64, width), pool)
            for width, pool in ((7, True), (7, True), (3, False), (3, False), (3, False), (3, True))
        ]
        dense = nn.Dense(128)

        def tower(characters: Int[Array, "u f"]) -> Float[Array, "u 128"]:
            m = embed(characters) * (characters > 0)[:, :, None]
            tail, length = jnp.zeros(32), MESSAGE_BYTES
            for layer, pool in layers:
                m, tail, length = layer(m, tail, length)
                if pool:
                    m, length = _pool(m, tail, length)
            return nn.relu(dense(_extend(m, tail, length).reshape(len(m), -1)))

        m = jnp.concatenate([tower(part) for part in tokens])[message]
        sign = jnp.array([0.0, 1.0, -1.0])[changes[:, DEPTH_CHANGE]]
        rest = changes / jnp.array([[codes - 1 for codes in NUM_CODES[: changes.shape[1]]]])
        d = rest.at[:, DEPTH_CHANGE].set(sign)
        for _ in range(2):
            d = nn.relu(nn.Dense(128)(d))
        x = nn.relu(nn.Dense(256)(jnp.concatenate([m, d], axis=-1)))
        x = nn.relu(nn.Dense(512)(x))
        return nn.Dense(1)(x)[:, 0]


NETWORKS: dict[str, nn.Module] = {"words": Words(), "published": Published()}


def initial(network: Network, key: Array, columns: int = FIRST_COLUMNS) -> Params:
    """Parameters that nothing was learned into, for changes of so many columns."""
    tokens = jnp.asarray(features(network, [b""]))
    no_change = jnp.zeros((1, columns), jnp.int32)
    return dict(NETWORKS[network].init(key, [tokens], no_change, jnp.zeros(1, jnp.int32)))


def rewards(
    network: Network,
    params: Params,
    tokens: Sequence[Array],
    changes: Int[Array, "n c"],
    message: Int[Array, " n"],
) -> Float[Array, " n"]:
    """R, not normalised, of n observations.

    tokens: features of messages int [u, f], in consecutive parts. A part whose last features are all 0 may
    leave them out, which costs less. message: the row of each observation's message in all parts together.
    """
    return jnp.asarray(NETWORKS[network].apply(params, tokens, changes, message))


# ------------------------------------------------------------------------------------ distilled models


@dataclass(frozen=True)
class Group:
    """Skills whose models share a network and its inputs: scored in one call with stacked parameters."""

    network: Network
    telling: Telling
    width: int  # columns of changes
    columns: np.ndarray  # indices of the skills among all K
    params: Params  # leaves [skills of the group, ...]


class RewardModels:
    """The reward models of K skills, in the order of `skills`."""

    def __init__(
        self, skills: Sequence[str], cards: Sequence[dict[str, Any]], params: Sequence[Params]
    ) -> None:
        self.skills = tuple(skills)
        self.cards = tuple(cards)
        self._mean = np.array([card["mean"] for card in cards], np.float32)
        self._std = np.array([max(card["std"], FLAT) for card in cards], np.float32)
        self._groups = []
        # On the CPU: a few new observations per step are little work. On a GPU they would wait for updates.
        processor = jax.local_devices(backend="cpu")[0]
        # Cards of earlier versions do not say what captions told: it was the message.
        kinds = [
            (card["network"], card.get("telling", "messages"), columns_of(card["changes"])) for card in cards
        ]
        for kind in dict.fromkeys(kinds):
            columns = [k for k, own in enumerate(kinds) if own == kind]
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[params[k] for k in columns])
            placed = jax.device_put(stacked, processor)
            self._groups.append(Group(*kind, np.array(columns), placed))

    def score(
        self, messages: Sequence[bytes], changes: Int8[np.ndarray, "n c"]
    ) -> Float32[np.ndarray, "n K"]:
        """Normalised rewards z = (R - mean) / std of n observations for every skill.

        Observations are padded to powers of two: few shapes are compiled, and memory is bounded.
        """
        parts = [
            self._score_part(messages[start : start + LARGEST_BATCH], changes[start : start + LARGEST_BATCH])
            for start in range(0, len(messages), LARGEST_BATCH)
        ]
        scores = np.concatenate(parts) if parts else np.zeros((0, len(self.skills)), np.float32)
        return (scores - self._mean) / self._std

    def _score_part(self, messages: Sequence[bytes], changes: np.ndarray) -> np.ndarray:
        """R float32 [n, K] of at most LARGEST_BATCH observations."""
        count = len(messages)
        padded = max(SMALLEST_BATCH, 1 << (count - 1).bit_length())
        scores = np.zeros((count, len(self.skills)), np.float32)
        for group in self._groups:
            read = [read_as(message, group.telling) for message in messages]
            tokens = features(group.network, read + [b""] * (padded - count))
            seen = np.zeros((len(group.columns), padded, group.width), np.int8)
            for row, k in enumerate(group.columns):  # each model sees the changes that its captions tell
                seen[row, :count] = canonical(changes, self.cards[k]["changes"])
            scored = np.asarray(_score(group.network, group.params, tokens, seen))
            scores[:, group.columns] = scored[:, :count].T
        return scores

    def thresholds(self, settings: RewardSettings) -> Float32[np.ndarray, " K"]:
        """For each skill, the normalised reward z that a step must exceed to be rewarded.

        It is a quantile of z over the distinct collected observations, in standard deviations above their
        mean, but at least `reward.least_threshold`. Infinite for a model that is constant (FLAT).
        Raises UserError if `reward.quantile_of` names a skill that is not here.
        """
        for name in settings.quantile_of:
            if name not in self.skills:
                raise UserError(
                    f"reward.quantile_of: '{name}' is not one of the run's skills: {', '.join(self.skills)}"
                )
        thresholds = []
        for skill, card in zip(self.skills, self.cards, strict=True):
            known = sorted((float(quantile), reward) for quantile, reward in card["quantiles"].items())
            wanted = settings.quantile_of.get(skill, settings.quantile)
            found = np.interp(wanted, [q for q, _ in known], [reward for _, reward in known])
            if settings.least_threshold is not None:
                found = max(found, settings.least_threshold)
            thresholds.append(np.inf if card["std"] < FLAT else found)
        return np.array(thresholds, np.float32)


@jax.jit(static_argnums=0)
def _score(
    network: Network, params: Params, tokens: Int[Array, "n f"], changes: Int[Array, "k n c"]
) -> Float[Array, "k n"]:
    each = jnp.arange(len(tokens))
    return jax.vmap(lambda p, c: rewards(network, p, [tokens], c.astype(jnp.int32), each))(params, changes)


def write_model(work: Work, place: str, card: dict[str, Any], params: Params) -> None:
    """Writes one model to the folder `place` of an artefact; `load_rewards` reads it."""
    work.write_json(f"{place}/{CARD}", card)
    work.write_bytes(f"{place}/{PARAMS}", tree_bytes(params))


def member_file(seed: int) -> str:
    """Where the model of one seed is, in a skill's folder of `distil`."""
    return f"members/{seed}.msgpack"


def load_rewards(folder: Path, skills: Sequence[str]) -> RewardModels:
    """The models `<folder>/<skill>/{card.json,params.msgpack}`.

    Raises UserError if one is missing or damaged.
    """
    cards, params = [], []
    for skill in skills:
        place = Path(folder) / skill
        if not (place / CARD).is_file():
            there = sorted(path.parent.name for path in Path(folder).glob(f"*/{CARD}"))
            raise UserError(
                f"{place}: no reward model for the skill '{skill}' ({CARD} is missing); "
                f"{folder} has models for: {', '.join(there) or 'none'}"
            )
        card = _read_card(place)
        cards.append(card)
        params.append(_read_params(card, place / PARAMS))
    return RewardModels(skills, cards, params)


def load_members(folder: Path) -> list[tuple[dict[str, Any], Params]]:
    """All models of a skill in its folder of `distil`: each one's row in the card, and its parameters.

    Raises UserError if one is missing or damaged.
    """
    card = _read_card(folder)
    rows = card.get("members", [])
    if len(rows) == 1:
        return [(rows[0], _read_params(card, folder / PARAMS))]
    return [(row, _read_params(card, folder / member_file(row["seed"]))) for row in rows]


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / "card.json"
    card = read_json(path)
    with refusing(path, "the card of a reward model"):
        _check_card(card)
    return dict(card)


def _check_card(card: Any) -> None:
    """Raises an error that says what a card lacks, if it lacks something that a model needs."""
    if card["network"] not in NETWORKS:
        raise ValueError(f"no network '{card['network']}'")
    if unknown := [name for name in card["changes"] if name not in CHANGES]:
        raise ValueError(f"no change '{unknown[0]}'")
    if card.get("telling", "messages") not in get_args(Telling):
        raise ValueError(f"telling is {card['telling']!r}, not one of {', '.join(get_args(Telling))}")
    quantiles = {float(name): value for name, value in card["quantiles"].items()}
    if not (quantiles and max(quantiles) == 1 and all(0 <= quantile <= 1 for quantile in quantiles)):
        raise ValueError(f"'quantiles' has {', '.join(card['quantiles'])}; it should go from 0.00 to 1.00")
    for number in (card["mean"], card["std"], *quantiles.values()):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"{number!r} is not a number")
        if abs(number) > float(np.finfo(np.float32).max):
            raise ValueError(f"{number!r} is too large")


def _read_params(card: dict[str, Any], path: Path) -> Params:
    template = jax.eval_shape(
        lambda: initial(card["network"], jax.random.key(0), columns_of(card["changes"]))
    )
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    tree = read_tree(path, "a reward model")
    try:
        found = flax.serialization.from_state_dict(zeros, tree)
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(found)]
        kinds = {np.asarray(leaf).dtype.kind for leaf in jax.tree.leaves(found)}
    except Exception as error:  # flax and NumPy raise many kinds on foreign trees
        raise UserError(f"{path}: does not match card.json, or is damaged: {error}") from error
    if shapes != [leaf.shape for leaf in jax.tree.leaves(zeros)] or kinds != {"f"}:
        raise UserError(f"{path}: does not match card.json: its arrays have other shapes")
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found)):
        raise UserError(f"{path}: has weights that are no finite numbers; learn the reward again")
    return dict(found)
