"""What two processes train together for `test_processes.py`; `torchrun` starts it."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from colorlib.errors import Interrupted, UserError
from colorlib.losses import chroma_mse
from colorlib.model import build_model
from colorlib.sampling import Samples
from colorlib.training import TrainConfig
from colorlib.training.loop import fit
from companion.builders import Folders
from companion.config import load_profile
from companion.pipeline import run_model

COUNT, BATCH, EPOCHS = 22, 4, 3  # six steps an epoch, the last one of two images
STOPPED = 8  # steps: within the second epoch


class Seen(Callback):
    """Which images were shown in each epoch; and a signal at some step."""

    def __init__(self, signal_at):
        self.epochs, self.signal_at = [[] for _ in range(EPOCHS)], signal_at

    def on_train_batch_start(self, trainer, task, batch, index):
        self.epochs[trainer.current_epoch] += batch.images[:, 0, 0, 0].tolist()
        if trainer.global_step == self.signal_at and trainer.global_rank == 1:
            signal.raise_signal(signal.SIGTERM)


def samples(count):
    """Images whose colour follows their lightness; two corners hold the number."""
    light = np.random.default_rng(0).uniform(0.2, 1, (count, 16, 16, 1))
    images = (255 * light * np.array([1.0, 0.7, 0.3])).astype(np.uint8)
    images[:, 0, [0, -1], 0] = np.arange(count)[:, None]
    return Samples(images, None, np.arange(count))


def train(folder, *, count=COUNT, loss=chroma_mse, signal_at=None, **options):
    """Train the same small network whoever takes part; what came of it."""
    torch.manual_seed(0)
    model = build_model("plain", width=0.1)
    seen, shown = Seen(signal_at), samples(count)
    config = TrainConfig(
        batch_size=BATCH, max_epochs=EPOCHS, hflip=True, accelerator="cpu", **options
    )
    try:
        result = fit(model, loss, shown, shown, folder, config, callbacks=[seen])
    except (UserError, Interrupted) as error:
        return str(error)
    weights = torch.cat([value.flatten() for value in model.state_dict().values()])
    return {
        "curve": result.curve,
        "steps": result.steps,
        "processes": result.processes,
        "seen": seen.epochs,
        "weights": weights.tolist(),
    }


def broken_on_one(outputs, true_target_norm):
    """A loss that is no number, but in one process only."""
    factor = float("nan") if os.environ["RANK"] == "1" else 1.0
    return factor * chroma_mse(outputs, true_target_norm)


def record(folder):
    """Train and score a small run, from its images to its record."""
    config = load_profile("smoke", **{"train.batch_size": 8}).run("plain")
    folders = Folders(None, None, folder / "cache", folder / "runs")
    return json.loads(run_model(config, folders).model_dump_json())


def main():
    """Train in every way the tests ask about; each process writes what it saw."""
    root = Path(sys.argv[1])
    made = {
        "whole": train(root / "whole"),
        "one, then two": train(root / "one, then two"),
        "two, then one": train(root / "two, then one", max_steps=STOPPED),
        "stopped": train(root / "stopped", signal_at=2),
        "odd": train(root / "odd", count=COUNT - 1),
        "diverged": train(root / "diverged", loss=broken_on_one),
        "record": record(root / "run"),
    }
    (root / f"{os.environ['RANK']}.json").write_text(json.dumps(made))


if __name__ == "__main__":
    main()
