"""What training minimises: pure functions of predicted and true chroma.

Reference:
    Section 4.2 of the paper, Eq. 1 and 2.
"""

from torch import Tensor


def chroma_mse(pred_ab_unit: Tensor, true_ab_unit: Tensor) -> Tensor:
    """Mean squared error of the chroma: Eq. 1 of the paper, averaged as its Eq. 2.

    Eq. 1 sums (X - X~)^2 over both channels and all pixels and divides by 2 H W;
    Eq. 2 averages over the batch. Together that is the plain mean.

    Args:
        pred_ab_unit: (N, 2, H, W) float, predicted ab / 128.
        true_ab_unit: (N, 2, H, W) float, true ab / 128.

    Returns:
        A scalar in (ab / 128)^2: at most 4 for values in [-1, 1]. NaN if a value is.

    Raises:
        ValueError: If the shapes are not the same, or not (N, 2, H, W).

    Example:
        >>> import torch
        >>> chroma_mse(torch.zeros(1, 2, 4, 4), torch.full((1, 2, 4, 4), 0.5))
        tensor(0.2500)
    """
    _check_pair(pred_ab_unit, true_ab_unit)
    return (pred_ab_unit - true_ab_unit).square().mean()


def _check_pair(pred_ab_unit: Tensor, true_ab_unit: Tensor) -> None:
    """Refuse shapes that broadcasting would silently stretch."""
    pred, true = tuple(pred_ab_unit.shape), tuple(true_ab_unit.shape)
    if pred != true or len(pred) != 4 or pred[1] != 2:
        raise ValueError(
            f"found predicted chroma of shape {pred} and true chroma of shape {true}, "
            "expected both (N, 2, H, W): the same photographs, at the same size"
        )
