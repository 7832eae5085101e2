"""The network: the paper's layers, their options, what is saved and what is refused."""

import pytest
import timm
import torch
from torch.nn import functional as F

from colorlib.backbones.specs import IMAGENET_MEAN, IMAGENET_STD
from colorlib.bins import bin_centres
from colorlib.model import (
    Encoder,
    ModelConfig,
    build_model,
    load_model,
    save_model,
)

NARROW = {"width": 1 / 8}


def number_of_weights(module):
    return sum(weights.numel() for weights in module.parameters())


def features_for(model, N):
    shape = model.config.feature_shape()
    return None if shape is None else torch.rand(N, *shape)


# ------------------------------------------------------------------ the paper's models


def test_weights_are_as_many_as_the_baseline_has():
    # arXiv:1712.03400's layers: 5,827,200 + 424,802, and the fusion over 1000 classes
    model = build_model("model1")
    assert number_of_weights(model.encoder) == 5_827_200
    assert number_of_weights(model.decoder) == 424_802
    assert number_of_weights(model.fusion) == (256 + 1000) * 256 + 256
    more = [build_model(name) for name in ("model2", "model3")]  # of Section 5.3
    assert {number_of_weights(m) for m in more} == {number_of_weights(model)}
    assert [len(m.config.backbones) for m in (build_model("plain"), model, *more)] == [
        0, 1, 2, 3,
    ]  # fmt: skip


def test_encoder_reduces_eight_times():
    pyramid = Encoder(ModelConfig())(torch.zeros(1, 1, 256, 256))
    shapes = [tuple(features.shape[1:]) for features in pyramid]
    assert shapes == [(128, 128, 128), (256, 64, 64), (256, 32, 32)]


def test_class_scores_are_averaged_over_the_networks_and_change_the_colours():
    torch.manual_seed(0)
    model = build_model("model3", **NARROW)
    L_norm = torch.rand(1, 1, 16, 16)
    softmax = torch.rand(1, 3, 1000).softmax(dim=-1)
    mean = softmax.mean(dim=1, keepdim=True).expand(-1, 3, -1)
    torch.testing.assert_close(model(L_norm, softmax), model(L_norm, mean))
    assert not torch.equal(model(L_norm, softmax), model(L_norm, softmax.flip(-1)))


def test_nearest_upsampling_halves_the_resolution_of_chroma():
    torch.manual_seed(0)
    L_norm = torch.rand(1, 1, 32, 32)
    for upsampling, blocky in [("nearest", True), ("nearest_before", False)]:
        ab_norm = build_model("plain", upsampling=upsampling, **NARROW)(L_norm)
        same = torch.equal(ab_norm[..., ::2, ::2], ab_norm[..., 1::2, 1::2])
        assert same is blocky


def test_model4_is_vgg16_and_begins_with_a_trained_one():
    # arXiv:1409.1556: configuration D has 14,714,688 weights in its convolutions
    encoder = build_model("model4").encoder
    assert number_of_weights(encoder) == 14_714_688
    trained = timm.create_model("vgg16", features_only=True, out_indices=(3,))
    encoder.load_vgg16_weights(trained)
    image = torch.rand(1, 1, 32, 32) * 2 - 1
    theirs = ((image + 1) / 2).expand(-1, 3, -1, -1)
    mean, std = torch.tensor([IMAGENET_MEAN, IMAGENET_STD]).view(2, 3, 1, 1)
    x = theirs = (theirs - mean) / std
    for index, block in enumerate(encoder.blocks[:4]):
        x = block(F.max_pool2d(x, 2) if index else x)
    torch.testing.assert_close(x, trained(theirs)[0])


# ----------------------------------------------------------------------------- options

OPTIONS = [
    {},
    {"skips": True},
    {"normalisation": "batch"},
    {"upsampling": "bilinear"},
    {"upsampling": "nearest_before"},
    {"target": "rgb_keep_L"},
    {"classes": True},
    {"classes": True, "skips": True, "encoder": "vgg16"},
    {"aggregation": "gate", "dropout": 0.3},
    {"aggregation": "concat", "features": "logits"},
    {"aggregation": "max"},
    {"features": "maps", "feature_channels": (5, 7), "aggregation": "gate"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_weight_learns(options):
    torch.manual_seed(0)
    model = build_model("model2", **options | NARROW)
    outputs = model.outputs(torch.rand(2, 1, 16, 16), features_for(model, 2))
    (outputs * torch.randn_like(outputs)).sum().backward()
    for name, weights in model.named_parameters():
        assert weights.grad.isfinite().all(), name
        assert weights.grad.any(), name


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_output_has_the_size_of_the_input_and_survives_saving(options, tmp_path):
    torch.manual_seed(0)
    model = build_model("model2", **options | NARROW).eval()
    planes = 3 if options.get("target", "").startswith("rgb") else 2
    for H, W in [(64, 64), (17, 41), (1, 3)]:
        target_norm = model(torch.rand(2, 1, H, W), features_for(model, 2))
        assert target_norm.shape == (2, planes, H, W)
        assert target_norm.abs().max() <= 1
    save_model(model, tmp_path / "model.safetensors", {"size": 64})
    loaded, notes = load_model(tmp_path / "model.safetensors")
    L_norm, features = torch.rand(1, 1, 16, 16), features_for(model, 1)
    assert (loaded.config, notes) == (model.config, {"size": 64})
    # At other addresses in memory some CPUs round otherwise, so not to the bit.
    expected = model(L_norm, features)
    torch.testing.assert_close(loaded(L_norm, features), expected, rtol=1e-5, atol=1e-6)


def test_maps_change_only_their_own_place():
    torch.manual_seed(0)
    options = {"features": "maps", "feature_channels": (3,)}
    model = build_model("model1", **options | NARROW)
    maps = torch.zeros(1, 3, 8, 8)
    maps[..., 0, 0] = 5  # something seen in the upper left
    L_norm = torch.zeros(1, 1, 64, 64)
    change = (model(L_norm, maps) - model(L_norm, maps * 0)).abs().sum(dim=1)[0]
    assert change[:8, :8].max() > 0
    assert change[40:, 40:].max() == 0


def test_a_model_that_classifies_predicts_the_colour_it_is_sure_of():
    model = build_model("plain", classes=True, **NARROW)
    torch.nn.init.zeros_(model.decoder.last.weight)
    torch.nn.init.zeros_(model.decoder.last.bias)
    model.decoder.last.bias.data[100] = 40.0
    ab_norm = model(torch.rand(1, 1, 16, 16))
    expected = (bin_centres()[100] / 128).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    torch.testing.assert_close(ab_norm, expected)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("shape", [None, (1, 2, 1000), (1, 512, 8, 8)])
def test_features_of_other_networks_are_refused(shape):
    features = None if shape is None else torch.zeros(shape)
    with pytest.raises(ValueError, match=r"expected \(N, \*\(3, 1000\)\)"):
        build_model("model3", **NARROW)(torch.zeros(1, 1, 8, 8), features)
    with pytest.raises(ValueError, match="expected"):
        build_model("plain", **NARROW)(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 1000))


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="expected one of plain, model1"):
        build_model("model5")
    with pytest.raises(ValueError, match="name a model that fuses"):
        build_model("plain", backbones=["resnet50.tv_in1k"])
