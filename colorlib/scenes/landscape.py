"""What a scene is made of, but for the things of random hue: one colour law each."""

import numpy as np
from numpy.typing import ArrayLike

from colorlib.scenes.painting import (
    Canvas,
    Line,
    Plane,
    Window,
    box,
    disc,
    noise,
    ramp,
    rough_line,
    rough_noise,
    smoothstep,
    trapezoid,
)

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


def paint_sky(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Blue above, pale at the horizon, clouds, and on most days the sun."""
    sky = canvas.window(bottom=horizon)
    height = sky.y / horizon  # 0 at the zenith, 1 at the horizon
    sky.paint(1, 0.1 + 0.75 * height + 0.03 * noise(rng, sky, 4, 2), SKY)
    if rng.random() < 0.6:
        x, y = rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.6 * horizon)
        radius = rng.uniform(0.03, 0.055)
        paint_sun(canvas, x, y, radius)
    density = rough_noise(rng, sky, 6, 3, octaves=4) - rng.uniform(0, 1.6)
    cover = smoothstep(density, 0, 0.7) * smoothstep(1 - height, 0, 0.25)
    sky.paint(0.95 * cover, 1 - 0.28 * np.maximum(density - 0.4, 0), CLOUD)


def paint_sun(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A bright disc, and a glow around it."""
    reach = 9 * radius
    sky = canvas.window(x - reach, y - reach, x + reach, y + reach)
    distance = disc(sky, x, y, radius)
    glow = 0.7 * np.exp(np.maximum(distance, 0) / (-1.2 * radius))
    sky.paint(np.maximum(glow, sky.inside(distance)), 0.6, SUN)


def paint_hills(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """A far, hazy range and, two times in three, a near, wooded one."""
    hills = canvas.window(top=horizon - 0.3, bottom=horizon)
    relief = 0.5 + 0.12 * rough_noise(rng, hills, 24, 16, octaves=2)
    far = horizon - rng.uniform(0.06, 0.2) * _ridge(rng, canvas, octaves=5)
    haze = 1.5 * (hills.y - far)  # in the valleys
    hills.paint(hills.inside(far - hills.y), relief + _sunlit(far) + haze, FAR_HILLS)
    if rng.random() < 0.67:
        near = horizon - rng.uniform(0.05, 0.14) * _ridge(rng, canvas, octaves=2)
        hills.paint(hills.inside(near - hills.y), relief + _sunlit(near), NEAR_HILLS)


def _ridge(rng: np.random.Generator, canvas: Canvas, octaves: int) -> Line:
    """The height of a range of hills, around 0.55."""
    return 0.55 + 0.35 * rough_line(rng, canvas, 3, octaves)


def _sunlit(ridge: Line) -> Line:
    """The slopes that fall to the right lie in the sun."""
    slope = np.diff(ridge, append=ridge[-1:]) * len(ridge)
    return 0.35 * np.minimum(np.maximum(slope, -1), 1)


def paint_sea(
    canvas: Canvas, rng: np.random.Generator, horizon: float, shore: float
) -> None:
    """Waves, finer towards the horizon, then foam and a beach."""
    sea = canvas.window(top=horizon, bottom=shore + 0.06)
    near = np.minimum((sea.y - horizon) / (shore - horizon), 1)
    fine, coarse = noise(rng, sea, 128, 16), noise(rng, sea, 64, 6)
    tone = 0.36 - 0.12 * near + 0.14 * (fine + (coarse - fine) * near)
    sea.paint(sea.inside(horizon - sea.y), tone, SEA)
    water = shore - 0.03 + 0.012 * rough_line(rng, canvas, 4, octaves=3)
    sea.paint(sea.inside(water - sea.y), 0.6 + 0.09 * noise(rng, sea, 96, 96), BEACH)
    sea.paint(0.8 * np.exp(-np.square((sea.y - water) / 0.006)), 1, SEA)


def paint_meadow(canvas: Canvas, rng: np.random.Generator, shore: float) -> None:
    """Blades of grass, longer towards us, on patches of light and shade."""
    meadow = canvas.window(top=shore - 0.06)
    near = np.maximum(meadow.y - shore, 0) / (1 - shore)
    short, long = noise(rng, meadow, 64, 80), noise(rng, meadow, 26, 72)
    patches = rough_noise(rng, meadow, 6, 4, octaves=2)
    blades = short + (long - short) * near
    tone = 0.42 + 0.08 * near + 0.11 * blades + 0.07 * patches
    edge = shore - 0.012 + 0.012 * rough_line(rng, canvas, 5, octaves=3)
    meadow.paint(meadow.inside(np.minimum(edge, shore) - meadow.y), tone, MEADOW)


def paint_road(canvas: Canvas, rng: np.random.Generator, y: float) -> None:
    """Asphalt across the picture around height `y`, with a dashed line."""
    road = canvas.window(top=y - 0.06, bottom=y + 0.06)
    across = np.abs(road.y - y)
    road.paint(road.inside(across - 0.055), 0.4 + 0.1 * noise(rng, road, 96, 96), ROAD)
    dash = np.abs((road.x * 5 + rng.random()) % 1 - 0.5) / 5 - 0.05
    road.paint(road.inside(np.maximum(across - 0.005, dash)), 0.5, MARKING)


def paint_shadows(canvas: Canvas, x: ArrayLike, y: ArrayLike, width: ArrayLike) -> None:
    """Soft ellipses on the ground around (x, y): one, or n of them."""
    x, y, half = (
        np.asarray(values, np.float32).reshape(-1, 1, 1)  # (n, 1, 1)
        for values in (x, y, np.multiply(width, 0.5))
    )
    ground = canvas.window(
        float((x - half).min()),
        float((y - half / 5).min()),
        float((x + half).max()),
        float((y + half / 5).max()),
    )
    across, along = (ground.x - x) / half, 5 * (ground.y - y) / half
    dark = np.maximum(1 - (across**2 + along**2).min(axis=0), 0)  # (h, w)
    ground.paint(0.8 * dark, 0, SHADE)


def paint_broadleaf(
    canvas: Canvas, leaves: Plane, x: float, y: float, height: float
) -> None:
    """A tree with a crown of five balls of leaves, lit from above left."""
    tree = _tree_with_trunk(canvas, x, y, height)
    grain = leaves[tree.rows, tree.columns]
    right, down = (tree.x - x) / height, (tree.y - y) / height
    squared = (right - CROWN_ACROSS) ** 2 + (down + CROWN_UP) ** 2  # (5, h, w)
    lit = 0.5 * right + down - CROWN_LIT[squared.argmin(axis=0)]  # from a ball's centre
    edge = np.sqrt(squared.min(axis=0)) - 0.2 + 0.02 * grain  # (h, w)
    tree.paint(tree.inside(height * edge), 0.5 - 1.3 * lit + 0.13 * grain, BROADLEAF)


def paint_conifer(
    canvas: Canvas, leaves: Plane, x: float, y: float, height: float
) -> None:
    """A tree of three skirts of twigs, the lower the wider."""
    tree = _tree_with_trunk(canvas, x, y, height)
    right = (tree.x - x) / height  # (1, w)
    up = (y - tree.y) / height  # (h, 1)
    skirt = np.minimum(np.maximum((up - 0.12) // 0.24, 0), 2)  # 0, 1 or 2
    down = 0.52 + 0.24 * skirt - up  # from the tip of the skirt
    half = (0.62 - 0.15 * skirt) * np.maximum(down, 0)
    edge = np.maximum(np.maximum(np.abs(right) - half, 0.12 - up), -down)
    grain = leaves[tree.rows, tree.columns]
    tone = 0.75 - 1.2 * right - 0.9 * down + 0.12 * grain
    tree.paint(tree.inside(height * edge), tone, CONIFER)


def _tree_with_trunk(canvas: Canvas, x: float, y: float, height: float) -> Window:
    """The window of a tree at (x, y), its trunk painted."""
    half = 0.5 * height
    tree = canvas.window(x - half, y - 1.1 * height, x + half, y + 0.02)
    trunk = box(tree, x, y - 0.15 * height, 0.08 * height, 0.3 * height)
    tree.paint(tree.inside(trunk), 0.5 - 6 * (tree.x - x) / height, TRUNK)
    return tree


def paint_house(
    canvas: Canvas, plaster: Plane, x: float, y: float, height: float
) -> None:
    """A house as high as 0.65 trees, its wall's foot at (x, y)."""
    height *= 0.65
    width = 1.4 * height
    eaves, top = y - 0.55 * height, y - height
    house = canvas.window(x - 0.6 * width, top - 0.02, x + 0.6 * width, y + 0.02)
    grain = plaster[house.rows, house.columns]
    wall = box(house, x, (y + eaves) / 2, width, y - eaves)
    house.paint(house.inside(wall), 0.68 + 0.05 * grain, WALL)
    tiles = trapezoid(house, x, top, eaves, 0.75 * width, 1.14 * width)
    courses = np.sin((house.y - top) / (eaves - top) * (12 * np.pi))
    house.paint(house.inside(tiles), 0.5 + 0.1 * courses + 0.12 * grain, ROOF)
    door = box(house, x, y - 0.19 * height, 0.16 * width, 0.38 * height)
    house.paint(house.inside(door), 0.6, DOOR)
    aside = np.abs(house.x - x) - 0.3 * width  # two windows, left and right
    above = np.abs(house.y - y + 0.32 * height)
    pane = np.maximum(np.abs(aside) - 0.1 * width, above - 0.1 * height)
    house.paint(house.inside(pane - 0.02 * height), 0.9, WALL)
    house.paint(house.inside(pane), 0.35 - (house.y - y) / height, GLASS)
