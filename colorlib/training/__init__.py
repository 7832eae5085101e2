"""Training: a model, a loss and samples in; trained weights and their curve out.

The caller builds the model, the loss and the samples; `colorlib.training.loop.fit` does
the rest. This file needs no Lightning, which takes longer to import than torch.

Reference:
    Section 4.2 (loss and optimiser) and Section 5.2 (learning rate, batch) of the
    paper.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from colorlib.bins import bin_prior, rebalancing
from colorlib.color import images_to_float, rgb_to_lab
from colorlib.losses import bin_cross_entropy, chroma_l1, chroma_mse
from colorlib.sampling import EVALUATION_BATCH, EpochLoader, Samples

Loss = Callable[[Tensor, Tensor], Tensor]
LossName = Literal["mse", "l1", "cross_entropy", "rebalanced"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TrainConfig:
    """How to train; the first bound that is reached ends it.

    Attributes:
        loss: `mse` is Eq. 1 of the paper; None leaves it to the model.
        batch_size: Images a step, of all processes together (Section 5.2: 20).
        learning_rate: Of Adam. The paper's "0.001μ" is read as 0.001.
        weight_decay: Decoupled, as AdamW; 0 is Adam, as the paper.
        schedule: `constant`, as the paper; or `cosine`: falling to 0 along half a wave
            of the cosine (Loshchilov & Hutter, 2017).
        max_epochs: Passes over the training images.
        max_steps: Updates of the weights; None for no bound.
        max_minutes: Wall time; None for no bound.
        patience: Epochs without a lower validation loss after which training ends;
            None for no such end.
        hflip: Whether half of the images are shown mirrored; not with feature maps.
        precision: As Lightning names it; the benchmarks say what pays where.
        compile_mode: `none`, or a mode of `torch.compile`.
        accelerator: `auto`, `cpu`, `cuda` or `mps`.
        devices: How many, each with a process of its own, or `auto`.
        deterministic: Whether to use deterministic operations only. On a CPU all
            operations used here are deterministic.
        seed: Of the initial weights and of the order of the images.
    """

    loss: LossName | None = None
    batch_size: PositiveInt = 20
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    max_epochs: PositiveInt = 1
    max_steps: PositiveInt | None = None
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    patience: PositiveInt | None = None
    hflip: bool = False
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    compile_mode: Literal["none", "default", "reduce-overhead"] = "none"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: PositiveInt | Literal["auto"] = "auto"
    deterministic: bool = False
    seed: NonNegativeInt = 0


@dataclass(frozen=True)
class FitResult:
    """What a training did, over all its sessions.

    Attributes:
        epochs: Passes that were finished.
        steps: Updates of the weights.
        sessions: How often it was started.
        seconds: Wall time.
        curve: `train` and `validation`, the mean loss of each epoch.
        best_epoch: After which the weights that are returned were saved, from 1: that
            of the lowest validation loss; the last one without validation images.
        processes: How many trained together in the last session.
    """

    epochs: int
    steps: int
    sessions: int
    seconds: float
    curve: dict[str, list[float]]
    best_epoch: int
    processes: int


def build_loss(name: LossName, train: Samples) -> Loss:
    """Choose a loss by its name.

    Args:
        name: `mse` and `l1` compare chroma; `cross_entropy` and `rebalanced` compare
            classes of colour.
        train: The training images, which tell how rare each colour is.

    Returns:
        Called as `loss(outputs, true_target_norm)`.
    """
    if name == "rebalanced":
        batches = EpochLoader(replace(train, features=None), EVALUATION_BATCH)
        labs = (rgb_to_lab(images_to_float(batch.images)) for batch in batches)
        weights = rebalancing(bin_prior(lab[:, 1:] for lab in labs))
        return partial(bin_cross_entropy, weights=weights)
    losses: dict[str, Loss] = {
        "mse": chroma_mse,
        "l1": chroma_l1,
        "cross_entropy": bin_cross_entropy,
    }
    return losses[name]
