"""The bundled model: it is small, it loads as it is, and it colours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from skimage import data

import colorlib
from colorlib.color import images_to_float, normalize_lab, rgb_to_lab
from colorlib.colorize import Colorizer
from colorlib.images import Photograph
from colorlib.metrics import colourfulness

BUNDLED = Path(colorlib.__file__).with_name("bundled.safetensors")


@pytest.fixture(scope="module")
def colorizer():
    return Colorizer.load()  # without a path, without weights of others


def test_it_is_small_and_holds_numbers_in_half_precision():
    assert BUNDLED.stat().st_size < 8e6
    with safe_open(BUNDLED, framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float16}
    assert all(t.isfinite().all() for t in tensors)


def test_its_card_stands_beside_it():
    assert BUNDLED.with_suffix(".md").read_text().startswith("# ")


@pytest.mark.parametrize("name", ["astronaut", "cat", "coffee", "rocket"])
def test_what_it_makes_of_an_image_is_coloured_and_not_sepia(colorizer, name):
    original = getattr(data, name)()
    made = colorizer.colorize(Photograph(original)).rgb
    assert made.shape == original.shape
    rgb = images_to_float(torch.from_numpy(np.ascontiguousarray(made))[None])[0]
    assert colourfulness(rgb) > 8
    _, ab_norm = normalize_lab(rgb_to_lab(rgb))
    strength = 128 * ab_norm.norm(dim=0).mean()
    of_mean = 128 * ab_norm.mean(dim=(1, 2)).norm()
    assert strength > 3  # Lab units
    assert of_mean < 0.99 * strength  # sepia: one hue, so the two are the same
