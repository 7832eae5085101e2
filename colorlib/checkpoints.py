"""Checkpoints of a training: when they are written, and that they can be trusted.

A checkpoint appears whole or not at all, is on the disk before it gets its name, and
is data only: nothing in it is executed when it is read.
"""

import io
import math
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback

from colorlib.errors import Interrupted, UserError
from colorlib.files import atomic_write

ASK_EVERY = 10  # steps, where several processes train
STOPPING = (signal.SIGINT, signal.SIGTERM)


class WholeCheckpoints(TorchCheckpointIO):
    """How Lightning writes and reads a checkpoint.

    Its own way writes to the machine's folder for temporary files, which may be on
    another disk, and copies from there: a kill in the middle leaves half a checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write it beside its place, synchronise it, and rename it there."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        atomic_write(Path(path), content.getvalue())

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """Read it.

        Raises:
            UserError: If it cannot be read: it was damaged, or is none of ours.
        """
        try:
            return super().load_checkpoint(path, *args, **options)
        except Exception as error:  # a damaged file makes torch raise almost anything
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise UserError(
                f"{path}: found a checkpoint that cannot be read ({reason}), expected "
                "that of an earlier session; give --restart to begin again"
            ) from error


class SaveCheckpoint(Callback):
    """Writes `last.ckpt` every so many steps, after each epoch, and at the end.

    But not so often that much of the time goes into it: on a GPU an epoch may take
    seconds, and a checkpoint of a hundred megabytes one of them.

    At each of these moments resuming gives the weights and the curve that an
    uninterrupted training has. The end of an epoch is saved behind its validation, or
    its validation loss would be lost.

    SIGINT and SIGTERM end the training behind the step, or the validation, in which
    they come: there it is saved. A second signal ends it at once.

    Args:
        path: Of the checkpoint; it appears whole or not at all.
        every: Steps between two of them.
        at_most: Steps that the training may have; one with more is not gone on with.
        share: Of the time that may go into them. The one at the end is always written.
    """

    def __init__(self, path: Path, every: int, at_most: int, share: float) -> None:
        self.path = path
        self.every = every
        self.at_most = at_most
        self.share = share
        self._rest_until = -math.inf  # on the clock of `time.perf_counter`
        self._signal = 0
        self._handlers: dict[signal.Signals, Any] = {}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, task: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse a training that is longer already than it is to be.

        Lightning would end it at once, and it would pass for the shorter one.
        """
        steps = checkpoint["global_step"]
        if steps > self.at_most:
            raise UserError(
                f"{self.path}: found a training of {steps} steps, expected at most the "
                f"{self.at_most} that max_epochs and max_steps allow; raise them to go "
                "on, or give --restart to begin again"
            )

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Take the signals over; Python gives them to its main thread only."""
        if threading.current_thread() is threading.main_thread():
            for one in STOPPING:
                self._handlers[one] = signal.signal(one, self._note)

    def close(self) -> None:
        """Whoever had the signals before the training has them again."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def on_train_batch_end(
        self, trainer: pl.Trainer, task: pl.LightningModule, *_: Any
    ) -> None:
        """Save where a bound or a signal ends the training, and now and then."""
        if trainer.is_last_batch and trainer.enable_validation:
            return
        self._save_or_go_on(trainer, due=trainer.global_step % self.every == 0)

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Save the finished epoch."""
        if trainer.is_last_batch:
            self._save_or_go_on(trainer, due=True)

    def _save_or_go_on(self, trainer: pl.Trainer, due: bool) -> None:
        """Save if the training ends here, or if it is time; a signal ends it."""
        stopped = self._stopped(trainer)
        due = due or trainer.is_last_batch
        if stopped or _ends(trainer) or (due and self._rested(trainer)):
            self._save(trainer)
            stopped = self._stopped(trainer)  # a signal may have come meanwhile
        if stopped:
            raise Interrupted(
                self._signal or signal.SIGTERM,
                f"the training is saved at step {trainer.global_step}, "
                "give --resume to go on",
            )

    def _save(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint, and see how long to wait until the next one."""
        start = time.perf_counter()
        trainer.save_checkpoint(self.path)
        end = time.perf_counter()
        self._rest_until = end + (1 / self.share - 1) * (end - start)

    def _rested(self, trainer: pl.Trainer) -> bool:
        """Whether another checkpoint may be written; all processes give one answer."""
        rested = time.perf_counter() >= self._rest_until
        return trainer.strategy.reduce_boolean_decision(rested)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        """The first signal waits for the step to end."""
        if self._signal:
            raise Interrupted(signum, "give --resume to go on from the last checkpoint")
        self._signal = signum

    def _stopped(self, trainer: pl.Trainer) -> bool:
        """Whether a signal came to this process, or to another that trains along.

        Several processes must ask each other, and wait; so only now and then.
        """
        steps = trainer.global_step
        if trainer.world_size > 1 and steps % ASK_EVERY and not trainer.is_last_batch:
            return False
        return trainer.strategy.reduce_boolean_decision(bool(self._signal), all=False)


def _ends(trainer: pl.Trainer) -> bool:
    """Whether a bound of the training is reached with this step."""
    epochs = trainer.current_epoch + trainer.is_last_batch
    return (
        trainer.should_stop
        or trainer.global_step == trainer.max_steps
        or epochs == trainer.max_epochs
    )
