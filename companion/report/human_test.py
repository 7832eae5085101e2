"""Pairs for the human test: crops of real photographs, and the same crops coloured.

A model's colours fade, so whoever picks the more colourful picture is nearly always
right, and that tests no colours. Every second coloured crop is therefore as strong as
the real one: its hues are the model's, its chroma is scaled.
"""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colorlib.color import images_to_float, lab_to_rgb, rgb_to_lab
from colorlib.metrics import colourfulness
from companion.photographs import PHOTOGRAPHS, square
from companion.report.widgets import Pair

Rgb = NDArray[np.uint8]

SIDE, CROP = 320, 160  # pixels: of a photograph's square, and of a quarter of it
STRONG = "as strong"  # how the names of models end whose chroma was scaled
FACTORS = np.linspace(0.25, 5, 39)  # of chroma
NEARLY = (0.9, 1.1)  # times the real colourfulness: equal would be a sign, too


def crop_pairs(models: Mapping[str, Callable[[str], Rgb]], seed: int) -> list[Pair]:
    """Four crops of each of `PHOTOGRAPHS`, in random order; models alternate.

    Args:
        models: Name -> function of a photograph's name; returns its square coloured,
            (SIDE, SIDE, 3) uint8.
        seed: Of the order.

    Example:
        >>> gray = {"gray": lambda name: square(name, SIDE).mean(-1, keepdims=True)
        ...                             .repeat(3, -1).astype(np.uint8)}
        >>> [pair.model for pair in crop_pairs(gray, seed=0)][:2]
        ['gray', 'gray, as strong']
    """
    rng = np.random.default_rng(seed)
    corners = [*itertools.product(PHOTOGRAPHS, (0, CROP), (0, CROP))]
    whole = {model: {n: make(n) for n in PHOTOGRAPHS} for model, make in models.items()}
    pairs = []
    for i, place in enumerate(rng.permutation(len(corners))):
        name, *corner = corners[place]
        model = [*models][i // 2 % len(models)]
        real = _crop(square(name, SIDE), *corner)
        made = _crop(whole[model][name], *corner)
        if i % 2:
            nearly = NEARLY[i // 2 % 2]
            made = as_strong(made, nearly * colourfulness(real).item())
            model = f"{model}, {STRONG}"
        pairs.append(Pair(real, made, _why(real, made), model))
    return pairs


def as_strong(rgb: Tensor, strength: float) -> Tensor:
    """The same lightness and hues, with chroma scaled to a colourfulness.

    Args:
        rgb: (3, H, W) in [0, 1].
        strength: The colourfulness to come near to.

    Returns:
        rgb (3, H, W). Chroma grows to five times at most: gray stays gray.

    Example:
        >>> pale = torch.tensor([0.6, 0.5, 0.5]).view(3, 1, 1).expand(3, 2, 2)
        >>> round(colourfulness(as_strong(pale, 20.0)).item())
        20
    """
    lab = rgb_to_lab(rgb)
    L, ab = lab[:1], lab[1:]
    scaled = [lab_to_rgb(torch.cat([L, float(factor) * ab])) for factor in FACTORS]
    return min(scaled, key=lambda one: abs(colourfulness(one).item() - strength))


def _crop(pixels: Rgb, y: int, x: int) -> Tensor:
    """(SIDE, SIDE, 3) uint8 -> rgb (3, CROP, CROP) in [0, 1]."""
    cut = pixels[y : y + CROP, x : x + CROP].copy()
    return images_to_float(torch.from_numpy(cut)[None])[0]


def _why(real: Tensor, made: Tensor) -> str:
    """What gives the coloured one away."""
    apart = (rgb_to_lab(real) - rgb_to_lab(made))[1:].norm(dim=0).mean().item()
    strong, other = (colourfulness(rgb).item() for rgb in (real, made))
    return (
        f"Its colourfulness is {strong:.0f}, that of the coloured one {other:.0f}; "
        f"in ab they differ by {apart:.0f} Lab units on average."
    )
