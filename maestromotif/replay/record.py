"""Replays one recorded episode with its screens, and collects the data of a replay page."""

from collections.abc import Sequence

import numpy as np

from maestromotif.agent.reward import RewardFunction
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import DEPTH, MESSAGE_BYTES, SCREEN
from maestromotif.nethack.recording import Recording
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE
from maestromotif.nethack.tracker import TRACKED, Tracker, depth_codes

REPLAY = "replay.npz"  # the arrays of `record`
REPLAY_ABOUT = "replay.json"  # skills, agent, seeds, success, title


def record(
    recording: Recording, skills: Sequence[int], switched: Sequence[bool], reward: RewardFunction
) -> dict[str, np.ndarray]:
    """Arrays with one row per step, the observation before the action and the reward of the action:
    tty_chars uint8 [T, 24, 80], tty_colors int8, tty_cursor uint8 [T, 2], skill int8 [T], reward float32 [T],
    depth int16 [T], message S256 [T]. `reward` must be for a single game.
    """
    rows: dict[str, list[np.ndarray]] = {name: [] for name in (*SCREEN, "reward", "depth")}
    messages: list[bytes] = []
    tracker = Tracker(
        np.zeros((1, len(TRACKED)), np.int32),
        np.zeros((1, len(CHANGES)), np.int8),
        np.zeros((1, len(EVENTS)), np.int16),
    )
    frames = recording.frames(SCREEN)
    seen = next(frames).arrays
    tracker.begin(0, seen)
    for skill, begins in zip(skills, switched, strict=True):
        if begins:
            start_depth = seen["blstats"][:, DEPTH].copy()
        for name in SCREEN:
            rows[name].append(seen[name][0].copy())
        rows["depth"].append(seen["blstats"][0, DEPTH].astype(np.int16))
        messages.append(seen["message"][0].tobytes().rstrip(b"\0"))
        frame = next(frames)
        over = frame.end != End.NOT
        message = frame.game.final["message"][None] if over else seen["message"]
        if over:
            tracker.changes[:] = 0
        else:
            tracker.update(seen, [frame.game.text], np.ones(1, bool))
            tracker.changes[:, DEPTH_CHANGE] = depth_codes(start_depth, seen["blstats"][:, DEPTH])
        numbers = reward.messages.numbers(message)
        earned = reward(numbers, tracker.changes, np.array([skill]), np.array([over]))
        rows["reward"].append(earned[0])
    frames.close()
    arrays = {name: np.stack(values) for name, values in rows.items()}
    arrays["message"] = np.array(messages, f"S{MESSAGE_BYTES}")
    arrays["skill"] = np.array(skills, np.int8)
    return arrays
