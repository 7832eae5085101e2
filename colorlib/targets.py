"""What a model sees of an image, and what it must predict: the choice of a space.

    rgb ── split ──► L_norm, target_norm        L_norm, target_norm ── to_lab ──► lab

The paper uses Lab. Luv and YUV, which are defined here, separate colour from lightness
differently, and RGB does not separate them: the model must then also predict its own
input. Conversions behave as those of `colorlib.color`, but the inverse conversions do
not clip.

References:
    CIE 15 (Luv); ITU-R BT.601 (luma, YUV).
"""

from typing import Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor

from colorlib.color import (
    L_SCALE,
    WHITE_X,
    WHITE_Y,
    WHITE_Z,
    check_image,
    denormalize_lab,
    inverse_lightness_curve,
    lightness_curve,
    linear_to_srgb,
    linear_to_xyz,
    normalize_lab,
    rgb_to_lab,
    srgb_to_linear,
    xyz_to_lab,
    xyz_to_linear,
)

Space = Literal["lab", "luv", "yuv", "rgb", "rgb_keep_L"]
Gray = Literal["L", "luma"]

LUV_SCALE = 180.0  # Luv units: the most saturated sRGB colour has |u| = 175
YUV_SCALE = 0.65  # the largest |V| of an sRGB colour is 0.615

# Chromaticity of the white in Luv, and bounds below which no colour is visible.
WHITE_U = 4 * WHITE_X / (WHITE_X + 15 * WHITE_Y + 3 * WHITE_Z)  # 0.1978
WHITE_V = 9 * WHITE_Y / (WHITE_X + 15 * WHITE_Y + 3 * WHITE_Z)  # 0.4683
V_PRIME_MIN = 0.01  # the spectrum's violet end has 0.016
L_MIN = 1e-4
SUM_MIN = 1e-12  # of X + 15 Y + 3 Z: below it there is no chromaticity

# BT.601: the eye's share of each primary; U and V are scaled colour differences.
LUMA_R, LUMA_G, LUMA_B = 0.299, 0.587, 0.114
U_SCALE = 0.492111  # U = U_SCALE (B - Y)
V_SCALE = 0.877283  # V = V_SCALE (R - Y)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Target:
    """The space a model predicts colour in, and where its gray image comes from.

    Attributes:
        space: `lab`, the paper's; `luv`; `yuv`; or `rgb`, which has no lightness to
            keep: the model predicts that, too; or `rgb_keep_L`, the same with the
            predicted lightness replaced by that of the input.
        gray: `L`, the lightness of the colour image in that space, which the
            paper seems to mean; or `luma`: the image is first made gray as image
            software does it. A scanned gray photograph contains neither exactly.

    Raises:
        pydantic.ValidationError: If a field has another value.

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
        """Divide images into the model's input and what it must predict.

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
        L = (L_norm + 1) * L_SCALE
        if self.space == "lab":
            return denormalize_lab(L_norm, target_norm)
        if self.space == "luv":
            luv = torch.cat([L, target_norm * LUV_SCALE], -3)
            return xyz_to_lab(luv_to_xyz(check_image(luv)))
        if self.space == "yuv":
            yuv = torch.cat([(L_norm + 1) / 2, target_norm * YUV_SCALE], -3)
            return rgb_to_lab(yuv_to_rgb(yuv))
        lab = rgb_to_lab((target_norm + 1) / 2)
        return lab if self.space == "rgb" else torch.cat([L, lab[:, 1:]], -3)

    def _divided(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Lightness and colour in the target's space, both in [-1, 1]."""
        if self.space == "luv":
            luv = rgb_to_luv(rgb)
            return luv[:, :1] / L_SCALE - 1, luv[:, 1:] / LUV_SCALE
        if self.space == "yuv":
            yuv = rgb_to_yuv(rgb)
            return 2 * yuv[:, :1] - 1, yuv[:, 1:] / YUV_SCALE
        L_norm, ab_norm = normalize_lab(rgb_to_lab(rgb))
        return L_norm, 2 * rgb - 1 if self.space.startswith("rgb") else ab_norm


PAPER = Target()  # Lab, and L as the gray image


# ------------------------------------------------------------------------------ CIE Luv


def rgb_to_luv(rgb: Tensor) -> Tensor:
    """Convert sRGB, (..., 3, H, W) float in [0, 1], to CIE Luv.

    Lightness is that of Lab; u and v are the chromaticity, seen from the white.

    Returns:
        (..., 3, H, W): L in [0, 100], u in [-83.1, 175.1], v in [-134.1, 107.4].

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
        >>> [round(v, 2) for v in rgb_to_luv(red).flatten().tolist()]
        [53.24, 175.01, 37.76]
    """
    xyz = linear_to_xyz(srgb_to_linear(check_image(rgb)))
    x, y, z = xyz.unbind(-3)  # 3 times (..., H, W)
    L = 116 * lightness_curve(y) - 16
    total = (x + 15 * y + 3 * z).clamp(min=SUM_MIN)
    u = 13 * L * (4 * x / total - WHITE_U)
    v = 13 * L * (9 * y / total - WHITE_V)
    return torch.stack([L, u, v], -3).to(rgb.dtype)


def luv_to_rgb(luv: Tensor) -> Tensor:
    """Convert CIE Luv, (..., 3, H, W) in its own units, to sRGB.

    Example:
        >>> luv = torch.tensor([50.0, 0.0, 0.0]).view(3, 1, 1)
        >>> [round(v, 2) for v in luv_to_rgb(luv).flatten().tolist()]
        [0.47, 0.47, 0.47]
    """
    linear = xyz_to_linear(luv_to_xyz(check_image(luv)))
    return linear_to_srgb(linear).to(luv.dtype)


def luv_to_xyz(luv: Tensor) -> Tensor:
    """CIE Luv to CIE XYZ; v' is clamped to visible chromaticities."""
    L, u, v = luv.unbind(-3)  # 3 times (..., H, W)
    y = inverse_lightness_curve((L + 16) / 116)
    u_prime = u / (13 * L.clamp(min=L_MIN)) + WHITE_U
    v_prime = (v / (13 * L.clamp(min=L_MIN)) + WHITE_V).clamp(min=V_PRIME_MIN)
    x = y * 9 * u_prime / (4 * v_prime)
    z = y * (12 - 3 * u_prime - 20 * v_prime) / (4 * v_prime)
    return torch.stack([x, y, z], -3)


# ---------------------------------------------------------------------------------- YUV


def rgb_to_yuv(rgb: Tensor) -> Tensor:
    """Convert sRGB, (..., 3, H, W) float in [0, 1], to YUV of analogue television.

    Returns:
        (..., 3, H, W): Y in [0, 1], U in [-0.436, 0.436], V in [-0.615, 0.615].

    Reference:
        BT.601 luma; the scales of U and V as Poynton and scikit-image.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
        >>> [round(v, 3) for v in rgb_to_yuv(red).flatten().tolist()]
        [0.299, -0.147, 0.615]
    """
    image = check_image(rgb)
    R, _, B = image.unbind(-3)  # 3 times (..., H, W)
    Y = luma(image).squeeze(-3)
    return torch.stack([Y, U_SCALE * (B - Y), V_SCALE * (R - Y)], -3).to(rgb.dtype)


def yuv_to_rgb(yuv: Tensor) -> Tensor:
    """Convert YUV, (..., 3, H, W) in the ranges of `rgb_to_yuv`, to sRGB.

    Example:
        >>> yuv_to_rgb(torch.tensor([0.5, 0.0, 0.0]).view(3, 1, 1)).flatten()
        tensor([0.5000, 0.5000, 0.5000])
    """
    Y, U, V = check_image(yuv).unbind(-3)  # 3 times (..., H, W)
    R = Y + V / V_SCALE
    B = Y + U / U_SCALE
    G = (Y - LUMA_R * R - LUMA_B * B) / LUMA_G
    return torch.stack([R, G, B], -3).to(yuv.dtype)


def luma(rgb: Tensor) -> Tensor:
    """Gray by BT.601, the gray of most image software; not the L of Lab.

    Args:
        rgb: (..., 3, H, W) float, sRGB in [0, 1].

    Returns:
        (..., 1, H, W) in [0, 1].

    Example:
        >>> luma(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1))
        tensor([[[0.2990]]])
    """
    R, G, B = check_image(rgb).unbind(-3)  # 3 times (..., H, W)
    return (LUMA_R * R + LUMA_G * G + LUMA_B * B).unsqueeze(-3).to(rgb.dtype)
