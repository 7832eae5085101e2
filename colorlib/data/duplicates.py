"""The same photograph twice: a test on what was trained on is no test.

Identical pixels are found exactly. The same picture saved, cropped or sized another way
is found by a perceptual hash, which also calls some different pictures alike: those are
for a person to look at.
"""

from collections import defaultdict

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorlib.data.shards import Images

Indices = NDArray[np.int64]

BITS = 64  # of a perceptual hash


def identical(images: Images, indices: Indices, others: Indices) -> NDArray[np.bool_]:
    """Which photographs have the very pixels of one of some others.

    Args:
        images: (N, S, S, 3) uint8.
        indices: (M,), of the photographs asked about.
        others: (K,), of those they are compared with.

    Returns:
        (M,) bool.

    Example:
        >>> images = np.zeros((3, 8, 8, 3), np.uint8)
        >>> images[1] = 1
        >>> identical(images, np.array([1, 2]), np.array([0]))
        array([False,  True])
    """
    middle = images.shape[1] // 2  # one row tells most photographs apart
    alike = defaultdict(list)
    for other in others.tolist():
        alike[images[other, middle].tobytes()].append(other)
    return np.array(
        [
            any(
                np.array_equal(images[index], images[other])
                for other in alike.get(images[index, middle].tobytes(), ())
            )
            for index in indices.tolist()
        ],
        dtype=bool,
    )


def near_duplicates(
    images: Images, indices: Indices, others: Indices, distance: int = 4
) -> list[tuple[int, int]]:
    """Pairs of photographs that look alike.

    Args:
        images: (N, S, S, 3) uint8.
        indices: (M,), of the photographs asked about.
        others: (K,), of those they are compared with.
        distance: Bits of 64 in which their perceptual hashes may differ.

    Returns:
        (index, other), the most alike first.

    Reference:
        The hash is `imagehash.phash`: the signs of the 8 x 8 lowest frequencies of the
        gray picture, against their median.
    """
    ours, theirs = _signs(images, indices), _signs(images, others)
    found = []
    for index, signs in zip(indices.tolist(), ours, strict=True):
        differ = (BITS - theirs @ signs) / 2  # (K,) bits
        near = np.flatnonzero(differ <= distance)
        found += [(differ[k], index, int(others[k])) for k in near]
    return [(index, other) for _, index, other in sorted(found)]


def _signs(images: Images, indices: Indices) -> NDArray[np.float32]:
    """The perceptual hash of each, (M, 64), -1 or 1."""
    bits = [imagehash.phash(Image.fromarray(images[i])).hash.ravel() for i in indices]
    return 2 * np.array(bits, np.float32).reshape(-1, BITS) - 1
