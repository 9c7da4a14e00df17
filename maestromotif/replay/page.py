"""Replays as a piece of HTML, or as a page that opens from disk and loads nothing.

The terminal is asciinema-player. Beside it: skill, action, reward, depth, hit points and messages at each
step; below it a lane for each skill with its calls, gains and losses; and for each switch, why it happened.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from maestromotif.nethack.actions import NAMES
from maestromotif.nethack.state import FIELDS
from maestromotif.programs.sandbox import CallEnd
from maestromotif.replay import assets
from maestromotif.replay import replay as replays
from maestromotif.replay.cast import STEPS_PER_SECOND, to_cast
from maestromotif.replay.replay import Call, Replay, gains_and_losses

ASSETS = Path(assets.__file__).parent
PALETTE = 10  # colours in replay.css

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; "
    "img-src data:; font-src data:"
)
_KEYS = (
    ("←&thinsp;→", "a step"),
    ("shift ←&thinsp;→", "10 steps"),
    ("[&thinsp;]", "switches"),
    ("space", "play"),
    ("home&thinsp;end", "first, last"),
)


def page(*shown: Replay, title: str | None = None) -> str:
    """Replays as a whole HTML page. title: default: that of the first replay."""
    title = title or (shown[0].title if shown else "Replay")
    return Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<link rel="icon" href="data:,"><title>{title}</title><style>{style}</style></head>\n'
        '<body class="replay-page"><main class="alone">{heading}{fragment}</main></body></html>\n'
    ).format(
        policy=_POLICY,
        title=title,
        style=style(),
        heading=Markup("<h1>{}</h1>").format(title) if len(shown) != 1 else "",
        fragment=fragment(shown),
    )


def fragment(shown: Sequence[Replay]) -> Markup:
    """HTML of the replays, behind tabs if there are several, with their scripts; `style()` is its CSS.

    A page may hold one fragment.
    """
    tabs = Markup("")
    if len(shown) > 1:
        buttons = Markup("").join(
            Markup(
                '<button type="button" role="tab" id="replay-tab-{n}" aria-controls="replay-{n}" '
                'aria-selected="{chosen}" tabindex="{index}">{label}</button>'
            ).format(n=n, chosen="false" if n else "true", index=-1 if n else 0, label=one.label)
            for n, one in enumerate(shown)
        )
        tabs = Markup('<div class="tabs" role="tablist" aria-label="replays">{}</div>\n').format(buttons)
    panels = Markup("\n").join(_panel(one, n, len(shown) > 1) for n, one in enumerate(shown))
    if not shown:
        panels = Markup('<p class="empty">No episode was kept.</p>')
    return Markup(
        '<div class="replays">{tabs}{panels}</div>\n<script>{player}</script>\n<script>{script}</script>'
    ).format(
        tabs=tabs,
        panels=panels,
        player=Markup(_script("asciinema-player.min.js")),
        script=Markup(_script("replay.js")),
    )


def style() -> Markup:
    """The CSS of every page with a replay: the player's, and its own."""
    return Markup("\n").join(
        Markup((ASSETS / name).read_text(encoding="utf-8")) for name in ("asciinema-player.css", "replay.css")
    )


def colour(skill: int) -> str:
    """CSS class of a skill's colour."""
    return f"c{skill % PALETTE}"


# ------------------------------------------------------------------------------------------------ a replay


def _panel(replay: Replay, number: int, tabs: bool) -> Markup:
    return Markup(
        '<section class="replay" id="replay-{n}" {role}{hidden}>\n'
        '<p class="about"><b>{title}</b> <span>{end}</span></p>{warning}\n{body}</section>'
    ).format(
        n=number,
        role=Markup('role="tabpanel" aria-labelledby="replay-tab-{}"').format(number) if tabs else "",
        hidden=Markup(" hidden") if number else "",
        title=replay.title,
        end=_first_upper(replay.end),
        warning=Markup('<p class="warning" role="alert">{}</p>').format(replay.warning)
        if replay.warning
        else "",
        body=_body(replay)
        if replay.steps
        else Markup('<p class="empty">This episode has no steps: it ended before the first action.</p>\n'),
    )


def _body(replay: Replay) -> Markup:
    return Markup(
        '<div class="stage"><div class="screen"></div>\n'
        '<div class="side"><dl class="now"></dl><div><h4>Messages</h4><ol class="log"></ol></div></div>\n'
        '<div class="controls">{buttons}'
        '<label>speed <select class="speed">{speeds}</select></label>'
        '<output class="where"></output><span class="keys">{keys}</span></div>\n'
        '<div class="tracks"><div class="names">{names}</div>'
        '<div class="seek" role="slider" tabindex="0" aria-label="step of the episode" aria-valuemin="0" '
        'aria-valuemax="{steps}" aria-valuenow="0"><canvas></canvas></div></div>\n'
        '<div class="below"><div class="why"><h4></h4><p></p><div class="wide"><table class="numbers">'
        "<thead><tr><th>field, and what reads it</th>"
        "<th>at the start of the call before</th><th>just before the switch</th></tr></thead><tbody></tbody>"
        "</table></div></div>\n"
        "<details open><summary>{count} skill call{plural}</summary>{calls}</details></div></div>\n"
        '<script type="text/plain" class="data">{data}</script>\n'
    ).format(
        buttons=Markup("").join(
            Markup('<button type="button" data-do="{}" aria-label="{}" title="{}">{}</button>').format(
                name, says, says, _icon(name)
            )
            for name, says in (
                ("before", "previous switch ([)"),
                ("back", "a step back (←)"),
                ("play", "play or pause (space)"),
                ("on", "a step on (→)"),
                ("next", "next switch (])"),
            )
        ),
        speeds=Markup("").join(
            Markup('<option value="{}"{}>{} steps/s</option>').format(
                speed, Markup(" selected") if speed == STEPS_PER_SECOND else "", speed
            )
            for speed in (2, 4, STEPS_PER_SECOND, 16, 32, 64)
        ),
        keys=Markup(" ").join(
            Markup("<span><kbd>{}</kbd> {}</span>").format(Markup(key), says) for key, says in _KEYS
        ),
        names=_names(replay),
        steps=replay.steps,
        count=len(replay.calls),
        plural="" if len(replay.calls) == 1 else "s",
        calls=_calls(replay),
        data=packed(_data(replay)),
    )


def _icon(name: str) -> Markup:
    """Drawn, because many fonts lack these signs."""
    shapes = {
        "before": '<path d="M4 3v10M13 3 6 8l7 5z"/>',
        "back": '<path d="M11 3 4 8l7 5z"/>',
        "play": '<path class="start" d="m4 2 9 6-9 6z"/><path class="stop" d="M4 3h3v10H4zM9 3h3v10H9z"/>',
        "on": '<path d="m5 3 7 5-7 5z"/>',
        "next": '<path d="M12 3v10M3 3l7 5-7 5z"/>',
    }
    return Markup(f'<svg viewBox="0 0 16 16" aria-hidden="true">{shapes[name]}</svg>')


def _names(replay: Replay) -> Markup:
    """The names of the lanes, in the order in which the script draws them."""
    lanes = []
    for skill in _lanes(replay):
        gained, lost = gains_and_losses(replay.reward[replay.skill == skill])
        lanes.append(
            Markup('<div class="lane"><span class="key {}"><i></i>{}</span><small>{}</small></div>').format(
                colour(skill), replay.skills[skill], _sums(gained, lost)
            )
        )
    gained, lost = gains_and_losses(replay.reward)
    low, high = int(replay.depth.min()), int(replay.depth.max())
    lanes += [
        Markup('<div class="lane"><span>{}</span><small>{}</small></div>').format(name, says)
        for name, says in (
            ("total reward", _sums(gained, lost)),
            ("depth", str(low) if low == high else f"{low} to {high}"),
            ("hit points", f"of {int(replay.max_hp.max())}"),
        )
    ]
    return Markup("").join(lanes)


def _calls(replay: Replay) -> Markup:
    rows = []
    for number, call in enumerate(replay.calls):
        gained, lost = gains_and_losses(replay.reward[call.start : call.stop])
        first, last = int(replay.depth[call.start]), int(replay.depth[call.stop])
        rows.append(
            Markup(
                '<tr><td><button type="button" data-step="{}">{}</button></td>'
                '<td><span class="key {}"><i></i>{}</span>{}</td><td class="right">{}</td><td>{}</td>'
                '<td class="right">{:.2f}</td><td class="right">{:.2f}</td><td>{}</td></tr>'
            ).format(
                call.start,
                call.start,
                colour(call.skill),
                replay.skills[call.skill],
                Markup("<br><small>{}</small>").format(call.told) if call.told else "",
                call.stop - call.start,
                str(first) if first == last else f"{first} → {last}",
                gained,
                -lost if lost else 0.0,
                _because(replay, number),
            )
        )
    heads = ("from step", "skill", "steps", "depth", "gains", "losses", "the call before")
    right = ("steps", "gains", "losses")
    return Markup(
        '<div class="scroll"><table class="numbers"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(
        Markup("").join(
            Markup("<th{}>{}</th>").format(Markup(' class="right"') if head in right else "", head)
            for head in heads
        ),
        Markup("\n").join(rows),
    )


def _because(replay: Replay, number: int) -> str:
    """How the call before ended, in few words; `replays.why` has the sentence."""
    if number == 0:
        return "none"
    words = {CallEnd.SKILL: "ended itself", CallEnd.PROGRAM: "was interrupted", CallEnd.EPISODE: "was over"}
    return words.get(CallEnd(replay.calls[number].reason), "ended")


def _data(replay: Replay) -> dict[str, Any]:
    """What the script needs."""
    fields = dict.fromkeys(name for call in replay.calls for name in call.values)
    return {
        "stepsPerSecond": STEPS_PER_SECOND,
        "skills": replay.skills,
        "colours": [colour(skill) for skill in range(len(replay.skills))],
        "lanes": _lanes(replay),
        "actions": list(NAMES),
        "calls": [_call(replay, number, call) for number, call in enumerate(replay.calls)],
        "fields": {name: FIELDS[name].doc for name in fields if name in FIELDS},
        "action": replay.action.tolist(),
        "reward": [round(value, 4) for value in replay.reward.tolist()],
        "depth": replay.depth.tolist(),
        "hp": replay.hp.tolist(),
        "maxHp": replay.max_hp.tolist(),
        "messages": replay.messages,
        "end": replay.end,
        "cast": to_cast(replay),
    }


def _call(replay: Replay, number: int, call: Call) -> dict[str, Any]:
    return {
        "start": call.start,
        "stop": call.stop,
        "skill": call.skill,
        "why": replays.why(replay, number),
        "fields": [
            [
                name,
                _shown(value),
                _shown(call.before[name]) if name in call.before else None,
                ", ".join(call.readers.get(name, ())),
            ]
            for name, value in call.values.items()
        ],
    }


def _lanes(replay: Replay) -> list[int]:
    """The skills that act in this episode."""
    return [int(skill) for skill in np.unique(replay.skill)]


def _shown(value: int | bool | str) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _sums(gained: float, lost: float) -> str:
    return f"+{gained:.2f}" + (f" −{lost:.2f}" if lost else "")


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def packed(data: object) -> str:
    """JSON, compressed, as base64: no text of the game can close the <script> element that holds it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode("ascii")


def _script(name: str) -> str:
    text = (ASSETS / name).read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
