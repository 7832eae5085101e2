"""Evaluation: scores of images in batches, beside scikit-image one by one."""

from collections.abc import Iterator

import torch

from benchmarks.measuring import race
from benchmarks.records import OURS, REFERENCE, Measurement
from benchmarks.reference.photographs import evaluate
from benchmarks.workload import Workload
from colorlib.evaluation import score_predictor


def evaluation(workload: Workload) -> Iterator[Measurement]:
    """Predict and score test images; ours gives fourteen scores, theirs four."""
    for size, count in ((32, 4),) if workload.quick else ((64, 16), (256, 2)):
        batch = workload.batch(count, size, backbones=0)
        model = workload.model("plain").eval()
        plain = workload.model("plain").eval().to(memory_format=torch.contiguous_format)
        images = batch.images.numpy()
        candidates = {
            OURS: lambda model=model, batch=batch: score_predictor(model, [batch]),
            REFERENCE: lambda plain=plain, images=images: evaluate(plain, images),
        }
        yield Measurement(
            benchmark="evaluation",
            case=f"predicting and scoring, {size} px",
            reference="scikit-image, one by one, fewer scores",
            images={OURS: count, REFERENCE: count},
            seconds=race(candidates, workload.few_rounds),
        )
