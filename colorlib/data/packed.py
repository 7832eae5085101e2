"""The packed cache: every image decoded once, at one size, in one mapped array.

ImageSource ─ pack ─► images.u8, (N, S, S, 3) uint8, and manifest.json
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
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
from colorlib.files import atomic_file, atomic_write, cached, hash_of
from colorlib.images import PhotographError

FORMAT_VERSION = 2  # raise it when the same images would be packed otherwise
GRAY_AB = 5.0  # Lab units: Zhang et al. (2016) train on no image without |ab| above it
THREADS = min(16, os.cpu_count() or 2)  # that decode
AHEAD = 64  # images in memory at a time

Loaded = tuple[Rgb, str] | PhotographError


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
        >>> source = open_source(DataConfig(count=8))
        >>> with TemporaryDirectory() as cache:
        ...     pack(source, 16, Path(cache)).images.shape
        (8, 16, 16, 3)
    """
    key = hash_of([FORMAT_VERSION, source.fingerprint])
    folder = cache_root / "packed" / f"{source.name}-{size}-{key[:16]}"
    return cached(folder, partial(_open, folder), partial(_write, source, size))


def _open(folder: Path) -> PackedImages | None:
    """Map a cache; None if there is none, or it is damaged."""
    try:
        manifest = Manifest(**json.loads((folder / "manifest.json").read_bytes()))
        shape = (len(manifest.ids), manifest.size, manifest.size, 3)
        images = np.memmap(folder / "images.u8", np.uint8, "r", shape=shape)
    except (OSError, ValueError, TypeError):
        return None
    return PackedImages(images, manifest)


def _write(source: ImageSource, size: int, folder: Path) -> None:
    """Pack a source into a new folder."""
    folder.mkdir()
    manifest = Manifest(source.name, size, left_out=source.left_out)
    title = f"packing {source.name} at {size} px"
    with atomic_file(folder / "images.u8") as file:
        for index, one in enumerate(decoded(source, range(len(source)), size, title)):
            if (rgb := _kept(manifest, source, index, one)) is not None:
                file.write(rgb.tobytes())
    if not manifest.ids:
        first = next(iter(manifest.unreadable.items()), None)
        example = f", such as {first[0]} ({first[1]})" if first else ""
        raise UserError(
            f"{source.name}: found {len(manifest.grayscale)} images without colour and "
            f"{len(manifest.unreadable)} unreadable files{example}, expected colour "
            "images; some copies of this data are grayscale: get the original"
        )
    text = json.dumps(asdict(manifest), indent=0)
    atomic_write(folder / "manifest.json", text.encode())


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


def decoded(
    source: ImageSource, indices: Sequence[int], size: int, title: str
) -> Iterator[Loaded]:
    """Some images of a source in the order asked for, decoded by several threads.

    Yields:
        The image, (size, size, 3) uint8, and the SHA-256 of its file; or why it cannot
        be read.
    """

    def load(index: int) -> Loaded:
        try:
            return source.load(index, size)
        except PhotographError as error:
            return error

    console, starts = Console(stderr=True), range(0, len(indices), AHEAD)
    hidden = not console.is_terminal
    with ThreadPoolExecutor(THREADS) as threads:
        for start in track(starts, title, console=console, disable=hidden):
            yield from threads.map(load, indices[start : start + AHEAD])


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
