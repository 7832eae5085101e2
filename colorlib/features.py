"""Features on disk: each image goes once through each frozen network.

Training looks at every image many times, and three networks cost more than the model
that is trained. So their features are extracted once, in a pass over the images for
each network, into memory-mapped arrays::

    <cache>/features/<images>/<network>-<kind>-<hash>.npy

The names hold hashes of all that the features depend on. A file is there whole or not
at all: a pass that was killed starts again. Logits are what is stored; the softmax is
taken when a batch is read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colorlib.backbones import Backbone, StoredKind, concatenate_features, stored_kind
from colorlib.backbones.specs import FeatureKind
from colorlib.color import gray_from_L, images_to_float
from colorlib.data import ImageSource, Manifest
from colorlib.data.packed import decoded
from colorlib.data.splits import Indices
from colorlib.errors import UserError
from colorlib.files import atomic_file, cached, hash_of
from colorlib.images import PhotographError
from colorlib.targets import Gray, Target

Array = NDArray[np.floating[Any]]

FORMAT_VERSION = 3  # raise it when the same image would get other features
STORED = {"logits": "float32", "maps": "float16"}
BATCH = 32  # images at a time


@dataclass(frozen=True)
class Features:
    """The features of several networks, for every image of a packed data set.

    Attributes:
        arrays: One for each network, (N, 1000) or (N, C, 8, 8), mapped; rows of images
            that are in no part of the split are zero.
        kind: `softmax`, `logits` or `maps`.
    """

    arrays: tuple[Array, ...]
    kind: FeatureKind

    def take(self, rows: Indices) -> Tensor:
        """Read the features of some images.

        Args:
            rows: (B,), of the packed data set.

        Returns:
            (B, K, 1000) float32 of softmax or logits; or maps, (B, C, 8, 8), the
            channels of all networks concatenated.
        """
        each = [torch.from_numpy(array[rows]).float() for array in self.arrays]
        return concatenate_features(each, self.kind)

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers, or channels, of each network."""
        return tuple(array.shape[1] for array in self.arrays)

    def statistics(self, rows: Indices) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each network's features, over some images.

        See `colorlib.fusion.FeatureInput`. For softmax they are those of the logits.

        Args:
            rows: (M,), the training images.

        Returns:
            (K,) and (K,) float32, over images and channels.
        """
        sums = np.zeros((3, len(self.arrays)))  # count, sum, sum of squares
        for start in range(0, len(rows), BATCH):
            for k, array in enumerate(self.arrays):
                values = array[rows[start : start + BATCH]].astype(np.float64)
                sums[:, k] += values.size, values.sum(), np.square(values).sum()
        mean = sums[1] / sums[0]
        std = np.sqrt(np.maximum(sums[2] / sums[0] - mean**2, 1e-12))
        return torch.from_numpy(mean).float(), torch.from_numpy(std).float()


def compute_features(
    source: ImageSource,
    manifest: Manifest,
    rows: Indices,
    backbones: Sequence[Backbone],
    *,
    kind: FeatureKind,
    cache_root: Path,
    input_sizes: Sequence[int] | None = None,
    gray: Gray = "L",
    device: torch.device | str = "cpu",
) -> Features:
    """Extract the features of a packed data set, or find those extracted before.

    Args:
        source: Where the images come from.
        manifest: Which of them were packed, N.
        rows: (M,), which of these are wanted: those of the split's parts.
        backbones: K networks; moved to `device` if there is work for them.
        kind: `softmax`, `logits` or `maps`.
        cache_root: The folder of caches.
        input_sizes: What each network sees, pixels; by default that of its training.
        gray: What the networks see of an image, see `colorlib.targets.Target`.
        device: Where to compute.

    Raises:
        UserError: If an image is gone or changed, the cache cannot be written, or the
            features cannot be those of a working network.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from colorlib.backbones import load_backbone
        >>> from colorlib.data import DataConfig, open_source, pack
        >>> source = open_source(DataConfig(count=8))
        >>> backbones = [load_backbone("test_resnet.r160_in1k", "random")]
        >>> with TemporaryDirectory() as folder:
        ...     cache = Path(folder)
        ...     manifest = pack(source, 16, cache).manifest
        ...     features = compute_features(source, manifest, np.arange(3), backbones,
        ...         kind="maps", cache_root=cache, input_sizes=[96])
        >>> features.take(np.arange(2)).shape
        torch.Size([2, 96, 8, 8])
    """
    sizes = input_sizes or [backbone.spec.input_size for backbone in backbones]
    images = hash_of([manifest.content_hash, rows.tolist()])[:16]
    folder = cache_root / "features" / f"{manifest.source}-{images}"
    stored, count, arrays = stored_kind(kind), len(manifest.ids), []
    shown = max(sizes, default=0)
    batches = partial(_gray_batches, source, manifest, rows, shown, gray, device)
    for backbone, size in zip(backbones, sizes, strict=True):
        path = folder / _name(backbone, size, shown, stored, gray)
        find = partial(_mapped, path, count)
        make = partial(_extract, backbone, size, stored, batches, count)
        arrays.append(_checked(cached(path, find, make), path, rows))
    return Features(tuple(arrays), kind)


def _name(
    backbone: Backbone, size: int, shown: int, stored: StoredKind, gray: Gray
) -> str:
    """Which network with which weights, what it sees, and what is stored of it.

    A size below that of other networks is reduced from theirs.
    """
    spec = backbone.spec
    prepares = (spec.timm_name, spec.mean, spec.std, spec.interpolation, spec.tap)
    decides = [FORMAT_VERSION, prepares, backbone.weights_hash, stored, size, gray]
    decides += [shown] * (shown != size)
    return f"{spec.name}-{stored}-{hash_of(decides)[:16]}.npy"


def _mapped(path: Path, count: int) -> Array | None:
    """Map a file of features; None if there is none, or it is damaged."""
    try:
        array: Array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return array if len(array) == count else None


def _extract(
    backbone: Backbone,
    size: int,
    stored: StoredKind,
    batches: Callable[[], Iterator[tuple[Indices, Tensor]]],
    count: int,
    path: Path,
) -> None:
    """Send images through a network, into a new file of `count` rows of zeros.

    To a file object: on a full disk, a memory map ends the process with SIGBUS.
    """
    with atomic_file(path) as file, torch.no_grad():
        for rows, gray in batches():
            features = backbone.to(gray.device)(gray, stored, size)
            values = _stored(features.cpu().numpy(), stored, backbone.spec.name)
            if not file.tell():
                about = np.lib.format.header_data_from_array_1_0(values)
                about["shape"] = (count, *values.shape[1:])
                np.lib.format.write_array_header_1_0(file, about)
                start = file.tell()
                file.truncate(start + count * values[0].nbytes)
            for row, own in zip(rows.tolist(), values, strict=True):
                file.seek(start + row * own.nbytes)
                file.write(own.tobytes())


def _stored(values: Array, stored: StoredKind, name: str) -> Array:
    """Features as they are stored, if these numbers can be."""
    most = float(torch.finfo(getattr(torch, STORED[stored])).max)
    if (high := float(np.abs(values).max())) > most:
        raise UserError(
            f"{name}: found features up to {high:g}, expected at most {most:g}, which "
            f"{STORED[stored]} holds; check the network's weights"
        )
    return values.astype(STORED[stored], order="C")


def _gray_batches(
    source: ImageSource,
    manifest: Manifest,
    rows: Indices,
    size: int,
    gray: Gray,
    device: torch.device | str,
) -> Iterator[tuple[Indices, Tensor]]:
    """Some packed images again, (B,) rows and (B, 1, size, size) gray in [0, 1]."""
    index_of = {name: index for index, name in enumerate(source.ids)}
    names = [manifest.ids[row] for row in rows]
    for name in names:
        if name not in index_of:
            raise _another(manifest, name, "nothing")
    title = f"features of {manifest.source}"
    loaded = decoded(source, [index_of[name] for name in names], size, title)
    for start in range(0, len(rows), BATCH):
        batch, squares = rows[start : start + BATCH], []
        for row, found in zip(batch.tolist(), loaded, strict=False):
            if isinstance(found, PhotographError):
                raise _another(manifest, manifest.ids[row], found.reason)
            rgb, sha256 = found
            if sha256 != manifest.sha256s[row]:
                raise _another(manifest, manifest.ids[row], "another image")
            squares.append(rgb)
        images = torch.from_numpy(np.stack(squares)).to(device)  # (B, S, S, 3)
        L_norm, _ = Target(gray=gray).split(images_to_float(images))
        yield batch, gray_from_L(L_norm)  # (B, 1, S, S)


def _another(manifest: Manifest, name: str, found: str) -> UserError:
    """The error of an image that is not the one that was packed."""
    return UserError(
        f"{manifest.source}: found {found} in place of {name}, expected the image that "
        "was packed; restore it, or pack again"
    )


def _checked(array: Array, path: Path, rows: Indices) -> Array:
    """An array of features, if a working network can have made it."""
    some = np.stack([array[row].ravel() for row in rows[:: max(1, len(rows) // 64)]])
    if not np.isfinite(some).all():
        fault = "not finite"
    elif (np.ptp(some, axis=1) == 0).any():
        fault = "one number"
    elif len(some) > 1 and (np.ptp(some, axis=0) == 0).all():
        fault = "the same for every image"
    else:
        return array
    raise UserError(
        f"{path}: found features that are {fault}, expected those of a working network;"
        " check its weights, delete this file and try again"
    )
