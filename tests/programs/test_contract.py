"""What prompts tell of the language of programs is true of the sandbox and of the check."""

from pathlib import Path

import pytest

from maestromotif.programs import check, contract
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import load_all

SKILLS = load_all(Path(__file__).parents[2] / "skills", ["discoverer"])
PROGRAM = """
class Program:
    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return available[0]
"""


@pytest.mark.parametrize("lack", contract.LACKS)
def test_what_the_language_lacks_is_refused_and_told(lack: str) -> None:
    found = check.problems(contract.LACKS[lack].code + PROGRAM, "p.py", SKILLS)
    assert [one.kind for one in found] == ["lacks"]
    assert found[0].line is not None
    assert lack in found[0].text or "no module 'numpy' in the sandbox; available are coll" in found[0].text
    assert lack in contract.LANGUAGE


def test_what_a_program_defines_itself_is_not_lacking() -> None:
    source = "def format(a: int, vars: int) -> int:\n    return a + vars\n\n\nHP = format(1, 2)\n" + PROGRAM
    assert check.problems(source, "p.py", SKILLS) == []


def test_every_module_can_be_imported() -> None:
    imports = "from __future__ import annotations\n"
    for module, members in contract.MODULES.items():
        imports += f"import {module}\n"
        imports += f"from {module} import {', '.join(members)}\n" if members else ""
    assert check.problems(imports + PROGRAM, "p.py", SKILLS) == []
    ProgramHost(imports + PROGRAM, SKILLS, games=1, seed=0).close()


def test_what_a_module_lacks_is_told() -> None:
    found = check.problems("from collections import Counter, OrderedDict\n" + PROGRAM, "p.py", SKILLS)
    text = "p.py:1:1: no 'OrderedDict' in the sandbox's 'collections'; available are Counter, defaultdict, "
    assert [str(one) for one in found] == [text + "deque, namedtuple"]


def test_each_module_that_is_not_there_has_its_place() -> None:
    found = check.problems("import math, os, re, sys\nfrom .a import b\n" + PROGRAM, "p.py", SKILLS)
    assert [(one.line, one.column, one.text.split(" in ")[0]) for one in found] == [
        (1, 14, "no module 'os'"),
        (1, 22, "no module 'sys'"),
        (2, 1, "no module '.a'"),
    ]


def test_numbers_that_a_program_compares_fields_with() -> None:
    source = (
        "LIMIT: int = -7\n\n\ndef f(state: GameState) -> bool:\n    depth = state.depth\n"
        "    match state.hunger:\n        case 2 | 3:\n            return state.hp == 9\n"
        "        case GameState(load=4):\n            return 0.5 < state.gold\n"
        "    return depth > 30 or state.armor_class < LIMIT or 3 < state.turn <= 5000 or state.other == 8\n"
    )
    found = contract.compared_numbers([source, "not Python", ""])
    assert found == {
        "hunger": [2, 3, 4],
        "hp": [9],
        "depth": [30],
        "armor_class": [-7],
        "turn": [3, 5000],
        "load": [4],
    }
