"""The bundled network as ONNX computes what it computes in torch."""

from dataclasses import replace

import onnxruntime
import pytest
import torch
from support import SMALL

from colorlib.unet import ColorUNet, load_unet, save_unet
from tools.export_onnx import main


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    torch.manual_seed(0)
    save_unet(ColorUNet(replace(SMALL, view_size=96)), folder / "net.safetensors", {})
    main([str(folder / "net.safetensors"), str(folder / "net.onnx")])
    session = onnxruntime.InferenceSession(folder / "net.onnx")
    return load_unet(folder / "net.safetensors")[0], session


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 97, 130), (1, 41, 200)])
def test_any_shape_gives_the_same_chroma(exported, shape):
    net, session = exported
    N, H, W = shape
    L_norm = torch.rand(N, 1, H, W) * 2 - 1
    (found,) = session.run(None, {"L_norm": L_norm.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(found), net(L_norm), rtol=0, atol=1e-5
        )


def test_the_file_says_how_it_is_used(exported):
    about = exported[1].get_modelmeta().custom_metadata_map
    assert about == {"view_size": "96", "caution": "0.0075"}
