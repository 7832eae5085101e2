"""Colorization without learning: from a person's scribbles, or from another image.

The two families that the paper names beside its own. Both are here in their simplest
form, for small images.

    scribbles:  neighbours of similar lightness have similar colour -> a linear system
    example:    pixels of similar gray and texture have one colour  -> nearest samples

References:
    Levin, Lischinski & Weiss (2004), Colorization using Optimization.
    Welsh, Ashikhmin & Mueller (2002), Transferring Color to Greyscale Images.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

Plane = NDArray[np.float64]

NARROWER = 0.3  # of the variance around a pixel: with all of it colour leaks over edges
SURROUNDING = 5  # side of the window in which Welsh's texture is measured, pixels
SAMPLES = 200  # pixels that stand for the example, as published


def propagate_scribbles(
    L: Plane, ab_scribbled: Plane, scribbled: NDArray[np.bool_]
) -> Plane:
    """Spread the colour of some pixels to all others, along similar lightness.

    Each pixel without a scribble gets the weighted mean of its eight neighbours, where
    the weight falls with the difference in lightness, measured in standard deviations
    of the neighbourhood. All these means at once are a sparse linear system.

    Args:
        L: (H, W), lightness, 0 to 100.
        ab_scribbled: (2, H, W), Lab units; read where something is scribbled.
        scribbled: (H, W), where.

    Returns:
        `ab`, (2, H, W), Lab units; unchanged where it was scribbled.

    Raises:
        ValueError: If nothing is scribbled: then every constant is a solution.

    Reference:
        Levin et al. (2004), Equations 1 and 2; the weights of their Equation 2.

    Example:
        >>> L = np.array([[50.0, 50.0, 90.0, 90.0]] * 3)  # two regions
        >>> scribbled = np.zeros((3, 4), dtype=bool)
        >>> scribbled[1, [0, 3]] = True
        >>> ab = np.where(L < 70, 30.0, -30.0) * np.ones((2, 1, 1))
        >>> bool(np.abs(propagate_scribbles(L, ab, scribbled) - ab).max() < 3)
        True
    """
    if not scribbled.any():
        raise ValueError("found no scribble, expected at least one coloured pixel")
    H, W = L.shape
    number = np.arange(H * W).reshape(H, W)
    pixel, neighbour = _pairs(number)  # (P,), both ways
    weight = _affinity(L.ravel(), pixel, neighbour)  # (P,), sum 1 a pixel
    free = ~scribbled.ravel()
    keep = free[pixel]
    means = sparse.csr_matrix(
        (weight[keep], (pixel[keep], neighbour[keep])), shape=(H * W, H * W)
    )
    system = (sparse.identity(H * W, format="csr") - means).tocsc()
    given = np.where(scribbled, ab_scribbled, 0.0).reshape(2, -1)  # (2, H W)
    solved = spsolve(system, given.T)  # (H W, 2)
    ab: Plane = np.ascontiguousarray(solved.T).reshape(2, H, W)
    return ab


def transfer_colour(
    L: Plane, lab_example: Plane, samples: int = SAMPLES, seed: int = 0
) -> Plane:
    """Give each pixel the colour of the example's pixel that looks most like it.

    Two numbers say how a pixel looks in gray: its lightness, and how much the lightness
    varies around it. The example's lightness is first brought to the mean and spread
    of the image's.

    Args:
        L: (H, W), lightness of the gray image, 0 to 100.
        lab_example: (3, h, w), the coloured example.
        samples: How many pixels of the example are compared with, on a jittered grid.
        seed: Of the jitter.

    Returns:
        `ab`, (2, H, W), Lab units.

    Raises:
        ValueError: If the example has fewer pixels than samples are wanted.

    Reference:
        Welsh et al. (2002), Section 3.1: global matching. Their second way, matching
        between swatches that a person marks, is not here.

    Example:
        >>> example = np.zeros((3, 16, 16))
        >>> example[0, 8:], example[2, 8:] = 90.0, 60.0  # what is bright is yellow
        >>> ab = transfer_colour(np.array([[5.0] * 4, [95.0] * 4]), example, 100)
        >>> ab[1].round().tolist()
        [[0.0, 0.0, 0.0, 0.0], [60.0, 60.0, 60.0, 60.0]]
    """
    _, h, w = lab_example.shape
    if h * w < samples:
        raise ValueError(
            f"found an example of {h} x {w} pixels, expected at least {samples}"
        )
    L_example = lab_example[0]
    L_like = (L_example - L_example.mean()) * _ratio(L.std(), L_example.std())
    rows, columns = _jittered_grid(h, w, samples, seed)
    example = _appearance(L_like + L.mean())[:, rows, columns]  # (2, samples)
    wanted = _appearance(L).reshape(2, -1)  # (2, H W)
    _, nearest = cKDTree(example.T).query(wanted.T)
    ab: Plane = lab_example[1:, rows, columns][:, nearest]  # (2, H W)
    return ab.reshape(2, *L.shape)


def _pairs(number: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each pixel with each of its neighbours, both ways: the eight around it."""
    H, W = number.shape
    ones, others = [], []
    for down, right in [(0, 1), (1, 0), (1, 1), (1, -1)]:
        rows = slice(0, H - down), slice(down, H)
        left = slice(max(0, -right), W - max(0, right))
        moved = slice(max(0, right), W - max(0, -right))
        ones.append(number[rows[0], left].ravel())
        others.append(number[rows[1], moved].ravel())
    one, other = np.concatenate(ones), np.concatenate(others)
    return np.concatenate([one, other]), np.concatenate([other, one])


def _affinity(
    L: Plane, pixel: NDArray[np.int64], neighbour: NDArray[np.int64]
) -> Plane:
    """How much each neighbour counts; the weights of a pixel's neighbours sum to 1."""
    count = len(L)
    around = np.bincount(pixel, minlength=count)
    mean = np.bincount(pixel, L[neighbour], count) / around
    square = np.bincount(pixel, L[neighbour] ** 2, count) / around
    variance = NARROWER * np.maximum(square - mean**2, 0.01)  # flat: it flows freely
    weight = np.exp(-((L[pixel] - L[neighbour]) ** 2) / (2 * variance[pixel])) + 1e-6
    affinity: Plane = weight / np.bincount(pixel, weight, count)[pixel]
    return affinity


def _appearance(L: Plane) -> Plane:
    """Lightness, and its standard deviation around each pixel, (2, H, W)."""
    mean = ndimage.uniform_filter(L, SURROUNDING)
    square = ndimage.uniform_filter(L**2, SURROUNDING)
    return np.stack([L, np.sqrt(np.maximum(square - mean**2, 0))])


def _jittered_grid(
    h: int, w: int, samples: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One pixel drawn from each cell of a grid of about so many cells."""
    rng = np.random.default_rng(seed)
    rows = max(1, round(np.sqrt(samples * h / w)))
    columns = max(1, round(samples / rows))
    y, x = np.mgrid[:rows, :columns]
    drawn = rng.random((2, rows, columns))
    y = np.minimum((y + drawn[0]) * h / rows, h - 1).astype(np.int64)
    x = np.minimum((x + drawn[1]) * w / columns, w - 1).astype(np.int64)
    return y.ravel(), x.ravel()


def _ratio(one: float, other: float) -> float:
    """`one / other`; 1 if the example is flat."""
    return one / other if other > 0 else 1.0
