"""Loss functions of the predicted and the true chroma.

The paper uses the squared error. The alternatives address its known weaknesses: the
absolute error is less sensitive to outliers, and classification need not predict the
mean.

The chroma losses take two (N, C, H, W) float tensors in the same unit and return a
scalar, which is NaN if any input is NaN. Shapes that differ raise a ValueError.

Reference:
    Section 4.2 of the paper, Eq. 1 and 2.
"""

from torch import Tensor
from torch.nn import functional as F

from colorlib.bins import bin_centres, soft_encode
from colorlib.color import AB_SCALE, check_pair


def chroma_mse(pred_ab_norm: Tensor, true_ab_norm: Tensor) -> Tensor:
    """Mean squared error of the chroma: Eq. 1 of the paper, averaged as its Eq. 2.

    Eq. 1 sums (X - X~)^2 over both channels and all pixels and divides by 2 H W;
    Eq. 2 averages over the batch. Together that is the plain mean.

    Args:
        pred_ab_norm: (N, 2, H, W) float, predicted ab / 128.
        true_ab_norm: (N, 2, H, W) float, true ab / 128.

    Returns:
        A scalar in (ab / 128)^2: at most 4 for values in [-1, 1].

    Example:
        >>> import torch
        >>> chroma_mse(torch.zeros(1, 2, 4, 4), torch.full((1, 2, 4, 4), 0.5))
        tensor(0.2500)
    """
    check_pair(pred_ab_norm, true_ab_norm)
    return (pred_ab_norm - true_ab_norm).square().mean()


def chroma_l1(pred_norm: Tensor, true_norm: Tensor) -> Tensor:
    """Mean absolute error of the chroma; its best constant prediction is the median.

    Example:
        >>> import torch
        >>> chroma_l1(torch.zeros(1, 2, 4, 4), torch.full((1, 2, 4, 4), -0.5))
        tensor(0.5000)
    """
    check_pair(pred_norm, true_norm)
    return (pred_norm - true_norm).abs().mean()


def bin_cross_entropy(
    logits: Tensor, true_ab_norm: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy between predicted and true probabilities of the ab bins.

    Args:
        logits: (N, Q, h, w), of each bin, on the model's own grid.
        true_ab_norm: (N, 2, H, W), true ab / 128; averaged onto that grid.
        weights: (Q,) weight of a pixel, by its nearest bin, such as
            `colorlib.bins.rebalancing`; None to weight all equally.

    Returns:
        A scalar in nats.

    Reference:
        Zhang, Isola & Efros (2016), Section 2.1, Eq. 2.

    Example:
        >>> import math, torch
        >>> loss = bin_cross_entropy(torch.zeros(1, 261, 4, 4), torch.zeros(1, 2, 8, 8))
        >>> math.isclose(loss.item(), math.log(261), rel_tol=1e-5)  # uniform prediction
        True
    """
    true_ab = F.interpolate(
        true_ab_norm * AB_SCALE, size=logits.shape[-2:], mode="area"
    )  # (N, 2, h, w)
    true = soft_encode(true_ab, bin_centres())  # (N, Q, h, w)
    nats = -(true * logits.float().log_softmax(dim=1)).sum(dim=1)  # (N, h, w)
    if weights is not None:
        nats = nats * weights.to(nats)[true.argmax(dim=1)]
    return nats.mean()
