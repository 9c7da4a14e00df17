"""The tables of GameState and of changes: complete, and as the rest of the package expects them."""

from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.state import CHANGES, FIELDS, FIRST_COLUMNS, NUM_CODES, SKILL_FIELDS


def test_every_field_is_documented_and_counts_events_that_there_are() -> None:
    for field in FIELDS.values():
        assert field.type in (int, bool, str)
        assert field.doc.endswith(".")
        assert "\n" not in field.doc  # it is a comment in the type stubs
        assert field.source
        assert {*field.events} <= {*EVENTS}
    assert SKILL_FIELDS == ("skill", "skill_steps", "skill_turns", "skill_start_depth")


def test_codes_of_changes() -> None:
    assert NUM_CODES[:FIRST_COLUMNS] == (3, 2, 4, 4)  # reward models on disk have these inputs
    assert CHANGES["depth"].codes == {"deeper": 1, "higher": 2}
    assert CHANGES["downstairs"].codes == CHANGES["upstairs"].codes == {"seen": 1, "closer": 2, "reached": 3}
    for change in CHANGES.values():
        assert change.doc.endswith(".")
        assert change.words[0] == change.names[0] == ""
        assert len({*change.words}) == len(change.words) == len(change.names) == len(change.codes) + 1
        assert all(change.names[code] == name for name, code in change.codes.items())
