"""How far a damaged photograph's colours lie from those of the clean one.

    python -m tools.measure_robustness FOLDER [--count 200]

Each photograph is made gray, coloured, damaged and coloured again; we compare the
chroma of the two results, not the ground truth. `before` sees the photograph as it is,
`after` within its frame and with its contrast restored, as `colorlib colorize` does.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from colorlib import colorize
from colorlib.color import rgb_to_lab
from colorlib.colorize import Colorizer, GrayPixels, gray_of
from colorlib.images import Photograph, left_out_as, load_rgb

FRAME = 0.15  # of the shorter side
GRAIN = 20.0  # standard deviation, levels of 255
BLUR = 3.0  # pixels
JPEG_QUALITY = 30
SEED = 0


def main(
    folder: Annotated[Path, typer.Argument(help="It is searched with all below it.")],
    count: Annotated[int, typer.Option(help="Photographs, drawn at random.")] = 200,
) -> None:
    """Print a Markdown table: mean distance in the ab plane, over all pixels."""
    found = (path for path in folder.rglob("*") if not left_out_as(path))
    names = sorted(str(path) for path in found)
    chosen = np.random.default_rng(SEED).permutation(names)[:count]
    grays = [gray_of(load_rgb(Path(name))) for name in sorted(chosen)]
    colorizer = Colorizer.load()
    with as_it_is():
        clean = [chroma(colorizer, gray) for gray in grays]
    strength = np.mean([np.hypot(ab[0], ab[1]).mean() for ab in clean])
    print(f"{len(grays)} photographs, mean chroma {strength:.1f}\n")
    print("| damage | before | after |\n|---|---|---|")
    for name, damage in DAMAGES.items():
        with as_it_is():
            before = distance(colorizer, grays, clean, damage)
        after = distance(colorizer, grays, clean, damage)
        print(f"| {name} | {before:.2f} | {after:.2f} |", flush=True)


def as_it_is() -> "patch":  # type: ignore[valid-type]
    """Colour without looking for a frame and for contrast."""
    return patch.multiple(
        colorize,
        inside_frame=lambda gray: (slice(0, gray.shape[0]), slice(0, gray.shape[1])),
        with_contrast=lambda gray: gray,
    )


def chroma(colorizer: Colorizer, gray: GrayPixels) -> NDArray[np.float32]:
    """A and b of the coloured photograph, (2, H, W)."""
    rgb = np.repeat(gray[..., None], 3, axis=2)
    rgb = colorizer.colorize(Photograph(rgb), in_place=True).rgb
    planes = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255  # (1, 3, H, W)
    return rgb_to_lab(planes)[0, 1:].numpy()


def distance(
    colorizer: Colorizer,
    grays: list[GrayPixels],
    clean: list[NDArray[np.float32]],
    damage: Callable[[GrayPixels], GrayPixels],
) -> float:
    """Mean distance of the damaged photographs' chroma from that of the clean ones."""
    off = []
    for gray, expected in zip(grays, clean, strict=True):
        found = chroma(colorizer, damage(gray))
        edge = (found.shape[1] - expected.shape[1]) // 2
        H, W = expected.shape[1:]
        found = found[:, edge : edge + H, edge : edge + W]
        off.append(np.hypot(*(found - expected)).mean())
    return float(np.mean(off))


def rounded(values: NDArray[np.floating]) -> GrayPixels:
    """To the 256 grays."""
    return values.clip(0, 255).round().astype(np.uint8)


def noise(shape: tuple[int, ...], scale: float) -> NDArray[np.floating]:
    """Grain, the same each time."""
    return np.random.default_rng(SEED).normal(0, scale, shape)


def framed(gray: GrayPixels, tone: int) -> GrayPixels:
    """Within a border that is almost plain, as paper is."""
    edge = round(FRAME * min(gray.shape))
    page = np.pad(gray.astype(float), edge, constant_values=tone)
    return rounded(page + noise(page.shape, 2))


def as_jpeg(gray: GrayPixels) -> GrayPixels:
    """Compressed hard."""
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.array(Image.open(file))


DAMAGES: dict[str, Callable[[GrayPixels], GrayPixels]] = {
    "none": lambda gray: gray,
    "faded: 0.4 g + 110": lambda gray: rounded(0.4 * gray + 110),
    "washed out: 0.5 g + 127": lambda gray: rounded(0.5 * gray + 127),
    "darkened: 0.35 g": lambda gray: rounded(0.35 * gray),
    "white border (245), 15 %": lambda gray: framed(gray, 245),
    "gray border (150), 15 %": lambda gray: framed(gray, 150),
    "black border (12), 15 %": lambda gray: framed(gray, 12),
    "faded in a white border": lambda gray: framed(rounded(0.4 * gray + 110), 245),
    "grain, sigma 20": lambda gray: rounded(gray + noise(gray.shape, GRAIN)),
    "JPEG, quality 30": as_jpeg,
    "blurred, sigma 3 px": lambda gray: np.array(
        Image.fromarray(gray).filter(ImageFilter.GaussianBlur(BLUR))
    ),
}

if __name__ == "__main__":
    typer.run(main)
