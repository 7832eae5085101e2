"""What a model sees of a photograph, and what it must predict: the choice of a space.

    rgb ── split ──► L_norm, target_norm        L_norm, target_norm ── to_lab ──► lab

The paper divides Lab. Other spaces divide colour from lightness differently, and RGB
does not divide them at all: the model must then predict what it was shown.
"""

from typing import Literal

import torch
from pydantic.dataclasses import dataclass
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

Space = Literal["lab", "luv", "yuv", "rgb", "rgb_keep_L"]
Gray = Literal["L", "luma"]

UV_SCALE = 180.0  # Luv units: the most saturated sRGB colour has |u| = 175
YUV_SCALE = 0.65  # the largest |V| of an sRGB colour is 0.615


@dataclass(frozen=True)
class Target:
    """The space a model predicts colour in, and where its gray image comes from.

    Attributes:
        space: `lab`, the paper's; `luv`; `yuv`; or `rgb`, which has no lightness to
            keep: the model predicts that, too; or `rgb_keep_L`, the same with the
            predicted lightness replaced by that of the input.
        gray: `L`, the lightness of the colour photograph in that space, which the
            paper seems to mean; or `luma`: the photograph is first made gray as image
            software does it. A gray photograph found in an attic has neither.

    Raises:
        pydantic.ValidationError: If it is another word.

    Example:
        >>> rgb = torch.rand(2, 3, 8, 8)
        >>> L_norm, target_norm = Target("yuv").split(rgb)
        >>> lab = Target("yuv").to_lab(L_norm, target_norm)
        >>> bool((lab - rgb_to_lab(rgb)).abs().max() < 0.01)
        True
    """

    space: Space = "lab"
    gray: Gray = "L"

    @property
    def channels(self) -> int:
        """How many planes the model predicts."""
        return 3 if self.space.startswith("rgb") else 2

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Divide photographs into what is seen and what is to be predicted.

        Args:
            rgb: (N, 3, H, W) float, sRGB in [0, 1].

        Returns:
            `L_norm`, (N, 1, H, W) in [-1, 1]: L / 50 - 1, or 2 Y - 1 for YUV; and
            `target_norm`, (N, 2 or 3, H, W) in [-1, 1]: what the model must predict.
        """
        L_norm, target_norm = self._divided(rgb)
        if self.gray == "luma":
            L_norm, _ = self._divided(luma(rgb).expand_as(rgb))
        return L_norm, target_norm

    def to_lab(self, L_norm: Tensor, target_norm: Tensor) -> Tensor:
        """Put lightness and predicted colour together.

        Args:
            L_norm: (N, 1, H, W), of `split`.
            target_norm: (N, 2 or 3, H, W), predicted.

        Returns:
            `lab`, (N, 3, H, W); nothing is clipped, so it may be a colour that no
            screen shows.
        """
        check_image(target_norm, self.channels)
        if self.space == "lab":
            return denormalize_lab(L_norm, target_norm)
        if self.space.startswith("rgb"):
            lab = rgb_to_lab((target_norm + 1) / 2)
            if self.space == "rgb":
                return lab
            return torch.cat([(L_norm + 1) * L_SCALE, lab[:, 1:]], -3)
        if self.space == "luv":
            luv = torch.cat([(L_norm + 1) * L_SCALE, target_norm * UV_SCALE], -3)
            return xyz_to_lab(luv_to_xyz(widen(luv)))
        yuv = torch.cat([(L_norm + 1) / 2, target_norm * YUV_SCALE], -3)
        return rgb_to_lab(yuv_to_rgb(yuv, clip=False))

    def _divided(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Lightness and colour in the target's space, both in [-1, 1]."""
        if self.space == "luv":
            luv = rgb_to_luv(rgb)
            return luv[:, :1] / L_SCALE - 1, luv[:, 1:] / UV_SCALE
        if self.space == "yuv":
            yuv = rgb_to_yuv(rgb)
            return 2 * yuv[:, :1] - 1, yuv[:, 1:] / YUV_SCALE
        L_norm, ab_norm = normalize_lab(rgb_to_lab(rgb))
        return L_norm, 2 * rgb - 1 if self.space.startswith("rgb") else ab_norm


PAPER = Target()  # Lab, and L as the gray image
