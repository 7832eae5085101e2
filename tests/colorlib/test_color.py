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

# Name of a space -> the way there and back, and the size of its values.
SPACES = {
    "lab": (rgb_to_lab, lab_to_rgb, 100.0),
    "luv": (targets.rgb_to_luv, luv_to_rgb, 100.0),
    "yuv": (targets.rgb_to_yuv, targets.yuv_to_rgb, 1.0),
}
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
NEAR_BLACK = [0.0, 1e-45, 1e-38, 1e-20, 1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]
THRESHOLDS = [color.LINEAR_THRESHOLD, color.LAB_EPSILON, color.SRGB_THRESHOLD]
# Every place where a formula changes or is undefined, and outside of [0, 1].
NASTY_RGB = [*NEAR_BLACK, *THRESHOLDS, -0.5, -1e-3, 0.5, 1.0, 1.5]
# Values a network may predict: of all their combinations most are no colour.
NASTY = {
    "lab": [-128.0, -1.0, 0.0, 1e-6, 1e-4, 8.0, 100.0, 128.0],
    "luv": [-128.0, -1.0, 0.0, 1e-6, 1e-4, 8.0, 100.0, 128.0],
    "yuv": [-1.0, 0.0, 1e-30, 1e-3, 0.5, 1.0, 2.0],
}

in_each_space = pytest.mark.parametrize("space", SPACES)
in_both_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


# ------------------------------------------------------------------ outside authorities


@in_both_precisions
@in_each_space
def test_agrees_with_skimage_there_and_back(space, dtype):
    there, back, _ = SPACES[space]
    rgb = rgb_cube(41)
    expected = with_skimage(getattr(skimage_color, f"rgb2{space}"), rgb)
    found = there(rgb.to(dtype))
    np.testing.assert_allclose(found.double(), expected, atol=SKIMAGE_TOLERANCE)
    expected = with_skimage(getattr(skimage_color, f"{space}2rgb"), there(rgb))
    np.testing.assert_allclose(back(found), expected, atol=ROUND_TRIP_TOLERANCE)


def test_clipped_colours_agree_with_skimage():
    lab = grid(np.linspace(-60, 60, 13), torch.float64)
    lab[0] += 60  # L from 0 to 120
    lab = lab[:, (lab[0] + 16) / 116 >= lab[2] / 200]  # it changes Z elsewhere
    lab = lab[:, None]  # (3, 1, M)
    expected = with_skimage(skimage_color.lab2rgb, lab)
    assert out_of_gamut(lab).float().mean() > 0.3
    np.testing.assert_allclose(lab_to_rgb(lab), expected, atol=SKIMAGE_TOLERANCE)


def test_luma_is_that_of_pillow_and_not_lightness():
    images = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(images).convert("L"))
    found = 255 * luma(images_to_float(torch.from_numpy(images)))[0]
    assert np.abs(found.numpy() - expected).max() <= 0.51  # it rounds
    red_and_blue = pixels([(1, 0, 0), (0, 0, 1)], torch.float64)
    gray = gray_from_L(normalize_lab(rgb_to_lab(red_and_blue))[0])
    assert (gray - luma(red_and_blue)).abs().min() > 0.2


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


@in_each_space
@given(rgb=arrays(np.float32, (3, 2, 2), elements=st.floats(0, 1, width=32)))
@settings(deadline=None, max_examples=100)
def test_round_trip_of_any_colour(space, rgb):
    there, back, _ = SPACES[space]
    for image in (torch.from_numpy(rgb), torch.from_numpy(rgb).double()):
        assert (back(there(image)) - image).abs().max() < ROUND_TRIP_TOLERANCE


def test_ranges_are_those_of_the_docstrings():
    bounds = {
        "lab": [(0, 100), (-86.2, 98.3), (-107.9, 94.5)],
        "luv": [(0, 100), (-83.1, 175.1), (-134.1, 107.4)],
        "yuv": [(0, 1), (-0.4361, 0.4361), (-0.615, 0.615)],
    }
    for space, expected in bounds.items():
        channels = SPACES[space][0](rgb_cube(33))
        for channel, (low, high) in zip(channels, expected, strict=True):
            margin = 0.01 * (high - low)
            assert low - 1e-9 <= channel.min() < low + margin
            assert high - margin < channel.max() <= high + 1e-9


def test_grays_have_no_chroma():
    gray = torch.linspace(0, 1, 256, dtype=torch.float64).expand(3, 1, 256)
    assert rgb_to_lab(gray)[1:].abs().max() < 0.01
    assert (rgb_to_lab(gray)[0].diff() > 0).all()


# ---------------------------------------------------------------------------- gradients


@in_both_precisions
@in_each_space
def test_gradients_are_finite_everywhere(space, dtype):
    there, back, _ = SPACES[space]
    ways = [(there, NASTY_RGB), (back, NASTY[space])]
    if space == "lab":
        ways.append((lambda lab: lab_to_rgb(lab, clip=False), NASTY[space]))
    for convert, values in ways:
        image = grid(values, dtype).requires_grad_()
        result = convert(image)
        result.square().sum().backward()
        assert result.isfinite().all()
        assert image.grad.isfinite().all()


def test_luv_without_a_chromaticity_is_finite():
    v = -13 * targets.WHITE_V  # for L = 1: nothing is left of v'
    luv = pixels([(1, 5, v), (1, 5, v - 1e-9), (1, 5, 2 * v)], torch.float64)
    luv.requires_grad_()
    rgb = luv_to_rgb(luv)
    rgb.sum().backward()
    assert rgb.isfinite().all()
    assert luv.grad.isfinite().all()


@in_each_space
def test_gradients_agree_with_differences(space):
    there, back, _ = SPACES[space]
    rgb = pixels([(0.01, 0.02, 0.035), (0.3, 0.6, 0.2), (0.9, 0.1, 0.7)], torch.float64)
    assert torch.autograd.gradcheck(there, rgb.requires_grad_())
    assert torch.autograd.gradcheck(back, there(rgb.detach()).requires_grad_())


def test_gradients_at_black_and_where_colours_are_clipped():
    rgb = torch.zeros(3, 1, 1, dtype=torch.float64, requires_grad=True)
    rgb_to_lab(rgb)[0].sum().backward()
    slope = 116 * color.LAB_SLOPE / color.SRGB_SLOPE  # L over gray: 69.9
    assert rgb.grad.sum().item() == pytest.approx(slope)
    lab = pixels([(50, 0, 120)], torch.float64).requires_grad_()
    lab_to_rgb(lab)[2].sum().backward()  # no blue is left to take away
    assert (lab.grad == 0).all()


# ----------------------------------------------------------------- any shape and device


@pytest.mark.parametrize("dtype", FLOATS)
@in_each_space
def test_the_dtype_stays_and_halves_are_computed_in_float32(space, dtype):
    there, back, scale = SPACES[space]
    rgb = rgb_cube(5, dtype)
    result = there(rgb)
    assert result.dtype == back(result).dtype == dtype
    assert_close(result, there(rgb.double()), scale)
    assert luma(rgb).dtype == dtype


@in_each_space
def test_leading_dimensions_memory_order_and_device_do_not_matter(space):
    there, back, scale = SPACES[space]
    batch = torch.rand(2, 3, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    result = there(batch)
    assert result.shape == batch.shape
    assert_close(there(batch[1, 2]), result[1, 2], scale)
    channels_last = batch[0].to(memory_format=torch.channels_last)
    assert_close(there(channels_last), result[0], scale)
    assert there(batch[:0]).shape == (0, 3, 3, 4, 5)
    assert back(there(batch.to("meta"))).device.type == "meta"


@in_each_space
def test_autocast_does_not_blur_colours_and_nan_is_not_hidden(space):
    there, back, _ = SPACES[space]
    rgb = rgb_cube(5, torch.float32)
    plain = back(there(rgb))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(back(there(rgb)), plain)
    for convert in (there, back):
        assert convert(torch.full((3, 1, 1), torch.nan)).isnan().any()


# ------------------------------------------------------------------------------- faults

NO_IMAGES = [
    *(torch.zeros(3, 2, 2, dtype=d) for d in (torch.uint8, torch.int64, torch.bool)),
    torch.zeros(3, 2, 2, dtype=torch.cfloat),
    np.zeros((3, 2, 2)),
    [0.0],
]


@pytest.mark.parametrize("way", [0, 1])
@in_each_space
def test_only_float_tensors_of_three_channels_are_a_colour(space, way):
    convert = SPACES[space][way]
    for image in NO_IMAGES:
        found = getattr(image, "dtype", "list")
        message = rf"found an image of {found}, .*images_to_float"
        with pytest.raises(TypeError, match=message):
            convert(image)
    for shape in [(3,), (3, 4), (4, 4, 3), (2, 1, 4, 4), (4, 2, 2)]:
        message = r"found an image of shape \(.*\), expected \(\.\.\., 3, H, W\)"
        with pytest.raises(ValueError, match=message) as caught:
            convert(torch.zeros(shape))
        assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------- gamut


def test_every_displayable_colour_is_in_gamut():
    for dtype in (torch.float32, torch.float64):
        assert not out_of_gamut(rgb_to_lab(rgb_cube(33, dtype))).any()


def test_out_of_gamut_is_what_clipping_changes():
    lab = grid(NASTY["lab"], torch.float64)
    unclipped = lab_to_rgb(lab, clip=False)
    assert unclipped.min() < -0.1
    assert unclipped.max() > 1.1
    assert torch.equal(lab_to_rgb(lab), unclipped.clamp(0, 1))
    changed = (unclipped - lab_to_rgb(lab)).abs().amax(0)
    assert torch.equal(out_of_gamut(lab), changed > color.GAMUT_TOLERANCE)


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


def test_stored_images_become_rgb():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    stored = torch.cat([levels, 255 - levels, levels], -1)  # (1, 16, 16, 3)
    rgb = images_to_float(stored)
    assert (rgb.shape, rgb.dtype) == ((1, 3, 16, 16), torch.float32)
    assert rgb.is_contiguous()
    assert torch.equal(rgb[0, 0].flatten(), torch.arange(256) / 255)
    assert torch.equal(rgb[0, 1], rgb[0, 0].flatten().flip(0).view(16, 16))
    assert torch.equal((rgb * 255).round().byte().movedim(1, -1), stored)


def test_lightness_is_the_l_of_lab():
    stored = (255 * rgb_cube(17)).round().byte().movedim(0, -1)  # (17, 289, 3)
    expected = skimage_color.rgb2lab(stored.numpy())[..., 0]
    assert_close(lightness(stored)[0], expected, scale=100)
    assert lightness(stored[None]).shape == (1, 1, 17, 289)


@pytest.mark.parametrize("convert", [images_to_float, lightness])
def test_other_stored_images_are_refused_and_none_is_moved(convert):
    with pytest.raises(TypeError, match=r"found images of torch.float32, expected"):
        convert(torch.zeros(2, 4, 4, 3))
    for shape in [(2, 3, 4, 4), (4, 3)]:
        with pytest.raises(ValueError, match=r"expected \(.*W, 3\): the channels go"):
            convert(torch.zeros(shape, dtype=torch.uint8))
    stored = torch.empty(2, 4, 4, 3, dtype=torch.uint8, device="meta")
    assert convert(stored).device.type == "meta"
