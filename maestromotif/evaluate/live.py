"""Shows what `watch.play` plays: redrawn on a terminal, or as lines of text anywhere else."""

import os
import textwrap
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import numpy as np

from maestromotif.errors import UserError
from maestromotif.evaluate.watch import Episode, Moment, Outcome, Switch
from maestromotif.nethack import terminal

COLUMNS, ROWS = 80, 30  # the smallest terminal: 24 rows of the game, and ours

# The colours of the skills: Okabe and Ito's, which colour-blind people can keep apart, nearest of 256.
_COLOURS = (32, 214, 36, 166, 175, 227, 74, 250)

GREY = "\x1b[90m"

Shown = Episode | Moment | Outcome


def show(
    played: Iterable[Shown], skills: Sequence[str], out: TextIO, fps: float, episodes: int | None
) -> None:
    """Show episodes until there were `episodes` of them; None: without end.

    fps: steps a second on a terminal; elsewhere they are played as fast as possible.
    """
    if out.isatty():
        with _alternate_screen(out):
            _each(played, Screen(skills, out, fps), episodes)
    else:
        _each(played, Lines(skills, out), episodes)


def check_terminal(out: TextIO) -> None:
    """Raises UserError if `out` is a terminal that is too small."""
    if out.isatty():
        columns, rows = _size(out)
        if columns < COLUMNS or rows < ROWS:
            raise UserError(
                f"watch: the terminal has {columns} x {rows} characters and {COLUMNS} x {ROWS} are needed; "
                "make it larger, or write lines of text with: maestromotif watch ... | cat"
            )


class Tally:
    """Steps and rewards of the running call and of the episode."""

    def __init__(self, skills: Sequence[str]) -> None:
        self.names = list(skills)
        self.steps = np.zeros(len(skills), np.int64)
        self.rewards = np.zeros(len(skills))
        self.skill, self.call_steps, self.call_reward = -1, 0, 0.0

    def add(self, reward: float | None) -> None:
        """A step of the running skill."""
        self.steps[self.skill] += 1
        self.rewards[self.skill] += reward or 0.0
        self.call_steps += 1
        self.call_reward += reward or 0.0

    def switch(self, skill: int) -> None:
        self.skill, self.call_steps, self.call_reward = skill, 0, 0.0


class Lines:
    """A line for each call, and one for each episode."""

    def __init__(self, skills: Sequence[str], out: TextIO) -> None:
        self._skills, self._out = skills, out

    def episode(self, episode: Episode) -> None:
        self._tally = Tally(self._skills)
        version = episode.version
        self._print(f"episode {episode.number}: policy of step {version.step:,} ({version.path})")

    def moment(self, moment: Moment) -> None:
        if moment.step:
            self._tally.add(moment.reward)
        if moment.switch is not None:
            switch, name = moment.switch, self._skills[moment.skill]
            after = f"after {self._call(switch, moment.reward is not None)}; " if switch.before else ""
            told = f"because {switch.told}; " if switch.told else ""
            self._print(f"{moment.step:>6}  {name}  {told}{after}read {switch.read}")
            self._tally.switch(moment.skill)

    def outcome(self, outcome: Outcome) -> None:
        self._tally.add(outcome.reward)
        shares = [
            f"{name} {steps} steps" + (f", reward {reward:+.2f}" if outcome.reward is not None else "")
            for name, steps, reward in zip(
                self._skills, self._tally.steps.tolist(), self._tally.rewards.tolist(), strict=True
            )
            if steps
        ]
        self._print(
            f"{outcome.steps:>6}  {outcome.words}; deepest level {outcome.deepest}; {'; '.join(shares)}"
        )

    def _call(self, switch: Switch, paid: bool) -> str:
        reward = f", reward {self._tally.call_reward:+.2f}" if paid else ""
        return f"{switch.before} ({self._tally.call_steps} steps{reward}, {switch.why})"

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class Screen:
    """The game's screen, and below it the skills, the reward and the program's last decision."""

    def __init__(self, skills: Sequence[str], out: TextIO, fps: float) -> None:
        self._skills, self._out, self._seconds = skills, out, 1 / fps
        self._next = time.monotonic()
        self._shown: tuple[np.ndarray, np.ndarray] | None = None
        self._size = (0, 0)
        self._last = ""  # how the last episode ended

    def episode(self, episode: Episode) -> None:
        self._episode, self._tally = episode, Tally(self._skills)
        self._band: deque[tuple[int, bool]] = deque(maxlen=COLUMNS)
        self._message, self._why = "", ""

    def moment(self, moment: Moment) -> None:
        if moment.step:
            self._tally.add(moment.reward)
            self._band.append((self._tally.skill, self._tally.call_steps == 1))
        if moment.switch is not None:
            self._why = self._decision(moment.step, moment.switch, moment.skill)
            self._tally.switch(moment.skill)
        self._message = moment.message or self._message
        self._wait()
        self._draw(moment)

    def outcome(self, outcome: Outcome) -> None:
        self._last = f"episode {self._episode.number}: {outcome.words} after {outcome.steps} steps"
        self._write(_row(self._size[1] - 1, f"{self._last}; reading the newest checkpoint"))
        time.sleep(min(2.0, 16 * self._seconds))

    def _decision(self, step: int, switch: Switch, skill: int) -> str:
        name = self._skills[skill]
        begins = f"{switch.before} ({switch.why}) → {name}" if switch.before else name
        told = f": {switch.told}" if switch.told else ""
        return f"step {step}: {begins}{told}. Read: {switch.read}"

    def _wait(self) -> None:
        self._next = max(self._next + self._seconds, time.monotonic())
        time.sleep(max(0.0, self._next - time.monotonic()))

    def _draw(self, moment: Moment) -> None:
        size = _size(self._out)
        if size != self._size:
            self._size, self._shown = size, None
        if size[0] < COLUMNS or size[1] < ROWS:
            need = f"The terminal is too small: {COLUMNS} x {ROWS} characters are needed."
            self._write(terminal.CLEAR + terminal.place(0, 0) + need[: size[0]])
            self._shown = None
            return
        game = terminal.draw(moment.chars, moment.colours, moment.cursor, self._shown)
        self._shown = moment.chars, moment.colours
        if not moment.message:  # the last one stays, in grey
            game += f"{terminal.place(0, 0)}{GREY}{self._message[:COLUMNS]}{terminal.RESET}"
        below = [_row(24 + row, line) for row, line in enumerate(self._below(moment))]
        row, column = moment.cursor.tolist()
        self._write(game + "".join(below) + terminal.place(row, column))

    def _below(self, moment: Moment) -> list[str]:
        """The rows below the game: band, skills, figures, the decision, what is played."""
        tally, state, width = self._tally, moment.state, self._size[0]
        longest = width // len(self._skills) - 4
        names = "  ".join(
            f"{_coloured(k, '▶' if k == moment.skill else '█')} {name[:longest]}"
            for k, name in enumerate(self._skills)
        )
        paid = ""
        if moment.reward is not None:
            call = f"call {tally.call_reward:+.2f} in {tally.call_steps} steps"
            paid = f"reward {moment.reward:+.2f}, {call}, episode {tally.rewards.sum():+.2f}; "
        room = self._size[1] - ROWS + 2  # rows for the decision
        why = [*textwrap.wrap(self._why, width), *[""] * room][:room]
        number, policy = self._episode.number, self._episode.version.step
        status = (
            f"step {moment.step} of episode {number}; policy of step {policy:,}; Ctrl-C ends. {self._last}"
        )
        return [
            "".join(_coloured(k, "▐" if begins else "█") for k, begins in self._band),
            names,
            f"{paid}depth {state['depth']}, hp {state['hp']} of {state['max_hp']}"[:width],
            *why,
            status[:width],
        ]

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _row(row: int, text: str) -> str:
    return f"{terminal.place(row, 0)}{terminal.RESET}{text}{terminal.RESET}{terminal.REST_OF_LINE}"


def _coloured(skill: int, text: str) -> str:
    return f"\x1b[38;5;{_COLOURS[skill % len(_COLOURS)]}m{text}{terminal.RESET}"


def _each(played: Iterable[Shown], view: Lines | Screen, episodes: int | None) -> None:
    for shown in played:
        if isinstance(shown, Episode):
            view.episode(shown)
        elif isinstance(shown, Moment):
            view.moment(shown)
        else:
            view.outcome(shown)
            if episodes is not None:
                episodes -= 1
                if not episodes:
                    return


@contextmanager
def _alternate_screen(out: TextIO) -> Iterator[None]:
    """The terminal's second screen, and at the end its first one as it was."""
    out.write(f"\x1b[?1049h{terminal.CLEAR}{terminal.place(0, 0)}The game starts in a few seconds.")
    out.flush()
    try:
        yield
    finally:
        out.write(f"{terminal.RESET}\x1b[?25h\x1b[?1049l")
        out.flush()


def _size(out: TextIO) -> tuple[int, int]:
    """Columns and rows of a terminal."""
    size = os.get_terminal_size(out.fileno())
    return size.columns, size.lines
