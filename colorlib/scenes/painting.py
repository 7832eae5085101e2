"""A small kit for painting by formula: noise, colour ramps, shapes with soft edges.

Lengths are in picture widths: x runs from 0 (left) to 1, y from 0 (top) to 1. What is
painted is therefore the same picture at any number of pixels.

Colours are mixed as light is, in linear RGB. Then the luminance of a soft edge is the
mean of the luminances it lies between, whatever their hues.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from colorlib.color import linear_to_srgb, srgb_to_linear

Plane = NDArray[np.floating[Any]]  # (h, w), (h, 1) or (1, w): one number a pixel
Line = NDArray[np.floating[Any]]  # (size,): one number a column
Ramp = NDArray[np.float32]  # (3, RAMP_STEPS): linear RGB in [0, 1], dark to light

RAMP_STEPS = 256
DISPLAY_STEPS = 4096  # finer than 8 bits everywhere
SUBPIXELS = 8  # samples a pixel when noise is averaged over it


def ramp(*stops: str) -> Ramp:
    """A colour for every tone: `#rrggbb` stops, evenly spaced, dark to light.

    Example:
        >>> [round(value, 6) for value in ramp("#000000", "#ff0000")[:, -1].tolist()]
        [1.0, 0.0, 0.0]
    """
    values = [[byte / 255 for byte in bytes.fromhex(stop[1:])] for stop in stops]
    at, known = np.linspace(0, 1, RAMP_STEPS), np.linspace(0, 1, len(stops))
    rows = [np.interp(at, known, channel) for channel in zip(*values, strict=True)]
    return to_light(np.stack(rows))


def to_light(rgb: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Displayed sRGB in [0, 1] to linear RGB in [0, 1]."""
    return srgb_to_linear(torch.from_numpy(rgb).float()).numpy()


@lru_cache(maxsize=1)
def _display() -> NDArray[np.uint8]:
    """(DISPLAY_STEPS,): the byte that shows a light, by its square root."""
    light = torch.linspace(0, 1, DISPLAY_STEPS) ** 2
    return (linear_to_srgb(light) * 255 + 0.5).to(torch.uint8).numpy()


@lru_cache(maxsize=256)
def _spline(size: int, cells: int) -> Plane:
    """(size, cells + 3): cubic B-splines averaged over pixels, of unit variance."""
    position = (np.arange(size * SUBPIXELS) + 0.5) * cells / (size * SUBPIXELS)
    offset = np.abs(position[:, None] - np.arange(-1, cells + 2))  # (8 size, cells + 3)
    near = 2 / 3 - offset**2 + offset**3 / 2
    weight: Plane = np.where(offset < 1, near, np.clip(2 - offset, 0, None) ** 3 / 6)
    weight /= np.sqrt(np.square(weight).sum(axis=1).mean())
    pixels = weight.reshape(size, SUBPIXELS, -1).mean(axis=1)
    return np.asarray(pixels, np.float32)


def smoothstep(values: Plane, low: float, high: float) -> Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    t: Plane = np.minimum(np.maximum((values - low) / (high - low), 0), 1)
    return t * t * (3 - 2 * t)


class Window:
    """A part of a canvas: pixel coordinates, and painting with soft edges.

    Attributes:
        bounds: Left, top, right and bottom, within 0 to 1.
        rows: The pixels that are at least touched, from above.
        columns: From the left.
        x: (1, w) float32, pixel centres in picture widths.
        y: (h, 1) float32.
    """

    def __init__(
        self, canvas: "Canvas", bounds: tuple[float, float, float, float]
    ) -> None:
        self.canvas = canvas
        self.bounds = tuple(min(max(bound, 0.0), 1.0) for bound in bounds)
        left, top, right, bottom = (int(bound * canvas.size) for bound in self.bounds)
        self.rows = slice(max(0, top - 1), bottom + 2)
        self.columns = slice(max(0, left - 1), right + 2)
        self.x = canvas.x[:, self.columns]
        self.y = canvas.y[self.rows]

    def inside(self, distance: Plane) -> Plane:
        """Coverage in [0, 1] by what lies at a distance below 0, antialiased."""
        within: Plane = np.maximum(0.5 - distance * self.canvas.size, 0)
        return np.minimum(within, 1)

    def paint(
        self, coverage: Plane | float, tone: Plane | float, colours: Ramp
    ) -> None:
        """Lay a colour of the ramp, by tone in [0, 1], over what is there."""
        part = self.canvas.light[:, self.rows, self.columns]
        step = np.atleast_2d(tone * np.float32(RAMP_STEPS)).astype(np.intp)
        colour = colours.take(step, axis=1, mode="clip")  # (3, h, w)
        part += coverage * (colour - part)


class Canvas:
    """A square picture being painted.

    Attributes:
        size: Side in pixels.
        light: (3, size, size) float32, linear RGB in [0, 1].
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.light = np.zeros((3, size, size), np.float32)
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.x, self.y = centres[None, :], centres[:, None]

    def window(
        self, left: float = 0, top: float = 0, right: float = 1, bottom: float = 1
    ) -> Window:
        """The pixels that a rectangle touches; none outside the canvas."""
        return Window(self, (left, top, right, bottom))

    def developed(self) -> NDArray[np.uint8]:
        """The finished picture, (size, size, 3) sRGB."""
        step = (np.sqrt(self.light) * (DISPLAY_STEPS - 1) + 0.5).astype(np.intp)
        planes = _display().take(step, mode="clip")  # (3, size, size)
        return np.asarray(planes.transpose(1, 2, 0))


def noise(rng: np.random.Generator, window: Window, rows: int, columns: int) -> Plane:
    """Smooth noise of mean 0 and variance 1, (h, w).

    Args:
        rng: What it is drawn from; how much is drawn does not depend on the pixels.
        window: Where it is wanted.
        rows: Number of blobs from the top to the bottom of the whole canvas.
        columns: From left to right.
    """
    size = window.canvas.size
    left, top, right, bottom = window.bounds
    down = slice(int(top * rows), int(bottom * rows) + 4)
    across = slice(int(left * columns), int(right * columns) + 4)
    vertical = _spline(size, rows)[window.rows, down]
    horizontal = _spline(size, columns)[window.columns, across]
    nodes = vertical.shape[1], horizontal.shape[1]
    lattice = (rng.random(nodes, np.float32) - 0.5) * 12**0.5  # of variance 1
    return vertical @ lattice @ horizontal.T


def rough_noise(
    rng: np.random.Generator, window: Window, rows: int, columns: int, octaves: int
) -> Plane:
    """Noise plus noise twice as fine and 0.6 times as strong, and so on, (h, w)."""
    total = noise(rng, window, rows, columns)
    for octave in range(1, octaves):
        finer = noise(rng, window, rows << octave, columns << octave)
        total += 0.6**octave * finer
    return total


def rough_line(
    rng: np.random.Generator, canvas: Canvas, cells: int, octaves: int
) -> Line:
    """The same along a line from left to right, each 0.45 times as strong, (size,)."""
    splines = _rough_splines(canvas.size, cells, octaves)
    line: Line = splines @ rng.standard_normal(splines.shape[1], np.float32)
    return line


@lru_cache(maxsize=64)
def _rough_splines(size: int, cells: int, octaves: int) -> Plane:
    """The splines of all octaves side by side, each with its strength."""
    return np.hstack([0.45**i * _spline(size, cells << i) for i in range(octaves)])


def box(window: Window, x: float, y: float, width: float, height: float) -> Plane:
    """Distance to the edge of a rectangle around (x, y), negative inside."""
    beside, above = np.abs(window.x - x) - width / 2, np.abs(window.y - y) - height / 2
    return np.asarray(np.maximum(beside, above))


def disc(window: Window, x: float, y: float, radius: float) -> Plane:
    """Distance to the edge of a disc around (x, y), negative inside."""
    return np.asarray(np.sqrt((window.x - x) ** 2 + (window.y - y) ** 2) - radius)


def trapezoid(
    window: Window, x: float, top: float, bottom: float, upper: float, lower: float
) -> Plane:
    """Distance to the edge of a trapezoid of two widths, negative inside."""
    half = upper / 2 + (window.y - top) * ((lower - upper) / 2 / (bottom - top))
    ends = np.abs(window.y - (top + bottom) / 2) - (bottom - top) / 2
    return np.asarray(np.maximum(np.abs(window.x - x) - half, ends))
