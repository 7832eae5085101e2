"""Procedural rendering of a scene's elements, each with its colour distribution.

Only the things of random hue are painted elsewhere, in `colorlib.scenes`.

Lengths are in picture widths: x runs from 0 (left) to 1, y from 0 (top) to 1. What is
painted is therefore the same picture at any number of pixels.

Colours are mixed as light is, in linear RGB. Then the luminance of a soft edge is the
mean of the luminances it lies between, whatever their hues.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from colorlib.color import linear_to_srgb, srgb_to_linear

Plane = NDArray[np.floating[Any]]  # (h, w), (h, 1) or (1, w): one number a pixel
Ramp = NDArray[np.float32]  # (3, RAMP_STEPS): linear RGB in [0, 1], dark to light

RAMP_STEPS = 256
DISPLAY_STEPS = 4096  # finer than 8 bits everywhere
SUBPIXELS = 8  # samples a pixel when noise is averaged over it


def ramp(*stops: str) -> Ramp:
    """A colour for every tone: `#rrggbb` stops, evenly spaced, dark to light."""
    values = [[byte / 255 for byte in bytes.fromhex(stop[1:])] for stop in stops]
    at, known = np.linspace(0, 1, RAMP_STEPS), np.linspace(0, 1, len(stops))
    rows = [np.interp(at, known, channel) for channel in zip(*values, strict=True)]
    return srgb_to_linear(torch.from_numpy(np.stack(rows)).float()).numpy()


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


class Canvas:
    """A square picture being painted, or a window of it, which shares its pixels.

    Args:
        whole: (3, size, size) float32, linear RGB in [0, 1]: the picture.
        rng: What is drawn at random; how much does not depend on the pixels.
        bounds: Left, top, right and bottom of the window.

    Attributes:
        size: Side of the whole picture, pixels.
        light: (3, h, w), those pixels of `whole` that the window at least touches.
        x: (1, w) float32, pixel centres in picture widths.
        y: (h, 1) float32.
    """

    def __init__(
        self,
        whole: NDArray[np.float32],
        rng: np.random.Generator,
        bounds: Sequence[float] = (0, 0, 1, 1),
    ) -> None:
        self.whole, self.rng, self.size = whole, rng, whole.shape[1]
        self.bounds = [min(max(bound, 0.0), 1.0) for bound in bounds]
        left, top, right, bottom = (int(bound * self.size) for bound in self.bounds)
        self.rows = slice(max(0, top - 1), bottom + 2)
        self.columns = slice(max(0, left - 1), right + 2)
        self.light = whole[:, self.rows, self.columns]
        centres = ((np.arange(self.size) + 0.5) / self.size).astype(np.float32)
        self.x, self.y = centres[None, self.columns], centres[self.rows, None]

    def window(
        self, left: float = 0, top: float = 0, right: float = 1, bottom: float = 1
    ) -> "Canvas":
        """A rectangle of the picture; there is nothing outside that."""
        return Canvas(self.whole, self.rng, (left, top, right, bottom))

    def paint(
        self, coverage: Plane | float, tone: Plane | float, colours: Ramp
    ) -> None:
        """Lay a colour of the ramp, by tone in [0, 1], over what is there."""
        step = np.atleast_2d(tone * np.float32(RAMP_STEPS)).astype(np.intp)
        colour = colours.take(step, axis=1, mode="clip")  # (3, h, w)
        self.light += coverage * (colour - self.light)

    def fill(self, distance: Plane, tone: Plane | float, colours: Ramp) -> None:
        """Paint what lies at a distance below 0, antialiased."""
        self.paint(self.inside(distance), tone, colours)

    def inside(self, distance: Plane) -> Plane:
        """Coverage in [0, 1] by what lies at a distance below 0, antialiased."""
        within: Plane = np.maximum(0.5 - distance * self.size, 0)
        return np.minimum(within, 1)

    def box(self, x: float, y: float, width: float, height: float) -> Plane:
        """Distance to the edge of a rectangle around (x, y), negative inside."""
        beside, above = np.abs(self.x - x) - width / 2, np.abs(self.y - y) - height / 2
        return np.asarray(np.maximum(beside, above))

    def disc(self, x: float, y: float, radius: float) -> Plane:
        """Distance to the edge of a disc around (x, y), negative inside."""
        return np.asarray(np.sqrt((self.x - x) ** 2 + (self.y - y) ** 2) - radius)

    def trapezoid(
        self, x: float, top: float, bottom: float, upper: float, lower: float
    ) -> Plane:
        """Distance to the edge of a trapezoid of two widths, negative inside."""
        half = upper / 2 + (self.y - top) * ((lower - upper) / 2 / (bottom - top))
        ends = np.abs(self.y - (top + bottom) / 2) - (bottom - top) / 2
        return np.asarray(np.maximum(np.abs(self.x - x) - half, ends))

    def noise(self, rows: int, columns: int, octaves: int = 1) -> Plane:
        """Smooth noise of mean 0 and variance 1, of so many blobs a picture, (h, w).

        Each further octave adds noise twice as fine and 0.6 times as strong.
        """
        left, top, right, bottom = self.bounds
        total: Plane = np.zeros(1, np.float32)
        for octave in range(octaves):
            m, n = rows << octave, columns << octave
            down = slice(int(top * m), int(bottom * m) + 4)
            across = slice(int(left * n), int(right * n) + 4)
            vertical = _spline(self.size, m)[self.rows, down]
            horizontal = _spline(self.size, n)[self.columns, across]
            nodes = vertical.shape[1], horizontal.shape[1]
            lattice = (self.rng.random(nodes, np.float32) - 0.5) * 12**0.5  # variance 1
            total = total + 0.6**octave * (vertical @ lattice @ horizontal.T)
        return total

    def line(self, cells: int, octaves: int) -> Plane:
        """The same from left to right, each 0.45 times as strong, (size,)."""
        each = [0.45**i * _spline(self.size, cells << i) for i in range(octaves)]
        splines = np.hstack(each)
        line: Plane = splines @ self.rng.standard_normal(splines.shape[1], np.float32)
        return line

    def developed(self) -> NDArray[np.uint8]:
        """The finished picture, (h, w, 3) sRGB."""
        step = (np.sqrt(self.light) * (DISPLAY_STEPS - 1) + 0.5).astype(np.intp)
        planes = _display().take(step, mode="clip")  # (3, h, w)
        return np.asarray(planes.transpose(1, 2, 0))


# ---------------------------------------------------------------------- what is painted

SKY = ramp("#2f6fb7", "#5b95d0", "#9cc3e6", "#dcebf5")
CLOUD = ramp("#8f99a6", "#c9ced6", "#ffffff")
SUN = ramp("#ffdf80", "#fff6d0")
FAR_HILLS = ramp("#4b6180", "#7d93ab", "#b3c4d1")
NEAR_HILLS = ramp("#14301d", "#335a34", "#6f9159")
SEA = ramp("#0b3a5c", "#1d6f8f", "#6fb3bf", "#eef8f7")
BEACH = ramp("#a98d5f", "#d9c190", "#f3e3bd")
MEADOW = ramp("#22400f", "#4f7a1e", "#86a936", "#c6cf6b")
ROAD = ramp("#3a3b3f", "#6d6e72", "#a9aaad")
MARKING = ramp("#e9e9e4", "#ffffff")
TRUNK = ramp("#2b1a0e", "#6b4727", "#9a7047")
BROADLEAF = ramp("#10280c", "#2f5a1a", "#6b9434", "#a8c25a")
CONIFER = ramp("#07201a", "#17473a", "#4a7d66")
WALL = ramp("#8f8270", "#d8c9ad", "#fbf3df")
ROOF = ramp("#4d1a12", "#9c4128", "#cf7a52")
GLASS = ramp("#141c26", "#3b4b5c", "#8fa3b5")
DOOR = ramp("#3a2413", "#6e4526")
SHADE = ramp("#0c1408", "#0c1408")

CROWN_ACROSS = np.array([0, -0.18, 0.16, -0.09, 0.11], np.float32)[:, None, None]
CROWN_UP = np.array([0.6, 0.5, 0.52, 0.75, 0.72], np.float32)[:, None, None]
CROWN_LIT = (0.5 * CROWN_ACROSS - CROWN_UP).ravel()


def sky(canvas: Canvas, horizon: float) -> None:
    """Blue above, pale at the horizon, clouds, and on most days the sun in a glow."""
    sky, rng = canvas.window(bottom=horizon), canvas.rng
    height = sky.y / horizon  # 0 at the zenith, 1 at the horizon
    sky.paint(1, 0.1 + 0.75 * height + 0.03 * sky.noise(4, 2), SKY)
    if rng.random() < 0.6:
        x, y = rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.6 * horizon)
        radius = rng.uniform(0.03, 0.055)
        reach = 9 * radius
        around = canvas.window(x - reach, y - reach, x + reach, y + reach)
        distance = around.disc(x, y, radius)
        glow = 0.7 * np.exp(np.maximum(distance, 0) / (-1.2 * radius))
        around.paint(np.maximum(glow, around.inside(distance)), 0.6, SUN)
    density = sky.noise(6, 3, octaves=4) - rng.uniform(0, 1.6)
    cover = _smoothstep(density / 0.7) * _smoothstep((1 - height) / 0.25)
    sky.paint(0.95 * cover, 1 - 0.28 * np.maximum(density - 0.4, 0), CLOUD)


def _smoothstep(values: Plane) -> Plane:
    """0 below 0, 1 above 1, smooth between."""
    t: Plane = np.minimum(np.maximum(values, 0), 1)
    return t * t * (3 - 2 * t)


def hills(canvas: Canvas, horizon: float) -> None:
    """A far, hazy range and, two times in three, a near, wooded one."""
    hills, rng = canvas.window(top=horizon - 0.3, bottom=horizon), canvas.rng
    relief = 0.5 + 0.12 * hills.noise(24, 16, octaves=2)
    far = horizon - rng.uniform(0.06, 0.2) * (0.55 + 0.35 * canvas.line(3, octaves=5))
    haze = 1.5 * (hills.y - far)  # in the valleys
    hills.fill(far - hills.y, relief + _sunlit(far) + haze, FAR_HILLS)
    if rng.random() < 0.67:
        height = rng.uniform(0.05, 0.14)
        near = horizon - height * (0.55 + 0.35 * canvas.line(3, octaves=2))
        hills.fill(near - hills.y, relief + _sunlit(near), NEAR_HILLS)


def _sunlit(ridge: Plane) -> Plane:
    """The slopes that fall to the right lie in the sun, (size,)."""
    slope = np.diff(ridge, append=ridge[-1:]) * len(ridge)
    return 0.35 * np.minimum(np.maximum(slope, -1), 1)


def sea(canvas: Canvas, horizon: float, shore: float) -> None:
    """Waves, finer towards the horizon, then foam and a beach."""
    sea = canvas.window(top=horizon, bottom=shore + 0.06)
    near = np.minimum((sea.y - horizon) / (shore - horizon), 1)
    fine, coarse = sea.noise(128, 16), sea.noise(64, 6)
    waves = 0.14 * (fine + (coarse - fine) * near)
    sea.fill(horizon - sea.y, 0.36 - 0.12 * near + waves, SEA)
    water = shore - 0.03 + 0.012 * canvas.line(4, octaves=3)
    sea.fill(water - sea.y, 0.6 + 0.09 * sea.noise(96, 96), BEACH)
    sea.paint(0.8 * np.exp(-np.square((sea.y - water) / 0.006)), 1, SEA)


def meadow(canvas: Canvas, shore: float) -> None:
    """Blades of grass, longer towards us, on patches of light and shade."""
    meadow = canvas.window(top=shore - 0.06)
    near = np.maximum(meadow.y - shore, 0) / (1 - shore)
    short, long = meadow.noise(64, 80), meadow.noise(26, 72)
    patches = meadow.noise(6, 4, octaves=2)
    blades = short + (long - short) * near
    tone = 0.42 + 0.08 * near + 0.11 * blades + 0.07 * patches
    edge = shore - 0.012 + 0.012 * canvas.line(5, octaves=3)
    meadow.fill(np.minimum(edge, shore) - meadow.y, tone, MEADOW)


def road(canvas: Canvas, y: float) -> None:
    """Asphalt across the picture around height `y`, with a dashed line."""
    road = canvas.window(top=y - 0.06, bottom=y + 0.06)
    across = np.abs(road.y - y)
    road.fill(across - 0.055, 0.4 + 0.1 * road.noise(96, 96), ROAD)
    dash = np.abs((road.x * 5 + road.rng.random()) % 1 - 0.5) / 5 - 0.05
    road.fill(np.maximum(across - 0.005, dash), 0.5, MARKING)


def shadows(canvas: Canvas, x: Plane, y: Plane, width: Plane) -> None:
    """Soft ellipses on the ground around n places (x, y)."""
    given = np.stack([x, y, width / 2]).astype(np.float32)
    x, y, half = given[..., None, None]  # (n, 1, 1)
    left, top = (x - half).min(), (y - half / 5).min()
    right, bottom = (x + half).max(), (y + half / 5).max()
    ground = canvas.window(float(left), float(top), float(right), float(bottom))
    across, along = (ground.x - x) / half, 5 * (ground.y - y) / half
    dark = np.maximum(1 - (across**2 + along**2).min(axis=0), 0)  # (h, w)
    ground.paint(0.8 * dark, 0, SHADE)


def trees_and_houses(canvas: Canvas, shore: float) -> None:
    """What stands on the meadow, the far ones first."""
    rng = canvas.rng
    count = int(rng.integers(2, 7))
    x = rng.uniform(0.02, 0.98, count)
    feet = np.sort(rng.uniform(shore + 0.04, 0.72, count))
    heights = 0.1 + 0.5 * (feet - shore) / (1 - shore)
    shadows(canvas, x + 0.1 * heights, feet, heights)
    grain = canvas.noise(56, 56)
    kinds = (_broadleaf, _broadleaf, _conifer, _house)
    drawn = rng.integers(len(kinds), size=count).tolist()
    places = np.stack([x, feet, heights], axis=1).tolist()
    for kind, place in zip(drawn, places, strict=True):
        kinds[kind](canvas, grain, *place)


def _broadleaf(canvas: Canvas, grain: Plane, x: float, y: float, height: float) -> None:
    """A tree with a crown of five balls of leaves, lit from above left."""
    tree = _tree_with_trunk(canvas, x, y, height)
    grain = grain[tree.rows, tree.columns]
    right, down = (tree.x - x) / height, (tree.y - y) / height
    squared = (right - CROWN_ACROSS) ** 2 + (down + CROWN_UP) ** 2  # (5, h, w)
    lit = 0.5 * right + down - CROWN_LIT[squared.argmin(axis=0)]  # from a ball's centre
    edge = np.sqrt(squared.min(axis=0)) - 0.2 + 0.02 * grain  # (h, w)
    tree.fill(height * edge, 0.5 - 1.3 * lit + 0.13 * grain, BROADLEAF)


def _conifer(canvas: Canvas, grain: Plane, x: float, y: float, height: float) -> None:
    """A tree of three skirts of twigs, the lower the wider."""
    tree = _tree_with_trunk(canvas, x, y, height)
    right = (tree.x - x) / height  # (1, w)
    up = (y - tree.y) / height  # (h, 1)
    skirt = np.minimum(np.maximum((up - 0.12) // 0.24, 0), 2)  # 0, 1 or 2
    down = 0.52 + 0.24 * skirt - up  # from the tip of the skirt
    half = (0.62 - 0.15 * skirt) * np.maximum(down, 0)
    edge = np.maximum(np.maximum(np.abs(right) - half, 0.12 - up), -down)
    grain = grain[tree.rows, tree.columns]
    tree.fill(height * edge, 0.75 - 1.2 * right - 0.9 * down + 0.12 * grain, CONIFER)


def _tree_with_trunk(canvas: Canvas, x: float, y: float, height: float) -> Canvas:
    """The window of a tree at (x, y), its trunk painted."""
    half = 0.5 * height
    tree = canvas.window(x - half, y - 1.1 * height, x + half, y + 0.02)
    trunk = tree.box(x, y - 0.15 * height, 0.08 * height, 0.3 * height)
    tree.fill(trunk, 0.5 - 6 * (tree.x - x) / height, TRUNK)
    return tree


def _house(canvas: Canvas, grain: Plane, x: float, y: float, height: float) -> None:
    """A house as high as 0.65 trees, its wall's foot at (x, y)."""
    height *= 0.65
    width = 1.4 * height
    eaves, top = y - 0.55 * height, y - height
    house = canvas.window(x - 0.6 * width, top - 0.02, x + 0.6 * width, y + 0.02)
    grain = grain[house.rows, house.columns]
    wall = house.box(x, (y + eaves) / 2, width, y - eaves)
    house.fill(wall, 0.68 + 0.05 * grain, WALL)
    tiles = house.trapezoid(x, top, eaves, 0.75 * width, 1.14 * width)
    courses = np.sin((house.y - top) / (eaves - top) * (12 * np.pi))
    house.fill(tiles, 0.5 + 0.1 * courses + 0.12 * grain, ROOF)
    house.fill(house.box(x, y - 0.19 * height, 0.16 * width, 0.38 * height), 0.6, DOOR)
    aside = np.abs(house.x - x) - 0.3 * width  # two windows, left and right
    above = np.abs(house.y - y + 0.32 * height)
    pane = np.maximum(np.abs(aside) - 0.1 * width, above - 0.1 * height)
    house.fill(pane - 0.02 * height, 0.9, WALL)
    house.fill(pane, 0.35 - (house.y - y) / height, GLASS)
