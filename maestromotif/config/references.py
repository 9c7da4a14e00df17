"""References in configs: `${run.seed}` stands for another value, and nothing else may be written so.

OmegaConf has functions too, such as `${oc.env:HOME}`. A config that is saved and sent to wandb would then
hold what the environment of one machine has, secrets too, and would mean something else on the next.
"""

from collections.abc import Iterator
from typing import Any

import yaml
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
from omegaconf.grammar_parser import parse


def functions_in(text: str) -> list[str]:
    """The calls of functions in a value, as they are written."""
    if "${" not in text:
        return []
    try:
        tree = parse(text)
    except OmegaConfBaseException:  # no reference at all; who reads it says so
        return []
    return [
        str(node.getText())
        for node in _below(tree)
        if isinstance(node, OmegaConfGrammarParser.InterpolationResolverContext)
    ]


def functions_below(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """The calls of functions in a file, each with its line from 1."""
    if isinstance(node, yaml.ScalarNode):
        for call in functions_in(node.value):
            yield node.start_mark.line + 1, call
    elif isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                yield from functions_below(part)


def refusal(call: str) -> str:
    return (
        f"{call} calls a function, and a config is saved with all its values, which must not come from the "
        "environment of one machine; write the value itself. Only other values can be referred to, as by "
        "${run.seed}"
    )


def _below(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", None) or ():
        yield from _below(child)
