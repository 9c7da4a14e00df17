"""The options file that NetHack reads, and the character that it describes.

NetHack reads options that begin with `@` as a path. NLE appends `,name:<player>` to its options, so the
file's name ends in that.
"""

import re
from bisect import bisect_left
from importlib.resources import files
from pathlib import Path

import numpy as np
from nle import nethack

from maestromotif.config.schema import Config
from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack import fixed_options
from maestromotif.nethack.engine.loader import open_engine
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.pipeline.store import file_contents
from maestromotif.reading import read_text

_PLAYER = "Agent"
CHARACTER = "mon-hum-neu-mal"  # of the published agent

# NetHack 3.6.7: races and alignments of each role, alignments of each race.
_ROLES = {
    "arc": ("Archeologist", "hum dwa gno", "law neu"),
    "bar": ("Barbarian", "hum orc", "neu cha"),
    "cav": ("Caveman", "hum dwa gno", "law neu"),
    "hea": ("Healer", "hum gno", "neu"),
    "kni": ("Knight", "hum", "law"),
    "mon": ("Monk", "hum", "law neu cha"),
    "pri": ("Priest", "hum elf", "law neu cha"),
    "rog": ("Rogue", "hum orc", "cha"),
    "ran": ("Ranger", "hum elf gno orc", "neu cha"),
    "sam": ("Samurai", "hum", "law"),
    "tou": ("Tourist", "hum", "neu"),
    "val": ("Valkyrie", "hum dwa", "law neu"),
    "wiz": ("Wizard", "hum elf gno orc", "neu cha"),
}
_RACES = {
    "hum": ("human", "law neu cha"),
    "elf": ("elf", "cha"),
    "dwa": ("dwarf", "law"),
    "gno": ("gnome", "neu"),
    "orc": ("orc", "cha"),
}
_ALIGNMENTS = {"law": "lawful", "neu": "neutral", "cha": "chaotic"}
_GENDERS = {"mal": "male", "fem": "female"}


def options_file(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the file of NetHack's options, if the config names one.

    Raises UserError if it cannot be read or changes a fixed option (`fixed_options.py`).
    """
    if config.nethack.options is None:
        return {}
    _own(Path(config.nethack.options))
    return file_contents("nethack.options", config.nethack.options)


def character_options(character: str) -> str:
    """The options line of a character such as "mon-hum-neu-mal": role, race, alignment and gender.

    Raises UserError for a character that NetHack does not know or would silently replace.
    """
    parts = character.lower().split("-")
    tables = {"role": [*_ROLES], "race": [*_RACES], "alignment": [*_ALIGNMENTS], "gender": [*_GENDERS]}
    if len(parts) != len(tables):
        raise UserError(
            f"nethack.character: {character!r} must be role-race-alignment-gender, such as {CHARACTER!r}"
        )
    for part, (what, known) in zip(parts, tables.items(), strict=True):
        if part not in known:
            raise UserError(
                f"nethack.character: {character!r}: there is no {what} {part!r}{did_you_mean(part, known)}"
            )
    role, race, alignment, gender = parts
    name, races, alignments = _ROLES[role]
    if race not in races.split():
        raise UserError(f"nethack.character: {character!r}: the race of a {name} is one of: {races}")
    possible = [a for a in alignments.split() if a in _RACES[race][1].split()]
    if alignment not in possible:
        raise UserError(
            f"nethack.character: {character!r}: the alignment of a {_RACES[race][0]} {name} is one of: "
            + " ".join(possible)
        )
    if (role, gender) == ("val", "mal"):
        raise UserError(f"nethack.character: {character!r}: a Valkyrie is always female; use fem")
    return (
        f"OPTIONS=name:{_PLAYER},role:{name},race:{_RACES[race][0]},gender:{_GENDERS[gender]},"
        f"align:{_ALIGNMENTS[alignment]}"
    )


def write_options(folder: Path, character: str = CHARACTER, file: Path | None = None) -> str:
    """Write the options file into `folder`; return the NETHACKOPTIONS that make NetHack read it.

    file: replaces the package's own options (`nethackrc`), but for those that are fixed; it does not set the
    character. Raises UserError for an unknown character, an unreadable file, a line that changes a fixed
    option or one that NetHack does not understand.
    """
    hero = character_options(character)
    if file is None:
        text = files("maestromotif.nethack").joinpath("nethackrc").read_text(encoding="utf-8")
        return _write([hero, *text.split("\n")[:-1]], folder)
    own = _own(file)
    lines = [",".join([hero, *fixed_options.needed(own)]), *own]
    if complaint := _complaint(lines, folder):
        # The first bad line is the first one whose addition makes NetHack complain.
        at = bisect_left(range(1, len(lines)), True, key=lambda i: bool(_complaint(lines[: i + 1], folder)))
        raise UserError(f"{file}:{at + 1}: {lines[at + 1]}\n  NetHack says: {complaint}")
    return _write(lines, folder)


def _own(file: Path) -> list[str]:
    """The lines of an options file. Raises UserError if it cannot be read or changes a fixed option."""
    try:
        lines = read_text(file).removesuffix("\n").split("\n")
    except UserError as error:
        raise UserError(f"nethack.options: {error}") from error
    fixed_options.check(lines, str(file))
    return lines


def _write(lines: list[str], folder: Path) -> str:
    written = folder / f"nethackrc,name:{_PLAYER}"
    written.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"@{written}"


def _complaint(lines: list[str], folder: Path) -> str | None:
    """NetHack's complaint, on a game's first screen, about the first line that it does not understand."""
    screen = np.zeros(**nethack.OBSERVATION_DESC["tty_chars"])
    engine = open_engine("stock", {"tty_chars": screen}, _write(lines, folder), None, folder)
    try:
        engine.start(EpisodeSeeds(0, 0, 0))
    finally:
        engine.close()
    shown = "\n".join(row.tobytes().decode("latin1").rstrip() for row in screen)
    found = re.search(r"(?:Error: |Line \d+: )(.*)", shown)
    return found and found[1]
