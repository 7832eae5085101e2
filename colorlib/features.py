"""Class scores on disk: each photograph goes once through each frozen classifier.

A training looks at every photograph many times, and three classifiers cost more than
the network that is trained. So their scores are computed once, in one pass over the
photographs for all classifiers that lack them, and kept::

    <cache>/features/<photographs>/<classifier>.npy   logits, (N, 1000) float32
                                      /<classifier>.json  what they were made from

The names hold hashes of all that the scores depend on. Logits are what is stored;
the softmax is taken when they are read. Features, (N, C) float32, and feature maps,
(N, C, 8, 8) float16, have files of their own. A file grows batch by batch as `.part`
and gets its name when it is complete: a run that was killed goes on where it was.

A data set packed in several files is taken block by block, a file at a time. Processes
that want the same scores, on however many devices and machines, take a block each until
none is left. The scores are then one array on the disk that all of them map.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from colorlib.backbones import (
    Backbone,
    Content,
    ScoreKind,
    content_of,
    extract_features,
    feature_shape,
    scores_from_logits,
)
from colorlib.color import gray_from_L, images_to_float
from colorlib.data import SHARD, Manifest, Source, iterate_kept
from colorlib.errors import UserError
from colorlib.files import (
    atomic_rename,
    atomic_write,
    checksum_matches,
    file_lock,
    synchronise,
    write_checksum,
)
from colorlib.targets import Gray, Target

Scores = NDArray[np.floating[Any]]

FORMAT_VERSION = 2  # raise it when the same photograph would get other scores
STORED = {"logits": "<f4", "features": "<f4", "maps": "<f2"}


def compute_features(
    source: Source,
    manifest: Manifest,
    backbones: Sequence[Backbone],
    *,
    cache_root: Path,
    kind: ScoreKind = "softmax",
    gray: Gray = "L",
    backbone_image_size: int = 256,
    device: torch.device | str = "cpu",
    half: bool = False,
    batch_size: int = 32,
    progress: bool | None = None,
    shard: int = SHARD,
) -> Scores:
    """Compute the class scores of a packed data set, or find what was computed.

    Args:
        source: Where the photographs come from.
        manifest: Which of them were packed.
        backbones: K classifiers; moved to `device` if there is work for them.
        cache_root: The folder of caches.
        kind: `softmax`, `logits`, `features` or `maps`, see `features_of_images`.
        gray: What the classifiers see of a photograph, see `colorlib.targets.Target`.
        backbone_image_size: Side of the square that the classifiers are shown, pixels,
            whatever size the photographs were packed at.
        device: Where to compute.
        half: Whether in half precision; such scores have files of their own.
        batch_size: Photographs at a time.
        progress: Whether to draw a progress bar; None to do so on a terminal.
        shard: Photographs a block; beyond one block, the scores are not held in memory
            but mapped.

    Returns:
        (N, K, 1000) float32, in the order of the manifest and of `backbones`; or
        features, (N, C) float32; or maps, (N, C, 8, 8) float16, the channels of all
        classifiers behind each other.

    Raises:
        UserError: If a photograph is gone, the cache cannot be written, or the scores
            cannot be right: not finite, or the same for every class or photograph.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from colorlib.backbones import load_backbone
        >>> from colorlib.data import open_source, pack
        >>> source = open_source("scenes", count=3)
        >>> backbones = [load_backbone("test_resnet.r160_in1k", "random")]
        >>> with TemporaryDirectory() as folder:
        ...     manifest = pack(source, 16, Path(folder)).manifest
        ...     compute_features(
        ...         source, manifest, backbones, backbone_image_size=64, cache_root=Path(folder)
        ...     ).shape
        (3, 1, 1000)
    """
    folder = cache_root / "features" / _folder_name(manifest)
    count, content = manifest.kept_count, content_of(kind)
    files = [
        _File(folder / _file_name(backbone, content, gray, backbone_image_size, half), backbone,
              content, (count, *feature_shape(backbone, content)))
        for backbone in backbones
    ]  # fmt: skip
    asked = (gray, backbone_image_size, half, torch.device(device), batch_size)
    view = _View(source, manifest, *asked)
    try:
        if any(file.open() is None for file in files):
            if count > shard:
                _complete_blocks(_each_once(files), view, shard, progress)
            with file_lock(folder / "lock"):
                missing = [file for file in _each_once(files) if file.open() is None]
                _complete(missing, view, progress)
        if count > shard:
            return _mapped(files, kind, folder, shard)
    except OSError as error:
        raise UserError(
            f"{folder}: the class scores cannot be completed: {error}; "
            "finished batches are kept, give the same command again"
        ) from error
    return _joined([file.read() for file in files], kind)


def _each_once(files: Sequence["_File"]) -> list["_File"]:
    """Without those of classifiers that are fused twice."""
    return list({file.path: file for file in files}.values())


def _joined(tables: Sequence[Scores], kind: ScoreKind) -> Scores:
    """What several classifiers tell, as `compute_features` returns it."""
    if content_of(kind) == "logits":
        return np.stack([_softmax_of(table, kind) for table in tables], axis=1)
    return np.concatenate(tables, axis=1)


def _mapped(
    files: Sequence["_File"], kind: ScoreKind, folder: Path, shard: int
) -> Scores:
    """The same, made once and mapped: no process need hold all of it."""
    path = folder / f"{kind}-{_hash_of([file.path.name for file in files])}.npy"
    with file_lock(folder / "lock"):
        if _open_sealed(path) is None:
            _write_joined(path, [file.read() for file in files], kind, shard)
        mapped = _open_sealed(path)
    assert mapped is not None
    return mapped


def _write_joined(
    path: Path, tables: Sequence[Scores], kind: ScoreKind, shard: int
) -> None:
    """Put on the disk what several classifiers tell, block by block."""
    part, first = path.with_suffix(".part"), _joined([t[:1] for t in tables], kind)
    with part.open("wb") as file:
        file.write(_header(first.dtype.str, (len(tables[0]), *first.shape[1:])))
        for start in range(0, len(tables[0]), shard):
            rows = slice(start, start + shard)
            file.write(_joined([table[rows] for table in tables], kind).tobytes())
        synchronise(file)
    write_checksum(part, path)
    atomic_rename(part, path)


def _softmax_of(logits: Scores, kind: ScoreKind) -> Scores:
    """Class scores, (N, 1000), from stored logits."""
    scores: Scores = scores_from_logits(torch.tensor(logits), kind).numpy()
    return scores


@dataclass(frozen=True)
class _View:
    """What the classifiers are shown of a packed data set, and where."""

    source: Source
    manifest: Manifest
    gray: Gray
    backbone_image_size: int
    half: bool
    device: torch.device
    batch_size: int

    def block(self, rows: slice) -> "_View":
        """Of some of the photographs."""
        ids, sha256s = self.manifest.ids[rows], self.manifest.sha256s[rows]
        return replace(self, manifest=replace(self.manifest, ids=ids, sha256s=sha256s))

    def batches(
        self, first: int, progress: bool | None
    ) -> Iterator[tuple[int, Tensor]]:
        """From photograph `first` on: where a batch begins, and its gray images."""
        rest = self.block(slice(first, None))
        squares = iterate_kept(self.source, rest.manifest, self.backbone_image_size)
        console = Console(stderr=True)
        for start in track(
            range(first, self.manifest.kept_count, self.batch_size),
            f"class scores of {self.manifest.source}",
            console=console,
            disable=not (console.is_terminal if progress is None else progress),
        ):
            images = np.stack(list(islice(squares, self.batch_size)))  # (B, S, S, 3)
            moved = torch.from_numpy(images).to(self.device)
            yield start, gray_of_photographs(moved, self.gray)


def gray_of_photographs(images_uint8: Tensor, gray: Gray = "L") -> Tensor:
    """Make the one gray image that every classifier is given.

    Args:
        images_uint8: (N, H, W, 3) uint8 sRGB.
        gray: The `L` of Lab, or that of the `luma` gray, see `Target`.

    Returns:
        L / 100, (N, 1, H, W) float32 in [0, 1]. Two photographs that differ in their
        colours alone give the same.

    Example:
        >>> gray_of_photographs(torch.full((2, 4, 4, 3), 255, dtype=torch.uint8)).shape
        torch.Size([2, 1, 4, 4])
    """
    L_norm, _ = Target(gray=gray).split(images_to_float(images_uint8))
    return gray_from_L(L_norm)  # (N, 1, H, W)


def _complete_blocks(
    files: Sequence["_File"], view: _View, shard: int, progress: bool | None
) -> None:
    """Compute what is missing in blocks, of which other processes may take some.

    First the blocks that nobody works on; then, once whoever has them is done or dead,
    what is still missing. Complete blocks become the file they are of.
    """
    folder, count = files[0].path.parent, view.manifest.kept_count
    starts = range(0, count, shard)
    blocks = [slice(start, min(start + shard, count)) for start in starts]
    for wait in (False, True):
        for rows in blocks:
            with file_lock(folder / f"lock-{rows.start}", wait) as held:
                parts = {file.block(rows): file for file in files} if held else {}
                missing = [
                    part  # the whole is looked for last: by then its blocks are gone
                    for part, file in parts.items()
                    if part.open() is None and file.open() is None
                ]
                if missing:
                    _complete(missing, view.block(rows), progress)
    with file_lock(folder / "lock"):
        for file in files:
            if file.open() is None:
                file.join([file.block(rows) for rows in blocks], _describe(file, view))


def _complete(missing: Sequence["_File"], view: _View, progress: bool | None) -> None:
    """Compute what is missing in one pass, and give the files their names."""
    count = view.manifest.kept_count
    rows = {file: file.begin(view.batch_size) for file in missing}
    for start, gray in view.batches(min(rows.values(), default=count), progress):
        for file in missing:
            if rows[file] <= start:
                backbone = file.backbone.to(view.device)
                told = extract_features(backbone, gray, file.content, view.half)
                file.append(told.cpu().numpy())
    for file in missing:
        file.finish(_describe(file, view))


# ------------------------------------------------------------------------------- files


def _folder_name(manifest: Manifest) -> str:
    """Which photographs; not at which size they were packed, so sizes share scores."""
    content = (manifest.format_version, manifest.source, manifest.ids, manifest.sha256s)
    return f"{manifest.source}-{_hash_of(content)}"


def _file_name(
    backbone: Backbone,
    content: Content,
    gray: Gray,
    backbone_image_size: int,
    half: bool,
) -> str:
    """Which classifier with which weights, what it is shown and what it is asked."""
    spec = asdict(backbone.spec)
    for remark in ("note", "hub_id", "hub_sha256", "weights_file"):
        del spec[remark]
    decides = (
        FORMAT_VERSION,
        spec,
        backbone.weights_hash,
        content,
        gray,
        backbone_image_size,
    )
    how = "-half" if half else ""
    return f"{backbone.spec.name}-{_hash_of(decides)}{how}.npy"


def _hash_of(content: object) -> str:
    """SHA-256 of something that JSON can write, shortened to fit a name."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _header(kind: str, shape: tuple[int, ...]) -> bytes:
    """NumPy's, of an array file that is written piece by piece."""
    header = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, about)
    return header.getvalue()


def _open_sealed(path: Path) -> Scores | None:
    """Map an array file; None if there is none or it is damaged."""
    if not checksum_matches(path):
        return None
    try:
        told: Scores = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError):
        return None
    return told


def _describe(file: "_File", view: _View) -> dict[str, Any]:
    """What a file of scores was made from, for whoever finds it."""
    return {
        "format_version": FORMAT_VERSION,
        "content": f"{file.content}, a row a photograph in the manifest's order",
        "shape": file.shape,
        "backbone": asdict(file.backbone.spec),
        "weights_kind": file.backbone.weights_kind,
        "weights_hash": file.backbone.weights_hash,
        "source": view.manifest.source,
        "manifest_hash": view.manifest.manifest_hash,
        "photographs": view.manifest.kept_count,
        "gray": view.gray,
        "backbone_image_size": view.backbone_image_size,
        "half": view.half,
        "device": str(view.device),
        "versions": {name: version(name) for name in ("timm", "torch", "pillow")},
    }


@dataclass(frozen=True, eq=False)
class _File:
    """What one classifier tells of all photographs, on disk: an array that grows.

    Attributes:
        path: Its name when it is complete.
        backbone: The classifier.
        content: What it is asked.
        shape: (N, 1000), (N, C) or (N, C, 8, 8).
    """

    path: Path
    backbone: Backbone
    content: Content
    shape: tuple[int, ...]

    @property
    def part(self) -> Path:
        """Its name while it grows."""
        return self.path.with_suffix(".part")

    @property
    def header(self) -> bytes:
        """NumPy's, of the complete array."""
        return _header(STORED[self.content], self.shape)

    @property
    def row_bytes(self) -> int:
        """Of one photograph."""
        return prod(self.shape[1:]) * np.dtype(STORED[self.content]).itemsize

    def begin(self, batch_size: int) -> int:
        """Open the growing file, or go on with it; the rows of its whole batches."""
        count, header = self.shape[0], self.header
        with self.part.open("a+b") as file:
            rows = min((file.tell() - len(header)) // self.row_bytes, count)
            file.seek(0)
            if file.read(len(header)) != header:
                file.truncate(0)
                file.write(header)
                return 0
            if rows < count:
                rows -= rows % batch_size
            file.truncate(len(header) + rows * self.row_bytes)
            return rows

    def append(self, told: Scores) -> None:
        """Put a batch of rows on the disk."""
        with self.part.open("ab") as file:
            file.write(told.astype(STORED[self.content]).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def finish(self, description: dict[str, Any]) -> None:
        """Give the array its name, beside what it was made from."""
        text = json.dumps(description, indent=2)
        atomic_write(self.path.with_suffix(".json"), f"{text}\n".encode())
        write_checksum(self.part, self.path)
        atomic_rename(self.part, self.path)

    def block(self, rows: slice) -> "_File":
        """Of some of the photographs: a file of its own."""
        path = self.path.with_suffix(f".{rows.start}.npy")
        return replace(self, path=path, shape=(rows.stop - rows.start, *self.shape[1:]))

    def join(self, blocks: Sequence["_File"], description: dict[str, Any]) -> None:
        """Become the complete array of some blocks, which go."""
        with self.part.open("wb") as file:
            file.write(self.header)
            for block in blocks:
                told = block.open()
                if told is None:
                    raise OSError(f"{block.path}: found nothing, expected its scores")
                file.write(told.tobytes())
            synchronise(file)
        self.finish(description)
        for block in blocks:
            block.path.unlink()
            for beside in (".json", ".npy.sha256"):
                block.path.with_suffix(beside).unlink()

    def open(self) -> Scores | None:
        """Map the complete array; None if there is none or it is damaged."""
        told = _open_sealed(self.path)
        if told is None or told.shape != self.shape:
            return None
        return told if told.dtype == STORED[self.content] else None

    def read(self) -> Scores:
        """The complete array, if it can be what a working classifier tells."""
        told = self.open()
        if told is None:
            raise UserError(
                f"{self.path}: found nothing, expected the scores just computed"
            )
        fault = _fault(told)
        if fault:
            raise UserError(
                f"{self.path}: found scores that are {fault}, expected an opinion of "
                "each photograph; check the weights, delete this file and try again"
            )
        return told


def _fault(told: Scores) -> str:
    """Why what was told (N, ...) cannot be of a working classifier, or nothing."""
    rows = told.reshape(len(told), -1)
    if not np.isfinite(rows).all():
        return "not finite"
    if (np.ptp(rows, axis=1) == 0).any():
        return "the same for every class"
    if len(rows) > 1 and (np.ptp(rows, axis=0) == 0).all():
        return "the same for every photograph"
    return ""
