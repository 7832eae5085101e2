"""How close a colorization is to the original: scores per image, and their summary.

Everything is computed from the two images that a viewer would see: RGB in [0, 1], with
colours outside the gamut clipped. Other tensors than floats raise a TypeError, images
of different shape or below the window of SSIM a ValueError. `summarize` describes the
scores of many images in two ways that must not be confused:

- the mean and the median of the scores per image;
- the pooled value, as if all pixels belonged to one image: the root of the mean MSE,
  the PSNR of the mean MSE. It differs from the mean of the roots and of the PSNRs.

References:
    Wang, Bovik, Sheikh & Simoncelli (2004), SSIM.
    Sharma, Wu & Dalal (2005), CIEDE2000 with its test data.
    Hasler & Süsstrunk (2003), colourfulness.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, inf, log10, pi, radians, sqrt

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from colorlib.color import AB_SCALE, check_image, check_pair, rgb_to_lab
from colorlib.stats import Floats, image_interval

SSIM_WINDOW = 11  # pixels; with SSIM_SIGMA, K1 and K2 as Wang et al., Sec. III-C
SSIM_SIGMA = 1.5  # pixels
SSIM_C1 = 0.01**2  # (K1 x data range)^2, and the data range is 1
SSIM_C2 = 0.03**2  # (K2 x data range)^2

ALPHA_BETA_TINY = 1e-4  # added to the brightness that is divided by


@dataclass(frozen=True)
class Metric:
    """The description of a metric.

    Attributes:
        label: For a table or an axis.
        higher_is_better: None where it depends on the original image.
        unit: Empty for a pure number.
    """

    label: str
    higher_is_better: bool | None = False
    unit: str = ""


METRICS = {
    "mse_ab_norm": Metric("MSE ab/128"),
    "rmse_ab_norm": Metric("RMSE ab/128"),
    "rmse_ab": Metric("RMSE ab", unit="Lab units"),
    "mae_ab": Metric("MAE ab", unit="Lab units"),
    "mse_rgb": Metric("MSE RGB"),
    "psnr_rgb": Metric("PSNR RGB", True, "dB"),
    "ssim_rgb": Metric("SSIM RGB", True),
    "ciede2000": Metric("CIEDE2000"),
    "colourfulness": Metric("Colourfulness", None),
    "colourfulness_true": Metric("Colourfulness of the ground truth", None),
    "mse_alpha_beta": Metric("MSE alpha-beta"),
    "rmse_alpha_beta": Metric("RMSE alpha-beta"),
    "loss_eq1": Metric("Loss of Eq. 1"),
    "named": Metric("Top-1 accuracy on coloured images", True),
    "mean_image_loss": Metric("Loss of the mean image"),
    "out_of_gamut": Metric("Pixels out of gamut"),
}
# Metric -> (metric to average, function of that mean); others are pooled as the mean.
POOLED: dict[str, tuple[str, Callable[[float], float]]] = {
    "rmse_ab_norm": ("mse_ab_norm", sqrt),
    "rmse_ab": ("mse_ab_norm", lambda mse: AB_SCALE * sqrt(mse)),
    "psnr_rgb": ("mse_rgb", lambda mse: -10 * log10(mse) if mse else inf),
    "rmse_alpha_beta": ("mse_alpha_beta", sqrt),
}


def score_images(pred_rgb: Tensor, true_rgb: Tensor) -> dict[str, Tensor]:
    """Score predictions against the ground truth, as displayed: clipped to [0, 1].

    Args:
        pred_rgb: (N, 3, H, W) float sRGB, at least 11 pixels high and wide.
        true_rgb: The ground truth, of the same shape.

    Returns:
        A tensor (N,) without gradient for each of `METRICS`, except `loss_eq1` and
        `out_of_gamut`, which clipped RGB does not show.
        `mse_ab_norm`, `rmse_ab_norm`: error of ab / 128 over pixels and channels;
        `rmse_ab`, `mae_ab`: the same in Lab units;
        `mse_rgb`, `psnr_rgb`: error of RGB in [0, 1], and in dB with peak 1, which is
        infinite for identical images;
        `ssim_rgb`, `ciede2000`, `colourfulness`: see the functions of these names;
        `colourfulness_true`: that of the ground truth;
        `mse_alpha_beta`, `rmse_alpha_beta`: error in the space of `alpha_beta`.

    Reference:
        Section 5.3 of the paper, which names MSE, MAE, PSNR and SSIM without units.

    Example:
        >>> true_rgb = torch.full((1, 3, 16, 16), 0.5)
        >>> scores = score_images(true_rgb + 0.1, true_rgb)
        >>> round(scores["psnr_rgb"].item(), 2)
        20.0
    """
    pred_rgb, true_rgb = _checked_pair(pred_rgb, true_rgb)
    with torch.no_grad():
        pred, true = pred_rgb.clamp(0, 1), true_rgb.clamp(0, 1)
        pred_lab, true_lab = rgb_to_lab(pred), rgb_to_lab(true)
        error_ab = pred_lab[:, 1:] - true_lab[:, 1:]  # (N, 2, H, W)
        mse_ab_norm = (error_ab / AB_SCALE).square().mean((1, 2, 3))  # (N,)
        mse_rgb = (pred - true).square().mean((1, 2, 3))  # (N,)
        error_alpha_beta = alpha_beta(pred) - alpha_beta(true)  # (N, 2, H, W)
        mse_alpha_beta = error_alpha_beta.square().mean((1, 2, 3))  # (N,)
        return {
            "mse_ab_norm": mse_ab_norm,
            "rmse_ab_norm": mse_ab_norm.sqrt(),
            "rmse_ab": AB_SCALE * mse_ab_norm.sqrt(),
            "mae_ab": error_ab.abs().mean((1, 2, 3)),
            "mse_rgb": mse_rgb,
            "psnr_rgb": -10 * mse_rgb.log10(),
            "ssim_rgb": ssim(pred, true),
            "ciede2000": ciede2000(pred_lab, true_lab).mean((1, 2)),
            "colourfulness": colourfulness(pred),
            "colourfulness_true": colourfulness(true),
            "mse_alpha_beta": mse_alpha_beta,
            "rmse_alpha_beta": mse_alpha_beta.sqrt(),
        }


def ssim(pred_rgb: Tensor, true_rgb: Tensor) -> Tensor:
    """Structural similarity: agreement of local luminance, contrast and structure.

    Args:
        pred_rgb: (N, 3, H, W) float sRGB in [0, 1], at least 11 pixels high and wide.
        true_rgb: The ground truth, of the same shape.

    Returns:
        (N,) in [-1, 1], 1 for identical images: the mean over the channels and over
        the positions where the whole 11x11 window fits, as in scikit-image;
        torchmetrics 1.9 also counts a mirrored border and may differ by 0.02.

    Reference:
        Wang et al. (2004), Eq. 13, with their Gaussian window and constants.

    Example:
        >>> rgb = torch.rand(2, 3, 16, 16)
        >>> ssim(rgb, rgb)
        tensor([1., 1.])
    """
    x, y = _checked_pair(pred_rgb, true_rgb)
    mean_x, mean_y = _blur(x), _blur(y)  # (N, 3, H - 10, W - 10), as all below
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return (luminance * structure).mean((1, 2, 3))


def _blur(image: Tensor) -> Tensor:
    """Gaussian mean of each 11x11 window, by sums: autocast and TF32 do not apply."""
    offsets = range(-(SSIM_WINDOW // 2), SSIM_WINDOW // 2 + 1)
    weights = [exp(-((offset / SSIM_SIGMA) ** 2) / 2) for offset in offsets]
    for axis in (-2, -1):
        shifted = image.unfold(axis, SSIM_WINDOW, 1).unbind(-1)  # 11 views
        terms = (w * view for w, view in zip(weights, shifted, strict=True))
        image = sum(terms, start=image.new_zeros(())) / sum(weights)
    return image


def ciede2000(pred_lab: Tensor, true_lab: Tensor) -> Tensor:
    """Perceived colour difference: about 1 is just noticeable, side by side.

    Args:
        pred_lab: (..., 3, H, W) float, CIE Lab.
        true_lab: The ground truth, of the same shape.

    Returns:
        (..., H, W), 0 for equal colours. Not suited to training, as the formula is
        discontinuous where two hues are opposite.

    Reference:
        Sharma, Wu & Dalal (2005), Eq. 2-22, with k_L = k_C = k_H = 1.

    Example:
        >>> lab = torch.tensor([[50.0, 50], [2.6772, 0], [-79.7751, -82.7485]])
        >>> ciede2000(lab[:, None, :1], lab[:, None, 1:])
        tensor([[2.0425]])
    """
    pred, true = check_image(pred_lab), check_image(true_lab)
    C1, C2 = (torch.hypot(*lab.unbind(-3)[1:]) for lab in (pred, true))  # (..., H, W)
    stretch = 1.5 - _vivid((C1 + C2) / 2) / 2  # of a: grays are separated more finely
    L1, C1, h1 = _cylindrical(pred, stretch)
    L2, C2, h2 = _cylindrical(true, stretch)
    L, C = (L1 + L2) / 2, (C1 + C2) / 2
    half_turn, h = _hues(h1, h2)
    lightness = (L - 50) ** 2
    dL = (L2 - L1) / (1 + 0.015 * lightness / (20 + lightness).sqrt())
    dC = (C2 - C1) / (1 + 0.045 * C)
    dH = 2 * (C1 * C2).sqrt() * torch.sin(half_turn)
    dH = dH / (1 + 0.015 * C * _hue_weight(h))
    blue = torch.exp(-(((h - radians(275)) / radians(25)) ** 2))
    rotation = -2 * _vivid(C) * torch.sin(radians(60) * blue)
    return (dL**2 + dC**2 + dH**2 + rotation * dC * dH).sqrt()


def _cylindrical(lab: Tensor, stretch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lightness, chroma and hue in [0, 2 pi], once a is stretched."""
    L, a, b = lab.unbind(-3)  # 3 times (..., H, W)
    return L, torch.hypot(stretch * a, b), torch.atan2(b, stretch * a) % (2 * pi)


def _vivid(chroma: Tensor) -> Tensor:
    """CIEDE2000's measure of chroma, from 0 for gray to 1 for vivid colours."""
    return (chroma**7 / (chroma**7 + 25.0**7)).sqrt()


def _hue_weight(h: Tensor) -> Tensor:
    """T of Eq. 15: how finely the eye separates hues."""
    return (
        1
        - 0.17 * torch.cos(h - radians(30))
        + 0.24 * torch.cos(2 * h)
        + 0.32 * torch.cos(3 * h + radians(6))
        - 0.20 * torch.cos(4 * h - radians(63))
    )


def _hues(h1: Tensor, h2: Tensor) -> tuple[Tensor, Tensor]:
    """Half the angle from one hue to the other, and the mean hue, on the short arc."""
    far = ((h2 - h1).abs() > pi).to(h1.dtype)  # then the short arc leads through 0
    return (h2 - h1) / 2 + pi * far, ((h1 + h2) / 2 + pi * far) % (2 * pi)


def colourfulness(rgb: Tensor) -> Tensor:
    """How colourful an image looks: spread and strength of its opponent colours.

    Args:
        rgb: (..., 3, H, W) float sRGB in [0, 1].

    Returns:
        (...): 0 for a gray image, about 15 slightly, 45 averagely and 109 extremely
        colourful, on the 0..255 scale of the publication.

    Reference:
        Hasler & Süsstrunk (2003), their third measure, with signed differences.

    Example:
        >>> colourfulness(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
        tensor([85.5296])
    """
    R, G, B = (255 * check_image(rgb)).flatten(-2).unbind(-2)  # 3 times (..., H W)
    opponents = R - G, (R + G) / 2 - B
    # Population standard deviation: all pixels are used, so no correction.
    spread = torch.hypot(*(values.std(-1, correction=0) for values in opponents))
    strength = torch.hypot(*(values.mean(-1) for values in opponents))
    return spread + 0.3 * strength


def alpha_beta(rgb: Tensor) -> Tensor:
    """Colour relative to brightness, the space in which earlier work reports errors.

    Args:
        rgb: (N, 3, H, W) float, sRGB in [0, 1].

    Returns:
        (N, 2, H, W): alpha = (B - (R + G) / 2) / L and beta = (R - G) / L, with L the
        mean of R, G and B. Dark pixels weigh most: near black it is unbounded, for
        8-bit images up to 3 in size.

    Reference:
        Deshpande, Rock & Forsyth (2015); Larsson, Maire & Shakhnarovich (2016) report
        RMSE of .293 in it, no colour at all .343.

    Example:
        >>> alpha_beta(torch.tensor([1.0, 0.0, 0.5]).view(1, 3, 1, 1)).flatten()
        tensor([0.0000, 1.9996])
    """
    R, G, B = rgb.unbind(-3)  # 3 times (N, H, W)
    L = rgb.mean(-3) + ALPHA_BETA_TINY
    return torch.stack([(B - (R + G) / 2) / L, (R - G) / L], -3)


def _checked_pair(pred_rgb: Tensor, true_rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Refuse what differs in shape or is too small for SSIM; halves become float32."""
    pair = check_image(pred_rgb), check_image(true_rgb)
    check_pair(*pair)
    if min(pred_rgb.shape[-2:]) < SSIM_WINDOW:
        H, W = pred_rgb.shape[-2:]
        raise ValueError(
            f"found images of {H}x{W} pixels, expected at least "
            f"{SSIM_WINDOW}x{SSIM_WINDOW}, the window of SSIM: score larger ones"
        )
    return pair


@dataclass(frozen=True)
class Summary:
    """One score over many images, ready for `dataclasses.asdict` and JSON.

    Attributes:
        mean: Of the finite scores.
        median: Of all scores.
        pooled: As if all pixels belonged to one image, see `POOLED`.
        ci_low: Lower end of the bootstrap interval of `mean` over images.
        ci_high: Upper end.
        n: Images.
        n_infinite: How many of them are left out of the mean and its interval, as their
            PSNR is infinite. If all are, every value is inf.
    """

    mean: float
    median: float
    pooled: float
    ci_low: float
    ci_high: float
    n: int
    n_infinite: int = 0


def summarize(scores: Mapping[str, Tensor | ArrayLike]) -> dict[str, Summary]:
    """Summarize the scores of many images of one size.

    Args:
        scores: For each name of `METRICS` the scores (N,) of the same images.

    Returns:
        A `Summary` for each name, in the same order; the interval is that of 95 % of
        `colorlib.stats.image_interval`, which resamples the same images for each.

    Raises:
        ValueError: If a score is NaN.

    Example:
        >>> summary = summarize({"mse_rgb": [0.01, 0.03], "psnr_rgb": [20.0, 15.2]})
        >>> summary["psnr_rgb"].mean, round(summary["psnr_rgb"].pooled, 2)
        (17.6, 16.99)
    """
    values = {name: np.asarray(given, np.float64) for name, given in scores.items()}
    return {name: _summary(name, values) for name in values}


def _summary(name: str, values: Mapping[str, Floats]) -> Summary:
    """The summary of one metric."""
    pool, from_mean = POOLED.get(name, (name, float))
    scores = values[name]
    if np.isnan(scores).any():
        raise ValueError(
            f"found {np.isnan(scores).sum()} NaN among {scores.size} scores of {name}, "
            "expected numbers: the model has diverged"
        )
    finite = scores[np.isfinite(scores)]
    mean = low = high = inf
    if finite.size:
        found = image_interval(finite)
        mean, low, high = found.mean, found.ci_low, found.ci_high
    return Summary(
        mean=mean,
        median=float(np.median(scores)),
        pooled=from_mean(float(values[pool].mean())),
        ci_low=low,
        ci_high=high,
        n=scores.size,
        n_infinite=scores.size - finite.size,
    )
