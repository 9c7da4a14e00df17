"""A skill is a file `<folder>/<name>.md`: a short YAML head and a description in plain words.

    ---
    name: descender
    starts: at any time
    ends: when the depth has changed, or after 150 game turns
    max_turns: 150                      # optional
    wanted: [descended]                 # optional: events that the reward model must rank highest
    forbidden: [ascended]               # optional: events that it must not reward
    progress: [downstairs]              # optional: events on the way that it may reward too
    ---
    The agent should go down the stairs to a deeper dungeon level, urgently. ...

A language model judges observations by the description. maestromotif.rewards.gate checks `wanted` and
`forbidden`; without `wanted` it checks only what no skill is paid for. `progress` names events that the
description calls progress; training does not warn of rewards for them. The optional `<name>.py` beside the
file holds the functions `may_start` and `should_end`, which a language model wrote from the head. The
optional `gold/<name>.jsonl` and `measures/<name>.yaml` measure the judgements of the skill
(maestromotif.quality).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import yaml

from maestromotif.config.schema import Config
from maestromotif.errors import UserError, did_you_mean
from maestromotif.pipeline.store import sha256

DEFAULT_MAX_TURNS = 300
_KEYS = ("name", "starts", "ends", "max_turns", "wanted", "forbidden", "progress")
_EVENT_KEYS = ("wanted", "forbidden", "progress")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Skill:
    name: str
    description: str  # the body: tells the judge what the agent wants
    starts: str  # when it may start, in words
    ends: str  # when it ends, in words
    max_turns: int  # game turns after which it ends, unless its program ends it earlier
    path: Path  # the .md file
    digest: str  # SHA-256 of the .md file
    program: str | None = None  # text of the .py file beside it
    wanted: tuple[str, ...] = ()  # events that the skill should cause
    forbidden: tuple[str, ...] = ()  # events that must not be rewarded
    progress: tuple[str, ...] = ()  # events that are not the goal, and may be rewarded

    @property
    def program_path(self) -> Path:
        return self.path.with_suffix(".py")


def load_all(folder: str | Path, names: Sequence[str]) -> list[Skill]:
    """The skills `names` in this order, which is also the order of their indexes 0..K-1.

    Raises UserError that lists every mistake in all of them.
    """
    problems = [f"skills: '{name}' is listed twice" for name in sorted(set(names)) if names.count(name) > 1]
    if not names:
        problems.append("skills: the list is empty; a run needs at least one skill")
    skills = []
    for name in dict.fromkeys(names):
        try:
            skills.append(load(folder, name))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return skills


def skills_of(config: Config) -> list[Skill]:
    """The skills of a run. Raises UserError as `load_all` does."""
    return load_all(config.skills_folder, config.skills)


def skill_files(config: Config) -> dict[str, str]:
    """Path -> SHA-256 of the skill texts and the programs beside them. Raises UserError."""
    contents = {}
    for one in skills_of(config):
        contents[str(one.path)] = one.digest
        if one.program is not None:
            contents[str(one.program_path)] = sha256(one.program_path)
    return contents


def load(folder: str | Path, name: str) -> Skill:
    """Reads `<folder>/<name>.md` and the program beside it. Raises UserError."""
    folder = Path(folder)
    path = folder / f"{name}.md"
    if not _NAME.fullmatch(name):
        raise UserError(
            f"skills: '{name}' is not a skill name; use small letters, digits and _, as in 'go_down'"
        )
    if not path.is_file():
        raise UserError(_no_such_skill(folder, path, name))
    text = _read(path)
    head, head_line, description = _split(path, text)
    fields = _head_fields(path, head, head_line, name)
    if not description:
        last = text.count("\n") + 1
        raise UserError(
            f"{path}:{last}: no description; below the head, say in plain words what the agent should do"
        )
    max_turns = fields.get("max_turns", DEFAULT_MAX_TURNS)
    assert isinstance(max_turns, int)
    return Skill(
        name=name,
        description=description,
        starts=str(fields["starts"]),
        ends=str(fields["ends"]),
        max_turns=max_turns,
        path=path,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        program=_read(path.with_suffix(".py")) if path.with_suffix(".py").is_file() else None,
        wanted=_names(fields, "wanted"),
        forbidden=_names(fields, "forbidden"),
        progress=_names(fields, "progress"),
    )


def known_events() -> tuple[str, ...]:
    """The names that the lists of events accept: events of the game, and all changes but `depth`."""
    from maestromotif.nethack.events import EVENTS  # slow to import, and most callers do not need it
    from maestromotif.nethack.state import CHANGES

    return (*EVENTS, *(name for name in CHANGES if name != "depth"))


def change_behind(event: str) -> str | None:
    """The change that this event is (a key of `CHANGES`); None for an event that only a message tells."""
    from maestromotif.nethack.events import EVENTS
    from maestromotif.nethack.state import CHANGES

    if event in CHANGES:
        return event
    found = EVENTS[event].change if event in EVENTS else None
    return found[0] if found else None


def check_told(config: Config) -> None:
    """Raises UserError if a skill names an event that no caption of this config can tell.

    A caption tells an event by its change, if `annotate.changes` has it, or by words of the game's message.
    """
    from maestromotif.nethack.events import EVENTS

    problems = []
    for skill in skills_of(config):
        for event in (*skill.wanted, *skill.forbidden, *skill.progress):
            change = change_behind(event)
            spoken = EVENTS[event].patterns + EVENTS[event].words if event in EVENTS else ()
            if spoken or change in config.annotate.changes:
                continue
            what = (
                f"add {change} to annotate.changes"
                if change is not None
                else "no message says it; name an event that one does"
            )
            problems.append(f"{skill.path}: no caption can tell '{event}', so no reward can learn it: {what}")
    if problems:
        raise UserError("\n".join(problems))


def _no_such_skill(folder: Path, path: Path, name: str) -> str:
    if not folder.is_dir():
        return f"{path}: no such file; the folder {folder} does not exist"
    there = sorted(file.stem for file in folder.glob("*.md"))
    if not there:
        return f"{path}: no such file; the folder {folder} holds no skill (*.md)"
    return f"{path}: no such file{did_you_mean(name, there)}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8 text") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _split(path: Path, text: str) -> tuple[str, int, str]:
    """(head, line number of its first line, description) of a skill file."""
    lines = text.splitlines()
    first = next((n for n, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise UserError(
            f"{path}:1: the file is empty; it needs a YAML head between '---' lines and a description"
        )
    if lines[first].strip() != "---":
        raise UserError(
            f"{path}:{first + 1}: no head; the file must start with a line '---', then name:, starts:, "
            "ends:, then another line '---'"
        )
    end = next((n for n in range(first + 1, len(lines)) if lines[n].strip() == "---"), None)
    if end is None:
        raise UserError(f"{path}:{first + 1}: the head is not closed; add a line '---' below it")
    return "\n".join(lines[first + 1 : end]), first + 2, "\n".join(lines[end + 1 :]).strip()


def _head_fields(path: Path, head: str, head_line: int, name: str) -> dict[str, object]:
    """The head's keys and values, checked; `head_line` is the line of the file where the head starts."""
    try:
        node = yaml.compose(head, Loader=yaml.SafeLoader)
        values = yaml.safe_load(head)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = head_line + (mark.line if mark else 0)
        raise UserError(f"{path}:{line}: the head is not YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        raise UserError(f"{path}:{head_line}: the head must be lines of 'key: value' with {', '.join(_KEYS)}")

    problems = []
    seen: dict[str, int] = {}
    for key_node, _ in node.value:
        line, key = head_line + key_node.start_mark.line, str(key_node.value)
        if key in seen:
            problems.append(f"{path}:{line}: '{key}' is given twice, first on line {seen[key]}")
        elif key not in _KEYS:
            problems.append(f"{path}:{line}: unknown key '{key}'{did_you_mean(key, _KEYS)}")
        seen.setdefault(key, line)
    for key in ("name", "starts", "ends"):
        if key not in seen:
            problems.append(f"{path}:{head_line}: the key '{key}' is missing")
        elif not isinstance(values[key], str) or not values[key].strip():
            problems.append(f"{path}:{seen[key]}: '{key}' must be text, got {values[key]!r}")
        elif key == "name" and values[key] != name:
            problems.append(
                f"{path}:{seen[key]}: the name is '{values[key]}' but the file is '{path.name}'; "
                "they must be the same"
            )
    max_turns = values.get("max_turns", DEFAULT_MAX_TURNS)
    if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
        problems.append(
            f"{path}:{seen['max_turns']}: 'max_turns' must be a whole number of at least 1, got {max_turns!r}"
        )
    for key in _EVENT_KEYS:
        if key in seen:
            problems += [f"{path}:{seen[key]}: {what}" for what in _event_problems(key, values[key])]
    if not problems:
        problems += [
            f"{path}:{seen[later]}: '{event}' is both {earlier} and {later}"
            for earlier, later in combinations(_EVENT_KEYS, 2)
            for event in sorted({*_names(values, earlier)} & {*_names(values, later)})
        ]
    for key in _EVENT_KEYS[1:]:
        if key in seen and "wanted" not in seen:
            problems.append(
                f"{path}:{seen[key]}: '{key}' needs 'wanted'; add the events that the skill is for"
            )
    if problems:
        raise UserError("\n".join(problems))
    return {str(key): value for key, value in values.items()}


def _event_problems(key: str, value: object) -> list[str]:
    """What is wrong with a list of events."""
    if not isinstance(value, list) or not value or not all(isinstance(event, str) for event in value):
        return [f"'{key}' must be a list of events like [descended, killed], got {value!r}"]
    known = known_events()
    wrong = [event for event in value if event not in known]
    twice = sorted({event for event in value if value.count(event) > 1})
    return [f"'{key}': no event '{event}'{did_you_mean(event, known)}" for event in wrong] + [
        f"'{key}': '{event}' is listed twice" for event in twice
    ]


def _names(fields: dict[str, object], key: str) -> tuple[str, ...]:
    value = fields.get(key, [])
    assert isinstance(value, list)
    return tuple(str(event) for event in value)
