"""When training does what, counted in updates."""

from typing import Literal, NamedTuple

from maestromotif.config.learning import TrainSettings


class Schedule(NamedTuple):
    """The number of updates, and after which ones to write a row or a checkpoint.

    Updates are counted from 1: update u learns from rollout u - 1.
    """

    steps: int  # environment steps per update, over all machines
    updates: int
    lag: int  # how many updates the acting policy is behind the newest
    a_row: int  # updates between rows of the curve
    a_checkpoint: int  # updates between checkpoints, a multiple of `a_row`
    rate: float  # Adam's learning rate of the first update
    anneal: Literal["none", "linear"]

    def parameters_of(self, rollout: int) -> int:
        """Number of updates after which the parameters play a rollout; rollouts count from 0."""
        return max(0, rollout - self.lag)

    def learning_rate(self, update: int) -> float:
        """Of an update: constant, or linear from `rate` down to `rate / updates` at the last one."""
        return self.rate * (1 - (update - 1) / self.updates) if self.anneal == "linear" else self.rate

    def row_after(self, update: int) -> bool:
        return update % self.a_row == 0 or update == self.updates

    def checkpoint_after(self, update: int) -> bool:
        """Not after the last update, which writes the policy instead."""
        return update % self.a_checkpoint == 0 and update < self.updates

    def paid_after(self, update: int) -> bool:
        """Whether to write what training paid for: at checkpoints and at the end."""
        return self.checkpoint_after(update) or update == self.updates


def schedule(settings: TrainSettings, games: int) -> Schedule:
    """games: the total over all machines."""
    steps = games * settings.rollout
    a_row = max(1, settings.curve_steps // steps)
    a_checkpoint = a_row * max(1, settings.checkpoint_steps // (steps * a_row))
    updates = -(-settings.steps // steps)
    return Schedule(
        steps, updates, settings.lag, a_row, a_checkpoint, settings.learning_rate, settings.anneal
    )
