import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import assert_close
from torch import Tensor
from torch.nn import functional as F

from colorlib.losses import chroma_mse

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
        ((2, 3, 4, 4), (2, 3, 4, 4)),  # Lab in place of ab
    ],
)
def test_other_shapes_are_refused(pred, true):
    with pytest.raises(ValueError, match=r"expected both \(N, 2, H, W\)") as caught:
        chroma_mse(torch.zeros(pred), torch.zeros(true))
    assert str(pred) in str(caught.value)
    assert str(true) in str(caught.value)
    assert "\n" not in str(caught.value)
