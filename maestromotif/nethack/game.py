"""One game of NetHack: seeded resets and steps. A step is an action, its macro and the prompts that follow.

The rules for actions, macros and prompts are those of the published agent (tables in `actions.py`). Training,
evaluation and collection all use this module.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal

import numpy as np
from nle import nethack

from maestromotif.errors import UserError
from maestromotif.nethack import actions, glyphs, truth
from maestromotif.nethack.arena import ARENA_DEPTH, Arena
from maestromotif.nethack.engine.hangup import handle_again
from maestromotif.nethack.engine.loader import Engine, open_engine
from maestromotif.nethack.hidden import Searches
from maestromotif.nethack.loot import Loot
from maestromotif.nethack.observation import COLUMNS, DEPTH, FINAL, HP, MESSAGE_BYTES, ROWS, TURN
from maestromotif.nethack.seeds import EpisodeSeeds

# The most prompts answered in one step; NetHack asks far fewer unless it is stuck.
MAX_KEYS = 100
_NOT_FOR_SALE = (nethack.FOOD_CLASS, nethack.COIN_CLASS)
_YN, _GETLIN, _MORE = 0, 1, 2  # misc: waits for one key, for a line of text, for a space
_MACROS = frozenset(actions.ACTIONS[name] for name in ("wait", "cast", "drop", "enhance"))
_COMPASS = {
    ord("k"): (0, -1), ord("l"): (1, 0), ord("j"): (0, 1), ord("h"): (-1, 0),
    ord("u"): (1, -1), ord("n"): (1, 1), ord("b"): (-1, 1), ord("y"): (-1, -1),
}  # fmt: skip
_OFFERED = re.compile(rb"\[([a-zA-Z])")


Pages = Literal["all", "last"]


class End(IntEnum):
    """How an episode ended. Only after TRUNCATED may the value of the last state be bootstrapped."""

    NOT = 0
    DEATH = 1
    LEFT = 2
    TRUNCATED = 3
    LOST = 4  # its worker process died


class BrokenGameError(Exception):
    """NetHack could not go on, for example without its files; says so in NetHack's words."""


@dataclass(frozen=True)
class Setup:
    """How games are made.

    options: what `rcfile.write_options` returns. folder: an existing folder for the games' temporary files.
    arena: where episodes begin; None: in the dungeon. pages: what the observation's message is after a step
    with several pages: all of them, or the last, as published. leave: whether the agent answers the question
    whether to leave the dungeon; else the answer is no.
    """

    loader: Literal["shared", "stock"]
    options: str
    folder: Path
    arena: Arena | None = None
    pages: Pages = "last"
    leave: bool = False

    def open(self, arrays: Mapping[str, np.ndarray]) -> "Game":
        """A game that writes its observations into the given arrays (rows of a `Block`, one game)."""
        hackdir, opening = (self.arena.hackdir, self.arena.opening) if self.arena else (None, ())
        engine = open_engine(self.loader, arrays, self.options, hackdir, self.folder)
        return Game(arrays, engine, opening, self.pages, self.leave, self.arena is not None)


def _healing_glyph() -> int:
    """Glyph of the spellbook of healing, the only starting spell that the hero casts on herself."""
    for index in range(nethack.NUM_OBJECTS):
        item = nethack.objclass(index)
        if ord(item.oc_class) == nethack.SPBOOK_CLASS and nethack.OBJ_NAME(item) == "healing":
            return int(nethack.GLYPH_OBJ_OFF) + index
    raise RuntimeError("this NLE has no spellbook of healing")


class Game:
    """A game whose engine writes its observations into the given arrays.

    After `step`, `text` holds all message pages of that step, including the last one.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        engine: Engine,
        opening: tuple[int, ...] = (),
        pages: Pages = "last",
        leave: bool = False,
        in_arena: bool = False,
    ) -> None:
        self._in_arena = in_arena
        self._arrived = False  # in an earlier episode, so that the opening is right
        self._engine, self._opening, self._shows_all = engine, opening, pages == "all"
        self._questions = (*actions.AGENT_QUESTIONS, *((actions.LEAVE_QUESTION,) if leave else ()))
        self._over = engine.over
        self._obs = arrays
        # Views that are indexed at every step: faster than arrays.
        self._misc = arrays["misc"].data
        self._message = arrays["message"].view(f"S{MESSAGE_BYTES}")
        self._program = arrays["program_state"]
        self._healing = _healing_glyph()
        self.final = {name: np.zeros_like(arrays[name]) for name in FINAL}
        self.searches = Searches()
        self._loot = Loot()
        self.text = b""

    def reset(self, seeds: EpisodeSeeds) -> None:
        """Begin an episode.

        Raises RuntimeError when NetHack does not reach its first move, UserError if the opening of an arena
        does not lead into it.
        """
        # NetHack adds a line to each of these at the end of a game, and takes names of statues from `record`.
        for name in ("xlogfile", "logfile", "record"):
            (self._engine.folder / name).write_bytes(b"")
        self._engine.start(seeds)
        self.searches.reset()
        self._loot.reset()
        self._send = self._engine.send
        for _ in range(MAX_KEYS):
            if self._program[3] and not any(self._misc):
                break
            # One hero in ten thousand is asked for a line of text: she begins on a scroll that turns to dust.
            self._send(actions.ESC if self._misc[_GETLIN] else actions.SPACE)
        else:
            raise RuntimeError(f"NetHack asked {MAX_KEYS} questions before the first move: {self._page()!r}")
        self.starting_letters = frozenset(self._obs["inv_letters"].tolist())
        self._heals = bool((self._obs["inv_glyphs"] == self._healing).any())
        self.text = self._page()
        for action in self._opening:
            if self.step(action) is not End.NOT:
                raise RuntimeError(f"the hero died on the way to the first observation: {self.text!r}")
        if self._in_arena and not self._arrived and int(self._obs["blstats"][DEPTH]) != ARENA_DEPTH:
            names = " ".join(actions.NAMES[action] for action in self._opening)
            raise UserError(
                f"the opening of an arena leads to level {int(self._obs['blstats'][DEPTH])}, but the arena "
                f"is level {ARENA_DEPTH}; correct the line '# opening: {names}' of its file"
            )
        self._arrived = True

    def step(self, action: int) -> End:
        """Play action number `action` (`actions.NAMES`) and the keys that belong to it."""
        key, misc = actions.KEYS[action], self._misc
        searches, turn = action in actions.SEARCHES, self._turn()
        if misc[_YN]:
            self._answer(key)
        elif action == actions.SEARCH_HIDDEN:
            searches = self._search_hidden()
        elif action == actions.TRAVEL_LOOT:
            self._travel_loot()
        elif len(actions.SENT[action]) > 1 and key == actions.TRAVEL:
            self._travel(actions.SENT[action])
        elif len(actions.SENT[action]) > 1:  # a command with a count
            for one in actions.SENT[action]:
                self._send(one)
        elif key == actions.FIGHT:
            self._fight()
        elif key in _MACROS:
            self._play_macro(key)
        else:
            self._send(key)
        if misc[_YN] or misc[_GETLIN] or misc[_MORE] or self._over():
            self._answer_prompts()
            paged = True
        else:  # most steps
            self.text = self._page()
            paged = False
        if b"feel more confident" in self.text and not self._over() and not misc[_YN]:
            said = self.text
            self._enhance()
            self._answer_prompts()
            self.text = said + b" " + self.text
            paged = True
        if self._over():
            return self._end()
        if searches:
            self.searches.add(self._obs["blstats"], max(0, self._turn() - turn))
        if paged and self._shows_all and not misc[_YN]:  # an open question must stay readable
            self._show(b" ".join(self.text.split()))
        return End.NOT

    def truth(self) -> tuple[int, ...]:
        """The game's own numbers, in the order of `truth.TRUTH`: for judges only."""
        return truth.read(self._engine)

    def keep_final(self) -> None:
        """Copy the current observation to `final`: the episode is cut off here."""
        for name, array in self.final.items():
            array[...] = self._obs[name]

    def cause(self) -> bytes:
        """The cause of death in NetHack's words: "killed by a jackal, while praying"."""
        entry = (self._engine.folder / "xlogfile").read_bytes().rpartition(b"\tdeath=")[2]
        cause, *others = entry.split(b"\n")[0].split(b"\t")
        return b"".join([cause, *(b", while " + one[6:] for one in others if one.startswith(b"while="))])

    def folder(self) -> Path:
        """Where NetHack keeps the files of this game."""
        return self._engine.folder

    def close(self) -> None:
        self._engine.close()

    def _page(self) -> bytes:
        page: bytes = self._message.item()
        return page

    def _show(self, text: bytes) -> None:
        """Make this the observation's message, as much of it as fits."""
        shown = np.frombuffer(text[: MESSAGE_BYTES - 1], np.uint8)
        self._obs["message"][:] = 0
        self._obs["message"][: len(shown)] = shown

    def _answer(self, key: int) -> None:
        """Answer the agent's question with `key`. For food and drink, yes chooses the first item offered."""
        question = self._page()
        if question.startswith((b"What do you want to eat?", b"What do you want to drink?")):
            offered = _OFFERED.search(question)
            key = offered[1][0] if offered and key == actions.YES else actions.SPACE
        self._send(key)

    def _travel(self, keys: bytes) -> None:
        """Send `_`, and the keys of the target only if NetHack asks for one: otherwise they are commands."""
        send, misc = self._send, self._misc
        send(keys[0])
        for key in keys[1:]:
            while misc[_MORE]:
                send(actions.SPACE)
            if key == keys[1] and actions.TRAVEL_QUESTION not in self._page():
                return
            send(key)
        closed = any(said in self._page() for said in actions.CLOSED_DOOR)
        if closed and not any(misc) and not self._over():
            self._open_door()

    def _open_door(self) -> None:
        """Step into the closed door beside the hero, which opens it unless it is locked."""
        x, y = self._obs["blstats"][:2].tolist()
        for key in b"hlkj":  # doors cannot be entered diagonally
            dx, dy = _COMPASS[key]
            if glyphs.CLOSED[self._obs["glyphs"][min(y + dy, ROWS - 1), min(x + dx, COLUMNS - 1)]]:
                self._send(key)
                return

    def _search_hidden(self) -> bool:
        """Travel to where something may be hidden, or search if the hero is there; returns whether she is."""
        x, y = self._obs["blstats"][:2].tolist()
        to_x, to_y = self.searches.place(self._obs)
        if (to_x, to_y) == (x, y):
            for one in actions.SENT[actions.INDEX["search_long"]]:
                self._send(one)
            return True
        if not self._travel_to(to_x, to_y):
            self.searches.give_up(self._obs["blstats"], (to_x, to_y))
        return False

    def _travel_loot(self) -> None:
        """Travel to the nearest object that walking picks up; without any, search."""
        before = self._obs["blstats"][:2].tolist()
        place = self._loot.place(self._obs)
        if place is None:
            self._send(actions.ACTIONS["search"])
            return
        beside, direction = place
        if before != list(beside):
            self._travel_to(*beside)
        if not any(self._misc) and not self._over() and self._obs["blstats"][:2].tolist() == list(beside):
            self._send(actions.KEYS[actions.INDEX["north"] + direction])
        if not self._over() and self._obs["blstats"][:2].tolist() == before:
            self._loot.give_up(self._obs["blstats"], *place)

    def _travel_to(self, to_x: int, to_y: int) -> bool:
        """Travel to a square of the map; False if the hero did not move, because something is in the way."""
        x, y = self._obs["blstats"][:2].tolist()
        # The cursor moves by one square with small letters, by eight with capitals.
        keys = b""
        for way, (less, more) in ((to_x - x, b"hl"), (to_y - y, b"kj")):
            key = more if way > 0 else less
            keys += bytes([key - 32] * (abs(way) // 8) + [key] * (abs(way) % 8))
        self._travel(b"_@" + keys + b".")
        return bool(self._over()) or self._obs["blstats"][:2].tolist() != [x, y]

    def _turn(self) -> int:
        return int(self._obs["blstats"][TURN])

    def _fight(self) -> None:
        """Attack a displayed monster beside the hero that may be attacked; without any, search.

        Pets, peaceful monsters and those of `glyphs.UNTOUCHABLE` may not.

        NetHack's own fight command attacks peaceful monsters without a question, which is fatal with
        shopkeepers. Walking into a monster asks; the answer is no, which takes no time.
        """
        x, y = self._obs["blstats"][:2].tolist()
        shown, misc, none = self._obs["glyphs"], self._misc, True
        weak = int(self._obs["blstats"][HP]) <= glyphs.BLAST
        spared = glyphs.UNTOUCHABLE_OR_SPORE if weak else glyphs.UNTOUCHABLE
        for key, (dx, dy) in _COMPASS.items():
            row, column = y + dy, x + dx
            if not (0 <= row < ROWS and 0 <= column < COLUMNS and glyphs.FOES[shown[row, column]]):
                continue
            if spared[shown[row, column]]:
                continue
            none = False
            if shown[row, column] == glyphs.INVISIBLE:  # nothing is seen there: walking may leave
                self._send(actions.FIGHT)
            self._send(key)
            if not (misc[_YN] and actions.PEACEFUL in self._page()):
                return
            self._send(actions.ESC)
        if none:
            self._send(actions.ACTIONS["search"])

    def _play_macro(self, key: int) -> None:
        send, misc = self._send, self._misc
        if key == actions.ACTIONS["wait"]:
            for digit in actions.WAIT_TURNS:
                send(digit)
            send(key)
        elif key == actions.ACTIONS["cast"]:
            send(key)
            if not self._over() and misc[_MORE]:  # the menu of spells
                send(ord("a"))
                if self._heals and misc[_YN]:
                    send(ord("."))
        elif key == actions.ACTIONS["drop"]:
            send(key)
            if misc[_YN]:
                send(self._letter_to_drop())
                self._loot.leave(self._obs["blstats"])
        elif key == actions.ACTIONS["enhance"]:
            self._enhance()

    def _answer_prompts(self) -> None:
        """Dismiss pages and escape questions until it is the agent's turn."""
        send, misc, over = self._send, self._misc, self._over
        self._pages: list[bytes] = []
        self._snapped = False
        kept = None
        for _ in range(MAX_KEYS):
            if over():
                break
            if misc[_MORE]:
                page = self._page()
                self._pages.append(page)
                if any(words in page for words in actions.KEPT_PAGES):
                    kept = page
                if self._program[0] and not self._snapped:  # game over, but the map is still shown
                    self._snapped = True
                    self.keep_final()
                send(actions.SPACE)
            elif misc[_GETLIN]:
                send(actions.ESC)
            elif misc[_YN]:
                page = self._page()
                if any(words in page for words in self._questions):
                    break
                self._pages.append(page)
                send(actions.ESC)
            else:
                break
        last = b"" if over() else self._page()
        if kept is not None and not over():
            self._show(kept)
        self.text = b" ".join([*self._pages, last]) if self._pages else last

    def _enhance(self) -> None:
        self._send(actions.ACTIONS["enhance"])
        if not self._over() and self._misc[_MORE]:
            self._send(ord("a"))

    def _letter_to_drop(self) -> int:
        """First item that is not from the starting inventory and neither food nor coins; else escape."""
        letters, classes = self._obs["inv_letters"].tolist(), self._obs["inv_oclasses"].tolist()
        for letter, kind in zip(letters, classes, strict=True):
            if letter and letter not in self.starting_letters and kind not in _NOT_FOR_SALE:
                return int(letter)
        return actions.ESC

    def _end(self) -> End:
        """The game is over: the page "You die...", or the last page with words, is the final message.

        Raises BrokenGameError if it is over because NetHack could not go on.
        """
        handle_again()
        if self._engine.how_done() in (nethack.PANICKED, nethack.TRICKED):
            raise BrokenGameError(b" ".join(self._pages).decode("latin1").strip() or "no reason given")
        end = End.LEFT if self._engine.how_done() in (nethack.ESCAPED, nethack.QUIT) else End.DEATH
        if not self._snapped:
            for array in self.final.values():
                array[...] = 0
        said = [page for page in self._pages if page]
        page = next((page for page in said if b"You die" in page), said[-1] if said else b"")
        self.final["message"][:] = 0
        self.final["message"][: len(page)] = np.frombuffer(page, np.uint8)
        return end
