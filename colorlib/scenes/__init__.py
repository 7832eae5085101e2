"""Synthetic scenes: procedurally rendered landscapes that need no download.

In a scene the colour follows from what a thing is and how bright it is, and its
texture tells what it is: a network that sees only luminance can learn it. Cars and
balls are the exception. Their hue is drawn at random and their luminance does not
depend on it, so nothing in the gray image tells their colour. That is the ill-posed
problem of the paper's Figure 1, here with a known distribution of the answers.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from colorlib.color import lab_to_rgb, out_of_gamut, srgb_to_linear
from colorlib.scenes import painting
from colorlib.scenes.painting import GLASS, RAMP_STEPS, ROAD, Canvas, Ramp, ramp

SCENES_VERSION = 2  # raise it when the same seed paints another picture
HUES = 360  # of cars and balls: whole degrees in the ab plane, all equally likely
L_DARK, L_LIGHT = 25.0, 85.0  # lightness of a car or ball at tone 0 and 1
MAX_CHROMA = 70.0  # Lab units: brighter paint exists, but not on many cars
TYRE = ramp("#000000", "#26272a")


def render_scenes(
    count: int, size: int, seed: int = 0, first: int = 0
) -> NDArray[np.uint8]:
    """Paint landscapes; each depends on nothing but the seed and its own number.

    Args:
        count: How many.
        size: Side in pixels, 16 to 512; more or fewer pixels show the same picture.
        seed: Of the series.
        first: Number of the first scene.

    Returns:
        (count, size, size, 3) uint8 sRGB.

    Example:
        >>> scenes = render_scenes(3, 32)
        >>> bool((scenes[2] == render_scenes(1, 32, first=2)[0]).all())
        True
    """
    scenes = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        scenes[number] = _paint(first + number, size, seed).developed()
    return scenes


def recolour_scene(
    index: int, size: int, hues: Sequence[float], seed: int = 0
) -> NDArray[np.uint8]:
    """Paint one scene with its cars and balls in given hues: one gray, many colours.

    The lightness of every pixel stays the same but for rounding.

    Args:
        index: Number of the scene.
        size: Side in pixels.
        hues: Angles in the ab plane, degrees; `range(HUES)` is their distribution.
        seed: Of the series.

    Returns:
        (len(hues), size, size, 3) uint8 sRGB.

    Reference:
        Figure 1 of the paper.

    Example:
        >>> recolour_scene(0, 32, hues=(0, 120, 240)).shape
        (3, 32, 32, 3)
    """
    _, paints = _paints()
    scenes = [_paint(index, size, seed, paints[round(hue) % HUES]) for hue in hues]
    return np.stack([scene.developed() for scene in scenes])


def object_mask(index: int, size: int, seed: int = 0) -> NDArray[np.bool_]:
    """Where a scene's colour cannot be known: all of the pixel is car paint or ball.

    Args:
        index: Number of the scene.
        size: Side in pixels.
        seed: Of the series.

    Returns:
        (size, size) bool.

    Example:
        >>> bool(object_mask(0, 64).any())
        True
    """
    flat = ramp("#000000", "#000000"), ramp("#ffffff", "#ffffff")
    black, white = (_paint(index, size, seed, paint).light[0] for paint in flat)
    return np.asarray(white - black > 0.99)


def object_colours(L: float) -> NDArray[np.float32]:
    """The colours a car or ball of one lightness may have, all equally likely.

    Args:
        L: Lightness, 25 to 85.

    Returns:
        (360, 2) float32: ab in Lab units at hue 0, 1, ... 359 degrees.

    Example:
        >>> object_colours(50.0).mean(axis=0).round().tolist()  # no car's colour
        [8.0, 4.0]
    """
    angle = np.deg2rad(np.arange(HUES))
    tone = np.clip((L - L_DARK) / (L_LIGHT - L_DARK), 0, 1)
    chroma = _paints()[0][:, round(tone * (RAMP_STEPS - 1))]
    ab = chroma * np.stack([np.cos(angle), np.sin(angle)])  # (2, 360)
    return np.asarray(ab.T, np.float32)


@lru_cache(maxsize=1)
def _paints() -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Of each hue and tone: chroma (360, RAMP_STEPS), and a ramp (360, 3, RAMP_STEPS).

    All hues are of the same lightness, and of most of the chroma that sRGB can show.
    """
    angle = np.deg2rad(np.arange(HUES))[:, None]
    L = np.broadcast_to(np.linspace(L_DARK, L_LIGHT, RAMP_STEPS), (HUES, RAMP_STEPS))

    def lab(chroma: NDArray[np.float64]) -> torch.Tensor:
        values = np.stack([L, chroma * np.cos(angle), chroma * np.sin(angle)])
        return torch.from_numpy(values.astype(np.float32))  # (3, 360, RAMP_STEPS)

    low, high = np.zeros(L.shape), np.full(L.shape, MAX_CHROMA)
    for _ in range(8):  # bisection, to 0.3 units
        middle = (low + high) / 2
        outside = out_of_gamut(lab(middle)).numpy()
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    rgb = lab_to_rgb(lab(0.95 * low)).transpose(0, 1)  # (360, 3, RAMP_STEPS)
    return 0.95 * low, srgb_to_linear(rgb.contiguous()).numpy()


def _paint(index: int, size: int, seed: int, paint: Ramp | None = None) -> Canvas:
    """Paint one scene, back to front, its cars and balls by chance or in one paint."""
    rng = np.random.default_rng((seed, index))
    canvas = Canvas(np.zeros((3, size, size), np.float32), rng)
    horizon = rng.uniform(0.3, 0.5)
    shore = horizon + rng.uniform(0.07, 0.16) * (rng.random() < 0.5)
    road = rng.uniform(0.76, 0.84) if rng.random() < 0.5 else None
    painting.sky(canvas, horizon)
    painting.hills(canvas, horizon)
    if shore > horizon:
        painting.sea(canvas, horizon, shore)
    painting.meadow(canvas, shore)
    if road:
        painting.road(canvas, road)
    painting.trees_and_houses(canvas, shore)
    _cars_and_balls(canvas, road, paint)
    return canvas


def _cars_and_balls(canvas: Canvas, road: float | None, paint: Ramp | None) -> None:
    """Cars on the road, balls on the grass before it: at least one of them."""
    rng = canvas.rng
    cars = int(rng.integers(1, 3)) if road else 0
    count = cars + int(rng.integers(0 if road else 1, 3))
    x = 0.14 + 0.24 * rng.permutation(4)[:count] + rng.uniform(-0.02, 0.02, count)
    y, width = rng.uniform(0.9, 0.95, count), rng.uniform(0.08, 0.12, count)
    if road:
        y[:cars], width[:cars] = road + 0.03, 0.12 + width[:cars]
    painting.shadows(canvas, x + 0.1 * width, y, 1.2 * width)
    hues = rng.integers(HUES, size=count)
    paints = _paints()[1][hues] if paint is None else [paint] * count
    for number in range(count):
        paint_thing = _car if number < cars else _ball
        place = float(x[number]), float(y[number]), float(width[number])
        paint_thing(canvas, *place, paints[number])


def _car(canvas: Canvas, x: float, y: float, length: float, paint: Ramp) -> None:
    """A car from the side, its wheels standing at height `y`."""
    car = canvas.window(x - length / 2, y - 0.5 * length, x + length / 2, y + 0.02)
    height = (y - car.y) / length
    top, sill = y - 0.42 * length, y - 0.25 * length
    cabin = car.trapezoid(x, top, sill, 0.42 * length, 0.68 * length)
    body = car.box(x, y - 0.18 * length, 0.9 * length, 0.08 * length) - 0.05 * length
    car.fill(np.minimum(cabin, body), 0.25 + 1.4 * height, paint)
    hub, tyre = y - 0.08 * length, 0.085 * length
    front = car.disc(x - 0.27 * length, hub, tyre)
    wheels = np.minimum(front, car.disc(x + 0.27 * length, hub, tyre))
    car.fill(wheels, 0.4, TYRE)
    car.fill(wheels + 0.05 * length, 0.8, ROAD)
    pillar = 0.015 * length - np.abs(car.x - x)
    car.fill(np.maximum(cabin + 0.035 * length, pillar), 0.45, GLASS)


def _ball(canvas: Canvas, x: float, y: float, width: float, paint: Ramp) -> None:
    """A ball on the ground at (x, y), lit from above left."""
    radius = width / 2
    centre = y - 0.9 * radius
    ball = canvas.window(x - radius, centre - radius, x + radius, centre + radius)
    right, down = (ball.x - x) / radius, (ball.y - centre) / radius
    towards = np.sqrt(np.maximum(1 - right**2 - down**2, 0))
    light = np.maximum(-0.45 * right - 0.6 * down + 0.66 * towards, 0)
    ball.fill(ball.disc(x, centre, radius), 0.1 + 0.8 * light, paint)
