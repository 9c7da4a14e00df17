"""The measures of a skill besides its gold pairs: `<skills folder>/measures/<skill>.yaml`.

    worth:                            # fact -> worth to the skill, for the scripted oracle
      "depth: deeper": 1.0
      killed: 0.5
    clauses:                          # of the skill's text, for counterfactual pairs
      - words: going deeper
        fact: "depth: deeper"
        good: true
        instead: "depth: higher"      # optional

A fact of `worth` is an event by its name (`nethack/events.py`) or a change, "<change>: <code>"
(`nethack/state.py`), in quotes because of the colon. A fact of a clause is a change or a sentence of the
game, such as "You kill the newt!". Both parts are optional. A skill without the file is not measured by the
oracle or by clauses.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from maestromotif.config.schema import Config
from maestromotif.errors import UserError, did_you_mean
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline.store import file_contents
from maestromotif.quality.gold import MOST_BYTES
from maestromotif.reading import is_there, parse_yaml, read_text, yaml_value

FOLDER = "measures"
_PARTS = ("worth", "clauses")
_CLAUSE = ("words", "fact", "good", "instead")


@dataclass(frozen=True)
class Clause:
    """A clause of a skill's text, and a fact that it applies to."""

    words: str
    fact: str  # "<change>: <code>", or a sentence of the game
    good: bool  # whether the fact makes an observation better
    instead: str = ""  # a change that the other observation has instead; "" for none


@dataclass(frozen=True)
class Measures:
    """The measures of one skill.

    worth: fact -> worth to the skill: at least 1 if it achieves the goal, less for progress towards it, below
    0 for what the text calls bad. A fact that is not listed is worth 0.
    """

    worth: dict[str, float]
    clauses: tuple[Clause, ...]


def change_of(fact: str) -> tuple[str, int] | None:
    """The change and its code if the fact is "<change>: <code>", else None."""
    name, _, word = fact.partition(": ")
    known = name in CHANGES and word in CHANGES[name].codes
    return (name, CHANGES[name].codes[word]) if known else None


def path_of(folder: str | Path, skill: str) -> Path:
    """The measures file of a skill; `folder` is the folder of skills."""
    return Path(folder) / FOLDER / f"{skill}.yaml"


def reads(config: Config) -> dict[str, str]:
    """The measures files that exist -> SHA-256."""
    files = [path_of(config.skills_folder, name) for name in config.skills]
    found: dict[str, str] = {}
    for path in filter(is_there, files):
        found |= file_contents("the measures of a skill", str(path))
    return found


def load_all(folder: str | Path, skills: Sequence[str]) -> dict[str, Measures]:
    """The measures of these skills, without those that have no file.

    Raises UserError that lists every mistake in all of the files.
    """
    found: dict[str, Measures] = {}
    problems: list[str] = []
    for skill in skills:
        path = path_of(folder, skill)
        if is_there(path):
            try:
                found[skill] = load(path)
            except UserError as error:
                problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return found


def load(path: str | Path) -> Measures:
    """The measures in one file. Raises UserError that lists every mistake in it."""
    path = Path(path)
    try:
        root = parse_yaml(read_text(path), str(path))
    except UserError as error:
        hint = '; a fact with a colon needs quotes, as in "depth: deeper": 1.0'
        raise UserError(f"{error}{hint if 'not valid YAML' in str(error) else ''}") from error
    reader = _Reader(path)
    measures = reader.measures(root)
    if reader.problems:
        raise UserError("\n".join(reader.problems))
    return measures


class _Reader:
    """Reads the nodes of one file and collects their mistakes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []

    def wrong(self, node: yaml.Node | None, what: str) -> None:
        self.problems.append(f"{self.path}:{node.start_mark.line + 1 if node else 1}: {what}")

    def measures(self, root: yaml.Node | None) -> Measures:
        parts = self._mapping(root, "the file", _PARTS)
        if root is not None and not parts and not self.problems:
            self.wrong(root, f"empty; it needs {' or '.join(_PARTS)}")
        return Measures(
            self._worth(parts["worth"][1]) if "worth" in parts else {},
            self._clauses(parts["clauses"][1]) if "clauses" in parts else (),
        )

    def _worth(self, node: yaml.Node) -> dict[str, float]:
        known = (*EVENTS, *(f"{name}: {word}" for name, change in CHANGES.items() for word in change.codes))
        worth = {}
        for fact, (key, value) in self._mapping(node, "worth", known, "fact").items():
            number = self._scalar(value)
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                self.wrong(key, f"worth of '{fact}': must be a number such as 1.0 or -1.0, got {number!r}")
            else:
                worth[fact] = float(number)
        return worth

    def _clauses(self, node: yaml.Node) -> tuple[Clause, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self.wrong(node, f"clauses: must be a list of entries with {', '.join(_CLAUSE)}")
            return ()
        clauses: dict[str, Clause] = {}
        for item in node.value:
            clause = self._clause(item)
            if clause is not None and clause.words in clauses:
                self.wrong(item, f"words: '{clause.words}' is used twice; each clause needs its own words")
            elif clause is not None:
                clauses[clause.words] = clause
        return tuple(clauses.values())

    def _clause(self, node: yaml.Node) -> Clause | None:
        before = len(self.problems)
        fields = self._mapping(node, "a clause", _CLAUSE)
        values = {name: self._scalar(value) for name, (_, value) in fields.items()}
        for name in ("words", "fact", "good"):
            if name not in values:
                self.wrong(node, f"a clause lacks '{name}'; it needs words, fact and good")
        for name in ("words", "fact", "instead"):
            if name in values and (not isinstance(values[name], str) or not str(values[name]).strip()):
                self.wrong(fields[name][1], f"{name}: must be text, got {values[name]!r}")
        if "good" in values and not isinstance(values["good"], bool):
            self.wrong(fields["good"][1], f"good: must be true or false, got {values['good']!r}")
        if len(self.problems) > before:
            return None
        words, fact, instead = (str(values.get(name, "")) for name in ("words", "fact", "instead"))
        self._check_fact(fields["fact"][1], fact)
        if instead and change_of(instead) is None:
            self.wrong(fields["instead"][1], f"instead: '{instead}' is not a change{_nearest(instead)}")
        return Clause(words, fact, bool(values["good"]), instead)

    def _check_fact(self, node: yaml.Node, fact: str) -> None:
        if change_of(fact) is not None:
            return
        if fact.partition(": ")[0] in CHANGES:
            self.wrong(node, f"fact: '{fact}' is not a change{_nearest(fact)}")
        elif fact in EVENTS:
            self.wrong(node, f"fact: '{fact}' is an event; write a message of the game that reports it")
        elif not fact.isascii() or len(fact) > MOST_BYTES:
            self.wrong(
                node, f"fact: must be ASCII with at most {MOST_BYTES} characters, as the game's messages are"
            )

    def _mapping(
        self, node: yaml.Node | None, what: str, known: Sequence[str], kind: str = "key"
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The known keys, each with its node and the node of its value."""
        if not isinstance(node, yaml.MappingNode):
            some = ", ".join(known[:4])
            self.wrong(node, f"{what}: must be lines of '{kind}: value' with {kind}s such as {some}")
            return {}
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name in found:
                self.wrong(key, f"{what}: '{name}' is given twice; keep one of them")
            elif name not in known:
                self.wrong(key, f"{what}: unknown {kind} '{name}'{did_you_mean(name, known)}")
            else:
                found[name] = key, value
        return found

    def _scalar(self, node: yaml.Node) -> object:
        """The value of a scalar node, None for any other."""
        if not isinstance(node, yaml.ScalarNode):
            return None
        value: object = yaml_value(node)
        return value


def _nearest(fact: str) -> str:
    return did_you_mean(
        fact, [f"{name}: {word}" for name, change in CHANGES.items() for word in change.codes]
    )
