"""The game's screen as escape sequences for a terminal (ECMA-48), in NetHack's 16 colours."""

import numpy as np

# NetHack's terminal is code page 437; control characters draw nothing.
GLYPHS = tuple(" " if code < 32 or code == 127 else bytes([code]).decode("cp437") for code in range(256))

CLEAR = "\x1b[2J"
RESET = "\x1b[0m"
REST_OF_LINE = "\x1b[K"  # clears it


def place(row: int, column: int) -> str:
    """Moves the cursor; rows and columns count from 0."""
    return f"\x1b[{row + 1};{column + 1}H"


def line(chars: np.ndarray, colours: np.ndarray) -> str:
    """One row of the screen, uint8 [80] and int8 [80], without spaces at its end."""
    out, last = [], None
    for char, colour in zip(chars.tolist(), colours.tolist(), strict=True):
        if colour != last:
            out.append(colour_of(colour))
            last = colour
        out.append(GLYPHS[char])
    return "".join(out).rstrip()


def colour_of(colour: int) -> str:
    """Colour 0 is black, which on black cannot be seen: terminals draw it dark grey, and so do we."""
    if colour & 7 == 0:
        return "\x1b[0;90m"
    return f"\x1b[0;{(90 if colour & 8 else 30) + (colour & 7)}m"


def draw(
    chars: np.ndarray,
    colours: np.ndarray,
    cursor: np.ndarray,
    before: tuple[np.ndarray, np.ndarray] | None = None,
) -> str:
    """Sequences that draw a screen and put the cursor in its place.

    chars uint8 [24, 80], colours int8 [24, 80], cursor uint8 [2]: row and column. before: chars and colours
    that the terminal shows already; None clears it first.
    """
    if before is None:
        out, changed = [CLEAR], list(range(len(chars)))
    else:
        differs = (chars != before[0]) | (colours != before[1])
        out, changed = [], np.flatnonzero(differs.any(axis=1)).tolist()
    out += [f"{place(row, 0)}{line(chars[row], colours[row])}{RESET}{REST_OF_LINE}" for row in changed]
    row, column = cursor.tolist()
    return "".join([*out, place(row, column)])
