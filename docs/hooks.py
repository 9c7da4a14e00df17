"""Reference pages for the documentation, written from the tables of the package.

MkDocs calls `on_files` before it reads the pages (mkdocs.yml, `hooks`). `pages` needs only the package, so
the tests check it without MkDocs.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the generated pages. Raises PluginError if the package is not installed beside MkDocs."""
    from mkdocs.exceptions import PluginError
    from mkdocs.structure.files import File

    try:
        generated = pages()
    except ModuleNotFoundError as error:
        raise PluginError(
            f"the reference pages are written from the package, but the module '{error.name}' is not "
            "installed in this environment; build the documentation with: make docs"
        ) from error
    for path, text in generated.items():
        files.append(File.generated(config, path, content=text))
    return files


def pages() -> dict[str, str]:
    """Markdown of each generated page, by its path below docs/."""
    return {
        "configuration.md": configuration(),
        "game-state.md": game_state(),
        "events.md": events(),
        "conditions.md": conditions(),
        "task-grammar.md": task_grammar(),
        "rule-tables.md": rule_tables(),
        "actions.md": actions(),
        "metrics.md": metrics(),
        "dashboard.md": dashboard(),
    }


# ---------------------------------------------------------------------------------------- configuration


def configuration() -> str:
    """Every setting: key, type and bounds, default, description."""
    from maestromotif.config.schema import FORMER, Config

    parts = [
        "# Configuration\n\n"
        "A config is a YAML file. `extends:` names other files, relative to this one. Later files override "
        "earlier ones, and the file itself overrides them all. On the command line, `key=value` pairs "
        "override everything: `maestromotif run configs/quickstart.yaml train.steps=200000`. `${run.seed}` "
        "stands for the value of another key. `maestromotif run CONFIG --print-config` prints the whole "
        "config.\n\n"
        "An unknown key or an impossible value is an error that names the file, the line and, for a mistyped "
        "key, the likely name.\n\n"
        "This page is written from `maestromotif/config/`.\n"
    ]
    top = [(name, info) for name, info in Config.model_fields.items() if _section(info) is None]
    parts.append("## Top level\n\n" + _settings("", top))
    for name, info in Config.model_fields.items():
        section = _section(info)
        if section is not None:
            parts.extend(_section_pages(name, section))
    parts.append(
        "## Old names\n\nThese sections of old configs are an error, which says what to do.\n\n"
        + table(("section", "what to do"), ((code(old), f"It {escape(now)}.") for old, now in FORMER.items()))
    )
    return "\n\n".join(parts) + "\n"


def _section_pages(name: str, section: type[BaseModel]) -> Iterator[str]:
    from maestromotif.config.section import Section

    said = (section.__doc__ or "").strip()
    if said == (Section.__doc__ or "").strip():
        said = ""
    text = " ".join(said.split())
    own = [(key, info) for key, info in section.model_fields.items() if _section(info) is None]
    yield f"## {name}\n\n" + (f"{escape(text)}\n\n" if text else "") + _settings(f"{name}.", own)
    for key, info in section.model_fields.items():
        inner = _section(info)
        if inner is not None:
            yield from _section_pages(f"{name}.{key}", inner)


def _settings(prefix: str, fields: Sequence[tuple[str, FieldInfo]]) -> str:
    return table(
        ("key", "type", "default", "description"),
        (
            (code(f"{prefix}{name}"), _type_of(info), _default_of(info), escape(info.description or ""))
            for name, info in fields
        ),
    )


def _section(info: FieldInfo) -> type[BaseModel] | None:
    from pydantic import BaseModel

    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _type_of(info: FieldInfo) -> str:
    limits = [*_limits(info.metadata)]
    return ", ".join([_type(info.annotation), *limits])


def _type(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return ", ".join([_type(arguments[0]), *_limits(_constraints(arguments[1:]))])
    if origin is Literal:
        return " or ".join(code(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping of name to {_type(arguments[1])}"
    return {
        int: "integer",
        float: "number",
        str: "string",
        bool: "`true` or `false`",
        type(None): "`null`",
    }[kind]


def _constraints(annotations: Iterable[Any]) -> Iterator[Any]:
    from pydantic.fields import FieldInfo

    for one in annotations:
        yield from one.metadata if isinstance(one, FieldInfo) else [one]


def _limits(metadata: Iterable[Any]) -> Iterator[str]:
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "a multiple of"}
    for one in metadata:
        for name, word in words.items():
            if (limit := getattr(one, name, None)) is not None:
                yield escape(f"{word} {limit:g}")
        if getattr(one, "min_length", None):
            yield "not empty"
        if pattern := getattr(one, "pattern", None):
            yield f"matches {code(pattern)}"


def _default_of(info: FieldInfo) -> str:
    import json

    if info.is_required():
        return "required"
    return code(json.dumps(info.get_default(call_default_factory=True)))


# ------------------------------------------------------------------------------------- the game and metrics


def game_state() -> str:
    """Fields of GameState, and the changes that captions and reward models see."""
    from maestromotif.nethack.state import CHANGES, FIELDS

    fields = (
        (code(name), code(field.type.__name__), escape(field.doc), field.source)
        for name, field in FIELDS.items()
    )
    meanings = ((code(name), escape(change.doc)) for name, change in CHANGES.items())
    sentences = (
        (code(name), code(number), code(short), escape(sentence))
        for name, change in CHANGES.items()
        for number, (short, sentence) in enumerate(change.says.items(), start=1)
    )
    return (
        "# GameState\n\n"
        "`GameState` is what programs and task conditions read: plain integers, booleans and strings. It "
        "holds what a player could know, never the engine's secrets. Task conditions cannot read the fields "
        "about the running skill.\n\n"
        "This page is written from `FIELDS` and `CHANGES` in `maestromotif/nethack/state.py`.\n\n"
        + table(("field", "type", "meaning", "source"), fields)
        + "\n\n## Changes\n\n"
        "A change is what happened on a step beside the message. `annotate.changes` chooses which changes a "
        "caption tells and the reward model sees. Each change has a code on each step. Code 0 means that "
        "nothing changed; captions do not mention it.\n\n"
        + table(("change", "meaning"), meanings)
        + "\n\n"
        + table(("change", "code", "name", "sentence in the caption"), sentences)
        + "\n"
    )


def events() -> str:
    """Events and what each is read from."""
    from maestromotif.nethack.events import EVENTS, Event
    from maestromotif.nethack.state import CHANGES

    def words(event: Event) -> str:
        if event.change is not None:
            name, word = event.change
            return f"{escape(CHANGES[name].says[word])} (change {code(name)})"
        says = [pattern.says for pattern in (*event.patterns, *event.words) if pattern.says]
        return escape(" / ".join(dict.fromkeys(says)) or "no caption tells it")

    rows = (
        (code(name), escape(event.doc), escape(event.source), words(event)) for name, event in EVENTS.items()
    )
    return (
        "# Events\n\n"
        "An event is something that happened on a step. It is read from the step's messages, which are those "
        "of NetHack 3.6.7, or from the status lines. Skills name events as `wanted` and `forbidden`. The "
        "learning curve counts them per 1,000 steps of each skill.\n\n"
        "This page is written from `EVENTS` in `maestromotif/nethack/events.py`.\n\n"
        + table(("event", "meaning", "read from", "what captions say"), rows)
        + "\n"
    )


def conditions() -> str:
    """The language of a task's conditions."""
    from maestromotif.nethack.truth import TRUTH
    from maestromotif.tasks.expressions import ENDS
    from maestromotif.tasks.parse import FLAGS, FORMULAS, NUMBERS

    def calls(of: dict[str, Any]) -> str:
        return table(("form", "meaning"), ((code(one.form), escape(one.doc)) for one in of.values()))

    ends = table(("flag", "meaning"), ((code(name), escape(doc)) for name, doc in ENDS.items()))
    secrets = table(
        ("number", "meaning"), ((code(f"truth.{name}"), escape(doc)) for name, doc in TRUTH.items())
    )
    return (
        "# Task conditions\n\n"
        "A condition is written as a Python expression. It is checked when the task is read: its fields, its "
        "events, its types, and whether it can ever be met.\n\n"
        "Fields of [GameState](game-state.md), except those about the running skill, whole numbers, `true` "
        "and `false` are joined by `+ - *`, by comparisons (`2 <= depth < 4`), and by `and`, `or` and `not`. "
        "In the tables, EVENT is one of the [events](events.md), C is a condition on one step, and A and B "
        "are conditions or formulas.\n\n"
        f"## Numbers\n\n{calls(NUMBERS)}\n\n## Flags\n\n{calls(FLAGS)}\n\n{ends}\n\n"
        "A condition without these last flags is never met on the step on which the hero dies.\n\n"
        f"## Over many steps\n\n{calls(FORMULAS)}\n\n"
        "These calls cannot stand below `and`, `or`, `not` or a comparison, because they span many steps.\n\n"
        "## What only the game knows\n\n"
        "A strict test may ask for the game's own truth. Programs and policies never see it. A number is -1 "
        f"if this dungeon has no such place.\n\n{secrets}\n\n"
        "This page is written from `maestromotif/tasks/parse.py`.\n"
    )


def task_grammar() -> str:
    """Atoms and operators of generated tasks."""
    from maestromotif.tasks.atoms import ATOMS
    from maestromotif.tasks.compositions import OPERATORS
    from maestromotif.tasks.generate import PUBLISHED, TEST_SHARE

    def atoms(role: str, head: tuple[str, ...]) -> str:
        rows = (
            (
                code(name),
                code(atom.condition),
                ", ".join(map(str, atom.numbers)),
                escape(" / ".join(atom.says)),
                *([escape(" / ".join(atom.done))] if role == "goal" else []),
            )
            for name, atom in ATOMS.items()
            if atom.role == role
        )
        return table(("atom", "condition", "n", *head), rows)

    operators = ((code(one.form), escape(one.doc), code(" / ".join(one.says))) for one in OPERATORS.values())
    nine = ((code(name), code(text)) for name, text in PUBLISHED.items())
    return (
        "# Grammar of tasks\n\n"
        "[Generated tasks](write-a-task.md#generate-tasks) are compositions of atoms by operators, such as "
        "`then(all_of(kill(25), gold(20), descend(3)), leave)`. Numbers are in brackets. About "
        f"{100 * TEST_SHARE:g} % of the compositions are test tasks, for all numbers. Single atoms are "
        "training tasks.\n\n"
        "This page is written from `maestromotif/tasks/atoms.py`, `maestromotif/tasks/compositions.py` and "
        "`maestromotif/tasks/generate.py`.\n\n"
        "## Operators\n\n"
        "A and B are goals or compositions. X is a ban in `avoiding` and a stay in `until`. In the English, "
        "`a` is an order and `a.done` says that it was carried out.\n\n"
        + table(("form", "meaning", "English"), operators)
        + f"\n\n## Goals\n\n{atoms('goal', ('English', 'when it is done'))}"
        + f'\n\n## Bans\n\nWhat follows "without".\n\n{atoms("ban", ("English",))}'
        + f"\n\n## Stays\n\nWhat must stay true.\n\n{atoms('stay', ('English',))}"
        + "\n\n## The nine published tasks\n\n"
        + table(("task", "composition"), nine)
        + "\n"
    )


def rule_tables() -> str:
    """What the rules of a table can name, and their grammar."""
    from maestromotif.compose.rules import FACTS, MOST_RULES, MOST_STAGES, OPS, grammar

    facts = (
        (code(name), "flag" if fact.type is bool else "number", escape(fact.doc))
        for name, fact in FACTS.items()
    )
    ops = ", ".join(code(op) for op in OPS)
    return (
        "# Rule tables\n\n"
        "[Composed programs](compose.md) are made of tables of rules: lines `when CONDITION use SKILL`, "
        f"and a last line `otherwise use SKILL`. A table has {MOST_RULES} rules or less. A condition joins "
        f"guards by `and`. A guard is `FLAG`, `not FLAG`, `NUMBER OP VALUE` with an OP of {ops}, or "
        f"`after(...)` or `not after(...)` with up to {MOST_STAGES} stages, each of other guards.\n\n"
        "This page is written from `maestromotif/compose/rules.py`.\n\n"
        + table(("fact", "kind", "meaning"), facts)
        + "\n\n## Grammar\n\nWhat a language model can write, in GBNF, here for two skills:\n\n"
        f"```text\n{grammar(('discoverer', 'descender'))}```\n"
    )


def actions() -> str:
    """The action sets."""
    from maestromotif.nethack.actions import ACTION_SETS, INDEX
    from maestromotif.nethack.rules import RULES

    text = (
        "# Actions\n\n"
        "`train.network.actions` chooses one of these sets. Each set has all actions of the sets before it. "
        "The prompts that follow an action are part of the same step.\n\n"
        "This page is written from `ACTION_SETS` in `maestromotif/nethack/actions.py`.\n"
    )
    for name, actions in ACTION_SETS.items():
        rows = ((str(INDEX[one]), code(one), escape(action.doc)) for one, action in actions.adds.items())
        head = ("number", "action", "what it does")
        text += f"\n## {name}\n\n{escape(actions.doc)}\n\n{table(head, rows)}\n"
    useless = ((code(name), escape(rule.useless)) for name, rule in RULES.items())
    return (
        f"{text}\n## Useless actions\n\n"
        "With `train.network.mask` the policy never plays an action that a player "
        "can see to be useless: what the table says, a step into a wall or diagonally through a door, and "
        "what has just changed nothing. At an open question it only answers. The table is `RULES` in "
        f"`maestromotif/nethack/rules.py`.\n\n{table(('action', 'useless'), useless)}\n"
    )


def metrics() -> str:
    """Everything that a run logs, by stage; first the learning curve."""
    from maestromotif.nethack.death import CAUSE_GROUPS
    from maestromotif.pipeline.stages import STAGES
    from maestromotif.tracking.logged import PROGRESS, axis_of
    from maestromotif.train.metrics import METRICS
    from maestromotif.train.speed import TIMINGS
    from maestromotif.train.watch.figures import LOGGED as WATCHED

    def listed(names: Iterable[Any]) -> str:
        rows = ((code(one.name), escape(one.unit), escape(one.doc), one.summary) for one in names)
        return table(("name", "unit", "meaning", "summary"), rows)

    stages = [
        f"### {stage.name}\n\nThe x axis is `{axis_of(stage.name)}`.\n\n{listed(stage.logged())}"
        for stage in STAGES
        if stage.name != "train" and stage.logged()
    ]
    causes = ((code(name), escape(group.doc)) for name, group in CAUSE_GROUPS.items())
    return (
        "# Metrics\n\n"
        "Everything that a run logs, with stable names. In a name, `{skill}` stands for each skill, "
        "`{event}` for each [event](events.md), `{change}` for each [change](game-state.md#changes), "
        "`{action}` for each [action](actions.md), `{cause}` for each [group of causes of death]"
        "(#causes-of-death), and `{depth}` for some levels of the dungeon. What did not happen has the value "
        "0. The *summary* is which of a run's values stands for the run in a table of runs.\n\n"
        "This page is written from `LOGGED` of each stage.\n\n"
        "## Learning curve\n\n"
        "A row of the learning curve (`train/curve.jsonl`) covers the steps since the row before. "
        "`train.curve_steps` sets its length. The same config makes the same rows, also after a kill.\n\n"
        + listed(METRICS)
        + "\n\n## Speed\n\n"
        "These figures differ from run to run, so only the [tracker](tracking.md) gets them, every few "
        "seconds. Each is measured over the last 15 seconds or so.\n\n" + listed(TIMINGS) + "\n\n"
        "## Evaluation during training\n\n"
        "Every `tracking.evaluate_steps` steps the newest policy plays the task. `{place}` is `new` for new "
        "dungeons, and `seen` for the dungeons of training, if `nethack.levels` limits those.\n\n"
        + listed(WATCHED)
        + "\n\n## Progress\n\nOf every stage with a long loop.\n\n"
        + listed(PROGRESS)
        + "\n\n## Other stages\n\n"
        + "\n\n".join(stages)
        + "\n\n## Causes of death\n\n"
        "A death belongs to the first of these groups that fits NetHack's words for it.\n\n"
        + table(("group", "meaning"), causes)
        + "\n"
    )


# ----------------------------------------------------------------------------------------- the dashboard

# What a panel of each type draws, in a box of 100 x 40.
_DRAWN = {
    "Run History Line Plot": '<path d="M4 34L22 22L40 26L58 12L76 15L96 6M4 36L30 32L60 28L96 25"/>',
    "stacked-area": '<path d="M4 24L30 20L62 28L96 18V36H4Z" fill="currentColor"/><path d="M4 10H96V36H4Z"/>',
    "Bar Chart": '<path d="M4 8H88M4 20H62M4 32H74" stroke-width="8"/>',
    "Weave": '<path d="M4 4H96V36H4ZM4 12H96M4 20H96M4 28H96M36 4V36"/>',
    "Media Browser": '<path d="M4 4H96V36H4Z"/><path d="M42 12L60 20L42 28Z" fill="currentColor"/>',
}


def dashboard() -> str:
    """The panels of the workspace in docs/dashboard.json, drawn and listed."""
    import json
    from pathlib import Path

    spec = json.loads((Path(__file__).parent / "dashboard.json").read_text(encoding="utf-8"))["spec"]
    sections = spec["section"]["panelBankConfig"]["sections"]
    parts = [
        "# Dashboard\n\n"
        "`maestromotif dashboard CONFIG` saves this workspace to Weights & Biases, or updates it "
        "([Track a run](tracking.md#the-dashboard)). Here it is for `configs/quickstart.yaml`, drawn without "
        "data.\n\n"
        "This page is written from `docs/dashboard.json`, which `maestromotif dashboard CONFIG --print` "
        "writes.\n"
    ]
    for section in sections:
        panels = [_panel(panel) for panel in section["panels"]]
        rows = (
            (escape(title), ", ".join(code(name) for name in names), code(axis) if axis else "")
            for title, _, names, axis in panels
        )
        drawn = _drawing([(title, kind) for title, kind, _, _ in panels])
        listed = table(("panel", "figures", "x axis"), rows)
        parts.append(f"## {section['name']}\n\n{drawn}\n\n{listed}")
    return "\n\n".join(parts) + "\n"


def _panel(panel: dict[str, Any]) -> tuple[str, str, list[str], str]:
    """Title, type, figures and x axis."""
    import json
    import re

    config = panel["config"]
    if panel["viewType"] == "Weave":  # a table: its name is deep in a query
        [name] = re.findall(r'"val": "(\w+/[\w/]+)"', json.dumps(config))
        return name, "Weave", [name], ""
    names = [*config.get("metrics", []), *config.get("mediaKeys", [])]
    pattern = config.get("metricRegex", "").strip("^$()").replace("[^/]+", "*").replace(".*", "*")
    return (
        config["chartTitle"],
        config.get("plotType", panel["viewType"]),
        names or pattern.replace("\\", "").split("|"),
        config.get("xAxis", ""),
    )


def _drawing(panels: Sequence[tuple[str, str]]) -> str:
    """A section's panels as an SVG in the colour of the text, three in a row."""
    from html import escape as text

    boxes = []
    for number, (title, kind) in enumerate(panels):
        x, y = number % 3 * 240, number // 3 * 84
        cut = title if len(title) <= 36 else title[:35] + "…"
        boxes.append(
            f'<g transform="translate({x} {y})"><rect x="1" y="1" width="230" height="76" rx="4"/>'
            f'<text x="8" y="18" stroke="none" fill="currentColor">{text(cut)}</text>'
            f'<g transform="translate(8 26) scale(2.1 1.1)">{_DRAWN[kind]}</g></g>'
        )
    height = -(-len(panels) // 3) * 84
    return (
        f'<svg viewBox="0 0 714 {height}" role="img" aria-label="{len(panels)} panels" fill="none" '
        f'stroke="currentColor" stroke-width="1" font-size="11">{"".join(boxes)}</svg>'
    )


# --------------------------------------------------------------------------------------------- Markdown


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: object) -> str:
    """As code in a cell of a table."""
    return f"`{value}`"


def escape(text: str) -> str:
    """As text in a cell of a table."""
    text = " ".join(text.split())
    for character, written in (("&", "&amp;"), ("<", "&lt;"), ("*", r"\*"), ("|", r"\|"), ("[", r"\[")):
        text = text.replace(character, written)
    return text
