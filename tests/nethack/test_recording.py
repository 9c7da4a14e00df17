"""Recorded games, played again elsewhere."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maestromotif.errors import UserError
from maestromotif.nethack.actions import INDEX, NUM_ACTIONS
from maestromotif.nethack.engine.loader import Loader, choose
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import SCREEN
from maestromotif.nethack.recording import Recording
from maestromotif.nethack.seeds import EpisodeSeeds

LOADERS: list[Loader] = sorted({"stock", choose("auto")})


def recorded(arena: str | None = None, seed: int = 0) -> Recording:
    actions = np.random.default_rng(seed).choice(NUM_ACTIONS, 400)
    return Recording(EpisodeSeeds(seed, 2, 3), tuple(actions[actions != INDEX["pray"]].tolist()), arena=arena)


@pytest.mark.parametrize("arena", [None, "shop"])
def test_a_recording_replays_on_either_loader_and_elsewhere(arena: str | None, tmp_path: Path) -> None:
    """Saved here, played in a process under another time zone, to the same observations."""
    recording = recorded(arena).play(SCREEN)
    assert recording.digest is not None
    for loader in LOADERS:
        assert recording.play(SCREEN, loader) == recording
    file = tmp_path / "game.json"
    recording.save(file)
    assert Recording.load(file) == recording
    script = (
        "from pathlib import Path\n"
        "from maestromotif.nethack.observation import SCREEN\n"
        "from maestromotif.nethack.recording import Recording\n"
        f"print(Recording.load(Path({str(file)!r})).play(SCREEN).digest)\n"
    )
    environment = os.environ | {"TZ": "Pacific/Auckland", "PYTHONPATH": os.pathsep.join(sys.path)}
    elsewhere = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert elsewhere.stdout.split() == [recording.digest]


def test_the_digest_tells_games_apart() -> None:
    recording = recorded().play()
    other = replace(recording, actions=(*recording.actions[:-1], INDEX["search"]))
    seeds = replace(recording, seeds=EpisodeSeeds(0, 2, 4))
    assert len({one.play().digest for one in (recording, other, seeds)}) == 3
    assert recording.play(SCREEN).digest != recording.digest


def test_frames_are_the_first_observation_and_one_an_action() -> None:
    recording = replace(recorded(), actions=(INDEX["wait"], INDEX["search"]))
    frames = [(frame.end, frame.arrays["blstats"][0, 20].item()) for frame in recording.frames()]
    assert [end for end, _ in frames] == [End.NOT] * 3
    assert frames[0][1] == 1
    assert frames[2][1] > frames[1][1] > 1


def test_a_file_that_is_no_recording_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "game.json"
    recorded().save(file)
    content = json.loads(file.read_text())

    def refused(**changes: object) -> str:
        file.write_text(json.dumps(content | changes))
        with pytest.raises(UserError) as error:
            Recording.load(file)
        assert str(error.value).startswith(f"{file}: ")
        return str(error.value)

    assert "another version of nle; 1.3.0 is needed" in refused(nle="1.2.0")
    assert "no action 'norht'; did you mean 'north'" in refused(actions=["norht"])
    assert "unexpected keyword argument 'moves'" in refused(moves=3)
    assert "missing 1 required positional argument: 'lgen'" in refused(seeds={"core": 1, "disp": 2})
    assert "seeds must be whole numbers from 0" in refused(seeds={"core": -1, "disp": 2, "lgen": 3})
    assert "is not a recorded game" in refused(arena=3)
    file.write_text("{")
    with pytest.raises(UserError, match=r"game\.json: not JSON"):
        Recording.load(file)
