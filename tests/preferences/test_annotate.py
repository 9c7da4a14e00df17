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

from maestromotif.errors import UserError
from maestromotif.preferences import annotate
from maestromotif.preferences.annotate import draw, draw_pairs
from maestromotif.preferences.dataset import Items
from maestromotif.settings import AnnotateSettings, Config, LanguageSettings, TaskSettings
from maestromotif.store import Artefact, Work

SKILLS = ("descender", "ascender")
MESSAGES = [b"", b"You kill the newt!", b"The door opens.", b"You hit the jackal.", b"Ouch!  That hurts!"]
CHANGES = [(0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0), (0, 0, 3, 0)]
RUN = """
import sys
from pathlib import Path
from maestromotif.preferences import annotate
from maestromotif.settings import Config
from maestromotif.store import Artefact, Work
config = Config.model_validate_json(sys.argv[1])
annotate.run(config, {"collect": Artefact(Path(sys.argv[2]), {})}, Work(Path(sys.argv[3])))
"""


def configured(skills: tuple[str, ...] = SKILLS, **annotate_settings: Any) -> Config:
    settings = {"captions": 8, "chunk": 3, "changes": ("depth", "explored", "downstairs")} | annotate_settings
    return Config(
        skills=skills,
        skills_folder=str(Path(__file__).parent.parent / "skills"),
        language=LanguageSettings(model="smollm2-135m-instruct", threads=1),
        annotate=AnnotateSettings.model_validate(settings),
        task=TaskSettings(name="none", words="none", program="none", success=("depth >= 2",)),
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
def annotated(collected: Artefact, tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, dict[str, Any]]:
    work = Work(tmp_path_factory.mktemp("annotate"))
    return work, annotate.run(configured(), {"collect": collected}, work)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_the_manifest_is_told(annotated: tuple[Work, dict[str, Any]]) -> None:
    _, facts = annotated
    assert facts["model"] == "smollm2-135m-instruct"
    assert facts["licence"] == "Apache-2.0"
    assert (facts["captions"], facts["questions"], facts["items"]) == (8, 16, 25)
    assert facts["prompt_sha256"] == annotate.prompt_hash()
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


def test_killed_and_resumed_equals_unbroken(
    collected: Artefact, annotated: tuple[Work, dict[str, Any]], tmp_path: Path
) -> None:
    arguments = [
        sys.executable,
        "-c",
        RUN,
        configured().model_dump_json(),
        str(collected.path),
        str(tmp_path),
    ]
    stage = subprocess.Popen(arguments, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob(".scratch/*/[0-9]*.npy"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
    chunks = {path: path.stat().st_mtime_ns for path in tmp_path.glob(".scratch/*/[0-9]*.npy")}
    assert 2 <= len(chunks) < 6
    assert not (tmp_path / "captions.jsonl").exists()
    subprocess.run(arguments, check=True, timeout=120, stderr=subprocess.DEVNULL)
    assert Work(tmp_path).outputs() == annotated[0].outputs()
    assert {path: path.stat().st_mtime_ns for path in chunks} == chunks  # answered once


def test_nonsense_is_counted_and_left_out(
    collected: Artefact, annotated: tuple[Work, dict[str, Any]], tmp_path: Path
) -> None:
    """With the bar between the best and the other answers, two or three of eight count as nonsense."""
    answers = [np.load(path) for path in sorted(annotated[0].path.glob(".scratch/descender/*.npy"))]
    mass = np.exp(np.concatenate(answers)).sum(1)
    bar = float(np.sort(mass)[2:4].mean())
    work = Work(tmp_path)
    facts = annotate.run(configured(("descender",), answer_mass=bar), {"collect": collected}, work)
    below = np.flatnonzero(mass < bar)
    assert facts["skills"]["descender"]["nonsense"] == len(below) == 3
    with np.load(tmp_path / "descender" / "preferences.npz") as file:
        assert len(file["first"]) == 5 * 4 / 2
        assert not np.isin(np.concatenate([file["first"], file["second"]]), below).any()
    assert not {row["id"] for row in lines(tmp_path / "descender" / "scores.jsonl")} & set(below.tolist())


def test_a_model_that_talks_nonsense_is_refused(collected: Artefact, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"smollm2-135m-instruct: \d of 8 answers for the skill 'descender'"):
        annotate.run(configured(answer_mass=1.0), {"collect": collected}, Work(tmp_path))
    assert not list(tmp_path.glob("*/preferences.npz"))


def test_pairwise_asks_in_both_orders(collected: Artefact, tmp_path: Path) -> None:
    config = configured(("descender",), method="pairwise", captions=5, pairs=4, answer_mass=0.01)
    facts = annotate.run(config, {"collect": collected}, Work(tmp_path))
    quality = json.loads((tmp_path / "descender" / "quality.json").read_text())
    assert facts["questions"] == 8
    assert quality["nonsense"] == 0
    odds = np.concatenate([np.load(path) for path in sorted(tmp_path.glob(".scratch/descender/*.npy"))])
    odds = (odds[:, 0] - odds[:, 1]).reshape(4, 2)
    with np.load(tmp_path / "descender" / "preferences.npz") as file:
        np.testing.assert_allclose(file["margin"], (odds[:, 0] - odds[:, 1]) / 2, atol=1e-3)
    assert quality["position_bias"] == (odds > 0).mean()
    assert quality["consistent"] == (np.sign(odds[:, 0]) == -np.sign(odds[:, 1])).mean()


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
            configured(), {"collect": Artefact(tmp_path / "collect", {})}, Work(tmp_path / "annotate")
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
    fullest = max(share)
    # nobody has two more than another that has some left
    assert all(got >= fullest - 1 or got == all_of_it for got, all_of_it in zip(share, there, strict=True))
    assert np.array_equal(draw(items, count, np.random.default_rng(seed)), drawn)


@given(st.integers(2, 20), st.integers(1, 300), st.integers(0, 9))
def test_pairs_are_distinct(captions: int, count: int, seed: int) -> None:
    pairs = draw_pairs(captions, count, np.random.default_rng(seed))
    assert pairs.shape == (min(count, captions * (captions - 1) // 2), 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len({frozenset(pair) for pair in pairs.tolist()}) == len(pairs)
    assert ((pairs >= 0) & (pairs < captions)).all()
