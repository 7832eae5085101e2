"""A photograph of any size in, the same photograph in colour out.

The photograph is made gray, and the network sees a small copy of that. Chroma has
little detail, so what it predicts is upsampled to the photograph's own grid and joined
with the photograph's own lightness: nothing of its sharpness is lost.

Reference:
    Section 4.3 of the paper: the predicted a and b are added to the input's L.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from colorlib.backbones import Backbone, features_of_images, load_recorded_backbones
from colorlib.color import (
    L_SCALE,
    denormalize_lab,
    gray_from_L,
    images_to_float,
    lab_to_rgb,
    lightness,
    normalize_lab,
    rgb_to_lab,
)
from colorlib.files import load_network
from colorlib.images import Photograph, Pixels, fit_square, resized
from colorlib.model import ColorizationModel, ModelConfig, model_from_metadata
from colorlib.targets import PAPER, Target
from colorlib.unet import ColorUNet, unet_from_metadata

GrayPixels = NDArray[np.uint8]
Box = tuple[slice, slice]  # rows and columns

BUNDLED = Path(__file__).parent / "bundled.safetensors"  # its card: bundled.md
STRIP_PIXELS = 2**17  # joined at a time: memory stays bounded, and in the cache
LONGEST = 8  # times the shorter side: longer photographs are seen squeezed
PLAIN = 12  # levels of gray that a plain border, of 255, may spread over
FRAME_SIDE = 200  # pixels of the shorter side of the copy a frame is looked for in
# Levels of gray of 255, from the 1st to the 99th percentile. Of 120 photographs 3 %
# have less contrast than `FADED`; less than `MIN_CONTRAST` is noise.
MIN_CONTRAST, FADED = 16, 130
USUAL_PERCENTILES = (15, 235)  # where most photographs have these percentiles
CONTRAST_SIDE = 64  # pixels: grain is averaged away
SLOPE_EPSILON = 0.01  # of L_norm squared: contrasts below 5 of L hardly guide chroma


@dataclass(frozen=True)
class Colorizer:
    """A trained model with the frozen networks that it fuses.

    Attributes:
        model: Predicts chroma from lightness and features.
        backbones: In the order of the model's features.
        size: Shorter side of what the model sees, pixels: that of its training.
    """

    model: ColorizationModel | ColorUNet
    backbones: Sequence[Backbone]
    size: int

    @classmethod
    def load(
        cls,
        path: str | Path = BUNDLED,
        weights_root: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> "Colorizer":
        """Load the bundled model, or one `companion train` wrote.

        Args:
            path: A `model.safetensors`.
            weights_root: Folder of the backbones' files, for a model trained with
                `weights: file`.
            device: Where to compute.

        Raises:
            UserError: If the file is no such model, or a backbone is not the one the
                model was trained with.
        """
        model, notes = load_network(Path(path), _from_metadata, "companion train")
        if isinstance(model, ColorUNet):
            return cls(model.to(device), (), model.config.view_size)
        size, backbones = load_recorded_backbones(Path(path), notes, weights_root)
        return cls(model.to(device), [b.to(device) for b in backbones], size)

    @torch.inference_mode()
    def colorize(self, photograph: Photograph, *, in_place: bool = False) -> Photograph:
        """Colour a photograph; whatever colour it had is not looked at.

        The photograph is converted to gray before it is downsampled, because the two
        operations do not commute. The network sees the area inside a frame, with its
        contrast restored. The result keeps the photograph's lightness; a frame becomes
        gray.

        Args:
            photograph: Any size from 8 px.
            in_place: Whether the result takes the place of the photograph's pixels,
                to hold a large one in memory once.

        Returns:
            The same size, depth, transparency and metadata, the same lightness (L of
            Lab, to the rounding of the depth), and the predicted chroma.
        """
        rgb = photograph.rgb
        gray = gray_of(rgb)  # (H, W)
        box = inside_frame(gray)
        ab_norm = self._predict(with_contrast(gray[box]))  # (1, 2, h, w)
        out = rgb if in_place else np.empty_like(rgb)
        for frame in _around(box, *gray.shape):
            no_colour = torch.zeros(1, 2, 1, 1, device=ab_norm.device)
            join_with_own_lightness(rgb[frame], gray[frame], no_colour, out[frame])
        join_with_own_lightness(rgb[box], gray[box], ab_norm, out[box])
        return replace(photograph, rgb=out)

    def _predict(self, gray: GrayPixels) -> Tensor:
        """The chroma of a small copy, `ab_norm` (1, 2, h, w)."""
        device = next(self.model.parameters()).device
        small = _batch_of_one(_small_copy(gray, self.size)).to(device)  # (1, 3, h, w)
        if isinstance(self.model, ColorUNet):
            L_norm, _ = PAPER.split(small)  # (1, 1, h, w)
            chroma: Tensor = self.model(L_norm)  # on a quarter of the grid
            return chroma
        target = self.model.target
        L_norm, _ = target.split(small)
        features = self._features(gray, self.model.config) if self.backbones else None
        target_norm = self.model(L_norm, features)  # (1, 2 or 3, h, w)
        _, ab_norm = normalize_lab(target.to_lab(L_norm, target_norm))
        return ab_norm

    def _features(self, gray: GrayPixels, config: ModelConfig) -> Tensor:
        """The frozen networks' features of the gray photograph, (1, ...)."""
        device = next(self.model.parameters()).device
        sizes = config.input_sizes or [b.spec.input_size for b in self.backbones]
        square = fit_square(gray, max(sizes))
        L_norm, _ = Target(gray=config.gray).split(_batch_of_one(square))
        seen = gray_from_L(L_norm).to(device)  # (1, 1, size, size)
        return features_of_images(self.backbones, seen, config.features, sizes)


def _from_metadata(about: dict[str, Any]) -> ColorizationModel | ColorUNet:
    if "network" in about:
        return unet_from_metadata(about)
    return model_from_metadata(about)


def gray_of(rgb: Pixels) -> GrayPixels:
    """Make a photograph gray: of the 256 grays, each pixel's nearest in lightness.

    Args:
        rgb: (H, W, 3) uint8 or uint16 RGB.

    Returns:
        (H, W) uint8; of 8 bits that are gray already, the same.

    Example:
        >>> gray_of(np.array([[[0, 0, 255], [80, 80, 80]]], np.uint8))
        array([[76, 80]], dtype=uint8)
    """
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)  # (256, 3)
    L_norm = _own_L_norm(levels[None], torch.device("cpu")).flatten()  # ascending
    between = (L_norm[1:] + L_norm[:-1]) / 2
    gray = np.empty(rgb.shape[:2], np.uint8)
    for rows in _strips(*rgb.shape[:2]):
        L_norm = _own_L_norm(rgb[rows], torch.device("cpu"))  # (1, 1, rows, W)
        gray[rows] = torch.bucketize(L_norm[0, 0], between).numpy()
    return gray


def inside_frame(gray: GrayPixels) -> Box:
    """Find what a plain border encloses: a print's white edge, a film's black one.

    Opposite sides count as a border if lines along them are plain and of one gray. One
    pair of sides is enough if it is nearly white or black; a sky is plain, too.

    Args:
        gray: (H, W) uint8.

    Returns:
        Its rows and columns; all of them if there is no border.

    Example:
        >>> page = np.full((100, 80), 250, np.uint8)
        >>> page[20:90, 15:70] = np.arange(55)
        >>> inside_frame(page)
        (slice(20, 90, None), slice(15, 70, None))
    """
    H, W = gray.shape
    step = max(1, min(H, W) // FRAME_SIDE)
    small = resized(gray, -(-H // step), -(-W // step)) if step > 1 else gray
    ends = [_plain_ends(lines) for lines in (small, small.T)]
    tones = [tone for *_, tone in ends]
    alike = None not in tones and np.ptp(np.array(tones)) <= PLAIN
    box = []
    for size, (first, last, tone) in zip((H, W), ends, strict=True):
        extreme = tone is not None and not 20 < tone < 235
        whole = not (alike or extreme) or last - first < (size / step) / 4
        box.append(slice(0, size) if whole else slice(first * step, last * step))
    return box[0], box[1]


def _plain_ends(lines: GrayPixels) -> tuple[int, int, float | None]:
    """Where plain lines end, from both sides, and their gray; None for no such."""
    low, middle, high = np.percentile(lines, (5, 50, 95), axis=1)
    outer = middle[0], middle[-1]
    tone = float(np.mean(outer))
    plain = (high - low <= PLAIN) & (abs(middle - tone) <= PLAIN)
    if not plain[0] or not plain[-1] or plain.all():
        return 0, len(lines), None
    first, last = np.argmin(plain), len(lines) - np.argmin(plain[::-1])
    return int(first), int(last), tone


def with_contrast(gray: GrayPixels) -> GrayPixels:
    """Restore the contrast of a faded photograph; only the network's input changes.

    Args:
        gray: (H, W) uint8.

    Returns:
        (H, W) uint8; the same array if its contrast is that of most photographs.

    Example:
        >>> faded = np.arange(110, 210, dtype=np.uint8)[None]
        >>> with_contrast(faded)[0, [0, -1]]
        array([ 15, 235], dtype=uint8)
    """
    seen = _small_copy(gray, CONTRAST_SIDE)
    darkest, brightest = np.percentile(seen, (1, 99))
    contrast = brightest - darkest
    if not MIN_CONTRAST <= contrast < FADED:
        return gray
    low, high = USUAL_PERCENTILES
    levels = (np.arange(256) - darkest) * (high - low) / contrast + low
    table: GrayPixels = levels.clip(0, 255).round().astype(np.uint8)
    return table[gray]


def join_with_own_lightness(
    rgb: Pixels, gray: GrayPixels, ab_norm: Tensor, out: Pixels
) -> None:
    """Upsample chroma along the photograph's own lightness, and join the two.

    Works on strips of rows, so memory beyond the photograph itself is bounded.

    Args:
        rgb: (H, W, 3) uint8 or uint16.
        gray: The same in gray, (H, W), see `gray_of`.
        ab_norm: (1, 2, h, w) in [-1, 1], the chroma on a smaller grid.
        out: Of the shape and type of `rgb`, or `rgb` itself: takes the result.
    """
    (H, W), (h, w) = rgb.shape[:2], ab_norm.shape[-2:]
    small_L_norm = _own_L_norm(_as_rgb(resized(gray, h, w)), ab_norm.device)
    lines = chroma_along_lightness(ab_norm, small_L_norm)  # (1, 4, h, w)
    white = int(np.iinfo(rgb.dtype).max)
    for rows in _strips(H, W):
        L_norm = _own_L_norm(rgb[rows], ab_norm.device)  # (1, 1, rows, W)
        slope, offset = _upsampled_rows(lines, rows, H, W).chunk(2, dim=1)
        strip = lab_to_rgb(denormalize_lab(L_norm, slope * L_norm + offset))[0]
        values = (strip * white).round().int().permute(1, 2, 0)  # (rows, W, 3)
        out[rows] = values.cpu().numpy()


def _around(box: Box, H: int, W: int) -> Iterator[Box]:
    """What of a photograph lies outside of a box: above, below, left, right."""
    (top, bottom), (left, right) = ((one.start, one.stop) for one in box)
    edges = (0, top, 0, W), (bottom, H, 0, W), (top, bottom, 0, left)
    for first, last, start, stop in (*edges, (top, bottom, right, W)):
        if first < last and start < stop:
            yield slice(first, last), slice(start, stop)


def _strips(H: int, W: int) -> Iterator[slice]:
    """The rows of a photograph, some at a time."""
    step = max(1, STRIP_PIXELS // W)
    for start in range(0, H, step):
        yield slice(start, min(start + step, H))


def chroma_along_lightness(ab_norm: Tensor, L_norm: Tensor) -> Tensor:
    """See chroma as a straight line over lightness, around each pixel of a small grid.

    Upsampled, the lines give chroma an edge where the photograph has one. Where colours
    do not differ in lightness the slope is 0, and the chroma itself is upsampled.

    Args:
        ab_norm: (1, 2, h, w) in [-1, 1], chroma.
        L_norm: (1, 1, h, w) in [-1, 1], lightness on the same grid.

    Returns:
        (1, 4, h, w): the slopes of a and b, and their offsets. On the grid itself
        `slope * L_norm + offset` is `ab_norm`.

    Reference:
        He & Sun (2015), Fast Guided Filter, arXiv:1505.00996. Their lines also smooth
        the chroma; ours go through it, which is measured to be closer to ground truth.

    Example:
        >>> L_norm = torch.rand(1, 1, 8, 8)
        >>> slope, offset = chroma_along_lightness(
        ...     torch.cat([L_norm, -L_norm], 1), L_norm
        ... ).chunk(2, dim=1)
        >>> bool(slope[0, 0].max() < 1), bool(slope[0, 1].max() < 0)
        (True, True)
    """
    mean_L, mean_ab = _mean_around(L_norm), _mean_around(ab_norm)
    variance = _mean_around(L_norm**2) - mean_L**2
    covariance = _mean_around(L_norm * ab_norm) - mean_L * mean_ab  # (1, 2, h, w)
    slope = covariance / (variance + SLOPE_EPSILON)
    return torch.cat([slope, ab_norm - slope * L_norm], dim=1)


def _mean_around(planes: Tensor) -> Tensor:
    """Mean over 3x3 pixels, the border repeated."""
    return F.avg_pool2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _own_L_norm(rgb: Pixels, device: torch.device) -> Tensor:  # noqa: N802
    """(H, W, 3) uint8 or uint16 RGB -> its lightness, (1, 1, H, W) in [-1, 1]."""
    if rgb.dtype == np.uint8:
        stored = torch.from_numpy(np.ascontiguousarray(rgb))[None].to(device)
        return lightness(stored) / L_SCALE - 1
    stored = torch.from_numpy(rgb.astype(np.float32))[None].to(device)
    planes = stored.movedim(-1, -3) / 65535  # (1, 3, H, W)
    return rgb_to_lab(planes)[:, :1] / L_SCALE - 1


def _small_copy(gray: GrayPixels, shorter_side: int) -> GrayPixels:
    """Resize so that the shorter side has so many pixels; the shape stays.

    The longer side is limited to `LONGEST` times the shorter one.
    """
    H, W = gray.shape
    scale = shorter_side / min(H, W)
    h, w = (min(round(side * scale), LONGEST * shorter_side) for side in (H, W))
    return resized(gray, h, w)


def _as_rgb(gray: GrayPixels) -> NDArray[np.uint8]:
    """(H, W) -> (H, W, 3), three equal channels."""
    return np.repeat(gray[..., None], 3, axis=2)


def _upsampled_rows(planes: Tensor, rows: slice, H: int, W: int) -> Tensor:
    """Some rows of `planes` (1, C, h, w) upsampled bilinearly to (1, C, H, W)."""
    h = planes.shape[-2]
    target = torch.arange(rows.start, rows.stop, device=planes.device)
    position = ((target + 0.5) * h / H - 0.5).clamp(0, h - 1)  # pixel centres
    above = position.floor().long()
    below = (above + 1).clamp(max=h - 1)
    weight = (position - above)[:, None]  # (rows, 1)
    lines = planes[..., above, :].lerp(planes[..., below, :], weight)  # (1, C, rows, w)
    size = (len(target), W)
    return F.interpolate(lines, size=size, mode="bilinear", align_corners=False)


def _batch_of_one(gray: GrayPixels) -> Tensor:
    """(H, W) uint8 -> `rgb` (1, 3, H, W) in [0, 1]."""
    return images_to_float(torch.from_numpy(_as_rgb(gray))[None])
