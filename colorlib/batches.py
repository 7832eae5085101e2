"""Images and class scores, handed out in batches whose order is a pure function.

What the n-th batch of an epoch holds depends on the seed and the epoch alone, never
on what was drawn before. A training that was killed in the middle of an epoch
therefore goes on with exactly the batches it would have seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Some of the images of a packed data set, with their class scores.

    Attributes:
        images: (M, S, S, 3) uint8 RGB, usually memory-mapped.
        class_scores: (M, K, 1000) float32 or what else was asked of the backbones,
            (M, ...); None for a model without.
        indices: (N,) which of the M images these samples are.
    """

    images: NDArray[np.uint8]
    class_scores: NDArray[np.floating[Any]] | None
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, positions: NDArray[np.int64]) -> "Batch":
        """Copy the samples at `positions` (0 to N - 1) out of the packed arrays."""
        rows = self.indices[positions]
        images = torch.from_numpy(self.images[rows])  # (B, S, S, 3)
        if self.class_scores is None:
            return Batch(images, None)
        scores = torch.from_numpy(self.class_scores[rows]).float()
        return Batch(images, scores)


@dataclass(frozen=True)
class Batch:
    """Images (B, S, S, 3) uint8 RGB, class scores (B, ...) float32 or None."""

    images: Tensor
    class_scores: Tensor | None

    def to(self, device: Any, non_blocking: bool = False) -> "Batch":
        """Copy to a device; the name and arguments are those Lightning looks for."""
        scores = self.class_scores
        if scores is not None:
            scores = scores.to(device, non_blocking=non_blocking)
        return Batch(self.images.to(device, non_blocking=non_blocking), scores)

    def mirrored(self, which: NDArray[np.bool_]) -> "Batch":
        """Left and right exchanged in some of the images, (B,); class scores stay."""
        chosen = torch.from_numpy(which)[:, None, None, None]  # (B, 1, 1, 1)
        images = torch.where(chosen, self.images.flip(2), self.images)
        return Batch(images, self.class_scores)


class EpochOrder:
    """The order of `count` samples in each epoch, shuffled by (seed, epoch).

    Example:
        >>> order = EpochOrder(5, seed=0)
        >>> order.set_epoch(3)
        >>> bool((order.positions() == order.positions()).all())
        True
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning when an epoch begins."""
        self.epoch = epoch

    def positions(self) -> NDArray[np.int64]:
        """The permutation of the current epoch, (count,)."""
        return np.random.default_rng((self.seed, self.epoch)).permutation(self.count)

    def coins(self) -> NDArray[np.bool_]:
        """One toss of a coin for each sample in the current epoch, (count,)."""
        return (
            np.random.default_rng((self.seed, self.epoch, 1)).random(self.count) < 0.5
        )


class ShuffledBatches:
    """Training batches; Lightning saves and restores the place within the epoch.

    The last, smaller batch of an epoch is kept: every sample is seen once an epoch.

    Args:
        samples: What to draw from.
        batch_size: Samples a batch.
        seed: Of the shuffling.
        mirror: Whether to show half of the images, drawn anew each epoch, mirrored.
    """

    def __init__(
        self, samples: Samples, batch_size: int, seed: int, mirror: bool = False
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.mirror = mirror
        self.sampler = EpochOrder(len(samples), seed)
        self.batches_done = 0

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        positions, coins = self.sampler.positions(), self.sampler.coins()
        first, self.batches_done = self.batches_done, 0
        for index in range(first, len(self)):
            start = index * self.batch_size
            self.batches_done = (index + 1) % len(self)
            chosen = positions[start : start + self.batch_size]
            batch = self.samples.take(chosen)
            yield batch.mirrored(coins[chosen]) if self.mirror else batch

    def state_dict(self) -> dict[str, int]:
        """How many batches of the current epoch were handed out."""
        return {"batches_done": self.batches_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on behind the batches already handed out."""
        self.batches_done = state["batches_done"]


class OrderedBatches:
    """All samples once, in their own order."""

    def __init__(self, samples: Samples, batch_size: int) -> None:
        self.samples = samples
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.samples)
        for start in range(0, count, self.batch_size):
            positions = np.arange(start, min(start + self.batch_size, count))
            yield self.samples.take(positions)
