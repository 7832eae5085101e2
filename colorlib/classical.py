"""Colorization without learning: from a person's scribbles, or from another image.

The two families that the paper names beside its own. Both are here in their simplest
form, for small images.

    scribbles:  neighbours of similar lightness have similar colour -> a linear system
    example:    pixels of similar gray and texture have one colour  -> nearest samples

References:
    Levin, Lischinski & Weiss (2004), Colorization using Optimization.
    Welsh, Ashikhmin & Mueller (2002), Transferring Color to Greyscale Images.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
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
    number = np.arange(L.size).reshape(L.shape)
    neighbour = _around(number, -1)  # (H, W, 8)
    weight = _affinity(L, _around(L, np.nan))  # (H, W, 8), sum 1 a pixel
    keep = ~scribbled[..., None] & (neighbour >= 0)
    pixel = np.broadcast_to(number[..., None], keep.shape)
    means = sparse.csr_matrix(
        (weight[keep], (pixel[keep], neighbour[keep])), shape=(L.size, L.size)
    )
    system = (sparse.identity(L.size, format="csr") - means).tocsc()
    given = np.where(scribbled, ab_scribbled, 0.0).reshape(2, -1)  # (2, H W)
    solved = spsolve(system, given.T)  # (H W, 2)
    ab: Plane = np.ascontiguousarray(solved.T).reshape(2, *L.shape)
    return ab


def transfer_colour(L: Plane, lab_example: Plane, samples: int = SAMPLES) -> Plane:
    """Give each pixel the colour of the example's pixel that looks most like it.

    Two numbers say how a pixel looks in gray: its lightness, and how much the lightness
    varies around it. The example's lightness is first brought to the mean and spread
    of the image's.

    Args:
        L: (H, W), lightness of the gray image, 0 to 100.
        lab_example: (3, h, w), the coloured example.
        samples: How many pixels of the example are compared with, on a jittered grid.

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
    spread = L.std() / (L_example.std() or L.std() or 1.0)  # a flat one stays flat
    L_like = (L_example - L_example.mean()) * spread
    rows, columns = _jittered_grid(h, w, samples)
    example = _appearance(L_like + L.mean())[:, rows, columns]  # (2, samples)
    wanted = _appearance(L).reshape(2, -1)  # (2, H W)
    _, nearest = cKDTree(example.T).query(wanted.T)
    ab: Plane = lab_example[1:, rows, columns][:, nearest]  # (2, H W)
    return ab.reshape(2, *L.shape)


def _around(plane: NDArray[Any], outside: float) -> NDArray[Any]:
    """The eight neighbours of each pixel, (H, W, 8)."""
    windows = sliding_window_view(np.pad(plane, 1, constant_values=outside), (3, 3))
    return np.delete(windows.reshape(*plane.shape, 9), 4, axis=2)


def _affinity(L: Plane, around: Plane) -> Plane:
    """How much each neighbour counts; 0 outside of the image."""
    variance = NARROWER * np.maximum(np.nanvar(around, axis=2), 0.01)  # flat: it flows
    off = np.nan_to_num(around - L[..., None], nan=np.inf)
    weight = np.exp(-(off**2) / (2 * variance[..., None])) + 1e-6 * np.isfinite(off)
    affinity: Plane = weight / weight.sum(axis=2, keepdims=True)
    return affinity


def _appearance(L: Plane) -> Plane:
    """Lightness, and its standard deviation around each pixel, (2, H, W)."""
    mean = ndimage.uniform_filter(L, SURROUNDING)
    square = ndimage.uniform_filter(L**2, SURROUNDING)
    return np.stack([L, np.sqrt(np.maximum(square - mean**2, 0))])


def _jittered_grid(
    h: int, w: int, samples: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One pixel drawn from each cell of a grid of about so many cells."""
    rows = max(1, round(np.sqrt(samples * h / w)))
    columns = max(1, round(samples / rows))
    cells = np.mgrid[:rows, :columns]
    drawn = cells + np.random.default_rng(0).random(cells.shape)
    y = np.minimum(drawn[0] * h / rows, h - 1).astype(np.int64)
    x = np.minimum(drawn[1] * w / columns, w - 1).astype(np.int64)
    return y.ravel(), x.ravel()
