"""The cast gives back the screens it was made from; the vendored player is the one that its note names."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import artefacts
import numpy as np
import pytest

from maestromotif.errors import UserError
from maestromotif.pipeline.store import Work
from maestromotif.replay import page as replay
from maestromotif.replay.page import Call, Replay

STEPS = 40
_SEQUENCE = re.compile(r"\x1b\[([\d;]*)([A-Za-z])|([^\x1b])", re.DOTALL)


class Terminal:
    """As much of an ANSI terminal as the casts use; raises on anything else."""

    def __init__(self, height: int, width: int) -> None:
        self.chars = [[" "] * width for _ in range(height)]
        self.colours = [["0"] * width for _ in range(height)]
        self.row = self.column = 0
        self.colour = "0"

    def write(self, text: str) -> None:
        position = 0
        while position < len(text):
            match = _SEQUENCE.match(text, position)
            assert match, repr(text[position:])
            position = match.end()
            arguments, command, char = match.groups()
            if char is not None:
                assert char.isprintable(), repr(char)
                self.chars[self.row][self.column] = char
                self.colours[self.row][self.column] = self.colour
                self.column += 1
            elif command == "H":
                self.row, self.column = (int(number) - 1 for number in arguments.split(";"))
            elif command == "m":
                self.colour = arguments
            elif command == "K":
                self.chars[self.row][self.column :] = [" "] * (len(self.chars[self.row]) - self.column)
            elif command == "J" and arguments == "2":
                self.chars = [[" "] * len(row) for row in self.chars]
            else:
                raise AssertionError(f"unknown sequence {match.group()!r}")

    def lines(self) -> list[str]:
        return ["".join(row) for row in self.chars]


@pytest.fixture
def episode() -> Replay:
    chars, colours, cursor = artefacts.screens(STEPS)
    return Replay(
        chars=chars,
        colours=colours,
        cursor=cursor,
        skill=np.repeat([0, 2, 0, 1], 10).astype(np.int8),
        reward=np.linspace(0, 1, STEPS, dtype=np.float32),
        depth=np.repeat([1, 2], 20).astype(np.int16),
        messages=["</script><b>"] * STEPS,
        skills=list(artefacts.SKILLS),
        title="a <title> & more",
    )


def events(cast: str) -> tuple[dict[str, object], list[list[object]]]:
    header, *rest = (json.loads(line) for line in cast.splitlines())
    return header, rest


def test_cast_gives_back_every_screen(episode: Replay) -> None:
    header, rest = events(replay.to_cast(episode))
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    terminal = Terminal(24, 80)
    outputs = [event for event in rest if event[1] == "o"]
    assert len(outputs) == STEPS
    for step, (time, _, text) in enumerate(outputs):
        assert time == step / replay.STEPS_PER_SECOND
        terminal.write(str(text))
        wanted = [bytes(row).replace(b"\0", b" ").decode("cp437") for row in episode.chars[step]]
        assert terminal.lines() == wanted
        assert (terminal.row, terminal.column) == tuple(episode.cursor[step].tolist())


def test_colours_are_the_games_and_black_is_seen(episode: Replay) -> None:
    terminal = Terminal(24, 80)
    terminal.write(str(events(replay.to_cast(episode))[1][1][2]))
    assert terminal.colours[6][14] == "0;97"  # the staircase, bright white
    assert terminal.colours[9][34] == "0;33"  # a door, brown
    assert terminal.colours[10][20] == "0;91"  # bright red
    assert terminal.colours[11][30] == "0;90"  # NetHack's "no colour", dark grey and never black


def test_a_marker_at_every_switch(episode: Replay) -> None:
    _, rest = events(replay.to_cast(episode, steps_per_second=10))
    markers = [(event[0], event[2]) for event in rest if event[1] == "m"]
    assert markers == [(0.0, "discoverer"), (1.0, "ascender"), (2.0, "discoverer"), (3.0, "descender")]


def test_calls_by_hand(episode: Replay) -> None:
    found = replay.calls(episode)
    assert [(call.start, call.stop, call.skill) for call in found] == [
        (0, 10, 0),
        (10, 20, 2),
        (20, 30, 0),
        (30, 40, 1),
    ]
    assert found[1] == Call(10, 20, 2, found[1].gained, 0.0, (1, 1))
    assert found[1].gained == pytest.approx(float(episode.reward[10:20].sum()))
    assert sum(call.gained for call in found) == pytest.approx(STEPS / 2)


def test_gains_and_losses_of_a_call_are_apart(episode: Replay) -> None:
    reward = np.tile([0.5, -0.25], STEPS // 2).astype(np.float32)
    changed = dataclasses.replace(episode, reward=reward)
    assert {(call.gained, call.lost) for call in replay.calls(changed)} == {(2.5, 1.25)}
    html = replay.fragment(changed)
    assert html.count("<td>2.50</td><td>-1.25</td>") == 4
    for css, text in (("gain", "gain (bar up)"), ("loss", "loss (bar down)")):
        assert f'<span class="key {css}"><i></i>{text}</span>' in html


def test_fragment_escapes_what_the_game_says(episode: Replay) -> None:
    html = replay.fragment(episode)
    assert "<b>" not in html.replace("<b></b>", "")  # the script's own template has an empty one
    assert html.count("</script>") == html.count("<script") == 3
    assert html == replay.fragment(episode)


def test_load_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"replay\.json"):
        replay.load(tmp_path)
    folder = artefacts.make(tmp_path)["evaluate"].path
    whole = replay.load(folder)
    assert whole.messages[4] == artefacts.MESSAGES[4].decode("latin-1")
    work = Work(folder)
    with np.load(folder / "replay.npz") as file:
        arrays = dict(file)
    work.write_arrays("replay.npz", **(arrays | {"skill": arrays["skill"][:-1]}))
    with pytest.raises(UserError, match="one row a step"):
        replay.load(folder)
    work.write_arrays("replay.npz", **(arrays | {"skill": arrays["skill"] + 1}))
    with pytest.raises(UserError, match=r"0\.\.2"):
        replay.load(folder)


def test_vendored_files_are_what_their_note_says() -> None:
    note = (replay.ASSETS / "README.md").read_text()
    for name in ("asciinema-player.min.js", "asciinema-player.css"):
        row = next(line for line in note.splitlines() if line.startswith(f"| `{name}`"))
        assert hashlib.sha256((replay.ASSETS / name).read_bytes()).hexdigest() in row
    assert "Apache License" in (replay.ASSETS / "asciinema-player.LICENSE").read_text()
