"""Losses: the paper's equations, torch, gradients, faults."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import assert_close
from torch import Tensor
from torch.nn import functional as F

from colorlib.bins import bin_centres, soft_encode
from colorlib.losses import bin_cross_entropy, chroma_l1, chroma_mse

CHROMA = arrays(np.float64, (2, 2, 3, 2), elements=st.floats(-1, 1))


def random_chroma(*shape: int, seed: int = 0, dtype=torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(*shape, generator=generator, dtype=dtype) - 1


def equations_of_the_paper(pred: Tensor, true: Tensor) -> float:
    """Eq. 1 and Eq. 2, sum by sum."""
    B, _, H, W = true.shape
    cost = 0.0
    for b in range(B):
        total = 0.0
        for k, i, j in np.ndindex(2, H, W):
            total += (true[b, k, i, j] - pred[b, k, i, j]).item() ** 2
        cost += total / (2 * H * W)
    return cost / B


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (3, 2, 4, 5), (5, 2, 3, 2)])
def test_is_the_formula_of_the_paper_and_so_is_its_gradient(shape):
    pred, true = random_chroma(*shape, seed=1), random_chroma(*shape, seed=2)
    loss = chroma_mse(pred.requires_grad_(), true)
    assert_close(loss.detach(), equations_of_the_paper(pred, true))
    loss.backward()
    assert_close(pred.grad, (pred - true).detach() / (shape[0] * shape[2] * shape[3]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_agree_with_torch_in_the_precision_of_the_truth(dtype):
    pred = random_chroma(4, 2, 8, 8, seed=1).to(dtype)  # a half as in mixed precision
    true = random_chroma(4, 2, 8, 8, seed=2)
    assert_close(chroma_mse(pred, true), F.mse_loss(pred.double(), true))
    assert_close(chroma_l1(pred, true), F.l1_loss(pred.double(), true))
    for loss in (chroma_mse, chroma_l1):
        assert loss(pred, true).dtype == true.dtype
        assert loss(pred, torch.full_like(true, torch.nan)).isnan()


@pytest.mark.parametrize(
    ("pred", "true"),
    [
        ((2, 1, 4, 4), (2, 2, 4, 4)),  # all of these would broadcast
        ((1, 2, 4, 4), (3, 2, 4, 4)),
        ((2, 2, 4, 1), (2, 2, 4, 4)),
        ((2, 4, 4), (2, 2, 4, 4)),
        ((2, 4, 4), (2, 4, 4)),
    ],
)
@pytest.mark.parametrize("loss", [chroma_mse, chroma_l1])
def test_other_shapes_are_refused(loss, pred, true):
    with pytest.raises(ValueError, match=r"expected both \(N, C, H, W\)") as caught:
        loss(torch.zeros(pred), torch.zeros(true))
    for shape in (str(pred), str(true)):
        assert shape in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------ cross-entropy


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
    loss = bin_cross_entropy(logits, true, weights)
    assert loss.item() == pytest.approx(total / 8)


def test_the_best_logits_are_the_true_shares():
    true = random_chroma(1, 2, 8, 8, dtype=torch.float32) / 4
    pooled = F.avg_pool2d(true, 4) * 128
    shares = soft_encode(pooled, bin_centres()).clamp(min=1e-9)
    best = bin_cross_entropy(shares.log(), true)
    entropy = -(shares * shares.log()).sum(dim=1).mean()
    assert_close(best, entropy.item())
    for seed in range(3):
        noise = torch.randn(shares.shape, generator=torch.Generator().manual_seed(seed))
        assert bin_cross_entropy(shares.log() + 0.1 * noise, true) > best


def test_classes_are_weighed_where_the_logits_are_and_in_their_precision():
    logits = torch.zeros(1, 261, 2, 2, device="meta")  # a device without a computation
    true = torch.zeros(1, 2, 4, 4, device="meta")
    loss = bin_cross_entropy(logits, true, torch.ones(261, dtype=torch.float64))
    assert loss.device.type == "meta"
    assert loss.dtype == torch.float32
