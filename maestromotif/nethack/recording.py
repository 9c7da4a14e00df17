"""A recorded game: its seeds and actions. Playing it again gives the same observations.

The process, the date, the time zone and the loader do not matter. NLE's version does. The digest shows
whether two games were the same.
"""

import hashlib
import json
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from maestromotif.errors import UserError
from maestromotif.nethack import actions
from maestromotif.nethack import arena as arenas
from maestromotif.nethack.engine.loader import NLE_VERSION, Loader, choose
from maestromotif.nethack.game import End, Game, Pages, Setup
from maestromotif.nethack.observation import ENGINE, engine_layout
from maestromotif.nethack.rcfile import CHARACTER, write_options
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.nethack.temporary import scratch
from maestromotif.reading import read_json


@dataclass(frozen=True)
class Frame:
    """What a game shows at its start or after a step. The next frame overwrites the arrays.

    `arrays` [1, ...]: NLE observations with a game axis. If the game is over (`end`), they hold what NetHack
    left; `game.final` holds the last observation of the episode, `game.text` all messages of the step.
    """

    arrays: dict[str, np.ndarray]
    end: End
    game: Game


@dataclass(frozen=True)
class Recording:
    """One episode from its start.

    actions: indices of `actions.NAMES`. options: path of an options file, None for the package's own. arena:
    name or path of an arena. pages, leave: as in `game.Setup`. digest: SHA-256 (hex) of all observations
    (`Recording.play`), None if unknown.
    """

    seeds: EpisodeSeeds
    actions: tuple[int, ...]
    character: str = CHARACTER
    options: str | None = None
    arena: str | None = None
    pages: Pages = "last"
    leave: bool = False
    digest: str | None = None

    def frames(self, observe: tuple[str, ...] = (), loader: Loader = "auto") -> Generator[Frame, None, None]:
        """Play again: the first observation, then one frame per action. `observe` as in `GamePool`."""
        arrays = {
            name: np.zeros((1, *shape), dtype)
            for name, (shape, dtype) in engine_layout((*ENGINE, *observe)).items()
        }
        with scratch() as path:
            options = write_options(path, self.character, Path(self.options) if self.options else None)
            arena = None if self.arena is None else arenas.build(self.arena, path)
            game = Setup(choose(loader), options, path, arena, self.pages, self.leave).open(
                {name: array[0] for name, array in arrays.items()}
            )
            try:
                game.reset(self.seeds)
                yield Frame(arrays, End.NOT, game)
                for action in self.actions:
                    yield Frame(arrays, game.step(action), game)
            finally:
                game.close()

    def play(self, observe: tuple[str, ...] = (), loader: Loader = "auto") -> "Recording":
        """Play again to the end or the last action; return the recording with the digest of what was seen.

        `observe` adds to the digest, so compare only digests with equal `observe`.
        """
        seen = hashlib.sha256()
        for frame in self.frames(observe, loader):
            for array in frame.arrays.values():
                seen.update(array.tobytes())
            seen.update(bytes([frame.end]) + frame.game.text)
            if frame.end:
                break
        return replace(self, digest=seen.hexdigest())

    def save(self, file: Path) -> None:
        names = [actions.NAMES[action] for action in self.actions]
        content = asdict(self) | {"nle": NLE_VERSION, "seeds": self.seeds._asdict(), "actions": names}
        file.write_text(json.dumps(content, indent=1) + "\n")

    def check(self) -> None:
        """Raises TypeError or ValueError, saying what is wrong, if a field has an impossible value."""
        if not all(type(seed) is int and 0 <= seed < 2**63 for seed in self.seeds):
            raise ValueError(f"seeds must be whole numbers from 0, not {tuple(self.seeds)}")
        for name in ("character", "options", "arena", "digest"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "character"):
                raise TypeError(f"'{name}' must be text, not {value!r}")
        if self.pages not in get_args(Pages) or type(self.leave) is not bool:
            raise ValueError(f"pages is {self.pages!r}, leave is {self.leave!r}")

    @staticmethod
    def load(file: Path) -> "Recording":
        """Raises UserError, naming the file, unless it is a recording made with this version of NLE."""
        content = read_json(file)
        try:
            if content.pop("nle") != NLE_VERSION:
                raise UserError(f"was recorded with another version of nle; {NLE_VERSION} is needed")
            seeds = EpisodeSeeds(**content.pop("seeds"))
            played = tuple(actions.action(name) for name in content.pop("actions"))
            recording = Recording(seeds, played, **content)
            recording.check()
        except UserError as error:
            raise UserError(f"{file}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file}: is not a recorded game: {error!r}") from error
        return recording
