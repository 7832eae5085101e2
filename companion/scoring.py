"""Scores on a profile's test part: of a trained model, and of the trivial predictions.

The latter are the same for every model that is trained and tested on the same
photographs, so they are computed once and kept in the cache.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from colorlib.breakdown import break_down
from colorlib.color import images_to_float
from colorlib.evaluation import (
    GRAY,
    MEAN_COLOUR,
    MEAN_IMAGE,
    MODEL,
    TrainingMean,
    evaluate_baselines,
    score_predictor,
)
from colorlib.features import Scores
from colorlib.files import atomic_write, checksum_matches, hash_of, write_checksum
from colorlib.metrics import METRICS
from colorlib.model import ColorizationModel
from colorlib.processes import torch_device
from colorlib.sampling import OrderedBatches
from colorlib.targets import Target
from companion.builders import target_of
from companion.code_hash import code_hash
from companion.config import Profile
from companion.data_setup import Data, split_by_source, subset
from companion.records import BreakdownRecord, ClassError

EVALUATED = 80  # photographs at a time where nothing is learned


def score_model(
    profile: Profile,
    model: ColorizationModel,
    data: Data,
    features: Scores | None,
    cache: Path,
) -> dict[str, dict[str, Tensor]]:
    """Score a model and the trivial predictions on the test photographs.

    Args:
        profile: Of the model's run.
        model: Trained.
        data: The profile's.
        features: What the backbones tell of all photographs, or None.
        cache: The folder of caches.

    Returns:
        method -> metric -> (N,), one value a test photograph.
    """
    test = OrderedBatches(subset(data, features, data.test), EVALUATED)
    device = torch_device(profile.accelerator)
    model = model.eval().to(device)
    scores = score_predictor(model, test, device, target_of(profile))
    return {MODEL: scores, **baseline_scores(profile, data, cache)}


def score_parts(
    profile: Profile, data: Data, scores: Mapping[str, Tensor], cache: Path
) -> dict[str, dict[str, dict[str, Tensor]]]:
    """Take a model's scores on a mixed data set apart.

    A mean over faces and landscapes is easily beaten on either. So each part has the
    baselines of its own training photographs.

    Args:
        profile: Of the model's run.
        data: The profile's.
        scores: Of the model: metric -> (N,), one value a test photograph.
        cache: The folder of caches.

    Returns:
        part -> method -> metric -> (M,); empty if the data set is not mixed.
    """
    taken_apart = {}
    for name, part in split_by_source(data).items():
        of_part = torch.from_numpy(np.isin(data.test, part.test))  # (N,)
        own = {metric: values[of_part] for metric, values in scores.items()}
        taken_apart[name] = {MODEL: own, **baseline_scores(profile, part, cache)}
    return taken_apart


@torch.no_grad()
def first_answers(
    profile: Profile,
    model: ColorizationModel,
    data: Data,
    features: Scores | None,
) -> Tensor:
    """What a model predicts for some test photographs.

    Args:
        profile: Of the model's run.
        model: Trained.
        data: The profile's.
        features: What the backbones tell of all photographs, or None.

    Returns:
        target_norm (B, 2 or 3, S, S), of the first of them.
    """
    device = torch_device(profile.accelerator)
    test = subset(data, features, data.test[:EVALUATED])
    batch = test.take(np.arange(len(test))).to(device)
    L_norm, _ = target_of(profile).split(images_to_float(batch.images))
    target_norm: Tensor = model.eval().to(device)(L_norm, batch.features)
    return target_norm


def error_breakdown(
    profile: Profile,
    model: ColorizationModel,
    data: Data,
    features: Scores | None,
    loss_eq1: Tensor,
) -> BreakdownRecord:
    """Take a model's errors on the test photographs apart.

    Args:
        profile: Of the model's run.
        model: Trained.
        data: The profile's.
        features: What the backbones tell of all photographs, or None.
        loss_eq1: (N,), the loss of each test photograph.
    """
    test = OrderedBatches(subset(data, features, data.test), EVALUATED)
    device = torch_device(profile.accelerator)
    found = break_down(model.eval().to(device), test, device, target_of(profile))
    return BreakdownRecord(
        place_mse=[_digits(row) for row in found.place_mse],
        pixels=found.pixels.tolist(),
        predicted=_digits(found.predicted),
        mse=_digits(found.mse),
        classes=_class_errors(data, loss_eq1),
    )


def _class_errors(data: Data, loss_eq1: Tensor) -> dict[str, ClassError]:
    """The mean loss of each class of ImageNet; nothing of other data sets."""
    if data.source.name != "imagenet":
        return {}
    losses: dict[str, list[float]] = {}
    for index, loss in zip(data.test.tolist(), loss_eq1.tolist(), strict=True):
        losses.setdefault(data.packed.groups[index], []).append(loss)
    return {
        name: ClassError(
            photographs=len(of_class),
            loss_eq1=float(f"{sum(of_class) / len(of_class):.5g}"),
        )
        for name, of_class in sorted(losses.items())
    }


def _digits(values: Tensor) -> list[Any]:
    """Five significant digits; None where there is no number."""
    return [None if v != v else float(f"{v:.5g}") for v in values.tolist()]


def baseline_scores(
    profile: Profile, data: Data, cache: Path
) -> dict[str, dict[str, Tensor]]:
    """Scores of the trivial predictions, computed or found in the cache."""
    decides = {
        "code": code_hash("import colorlib.evaluation"),
        "manifest": data.packed.manifest.manifest_hash,
        "train": data.train.tolist(),
        "test": data.test.tolist(),
        "gray": profile.gray,
    }
    path = cache / "baselines" / f"{hash_of(decides)[:16]}.safetensors"
    if not checksum_matches(path):
        _write(path, _computed(profile, data))
    flat = safetensors.torch.load_file(path)
    return {
        method: {metric: flat[f"{method}/{metric}"] for metric in METRICS}
        for method in (GRAY, MEAN_COLOUR, MEAN_IMAGE)
    }


def _computed(profile: Profile, data: Data) -> dict[str, dict[str, Tensor]]:
    """Scores of the trivial predictions."""
    train = OrderedBatches(subset(data, None, data.train), EVALUATED)
    test = OrderedBatches(subset(data, None, data.test), EVALUATED)
    device = torch_device(profile.accelerator)
    target = Target(gray=profile.gray)
    return evaluate_baselines(test, TrainingMean.of(train), device, target)


def _write(path: Path, scores: dict[str, dict[str, Tensor]]) -> None:
    """Keep scores as one file, `method/metric` -> values."""
    flat = {
        f"{method}/{metric}": values
        for method, metrics in scores.items()
        for metric, values in metrics.items()
    }
    atomic_write(path, safetensors.torch.save(flat))
    write_checksum(path)
