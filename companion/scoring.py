"""Scores of a run on its test sets: the model and the naive baselines; its errors."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from colorlib.backbones import Backbone
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
from colorlib.files import atomic_write, file_lock, hash_of
from colorlib.metrics import summarize
from colorlib.model import ColorizationModel, torch_device
from colorlib.sampling import Batch, loader
from colorlib.targets import Target
from companion.builders import Data, target_of
from companion.code_hash import modules_hash
from companion.config import RunConfig
from companion.records import BreakdownRecord, ClassError

EVALUATED = 80  # images at a time
KEPT_PER_IMAGE = ("loss_eq1", "psnr_rgb", "ciede2000", "mean_image_loss", "named")
JUDGED = 1000  # test images whose class the judge names, at most
JUDGE_SIZE = 192  # pixels, what the judge sees
TRUTH = "ground truth"
DECISIVE = (  # modules that the scores of the naive baselines depend on
    "colorlib.color", "colorlib.evaluation", "colorlib.metrics", "companion.scoring",
)  # fmt: skip

Scores = dict[str, dict[str, Tensor]]  # method -> metric -> (N,)


def score_tests(
    config: RunConfig,
    data: Data,
    model: ColorizationModel,
    features: Features | None,
    cache: Path,
    judge: Backbone | None = None,
) -> dict[str, Scores]:
    """Score a model and the naive baselines on every test set.

    Args:
        config: Of the run.
        data: The run's.
        model: Trained.
        features: Of all images, or None.
        cache: The folder of caches; scores of the baselines are kept there.
        judge: A classifier that is asked for the class of coloured images.

    Returns:
        test set -> method -> metric -> (N,), one value per image. Of a model that fuses
        nothing, `mean_image_loss` is the loss of the per-pixel mean image. `named`
        tells for the first images of the first test set whether the judge names their
        class rightly.
    """
    device = torch_device(config.train.accelerator)
    own = target_of(config)
    naive = _baseline_scores(config, data, cache, judge)
    scores: dict[str, Scores] = {}
    for test, indices in data.split.tests.items():
        samples = data.subset(features, indices)
        predict = model.eval().to(device)
        of_model = score_predictor(predict, loader(samples, EVALUATED), device, own)
        if judge is not None and not scores:
            of_model["named"] = _named(judge, predict, data, test, features, own)
        if not config.model.backbones:
            of_model["mean_image_loss"] = naive[test][MEAN_IMAGE]["loss_eq1"]
        scores[test] = {MODEL: of_model, **naive[test]}
    return scores


def scores_in_record(
    config: RunConfig,
    data: Data,
    model: ColorizationModel,
    features: Features | None,
    cache: Path,
    judge: Backbone | None,
) -> dict[str, Any]:
    """Score a model as `score_tests` does: the parts of its record that say how."""
    scores = score_tests(config, data, model, features, cache, judge)
    first = next(iter(scores))
    losses = scores[first][MODEL]["loss_eq1"]
    return {
        "scores": {test: _summaries(methods) for test, methods in scores.items()},
        "per_image": {test: _per_image(methods) for test, methods in scores.items()},
        "groups": {} if config.model.backbones else _group_numbers(data),
        "breakdown": error_breakdown(config, data, model, features, first, losses),
        "note": "; ".join(warnings_of(config, data, model, features, scores[first])),
    }


def _summaries(methods: Scores) -> dict[str, Any]:
    """Method -> metric -> summary; the judge has seen fewer images than the rest."""
    summaries = {}
    for method, scores in methods.items():
        judged = {"named": scores["named"]} if "named" in scores else {}
        rest = {name: values for name, values in scores.items() if name != "named"}
        summaries[method] = summarize(rest) | summarize(judged)
    return summaries


def _per_image(methods: Scores) -> dict[str, list[float]]:
    """Metric -> one value per image, of the model."""
    own = methods[MODEL]
    return {name: rounded(own[name]) for name in KEPT_PER_IMAGE if name in own}


def _group_numbers(data: Data) -> dict[str, list[int]]:
    """Test set -> the group of each image, as a number: names may be people's."""
    numbers = np.unique(data.packed.manifest.groups, return_inverse=True)[1]
    return {test: numbers[part].tolist() for test, part in data.split.tests.items()}


def _baseline_scores(
    config: RunConfig, data: Data, cache: Path, judge: Backbone | None
) -> dict[str, Scores]:
    """Scores of the naive baselines: the same for all models, so they are cached."""
    decides = [
        modules_hash(DECISIVE),
        data.packed.manifest.manifest_hash,
        data.split.hash,
        config.model.gray,
        judge and judge.weights_hash,
    ]
    path = cache / "baselines" / f"{hash_of(decides)[:16]}.safetensors"
    with file_lock(path.with_suffix(".lock")):
        try:
            flat = safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError):  # none is there, or damaged
            flat = {
                f"{test}/{method}/{metric}": values
                for test, methods in _computed(config, data, judge).items()
                for method, metrics in methods.items()
                for metric, values in metrics.items()
            }
            atomic_write(path, safetensors.torch.save(flat))
    scores: dict[str, Scores] = {}
    for key, values in flat.items():
        test, method, metric = key.split("/")
        scores.setdefault(test, {}).setdefault(method, {})[metric] = values
    return scores


def _computed(
    config: RunConfig, data: Data, judge: Backbone | None
) -> dict[str, Scores]:
    """Scores of the naive baselines, and what the judge says of the true colours."""
    device = torch_device(config.train.accelerator)
    target = Target(gray=config.model.gray)
    train = loader(data.subset(None, data.split.train), EVALUATED)
    predictors = baselines(TrainingMean.of(train))
    scores: dict[str, Scores] = {}
    for test, indices in data.split.tests.items():
        samples = data.subset(None, indices)
        scores[test] = {
            name: score_predictor(predict, loader(samples, EVALUATED), device, target)
            for name, predict in predictors.items()
        }
        if judge is not None and len(scores) == 1:
            for name, predict in [*predictors.items(), (TRUTH, None)]:
                named = _named(judge, predict, data, test, None, target)
                scores[test].setdefault(name, {})["named"] = named
    return scores


# --------------------------------------------------------- what a classifier would say


@torch.no_grad()
def _named(
    judge: Backbone,
    predict: Predictor | None,
    data: Data,
    test: str,
    features: Features | None,
    target: Target,
) -> Tensor:
    """Whether the judge names the class of each coloured image rightly, (N,) 0 or 1.

    Reference:
        Zhang, Isola & Efros (2016), Section 3.1, "semantic interpretability".
    """
    indices = data.split.tests[test][:JUDGED]
    samples = data.subset(features, indices)
    groups = [data.packed.manifest.groups[i] for i in indices]
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
    from timm.data.imagenet_info import ImageNetInfo

    names = ImageNetInfo("imagenet-1k").label_names()  # type: ignore[no-untyped-call]
    return {name: index for index, name in enumerate(names)}


def class_index(wordnet_id: str) -> int:
    """The number of a class of ImageNet-1k.

    Example:
        >>> class_index("n01440764"), class_index("n15075141")
        (0, 999)
    """
    return _synsets()[wordnet_id]


# --------------------------------------------------------------------------- the errors


@torch.no_grad()
def warnings_of(
    config: RunConfig,
    data: Data,
    model: ColorizationModel,
    features: Features | None,
    scores: Scores,
) -> tuple[str, ...]:
    """What is wrong with a trained model, if it learned nothing."""
    device = torch_device(config.train.accelerator)
    indices = next(iter(data.split.tests.values()))[:EVALUATED]
    batch = data.subset(features, indices).take(np.arange(len(indices))).to(device)
    target = target_of(config)
    L_norm, _ = target.split(images_to_float(batch.images))
    target_norm = model.eval().to(device)(L_norm, batch.features)
    return degenerate_model_warnings(scores, target_norm)


def error_breakdown(
    config: RunConfig,
    data: Data,
    model: ColorizationModel,
    features: Features | None,
    test: str,
    loss_eq1: Tensor,
) -> BreakdownRecord:
    """Where a model's errors on a test set are."""
    device = torch_device(config.train.accelerator)
    samples = data.subset(features, data.split.tests[test])
    target = target_of(config)
    batches = loader(samples, EVALUATED)
    found = break_down(model.eval().to(device), batches, device, target)
    return BreakdownRecord(
        place_mse=[rounded(row) for row in found.place_mse],
        pixels=found.pixels.tolist(),
        predicted=rounded(found.predicted),
        mse=rounded(found.mse),
        classes=_class_errors(data, test, loss_eq1),
    )


def _class_errors(data: Data, test: str, loss_eq1: Tensor) -> dict[str, ClassError]:
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
