"""Labels of known origin for the tests of the reward models: a judge who says what `worth` says."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from maestromotif.annotate.annotate import draw_pairs
from maestromotif.collect.captions import caption
from maestromotif.config.labels import AnnotateSettings, DistilSettings
from maestromotif.config.schema import Config
from maestromotif.pipeline.store import Artefact, Work

SKILLS = ("descender", "discoverer")
SPOKEN = ("depth", "explored", "downstairs")
NOTHING, EXPLORED, CLOSER, DOWN, UP = (0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 2, 0), (1, 0, 0, 0), (2, 0, 0, 0)
EVENTS = (NOTHING, EXPLORED, CLOSER, DOWN, UP)
# What a judge would say of the events, in log-odds; a kill adds KILL.
WORTH: dict[str, dict[tuple[int, ...], float]] = {
    "descender": {NOTHING: -1.5, EXPLORED: -0.5, CLOSER: 1.0, DOWN: 3.0, UP: -3.0},
    "discoverer": {NOTHING: -1.0, EXPLORED: 3.0, CLOSER: 0.0, DOWN: -2.0, UP: -2.5},
}
KILL = 0.65
MONSTERS = ("newt", "jackal", "grid bug", "fox", "gecko", "goblin", "lichen", "hobbit", "kobold", "sewer rat")
MESSAGES = [
    "",
    "The door opens.",
    "This door is locked.",
    "$ - 3 gold pieces.",
    "It's a wall.",
    "You are hungry.",
]
MESSAGES += [
    words.format(m) for m in MONSTERS for words in ("You kill the {}!", "The {} bites!", "You miss the {}.")
]


def worth(skill: str, message: str, changes: tuple[int, ...]) -> float:
    return WORTH[skill][changes] + KILL * ("kill" in message)


def configured(**distil_settings: Any) -> Config:
    return Config(
        skills=SKILLS,
        skills_folder=str(Path(__file__).parents[2] / "skills"),
        annotate=AnnotateSettings(changes=SPOKEN),
        distil=DistilSettings(**distil_settings),
        tasks=("down_and_back",),
    )


def write_inputs(folder: Path, captions: int = 96, ties: bool = False) -> dict[str, Artefact]:
    """Artefacts of collect, annotate and curate, as a judge would leave them who says what `worth` says."""
    random = np.random.default_rng(0)
    items = [(m, event) for m in range(len(MESSAGES)) for event in EVENTS]
    collect = Work(folder / "collect")
    collect.write_arrays(
        "observations.npz",
        messages=np.array([message.encode() for message in MESSAGES], "S256"),
        message_id=np.array([m for m, _ in items], np.int32),
        changes=np.array([event for _, event in items], np.int8),
        source=np.zeros(len(items), np.int8),
    )
    annotate = Work(folder / "annotate")
    judged = [items[i] for i in sorted(random.choice(len(items), captions, replace=False))]
    rows = [
        {"message": MESSAGES[m], "changes": list(event), "caption": caption(MESSAGES[m], event, SPOKEN)}
        for m, event in judged
    ]
    annotate.write_text("captions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    pairs = draw_pairs(captions, 3000, random)
    for skill in SKILLS:
        score = np.array([worth(skill, MESSAGES[m], event) for m, event in judged])
        margin = score[pairs[:, 0]] - score[pairs[:, 1]]
        label = np.where((np.abs(margin) < 0.1) | ties, 0.5, margin > 0)
        annotate.write_arrays(
            f"{skill}/preferences.npz",
            first=pairs[:, 0],
            second=pairs[:, 1],
            label=label.astype(np.float32),
            margin=margin.astype(np.float32),
            consistent=np.ones(len(margin), bool),
        )
    judge = {"model": "rule", "model_sha256": "0" * 64, "licence": "none", "prompt_sha256": "0" * 64}
    annotated = Artefact(annotate.path, {"facts": judge})
    # Such a judge's labels need no curation, which would write them as they are.
    return {"collect": Artefact(collect.path, {}), "annotate": annotated, "curate": annotated}
