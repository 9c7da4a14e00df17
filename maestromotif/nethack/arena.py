"""Arenas: small levels on which rare events are frequent. The rest of the dungeon is unchanged.

An arena is a level description file, `arenas/<name>.des`, in the language of NetHack's level compiler, which
the nle wheel ships. It has two levels: "before", the first level of the dungeon, where the hero finds what
she needs, and "arena", the second level. A line `# opening: east east down` names the actions that lead from
one to the other; they are played before the episode's first observation. The arena cannot be the first level:
shopkeepers' names and prices there depend on the clock, which is pinned only after the reset.

The Gnomish Mines branch off on level 3 or 4, or in the arena if its description says `BRANCH:`.
"""

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path

import numpy as np
from nle.nethack.nethack import HACKDIR

from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack import actions
from maestromotif.nethack.temporary import no_room, scratch
from maestromotif.pipeline.store import file_contents
from maestromotif.reading import read_text

LEVELS = ("before", "arena")
ARENA_DEPTH = 2
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_HINTS = dict.fromkeys("“”„«»", '; write " instead')
_HINTS |= dict.fromkeys("‘’‚", "; write ' instead")
MEGABYTE = 1_000_000
_MINES = re.compile(r'^BRANCH:\s*"The Gnomish Mines".*$', re.MULTILINE)
_OPENING = re.compile(r"^# opening:(.*)$", re.MULTILINE)
_BRANCH = re.compile(r"^\s*BRANCH:", re.MULTILINE)
_LEVEL = re.compile(r'^\s*(?:MAZE|LEVEL):\s*"([^"]*)"', re.MULTILINE)


@dataclass(frozen=True)
class Arena:
    """hackdir: folder with the `nhdat` of the dungeon. opening: actions from the first level to the arena."""

    hackdir: Path
    opening: tuple[int, ...]


def names() -> tuple[str, ...]:
    """The arenas that come with the package."""
    folder = files("maestromotif.nethack").joinpath("arenas")
    return tuple(sorted(entry.name[:-4] for entry in folder.iterdir() if entry.name.endswith(".des")))


def check(arena: str) -> None:
    """Raises UserError if no arena has this name."""
    if not arena.endswith(".des") and arena not in names():
        known = f"; known are {', '.join(names())}, or the path of a .des file"
        raise UserError(f"there is no arena {arena!r}{did_you_mean(arena, names(), known)}")


def arena_files(setting: str, arenas: Iterable[str]) -> dict[str, str]:
    """Path -> SHA-256 of the `.des` files among the arenas that a setting lists. Raises UserError."""
    contents: dict[str, str] = {}
    for name in arenas:
        try:
            check(name)
        except UserError as error:
            raise UserError(f"{setting}: {error}") from None
        if name.endswith(".des"):
            contents |= file_contents(setting, name)
    return contents


def check_arenas(shares: Mapping[str, float], games: int) -> None:
    """Raises UserError unless the arenas of `train.arenas` can be compiled and each gets one of the games."""
    places_to_start(shares, games)
    for arena in shares:
        with scratch() as folder:
            build(arena, folder)


def places_to_start(shares: Mapping[str, float], games: int) -> list[str | None]:
    """The arena in which each game's episodes begin, None for the dungeon; spread evenly over the games.

    Raises UserError if a share rounds to no game.
    """
    starts: list[str | None] = [None] * games
    # Multiples of the golden ratio, modulo 1, are spread evenly for any number of games.
    order = sorted(range(games), key=lambda game: game * 0.618033988749895 % 1)
    bounds = [round(games * share) for share in np.cumsum([0.0, *shares.values()])]
    for arena, (first, last) in zip(shares, pairwise(bounds), strict=True):
        if first == last:
            raise UserError(
                f"train.arenas: {shares[arena]:g} of {games} games rounds to 0 games in {arena!r}"
            )
        for game in order[first:last]:
            starts[game] = arena
    return starts


def build(arena: str, folder: Path) -> Arena:
    """Compile the named arena, or the one described by the file `arena` (`*.des`), into `folder`.

    The same description gives the same bytes. Raises UserError for an unknown name, an unreadable file or an
    invalid description.
    """
    file, text = _read(arena)
    opening = _opening(file, text)
    levels = _levels(file, text)
    folder.mkdir(parents=True, exist_ok=True)
    with scratch() as work:
        _run("dlb", "xf", str(Path(HACKDIR, "nhdat")), folder=work)
        _compile_dungeon(work, bool(_BRANCH.search(levels["arena"])))
        _compile_levels(work, file, text)
        members = sorted(entry.name for entry in work.iterdir())
        _run("dlb", "cf", str((folder / "nhdat").absolute()), *members, folder=work)
        _made(folder, file, ["nhdat"])
    return Arena(folder, opening)


def _read(arena: str) -> tuple[str, str]:
    """Path (for messages) and text of an arena's description."""
    check(arena)
    if not arena.endswith(".des"):
        with as_file(files("maestromotif.nethack").joinpath("arenas", f"{arena}.des")) as path:
            return str(path), read_text(path)
    text = read_text(Path(arena))
    problems = [
        f"{arena}:{number}: {found[0]!r} is not ASCII, which is all that the level compiler reads"
        f"{_HINTS.get(found[0], '')}"
        for number, line in enumerate(text.split("\n"), start=1)
        if not line.startswith("#") and (found := _NOT_ASCII.search(line))
    ]
    if problems:
        raise UserError("\n".join(problems))
    return arena, text


def _levels(file: str, text: str) -> dict[str, str]:
    """The text of each level by its name. Raises UserError unless there are the two of an arena."""
    pieces = _LEVEL.split(text)
    levels = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    two = f"an arena has two: {', '.join(LEVELS)}"
    for name in LEVELS:
        if name not in levels:
            raise UserError(f'{file}: there is no level "{name}"; {two}')
    for number, found in enumerate(_LEVEL.finditer(text)):
        if number >= len(LEVELS):  # which would replace one of the dungeon, or one before
            raise UserError(
                f'{file}:{_line(text, found.start(1))}: there is another level "{found[1]}"; {two}'
            )
    return levels


def _line(text: str, place: int) -> int:
    """The line, from 1, of a place in a text."""
    return text.count("\n", 0, place) + 1


def _opening(file: str, text: str) -> tuple[int, ...]:
    all_found = [*_OPENING.finditer(text)]
    if not all_found:
        raise UserError(
            f"{file}: needs a line such as '# opening: east down' that leads from one level to the other"
        )
    found, *more = all_found
    line = _line(text, found.start())
    if more:
        again = _line(text, more[0].start())
        raise UserError(f"{file}:{again}: the opening is given twice, first on line {line}")
    try:
        return tuple(actions.action(name) for name in found[1].split())
    except UserError as error:
        raise UserError(f"{file}:{line}: {error}") from error


def _compile_dungeon(work: Path, branch_on_arena: bool) -> None:
    """Compile NetHack's own dungeon with our two levels on top."""
    text = Path(HACKDIR, "dat", "dungeon.def").read_text()
    ours = [f'LEVEL: "{name}" "none" @ ({depth}, 0)' for depth, name in enumerate(LEVELS, 1)]
    mines = f'BRANCH: "The Gnomish Mines" @ {"(2, 0)" if branch_on_arena else "(3, 2)"}'
    text, changed = _MINES.subn("\n".join([mines, *ours]), text)
    if changed != 1:
        raise RuntimeError("dungeon.def of this NLE must name the Gnomish Mines exactly once")
    # Strip comments, as NetHack's own build does before it runs this compiler.
    lines = [line for line in text.split("\n") if not line.startswith("#")]
    (work / "dungeon").unlink()  # NLE's own, so that what the compiler writes is seen
    source = work / "dungeon.pdf"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _run("dgn_comp", source.name, folder=work)
    source.unlink()
    _made(work, "dungeon.def", ["dungeon"])


def _compile_levels(work: Path, file: str, text: str) -> None:
    source = work / "arena.des"
    source.write_text(text, encoding="utf-8")
    try:
        _run("lev_comp", source.name, folder=work)
    except subprocess.CalledProcessError as error:
        said = re.sub(rf"{re.escape(source.name)}: line (\d+), pos \d+: ", rf"{file}:\1: ", error.stderr)
        told = said.replace(source.name, file).strip()
        raise UserError(told or f"{file}: NetHack's level compiler fails without a word") from error
    source.unlink()
    _made(work, file, [f"{name}.lev" for name in LEVELS])


def _made(folder: Path, file: str, names: Iterable[str]) -> None:
    """Raises UserError unless a compiler has written these files; one that cannot write may exit with 0."""
    for name in names:
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            raise UserError(
                f"{file}: NetHack's compiler reports no mistake but has not written {name} to {folder}; "
                "is the disk full?"
            )


def _run(program: str, *arguments: str, folder: Path) -> None:
    """Run one of the tools that the nle wheel ships beside its data."""
    try:
        subprocess.run(
            [str(Path(HACKDIR, program)), *arguments],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise UserError(f"arenas need the program {program}, which this nle lacks: {HACKDIR}") from error
    except PermissionError as error:
        raise UserError(f"arenas need the program {error.filename}, which may not be executed") from error
    except subprocess.CalledProcessError as error:
        if shutil.disk_usage(folder).free < MEGABYTE:  # which these programs report in many ways, or not
            raise no_room(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
        raise
