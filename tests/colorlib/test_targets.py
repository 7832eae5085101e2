"""What a model sees and predicts, in each space."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from support import photographs, with_skimage

from colorlib.color import lab_to_rgb, out_of_gamut, rgb_to_lab
from colorlib.targets import PAPER, Target

SPACES = ["lab", "luv", "yuv", "rgb", "rgb_keep_L"]


@pytest.mark.parametrize("space", SPACES)
def test_the_ground_truth_comes_back_as_the_image(space):
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


def test_the_gray_image_is_the_l_of_lab_or_that_of_its_luma():
    rgb = photographs(2)
    luma = 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]
    for target, seen in ((PAPER, rgb), (Target(gray="luma"), luma.expand_as(rgb))):
        L_norm, ab_norm = target.split(rgb)
        expected = with_skimage(rgb2lab, seen)[:, :1] / 50 - 1
        np.testing.assert_allclose(L_norm, expected, atol=1e-5)
        assert torch.equal(ab_norm, PAPER.split(rgb)[1])  # the target stays
    blue = torch.tensor([0.0, 0, 1]).view(1, 3, 1, 1)
    lights = [Target(gray=gray).split(blue)[0].item() for gray in ("L", "luma")]
    assert abs(lights[0] - lights[1]) > 0.3


@pytest.mark.parametrize("gray", ["L", "luma"])
@pytest.mark.parametrize("space", ["lab", "luv", "yuv"])
def test_a_gray_image_is_the_same_input_for_both_grays(space, gray):
    gray_rgb = photographs(1)[:, :1].expand(-1, 3, -1, -1)
    L_norm, target_norm = Target(space, gray).split(gray_rgb)
    torch.testing.assert_close(L_norm, Target(space).split(gray_rgb)[0])
    assert target_norm.abs().max() < 1e-3


def test_rgb_keep_l_takes_lightness_from_the_input_and_chroma_from_the_prediction():
    L_norm, target_norm = Target("rgb_keep_L").split(photographs(2))
    predicted = target_norm.flip(0) * 0.5
    lab = Target("rgb_keep_L").to_lab(L_norm, predicted)
    torch.testing.assert_close(lab[:, :1], (L_norm + 1) * 50)
    torch.testing.assert_close(lab[:, 1:], rgb_to_lab((predicted + 1) / 2)[:, 1:])
    own = Target("rgb").to_lab(L_norm, predicted)
    assert (own[:, 0] - lab[:, 0]).abs().max() > 5  # `rgb` predicts lightness, too


@pytest.mark.parametrize("space", ["lab", "luv", "yuv"])
def test_a_prediction_out_of_gamut_is_not_clipped(space):
    L_norm, vivid = torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2, 2)
    assert out_of_gamut(Target(space).to_lab(L_norm, vivid)).all()


def test_refuses_the_wrong_number_of_planes():
    with pytest.raises(ValueError, match="3, H, W"):
        Target("rgb").to_lab(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))
