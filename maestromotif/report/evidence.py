"""The artefacts of a run's stages, read from their files and checked. Report and wandb show only this.

Unknown extra fields are ignored. A missing file or field is a UserError that names it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.annotate.preferences import CAPTIONS, FIGURES, PREFERENCES, SCORES
from maestromotif.collect import observations
from maestromotif.collect.observations import SOURCES
from maestromotif.compose.compose import CHECK, TRAINING, program_file, skill_file
from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.evaluate.evaluate import EPISODES, RESULTS
from maestromotif.evaluate.replays import FOLDER
from maestromotif.intervals import Interval
from maestromotif.nethack.state import CHANGES
from maestromotif.pipeline.store import Artefact
from maestromotif.reading import INTEGER
from maestromotif.replay.choose import KINDS
from maestromotif.replay.replay import Replay, load
from maestromotif.report import shapes
from maestromotif.report.files import (
    NUMBER,
    again,
    read_arrays,
    read_json,
    read_jsonl,
    read_source,
    same_length,
)
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
    """Stages that a run did not need, or that are not finished in a live report, are None or empty."""

    collected: Collected | None
    labels: list[Labels]
    model: dict[str, str]  # what is known of the language model: name, licence, sha256, ...
    quality: dict[str, dict[str, Any]] | None  # quality.json: figures by skill
    curation: dict[str, Any] | None  # curate.json
    rewards: list[RewardCard]
    soup: dict[str, Any] | None  # soup.json
    gate: dict[str, Any] | None  # gate.json
    curve: list[dict[str, float]]
    thresholds: dict[str, float]  # skill -> least normalised reward that was paid, as training says
    paid: dict[str, Any] | None  # paid.json
    programs: dict[str, Program]  # by the names of the tasks, and `TRAINING`
    skill_programs: list[Program]
    tasks: dict[str, list[dict[str, Any]]]  # task -> rows of its results
    # Of the first task:
    results: list[dict[str, Any]]
    episodes: list[AgentEpisodes]
    replays: list[Replay]
    digests: dict[str, str] = field(default_factory=dict)  # stage -> digest of its outputs


@dataclass(frozen=True)
class Training:
    """What is known of a training that goes on: the rows of its curve, and its account if it has one yet."""

    curve: list[dict[str, float]]
    paid: Path | None


def read(config: Config, inputs: Mapping[str, Artefact], training: Training | None = None) -> Evidence:
    """Reads the artefacts of all stages. Raises UserError.

    training: stands for the artefact of `train` while there is none; then other stages may be missing too.
    """
    for stage in ("train", "compose", "evaluate"):
        given = stage == "train" and config.train.policy is not None
        if stage not in inputs and training is None and not given:
            raise UserError(f"report: the stage '{stage}' has no artefact; run `maestromotif {stage}` first")
    annotate = inputs.get("annotate")
    distil = inputs.get("distil")
    train, composed, evaluate = (
        inputs[stage].path if stage in inputs else None for stage in ("train", "compose", "evaluate")
    )
    goes_on = Training([], None) if training is None else training
    paid = train / PAID if train else goes_on.paid
    tasks, main = results(evaluate / RESULTS) if evaluate else {}, config.tasks[0]
    return Evidence(
        collected=_collected(inputs["collect"].path) if "collect" in inputs else None,
        labels=[_labels(annotate.path, skill) for skill in config.skills] if annotate else [],
        model=_model(annotate.manifest.get("facts", {})) if annotate else {},
        quality=_table(inputs, "quality", shapes.QUALITY),
        curation=_table(inputs, "curate", shapes.CURATE),
        rewards=[_reward(distil.path, skill) for skill in config.skills] if distil else [],
        soup=_table(inputs, "soup", shapes.SOUP),
        gate=_table(inputs, "gate", shapes.GATE),
        curve=curve(train / CURVE) if train else goes_on.curve,
        thresholds=_thresholds(inputs["train"].manifest) if train else {},
        paid=read_json(paid, shapes.PAID) if paid else None,
        programs={
            role: _program(composed, role, program_file(role))
            for role in (*config.tasks, TRAINING)
            if composed
        },
        skill_programs=[
            _program(composed, name, skill_file(name))
            for name in config.skills
            if composed and (composed / skill_file(name)).is_file()
        ],
        tasks=tasks,
        results=tasks.get(main, []),
        episodes=_agents(evaluate / EPISODES, main) if evaluate else [],
        replays=_replays(evaluate / main / FOLDER) if evaluate else [],
        digests={stage: artefact.digest for stage, artefact in inputs.items()},
    )


# ------------------------------------------------------------------------------------------------- the stages


def _collected(folder: Path) -> Collected:
    path = folder / observations.FILE
    arrays = read_arrays(path, messages="S", message_id=INTEGER, changes=INTEGER, source=INTEGER)
    same_length({name: arrays[name] for name in ("message_id", "changes", "source")}, path)
    messages, message_id, changes = arrays["messages"], arrays["message_id"], arrays["changes"]
    counts = np.bincount(message_id, minlength=len(messages))
    if len(counts) > len(messages):
        raise UserError(
            f"{path}: message_id must lie in 0..{len(messages) - 1}, not {len(counts) - 1}; {again(path)}"
        )
    texts = [bytes(text).decode("latin-1") for text in messages.tolist()]
    order = np.argsort(-counts, kind="stable")
    rows = read_json(folder / observations.EPISODES, shapes.COLLECTED)
    plays = []
    for code, source in enumerate(SOURCES):
        own = [row for row in rows if row["source"] in (source, code)]
        if own:
            plays.append(
                Play(
                    source=source,
                    steps=int((arrays["source"] == code).sum()),
                    deepest=[row["deepest"] for row in own],
                    ends=_counted(row["end"] for row in own),
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
    captions = {row["id"]: row["caption"] for row in read_jsonl(folder / CAPTIONS, shapes.CAPTION)}
    quality = read_json(folder / skill / FIGURES, shapes.FIGURES)
    arrays = read_arrays(folder / skill / PREFERENCES, first=INTEGER, second=INTEGER, label="f")
    same_length(arrays, folder / skill / PREFERENCES)
    label = arrays["label"].astype(np.float64)
    scores_path = folder / skill / SCORES  # captions whose answer was nonsense are not in it
    if scores_path.is_file():
        measure = "log-odds of the answer yes"
        scores = {row["id"]: float(row["score"]) for row in read_jsonl(scores_path, shapes.SCORE)}
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
        events=[(row["event"], float(row["score"]), row["captions"]) for row in quality.get("events", [])],
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
    card = read_json(path, shapes.REWARD)
    held_out = card["accuracy_held_out"]
    low, high = held_out["low"], held_out["high"]
    try:
        quantiles = sorted((float(name), float(value)) for name, value in card["quantiles"].items())
    except ValueError as error:
        raise UserError(f"{path}: quantiles: {error}; {again(path)}") from error
    if not quantiles:
        raise UserError(f"{path}: quantiles: needs at least one; {again(path)}")
    return RewardCard(
        skill=skill,
        description=card["description"],
        accuracy=held_out["accuracy"],
        interval=None if low is None or high is None else Interval(low, high),
        held_out=held_out["pairs"],
        accuracy_train=card["accuracy_train"].get("accuracy"),
        mean=float(card["mean"]),
        std=float(card["std"]),
        quantiles=quantiles,
        top=[(one["caption"], float(one["reward"])) for one in card["top"]],
        bottom=[(one["caption"], float(one["reward"])) for one in card["bottom"]],
        note=card.get("accuracy_note", ""),
    )


def _table(inputs: Mapping[str, Artefact], stage: str, shape: Any) -> dict[str, Any] | None:
    """What a stage wrote as <stage>.json, None if the run did without it."""
    if stage not in inputs:
        return None
    table: dict[str, Any] = read_json(inputs[stage].path / f"{stage}.json", shape)
    return table


def curve(path: Path) -> list[dict[str, float]]:
    return [
        {
            key: float(value)
            for key, value in row.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
        }
        for row in read_jsonl(path, {"env_step": NUMBER})
    ]


def _thresholds(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Of the skills whose reward can pay at all; a model that is constant has an infinite threshold."""
    found = manifest.get("facts", {}).get("thresholds") or {}
    return {
        str(name): float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and np.isfinite(value)
    }


def _program(folder: Path, role: str, name: str) -> Program:
    source = read_source(folder / name)
    checked = read_json(folder / CHECK, shapes.PROGRAMS)
    entry = checked.get("programs", {}).get(role) or checked.get("skills", {}).get(role) or {}
    origin = {key: entry[key] for key in ("file", "sha256") if entry.get(key)}
    origin |= {key: value for key, value in entry.get("provenance", {}).items() if value is not None}
    if entry.get("default"):
        origin["file"] = "none: the skill is only a text, and this is the default"
    behaviour = entry.get("behaviour")
    if isinstance(behaviour, Mapping):
        calls = ", ".join(f"{name} {count}" for name, count in behaviour.get("calls", {}).items())
        origin["trial"] = f"on {behaviour.get('states')} made-up states it began: {calls}"
    return Program(role, source, {key.replace("_", " "): str(value) for key, value in origin.items()})


def results(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Task -> rows of its results."""
    rows: list[dict[str, Any]] = read_json(path, shapes.RESULTS)["rows"]
    if not rows:
        raise UserError(f"{path}: 'rows' is empty; {again(path)}")
    tasks: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        tasks.setdefault(row["task"], []).append(row)
    return tasks


def _agents(path: Path, task: str) -> list[AgentEpisodes]:
    rows = [row for row in read_jsonl(path, shapes.EPISODE) if row["task"] == task]
    return [
        AgentEpisodes(
            agent=name,
            deepest=[row["deepest"] for row in rows if row["agent"] == name],
            steps=[row["steps"] for row in rows if row["agent"] == name],
            seeds=[tuple(row["seeds"]) for row in rows if row["agent"] == name],
        )
        for name in dict.fromkeys(row["agent"] for row in rows)
    ]


def _replays(folder: Path) -> list[Replay]:
    """In the order of `KINDS`; at least one."""
    found = [load(folder, kind) for kind in KINDS if (folder / f"{kind}.json").is_file()]
    if not found:
        raise UserError(f"{folder}: holds no replay; run the stage 'evaluate' again")
    return found


def _counted(names: Any) -> dict[str, int]:
    """Name -> how often, the most frequent first, equals by name."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))
