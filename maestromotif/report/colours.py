"""Colours as classes of the style sheet: the pages name them, and report.css says what they are.

The palette is safe for readers with a colour vision deficiency, in the light and in the dark scheme; a test
measures its distances (tests/report/test_colours.py).
"""

from collections.abc import Sequence

from markupsafe import Markup

PALETTE = 8  # classes c0..c7 for skills; c9 is a grey for what has no colour of its own


def colour(index: int) -> str:
    """CSS class of the skill with this index."""
    return f"c{index % PALETTE}"


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """A line of (name, colour class) with swatches, as HTML."""
    swatches = Markup("").join(
        Markup('<span class="key {}"><i></i>{}</span>').format(css, name) for name, css in entries
    )
    return Markup('<p class="legend">{}</p>').format(swatches)
