"""The artefacts of a run's stages, read from their files and checked. Report and wandb show only this.

Unknown extra fields are ignored. A missing file or field is a UserError that names it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.annotate.preferences import CAPTIONS, FIGURES, PREFERENCES, SCORES
from maestromotif.collect import observations
from maestromotif.collect.observations import SOURCES
from maestromotif.compose.compose import CHECK, program_file, skill_file
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.evaluate.evaluate import EPISODES, RESULTS
from maestromotif.evaluate.replays import FOLDER
from maestromotif.intervals import Interval
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline.store import MANIFEST, Artefact
from maestromotif.replay.choose import KINDS
from maestromotif.replay.replay import Replay, load
from maestromotif.rewards.model import CARD
from maestromotif.train.account import PAID
from maestromotif.train.metrics import CURVE


@dataclass(frozen=True)
class Play:
    """Collection by one source."""

    source: str
    steps: int
    deepest: list[int]  # greatest depth of each episode
    ends: dict[str, int]  # how episodes ended -> how many


@dataclass(frozen=True)
class Collected:
    plays: list[Play]
    steps: int
    distinct: int  # distinct messages
    empty: int  # steps without a message
    frequent: list[tuple[str, int]]  # most frequent messages and their counts, the empty one left out
    changed: dict[str, int]  # change -> steps on which it happened


@dataclass(frozen=True)
class Labels:
    """What the language model made of one skill's text."""

    skill: str
    quality: dict[str, Any]  # quality.json
    pairs: int
    ties: int
    captions: list[tuple[str, float]]  # every judged caption with its score, best first
    measure: str  # what the score is
    events: list[tuple[str, float, int]]  # event or change, mean score of its captions, their number


@dataclass(frozen=True)
class RewardCard:
    """One distilled reward model."""

    skill: str
    description: str
    accuracy: float | None  # on held-out pairs that are no ties; None if there are none
    interval: Interval | None  # 95 %
    held_out: int  # pairs
    accuracy_train: float | None
    mean: float
    std: float
    quantiles: list[tuple[float, float]]  # (quantile, normalised reward there), ascending
    top: list[tuple[str, float]]  # captions with normalised rewards, highest first
    bottom: list[tuple[str, float]]  # lowest first
    note: str  # how the accuracy was measured


@dataclass(frozen=True)
class AgentEpisodes:
    agent: str
    deepest: list[int]
    steps: list[int]
    seeds: list[tuple[int, ...]]


@dataclass(frozen=True)
class Program:
    """A checked program, over skills or of a skill."""

    role: str  # 'program', 'training' or the skill's name
    source: str
    origin: dict[str, str]  # file, model, date, prompt, hashes, score: what is known of where it came from


@dataclass(frozen=True)
class Evidence:
    """Stages that a run did not need (rewards taken from a folder) are None or empty."""

    collected: Collected | None
    labels: list[Labels]
    model: dict[str, str]  # what is known of the language model: name, licence, sha256, ...
    curation: dict[str, Any] | None  # curate.json
    rewards: list[RewardCard]
    soup: dict[str, Any] | None  # soup.json
    gate: dict[str, Any] | None  # gate.json
    curve: list[dict[str, float]]
    paid: dict[str, Any]  # paid.json
    programs: dict[str, Program]  # 'program' and 'training'
    skill_programs: list[Program]
    results: list[dict[str, Any]]
    episodes: list[AgentEpisodes]
    replays: list[Replay]
    digests: dict[str, str] = field(default_factory=dict)  # stage -> digest of its outputs


def read(config: Config, inputs: Mapping[str, Artefact]) -> Evidence:
    """Reads the artefacts of all stages. Raises UserError."""
    for stage in ("train", "compose", "evaluate"):
        if stage not in inputs:
            raise UserError(f"report: the stage '{stage}' has no artefact; run `maestromotif {stage}` first")
    annotate = inputs.get("annotate")
    distil = inputs.get("distil")
    composed, evaluate = inputs["compose"].path, inputs["evaluate"].path
    episodes = _read_jsonl(evaluate / EPISODES)
    return Evidence(
        collected=_collected(inputs["collect"].path) if "collect" in inputs else None,
        labels=[_labels(annotate.path, skill) for skill in config.skills] if annotate else [],
        model=_model(annotate.manifest.get("facts", {})) if annotate else {},
        curation=_table(inputs, "curate", ("again", "skills")),
        rewards=[_reward(distil.path, skill) for skill in config.skills] if distil else [],
        soup=_table(inputs, "soup", ("skills",)),
        gate=_table(inputs, "gate", ("rows", "problems", "not_gated")),
        curve=_curve(inputs["train"].path / CURVE),
        paid=_paid(inputs["train"].path / PAID),
        programs={
            role: _program(inputs["compose"].path, role, program_file(role))
            for role in ("program", "training")
        },
        skill_programs=[
            _program(composed, name, skill_file(name))
            for name in config.skills
            if (composed / skill_file(name)).is_file()
        ],
        results=_results(evaluate / RESULTS),
        episodes=_agents(evaluate / EPISODES, episodes),
        replays=_replays(evaluate / FOLDER),
        digests={stage: artefact.digest for stage, artefact in inputs.items()},
    )


# ------------------------------------------------------------------------------------------------- the stages


def _collected(folder: Path) -> Collected:
    path = folder / observations.FILE
    arrays = _read_arrays(path, "messages", "message_id", "changes", "source")
    messages, message_id, changes = arrays["messages"], arrays["message_id"], arrays["changes"]
    counts = np.bincount(message_id, minlength=len(messages))
    texts = [bytes(text).decode("latin-1") for text in messages.tolist()]
    order = np.argsort(-counts, kind="stable")
    rows = _read_json(folder / observations.EPISODES)
    plays = []
    for code, source in enumerate(SOURCES):
        own = [row for row in rows if _need(row, "source", folder / observations.EPISODES) in (source, code)]
        if own:
            plays.append(
                Play(
                    source=source,
                    steps=int((arrays["source"] == code).sum()),
                    deepest=[int(_need(row, "deepest", folder / observations.EPISODES)) for row in own],
                    ends=_counted(str(_need(row, "end", folder / observations.EPISODES)) for row in own),
                )
            )
    return Collected(
        plays=plays,
        steps=len(message_id),
        distinct=len(messages),
        empty=int(sum(counts[index] for index, text in enumerate(texts) if not text)),
        frequent=[(texts[index], int(counts[index])) for index in order.tolist() if texts[index]][:12],
        changed={
            name: int((changes[:, column] > 0).sum())
            for column, name in zip(range(changes.shape[1]), CHANGES, strict=False)
        },
    )


def _labels(folder: Path, skill: str) -> Labels:
    captions_path = folder / CAPTIONS
    captions = {
        int(_need(row, "id", captions_path)): str(_need(row, "caption", captions_path))
        for row in _read_jsonl(captions_path)
    }
    quality = _read_json(folder / skill / FIGURES)
    arrays = _read_arrays(folder / skill / PREFERENCES, "first", "second", "label")
    label = arrays["label"].astype(np.float64)
    scores_path = folder / skill / SCORES  # captions whose answer was nonsense are not in it
    if scores_path.is_file():
        measure = "log-odds of the answer yes"
        scores = {
            int(_need(row, "id", scores_path)): float(_need(row, "score", scores_path))
            for row in _read_jsonl(scores_path)
        }
    else:
        measure = "share of its comparisons won"  # a tie is half a win
        size = max(captions, default=-1) + 1
        won = np.bincount(arrays["first"], label, size) + np.bincount(arrays["second"], 1 - label, size)
        played = np.bincount(arrays["first"], minlength=size) + np.bincount(arrays["second"], minlength=size)
        scores = {index: float(won[index] / played[index]) for index in captions if played[index]}
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return Labels(
        skill=skill,
        quality=quality,
        pairs=len(label),
        ties=int((label == 0.5).sum()),
        captions=[(captions.get(index, f"caption {index}"), score) for index, score in ranked],
        measure=measure,
        events=[
            (str(row["event"]), float(row["score"]), int(row["captions"]))
            for row in quality.get("events", [])
        ],
    )


def _model(facts: Mapping[str, Any]) -> dict[str, str]:
    """Name, licence, hashes: what the stage says of its language model."""
    wanted = {
        "model": "model",
        "licence": "licence",
        "model_sha256": "SHA-256",
        "prompt_sha256": "SHA-256 of the prompts",
    }
    return {name: str(facts[key]) for key, name in wanted.items() if facts.get(key)}


def _reward(folder: Path, skill: str) -> RewardCard:
    path = folder / skill / CARD
    card = _read_json(path)
    held_out = _need(card, "accuracy_held_out", path)
    low, high = _need(held_out, "low", path), _need(held_out, "high", path)
    return RewardCard(
        skill=skill,
        description=str(_need(card, "description", path)),
        accuracy=_need(held_out, "accuracy", path),
        interval=None if low is None or high is None else Interval(low, high),
        held_out=int(_need(held_out, "pairs", path)),
        accuracy_train=_need(card, "accuracy_train", path).get("accuracy"),
        mean=float(_need(card, "mean", path)),
        std=float(_need(card, "std", path)),
        quantiles=sorted(
            (float(name), float(value)) for name, value in _need(card, "quantiles", path).items()
        ),
        top=[
            (str(_need(one, "caption", path)), float(_need(one, "reward", path)))
            for one in _need(card, "top", path)
        ],
        bottom=[
            (str(_need(one, "caption", path)), float(_need(one, "reward", path)))
            for one in _need(card, "bottom", path)
        ],
        note=str(card.get("accuracy_note", "")),
    )


def _table(inputs: Mapping[str, Artefact], stage: str, fields: tuple[str, ...]) -> dict[str, Any] | None:
    """What a stage wrote as <stage>.json, None if the run did without it."""
    if stage not in inputs:
        return None
    path = inputs[stage].path / f"{stage}.json"
    table = _read_json(path)
    for name in fields:
        _need(table, name, path)
    return dict(table)


def _curve(path: Path) -> list[dict[str, float]]:
    rows = []
    for row in _read_jsonl(path):
        _need(row, "env_step", path)
        rows.append(
            {
                key: float(value)
                for key, value in row.items()
                if isinstance(value, int | float) and np.isfinite(value)
            }
        )
    return rows


def _paid(path: Path) -> dict[str, Any]:
    account = _read_json(path)
    for name in ("skills", "episodes", "warnings"):
        _need(account, name, path)
    return dict(account)


def _program(folder: Path, role: str, name: str) -> Program:
    try:
        source = (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder / name}: {error}; run the stage 'compose' again") from error
    check = _read_json(folder / CHECK)
    entry = check.get("programs", {}).get(role) or check.get("skills", {}).get(role) or {}
    origin = {key: entry[key] for key in ("file", "sha256") if entry.get(key)}
    origin |= {key: value for key, value in entry.get("provenance", {}).items() if value is not None}
    if entry.get("default"):
        origin["file"] = "none: the skill is only a text, and this is the default"
    behaviour = entry.get("behaviour")
    if isinstance(behaviour, Mapping):
        calls = ", ".join(f"{name} {count}" for name, count in behaviour.get("calls", {}).items())
        origin["trial"] = f"on {behaviour.get('states')} made-up states it began: {calls}"
    return Program(role, source, {key.replace("_", " "): str(value) for key, value in origin.items()})


def _results(path: Path) -> list[dict[str, Any]]:
    rows = _need(_read_json(path), "rows", path)
    for row in rows:
        for name in ("agent", "episodes", "success", "success_low", "success_high"):
            _need(row, name, path)
        for name in ("deepest_mean", "deepest_low", "deepest_high"):
            _need(row, name, path)
        for name in ("steps_median", "prayers_per_1000", "deaths", "causes"):
            _need(row, name, path)
    if not rows:
        raise UserError(f"{path}: 'rows' is empty; run the stage 'evaluate' again")
    return list(rows)


def _agents(path: Path, rows: list[dict[str, Any]]) -> list[AgentEpisodes]:
    names = dict.fromkeys(str(_need(row, "agent", path)) for row in rows)
    return [
        AgentEpisodes(
            agent=name,
            deepest=[int(_need(row, "deepest", path)) for row in rows if row["agent"] == name],
            steps=[int(_need(row, "steps", path)) for row in rows if row["agent"] == name],
            seeds=[tuple(_need(row, "seeds", path)) for row in rows if row["agent"] == name],
        )
        for name in names
    ]


def _replays(folder: Path) -> list[Replay]:
    """In the order of `KINDS`; at least one."""
    found = [load(folder, kind) for kind in KINDS if (folder / f"{kind}.json").is_file()]
    if not found:
        raise UserError(f"{folder}: holds no replay; run the stage 'evaluate' again")
    return found


# -------------------------------------------------------------------------------------------------- the files


def _counted(names: Any) -> dict[str, int]:
    """Name -> how often, the most frequent first, equals by name."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _need(row: Any, name: str, path: Path) -> Any:
    if not isinstance(row, Mapping) or name not in row:
        known = ", ".join(row) if isinstance(row, Mapping) else type(row).__name__
        raise UserError(
            f"{path}: no field '{name}' (there is: {known}); run the stage '{path_stage(path)}' again"
        )
    return row[name]


def path_stage(path: Path) -> str:
    """The stage whose artefact holds `path`: the folder above with a manifest, or else its own folder."""
    for folder in path.parents:
        if (folder / MANIFEST).is_file():
            return folder.name
    return path.parent.name


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}; run the stage '{path_stage(path)}' again") from error


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; run the stage '{path_stage(path)}' again") from error
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path}:{number}: not JSON ({error}); run '{path_stage(path)}' again") from error
    return rows


def _read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: needs the arrays {', '.join(names)} ({error}); run the stage '{path_stage(path)}' again"
        ) from error
