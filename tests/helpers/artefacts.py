"""Small artefacts of every stage, in the formats that the stages write, for tests of what reads them.

The numbers are invented but consistent; the texts hold what could break a page: quotes, tags, code page 437.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.config.schema import Config, EvaluateSettings, RunSettings
from maestromotif.pipeline.store import Artefact, Work
from maestromotif.replay import replay

SKILLS = ("discoverer", "descender", "ascender")
DESCRIPTIONS = {
    "discoverer": "The agent should see as much of this level as it can. It likes new rooms & corridors.",
    "descender": "The agent should go down the stairs to a deeper dungeon level, urgently.",
    "ascender": 'The agent should climb "back" up <b>towards</b> the surface.',
}
MESSAGES = [
    b"",
    b"It's a wall.",
    b"You see here a staircase down.",
    b"There is a staircase up here.",
    b'"Hello, agent!" <script>alert(1)</script> </script>',
    b"You kill the newt!",
    b"The jackal bites!",
    b"You can't go down here.",
    b"You find a caf\xe9 \xa2 5 zorkmids.",
    b"This door is locked.",
]
AGENTS = {"trained": (0.72, 2.1), "untrained": (0.14, 1.2), "random": (0.02, 1.0)}
PROGRAM = '''# Written by qwen2.5-coder-1.5b-instruct (Apache-2.0), 2026-01-01, prompt sha256 0123abcd.
# Task: down and back.
class Program:
    """Goes down once, then up."""

    def select(self, state):
        if state.depth >= 2 and not state.upstairs_seen:
            return "ascender"  # a < b & c
        return "descender" if state.downstairs_seen else "discoverer"
'''


def config(root: Path, **changes: Any) -> Config:
    """The config that the artefacts below belong to."""
    return Config(
        run=RunSettings(name="handmade", root=str(root)),
        skills=SKILLS,
        tasks=("down_and_back",),
        evaluate=EvaluateSettings(episodes=64),
    ).model_copy(update=changes)


def make(root: Path, seed: int = 0) -> dict[str, Artefact]:
    """Writes the artefacts of all stages below `root`; the same seed gives the same files."""
    random = np.random.default_rng(seed)
    parts = {
        "collect": _collect(Work(root / "collect"), random),
        "annotate": _annotate(Work(root / "annotate"), random),
        "quality": _quality(Work(root / "quality")),
        "curate": _curate(Work(root / "curate")),
        "distil": _distil(Work(root / "distil"), random),
        "soup": _soup(Work(root / "soup")),
        "gate": _gate(Work(root / "gate")),
        "train": _train(Work(root / "train"), random),
        "compose": _compose(Work(root / "compose")),
        "evaluate": _evaluate(Work(root / "evaluate"), random),
    }
    return {stage: _finished(work, stage, facts) for stage, (work, facts) in parts.items()}


def screens(steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """tty_chars uint8, tty_colors int8 [T, 24, 80] and tty_cursor uint8 [T, 2]: a walk through two rooms."""
    chars = np.full((steps, 24, 80), ord(" "), np.uint8)
    colours = np.zeros((steps, 24, 80), np.int8)
    cursor = np.zeros((steps, 2), np.uint8)
    for step in range(steps):
        screen, colour = chars[step], colours[step]
        for top, left, bottom, right in ((4, 10, 12, 34), (7, 48, 16, 70)):
            screen[top : bottom + 1, left : right + 1] = ord("|")
            screen[[top, bottom], left : right + 1] = ord("-")
            screen[top + 1 : bottom, left + 1 : right] = ord(".")
            colour[top : bottom + 1, left : right + 1] = 7
        screen[9, 35:48] = ord("#")
        colour[9, 35:48] = 7
        screen[9, 34] = screen[9, 48] = ord("+")
        colour[9, 34] = colour[9, 48] = 3
        screen[6, 14], screen[14, 66] = ord("<"), ord(">")
        colour[6, 14], colour[14, 66] = 15, 15
        row, column = 9, 12 + step % 50
        screen[row, column] = ord("@")
        colour[row, column] = 15
        cursor[step] = row, column
        screen[10, 20], colour[10, 20] = 0x82, 9  # an e with an accent in code page 437
        if step % 3 == 0:
            screen[11, 30], colour[11, 30] = ord("d"), 8
        message = MESSAGES[step % len(MESSAGES)][:80]
        screen[0, : len(message)] = np.frombuffer(message, np.uint8)
        colour[0, : len(message)] = 7
        status = f"Dlvl:{1 + step // 60}  $:0  HP:14(14) Pw:2(2) AC:7  Xp:1/0 T:{step}".encode()
        screen[23, : len(status)] = np.frombuffer(status, np.uint8)
        colour[23, : len(status)] = 7
    return chars, colours, cursor


def episode(steps: int, random: np.random.Generator, label: str = "success") -> replay.Replay:
    """An invented episode: calls of 25 steps, three skills in turn, and texts that could break a page."""
    chars, colours, cursor = screens(steps + 1)
    fields: dict[str, int | bool | str] = {
        "depth": 2,
        "downstairs_seen": True,
        "skill": '<b>"x"</b>',
        "turn": 7,
    }
    return replay.Replay(
        chars=chars,
        colours=colours,
        cursor=cursor,
        depth=(1 + np.arange(steps + 1) // 60).astype(np.int16),
        hp=(14 - np.arange(steps + 1) // 20).astype(np.int16),
        max_hp=np.full(steps + 1, 14, np.int16),
        messages=[MESSAGES[step % len(MESSAGES)].decode("latin-1") for step in range(steps + 1)],
        action=(np.arange(steps) % 8).astype(np.uint8),
        skill=(np.arange(steps) // 25 % 3).astype(np.int8),
        reward=np.where(random.random(steps) < 0.2, random.random(steps) - 0.3, 0).astype(np.float32),
        calls=[
            replay.Call(
                start,
                min(start + 25, steps),
                start // 25 % 3,
                start // 25 % 3,
                dict(fields),
                {"depth": 1},
                {"depth": ["program chooses"]},
            )
            for start in range(0, steps, 25)
        ],
        skills=list(SKILLS),
        title="Trained agent: an episode <at> last & more",
        label=label,
        end="death: killed by a <jackal>",
    )


def _finished(work: Work, stage: str, facts: dict[str, Any]) -> Artefact:
    manifest = {"stage": stage, "outputs": work.outputs(), "facts": facts}
    (work.path / "manifest.json").write_text(json.dumps(manifest))
    return Artefact(work.path, manifest)


def _jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _collect(work: Work, random: np.random.Generator) -> tuple[Work, dict[str, Any]]:
    steps, by_explorer = 2_000, 1_500
    message_id = random.choice(len(MESSAGES), steps, p=[0.55] + [0.05] * 9).astype(np.int32)
    changes = (random.random((steps, 4)) < [0.02, 0.3, 0.05, 0.05]).astype(np.int8)
    work.write_arrays(
        "observations.npz",
        messages=np.array(MESSAGES, "S256"),
        message_id=message_id,
        changes=changes,
        source=(np.arange(steps) >= by_explorer).astype(np.int8),
    )
    episodes = [
        {"source": source, "steps": 100, "deepest": int(1 + random.poisson(mean)), "end": end}
        for source, count, mean in (("explorer", 15, 1.6), ("random", 5, 0.1))
        for end in random.choice(["death", "truncated"], count, p=[0.3, 0.7]).tolist()
    ]
    work.write_json("episodes.json", episodes)
    return work, {"steps": steps}


def _annotate(work: Work, random: np.random.Generator) -> tuple[Work, dict[str, Any]]:
    captions = [
        {
            "id": index,
            "message": message.decode("latin-1"),
            "changes": [index % 3, 0, 0, 0],
            "count": 7,
            "caption": f"{['The level is the same', 'Went deeper', 'Went up'][index % 3]}. "
            f"Message: {message.decode('latin-1')}",
        }
        for index, message in enumerate(MESSAGES * 3)
    ]
    work.write_text("captions.jsonl", _jsonl(captions))
    for number, skill in enumerate(SKILLS):
        wanted = np.where(np.arange(len(captions)) % 3 == number, 3.0, 0.0) + random.normal(
            size=len(captions)
        )
        scores = [
            {"id": index, "yes": -0.7, "no": round(-0.7 - score, 4), "score": round(score, 4)}
            for index, score in enumerate(wanted.tolist())
        ]
        first = random.integers(len(captions), size=300).astype(np.int32)
        second = ((first + 1 + random.integers(len(captions) - 1, size=300)) % len(captions)).astype(np.int32)
        margin = (wanted[first] - wanted[second]).astype(np.float32)
        label = np.where(np.abs(margin) < 0.1, 0.5, margin > 0).astype(np.float32)
        work.write_text(f"{skill}/scores.jsonl", _jsonl(scores))
        work.write_arrays(
            f"{skill}/preferences.npz",
            first=first,
            second=second,
            label=label,
            margin=margin,
            consistent=np.ones(300, bool),
        )
        work.write_json(
            f"{skill}/quality.json",
            {"questions": 30, "pairs": 300, "ties": int((label == 0.5).sum()), "nonsense": number,
             "answer_mass": 0.97, "position_bias": None, "consistent": None, "top": [], "bottom": [],
             "events": [{"event": "Went deeper.", "captions": 10, "score": 2.1},
                        {"event": "Nothing changed.", "captions": 10, "score": -0.4}]},
        )  # fmt: skip
    sha256 = hashlib.sha256(b"weights").hexdigest()
    return work, {"model": "qwen2.5-coder-1.5b-instruct", "licence": "Apache-2.0", "model_sha256": sha256}


def _quality(work: Work) -> tuple[Work, dict[str, Any]]:
    """What was measured of each skill; the last one has no gold set."""

    def share(value: float, n: int) -> dict[str, Any]:
        return {"share": value, "low": value - 0.05, "high": min(1.0, value + 0.05), "n": n}

    skills: dict[str, Any] = {
        skill: {"pairs": 300, "ties": share(0.1, 300), "by_kind": {},
                "gold": {"report": {"decided": share(0.9 - 0.1 * number, 36)}},
                "counterfactuals": {"going <up> is bad": share(0.8, 5)}}
        for number, skill in enumerate(SKILLS)
    }  # fmt: skip
    del skills["ascender"]["gold"]
    work.write_json("quality.json", skills)
    return work, {}


def _curate(work: Work) -> tuple[Work, dict[str, Any]]:
    """What the page shows: shares with intervals, and curves that end where nothing is known."""

    def share(count: int, n: int) -> dict[str, Any]:
        return {"share": count / n, "low": count / n - 0.05, "high": count / n + 0.05, "n": n}

    skill = {
        "labelled": 300,
        "fates": {"kept": 270, "inconsistent": 0, "too close": 11, "confirmed": 4, "replaced": 5,
                  "dropped": 7, "not asked": 3},
        "kept": share(282, 300),
        "checked": share(290, 300),
        "reproduced": share(270, 289),
        "labelled_oracle": share(150, 160),
        "kept_oracle": share(149, 150),
        "by_kind": {"depth: deeper": {"kept": share(90, 100), "labelled_oracle": None, "kept_oracle": None}},
        "curve": [{"threshold": 0.1 * k, "kept": 1 - 0.1 * k, "reproduced": share(90 + k, 100),
                   "oracle": share(90, 100) if k < 8 else None} for k in range(10)],
    }  # fmt: skip
    work.write_json(
        "curate.json", {"again": "pairwise", "settings": {}, "skills": dict.fromkeys(SKILLS, skill)}
    )
    return work, {}


def _soup(work: Work) -> tuple[Work, dict[str, Any]]:
    methods = {
        name: {"accuracy": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.1, "pairs": 1234}
        for name, accuracy in (
            ("best single", 0.811),
            ("uniform", 0.822),
            ("soup", 0.833),
            ("ensemble", 0.84),
        )
    }
    skill = {
        "methods": methods,
        "by_kind": {"killed": {"pairs": 77} | {name: row["accuracy"] for name, row in methods.items()}},
        "recipe": {"all pairs": 0.7, "depth: deeper": 0.3},
    }
    work.write_json("soup.json", {"settings": {}, "skills": dict.fromkeys(SKILLS, skill)})
    return work, {}


def _gate(work: Work) -> tuple[Work, dict[str, Any]]:
    row = {"skill": "descender", "event": "descended", "side": "wanted", "steps": 5432, "distinct": 21,
           "judged": True, "paid": 0.987, "mean_z": 2.5, "auc": 0.91, "low": 0.87, "high": 0.95}  # fmt: skip
    rare = row | {"event": "prayed", "side": "forbidden", "judged": False, "auc": None, "low": None}
    work.write_json(
        "gate.json",
        {"rows": [row, rare], "problems": ["ascender: pays for `<descended>`."], "not_gated": ["discoverer"]},
    )
    return work, {}


def _distil(work: Work, random: np.random.Generator) -> tuple[Work, dict[str, Any]]:
    for number, skill in enumerate(SKILLS):
        rewards = np.sort(random.gamma(0.6, 1.5, size=500) - 0.9)
        quantiles = {f"{q:.2f}": round(float(np.quantile(rewards, q)), 4) for q in np.linspace(0, 1, 21)}
        work.write_json(
            f"{skill}/card.json",
            {"skill": skill, "description": DESCRIPTIONS[skill], "network": "words", "pairs": 300,
             "accuracy_held_out": {"accuracy": 0.95 - number / 10, "low": 0.6, "high": 1.0, "pairs": 60},
             "accuracy_train": {"accuracy": 0.99, "low": 0.98, "high": 1.0, "pairs": 240},
             "accuracy_note": "share of pairs ordered as labelled; interval by bootstrap over captions",
             "mean": 0.1, "std": 1.3, "quantiles": quantiles, "changes": ["depth"],
             "top": [{"caption": "Went deeper. You <fall>", "reward": 3.1}, {"caption": "ok", "reward": 2.0}],
             "bottom": [{"caption": "It's a wall.", "reward": -1.2}]},
        )  # fmt: skip
        work.write_bytes(f"{skill}/params.msgpack", b"\x80")
    return work, {}


def _train(work: Work, random: np.random.Generator) -> tuple[Work, dict[str, Any]]:
    rows = []
    for window in range(1, 61):
        rise = 1 - np.exp(-window / 20)
        row: dict[str, float] = {"env_step": 20_000 * window, "episodes": 30 + window, "deaths": 4}
        for number, (skill, share) in enumerate(zip(SKILLS, random.dirichlet([30, 20, 10]), strict=True)):
            row[f"skill/{skill}/reward_per_call"] = round(
                float((number + 1) * rise + 0.2 * random.normal()), 6
            )
            row[f"skill/{skill}/reward_per_1k_steps"] = round(float(20 * rise + random.normal()), 6)
            row[f"skill/{skill}/time_share"] = round(float(share), 6)
            row[f"skill/{skill}/mean_duration"] = round(float(60 - 30 * rise + random.normal()), 6)
            row[f"events/{skill}/killed_per_1k_steps"] = round(float(5 + random.random()), 6)
            if window > 20:  # older artefacts leave out what did not happen
                row[f"events/{skill}/angered_god_per_1k_steps"] = round(float(random.random()), 6)
        for skill in ("descender", "ascender"):
            row[f"events/{skill}/descended_per_1k_steps"] = round(float(9 * rise * (skill == "descender")), 6)
            row[f"events/{skill}/prayed_per_1k_steps"] = 0.0
        for cause, share in (("god", 0.3), ("hunger", 0.1), ("other", 0.4)):
            row[f"deaths/{cause}"] = round(float(share * random.random()), 6)
        for action, share in (("north", 0.7), ("search", 0.2), ("pray", 0.1)):
            row[f"actions/descender/{action}"] = round(float(share), 6)
        for level, share in ((2, 0.9), (5, 0.3), (10, 0.1)):
            row[f"depth/at_least_{level}"] = round(float(share * rise), 6)
        row["depth/deepest_mean"] = round(float(1 + rise + 0.05 * random.normal()), 6)
        row["loss/entropy"] = round(float(3.3 - rise), 6)
        rows.append(row)
    work.write_text("curve.jsonl", _jsonl(rows))
    work.write_json("paid.json", _paid())
    work.write_bytes("policy.msgpack", b"\x80")
    return work, {"thresholds": {"discoverer": 0.0, "descender": 0.7768, "ascender": -0.125}}


def _paid() -> dict[str, Any]:
    """What a run without warnings paid for."""
    gain = {"steps": 1234, "gained": 80.0, "lost": 0.0, "share": 0.8, "mean": 0.0648}
    loss = {"steps": 98_766, "gained": 0.0, "lost": 20.0, "share": 0.2, "mean": -0.0002}
    skill = {
        "steps": 100_000,
        "reward": 60.0,
        "gained": 80.0,
        "lost": 20.0,
        "unwanted_share": 0.2,
        "events": [{"event": "explored: new", "side": "wanted"} | gain,
                   {"event": "nothing", "side": ""} | loss],
        "captions": [{"caption": "New <parts> came into view."} | gain],
        "other_captions": {"captions": 321} | loss,
        "actions": [{"action": "north", "steps": 60_000, "share": 0.6}],
    }  # fmt: skip
    causes = [{"cause": "killed by a <newt>", "count": 345}]
    ends = {"episodes": 1000, "deaths": 345, "death_share": 0.345, "median_steps": 777.0, "causes": causes}
    skills = dict.fromkeys(SKILLS, skill)
    return {"env_step": 1_200_000, "skills": skills, "episodes": ends, "warnings": []}


def _compose(work: Work) -> tuple[Work, dict[str, Any]]:
    work.write_text("tasks/down_and_back.py", PROGRAM)
    work.write_text(
        "training.py", "class Program:\n    def select(self, state):\n        return 'discoverer'\n"
    )
    work.write_text("skills/descender.py", "def may_start(state):\n    return True\n")
    origin = {
        "model": "qwen",
        "date": "2026-01-01",
        "prompt": "prompts/task.md",
        "prompt_sha256": "ab" * 32,
        "score": None,
    }
    entry = {
        "file": "down_and_back.py",
        "sha256": hashlib.sha256(PROGRAM.encode()).hexdigest(),
        "provenance": origin,
    }
    tried = {"behaviour": {"states": 640, "calls": dict.fromkeys(SKILLS, 12)}}
    work.write_json(
        "check.json",
        {
            "programs": {"down_and_back": entry | tried, "training": entry | tried},
            "skills": {"descender": {"default": True}},
        },
    )
    return work, {}


# What the task neither judges nor measures.
NULL = [
    f"{name}{bound}"
    for name in ("published", "measured", "published_measured")
    for bound in ("", "_low", "_high")
]


def _evaluate(work: Work, random: np.random.Generator) -> tuple[Work, dict[str, Any]]:
    episodes, rows = [], []
    for agent, (chance, depth) in AGENTS.items():
        success = random.random(64) < chance
        deepest = np.maximum(1 + random.poisson(depth - 1, 64), 1 + success)
        lengths = random.integers(50, 1_000, 64)
        episodes += [
            {"task": "down_and_back", "agent": agent, "seeds": [10_000 + game, 20_000 + game, game],
             "success": bool(success[game]), "deepest": int(deepest[game]), "steps": int(lengths[game]),
             "end": "left" if success[game] else "death"}
            for game in range(64)
        ]  # fmt: skip
        rate, mean = float(success.mean()), float(deepest.mean())
        rows.append(
            {"task": "down_and_back", "agent": agent, "episodes": 64, "max_steps": 1_000, "success": rate,
             **dict.fromkeys(NULL), "success_low": max(0.0, rate - 0.1),
             "success_high": min(1.0, rate + 0.1), "deepest_mean": mean,
             "deepest_low": mean - 0.2, "deepest_high": mean + 0.2, "steps_mean": float(lengths.mean()),
             "steps_median": float(np.median(lengths)), "prayers_per_1000": 0.4,
             "deaths": int((~success).sum()), "causes": {"killed by a <jackal>": int((~success).sum())}}
        )  # fmt: skip
    work.write_text("episodes.jsonl", _jsonl(episodes))
    work.write_json("results.json", {"tasks": {"down_and_back": {}}, "rows": rows})
    for kind in ("success", "death"):
        shown = episode(150, random, kind)
        work.write_arrays(f"down_and_back/replays/{kind}.npz", **replay.arrays(shown))
        work.write_json(f"down_and_back/replays/{kind}.json", replay.about(shown))
    return work, {}
