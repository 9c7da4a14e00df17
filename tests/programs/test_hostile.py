"""Programs that mean harm, or are broken in odd ways: each is refused, with a reason, within twice the limit.

A case is a whole file. Those that can be read as text are in `hostile/`, by what they do: a line `==== name:
kind` stands above each, with the kind of the problem (`problems.KINDS`) that is found first, or several where
it depends on the machine's speed. Files with odd bytes, and files that are written by a loop, are below.
"""

import contextlib
import re
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maestromotif.programs import check, contract
from maestromotif.programs.problems import KINDS, ProgramError
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.programs.trial_states import Dice
from maestromotif.skill import load_all

SKILLS = load_all(Path(__file__).parents[2] / "skills", ["discoverer", "descender"])
LIMIT, SHORT = 60.0, 2.0  # seconds; the short limit is for cases that may hit it

HEAD = "class Program:\n    def select(self, state: GameState, available: list[Skill]) -> Skill:\n"
GOOD = HEAD + "        return available[0]\n"


def lines(form: str, count: int) -> str:
    """A line, or lines, with the numbers `k` and `n` = k + 1, for k from 0."""
    return "".join(form.format(k=k, n=k + 1) for k in range(count))


def nested(opens: str, depth: int) -> str:
    """`opens` within itself, by indentation."""
    return "".join("    " * k + opens + "\n" for k in range(depth)) + "    " * depth + "pass\n"


def finally_in_finally(depth: int) -> str:
    """Each `finally` is compiled twice, so the code doubles with each level."""
    inner = "x = 1\n" if depth == 0 else finally_in_finally(depth - 1)
    return inner if depth == 0 else f"try:\n    x = 1\nfinally:\n{textwrap.indent(inner, '    ')}"


UNION = "def f{k}(x: int):\n    return [f{n}(x), (f{n}(x),), {{1: f{n}(x)}}][random.randint(0, 2)]\n"
BYTES = {
    "empty": ("", "structure"),
    "half a file": (GOOD[:-20], "syntax or types"),
    "a null byte": (GOOD + "\0", "file"),
    "half a character": (GOOD + "# \ud800\n", "syntax"),
    "tabs and spaces": (GOOD.replace("        return", "\treturn"), "syntax"),
    "an open text": (GOOD + 'a = """\n', "syntax"),
    "a backslash at the end": (GOOD + "a = 1 \\", "syntax"),
    "only quotes": ("'" * 90_000, "structure"),
    "only brackets": ("(" * 90_000, "syntax"),
    "two marks": ("\ufeff\ufeff" + GOOD, "syntax"),
    "next line": (GOOD + "a = 1\x85b = 2\n", "syntax"),
    "line separator": (GOOD + "a = 1 \u2028\n", "syntax"),
    "no width": ("\u200b\n" + GOOD, "syntax"),
    "another encoding": ("# coding: utf-7\n+AGE-\n" + GOOD, "syntax"),
    "form feed": ("\x0c" + GOOD.replace("available[0]", "available[\x0c'a']"), "types"),
    "old line ends": (GOOD.replace("\n", "\r").replace("available[0]", "avalable[0]"), "types"),
    "Windows line ends": (GOOD.replace("\n", "\r\n").replace("available[0]", "avalable[0]"), "types"),
}
BOMBS = {
    "long file": ("#" * 10**7 + "\n", "limit"),
    "many lines": ("\n" * 10**6, "limit"),
    "80 nested functions": (nested("def f() -> None:", 80), "limit"),
    "80 nested ifs": (nested("if True:", 80), "limit"),
    "200 nested blocks": (nested("if True:", 200), "syntax"),
    "10,000 brackets": ("a = " + "(" * 10_000 + ")" * 10_000 + "\n", "syntax"),
    "150 lists": ("a = " + "[" * 150 + "]" * 150 + "\n", "limit"),
    "10,000 lists, open": ("a = " + "[" * 10_000 + "\n", "syntax"),
    "dicts": ("a = " + "{1: " * 150 + "1" + "}" * 150 + "\n", "limit"),
    "calls of calls": ("a = " + "abs(" * 150 + "1" + ")" * 150 + "\n", "limit"),
    "minus": ("a = " + "-" * 50_000 + "1\n", "limit"),
    "plus": ("a = " + "1 + " * 20_000 + "1\n", "limit"),
    "attributes": ("a = a" + ".b" * 30_000 + "\n", "limit"),
    "calls": ("a = f" + "()" * 30_000 + "\n", "limit"),
    "lambdas": ("a = " + "lambda: " * 60 + "1\n", "limit"),
    "nested comprehensions": ("a = " + "[x for x in " * 40 + "[1]" + "]" * 40 + "\n", "limit"),
    "one comprehension": ("a = [1 " + "for x in [1, 2] " * 1000 + "]\n", "lacks"),
    "a long number": ("a = " + "9" * 90_000 + "\n", "syntax"),
    "f-strings in f-strings": ("a = f'{f\"{1}\"}'\n" * 3000 + "b = a.c\n", "types or limit"),
    "many functions": (lines("def f{k}(): return f{n}()\n", 2500) + "a = f0()\n", "types or limit"),
    "growing tuples": ("a0 = (1, 2)\n" + lines("a{n} = (a{k}, a{k})\n", 40) + "a40.b\n", "limit or types"),
    "growing unions": ("import random\n" + lines(UNION, 30) + "f30 = abs\nf0(1).b\n", "limit or types"),
    "loop of types": (
        "a = b = c = d = 1\nwhile True:\n    a, b, c, d = (b, c), [c, d], {1: a}, (d, a, b)\n",
        "types or limit",
    ),
    "big match": (
        "match 1, 2:\n" + lines("    case {k}, {k} | {n}:\n        pass\n", 900) + "x.y\n",
        "types or limit",
    ),
    "many literals": ("A = [" + lines("'{k}', ", 9_000) + "]\nA.b\n", "types or limit"),
    "constant power": ("A = 9 ** 9 ** 9\n", "limit or exception"),
    "constant text": ("A = 'x' * 10**10\n", "limit or exception"),
    "fields of an f-string": ("a = f'" + "{1}" * 30_000 + "'\n", "limit"),
    "finally in finally": (finally_in_finally(14), "lacks"),
    "contexts": ("with " + ", ".join(["ABC()"] * 3000) + ":\n    pass\n", "types or limit"),
    "a long hexadecimal number": ("A: str = 0x" + "f" * 90_000 + "\n", "types"),
    "powers of powers": ("A = " + "9 ** " * 100 + "9\n", "limit"),
    "narrowing": (
        "def f(x: int | str | None) -> None:\n    if "
        + " and ".join(f"(x is None or isinstance(x, int) and x != {k})" for k in range(150))
        + ":\n        x.y\n",
        "limit or types",
    ),
    "intersections": (
        lines("class A{k}:\n    a: int = 1\n", 60)
        + "def f(x: object) -> None:\n    if "
        + " and ".join(f"isinstance(x, A{k})" for k in range(60))
        + ":\n        x.b\n",
        "limit or types",
    ),
    "attributes in a circle": (
        "class A:\n    def __init__(self) -> None:\n"
        + lines("        self.a{k} = self.a{n}\n", 900)
        + "        self.a900 = self.a0\nA().a0.b\n",
        "limit or types",
    ),
    "growing dicts": (
        "a0 = {1: 2}\n" + lines("a{n} = {{1: a{k}, 2: [a{k}]}}\n", 40) + "a40.b\n",
        "limit or types",
    ),
    "growing lambdas": (
        "a0 = lambda: 1\n" + lines("a{n} = lambda: (a{k}(), a{k}())\n", 40) + "a40.b\n",
        "limit or types",
    ),
    "a flow of types": (
        "def f() -> None:\n    a = 1\n"
        + lines("    try:\n        a = [a, {k}]\n    finally:\n        a = (a, a)\n", 300)
        + "    a.b\n",
        "limit or types",
    ),
    "many errors": (lines("undefined_{k}\n", 5000), "types or limit"),
    "many lacks": (lines("exec('{k}')\n", 3000), "lacks"),
    "many arguments": (
        "def f(" + ", ".join(f"a{k}: int" for k in range(5000)) + ") -> int:\n    return 1\nf(1)\n",
        "types or limit",
    ),
    "stars": ("def f(*a: int) -> int:\n    return 1\nf(" + "*[1, 2], " * 9000 + ").b\n", "types or limit"),
    "decorators": (
        "def d(f: object) -> object:\n    return f\n" + "@d\n" * 9000 + "def g() -> None:\n    pass\ng.b\n",
        "types or limit",
    ),
    "semicolons": ("a = 1;" * 16_000 + "\na.b\n", "types or limit"),
    "dataclasses in a row": (
        "from dataclasses import dataclass\n"
        + lines("@dataclass\nclass A{k}:\n    a: 'A{n}'\n", 900)
        + "A0.b\n",
        "types or limit",
    ),
    "type variables": (
        "from typing import TypeVar\n" + lines("T{k} = TypeVar('T{k}')\n", 300) + "T1.b\n",
        "lacks",
    ),
    "literals and literals": (
        "from typing import Literal\nA = Literal[" + ",".join(map(str, range(200))) + "]\n"
        "def f(a: A, b: A) -> None:\n    (a * b, a + b, a - b).c\n",
        "lacks",
    ),
    "a bad escape": ("a = '\\N{no such character}'\n", "syntax"),
    "an odd annotation": ("a: 'list[' = 1\n", "types"),
    "a decorator that waits": (
        "def d(f: object) -> object:\n    while True:\n        pass\n\n@d\ndef g() -> None:\n    pass\n",
        "limit",
    ),
    "a default that waits": ("def f(a: int = [0 for _ in range(10**12)][0]) -> None:\n    pass\n", "limit"),
    "elif": ("a = 1\nif a:\n    pass\n" + lines("elif a == {k}:\n    pass\n", 3000), "limit"),
}


def cases() -> dict[str, tuple[str, tuple[str, ...]]]:
    """'group: name' -> the source, and the kinds of its first problem."""
    found = {f"bytes: {name}": case for name, case in BYTES.items()}
    found |= {f"bombs: {name}": (source + GOOD, kinds) for name, (source, kinds) in BOMBS.items()}
    for file in sorted((Path(__file__).parent / "hostile").glob("*.txt")):
        _, *parts = re.split(r"^==== (.*): (.*)\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name, kinds, source in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            found[f"{file.stem}: {name}"] = (source, kinds)
    return {name: (source, tuple(kinds.split(" or "))) for name, (source, kinds) in found.items()}


CASES = cases()
SAMPLE = (
    "endless: while",
    "endless: slow at the fortieth call",
    "memory: doubling text",
    "escapes: os in a loop that catches",
    "escapes: exec under another name",
    "answers: changes the state unseen",
    "forms: Markdown",
    "bytes: a null byte",
    "bombs: 80 nested functions",
    "bombs: growing tuples",
    "of_a_skill: division by zero",
    "names: a combining mark in a name",
    "names: a mark in a field's name",
    "names: blames a line of 5,000 digits",
    "names: a method that the sandbox's int lacks",
    "names: a member that a module lacks",
    "objects: the class of states is changed unseen",
    "control: a deadline caught in a deadline",
    "values: a pattern with many groups",
    "rare: fails below level 10",
    "rare: fails with exactly so much gold",
    "rare: hangs in Minetown",
    "escapes: exec beside an argument of that name",
    "rare: memory that outlives the episode",
    "rare: memory that grows by 10,000 bytes a step",
    "bombs: finally in finally",
    "bombs: fields of an f-string",
)


def refuse(name: str) -> list[str]:
    """Checks a case; what is said about it."""
    source, kinds = CASES[name]
    limit = SHORT if "limit" in kinds else LIMIT
    began = time.monotonic()
    _, found = check.file_problems(source, "p.py", SKILLS, 0, limit)
    seconds = time.monotonic() - began
    assert found, "not refused"
    assert found[0].kind in kinds, str(found[0])
    assert seconds < 2 * limit
    for one in found:
        assert one.file == "p.py"
        assert str(one).isprintable()
    return [str(one) for one in found]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_is_refused(name: str) -> None:
    refuse(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_all_are_refused(name: str) -> None:
    refuse(name)


def test_there_are_enough_of_each_kind() -> None:
    kinds = [kind for _, kinds in CASES.values() for kind in kinds]
    assert len(CASES) > 350
    assert set(kinds) == set(KINDS) - {"asks"}  # which the check of the source finds first


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("open('a')", "asks for open; programs have no files"),
        ("import os\nos.listdir('/')", "asks for Path.iterdir"),
        ("import os\nos.getenv('HOME')", "asks for os.getenv"),
        ("import numpy", "no module 'numpy' in the sandbox"),
        ("exec('_exchange(None)')", "TypeError: 'NoneType' object is not callable"),
        ("_exchange(None)", "NameError: name '_exchange' is not defined"),
        ("import asyncio\nasyncio.run(asyncio.sleep(9))\nraise ValueError('slept')", "slept"),
    ],
)
def test_a_program_that_was_not_checked_asks_once(body: str, text: str) -> None:
    """The host ends it at the first request, whatever it catches, and says where it was."""
    inner = "".join(f"                {line}\n" for line in body.splitlines())
    loop = (
        "        while True:\n            try:\n"
        + inner
        + "            except OSError:\n                pass\n"
    )
    with ProgramHost(HEAD + loop, SKILLS, 1, 0) as host, pytest.raises(ProgramError) as error:
        host.step(Dice(1, 0).state, np.full(1, -1), np.ones(1, bool))
    assert text in str(error.value)
    last = 5 + body.count("\n")  # or the line after it, to which an exception is passed on
    assert error.value.problems[0].line in (last, last + 1)


ODD = {
    "Windows line ends": GOOD.replace("\n", "\r\n"),
    "old line ends": GOOD.replace("\n", "\r"),
    "tabs": GOOD.replace("    ", "\t"),
    "form feed": "\x0c\n" + GOOD,
    "no line end": GOOD.rstrip("\n"),
    "other scripts": "größe: int = 1\n名前: str = '日本'\n" + GOOD,
    "walrus and match": HEAD + "        if (n := len(available)) > 1:\n            match n, state.depth:\n"
    "                case 2, _:\n                    return available[-1]\n        return available[0]\n",
    "a slow regex": "import re\n\nre.match(r'(a+)+$', 'a' * 40 + 'b')\n" + GOOD,
    "a docstring with Markdown": '"""A plan.\n\n```python\nx = 1\n```\n"""\n' + GOOD,
    "future in brackets": "from __future__ import (\n    annotations,\n); N = 1\nM: int = N\n" + GOOD,
    "escapes that are none": "a = '\\d'  # in 3.12 and later, Python warns of it\n" + GOOD,
    "an encoding": "# -*- coding: latin-1 -*-\n" + GOOD,
    "attributes that only the sandbox's own types lack": "class Vector:\n    def __init__(self) -> None:\n"
    "        self.real: int = 1\n\n\nONE: int = Vector().real\n" + GOOD,
    "a quotient of the level": HEAD + "        return available[2 // state.level - 2]\n",
    "a method with the name of what is lacking": "class Door:\n    def open(self) -> int:\n"
    "        return 0\n\n\nA: int = Door().open()\n" + GOOD,
    "future": '"""A plan."""\n\nfrom __future__ import annotations\n\n' + GOOD,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_but_right_programs_are_accepted(
    name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "p.py"
    path.write_bytes(b"\xef\xbb\xbf" + ODD[name].encode())  # a byte order mark is read over
    source = contract.read(path)
    assert check.problems(source, "p.py", SKILLS) == []
    assert not recwarn.list
    with ProgramHost(source, SKILLS, 1, 0) as host:
        host.step(Dice(1, 0).state, np.full(1, -1), np.ones(1, bool))


def test_a_program_cannot_change_the_state_that_others_are_asked_about() -> None:
    """By hand: should_end writes a depth at which the second skill may start; it may not start at depth 1."""
    deep = (
        "def may_start(state):\n    return state.depth == 9\n\n\ndef should_end(state):\n    return False\n"
    )
    skills = [SKILLS[0], replace(SKILLS[1], program=deep)]
    source = (
        HEAD + "        return available[-1]\n\n"
        "    def should_end(self, state: GameState) -> bool:\n"
        "        object.__setattr__(state, 'depth', 9)\n        return True\n"
    )
    with ProgramHost(source, skills, 1, 0) as host:
        state = Dice(1, 0).state
        running, *_ = host.step(state, np.full(1, -1), np.ones(1, bool))
        running, switched, _ = host.step(state, running, np.zeros(1, bool))
    assert switched.all()
    assert running.tolist() == [0]


REMEMBERS = """\
class Program:
    def __init__(self) -> None:
        self.turns: list[int] = []

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        return available[0]

    def should_end(self, state: GameState) -> bool:
        self.turns.append(state.turn)
"""


@pytest.mark.parametrize(
    "work",
    [
        "        for _ in range(1000 * len(self.turns)):\n            pass\n",
        "        for a in self.turns:\n            for b in self.turns:\n                if a < b < a:\n"
        "                    return True\n",
    ],
    ids=["much for each step", "pairs of steps"],
)
def test_a_program_that_gets_slower_with_each_step_is_refused(work: str) -> None:
    source = f"{REMEMBERS}{work}        return False\n"
    _, (found,) = check.file_problems(source, "p.py", SKILLS, 0, LIMIT)
    assert found.kind == "limit"
    assert (
        "it gets slower at each step of a game: after 10,000 steps, 100 games would take about" in found.text
    )


def test_what_a_busy_machine_makes_slow_is_not_taken_for_it() -> None:
    """A program may go through all that it remembers, and steps may take long, while others are at work."""
    work = "        for turn in self.turns:\n            if turn < 0:\n                return True\n"
    much = "        for _ in range(3000):\n            pass\n"
    command = [sys.executable, "-c", "while True: pass"]
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            busy = stack.enter_context(subprocess.Popen(command))
            stack.callback(busy.kill)
        for source in (
            f"{REMEMBERS}{work}        return False\n",
            f"{REMEMBERS}{much}        return False\n",
        ):
            assert check.file_problems(source, "p.py", SKILLS, 0, LIMIT)[1] == []
