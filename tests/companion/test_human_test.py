"""Pairs for the human test: what is real in them, and that strength says little."""

import numpy as np
import torch

from colorlib.color import rgb_to_lab
from colorlib.metrics import colourfulness
from companion.photographs import PHOTOGRAPHS, square
from companion.report.human_test import CROP, SIDE, as_strong, crop_pairs


def faded(name):
    """What models do: all colours nearer to gray."""
    rgb = square(name, SIDE).astype(float)
    return (0.3 * rgb + 0.7 * rgb.mean(-1, keepdims=True)).round().astype(np.uint8)


def test_every_quarter_of_every_photograph_is_asked_for_once():
    pairs = crop_pairs({"A": faded, "B": faded}, seed=0)
    assert len(pairs) == 4 * len(PHOTOGRAPHS)
    assert {pair.real.shape for pair in pairs} == {(3, CROP, CROP)}
    assert len({pair.real.sum().item() for pair in pairs}) == len(pairs)
    counts = [pair.model for pair in pairs]
    assert {name: counts.count(name) for name in set(counts)} == dict.fromkeys(
        ("A", "A, as strong", "B", "B, as strong"), 5
    )
    again = crop_pairs({"A": faded, "B": faded}, seed=0)
    assert [pair.why for pair in again] == [pair.why for pair in pairs]


def test_the_more_colourful_one_is_often_not_the_real_one():
    pairs = crop_pairs({"A": faded}, seed=0)
    right = [colourfulness(p.real) > colourfulness(p.coloured) for p in pairs]
    plain, strong = right[::2], right[1::2]
    assert all(plain)
    assert 0.3 <= np.mean(strong) <= 0.7


def test_scaled_chroma_keeps_lightness_and_hues():
    _, x = torch.meshgrid(torch.ones(8), torch.linspace(0, 1, 8), indexing="ij")
    rgb = torch.stack([0.5 + 0.05 * x, 0.5 * torch.ones_like(x), 0.5 - 0.04 * x])
    strong = as_strong(rgb, 2 * colourfulness(rgb).item())
    assert abs(colourfulness(strong) / colourfulness(rgb) - 2) < 0.1
    before, after = rgb_to_lab(rgb), rgb_to_lab(strong)
    torch.testing.assert_close(after[0], before[0], atol=0.01, rtol=0)
    inner = (before[1], before[2]), (after[1], after[2])
    angles = [torch.atan2(b, a)[:, 1:] for a, b in inner]
    torch.testing.assert_close(angles[0], angles[1], atol=0.01, rtol=0)


def test_gray_stays_gray():
    gray = torch.full((3, 4, 4), 0.5)
    assert colourfulness(as_strong(gray, 50.0)) < 1
