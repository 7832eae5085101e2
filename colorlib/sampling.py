"""Images and features in batches whose order is a function of (seed, epoch).

What the n-th batch of an epoch holds never depends on what was drawn before. Training
that was killed in the middle of an epoch therefore goes on with exactly the batches
that it would have seen. With R processes, process r takes images r, r + R, r + 2R, ...
of every batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from colorlib.data.splits import Indices
from colorlib.features import Features

EVALUATION_BATCH = 80  # samples at a time where nothing is learned
HELD_FRACTION = 0.4  # of a GPU's free memory that samples may take


class Batch(NamedTuple):
    """Some samples.

    Attributes:
        images: (B, S, S, 3) uint8 RGB.
        features: (B, ...) float32, see `Features.take`; None without networks.
    """

    images: Tensor
    features: Tensor | None

    def to(self, device: torch.device | str) -> "Batch":
        """Copy to a device."""
        features = None if self.features is None else self.features.to(device)
        return Batch(self.images.to(device), features)


class BatchIndices(NamedTuple):
    """Which samples make a batch, (B,), and which of their images are mirrored."""

    positions: Indices
    flip_mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Samples(Dataset[Batch]):
    """Some of the images of a packed data set, with their features.

    Attributes:
        images: (N, S, S, 3) uint8 RGB, usually mapped.
        features: Of the same N images, or None.
        indices: (M,), which of the images these samples are.
        cached: All M as one batch on a device, if it holds them.
    """

    images: NDArray[np.uint8]
    features: Features | None
    indices: Indices
    cached: Batch | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, wanted: BatchIndices) -> Batch:
        batch = self.take(wanted.positions)
        if not wanted.flip_mask.any():
            return batch
        chosen = torch.from_numpy(wanted.flip_mask).to(batch.images.device)
        flipped = batch.images.flip(2)  # (B, S, S, 3), left to right
        images = torch.where(chosen[:, None, None, None], flipped, batch.images)
        return Batch(images, batch.features)

    def take(self, positions: Indices) -> Batch:
        """Copy the samples at `positions`, (B,), out of the arrays."""
        if self.cached is not None:
            images, features = self.cached
            chosen = torch.from_numpy(positions).to(images.device)
            return Batch(images[chosen], None if features is None else features[chosen])
        rows = self.indices[positions]
        features = None if self.features is None else self.features.take(rows)
        return Batch(torch.from_numpy(self.images[rows]), features)

    def cache_on_device(self, device: torch.device) -> "Samples":
        """Copy the samples to the GPU if they fit; then no step waits for the disk."""
        if device.type != "cuda" or not len(self):
            return self
        one = self.take(np.zeros(1, np.int64))
        nbytes = len(self) * sum(part.nbytes for part in one if part is not None)
        if nbytes > HELD_FRACTION * torch.cuda.mem_get_info(device)[0]:
            return self
        chunks = np.array_split(np.arange(len(self)), 64)
        parts = [self.take(chunk).to(device) for chunk in chunks]
        images = torch.cat([part.images for part in parts])
        each = [part.features for part in parts if part.features is not None]
        return replace(self, cached=Batch(images, torch.cat(each) if each else None))


@dataclass(eq=False)
class EpochSampler(Sampler[BatchIndices]):
    """The batches of each epoch; the first attributes are those of `EpochLoader`."""

    count: int
    batch_size: int
    seed: int | None = None
    hflip: bool = False
    rank: int = 0
    world_size: int = 1
    epoch: int = 0
    start: int = 0  # the batch that the next epoch begins with, after a resume
    done: int = 0  # batches of this epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning when an epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[BatchIndices]:
        order, flip_mask = np.arange(self.count), np.zeros(self.count, bool)
        if self.seed is not None:
            rng = np.random.default_rng((self.seed, self.epoch))
            order = rng.permutation(self.count)
            if self.hflip:
                flip_mask = rng.random(self.count) < 0.5
        first, self.start = self.start, 0
        for batch in range(first, len(self)):
            whole = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            each = -(-len(whole) // self.world_size)
            even = np.resize(whole, each * self.world_size)  # some may be in it twice
            mine = even[self.rank :: self.world_size]
            self.done = (batch + 1) % len(self)
            yield BatchIndices(mine, flip_mask[mine])


class EpochLoader(DataLoader[Batch]):
    """Batches of samples, shuffled by (seed, epoch).

    Lightning saves and restores its place within the epoch.

    Args:
        samples: What to load.
        batch_size: Samples a batch, of all processes together; the last one is smaller.
        seed: Of the shuffling; None for the samples' own order.
        hflip: Whether half of the images, drawn anew each epoch, are mirrored.
        rank: Which of the processes this is.
        world_size: How many processes train together.

    Example:
        >>> images = np.zeros((5, 8, 8, 3), np.uint8)
        >>> loader = EpochLoader(Samples(images, None, np.arange(5)), 2, seed=0)
        >>> [len(batch.images) for batch in loader]
        [2, 2, 1]
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        seed: int | None = None,
        hflip: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        sampler = EpochSampler(len(samples), batch_size, seed, hflip, rank, world_size)
        super().__init__(samples, batch_size=None, sampler=sampler)
        self.epoch_sampler = sampler

    def state_dict(self) -> dict[str, Any]:
        """How many batches of the current epoch are done."""
        return {"batches_done": self.epoch_sampler.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that are done."""
        self.epoch_sampler.start = state["batches_done"]
