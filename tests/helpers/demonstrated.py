"""Demonstrations of a small rule in real games, as the stage `demonstrate` writes them."""

from pathlib import Path

import numpy as np

from maestromotif.config.schema import Config
from maestromotif.demonstrate.recordings import FILE, Recording, write
from maestromotif.nethack.actions import INDEX
from maestromotif.nethack.checksum import checksum
from maestromotif.nethack.game import End
from maestromotif.nethack.pool.pool import open_pool
from maestromotif.nethack.seeds import episode_seeds
from maestromotif.pipeline.store import Work

# What each skill does, whatever it sees.
RULE = [INDEX[name] for name in ("east", "search", "west")]
GAMES, STEPS, CALL = 8, 40, 5


def recordings(config: Config) -> list[Recording]:
    """One recording per game, of different lengths; every fourth step has no label."""
    made = []
    seeds = [episode_seeds("collect", 5, game, 0) for game in range(GAMES)]
    with open_pool(config, "collect", GAMES, STEPS + 1, seeds=[[one] for one in seeds]) as pool:
        pool.reset()
        skill = np.arange(STEPS)[:, None] // CALL % len(RULE) + np.zeros(GAMES, int)
        actions, lengths = np.array(RULE)[skill], STEPS - np.arange(GAMES)
        checks = np.zeros(GAMES, np.int64)
        for t in range(STEPS):
            pool.step(actions[t])
            over = pool.ended != End.NOT
            lengths = np.where(over & (t < lengths), t + 1, lengths)
            for game in np.flatnonzero(lengths == t + 1).tolist():
                checks[game] = checksum(pool.final if over[game] else pool.obs, game)
    for game, (own, length) in enumerate(zip(seeds, lengths.tolist(), strict=True)):
        labels = actions[:length, game].astype(np.int32)
        made.append(
            Recording(
                own,
                None,
                labels.copy(),
                np.where(np.arange(length) % 4 == 3, -1, labels).astype(np.int32),
                skill[:length, game].astype(np.int32),
                np.arange(length) % CALL == 0,
                int(checks[game]),
            )
        )
    return made


def write_demonstrations(folder: Path, config: Config) -> Path:
    """A file of `recordings`."""
    write(Work(folder), recordings(config), config)
    return folder / FILE
