"""Demonstrations as a file: all that it takes to play them again, and what the explorer would have played.

`demonstrations.npz` holds E recordings of S steps in all. Its arrays are flat, one recording after the other:

about     S []           JSON: format, nle, the names of actions and skills
seeds     int64 [E, 3]   core, disp, lgen
arena     S [E]          where the recording began; empty for the dungeon
steps     int32 [E]
action    uint8 [S]      what was played, index into `actions.NAMES`
label     int8 [S]       what the explorer would play there; -1: no label
skill     int8 [S]       which acts
switched  uint8 [S / 8]  bits (numpy.packbits): a skill's call begins with this step
"""

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.errors import UserError
from maestromotif.nethack.actions import NAMES, SETS
from maestromotif.nethack.engine.loader import NLE_VERSION
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.pipeline.store import Work

FILE = "demonstrations.npz"
FORMAT = 1


@dataclass(frozen=True)
class Recording:
    """One episode from its start, of T steps."""

    seeds: EpisodeSeeds
    arena: str | None  # where it began; None for the dungeon
    actions: np.ndarray  # int32 [T], what was played
    labels: np.ndarray  # int32 [T], what the explorer would play there; -1: no label
    skills: np.ndarray  # int32 [T], which acts
    switched: np.ndarray  # bool [T]: a skill's call begins with this step


def write(work: Work, recordings: Sequence[Recording], config: Config) -> None:
    """Writes the file. config: what the recordings were made with."""

    def flat(name: str, dtype: type) -> np.ndarray:
        return np.concatenate([getattr(one, name) for one in recordings]).astype(dtype)

    about = {"format": FORMAT, "nle": NLE_VERSION, "actions": NAMES, "skills": config.skills}
    work.write_arrays(
        FILE,
        about=np.array(json.dumps(about).encode()),
        seeds=np.array([one.seeds for one in recordings], np.int64),
        arena=np.array([(one.arena or "").encode() for one in recordings]),
        steps=np.array([len(one.actions) for one in recordings], np.int32),
        action=flat("actions", np.uint8),
        label=flat("labels", np.int8),
        skill=flat("skills", np.int8),
        switched=np.packbits(flat("switched", bool)),
    )


def read(path: Path, config: Config) -> list[Recording]:
    """The recordings of a file.

    Raises UserError if it is missing or damaged, and if it has another format, other actions or other skills
    than the config.
    """
    try:
        with np.load(path) as file:
            found = dict(file)
        about = json.loads(found["about"].item())
        _check(path, about, found, config)
        stops = np.cumsum(found["steps"])
        switched = np.unpackbits(found["switched"], count=int(stops[-1])).astype(bool)
        return [
            Recording(
                EpisodeSeeds(*found["seeds"][number].tolist()),
                found["arena"][number].decode() or None,
                found["action"][stop - steps : stop].astype(np.int32),
                found["label"][stop - steps : stop].astype(np.int32),
                found["skill"][stop - steps : stop].astype(np.int32),
                switched[stop - steps : stop],
            )
            for number, (stop, steps) in enumerate(zip(stops, found["steps"], strict=True))
        ]
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; the stage 'demonstrate' writes it") from error
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged: {error}") from error


def _check(path: Path, about: dict[str, object], found: dict[str, np.ndarray], config: Config) -> None:
    if about["format"] != FORMAT or about["nle"] != NLE_VERSION:
        raise UserError(
            f"{path}: has format {about['format']} and was recorded with nle {about['nle']}; this version "
            f"reads format {FORMAT} of nle {NLE_VERSION}"
        )
    if about["actions"] != list(NAMES):
        raise UserError(f"{path}: was recorded with other actions than this version has")
    if about["skills"] != list(config.skills):
        raise UserError(
            f"{path}: was recorded for the skills {about['skills']}, but skills is {config.skills}"
        )
    actions, most = SETS[config.train.network.actions], int(found["label"].max(initial=0))
    if most >= actions:
        raise UserError(
            f"{path}: its labels have the action '{NAMES[most]}', which train.network.actions: "
            f"{config.train.network.actions} does not have"
        )
