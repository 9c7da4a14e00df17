"""An episode's screens as an asciicast v2, which any asciicast player plays.

The cast (https://docs.asciinema.org/manual/asciicast/v2/) holds one output event a frame, which redraws the
rows that changed, and a marker wherever a skill's call begins.
"""

import json

import numpy as np

from maestromotif.replay.replay import Replay

STEPS_PER_SECOND = 8

# NetHack's terminal is code page 437; control characters draw nothing.
_GLYPHS = [" " if code < 32 or code == 127 else bytes([code]).decode("cp437") for code in range(256)]


def to_cast(replay: Replay, steps_per_second: int = STEPS_PER_SECOND) -> str:
    """An asciicast v2, as pure ASCII; frame t is drawn at t / steps_per_second seconds."""
    height, width = replay.chars.shape[1:]
    header = {"version": 2, "width": width, "height": height, "title": replay.title}
    events = [json.dumps(header)]
    switches = {call.start: replay.skills[call.skill] for call in replay.calls}
    for step in range(len(replay.chars)):
        time = round(step / steps_per_second, 4)
        if step in switches:
            events.append(json.dumps([time, "m", switches[step]]))
        events.append(json.dumps([time, "o", _draw(replay, step)]))
    return "\n".join(events) + "\n"


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
