"""The gold set: the shipped files are complete and balanced; mistakes get clear messages."""

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestromotif.errors import UserError
from maestromotif.nethack.state import CHANGES
from maestromotif.quality import gold
from maestromotif.quality.gold import KINDS, PARTS, Side
from maestromotif.skill import load_all as load_skills

SKILLS = Path(__file__).parents[2] / "skills"
NAMES = ("discoverer", "descender", "ascender", "merchant", "worshipper")
ALL = tuple(CHANGES)


def line(**fields: Any) -> dict[str, Any]:
    return {
        "id": "walker-001",
        "a": {"message": "You stop waiting.", "changes": {}},
        "b": {"message": "", "changes": {"downstairs": "closer"}},
        "label": "b",
        "reason": "It comes closer.",
        "kind": "plain",
        "part": "tune",
    } | fields


def write(folder: Path, *lines: Any, skill: str = "walker") -> Path:
    path = gold.path_of(folder, skill)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def test_the_shipped_set_is_complete_and_balanced() -> None:
    sets = gold.load_all(SKILLS, NAMES)
    assert {skill.name for skill in load_skills(SKILLS, NAMES)} == set(sets)
    for pairs in sets.values():
        assert len(pairs) == 60
        for part, size, ties in (("tune", 20, 2), ("report", 40, 4)):
            labels = Counter(pair.label for pair in pairs if pair.part == part)
            assert labels == {"a": (size - ties) / 2, "b": (size - ties) / 2, "tie": ties}
            assert len({pair.captions(ALL) for pair in pairs if pair.part == part}) == size
        kinds = Counter((pair.kind, pair.part) for pair in pairs)
        assert {kind for kind, _ in kinds} == set(KINDS)
        assert all(2 * kinds[kind, "tune"] == kinds[kind, "report"] for kind in KINDS)


def test_pairs_that_can_be_decided_by_what_is_spoken_of() -> None:
    pairs = gold.load_all(SKILLS, NAMES)
    for skill in NAMES:
        assert gold.decidable(pairs[skill], ALL) == (pairs[skill], 0)
        kept, left_out = gold.decidable(pairs[skill], ("depth",))
        assert len(kept) + left_out == 60
        assert len(kept) >= 40
        assert all(len(set(pair.captions(("depth",)))) == 2 for pair in kept)
    kept, _ = gold.decidable(pairs["descender"], ())
    assert all(pair.a.changes == pair.b.changes for pair in kept)


def test_a_pair_knows_its_captions_and_its_target(tmp_path: Path) -> None:
    (pair,) = gold.load(write(tmp_path, line()))
    assert (pair.skill, pair.target, pair.where.rsplit(":")[-1]) == ("walker", 0.0, "1")
    assert pair.a.changes == (0,) * len(CHANGES)
    assert pair.b.changes[:4] == (0, 0, 2, 0)
    assert pair.captions(ALL)[1] == CHANGES["downstairs"].words[2]
    assert not pair.decidable(("depth",))  # the captions differ, but the label depends on the other change


def test_a_skill_without_gold_has_no_pairs(tmp_path: Path) -> None:
    write(tmp_path, line())
    assert {skill: len(pairs) for skill, pairs in gold.load_all(tmp_path, ["walker", "runner"]).items()} == {
        "walker": 1,
        "runner": 0,
    }


SIDE = line()["a"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lable": "a"}, "unknown field 'lable'; did you mean 'label'?"),
        ({"label": "c"}, "label: unknown label 'c'; known are a, b, tie"),
        ({"label": ["a"]}, "label: unknown label ['a']"),
        ({"kind": "hard"}, "kind: unknown kind 'hard'; known are plain, near-miss"),
        ({"kind": "tie"}, "kind: 'tie' with label 'b'; a tie needs 'tie' for both"),
        ({"part": "test"}, "part: unknown part 'test'; known are tune, report"),
        ({"id": "runner-001"}, "id: 'runner-001' must be the skill's name, '-' and digits"),
        ({"reason": " "}, "reason: empty; explain the label in one sentence"),
        ({"a": "You stop waiting."}, "a must be an object with message, changes"),
        ({"a": {"message": "x"}}, "a: 'changes' is missing"),
        ({"a": SIDE | {"message": 1}}, "a.message: must be text, got 1"),
        ({"a": SIDE | {"message": "x" * 256}}, "a.message: 256 bytes; the game's line holds at most 255"),
        ({"a": SIDE | {"message": "10 €"}}, "a.message: '€' is not Latin-1"),
        ({"a": SIDE | {"message": "x\0"}}, "a.message: a zero byte would end the game's line"),
        ({"a": SIDE | {"changes": {"depths": "deeper"}}}, "unknown change 'depths'; did you mean 'depth'?"),
        (
            {"a": SIDE | {"changes": {"depth": "down"}}},
            "a.changes.depth: unknown code 'down'; known are deeper, h",
        ),
        ({"a": SIDE | {"changes": {"depth": 1}}}, "a.changes.depth: unknown code 1"),
        ({"a": SIDE | {"changes": {"depth": "deeper", "explored": "new"}}}, "give 'depth' alone"),
        ({"a": SIDE | {"changes": []}}, "a.changes: must be an object such as"),
        ({"b": SIDE}, "a and b are the same"),
    ],
)
def test_what_is_wrong_in_a_line_is_said_with_its_place(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    path = write(tmp_path, line(), line(id="walker-002") | fields)
    with pytest.raises(UserError) as error:
        gold.load(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert said in str(error.value)


def test_what_is_wrong_between_lines_is_said(tmp_path: Path) -> None:
    write(tmp_path, line())
    other = line(id="walker-001", part="report")
    write(tmp_path, line(id="runner-001"), other | {"id": "runner-001"}, skill="runner")
    with pytest.raises(
        UserError, match=r"'runner-001' is already used at .*runner.jsonl:1; use each id"
    ) as error:
        gold.load_all(tmp_path, ["walker", "runner"])
    assert "runner.jsonl:2: message 'You stop waiting.' is in part 'report' here" in str(error.value)
    assert "walker.jsonl:1; use another message" in str(error.value)


def test_of_a_file_in_which_all_is_wrong_the_first_mistakes_are_said(tmp_path: Path) -> None:
    path = write(tmp_path, *[line() | {"label": "c"}] * 1000)
    with pytest.raises(UserError) as error:
        gold.load(path)
    first, *_, more, _, last = str(error.value).splitlines()
    assert (first, last) == (
        f"{path}:1: label: unknown label 'c'; known are a, b, tie",
        first.replace(":1:", ":1000:"),
    )
    assert more == "and 948 more lines like these"


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    for content, said in (
        (b"\xff", "not UTF-8"),
        (b"{", ":1: not JSON"),
        (b"[1]", "the line must be"),
        (b'\n{"id": 1, "id": 2}', ":2: 'id' is given twice"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=said):
            gold.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        gold.load(path.parent)


changes = st.one_of(
    st.fixed_dictionaries({"depth": st.sampled_from([*CHANGES["depth"].codes])}),
    st.fixed_dictionaries(
        {},
        optional={
            name: st.sampled_from([*change.codes]) for name, change in CHANGES.items() if name != "depth"
        },
    ),
)
sides = st.fixed_dictionaries(
    {
        "message": st.text(st.characters(codec="latin-1", exclude_characters="\0"), max_size=255),
        "changes": changes,
    }
)
lines = st.lists(
    st.builds(
        lambda a, b, label, kind, reason: line(
            a=a, b=b, label=label, kind="tie" if label == "tie" else kind, reason=reason
        ),
        sides,
        sides,
        st.sampled_from(["a", "b", "tie"]),
        st.sampled_from([kind for kind in KINDS if kind != "tie"]),
        st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
    ).filter(lambda one: one["a"] != one["b"]),
    max_size=4,
)


def told(side: Side) -> dict[str, str]:
    names = zip(ALL, side.changes, strict=True)
    return {name: CHANGES[name].names[code] for name, code in names if code}


@settings(deadline=None)
@given(lines, st.sampled_from(PARTS))
def test_every_right_file_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]], part: str
) -> None:
    for number, one in enumerate(written):
        one |= {"id": f"walker-{number}", "part": part}
    pairs = gold.load(write(tmp_path_factory.mktemp("gold"), *written))
    assert [pair.id for pair in pairs] == [one["id"] for one in written]
    for pair, one in zip(pairs, written, strict=True):
        assert (pair.a.message, pair.b.message) == (one["a"]["message"], one["b"]["message"])
        assert told(pair.a) == one["a"]["changes"]
        assert pair.captions(ALL) == pair.captions(tuple(reversed(ALL)))


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*line()]) | st.text(), inner),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_stands_in_a_file_is_read_or_said_to_be_wrong(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("gold") / "walker.jsonl"
    path.write_bytes(content)
    text = content.decode("utf-8-sig", errors="replace").strip(" \t\r\n")
    with pytest.raises(UserError) if text else nullcontext() as error:
        assert gold.load(path) == []
    assert error is None or str(error.value).startswith(f"{path}:")
