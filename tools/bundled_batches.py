"""Training batches of the bundled model: cut, resized, and made gray as old prints are.

A batch is a function of (seed, step) and of nothing else, so that a run goes on where
it stopped. All its photographs have one size; the sizes change from batch to batch, so
that one network serves small and large views.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from colorlib.color import L_SCALE, images_to_float, lightness, rgb_to_lab
from tools.bundled_data import TRAIN

# Side of what the network sees, pixels -> how often. Multiples of 16.
SIZES = {64: 0.15, 80: 0.2, 96: 0.25, 112: 0.15, 128: 0.15, 144: 0.05, 160: 0.05}
# Set -> its part of a batch, among the sets large enough for the batch's size.
SHARES = {
    "mini-imagenet": 0.30,
    "tiny-imagenet": 0.20,
    "miniplaces": 0.35,
    "imagenette": 0.07,
    "lfw": 0.08,
}
UPSAMPLED = 1.6  # times a photograph may be upsampled: mini-ImageNet to 128 pixels
SMALLEST_CROP = 0.55  # of a side
ASPECT = 0.1  # natural logarithm: how far a crop is squeezed
GRID = 4  # pixels of the input, a side, to one of the output

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        L_norm: (N, 1, S, S) in [-1, 1], lightness after fading: the input.
        ab: (N, 2, S / 4, S / 4) in Lab units, of the photographs as they are.
    """

    L_norm: Tensor
    ab: Tensor


class Photographs:
    """The packed sets, opened.

    Args:
        folder: Where `tools.bundled_data` packed them.
        purpose: Which of them, such as `TRAIN`.
        names: Of the sets; those without such a photograph are left out.
    """

    def __init__(
        self, folder: Path, purpose: int = TRAIN, names: tuple[str, ...] = tuple(SHARES)
    ) -> None:
        self.folder = folder
        self.images: dict[str, Pixels] = {}
        self.rows: dict[str, NDArray[np.int64]] = {}
        for name in names:
            if not (folder / f"{name}.npz").exists():
                continue
            with np.load(folder / f"{name}.npz") as table:
                rows = np.flatnonzero(table["purpose"] == purpose)
            if len(rows):
                self.images[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
                self.rows[name] = rows
        if not self.images:
            raise SystemExit(
                f"found no photographs in {folder}; run bundled_data first"
            )

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def crops(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw a size, and photographs cut and resized to it: (N, S, S, 3) uint8."""
        sizes, often = zip(*SIZES.items(), strict=True)
        size = int(rng.choice(sizes, p=often))
        enough = [n for n in self.images if self._side(n) * UPSAMPLED >= size]
        names = enough or list(self.images)
        shares = np.array([SHARES.get(name, 1.0) for name in names])
        drawn = rng.choice(len(names), size=count, p=shares / shares.sum())
        return torch.cat([self._crop(names[place], size, rng) for place in drawn])

    def _side(self, name: str) -> int:
        return int(self.images[name].shape[1])

    def _crop(self, name: str, size: int, rng: np.random.Generator) -> Tensor:
        """One random photograph, cut at random, half of them mirrored: (1, S, S, 3)."""
        side = self._side(name)
        smallest = max(SMALLEST_CROP, min(1.0, size / (UPSAMPLED * side)))
        part, squeeze = rng.uniform(smallest, 1), np.exp(rng.uniform(-ASPECT, ASPECT))
        h = min(side, round(part * squeeze * side))
        w = min(side, round(part / squeeze * side))
        top, left = rng.integers(side - h + 1), rng.integers(side - w + 1)
        image = self.images[name][rng.choice(self.rows[name])]  # (side, side, 3)
        step = int(rng.choice((-1, 1)))
        crop = np.array(image[top : top + h, left : left + w][:, ::step])
        return resize(torch.from_numpy(crop)[None], size)


def spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most so many, evenly spread: they lie in the order of their classes."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows)))
    return rows[places.round().astype(np.int64)]


def resize(images: Tensor, size: int) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, size, size, 3) uint8, antialiased."""
    planes = images.movedim(-1, 1)  # (N, 3, H, W), channels last in memory
    small = F.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return small.movedim(1, -1)


def make_batch(photographs: Photographs, seed: int, step: int, count: int) -> Batch:
    """The batch of a step.

    Args:
        photographs: To draw from.
        seed: Of the run.
        step: Of the run.
        count: How many.
    """
    rng = np.random.default_rng((seed, step))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    images = photographs.crops(rng, count)  # (N, S, S, 3)
    L_norm = on_other_film(images, as_lightness(images), generator)
    return Batch(fade(L_norm, generator), coarse_ab(images))


def as_lightness(images: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 -> `L_norm` (N, 1, S, S)."""
    return lightness(images) / L_SCALE - 1


def coarse_ab(images: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 -> `ab` (N, 2, S / 4, S / 4), Lab units."""
    small = F.avg_pool2d(images_to_float(images), GRID)  # (N, 3, S / 4, S / 4)
    return rgb_to_lab(small)[:, 1:]


def on_other_film(
    images: Tensor, L_norm: Tensor, generator: torch.Generator, chance: float = 0.2
) -> Tensor:
    """Some photographs as film saw them that was blind to red, or one with a filter.

    The three channels are mixed with random weights instead of the eye's: old plates
    made skies white and lips black.

    Returns:
        `L_norm` (N, 1, S, S).
    """
    chosen = torch.rand(len(images), generator=generator) < chance
    if not chosen.any():
        return L_norm
    weights = -torch.rand(int(chosen.sum()), 3, generator=generator).log()
    weights = weights / weights.sum(1, keepdim=True)  # uniform over the triangle
    mixed = torch.einsum("nhwc,nc->nhw", images[chosen].float(), weights)
    gray = mixed.round().byte()[..., None].expand(-1, -1, -1, 3)  # (K, S, S, 3)
    L_norm = L_norm.clone()
    L_norm[chosen] = as_lightness(gray)
    return L_norm


def fade(L_norm: Tensor, generator: torch.Generator) -> Tensor:
    """Fade, darken, blur and roughen some photographs, each independently.

    Args:
        L_norm: (N, 1, S, S) in [-1, 1].
        generator: Of the chances.

    Returns:
        (N, 1, S, S) in [-1, 1].
    """

    def uniform(low: float, high: float) -> Tensor:
        drawn = torch.rand(len(L_norm), 1, 1, 1, generator=generator)
        return low + (high - low) * drawn

    def chance(of: float) -> Tensor:
        return uniform(0, 1) < of

    gamma = torch.where(chance(0.2), uniform(-0.4, 0.4).exp(), 1)
    L_norm = ((L_norm + 1) / 2).clamp(0, 1) ** gamma * 2 - 1
    contrast = torch.where(chance(0.3), uniform(0.3, 1.15), 1)
    offset = (1 - contrast) * uniform(-0.6, 0.6)
    L_norm = contrast * L_norm + offset
    L_norm = torch.where(chance(0.1), _blurred(L_norm), L_norm)
    grain = torch.where(chance(0.1), uniform(0, 0.12), 0)
    noise = torch.randn(L_norm.shape, generator=generator)
    return (L_norm + grain * noise).clamp(-1, 1)


def _blurred(L_norm: Tensor) -> Tensor:
    """Convolve with (1 2 1) / 4 along both axes, the border repeated."""
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line)[None, None]  # (1, 1, 3, 3)
    return F.conv2d(F.pad(L_norm, (1, 1, 1, 1), mode="replicate"), kernel)
