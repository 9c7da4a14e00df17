"""Games' code lies where the branch predictor takes it for one, and never where something else is."""

import mmap

import pytest

from maestromotif.nethack.engine import branch_predictor
from maestromotif.nethack.engine.branch_predictor import SPAN
from maestromotif.nethack.engine.loader import choose
from maestromotif.nethack.engine.memory import map_if_free, map_over, reserve, unmap
from maestromotif.nethack.engine.shared import image

pytestmark = pytest.mark.skipif(
    choose("auto") == "stock", reason="the shared loader is for Linux on x86-64 only"
)

ZEN_3 = tuple(1 << low | 1 << low + 12 for low in (23, 24, 25, 28))


def test_bits_that_are_found_can_be_combined() -> None:
    """Whatever this processor is: the lowest bits differ, so no two combinations are the same address."""
    flips = branch_predictor.unseen_flips()
    lowest = [flip & -flip for flip in flips]
    assert len(set(lowest)) == len(lowest)
    assert all(flip.bit_count() <= 2 and flip >= SPAN for flip in flips)


@pytest.mark.parametrize(("flips", "count"), [((), 0), ((1 << 30,), 2), (ZEN_3, 16)])
def test_every_game_has_a_place_of_its_own(
    flips: tuple[int, ...], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branch_predictor, "unseen_flips", lambda: flips)
    places = [branch_predictor.place(number) for number in range(count)]
    assert branch_predictor.place(count) is None
    assert len(set(places)) == count
    assert all(place is not None and place % SPAN == 0 for place in places)


def test_nothing_is_mapped_over_what_is_there() -> None:
    taken = reserve(mmap.PAGESIZE)
    try:
        assert not map_if_free(taken, mmap.PAGESIZE, mmap.PROT_READ)
        elsewhere = reserve(mmap.PAGESIZE, taken)
        assert elsewhere != taken
        unmap(elsewhere, mmap.PAGESIZE)
        map_over(taken, mmap.PAGESIZE, mmap.PROT_READ)
    finally:
        unmap(taken, mmap.PAGESIZE)
    assert reserve(mmap.PAGESIZE, taken) == taken
    unmap(taken, mmap.PAGESIZE)


def test_a_place_is_free_again_when_its_game_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branch_predictor, "unseen_flips", lambda: ZEN_3)
    library = image()
    (first, one), (second, two) = library.map(), library.map()
    assert first != second
    library.unmap(one)
    again, one = library.map()
    assert again == first
    library.unmap(one)
    library.unmap(two)
