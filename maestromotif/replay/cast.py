"""An episode's screens as an asciicast v2, which any asciicast player plays.

The cast (https://docs.asciinema.org/manual/asciicast/v2/) holds one output event a frame, which redraws the
rows that changed, and a marker wherever a skill's call begins.
"""

import json

from maestromotif.nethack.terminal import draw
from maestromotif.replay.replay import Replay

STEPS_PER_SECOND = 8


def to_cast(replay: Replay, steps_per_second: int = STEPS_PER_SECOND) -> str:
    """An asciicast v2, as pure ASCII; frame t is drawn at t / steps_per_second seconds."""
    height, width = replay.chars.shape[1:]
    header = {"version": 2, "width": width, "height": height, "title": replay.title}
    events = [json.dumps(header)]
    switches = {
        call.start: replay.skills[call.skill] + (f": {call.told}" if call.told else "")
        for call in replay.calls
    }
    screens, before = list(zip(replay.chars, replay.colours, strict=True)), None
    for step in range(len(replay.chars)):
        time = round(step / steps_per_second, 4)
        if step in switches:
            events.append(json.dumps([time, "m", switches[step]]))
        events.append(json.dumps([time, "o", draw(*screens[step], replay.cursor[step], before)]))
        before = screens[step]
    return "\n".join(events) + "\n"
