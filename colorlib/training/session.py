"""A Lightning callback: learning curve, checkpoints, early stopping and signals."""

import io
import os
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any
from zipfile import ZipFile

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from colorlib.errors import Interrupted, UserError
from colorlib.files import atomic_write
from colorlib.sampling import Batch

SAVE_EVERY = 200  # steps between two checkpoints within an epoch
SIGNAL_CHECK_EVERY = 10  # steps between checks for a signal, with several processes
STOPPING = (signal.SIGINT, signal.SIGTERM)
CONTENT = {"state_dict", "global_step", "loops", "pytorch-lightning_version"}


class Session(Callback):
    """What happens between the steps: the curve, the checkpoints, and early ends.

    Checkpoints are saved after each epoch and every 200 steps. If a limit ends training
    within an epoch, that epoch does not count as finished, and the validation that
    Lightning then runs is ignored; otherwise a resumed training would skip the
    remaining steps. Lightning's own callbacks do not make this distinction.

    SIGINT and SIGTERM end the training after the current step, which is saved; a second
    one ends it at once. Lightning's own handling saves within a step, and a training
    resumed from there does not give bitwise identical weights.

    Args:
        folder: Of the checkpoints.
        most_steps: A checkpoint of more is another training, and refused.
        patience: Epochs without a lower validation loss until the end; None for none.

    Attributes:
        sessions: How often the training was started.
        curve: `train` and `validation`, the mean loss of each finished epoch.
    """

    def __init__(self, folder: Path, most_steps: int, patience: int | None) -> None:
        self.last, self.best = folder / "last.ckpt", folder / "best.ckpt"
        self.patience = patience
        self.most_steps = most_steps
        self.sessions = 0
        self.curve: dict[str, list[float]] = {"train": [], "validation": []}
        self._loss_sum: Tensor | float = 0.0
        self._batches = 0
        self._signum = 0

    @property
    def best_epoch(self) -> int:
        """From 1, that of the lowest validation loss; the last one without any."""
        losses = self.curve["validation"]
        return 1 + losses.index(min(losses)) if losses else len(self.curve["train"])

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Stop what is resumed with its patience used up, and listen to signals.

        Lightning's handler of signals, which this replaces until the end, asks the
        other processes before it returns, and they wait for the gradients of this one.
        """
        self.sessions += 1
        trainer.should_stop |= self._out_of_patience()
        with suppress(ValueError):  # not the main thread
            for one in STOPPING:
                signal.signal(one, self._note)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        task: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Add up the loss on the device; nothing waits for it within an epoch."""
        self._loss_sum = self._loss_sum + outputs["loss"].detach()
        self._batches += 1
        if trainer.is_last_batch:
            mean = torch.as_tensor(self._loss_sum) / self._batches
            self._add("train", trainer.strategy.reduce(mean, reduce_op="mean"), trainer)
            self._loss_sum, self._batches = 0.0, 0
            return
        if trainer.global_step % SAVE_EVERY == 0:
            trainer.save_checkpoint(self.last)
        self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Finish the epoch, if validation images are watched."""
        if trainer.is_last_batch:
            self._add("validation", trainer.callback_metrics["val_loss"], trainer)
            if self.best_epoch == len(self.curve["validation"]):
                trainer.save_checkpoint(self.best, weights_only=True)
            self._finish_epoch(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Finish the epoch, if none are."""
        if trainer.is_last_batch and not trainer.enable_validation:
            self._finish_epoch(trainer)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, task: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse a longer training: Lightning would take it for this one, done."""
        if checkpoint["global_step"] > self.most_steps:
            raise UserError(
                f"found a training of {checkpoint['global_step']} steps, expected at "
                f"most the {self.most_steps} of max_epochs and max_steps; raise these, "
                "or give --restart to begin again"
            )

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "sessions": self.sessions,
            "curve": {part: list(losses) for part, losses in self.curve.items()},
            "loss_sum": float(self._loss_sum),
            "batches": self._batches,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.sessions, self.curve = state["sessions"], state["curve"]
        self._loss_sum, self._batches = state["loss_sum"], state["batches"]

    def _add(self, part: str, loss: Tensor, trainer: pl.Trainer) -> None:
        """Continue the curve."""
        check_finite(loss, trainer.global_step)
        self.curve[part].append(float(loss))

    def _finish_epoch(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.last)
        trainer.should_stop |= self._out_of_patience()
        self._stop_if_asked(trainer)

    def _out_of_patience(self) -> bool:
        """Whether the validation loss has not fallen for long."""
        waited = len(self.curve["validation"]) - self.best_epoch
        return self.patience is not None and waited >= self.patience

    def _note(self, signum: int, frame: FrameType | None) -> None:
        """Remember a signal until the step is done."""
        if self._signum:
            raise Interrupted(signum, "give --resume to go on from the last checkpoint")
        self._signum = signum

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        """Save and end, if a signal came to this or to another of the processes."""
        steps = trainer.global_step
        between = steps % SIGNAL_CHECK_EVERY and not trainer.is_last_batch
        if trainer.world_size > 1 and between:
            return
        if trainer.strategy.reduce_boolean_decision(bool(self._signum), all=False):
            trainer.save_checkpoint(self.last)
            raise Interrupted(
                self._signum or signal.SIGTERM,
                f"the training is saved at step {steps}, give --resume to go on",
            )


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, and hold no code.

    Lightning writes to the machine's folder for temporary files, which may lie on
    another disk, and copies from there: a kill in between leaves half a checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write it beside its place and rename it."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        atomic_write(Path(path), content.getvalue())

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """Read it.

        Raises:
            UserError: If it cannot be read: it was damaged, or is none of ours.
        """
        try:
            with ZipFile(path) as file:
                if damaged := file.testzip():
                    raise ValueError(f"{damaged} in it has changed")  # torch reads on
            saved: dict[str, Any] = super().load_checkpoint(path, *args, **options)
            if missing := CONTENT - saved.keys():
                raise ValueError(f"it has no {', '.join(sorted(missing))}")
            return saved
        except Exception as error:  # a damaged file makes torch raise almost anything
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise UserError(
                f"{path}: found a checkpoint that cannot be read ({reason}), expected "
                "that of an earlier session; give --restart to begin again"
            ) from error


def check_finite(values: Tensor, steps: int) -> None:
    """End a training that has diverged, before anything of it is saved."""
    if not bool(values.isfinite().all()):
        raise UserError(
            f"found a loss or weights that are not finite after {steps} steps, "
            "expected finite numbers: the training has diverged; lower learning_rate"
        )


def started_processes() -> tuple[int, int] | None:
    """Processes a machine, and machines, as `torchrun` or SLURM started them."""
    if TorchElasticEnvironment.detect():
        each = int(os.environ["LOCAL_WORLD_SIZE"])
        return each, int(os.environ["WORLD_SIZE"]) // each
    if SLURMEnvironment.detect():  # a job of one task need not say that it is one
        each = int(os.environ.get("SLURM_NTASKS_PER_NODE", 1))
        return each, int(os.environ.get("SLURM_NNODES", 1))
    return None
