"""One real game in an arena, followed by a Tracker as the pool's workers do it."""

from collections import Counter
from pathlib import Path

import numpy as np

from maestromotif.nethack import arena
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.engine.loader import Loader, choose
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End, Setup
from maestromotif.nethack.observation import DEPTH, ENGINE, SCREEN, engine_layout
from maestromotif.nethack.rcfile import write_options
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.nethack.state import CHANGES
from maestromotif.nethack.tracker import TRACKED, Tracker


class Play:
    """Plays actions by name; `events` counts what happened since the last reset.

    name: an arena, or None for the dungeon. wizard: whether NetHack's wizard mode is on. own: a file of
    options.
    """

    def __init__(
        self,
        name: str | None,
        folder: Path,
        loader: Loader = "auto",
        wizard: bool = False,
        own: Path | None = None,
    ) -> None:
        layout = engine_layout((*ENGINE, *SCREEN))
        self.obs = {key: np.zeros((1, *shape), dtype) for key, (shape, dtype) in layout.items()}
        built = None if name is None else arena.build(name, folder / "dungeon")
        options = write_options(folder, file=own)
        if wizard:
            with Path(options.removeprefix("@")).open("a") as file:
                file.write("OPTIONS=playmode:debug\n")
        setup = Setup(choose(loader), options, folder, built)
        self.game = setup.open({key: array[0] for key, array in self.obs.items()})
        self.tracker = Tracker(
            np.zeros((1, len(TRACKED)), np.int32),
            np.zeros((1, len(CHANGES)), np.int8),
            np.zeros((1, len(EVENTS)), np.int16),
        )
        self.events: Counter[str] = Counter()
        self._action = np.zeros(1, np.int64)

    def reset(self, seed: int) -> None:
        self.game.reset(EpisodeSeeds(seed, seed, seed))
        self.tracker.begin(0, self.obs, self.game.starting_letters)
        self.events.clear()

    def __call__(self, actions: str) -> End:
        """Plays until the episode ends or the actions do."""
        for action in actions.split():
            self._action[:] = INDEX[action]
            if end := self.game.step(INDEX[action]):
                self.tracker.over(0, self.text, end is End.DEATH)
                self._count()
                return end
            self._follow(self._action)
        return End.NOT

    def keys(self, keys: str, action: str | None = None) -> None:
        """Keys that are none of the 28 actions. action: in whose place they stand."""
        for key in keys:
            self.game._send(ord(key))
        self.game._answer_prompts()
        self._follow(None if action is None else np.array([INDEX[action]]))

    def wish(self, thing: str) -> str:
        """The inventory letter of a thing that is wished for, in wizard mode."""
        before = set(self.obs["inv_letters"][0].tolist())
        self.keys(f"\x17{thing}\r")
        (letter,) = set(self.obs["inv_letters"][0].tolist()) - before
        return chr(letter)

    @property
    def text(self) -> bytes:
        return self.game.text

    @property
    def depth(self) -> int:
        return int(self.obs["blstats"][0, DEPTH])

    def now(self, field: str) -> int:
        return int(self.tracker.state[0, TRACKED.index(field)])

    def screen(self) -> str:
        return "\n".join(row.tobytes().decode("latin1").rstrip() for row in self.obs["tty_chars"][0])

    def _follow(self, action: np.ndarray | None) -> None:
        self.tracker.update(self.obs, [self.text], np.ones(1, bool), action)
        self._count()

    def _count(self) -> None:
        for name, count in zip(EVENTS, self.tracker.events[0].tolist(), strict=True):
            if count:
                self.events[name] += count
