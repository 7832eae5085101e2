"""A photograph of any size in, the same photograph in colour out.

The photograph is made gray, and the network sees a small copy of that. Chroma has
little detail, so what it predicts is enlarged to the photograph's own grid and joined
with the photograph's own lightness: nothing of its sharpness is lost.

Reference:
    Section 4.3 of the paper: the predicted a and b are added to the input's L.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from colorlib.backbones import Backbone, ScoreKind, features_of_images
from colorlib.color import (
    L_SCALE,
    denormalize_lab,
    gray_from_L,
    images_to_float,
    lab_to_rgb,
    lightness,
    normalize_lab,
)
from colorlib.errors import UserError
from colorlib.feeding import extract_features, read_feeding
from colorlib.images import (
    PHOTOGRAPH_SUFFIXES,
    Photograph,
    fit_square,
    read_photograph,
    write_photograph,
)
from colorlib.model import ColorizationModel, load_model
from colorlib.targets import PAPER, Target

Pixels = NDArray[np.uint8]

SHIPPED = Path(__file__).parent / "shipped" / "model.safetensors"  # see its README.md
WRITTEN = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
MARK = ".coloured"  # in the name of a result, so that it is not coloured again
STRIP_PIXELS = 2**17  # joined at a time: memory stays bounded, and in the cache
LONGEST = 8  # times the shorter side: longer photographs are seen squeezed
FLAT = 0.01  # of L_norm squared: contrasts below 5 of L guide the chroma little


@dataclass(frozen=True)
class Colorizer:
    """A trained model with the backbones that feed it.

    Attributes:
        model: Predicts chroma from lightness and class scores.
        backbones: In the order of the model's class scores.
        size: Shorter side of what the model sees, pixels: that of its training.
        backbone_image_size: Side of the square the backbones see, pixels.
        scores: What the model is told by its backbones.
        target: The space it predicts colour in, and what it sees.
    """

    model: ColorizationModel
    backbones: Sequence[Backbone]
    size: int
    backbone_image_size: int
    scores: ScoreKind
    target: Target = PAPER

    @classmethod
    def load(
        cls,
        path: str | Path = SHIPPED,
        weights_root: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> "Colorizer":
        """Load the model that comes with the package, or one `companion train` wrote.

        Args:
            path: A `model.safetensors`.
            weights_root: Folder of the backbones' files, for a model trained with
                `weights: file`.
            device: Where to compute.

        Raises:
            UserError: If the file is no such model, or a backbone is not the one the
                model was trained with.
        """
        model, notes = load_model(Path(path))
        feeding = read_feeding(Path(path), notes)
        backbones = extract_features(feeding, Path(path), weights_root)
        return cls(
            model=model.to(device),
            backbones=tuple(backbone.to(device) for backbone in backbones),
            size=feeding.size,
            backbone_image_size=feeding.backbone_image_size,
            scores=feeding.scores,
            target=Target(feeding.target, feeding.gray),
        )

    @torch.inference_mode()
    def colorize(self, photograph: Photograph) -> Photograph:
        """Colour a photograph; whatever colour it had is not looked at.

        It is made gray before it is made small: resizing mixes neighbours, and what
        colours mix to is not of the lightness that their grays mix to.

        Args:
            photograph: Any size from 8 px.

        Returns:
            The same size, transparency and metadata, the same lightness (L of Lab, to
            the rounding of 8 bits), and the predicted chroma.
        """
        gray = gray_of(photograph.rgb)  # (H, W, 3)
        ab_norm = self._predict(gray)  # (1, 2, h, w)
        rgb = join_with_own_lightness(photograph, gray, ab_norm)
        return replace(photograph, rgb=rgb)

    def _predict(self, gray: Pixels) -> Tensor:
        """The chroma of a small copy, `ab_norm` (1, 2, h, w)."""
        device = next(self.model.parameters()).device
        small = _small_copy(gray, self.size)  # (h, w, 3)
        L_norm, _ = self.target.split(_batch_of_one(small).to(device))  # (1, 1, h, w)
        features = self._class_scores(gray) if self.backbones else None
        target_norm = self.model(L_norm, features)  # (1, 2 or 3, h, w)
        _, ab_norm = normalize_lab(self.target.to_lab(L_norm, target_norm))
        return ab_norm

    def _class_scores(self, gray: Pixels) -> Tensor:
        """What the backbones say of the gray photograph, (1, ...)."""
        device = next(self.model.parameters()).device
        square = fit_square(gray, self.backbone_image_size)
        L_norm, _ = Target(gray=self.target.gray).split(_batch_of_one(square))
        seen = gray_from_L(L_norm).to(device)  # (1, 1, see, see)
        return features_of_images(self.backbones, seen, self.scores)


def gray_of(rgb: Pixels) -> Pixels:
    """Make a photograph gray: of the 256 grays, each pixel's nearest in lightness.

    Args:
        rgb: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8, three equal channels; of what is gray already, the same.

    Example:
        >>> gray_of(np.array([[[0, 0, 255], [80, 80, 80]]], np.uint8))[..., 0]
        array([[76, 80]], dtype=uint8)
    """
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)  # (256, 3)
    L_norm = _own_L_norm(levels[None], torch.device("cpu")).flatten()  # ascending
    between = (L_norm[1:] + L_norm[:-1]) / 2
    gray = np.empty_like(rgb)
    for rows in _strips(*rgb.shape[:2]):
        L_norm = _own_L_norm(rgb[rows], torch.device("cpu"))  # (1, 1, rows, W)
        gray[rows] = torch.bucketize(L_norm[0, 0], between)[..., None].numpy()
    return gray


def join_with_own_lightness(
    photograph: Photograph, gray: Pixels, ab_norm: Tensor
) -> Pixels:
    """Enlarge chroma along the photograph's own lightness, and join the two.

    Works on strips of rows, so memory beyond the photograph itself is bounded.

    Args:
        photograph: (H, W) pixels.
        gray: (H, W, 3) uint8, the same in gray, see `gray_of`.
        ab_norm: (1, 2, h, w) in [-1, 1], the chroma of the whole photograph.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    (H, W), (h, w) = photograph.rgb.shape[:2], ab_norm.shape[-2:]
    small_L_norm = _own_L_norm(_resized(gray, h, w), ab_norm.device)
    lines = chroma_along_lightness(ab_norm, small_L_norm)  # (1, 4, h, w)
    coloured = np.empty_like(photograph.rgb)
    for rows in _strips(H, W):
        L_norm = _own_L_norm(photograph.rgb[rows], ab_norm.device)  # (1, 1, rows, W)
        slope, offset = _enlarged_rows(lines, rows, H, W).chunk(2, dim=1)
        ab_strip = slope * L_norm + offset  # (1, 2, rows, W)
        rgb = lab_to_rgb(denormalize_lab(L_norm, ab_strip))  # (1, 3, rows, W)
        strip = (rgb[0] * 255).round().byte().permute(1, 2, 0)  # (rows, W, 3)
        coloured[rows] = strip.cpu().numpy()
    return coloured


def _strips(H: int, W: int) -> Iterator[slice]:
    """The rows of a photograph, some at a time."""
    step = max(1, STRIP_PIXELS // W)
    for start in range(0, H, step):
        yield slice(start, min(start + step, H))


def chroma_along_lightness(ab_norm: Tensor, L_norm: Tensor) -> Tensor:
    """See chroma as a straight line over lightness, around each pixel of a small grid.

    Enlarged, the lines give chroma an edge where the photograph has one. Where nothing
    in lightness tells one colour from the other the slope is 0, and what is enlarged is
    the chroma itself.

    Args:
        ab_norm: (1, 2, h, w) in [-1, 1], chroma.
        L_norm: (1, 1, h, w) in [-1, 1], lightness on the same grid.

    Returns:
        (1, 4, h, w): the slopes of a and b, and their offsets. On the grid itself
        `slope * L_norm + offset` is `ab_norm`.

    Reference:
        He & Sun (2015), Fast Guided Filter, arXiv:1505.00996. Their lines also smooth
        the chroma; ours go through it, which is measured to be closer to the truth.

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
    slope = covariance / (variance + FLAT)
    return torch.cat([slope, ab_norm - slope * L_norm], dim=1)


def _mean_around(planes: Tensor) -> Tensor:
    """Mean over 3x3 pixels, the border repeated."""
    return F.avg_pool2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _own_L_norm(rgb: Pixels, device: torch.device) -> Tensor:  # noqa: N802
    """(H, W, 3) uint8 RGB -> its lightness, (1, 1, H, W) in [-1, 1]."""
    stored = torch.from_numpy(np.ascontiguousarray(rgb))[None].to(device)
    return lightness(stored) / L_SCALE - 1


def _small_copy(rgb: Pixels, shorter_side: int) -> Pixels:
    """Resize so that the shorter side has so many pixels; the shape stays.

    But within reason: a strip of 1 x 20,000 pixels would be seen 64 x 1,280,000.
    """
    H, W = rgb.shape[:2]
    scale = shorter_side / min(H, W)
    h, w = (min(round(side * scale), LONGEST * shorter_side) for side in (H, W))
    return _resized(rgb, h, w)


def _resized(rgb: Pixels, h: int, w: int) -> Pixels:
    """A copy of h rows and w columns, antialiased."""
    image = Image.fromarray(rgb)
    return np.array(image.resize((w, h), Image.Resampling.LANCZOS, reducing_gap=2))


def _enlarged_rows(planes: Tensor, rows: slice, H: int, W: int) -> Tensor:
    """Some rows of `planes` (1, C, h, w) enlarged bilinearly to (1, C, H, W)."""
    h = planes.shape[-2]
    target = torch.arange(rows.start, rows.stop, device=planes.device)
    position = ((target + 0.5) * h / H - 0.5).clamp(0, h - 1)  # pixel centres
    above = position.floor().long()
    below = (above + 1).clamp(max=h - 1)
    weight = (position - above)[:, None]  # (rows, 1)
    lines = planes[..., above, :].lerp(planes[..., below, :], weight)  # (1, C, rows, w)
    size = (len(target), W)
    return F.interpolate(lines, size=size, mode="bilinear", align_corners=False)


def _batch_of_one(rgb: Pixels) -> Tensor:
    """(H, W, 3) uint8 RGB -> `rgb` (1, 3, H, W) in [0, 1]."""
    return images_to_float(torch.from_numpy(np.ascontiguousarray(rgb))[None])


def plan_outputs(
    inputs: Sequence[Path], folder: Path | None
) -> list[tuple[Path, Path]]:
    """Find the photographs, and where each result goes.

    Args:
        inputs: Files, and folders that are searched for pictures.
        folder: Where results go, keeping the layout below a searched folder; None
            for beside the photographs.

    Returns:
        (photograph, result) pairs.

    Raises:
        UserError: If an input does not exist, there is no picture, or two results
            would have the same name.
    """
    jobs = []
    for given in inputs:
        if not given.exists():
            raise UserError(
                f"found no {given}, expected a photograph or a folder; check the path"
            )
        base = given if given.is_dir() else given.parent
        for source in _pictures_below(given) if given.is_dir() else [given]:
            place = (folder or base) / source.parent.relative_to(base)
            jobs.append((source, place / _result_name(source)))
    if not jobs:
        raise UserError(f"found no picture in {', '.join(map(str, inputs))}")
    often, count = Counter(target for _, target in jobs).most_common(1)[0]
    if count > 1:
        raise UserError(f"{count} photographs would become {often}; rename one")
    return jobs


def _result_name(source: Path) -> str:
    """NAME.coloured.SUFFIX; PNG for what we read but do not write."""
    suffix = source.suffix if source.suffix.lower() in WRITTEN else ".png"
    return f"{source.stem}{MARK}{suffix}"


def _pictures_below(folder: Path) -> list[Path]:
    """Pictures in a folder and below, in order, without our own results."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PHOTOGRAPH_SUFFIXES
        and MARK not in path.name
        and not path.is_dir()
    ]


def colorize_file(
    colorizer: Colorizer, source: Path, target: Path, *, overwrite: bool = False
) -> None:
    """Colour one file into another.

    Raises:
        UserError: If the result exists and `overwrite` is not given.
        PhotographError: If the photograph cannot be read.
    """
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists; give --force to overwrite it")
    write_photograph(colorizer.colorize(read_photograph(source)), target)
