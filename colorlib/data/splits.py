"""Which images are trained on, which choose the checkpoint, and which are the test.

The same photograph twice makes a test meaningless, and near-duplicates do, too: they
are found by a perceptual hash and dropped before anything is divided.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from colorlib.data.packed import Manifest, PackedImages
from colorlib.data.sources import DataConfig
from colorlib.errors import UserError
from colorlib.files import hash_of

Indices = NDArray[np.int64]

BLOCK = 4096  # images that are compared with as many others at a time
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
        ...     packed = pack(open_source(config, None, Path(cache)), 32, Path(cache))
        >>> parts = split(packed, config)
        >>> len(parts.train), len(parts.validation), len(parts.tests["test"])
        (11, 1, 4)
    """
    manifest = packed.manifest
    distinct = _distinct(manifest)
    rng = np.random.default_rng(config.seed)
    groups = np.array(manifest.groups)
    kept, unseen = distinct, np.zeros(0, np.int64)
    if config.classes is not None:
        kept, unseen = _by_class(groups, distinct, config)
    rest, test = _divided(groups, kept, config, rng)
    tests = {"seen": test, "unseen": unseen} if len(unseen) else {"test": test}
    rest = rng.permutation(rest)
    count = 1 if config.validation >= 1 else len(rest)
    held = round(config.validation * count)
    train, validation = rest[held:][: config.train_count], rest[:held]
    if not len(train):
        raise UserError(
            f"{manifest.source}: found {len(rest)} images to train on and validation "
            f"{config.validation:g}, expected some left to train on; lower validation"
        )
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


def _divided(
    groups: NDArray[np.str_],
    kept: Indices,
    config: DataConfig,
    rng: np.random.Generator,
) -> tuple[Indices, Indices]:
    """What is trained on or watched, and what is tested on."""
    names = groups[kept]
    if config.split == "within_group":
        in_test = np.zeros(len(kept), bool)
        for name in dict.fromkeys(names.tolist()):
            own = np.flatnonzero(names == name)
            in_test[own] = _nearest_cut(np.arange(len(own)), config.test_fraction, rng)
    else:
        by_group = config.split == "group"
        _, units = np.unique(names if by_group else kept, return_inverse=True)
        in_test = _nearest_cut(units, config.test_fraction, rng)
    if not in_test.any():
        raise UserError(
            f"found {len(set(names.tolist()))} groups of {len(kept)} images, expected "
            f"at least 2 to divide by {config.split}; use more images"
        )
    return kept[~in_test], kept[in_test]


def _nearest_cut(
    units: Indices, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Put whole units, drawn at random, into the test: nearest to the fraction.

    Args:
        units: (N,), the unit that each image belongs to, 0 to U - 1, U at least 2.
        fraction: Of the images.
        rng: Draws the order of the units.

    Returns:
        (N,) bool; some are in the test, and some are not.
    """
    count = int(units.max(initial=0)) + 1
    if count < 2:
        return np.zeros(len(units), bool)  # a class of one image is trained on
    order = rng.permutation(count)
    sizes = np.bincount(units, minlength=count)[order].cumsum()
    taken = 1 + int(np.abs(sizes[:-1] - fraction * len(units)).argmin())
    in_test: NDArray[np.bool_] = np.isin(units, order[:taken])
    return in_test


def _by_class(
    groups: NDArray[np.str_], kept: Indices, config: DataConfig
) -> tuple[Indices, Indices]:
    """The wanted number of images of each class: of those trained on, and unseen."""
    assert config.classes is not None
    seen: list[Indices] = []
    unseen: list[Indices] = []
    names = dict.fromkeys(groups.tolist())  # in the order of the source's draw
    if len(names) < config.classes + config.unseen_classes:
        raise UserError(
            f"found colour images of {len(names)} classes, expected "
            f"{config.classes + config.unseen_classes}; lower classes, or give "
            "another seed"
        )
    for rank, name in enumerate(names):
        is_seen = rank < config.classes
        wanted = config.per_class if is_seen else config.unseen_per_class
        members = kept[groups[kept] == name]
        if wanted is not None and len(members) < wanted:
            raise UserError(
                f"class {name}: found {len(members)} distinct colour images, expected "
                f"{wanted}; lower per_class"
            )
        (seen if is_seen else unseen).append(members[:wanted])
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *seen]), np.concatenate([empty, *unseen])


def _distinct(manifest: Manifest) -> Indices:
    """Images without those that look like one before them, (M,) ascending."""
    bits = _bits(manifest.phashes)
    kept = np.ones(len(bits), bool)
    for first, second in near_duplicates(bits):
        if kept[first]:
            kept[second] = False
    return np.flatnonzero(kept)


def near_duplicates(
    bits: NDArray[np.float32], distance: int = NEAR_BITS
) -> Iterable[tuple[int, int]]:
    """Pairs of images whose perceptual hashes hardly differ, the earlier one first.

    All pairs that an image is the second of come before those that it is the first of.

    Args:
        bits: (N, 64), -1 or 1.
        distance: Bits that may differ.

    Reference:
        The hash is `imagehash.phash`: the signs of the 8 x 8 lowest frequencies of the
        gray picture, against their median.

    Example:
        >>> bits = np.ones((3, 64), np.float32)
        >>> bits[1, :32] = -1
        >>> list(near_duplicates(bits))
        [(0, 2)]
    """
    starts = range(0, len(bits), BLOCK)
    for first, second in product(starts, starts):
        if first <= second:
            agree = bits[first : first + BLOCK] @ bits[second : second + BLOCK].T
            rows, columns = np.nonzero(agree >= bits.shape[1] - 2 * distance)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                if first + row < second + column:
                    yield first + row, second + column


def _bits(phashes: list[str]) -> NDArray[np.float32]:
    """Hexadecimal hashes as signs, (N, 64), -1 or 1."""
    raw = np.frombuffer(bytes.fromhex("".join(phashes)), np.uint8).reshape(-1, 8)
    return 2 * np.unpackbits(raw, axis=1).astype(np.float32) - 1
