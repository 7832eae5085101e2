"""The packed cache: every image decoded once, at one size, in one mapped array.

    ImageSource ─ pack ─► images.u8, (N, S, S, 3) uint8, and manifest.json

A cache appears whole or not at all: it is made in a folder of its own and renamed. Of
several processes that want the same cache one makes it while the others wait.
"""

import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from colorlib.color import images_to_float, rgb_to_lab
from colorlib.data.sources import ImageSource, Rgb
from colorlib.errors import UserError
from colorlib.files import atomic_rename, atomic_write, file_lock, hash_of
from colorlib.images import PhotographError

FORMAT_VERSION = 2  # raise it when the same images would be packed otherwise
GRAY_AB = 5.0  # Lab units: Zhang et al. (2016) train on no image without |ab| above it
THREADS = min(16, os.cpu_count() or 2)  # that decode
AHEAD = 64  # images in memory at a time


@dataclass(frozen=True)
class Manifest:
    """What a packed cache holds, and what was left out of it.

    Attributes:
        source: `lfw`, `scenes`, ...
        size: Side S of the images, pixels.
        ids: Of the kept images, in order.
        groups: Their persons, classes or folders.
        sha256s: Hashes of their files.
        phashes: Perceptual hashes, 16 hexadecimal digits.
        grayscale: Ids of those dropped because they have no colour.
        unreadable: Id -> reason, of those that could not be read.
        left_out: Kind of file that is no image of the source -> how many.
    """

    source: str
    size: int
    ids: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    sha256s: list[str] = field(default_factory=list)
    phashes: list[str] = field(default_factory=list)
    grayscale: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @cached_property
    def manifest_hash(self) -> str:
        """Which images, in which order, at which size; not where they were."""
        content = (self.source, self.size, self.ids, self.groups, self.sha256s)
        return hash_of([self.format_version, *content])

    @property
    def content_hash(self) -> str:
        """Which images, in which order, at any size."""
        return hash_of([self.source, self.ids, self.sha256s])


@dataclass(frozen=True)
class PackedImages:
    """Images of one size, mapped from the cache.

    Attributes:
        images: (N, S, S, 3) uint8 sRGB, read-only.
        manifest: What they are.
    """

    images: np.memmap[Any, np.dtype[np.uint8]]
    manifest: Manifest

    def __len__(self) -> int:
        return len(self.images)


def pack(source: ImageSource, size: int, cache_root: Path) -> PackedImages:
    """Decode a source once, or find what an earlier call packed.

    Images without colour are dropped and counted: training on them teaches gray.
    Unreadable files are named and counted. Neither is fatal unless nothing is left.

    Args:
        source: Where the images come from.
        size: Side S of the packed squares, pixels.
        cache_root: The folder of caches.

    Raises:
        UserError: If no image is left, or the cache cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from colorlib.data import DataConfig, open_source
        >>> source = open_source(DataConfig(count=8), None, Path("unused"))
        >>> with TemporaryDirectory() as cache:
        ...     pack(source, 16, Path(cache)).images.shape
        (8, 16, 16, 3)
    """
    key = hash_of([FORMAT_VERSION, source.fingerprint])
    folder = cache_root / "packed" / f"{source.name}-{size}-{key[:16]}"
    try:
        with file_lock(folder.with_suffix(".lock")):
            packed = _open(folder)
            if packed is None:
                _write(source, size, folder)
                packed = _open(folder)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{folder}: the cache cannot be written: {reason}; make room for it, or "
            "give another cache_root (--cache-root)"
        ) from error
    assert packed is not None
    return packed


def _open(folder: Path) -> PackedImages | None:
    """Map a cache; None if there is none, or it is not what was written."""
    try:
        manifest = Manifest(**json.loads((folder / "manifest.json").read_bytes()))
        count = len(manifest.ids)
        shape = (count, manifest.size, manifest.size, 3)
        lists = (manifest.groups, manifest.sha256s, manifest.phashes)
        nbytes = (folder / "images.u8").stat().st_size
        if nbytes != math.prod(shape) or any(len(own) != count for own in lists):
            return None
        images = np.memmap(folder / "images.u8", np.uint8, "r", shape=shape)
    except (OSError, ValueError, TypeError):
        return None
    return PackedImages(images, manifest)


def _write(source: ImageSource, size: int, folder: Path) -> None:
    """Make the cache beside its place, then rename it there."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir()
    try:
        manifest = Manifest(source.name, size, left_out=source.left_out)
        with (part / "images.u8").open("wb") as file:
            title = f"packing {source.name} at {size} px"
            for index, loaded in decoded(source, range(len(source)), size, title):
                if (rgb := _kept(manifest, source, index, loaded)) is not None:
                    file.write(rgb.tobytes())
            file.flush()
            os.fsync(file.fileno())
        if not manifest.ids:
            raise UserError(_nothing_kept(manifest))
        text = json.dumps(asdict(manifest), indent=0)
        atomic_write(part / "manifest.json", text.encode())
        shutil.rmtree(folder, ignore_errors=True)  # one that was found damaged
        atomic_rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


Loaded = tuple[Rgb, str] | PhotographError


def decoded(
    source: ImageSource, indices: Sequence[int], size: int, title: str
) -> Iterator[tuple[int, Loaded]]:
    """Some images of a source, in the order asked for, decoded by several threads.

    Args:
        source: Where they come from.
        indices: Which.
        size: Side S of each, pixels.
        title: Of the progress bar, if this is a terminal.

    Yields:
        Index; and the image, (S, S, 3) uint8, with the SHA-256 of its file, or why it
        cannot be read.
    """

    def load(index: int) -> Loaded:
        try:
            return source.load(index, size)
        except PhotographError as error:
            return error

    console = Console(stderr=True)
    starts = range(0, len(indices), AHEAD)
    with ThreadPoolExecutor(THREADS) as threads:
        for start in track(
            starts, title, console=console, disable=not console.is_terminal
        ):
            block = indices[start : start + AHEAD]
            yield from zip(block, threads.map(load, block), strict=True)


def _kept(
    manifest: Manifest, source: ImageSource, index: int, loaded: Loaded
) -> Rgb | None:
    """The image, noted in the manifest; None if it is left out, which is noted too."""
    name = source.ids[index]
    if isinstance(loaded, PhotographError):
        manifest.unreadable[name] = loaded.reason
        return None
    rgb, sha256 = loaded
    if is_grayscale(rgb):
        manifest.grayscale.append(name)
        return None
    manifest.ids.append(name)
    manifest.groups.append(source.groups[index])
    manifest.sha256s.append(sha256)
    manifest.phashes.append(str(imagehash.phash(Image.fromarray(rgb))))
    return rgb


def _nothing_kept(manifest: Manifest) -> str:
    """Why a source is refused, and what to do."""
    first = next(iter(manifest.unreadable.items()), None)
    example = f", such as {first[0]} ({first[1]})" if first else ""
    return (
        f"{manifest.source}: found {len(manifest.grayscale)} images without colour and "
        f"{len(manifest.unreadable)} unreadable files{example}, expected colour images;"
        " some copies of this data are grayscale: get the original"
    )


def is_grayscale(rgb: NDArray[np.uint8]) -> bool:
    """Whether an image has no colour to learn from: all a and b within 5 of 0.

    Args:
        rgb: (H, W, 3) uint8 sRGB.

    Reference:
        Zhang, Isola & Efros (2016), the mask of gray images in their training code.

    Example:
        >>> is_grayscale(np.full((2, 2, 3), 90, np.uint8))
        True
    """
    for step in (8, 1):  # in most images a few pixels show the colour
        some = torch.from_numpy(rgb[None, ::step, ::step].copy())
        lab = rgb_to_lab(images_to_float(some))  # (1, 3, H / step, W / step)
        if bool((lab[:, 1:].abs() > GRAY_AB).any()):
            return False
    return True
