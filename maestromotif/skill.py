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

from maestromotif import head
from maestromotif.config.schema import Config
from maestromotif.errors import UserError, did_you_mean
from maestromotif.pipeline.store import sha256
from maestromotif.reading import is_there, read_text

DEFAULT_MAX_TURNS = 300
MOST_TURNS = 1_000_000  # NetHack itself ends a game only long after
_KEYS = ("name", "starts", "ends", "max_turns", "wanted", "forbidden", "progress")
_EVENT_KEYS = ("wanted", "forbidden", "progress")
NAME = re.compile(r"[a-z][a-z0-9_]*")


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
    if not NAME.fullmatch(name):
        raise UserError(
            f"skills: '{name}' is not a skill name; use small letters, digits and _, as in 'go_down'"
        )
    path = head.find(folder, name, "skill")
    found = head.read(path, _KEYS, ("name", "starts", "ends"), "say in plain words what the agent should do")
    _check(found, name)
    fields = found.values
    program = path.with_suffix(".py")
    return Skill(
        name=name,
        description=found.body,
        starts=fields["starts"],
        ends=fields["ends"],
        max_turns=fields.get("max_turns", DEFAULT_MAX_TURNS),
        path=path,
        digest=hashlib.sha256(found.text.encode()).hexdigest(),
        program=read_text(program) if is_there(program) else None,
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


def _check(found: head.Headed, name: str) -> None:
    """Raises UserError that lists all mistakes in the values of a head."""
    values, problems = found.values, []
    for key in ("name", "starts", "ends"):
        if not isinstance(values[key], str) or not any(map(str.isalnum, values[key])):
            problems.append(f"{found.at(key)}: '{key}' must be text, got {values[key]!r}")
        elif key == "name" and values[key] != name:
            problems.append(
                f"{found.at(key)}: the name is '{values[key]}' but the file is '{found.path.name}'; "
                "they must be the same"
            )
    max_turns = values.get("max_turns", DEFAULT_MAX_TURNS)
    if isinstance(max_turns, bool) or not isinstance(max_turns, int) or not 1 <= max_turns <= MOST_TURNS:
        problems.append(
            f"{found.at('max_turns')}: 'max_turns' must be a whole number of at least 1 and at most "
            f"{MOST_TURNS}, got {max_turns!r}"
        )
    for key in (key for key in _EVENT_KEYS if key in values):
        problems += [f"{found.at(key)}: {what}" for what in _event_problems(key, values[key])]
    if not problems:
        problems += [
            f"{found.at(later)}: '{event}' is both {earlier} and {later}"
            for earlier, later in combinations(_EVENT_KEYS, 2)
            for event in sorted({*_names(values, earlier)} & {*_names(values, later)})
        ]
    for key in _EVENT_KEYS[1:]:
        if key in values and "wanted" not in values:
            problems.append(f"{found.at(key)}: '{key}' needs 'wanted'; add the events that the skill is for")
    if problems:
        raise UserError("\n".join(problems))


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
