"""The bundled network: grids, exactness, and its file."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colorlib.bins import bin_centres
from colorlib.errors import UserError
from colorlib.model import build_model, save_model
from colorlib.unet import ColorUNet, UNetConfig, load_unet, save_unet

SMALL = UNetConfig(
    stem=8,
    stages=((1, 8, 1, 1), (2, 8, 2, 2), (2, 12, 1, 2), (2, 16, 2, 2), (2, 16, 1, 2)),
    decoder=(16, 12, 8, 8),
)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return ColorUNet(SMALL).eval()


def gray(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 1, *shape, generator=generator) * 2 - 1


@settings(max_examples=30, deadline=None)
@given(H=st.integers(1, 100), W=st.integers(1, 100))
def test_any_size_gives_chroma_on_a_quarter_of_the_grid(net, H, W):
    with torch.no_grad():
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
    assert 2 * sum(p.numel() for p in net.parameters()) < 8e6  # bytes in the package


def test_training_and_evaluation_compute_the_same(net):
    L_norm = gray(37, 50)
    with torch.no_grad():
        expected = net(L_norm)
        found = net.train()(L_norm)
    net.eval()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_low_temperatures_give_the_most_probable_bin(net):
    L_norm = gray(32, 32)
    with torch.no_grad():
        mode = bin_centres()[net.logits(L_norm).argmax(1)].movedim(
            -1, 1
        )  # (1, 2, 8, 8)
        torch.testing.assert_close(net(L_norm, 1e-5) * 128, mode)
        assert not torch.equal(net(L_norm, 1.0), net(L_norm))


def test_a_file_holds_all_that_is_needed(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_unet(net, path, {"trained": "on nothing"}, torch.float32)
    again, notes = load_unet(path)
    assert again.config == SMALL
    assert notes == {"trained": "on nothing"}
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(gray(40, 30)), net(gray(40, 30)))
    assert load_unet(path, temperature=0.2)[0].config.temperature == 0.2


def test_half_precision_moves_chroma_by_less_than_half_a_unit(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_unet(net, path, {})
    with torch.no_grad():
        moved = load_unet(path)[0](gray(64, 64)) - net(gray(64, 64))
    assert moved.abs().max() * 128 < 0.5


def test_what_is_no_such_file_is_refused_in_a_line(tmp_path):
    with pytest.raises(UserError, match="found no model at"):
        load_unet(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(UserError, match="is no model of this package"):
        load_unet(tmp_path / "text.safetensors")
    save_model(build_model("plain", width=0.125), tmp_path / "paper.safetensors", {})
    with pytest.raises(UserError, match="it is no ColorUNet"):
        load_unet(tmp_path / "paper.safetensors")


def test_colour_images_are_refused(net):
    with pytest.raises(ValueError, match="expected"):
        net(torch.zeros(1, 3, 32, 32))


def test_it_runs_without_timm():
    program = (
        "import sys, torch, colorlib.unet as u; u.ColorUNet();"
        "assert not {'timm', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
