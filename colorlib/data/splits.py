"""Which photographs are trained on and which are kept for the test."""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from colorlib.data.packed import PackedImages
from colorlib.errors import UserError

SplitKind = Literal["random", "group"]


@dataclass(frozen=True)
class Split:
    """Two disjoint parts of a packed data set.

    Attributes:
        train: (M,) int64, indices of the training photographs, ascending.
        test: (T,) int64, indices of the test photographs, ascending.
        kind: `random`, or `group` if no person or class is in both parts.
        seed: Of the draw.
        hash: SHA-256 over the ids of both parts. The same at every size at which the
            same photographs are kept: whether one is gray is seen at its size.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    kind: SplitKind
    seed: int
    hash: str


def split(
    packed: PackedImages,
    kind: SplitKind = "random",
    test_fraction: float = 0.25,
    seed: int = 0,
) -> Split:
    """Divide a packed data set into a training and a test part.

    Args:
        packed: What to divide.
        kind: `random`, as the paper; `group` to keep a person's or a class's
            photographs together, so that the test is on people never seen.
        test_fraction: Of the photographs that go to the test part; with `group` the
            nearest that whole groups allow.
        seed: Of the draw.

    Returns:
        The split; neither part is empty.

    Raises:
        UserError: If there are too few photographs or groups to divide.

    Reference:
        Section 4.3 of the paper: three quarters to train, one quarter to test.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from colorlib.data import open_source, pack
        >>> with TemporaryDirectory() as cache:
        ...     packed = pack(open_source("scenes", count=8), 16, Path(cache))
        >>> len(split(packed).train), len(split(packed).test)
        (6, 2)
    """
    if kind not in get_args(SplitKind):
        kinds = " or ".join(get_args(SplitKind))
        raise UserError(f"found split {kind!r}, expected {kinds}")
    names, members = np.unique(
        packed.groups if kind == "group" else packed.ids, return_inverse=True
    )
    if len(names) < 2:
        raise UserError(
            f"{packed.manifest.source}: found {len(names)} to divide by {kind}, "
            "expected at least 2; use more photographs"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    sizes = np.bincount(members)[order].cumsum()  # photographs in the first k groups
    wanted = test_fraction * len(members)
    taken = 1 + int(np.abs(sizes[:-1] - wanted).argmin())
    in_test = np.isin(members, order[:taken])
    train, test = np.flatnonzero(~in_test), np.flatnonzero(in_test)
    return Split(train, test, kind, seed, _hash(packed.ids, train, test))


def _hash(ids: list[str], train: NDArray[np.int64], test: NDArray[np.int64]) -> str:
    """SHA-256 over the ids of both parts."""
    parts = [[ids[index] for index in part] for part in (train, test)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
