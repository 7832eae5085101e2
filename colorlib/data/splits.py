"""Splits into training, validation and test images, without near-duplicates.

The same photograph twice makes a test meaningless, and near-duplicates do, too: they
are found by a perceptual hash and dropped before anything is divided.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colorlib.data.packed import PackedImages
from colorlib.data.sources import DataConfig
from colorlib.errors import UserError
from colorlib.files import hash_of

Indices = NDArray[np.int64]  # of images
Names = NDArray[np.str_]  # (N,), the group of each image

NEAR_BITS = 4  # of the 64 bits of two perceptual hashes that may differ


@dataclass(frozen=True)
class Split:
    """The parts of a packed data set; no image is in two of them.

    Attributes:
        train: (M,) indices of the images that are trained on, ascending.
        validation: (V,) indices of the images that choose the checkpoint.
        tests: name -> (T,) indices: `test`; or `seen` and `unseen`, images of classes
            that are, or are not, trained on.
        duplicates: How many images were dropped as near-duplicates of another.
        hash: SHA-256 over the ids of all parts: the same at any size.
    """

    train: Indices
    validation: Indices
    tests: dict[str, Indices]
    duplicates: int
    hash: str


def split(packed: PackedImages, config: DataConfig) -> Split:
    """Divide a packed data set.

    Args:
        packed: What to divide.
        config: Says how, see `DataConfig`.

    Raises:
        UserError: If there are too few images or groups, or nothing is left to train
            on.

    Reference:
        Section 4.3 of the paper: three quarters to train, one quarter to test. The
        validation images are ours: the paper has none.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from pathlib import Path
        >>> from colorlib.data import open_source, pack
        >>> config = DataConfig(count=16)
        >>> with TemporaryDirectory() as cache:
        ...     packed = pack(open_source(config), 32, Path(cache))
        >>> parts = split(packed, config)
        >>> len(parts.train), len(parts.validation), len(parts.tests["test"])
        (11, 1, 4)
    """
    manifest, rng = packed.manifest, np.random.default_rng(config.seed)
    groups, distinct = np.array(manifest.groups), _distinct(manifest.phashes)
    kept, unseen = _by_class(groups, distinct, config)
    in_test = _in_test(groups[kept], config, rng)
    test, rest = kept[in_test], rng.permutation(kept[~in_test])
    held = round(config.validation * (1 if config.validation >= 1 else len(rest)))
    train, validation = rest[held:][: config.train_count], rest[:held]
    if not len(train):
        raise UserError(
            f"{manifest.source}: found {len(rest)} images to train on and validation "
            f"{config.validation:g}, expected some left to train on; lower validation"
        )
    tests = {"seen": test, "unseen": unseen} if len(unseen) else {"test": test}
    parts = {"train": train, "validation": validation} | {
        name: rng.permutation(part)[: config.test_count] for name, part in tests.items()
    }
    ordered = {name: np.sort(part) for name, part in parts.items()}
    ids = {name: [manifest.ids[i] for i in part] for name, part in ordered.items()}
    return Split(
        ordered.pop("train"),
        ordered.pop("validation"),
        ordered,
        len(manifest.ids) - len(distinct),
        hash_of(ids),
    )


def _distinct(phashes: Sequence[str]) -> Indices:
    """Images without those that look like one before them, (M,) ascending.

    The hash is `imagehash.phash`: the signs of the 8 x 8 lowest frequencies of the gray
    picture, against their median.
    """
    hashes = np.array([int(own, 16) for own in phashes], np.uint64)
    kept = np.ones(len(hashes), bool)
    for index, own in enumerate(hashes):
        if kept[index]:
            far = np.bitwise_count(hashes[index + 1 :] ^ own) > NEAR_BITS
            kept[index + 1 :] &= far
    return np.flatnonzero(kept)


def _by_class(
    groups: Names, distinct: Indices, config: DataConfig
) -> tuple[Indices, Indices]:
    """The wanted number of images of each class: of those trained on, and unseen."""
    chosen, count = [np.zeros(0, np.int64)], config.classes
    if count is None:
        return distinct, chosen[0]
    wanted = [config.per_class] * count
    wanted += [config.unseen_per_class] * config.unseen_classes
    names = list(dict.fromkeys(groups.tolist()))  # in the order of the source's draw
    if len(names) < len(wanted):
        raise UserError(
            f"found colour images of {len(names)} classes, expected {len(wanted)}; "
            "lower classes, or give another seed"
        )
    for name, each in zip(names, wanted, strict=False):
        members = distinct[groups[distinct] == name]
        if each is not None and len(members) < each:
            raise UserError(
                f"class {name}: found {len(members)} distinct colour images, expected "
                f"{each}; lower per_class"
            )
        chosen.append(members[:each])
    seen, unseen = chosen[: count + 1], [chosen[0], *chosen[count + 1 :]]
    return np.concatenate(seen), np.concatenate(unseen)


def _in_test(
    names: Names, config: DataConfig, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which images are tested on, (N,): some are, and some are not."""
    in_test, each = np.zeros(len(names), bool), np.arange(len(names))
    units = names if config.split == "group" else each
    pools = names if config.split == "within_group" else np.zeros(len(names))
    for pool in dict.fromkeys(pools.tolist()):
        own = each[pools == pool]
        numbers = np.unique(units[own], return_inverse=True)[1]
        in_test[own] = _cut(numbers, config.test_fraction, rng)
    if not in_test.any():
        raise UserError(
            f"found {len(set(names.tolist()))} groups of {len(names)} images, expected "
            f"at least 2 to divide by {config.split}; use more images"
        )
    return in_test


def _cut(
    units: Indices, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw whole units until they are nearest to a fraction of the images, (N,).

    The units are numbered from 0, one number an image. Some are drawn, and some are not
    unless there is but one: a class of one image is trained on.
    """
    count = int(units.max(initial=0)) + 1
    if count < 2:
        return np.zeros(len(units), bool)
    order = rng.permutation(count)
    sizes = np.bincount(units, minlength=count)[order].cumsum()
    taken = 1 + int(np.abs(sizes[:-1] - fraction * len(units)).argmin())
    drawn: NDArray[np.bool_] = np.isin(units, order[:taken])
    return drawn
