"""NetHack's options that an options file may not change, because the agent's keys depend on them.

Actions are keys, and rules answer the questions that the game asks. An option that gives keys another
meaning, asks more or fewer questions, or starts another kind of game would change what the actions do without
an error. So each of them is fixed, and every game begins with those that NetHack has otherwise by itself.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from maestromotif.errors import UserError

_KEYS = "it gives keys another meaning"
_ASKS = "it changes the questions that the game asks"
_MODE = "it changes the mode of play"
_HERO = "nethack.character chooses the hero"
_SHOWS = "the game is read from a terminal of 24 by 80"


class _Fixed(NamedTuple):
    why: str
    allowed: tuple[str, ...] = ()  # forms that change nothing: "name", "!name" or "name:value"
    always: str = ""  # the form to set if a file does not set the option


_MENU_KEYS = (
    *("deselect_all", "deselect_page", "first_page", "invert_all", "invert_page", "last_page", "next_page"),
    *("previous_page", "search", "select_all", "select_page"),
)
DISCLOSE = "disclose:+i +a +v +g +c +o"
_OPTIONS = {
    "number_pad": _Fixed(_KEYS, ("!number_pad", "number_pad:0")),
    "altmeta": _Fixed(_KEYS, ("!altmeta",)),
    "altkeyhandler": _Fixed(_KEYS),
    "rest_on_space": _Fixed(_KEYS, ("!rest_on_space",)),
    "bios": _Fixed(_KEYS),
    "rawio": _Fixed(_KEYS, ("!rawio",)),
    "eight_bit_tty": _Fixed(_KEYS, ("!eight_bit_tty",)),
    "clicklook": _Fixed(_KEYS, ("!clicklook",)),
    "mouse_support": _Fixed(_KEYS, ("!mouse_support", "mouse_support:0")),
    "travel": _Fixed(_KEYS, ("travel",)),
    "fixinv": _Fixed(_KEYS, ("fixinv",)),
    "extmenu": _Fixed(_KEYS, ("!extmenu",)),
    **{f"menu_{name}": _Fixed(_KEYS) for name in _MENU_KEYS},
    "confirm": _Fixed(_ASKS, ("confirm",)),
    "paranoid_confirmation": _Fixed(_ASKS, ("paranoid_confirmation:none",), "paranoid_confirmation:none"),
    "cmdassist": _Fixed(_ASKS, ("!cmdassist",), "!cmdassist"),
    "disclose": _Fixed(_ASKS, (DISCLOSE,), DISCLOSE),
    "menustyle": _Fixed(_ASKS, ("menustyle:full",)),
    "force_invmenu": _Fixed(_ASKS, ("!force_invmenu",)),
    "popup_dialog": _Fixed(_ASKS, ("!popup_dialog",)),
    "herecmd_menu": _Fixed(_ASKS, ("!herecmd_menu",)),
    "playmode": _Fixed(_MODE, ("playmode:normal",)),
    "windowtype": _Fixed(_SHOWS, ("windowtype:tty", "windowtype:rl")),
    "term_cols": _Fixed(_SHOWS),
    "term_rows": _Fixed(_SHOWS),
    **{
        name: _Fixed(_HERO)
        for name in ("name", "role", "race", "gender", "align", "female", "player_selection")
    },
    "character": _Fixed(_HERO),
}
_SHORTEST = 3  # letters to which NetHack lets the name of an option be cut

_FOLDERS = "the games have folders of their own"
_STATEMENTS = {
    "bindings": _KEYS,
    "autocomplete": _KEYS,
    "wizkit": _MODE,
    "choose": "games would differ, because NetHack chooses a section at random",
    "name": _HERO,
    "role": _HERO,
    "character": _HERO,
    **{f"{name}dir": _FOLDERS for name in ("hack", "level", "save", "bones", "data", "score", "lock")},
    **{f"{name}dir": _FOLDERS for name in ("config", "trouble")},
    "levels": _FOLDERS,
}
_SHORTEST_STATEMENT = 4


class _Option(NamedTuple):
    """An option as a file gives it: its known name, its form as in `_Fixed.allowed`, and what is written."""

    name: str
    form: str
    written: str


def check(lines: Sequence[str], name: str) -> None:
    """Raises UserError that lists the lines of an options file which change one of these options.

    name: of the file, for the messages.
    """
    problems = [f"{name}:{number}: {problem}" for number, problem in _problems(lines)]
    if problems:
        raise UserError("\n".join(problems))


def needed(lines: Sequence[str] = ()) -> list[str]:
    """The options to set before those of a file that does not set them itself."""
    given = {option.name for _, text in _statements(lines) for option in _options(text)}
    return [fixed.always for name, fixed in _OPTIONS.items() if fixed.always and name not in given]


def _problems(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    for number, text in _statements(lines):
        if text.startswith("["):
            yield number, f"{text}: is not supported: {_STATEMENTS['choose']}"
        statement, value = _cut(text)
        for name, why in _STATEMENTS.items():
            if len(statement) >= _SHORTEST_STATEMENT and name.startswith(statement):
                yield number, f"{text}: is not supported: {why}"
        if statement == "msgtype" and re.match(r"\"?stop\b", value, re.IGNORECASE):
            yield number, f"{text}: is not supported: {_ASKS}; use hide, norep or show"
        for option in _options(text):
            fixed = _OPTIONS[option.name]
            if option.form not in fixed.allowed:
                right = f"; allowed: {' or '.join(fixed.allowed)}" if fixed.allowed else ""
                yield number, f"{option.written}: the option {option.name} is fixed: {fixed.why}{right}"


def _statements(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(number of its first line, statement) of each statement; a backslash at a line's end continues it."""
    first, parts = 0, list[str]()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        first = first if parts else number
        if text.endswith("\\"):
            parts.append(text[:-1].strip())
            continue
        whole = "".join([*parts, text])
        parts = []
        if whole and not whole.startswith("#"):
            yield first, whole
    if parts:
        yield first, "".join(parts)


def _cut(text: str) -> tuple[str, str]:
    """(name in small letters, value) of a statement or option; "" as the value if it has none."""
    name, *value = re.split("[=:]", text, maxsplit=1)
    return name.strip().lower(), value[0].strip() if value else ""


def _options(text: str) -> Iterator[_Option]:
    """The options in a statement that are in the table, or whose names may be cut names of those."""
    statement, value = _cut(text)
    if len(statement) < _SHORTEST_STATEMENT or not "options".startswith(statement):
        return
    for written in filter(None, (part.strip() for part in value.split(","))):
        told, negated = written, False
        while found := re.match(r"!|no[-_]?", told, re.IGNORECASE):
            told, negated = told[found.end() :].strip(), not negated
        name, setting = _cut(told)
        known = [one for one in _OPTIONS if len(name) >= _SHORTEST and one.startswith(name)]
        option = name if name in _OPTIONS else next(iter(known), None)
        if option is not None:
            words = " ".join(setting.split())
            form = f"{'!' * negated}{option}{f':{words}' if words else ''}"
            yield _Option(option, form, written)
