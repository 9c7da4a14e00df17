"""NLE's own gymnasium environment, as both peers play it.

The character, the options file, the 28 actions, the step limit and the observations are ours. NLE's own rules
answer prompts, and the reward is NLE's score. Our agent also observes nine numbers of `GameState`, on stairs
and on standing still, which the peers lack because only our engine tracks them.
"""

import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from nle.env.tasks import NetHackScore

# A peer may run in a Python environment without our package; these modules need NLE, pydantic and PyYAML.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from maestromotif.nethack.actions import ACTIONS
from maestromotif.nethack.engine.loader import pin_birthday
from maestromotif.nethack.rcfile import CHARACTER, write_options

NUM_ACTIONS = len(ACTIONS)
ROWS, COLUMNS = 21, 79
WORDS, VOCABULARY = 16, 1024  # of a message: number of words, and of hash values; 0 is padding
CLASSES = 18  # of items; empty slots have this value

# Index in blstats -> factor that scales the number to about 1.
FED = {
    0: 1 / 79, 1: 1 / 21, 10: 0.1, 11: 0.1, 12: 0.2, 14: 0.1,
    15: 0.1, 16: 0.1, 18: 0.1, 20: 0.001, 21: 1, 23: 1,
}  # fmt: skip

# A square is a character and one of 16 colours. Each kind of square has one bit.
COLORS = 16
KINDS = (">", "<", "+", "#", ".", "|-", "@", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:;&'")
KIND_BITS = np.zeros(256, np.uint8)
for _bit, _kind in enumerate(KINDS):
    KIND_BITS[[ord(char) for char in _kind]] |= 1 << _bit


Obs = dict[str, np.ndarray]


def prepare(folder: Path) -> None:
    """Writes the options file into `folder` and puts all temporary files of this process there."""
    written = write_options(folder).removeprefix("@")
    Path(written).rename(
        f"{folder}/nethackrc,name:Agent-{CHARACTER}"
    )  # the file name that NLE expects, with its player's name
    tempfile.tempdir = str(folder)


class PeerGame(gymnasium.Env[Obs, np.integer[Any]]):
    """A game, observed as these arrays.

    chars, colors   uint8 [21, 79]
    blstats         float32 [27], raw
    words           int16 [16], of the message
    inventory       uint8 [55], the class of each item
    last_action     int16 [1], -1 at the start of an episode
    """

    def __init__(self, folder: Path, max_steps: int) -> None:
        tempfile.tempdir = str(folder)
        self._env = NetHackScore(
            observation_keys=("chars", "colors", "blstats", "message", "inv_oclasses"),
            actions=tuple(ACTIONS.values()),
            options=[f"@{folder}/nethackrc"],
            max_episode_steps=max_steps,
            fix_moon_phase=True,
        )
        self._words: dict[bytes, np.ndarray] = {}
        self.action_space = spaces.Discrete(NUM_ACTIONS)
        self.observation_space = spaces.Dict(
            {
                "chars": spaces.Box(0, 255, (ROWS, COLUMNS), np.uint8),
                "colors": spaces.Box(0, 255, (ROWS, COLUMNS), np.uint8),
                "blstats": spaces.Box(-np.inf, np.inf, (27,), np.float32),
                "words": spaces.Box(0, VOCABULARY - 1, (WORDS,), np.int16),
                "inventory": spaces.Box(0, CLASSES, (55,), np.uint8),
                "last_action": spaces.Box(-1, NUM_ACTIONS - 1, (1,), np.int16),
            }
        )

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Obs, dict[str, Any]]:
        """Starts a new game. Its seeds come from the system, so `seed` is ignored.

        The calendar is fixed, as in our games: NLE takes moon and hour from seeds that were set.
        """
        self._env.seed()
        seen, _ = self._env.reset()
        pin_birthday(self._env.nethack.dlpath)
        return self._observation(seen, -1), {}

    def step(self, action: np.integer[Any] | int) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        seen, reward, over, truncated, _ = self._env.step(int(action))
        return self._observation(seen, int(action)), float(reward), bool(over), bool(truncated), {}

    def close(self) -> None:
        self._env.close()

    def _observation(self, seen: Obs, last_action: int) -> Obs:
        return {
            "chars": seen["chars"],
            "colors": seen["colors"],
            "blstats": seen["blstats"].astype(np.float32),
            "words": self._hashed(seen["message"].tobytes()),
            "inventory": seen["inv_oclasses"],
            "last_action": np.array([last_action], np.int16),
        }

    def _hashed(self, message: bytes) -> np.ndarray:
        """Hashes of the message's words, cached because most messages repeat."""
        if message not in self._words:
            if len(self._words) == 10_000:
                self._words.clear()
            words = message.rstrip(b"\0").split()[:WORDS]
            hashed = [zlib.crc32(word) % (VOCABULARY - 1) + 1 for word in words]
            self._words[message] = np.array(hashed + [0] * (WORDS - len(words)), np.int16)
        return self._words[message]
