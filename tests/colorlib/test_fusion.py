import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colorlib.fusion import Aggregation, Fusion, Projections

KINDS = ["average", "sum", "max", "gate", "concat"]


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
    features = torch.randn(N, 8, h, w, dtype=torch.float64)
    opinions = torch.randn(N, K, 10, g, g, dtype=torch.float64)
    torch.testing.assert_close(
        fusion(features, opinions), fusion.concatenated(features, opinions)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_learns_the_same_either_way(kind):
    torch.manual_seed(0)
    fusion = fusion_of(kind, 3)
    features = torch.randn(2, 8, 3, 3, dtype=torch.float64)
    opinions = torch.randn(2, 3, 10, 1, 1, dtype=torch.float64)
    gradients = []
    for form in (fusion, fusion.concatenated):
        fusion.zero_grad()
        form(features, opinions).square().sum().backward()
        gradients.append([p.grad.clone() for p in fusion.parameters()])
    torch.testing.assert_close(*gradients)


def test_combinations_are_what_they_are_called():
    opinions = torch.randn(4, 3, 10, 1, 1)
    for kind, expected in [
        ("average", opinions.sum(1) / 3),
        ("sum", opinions.sum(1)),
        ("max", opinions.max(1).values),
        ("concat", opinions.reshape(4, 30, 1, 1)),
    ]:
        torch.testing.assert_close(Aggregation(kind, 3, 10)(opinions), expected)


def test_a_gate_weighs_networks_photograph_by_photograph():
    combine = Aggregation("gate", 2, 3)
    combine.gate.weight.data = torch.tensor([[100.0, 0, 0]])  # trusts the first number
    opinions = torch.tensor([[[1.0, 5, 5], [0, 7, 7]], [[0, 5, 5], [1.0, 7, 7]]])
    chosen = combine(opinions[..., None, None])[..., 0, 0]
    torch.testing.assert_close(chosen, torch.tensor([[1.0, 5, 5], [1.0, 7, 7]]))


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "concat"])
def test_one_network_is_its_own_combination(kind):
    opinion = torch.randn(2, 1, 10, 1, 1)
    torch.testing.assert_close(Aggregation(kind, 1, 10)(opinion), opinion[:, 0])


@pytest.mark.parametrize("kind", ["average", "sum", "max", "gate"])
def test_the_order_of_networks_does_not_matter(kind):
    torch.manual_seed(0)
    combine, opinions = Aggregation(kind, 3, 10), torch.randn(2, 3, 10, 1, 1)
    torch.testing.assert_close(combine(opinions), combine(opinions[:, [2, 0, 1]]))


def test_without_backbones_only_the_features_are_mixed():
    fusion = Fusion(8, 4)
    assert fusion.mix.weight.shape == (4, 8, 1, 1)
    assert fusion(torch.randn(2, 8, 3, 3), None).shape == (2, 4, 3, 3)


def test_projections_bring_each_network_to_one_length():
    torch.manual_seed(0)
    projections = Projections([3, 5], 4)
    features = torch.randn(2, 8, 1, 1)
    projected = projections(features)
    assert projected.shape == (2, 2, 4, 1, 1)
    second = projections.maps[1]
    expected = features[:, 3:, 0, 0] @ second.weight[..., 0, 0].T + second.bias
    torch.testing.assert_close(projected[:, 1, :, 0, 0], expected)
