"""Signs that a training came to nothing: said in its record, and last of all.

A model that answers every photograph alike, or scores below the mean photograph, still
has a record, a curve and figures. Nothing but these signs would tell.
"""

from collections.abc import Mapping

from torch import Tensor

from colorlib.evaluation import MEAN_IMAGE, MODEL, Scores

LEAST_SPREAD = 0.5 / 128  # of ab_norm between photographs: half a Lab unit is not seen


def degenerate_model_warnings(
    scores: Mapping[str, Scores], target_norm: Tensor
) -> tuple[str, ...]:
    """What is wrong with a trained model, if it is one of two things.

    A model that is trained to classify may well be above the mean in Eq. 1; the sign
    is a fact then and no verdict.

    Args:
        scores: method -> metric -> (N,), the model and the trivial predictions, see
            `colorlib.evaluation.evaluate`.
        target_norm: (B, 2 or 3, S, S), its answers to some different photographs.

    Returns:
        A clause for each sign; empty for a model that has learned.

    Example:
        >>> import torch
        >>> scores = {MODEL: {"loss_eq1": torch.tensor([0.02])},
        ...           MEAN_IMAGE: {"loss_eq1": torch.tensor([0.01])}}
        >>> degenerate_model_warnings(scores, torch.rand(4, 2, 8, 8))
        ("its loss of Eq. 1, 0.02, is not below the pixel-wise training mean's, 0.01",)
    """
    signs = []
    spread = target_norm.float().std(dim=0).mean().item()
    if spread < LEAST_SPREAD:
        signs.append(
            f"its answers differ by {128 * spread:.2g} Lab units between photographs: "
            "it answers all alike"
        )
    loss, means = (
        float(scores[method]["loss_eq1"].double().mean())
        for method in (MODEL, MEAN_IMAGE)
    )
    if not loss < means:
        signs.append(
            f"its loss of Eq. 1, {loss:.4g}, is not below the pixel-wise training "
            f"mean's, {means:.4g}"
        )
    return tuple(signs)
