"""One episode played again from its seeds and actions, with the screen: the material of a replay."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maestromotif.learning.reward import RewardFunction
from maestromotif.nethack.game import End, Game, Setup
from maestromotif.nethack.library import choose
from maestromotif.nethack.observation import DEPTH, ENGINE, MESSAGE_BYTES, SCREEN, engine_layout
from maestromotif.nethack.options import write_options
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.nethack.state import CHANGES, TRACKED, Tracker, depth_codes


def record(
    seeds: EpisodeSeeds,
    actions: Sequence[int],
    skills: Sequence[int],
    switched: Sequence[bool],
    reward: RewardFunction,
) -> dict[str, np.ndarray]:
    """Arrays with one row a step, the observation that was acted on and the reward that the action earned:
    tty_chars uint8 [T, 24, 80], tty_colors int8, tty_cursor uint8 [T, 2], skill int8 [T], reward float32 [T],
    depth int16 [T], message S256 [T]. `reward` must be one for a single game.
    """
    rows: dict[str, list[np.ndarray]] = {name: [] for name in (*SCREEN, "reward", "depth")}
    messages: list[bytes] = []
    layout = engine_layout(ENGINE + SCREEN)
    block = {name: np.zeros((1, *shape), dtype) for name, (shape, dtype) in layout.items()}
    tracker = Tracker(np.zeros((1, len(TRACKED)), np.int32), np.zeros((1, len(CHANGES)), np.int8))
    with tempfile.TemporaryDirectory(prefix="maestromotif-") as folder:
        setup = Setup(choose("auto"), write_options(Path(folder)), Path(folder))
        game = Game({name: array[0] for name, array in block.items()}, setup)
        try:
            game.reset(seeds)
            tracker.begin(0, block)
            start_depth = block["blstats"][:, DEPTH].copy()
            for action, skill, begins in zip(actions, skills, switched, strict=True):
                if begins:
                    start_depth = block["blstats"][:, DEPTH].copy()
                for name in SCREEN:
                    rows[name].append(block[name][0].copy())
                rows["depth"].append(block["blstats"][0, DEPTH].astype(np.int16))
                messages.append(block["message"][0].tobytes().rstrip(b"\0"))
                end = game.step(action)
                over = end != End.NOT
                message = game.final["message"][None] if over else block["message"]
                if over:
                    tracker.changes[:] = 0
                else:
                    tracker.update(block, [game.text], np.ones(1, bool))
                    tracker.changes[:, 0] = depth_codes(start_depth, block["blstats"][:, DEPTH])
                numbers = reward.messages.numbers(message)
                earned = reward(numbers, tracker.changes, np.array([skill]), np.array([over]))
                rows["reward"].append(earned[0])
        finally:
            game.close()
    arrays = {name: np.stack(values) for name, values in rows.items()}
    arrays["message"] = np.array(messages, f"S{MESSAGE_BYTES}")
    arrays["skill"] = np.array(skills, np.int8)
    return arrays
