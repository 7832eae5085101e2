"""Packed photographs in several files, read as one array.

One file of all photographs is simplest, and is what a data set of up to `SHARD`
photographs has. A larger one is cut into files of that many. They can lie on different
disks, each of several processes that train together reads its own, and a copy that
broke off is missing a file and not everything.

The public formats for this were considered. WebDataset keeps each photograph encoded in
a tar archive and reads archives from end to end, for disks and networks that are slow
at anything else; it shuffles within a buffer, so what a batch holds depends on the
number of readers. LitData keeps chunks and an index of its own, and fetches them from
an object store while it trains. Both decode in every epoch. Here a photograph is
decoded once and is then a slice of a mapped file: any order costs the same on a disk
without moving parts, and batches do not depend on the number of processes. Take
WebDataset or LitData where the photographs cannot be on such a disk.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from colorlib.files import CHECKED_BYTES, checksum_matches, synchronise, write_checksum

SHARD = 32_768  # photographs a file: 1.6 GB at 128 px
ONE_FILE = "images.u8"
ONE_OF_SEVERAL = "images-{:05d}.u8"

Mapped = np.memmap[Any, np.dtype[np.uint8]]


class ShardedImages:
    """Several arrays of photographs behind one index.

    Args:
        shards: Each (n, S, S, 3) uint8.

    Attributes:
        shape: (N, S, S, 3), of all together.

    Example:
        >>> parts = [np.zeros((2, 4, 4, 3), np.uint8), np.ones((1, 4, 4, 3), np.uint8)]
        >>> images = ShardedImages(parts)
        >>> len(images), images[1:].shape, images[[2, 0], 0, 0, 0].tolist()
        (3, (2, 4, 4, 3), [1, 0])
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shards: Sequence[NDArray[np.uint8]]) -> None:
        self.shards = shards
        self.starts = np.cumsum([0, *map(len, shards)])  # of each, and the end
        self.shape: tuple[int, ...] = (int(self.starts[-1]), *shards[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if isinstance(first, slice):
            first = np.arange(*first.indices(len(self)))
        rows = np.asarray(first)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"found index {first}, expected one of {len(self)}")
        images = self._rows(rows)
        picked: NDArray[np.uint8] = images[(slice(None),) * rows.ndim + tuple(rest)]
        return picked

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def _rows(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copies of the photographs at `rows`, (...), as (..., S, S, 3)."""
        images = np.empty((*rows.shape, *self.shape[1:]), np.uint8)
        shards = np.searchsorted(self.starts, rows, side="right") - 1
        for shard in np.unique(shards):
            here = shards == shard
            images[here] = self.shards[shard][rows[here] - self.starts[shard]]
        return images


Images = NDArray[np.uint8] | ShardedImages


class ShardWriter:
    """Writes photographs one behind the other, a new file after every so many.

    Args:
        folder: Of the files.
        shard: Photographs a file.
    """

    def __init__(self, folder: Path, shard: int) -> None:
        self.folder = folder
        self.shard = shard
        self.count = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def write(self, content: bytes) -> None:
        """Write one photograph."""
        index, place = divmod(self.count, self.shard)
        if place == 0:
            self._finish_file()
            path = self.folder / ONE_OF_SEVERAL.format(index)
            self._file = path.open("wb")
        assert self._file is not None
        self._file.write(content)
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._finish_file()
        if error is None and 0 < self.count <= self.shard:
            only = self.folder / ONE_OF_SEVERAL.format(0)
            only.rename(self.folder / ONE_FILE)
        for path in _files_in(self.folder):
            write_checksum(path)

    def _finish_file(self) -> None:
        """Have the disk keep what was written."""
        file, self._file = self._file, None
        if file is not None:
            with file:
                synchronise(file)


def open_images(folder: Path, count: int, size: int) -> Mapped | ShardedImages:
    """Map the files of a packed data set.

    Args:
        folder: Where they are.
        count: Photographs that they must hold together.
        size: Side S of the photographs, pixels.

    Raises:
        OSError: If there is no file.
        ValueError: If they hold more or less than that, or not what was packed.
    """
    paths = _files_in(folder)
    if not paths:
        raise FileNotFoundError(folder / ONE_FILE)
    for path in paths:
        if not checksum_matches(path, CHECKED_BYTES // len(paths)):
            raise ValueError(f"{path}: found other bytes than were packed")
    parts = [_map(path, size) for path in paths]
    images = parts[0] if paths[0].name == ONE_FILE else ShardedImages(parts)
    if len(images) != count:
        raise ValueError(f"{folder}: found {len(images)} photographs, not {count}")
    return images


def _files_in(folder: Path) -> list[Path]:
    """The files of a packed data set, in order."""
    several = sorted(folder.glob(ONE_OF_SEVERAL.replace("{:05d}", "*")))
    return [folder / ONE_FILE] if (folder / ONE_FILE).exists() else several


def _map(path: Path, size: int) -> Mapped:
    """One file as (n, S, S, 3) uint8, read-only."""
    count, rest = divmod(path.stat().st_size, size * size * 3)
    if rest:
        raise ValueError(f"{path}: found {rest} bytes behind the last photograph")
    return np.memmap(path, np.uint8, mode="r", shape=(count, size, size, 3))
