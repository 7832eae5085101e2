import numpy as np
import pytest
import torch
from skimage.color import rgb2gray, rgb2lab, rgb2luv, rgb2yuv
from support import photographs, with_skimage

from colorlib.color import lab_to_rgb
from colorlib.errors import UserError
from colorlib.targets import PAPER, Target

SPACES = ["lab", "luv", "yuv", "rgb"]


@pytest.mark.parametrize("space", SPACES)
def test_truth_comes_back_as_the_photograph(space):
    rgb = photographs(3)
    target = Target(space)
    lab = target.to_lab(*target.split(rgb))
    assert (lab_to_rgb(lab) - rgb).abs().max() < 1e-3


@pytest.mark.parametrize("space", SPACES)
def test_everything_fits_the_tanh(space):
    cube = torch.rand(8, 3, 64, 64, dtype=torch.float64).round()  # the cube's corners
    L_norm, target_norm = Target(space).split(cube)
    assert target_norm.shape[1] == Target(space).channels
    for plane in (L_norm, target_norm):
        assert plane.abs().max() <= 1 + 1e-6


def test_chroma_is_that_of_scikit_image():
    rgb = photographs(2)
    for space, convert, scale in [
        ("lab", rgb2lab, 128),
        ("luv", rgb2luv, 180),
        ("yuv", rgb2yuv, 0.65),
    ]:
        _, target_norm = Target(space).split(rgb)
        expected = with_skimage(convert, rgb)[:, 1:]
        np.testing.assert_allclose(target_norm * scale, expected, atol=5e-3)


def test_the_paper_s_gray_is_the_l_of_lab():
    rgb = photographs(2)
    L_norm, _ = PAPER.split(rgb)
    expected = with_skimage(rgb2lab, rgb)[:, :1] / 50 - 1
    np.testing.assert_allclose(L_norm, expected, atol=1e-5)


def test_luma_is_a_gray_photograph_s_own_lightness():
    rgb = photographs(2)
    L_norm, ab_norm = Target(gray="luma").split(rgb)
    luma = 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]
    expected = with_skimage(rgb2lab, luma.expand_as(rgb))[:, :1] / 50 - 1
    np.testing.assert_allclose(L_norm, expected, atol=1e-5)
    torch.testing.assert_close(ab_norm, PAPER.split(rgb)[1])  # the truth stays


@pytest.mark.parametrize("gray", ["L", "luma"])
@pytest.mark.parametrize("space", ["lab", "luv", "yuv"])
def test_a_gray_photograph_looks_the_same_to_all(space, gray):
    gray_rgb = photographs(1)[:, :1].expand(-1, 3, -1, -1)
    L_norm, target_norm = Target(space, gray).split(gray_rgb)
    torch.testing.assert_close(L_norm, Target(space).split(gray_rgb)[0])
    assert target_norm.abs().max() < 1e-3


def test_colours_of_one_lightness_look_the_same():
    # the network must not be told the colour by what it sees
    lab = torch.full((2, 3, 4, 4), 60.0, dtype=torch.float64)
    lab[0, 1:], lab[1, 1:] = 20, -20
    L_norm, _ = PAPER.split(lab_to_rgb(lab))
    torch.testing.assert_close(L_norm[0], L_norm[1], atol=1e-4, rtol=0)


def test_luma_and_l_disagree_on_saturated_colours():
    blue = torch.tensor([0.0, 0, 1]).view(1, 3, 1, 1)
    seen = [Target(gray=gray).split(blue)[0].item() for gray in ("L", "luma")]
    gray = rgb2gray(np.array([[[0.0, 0, 1]]]))  # BT.709, yet another one
    assert gray.item() == pytest.approx(0.0721, abs=1e-3)
    assert abs(seen[0] - seen[1]) > 0.3


def test_refuses_the_wrong_number_of_planes():
    with pytest.raises(ValueError, match="3, H, W"):
        Target("rgb").to_lab(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize("wrong", [{"space": "hsv"}, {"gray": "l"}, {"space": None}])
def test_refuses_other_words(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(UserError, match=f"{name}: found {value!r}, expected one of"):
        Target(**wrong)
