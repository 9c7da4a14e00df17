"""One copy of NetHack's code for many games: the same games as with NLE's own loader, or a clear refusal."""

import ctypes
import hashlib
import os
import struct
from importlib import metadata
from pathlib import Path
from typing import Literal

import capstone
import numpy as np
import pytest
from nle.nethack import OBSERVATION_DESC
from nle.nethack.nethack import DLPATH

from maestromotif.errors import UserError
from maestromotif.nethack import actions
from maestromotif.nethack.engine import shared
from maestromotif.nethack.engine.elf import _RELA as RELA
from maestromotif.nethack.engine.elf import Image, UnsuitableError
from maestromotif.nethack.engine.loader import choose
from maestromotif.nethack.game import End, Setup
from maestromotif.nethack.observation import engine_layout
from maestromotif.nethack.rcfile import write_options
from maestromotif.nethack.seeds import episode_seeds

EPISODES = 24
Loading = Literal["shared", "stock"]
LOADERS: tuple[Loading, ...] = ("shared", "stock")

shared_text = pytest.mark.skipif(
    choose("auto") == "stock", reason="the shared loader is for Linux on x86-64 only"
)


class Player:
    """A game that plays at random, all that it shows, and a digest of it."""

    def __init__(self, loader: Loading, folder: Path, game: int) -> None:
        self.arrays = {name: np.zeros(*what) for name, what in engine_layout(OBSERVATION_DESC).items()}
        self.game = Setup(loader, write_options(folder), folder).open(self.arrays)
        self.number, self.episode, self.ends = game, 0, [0] * len(End)
        self.seen = hashlib.sha256()
        self.begin()

    def begin(self) -> None:
        self.game.reset(episode_seeds("evaluate", 0, self.number, self.episode))
        self.rng = np.random.default_rng([self.number, self.episode])
        self.steps = 0
        self.digest()

    def digest(self) -> None:
        for array in self.arrays.values():
            self.seen.update(array.tobytes())
        self.seen.update(self.game.text)

    def step(self) -> None:
        # Prayer ends most episodes soon; the macros (wait, cast, drop, enhance) are among the others.
        weights = np.ones(actions.NUM_ACTIONS)
        weights[1:9], weights[actions.INDEX["pray"]] = 6, 0.3
        action = int(self.rng.choice(actions.NUM_ACTIONS, p=weights / weights.sum()))
        end = self.game.step(action)
        self.steps += 1
        self.digest()
        if end == End.NOT and self.steps == 700:
            end = End.TRUNCATED
        if end:
            self.ends[end] += 1
            self.seen.update(self.game.final["chars"].tobytes())
            self.seen.update(self.game.cause() if end == End.DEATH else b"")
            self.episode += 1
            self.begin()


def played(loader: Loading, folder: Path) -> tuple[list[str], list[int]]:
    """Digests of three games that are stepped in turn, as workers do it, and how their episodes ended."""
    folder.mkdir()
    players = [Player(loader, folder, game) for game in range(3)]
    while any(player.episode < EPISODES // 3 for player in players):
        for player in players:
            if player.episode < EPISODES // 3:
                player.step()
    for player in players:
        player.game.close()
    ends = np.sum([player.ends for player in players], axis=0)
    return [player.seen.hexdigest() for player in players], ends.tolist()


@shared_text
def test_both_loaders_play_the_same_games(tmp_path: Path) -> None:
    """Every array that NLE can write, at every step of whole episodes."""
    (shared, ends), (stock, _) = (played(loader, tmp_path / loader) for loader in LOADERS)
    assert shared == stock
    assert len(set(shared)) == 3
    assert sum(ends) == EPISODES
    assert ends[End.DEATH] >= EPISODES // 2


@shared_text
def test_a_game_is_the_same_on_another_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of one game is set half a year ahead; the other one reads the real clock."""
    image = shared.image()
    real = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(("time", ctypes.CDLL(None)))
    asked = []

    def later(where: int | None) -> int:
        now = int(real(None)) + 180 * 86_400 + 7 * 3_600
        asked.append(now)
        if where:
            ctypes.c_long.from_address(where).value = now
        return now

    set_ahead = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(later)

    def address(function: object) -> int:
        return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]

    calls = image._outer == address(real)
    assert calls.any()
    today = [Player("shared", tmp_path, 0)]
    with monkeypatch.context() as patched:
        patched.setattr(image, "_outer", np.where(calls, np.uint64(address(set_ahead)), image._outer))
        someday = Player("shared", tmp_path, 0)
        for _ in range(1500):
            today[0].step()
            someday.step()
        assert asked
        assert someday.seen.digest() == today[0].seen.digest()
    for player in (*today, someday):
        player.game.close()


@shared_text
def test_games_come_and_go_without_growing(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def come_and_go() -> None:
        player = Player("shared", tmp_path, 1)
        for _ in range(20):
            player.begin()
        player.game.close()

    come_and_go()
    before = resident()
    for _ in range(10):
        come_and_go()
    assert resident() - before < 8e6
    assert not list(tmp_path.glob("game-*"))


@pytest.fixture
def library_file(tmp_path: Path) -> tuple[Path, bytearray]:
    return tmp_path / "libnethack.so", bytearray(Path(DLPATH).read_bytes())


def header(content: bytearray, kind: int) -> int:
    """Where in the file the first program header of this kind stands."""
    (start,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    return next(at for at in range(start, start + size * count, size) if content[at] == kind)


@shared_text
@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (lambda content: 18, 183, "not a shared library for x86-64"),  # the machine: aarch64
        (lambda content: 0, 0, "not a shared library for x86-64"),
        (lambda content: header(content, 4), 7, "thread-local"),
        (lambda content: header(content, 1) + 4, 6, "one writable segment"),  # code that can be written
    ],
)
def test_another_library_is_refused(
    library_file: tuple[Path, bytearray], where: object, value: int, reason: str
) -> None:
    path, content = library_file
    assert callable(where)
    content[where(content)] = value
    path.write_bytes(content)
    with pytest.raises(UnsuitableError, match=reason):
        Image(path, {})


@shared_text
def test_other_relocations_settings_and_garbage_are_refused(
    library_file: tuple[Path, bytearray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = library_file
    image = shared.image()
    relocation = image._dynamic[RELA] + 8
    content[relocation : relocation + 4] = struct.pack("<I", 37)  # R_X86_64_IRELATIVE
    path.write_bytes(content)
    with pytest.raises(UnsuitableError, match=r"relocations of types \[37\]"):
        Image(path, {})
    path.write_bytes(content[:4096])
    with pytest.raises(UnsuitableError, match="is not the expected library"):
        Image(path, {})
    with pytest.raises(UnsuitableError, match="settings has 49224 bytes, expected 40"):
        Image(Path(DLPATH), {"settings": 40})
    with pytest.raises(UnsuitableError, match="does not export nle_begin"):
        image.offset("nle_begin")


@shared_text
def test_what_looks_like_a_call_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the library of this Python's wheel all calls that are changed are calls, and none is left out."""
    code = Path(DLPATH).read_bytes()
    stubs: set[int] = set()
    found: dict[int, int] = {}
    search = Image.calls

    def watched(image: Image, of: np.ndarray) -> list[tuple[int, int]]:
        stubs.update(np.flatnonzero(of).tolist())
        found.update(search(image, of))
        return list(found.items())

    monkeypatch.setattr(Image, "calls", watched)
    image = Image(Path(DLPATH), {})
    assert len(stubs) > 2000
    assert len(found) > 30_000
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.skipdata = True
    (text,) = image._code[image._code["flags"] & 1 != 0]
    low, size = int(text["address"]), int(text["size"])
    real = {
        address: int(operand, 16)
        for address, _, name, operand in disassembler.disasm_lite(code[low : low + size], low)
        if name in ("call", "jmp") and operand.startswith("0x") and int(operand, 16) in stubs
    }
    assert found == real


@shared_text
def test_an_unknown_file_keeps_its_calls_of_stubs(
    library_file: tuple[Path, bytearray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = library_file
    path.write_bytes(content + b"\0")
    monkeypatch.setattr(Image, "calls", lambda *_: pytest.fail("calls were changed"))
    image = Image(path, {})
    linked = os.pread(image._code_file, image._low, 0)
    changed = np.flatnonzero(
        np.frombuffer(linked, np.uint8) != np.frombuffer(content[: image._low], np.uint8)
    )
    assert 2000 * 4 < len(changed) < 3000 * 5
    assert changed[-1] - changed[0] < 40_000  # all in the table of stubs


@shared_text
def test_addresses_are_compared_with_the_linkers(monkeypatch: pytest.MonkeyPatch) -> None:
    bind = Image._bind

    def one_wrong(image: Image, path: Path) -> None:
        data = np.flatnonzero(~image._imported & ~image._call)
        image._targets[data[7]] += 8
        bind(image, path)

    monkeypatch.setattr(Image, "_bind", one_wrong)
    with pytest.raises(UnsuitableError, match=r"1 addresses in libnethack\.so are not where the linker"):
        Image(Path(DLPATH), {})


def test_where_it_cannot_be_shared_it_is_stock_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    shared.image.cache_clear()
    try:
        with caplog.at_level("INFO", "maestromotif"):
            assert choose("auto") == "stock"
        assert len(caplog.records) == 1
        assert "riscv64, not Linux on x86_64" in caplog.text
        assert choose("stock") == "stock"
        with pytest.raises(UserError, match=r"nethack\.loader: shared: this is linux on riscv64"):
            choose("shared")
    finally:
        shared.image.cache_clear()


@pytest.mark.parametrize("found", ["0.9.0", None])
def test_another_nle_is_refused_with_the_command_that_helps(
    found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        if found is None:
            raise metadata.PackageNotFoundError(package)
        return found

    monkeypatch.setattr("importlib.metadata.version", version)
    with pytest.raises(UserError, match=r"needs nle 1\.3\.0, but (nle 0\.9\.0|no nle) is.*pip install nle=="):
        choose("auto")
