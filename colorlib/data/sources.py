"""Where images come from: folders of classes, any folder, or synthetic scenes.

DataConfig ─ open_source ─► ImageSource: ids, groups, load(index) -> rgb
"""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from colorlib.errors import UserError
from colorlib.files import file_sha256, hash_of
from colorlib.images import load_rgb
from colorlib.images.album import photographs_below
from colorlib.scenes import SCENES_VERSION, render_scenes

Dataset = Literal["scenes", "lfw", "imagenet", "imagenette", "folder"]
Rgb = NDArray[np.uint8]  # (S, S, 3)

SCENES_COUNT = 2000
CANDIDATES = 1.25  # files drawn for each image wanted: some are gray or duplicates
PARTS = ("train", "val")  # of ImageNet and Imagenette
LONGEST = 16  # times as long as wide: of a longer strip only the middle is resized
DECODE_MARGIN = 2  # a JPEG may be decoded smaller, down to twice the size wanted


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DataConfig:
    """Which images, at which size, and how they are divided.

    Attributes:
        dataset: `scenes` (synthetic, always there), `lfw`, `imagenet`, `imagenette`,
            or `folder`, any folder of images.
        size: Side S of the square images, pixels.
        count: Images to draw at random; None for all.
        classes: Classes to draw, and so many images of each (`per_class`) are kept;
            None for all images of all classes.
        per_class: See `classes`.
        unseen_classes: Further classes that are only tested on, `unseen_per_class`
            images of each.
        unseen_per_class: See `unseen_classes`.
        split: `random`, as the paper; `group` keeps each person's or class's images
            together, so that the test is on groups never seen; `within_group`
            divides every group alone, so that every group is on both sides.
        test_fraction: Of the images (Section 4.3 of the paper: a quarter).
        validation: Of the training part, a fraction below 1 or a number of images.
        train_count: Images to train on, at most; None for all.
        test_count: Images to test on, at most; None for all.
        seed: Of every draw here.
    """

    dataset: Dataset = "scenes"
    size: Annotated[int, Field(ge=16)] = 64
    count: Annotated[int, Field(ge=8)] | None = None
    classes: PositiveInt | None = None
    per_class: PositiveInt | None = None
    unseen_classes: NonNegativeInt = 0
    unseen_per_class: NonNegativeInt = 0
    split: Literal["random", "group", "within_group"] = "random"
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.25
    validation: Annotated[float, Field(ge=0)] = 0.05
    train_count: PositiveInt | None = None
    test_count: Annotated[int, Field(ge=2)] | None = None
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        """Refuse a draw of classes that would be another than it seems."""
        if self.classes is None and self.unseen_classes:
            raise ValueError("found unseen_classes without classes, expected both")
        if self.unseen_classes and not self.unseen_per_class:
            raise ValueError("found unseen_classes, expected unseen_per_class, too")
        if self.classes is not None and self.count is not None:
            raise ValueError("found count and classes, expected one of them")
        if self.classes is not None and self.dataset == "scenes":
            raise ValueError("found classes of scenes, expected none: give count")


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """Images that can be loaded, at any size, as often as needed.

    Attributes:
        name: `lfw`, `imagenet`, ...
        ids: The name of each, unique.
        groups: What each shares with others: the person, the class, the folder.
        open: index, smallest side wanted -> RGB (H, W, 3) uint8 and the SHA-256 of the
            file; raises `PhotographError` if it cannot be read.
        fingerprint: Changes when the images may have changed: it is made of names,
            sizes and times, as reading all of ImageNet would cost more than a cache.
        left_out: What was found and is not an image of the source: kind -> how many.
    """

    name: str
    ids: Sequence[str]
    groups: Sequence[str]
    open: Callable[[int, int], tuple[Rgb, str]]
    fingerprint: str
    left_out: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def load(self, index: int, size: int) -> tuple[Rgb, str]:
        """Load one image as a square.

        Args:
            index: Which.
            size: Side S, pixels.

        Returns:
            (S, S, 3) uint8 RGB, the middle of the image; and the file's SHA-256.
        """
        rgb, sha256 = self.open(index, DECODE_MARGIN * size)
        return _square(rgb, size), sha256

    def chosen(self, indices: Sequence[int]) -> "ImageSource":
        """Only some of the images, in this order."""
        return ImageSource(
            self.name,
            [self.ids[i] for i in indices],
            [self.groups[i] for i in indices],
            lambda index, at_least: self.open(indices[index], at_least),
            hash_of([self.fingerprint, list(indices)]),
            self.left_out,
        )


def _square(rgb: Rgb, size: int) -> Rgb:
    """Resize the shorter side to `size` and cut out the middle, (S, S, 3)."""
    if rgb.shape[:2] == (size, size):
        return rgb
    from torchvision.transforms import v2  # takes as long to import as torch

    image = torch.from_numpy(rgb).permute(2, 0, 1)  # (3, H, W)
    H, W = image.shape[1:]
    most = LONGEST * min(H, W)
    if max(H, W) > most:  # what is far from the middle of a strip is not needed
        image = v2.functional.center_crop(image, [min(H, most), min(W, most)])
    if min(H, W) != size:
        bicubic = v2.InterpolationMode.BICUBIC
        image = v2.functional.resize(image, [size], bicubic, antialias=True)
    image = v2.functional.center_crop(image, [size, size])  # (3, S, S)
    square: Rgb = image.permute(1, 2, 0).contiguous().numpy()
    return square


def open_source(config: DataConfig, folder: Path | str | None = None) -> ImageSource:
    """Find the images of a data set, and draw those that the configuration wants.

    Args:
        config: Names the data set and the draw.
        folder: Of its images; `scenes` needs none.

    Returns:
        The source; no image is read yet.

    Raises:
        UserError: If the data set is not there, or has too few images or classes.

    Example:
        >>> len(open_source(DataConfig(count=12)))
        12
    """
    if config.dataset == "scenes":
        return _scenes(config.count or SCENES_COUNT, config.seed)
    root, left_out = Path(folder or ""), Counter[str]()
    if folder is None or not root.is_dir():
        raise UserError(f"{folder}: found no folder of images; check the path")
    if config.dataset == "folder":
        paths = photographs_below(root, left_out)
        found = [(path, path.parent.relative_to(root).as_posix()) for path in paths]
    else:
        root = _innermost(root)
        found = _in_classes(root, left_out)
    if not found:
        raise UserError(
            f"{root}: found no image, expected some, of classes in one folder a class; "
            "check the path"
        )
    return _drawn(_files(config.dataset, root, found, left_out), config)


# ------------------------------------------------------------------------- the sources


def _scenes(count: int, seed: int) -> ImageSource:
    """Rendered landscapes; each is the same picture at any size."""

    def render(index: int, at_least: int) -> tuple[Rgb, str]:
        size = at_least // DECODE_MARGIN  # rendered as small as it is wanted
        rgb = render_scenes(1, size, seed, first=index)[0]
        recipe = f"scenes-{SCENES_VERSION}-{seed}/{index:06d}"
        return rgb, hashlib.sha256(recipe.encode()).hexdigest()

    ids = [f"{seed}/{index:06d}" for index in range(count)]
    groups = [str(index) for index in range(count)]
    fingerprint = f"scenes-{SCENES_VERSION}-{seed}-{count}"
    return ImageSource("scenes", ids, groups, render, fingerprint)


def _innermost(root: Path) -> Path:
    """Where the folders of classes lie: an archive may hold one folder of them all."""
    inside = [entry for entry in root.iterdir() if not entry.name.startswith(".")]
    if len(inside) != 1 or not inside[0].is_dir():
        return root
    holds_folders = any(entry.is_dir() for entry in inside[0].iterdir())
    return _innermost(inside[0]) if holds_folders else root


def _in_classes(root: Path, left_out: Counter[str]) -> list[tuple[Path, str]]:
    """Images, and the class or person of each; `train` and `val` together."""
    from torchvision.datasets import ImageFolder  # takes as long to import as torch

    class ClassFolders(ImageFolder):  # type: ignore[misc]  # torchvision has no types
        """torchvision's folder a class, but that links may lead anywhere."""

        def make_dataset(
            self, directory: str, class_to_idx: dict[str, int], **_: Any
        ) -> list[tuple[Path, int]]:
            """Find the images of each class, and count what else there is."""
            samples = []
            for path in photographs_below(Path(directory), left_out):
                name = path.relative_to(directory).parts[0]
                if name in class_to_idx:
                    samples.append((path, class_to_idx[name]))
                else:
                    left_out["images in no class"] += 1
            return samples

    found: list[tuple[Path, str]] = []
    parts = [root / part for part in PARTS if (root / part).is_dir()]
    for part in parts or [root]:
        with suppress(FileNotFoundError):  # there is no folder of a class
            images = ClassFolders(str(part), allow_empty=True)
            found += [(path, images.classes[label]) for path, label in images.samples]
    return found


def _files(
    name: str, root: Path, found: list[tuple[Path, str]], left_out: Counter[str]
) -> ImageSource:
    """A source of image files, each with its group."""
    paths = [path for path, _ in found]
    groups = [group for _, group in found]

    def read(index: int, at_least: int) -> tuple[Rgb, str]:
        path = paths[index]
        if any(stamps[index][1:]) and not os.path.lexists(path):
            raise UserError(
                f"{path}: found nothing, expected an image that was there when the "
                "data set was opened; restore it and try again"
            )
        return load_rgb(path, at_least), file_sha256(path)

    ids = [path.relative_to(root).as_posix() for path in paths]
    stamps = [[name, *_stamp(path)] for name, path in zip(ids, paths, strict=True)]
    return ImageSource(name, ids, groups, read, hash_of(stamps), dict(+left_out))


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change; of a broken link, zeros: it is named when it is read."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


# --------------------------------------------------------------------------- the draws


def _drawn(source: ImageSource, config: DataConfig) -> ImageSource:
    """The images that the configuration wants.

    A draw does not depend on what else there is to draw from.
    """
    if config.classes is not None:
        return source.chosen(_candidates(source, config))
    if config.count is None:
        return source
    if config.count > len(source):
        raise UserError(
            f"{source.name}: found {len(source)} images, expected {config.count}; "
            "lower count"
        )
    drawn = _shuffled(range(len(source)), source.ids, config.seed)
    return source.chosen(sorted(drawn[: config.count]))


def _candidates(source: ImageSource, config: DataConfig) -> list[int]:
    """Images of the drawn classes, more than are wanted, class by class."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(source.groups):
        members.setdefault(group, []).append(index)
    names, seen = list(members), config.classes or 0
    if seen + config.unseen_classes > len(names):
        raise UserError(
            f"{source.name}: found {len(names)} classes, expected "
            f"{seen + config.unseen_classes}; lower classes or unseen_classes"
        )
    chosen: list[int] = []
    drawn = _shuffled(range(len(names)), names, config.seed)
    for rank, number in enumerate(drawn[: seen + config.unseen_classes]):
        own, each = members[names[number]], config.per_class
        if rank >= seen:
            each = config.unseen_per_class
        most = len(own) if each is None else int(CANDIDATES * each)
        chosen += _shuffled(own, source.ids, config.seed)[:most]
    return chosen


def _shuffled(indices: Iterable[int], names: Sequence[str], seed: int) -> list[int]:
    """Indices in an order that a seed and the names decide."""
    return sorted(indices, key=lambda index: hash_of([seed, names[index]]))
