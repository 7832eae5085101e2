"""The colours of plots: distinguished by the colour-blind, too, and seen on white."""

import re
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from colorlib.color import rgb_to_lab
from colorlib.metrics import ciede2000
from companion.report import figures

ROOT = Path(__file__).parents[2]
# What dichromats see, of linear RGB: Machado, Oliveira & Fernandes, "A physiologically-
# based model for simulation of color vision deficiency", IEEE TVCG 15(6), 2009, the
# matrices of severity 1.0 that the authors publish beside the article.
VISION = {
    "all three cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
APART = 10.0  # CIEDE2000; matplotlib's own colours come as near as 1.3
CONTRAST = 3.0  # WCAG 2.1, 1.4.11: what must be seen to understand a figure

each_vision = pytest.mark.parametrize("vision", VISION)


def linear(rgb):
    """sRGB without its curve, IEC 61966-2-1."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen_lab(colours, vision):
    """What a kind of eyes makes of M colours, Lab, (M, 3, 1, 1)."""
    rgb = np.array([to_rgb(colour) for colour in colours])  # (M, 3)
    light = (linear(rgb) @ np.transpose(VISION[vision])).clip(0, 1)
    curved = 1.055 * light ** (1 / 2.4) - 0.055
    seen = np.where(light <= 0.0031308, 12.92 * light, curved)
    return rgb_to_lab(torch.from_numpy(seen)[..., None, None])


@each_vision
def test_the_colours_of_curves_can_be_told_apart(vision):
    for one, other in combinations(seen_lab(figures.OKABE_ITO, vision), 2):
        assert ciede2000(one, other).item() > APART


@pytest.mark.parametrize("colour", [*figures.OKABE_ITO, figures.INK, "gray"])
def test_curves_stand_out_from_the_paper(colour):
    both = np.array([to_rgb(figures.WHITE), to_rgb(colour)])
    paper, line = linear(both) @ [0.2126, 0.7152, 0.0722]  # luminances, WCAG 2.1
    assert (paper + 0.05) / (line + 0.05) >= CONTRAST


SOURCES = [ROOT / "companion/report/figures.py", *(ROOT / "notebooks").glob("*.ipynb")]
TEXT = "\n".join(path.read_text() for path in SOURCES)
MAPS = sorted(set(re.findall(r'cmap=\\?"(\w+)\\?"', TEXT)))


@each_vision
@pytest.mark.parametrize("name", MAPS)
def test_a_colour_map_only_gets_lighter(name, vision):
    lab = seen_lab(mpl.colormaps[name](np.linspace(0, 1, 64)), vision)
    assert (lab[:, 0].flatten().diff() > 0).all()
