"""The packed cache: every photograph decoded once, at one size, in mapped files.

A cache appears whole or not at all: it is made in a folder of its own, synchronised
to the disk, and renamed. Of several processes that want the same cache one makes it
while the others wait.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from colorlib.color import images_to_float, rgb_to_lab
from colorlib.data.manifest import FORMAT_VERSION, Manifest
from colorlib.data.shards import (
    SHARD,
    Mapped,
    ShardedImages,
    ShardWriter,
    open_images,
)
from colorlib.data.sources import Reading, Source
from colorlib.errors import UserError
from colorlib.files import (
    atomic_rename,
    atomic_write,
    checksum_matches,
    file_lock,
    write_checksum,
)

GRAY_AB = 5.0  # Lab units: Zhang et al. (2016) train on no image without |ab| above it
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class PackedImages:
    """Photographs of one size, mapped from the cache.

    Attributes:
        images: (N, S, S, 3) uint8 sRGB, read-only; of one file or of several.
        manifest: What they are.
    """

    images: Mapped | ShardedImages
    manifest: Manifest

    @property
    def ids(self) -> list[str]:
        """N names."""
        return self.manifest.ids

    @property
    def groups(self) -> list[str]:
        """N persons, classes or folders."""
        return self.manifest.groups


def pack(
    source: Source,
    size: int,
    cache_root: Path,
    progress: bool | None = None,
    shard: int = SHARD,
) -> PackedImages:
    """Decode a source once, or find what an earlier call packed.

    Grayscale photographs are dropped and counted: training on them teaches gray.
    Unreadable files are named and counted. Neither is fatal unless nothing is left.

    Args:
        source: Where the photographs come from.
        size: Side S of the packed squares, pixels.
        cache_root: The folder of caches.
        progress: Whether to draw a progress bar; None to do so on a terminal.
        shard: Photographs a file, if it is made now.

    Returns:
        The packed photographs.

    Raises:
        UserError: If no photograph is left, or the cache cannot be written.

    Example:
        >>> from colorlib.data import open_source
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as cache:
        ...     pack(open_source("scenes", count=3), 16, Path(cache)).images.shape
        (3, 16, 16, 3)
    """
    key = hashlib.sha256(f"{FORMAT_VERSION} {source.fingerprint}".encode()).hexdigest()
    folder = cache_root / "packed" / f"{source.name}-{size}-{key[:16]}"
    if packed := _open(folder):
        return packed
    try:
        with file_lock(folder.with_suffix(".lock")):
            packed = _open(folder)
            if packed is None:
                _write(source, size, folder, shard, progress)
                packed = _open(folder)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{folder}: the cache cannot be written: {reason}; make room for it, or "
            "give another cache_root (--cache-root)"
        ) from error
    assert packed is not None
    return packed


def iterate_kept(
    source: Source, manifest: Manifest, size: int
) -> Iterator[NDArray[np.uint8]]:
    """Read the packed photographs again, at another size, in the manifest's order.

    Args:
        source: The source that was packed.
        manifest: Of the packed cache.
        size: Side S of the squares, pixels.

    Yields:
        (S, S, 3) uint8, one for each of the manifest's ids.

    Raises:
        UserError: If a photograph is gone or is not the one that was packed.
    """
    readings = source.read(size, frozenset(manifest.ids))
    for name, sha256 in zip(manifest.ids, manifest.sha256s, strict=True):
        reading = next(readings, None)
        if reading is None or (reading.item.id, reading.sha256) != (name, sha256):
            found = "another photograph" if reading else "nothing"
            raise UserError(
                f"{manifest.source}: found {found} in place of {name}, expected the "
                "photographs that were packed; restore them, or prepare the data again"
            )
        assert reading.rgb is not None
        yield reading.rgb


def _open(folder: Path) -> PackedImages | None:
    """Map a cache; None if there is none, or it is damaged."""
    if not checksum_matches(folder / MANIFEST_FILE):
        return None
    try:
        text = (folder / MANIFEST_FILE).read_text(encoding="utf-8")
        manifest = Manifest(**json.loads(text))
        images = open_images(folder, manifest.kept_count, manifest.size)
    except (OSError, ValueError, TypeError):
        return None
    return PackedImages(images, manifest)


def _write(
    source: Source, size: int, folder: Path, shard: int, progress: bool | None
) -> None:
    """Make the cache beside its place, then rename it there."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir()
    try:
        with ShardWriter(part, shard) as images:
            manifest = _pack_into(images, source, size, progress)
        text = json.dumps(asdict(manifest), indent=0)
        atomic_write(part / MANIFEST_FILE, text.encode())
        write_checksum(part / MANIFEST_FILE)
        shutil.rmtree(folder, ignore_errors=True)  # one that was found damaged
        atomic_rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _pack_into(
    images: ShardWriter, source: Source, size: int, progress: bool | None
) -> Manifest:
    """Write the images that are kept one behind the other, and note the rest."""
    kept: list[Reading] = []
    grayscale: list[str] = []
    unreadable: dict[str, str] = {}
    pixels = hashlib.sha256()
    for reading in _tracked(source, size, progress):
        if reading.rgb is None:
            unreadable[reading.item.id] = reading.fault
        elif is_grayscale(reading.rgb):
            grayscale.append(reading.item.id)
        else:
            content = reading.rgb.tobytes()
            pixels.update(content)
            images.write(content)
            kept.append(replace(reading, rgb=None))
    if not kept:
        raise UserError(_nothing_kept(source.name, len(grayscale), unreadable))
    return Manifest(
        format_version=FORMAT_VERSION,
        source=source.name,
        fingerprint=source.fingerprint,
        size=size,
        ids=[reading.item.id for reading in kept],
        groups=[reading.item.group for reading in kept],
        sha256s=[reading.sha256 for reading in kept],
        grayscale=grayscale,
        unreadable=unreadable,
        upscaled=[reading.item.id for reading in kept if reading.upscaled],
        pixels_sha256=pixels.hexdigest(),
    )


def _tracked(source: Source, size: int, progress: bool | None) -> Iterable[Reading]:
    """Read a source, with a progress bar or without."""
    console = Console(stderr=True)
    return track(
        source.read(size),
        f"packing {source.name} at {size} px",
        total=len(source.items),
        console=console,
        disable=not (console.is_terminal if progress is None else progress),
    )


def _nothing_kept(name: str, grayscale: int, unreadable: dict[str, str]) -> str:
    """Why a source is refused, and what to do."""
    first = next(iter(unreadable), None)
    example = f", such as {first} ({unreadable[first]})" if first else ""
    return (
        f"{name}: found {grayscale} grayscale photographs and {len(unreadable)} "
        f"unreadable files{example}, expected photographs in colour; "
        "some copies of this data are grayscale: get the original"
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
    for step in (8, 1):  # of almost every photograph a few pixels show the colour
        some = torch.from_numpy(rgb[None, ::step, ::step].copy())
        lab = rgb_to_lab(images_to_float(some))  # (1, 3, H / step, W / step)
        if bool((lab[:, 1:].abs() > GRAY_AB).any()):
            return False
    return True
