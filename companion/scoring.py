"""Scores of a run on its test sets: the model and the naive baselines; its errors."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from colorlib import evaluation
from colorlib.backbones import Backbone
from colorlib.color import images_to_float, lab_to_rgb
from colorlib.device import torch_device
from colorlib.evaluation import MEAN_IMAGE, MODEL, Predictor, predict_lab
from colorlib.features import Features
from colorlib.files import atomic_write, file_lock, hash_of
from colorlib.metrics import summarize
from colorlib.model import ColorizationModel
from colorlib.sampling import EVALUATION_BATCH, EpochLoader, Samples
from colorlib.targets import Target
from companion.builders import Data
from companion.code_hash import modules_hash
from companion.config import RunConfig
from companion.records import TRUTH, BreakdownRecord

KEPT_PER_IMAGE = ("loss_eq1", "psnr_rgb", "ciede2000", "mean_image_loss", "named")
MOST_JUDGED = 1000  # test images whose class the judge names, at most
JUDGE_SIZE = 192  # pixels, what the judge sees
DECISIVE = (  # modules that the scores of the naive baselines depend on
    "colorlib.backbones", "colorlib.color", "colorlib.evaluation", "colorlib.metrics",
    "colorlib.targets", "companion.scoring",
)  # fmt: skip

Scores = dict[str, dict[str, Tensor]]  # method -> metric -> (N,)


@dataclass(frozen=True)
class Scorer:
    """Scores models beside the naive baselines on every test set of a run.

    Attributes:
        config: Of the run.
        data: Its images and their parts.
        features: Of all images, or None.
        cache_root: The folder of caches; scores of the baselines are kept there.
        judge: An independent classifier that evaluates the coloured images, the first
            ones of the first test set.
    """

    config: RunConfig
    data: Data
    features: Features | None
    cache_root: Path
    judge: Backbone | None = None

    @cached_property
    def device(self) -> torch.device:
        """Where to compute."""
        return torch_device(self.config.train.accelerator)

    @cached_property
    def first(self) -> str:
        """The first test set."""
        return next(iter(self.data.split.tests))

    def scores(self, model: ColorizationModel) -> dict[str, Scores]:
        """Score a trained model and the naive baselines.

        Returns:
            test set -> method -> metric -> (N,), one value per image. Of a model that
            fuses nothing, `mean_image_loss` is the loss of the per-pixel mean image.
            `named` is 1 where the judge names the class rightly, else 0.
        """
        predict, target = model.eval().to(self.device), model.target
        scores = {}
        for test, naive in self._baseline_scores().items():
            samples = self._samples(test, self.features)
            own = self._scored(predict, samples, target)
            if self.judge is not None and test == self.first:
                own["named"] = self._named(self.judge, predict, self.features, target)
            if not self.config.model.backbones:
                own["mean_image_loss"] = naive[MEAN_IMAGE]["loss_eq1"]
            scores[test] = {MODEL: own, **naive}
        return scores

    def in_record(self, model: ColorizationModel) -> dict[str, Any]:
        """Score a trained model: the parts of its record that say how."""
        scores = self.scores(model)
        first = scores[self.first]
        summaries = {
            test: {method: _summaries(own) for method, own in methods.items()}
            for test, methods in scores.items()
        }
        per_image = {
            test: {m: rounded(own[m]) for m in KEPT_PER_IMAGE if m in own}
            for test, own in ((test, of[MODEL]) for test, of in scores.items())
        }
        return {
            "scores": summaries,
            "per_image": per_image,
            "groups": {} if self.config.model.backbones else self._group_numbers(),
            "breakdown": self._breakdown(model),
            "note": "; ".join(self._warnings(model, first)),
        }

    def _samples(self, test: str, features: Features | None) -> Samples:
        return self.data.subset(features, self.data.split.tests[test])

    def _scored(
        self, predict: Predictor, samples: Samples, target: Target
    ) -> dict[str, Tensor]:
        """Metric -> (N,) of one way to predict colour."""
        batches = EpochLoader(samples, EVALUATION_BATCH)
        return evaluation.score_predictor(predict, batches, self.device, target)

    def _group_numbers(self) -> dict[str, list[int]]:
        """Test set -> the group of each image, as a number: names may be people's."""
        numbers = np.unique(self.data.packed.manifest.groups, return_inverse=True)[1]
        tests = self.data.split.tests
        return {test: numbers[part].tolist() for test, part in tests.items()}

    # ------------------------------------------------------------ the naive baselines

    def _baseline_scores(self) -> dict[str, Scores]:
        """Test set -> scores of the baselines: the same for all models, so cached."""
        decides = [
            modules_hash(DECISIVE),
            self.data.packed.manifest.manifest_hash,
            self.data.split.hash,
            self.config.model.gray,
            self.judge and self.judge.weights_hash,
        ]
        name = f"{hash_of(decides)[:16]}.safetensors"
        path = self.cache_root / "baselines" / name
        with file_lock(path.with_suffix(".lock")):
            try:
                found = safetensors.torch.load_file(path)
            except (OSError, safetensors.SafetensorError):  # none is there, or damaged
                found = {"/".join(key): values for key, values in self._naive()}
                atomic_write(path, safetensors.torch.save(found))
        scores: dict[str, Scores] = {test: {} for test in self.data.split.tests}
        for key, values in found.items():
            test, method, metric = key.split("/")
            scores[test].setdefault(method, {})[metric] = values
        return scores

    def _naive(self) -> Iterator[tuple[tuple[str, str, str], Tensor]]:
        """(test set, method, metric) and (N,); of the true colours what is named."""
        target = Target(gray=self.config.model.gray)
        train = self.data.subset(None, self.data.split.train)
        predictors = evaluation.baselines(
            evaluation.mean_image(EpochLoader(train, EVALUATION_BATCH))
        )
        for test in self.data.split.tests:
            samples = self._samples(test, None)
            for method, predict in predictors.items():
                found = self._scored(predict, samples, target)
                yield from (((test, method, key), of) for key, of in found.items())
        if self.judge is not None:
            for method, asked in {**predictors, TRUTH: None}.items():
                named = self._named(self.judge, asked, None, target)
                yield (self.first, method, "named"), named

    # -------------------------------------------------------- what a classifier names

    @torch.no_grad()
    def _named(
        self,
        judge: Backbone,
        predict: Predictor | None,
        features: Features | None,
        target: Target,
    ) -> Tensor:
        """Whether the judge names the class of each coloured image rightly, (N,).

        Reference:
            Zhang, Isola & Efros (2016), Section 3.1, "semantic interpretability".
        """
        judge = judge.to(self.device)
        indices = self.data.split.tests[self.first][:MOST_JUDGED]
        groups = [self.data.packed.manifest.groups[i] for i in indices]
        truth = torch.tensor([_synsets()[group] for group in groups])
        answers = []
        for batch in EpochLoader(self.data.subset(features, indices), EVALUATION_BATCH):
            here = batch.to(self.device)
            rgb = images_to_float(here.images)  # (B, 3, S, S)
            if predict is not None:
                rgb = lab_to_rgb(predict_lab(predict, here, target))
            size = (JUDGE_SIZE, JUDGE_SIZE)
            seen = F.interpolate(rgb, size, mode="bilinear", antialias=True)
            logits = judge.net((seen - judge.mean) / judge.std)
            logits = logits[:, int(judge.spec.drop_background) :]  # (B, 1000)
            answers.append(logits.argmax(dim=1).cpu())
        return (torch.cat(answers) == truth).float()

    # --------------------------------------------------------------------- the errors

    @torch.no_grad()
    def _warnings(self, model: ColorizationModel, scores: Scores) -> tuple[str, ...]:
        """What is wrong with a trained model, if it learned nothing."""
        samples = self._samples(self.first, self.features)
        spread = np.linspace(0, len(samples) - 1, EVALUATION_BATCH, dtype=int)
        batch = samples.take(spread).to(self.device)  # images of many classes
        lab = predict_lab(model, batch, model.target)
        return evaluation.degenerate_model_warnings(scores, lab[:, 1:])

    def _breakdown(self, model: ColorizationModel) -> BreakdownRecord:
        """How pale a model's colours are on the first test set."""
        batches = EpochLoader(
            self._samples(self.first, self.features), EVALUATION_BATCH
        )
        found = evaluation.chroma_by_true_chroma(
            model, batches, self.device, model.target
        )
        return BreakdownRecord(
            pixels=found["pixels"].tolist(), predicted=rounded(found["predicted"])
        )


def _summaries(scores: dict[str, Tensor]) -> dict[str, Any]:
    """Metric -> summary; the judge has seen fewer images than the rest."""
    judged = {name: values for name, values in scores.items() if name == "named"}
    rest = {name: values for name, values in scores.items() if name != "named"}
    return summarize(rest) | summarize(judged)


@cache
def _synsets() -> dict[str, int]:
    """WordNet id -> number of the class of ImageNet-1k.

    Example:
        >>> _synsets()["n01440764"], _synsets()["n15075141"]
        (0, 999)
    """
    from timm.data.imagenet_info import ImageNetInfo

    names = ImageNetInfo("imagenet-1k").label_names()  # type: ignore[no-untyped-call]
    return {name: index for index, name in enumerate(names)}


def rounded(values: Tensor) -> list[Any]:
    """Five significant digits: enough for any statistic; None where there is none."""
    return [None if v != v else float(f"{v:.5g}") for v in values.tolist()]
