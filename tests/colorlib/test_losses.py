import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import assert_close
from torch import Tensor
from torch.nn import functional as F

from colorlib.bins import bin_centres, soft_encode
from colorlib.losses import BinCrossEntropy, chroma_huber, chroma_l1, chroma_mse

CHROMA = arrays(np.float64, (2, 2, 3, 2), elements=st.floats(-1, 1))


def random_chroma(*shape: int, seed: int = 0, dtype=torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(*shape, generator=generator, dtype=dtype) - 1


def equations_of_the_paper(pred: Tensor, true: Tensor) -> float:
    """Eq. 1 and Eq. 2, sum by sum."""
    B, _, H, W = true.shape
    cost = 0.0
    for x, x_tilde in zip(true, pred, strict=True):
        total = 0.0
        for k in (0, 1):
            for i in range(H):
                for j in range(W):
                    total += (x[k, i, j] - x_tilde[k, i, j]).item() ** 2
        cost += total / (2 * H * W)
    return cost / B


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (3, 2, 4, 5), (5, 2, 3, 2)])
def test_is_the_formula_of_the_paper(shape):
    pred, true = random_chroma(*shape, seed=1), random_chroma(*shape, seed=2)
    assert_close(chroma_mse(pred, true), equations_of_the_paper(pred, true))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_torch(dtype):
    pred = random_chroma(4, 2, 8, 8, seed=1, dtype=dtype)
    true = random_chroma(4, 2, 8, 8, seed=2, dtype=dtype)
    loss = chroma_mse(pred, true)
    assert loss.dtype == dtype
    assert loss.shape == ()
    assert_close(loss, F.mse_loss(pred, true))


def test_the_gradient_is_that_of_eq_1():
    pred = random_chroma(3, 2, 4, 5, seed=1).requires_grad_()
    true = random_chroma(3, 2, 4, 5, seed=2)
    chroma_mse(pred, true).backward()
    assert_close(pred.grad, (pred - true).detach() / (3 * 4 * 5))


@given(CHROMA, CHROMA)
@settings(deadline=None, max_examples=50)
def test_is_a_squared_distance(pred, true):
    pred, true = torch.from_numpy(pred), torch.from_numpy(true)
    loss = chroma_mse(pred, true).item()
    assert 0 <= loss <= 4
    assert chroma_mse(true, pred).item() == loss
    assert chroma_mse(pred, pred).item() == 0
    assert chroma_mse(3 * pred, 3 * true).item() == pytest.approx(9 * loss)


def test_the_mean_of_equal_batches_is_the_loss_of_all():
    pred, true = random_chroma(6, 2, 4, 4, seed=1), random_chroma(6, 2, 4, 4, seed=2)
    halves = [chroma_mse(pred[i::2], true[i::2]) for i in (0, 1)]
    assert_close(torch.stack(halves).mean(), chroma_mse(pred, true))


def test_a_half_prediction_is_compared_in_the_precision_of_the_truth():
    pred = random_chroma(2, 2, 64, 64, seed=1).bfloat16()  # as under mixed precision
    true = random_chroma(2, 2, 64, 64, seed=2, dtype=torch.float32)
    loss = chroma_mse(pred, true)
    assert loss.dtype == torch.float32
    assert_close(loss, F.mse_loss(pred.double(), true.double()))


def test_nan_is_not_hidden():
    pred = torch.zeros(1, 2, 2, 2)
    pred[0, 1, 1, 1] = torch.nan
    assert chroma_mse(pred, torch.zeros(1, 2, 2, 2)).isnan()


@pytest.mark.parametrize(
    ("pred", "true"),
    [
        ((2, 1, 4, 4), (2, 2, 4, 4)),  # all of these would broadcast
        ((1, 2, 4, 4), (3, 2, 4, 4)),
        ((2, 2, 4, 1), (2, 2, 4, 4)),
        ((2, 4, 4), (2, 2, 4, 4)),
        ((2, 4, 4), (2, 4, 4)),
        ((4, 2, 4), (4, 2, 4)),
    ],
)
@pytest.mark.parametrize("loss", [chroma_mse, chroma_l1, chroma_huber])
def test_other_shapes_are_refused(loss, pred, true):
    with pytest.raises(ValueError, match=r"expected both \(N, C, H, W\)") as caught:
        loss(torch.zeros(pred), torch.zeros(true))
    assert str(pred) in str(caught.value)
    assert str(true) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_absolute_and_huber_agree_with_torch(dtype):
    pred = random_chroma(4, 2, 8, 8, seed=1).to(dtype)
    true = random_chroma(4, 2, 8, 8, seed=2)
    assert_close(chroma_l1(pred, true), F.l1_loss(pred.double(), true))
    expected = F.smooth_l1_loss(pred.double(), true, beta=0.1) * 0.1
    assert_close(chroma_huber(pred, true), expected)


def test_a_half_prediction_learns_by_huber():
    """As under mixed precision: torch's own loss has no gradient of two dtypes."""
    pred = random_chroma(2, 2, 8, 8, seed=1).bfloat16().requires_grad_()
    true = random_chroma(2, 2, 8, 8, seed=2, dtype=torch.float32)
    chroma_huber(pred, true).backward()
    error = pred.detach().float() - true
    assert_close(pred.grad.float(), error.clamp(-0.1, 0.1).bfloat16().float() / 256)


@given(CHROMA, CHROMA)
def test_huber_lies_below_both_that_it_joins(pred, true):
    pred, true = torch.from_numpy(pred), torch.from_numpy(true)
    huber = chroma_huber(pred, true).item()
    assert huber <= chroma_mse(pred, true).item() / 2 + 1e-12
    assert huber <= 0.1 * chroma_l1(pred, true).item() + 1e-12


def test_cross_entropy_is_the_formula_of_zhang():
    logits = torch.randn(2, 261, 2, 2, generator=torch.Generator().manual_seed(0))
    true = random_chroma(2, 2, 2, 2, dtype=torch.float32) / 2
    shares = soft_encode(true * 128, bin_centres())
    weights = torch.linspace(0.5, 2, 261)
    total = 0.0
    for n, i, j in np.ndindex(2, 2, 2):
        log_p = logits[n, :, i, j].double().log_softmax(dim=0)
        nats = -(shares[n, :, i, j].double() * log_p).sum()
        total += weights[shares[n, :, i, j].argmax()].item() * nats.item()
    assert BinCrossEntropy(weights)(logits, true).item() == pytest.approx(total / 8)


def test_the_best_logits_are_the_true_shares():
    true = random_chroma(1, 2, 8, 8, dtype=torch.float32) / 4
    pooled = F.avg_pool2d(true, 4) * 128
    shares = soft_encode(pooled, bin_centres()).clamp(min=1e-9)
    best = BinCrossEntropy()(shares.log(), true)
    entropy = -(shares * shares.log()).sum(dim=1).mean()
    assert_close(best, entropy.item())
    for seed in range(3):
        noise = torch.randn(shares.shape, generator=torch.Generator().manual_seed(seed))
        assert BinCrossEntropy()(shares.log() + 0.1 * noise, true) > best


def test_rare_colours_count_as_often_as_they_are_told_to():
    gray = torch.zeros(1, 2, 4, 4)
    logits = torch.zeros(1, 261, 1, 1)
    weights = torch.ones(261)
    weights[(bin_centres() == 0).all(dim=1)] = 3.0
    plain, tripled = (
        BinCrossEntropy()(logits, gray),
        BinCrossEntropy(weights)(logits, gray),
    )
    assert_close(tripled / plain, 3.0)


def test_classes_are_weighed_where_the_logits_are_and_in_their_precision():
    logits = torch.zeros(1, 261, 2, 2, device="meta")  # a device without a computation
    true = torch.zeros(1, 2, 4, 4, device="meta")
    loss = BinCrossEntropy(torch.ones(261, dtype=torch.float64))(logits, true)
    assert loss.device.type == "meta"
    assert loss.dtype == torch.float32
