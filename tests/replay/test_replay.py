"""The cast gives back the screens it was made from; the page is right in a browser; bad input is refused."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import artefacts
import numpy as np
import pytest
from browser import CHROMIUM, Browser

from maestromotif.errors import UserError
from maestromotif.pipeline.store import Work
from maestromotif.replay import page
from maestromotif.replay.cast import STEPS_PER_SECOND, to_cast
from maestromotif.replay.replay import Call, Replay, about, arrays, calls_of, load, why

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
    made = artefacts.episode(STEPS, np.random.default_rng(0))
    skill = np.repeat([0, 2, 2, 1], 10).astype(np.int8)
    fields: dict[str, int | bool | str] = {"downstairs_seen": True, "depth": 1}
    readers = {"downstairs_seen": ["ascender starts"]}
    calls = [
        Call(start, start + 10, int(skill[start]), reason, fields, {"downstairs_seen": False}, readers)
        for start, reason in ((0, 0), (10, 1), (20, 2), (30, 0))
    ]
    return dataclasses.replace(
        made,
        skill=skill,
        calls=calls,
        reward=np.linspace(0, 1, STEPS, dtype=np.float32),
        messages=["</script><b>"] * (STEPS + 1),
        title="a <title> & more",
    )


def events(cast: str) -> tuple[dict[str, object], list[list[object]]]:
    header, *rest = (json.loads(line) for line in cast.splitlines())
    return header, rest


def test_cast_gives_back_every_screen(episode: Replay) -> None:
    header, rest = events(to_cast(episode))
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    terminal = Terminal(24, 80)
    outputs = [event for event in rest if event[1] == "o"]
    assert len(outputs) == STEPS + 1
    for step, (time, _, text) in enumerate(outputs):
        assert time == step / STEPS_PER_SECOND
        terminal.write(str(text))
        wanted = [bytes(row).replace(b"\0", b" ").decode("cp437") for row in episode.chars[step]]
        assert terminal.lines() == wanted
        assert (terminal.row, terminal.column) == tuple(episode.cursor[step].tolist())


def test_colours_are_the_games_and_black_is_seen(episode: Replay) -> None:
    terminal = Terminal(24, 80)
    terminal.write(str(events(to_cast(episode))[1][1][2]))
    assert terminal.colours[6][14] == "0;97"  # the staircase, bright white
    assert terminal.colours[9][34] == "0;33"  # a door, brown
    assert terminal.colours[10][20] == "0;91"  # bright red
    assert terminal.colours[11][30] == "0;90"  # NetHack's "no colour", dark grey and never black


def test_a_marker_at_every_switch(episode: Replay) -> None:
    _, rest = events(to_cast(episode, steps_per_second=10))
    markers = [(event[0], event[2]) for event in rest if event[1] == "m"]
    assert markers == [(0.0, "discoverer"), (1.0, "ascender"), (2.0, "ascender"), (3.0, "descender")]


def test_calls_and_why_they_began(episode: Replay) -> None:
    switched = np.zeros(STEPS, bool)
    switched[[0, 10, 20, 30]] = True
    assert calls_of(episode.skill.tolist(), switched.tolist()) == [
        (0, 10, 0), (10, 20, 2), (20, 30, 2), (30, 40, 1),
    ]  # fmt: skip
    assert calls_of([], []) == []
    assert [why(episode, number) for number in range(4)] == [
        "The episode began.",
        "discoverer ended itself: its own program says that it is done or out of time.",
        "The program over skills interrupted ascender.",
        "ascender ended; the reason was not recorded.",
    ]


def test_what_the_program_says_stands_beside_the_skill(episode: Replay, tmp_path: Path) -> None:
    calls = [
        dataclasses.replace(call, told="when <hungry>" if n else "") for n, call in enumerate(episode.calls)
    ]
    told = dataclasses.replace(episode, calls=calls)
    assert why(told, 0) == "The episode began."
    assert why(told, 2) == "The program over skills interrupted ascender. ascender was chosen: when <hungry>"
    assert [event[2] for event in events(to_cast(told))[1] if event[1] == "m"][2] == "ascender: when <hungry>"
    assert page.fragment([told]).count("<small>when &lt;hungry&gt;</small>") == 3
    write(told, tmp_path)
    assert load(tmp_path, "one").calls == calls
    rest = about(episode)
    for call in rest["calls"]:
        del call["told"]  # as in files from before there were reasons
    Work(tmp_path).write_json("one.json", rest)
    assert load(tmp_path, "one").calls == episode.calls


def test_gains_and_losses_are_apart(episode: Replay) -> None:
    reward = np.tile([0.5, -0.25], STEPS // 2).astype(np.float32)
    html = page.fragment([dataclasses.replace(episode, reward=reward)])
    assert html.count('<td class="right">2.50</td><td class="right">-1.25</td>') == 4  # of the calls
    assert html.count("<small>+5.00 −2.50</small>") == 1  # of the ascender, which was called twice
    assert html.count("<small>+10.00 −5.00</small>") == 1  # of all


def test_page_escapes_what_game_and_config_say(episode: Replay) -> None:
    hostile = '"><img src=x onerror=alert(1)></script><script>'
    shown = dataclasses.replace(
        episode, title=hostile, label=hostile, end=hostile, warning=hostile, skills=[hostile] * 3
    )
    html = page.page(shown, shown)
    assert "<img" not in html
    assert html.count("</script>") == html.count("<script") == 4  # two episodes, the player, ours
    assert html == page.page(shown, shown)


def test_an_episode_comes_back_from_its_files(episode: Replay, tmp_path: Path) -> None:
    write(episode, tmp_path)
    again = load(tmp_path, "one")
    for name, array in arrays(episode).items():
        np.testing.assert_array_equal(arrays(again)[name], array)
    assert about(again) == about(episode)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda found, rest: found.pop("hp"), "hp"),
        (lambda found, rest: found.update(skill=found["skill"][:-1]), "screens for 39 steps"),
        (lambda found, rest: found.update(skill=found["skill"] + 1), r"skill must lie in 0\.\.2"),
        (lambda found, rest: found.update(action=found["action"] + 200), "action must lie in"),
        (lambda found, rest: found.update(reward=found["reward"] * np.nan), "not finite"),
        (lambda found, rest: found.update(chars=found["chars"][:, :5]), "chars has the shape"),
        (lambda found, rest: rest.pop("calls"), "calls"),
        (lambda found, rest: rest["calls"].pop(), "cover all steps"),
        (lambda found, rest: rest["calls"][0].update(reason=9), "9 is not a valid CallEnd"),
        (lambda found, rest: rest["calls"][0].update(values=[]), "has no attribute"),
        (lambda found, rest: rest["calls"][0].update(readers={"depth": [1]}), "lists of texts"),
        (lambda found, rest: rest["calls"][0].update(values={"depth": [1]}), "numbers, booleans or texts"),
    ],
)
def test_damaged_files_are_refused_with_their_name(
    episode: Replay, damage: Any, message: str, tmp_path: Path
) -> None:
    found, rest = arrays(episode), json.loads(json.dumps(about(episode)))
    damage(found, rest)
    Work(tmp_path).write_arrays("one.npz", **found)
    Work(tmp_path).write_json("one.json", rest)
    with pytest.raises(UserError, match=rf"one\.npz.*{message}.*[Rr]un the stage 'evaluate' again"):
        load(tmp_path, "one")


def test_files_that_are_cut_off_or_missing_are_refused(episode: Replay, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"one\.npz: cannot be read"):
        load(tmp_path, "one")
    write(episode, tmp_path)
    whole = (tmp_path / "one.npz").read_bytes()
    for part in (b"", whole[: len(whole) // 2], b"\x93NUMPY"):
        (tmp_path / "one.npz").write_bytes(part)
        with pytest.raises(UserError, match=r"one\.npz"):
            load(tmp_path, "one")
    (tmp_path / "one.npz").write_bytes(whole)
    (tmp_path / "one.json").write_text("[]")
    with pytest.raises(UserError, match=r"one\.json"):
        load(tmp_path, "one")


def test_vendored_files_are_what_their_note_says() -> None:
    note = (page.ASSETS / "README.md").read_text()
    for name in ("asciinema-player.min.js", "asciinema-player.css"):
        row = next(line for line in note.splitlines() if line.startswith(f"| `{name}`"))
        assert hashlib.sha256((page.ASSETS / name).read_bytes()).hexdigest() in row
    assert "Apache License" in (page.ASSETS / "asciinema-player.LICENSE").read_text()


def write(episode: Replay, folder: Path) -> None:
    Work(folder).write_arrays("one.npz", **arrays(episode))
    Work(folder).write_json("one.json", about(episode))


# ---------------------------------------------------------------------------------------------- in a browser

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
SHOWN = "document.querySelector('.replay:not([hidden])')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def open_page(browser: Browser, path: Path, *shown: Replay, width: int = 1280, dark: bool = False) -> None:
    path.write_text(page.page(*shown), encoding="utf-8")
    browser.problems.clear()
    browser.requests.clear()
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
    )
    browser.dark(dark)
    browser.open(path)
    browser.wait_for("document.body?.dataset.ready === 'yes'")


def press(browser: Browser, key: str, shift: bool = False) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 if shift else 0)


def shows(browser: Browser, step: int) -> None:
    """Step and terminal agree: the handmade screens say their number as NetHack's turn."""
    browser.wait_for(f"{SHOWN}.dataset.step === '{step}'")
    browser.wait_for(rf"/T:{step}(?!\d)/.test({SHOWN}.querySelector('.screen').innerText)")
    assert browser.evaluate(f"{SHOWN}.querySelector('.where').innerText").startswith(f"step {step} of ")


def click(browser: Browser, share: float) -> None:
    """On the lanes, at this share of their width."""
    x, y = browser.evaluate(
        f"(() => {{ const c = {SHOWN}.querySelector('.seek canvas'); c.scrollIntoView({{block: 'center'}});"
        f" const b = c.getBoundingClientRect(); return [b.left + {share} * b.width + 1, b.top + 20]; }})()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_opens_from_disk_and_fits(browser: Browser, width: int, dark: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    long = dataclasses.replace(artefacts.episode(150, random), title="word" * 60, warning="w" * 300)
    long.messages[0] = "m" * 255
    long.calls[0].values["skill"] = "v" * 200
    open_page(browser, tmp_path / "page.html", long, artefacts.episode(60, random), width=width, dark=dark)
    shows(browser, 0)
    for tab in (0, 1):
        browser.evaluate(f"document.querySelectorAll('[role=tab]')[{tab}].click()")
        browser.wait_for(f"{SHOWN}.id === 'replay-{tab}' && {SHOWN}.dataset.step === '0'")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        # Nothing sticks out of the page, but for what scrolls in a box of its own.
        outside = browser.evaluate(
            "[...document.querySelectorAll('.replays *')].filter((one) => {"
            " const b = one.getBoundingClientRect();"
            " return b.width && !one.closest('.wide *, .scroll *, .ap-wrapper')"
            f" && (b.right > {width} + 0.5 || b.left < -0.5); }}).map((one) => one.outerHTML.slice(0, 80))"
        )
        assert outside == []
        # The terminal's 80 columns are visible, and the names of the lanes lie beside their lanes.
        assert browser.evaluate(
            f"(() => {{ const t = {SHOWN}.querySelector('.ap-term').getBoundingClientRect();"
            f" return t.left >= 0 && t.right <= {width} && t.width > 300; }})()"
        )
        lanes, height = browser.evaluate(
            f"[[...{SHOWN}.querySelectorAll('.lane')].map((one) => one.getBoundingClientRect().top"
            f" - {SHOWN}.querySelector('.seek canvas').getBoundingClientRect().top),"
            f" {SHOWN}.querySelector('.seek canvas').getBoundingClientRect().height]"
        )
        assert lanes == pytest.approx([40 * lane for lane in range(len(lanes))], abs=1.5)
        assert height == 40 * len(lanes) + 18
    colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(18, 20, 24)" if dark else "rgb(247, 247, 245)")
    assert browser.problems == []
    assert browser.requests == [(tmp_path / "page.html").as_uri()]


@needs_browser
def test_clicks_and_keys_seek(browser: Browser, tmp_path: Path) -> None:
    open_page(browser, tmp_path / "page.html", artefacts.episode(150, np.random.default_rng(0)))
    for share, step in ((0.9, 135), (0.1, 15), (0.5, 75)):
        click(browser, share)
        shows(browser, step)
    for key, shift, step in (
        ("ArrowRight", False, 76), ("ArrowRight", True, 86), ("ArrowLeft", True, 76),
        ("ArrowLeft", False, 75), ("]", False, 100), ("]", False, 125), ("[", False, 100),
        ("ArrowRight", False, 101), ("[", False, 100), ("End", False, 150), ("ArrowRight", False, 150),
        ("[", False, 125), ("Home", False, 0), ("[", False, 0),
    ):  # fmt: skip
        press(browser, key, shift)
        shows(browser, step)
    browser.evaluate("document.querySelectorAll('button[data-step]')[3].click()")
    shows(browser, 75)
    browser.evaluate("document.activeElement.blur(); document.querySelector('.speed').value = '64'")
    press(browser, " ")
    browser.wait_for(f"Number({SHOWN}.dataset.step) > 80")
    press(browser, " ")
    browser.wait_for(f"{SHOWN}.dataset.playing === 'no' && {SHOWN}.dataset.step === {SHOWN}.dataset.wanted")
    stopped = browser.evaluate(f"{SHOWN}.dataset.step")
    later = f"new Promise((done) => setTimeout(() => done({SHOWN}.dataset.step), 200))"
    assert browser.evaluate(later) == stopped
    press(browser, "End")
    shows(browser, 150)
    press(browser, " ")  # from the beginning
    browser.wait_for(f"Number({SHOWN}.dataset.step) < 100 && {SHOWN}.dataset.playing === 'yes'")
    press(browser, " ")
    assert browser.problems == []


@needs_browser
def test_it_says_why_it_switched(browser: Browser, episode: Replay, tmp_path: Path) -> None:
    open_page(browser, tmp_path / "page.html", episode)

    def told() -> tuple[str, str, list[list[str]]]:
        heading, says, rows = browser.evaluate(
            f"[{SHOWN}.querySelector('.why h4').innerText, {SHOWN}.querySelector('.why p').innerText,"
            f" [...{SHOWN}.querySelectorAll('.why tbody tr')].map((row) => [row.className,"
            " ...[...row.cells].map((cell) => (cell.querySelector('code') || cell).innerText)])]"
        )
        return " ".join(heading.split()), says, rows

    assert told()[0] == "Why did it begin with discoverer at step 0?"
    press(browser, "]")
    shows(browser, 10)
    assert told() == (
        "Why did it switch to ascender at step 10?",
        "discoverer ended itself: its own program says that it is done or out of time.",
        [["", "downstairs_seen", "False", "True"], ["same", "depth", "1", "1"]],
    )
    readers = f"[...{SHOWN}.querySelectorAll('.why small')].map((one) => one.innerText)"
    assert browser.evaluate(readers) == ["ascender starts", ""]
    press(browser, "End")
    shows(browser, 40)
    assert told()[1].endswith("The last call ended with the episode: death: killed by a <jackal>.")


@needs_browser
def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    hostile = "<img src=x onerror='document.title=1'></script><script>document.title = 1</script>\"&amp;"
    made = artefacts.episode(60, np.random.default_rng(0))
    made.messages[:] = [hostile] * len(made.messages)
    for call in made.calls:
        call.values["skill"] = hostile
    shown = dataclasses.replace(
        made, title=hostile, label=hostile, end=hostile, warning=hostile, skills=[hostile] * 3
    )
    open_page(browser, tmp_path / "page.html", shown, shown)
    for step in (25, 50):
        press(browser, "]")
        shows(browser, step)
    for css in (
        ".about b",
        ".warning",
        ".now .key",
        ".log span",
        ".why h4 .key",
        ".names .key",
        "[role=tab]",
    ):
        assert browser.evaluate(f"document.querySelector({css!r}).textContent") == hostile, css
    assert repr(hostile) in browser.evaluate(f"{SHOWN}.querySelector('.why tbody').textContent")
    assert browser.evaluate("document.querySelectorAll('.replays img').length") == 0
    assert browser.evaluate("document.title") == hostile
    assert browser.problems == []


@needs_browser
def test_an_episode_without_steps_says_so(browser: Browser, tmp_path: Path) -> None:
    none = dataclasses.replace(
        artefacts.episode(0, np.random.default_rng(0)), title="cut off at once", label="empty"
    )
    write(none, tmp_path)
    assert load(tmp_path, "one").steps == 0
    open_page(browser, tmp_path / "page.html", load(tmp_path, "one"))
    assert "This episode has no steps" in browser.evaluate("document.body.innerText")
    open_page(browser, tmp_path / "page.html", none, artefacts.episode(30, np.random.default_rng(0)))
    browser.evaluate("document.querySelectorAll('[role=tab]')[1].click()")
    shows(browser, 0)
    assert browser.problems == []
    open_page(browser, tmp_path / "page.html")
    assert "No episode was kept" in browser.evaluate("document.body.innerText")
    assert browser.problems == []
