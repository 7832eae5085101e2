"""Scores of a trained model beside the three naive baselines; how pale its colours are.

A model is only interesting when it clearly beats the per-pixel mean image of its
training images.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor

from colorlib.color import (
    AB_SCALE,
    images_to_float,
    lab_to_rgb,
    normalize_lab,
    out_of_gamut,
    rgb_to_lab,
)
from colorlib.metrics import score_images
from colorlib.sampling import Batch
from colorlib.targets import PAPER, Target

Predictor = Callable[[Tensor, Tensor | None], Tensor]
ImageScores = dict[str, Tensor]  # metric -> (N,)

MODEL = "model"
GRAY = "no colour"
MEAN_COLOUR = "mean colour"
MEAN_IMAGE = "per-pixel mean image"

CHROMA_STEP = 10.0  # Lab units
CHROMA_CLASSES = 10  # the last one has no upper end
LEAST_SPREAD = 0.5  # Lab units between images: half a unit is not seen
ALIKE = "it predicts the same for all"  # of a model that did not learn


def mean_image(batches: Iterable[Batch]) -> Tensor:
    """Average the chroma of all training images, in float64.

    Returns:
        `ab_norm`, (2, S, S) float32, at each pixel of the square image, in [-1, 1].
    """
    total, count = torch.zeros(1, dtype=torch.float64), 0
    for batch in batches:
        _, ab_norm = normalize_lab(rgb_to_lab(images_to_float(batch.images)))
        total = total + ab_norm.double().sum(dim=0)  # (2, S, S)
        count += len(ab_norm)
    return (total / count).float()


def baselines(mean_ab_norm: Tensor) -> dict[str, Predictor]:
    """The predictions without a network, by name.

    Args:
        mean_ab_norm: (2, S, S), `mean_image` of what the model was trained on.

    Returns:
        No colour at all; one colour, the mean over images and pixels; the mean image,
        pixel by pixel. Each is called like a model.
    """
    predictions = {
        GRAY: torch.zeros(2, 1, 1),
        MEAN_COLOUR: mean_ab_norm.mean(dim=(1, 2), keepdim=True),  # (2, 1, 1)
        MEAN_IMAGE: mean_ab_norm,
    }
    return {name: partial(_constant, ab) for name, ab in predictions.items()}


def _constant(ab_norm: Tensor, L_norm: Tensor, features: Tensor | None) -> Tensor:
    """The same for every image, (N, 2, H, W)."""
    N, _, H, W = L_norm.shape
    return ab_norm.to(L_norm).expand(N, 2, H, W)


@torch.no_grad()
def score_predictor(
    predict: Predictor,
    test_batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    target: Target = PAPER,
) -> ImageScores:
    """Score one way to predict colour.

    Args:
        predict: Called as `predict(L_norm, features)`; a model is set to evaluation
            mode by the caller.
        test_batches: Images that the model was not trained on, each once.
        device: Where to compute.
        target: What the model sees and predicts.

    Returns:
        metric -> (N,), one value per image. Metrics are those of
        `colorlib.metrics.score_images`, with `loss_eq1`, Eq. 1 on the prediction
        itself, before it is clipped to colours a screen can show, and `out_of_gamut`,
        the fraction of pixels that are clipped.
    """
    parts = [_score(predict, batch.to(device), target) for batch in test_batches]
    return {metric: torch.cat([part[metric] for part in parts]) for metric in parts[0]}


def _score(predict: Predictor, batch: Batch, target: Target) -> ImageScores:
    """Scores of one method on one batch, each (B,)."""
    true_rgb = images_to_float(batch.images)  # (B, 3, S, S)
    pred_lab = predict_lab(predict, batch, target)
    scores = score_images(lab_to_rgb(pred_lab), true_rgb)
    error_ab_norm = (pred_lab - rgb_to_lab(true_rgb))[:, 1:] / AB_SCALE  # (B, 2, S, S)
    scores["loss_eq1"] = error_ab_norm.square().mean(dim=(1, 2, 3))
    scores["out_of_gamut"] = out_of_gamut(pred_lab).float().mean(dim=(-2, -1))
    return {metric: values.cpu() for metric, values in scores.items()}


def predict_lab(predict: Predictor, batch: Batch, target: Target) -> Tensor:
    """Colour the gray version of some images.

    Args:
        predict: Called as `predict(L_norm, features)`, on the device of the batch.
        batch: The images.
        target: What the model sees and predicts.

    Returns:
        `lab`, (B, 3, S, S), not clipped.
    """
    L_norm, _ = target.split(images_to_float(batch.images))
    target_norm = predict(L_norm, batch.features).float()  # (B, 2 or 3, S, S)
    return target.to_lab(L_norm, target_norm)


@torch.no_grad()
def chroma_by_true_chroma(
    predict: Predictor,
    batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    target: Target = PAPER,
) -> dict[str, Tensor]:
    """Find how much chroma a model predicts where the true colour is pale or vivid.

    Args:
        predict: Such as a model: called as `predict(L_norm, features)`.
        batches: The images, each once.
        device: Where to compute.
        target: What the model sees and predicts.

    Returns:
        `pixels`: (10,) int64, how many have a true chroma of 0 to 10, 10 to 20, ... Lab
        units; the last class holds all from 90. `predicted`: (10,), the mean predicted
        chroma of each class, Lab units; not a number where a class is empty.
    """
    sums = torch.zeros(2, CHROMA_CLASSES, dtype=torch.float64)
    for batch in batches:
        here = batch.to(device)
        pred_chroma = predict_lab(predict, here, target)[:, 1:].norm(dim=1)  # (B, S, S)
        true_ab = rgb_to_lab(images_to_float(here.images))[:, 1:]  # (B, 2, S, S)
        classes = (
            (true_ab.norm(dim=1) / CHROMA_STEP).long().clamp(max=CHROMA_CLASSES - 1)
        )
        summed = torch.stack([torch.ones_like(pred_chroma), pred_chroma]).flatten(1)
        # On the CPU, as MPS has no float64.
        sums.index_add_(1, classes.flatten().cpu(), summed.cpu().double())
    pixels, predicted = sums  # (10,) each
    return {"pixels": pixels.long(), "predicted": predicted / pixels}


def degenerate_model_warnings(
    scores: Mapping[str, ImageScores], pred_ab: Tensor
) -> tuple[str, ...]:
    """What is wrong with a trained model, if it learned nothing.

    A classifier may have a higher loss of Eq. 1 than the mean image; then the warning
    does not indicate a fault.

    Args:
        scores: method -> metric -> (N,), of the model and of the naive baselines, see
            `score_predictor`.
        pred_ab: (B, 2, S, S) in Lab units, predicted for some different images.

    Returns:
        A clause for each warning; empty for a model that has learned.

    Example:
        >>> import torch
        >>> scores = {MODEL: {"loss_eq1": torch.tensor([0.02])},
        ...           MEAN_IMAGE: {"loss_eq1": torch.tensor([0.01])}}
        >>> degenerate_model_warnings(scores, 100 * torch.rand(4, 2, 8, 8))
        ("its loss of Eq. 1, 0.02, is not below the per-pixel mean image's, 0.01",)
    """
    warnings = []
    spread = pred_ab.std(dim=0).mean().item()
    if spread < LEAST_SPREAD:
        warnings.append(
            f"its predictions differ by {spread:.2g} Lab units between images: {ALIKE}"
        )
    loss, naive = (scores[m]["loss_eq1"].double().mean() for m in (MODEL, MEAN_IMAGE))
    if not loss < naive:
        warnings.append(
            f"its loss of Eq. 1, {loss:.4g}, is not below the per-pixel mean image's, "
            f"{naive:.4g}"
        )
    return tuple(warnings)
