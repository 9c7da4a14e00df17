"""Plays a kept episode again, and notes what a page shows of it: screens, rewards, decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from maestromotif.agent.episodes import Episode
from maestromotif.agent.reward import RewardFunction
from maestromotif.config.schema import NethackSettings
from maestromotif.nethack.checksum import checksum
from maestromotif.nethack.events import EVENTS
from maestromotif.nethack.game import End
from maestromotif.nethack.observation import COLUMNS, DEPTH, HP, MAX_HP, ROWS, SCREEN
from maestromotif.nethack.recording import Frame, Recording
from maestromotif.nethack.seeds import EpisodeSeeds
from maestromotif.nethack.state import CHANGES, DEPTH_CHANGE
from maestromotif.nethack.tracker import TRACKED, Tracker, depth_codes
from maestromotif.programs.decisions import Decisions, Value
from maestromotif.replay import replay
from maestromotif.replay.replay import Call, Replay
from maestromotif.skill import Skill

_ONE = np.ones(1, bool)


def recording(settings: NethackSettings, episode: Episode) -> Recording:
    """The episode as a recorded game. settings: those that it was played with."""
    return Recording(
        EpisodeSeeds(*episode.seeds),
        tuple(episode.actions),
        settings.character,
        settings.options,
        arena=episode.arena,
        pages=settings.pages,
        leave=episode.leave,
    )


def play_again(
    settings: NethackSettings,
    skills: Sequence[Skill],
    program: str,
    reward: RewardFunction,
    episode: Episode,
    title: str,
    label: str,
) -> Replay:
    """Plays the episode again, to its recorded end.

    program: source of the program over skills that chose. reward: for a single game, new or not used before.
    If the game does not come to the end that was recorded, the replay's `warning` says so.
    """
    notes = _Notes()
    watcher = _Watcher(skills, program, reward)
    frames = recording(settings, episode).frames(SCREEN)
    frame = next(frames)
    watcher.begin(frame)
    calls = dict(_starts(episode))
    ended = False
    try:
        for step in range(episode.steps):
            notes.see(frame, ended=False)
            if step in calls:
                watcher.switch(*calls[step])
            frame = next(frames)
            ended = frame.end != End.NOT
            notes.reward.append(watcher.step(frame, episode.skills[step], episode.actions[step]))
            if ended:
                break
        notes.see(frame, ended)
        warning = _compared(episode, frame, len(notes.reward))
    finally:
        frames.close()
    steps = len(notes.reward)
    return Replay(
        **{name: np.stack(getattr(notes, name)) for name in ("chars", "colours", "cursor")},
        **{name: np.array(getattr(notes, name), np.int16) for name in ("depth", "hp", "max_hp")},
        messages=notes.messages,
        action=np.array(episode.actions[:steps], np.uint8),
        skill=np.array(episode.skills[:steps], np.int8),
        reward=np.array(notes.reward, np.float32),
        calls=[
            Call(
                *(start, min(stop, steps), skill, calls[start][1]),
                *watcher.tables[number],
                told=episode.told.get(start, ""),
            )
            for number, (start, stop, skill) in enumerate(replay.calls_of(episode.skills, episode.switched))
            if start < steps
        ],
        skills=[skill.name for skill in skills],
        title=title,
        label=label,
        end=in_words(episode),
        warning=warning,
    )


def in_words(episode: Episode) -> str:
    """How the episode ended."""
    words = {
        "success": "success: the task was done",
        "death": f"death: {episode.cause or 'of an unknown cause'}",
        "failure": "the task could no longer be achieved",
        "left": "the agent left the dungeon",
        "truncated": "cut off at the most steps allowed",
    }
    return words.get(episode.end, episode.end)


def _starts(episode: Episode) -> list[tuple[int, tuple[int, int]]]:
    """(step, (skill, reason)) of each call."""
    return [
        (start, (skill, episode.reasons[start] if start else 0))
        for start, _, skill in replay.calls_of(episode.skills, episode.switched)
    ]


def _compared(episode: Episode, frame: Frame, steps: int) -> str:
    """What differs between the recorded end and the one that was played now; empty if nothing does."""
    over = frame.end != End.NOT
    same_end = episode.end == "success" or over == (episode.end in ("death", "left"))
    if same_end and steps == episode.steps and _seen_last(frame) == episode.check:
        return ""
    now = f"after {steps} steps by {frame.end.name.lower()}" if over else f"after {steps} steps, still alive"
    return (
        "This is not the game that was played: it should end as recorded "
        f"(after {episode.steps} steps: {in_words(episode)}; checksum {episode.check:08x}), but played again "
        f"it ends {now} (checksum {_seen_last(frame):08x}). Was NLE, the character or the options changed?"
    )


def _seen_last(frame: Frame) -> int:
    if frame.end == End.NOT:
        return checksum(frame.arrays, 0)
    return checksum({name: array[None] for name, array in frame.game.final.items()}, 0)


@dataclass
class _Notes:
    """One entry a frame, rewards one a step."""

    chars: list[np.ndarray] = field(default_factory=list)
    colours: list[np.ndarray] = field(default_factory=list)
    cursor: list[np.ndarray] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    hp: list[int] = field(default_factory=list)
    max_hp: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)

    def see(self, frame: Frame, ended: bool) -> None:
        if ended:
            self._see_the_end(frame)
            return
        arrays = frame.arrays
        for own, name in zip((self.chars, self.colours, self.cursor), SCREEN, strict=True):
            own.append(arrays[name][0].copy())
        self._status(arrays["blstats"][0])
        self.messages.append(_text(arrays["message"][0]))

    def _see_the_end(self, frame: Frame) -> None:
        """The terminal is cleared when a game is over: draw the last map and message instead."""
        final = frame.game.final
        chars, colours = self.chars[-1].copy(), self.colours[-1].copy()
        if final["chars"].any():
            chars[1 : ROWS + 1, :COLUMNS] = final["chars"]
            colours[1 : ROWS + 1, :COLUMNS] = final["colors"]
            self._status(final["blstats"])
        else:
            for own in (self.depth, self.hp, self.max_hp):
                own.append(own[-1])
        text = _text(final["message"])
        chars[0], colours[0] = ord(" "), 7
        shown = text.encode("latin-1")[: chars.shape[1]]
        chars[0, : len(shown)] = np.frombuffer(shown, np.uint8)
        self.chars.append(chars)
        self.colours.append(colours)
        self.cursor.append(self.cursor[-1])
        self.messages.append(text)

    def _status(self, blstats: np.ndarray) -> None:
        self.depth.append(int(blstats[DEPTH]))
        self.hp.append(int(blstats[HP]))
        self.max_hp.append(int(blstats[MAX_HP]))


class _Watcher:
    """Follows GameState as in training: the reward of each step, and what programs read at each switch."""

    def __init__(self, skills: Sequence[Skill], program: str, reward: RewardFunction) -> None:
        self._tracker = Tracker(
            np.zeros((1, len(TRACKED)), np.int32),
            np.zeros((1, len(CHANGES)), np.int8),
            np.zeros((1, len(EVENTS)), np.int16),
        )
        self._state = {name: self._tracker.state[:, column] for column, name in enumerate(TRACKED)}
        self._decisions = Decisions(program, skills, 1)
        self._reward = reward
        self._running = -1
        self._names = [skill.name for skill in skills]
        # Of each call: values, values before, and readers, as in `Call`.
        self.tables: list[tuple[dict[str, Value], dict[str, Value], dict[str, list[str]]]] = []

    def begin(self, frame: Frame) -> None:
        self._tracker.begin(0, frame.arrays, frame.game.starting_letters)
        self._note_start()

    def switch(self, skill: int, reason: int) -> None:
        """A call of this skill begins."""
        state = {
            **self._state,
            "skill_steps": self._state["step"] - self._start["step"],
            "skill_turns": self._state["turn"] - self._start["turn"],
            "skill_start_depth": self._start["depth"],
        }
        found = self._decisions.follow(state, np.array([self._running]), np.array([skill]), _ONE)[0]
        reads = self._decisions.reads
        readers = {name: reads.readers(name, self._running, self._names) for name in found.values}
        self.tables.append((found.values, found.before, readers))
        self._running = skill
        self._note_start()

    def step(self, frame: Frame, skill: int, action: int) -> float:
        """The reward of the step, with this action under this skill, that led to this frame."""
        tracker, over = self._tracker, frame.end != End.NOT
        if over:
            final = frame.game.final
            message, depth = final["message"][None], final["blstats"][None, DEPTH]
            tracker.changes[:] = 0
            if not depth.any():  # the game ended without a last screen
                depth = self._state["depth"]
        else:
            message, depth = frame.arrays["message"], frame.arrays["blstats"][:, DEPTH]
            tracker.update(frame.arrays, [frame.game.text], _ONE, np.array([action]))
        tracker.changes[:, DEPTH_CHANGE] = depth_codes(self._start["depth"], depth)
        numbers = self._reward.messages.numbers(message)
        return float(self._reward(numbers, tracker.changes, np.array([skill]), np.array([over]))[0])

    def _note_start(self) -> None:
        self._start = {name: self._state[name].copy() for name in ("step", "turn", "depth")}


def _text(message: np.ndarray) -> str:
    return message.tobytes().partition(b"\0")[0].decode("latin-1")
