"""Colours of the pages: all readers can distinguish them, in the light and in the dark scheme."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from maestromotif.report import plots
from maestromotif.report.colours import PALETTE
from maestromotif.report.sections.writing import AGENTS

# Protan, deutan and tritan vision in linear RGB, severity 1: G. Machado, M. Oliveira and L. Fernandes, "A
# physiologically-based model for simulation of color vision deficiency", IEEE TVCG 15 (2009), 1291-1298.
VISIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.01182, 0.04294, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.3039]],
}  # fmt: skip


def scheme(name: str) -> dict[str, np.ndarray]:
    """Variable of report.css -> linear RGB, of the light or the dark scheme."""
    style = (Path(plots.__file__).parent / "assets" / "report.css").read_text()
    light, dark = (
        re.search(re.escape(head) + r" \{([^}]*)\}", style) for head in (":root", ":root:not(.printing)")
    )
    block = {"light": light, "dark": dark}[name]
    assert block
    found = {}
    for variable, code in re.findall(r"--(\w+): (#\w{6});", block[1]):
        rgb = np.array([int(code[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        found[variable] = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return found


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB, white point D65."""
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175],
                       [0.0193339, 0.119192, 0.9503041]])  # fmt: skip
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.95047, 1, 1.08883])
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(a: np.ndarray, b: np.ndarray) -> float:
    """WCAG 2 contrast of two colours; 3 is the least for graphics (success criterion 1.4.11)."""
    dark, light = sorted(float(np.array([0.2126, 0.7152, 0.0722]) @ one) + 0.05 for one in (a, b))
    return light / dark


@pytest.mark.parametrize("name", ["light", "dark"])
def test_colours_differ_for_all_readers(name: str) -> None:
    colours = scheme(name)
    for group in ([f"c{index}" for index in range(PALETTE)], list(AGENTS)):
        for one in group:
            assert contrast(colours[one], colours["panel"]) >= 3, one
        for vision, matrix in VISIONS.items():
            seen = {one: lab(np.array(matrix) @ colours[one]) for one in group}
            for a, b in itertools.combinations(group, 2):
                assert np.linalg.norm(seen[a] - seen[b]) > 15, (vision, a, b)
    assert contrast(colours["muted"], colours["panel"]) >= 4.5  # text
