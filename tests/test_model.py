import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from colorlib.errors import UserError
from colorlib.model import (
    MODELS,
    NUM_CLASSES,
    Encoder,
    Fusion,
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
    ab_unit = build_model("plain", **NARROW)(torch.rand(2, 1, H, W))
    assert ab_unit.shape == (2, 2, H, W)
    assert ab_unit.abs().max() <= 1


def test_encoder_reduces_eight_times():
    features = Encoder()(torch.zeros(1, 1, 256, 256))
    assert features.shape == (1, 256, 32, 32)


@settings(max_examples=25, deadline=None)
@given(
    N=st.integers(1, 3),
    K=st.integers(1, 4),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_fusion_as_a_bias_equals_the_paper_s_concatenation(N, K, h, w, seed):
    torch.manual_seed(seed)
    fusion = Fusion(channels=8).double()
    features = torch.randn(N, 8, h, w, dtype=torch.float64)
    class_scores = torch.randn(N, K, NUM_CLASSES, dtype=torch.float64)
    torch.testing.assert_close(
        fusion(features, class_scores), fusion.concatenated(features, class_scores)
    )


def test_fusion_learns_the_same_either_way():
    torch.manual_seed(0)
    fusion = Fusion(channels=8).double()
    features = torch.randn(2, 8, 3, 3, dtype=torch.float64)
    class_scores = torch.randn(2, 3, NUM_CLASSES, dtype=torch.float64)
    gradients = []
    for form in (fusion, fusion.concatenated):
        fusion.zero_grad()
        form(features, class_scores).square().sum().backward()
        gradients.append(fusion.mix.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_class_scores_are_averaged_over_the_networks():
    torch.manual_seed(0)
    model = build_model("model3", **NARROW)
    L_unit, class_scores = torch.rand(1, 1, 16, 16), random_scores(1, 3)
    mean = class_scores.mean(dim=1, keepdim=True).expand(-1, 3, -1)
    torch.testing.assert_close(model(L_unit, class_scores), model(L_unit, mean))


def test_class_scores_change_the_colours():
    torch.manual_seed(0)
    model = build_model("model1", **NARROW)
    L_unit = torch.rand(1, 1, 16, 16)
    one, other = torch.eye(NUM_CLASSES)[:2].reshape(2, 1, 1, NUM_CLASSES)
    assert not torch.equal(model(L_unit, one), model(L_unit, other))


def test_every_weight_learns():
    torch.manual_seed(0)
    model = build_model("model2")
    model(torch.rand(2, 1, 16, 16), random_scores(2, 2)).square().sum().backward()
    assert all(w.grad.isfinite().all() for w in model.parameters())
    assert all(w.grad.any() for w in model.parameters())


def test_overfits_one_batch():
    torch.manual_seed(0)
    model = build_model("plain", width=0.25)
    L_unit = torch.rand(2, 1, 16, 16)
    target = torch.tensor([0.3, -0.2]).reshape(1, 2, 1, 1).expand(2, 2, 16, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(150):
        loss = nn.functional.mse_loss(model(L_unit), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1e-3


@pytest.mark.parametrize("class_scores", [None, torch.zeros(1, 2, 1000)])
def test_refuses_scores_of_other_networks(class_scores):
    with pytest.raises(ValueError, match=r"expected \(N, \*\(3, 1000\)\)"):
        build_model("model3", **NARROW)(torch.zeros(1, 1, 8, 8), class_scores)


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
    L_unit, class_scores = torch.rand(1, 1, 24, 24), random_scores(1, 2)
    assert notes == {"size": 64}
    assert loaded.backbones == model.backbones
    assert torch.equal(model(L_unit, class_scores), loaded(L_unit, class_scores))


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
