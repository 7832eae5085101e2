"""What two processes train together for `test_processes.py`; `torchrun` starts it."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from colorlib.data import ShardedImages
from colorlib.errors import UserError
from colorlib.losses import chroma_mse
from colorlib.model import build_model
from colorlib.sampling import OrderedBatches, Samples, ShuffledBatches
from colorlib.training import FitOptions, KeepSamples, fit

COUNT, BATCH, EPOCHS = 21, 5, 3  # the last batch is one photograph: a share for one
STOPPED = 7  # steps: within the second epoch
SHARD = 5  # photographs a file, where there are five files, the last of one photograph


class Seen(Callback):
    """Which photographs were shown in each epoch, and counted."""

    def __init__(self):
        self.epochs = [[] for _ in range(EPOCHS)]

    def on_train_batch_start(self, trainer, task, batch, index):
        if batch.weight:
            self.epochs[trainer.current_epoch] += batch.images[:, 0, 0, 0].tolist()


def samples(shard=COUNT):
    """Images whose colour follows their lightness; two corners hold the number."""
    light = np.random.default_rng(0).uniform(0.2, 1, (COUNT, 16, 16, 1))
    images = (255 * light * np.array([1.0, 0.7, 0.3])).astype(np.uint8)
    images[:, 0, [0, -1], 0] = np.arange(COUNT)[:, None]
    files = ShardedImages([images[i : i + shard] for i in range(0, COUNT, shard)])
    return Samples(files, None, np.arange(COUNT), shard)


def train(
    folder, *, shard=COUNT, loss=chroma_mse, max_steps=None, normalisation="none"
):
    """Train the same small network whoever takes part; what came of it."""
    torch.manual_seed(0)
    model = build_model("plain", width=0.1, normalisation=normalisation)
    told, seen = samples(shard), Seen()
    keep = KeepSamples(told.take(np.arange(2)), folder)
    options = FitOptions(
        max_epochs=EPOCHS, max_steps=max_steps, accelerator="cpu", progress=False
    )
    batches = ShuffledBatches(told, BATCH, seed=0, mirror=True)
    watched = OrderedBatches(told, 8)
    result = fit(model, loss, batches, watched, folder, options, [seen, keep])
    weights = torch.cat([value.flatten() for value in model.state_dict().values()])
    return {
        "curve": result.curve,
        "steps": result.steps,
        "processes": result.processes,
        "seen": seen.epochs,
        "weights": weights.tolist(),
    }


def complaint(folder, **options):
    """What is said of a training that cannot be."""
    try:
        train(folder, **options)
    except UserError as error:
        return str(error)
    return "nothing"


def broken_on_one(outputs, true_target_norm):
    """A loss that is no number, but in one process only."""
    factor = float("nan") if os.environ["RANK"] == "1" else 1.0
    return factor * chroma_mse(outputs, true_target_norm)


def main():
    """Train in every way the tests ask about; each process writes what it saw."""
    root = Path(sys.argv[1])
    told = {
        "whole": train(root / "whole"),
        "one, then two": train(root / "one, then two"),
        "two, then one": train(root / "two, then one", max_steps=STOPPED),
        "files": train(root / "files", shard=SHARD),
        "normalised": complaint(root / "normalised", normalisation="batch"),
        "diverged": complaint(root / "diverged", loss=broken_on_one),
    }
    (root / f"{os.environ['RANK']}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
