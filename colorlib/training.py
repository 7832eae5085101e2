"""Training: a model, a loss and batches in; trained weights and curves out.

Nothing is built here. The loop is Lightning's: it steps, logs, checkpoints and
resumes. What one step means is the whole lesson of `ColorizationTask`.

Reference:
    Section 4.2 (loss and optimiser) and Section 5.2 (learning rate, batch) of the
    paper.
"""

import io
import logging
import math
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import Strategy
from torch import Tensor, nn

from colorlib.checkpoints import SaveCheckpoint, WholeCheckpoints
from colorlib.color import images_to_float
from colorlib.errors import UserError
from colorlib.files import atomic_write
from colorlib.pace import (
    Compiled,
    Decision,
    Pace,
    Precision,
    Trial,
    decide,
    open_ways,
    try_way,
)
from colorlib.processes import started_processes, torch_device
from colorlib.sampling import Batch, Batches, Process
from colorlib.targets import PAPER, Target

Loss = Callable[[Tensor, Tensor], Tensor]
Schedule = Literal["constant", "cosine"]

LOG_EVERY = 10  # steps


class ColorizationTask(pl.LightningModule):
    """What one step of training is: see the gray image, guess the chroma, compare.

    Args:
        model: Its `outputs(L_norm, features)` are what the loss compares.
        loss: Called as `loss(outputs, true_target_norm)`, returns a scalar.
        learning_rate: Of Adam. The paper's "0.001μ" is read as 0.001.
        target: What of a photograph is seen, and what is to be predicted.
        schedule: `constant`, as the paper; or `cosine`: falling to 0 along half a wave
            of the cosine, so that the last steps settle (Loshchilov & Hutter, 2017).
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        learning_rate: float,
        target: Target = PAPER,
        schedule: Schedule = "constant",
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.target = target
        self.learning_rate = learning_rate
        self.schedule = schedule
        self._step = self._compare

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch forward; Lightning does the backward pass and the update."""
        loss = self.loss_of(batch)
        self.log("train_loss", self._to_log(loss.detach()))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same loss on photographs that are not trained on."""
        loss = self._compare(batch.images, batch.features) * batch.weight
        self.log("val_loss", loss, batch_size=batch.size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam, as the paper, and the schedule of its learning rate."""
        adam = self.adam()
        if self.schedule == "constant":
            return adam
        steps = int(self.trainer.estimated_stepping_batches)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        return [adam], [{"scheduler": falling, "interval": "step"}]

    def adam(self) -> torch.optim.Adam:
        """Adam; on a GPU all weights are updated by one kernel."""
        weights = list(self.model.parameters())
        fused = True if weights[0].is_cuda else None
        return torch.optim.Adam(weights, lr=self.learning_rate, fused=fused)

    def compile_step(self, compiled: Compiled) -> Self:
        """Let the steps of training be compiled, from RGB to the loss.

        Each size of a batch is compiled by itself: an epoch's last one may be smaller.
        """
        if compiled != "none":
            self._step = torch.compile(self._compare, mode=compiled, dynamic=False)
        return self

    def loss_of(self, batch: Batch) -> Tensor:
        """The loss of a batch that is trained on.

        Of several processes each sees its share of the batch. The mean of what they
        return is the loss of the batch, and that of their gradients its gradient.
        """
        return self._step(batch.images, batch.features) * batch.weight

    def _to_log(self, loss: Tensor) -> Tensor:
        """The loss of the whole batch, in the steps that Lightning logs.

        Processes wait for each other to know it, so it is not asked at every step.
        """
        if (self.trainer.global_step + 1) % LOG_EVERY:
            return loss
        whole: Tensor = self.trainer.strategy.reduce(loss.clone(), reduce_op="mean")
        return whole

    def _compare(self, images: Tensor, features: Tensor | None) -> Tensor:
        """Photographs in, the loss of the predicted chroma out."""
        rgb = images_to_float(images)  # (B, S, S, 3) uint8 -> (B, 3, S, S)
        L_norm, ab_norm = self.target.split(rgb)  # (B, 1, S, S), (B, 2, S, S)
        pred = self.model.outputs(L_norm, features)  # type: ignore[operator]
        return self.loss(pred, ab_norm)


@dataclass(frozen=True)
class FitOptions:
    """How long, where and how precisely to train; the first bound reached ends it.

    Attributes:
        max_epochs: Passes over the training photographs.
        max_steps: Updates of the weights; None for no bound.
        max_minutes: Wall time in minutes; None for no bound.
        learning_rate: Of Adam.
        target: What of a photograph is seen, and what is to be predicted.
        schedule: Of the learning rate: `constant` or `cosine`.
        precision: As Lightning names it: `32-true`, `bf16-mixed`, ...; or `auto`, see
            `colorlib.pace`.
        compiled: `none`, or a mode of `torch.compile`; or `auto`.
        accelerator: `auto`, `cpu`, `cuda` or `mps`.
        devices: How many, each with a process of its own, or `auto`; `torchrun` and
            SLURM decide it where they start the processes.
        deterministic: Whether operations that may give other bits each time are
            replaced or refused. On a processor there are none here.
        checkpoint_every: Steps between two checkpoints.
        checkpoint_share: Of the time that may go into them; some are left out for it.
        resume: Whether to go on from the folder's checkpoint, if it has one.
        progress: Whether to draw a progress bar.
    """

    max_epochs: int
    max_steps: int | None = None
    max_minutes: float | None = None
    learning_rate: float = 1e-3
    target: Target = PAPER
    schedule: Schedule = "constant"
    precision: str = "32-true"
    compiled: str = "none"
    accelerator: str = "auto"
    devices: int | str = "auto"
    deterministic: bool = False
    checkpoint_every: int = 200
    checkpoint_share: float = 0.05
    resume: bool = True
    progress: bool = True


class History(Callback):
    """What a training went through; kept in the checkpoint, so it survives a kill.

    Attributes:
        seconds: Wall time of all sessions up to the last checkpoint of each.
        sessions: How often the training was started.
        curve: `train` and `validation`, the mean loss of each finished epoch.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sessions = 0
        self.curve: dict[str, list[float]] = {"train": [], "validation": []}
        self._loss_sum: Tensor | float = 0.0
        self._seen = 0
        self._clock = time.perf_counter()
        self._strategy: Strategy | None = None

    def setup(self, trainer: pl.Trainer, task: pl.LightningModule, stage: str) -> None:
        """Remember who knows the other processes."""
        self._strategy = trainer.strategy

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
        """Add up the loss on the device; nothing waits for it."""
        self._loss_sum = self._loss_sum + outputs["loss"].detach() * batch.size
        self._seen += batch.size
        if trainer.is_last_batch:
            self.curve["train"].append(self._finite_loss_sum() / self._seen)
            self._loss_sum, self._seen = 0.0, 0

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Keep the epoch's loss on the photographs not trained on."""
        if not trainer.is_last_batch:
            return  # a bound was reached within the epoch: it is not finished
        self.curve["validation"].append(float(trainer.callback_metrics["val_loss"]))

    def tick(self) -> None:
        """Bring `seconds` up to now."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        self.tick()
        return {
            "seconds": self.seconds,
            "sessions": self.sessions,
            "curve": {part: list(losses) for part, losses in self.curve.items()},
            "loss_sum": self._finite_loss_sum(),
            "seen": self._seen,
        }

    def _finite_loss_sum(self) -> float:
        """The sum so far; a training that has diverged ends here, unsaved.

        Each process has a sum of its own; their mean is that of one process alone.
        """
        if self._strategy and isinstance(self._loss_sum, Tensor):
            total = self._loss_sum.clone()
            self._loss_sum = self._strategy.reduce(total, reduce_op="mean")
        loss_sum = float(self._loss_sum)
        if not math.isfinite(loss_sum):
            raise UserError(
                f"found a loss of {loss_sum} in epoch {len(self.curve['train'])}, "
                "expected a number: the training has diverged; lower learning_rate"
            )
        return loss_sum

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.seconds, self.sessions = state["seconds"], state["sessions"]
        self.curve = state["curve"]
        self._loss_sum, self._seen = state["loss_sum"], state["seen"]


class KeepSamples(Callback):
    """Predictions for a few photographs after each epoch, to watch them improve.

    An epoch ends with its validation, so there has to be one.

    Writes `samples/epoch_000.npy` and so on, (B, 2, S, S) float16 `ab_norm`, and once
    `samples/images.npy`, the photographs themselves.

    Args:
        batch: The photographs.
        folder: The training's folder.
    """

    def __init__(self, batch: Batch, folder: Path) -> None:
        self.batch = batch
        self.folder = folder / "samples"

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Keep the photographs, and what the untrained model makes of them."""
        if trainer.is_global_zero and trainer.global_step == 0:  # or they are there
            self._write("images.npy", self.batch.images)
            self._keep(task, 0)

    def on_validation_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Keep the finished epoch's predictions, before the checkpoint counts it."""
        if trainer.is_global_zero and trainer.is_last_batch:
            self._keep(task, trainer.current_epoch + 1)

    @torch.no_grad()
    def _keep(self, task: pl.LightningModule, epoch: int) -> None:
        """Predict the photographs and write the result; the model stays as it was."""
        assert isinstance(task, ColorizationTask)
        batch = self.batch.to(task.device)
        L_norm, _ = task.target.split(images_to_float(batch.images))
        learning = task.model.training
        task.model.eval()  # or its norms would learn from these photographs, too
        ab_norm = task.model(L_norm, batch.features)
        task.model.train(learning)
        self._write(f"epoch_{epoch:03d}.npy", ab_norm.half().cpu())

    def _write(self, name: str, values: Tensor) -> None:
        """Write an array, whole or not at all."""
        content = io.BytesIO()
        np.save(content, values.numpy())
        atomic_write(self.folder / name, content.getvalue())


@dataclass(frozen=True)
class FitResult:
    """What a training did, over all its sessions; `seconds` are wall time.

    `processes` are those of the last session; so are `pace` and the `trials` for it.
    """

    epochs: int
    steps: int
    sessions: int
    seconds: float
    curve: dict[str, list[float]]
    processes: int
    pace: Pace
    trials: tuple[Trial, ...]


def fit(
    model: nn.Module,
    loss: Loss,
    train_batches: Batches,
    val_batches: Batches | None,
    folder: Path,
    options: FitOptions,
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train `model` in place, going on from the folder's checkpoint if it has one.

    Several processes that call this, with the same arguments, train one model together.

    Args:
        model: Such as `build_model` makes: see `ColorizationTask`.
        loss: Called as `loss(outputs, true_target_norm)`.
        train_batches: Batches of one epoch, such as `ShuffledBatches`.
        val_batches: Batches to watch, or None.
        folder: Where `last.ckpt`, a CSV log a session and the TensorBoard log go.
        options: Bounds, device and precision.
        callbacks: Further Lightning callbacks.

    Returns:
        What was done, counted from the first session's start.

    Raises:
        UserError: If the loss is no number any more; the checkpoint before stays. If
            the checkpoint has more steps than the bounds allow. Or if several processes
            without GPUs were to normalise over batches.
        Interrupted: If SIGINT or SIGTERM came; the training is saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.to(memory_format=torch.channels_last)  # a third faster on a processor
    task = ColorizationTask(
        model, loss, options.learning_rate, options.target, options.schedule
    )
    decision = _decide(task, train_batches, folder, options)
    task.compile_step(decision.pace.compiled)
    history = History()
    save = SaveCheckpoint(
        folder / "last.ckpt",
        options.checkpoint_every,
        at_most=_bound(options, train_batches),
        share=options.checkpoint_share,
    )
    precision = decision.pace.precision
    trainer = _trainer(folder, options, precision, [history, *callbacks], save)
    process = Process(trainer.global_rank, trainer.world_size)
    device = trainer.strategy.root_device
    _check_normalisation(model, process, device)
    with warnings.catch_warnings(), closing(save):
        _ignore_known_warnings()
        trainer.fit(
            task,
            train_dataloaders=train_batches.shard_for_rank(process).to_device(device),
            val_dataloaders=val_batches.shard_for_rank(process)
            if val_batches
            else None,
            ckpt_path=str(save.path) if options.resume and save.path.exists() else None,
            weights_only=True,  # a checkpoint is data: nothing in it is executed
        )
    return FitResult(
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        sessions=history.sessions,
        seconds=history.seconds,
        curve=history.curve,
        processes=process.count,
        pace=decision.pace,
        trials=decision.trials,
    )


def discard(folder: Path) -> None:
    """Remove a training's checkpoint, logs and samples: another begins in its place.

    How to make a step stays decided. Other processes that will train along may be
    reading that at any time, and all have to make the same steps.

    Args:
        folder: Of a training with a checkpoint.
    """
    (folder / "last.ckpt").unlink()
    for part in ("csv", "tensorboard", "samples"):
        if (folder / part).exists():
            shutil.rmtree(folder / part)


def _decide(
    task: ColorizationTask, batches: Batches, folder: Path, options: FitOptions
) -> Decision:
    """How to make a step, where the options leave it open."""
    device = torch_device(options.accelerator)
    ways = open_ways(options.precision, options.compiled, device)
    if options.deterministic:
        ways = ways[:1]  # a clock decides otherwise each time

    size = -(-batches.batch_size // _processes(options, device))  # a process's share

    def attempt(pace: Pace) -> Trial:
        some = np.arange(min(size, len(batches.samples)))
        return try_way(task, batches.samples.take(some).to(device), device, pace)

    steps = _bound(options, batches)
    return decide(folder / "pace.json", ways, device, steps, attempt)


def _bound(options: FitOptions, batches: Batches) -> int:
    """Steps behind which a training ends, if its time is not up before."""
    return min(options.max_epochs * len(batches), options.max_steps or sys.maxsize)


def _processes(options: FitOptions, device: torch.device) -> int:
    """How many will train together."""
    here, machines = started_processes() or (options.devices, 1)
    if here == "auto":
        here = torch.cuda.device_count() if device.type == "cuda" else 1
    return int(here) * machines


def _check_normalisation(
    model: nn.Module, process: Process, device: torch.device
) -> None:
    """Refuse what would silently be another training than that of one process."""
    if process.count == 1 or device.type != "cpu":
        return
    if any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()):
        raise UserError(
            f"found batch normalisation and {process.count} processes without GPUs, "
            "expected one: each would normalise over its share of a batch, and torch "
            "joins their statistics on GPUs only; give `normalisation: none`"
        )


def _trainer(
    folder: Path,
    options: FitOptions,
    precision: Precision,
    callbacks: Sequence[Callback],
    save: SaveCheckpoint,
) -> pl.Trainer:
    """Lightning's trainer with our options, its chatter turned down."""
    for part in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(part).setLevel(logging.WARNING)
    minutes = options.max_minutes
    devices, machines = started_processes() or (options.devices, 1)
    bar = [RichProgressBar(leave=True)] if options.progress else []
    return pl.Trainer(
        accelerator=options.accelerator,
        devices=devices,
        num_nodes=machines,
        sync_batchnorm=True,  # over all processes; of one, nothing changes
        precision=precision,
        deterministic=options.deterministic,
        max_epochs=options.max_epochs,
        max_steps=-1 if options.max_steps is None else options.max_steps,
        max_time=None if minutes is None else timedelta(minutes=minutes),
        logger=[
            CSVLogger(folder, name="csv", flush_logs_every_n_steps=50),
            TensorBoardLogger(folder, name="", version="", sub_dir="tensorboard"),
        ],
        log_every_n_steps=LOG_EVERY,
        callbacks=[*callbacks, *bar, save],  # the checkpoint counts what is there
        plugins=[WholeCheckpoints()],
        enable_checkpointing=False,
        enable_progress_bar=options.progress,
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
