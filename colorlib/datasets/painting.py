"""A small kit for painting by formula: noise, colour ramps, shapes with soft edges.

Lengths are in picture widths: x runs from 0 (left) to 1, y from 0 (top) to 1. What is
painted is therefore the same picture at any number of pixels.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]  # (h, w): one number a pixel
Ramp = NDArray[np.float32]  # (RAMP_STEPS, 3): sRGB in [0, 1], dark to light

RAMP_STEPS = 256
SUBPIXELS = 8  # samples a pixel when noise is averaged over it


def ramp(*stops: str) -> Ramp:
    """A colour for every tone: `#rrggbb` stops, evenly spaced, dark to light.

    Example:
        >>> ramp("#000000", "#ff0000")[-1].tolist()
        [1.0, 0.0, 0.0]
    """
    values = np.array([list(bytes.fromhex(stop[1:])) for stop in stops]) / 255
    at = np.linspace(0, 1, RAMP_STEPS)
    where = np.linspace(0, 1, len(stops))
    channels = [np.interp(at, where, values[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).astype(np.float32)


@lru_cache(maxsize=256)
def _spline(size: int, cells: int) -> Plane:
    """(size, cells + 3): cubic B-splines averaged over pixels, of unit variance."""
    position = (np.arange(size * SUBPIXELS) + 0.5) * cells / (size * SUBPIXELS)
    offset = np.abs(
        position[:, None] - np.arange(-1, cells + 2)
    )  # (size * 8, cells + 3)
    near = 2 / 3 - offset**2 + offset**3 / 2
    weight = np.where(offset < 1, near, np.clip(2 - offset, 0, None) ** 3 / 6)
    weight /= np.sqrt(np.square(weight).sum(axis=1).mean())
    return weight.reshape(size, SUBPIXELS, -1).mean(axis=1).astype(np.float32)


def noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> Plane:
    """Smooth noise of mean 0 and variance 1, `rows` by `columns` blobs, (size, size)."""
    lattice = rng.standard_normal((rows + 3, columns + 3), np.float32)
    return _spline(size, rows) @ lattice @ _spline(size, columns).T


def rough_noise(
    rng: np.random.Generator, size: int, rows: int, columns: int, octaves: int
) -> Plane:
    """Noise plus noise twice as fine and 0.6 times as strong, and so on."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        finer = noise(rng, size, rows << octave, columns << octave)
        total += np.float32(0.6**octave) * finer
    return total


def rough_line(
    rng: np.random.Generator, size: int, cells: int, octaves: int
) -> NDArray[np.float32]:
    """The same along a line, (size,)."""
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        values = rng.standard_normal((cells << octave) + 3, np.float32)
        total += np.float32(0.45**octave) * (_spline(size, cells << octave) @ values)
    return total


def smoothstep(values: Plane, low: float, high: float) -> Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class Window:
    """A part of a canvas: pixel coordinates, and painting with soft edges.

    Attributes:
        rows: The window's part of the canvas, from above.
        columns: From the left.
        x: (1, w) float32, pixel centres in picture widths.
        y: (h, 1) float32.
    """

    def __init__(self, canvas: "Canvas", rows: slice, columns: slice) -> None:
        self.canvas = canvas
        self.rows, self.columns = rows, columns
        self.x = canvas.x[:, columns]
        self.y = canvas.y[rows]

    def inside(self, distance: Plane) -> Plane:
        """Coverage in [0, 1] by what lies at a distance below 0, antialiased."""
        return np.clip(0.5 - distance * self.canvas.size, 0, 1)

    def paint(
        self,
        coverage: Plane,
        tone: Plane | float,
        colours: Ramp,
        ambiguous: bool = False,
    ) -> None:
        """Lay a colour of the ramp, by tone in [0, 1], over what is there."""
        part = self.canvas.rgb[self.rows, self.columns]
        step = np.clip(np.asarray(tone) * (RAMP_STEPS - 1) + 0.5, 0, RAMP_STEPS - 1)
        part += coverage[..., None] * (colours[step.astype(np.intp)] - part)
        covered = self.canvas.ambiguous[self.rows, self.columns]
        covered += coverage * (np.float32(ambiguous) - covered)


class Canvas:
    """A square picture being painted.

    Attributes:
        size: Side in pixels.
        rgb: (size, size, 3) float32, sRGB in [0, 1].
        ambiguous: (size, size) float32, how far a thing of random hue covers a pixel.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.rgb = np.zeros((size, size, 3), np.float32)
        self.ambiguous = np.zeros((size, size), np.float32)
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.x, self.y = centres[None, :], centres[:, None]

    def window(
        self, left: float = 0, top: float = 0, right: float = 1, bottom: float = 1
    ) -> Window:
        """The pixels that a rectangle touches."""
        rows, columns = (
            slice(max(0, int(low * self.size) - 1), max(0, int(high * self.size) + 2))
            for low, high in ((top, bottom), (left, right))
        )
        return Window(self, rows, columns)


def box(window: Window, x: float, y: float, width: float, height: float) -> Plane:
    """Distance to the edge of a rectangle around (x, y), negative inside."""
    return np.maximum(
        np.abs(window.x - x) - width / 2, np.abs(window.y - y) - height / 2
    )


def disc(window: Window, x: float, y: float, radius: float) -> Plane:
    """Distance to the edge of a disc around (x, y), negative inside."""
    return np.hypot(window.x - x, window.y - y) - np.float32(radius)


def trapezoid(
    window: Window, x: float, top: float, bottom: float, upper: float, lower: float
) -> Plane:
    """Distance to the edge of a trapezoid of two widths, negative inside."""
    down = np.clip((window.y - top) / (bottom - top), 0, 1)
    half = (upper + (lower - upper) * down) / 2
    ends = np.abs(window.y - (top + bottom) / 2) - (bottom - top) / 2
    return np.maximum(np.abs(window.x - x) - half, ends)
