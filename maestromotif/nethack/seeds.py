"""Seeds of episodes: a pure function of purpose, run, game and number, so any episode can be played again.

Each purpose draws its seeds from its own range, so no game of the evaluation can occur in training, nor in an
evaluation during training, for any run seed. Only the maps of levels can be shared, on request: with
`levels`, all purposes use the same few dungeons. Monsters and dice in them still differ.

Anyone can list the seeds of an evaluation. With a salt, a secret text, it has others, which nobody can list
without it: parts of the HMAC-SHA256 of run, game and number with the salt as the key (RFC 2104). They have a
range of their own too, so no known seed is among them. Make a salt with `secrets.token_hex(16)`, keep it out
of logs and results, and write its `salt_name` there.
"""

import hashlib
import hmac
from typing import Literal, NamedTuple

import numpy as np

# watch: evaluation during training. search: games that a search over programs looks at. final: games that
# measure what a search has found.
Purpose = Literal["collect", "train", "evaluate", "watch", "demonstrate", "search", "final"]
# The hero's birthday in seconds since 1970 (2024-01-01). It is fixed so that shop prices and shopkeepers'
# names do not depend on the clock.
BIRTHDAY = 1_704_067_200
_RANGE = 1 << 29
_SHARED = 3 * _RANGE  # first seed of levels that all purposes share
_HIDDEN = 6 * _RANGE  # first seed of an evaluation with a salt
_SHORTEST_SALT = 16  # characters; shorter ones could be found from `salt_name` by trying them all
_FIRST: dict[Purpose, int] = {
    "collect": 0,
    "train": _RANGE,
    "evaluate": 2 * _RANGE,
    "watch": 4 * _RANGE,
    "demonstrate": 5 * _RANGE,
    "search": 7 * _RANGE,
    "final": 8 * _RANGE,
}


class EpisodeSeeds(NamedTuple):
    """Seeds of NetHack's three generators: `core` for the rules, `disp` the display, `lgen` the levels."""

    core: int
    disp: int
    lgen: int


def episode_seeds(
    purpose: Purpose,
    run_seed: int,
    game: int,
    episode: int,
    levels: int | None = None,
    salt: str | None = None,
) -> EpisodeSeeds:
    """Seeds of a game's n-th episode, the same on every machine.

    levels: number of dungeons; None: a new one every episode. salt: a secret of at least 16 characters that
    chooses other seeds; only for "evaluate". With `levels` it leaves the dungeons as they are.

    Errors: ValueError if the salt is too short or the purpose is another one.
    """
    if salt is None:
        first, draw = _FIRST[purpose], _known(purpose, run_seed, game, episode)
    elif purpose == "evaluate":
        first, draw = _HIDDEN, _secret(_checked(salt), run_seed, game, episode)
    else:
        raise ValueError(f"a salt hides the seeds of an evaluation, not those of '{purpose}'")
    core, disp, lgen = (first + number % _RANGE for number in draw)
    if levels is not None:
        chosen = (_SHARED, run_seed, (game + episode) % levels)
        lgen = _SHARED + int(np.random.SeedSequence(chosen).generate_state(1, np.uint64)[0] % _RANGE)
    return EpisodeSeeds(core, disp, lgen)


def salt_name(salt: str) -> str:
    """What may be written of a salt: the first 8 hexadecimal digits of its SHA-256.

    Errors: ValueError if the salt is too short.
    """
    return hashlib.sha256(_checked(salt)).hexdigest()[:8]


def _known(purpose: Purpose, run_seed: int, game: int, episode: int) -> list[int]:
    entropy = (_FIRST[purpose], run_seed, game, episode)
    return [int(number) for number in np.random.SeedSequence(entropy).generate_state(3, np.uint64)]


def _secret(key: bytes, run_seed: int, game: int, episode: int) -> list[int]:
    digest = hmac.digest(key, f"{run_seed} {game} {episode}".encode(), "sha256")
    return [int.from_bytes(digest[start : start + 8], "little") for start in (0, 8, 16)]


def _checked(salt: str) -> bytes:
    if len(salt) < _SHORTEST_SALT:
        raise ValueError(f"a salt has at least {_SHORTEST_SALT} characters, this one {len(salt)}")
    return salt.encode()
