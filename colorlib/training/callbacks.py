"""What happens beside the steps: the curve, signals, checkpoints, several processes."""

import io
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any
from zipfile import ZipFile

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    ModelCheckpoint,
)
from torch import Tensor

from colorlib.errors import Interrupted, UserError
from colorlib.files import atomic_write
from colorlib.sampling import Batch

CONTENT = {"state_dict", "global_step", "loops", "pytorch-lightning_version"}
ASK_EVERY = 10  # steps between two questions of processes that train together
STOPPING = (signal.SIGINT, signal.SIGTERM)


def check_finite(values: Tensor, steps: int) -> None:
    """End a training that has diverged, before anything of it is saved.

    Args:
        values: A loss or weights.
        steps: Of the training so far.

    Raises:
        UserError: If they are not all finite.

    Example:
        >>> check_finite(torch.tensor([1.0, 2.0]), 7)
    """
    if not bool(values.isfinite().all()):
        raise UserError(
            f"found a loss or weights that are no numbers after {steps} steps, "
            "expected numbers: the training has diverged; lower learning_rate"
        )


class History(Callback):
    """The curve and the wall time of a training, kept in its checkpoint.

    Args:
        most_steps: A checkpoint of more is another training, and refused.

    Attributes:
        seconds: Wall time of all sessions up to the last checkpoint of each.
        sessions: How often the training was started.
        curve: `train` and `validation`, the mean loss of each finished epoch.
    """

    def __init__(self, most_steps: int) -> None:
        self.most_steps = most_steps
        self.seconds = 0.0
        self.sessions = 0
        self.curve: dict[str, list[float]] = {"train": [], "validation": []}
        self._loss_sum: Tensor | float = 0.0
        self._batches = 0
        self._clock = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Start the clock of this session."""
        self.sessions += 1
        self._clock = time.perf_counter()

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
            loss = float(trainer.strategy.reduce(mean, reduce_op="mean"))
            check_finite(torch.tensor(loss), trainer.global_step)
            self.curve["train"].append(loss)
            self._loss_sum, self._batches = 0.0, 0

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Keep the epoch's validation loss."""
        if trainer.is_last_batch:  # a bound within the epoch does not finish it
            loss = trainer.callback_metrics["val_loss"]
            check_finite(loss, trainer.global_step)
            self.curve["validation"].append(float(loss))

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
        """For the checkpoint, with the time up to now."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        return {
            "seconds": self.seconds,
            "sessions": self.sessions,
            "curve": {part: list(losses) for part, losses in self.curve.items()},
            "loss_sum": float(self._loss_sum),
            "batches": self._batches,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.seconds, self.sessions = state["seconds"], state["sessions"]
        self.curve = state["curve"]
        self._loss_sum, self._batches = state["loss_sum"], state["batches"]


class StopOnSignal(Checkpoint):
    """SIGINT and SIGTERM end the training after its step, saved; a second one at once.

    Lightning's own handling saves in the midst of a step, from which no training goes
    on to the same bits. It is called after all checkpoints, so that what is saved knows
    of them: Lightning calls those last that are `Checkpoint`.

    Args:
        path: Of the checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signum = 0
        self._before: dict[int, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Have the signals while the training runs, where Python allows it."""
        with suppress(ValueError):  # not the main thread
            self._before = {one: signal.signal(one, self._note) for one in STOPPING}
        try:
            yield
        finally:
            for one, handler in self._before.items():
                signal.signal(one, handler)

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Take them back from Lightning.

        Its handler asks the other processes before it returns, and they do not answer:
        they wait for the gradients of this one.
        """
        for one in self._before:
            signal.signal(one, self._note)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            raise Interrupted(signum, "give --resume to go on from the last checkpoint")
        self.signum = signum

    def on_train_batch_end(
        self, trainer: pl.Trainer, task: pl.LightningModule, *_: Any
    ) -> None:
        """Stop between two steps; an epoch's last one is followed by its validation."""
        if not (trainer.is_last_batch and trainer.enable_validation):
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Stop after the validation."""
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        """Save and end, if a signal came to this or to another of the processes."""
        steps = trainer.global_step
        if trainer.world_size > 1 and steps % ASK_EVERY and not trainer.is_last_batch:
            return
        if trainer.strategy.reduce_boolean_decision(bool(self.signum), all=False):
            trainer.save_checkpoint(self.path)
            raise Interrupted(
                self.signum or signal.SIGTERM,
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


class EpochCheckpoint(ModelCheckpoint):
    """Lightning's, for whole epochs or within them, at home in a folder that was moved.

    A bound that ends the training within an epoch does not finish that: one that was
    saved as finished would lack its other steps, once resumed. One that was saved
    before its validation would lack that.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, task: pl.LightningModule, *rest: Any
    ) -> None:
        """Save within an epoch."""
        if not trainer.is_last_batch:
            super().on_train_batch_end(trainer, task, *rest)

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Save after an epoch, if nothing is watched."""
        if trainer.is_last_batch:
            super().on_train_epoch_end(trainer, task)

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Save after an epoch's validation."""
        if trainer.is_last_batch:
            super().on_validation_end(trainer, task)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint, wherever that was written."""
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})


class EarlyStop(EarlyStopping):
    """Lightning's, for whole epochs only, and for trainings resumed after their end."""

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Look whether the loss has fallen."""
        if trainer.is_last_batch:
            super().on_validation_end(trainer, task)

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Stop before another epoch, if the patience is already used up."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def started_processes() -> tuple[int, int] | None:
    """Processes a machine, and machines, as `torchrun` or SLURM started them.

    Example:
        >>> started_processes() is None
        True
    """
    if TorchElasticEnvironment.detect():
        each = int(os.environ["LOCAL_WORLD_SIZE"])
        return each, int(os.environ["WORLD_SIZE"]) // each
    if SLURMEnvironment.detect():  # a job of one task need not say that it is one
        each = int(os.environ.get("SLURM_NTASKS_PER_NODE", 1))
        return each, int(os.environ.get("SLURM_NNODES", 1))
    return None


def is_rank_zero() -> bool:
    """Whether this process is the one that writes; a process alone is.

    Example:
        >>> is_rank_zero()
        True
    """
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]
