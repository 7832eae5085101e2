"""Which file or folder of this machine holds a data set, and how to fetch it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from colorlib.data.archives import open_tree
from colorlib.data.downloads import (
    IMAGENETTE_FILE,
    IMAGENETTE_MIRRORS,
    LFW_MIRRORS,
    download_imagenette,
    download_lfw,
)
from colorlib.data.sources import (
    FolderSource,
    ImageFolderSource,
    ImagenetteSource,
    LfwSource,
    MixedSource,
    ScenesSource,
    Source,
)
from colorlib.errors import UserError

Dataset = Literal["scenes", "lfw", "imagenet", "imagenette", "folder", "mixed"]

SCENES_COUNT = 2000
LFW_NAMES = (
    "lfw-deepfunneled.tgz",
    "lfw-funneled.tgz",
    "lfw.tgz",
    "lfw-deepfunneled",
    "lfw_funneled",
    "lfw",
)
CLASS_NAME = re.compile(r"n\d{8}")  # a WordNet id
LFW_FOLDERS = (".", "lfw", "lfw-py", "lfw_home")  # plain, torchvision's, scikit-learn's
IMAGENET_NAMES = ("imagenet", "imagenet.tar", "imagenet-sample", "imagenet-sample.tar")
IMAGENETTE_NAMES = (
    "imagenette2-160.tgz",
    "imagenette2-320.tgz",
    "imagenette2.tgz",
    "imagenette2-160",
    "imagenette2-320",
    "imagenette2",
)


def open_source(
    dataset: Dataset,
    data_root: Path | str | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Source:
    """Open a data set by name.

    Args:
        dataset: `scenes` needs nothing; `lfw`, `imagenet` and `imagenette` are looked
            for in `data_root`; `folder` is `data_root` itself; `mixed` is LFW, ImageNet
            and scenes together.
        data_root: A folder of data sets, or the file or folder of the one meant.
        count: How many photographs to take, drawn at random; None for all of them. Of
            `mixed`, so many of each part.
        seed: Of that draw; of the scenes themselves.

    Returns:
        The source, nothing of it read yet.

    Raises:
        UserError: If the data set is not there; the message says what to place where.

    Example:
        >>> len(open_source("scenes", count=12).items)
        12
    """
    if dataset == "scenes":
        return ScenesSource(count or SCENES_COUNT, seed)
    if data_root is None:
        raise UserError(f"found no data folder, but {dataset} needs one: --data-root")
    data_root = Path(data_root)
    if dataset == "lfw":
        return LfwSource(open_tree(find_lfw(data_root)), count, seed)
    if dataset == "imagenet":
        return ImageFolderSource(open_tree(find_imagenet(data_root)), count, seed)
    if dataset == "imagenette":
        return ImagenetteSource(open_tree(find_imagenette(data_root)), count, seed)
    if dataset == "mixed":
        parts: tuple[Dataset, ...] = ("lfw", "imagenet", "scenes")
        return MixedSource(
            [open_source(part, data_root, count, seed) for part in parts]
        )
    if dataset == "folder":
        return FolderSource(open_tree(data_root), count, seed)
    expected = ", ".join(get_args(Dataset))
    raise UserError(f"found data set {dataset!r}, expected one of {expected}")


def fetch_missing(dataset: Dataset, data_root: Path | str) -> None:
    """Download a data set, unless a copy of it is there.

    Args:
        dataset: `lfw` or `imagenette`; the others have no free address.
        data_root: The folder it belongs in; made if need be.

    Raises:
        UserError: If it has no address, or no mirror gave the right file.
    """
    addresses = {
        "lfw": (find_lfw, download_lfw),
        "imagenette": (find_imagenette, download_imagenette),
    }
    if dataset not in addresses:
        raise UserError(
            f"found no address of {dataset}, expected one of {', '.join(addresses)}; "
            "place its files in the data folder by hand"
        )
    find, download = addresses[dataset]
    try:
        find(Path(data_root))
    except UserError:
        download(Path(data_root))


def find_lfw(data_root: Path) -> Path:
    """Find Labeled Faces in the Wild, as archive or folder.

    A file that is already there is taken whatever its checksum, as archives are
    re-packed; the manifest says which it was.

    Raises:
        UserError: If it is not there.
    """
    if data_root.name in LFW_NAMES:
        return _existing(data_root)
    return _first_of(
        [data_root / folder / name for folder in LFW_FOLDERS for name in LFW_NAMES],
        f"place lfw-funneled.tgz there by hand, from {LFW_MIRRORS[0]} or any copy",
    )


def find_imagenet(data_root: Path) -> Path:
    """Find ImageNet photographs: a tree or tar with one folder a class.

    Raises:
        UserError: If there are none.
    """
    if data_root.is_file() or _holds_classes(data_root):
        return _existing(data_root)
    return _first_of(
        [data_root / name for name in IMAGENET_NAMES],
        "give a folder or tar archive that holds one folder a class (n01440764, ...)",
    )


def find_imagenette(data_root: Path) -> Path:
    """Find Imagenette, as archive or folder.

    Raises:
        UserError: If it is not there.
    """
    if data_root.name in IMAGENETTE_NAMES:
        return _existing(data_root)
    return _first_of(
        [data_root / name for name in IMAGENETTE_NAMES],
        f"place {IMAGENETTE_FILE} there by hand, from {IMAGENETTE_MIRRORS[0]}",
    )


def _existing(path: Path) -> Path:
    """The path itself, if there is something."""
    if not path.exists():
        raise UserError(f"{path}: found nothing, expected a data set; check the path")
    return path


def _first_of(candidates: Sequence[Path], remedy: str) -> Path:
    """The first path that exists."""
    for path in candidates:
        if path.exists():
            return path
    names = ", ".join(dict.fromkeys(path.name for path in candidates))
    raise UserError(f"{candidates[0].parent}: found none of {names}; {remedy}")


def _holds_classes(folder: Path) -> bool:
    """Whether a folder holds ImageNet's class folders, directly or in a part of it."""
    parents = (folder, folder / "train", folder / "val")
    names = (path.name for parent in parents for path in parent.glob("*/"))
    return any(CLASS_NAME.fullmatch(name) for name in names)
