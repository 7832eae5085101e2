"""Class scores on disk: each photograph goes once through each frozen classifier.

A training looks at every photograph many times, and three classifiers cost more than
the network that is trained. So their scores are computed once, in one pass over the
photographs for all classifiers that lack them, and kept:

    <cache>/class_scores/<photographs>/<classifier>.npy   logits, (N, 1000) float32
                                      /<classifier>.json  what they were made from

The names hold hashes of all that the scores depend on. Logits are what is stored;
the softmax is taken when they are read. A file grows batch by batch as `.part` and
gets its name when it is complete: a run that was killed goes on where it was.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from colorlib.backbone_specs import NUM_CLASSES
from colorlib.backbones import Backbone, ScoreKind, scores_from_logits, scores_of_images
from colorlib.color import gray_from_L, images_to_float, normalize_lab, rgb_to_lab
from colorlib.datasets import Manifest, Source, iterate_kept
from colorlib.errors import UserError
from colorlib.files import only_one_process, write_whole

Scores = NDArray[np.float32]

FORMAT_VERSION = 1  # raise it when the same photograph would get other scores
ROW_BYTES = NUM_CLASSES * np.dtype(np.float32).itemsize


def compute_class_scores(
    source: Source,
    manifest: Manifest,
    backbones: Sequence[Backbone],
    *,
    cache_root: Path,
    kind: ScoreKind = "softmax",
    see_size: int = 256,
    device: torch.device | str = "cpu",
    batch_size: int = 32,
    progress: bool | None = None,
) -> Scores:
    """Compute the class scores of a packed data set, or find what was computed.

    Args:
        source: Where the photographs come from.
        manifest: Which of them were packed.
        backbones: K classifiers; moved to `device` if there is work for them.
        cache_root: The folder of caches.
        kind: `softmax` or `logits`.
        see_size: Side of the square that the classifiers are shown, pixels,
            whatever size the photographs were packed at.
        device: Where to compute.
        batch_size: Photographs at a time.
        progress: Whether to draw a progress bar; None to do so on a terminal.

    Returns:
        (N, K, 1000) float32, in the order of the manifest and of `backbones`.

    Raises:
        UserError: If a photograph is gone, the cache cannot be written, or the scores
            cannot be right: not finite, or the same for every class or photograph.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from colorlib.backbones import load_backbone
        >>> from colorlib.datasets import open_source, pack
        >>> source = open_source("scenes", count=3)
        >>> backbones = [load_backbone("test_resnet.r160_in1k", "random")]
        >>> with TemporaryDirectory() as folder:
        ...     manifest = pack(source, 16, Path(folder)).manifest
        ...     compute_class_scores(
        ...         source, manifest, backbones, see_size=64, cache_root=Path(folder)
        ...     ).shape
        (3, 1, 1000)
    """
    folder = cache_root / "class_scores" / _folder_name(manifest)
    paths = [folder / _file_name(backbone, see_size) for backbone in backbones]
    count = manifest.kept_count
    if any(_open(path, count) is None for path in paths):
        view = _View(source, manifest, see_size, torch.device(device), batch_size)
        try:
            with only_one_process(folder / "lock"):
                missing = {
                    path: backbone
                    for path, backbone in zip(paths, backbones, strict=True)
                    if _open(path, count) is None
                }
                _complete(missing, view, progress)
        except OSError as error:
            raise UserError(
                f"{folder}: the class scores cannot be completed: {error}; "
                "finished batches are kept, give the same command again"
            ) from error
    scores = np.empty((count, len(paths), NUM_CLASSES), np.float32)
    for k, path in enumerate(paths):
        scores[:, k] = _read(path, count, kind)
    return scores


@dataclass(frozen=True)
class _View:
    """What the classifiers are shown of a packed data set, and where."""

    source: Source
    manifest: Manifest
    see_size: int
    device: torch.device
    batch_size: int

    def batches(
        self, first: int, progress: bool | None
    ) -> Iterator[tuple[int, Tensor]]:
        """From photograph `first` on: where a batch begins, and its gray images."""
        ids, sha256s = self.manifest.ids[first:], self.manifest.sha256s[first:]
        rest = replace(self.manifest, ids=ids, sha256s=sha256s)
        squares = iterate_kept(self.source, rest, self.see_size)
        console = Console(stderr=True)
        for start in track(
            range(first, self.manifest.kept_count, self.batch_size),
            f"class scores of {self.manifest.source}",
            console=console,
            disable=not (console.is_terminal if progress is None else progress),
        ):
            images = np.stack(list(islice(squares, self.batch_size)))  # (B, S, S, 3)
            yield start, gray_of_photographs(torch.from_numpy(images).to(self.device))


def gray_of_photographs(images_uint8: Tensor) -> Tensor:
    """Make the one gray image that every classifier is given.

    Args:
        images_uint8: (N, H, W, 3) uint8 sRGB.

    Returns:
        L / 100, (N, 1, H, W) float32 in [0, 1]. Two photographs that differ in their
        colours alone give the same.

    Example:
        >>> gray_of_photographs(torch.full((2, 4, 4, 3), 255, dtype=torch.uint8)).shape
        torch.Size([2, 1, 4, 4])
    """
    L_unit, _ = normalize_lab(rgb_to_lab(images_to_float(images_uint8)))
    return gray_from_L(L_unit)  # (N, 1, H, W)


def _complete(
    missing: Mapping[Path, Backbone], view: _View, progress: bool | None
) -> None:
    """Compute what is missing in one pass, and give the files their names."""
    count = view.manifest.kept_count
    rows = {path: _begin(path, count, view.batch_size) for path in missing}
    for start, gray in view.batches(min(rows.values(), default=count), progress):
        waiting = [path for path in missing if rows[path] <= start]
        backbones = [missing[path].to(view.device) for path in waiting]
        logits = scores_of_images(backbones, gray, "logits")  # (B, K, 1000)
        for path, part in zip(waiting, logits.cpu().unbind(dim=1), strict=True):
            _append(path, part.numpy())
    for path, backbone in missing.items():
        text = json.dumps(_describe(backbone, view), indent=2)
        write_whole(path.with_suffix(".json"), f"{text}\n".encode())
        _part(path).replace(path)


# ------------------------------------------------------------------------------- files


def _folder_name(manifest: Manifest) -> str:
    """Which photographs; not at which size they were packed, so sizes share scores."""
    content = (manifest.format_version, manifest.source, manifest.ids, manifest.sha256s)
    return f"{manifest.source}-{_hash_of(content)}"


def _file_name(backbone: Backbone, see_size: int) -> str:
    """Which classifier with which weights, and what it is shown."""
    spec = asdict(backbone.spec)
    for remark in ("note", "hub_id", "weights_file"):
        del spec[remark]
    content = (FORMAT_VERSION, spec, backbone.weights_hash, see_size)
    return f"{backbone.spec.name}-{_hash_of(content)}.npy"


def _hash_of(content: object) -> str:
    """SHA-256 of something that JSON can write, shortened to fit a name."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _describe(backbone: Backbone, view: _View) -> dict[str, Any]:
    """What a file of scores was made from, for whoever finds it."""
    return {
        "format_version": FORMAT_VERSION,
        "content": "logits, float32, a row a photograph in the manifest's order",
        "backbone": asdict(backbone.spec),
        "weights_kind": backbone.weights_kind,
        "weights_hash": backbone.weights_hash,
        "source": view.manifest.source,
        "manifest_hash": view.manifest.manifest_hash,
        "photographs": view.manifest.kept_count,
        "see_size": view.see_size,
        "device": str(view.device),
        "versions": {name: version(name) for name in ("timm", "torch", "pillow")},
    }


def _begin(path: Path, count: int, batch_size: int) -> int:
    """Open a growing file, or go on with one; the rows of its whole batches."""
    header = io.BytesIO()
    kind = {"descr": "<f4", "fortran_order": False, "shape": (count, NUM_CLASSES)}
    np.lib.format.write_array_header_1_0(header, kind)
    with _part(path).open("a+b") as file:
        rows = min((file.tell() - header.tell()) // ROW_BYTES, count)
        file.seek(0)
        if file.read(header.tell()) != header.getvalue():
            file.truncate(0)
            file.write(header.getvalue())
            return 0
        if rows < count:
            rows -= rows % batch_size
        file.truncate(header.tell() + rows * ROW_BYTES)
        return rows


def _append(path: Path, logits: Scores) -> None:
    """Put a batch of rows on the disk."""
    with _part(path).open("ab") as file:
        file.write(logits.astype("<f4").tobytes())
        file.flush()
        os.fsync(file.fileno())


def _part(path: Path) -> Path:
    """The name of a file of scores while it grows."""
    return path.with_suffix(".part")


def _open(path: Path, count: int) -> Scores | None:
    """Map a file of logits, (N, 1000); None if there is none or it is cut short."""
    try:
        logits: Scores = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError):
        return None
    right = logits.shape == (count, NUM_CLASSES) and logits.dtype == np.float32
    return logits if right else None


def _read(path: Path, count: int, kind: ScoreKind) -> Scores:
    """Class scores, (N, 1000), from a file of logits that can be right."""
    logits = _open(path, count)
    if logits is None:
        raise UserError(f"{path}: found nothing, expected the scores just computed")
    fault = _fault(logits)
    if fault:
        raise UserError(
            f"{path}: found scores that are {fault}, expected an opinion of each "
            "photograph; check the weights, delete this file and try again"
        )
    scores: Scores = scores_from_logits(torch.tensor(logits), kind).numpy()
    return scores


def _fault(logits: Scores) -> str:
    """Why logits (N, 1000) cannot be those of a working classifier, or nothing."""
    if not np.isfinite(logits).all():
        return "not finite"
    if (np.ptp(logits, axis=1) == 0).any():
        return "the same for every class"
    if len(logits) > 1 and (np.ptp(logits, axis=0) == 0).all():
        return "the same for every photograph"
    return ""
