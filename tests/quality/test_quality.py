"""Quality figures: small examples by hand, NumPy as a reference, and a judge that is known to be right."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maestromotif.annotate.labels import consistent, labels_of
from maestromotif.intervals import wilson
from maestromotif.nethack.state import CHANGES
from maestromotif.quality import clauses, figures, gold, measures, oracle
from maestromotif.quality.figures import Answers

SKILLS = Path(__file__).parents[2] / "skills"
ALL = tuple(CHANGES)
NAN = np.nan
# Five pairs in both orders: alike; the second always; alike; the first always; one answer was nonsense.
ODDS = np.array([[2.0, -1.0], [-1.0, -3.0], [-0.5, 0.3], [4.0, 1.0], [NAN, 1.0]])
MARGIN = (ODDS[:, 0] - ODDS[:, 1]) / 2  # 1.5, 1, -0.4, 1.5, NaN
TARGET = np.array([1.0, 0.0, 0.0, 0.5, 1.0])


def near(figure: figures.Figure, value: float, n: int) -> bool:
    centre = figure.get("share", figure.get("mean"))
    low, high = figure["low"], figure["high"]
    assert centre is not None
    assert low is not None
    assert high is not None
    return centre == pytest.approx(value, abs=1e-4) and low <= centre <= high and figure["n"] == n


def test_a_share_has_wilsons_interval() -> None:
    figure = figures.share(np.array([True, False, True, True]))
    assert near(figure, 0.75, 4)
    assert (figure["low"], figure["high"]) == tuple(round(bound, 4) for bound in wilson(3, 4))
    assert figures.share_of(0, 0) == {"share": None, "low": None, "high": None, "n": 0}


def test_a_mean_of_many_values_needs_no_resampling() -> None:
    values = np.random.default_rng(0).normal(3, 1, 2_000)
    few, many = figures.mean(values), figures.mean(np.append(values, 3.0))
    assert all(abs(float(few[name] or 0) - float(many[name] or 0)) < 0.01 for name in ("mean", "low", "high"))
    assert figures.mean(values[:0])["mean"] is None


def test_order() -> None:
    found = figures.order(Answers(MARGIN, ODDS), 0.0)
    assert found is not None
    assert near(found["same"], 2 / 4, 4)
    assert near(found["first"], (1 + 0 + 1 + 2) / 8, 4)  # answers for the one named first
    assert near(found["bias"], (0.5 - 2 - 0.1 + 2.5) / 4, 4)
    assert figures.order(Answers(MARGIN), 0.0) is None


def test_labels_and_repeats() -> None:
    labels = labels_of(MARGIN, 0.5)
    np.testing.assert_array_equal(labels, [1, 1, 0.5, 1, NAN])
    np.testing.assert_array_equal(labels_of(np.array([0.0]), 0.0), [0.5])
    assert near(figures.repeat(MARGIN, np.array([9.0, -1.0, 0.0, NAN, 1.0]), 0.5), 2 / 3, 3)


def test_agreement() -> None:
    found = figures.agreement(MARGIN, TARGET, 0.5)
    assert near(found["decided"], 2 / 3, 3)  # the third is right in sign
    assert near(found["ties"], 0.0, 1)
    assert near(found["labels"], 1 / 4, 4)  # but a tie by its margin


def test_the_margin_curve() -> None:
    margin, target = np.array([0.1, -0.2, 0.3, 0.4, 5.0]), np.array([0.0, 0.0, 1.0, 1.0, 0.5])
    points = figures.curve(margin, target, steps=4)
    assert [(point["kept"], point["agreement"]["share"]) for point in points] == [
        (1.0, 0.75),
        (0.75, 1.0),
        (0.5, 1.0),
        (0.25, 1.0),
    ]
    assert points[0]["threshold"] == 0.1
    assert figures.curve(margin[:0], target[:0]) == []


def test_curation() -> None:
    kept = figures.curate(MARGIN, Answers(MARGIN, ODDS).consistent(0.5), least=1.0, tie_margin=0.5)
    np.testing.assert_array_equal(kept, [True, False, True, False, False])  # alike; bias; tie; bias; nonsense
    np.testing.assert_array_equal(figures.curate(MARGIN, None, least=1.2), [True, False, False, True, False])


def test_a_place_that_decides_is_no_tie() -> None:
    """Twice "the first" has the mean margin of a tie; only twice "hardly any difference" is one."""
    odds = np.array([[3.0, 3.0], [0.04, 0.03], [0.0, 0.0], [2.0, -1.0], [NAN, 1.0]])
    assert consistent(odds, 0.1).tolist() == [False, True, True, True, False]
    kept = figures.curate((odds[:, 0] - odds[:, 1]) / 2, consistent(odds, 0.1), 0.5, 0.1)
    assert kept.tolist() == [False, True, True, True, False]


def test_by_kind_counts_a_pair_for_both_of_its_kinds() -> None:
    kinds = [("killed", "nothing"), ("nothing", "nothing"), ("sold", "killed")]
    kept = np.array([True, False, True])
    found = figures.by_kind(kinds, lambda of: figures.share(kept[of])["share"])
    assert found == {"killed": 1.0, "nothing": 0.5, "sold": 1.0}


margins = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-9, 9) | st.just(NAN))


@given(margins, st.integers(0, 2**32 - 1), st.floats(0, 2), st.floats(0, 2))
def test_figures_against_loops(margin: np.ndarray, seed: int, tie: float, least: float) -> None:
    target = np.random.default_rng(seed).choice([0.0, 0.5, 1.0], len(margin))
    pairs = list(zip(margin.tolist(), target.tolist(), strict=True))
    decided = [(m > 0) == (t == 1) and m != 0 for m, t in pairs if m == m and t != 0.5]
    found = figures.agreement(margin, target, tie)["decided"]
    assert found["n"] == len(decided)
    assert not decided or near(found, sum(decided) / len(decided), len(decided))
    kept = [m == m and (abs(m) >= least or abs(m) < tie) for m in margin.tolist()]
    assert figures.curate(margin, None, least, tie).tolist() == kept
    shares = [point["kept"] for point in figures.curve(margin, target)]
    assert shares == sorted(shares, reverse=True)
    assert shares[:1] == [1.0] * bool(decided)


def test_labels_that_the_other_half_does_not_reproduce() -> None:
    """A contradiction, an agreement either way, no difference, a tie, no answer, no model."""
    margin = np.array([1.0, 1.0, -1.0, 1.0, 0.01, NAN, 1.0])
    difference = np.array([-0.2, 3.0, -0.1, 0.0, -1.0, -1.0, NAN])
    again = figures.ask_again(margin, difference, tie_margin=0.1)
    np.testing.assert_array_equal(again, [True, False, False, True, False, False, False])


def test_gold_figures_of_the_oracle() -> None:
    """The oracle's own scores as margins: what it decides is right, part by part and kind by kind."""
    pairs, left_out = gold.decidable(gold.load_all(SKILLS, ["merchant"])["merchant"], ALL)
    captions, rows = gold.asked(pairs, ALL)
    assert [captions[row] for row in rows[7]] == [*pairs[7].captions(ALL)]
    assert len(captions) == len({*captions}) < 120
    worth = measures.load(measures.path_of(SKILLS, "merchant")).worth
    margin = np.array(
        [
            oracle.score(worth, pair.a.message, pair.a.changes)
            - oracle.score(worth, pair.b.message, pair.b.changes)
            for pair in pairs
        ]
    )
    found = figures.gold_figures(pairs, Answers(margin), tie_margin=0.1, keep_margin=0.1, left_out=left_out)
    assert near(found["tune"]["decided"], 17 / 18, 18)
    assert near(found["report"]["decided"], 1.0, 36)
    assert near(found["report"]["ties"], 1.0, 4)
    assert near(found["report"]["kept"], 1.0, 40)  # what it takes for ties is kept as such
    assert near(found["report"]["kinds"]["opposite"], 1.0, 4)
    assert near(found["report"]["kinds"]["tie"], 1.0, 4)
    assert found["left_out"] == 0


def test_counterfactuals_differ_in_one_fact() -> None:
    said = ["You stop waiting.", "The newt bites!", "", "You kill the newt!", "You can't go down here."]
    observations = [(message, codes) for message in said for codes in ((0, 0, 0, 0), (1, 0, 0, 0))]
    random = np.random.default_rng(0)
    known = measures.load_all(SKILLS, ["descender", "merchant"])
    found = clauses.probes(known["descender"], observations, ALL, 2, random)
    assert len(found) == 2 * len(known["descender"].clauses)
    first = found[0]
    assert (first.clause, first.target) == ("going deeper", 1.0)
    assert re.sub("Nothing (else )?changed.", CHANGES["depth"].words[1], first.b) == first.a
    assert all("can't go" not in probe.a for probe in found)
    only_depth = clauses.probes(known["descender"], observations, ("depth",), 9, random)
    assert {probe.clause for probe in only_depth} == {
        "going deeper",
        "going up is bad",
        "deeper, not higher",
    }
    stolen = clauses.probes(known["merchant"], observations, (), 1, random)
    assert {probe.target for probe in stolen} == {0.0, 1.0}
    obeyed = clauses.figures(found, np.where([probe.target == 1 for probe in found], 1.0, NAN))
    assert obeyed["going deeper"]["share"] == 1.0
    assert obeyed["going up is bad"]["share"] == 0.0


@pytest.mark.parametrize("skill", ["discoverer", "descender", "ascender", "merchant", "worshipper"])
def test_the_oracle_obeys_every_clause_that_it_can_see(skill: str) -> None:
    observations = [(message, (0, 0, 0, 0)) for message in ("You stop waiting.", "The newt bites!")]
    known = measures.load(measures.path_of(SKILLS, skill))
    assert known.clauses
    for clause in known.clauses:
        sides = [
            clauses.with_fact(message, fact)
            for message, _ in observations
            for fact in (clause.fact, clause.instead)
        ]
        scores = [oracle.score(known.worth, side.message, side.changes) for side in sides]
        blind = clause.words == "sacrificing is bad"
        assert blind or all(
            (a > b) == clause.good and a != b for a, b in zip(*[iter(scores)] * 2, strict=True)
        )


def test_everything_in_one_table() -> None:
    kinds = [("killed", "nothing")] * 3 + [("sold", "killed")] * 2
    answers = Answers(MARGIN, ODDS, kinds)
    found = figures.figures(
        answers, tie_margin=0.5, keep_margin=1.0, oracle=TARGET, again=MARGIN, nonsense=(1, 10)
    )
    assert near(found["unanswered"], 1 / 5, 5)
    assert near(found["nonsense"], 1 / 10, 10)
    assert near(found["kept"], 2 / 5, 5)
    assert near(found[oracle.NAME], 2 / 3, 3)
    assert near(found["by_kind"]["sold"]["kept"], 0.0, 2)
    pointwise = figures.figures(Answers(MARGIN), tie_margin=0.5, keep_margin=0.0)
    assert pointwise["order"] is pointwise["curve"] is pointwise["repeat"] is pointwise["same"] is None
    alike = np.arange(len(MARGIN)) == 0  # two wordings agree on the first pair only
    reworded = figures.figures(Answers(MARGIN, alike=alike), tie_margin=0.5, keep_margin=0.0)
    assert reworded["order"] is None
    assert reworded["kept"]["share"] == round(1 / len(MARGIN), 4)
    skills = {
        "descender": found | {"counterfactuals": {"going deeper": figures.share_of(3, 4)}},
        "a": pointwise,
    }
    assert json.loads(json.dumps(skills)) == skills
    table = figures.markdown(skills)
    rows = [line for line in table.splitlines() if line]
    assert rows[0] == "| | descender | a |"
    assert "| same answer in both orders or wordings | 50 % (15–85, n 4) | – |" in rows
    assert "| descender | going deeper | 75 % (30–95, n 4) |" in rows
    assert any(row.startswith("| descender | sold | 0 % (0–66, n 2) |") for row in rows)
    assert "gold set" not in table  # nothing is known of it
    assert all(
        row.count("|") == 4 for row in rows[: rows.index("| descender | going deeper | 75 % (30–95, n 4) |")]
    )
