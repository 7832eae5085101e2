"""Scores of a run on its test sets: the model, the naive baselines, and their errors."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from colorlib.backbones import Backbone, load_backbone
from colorlib.color import images_to_float, lab_to_rgb
from colorlib.evaluation import (
    MEAN_IMAGE,
    MODEL,
    Predictor,
    TrainingMean,
    baselines,
    break_down,
    degenerate_model_warnings,
    score_predictor,
)
from colorlib.features import Features
from colorlib.sampling import Batch, Samples, loader
from colorlib.targets import Target
from colorlib.training import torch_device
from companion.config import RunConfig
from companion.records import BreakdownRecord, ClassError

if TYPE_CHECKING:
    from colorlib.model import ColorizationModel
    from companion.pipeline import Data, Folders

EVALUATED = 80  # images at a time
KEPT_PER_IMAGE = ("loss_eq1", "psnr_rgb", "ciede2000", "mean_image_loss", "named")
JUDGED = 1000  # test images whose class the judge names, at most
JUDGE_SIZE = 192  # pixels, what the judge sees

Scores = dict[str, dict[str, Tensor]]  # method -> metric -> (N,)


def score_tests(
    config: RunConfig,
    data: "Data",
    model: "ColorizationModel",
    features: Features | None,
    folders: "Folders",
) -> dict[str, Scores]:
    """Score a model and the naive baselines on every test set.

    Args:
        config: Of the run.
        data: The run's.
        model: Trained.
        features: Of all images, or None.
        folders: Where the judge's weights are.

    Returns:
        test set -> method -> metric -> (N,), one value per image. Of a model that fuses
        nothing, `mean_image_loss` is the loss of the per-pixel mean image. `named`
        tells for the first images of the first test set whether the judge names their
        class rightly.
    """
    device = torch_device(config.train.accelerator)
    target = Target(config.model.target, config.model.gray)
    mean = TrainingMean.of(loader(data.subset(None, data.split.train), EVALUATED))
    judge = _judge(config, folders)
    scores: dict[str, Scores] = {}
    for test, indices in data.split.tests.items():
        samples = data.subset(features, indices)
        predictors: dict[str, tuple[Predictor, Target]] = {
            MODEL: (model.eval().to(device), target)
        }
        plain = Target(gray=config.model.gray)
        predictors |= {name: (one, plain) for name, one in baselines(mean).items()}
        scores[test] = {
            name: score_predictor(predict, loader(samples, EVALUATED), device, own)
            for name, (predict, own) in predictors.items()
        }
        if not config.model.backbones:
            own_loss = scores[test][MEAN_IMAGE]["loss_eq1"]
            scores[test][MODEL]["mean_image_loss"] = own_loss
        if judge is not None and len(scores) == 1:
            groups = [data.packed.manifest.groups[i] for i in indices[:JUDGED]]
            for name, (predict, own) in predictors.items():
                named = _named(judge, predict, samples, groups, own)
                scores[test][name]["named"] = named
            truth = _named(judge, None, samples, groups, plain)
            scores[test]["ground truth"] = {"named": truth}
    return scores


# ----------------------------------------------------------- what a classifier would say


def _judge(config: RunConfig, folders: "Folders") -> Backbone | None:
    """The classifier that is asked, on a data set whose groups are ImageNet classes."""
    if config.judge is None or config.data.dataset != "imagenet":
        return None
    weights = folders.weights if config.weights == "file" else None
    return load_backbone(config.judge, weights or config.weights)


@torch.no_grad()
def _named(
    judge: Backbone,
    predict: Predictor | None,
    samples: Samples,
    groups: Sequence[str],
    target: Target,
) -> Tensor:
    """Whether the judge names the class of each coloured image rightly, (N,) 0 or 1.

    Reference:
        Zhang, Isola & Efros (2016), Section 3.1, "semantic interpretability".
    """
    right = []
    for start in range(0, len(groups), EVALUATED):
        stop = min(start + EVALUATED, len(groups))
        batch = samples.take(np.arange(start, stop))
        rgb = _coloured(batch, predict, target)  # (B, 3, S, S)
        size = (JUDGE_SIZE, JUDGE_SIZE)
        seen = F.interpolate(rgb, size, mode="bilinear", antialias=True)
        logits = judge.net((seen - judge.mean) / judge.std)
        logits = logits[:, int(judge.spec.drop_background) :]  # (B, 1000)
        truth = torch.tensor([class_index(group) for group in groups[start:stop]])
        right.append((logits.argmax(dim=1) == truth).float())
    return torch.cat(right)


def _coloured(batch: Batch, predict: Predictor | None, target: Target) -> Tensor:
    """A predictor's colours, or the true ones, (B, 3, S, S) in [0, 1]."""
    rgb = images_to_float(batch.images)
    if predict is None:
        return rgb
    L_norm, _ = target.split(rgb)
    return lab_to_rgb(target.to_lab(L_norm, predict(L_norm, batch.features).float()))


@lru_cache
def _synsets() -> dict[str, int]:
    """WordNet id -> number of the class of ImageNet-1k."""
    from timm.data import ImageNetInfo

    names = ImageNetInfo("imagenet-1k").label_names()
    return {name: index for index, name in enumerate(names)}


def class_index(wordnet_id: str) -> int:
    """The number of a class of ImageNet-1k.

    Example:
        >>> class_index("n01440764"), class_index("n15075141")
        (0, 999)
    """
    return _synsets()[wordnet_id]


# ---------------------------------------------------------------------------- the errors


@torch.no_grad()
def warnings_of(
    config: RunConfig,
    data: "Data",
    model: "ColorizationModel",
    features: Features | None,
    scores: Scores,
) -> tuple[str, ...]:
    """What is wrong with a trained model, if it learned nothing."""
    device = torch_device(config.train.accelerator)
    indices = next(iter(data.split.tests.values()))[:EVALUATED]
    batch = data.subset(features, indices).take(np.arange(len(indices))).to(device)
    target = Target(config.model.target, config.model.gray)
    L_norm, _ = target.split(images_to_float(batch.images))
    target_norm = model.eval().to(device)(L_norm, batch.features)
    return degenerate_model_warnings(scores, target_norm)


def error_breakdown(
    config: RunConfig,
    data: "Data",
    model: "ColorizationModel",
    features: Features | None,
    test: str,
    loss_eq1: Tensor,
) -> BreakdownRecord:
    """Where a model's errors on a test set are."""
    device = torch_device(config.train.accelerator)
    samples = data.subset(features, data.split.tests[test])
    target = Target(config.model.target, config.model.gray)
    batches = loader(samples, EVALUATED)
    found = break_down(model.eval().to(device), batches, device, target)
    return BreakdownRecord(
        place_mse=[rounded(row) for row in found.place_mse],
        pixels=found.pixels.tolist(),
        predicted=rounded(found.predicted),
        mse=rounded(found.mse),
        classes=_class_errors(data, test, loss_eq1),
    )


def _class_errors(data: "Data", test: str, loss_eq1: Tensor) -> dict[str, ClassError]:
    """The mean loss of each class of ImageNet; nothing of other data sets."""
    if data.source.name != "imagenet":
        return {}
    losses: dict[str, list[float]] = {}
    for index, loss in zip(data.split.tests[test], loss_eq1.tolist(), strict=True):
        losses.setdefault(data.packed.manifest.groups[index], []).append(loss)
    return {
        name: ClassError(
            images=len(of_class),
            loss_eq1=float(f"{sum(of_class) / len(of_class):.5g}"),
        )
        for name, of_class in sorted(losses.items())
    }


def rounded(values: Tensor) -> list[Any]:
    """Five significant digits: enough for any statistic; None where there is none."""
    return [None if v != v else float(f"{v:.5g}") for v in values.tolist()]
