"""Photographs: own lightness, chroma along edges, frames, contrast, backbones."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color as skcolor
from skimage import data

from colorlib import colorize
from colorlib.backbones import load_backbone
from colorlib.colorize import (
    Colorizer,
    chroma_along_lightness,
    gray_of,
    inside_frame,
    join_with_own_lightness,
    with_contrast,
)
from colorlib.images import Photograph
from colorlib.model import build_model, save_model


@pytest.fixture(scope="module")
def colorizer(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    notes = {"size": 32, "backbones": []}
    save_model(build_model("plain", width=0.1), path, notes)
    return Colorizer.load(path)


@pytest.fixture(scope="module")
def shipped():
    return Colorizer.load()


def lightness(rgb):
    return skcolor.rgb2lab(rgb)[..., 0]


@pytest.mark.parametrize(("H", "W"), [(37, 61), (8, 8), (300, 40), (513, 129), (1, 9)])
@pytest.mark.parametrize("white", [255, 65535])
def test_size_depth_and_lightness_stay(colorizer, H, W, white):
    unit = np.random.default_rng(0).uniform(0.16, 0.84, (H, W, 3))
    rgb = (unit * white).astype(np.uint8 if white == 255 else np.uint16)
    coloured = colorizer.colorize(Photograph(rgb, None, None)).rgb
    assert coloured.shape == (H, W, 3)
    assert coloured.dtype == rgb.dtype
    off = np.abs(lightness(coloured / white) - lightness(rgb / white)).max()
    assert off < (0.5 if white == 255 else 0.1)  # rounding


def test_colouring_in_place_is_the_same(colorizer):
    rgb = data.coffee()[:90, :120].copy()
    apart = colorizer.colorize(Photograph(rgb))
    assert (rgb == data.coffee()[:90, :120]).all()
    assert colorizer.colorize(Photograph(rgb), in_place=True).rgb is rgb
    assert (rgb == apart.rgb).all()


def as_rgb(gray):
    return np.repeat(gray[..., None], 3, axis=2)


def joined(rgb, ab_norm):
    """The photograph with chroma."""
    out = np.empty_like(rgb)
    join_with_own_lightness(rgb, gray_of(rgb), ab_norm, out)
    return out


NAMES = ["astronaut", "coffee", "chelsea", "rocket"]


@pytest.mark.parametrize("name", NAMES)
def test_gray_is_that_of_the_same_lightness(name):
    rgb = getattr(data, name)()
    gray = gray_of(rgb)
    levels = lightness(as_rgb(np.arange(256, dtype=np.uint8)[None]))
    furthest = np.diff(levels).max() / 2  # from the nearest of the 256 grays
    off = np.abs(lightness(as_rgb(gray)) - lightness(rgb)).max()
    assert off < furthest + 0.01
    np.testing.assert_array_equal(gray_of(as_rgb(gray)), gray)


@pytest.mark.parametrize("name", NAMES)
def test_the_photograph_s_own_colour_is_not_looked_at(shipped, name, monkeypatch):
    join, seen = colorize.join_with_own_lightness, []

    def listen(rgb, gray, ab_norm, out):
        seen.append(ab_norm)
        join(rgb, gray, ab_norm, out)

    monkeypatch.setattr(colorize, "join_with_own_lightness", listen)
    rgb = getattr(data, name)()
    one, other = (
        skcolor.rgb2lab(shipped.colorize(Photograph(image)).rgb)
        for image in (rgb, as_rgb(gray_of(rgb)))
    )
    # The gray one's lightness is rounded to 8 bits, and so are both results: together
    # 0.9 Lab units. Of copies that were made small in colour it was 1.8 to 4.
    assert np.abs(one - other).max() < 1.2
    assert torch.equal(*seen)
    assert seen[0].abs().max() > 0.05


def test_chroma_of_the_same_size_is_joined_pixel_by_pixel():
    rgb = data.coffee()[:300:2, :300:2]
    lab = skcolor.rgb2lab(rgb)
    ab_norm = torch.from_numpy(lab[..., 1:] / 128).permute(2, 0, 1)[None].float()
    gray = np.repeat(np.round(255 * lab[..., :1] / 100), 3, axis=2).astype(np.uint8)
    expected = np.dstack([lightness(gray), lab[..., 1:]])
    difference = joined(gray, ab_norm) - 255 * skcolor.lab2rgb(expected)
    assert np.abs(difference).max() <= 1


def test_strips_leave_no_seam(monkeypatch):
    rgb = data.coffee()[:300, :40]
    ramp = torch.linspace(-0.2, 0.2, 64).reshape(1, 1, 64, 1).expand(1, 2, 64, 4)
    whole = joined(rgb, ramp)
    for rows in (1, 7, 256):
        monkeypatch.setattr(colorize, "STRIP_PIXELS", 40 * rows)
        # Lines of another length go through other vector units: the last bit differs.
        assert np.abs(joined(rgb, ramp).astype(int) - whole).max() <= 1


def test_chroma_goes_through_what_was_predicted():
    L_norm, ab_norm = torch.rand(1, 1, 9, 7) * 2 - 1, torch.rand(1, 2, 9, 7) - 0.5
    slope, offset = chroma_along_lightness(ab_norm, L_norm).chunk(2, dim=1)
    torch.testing.assert_close(slope * L_norm + offset, ab_norm)


def test_a_slope_is_that_of_least_squares():
    generator = torch.Generator().manual_seed(0)
    L_norm = torch.rand(1, 1, 3, 3, generator=generator) * 2 - 1
    a_unit = torch.rand(1, 1, 3, 3, generator=generator) - 0.5
    lines = chroma_along_lightness(torch.cat([a_unit, L_norm], 1), L_norm)
    x, y = (plane.flatten().double().numpy() for plane in (L_norm, a_unit))
    ridge = np.append(x - x.mean(), np.sqrt(9 * colorize.SLOPE_EPSILON))[:, None]
    expected = np.linalg.lstsq(ridge, np.append(y - y.mean(), 0), rcond=None)[0][0]
    assert lines[0, 0, 1, 1].item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_chroma_along_lightness_is_closer_than_bilinear(monkeypatch, name):
    rgb = getattr(data, name)()
    scale = 64 / min(rgb.shape[:2])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    ab = skcolor.rgb2lab(small)[..., 1:].transpose(2, 0, 1).astype(np.float32)
    ab_norm = torch.from_numpy(ab)[None] / 128  # (1, 2, h, w)

    def error():
        made = joined(rgb, ab_norm)
        return skcolor.deltaE_ciede2000(*map(skcolor.rgb2lab, (rgb, made))).mean()

    along_lightness = error()
    monkeypatch.setattr(colorize, "SLOPE_EPSILON", 1e9)  # no slope: bilinear
    assert along_lightness < 0.98 * error()


# Faded and framed -------------------------------------------------------------------


def framed(gray, tone, width=20):
    """A photograph within a border that is not quite plain."""
    page = np.random.default_rng(0).normal(tone, 1.5, np.add(gray.shape, 2 * width))
    page[width:-width, width:-width] = gray
    return page.clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tone", [4, 120, 250])
def test_a_frame_is_found_and_a_picture_without_one_is_whole(name, tone):
    gray = gray_of(getattr(data, name)())
    H, W = gray.shape
    assert inside_frame(gray) == (slice(0, H), slice(0, W))
    for found, size in zip(inside_frame(framed(gray, tone)), (H, W), strict=True):
        assert abs(found.start - 20) <= 4
        assert abs(found.stop - 20 - size) <= 4


def test_a_plain_picture_and_a_gray_sky_have_no_frame():
    for tone in (0, 128, 255):
        assert inside_frame(np.full((4, 6), tone)) == (slice(0, 4), slice(0, 6))
    gray = gray_of(data.astronaut())
    gray[:100], gray[-90:] = 150, 160
    assert inside_frame(gray) == (slice(0, 512), slice(0, 512))


@pytest.mark.parametrize("name", NAMES)
def test_contrast_is_restored_where_it_faded_only(name):
    gray = gray_of(getattr(data, name)())
    assert with_contrast(gray) is gray
    faded = (0.4 * gray + 110).round().astype(np.uint8)
    restored = with_contrast(faded)
    assert np.percentile(restored, 99) - np.percentile(restored, 1) > 200
    assert np.corrcoef(restored.flatten(), gray.flatten())[0, 1] > 0.98


@pytest.mark.parametrize("name", NAMES)
def test_a_faded_and_framed_photograph_is_coloured_as_it_was(shipped, name):
    gray = gray_of(getattr(data, name)())
    clean = skcolor.rgb2lab(shipped.colorize(Photograph(as_rgb(gray))).rgb)
    faded = framed((0.4 * gray + 110).astype(np.uint8), 240)
    made = shipped.colorize(Photograph(as_rgb(faded))).rgb
    assert np.ptp(made[:16], axis=-1).max() <= 1  # the frame is gray
    assert np.ptp(made[:, -16:], axis=-1).max() <= 1
    found = skcolor.rgb2lab(made)
    own = np.abs(found[..., 0] - lightness(as_rgb(faded)))
    assert np.quantile(own, 0.99) < 0.5  # but for colours that no screen shows
    off = np.hypot(*np.moveaxis(found[20:-20, 20:-20, 1:] - clean[..., 1:], -1, 0))
    assert off.mean() < 0.6 * np.hypot(clean[..., 1], clean[..., 2]).mean()


def test_a_model_with_backbones_asks_them(tmp_path):
    name, path = "test_resnet.r160_in1k", tmp_path / "model.safetensors"
    torch.manual_seed(0)
    model = build_model("model1", backbones=[name], width=0.1)
    weights_hash = load_backbone(name, "random").weights_hash
    listed = [{"name": name, "weights": "random", "weights_hash": weights_hash}]
    save_model(model, path, {"size": 32, "model": "model1", "backbones": listed})
    made = Colorizer.load(path).colorize(Photograph(data.coffee()[:64, :96]))
    assert made.rgb.shape == (64, 96, 3)
