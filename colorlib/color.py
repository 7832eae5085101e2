"""RGB to CIE Lab and back, and the network's scaling of Lab.

The way to Lab is a chain that the names spell out::

    rgb ─ srgb_to_linear ─► linear ─ linear_to_xyz ─► xyz ─ xyz_to_lab ─► lab
        ◄ linear_to_srgb ─         ◄ xyz_to_linear ─      ◄ lab_to_xyz ─

Every conversion takes a float tensor `(..., 3, H, W)` on any device and returns one
of the same shape and dtype; halves are computed in float32. Stored images, uint8
`(..., H, W, 3)`, come in by `images_to_float` and `lightness` alone. Other dtypes raise
a TypeError and other shapes a ValueError: values are never rescaled implicitly.
Illuminant D65, observer 2 degrees, constants as scikit-image.

All conversions are differentiable with finite gradients, also for black, white and
gray. Each piecewise curve (linear, then power law) is the sum of both pieces, with the
argument clamped to each piece's interval. With `torch.where` the unused piece could
have an infinite gradient, and the mask would cost more than both pieces.

Luv and YUV, which a model may predict in place of Lab, are in `colorlib.targets`.

References:
    IEC 61966-2-1 (sRGB); CIE 15 (Lab).
"""

import torch
from torch import Tensor

# sRGB: a straight line near black, a power above it.
SRGB_SLOPE = 12.92
SRGB_OFFSET = 0.055
SRGB_GAMMA = 2.4
SRGB_THRESHOLD = 0.04045
LINEAR_THRESHOLD = SRGB_THRESHOLD / SRGB_SLOPE  # 0.0031308

# Linear sRGB to CIE XYZ under D65, 2 degrees, and the white there.
XYZ_FROM_LINEAR = [
    [0.412453, 0.357580, 0.180423],
    [0.212671, 0.715160, 0.072169],
    [0.019334, 0.119193, 0.950227],
]
LINEAR_FROM_XYZ = torch.tensor(XYZ_FROM_LINEAR, dtype=torch.float64).inverse().tolist()
WHITE_X, WHITE_Y, WHITE_Z = 0.95047, 1.0, 1.08883

# CIE lightness: a straight line near black, a cube root above it, joined smoothly.
LAB_DELTA = 6 / 29
LAB_EPSILON = LAB_DELTA**3  # 0.008856
LAB_SLOPE = 1 / (3 * LAB_DELTA**2)  # 7.787
LAB_OFFSET = 4 / 29

GAMUT_TOLERANCE = 1e-4  # in RGB: the precision of a round trip, invisible

# The network's scale.
L_SCALE = 50.0  # L_norm = L / 50 - 1; the paper does not say how it scales L
AB_SCALE = 128.0  # ab_norm = ab / 128; the paper, Sec. 4.2


def check_image(image: Tensor, channels: int = 3) -> Tensor:
    """Refuse all but float tensors (..., channels, H, W); halves become float32."""
    if not isinstance(image, Tensor) or not image.is_floating_point():
        found = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"found an image of {found}, expected a float tensor: "
            "convert uint8 images with images_to_float"
        )
    if image.ndim < 3 or image.shape[-3] != channels:
        raise ValueError(
            f"found an image of shape {tuple(image.shape)}, expected "
            f"(..., {channels}, H, W): the channels go before height and width"
        )
    return image.float() if image.itemsize == 2 else image


def check_pair(pred: Tensor, true: Tensor) -> None:
    """Refuse shapes that differ, which broadcasting would silently stretch."""
    if pred.shape != true.shape or pred.ndim != 4:
        raise ValueError(
            f"found a prediction of shape {tuple(pred.shape)} and a truth of shape "
            f"{tuple(true.shape)}, expected both (N, C, H, W): the same images, at the "
            "same size"
        )


# -------------------------------------------------------------------- sRGB, linear, XYZ


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """Undo the display's gamma: sRGB [0, 1] to linear light [0, 1]."""
    line = rgb.clamp(max=SRGB_THRESHOLD) / SRGB_SLOPE
    above = (rgb.clamp(min=SRGB_THRESHOLD) + SRGB_OFFSET) / (1 + SRGB_OFFSET)
    return line + (_power(above, SRGB_GAMMA) - LINEAR_THRESHOLD)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Apply the display's gamma: linear light [0, 1] to sRGB [0, 1]."""
    line = linear.clamp(max=LINEAR_THRESHOLD) * SRGB_SLOPE
    above = _power(linear.clamp(min=LINEAR_THRESHOLD), 1 / SRGB_GAMMA)
    return line + ((1 + SRGB_OFFSET) * above - SRGB_OFFSET - SRGB_THRESHOLD)


def _power(base: Tensor, exponent: float) -> Tensor:
    """A positive base to a power, by way of logarithms, which costs less than `**`."""
    return torch.exp2(exponent * torch.log2(base))


def linear_to_xyz(linear: Tensor) -> Tensor:
    """Linear light to CIE XYZ, where white has Y = 1."""
    return _mix(XYZ_FROM_LINEAR, linear)


def xyz_to_linear(xyz: Tensor) -> Tensor:
    """CIE XYZ to linear light; negative where the display has no such colour."""
    return _mix(LINEAR_FROM_XYZ, xyz)


def _mix(matrix: list[list[float]], image: Tensor) -> Tensor:
    """Multiply each pixel by a matrix of K rows, term by term: no autocast, no TF32."""
    x, y, z = image.unbind(-3)  # 3 times (..., H, W)
    rows = [p * x + q * y + r * z for p, q, r in matrix]
    return torch.stack(rows, -3)  # (..., K, H, W)


# ------------------------------------------------------------------------------ CIE Lab


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIE Lab.

    Args:
        rgb: (..., 3, H, W) float, sRGB in [0, 1].

    Returns:
        (..., 3, H, W): L in [0, 100], a in [-86.2, 98.3], b in [-107.9, 94.5].

    Reference:
        CIE 15; the white of scikit-image leaves a and b of grays within 0.01 of 0.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
        >>> [round(v, 2) for v in rgb_to_lab(red).flatten().tolist()]
        [53.24, 80.09, 67.2]
    """
    linear = srgb_to_linear(check_image(rgb))
    return xyz_to_lab(linear_to_xyz(linear)).to(rgb.dtype)


def lab_to_rgb(lab: Tensor, clip: bool = True) -> Tensor:
    """Convert CIE Lab to sRGB.

    Args:
        lab: (..., 3, H, W) float: L in [0, 100], a and b in Lab units.
        clip: Whether colours that no display shows are clipped to [0, 1], with zero
            gradient there; `out_of_gamut` tells which they are.

    Returns:
        (..., 3, H, W) sRGB, in [0, 1] if clipped.

    Example:
        >>> lab = torch.tensor([50.0, 0.0, 0.0]).view(3, 1, 1)
        >>> [round(v, 2) for v in lab_to_rgb(lab).flatten().tolist()]
        [0.47, 0.47, 0.47]
    """
    linear = xyz_to_linear(lab_to_xyz(check_image(lab)))
    rgb = linear_to_srgb(linear).to(lab.dtype)
    return rgb.clamp(0, 1) if clip else rgb


def xyz_to_lab(xyz: Tensor) -> Tensor:
    """CIE XYZ to CIE Lab: lightness and two differences of compressed XYZ."""
    X, Y, Z = xyz.unbind(-3)  # 3 times (..., H, W)
    x, y, z = map(lightness_curve, (X / WHITE_X, Y / WHITE_Y, Z / WHITE_Z))
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def lab_to_xyz(lab: Tensor) -> Tensor:
    """CIE Lab to CIE XYZ."""
    L, a, b = lab.unbind(-3)  # 3 times (..., H, W)
    y = (L + 16) / 116
    X, Y, Z = map(inverse_lightness_curve, (y + a / 500, y, y - b / 200))
    return torch.stack([WHITE_X * X, WHITE_Y * Y, WHITE_Z * Z], -3)


def lightness_curve(ratio: Tensor) -> Tensor:
    """The eye's compression: the cube root of a fraction of the white."""
    line = LAB_SLOPE * ratio.clamp(max=LAB_EPSILON) + LAB_OFFSET
    return line + (_power(ratio.clamp(min=LAB_EPSILON), 1 / 3) - LAB_DELTA)


def inverse_lightness_curve(compressed: Tensor) -> Tensor:
    """The inverse of `lightness_curve`."""
    line = (compressed.clamp(max=LAB_DELTA) - LAB_OFFSET) / LAB_SLOPE
    return line + (compressed.clamp(min=LAB_DELTA) ** 3 - LAB_EPSILON)


def out_of_gamut(lab: Tensor) -> Tensor:
    """Tell which pixels `lab_to_rgb` has to clip, by more than 1e-4 in RGB.

    Args:
        lab: (..., 3, H, W) float: L in [0, 100], a and b in Lab units.

    Returns:
        (..., H, W) bool; its mean is the clipped fraction of the pixels.

    Example:
        >>> vivid_and_gray = torch.tensor([[50.0, 50], [0, 0], [120, 0]])[:, None]
        >>> out_of_gamut(vivid_and_gray)
        tensor([[ True, False]])
    """
    rgb = lab_to_rgb(check_image(lab), clip=False)
    return ((rgb < -GAMUT_TOLERANCE) | (rgb > 1 + GAMUT_TOLERANCE)).any(-3)


# ------------------------------------------------------------------ The network's scale


def normalize_lab(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Split Lab into what the network sees and what it predicts, in [-1, 1].

    Args:
        lab: (..., 3, H, W) float: L in [0, 100], a and b in Lab units.

    Returns:
        `L_norm`, (..., 1, H, W), L / 50 - 1; and `ab_norm`, (..., 2, H, W), ab / 128,
        which stays within 0.85 for every sRGB colour.

    Reference:
        Section 4.2 of the paper for ab; it leaves the scale of L open.

    Example:
        >>> lab = torch.tensor([75.0, 64.0, -32.0]).view(3, 1, 1)
        >>> L_norm, ab_norm = normalize_lab(lab)
        >>> L_norm.item(), ab_norm.flatten().tolist()
        (0.5, [0.5, -0.25])
    """
    check_image(lab)
    L, ab = lab[..., :1, :, :], lab[..., 1:, :, :]  # (..., 1, H, W), (..., 2, H, W)
    return L / L_SCALE - 1, ab / AB_SCALE


def denormalize_lab(L_norm: Tensor, ab_norm: Tensor) -> Tensor:
    """Put Lab together again: the inverse of `normalize_lab`.

    Args:
        L_norm: (..., 1, H, W) float in [-1, 1].
        ab_norm: (..., 2, H, W) float in [-1, 1].

    Returns:
        `lab`, (..., 3, H, W): L in [0, 100], a and b in Lab units.

    Example:
        >>> denormalize_lab(torch.zeros(1, 1, 1), torch.ones(2, 1, 1)).flatten()
        tensor([ 50., 128., 128.])
    """
    check_image(L_norm, 1)
    check_image(ab_norm, 2)
    return torch.cat([(L_norm + 1) * L_SCALE, ab_norm * AB_SCALE], -3)


def gray_from_L(L_norm: Tensor) -> Tensor:  # noqa: N802  # L is the field's own name
    """Make the gray image that the backbones see, from lightness alone.

    Args:
        L_norm: (..., 1, H, W) float in [-1, 1].

    Returns:
        L / 100, (..., 1, H, W) in [0, 1].

    Reference:
        Section 4.2: "the light intensity layer is converted into three layers".

    Example:
        >>> gray_from_L(torch.zeros(1, 1, 1)).item()
        0.5
    """
    check_image(L_norm, 1)
    return (L_norm + 1) / 2


# ------------------------------------------------------------------------ Stored images


def images_to_float(images_uint8: Tensor) -> Tensor:
    """Turn stored images into `rgb`.

    Args:
        images_uint8: (..., H, W, 3) uint8, sRGB in 0..255.

    Returns:
        `rgb`, (..., 3, H, W) float32 in [0, 1].

    Example:
        >>> images_to_float(torch.full((2, 4, 5, 3), 255, dtype=torch.uint8)).shape
        torch.Size([2, 3, 4, 5])
    """
    return _planes(images_uint8).contiguous().float() / 255


def lightness(images_uint8: Tensor) -> Tensor:
    """L of Lab of stored images, without their a and b: a fifth of the work.

    Args:
        images_uint8: (..., H, W, 3) uint8, sRGB in 0..255.

    Returns:
        L in [0, 100], (..., 1, H, W) float32.

    Example:
        >>> lightness(torch.full((4, 5, 3), 255, dtype=torch.uint8)).round().unique()
        tensor([100.])
    """
    planes = _planes(images_uint8)  # (..., 3, H, W)
    levels = torch.arange(256, device=planes.device) / 255
    table = srgb_to_linear(levels)  # each of the 256 once
    linear = table.index_select(0, planes.flatten().int()).view(planes.shape)
    Y = _mix(XYZ_FROM_LINEAR[1:2], linear)  # (..., 1, H, W)
    return 116 * lightness_curve(Y) - 16


def _planes(images_uint8: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 as (..., 3, H, W); refuse what is no stored image."""
    if images_uint8.dtype != torch.uint8:
        raise TypeError(f"found images of {images_uint8.dtype}, expected torch.uint8")
    if images_uint8.ndim < 3 or images_uint8.shape[-1] != 3:
        raise ValueError(
            f"found images of shape {tuple(images_uint8.shape)}, expected "
            "(..., H, W, 3): the channels go last in a stored image"
        )
    return images_uint8.movedim(-1, -3)
