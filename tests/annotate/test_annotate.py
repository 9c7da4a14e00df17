"""Annotation with a real language model, the smallest of the table: few captions, all the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestromotif.annotate import annotate
from maestromotif.annotate.annotate import draw, draw_pairs
from maestromotif.annotate.answers import Judge, claimed
from maestromotif.annotate.judge import judge_file
from maestromotif.annotate.questions import decision, prompt_hash
from maestromotif.collect.observations import Items
from maestromotif.config.labels import AnnotateSettings, LanguageSettings
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.quality.figures import markdown
from maestromotif.quality.quality import examine

SKILLS = ("descender", "ascender")
MESSAGES = [b"", b"You kill the newt!", b"The door opens.", b"You hit the jackal.", b"Ouch!  That hurts!"]
CHANGES = [(0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0), (0, 0, 3, 0)]
RUN = """
import sys
from pathlib import Path
from maestromotif.annotate import annotate
from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact, Work
config = Config.model_validate_json(sys.argv[1])
annotate.run(config, {"collect": Artefact(Path(sys.argv[2]), {})}, Work(Path(sys.argv[3])))
"""

SHARD = """
import sys
from pathlib import Path
from maestromotif.annotate import annotate
from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact
config = Config.model_validate_json(sys.argv[1])
print(annotate.answer_shard(config, Artefact(Path(sys.argv[2]), {}), (int(sys.argv[3]), 2)))
"""


def configured(answers: Path, skills: tuple[str, ...] = SKILLS, **annotate_settings: Any) -> Config:
    # So small a model hardly ever answers with one of the choices.
    small = {"captions": 8, "chunk": 3, "answer_mass": 0.001, "changes": ("depth", "explored", "downstairs")}
    settings = small | annotate_settings
    settings["answers"] = str(answers)
    return Config(
        skills=skills,
        skills_folder=str(Path(__file__).parents[2] / "skills"),
        language=LanguageSettings(model="smollm2-135m-instruct", threads=1),
        annotate=AnnotateSettings.model_validate(settings),
        tasks=("down_and_back",),
    )


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """Every message with every change, the message without words most often."""
    steps = [(m, c) for m in range(len(MESSAGES)) for c in range(len(CHANGES)) for _ in range(5 - m)]
    folder = tmp_path_factory.mktemp("collect")
    Work(folder).write_arrays(
        "observations.npz",
        messages=np.array(MESSAGES, "S256"),
        message_id=np.array([m for m, _ in steps], np.int32),
        changes=np.array([CHANGES[c] for _, c in steps], np.int8),
        source=np.zeros(len(steps), np.int8),
    )
    return Artefact(folder, {})


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of answers that the tests share unless they are about answering."""
    return tmp_path_factory.mktemp("answers")


@pytest.fixture(scope="module")
def annotated(
    collected: Artefact, answers: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Work, dict[str, Any]]:
    work = Work(tmp_path_factory.mktemp("annotate"))
    return work, annotate.run(configured(answers), {"collect": collected}, work)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_the_manifest_is_told(annotated: tuple[Work, dict[str, Any]]) -> None:
    _, facts = annotated
    assert facts["model"] == "smollm2-135m-instruct"
    assert facts["licence"] == "Apache-2.0"
    assert (facts["captions"], facts["questions"], facts["items"]) == (8, 16, 25)
    assert facts["prompt_sha256"] == prompt_hash()
    assert set(facts["skills"]) == set(SKILLS)
    json.dumps(facts)


def test_labels_follow_from_scores(annotated: tuple[Work, dict[str, Any]]) -> None:
    work, facts = annotated
    captions = lines(work.path / "captions.jsonl")
    assert [row["id"] for row in captions] == list(range(8))
    assert {tuple(row["changes"]) for row in captions} == set(CHANGES)  # every event is in
    for skill in SKILLS:
        scores = {row["id"]: row["score"] for row in lines(work.path / skill / "scores.jsonl")}
        quality = json.loads((work.path / skill / "quality.json").read_text())
        assert len(scores) == 8 - quality["nonsense"]
        with np.load(work.path / skill / "preferences.npz") as file:
            first, second, label, margin = (file[name] for name in ("first", "second", "label", "margin"))
        assert len(label) == quality["pairs"] == facts["skills"][skill]["pairs"]
        assert len({frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}) == len(
            label
        )
        assert quality["ties"] == (label == 0.5).sum()
        for i, j, y, odds in zip(first.tolist(), second.tolist(), label, margin, strict=True):
            assert odds == pytest.approx(scores[i] - scores[j], abs=1e-5)
            assert y == (0.5 if abs(odds) < 0.1 else float(odds > 0))
        best = max(scores, key=lambda row: scores[row])
        assert quality["top"][0]["caption"] == captions[best]["caption"]
        assert {row["event"] for row in quality["events"]} >= {"Nothing changed."}


def stage(config: Config, collected: Artefact, work: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", RUN, config.model_dump_json(), str(collected.path), str(work)]
    return subprocess.Popen(arguments, start_new_session=True, stderr=subprocess.DEVNULL)


def whole_lines(path: Path) -> list[str]:
    """A process may be writing the last line."""
    return path.read_text().split("\n")[:-1]


def remembered(folder: Path) -> list[dict[str, Any]]:
    """The chunks that were answered, in the order of their files."""
    return [json.loads(line) for path in sorted(folder.glob("*/*.jsonl")) for line in whole_lines(path)]


def odds_of(config: Config, collected: Artefact, skill: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of the first choice, and the probability of all, of every question about a skill."""
    task = annotate.plan(config, collected)
    judge = Judge(config.language, config.annotate)
    logprobs = [judge.logprobs([asked])[0] for asked in task.comparison(task.skills[skill]).questions()]
    return np.array([one[0] - one[1] for one in logprobs]), np.array([np.exp(one).sum() for one in logprobs])


def test_killed_and_resumed_equals_unbroken(
    collected: Artefact, annotated: tuple[Work, dict[str, Any]], tmp_path: Path
) -> None:
    config = configured(tmp_path / "answers")
    killed = stage(config, collected, tmp_path / "work")
    deadline = time.monotonic() + 120
    while len(remembered(tmp_path / "answers")) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    chunks = remembered(tmp_path / "answers")
    assert 2 <= len(chunks) < 6
    assert not (tmp_path / "work" / "captions.jsonl").exists()
    assert stage(config, collected, tmp_path / "work").wait(120) == 0
    assert Work(tmp_path / "work").outputs() == annotated[0].outputs()
    every = [key for chunk in remembered(tmp_path / "answers") for key in chunk["answers"]]
    assert len(every) == len(set(every)) == 16  # answered once


def test_two_shards_at_once_are_as_one(
    collected: Artefact, annotated: tuple[Work, dict[str, Any]], tmp_path: Path
) -> None:
    config = configured(tmp_path / "answers")
    machines = [
        subprocess.Popen([sys.executable, "-c", SHARD, config.model_dump_json(), str(collected.path), shard])
        for shard in ("1", "2")
    ]
    assert [machine.wait(120) for machine in machines] == [0, 0]
    assert len(list((tmp_path / "answers").glob("*/*.jsonl"))) == 2
    assert sum(len(chunk["answers"]) for chunk in remembered(tmp_path / "answers")) == 16
    work = Work(tmp_path / "work")
    annotate.run(config, {"collect": collected}, work)
    assert work.outputs() == annotated[0].outputs()
    assert len(list((tmp_path / "answers").glob("*/*.jsonl"))) == 2  # nothing was asked again


def test_a_shard_that_is_at_work_is_refused(collected: Artefact, tmp_path: Path) -> None:
    config = configured(tmp_path)
    judge, asked = Judge(config.language, config.annotate), annotate.plan(config, collected).questions()
    with claimed(judge, asked, (1, 2)):
        with pytest.raises(UserError, match=rf"shard 1/2 .* is being answered: process {os.getpid()} on"):
            annotate.answer_shard(config, collected, (1, 2))
        with claimed(judge, asked, (2, 2)):
            pass
    with claimed(judge, asked, (1, 2)):
        pass


def test_no_question_is_asked_twice_by_any_run(
    collected: Artefact, annotated: tuple[Work, dict[str, Any]], answers: Path, tmp_path: Path
) -> None:
    """Another run, with another seed: other captions, of which those already judged are not asked again."""
    config = configured(answers, captions=12)
    config = config.model_copy(update={"run": config.run.model_copy(update={"seed": 1})})
    before = sum(len(chunk["answers"]) for chunk in remembered(answers))
    facts = annotate.run(config, {"collect": collected}, Work(tmp_path))
    asked = sum(len(chunk["answers"]) for chunk in remembered(answers)) - before
    assert 0 < asked < facts["questions"] == 24
    says = annotate.dry_run(config, collected)
    assert "questions      24, 24 of them answered already" in says
    assert "What happened: " in says


def test_a_line_cut_short_is_asked_again(
    collected: Artefact,
    annotated: tuple[Work, dict[str, Any]],
    answers: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = configured(tmp_path / "answers")
    asked = annotate.plan(config, collected).questions()
    keys = {question.key for question in asked}
    first_lines = {path: json.loads(whole_lines(path)[0]) for path in answers.glob("*/*.jsonl")}
    source = next(path for path, line in first_lines.items() if keys >= set(line["answers"]))
    whole = source.read_bytes()
    copy = tmp_path / "answers" / source.parent.name / source.name
    copy.parent.mkdir(parents=True)
    first, second, *_ = whole.split(b"\n")
    copy.write_bytes(first + b"\n" + second[:-9])
    with caplog.at_level("INFO", "maestromotif"):
        judge = Judge(config.language, config.annotate)
    assert f"{copy}:2: incomplete line" in caplog.text
    assert sum(judge.known(asked)) == 3
    judge.ask(asked)
    everything = Judge(config.language, config.annotate)
    np.testing.assert_array_equal(everything.logprobs(asked), judge.logprobs(asked))


def test_nonsense_is_counted_and_left_out(
    collected: Artefact, annotated: tuple[Work, dict[str, Any]], answers: Path, tmp_path: Path
) -> None:
    """With the bar between the best and the other answers, two or three of eight count as nonsense."""
    _, mass = odds_of(configured(answers), collected)
    bar = float(np.sort(mass)[2:4].mean())
    work = Work(tmp_path)
    facts = annotate.run(configured(answers, ("descender",), answer_mass=bar), {"collect": collected}, work)
    below = np.flatnonzero(mass < bar)
    assert facts["skills"]["descender"]["nonsense"] == len(below) == 3
    with np.load(tmp_path / "descender" / "preferences.npz") as file:
        assert len(file["first"]) == 5 * 4 / 2
        assert not np.isin(np.concatenate([file["first"], file["second"]]), below).any()
    assert not {row["id"] for row in lines(tmp_path / "descender" / "scores.jsonl")} & set(below.tolist())


def test_a_model_that_talks_nonsense_is_refused(collected: Artefact, answers: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"smollm2-135m-instruct: \d of 8 answers for the skill 'descender'"):
        annotate.run(configured(answers, answer_mass=1.0), {"collect": collected}, Work(tmp_path))
    assert not list(tmp_path.glob("*/preferences.npz"))


def test_pairwise_asks_in_both_orders(collected: Artefact, answers: Path, tmp_path: Path) -> None:
    """The small model mostly says 1; whether it says the same in both orders stands beside each pair."""
    pairwise = {"method": "pairwise", "captions": 5, "pairs": 4, "answer_mass": 0.01}
    config = configured(answers, ("descender",), **pairwise)
    facts = annotate.run(config, {"collect": collected}, Work(tmp_path))
    quality = json.loads((tmp_path / "descender" / "quality.json").read_text())
    assert facts["questions"] == 8
    assert quality["nonsense"] == 0
    odds, _ = odds_of(config, collected)
    odds = odds.reshape(4, 2)
    margin, consistent = (odds[:, 0] - odds[:, 1]) / 2, np.sign(odds[:, 0]) == -np.sign(odds[:, 1])
    consistent |= (np.abs(odds) < config.annotate.tie_margin).all(1)
    with np.load(tmp_path / "descender" / "preferences.npz") as file:
        np.testing.assert_allclose(file["margin"], margin, atol=1e-3)
        assert file["consistent"].tolist() == consistent.tolist()
        assert quality["ties"] == (consistent & (file["label"] == 0.5)).sum()
    assert quality["position_bias"] == (odds > 0).mean()
    assert quality["consistent"] == consistent.mean()


def test_two_wordings_tell_where_they_disagree(collected: Artefact, answers: Path, tmp_path: Path) -> None:
    settings = {"method": "reworded", "answer_mass": 0.001}
    config = configured(answers, ("descender",), **settings)
    facts = annotate.run(config, {"collect": collected}, Work(tmp_path))
    assert facts["questions"] == 2 * facts["captions"]
    odds, _ = odds_of(config, collected)
    yes_no, graded = odds.reshape(2, -1)
    told = np.flatnonzero(np.isfinite(graded))  # the small model does not always know the word "Bad"
    assert len(told) > 3
    score = {row["id"]: row["score"] for row in lines(tmp_path / "descender" / "scores.jsonl")}
    assert list(score) == told.tolist()
    np.testing.assert_allclose(list(score.values()), (yes_no + graded)[told] / 2, atol=1e-3)
    with np.load(tmp_path / "descender" / "preferences.npz") as file:
        first, second, consistent = file["first"], file["second"], file["consistent"]
        by_wording = np.array([one[first] - one[second] for one in (yes_no, graded)])
        np.testing.assert_allclose(file["margin"], by_wording.mean(0), atol=1e-3)
    agree = by_wording[0] * by_wording[1] > 0
    agree |= (np.abs(by_wording) < config.annotate.tie_margin).all(0)
    assert consistent.tolist() == agree.tolist()
    quality = json.loads((tmp_path / "descender" / "quality.json").read_text())
    assert quality["position_bias"] is None
    assert quality["consistent"] == round(agree.mean(), 4)


def test_written_reasons_end_with_a_decision() -> None:
    assert decision("It fell.\nAnswer: 2") == 2
    assert decision("Answer: 1 at first sight, but no.\n**Answer: None**") == 0
    assert decision("answer 1") == 1
    assert decision("**Answer:** Event 2.") == 2
    assert decision("ANSWER: NEITHER") == 0
    assert decision("Event 1 is better, I think") is None
    assert decision("") is None


@pytest.mark.parametrize("method", ["pointwise", "graded", "reworded", "pairwise", "reasoned"])
def test_pairs_from_outside_are_judged(answers: Path, tmp_path: Path, method: str) -> None:
    file = tmp_path / "pairs.jsonl"
    down, nothing = "The agent went down to a deeper level.", "Nothing changed."
    asked = [("descender", down, nothing), ("descender", nothing, down), ("Stand still.", down, nothing)]
    file.write_text("\n".join(json.dumps({"skill": s, "a": a, "b": b}) for s, a, b in asked) + "\n\n")
    config = configured(answers, method=method, answer_mass=0.001, thoughts=16)
    told = [json.loads(line) for line in judge_file(config, file)]
    assert len(told) == 3
    for line in told:
        assert set(line) == {"label", "margin", "consistent"}
        assert line["label"] in ({"a", "b", "tie", None} if method == "reasoned" else {"a", "b", "tie"})
    if method != "reasoned":
        assert told[0]["margin"] == -told[1]["margin"] != told[2]["margin"]


@pytest.mark.slow
def test_quality_on_the_gold_set_and_on_pairs_of_the_run(collected: Artefact, answers: Path) -> None:
    found = examine(configured(answers, ("descender",)), collected, again=True)
    figures = found["descender"]
    assert figures["pairs"] == 8 * 7 / 2
    assert figures["gold"]["report"]["decided"]["n"] > 20
    assert 0.5 < figures["repeat"]["share"] <= 1.0  # last bits depend on what is asked together
    assert "going up is bad" in figures["counterfactuals"]
    assert "| agrees with the gold set, report |" in markdown(found)
    alone = examine(configured(answers, ("descender",)), None)
    assert alone["descender"]["gold"] == figures["gold"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", r"pairs\.jsonl:2: not JSON: "),
        ("[1]", r":2: should be a JSON object with the fields skill, a, b"),
        ('{"skill": "descender", "a": "x"}', r":2: the field 'b' should be a text \(got None\)"),
        ('{"skill": "descender", "a": "x", "b": 3}', r":2: the field 'b' should be a text \(got 3\)"),
        ('{"skill": "s", "a": "x", "b": "y", "c": "z"}', r":2: unknown field 'c'"),
    ],
)
def test_a_mistake_in_a_line_is_named(answers: Path, tmp_path: Path, line: str, error: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"skill": "descender", "a": "x", "b": "y"}\n' + line + "\n")
    with pytest.raises(UserError, match=error):
        list(judge_file(configured(answers), file))


def test_too_little_to_compare(tmp_path: Path) -> None:
    Work(tmp_path / "collect").write_arrays(
        "observations.npz",
        messages=np.array([b""], "S256"),
        message_id=np.zeros(3, np.int32),
        changes=np.zeros((3, 4), np.int8),
        source=np.zeros(3, np.int8),
    )
    with pytest.raises(UserError, match=r"collect\.explorer_steps"):
        annotate.run(
            configured(tmp_path / "answers"),
            {"collect": Artefact(tmp_path / "collect", {})},
            Work(tmp_path / "annotate"),
        )


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 40), st.integers(0, 9))
def test_draw_is_stratified(kinds: list[int], count: int, seed: int) -> None:
    items = Items(
        messages=np.array([b"%d" % row for row in range(len(kinds))], "S256"),
        message_id=np.arange(len(kinds), dtype=np.int32),
        changes=np.array([CHANGES[kind] for kind in kinds], np.int8),
        count=np.arange(1, len(kinds) + 1),
    )
    drawn = draw(items, count, np.random.default_rng(seed))
    assert len(set(drawn.tolist())) == len(drawn) == min(count, len(kinds))
    share = [sum(kinds[item] == kind for item in drawn) for kind in range(5)]
    there = [kinds.count(kind) for kind in range(5)]
    turns = [1 + int(np.log10(max(all_of_it, 1))) for all_of_it in there]
    rounds = max(-(-got // turn) for got, turn in zip(share, turns, strict=True))
    # A kind with some left was drawn from in every round but the last.
    for got, all_of_it, turn in zip(share, there, turns, strict=True):
        assert got == all_of_it or got >= (rounds - 1) * turn
    assert np.array_equal(draw(items, count, np.random.default_rng(seed)), drawn)


def test_rare_events_are_drawn() -> None:
    """One sale among a hundred kills, and other words: with three of them to judge, it is one."""
    messages = [b"You kill the newt! %d" % row for row in range(100)]
    messages += [b"You sold a wand for 50 gold pieces.", b"The door opens."]
    rows = len(messages)
    items = Items(
        messages=np.array(messages, "S256"),
        message_id=np.arange(rows, dtype=np.int32),
        changes=np.zeros((rows, 4), np.int8),
        count=np.arange(rows, 0, -1),
    )
    drawn = draw(items, 3, np.random.default_rng(0)).tolist()
    assert {100, 101} <= set(drawn)


@given(st.integers(2, 20), st.integers(1, 300), st.integers(0, 9))
def test_pairs_are_distinct(captions: int, count: int, seed: int) -> None:
    pairs = draw_pairs(captions, count, np.random.default_rng(seed))
    assert pairs.shape == (min(count, captions * (captions - 1) // 2), 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len({frozenset(pair) for pair in pairs.tolist()}) == len(pairs)
    assert ((pairs >= 0) & (pairs < captions)).all()
