"""Images and class scores, handed out in batches whose order is a pure function.

What the n-th batch of an epoch holds depends on the seed and the epoch alone, never
on what was drawn before. A training that was killed in the middle of an epoch
therefore goes on with exactly the batches it would have seen.

Nor does it depend on how many processes train together. Each takes its share of every
batch, and all shares together are the batch that one process alone would see. Of a data
set packed in several files each process takes what lies in its own files, and an epoch
goes through all files at once, so that the shares of a batch are about equally large.

What a GPU trains on is copied to it once, if it fits. Else the next batch is made while
it works on the one before.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colorlib.data import SHARD, Images

COPIED = 1000  # samples at a time, on their way to a device
HELD_SHARE = 0.4  # of a GPU's free memory, for samples: copying them takes it twice


@dataclass(frozen=True)
class Samples:
    """Some of the images of a packed data set, with their class scores.

    Attributes:
        images: (M, S, S, 3) uint8 RGB, usually memory-mapped.
        features: (M, K, 1000) float32 or what else was asked of the backbones,
            (M, ...); None for a model without.
        indices: (N,) which of the M images these samples are.
        shard: How many images a file holds, if there are several files.
        held: All N as one batch, if a device holds them.
    """

    images: Images
    features: NDArray[np.floating[Any]] | None
    indices: NDArray[np.int64]
    shard: int = SHARD
    held: "Batch | None" = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def files(self) -> NDArray[np.int64]:
        """Which file each sample lies in, (N,), from 0."""
        return self.indices // self.shard

    def take(self, positions: NDArray[np.int64]) -> "Batch":
        """Copy the samples at `positions` (0 to N - 1) out of the packed arrays."""
        if self.held is not None:
            return self.held.rows(positions)
        rows = self.indices[positions]
        images = torch.from_numpy(self.images[rows])  # (B, S, S, 3)
        if self.features is None:
            return Batch(images, None)
        scores = torch.from_numpy(self.features[rows]).float()
        return Batch(images, scores)

    @property
    def nbytes(self) -> int:
        """Bytes of them all, as batches hold them."""
        each = int(np.prod(self.images.shape[1:]))
        if self.features is not None:
            each += 4 * int(np.prod(self.features.shape[1:]))
        return each * len(self)

    def cache_on_device(self, device: torch.device) -> "Samples":
        """The same samples, copied to a device: a step waits for no disk, no bus."""
        chunks = np.array_split(np.arange(len(self)), -(-len(self) // COPIED))
        held = joined([self.take(chunk).to(device) for chunk in chunks])
        return replace(self, held=held)


@dataclass(frozen=True)
class Batch:
    """Some samples: a whole batch, or one process's share of it.

    Attributes:
        images: (B, S, S, 3) uint8 RGB.
        features: (B, ...) float32, or None.
        weight: What the mean over these B counts, so that the mean over all processes
            is the mean over the whole batch.
        whole: Samples of the whole batch; None if these are all.
    """

    images: Tensor
    features: Tensor | None
    weight: float = 1.0
    whole: int | None = None

    @property
    def size(self) -> int:
        """Samples of the whole batch."""
        return len(self.images) if self.whole is None else self.whole

    def to(self, device: Any) -> "Batch":
        """Copy to a device; of pinned memory, nobody waits until that is done."""
        pinned = self.images.is_pinned()
        return self._with_each(lambda part: part.to(device, non_blocking=pinned))

    def pinned(self) -> "Batch":
        """In memory that a GPU can read on its own."""
        return self._with_each(Tensor.pin_memory)

    def rows(self, positions: NDArray[np.int64]) -> "Batch":
        """Some of the samples, (B,), of a batch that holds many."""
        chosen = torch.from_numpy(positions).to(self.images.device)
        return self._with_each(lambda part: part[chosen])

    def hflipped(self, which: NDArray[np.bool_]) -> "Batch":
        """Left and right exchanged in some of the images, (B,); class scores stay."""
        chosen = torch.from_numpy(which).to(self.images.device)
        chosen = chosen[:, None, None, None]  # (B, 1, 1, 1)
        images = torch.where(chosen, self.images.flip(2), self.images)
        return replace(self, images=images)

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same batch, its images and class scores changed alike."""
        scores = None if self.features is None else change(self.features)
        return replace(self, images=change(self.images), features=scores)


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    scores = [b.features for b in batches if b.features is not None]
    images = torch.cat([batch.images for batch in batches])
    return Batch(images, torch.cat(scores) if scores else None)


@dataclass(frozen=True)
class Process:
    """One of the processes that train together: the `rank`-th of `count`, from 0."""

    rank: int = 0
    count: int = 1


class Batches:
    """Samples, a batch at a time; of several processes each gets its share.

    Args:
        samples: What to take from.
        batch_size: Samples a batch, of all processes together.
    """

    def __init__(self, samples: Samples, batch_size: int) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.process = Process()
        self.pinned = False
        self.file_count = int(samples.files.max(initial=0)) + 1

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def shard_for_rank(self, process: Process) -> Self:
        """The same batches, but only one process's share of them."""
        shared = copy.copy(self)
        shared.process = process
        return shared

    def to_device(self, device: torch.device) -> Self:
        """The same batches, on the shortest way to the device that trains on them."""
        brought = copy.copy(self)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            brought.pinned = self.samples.nbytes > HELD_SHARE * free
            if not brought.pinned:
                brought.samples = self.samples.cache_on_device(device)
        return brought

    def share(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of a batch's positions, (B,), that are this process's.

        What lies in its own files, if there is a file for each process; else as many as
        any other process has.
        """
        rank, count = self.process.rank, self.process.count
        if self.file_count >= count > 1:
            owners = self.samples.files[positions] % count  # (B,)
            mine: NDArray[np.int64] = positions[owners == rank]
            return mine
        parts: list[NDArray[np.int64]] = np.array_split(positions, count)
        return parts[rank]

    def batch(
        self, positions: NDArray[np.int64], flip_mask: NDArray[np.bool_] | None = None
    ) -> Batch:
        """Copy this process's share of a batch.

        A process without a share gets a sample that counts nothing: all processes take
        part in every step.

        Args:
            positions: Of the whole batch, (B,).
            flip_mask: Which of all samples are mirrored, (N,); None for none.
        """
        mine = self.share(positions)
        shown = mine if len(mine) else positions[:1]
        batch = self.samples.take(shown)
        if flip_mask is not None:
            batch = batch.hflipped(flip_mask[shown])
        weight = self.process.count * len(mine) / len(positions)
        return replace(batch, weight=weight, whole=len(positions))

    def in_order(
        self,
        order: NDArray[np.int64],
        flip_mask: NDArray[np.bool_] | None = None,
        first: int = 0,
    ) -> Iterator[Batch]:
        """All batches of an epoch, (N,), from the `first` one on."""
        starts = range(first * self.batch_size, len(order), self.batch_size)
        batches = (
            self.batch(order[start : start + self.batch_size], flip_mask)
            for start in starts
        )
        return prefetch(batch.pinned() for batch in batches) if self.pinned else batches


class EpochSampler:
    """The order of some samples in each epoch, shuffled by (seed, epoch).

    Args:
        count: N samples.
        seed: Of the shuffling.
        files: Which file each lies in, (N,), if they are in several. Then each file is
            shuffled, and the epoch goes through all of them evenly.

    Example:
        >>> order = EpochSampler(5, seed=0)
        >>> order.set_epoch(3)
        >>> bool((order.positions() == order.positions()).all())
        True
    """

    def __init__(
        self, count: int, seed: int, files: NDArray[np.int64] | None = None
    ) -> None:
        self.count = count
        self.seed = seed
        self.files = files
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning when an epoch begins."""
        self.epoch = epoch

    def positions(self) -> NDArray[np.int64]:
        """The permutation of the current epoch, (count,)."""
        rng = np.random.default_rng((self.seed, self.epoch))
        shuffled = rng.permutation(self.count)
        return shuffled if self.files is None else _evenly(shuffled, self.files)

    def flip_mask(self) -> NDArray[np.bool_]:
        """One toss of a coin for each sample in the current epoch, (count,)."""
        return (
            np.random.default_rng((self.seed, self.epoch, 1)).random(self.count) < 0.5
        )


def _evenly(shuffled: NDArray[np.int64], files: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples in an order, (N,), brought into one that takes turns between files.

    Of a file with n samples the k-th comes k / n of the way through the epoch. So a
    process that owns every third file owns a third of each batch, give or take a few.
    """
    in_file = files[shuffled]  # (N,)
    by_file = shuffled[np.argsort(in_file, kind="stable")]  # file after file
    sizes = np.bincount(in_file)  # (F,)
    starts = np.cumsum(sizes) - sizes
    file = np.repeat(np.arange(len(sizes)), sizes)  # (N,), of by_file
    turn = np.arange(len(shuffled)) - starts[file] + (file + 0.5) / len(sizes)
    return by_file[np.argsort(turn / sizes[file], kind="stable")]


class ShuffledBatches(Batches):
    """Training batches; Lightning saves and restores the place within the epoch.

    The last, smaller batch of an epoch is kept: every sample is seen once an epoch.

    Args:
        samples: What to draw from.
        batch_size: Samples a batch, of all processes together.
        seed: Of the shuffling.
        hflip: Whether to show half of the images, drawn anew each epoch, mirrored.
    """

    def __init__(
        self, samples: Samples, batch_size: int, seed: int, hflip: bool = False
    ) -> None:
        super().__init__(samples, batch_size)
        self.hflip = hflip
        files = samples.files if self.file_count > 1 else None
        self.sampler = EpochSampler(len(samples), seed, files)
        self.batches_done = 0

    def __iter__(self) -> Iterator[Batch]:
        positions = self.sampler.positions()
        flip_mask = self.sampler.flip_mask() if self.hflip else None
        first, self.batches_done = self.batches_done, 0
        for index, batch in enumerate(
            self.in_order(positions, flip_mask, first), first
        ):
            self.batches_done = (index + 1) % len(self)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """How many batches of the current epoch were handed out."""
        return {"batches_done": self.batches_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on behind the batches already handed out."""
        self.batches_done = state["batches_done"]


class OrderedBatches(Batches):
    """All samples once, in their own order; shared, through all files evenly."""

    def __iter__(self) -> Iterator[Batch]:
        order = np.arange(len(self.samples))
        if self.process.count > 1 and self.file_count > 1:
            order = _evenly(order, self.samples.files)
        return self.in_order(order)


def prefetch(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches; each is made while the one before it is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch
