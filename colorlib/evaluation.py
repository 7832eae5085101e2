"""Scores of a trained model, beside the three predictions that need no network.

A model is only interesting when it clearly beats the pixel-wise mean image of its
training photographs. So nothing here returns the score of a model alone.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colorlib.color import (
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
Scores = dict[str, Tensor]  # metric -> (N,)

MODEL = "model"
GRAY = "no colour"
MEAN_COLOUR = "training mean"
MEAN_IMAGE = "pixel-wise training mean"


@dataclass(frozen=True)
class TrainingMean:
    """The mean chroma of the training photographs.

    Attributes:
        ab_norm: (2, S, S), at each pixel of the square image, in [-1, 1].
    """

    ab_norm: Tensor

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> "TrainingMean":
        """Average over all photographs of `batches`, in float64."""
        total, count = torch.zeros(1, dtype=torch.float64), 0
        for batch in batches:
            _, ab_norm = _lab_unit(batch)
            total = total + ab_norm.double().sum(dim=0)  # (2, S, S)
            count += len(ab_norm)
        return cls((total / count).float())


def baselines(mean: TrainingMean) -> dict[str, Predictor]:
    """The predictions without a network, by name.

    Args:
        mean: Of the photographs the model was trained on.

    Returns:
        No colour at all; one colour, the mean over photographs and pixels; the mean
        photograph, pixel by pixel. Each is called like a model.
    """

    def constant(ab_norm: Tensor) -> Predictor:
        def predict(L_norm: Tensor, features: Tensor | None) -> Tensor:
            N, _, H, W = L_norm.shape
            return ab_norm.to(L_norm).expand(N, 2, H, W)  # (2, 1, 1) or (2, H, W)

        return predict

    return {
        GRAY: constant(torch.zeros(2, 1, 1)),
        MEAN_COLOUR: constant(mean.ab_norm.mean(dim=(1, 2), keepdim=True)),
        MEAN_IMAGE: constant(mean.ab_norm),
    }


def evaluate(
    model: nn.Module,
    test_batches: Iterable[Batch],
    mean: TrainingMean,
    device: torch.device | str = "cpu",
    target: Target = PAPER,
) -> dict[str, Scores]:
    """Score a model and the trivial predictions on the same photographs.

    Args:
        model: Called as `model(L_norm, features)`; set to evaluation mode.
        test_batches: Photographs the model has not seen, each once.
        mean: Of the photographs the model was trained on.
        device: Where to compute.
        target: What the model sees and predicts. The trivial predictions are of Lab,
            and see the same gray image.

    Returns:
        method -> metric -> (N,) one value a photograph. Metrics are those of
        `colorlib.metrics.score_images`, with `loss_eq1`, Eq. 1 on the prediction
        itself, before it is clipped to colours a screen can show, and
        `out_of_gamut`, the fraction of pixels that are clipped.
    """
    trivial = evaluate_baselines(test_batches, mean, device, Target(gray=target.gray))
    model = model.eval().to(device)
    return {MODEL: score_predictor(model, test_batches, device, target), **trivial}


def evaluate_baselines(
    test_batches: Iterable[Batch],
    mean: TrainingMean,
    device: torch.device | str = "cpu",
    target: Target = PAPER,
) -> dict[str, Scores]:
    """Score the trivial predictions alone; arguments and result as of `evaluate`."""
    return {
        name: score_predictor(predict, test_batches, device, target)
        for name, predict in baselines(mean).items()
    }


@torch.no_grad()
def score_predictor(
    predict: Predictor,
    test_batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    target: Target = PAPER,
) -> Scores:
    """Score one way to predict colour, photograph by photograph, as `evaluate` does."""
    parts = [_score(predict, batch.to(device), target) for batch in test_batches]
    return {metric: torch.cat([part[metric] for part in parts]) for metric in parts[0]}


def _score(predict: Predictor, batch: Batch, target: Target) -> Scores:
    """Scores of one method on one batch, each (B,)."""
    true_rgb = images_to_float(batch.images)  # (B, 3, S, S)
    _, true_ab_norm = normalize_lab(rgb_to_lab(true_rgb))
    L_norm, _ = target.split(true_rgb)
    target_norm = predict(L_norm, batch.features).float()  # (B, 2 or 3, S, S)
    pred_lab = target.to_lab(L_norm, target_norm)  # (B, 3, S, S)
    _, pred_ab_norm = normalize_lab(pred_lab)
    scores = score_images(lab_to_rgb(pred_lab), true_rgb)
    squared = (pred_ab_norm - true_ab_norm).square()  # (B, 2, S, S)
    scores["loss_eq1"] = squared.mean(dim=(1, 2, 3))
    scores["out_of_gamut"] = out_of_gamut(pred_lab).float().mean(dim=(-2, -1))
    return {metric: values.cpu() for metric, values in scores.items()}


def _lab_unit(batch: Batch) -> tuple[Tensor, Tensor]:
    """Photographs as the network's `L_norm` and `ab_norm`."""
    return normalize_lab(rgb_to_lab(images_to_float(batch.images)))
