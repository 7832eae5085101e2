"""Frozen networks: what each sees, that it stays frozen, whose weights it has."""

from pathlib import Path

import huggingface_hub.constants as hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from support import photographs
from torch import nn

from colorlib.backbones import (
    Backbone,
    BackboneRecord,
    features_of_images,
    load_backbone,
    load_recorded_backbones,
    specs,
)
from colorlib.backbones.specs import SPECS, hash_of_weights, spec_for
from colorlib.color import gray_from_L, lab_to_rgb, normalize_lab, rgb_to_lab
from colorlib.errors import UserError
from colorlib.files import file_sha256

TINY = "test_resnet.r160_in1k"  # 0.5 million weights, 160 px
PAPER = ("vgg16.tv_in1k", "resnet50.tv_in1k", "inception_resnet_v2.tf_in1k")
FROM_TFLITE = [name for name in SPECS if name.startswith("mobilenet")]


@pytest.fixture(scope="module")
def tiny():
    return load_backbone(TINY, "random")


@pytest.fixture
def gray():
    return photographs(4, size=64)[:, :1].float()


def bare(name, net=None):
    return Backbone(spec_for(name), net or nn.Identity(), "random", "")


def save(backbone, path, **changes):
    state = {k: v.contiguous() for k, v in backbone.net.state_dict().items()}
    save_file(state | changes, path)


# ---------------------------------------------------------------- what a network sees


@pytest.mark.parametrize(
    ("name", "filter_of_pillow"),
    [
        ("vgg16.tv_in1k", Image.Resampling.BILINEAR),
        ("inception_resnet_v2.tf_in1k", Image.Resampling.BICUBIC),
    ],
)
@pytest.mark.parametrize("size", [64, 400])
def test_resizes_the_whole_image_as_pillow_does(name, filter_of_pillow, size):
    spec = spec_for(name)
    image = photographs(1, size)[0, 0].numpy().astype(np.float32)
    side = (spec.input_size, spec.input_size)
    expected = np.asarray(Image.fromarray(image).resize(side, filter_of_pillow))
    seen = bare(name).prepare(torch.from_numpy(image)[None, None])
    for channel in range(3):
        scaled = (expected.clip(0, 1) - spec.mean[channel]) / spec.std[channel]
        np.testing.assert_allclose(seen[0, channel].numpy(), scaled, atol=1e-5)


GRIDS = {  # of the last maps, from an input of the size of the training
    "vgg16.tv_in1k": (512, 7, 7),
    "resnet50.tv_in1k": (2048, 7, 7),
    "inception_resnet_v2.tf_in1k": (1536, 8, 8),
    "mobilenetv1_100.tflite_in1k": (1024, 7, 7),
    "mobilenetv2_100.tflite_in1k": (1280, 7, 7),
    "mobilenetv2_100.tf2ptq_in1k": (1280, 7, 7),
    "tf_efficientnet_lite0.float_in1k": (1280, 7, 7),
    "vgg16.convolutions_in1k": (512, 14, 14),
    "inception_v3.2015_in1k": (768, 17, 17),
}


@pytest.mark.parametrize("name", [*PAPER, *SPECS])
def test_each_network_takes_its_input_and_gives_maps_on_its_own_grid(name):
    spec = spec_for(name)
    options = {"num_classes": spec.num_classes, **spec.create_options}
    if spec.tap is not None:
        options = {"features_only": True, "out_indices": (spec.tap,)}
    with torch.device("meta"):  # shapes only: no weight is made
        net = timm.create_model(spec.timm_name, **options)
    backbone = bare(name, net).to("meta")
    seen = backbone.prepare(torch.empty(2, 1, 256, 256, device="meta"))
    assert seen.shape == (2, 3, spec.input_size, spec.input_size)
    maps = backbone._maps(seen)
    assert maps.shape == (2, *GRIDS[name])
    if spec.tap is None:
        assert backbone._of_kind(maps, "logits").shape == (2, 1000)


def test_drops_the_background_class_and_no_other():
    class Net(nn.Module):
        forward_features = staticmethod(lambda seen: seen)

        def forward_head(self, maps):
            return torch.arange(1001.0).expand(len(maps), -1)

    logits = bare(FROM_TFLITE[0], Net())(torch.rand(2, 1, 32, 32), "logits")
    assert logits.tolist() == [list(range(1, 1001))] * 2


@pytest.mark.parametrize(
    ("image", "error", "reason"),
    [
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), TypeError, "expected a float"),
        (torch.zeros(1, 3, 8, 8), ValueError, "expected"),
        (torch.zeros(1, 1, 8, 9), ValueError, "expected a square"),
        (torch.full((1, 1, 8, 8), 50.0), ValueError, "expected 0 to 1"),
        (torch.full((1, 1, 8, 8), -0.5), ValueError, "expected 0 to 1"),
    ],
)
def test_refuses_what_is_no_square_gray_image(tiny, image, error, reason):
    with pytest.raises(error, match=f"found .*{reason}"):
        features_of_images([tiny], image)


# ------------------------------------------------------------------------ it is frozen


def test_stays_in_evaluation_mode_and_learns_nothing(tiny, gray):
    expected = features_of_images([tiny], gray, "logits")
    holder = nn.ModuleList([tiny]).train()
    assert holder.training
    assert not any(module.training for module in tiny.modules())
    assert not any(p.requires_grad for p in tiny.parameters())
    again = features_of_images([tiny], gray, "logits")
    torch.testing.assert_close(again, expected, rtol=0, atol=0)
    assert hash_of_weights(tiny.net) == tiny.weights_hash


def test_features_do_not_depend_on_the_rest_of_the_batch(tiny, gray):
    together = features_of_images([tiny], gray, "logits")
    alone = torch.cat([features_of_images([tiny], one[None], "logits") for one in gray])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "logits", "maps"])
def test_colour_does_not_reach_the_network(tiny, kind):
    L = photographs(1, 64, seed=1)[:, :1].expand(2, -1, -1, -1) * 20 + 50
    ab = torch.tensor([[15.0, -20.0], [-20.0, 10.0]]).view(2, 2, 1, 1)
    rgb = lab_to_rgb(torch.cat([L, ab.expand(-1, -1, 64, 64)], 1).double(), clip=False)
    assert (rgb[0] - rgb[1]).abs().max() > 0.05
    L_norm, _ = normalize_lab(rgb_to_lab(rgb))
    one, other = features_of_images([tiny], gray_from_L(L_norm).float(), kind)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------- features


@pytest.mark.parametrize("kind", ["maps", "logits"])
def test_several_networks_keep_their_order_and_their_own_input_sizes(tiny, gray, kind):
    sizes = [96, 64]
    each = [features_of_images([tiny], gray, kind, [size]) for size in sizes]
    both = features_of_images([tiny, tiny], gray, kind, sizes)
    torch.testing.assert_close(both, torch.cat(each, dim=1))


def test_refuses_features_that_there_are_none_of(tiny, gray):
    with pytest.raises(ValueError, match="expected one of softmax, logits"):
        features_of_images([tiny], gray, "probability")
    transformer = load_backbone("test_vit.r160_in1k", "random")
    with pytest.raises(UserError, match="take a convolutional network"):
        features_of_images([transformer], gray, "maps")
    headless = bare("vgg16.convolutions_in1k")
    with pytest.raises(UserError, match="found a network without a head"):
        headless._of_kind(torch.zeros(1, 512, 14, 14), "logits")


def test_damaged_weights_are_named(gray):
    backbone = load_backbone(TINY, "random")
    next(backbone.net.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match=r"test_resnet.*weights are damaged"):
        features_of_images([backbone], gray)


# ------------------------------------------------------------------------------ weights


def test_random_weights_are_the_same_every_time_and_the_hash_sees_each(tiny):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = load_backbone(TINY, "random")
    assert torch.equal(torch.rand(3), expected)  # the caller's generator is untouched
    assert (again.weights_hash, again.weights_kind) == (tiny.weights_hash, "random")
    with torch.no_grad():
        again.net.get_parameter("layer4.0.bn2.bias")[-1] += 1e-6
    assert hash_of_weights(again.net) != tiny.weights_hash


@pytest.mark.parametrize("as_folder", [True, False])
def test_loads_a_file(tmp_path, tiny, as_folder):
    path = tmp_path / f"{TINY}.safetensors"
    save(tiny, path)
    loaded = load_backbone(TINY, tmp_path if as_folder else str(path))
    assert (loaded.weights_hash, loaded.weights_kind) == (tiny.weights_hash, "file")


def test_loads_the_layers_of_a_file_up_to_the_tap(tmp_path):
    name = "vgg16.convolutions_in1k"
    with torch.device("meta"):
        net = timm.create_model("vgg16", features_only=True, out_indices=(4,))
    state = {
        key.replace("_", ".", 1): torch.full(weights.shape, 1 / index).half()
        for index, (key, weights) in enumerate(net.state_dict().items(), start=1)
    }
    path = tmp_path / SPECS[name].weights_file
    save_file(state | {"head.fc.weight": torch.zeros(1)}, path)
    for key, weights in load_backbone(name, tmp_path).net.state_dict().items():
        assert torch.equal(weights, state[key.replace("_", ".", 1)].float())
    del state["features.0.weight"]
    save_file(state, path)
    with pytest.raises(UserError, match=r"do not fit vgg16.*features_0\.weight"):
        load_backbone(name, tmp_path)


def test_refuses_what_does_not_fit_is_not_there_or_can_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({"layer1.weight": torch.zeros(3)}, "model.safetensors")
    torch.save({}, "vgg16-397923af.pth")
    expected = {
        "model.safetensors": r"do not fit test_resnet\.r160_in1k",
        "vgg16-397923af.pth": r"found a \.pth file, expected \.safetensors",
    }
    for nowhere in ("pretraind", "nowhere/at/all.safetensors", "."):
        expected[nowhere] = "expected its weights; give `pretrained`"
    for weights, reason in expected.items():
        with pytest.raises(UserError, match=reason) as caught:
            load_backbone(TINY, weights)
        assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------- the hub


@pytest.fixture
def empty_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("offline", [True, False])
def test_without_weights_the_ways_out_are_named_at_once(
    empty_hub, monkeypatch, caplog, offline
):
    address = "http://127.0.0.1:9"  # discard: nothing listens
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(hub, "ENDPOINT", address)
    monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}")
    with pytest.raises(UserError, match="cannot be downloaded") as error:
        load_backbone(TINY, "pretrained")
    for way in (f"{TINY}.safetensors", "`random`", "copy them there"):
        assert way in str(error.value)
    assert "\n" not in str(error.value)
    assert "Retrying" not in caplog.text
    with pytest.raises(UserError, match=SPECS[FROM_TFLITE[0]].weights_file):
        load_backbone(FROM_TFLITE[0], "pretrained")  # the hub has none


def test_other_weights_under_the_same_name_are_refused(empty_hub, monkeypatch, tiny):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    snapshot = empty_hub / f"models--timm--{TINY}" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    save(tiny, path := snapshot / "model.safetensors")
    monkeypatch.setitem(specs.HUB_SHA256, TINY, file_sha256(path))
    loaded = load_backbone(TINY, "pretrained")  # from the cache, without a network
    assert (loaded.weights_hash, loaded.weights_kind) == (
        tiny.weights_hash,
        "pretrained",
    )
    monkeypatch.setitem(specs.HUB_SHA256, TINY, "0" * 64)
    with pytest.raises(UserError, match=rf"{file_sha256(path)}, expected 0{{64}}: "):
        load_backbone(TINY, "pretrained")


# ---------------------------------------------------------------------- specifications


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet50", r"with its tag, such as.*resnet50\.tv_in1k"),
        ("resnet50.tv_in1", r"such as.*resnet50\.tv_in1k"),
        ("vit_base_patch16_224.augreg_in21k", "found 21843 classes"),
        ("hf-hub:someone/model", "expected a name of timm's"),
        ("../../x.tv_in1k", "expected a name of timm's"),
    ],
)
def test_refuses_what_is_no_classifier_of_imagenet(name, reason):
    with pytest.raises(UserError, match=reason):
        spec_for(name)


# ----------------------------------------------------- the networks of a trained model


def test_a_trained_model_gets_the_networks_it_was_trained_with(tmp_path, tiny):
    stated = BackboneRecord(name=TINY, weights="file", weights_hash=tiny.weights_hash)
    notes = {"size": 64, "backbones": [stated.model_dump()]}
    with pytest.raises(UserError, match="give --weights-root"):
        load_recorded_backbones(tmp_path, notes)
    path = tmp_path / f"{TINY}.safetensors"
    save(tiny, path)
    size, (loaded,) = load_recorded_backbones(tmp_path, notes, tmp_path)
    assert (size, loaded.weights_hash) == (64, tiny.weights_hash)
    save(tiny, path, **{"fc.bias": tiny.net.get_parameter("fc.bias") + 1})
    with pytest.raises(UserError, match="trained with other weights of test_resnet"):
        load_recorded_backbones(tmp_path, notes, tmp_path)


@pytest.mark.parametrize(
    ("notes", "field"),
    [
        ({"backbones": []}, "size"),
        ({"size": "64", "backbones": []}, "size"),
        ({"size": 10**9, "backbones": []}, "size"),
        ({"size": 64, "backbones": [{"name": "x"}]}, "backbones.0.weights"),
        ({"size": 64, "backbones": [{"name": "x", "weights": "a"}]}, "weights"),
    ],
)
def test_notes_that_do_not_fit_are_named(notes, field):
    with pytest.raises(UserError, match=rf"m\.safetensors does not say.*{field}"):
        load_recorded_backbones(Path("m.safetensors"), notes)
