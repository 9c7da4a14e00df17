"""An episode's screens as an asciicast, and as a piece of HTML in which they play beside the running skill.

The cast (asciicast v2: https://docs.asciinema.org/manual/asciicast/v2/) holds one output event an environment
step, which redraws the rows that changed, and a marker wherever another skill takes over. Any asciicast
player plays it. The HTML adds what a terminal cannot show: which skill acted, its gains and losses, the
depth, the message.
"""

import base64
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from maestromotif.errors import UserError
from maestromotif.replay.record import REPLAY, REPLAY_ABOUT

STEPS_PER_SECOND = 8
ASSETS = Path(__file__).parent / "assets"

# NetHack's terminal is code page 437; control characters draw nothing.
_GLYPHS = [" " if code < 32 or code == 127 else bytes([code]).decode("cp437") for code in range(256)]


@dataclass(frozen=True)
class Replay:
    """One episode; t is the environment step, T of them."""

    chars: np.ndarray  # uint8 [T, 24, 80]
    colours: np.ndarray  # int8 [T, 24, 80], NetHack's 16 colours
    cursor: np.ndarray  # uint8 [T, 2], row and column
    skill: np.ndarray  # int8 [T], index into `skills`
    reward: np.ndarray  # float32 [T]
    depth: np.ndarray  # int16 [T]
    messages: list[str]  # T
    skills: list[str]
    title: str


@dataclass(frozen=True)
class Call:
    """Consecutive steps [start, stop) of one skill."""

    start: int
    stop: int
    skill: int
    gained: float  # sum of the rewards above 0
    lost: float  # sum of the rewards below 0, without its sign
    depths: tuple[int, int]  # at the first and the last step


def load(folder: Path) -> Replay:
    """Reads `replay.npz` and `replay.json` of an evaluate artefact. Raises UserError."""
    path = folder / REPLAY
    names = ("tty_chars", "tty_colors", "tty_cursor", "skill", "reward", "depth", "message")
    try:
        about = json.loads((folder / REPLAY_ABOUT).read_text(encoding="utf-8"))
        with np.load(path) as arrays:
            chars, colours, cursor, skill, reward, depth, message = (arrays[name] for name in names)
        skills = [str(name) for name in about["skills"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder}: replay.npz or replay.json cannot be read ({error}); they hold the arrays "
            f"{', '.join(names)} and the list 'skills'. Run the stage 'evaluate' again."
        ) from error
    steps = len(chars)
    if steps == 0 or any(len(other) != steps for other in (colours, cursor, skill, reward, depth, message)):
        raise UserError(f"{path}: its arrays must have one row a step each, and at least one")
    if skill.min() < 0 or skill.max() >= len(skills):
        raise UserError(
            f"{path}: skill indexes must lie in 0..{len(skills) - 1}, as replay.json names {len(skills)}"
        )
    return Replay(
        chars=chars,
        colours=colours,
        cursor=cursor,
        skill=skill.astype(np.int8),
        reward=reward.astype(np.float32),
        depth=depth.astype(np.int16),
        messages=[bytes(text).rstrip(b"\0").decode("latin-1") for text in message.tolist()],
        skills=skills,
        title=str(about.get("title", "Replay")),
    )


def calls(replay: Replay) -> list[Call]:
    """The episode cut where the skill changes."""
    cuts = [0, *(np.flatnonzero(np.diff(replay.skill)) + 1).tolist(), len(replay.skill)]
    return [
        Call(
            start=start,
            stop=stop,
            skill=int(replay.skill[start]),
            gained=float(np.maximum(replay.reward[start:stop], 0).sum(dtype=np.float64)),
            lost=float(np.maximum(-replay.reward[start:stop], 0).sum(dtype=np.float64)),
            depths=(int(replay.depth[start]), int(replay.depth[stop - 1])),
        )
        for start, stop in itertools.pairwise(cuts)
    ]


def to_cast(replay: Replay, steps_per_second: int = STEPS_PER_SECOND) -> str:
    """An asciicast v2, as pure ASCII; step t is drawn at t / steps_per_second seconds."""
    height, width = replay.chars.shape[1:]
    header = {"version": 2, "width": width, "height": height, "title": replay.title}
    events = [json.dumps(header)]
    switches = {call.start: replay.skills[call.skill] for call in calls(replay)}
    for step in range(len(replay.chars)):
        time = round(step / steps_per_second, 4)
        if step in switches:
            events.append(json.dumps([time, "m", switches[step]]))
        events.append(json.dumps([time, "o", _draw(replay, step)]))
    return "\n".join(events) + "\n"


def fragment(replay: Replay, steps_per_second: int = STEPS_PER_SECOND) -> Markup:
    """HTML with player, skill band, reward and depth lines, data and scripts; `style()` is its CSS."""
    data = {
        "stepsPerSecond": steps_per_second,
        "skills": replay.skills,
        "colours": [colour(index) for index in range(len(replay.skills))],
        "skill": replay.skill.tolist(),
        "reward": [round(value, 4) for value in replay.reward.tolist()],
        "depth": replay.depth.tolist(),
        "messages": replay.messages,
        "cast": base64.b64encode(to_cast(replay, steps_per_second).encode("ascii")).decode("ascii"),
    }
    rows = [
        Markup(
            '<tr><td><button type="button" data-step="{}">{}</button></td>'
            '<td><span class="key {}"><i></i>{}</span></td><td>{}</td><td>{}</td>'
            "<td>{:.2f}</td><td>{:.2f}</td></tr>"
        ).format(
            call.start,
            call.start,
            colour(call.skill),
            replay.skills[call.skill],
            call.stop - call.start,
            str(call.depths[0])
            if call.depths[0] == call.depths[1]
            else f"{call.depths[0]} → {call.depths[1]}",
            call.gained,
            -call.lost if call.lost else 0.0,
        )
        for call in calls(replay)
    ]
    return Markup(
        '<div class="replay" id="replay"><div class="screen"></div>\n'
        '<p class="now" aria-live="off"></p>\n'
        '<div class="tracks"><div class="names"><span>skill</span><span>reward</span><span>depth</span></div>'
        '<canvas role="img" aria-label="skill, gains, losses and depth over the steps"></canvas></div>\n'
        "{legend}\n"
        "<details><summary>{count} skill calls; click a step to go there</summary>"
        '<div class="scroll"><table class="numbers"><thead><tr><th>from step</th><th>skill</th><th>steps</th>'
        "<th>depth</th><th>gains</th><th>losses</th></tr></thead><tbody>{rows}</tbody></table></div></details></div>\n"
        '<script type="application/json" id="replay-data">{data}</script>\n'
        "<script>{player}</script>\n<script>{script}</script>"
    ).format(
        legend=_legend(
            [
                *((name, colour(index)) for index, name in enumerate(replay.skills)),
                ("gain (bar up)", "gain"),
                ("loss (bar down)", "loss"),
            ]
        ),
        count=len(rows),
        rows=Markup("\n").join(rows),
        data=script_json(data),
        player=Markup(_script("asciinema-player.min.js")),
        script=Markup(_script("replay.js")),
    )


def page(replay: Replay) -> str:
    """The replay alone, as a whole HTML page that loads nothing."""
    return Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        "<title>{title}</title><style>{style}</style></head>\n"
        '<body><main class="alone"><h3>{title}</h3>{fragment}</main></body></html>\n'
    ).format(title=replay.title, style=style(), fragment=fragment(replay))


def style() -> Markup:
    """The CSS of every page with a replay: the player's, and its own."""
    return Markup("\n").join(
        Markup((ASSETS / name).read_text(encoding="utf-8")) for name in ("asciinema-player.css", "replay.css")
    )


def colour(skill: int) -> str:
    """CSS class of a skill's colour."""
    return f"c{skill % 10}"


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """(name, CSS class) pairs as a row of swatches."""
    keys = Markup("").join(
        Markup('<span class="key {}"><i></i>{}</span>').format(css, name) for name, css in entries
    )
    return Markup('<p class="legend">{}</p>').format(keys)


def script_json(data: object) -> Markup:
    """JSON that may stand inside a <script> element: no text of the game can close it or open a comment."""
    return Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026"))


def _script(name: str) -> str:
    text = (ASSETS / name).read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _draw(replay: Replay, step: int) -> str:
    """Escape sequences that turn the screen of the step before into this one. The first clears the screen."""
    chars, colours = replay.chars[step], replay.colours[step]
    out = []
    if step == 0:
        changed = list(range(len(chars)))
        out.append("\x1b[2J")
    else:
        before = (chars != replay.chars[step - 1]) | (colours != replay.colours[step - 1])
        changed = np.flatnonzero(before.any(axis=1)).tolist()
    for row in changed:
        out.append(f"\x1b[{row + 1};1H{_row(chars[row], colours[row])}\x1b[0m\x1b[K")
    row, column = replay.cursor[step].tolist()
    out.append(f"\x1b[{row + 1};{column + 1}H")
    return "".join(out)


def _row(chars: np.ndarray, colours: np.ndarray) -> str:
    out, last = [], None
    for char, colour in zip(chars.tolist(), colours.tolist(), strict=True):
        if colour != last:
            out.append(_colour(colour))
            last = colour
        out.append(_GLYPHS[char])
    return "".join(out).rstrip()


def _colour(colour: int) -> str:
    # NetHack's colour 0 is black, which on black cannot be seen: terminals draw it dark grey, and so do we.
    if colour & 7 == 0:
        return "\x1b[0;90m"
    return f"\x1b[0;{(90 if colour & 8 else 30) + (colour & 7)}m"
