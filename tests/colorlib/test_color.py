"""Colour conversions: outside authorities, properties, gradients and faults."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from skimage import color as skimage_color
from support import assert_close, grid, pixels, rgb_cube, with_skimage
from torch import Tensor

from colorlib import color, targets
from colorlib.color import (
    denormalize_lab,
    gray_from_L,
    images_to_float,
    lab_to_rgb,
    lightness,
    normalize_lab,
    out_of_gamut,
    rgb_to_lab,
)
from colorlib.targets import luma, luv_to_rgb

SKIMAGE_TOLERANCE = 1e-3  # both promised by the package
ROUND_TRIP_TOLERANCE = 1e-4

SPACES = ["lab", "luv", "yuv"]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SCALES = {"lab": 100.0, "luv": 100.0, "yuv": 1.0}
NEAR_BLACK = [0.0, 1e-45, 1e-38, 1e-20, 1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]


def to_space(space: str):
    return getattr(color if space == "lab" else targets, f"rgb_to_{space}")


def to_rgb(space: str):
    return getattr(color if space == "lab" else targets, f"{space}_to_rgb")


def nasty_rgb(dtype: torch.dtype) -> Tensor:
    """Every place where a formula changes or is undefined, and outside of [0, 1]."""
    thresholds = [color.LINEAR_THRESHOLD, color.LAB_EPSILON, color.SRGB_THRESHOLD]
    return grid([*NEAR_BLACK, *thresholds, -0.5, -1e-3, 0.5, 1.0, 1.5], dtype)


def nasty(space: str, dtype: torch.dtype) -> Tensor:
    """Values a network may predict: all combinations, most of them no colour."""
    values = {
        "lab": [-128.0, -1.0, 0.0, 1e-6, 1e-4, 8.0, 100.0, 128.0],
        "luv": [-128.0, -1.0, 0.0, 1e-6, 1e-4, 8.0, 100.0, 128.0],
        "yuv": [-1.0, 0.0, 1e-30, 1e-3, 0.5, 1.0, 2.0],
    }
    return grid(values[space], dtype)


# ------------------------------------------------------------------ outside authorities


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("space", SPACES)
def test_agrees_with_skimage_over_the_cube(space, dtype):
    rgb = rgb_cube(41)
    expected = with_skimage(getattr(skimage_color, f"rgb2{space}"), rgb)
    found = to_space(space)(rgb.to(dtype)).double().numpy()
    np.testing.assert_allclose(found, expected, atol=SKIMAGE_TOLERANCE)


@pytest.mark.parametrize("space", SPACES)
def test_the_way_back_agrees_with_skimage(space):
    inside = to_space(space)(rgb_cube(21))
    expected = with_skimage(getattr(skimage_color, f"{space}2rgb"), inside)
    found = to_rgb(space)(inside).numpy()
    np.testing.assert_allclose(found, expected, atol=ROUND_TRIP_TOLERANCE)


def test_clipped_colours_agree_with_skimage():
    lab = grid(np.linspace(-60, 60, 13), torch.float64)
    lab[0] += 60  # L from 0 to 120
    lab = lab[:, (lab[0] + 16) / 116 >= lab[2] / 200]  # it changes Z elsewhere
    lab = lab[:, None]  # (3, 1, M)
    expected = with_skimage(skimage_color.lab2rgb, lab)
    assert out_of_gamut(lab).float().mean() > 0.3
    np.testing.assert_allclose(lab_to_rgb(lab), expected, atol=SKIMAGE_TOLERANCE)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 0, 0), (53.2408, 80.0925, 67.2032)),
        ((0, 1, 0), (87.7347, -86.1827, 83.1793)),
        ((0, 0, 1), (32.2970, 79.1875, -107.8602)),
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_primaries_as_in_the_published_tables(rgb, lab):
    found = rgb_to_lab(pixels([rgb], torch.float64)).flatten()
    np.testing.assert_allclose(found, lab, atol=0.02)  # matrices differ in a digit


def test_luma_is_that_of_pillow():
    images = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(images).convert("L"))
    found = 255 * luma(images_to_float(torch.from_numpy(images)))[0]
    assert np.abs(found.numpy() - expected).max() <= 0.51  # it rounds


@pytest.mark.parametrize(
    ("found", "published"),
    [
        (color.LINEAR_THRESHOLD, 0.0031308),  # IEC 61966-2-1
        (color.LAB_EPSILON, 216 / 24389),  # CIE 15, as the next
        (116 * color.LAB_SLOPE, 24389 / 27),
        (116 * color.LAB_OFFSET, 16),
        (targets.WHITE_U, 0.19784),  # Lindbloom
        (targets.WHITE_V, 0.46834),
        (targets.LUMA_R + targets.LUMA_G + targets.LUMA_B, 1),
        (color.AB_SCALE, 128),  # the paper, Sec. 4.2
    ],
)
def test_constants_are_those_published(found, published):
    assert found == pytest.approx(published, rel=1e-5)


# --------------------------------------------------------------------------- properties


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("space", SPACES)
def test_round_trip_over_the_cube(space, dtype):
    rgb = rgb_cube(41, dtype)
    back = to_rgb(space)(to_space(space)(rgb))
    assert (back - rgb).abs().max() < ROUND_TRIP_TOLERANCE


@pytest.mark.parametrize("space", SPACES)
@given(rgb=arrays(np.float32, (3, 2, 2), elements=st.floats(0, 1, width=32)))
@settings(deadline=None, max_examples=100)
def test_round_trip_of_any_colour(space, rgb):
    image = torch.from_numpy(rgb)
    back = to_rgb(space)(to_space(space)(image))
    assert (back - image).abs().max() < ROUND_TRIP_TOLERANCE


def test_ranges_are_those_of_the_docstrings():
    rgb = rgb_cube(33)
    bounds = {
        "lab": [(0, 100), (-86.2, 98.3), (-107.9, 94.5)],
        "luv": [(0, 100), (-83.1, 175.1), (-134.1, 107.4)],
        "yuv": [(0, 1), (-0.4361, 0.4361), (-0.615, 0.615)],
    }
    for space, expected in bounds.items():
        channels = to_space(space)(rgb)
        for channel, (low, high) in zip(channels, expected, strict=True):
            margin = 0.01 * (high - low)
            assert low - 1e-9 <= channel.min() < low + margin
            assert high - margin < channel.max() <= high + 1e-9


def test_grays_have_no_chroma():
    gray = torch.linspace(0, 1, 256, dtype=torch.float64).expand(3, 1, 256)
    assert rgb_to_lab(gray)[1:].abs().max() < 0.01
    assert (rgb_to_lab(gray)[0].diff() > 0).all()


# ---------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("space", SPACES)
def test_gradients_of_rgb_are_finite_everywhere(space, dtype):
    rgb = nasty_rgb(dtype).requires_grad_()
    result = to_space(space)(rgb)
    result.square().sum().backward()
    assert result.isfinite().all()
    assert rgb.grad.isfinite().all()


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("space", SPACES)
def test_gradients_of_the_way_back_are_finite_everywhere(space, dtype, clip):
    image = nasty(space, dtype).requires_grad_()
    rgb = to_rgb(space)(image, clip=clip)
    rgb.square().sum().backward()
    assert rgb.isfinite().all()
    assert image.grad.isfinite().all()


def test_luv_without_a_chromaticity_is_finite():
    v = -13 * targets.WHITE_V  # for L = 1: nothing is left of v'
    luv = pixels([(1, 5, v), (1, 5, v - 1e-9), (1, 5, 2 * v)], torch.float64)
    luv.requires_grad_()
    rgb = luv_to_rgb(luv, clip=False)
    rgb.sum().backward()
    assert rgb.isfinite().all()
    assert luv.grad.isfinite().all()


@pytest.mark.parametrize("space", SPACES)
def test_gradients_agree_with_differences(space):
    rgb = pixels([(0.01, 0.02, 0.035), (0.3, 0.6, 0.2), (0.9, 0.1, 0.7)], torch.float64)
    assert torch.autograd.gradcheck(to_space(space), rgb.requires_grad_())
    there = to_space(space)(rgb.detach()).requires_grad_()
    assert torch.autograd.gradcheck(to_rgb(space), there)


def test_gradient_at_black_is_the_slope_of_the_straight_line():
    rgb = torch.zeros(3, 1, 1, dtype=torch.float64, requires_grad=True)
    rgb_to_lab(rgb)[0].sum().backward()
    slope = 116 * color.LAB_SLOPE / color.SRGB_SLOPE  # L over gray: 69.9
    assert rgb.grad.sum().item() == pytest.approx(slope)


def test_clipping_stops_the_gradient():
    lab = pixels([(50, 0, 120)], torch.float64).requires_grad_()
    lab_to_rgb(lab)[2].sum().backward()  # no blue is left to take away
    assert (lab.grad == 0).all()


# ----------------------------------------------------------------- any shape and device


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("space", SPACES)
def test_the_dtype_stays_and_halves_are_computed_in_float32(space, dtype):
    rgb = rgb_cube(5, dtype)
    result = to_space(space)(rgb)
    assert result.dtype == dtype
    exact = to_space(space)(rgb.double())
    assert_close(result, exact, SCALES[space])
    assert to_rgb(space)(to_space(space)(rgb)).dtype == dtype


@pytest.mark.parametrize("space", SPACES)
def test_leading_dimensions_and_memory_order_do_not_matter(space):
    batch = torch.rand(2, 3, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    result = to_space(space)(batch)
    assert result.shape == batch.shape
    assert_close(to_space(space)(batch[1, 2]), result[1, 2], SCALES[space])
    channels_last = batch[0].to(memory_format=torch.channels_last)
    assert_close(to_space(space)(channels_last), result[0], SCALES[space])
    assert to_space(space)(batch[:0]).shape == (0, 3, 3, 4, 5)


@pytest.mark.parametrize("space", SPACES)
def test_nothing_is_bound_to_a_device(space):
    image = torch.rand(2, 3, 4, 4, device="meta")
    assert to_rgb(space)(to_space(space)(image)).device.type == "meta"


def test_stored_photographs_are_converted_where_they_are():
    stored = torch.empty(2, 4, 4, 3, dtype=torch.uint8, device="meta")
    assert lightness(stored).device.type == "meta"
    assert images_to_float(stored).device.type == "meta"


@pytest.mark.parametrize("space", SPACES)
def test_autocast_does_not_blur_colours(space):
    rgb = rgb_cube(5, torch.float32)
    plain = to_rgb(space)(to_space(space)(rgb))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(to_rgb(space)(to_space(space)(rgb)), plain)


@pytest.mark.parametrize("space", SPACES)
def test_nan_is_not_hidden(space):
    rgb = torch.full((3, 1, 1), torch.nan)
    assert to_space(space)(rgb).isnan().any()
    assert to_rgb(space)(rgb).isnan().any()


# ------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("convert", [to_space, to_rgb])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.cfloat])
def test_only_floats_are_images(space, convert, dtype):
    image = torch.zeros(3, 2, 2, dtype=dtype)
    with pytest.raises(
        TypeError, match=rf"found an image of {dtype}, .*images_to_float"
    ):
        convert(space)(image)


def test_an_array_is_no_tensor():
    with pytest.raises(TypeError, match="found an image of float64"):
        rgb_to_lab(np.zeros((3, 2, 2)))
    with pytest.raises(TypeError, match="found an image of list"):
        rgb_to_lab([0.0])


@pytest.mark.parametrize("convert", [to_space, to_rgb])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("shape", [(3,), (3, 4), (4, 4, 3), (2, 1, 4, 4), (4, 2, 2)])
def test_only_three_channels_are_a_colour(space, convert, shape):
    message = r"found an image of shape \(.*\), expected \(\.\.\., 3, H, W\)"
    with pytest.raises(ValueError, match=message) as caught:
        convert(space)(torch.zeros(shape))
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------- gamut


def test_every_displayable_colour_is_in_gamut():
    for dtype in (torch.float32, torch.float64):
        assert not out_of_gamut(rgb_to_lab(rgb_cube(33, dtype))).any()


def test_out_of_gamut_is_what_clipping_changes():
    lab = nasty("lab", torch.float64)
    changed = (lab_to_rgb(lab, clip=False) - lab_to_rgb(lab)).abs().amax(0)
    assert torch.equal(out_of_gamut(lab), changed > color.GAMUT_TOLERANCE)


@pytest.mark.parametrize("space", SPACES)
def test_clipping_is_a_choice(space):
    image = nasty(space, torch.float64)
    unclipped = to_rgb(space)(image, clip=False)
    assert unclipped.min() < -0.1
    assert unclipped.max() > 1.1
    assert torch.equal(to_rgb(space)(image), unclipped.clamp(0, 1))


def test_out_of_gamut_counts_both_ends_and_takes_batches_of_halves():
    lab = pixels([(100, 0, 0), (101, 0, 0), (0, 0, 0), (-1, 0, 0)], torch.float16)
    found = out_of_gamut(lab.expand(2, 3, 1, 4))
    assert found.tolist() == [[[False, True, False, True]]] * 2
    half = rgb_to_lab(rgb_cube(9, torch.float16))
    assert torch.equal(out_of_gamut(half), out_of_gamut(half.float()))


# ------------------------------------------------------------------ the network's scale


def test_normalization_is_that_of_the_paper():
    lab = pixels([(0, -128, 128), (50, 0, 64), (100, 32, 0)], torch.float32)
    L_norm, ab_norm = normalize_lab(lab.expand(2, 3, 1, 3))
    assert L_norm.shape == (2, 1, 1, 3)
    assert ab_norm.shape == (2, 2, 1, 3)
    assert L_norm[0, 0, 0].tolist() == [-1, 0, 1]
    assert ab_norm[0, :, 0].tolist() == [[-1, 0, 0.25], [1, 0.5, 0]]
    assert gray_from_L(L_norm)[0, 0, 0].tolist() == [0, 0.5, 1]


def test_denormalization_is_the_inverse_and_chroma_stays_small():
    lab = rgb_to_lab(rgb_cube(17))
    L_norm, ab_norm = normalize_lab(lab)
    assert_close(denormalize_lab(L_norm, ab_norm), lab, scale=100)
    assert 0.84 < ab_norm.abs().max() < 0.85


def test_lightness_is_not_luma():
    red_and_blue = pixels([(1, 0, 0), (0, 0, 1)], torch.float64)
    L_norm, _ = normalize_lab(rgb_to_lab(red_and_blue))
    difference = gray_from_L(L_norm) - luma(red_and_blue)
    assert difference.abs().min() > 0.2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: normalize_lab(torch.zeros(1, 2, 2)),
        lambda: denormalize_lab(torch.zeros(2, 2, 2), torch.zeros(2, 2, 2)),
        lambda: denormalize_lab(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)),
        lambda: gray_from_L(torch.zeros(3, 2, 2)),
        lambda: luma(torch.zeros(1, 2, 2)),
        lambda: out_of_gamut(torch.zeros(1, 2, 2)),
    ],
)
def test_wrong_channels_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected \(\.\.\., [123], H, W\)"):
        wrong()


# ---------------------------------------------------------------- the door for integers


def test_stored_photographs_become_rgb():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    stored = torch.cat([levels, 255 - levels, levels], -1)  # (1, 16, 16, 3)
    rgb = images_to_float(stored)
    assert rgb.shape == (1, 3, 16, 16)
    assert rgb.dtype == torch.float32
    assert rgb.is_contiguous()
    assert torch.equal(rgb[0, 0].flatten(), torch.arange(256) / 255)
    assert torch.equal(rgb[0, 1], rgb[0, 0].flatten().flip(0).view(16, 16))
    assert torch.equal((rgb * 255).round().byte().movedim(1, -1), stored)


def test_other_stored_photographs_are_refused():
    with pytest.raises(TypeError, match=r"found images of torch.float32, expected"):
        images_to_float(torch.zeros(2, 4, 4, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 4\), expected \(.*W, 3\)"):
        images_to_float(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"shape \(4, 3\)"):
        images_to_float(torch.zeros(4, 3, dtype=torch.uint8))


def test_lightness_is_the_l_of_lab():
    stored = (255 * rgb_cube(17)).round().byte().movedim(0, -1)  # (17, 289, 3)
    expected = skimage_color.rgb2lab(stored.numpy())[..., 0]
    assert_close(lightness(stored)[0], expected, scale=100)
    assert lightness(stored[None]).shape == (1, 1, 17, 289)


def test_lightness_refuses_what_is_not_stored():
    with pytest.raises(TypeError, match="uint8"):
        lightness(torch.zeros(4, 4, 3))
    with pytest.raises(ValueError, match="the channels go last"):
        lightness(torch.zeros(3, 4, 4, dtype=torch.uint8))
