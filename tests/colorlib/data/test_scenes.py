import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painted import PAINTED, small_scenes
from PIL import Image
from skimage.color import rgb2lab

from colorlib.scenes import (
    object_colours,
    object_mask,
    painting,
    recolour_scene,
    render_scenes,
)
from colorlib.scenes.painting import Canvas, box, disc, noise, ramp


@given(st.integers(0, 10_000), st.integers(0, 3), st.integers(1, 3))
def test_scene_depends_on_its_own_number_only(first, seed, count):
    alone = render_scenes(1, 16, seed, first + count - 1)[0]
    assert (render_scenes(count, 16, seed, first)[-1] == alone).all()


def test_scenes_and_seeds_differ():
    scenes = np.concatenate([render_scenes(4, 32, seed) for seed in (0, 1)])
    assert len(np.unique(scenes.reshape(8, -1), axis=0)) == 8


@pytest.mark.parametrize("size", [16, 17, 33, 64, 100, 256, 512])
def test_any_size(size):
    scenes = render_scenes(2, size)
    assert scenes.shape == (2, size, size, 3)
    assert scenes.dtype == np.uint8
    assert scenes.std() > 30


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_same_picture_at_any_size(factor):
    small, large = render_scenes(6, 64), render_scenes(6, 64 * factor)
    blocks = large.reshape(6, 64, factor, 64, factor, 3).mean(axis=(2, 4))
    assert abs(blocks - small).mean() < 4  # levels of 255


def test_pictures_have_not_changed_unnoticed():
    before = np.asarray(Image.open(PAINTED), int)
    assert abs(small_scenes() - before).max() <= 1  # of 255: machines round otherwise


# Figure 1 ---------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(8))
def test_hue_leaves_no_trace_in_the_lightness(index):
    lab = rgb2lab(recolour_scene(index, 64, range(0, 360, 45)))  # (8, 64, 64, 3)
    spread = np.ptp(lab, axis=0)
    assert spread[..., 0].max() < 0.7  # 8-bit rounding
    mask = object_mask(index, 64)
    assert mask.any()
    assert spread[mask, 1:].max(axis=-1).min() > 30  # the colour differs everywhere


def test_only_cars_and_balls_change_their_colour():
    one, other = recolour_scene(3, 128, (20, 200)).astype(int)
    changed = (one != other).any(axis=-1)
    mask = object_mask(3, 128)
    assert changed[mask].all()
    assert changed.sum() < 3 * mask.sum()  # the soft edges and no more


def test_objects_have_the_stated_colours():
    hues = (0, 90, 210)
    scenes, mask = recolour_scene(0, 256, hues), object_mask(0, 256)
    for hue, lab in zip(hues, rgb2lab(scenes), strict=True):
        for L, *ab in lab[mask][::50]:
            np.testing.assert_allclose(object_colours(L)[hue], ab, atol=1.5)


def test_stated_hues_are_hues():
    for L in (30.0, 55.0, 80.0):
        a, b = object_colours(L).T
        angle = np.rad2deg(np.arctan2(b, a)) % 360
        np.testing.assert_allclose(angle, np.arange(360), atol=1e-3)
        assert np.hypot(a, b).min() > 10


def test_hues_are_drawn_evenly():
    quarters = np.zeros(4, int)
    for index in range(150):
        scene, mask = render_scenes(1, 64, first=index)[0], object_mask(index, 64)
        _, a, b = rgb2lab(scene)[mask].T
        quarters[int(np.rad2deg(np.arctan2(b[0], a[0])) % 360 // 90)] += 1
    assert quarters.sum() == 150
    expected = 37.5
    assert ((quarters - expected) ** 2 / expected).sum() < 16.3  # chi-square, p = 0.001


def test_every_scene_has_something_to_guess():
    assert all(object_mask(index, 64).any() for index in range(60))


def law_ramps():
    ramps = {name: value for name, value in vars(painting).items() if name.isupper()}
    return [pytest.param(r, id=n) for n, r in ramps.items() if np.shape(r) == (3, 256)]


@pytest.mark.parametrize("colours", law_ramps())
def test_luminance_tells_the_colour_of_everything_else(colours):
    luminance = np.array([0.2126, 0.7152, 0.0722]) @ colours
    if np.ptp(luminance) > 0:
        assert np.diff(luminance).min() > 0


# Painting ---------------------------------------------------------------------------


def test_noise_has_mean_0_and_variance_1():
    rng = np.random.default_rng(0)
    fields = [noise(rng, Canvas(128).window(), 16, 16) for _ in range(20)]
    assert abs(np.mean(fields)) < 0.05
    assert abs(np.var(fields) - 1) < 0.1


def test_noise_is_drawn_for_the_window_alone():
    whole, corner = Canvas(64).window(), Canvas(64).window(0.5, 0.25, 1.0, 0.5)
    for window, drawn in ((whole, 11 * 19), (corner, 6 * 11)):
        one, other = np.random.default_rng(0), np.random.default_rng(0)
        noise(one, window, 8, 16)
        other.random(drawn, np.float32)
        assert one.random() == other.random()


def test_noise_finer_than_the_pixels_averages_out():
    field = noise(np.random.default_rng(0), Canvas(16).window(), 128, 128)
    assert field.std() < 0.3


def test_coverage_is_the_area():
    window = Canvas(64).window()
    areas = {
        "disc": (disc(window, 0.52, 0.47, 0.23), np.pi * 0.23**2),
        "box": (box(window, 0.52, 0.47, 0.3, 0.411), 0.3 * 0.411),
    }
    for distance, area in areas.values():
        assert abs(window.inside(distance).mean() - area) < 0.002


def test_soft_edge_mixes_light():
    canvas = Canvas(16)
    canvas.window().paint(0.5, 1.0, ramp("#000000", "#ffffff"))
    assert (canvas.developed() == 188).all()  # half the light of white: 0.735 in sRGB


def test_window_beside_the_canvas_is_harmless():
    canvas = Canvas(16)
    window = canvas.window(1.2, 1.2, 1.5, 1.5)
    window.paint(window.inside(disc(window, 1.3, 1.3, 0.1)), 1.0, ramp("#ff0000"))
    assert canvas.light.max() == 0
