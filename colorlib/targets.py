"""What a model sees of a photograph, and what it must predict: the choice of a space.

    rgb ── split ──► L_unit, chroma_unit        L_unit, chroma_unit ── to_lab ──► lab

The paper divides Lab. Other spaces divide colour from lightness differently, and RGB
does not divide them at all: the model must then predict what it was shown.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from colorlib.color import (
    L_SCALE,
    check_image,
    denormalize_lab,
    luma,
    luv_to_xyz,
    normalize_lab,
    rgb_to_lab,
    rgb_to_luv,
    rgb_to_yuv,
    widen,
    xyz_to_lab,
    yuv_to_rgb,
)
from colorlib.parameters import check_words

Space = Literal["lab", "luv", "yuv", "rgb"]
Gray = Literal["L", "luma"]

UV_SCALE = 180.0  # Luv units: the most saturated sRGB colour has |u| = 175
YUV_SCALE = 0.65  # the largest |V| of an sRGB colour is 0.615


@dataclass(frozen=True)
class Target:
    """The space a model predicts colour in, and where its gray image comes from.

    Attributes:
        space: `lab`, the paper's; `luv`; `yuv`; or `rgb`, which has no lightness to
            keep: the model predicts that, too.
        gray: `L`, the lightness of the colour photograph in that space, which the
            paper seems to mean; or `luma`: the photograph is first made gray as image
            software does it. A gray photograph found in an attic has neither.

    Raises:
        UserError: If it is another word.

    Example:
        >>> rgb = torch.rand(2, 3, 8, 8)
        >>> L_unit, chroma_unit = Target("yuv").split(rgb)
        >>> lab = Target("yuv").to_lab(L_unit, chroma_unit)
        >>> bool((lab - rgb_to_lab(rgb)).abs().max() < 0.01)
        True
    """

    space: Space = "lab"
    gray: Gray = "L"

    def __post_init__(self) -> None:
        check_words(self)

    @property
    def channels(self) -> int:
        """How many planes the model predicts."""
        return 3 if self.space == "rgb" else 2

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Divide photographs into what is seen and what is to be predicted.

        Args:
            rgb: (N, 3, H, W) float, sRGB in [0, 1].

        Returns:
            `L_unit`, (N, 1, H, W) in [-1, 1]: L / 50 - 1, or 2 Y - 1 for YUV; and
            `chroma_unit`, (N, 2 or 3, H, W) in [-1, 1]: what the model must predict.
        """
        L_unit, chroma_unit = self._divided(rgb)
        if self.gray == "luma":
            L_unit, _ = self._divided(luma(rgb).expand_as(rgb))
        return L_unit, chroma_unit

    def to_lab(self, L_unit: Tensor, chroma_unit: Tensor) -> Tensor:
        """Put lightness and predicted colour together.

        Args:
            L_unit: (N, 1, H, W), of `split`.
            chroma_unit: (N, 2 or 3, H, W), predicted.

        Returns:
            `lab`, (N, 3, H, W); nothing is clipped, so it may be a colour that no
            screen shows.
        """
        check_image(chroma_unit, self.channels)
        if self.space == "lab":
            return denormalize_lab(L_unit, chroma_unit)
        if self.space == "rgb":
            return rgb_to_lab((chroma_unit + 1) / 2)
        if self.space == "luv":
            luv = torch.cat([(L_unit + 1) * L_SCALE, chroma_unit * UV_SCALE], -3)
            return xyz_to_lab(luv_to_xyz(widen(luv)))
        yuv = torch.cat([(L_unit + 1) / 2, chroma_unit * YUV_SCALE], -3)
        return rgb_to_lab(yuv_to_rgb(yuv, clip=False))

    def _divided(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Lightness and colour in the target's space, both in [-1, 1]."""
        if self.space == "luv":
            luv = rgb_to_luv(rgb)
            return luv[:, :1] / L_SCALE - 1, luv[:, 1:] / UV_SCALE
        if self.space == "yuv":
            yuv = rgb_to_yuv(rgb)
            return 2 * yuv[:, :1] - 1, yuv[:, 1:] / YUV_SCALE
        L_unit, ab_unit = normalize_lab(rgb_to_lab(rgb))
        return L_unit, 2 * rgb - 1 if self.space == "rgb" else ab_unit


PAPER = Target()  # Lab, and L as the gray image
