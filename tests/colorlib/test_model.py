import hashlib

import pytest
import torch
from torch import nn

from colorlib.errors import UserError
from colorlib.model import (
    MODELS,
    NUM_CLASSES,
    ColorizationModel,
    Encoder,
    ModelConfig,
    build_model,
    load_model,
    save_model,
)

NARROW = {"width": 1 / 4}


def random_scores(N, K):
    return torch.rand(N, K, NUM_CLASSES).softmax(dim=-1)


def number_of_weights(module):
    return sum(weights.numel() for weights in module.parameters())


def test_weights_are_as_many_as_the_baseline_has():
    # arXiv:1712.03400's layers: 5,827,200 + 424,802, and the fusion over 1000 classes
    model = build_model("model1")
    assert number_of_weights(model.encoder) == 5_827_200
    assert number_of_weights(model.decoder) == 424_802
    assert number_of_weights(model.fusion) == (256 + 1000) * 256 + 256


def test_fusing_more_networks_costs_no_weight():
    counts = {number_of_weights(build_model(f"model{i}")) for i in (1, 2, 3)}
    assert len(counts) == 1


def test_models_fuse_the_networks_of_section_5_3():
    assert [len(MODELS[name]) for name in ("plain", "model1", "model2", "model3")] == [
        0,
        1,
        2,
        3,
    ]


@pytest.mark.parametrize(("H", "W"), [(256, 256), (64, 64), (8, 8), (17, 41), (1, 3)])
def test_output_has_the_size_of_the_input(H, W):
    ab_norm = build_model("plain", **NARROW)(torch.rand(2, 1, H, W))
    assert ab_norm.shape == (2, 2, H, W)
    assert ab_norm.abs().max() <= 1


def test_encoder_reduces_eight_times():
    pyramid = Encoder(ModelConfig())(torch.zeros(1, 1, 256, 256))
    shapes = [tuple(features.shape[1:]) for features in pyramid]
    assert shapes == [(128, 128, 128), (256, 64, 64), (256, 32, 32)]


def test_class_scores_are_averaged_over_the_networks():
    torch.manual_seed(0)
    model = build_model("model3", **NARROW)
    L_norm, features = torch.rand(1, 1, 16, 16), random_scores(1, 3)
    mean = features.mean(dim=1, keepdim=True).expand(-1, 3, -1)
    torch.testing.assert_close(model(L_norm, features), model(L_norm, mean))


def test_class_scores_change_the_colours():
    torch.manual_seed(0)
    model = build_model("model1", **NARROW)
    L_norm = torch.rand(1, 1, 16, 16)
    one, other = torch.eye(NUM_CLASSES)[:2].reshape(2, 1, 1, NUM_CLASSES)
    assert not torch.equal(model(L_norm, one), model(L_norm, other))


OPTIONS = [
    {"skips": True},
    {"normalisation": "batch"},
    {"upsampling": "bilinear"},
    {"upsampling": "nearest_before"},
    {"channels": 3},
    {"classes": True},
    {"classes": True, "skips": True, "encoder": "vgg16"},
    {"fusion": "gate"},
    {"fusion": "concat"},
    {"fusion": "max"},
    {"scores": "features", "feature_lengths": (5, 7)},
    {"scores": "maps", "feature_lengths": (5, 7), "fusion": "gate"},
]


def told_to(model, N):
    return torch.rand(N, *model.config.feature_shape())


@pytest.mark.parametrize("options", [{}, *OPTIONS])
def test_every_weight_learns(options):
    torch.manual_seed(0)
    model = build_model("model2", **options | NARROW)
    outputs = model.outputs(torch.rand(2, 1, 16, 16), told_to(model, 2))
    (outputs * torch.randn_like(outputs)).sum().backward()
    for name, weights in model.named_parameters():
        assert weights.grad.isfinite().all(), name
        assert weights.grad.any(), name


@pytest.mark.parametrize("options", OPTIONS)
def test_options_keep_the_size_of_any_photograph(options):
    model = build_model("model2", **options | NARROW).eval()
    target_norm = model(torch.rand(2, 1, 17, 41), told_to(model, 2))
    assert target_norm.shape == (2, options.get("channels", 2), 17, 41)
    assert target_norm.abs().max() <= 1


@pytest.mark.parametrize("options", OPTIONS)
def test_options_survive_saving(options, tmp_path):
    torch.manual_seed(0)
    model = build_model("model2", **options | NARROW).eval()
    save_model(model, tmp_path / "model.safetensors", {})
    loaded, _ = load_model(tmp_path / "model.safetensors")
    L_norm, told = torch.rand(1, 1, 16, 16), told_to(model, 1)
    assert loaded.config == model.config
    assert torch.equal(model(L_norm, told), loaded(L_norm, told))


def test_half_precision_halves_the_file(tmp_path):
    model = build_model("plain", **NARROW).eval()
    save_model(model, tmp_path / "whole", {})
    save_model(model, tmp_path / "half", {}, torch.float16)
    sizes = [(tmp_path / name).stat().st_size for name in ("whole", "half")]
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.02)
    loaded, _ = load_model(tmp_path / "half")
    L_norm = torch.rand(1, 1, 16, 16)
    assert next(loaded.parameters()).dtype == torch.float32
    torch.testing.assert_close(loaded(L_norm), model(L_norm), atol=2e-3, rtol=0)


def test_nearest_upsampling_halves_the_resolution_of_chroma():
    torch.manual_seed(0)
    L_norm = torch.rand(1, 1, 32, 32)
    for upsampling, blocky in [("nearest", True), ("nearest_before", False)]:
        ab_norm = build_model("plain", upsampling=upsampling, **NARROW)(L_norm)
        same = torch.equal(ab_norm[..., ::2, ::2], ab_norm[..., 1::2, 1::2])
        assert same is blocky


def test_maps_tell_each_place_its_own():
    torch.manual_seed(0)
    options = {"scores": "maps", "feature_lengths": (3,)}
    model = build_model("model1", **options | NARROW)
    maps = torch.zeros(1, 3, 8, 8)
    maps[..., 0, 0] = 5  # something seen in the upper left
    L_norm = torch.zeros(1, 1, 64, 64)
    change = (model(L_norm, maps) - model(L_norm, maps * 0)).abs().sum(dim=1)[0]
    assert change[:8, :8].max() > 0
    assert change[40:, 40:].max() == 0


def test_a_model_that_classifies_answers_with_the_colour_it_is_sure_of():
    from colorlib.bins import bin_centres

    model = build_model("plain", classes=True, **NARROW)
    torch.nn.init.zeros_(model.decoder.last.weight)
    torch.nn.init.zeros_(model.decoder.last.bias)
    model.decoder.last.bias.data[100] = 40.0
    ab_norm = model(torch.rand(1, 1, 16, 16))
    expected = (bin_centres()[100] / 128).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    torch.testing.assert_close(ab_norm, expected)


def test_model4_is_vgg16():
    # arXiv:1409.1556: configuration D has 14,714,688 weights in its convolutions
    model = build_model("model4")
    assert model.config.classes
    assert number_of_weights(model.encoder) == 14_714_688


def test_model4_begins_with_a_trained_vgg16():
    import timm

    trained = timm.create_model("vgg16", pretrained=False)
    encoder = build_model("model4").encoder
    encoder.take_weights(trained)
    image = torch.rand(1, 1, 32, 32) * 2 - 1
    theirs = ((image + 1) / 2).expand(-1, 3, -1, -1)
    theirs = (theirs - encoder.mean) / encoder.std
    expected = trained.features[:23](theirs)  # up to the fourth pooling
    x = (image + 1) / 2
    x = (x.expand(-1, 3, -1, -1) - encoder.mean) / encoder.std
    for index, block in enumerate(encoder.blocks[:4]):
        x = block(torch.nn.functional.max_pool2d(x, 2) if index else x)
    torch.testing.assert_close(x, expected)


def test_norms_do_not_mix_photographs_once_trained():
    model = build_model("plain", normalisation="batch", **NARROW).eval()
    L_norm = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(model(L_norm)[:1], model(L_norm[:1]))


def test_designs_count_what_they_are_told():
    assert ModelConfig().feature_shape() is None
    two = {"backbones": ("a", "b")}
    assert ModelConfig(**two).feature_shape() == (2, 1000)
    lengths = {"feature_lengths": (3, 4)}
    assert ModelConfig(**two, **lengths, scores="features").feature_shape() == (7,)
    assert ModelConfig(**two, **lengths, scores="maps").feature_shape() == (7, 8, 8)
    assert ColorizationModel(ModelConfig(**two, width=0.1)).backbones == ("a", "b")


def test_overfits_one_batch():
    torch.manual_seed(0)
    model = build_model("plain", width=0.25)
    L_norm = torch.rand(2, 1, 16, 16)
    target = torch.tensor([0.3, -0.2]).reshape(1, 2, 1, 1).expand(2, 2, 16, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(150):
        loss = nn.functional.mse_loss(model(L_norm), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1e-3


@pytest.mark.parametrize("features", [None, torch.zeros(1, 2, 1000)])
def test_refuses_scores_of_other_networks(features):
    with pytest.raises(ValueError, match=r"expected \(N, \*\(3, 1000\)\)"):
        build_model("model3", **NARROW)(torch.zeros(1, 1, 8, 8), features)


def test_plain_refuses_scores():
    with pytest.raises(ValueError, match="expected"):
        build_model("plain", **NARROW)(torch.zeros(1, 1, 8, 8), random_scores(1, 1))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="expected one of plain, model1"):
        build_model("model5")
    with pytest.raises(ValueError, match="name a model that fuses"):
        build_model("plain", backbones=["resnet50.tv_in1k"])


def test_saved_model_predicts_the_same(tmp_path):
    torch.manual_seed(0)
    model = build_model("model2", **NARROW)
    path = tmp_path / "model.safetensors"
    save_model(model, path, {"size": 64})
    loaded, notes = load_model(path)
    L_norm, features = torch.rand(1, 1, 24, 24), random_scores(1, 2)
    assert notes == {"size": 64}
    assert loaded.backbones == model.backbones
    assert torch.equal(model(L_norm, features), loaded(L_norm, features))


def test_saving_twice_gives_the_same_file(tmp_path):
    model = build_model("plain", **NARROW)
    hashes = set()
    for name in ("one", "two"):
        save_model(model, tmp_path / name, {"size": 64})
        hashes.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(hashes) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="no model of this package"):
        load_model(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="train one first"):
        load_model(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "field", ["encoder", "scores", "fusion", "normalisation", "upsampling"]
)
def test_a_word_that_no_design_has_is_refused(field):
    expected = (
        rf"{field}: found 'mean', expected one of {getattr(ModelConfig(), field)}, "
    )
    with pytest.raises(UserError, match=expected):
        build_model("model3", **{field: "mean"})
