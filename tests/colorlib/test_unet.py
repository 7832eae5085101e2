"""The bundled network: grids, exactness, its file; and what it makes of photographs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from skimage import data
from support import SMALL

from colorlib.bins import bin_centres, cautious_colour
from colorlib.color import images_to_float, normalize_lab, rgb_to_lab
from colorlib.colorize import BUNDLED, Colorizer
from colorlib.errors import UserError
from colorlib.images import Photograph
from colorlib.metrics import colourfulness
from colorlib.model import build_model, save_model
from colorlib.unet import ColorUNet, load_unet, save_unet


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return ColorUNet(SMALL).eval().requires_grad_(False)


def gray(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 1, *shape, generator=generator) * 2 - 1


@settings(max_examples=30, deadline=None)
@given(H=st.integers(1, 100), W=st.integers(1, 100))
def test_any_size_gives_chroma_on_a_quarter_of_the_grid(net, H, W):
    ab_norm = net(gray(H, W))
    assert ab_norm.shape == (1, 2, math.ceil(H / 4), math.ceil(W / 4))
    assert ab_norm.abs().max() <= 110 / 128  # no bin lies further out


def test_the_network_of_the_package_has_the_published_encoder():
    net = ColorUNet()
    maps = net.encode(torch.zeros(1, 1, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        *((16, 32, 32), (24, 16, 16), (32, 8, 8), (96, 4, 4), (320, 2, 2))
    ]
    inside = sum(p.numel() for p in net.blocks.parameters())
    assert inside == 1_795_040  # with biases for its batch normalisations


def test_training_and_evaluation_compute_the_same(net):
    L_norm = gray(37, 50)
    expected, found = net(L_norm), net.train()(L_norm)
    net.eval()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_caution_decides_what_is_made_of_the_logits(net):
    other = ColorUNet(replace(SMALL, caution=0.002)).eval().requires_grad_(False)
    other.load_state_dict(net.state_dict())
    logits = net.logits(gray(32, 32))
    expected = cautious_colour(logits, bin_centres(), 0.002)
    torch.testing.assert_close(other(gray(32, 32)) * 128, expected)
    assert not torch.equal(other(gray(32, 32)), net(gray(32, 32)))


def test_colour_images_are_refused(net):
    with pytest.raises(ValueError, match="expected"):
        net(torch.zeros(1, 3, 32, 32))


# ----------------------------------------------------------------------------- its file


def test_a_file_holds_all_that_is_needed_in_half_precision(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_unet(net, path, {"trained": "on nothing"})
    again, notes = load_unet(path)
    assert (again.config, notes) == (SMALL, {"trained": "on nothing"})
    assert not again.training
    for name, weights in again.state_dict().items():
        assert torch.equal(weights, net.state_dict()[name].half().float()), name
    moved = again.requires_grad_(False)(gray(64, 64)) - net(gray(64, 64))
    assert moved.abs().max() * 128 < 0.5  # Lab units


def test_another_network_is_refused(tmp_path):
    save_model(build_model("plain", width=0.125), tmp_path / "paper.safetensors", {})
    with pytest.raises(UserError, match="it is no ColorUNet"):
        load_unet(tmp_path / "paper.safetensors")


# -------------------------------------------------------------------- the bundled model


@pytest.fixture(scope="module")
def colorizer():
    return Colorizer.load()  # without a path, without weights of others


def test_it_is_small_and_its_card_stands_beside_it():
    assert BUNDLED.stat().st_size < 8e6
    with safe_open(BUNDLED, framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float16}
    assert all(t.isfinite().all() for t in tensors)
    assert BUNDLED.with_suffix(".md").read_text().startswith("# ")


def test_what_it_makes_of_photographs_is_coloured_and_not_sepia(colorizer):
    """Fur and a night sky have one hue each, but not the same."""
    means = []
    for name in ("astronaut", "cat", "coffee", "rocket"):
        original = getattr(data, name)()
        made = colorizer.colorize(Photograph(original)).rgb
        assert made.shape == original.shape
        rgb = images_to_float(torch.from_numpy(np.ascontiguousarray(made))[None])[0]
        assert colourfulness(rgb) > 8
        ab = 128 * normalize_lab(rgb_to_lab(rgb))[1]
        assert ab.norm(dim=0).mean() > 3  # Lab units
        means.append(ab.mean(dim=(1, 2)))
    cat, rocket = means[1], means[3]
    assert cat[1] > 0 > rocket[1]  # towards yellow, towards blue
