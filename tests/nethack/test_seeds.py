"""Hidden seeds: theirs alone, chosen by the salt, and the known ones as they always were."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif.nethack.seeds import EpisodeSeeds, Purpose, episode_seeds, salt_name

SALT = "correct horse battery staple"
PURPOSES: tuple[Purpose, ...] = (
    *("collect", "train", "evaluate", "watch", "demonstrate", "search", "final"),
)
numbers = st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 10_000), st.integers(0, 10**6))


def test_known_seeds_have_not_changed() -> None:
    assert episode_seeds("evaluate", 0, 0, 0) == EpisodeSeeds(1188103766, 1445166554, 1537735264)
    assert episode_seeds("train", 1, 2, 3, levels=4) == EpisodeSeeds(634314188, 1020699841, 1630541633)


@settings(deadline=None)
@given(numbers, st.text(min_size=16))
def test_hidden_seeds_have_a_range_of_their_own(which: tuple[int, int, int], salt: str) -> None:
    # Ranges of 2^29 seeds: 3 is that of shared levels, 6 that of hidden seeds, the others those of purposes.
    assert all(seed >> 29 == 6 for seed in episode_seeds("evaluate", *which, salt=salt))
    known = {seed >> 29 for purpose in PURPOSES for seed in episode_seeds(purpose, *which, levels=3)}
    known |= {seed >> 29 for purpose in PURPOSES for seed in episode_seeds(purpose, *which)}
    assert known == {0, 1, 2, 3, 4, 5, 7, 8}


def test_hidden_seeds_are_those_of_hmac() -> None:
    digest = hmac.new(SALT.encode(), b"7 3 1", hashlib.sha256).digest()
    drawn = [int.from_bytes(digest[8 * n : 8 * n + 8], "little") % 2**29 for n in range(3)]
    assert list(episode_seeds("evaluate", 7, 3, 1, salt=SALT)) == [6 * 2**29 + seed for seed in drawn]


def test_each_salt_and_episode_has_its_own() -> None:
    which = [(run, game, episode) for run in range(3) for game in range(32) for episode in range(8)]
    listed = {episode_seeds("evaluate", *one, salt=salt) for one in which for salt in (SALT, SALT + "r")}
    assert len(listed) == 2 * len(which)
    assert episode_seeds("evaluate", 12, 3, 4, salt=SALT) != episode_seeds("evaluate", 1, 23, 4, salt=SALT)


def test_with_shared_levels_only_the_map_is_known() -> None:
    hidden = episode_seeds("evaluate", 0, 1, 2, levels=4, salt=SALT)
    assert hidden.lgen == episode_seeds("train", 0, 1, 2, levels=4).lgen
    assert hidden[:2] == episode_seeds("evaluate", 0, 1, 2, salt=SALT)[:2]


def test_the_name_of_a_salt_is_that_of_sha256() -> None:
    # Of "0123456789abcdef", by sha256sum.
    assert salt_name("0123456789abcdef") == "9f9f5111"


@pytest.mark.parametrize("purpose", [one for one in PURPOSES if one != "evaluate"])
def test_only_an_evaluation_has_hidden_seeds(purpose: Purpose) -> None:
    with pytest.raises(ValueError, match=f"not those of '{purpose}'") as told:
        episode_seeds(purpose, 0, 0, 0, salt=SALT)
    assert SALT not in str(told.value)


def test_a_short_salt_is_refused_and_not_repeated() -> None:
    for use in (salt_name, lambda salt: episode_seeds("evaluate", 0, 0, 0, salt=salt)):
        with pytest.raises(ValueError, match="at least 16 characters, this one 6") as told:
            use("xyzzy!")
        assert "xyzzy" not in str(told.value)
