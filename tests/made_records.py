"""A record as a run would leave it, made of its scores."""

import numpy as np

from colorlib.metrics import summarize
from colorlib.training import FitResult
from companion.config import load_profile
from companion.provenance import this_hardware
from companion.records import DataRecord, ModelRecord, Record
from companion.studies import plan

SETTINGS = load_profile("smoke")
HARDWARE = this_hardware("cpu")


def made_record(per_image, seed=0, name="made", groups=None, **data):
    """A record of a model with these scores: test set -> metric -> one per image."""
    tests = {test: len(metrics["loss_eq1"]) for test, metrics in per_image.items()}
    kept = {t: {m: list(map(float, v)) for m, v in of.items()}
            for t, of in per_image.items()}  # fmt: skip
    return Record(
        name=name,
        identity="0" * 64,
        protocol="1",
        created="2026-01-01T00:00:00+00:00",
        commit="c" * 40,
        settings=SETTINGS.run("plain", seed).model_dump(mode="json"),
        data=DataRecord(
            **{
                "source": "scenes", "size": 32, "kept": 9, "grayscale": 0,
                "unreadable": 0, "duplicates": 0, "manifest_hash": "a",
                "split_hash": "b", "train": 5, "validation": 1, **data,
            },
            tests=tests,
        ),
        model=ModelRecord(backbones=(), parameters=10, weights_sha256="c"),
        training=FitResult(
            epochs=1, steps=1, sessions=1, seconds=1, best_epoch=1, processes=1,
            curve={"train": [1.0], "validation": [1.0]},
        ),
        per_image=kept,
        groups=groups or {},
        seconds={"training": 0.5},
        hardware=HARDWARE,
    )  # fmt: skip


EFFECT = {"none": 1.0, "softmax": 0.97, "logits": 0.93, "maps": 0.92}  # of the loss


def planned_runs(count=None):
    """The protocol's first runs, each with its effect, its test sets and its noise."""
    runs = [run for name in ("fusion", "networks") for run in plan(name, "protocol")]
    for run in list({run.name: run for run in runs}.values())[:count]:
        reading, _, number = run.condition.partition(", ")
        effect = EFFECT[reading] + {"one": 0.02, "two": 0.01}.get(number, 0)
        noise = np.random.default_rng([run.config.train.seed, len(run.condition)])
        yield run, effect, ["test"] if run.data == "lfw" else ["seen", "unseen"], noise


def scored_record(losses, psnr=None, **about):
    """A record with the summaries of a test set, beside two naive baselines."""
    losses = np.asarray(losses, float)
    own = {
        "loss_eq1": losses, "psnr_rgb": losses if psnr is None else psnr,
        "ciede2000": losses, "mse_ab_norm": losses, "rmse_ab_norm": losses**0.5,
        "mse_rgb": losses, "ssim_rgb": losses, "colourfulness": 1e-3 + 0 * losses,
    }  # fmt: skip
    naive = summarize(own | {"loss_eq1": 1.1 * losses, "psnr_rgb": 20 + losses})
    methods = ("per-pixel mean image", "no colour")
    scores = {"model": summarize(own), **dict.fromkeys(methods, naive)}
    record = made_record({"test": own}, **about)
    return record.model_copy(update={"scores": {"test": scores}})
