"""Conditions: the language and its errors, and the automata against a slow evaluator of single games."""

import ast
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from maestromotif.errors import UserError
from maestromotif.nethack.events import COLUMN, EVENTS
from maestromotif.nethack.game import End
from maestromotif.tasks.conditions import Success
from maestromotif.tasks.expressions import Step
from maestromotif.tasks.parse import FLAGS, FORMULAS, NUMBERS, parse, parse_number

ALIVE, DEATH, LEFT = int(End.NOT), int(End.DEATH), int(End.LEFT)


def step(
    games: int = 1,
    happened: Sequence[str] = (),
    ended: int = ALIVE,
    cause: str = "",
    truth: dict[str, int] | None = None,
    **state: int,
) -> Step:
    """The same step in all games."""
    events = np.zeros((games, len(EVENTS)), np.int16)
    for name in happened:
        events[:, COLUMN[name]] += 1
    return Step(
        {name: np.full(games, value, np.int32) for name, value in {"turn": 1, "step": 0, **state}.items()},
        events,
        np.full(games, ended, np.int8),
        dict.fromkeys(range(games), cause),
        {name: np.full(games, value) for name, value in (truth or {}).items()},
    )


def played(conditions: Sequence[str], *steps: Step, start: Step | None = None) -> list[str]:
    """What was said at each step of one game: "", "met", or "failed" once it can no longer be."""
    success = Success(conditions, 1)
    begin = start or step()
    success.begin(np.ones(1, bool), begin.state)
    said = []
    for one in steps:
        met = success.update(one, np.ones(1, bool))
        said.append("met" if met[0] else "failed" if success.failed[0] else "")
        assert 0 <= success.progress()[0] <= 1
        assert (success.progress()[0] == 1) == success.achieved[0]
    return said


def at(depth: int, *happened: str, turn: int = 1, **more: Any) -> Step:
    return step(happened=happened, depth=depth, turn=turn, **more)


def test_conditions_are_met_in_order_and_one_step_may_meet_several() -> None:
    assert played(["depth >= 2", "depth == 1"], at(1), at(3), at(2), at(1), at(1)) == ["", "", "", "met", ""]
    three = ["depth >= 2 and gold > 10", "not in_shop", "depth <= 2"]
    assert played(three, at(1, gold=99, in_shop=0), at(2, gold=11, in_shop=0)) == ["", "met"]


def test_counts_begin_with_their_condition_and_totals_with_the_episode() -> None:
    steps = at(1, "sold"), at(2, "sold"), at(2, "sold"), at(2, "sold", "sold")
    assert played(["depth >= 2", "count(sold) >= 2"], *steps) == ["", "", "", "met"]
    assert played(["depth >= 2", "total(sold) >= 2"], *steps) == ["", "met", "", ""]
    assert played(["count(sold) + count(ate) == 3"], *steps[:2], at(1, "ate")) == ["", "", "met"]
    assert played(["happened(ate) and depth == 2"], at(2), at(1, "ate"), at(2, "ate")) == ["", "", "met"]


def test_turns_are_counted_from_where_a_condition_begins() -> None:
    steps = [at(1, turn=50), at(2, turn=60), at(2, turn=100), at(2, turn=359), at(2, turn=361)]
    assert played(["depth == 2", "survive(300)"], *steps) == ["", "", "", "", "met"]
    assert played(["survive(300)"], *steps, start=at(1, turn=10)) == ["", "", "", "met", ""]


@pytest.mark.parametrize(
    ("text", "steps", "said"),
    [
        ("not_before(depth >= 2, count(ate) >= 1)", [at(1, "ate"), at(2)], ["", "met"]),
        ("not_before(depth >= 2, count(ate) >= 1)", [at(2), at(2, "ate"), at(2)], ["failed"] * 3),
        ("not_before(depth >= 2, count(ate) >= 1)", [at(2, "ate")], ["met"]),  # the same step
        ("avoiding(depth == 3, happened(prayed))", [at(2), at(3)], ["", "met"]),
        ("avoiding(depth == 3, happened(prayed))", [at(2, "prayed"), at(3)], ["failed", "failed"]),
        ("avoiding(depth == 3, happened(prayed))", [at(3, "prayed")], ["failed"]),
        ("until(depth == 1, count(sold) >= 1)", [at(1), at(2, "sold")], ["", "met"]),
        ("until(depth == 1, count(sold) >= 1)", [at(1), at(2), at(2, "sold")], ["", "failed", "failed"]),
        ("repeat(2, depth == 2)", [at(2), at(2), at(1), at(2)], ["", "", "", "met"]),
        ("repeat(3, count(sold) >= 1)", [at(1, "sold"), at(1, "sold"), at(1, "sold")], ["", "", "met"]),
        ("repeat(2, then(depth == 2, depth == 1))", [at(2), at(1), at(2), at(1)], ["", "", "", "met"]),
        ("all_of(depth == 2, count(ate) >= 1)", [at(2), at(1), at(1, "ate")], ["", "", "met"]),
        ("any_of(depth == 2, count(ate) >= 1)", [at(1), at(1, "ate")], ["", "met"]),
        ("any_of(avoiding(depth == 3, depth == 2), gold > 1)", [at(2, gold=0), at(3, gold=2)], ["", "met"]),
        ("all_of(avoiding(depth == 3, depth == 2), gold > 1)", [at(2, gold=0)], ["failed"]),
        ("2 <= depth < 4 or depth == 9", [at(1), at(4), at(3)], ["", "", "met"]),
        ("depth * 10 - gold >= -(-5)", [at(1, gold=9), at(2, gold=15)], ["", "met"]),
        ("truth.oracle_level == depth", [at(5, truth={"oracle_level": 6}), at(6, truth={"oracle_level": 6})],
         ["", "met"]),
    ],
)  # fmt: skip
def test_what_each_form_means(text: str, steps: list[Step], said: list[str]) -> None:
    assert played([text], *steps) == said


def test_steps_are_counted_from_where_a_condition_begins() -> None:
    said = played(["depth == 2", "steps() > 1"], *(at(2, step=n) for n in range(5, 9)))
    assert said == ["", "", "met", ""]


def test_the_end_of_an_episode() -> None:
    last = at(2, ended=DEATH, cause="killed by a soldier ant, while praying")
    assert played(["depth == 2"], at(1), last) == ["", ""]  # the dead achieve nothing
    assert played(["died and depth == 2"], last) == ["met"]
    assert played(['died_of("Soldier Ant")'], last) == ["met"]
    assert played(['died_of("jackal")'], last) == [""]
    assert played(["avoiding(depth == 3, died)"], at(1), last) == ["", "failed"]
    gone = at(1, ended=LEFT)
    assert played(["total(killed) >= 1", "left"], at(1, "killed"), gone) == ["", "met"]
    assert played(["left and gold >= 20"], at(1, ended=LEFT, gold=20)) == ["met"]
    assert played(["left"], last) == [""]
    assert played(["survive(10)"], at(1, turn=5), at(1, turn=99, ended=DEATH)) == ["", ""]


def test_progress_says_how_near() -> None:
    success = Success(["depth >= 4", "total(sold) >= 2 and gold > 9"], 2)
    success.begin(np.ones(2, bool), step(2).state)
    success.update(step(2, depth=2, gold=0), np.array([True, False]))
    assert success.progress().tolist() == pytest.approx([0.25, 0])
    success.update(step(2, depth=1, gold=0), np.ones(2, bool))  # the best so far counts
    assert success.progress().tolist() == pytest.approx([0.25, 0.125])
    success.update(step(2, ["sold"], depth=4, gold=5), np.array([True, False]))
    assert success.progress()[0] == pytest.approx(0.5 + 0.5 * (0.5 + 0.5) / 2)
    success.update(step(2, ["sold"], depth=1, gold=10), np.array([True, False]))
    assert success.progress()[0] == 1


def test_an_episode_begins_in_its_game_alone() -> None:
    success = Success(["count(ate) >= 2"], 2, measure="total(ate)")
    success.begin(np.ones(2, bool), step(2).state)
    both = np.ones(2, bool)
    success.update(step(2, ["ate"]), both)
    success.begin(np.array([True, False]), step(2).state)
    assert success.update(step(2, ["ate"]), both).tolist() == [False, True]
    assert success.measured(step(2)).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the condition is empty"),
        ("dpeth >= 2", "GameState has no field 'dpeth'; did you mean 'depth'?"),
        ("skill_steps >= 3", "GameState has no field 'skill_steps'"),
        ("depth", "'depth' is a number; compare it, as in depth >= 2"),
        ("not depth", "'depth' is a number; compare it"),
        ("depth = 2", "cannot read it at character"),
        ("depth >=", "cannot read it"),
        ("depth >= true", "'depth' is a number and 'true' is true or false"),
        ("depth >= 99999999999", "99999999999 is greater than any number in the game"),
        ("in_shop == 1", "'1' is a number and 'in_shop' is true or false"),
        ("in_shop < true", "only == and != compare it"),
        ("depth in (1, 2)", "compare with one of"),
        ("depth >= 2.5", "'2.5' is not allowed"),
        ("__import__('os')", "there is no '__import__(...)'"),
        ("().__class__", "is not allowed"),
        ("depth.real == 1", "'depth.real' is not allowed"),
        ("truth.secret == 1", "the game's truth has no 'secret'"),
        ("sold >= 1", "'sold' is an event; write count(sold) >= 1"),
        ("count(solt) >= 1", "there is no event 'solt'; did you mean 'sold'?"),
        ("count(sold)", "'count(sold)' is a number; compare it"),
        ("count() >= 1", "should have the form count(EVENT)"),
        ("thne(depth == 1, depth == 2)", "there is no 'thne(...)'; did you mean 'then'?"),
        ("then(depth == 1) and in_shop", "then(...) spans many steps"),
        ("avoiding(depth == 2)", "avoiding should have the form avoiding(A, C) (got 1 parts)"),
        ("avoiding(depth == 2, then(in_shop))", "then(...) spans many steps"),
        ("repeat(0, in_shop)", "'0' should be a whole number from 1 to 10,000"),
        ("repeat(x=2)", "should have the form repeat(N, A)"),
        ("then(*depth)", "should have the form then(A, B, ...)"),
        ("died_of(jackal)", 'died_of("jackal") needs words in quotes'),
        ("(" * 500 + "depth" + ")" * 500 + " == 1", "cannot read it"),
        ("-" * 1990 + "depth > 2", "parts in parts, more than 100 levels deep"),
        ("not " * 480 + "in_shop", "parts in parts, more than 100 levels deep"),
        ("depth == 1 and " * 300 + "in_shop", "a condition of 4,5"),
    ],
)
def test_mistakes_are_named(text: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        Success(["depth >= 2", text], 1, where="tasks/mine.md:3: success")
    assert expected in str(error.value)
    assert str(error.value).startswith("tasks/mine.md:3: success[1]: ")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["depth > 3 and depth < 2"], "'(depth > 3 and depth < 2)' can never be true"),
        (["xp_level > 30"], "can never be true"),
        (["hunger + load > 11"], "can never be true"),
        (["in_shop and not in_shop"], "can never be true"),
        (["not (in_shop or not in_shop)"], "can never be true"),
        (["count(sold) < 0"], "can never be true"),
        (["depth == 2 and 3 > gold > 5"], "can never be true"),
        (["avoiding(depth == 3, depth >= 2)"], "contradict each other"),
        (["avoiding(depth == 3, depth < 99)"], "contradict each other"),
        (["died", "depth == 2"], "nothing can happen after the end of the episode"),
        (["then(left, died)", "depth == 2"], "nothing can happen after"),
        (["repeat(2, died)"], "an episode ends only once"),
        (["any_of(xp_level > 30, depth > 90)"], "can never be true"),
    ],
)
def test_what_can_never_be_met_is_refused(texts: list[str], expected: str) -> None:
    with pytest.raises(UserError, match="can never be met") as error:
        Success(texts, 1)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["any_of(xp_level > 30, depth > 9)", "depth > 3 or depth < 2", "not (depth > 3)", "died or depth == 2",
     "avoiding(depth == 3, depth == 2)", "gold - depth < 0", "repeat(2, died or depth == 2)"],
)  # fmt: skip
def test_what_can_be_met_is_not(text: str) -> None:
    parse(text, "")


def test_a_measure_is_a_number() -> None:
    assert str(parse_number("total(sold) + gold * 2", "x")) == "(total(sold) + (gold * 2))"
    with pytest.raises(UserError, match=r"x: 'depth > 2': 'depth > 2' is true or false"):
        parse_number("depth > 2", "x")


def test_without_conditions_a_task_is_never_achieved() -> None:
    assert played([], at(1), at(50)) == ["", ""]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text(max_size=30) | st.lists(st.sampled_from([*FORMULAS, *NUMBERS, *FLAGS, "(", ")", ",", "depth",
       "==", "3", "sold", "and", "not"])).map(" ".join))  # fmt: skip
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UserError):
        parse(text, "here")


NUMBERS_OF = {"depth": (1, 4), "gold": (0, 4)}
comparisons = st.builds(
    "{} {} {}".format, st.sampled_from([*NUMBERS_OF]), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.integers(1, 3),
)  # fmt: skip
counted = st.builds("count({}) >= {}".format, st.sampled_from(["sold", "ate"]), st.integers(1, 2))
holds = st.recursive(
    comparisons | st.just("in_shop"),
    lambda below: st.builds("({} and {})".format, below, below) | st.builds("({} or {})".format, below, below)
    | st.builds("(not {})".format, below),
    max_leaves=3,
)  # fmt: skip
formulas = st.recursive(
    holds | counted,
    lambda below: (
        st.builds("then({}, {})".format, below, below)
        | st.builds("all_of({}, {})".format, below, below)
        | st.builds("any_of({}, {})".format, below, below)
        | st.builds("avoiding({}, {})".format, below, holds)
        | st.builds("until({}, {})".format, holds, below)
        | st.builds("repeat(2, {})".format, below)
    ),
    max_leaves=4,
)
histories = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 4), st.booleans(), st.sets(st.sampled_from(["sold", "ate"]))),
    min_size=1, max_size=10,
)  # fmt: skip


class Slow:
    """The meaning of the language, in plain Python over a list of steps: when a formula is first met."""

    def __init__(self, history: list[tuple[int, int, bool, set[str]]]) -> None:
        self.history = history

    def true(self, text: str, t: int, began: int) -> bool:
        depth, gold, in_shop, _ = self.history[t]
        names = {"depth": depth, "gold": gold, "in_shop": in_shop, "sold": "sold", "ate": "ate"}
        counts = {"count": lambda event: sum(event in one[3] for one in self.history[began : t + 1])}
        return bool(eval(text, {"__builtins__": {}}, names | counts))

    def met(self, text: str, t: int, began: int) -> int | None:
        """The first step from t on at which it is met, or None. Counts begin at step `began`."""
        node = ast.parse(text, mode="eval").body
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id != "count"):
            return next((s for s in range(t, len(self.history)) if self.true(text, s, began)), None)
        parts = [ast.unparse(one) for one in node.args]
        match node.func.id:
            case "then":
                first = self.met(parts[0], t, began)
                return None if first is None else self.met(parts[1], first, first + 1)
            case "all_of" | "any_of" as name:
                found = [self.met(one, t, began) for one in parts]
                known = [one for one in found if one is not None]
                if name == "all_of":
                    return max(known) if len(known) == len(found) else None
                return min(known, default=None)
            case "avoiding" | "until" as name:
                goal, bad = (parts[0], parts[1]) if name == "avoiding" else (parts[1], f"not ({parts[0]})")
                end = self.met(goal, t, began)
                last = len(self.history) if end is None else end + (name == "avoiding")
                return None if any(self.true(bad, s, began) for s in range(t, last)) else end
            case "repeat":
                return self.repeated(parts[1], t, began)
        raise AssertionError(text)

    def repeated(self, text: str, t: int, began: int) -> int | None:
        first = self.met(text, t, began)
        if first is None:
            return None
        spans = any(text.startswith(f"{name}(") for name in FORMULAS)
        again = first + 1
        if not spans and self.true(text, first, first + 1):
            false = (s for s in range(again, len(self.history)) if not self.true(text, s, first + 1))
            again = next(false, len(self.history))
        return self.met(text, again, first + 1)


@settings(max_examples=80, deadline=None)
@example("until((depth == 1 and depth == 2), in_shop)", [(1, 0, True, set())])
@given(formulas, histories)
def test_agrees_with_a_slow_evaluator(text: str, history: list[tuple[int, int, bool, set[str]]]) -> None:
    refused = ""
    try:
        Success([text], 1)
    except UserError as error:
        refused = str(error)
    if refused:  # it can never be met: so the slow evaluator must not meet it
        assert Slow(history).met(text, 0, 0) is None or "only as it begins" in refused
        return
    steps = [
        at(depth, *sorted(happened), gold=gold, in_shop=int(shop)) for depth, gold, shop, happened in history
    ]
    said = played([text], *steps)
    expected = Slow(history).met(text, 0, 0)
    assert ("met" in said) == (expected is not None)
    if expected is not None:
        assert said.index("met") == expected
