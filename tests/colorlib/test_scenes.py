"""Synthetic scenes: unchanged pictures at any size; stated colours, and free hues."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.color import rgb2lab

from colorlib.scenes import (
    object_colours,
    object_mask,
    painting,
    recolour_scene,
    render_scenes,
)

SMALL = Path(__file__).with_name("scenes.png")  # 16 pixels each, what they look like


@given(st.integers(0, 10_000), st.integers(0, 3), st.integers(1, 3))
def test_a_scene_depends_on_its_own_number_only(first, seed, count):
    alone = render_scenes(1, 16, seed, first + count - 1)[0]
    assert (render_scenes(count, 16, seed, first)[-1] == alone).all()
    assert (alone != render_scenes(1, 16, seed + 1, first)[0]).any()


@pytest.mark.parametrize(("size", "factor"), [(33, 3), (64, 8)])
def test_the_same_picture_at_any_size(size, factor):
    small, large = render_scenes(6, size), render_scenes(6, size * factor)
    assert (small.shape, small.dtype) == ((6, size, size, 3), np.uint8)
    blocks = large.reshape(6, size, factor, size, factor, 3).mean(axis=(2, 4))
    assert abs(blocks - small).mean() < 4  # levels of 255
    assert small.std() > 30


def test_pictures_have_not_changed_unnoticed():
    # Where they are meant to: write the file anew, and raise SCENES_VERSION.
    blocks = render_scenes(12, 64, seed=5).reshape(12, 16, 4, 16, 4, 3)
    cells = np.concatenate(blocks.mean(axis=(2, 4)).round(), axis=1)  # (16, 192, 3)
    before = np.asarray(Image.open(SMALL), int)
    assert abs(cells - before).max() <= 1  # of 255: machines round otherwise


# Figure 1 ---------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(4))
def test_hue_leaves_no_trace_in_the_lightness(index):
    scenes = recolour_scene(index, 128, range(0, 360, 45))
    mask = object_mask(index, 128)
    spread = np.ptp(rgb2lab(scenes), axis=0)  # of 8 scenes, (128, 128, 3)
    assert spread[..., 0].max() < 0.7  # 8-bit rounding
    assert spread[mask, 1:].max(axis=-1).min() > 30  # the colour differs everywhere
    changed = (scenes != scenes[0]).any(axis=(0, -1))
    assert 0 < changed.sum() < 3 * mask.sum()  # the objects, and their soft edges


def test_objects_have_the_stated_colours():
    hues = (0, 90, 210)
    scenes, mask = recolour_scene(0, 256, hues), object_mask(0, 256)
    for hue, lab in zip(hues, rgb2lab(scenes), strict=True):
        for L, *ab in lab[mask][::50]:
            np.testing.assert_allclose(object_colours(L)[hue], ab, atol=1.5)
    a, b = object_colours(55.0).T
    angle = np.rad2deg(np.arctan2(b, a)) % 360
    np.testing.assert_allclose(angle, np.arange(360), atol=1e-3)
    assert np.hypot(a, b).min() > 10


def test_hues_are_drawn_evenly_and_every_scene_has_one():
    quarters = np.zeros(4, int)
    for index in range(150):
        scene, mask = render_scenes(1, 64, first=index)[0], object_mask(index, 64)
        _, a, b = rgb2lab(scene)[mask].T
        quarters[int(np.rad2deg(np.arctan2(b[0], a[0])) % 360 // 90)] += 1
    expected = 37.5
    assert ((quarters - expected) ** 2 / expected).sum() < 16.3  # chi-square, p = 0.001


def test_luminance_tells_the_colour_of_everything_else():
    ramps = [own for name, own in vars(painting).items() if name.isupper()]
    laws = [own for own in ramps if np.shape(own) == (3, 256)]
    assert len(laws) > 10
    for colours in laws:
        luminance = np.array([0.2126, 0.7152, 0.0722]) @ colours
        assert np.ptp(luminance) == 0 or np.diff(luminance).min() > 0
