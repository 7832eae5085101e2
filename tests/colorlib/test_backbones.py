import os
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants as hub
import numpy as np
import pytest
import skimage.data
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from support import photographs
from torch import nn

from colorlib.backbone_specs import SPECS, spec_for
from colorlib.backbones import (
    Backbone,
    extract_features,
    feature_shape,
    features_of_images,
    hash_of_weights,
    load_backbone,
)
from colorlib.color import (
    gray_from_L,
    lab_to_rgb,
    normalize_lab,
    out_of_gamut,
    rgb_to_lab,
)
from colorlib.errors import UserError
from colorlib.features import gray_of_photographs
from colorlib.files import file_sha256
from colorlib.images import fit_square

TINY = "test_resnet.r160_in1k"  # 0.5 million weights, 160 px
TFLITE = [name for name in SPECS if name.startswith("mobilenet")]


@pytest.fixture(scope="module")
def tiny():
    return load_backbone(TINY, "random")


@pytest.fixture
def gray():
    return photographs(4, size=64)[:, :1].float()


def bare(name, net):
    return Backbone(SPECS[name], net, "random", "")


# ---------------------------------------------------------------- what a network sees


@pytest.mark.parametrize(
    ("name", "filter_of_pillow"),
    [
        ("vgg16.tv_in1k", Image.Resampling.BILINEAR),
        ("inception_resnet_v2.tf_in1k", Image.Resampling.BICUBIC),
    ],
)
@pytest.mark.parametrize("size", [64, 256, 400])
def test_resizes_the_whole_image_as_pillow_does(name, filter_of_pillow, size):
    spec = SPECS[name]
    image = photographs(1, size)[0, 0].numpy().astype(np.float32)
    side = (spec.input_size, spec.input_size)
    expected = np.asarray(Image.fromarray(image).resize(side, filter_of_pillow))
    seen = bare(name, nn.Identity()).prepare(torch.from_numpy(image)[None, None])
    for channel in range(3):
        scaled = (expected.clip(0, 1) - spec.mean[channel]) / spec.std[channel]
        np.testing.assert_allclose(seen[0, channel].numpy(), scaled, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg16.tv_in1k", "resnet50.tv_in1k"])
def test_shows_imagenets_mean_gray_as_timms_own_preprocessing(name):
    config = timm.get_pretrained_cfg(name)
    transform = timm.data.create_transform(
        **timm.data.resolve_data_config(pretrained_cfg=config.to_dict())
    )
    flat = Image.new("RGB", (256, 256), (128, 128, 128))
    seen = bare(name, nn.Identity()).prepare(torch.full((1, 1, 256, 256), 128 / 255))
    torch.testing.assert_close(seen[0], transform(flat), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), TypeError),
        (torch.zeros(1, 3, 8, 8), ValueError),
        (torch.zeros(1, 1, 8, 9), ValueError),
    ],
)
def test_refuses_what_is_no_square_gray_image(tiny, image, error):
    with pytest.raises(error, match="found"):
        tiny(image)


@pytest.mark.parametrize("name", SPECS)
def test_each_network_takes_its_input_and_gives_1000_logits(name):
    spec = SPECS[name]
    with torch.device("meta"):  # shapes only: no weight is made
        net = timm.create_model(
            spec.timm_name, num_classes=spec.num_classes, **spec.create_options
        )
    backbone = bare(name, net).to("meta")
    shapes = []
    net.register_forward_pre_hook(lambda _, given: shapes.append(given[0].shape))
    logits = backbone(torch.empty(2, 1, 256, 256, device="meta"))
    assert shapes == [(2, 3, spec.input_size, spec.input_size)]
    assert logits.shape == (2, 1000)


def test_drops_the_background_class_and_no_other():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1001))
    backbone = bare(TFLITE[0], net)
    gray = torch.rand(2, 1, 32, 32)
    expected = net(backbone.prepare(gray))[:, 1:]
    torch.testing.assert_close(backbone(gray), expected, rtol=0, atol=0)


# ------------------------------------------------------------------------ it is frozen


def test_stays_in_evaluation_mode_and_learns_nothing(tiny, gray):
    before = hash_of_weights(tiny.net)
    expected = tiny(gray)
    holder = nn.ModuleList([tiny]).train()
    assert holder.training
    assert not any(module.training for module in tiny.modules())
    assert not any(p.requires_grad for p in tiny.parameters())
    torch.testing.assert_close(tiny(gray), expected, rtol=0, atol=0)
    assert hash_of_weights(tiny.net) == before


def test_scores_do_not_depend_on_the_company(tiny, gray):
    together = features_of_images([tiny], gray, "logits")
    alone = torch.cat([features_of_images([tiny], one[None], "logits") for one in gray])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_colour_does_not_reach_the_network(tiny):
    generator = torch.Generator().manual_seed(0)
    L = photographs(1, 64, seed=1)[:, :1].expand(2, -1, -1, -1) * 20 + 50
    ab = torch.rand(2, 2, 1, 1, generator=generator).expand(-1, -1, 64, 64) * 40 - 20
    lab = torch.cat([L, ab.double()], 1)
    assert not out_of_gamut(lab).any()
    rgb = lab_to_rgb(lab)
    assert (rgb[0] - rgb[1]).abs().max() > 0.05
    one, other = gray_from_L(normalize_lab(rgb_to_lab(rgb))[0]).float()
    scores = [
        features_of_images([tiny], image[None], "logits") for image in (one, other)
    ]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------- scores


def test_softmax_is_the_formula(tiny, gray):
    logits = features_of_images([tiny, tiny], gray, "logits").double().numpy()
    powers = np.exp(logits)
    expected = powers / powers.sum(axis=-1, keepdims=True)
    scores = features_of_images([tiny, tiny], gray)
    assert scores.shape == (4, 2, 1000)
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(scores.sum(-1).numpy(), 1, rtol=1e-5)


def test_scores_differ_between_images(tiny, gray):
    scores = features_of_images([tiny], gray)
    assert (scores[0] - scores[1]).abs().max() > 1e-6


def test_keeps_the_order_of_the_networks(tiny, gray):
    class Ones(nn.Module):
        def forward(self, images):
            return torch.ones(len(images), 1000)

    both = features_of_images([bare("vgg16.tv_in1k", Ones()), tiny], gray, "logits")
    assert (both[:, 0] == 1).all()
    torch.testing.assert_close(both[:, 1], tiny(gray))


@pytest.mark.parametrize("wrong", [lambda g: g * 100, lambda g: g * 2 - 1])
def test_refuses_gray_of_another_scale(tiny, gray, wrong):
    with pytest.raises(ValueError, match=r"found gray from .* expected 0 to 1"):
        features_of_images([tiny], wrong(gray))


def test_refuses_scores_that_do_not_exist(tiny, gray):
    with pytest.raises(ValueError, match="expected one of softmax, logits"):
        features_of_images([tiny], gray, "probability")


def test_features_are_what_the_last_layer_decides_from(tiny, gray):
    features = features_of_images([tiny], gray, "features")
    logits = tiny.net.get_classifier()(features)
    torch.testing.assert_close(logits, features_of_images([tiny], gray, "logits")[:, 0])


def test_features_are_the_mean_of_the_maps(tiny, gray):
    # of a network that pools by averaging, on its own grid
    maps = tiny.net.forward_features(tiny.prepare(gray))
    features = features_of_images([tiny], gray, "features")
    torch.testing.assert_close(features, maps.mean(dim=(2, 3)))
    ours = features_of_images([tiny], gray, "maps")
    expected = torch.nn.functional.interpolate(maps, (8, 8), mode="bilinear")
    torch.testing.assert_close(ours, expected)


def test_channels_of_several_networks_lie_behind_each_other(tiny, gray):
    one = features_of_images([tiny], gray, "maps")
    two = features_of_images([tiny, tiny], gray, "maps")
    assert feature_shape(tiny, "maps") == tuple(one.shape[1:])
    torch.testing.assert_close(two, torch.cat([one, one], dim=1))


def test_a_network_without_maps_is_refused(gray):
    transformer = load_backbone("test_vit.r160_in1k", "random")
    with pytest.raises(UserError, match="take a convolutional network"):
        features_of_images([transformer], gray, "maps")


def test_damaged_weights_are_named(gray):
    backbone = load_backbone(TINY, "random")
    next(backbone.net.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match=r"test_resnet.*weights are damaged"):
        features_of_images([backbone], gray)


# ------------------------------------------------------------------------------ weights


def test_random_weights_are_the_same_every_time(tiny):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = load_backbone(TINY, "random")
    assert torch.equal(torch.rand(3), expected)  # the caller's generator is untouched
    assert again.weights_hash == tiny.weights_hash
    assert again.weights_kind == "random"


def test_the_hash_sees_every_weight(tiny):
    net = load_backbone(TINY, "random").net
    with torch.no_grad():
        net.get_parameter("layer4.0.bn2.bias")[-1] += 1e-6
    assert hash_of_weights(net) != tiny.weights_hash


@pytest.mark.parametrize("as_folder", [True, False])
def test_loads_a_file(tmp_path, tiny, gray, as_folder):
    path = tmp_path / f"{TINY}.safetensors"
    save_file({k: v.contiguous() for k, v in tiny.net.state_dict().items()}, path)
    loaded = load_backbone(TINY, tmp_path if as_folder else str(path))
    assert loaded.weights_kind == "file"
    assert loaded.weights_hash == tiny.weights_hash
    torch.testing.assert_close(loaded(gray), tiny(gray), rtol=0, atol=0)


def test_refuses_weights_that_do_not_fit(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"layer1.weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"do not fit test_resnet\.r160_in1k") as caught:
        load_backbone(TINY, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weights", ["pretraind", "nowhere/at/all.safetensors", "."])
def test_says_what_weights_can_be(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"expected its weights; give `pretrained`"):
        load_backbone(TINY, weights)


def test_refuses_files_that_can_run_code(tmp_path):
    path = tmp_path / "vgg16-397923af.pth"
    torch.save({}, path)
    with pytest.raises(UserError, match=r"found a \.pth file, expected \.safetensors"):
        load_backbone("vgg16.tv_in1k", path)


# -------------------------------------------------------------------------- the hub


@pytest.fixture
def empty_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def assert_names_the_ways_out(error):
    text = str(error.value)
    for way in (f"{TINY}.safetensors", "`random`", "copy them there", "cannot be down"):
        assert way in text
    assert "\n" not in text


def test_without_a_network_the_ways_out_are_named(empty_hub, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as error:
        load_backbone(TINY, "pretrained")
    assert_names_the_ways_out(error)


def test_a_refused_connection_is_tried_once(empty_hub, monkeypatch, caplog):
    address = "http://127.0.0.1:9"  # discard: nothing listens
    monkeypatch.setattr(hub, "ENDPOINT", address)
    monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}")
    with pytest.raises(UserError) as error:
        load_backbone(TINY, "pretrained")
    assert_names_the_ways_out(error)
    assert "refused" in str(error.value)
    assert "Retrying" not in caplog.text


@pytest.fixture
def in_the_cache(empty_hub, monkeypatch, tiny):
    """The file of a small network in the cache of the hub, which cannot be asked."""
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    folder = empty_hub / f"models--timm--{TINY}"
    snapshot = folder / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123")
    state = {k: v.contiguous() for k, v in tiny.net.state_dict().items()}
    save_file(state, snapshot / "model.safetensors")
    return snapshot / "model.safetensors"


@pytest.mark.usefixtures("in_the_cache")
def test_weights_in_the_cache_of_the_hub_need_no_network(tiny):
    backbone = load_backbone(TINY, "pretrained")
    assert backbone.weights_kind == "pretrained"
    assert backbone.weights_hash == tiny.weights_hash


def test_other_weights_under_the_same_name_are_refused(in_the_cache, monkeypatch, tiny):
    known = replace(spec_for(TINY), hub_sha256=file_sha256(in_the_cache))
    monkeypatch.setitem(SPECS, TINY, known)
    assert load_backbone(TINY, "pretrained").weights_hash == tiny.weights_hash
    monkeypatch.setitem(SPECS, TINY, replace(known, hub_sha256="0" * 64))
    with pytest.raises(UserError, match=rf"{known.hub_sha256}, expected 0{{64}}: "):
        load_backbone(TINY, "pretrained")


def test_weights_that_only_a_file_has_are_not_looked_for():
    with pytest.raises(UserError, match=SPECS[TFLITE[0]].weights_file):
        load_backbone(TFLITE[0], "pretrained")


# ------------------------------------------------------------------- real weights


@pytest.mark.weights
@pytest.mark.parametrize("name", TFLITE)
def test_real_networks_recognise_a_gray_cat_and_a_gray_espresso(name):
    folder = os.environ.get("COLORLIB_WEIGHTS")
    if not folder:
        pytest.skip("set COLORLIB_WEIGHTS to the folder of the MobileNets' files")
    backbone = load_backbone(name, Path(folder))
    stated = SPECS[name]
    assert (backbone.spec.mean, backbone.spec.std) == (stated.mean, stated.std)
    assert backbone.spec.create_options == stated.create_options
    assert backbone.spec.num_classes == stated.num_classes
    squares = [
        fit_square(p, 256) for p in (skimage.data.chelsea(), skimage.data.coffee())
    ]
    gray = gray_of_photographs(torch.from_numpy(np.stack(squares)))
    scores = features_of_images([backbone], gray)[:, 0]  # (2, 1000)
    names = timm.data.ImageNetInfo("imagenet-1k").label_names()  # WordNet ids
    assert [names[i] for i in scores.argmax(-1)] == ["n02124075", "n07920052"]
    half = extract_features(backbone, gray, "logits", half=True).softmax(-1)
    moved = (half - scores).abs().sum(-1) / 2  # of all probability
    assert 0 < moved.max() < 0.01
