"""What a scene is made of, but for the things of random hue: one colour law each."""

import numpy as np

from colorlib.datasets.painting import (
    Canvas,
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


def paint_sky(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Blue above, pale at the horizon, clouds, and on most days the sun."""
    sky = canvas.window(bottom=horizon)
    height = sky.y / np.float32(horizon)  # 0 at the zenith, 1 at the horizon
    grain = noise(rng, canvas.size, 4, 2)[sky.rows]
    sky.paint(np.ones_like(grain), 0.1 + 0.75 * height + 0.03 * grain, SKY)
    if rng.random() < 0.6:
        x, y, radius = rng.uniform((0.1, 0.06, 0.03), (0.9, 0.6 * horizon, 0.055))
        distance = disc(sky, x, y, radius)
        sky.paint(0.7 * np.exp(-np.maximum(distance, 0) / (1.2 * radius)), 1, SUN)
        sky.paint(sky.inside(distance), 0.4, SUN)
    density = rough_noise(rng, canvas.size, 6, 3, octaves=5)[sky.rows]
    density -= np.float32(rng.uniform(0.0, 1.6))
    cover = smoothstep(density, 0, 0.7) * smoothstep(1 - height, 0, 0.25)
    sky.paint(0.95 * cover, 1.0 - 0.28 * np.maximum(density - 0.4, 0), CLOUD)


def paint_hills(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """A far, hazy range and, two times in three, a near, wooded one."""
    wooded = rng.random() < 0.67
    for near in (False, True):
        height = rng.uniform(0.05, 0.14) if near else rng.uniform(0.06, 0.2)
        line = rough_line(rng, canvas.size, 3, octaves=2 if near else 5)
        grain = rough_noise(rng, canvas.size, 24, 16, octaves=3)
        if near and not wooded:
            continue
        ridge = np.float32(horizon) - height * (0.55 + 0.35 * line)
        hills = canvas.window(top=float(ridge.min()), bottom=horizon)
        slope = np.gradient(ridge) * canvas.size  # sunlit where it rises to the right
        tone = 0.5 + 0.35 * np.clip(slope, -1, 1) + 0.12 * grain[hills.rows]
        tone = tone + (0 if near else 1.5 * (hills.y - ridge))  # haze in the valleys
        cover = hills.inside(ridge - hills.y) * hills.inside(hills.y - horizon)
        hills.paint(cover, tone, NEAR_HILLS if near else FAR_HILLS)


def paint_sea(
    canvas: Canvas, rng: np.random.Generator, horizon: float, shore: float
) -> None:
    """Waves, finer towards the horizon, a glitter on some, and a beach."""
    size = canvas.size
    sea = canvas.window(top=horizon, bottom=shore + 0.06)
    near = np.clip((sea.y - horizon) / (shore - horizon), 0, 1)
    fine, coarse = (
        noise(rng, size, 128, 16)[sea.rows],
        noise(rng, size, 64, 6)[sea.rows],
    )
    waves = fine + (coarse - fine) * near
    sea.paint(sea.inside(horizon - sea.y), 0.36 - 0.12 * near + 0.14 * waves, SEA)
    edge = shore + 0.012 * rough_line(rng, size, 4, octaves=3)
    grains = noise(rng, size, 128, 128)[sea.rows]
    beach = sea.inside(edge - 0.03 - sea.y)
    sea.paint(beach, 0.6 + 0.09 * grains, BEACH)
    foam = np.exp(-np.square((sea.y - edge + 0.03) / 0.006))
    sea.paint(0.8 * foam, 1, SEA)


def paint_meadow(canvas: Canvas, rng: np.random.Generator, shore: float) -> None:
    """Blades of grass, longer towards us, on patches of light and shade."""
    size = canvas.size
    edge = shore + 0.012 * rough_line(rng, size, 5, octaves=3)
    meadow = canvas.window(top=shore - 0.06)
    near = np.clip((meadow.y - shore) / (1 - shore), 0, 1)
    short = noise(rng, size, 96, 128)[meadow.rows]
    long = noise(rng, size, 28, 72)[meadow.rows]
    patches = rough_noise(rng, size, 5, 3, octaves=3)[meadow.rows]
    blades = short + (long - short) * near
    tone = 0.42 + 0.08 * near + 0.11 * blades + 0.07 * patches
    meadow.paint(meadow.inside(edge - meadow.y), tone, MEADOW)


def paint_road(canvas: Canvas, rng: np.random.Generator, y: float) -> None:
    """Asphalt across the picture around height `y`, with a dashed line."""
    road = canvas.window(top=y - 0.06, bottom=y + 0.06)
    grains = noise(rng, canvas.size, 128, 128)[road.rows]
    across = np.abs(road.y - y)
    road.paint(road.inside(across - 0.055), 0.4 + 0.1 * grains, ROAD)
    dash = np.abs((road.x * 5 + rng.random()) % 1 - 0.5) / 5 - 0.05
    road.paint(road.inside(np.maximum(across - 0.005, dash)), 0.5, MARKING)


def paint_shadow(canvas: Canvas, x: float, y: float, width: float) -> None:
    """A soft ellipse on the ground."""
    ground = canvas.window(x - width, y - width / 4, x + width, y + width / 4)
    far = np.square((ground.x - x) / width) + np.square((ground.y - y) / (width / 5))
    ground.paint(0.55 * np.clip(1 - far, 0, 1), 0, SHADE)


def paint_tree(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, height: float
) -> None:
    """A conifer or a broadleaf standing at (x, y)."""
    paint_shadow(canvas, x + 0.1 * height, y, 0.4 * height)
    half = 0.5 * height
    tree = canvas.window(x - half, y - 1.1 * height, x + half, y + 0.02)
    trunk = box(tree, x, y - 0.15 * height, 0.08 * height, 0.3 * height)
    tree.paint(tree.inside(trunk), 0.5 - 6 * (tree.x - x) / height, TRUNK)
    grain = noise(rng, canvas.size, 64, 64)[tree.rows, tree.columns]
    if rng.random() < 0.4:
        _paint_conifer(tree, grain, x, y, height)
    else:
        _paint_broadleaf(tree, rng, grain, x, y, height)


def _paint_conifer(
    tree: Window, grain: Plane, x: float, y: float, height: float
) -> None:
    """Three skirts of twigs, the lower the wider."""
    for bottom, width in ((0.12, 0.5), (0.36, 0.4), (0.6, 0.28)):
        top = bottom + 0.4
        skirt = trapezoid(
            tree, x, y - top * height, y - bottom * height, 0, width * height
        )
        right = (tree.x - x) / (width * height)
        low = (tree.y - (y - top * height)) / (0.4 * height)
        tone = 0.62 - 0.5 * right - 0.3 * low + 0.12 * grain
        tree.paint(tree.inside(skirt), tone, CONIFER)


def _paint_broadleaf(
    tree: Window,
    rng: np.random.Generator,
    grain: Plane,
    x: float,
    y: float,
    height: float,
) -> None:
    """A crown of overlapping balls of leaves, lit from above left."""
    for dx, dy in ((0, 0.6), (-0.17, 0.5), (0.17, 0.5), (-0.1, 0.74), (0.1, 0.72)):
        nudge = rng.uniform(-0.04, 0.04, 2)
        centre_x, centre_y = x + (dx + nudge[0]) * height, y - (dy + nudge[1]) * height
        ball = disc(tree, centre_x, centre_y, 0.2 * height) + 0.015 * height * grain
        lit = (tree.x - centre_x) * 0.5 + (tree.y - centre_y)
        tone = 0.5 - 1.3 * lit / height + 0.13 * grain
        tree.paint(tree.inside(ball), tone, BROADLEAF)


def paint_house(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, height: float
) -> None:
    """A gabled house seen from the long side, its wall's foot at (x, y)."""
    width = height * rng.uniform(1.1, 1.6)
    paint_shadow(canvas, x + 0.15 * width, y, 0.75 * width)
    wall_top = y - 0.55 * height
    house = canvas.window(x - 0.7 * width, y - 1.05 * height, x + 0.7 * width, y + 0.02)
    wall = box(house, x, (y + wall_top) / 2, width, y - wall_top)
    plaster = noise(rng, canvas.size, 48, 48)[house.rows, house.columns]
    house.paint(house.inside(wall), 0.68 + 0.05 * plaster, WALL)
    top = y - height
    tiles = trapezoid(house, x, top, wall_top, 0.75 * width, 1.14 * width)
    courses = np.sin((house.y - top) / (wall_top - top) * np.float32(6 * 2 * np.pi))
    house.paint(house.inside(tiles), 0.5 + 0.1 * courses + 0.12 * plaster, ROOF)
    for offset in (-0.3, 0.3):
        pane = box(
            house, x + offset * width, y - 0.32 * height, 0.2 * width, 0.2 * height
        )
        house.paint(house.inside(pane - 0.02 * height), 0.9, WALL)
        house.paint(house.inside(pane), 0.35 - (house.y - y) / height, GLASS)
    door = box(house, x, y - 0.19 * height, 0.16 * width, 0.38 * height)
    house.paint(house.inside(door), 0.6, DOOR)
