"""A record as a run would leave it, made of its scores."""

import numpy as np
import pytest

from colorlib.metrics import summarize
from companion.config import load_profile
from companion.provenance import this_hardware
from companion.records import DataRecord, ModelRecord, Record, TrainingRecord


def made_record(per_image, seed=0, name="made", groups=None, summarized=True, **data):
    """A record whose model has these scores: test set -> metric -> one per image."""
    scores = {}
    tests = {test: len(metrics["loss_eq1"]) for test, metrics in per_image.items()}
    for test, metrics in per_image.items() if summarized else ():
        losses = np.asarray(metrics["loss_eq1"], float)
        rest = {
            "mse_ab_norm": losses, "mse_rgb": losses, "rmse_ab_norm": losses**0.5,
            "ssim_rgb": losses, "colourfulness": 1e-3 + 0 * losses,
        }  # fmt: skip
        model = {k: v for k, v in metrics.items() if k != "mean_image_loss"}
        naive = summarize({**rest, "loss_eq1": 1.1 * losses, "psnr_rgb": 20 + losses,
                           "ciede2000": losses})  # fmt: skip
        scores[test] = {
            "model": {**naive, **summarize({**rest, **model})},
            "per-pixel mean image": naive,
            "no colour": naive,
            "ground truth": summarize({"named": [1.0, 0.0, 1.0]}),
        }
    return Record(
        name=name,
        identity="0" * 64,
        protocol="1",
        created="2026-01-01T00:00:00+00:00",
        commit="c" * 40,
        settings=load_profile("smoke").run("plain", seed).model_dump(mode="json"),
        data=DataRecord(
            **{
                "source": "scenes", "size": 32, "kept": 9, "grayscale": 0,
                "unreadable": 0, "duplicates": 0, "manifest_hash": "a",
                "split_hash": "b", "train": 5, "validation": 1, **data,
            },
            tests=tests,
        ),
        model=ModelRecord(backbones=(), parameters=10, weights_sha256="c"),
        training=TrainingRecord(
            epochs=1, steps=1, sessions=1, seconds=1, best_epoch=1, processes=1,
            curve={"train": [1.0], "validation": [1.0]},
        ),
        scores=scores,
        per_image={t: {m: list(map(float, v)) for m, v in metrics.items()}
                   for t, metrics in per_image.items()},
        groups=groups or {},
        seconds={"training": 0.5},
        hardware=this_hardware("cpu"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def record_with():
    """Makes a record of given scores."""
    return made_record
