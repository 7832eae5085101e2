"""Where a model's errors are: by the colour that was true, and by place.

A mean error has neither a colour nor a place. A model that answers with means makes
strong colours weaker, and on aligned faces it errs in the background.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from colorlib.color import AB_SCALE, images_to_float, rgb_to_lab
from colorlib.evaluation import Predictor
from colorlib.sampling import Batch
from colorlib.targets import PAPER, Target

PLACES = 8  # the square of a photograph is cut into 8 x 8 places
CHROMA_STEP = 10.0  # Lab units
CHROMA_CLASSES = 10  # the last one has no upper end


@dataclass(frozen=True)
class Breakdown:
    """What a model makes of the pixels of many photographs, taken apart.

    Attributes:
        place_mse: (8, 8), the mean squared error of ab/128 at each place of the square.
        pixels: (10,) int64, how many have a true chroma of 0 to 10, 10 to 20, ... Lab
            units; the last class holds all from 90.
        predicted: (10,), the mean predicted chroma of each class, Lab units; not a
            number where a class is empty.
        mse: (10,), the mean squared error of ab/128 of each class, alike.
    """

    place_mse: Tensor
    pixels: Tensor
    predicted: Tensor
    mse: Tensor


@torch.no_grad()
def break_down(
    predict: Predictor,
    batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    target: Target = PAPER,
) -> Breakdown:
    """Take the errors of some photographs apart.

    Args:
        predict: Such as a model: called as `predict(L_norm, features)`.
        batches: The photographs, each once.
        device: Where to compute.
        target: What the model sees and predicts.
    """
    place = torch.zeros(PLACES, PLACES, dtype=torch.float64)
    sums = torch.zeros(3, CHROMA_CLASSES, dtype=torch.float64)
    photographs = 0
    for batch in batches:
        true_ab, pred_ab = _chroma(predict, batch.to(device), target)
        squared = ((pred_ab - true_ab) / AB_SCALE).square().mean(dim=1)  # (B, S, S)
        place += F.adaptive_avg_pool2d(squared, PLACES).cpu().double().sum(dim=0)
        sums += _by_true_chroma(true_ab, pred_ab, squared)
        photographs += len(squared)
    pixels, predicted, mse = sums  # (10,) each
    return Breakdown(
        place / photographs, pixels.long(), predicted / pixels, mse / pixels
    )


def _chroma(predict: Predictor, batch: Batch, target: Target) -> tuple[Tensor, Tensor]:
    """True and predicted ab of a batch, (B, 2, S, S) in Lab units."""
    rgb = images_to_float(batch.images)  # (B, 3, S, S)
    L_norm, _ = target.split(rgb)
    target_norm = predict(L_norm, batch.features).float()  # (B, 2 or 3, S, S)
    return rgb_to_lab(rgb)[:, 1:], target.to_lab(L_norm, target_norm)[:, 1:]


def _by_true_chroma(true_ab: Tensor, pred_ab: Tensor, squared: Tensor) -> Tensor:
    """Sums over the pixels of each class: their number, predicted chroma, error."""
    classes = (true_ab.norm(dim=1) / CHROMA_STEP).long()  # (B, S, S)
    classes = classes.clamp(max=CHROMA_CLASSES - 1).flatten()
    summed = torch.stack([torch.ones_like(squared), pred_ab.norm(dim=1), squared])
    sums = torch.zeros(3, CHROMA_CLASSES, dtype=torch.float64)  # not every GPU has it
    return sums.index_add_(1, classes.cpu(), summed.flatten(1).cpu().double())
