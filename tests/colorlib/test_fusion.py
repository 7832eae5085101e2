"""The fusion layer: its sum is the paper's concatenation; its input is on one scale."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colorlib.fusion import Aggregation, FeatureInput, Fusion

KINDS = ["average", "max", "gate", "concat"]


def fusion_of(kind, K, D=10, channels=8):
    return Fusion(channels, channels, Aggregation(kind, K, D)).double()


@given(
    kind=st.sampled_from(KINDS),
    N=st.integers(1, 3),
    K=st.integers(1, 4),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    g=st.sampled_from([1, 2, 8]),
    seed=st.integers(0, 2**31),
)
def test_adding_equals_the_paper_s_concatenation(kind, N, K, h, w, g, seed):
    torch.manual_seed(seed)
    fusion = fusion_of(kind, K)
    local = torch.randn(N, 8, h, w, dtype=torch.float64)
    features = torch.randn(N, K, 10, g, g, dtype=torch.float64)
    torch.testing.assert_close(
        fusion(local, features), fusion.concatenated(local, features)
    )


def test_aggregations_are_what_they_are_called():
    features = torch.randn(4, 3, 10, 1, 1)
    for kind, expected in [
        ("average", features.sum(1) / 3),
        ("max", features.max(1).values),
        ("concat", features.reshape(4, 30, 1, 1)),
    ]:
        torch.testing.assert_close(Aggregation(kind, 3, 10)(features), expected)


def test_a_gate_weighs_networks_image_by_image():
    gate = Aggregation("gate", 2, 3)
    gate.gate.weight.data = torch.tensor([[100.0, 0, 0]])  # trusts the first number
    features = torch.tensor([[[1.0, 5, 5], [0, 7, 7]], [[0, 5, 5], [1.0, 7, 7]]])
    chosen = gate(features[..., None, None])[..., 0, 0]
    torch.testing.assert_close(chosen, torch.tensor([[1.0, 5, 5], [1.0, 7, 7]]))


def test_one_network_is_its_own_aggregate_and_order_does_not_matter():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 10, 1, 1)
    for kind in ("average", "max", "gate"):
        one = Aggregation(kind, 1, 10)(features[:, :1])
        torch.testing.assert_close(one, features[:, 0])
        several = Aggregation(kind, 3, 10)
        torch.testing.assert_close(several(features), several(features[:, [2, 0, 1]]))


# ------------------------------------------------------------- the networks' features


def test_features_of_each_network_are_standardised_by_its_own_statistics():
    torch.manual_seed(0)
    first, second = 5 + 2 * torch.randn(400, 6), 0.1 * torch.randn(400, 6)
    given = FeatureInput([6, 6], length=None).eval()
    given.set_statistics(
        torch.stack([first.mean(), second.mean()]),
        torch.stack([first.std(), second.std()]),
    )
    prepared = given(torch.cat([first, second], dim=1))  # (400, 2, 6, 1, 1)
    assert prepared.shape == (400, 2, 6, 1, 1)
    for k in range(2):
        assert prepared[:, k].mean().abs() < 1e-5
        assert prepared[:, k].std() == pytest.approx(1, abs=1e-4)


def test_a_softmax_is_taken_as_it_is():
    given = FeatureInput([10, 10, 10], length=None, standardised=False)
    given.set_statistics(torch.full((3,), 7.0), torch.full((3,), 3.0))
    softmax = torch.randn(2, 3, 10).softmax(dim=-1)
    assert torch.equal(given(softmax)[..., 0, 0], softmax)


def test_only_training_drops_features_and_then_whole_channels():
    torch.manual_seed(0)
    given = FeatureInput([1000], length=None, dropout=0.25)
    maps = torch.ones(2, 1000, 4, 4)
    assert torch.equal(given.eval()(maps)[:, 0], maps)
    dropped = given.train()(maps)[:, 0]  # (2, 1000, 4, 4)
    assert ((dropped == 0).all(dim=(-2, -1)) | (dropped > 1).all(dim=(-2, -1))).all()
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("grid", [(), (8, 8)])
def test_projections_bring_each_network_to_one_length(grid):
    torch.manual_seed(0)
    given = FeatureInput([3, 5], length=4).eval()
    features = torch.randn(2, 8, *grid)
    prepared = given(features)
    assert prepared.shape == (2, 2, 4, *(grid or (1, 1)))
    second = given.projections[1]
    expected = torch.einsum(
        "oc,nc...->no...", second.weight[..., 0, 0], features[:, 3:]
    ) + second.bias.view(-1, *[1] * len(grid))
    torch.testing.assert_close(prepared[:, 1].flatten(1), expected.flatten(1))
