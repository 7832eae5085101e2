"""The training loop, by Lightning.

`ColorizationTask` defines one step, `Session` what happens between steps.
"""

import logging
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback, RichProgressBar, Timer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from colorlib.color import images_to_float
from colorlib.model import ColorizationModel
from colorlib.sampling import EVALUATION_BATCH, Batch, EpochLoader, Samples
from colorlib.training import FitResult, Loss, TrainConfig
from colorlib.training.session import (
    AtomicCheckpoints,
    Session,
    check_finite,
    started_processes,
)


class ColorizationTask(pl.LightningModule):
    """What one step of training is: see the gray image, predict chroma, compare.

    Args:
        model: Its `outputs(L_norm, features)` are what the loss compares; its `target`
            divides images into what it sees and what it predicts.
        loss: Called as `loss(outputs, true_target_norm)`, returns a scalar.
        config: Learning rate, weight decay and schedule.
    """

    def __init__(
        self, model: ColorizationModel, loss: Loss, config: TrainConfig
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.config = config
        self._step = self.compare
        if config.compile_mode != "none":  # an epoch's last batch has another size
            mode = config.compile_mode
            self._step = torch.compile(self.compare, mode=mode, dynamic=False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch forward; Lightning does the backward pass and the update.

        What dropout drops is a function of (seed, step), as the order of the images is:
        a resumed training gives bitwise identical weights.
        """
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(gpus):
            here = (self.config.seed, self.global_step, self.global_rank)
            torch.manual_seed(int(np.random.SeedSequence(here).generate_state(1)[0]))
            loss: Tensor = self._step(batch)
        self.log("train_loss", loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same loss on images that are not trained on."""
        size = len(batch.images)
        self.log("val_loss", self.compare(batch), batch_size=size, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that are not finite; every process checks."""
        for weights in self.model.parameters():
            check_finite(weights, checkpoint["global_step"])

    def configure_optimizers(self) -> Any:
        """Adam, as the paper, and the schedule of its learning rate."""
        weights = list(self.model.parameters())
        adam = torch.optim.AdamW(
            weights,
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True if weights[0].is_cuda else None,
        )
        if self.config.schedule == "constant":
            return adam
        steps = int(self.trainer.estimated_stepping_batches)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        return [adam], [{"scheduler": falling, "interval": "step"}]

    def compare(self, batch: Batch) -> Tensor:
        """Images in, the loss of the predicted chroma out."""
        rgb = images_to_float(batch.images)  # (B, S, S, 3) uint8 -> (B, 3, S, S)
        L_norm, target_norm = self.model.target.split(rgb)  # (B, 1, S, S), (B, 2, S, S)
        return self.loss(self.model.outputs(L_norm, batch.features), target_norm)


def fit(
    model: ColorizationModel,
    loss: Loss,
    train: Samples,
    validation: Samples,
    folder: Path,
    config: TrainConfig,
    *,
    resume: bool = True,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train `model` in place and leave it with its best weights.

    The best weights are those after the epoch of the lowest validation loss. Several
    processes that call this with the same arguments train one model together.

    Args:
        model: Such as `build_model` makes: see `ColorizationTask`.
        loss: Called as `loss(outputs, true_target_norm)`.
        train: What to train on.
        validation: What chooses the weights; may be empty.
        folder: Where `last.ckpt`, `best.ckpt` and a CSV log a session go.
        config: Bounds, optimiser, device and precision.
        resume: Whether to go on from the folder's checkpoint, if it has one.
        progress: Whether to draw a progress bar.
        callbacks: Further Lightning callbacks.

    Returns:
        What was done, counted from the start of the first session.

    Raises:
        UserError: If the loss is no number any more; the checkpoint before stays. If
            the checkpoint cannot be read, or is that of a longer training.
        Interrupted: If SIGINT or SIGTERM came; the training is saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.to(memory_format=torch.channels_last)  # a third faster on a processor
    task, minutes = ColorizationTask(model, loss, config), config.max_minutes
    steps = config.max_epochs * -(-len(train) // config.batch_size)
    session = Session(folder, min(steps, config.max_steps or steps), config.patience)
    timer = Timer(None if minutes is None else timedelta(minutes=minutes))
    trainer = _trainer(folder, config, [*callbacks, timer, session], progress)
    if not resume and is_rank_zero():
        discard(folder)
    with warnings.catch_warnings():
        _ignore_known_warnings()
        trainer.fit(
            task,
            *_loaders(trainer, train, validation, config),
            ckpt_path=str(session.last) if resume and session.last.exists() else None,
            weights_only=True,  # a checkpoint is data: nothing in it is executed
        )
    if session.curve["validation"]:
        _load_weights(task, session.best)
    return FitResult(
        epochs=len(session.curve["train"]),
        steps=trainer.global_step,
        sessions=session.sessions,
        seconds=timer.time_elapsed(),
        curve=session.curve,
        best_epoch=session.best_epoch,
        processes=trainer.world_size,
    )


def discard(folder: Path) -> None:
    """Remove a training's checkpoints: another begins in their place."""
    for name in ("last.ckpt", "best.ckpt"):
        (folder / name).unlink(missing_ok=True)


def is_rank_zero() -> bool:
    """Whether this process is the one that writes; a process alone is.

    Example:
        >>> is_rank_zero()
        True
    """
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def _load_weights(task: ColorizationTask, path: Path) -> None:
    """Give the task the weights of a checkpoint."""
    saved = AtomicCheckpoints().load_checkpoint(path, task.device, weights_only=True)
    task.load_state_dict(saved["state_dict"])


def _loaders(
    trainer: pl.Trainer, train: Samples, validation: Samples, config: TrainConfig
) -> tuple[EpochLoader, EpochLoader | None]:
    """Loaders of this process's part of each batch; None without validation images."""
    device = trainer.strategy.root_device
    ranks = trainer.global_rank, trainer.world_size
    order = config.batch_size, config.seed, config.hflip
    shown = EpochLoader(train.cache_on_device(device), *order, *ranks)
    if not len(validation):
        return shown, None
    held = validation.cache_on_device(device)
    return shown, EpochLoader(held, EVALUATION_BATCH, None, False, *ranks)


def _trainer(
    folder: Path, config: TrainConfig, callbacks: list[Callback], progress: bool
) -> pl.Trainer:
    """Lightning's trainer with our options, its chatter turned down."""
    for part in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(part).setLevel(logging.WARNING)
    bar = [RichProgressBar(leave=True)] if progress else []
    devices, nodes = started_processes() or (config.devices, 1)
    return pl.Trainer(
        accelerator=config.accelerator,
        devices=devices,
        num_nodes=nodes,
        sync_batchnorm=True,  # over all processes; of one, nothing changes
        use_distributed_sampler=False,  # ours takes its rank's part of each batch
        precision=config.precision,
        deterministic=config.deterministic,
        max_epochs=config.max_epochs,
        max_steps=-1 if config.max_steps is None else config.max_steps,
        logger=CSVLogger(folder, name="csv", flush_logs_every_n_steps=50),
        log_every_n_steps=10,
        callbacks=[*callbacks, *bar],
        plugins=[AtomicCheckpoints()],
        enable_checkpointing=False,  # `Session` saves
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _ignore_known_warnings() -> None:
    """Warnings of Lightning that do not concern us, each with its reason."""
    for message in (
        ".*Experiment logs directory .* exists and is not empty.*",  # and append to it
        ".*does not have many workers.*",  # a batch is a slice of a memory map
        ".*GPU available but not used.*",  # the device is an option
        ".*have no .val_dataloader.. Skipping val loop.*",  # nothing to watch
        ".*is smaller than the logging interval.*",  # a short epoch logs its end
        ".*Grad strides do not match.*",  # of a 1x1 kernel; both name one layout
        ".*isinstance.treespec, LeafSpec.* is deprecated.*",  # theirs to mend
    ):
        warnings.filterwarnings("ignore", message=message)
