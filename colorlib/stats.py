"""Inference from the scores of images and seeds: intervals, tests, corrections, power.

Scores are arrays (S, N): S training runs that differ in their seed, all tested on the
same N images. A mean over both is uncertain for two reasons: other images could have
been drawn, and other seeds. Comparisons are paired twice, as both conditions have the
same seeds and images: the array of their differences is what counts. All intervals are
two-sided, of 95 % if not said otherwise; values that are not finite are refused.

References:
    Judd, Westfall & Kenny (2012), J. Pers. Soc. Psychol. 103: crossed random effects.
    Hillis (2007), Statistics in Medicine 26: readers and cases for seeds and images.
    Satterthwaite (1946), Biometrics Bulletin 2. Owen (2007), Ann. Appl. Stat. 1.
    Cochran (1977), Sampling Techniques. Efron & Tibshirani (1993), the bootstrap.
    Holm (1979), Scand. J. Stat. 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]
Conclusion = Literal["significant", "not significant", "inconclusive"]

ALPHA = 0.05
RESAMPLES = 1000
BOOTSTRAP_BLOCK = 2**20  # values drawn at a time: 8 MB


@dataclass(frozen=True)
class Estimate:
    """A mean, difference or ratio with its interval and the test that it is zero.

    Attributes:
        mean: The estimate.
        ci_low: Lower end of its confidence interval, infinite if nothing is known.
        ci_high: Upper end.
        se: Standard error.
        df: Degrees of freedom of the t distribution, infinite for a bootstrap.
        p: Two-sided p-value of the hypothesis that the true mean is zero.
        p_adjusted: The same, corrected for the hypotheses tested together.
    """

    mean: float
    ci_low: float
    ci_high: float
    se: float
    df: float
    p: float
    p_adjusted: float | None = None

    def lies_within(self, bound: float) -> bool:
        """Whether the whole interval is between `-bound` and `bound`: equivalence."""
        return -bound <= self.ci_low and self.ci_high <= bound

    def scaled(self, factor: float) -> "Estimate":
        """The same in another unit; a negative factor also exchanges the ends."""
        low, high = sorted((factor * self.ci_low, factor * self.ci_high))
        mean, se = factor * self.mean, abs(factor) * self.se
        return replace(self, mean=mean, ci_low=low, ci_high=high, se=se)


def crossed_interval(
    differences: ArrayLike, groups: Sequence[str] | None = None
) -> Estimate:
    """Mean over images and seeds, both random: Hillis (2007), Satterthwaite (1946).

    By the two-way analysis of variance, the mean has the variance (MS_seed + MS_image -
    MS_residual) / (S N). The component of the images, (MS_image - MS_residual) / S,
    counts as zero where it is negative; what is left is then exactly Student's interval
    over the seeds. The component of the seeds is not cut off, as it enters only within
    MS_seed and intervals would be too wide. There are at least as many degrees of
    freedom as the smaller sample has, since the formula falls below where a negative
    component nearly cancels. Simulated coverage of 95 %: 93 to 97 % with five seeds,
    down to 92 % with three. Of a single seed or image the interval is infinite.

    Args:
        differences: (S, N), condition less reference, by seed and image.
        groups: (N,), the class or person of each image, where these were drawn and
            bring several images each; None where images were drawn one by one.

    Example:
        >>> found = crossed_interval([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])  # MS 6, 2, 0
        >>> found.mean, round(found.se, 4), round(found.df, 4)  # 8/6, 64/(36/1 + 4/2)
        (3.0, 1.1547, 1.6842)
    """
    values = _crossed(differences)
    if groups is not None:
        values = _over_groups(values, groups)
    S, N = values.shape
    if min(S, N) < 2:
        return _unknown(values)
    seed, image, residual = _mean_squares(values)
    total, spread = seed, seed**2 / (S - 1)
    if image > residual:
        total += image - residual
        spread += image**2 / (N - 1) + residual**2 / ((S - 1) * (N - 1))
    df = max(total**2 / spread if spread else 0.0, min(S, N) - 1.0)
    return _student(values, sqrt(total / (S * N)), df)


def _mean_squares(values: Floats) -> tuple[float, float, float]:
    """Of seeds, images and residuals: two-way, one value a cell."""
    S, N = values.shape
    of_seeds = values.mean(1, keepdims=True)  # (S, 1)
    of_images = values.mean(0, keepdims=True)  # (1, N)
    residuals = values - of_seeds - of_images + values.mean()  # (S, N)
    seed, image = N * of_seeds.var(ddof=1), S * of_images.var(ddof=1)
    residual = np.square(residuals).sum() / ((S - 1) * (N - 1))
    return float(seed), float(image), float(residual)


def _over_groups(values: Floats, groups: Sequence[str]) -> Floats:
    """Images, (S, N), to groups, (S, K), of the same mean: Cochran, Section 9A.1.

    Of groups of one size these are the means of their images, of others linear totals.
    A few groups with most of the images would leave fewer degrees of freedom than K.
    """
    if len(groups) != values.shape[1]:
        raise ValueError(
            f"found {len(groups)} groups of {values.shape[1]} images, expected as many"
        )
    names, index = np.unique(np.asarray(groups), return_inverse=True)  # (K,), (N,)
    totals = [np.bincount(index, of_seed) for of_seed in values - values.mean()]
    return np.asarray(values.mean() + names.size / len(index) * np.stack(totals))


def ratio_interval(
    numerator: ArrayLike, denominator: ArrayLike, groups: Sequence[str] | None = None
) -> Estimate:
    """Ratio of two means over images and seeds: Cochran (1977), Section 6.4.

    `ratio_interval(loss - reference, reference)` is the change as a fraction of the
    reference's loss, `ratio_interval(mean_image - loss, mean_image)` the fraction of
    the mean-image loss that is removed. The ratio is linearised (delta method), and
    `crossed_interval` does the rest, so that both means and their correlation count. A
    bootstrap over both factors would not do: five seeds drawn with replacement have
    four fifths of their variance, and residuals count three times (Owen, 2007).

    Args:
        numerator: (S, N), by seed and image.
        denominator: (S, N), or (N,) if no seed changes it; of positive mean.
        groups: As for `crossed_interval`.

    Example:
        >>> loss, reference = np.array([[2.0, 4.0], [2.0, 4.0]]), np.array([4.0, 8.0])
        >>> ratio_interval(loss - reference, reference).mean
        -0.5
    """
    top = _crossed(numerator)
    bottom = _crossed(np.broadcast_to(np.asarray(denominator, np.float64), top.shape))
    scale = bottom.mean()
    if scale <= 0:
        raise ValueError(
            f"found a denominator of mean {scale:g}, expected a positive one: "
            "compare by differences"
        )
    ratio = top.mean() / scale
    return crossed_interval(ratio + (top - ratio * bottom) / scale, groups)


def image_interval(values: ArrayLike) -> Estimate:
    """Mean over the images of one run, (N,), by the bootstrap; its seed stays fixed.

    The interval holds the middle of the means of 1000 draws with replacement.
    Percentiles, not BCa: over hundreds of images the ends differ by less than the
    bootstrap's own noise, and no jackknife of N squared values is needed. `p` is that
    of the same draws, at least 2 / 1001.

    Example:
        >>> found = image_interval(np.arange(100.0))
        >>> 43 < found.ci_low < 46 < found.mean < 53 < found.ci_high < 56
        True
    """
    (array,) = _crossed(np.asarray(values)[None])  # (N,)
    if array.size < 2:
        return _unknown(array)
    found = stats.bootstrap(
        (array,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, BOOTSTRAP_BLOCK // array.size),
        vectorized=True,
        confidence_level=1 - ALPHA,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    means, interval = found.bootstrap_distribution, found.confidence_interval
    tail = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    ends, se = (float(interval.low), float(interval.high)), float(found.standard_error)
    p = min(1.0, 2 * tail / (RESAMPLES + 1))
    return Estimate(float(array.mean()), *ends, se, inf, p)


def holm(p: ArrayLike) -> Floats:
    """Adjust (M,) p-values: any false rejection among them has probability alpha.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)
    stepped = values[order] * np.arange(values.size, 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def smallest_detectable_effect(
    se: float, df: float, power: float = 0.8, alpha: float = ALPHA
) -> float:
    """The true effect that a two-sided t test finds with this power, in units of `se`.

    Example:
        >>> round(smallest_detectable_effect(se=1.0, df=1e6), 3)  # 1.960 + 0.842
        2.802
    """
    if not np.isfinite(se):
        return inf
    critical = stats.t.isf(alpha / 2, df)

    def shortfall(shift: float) -> float:  # the far tail is negligible, and is NaN
        return float(stats.nct.sf(critical, df, shift)) - power

    return se * float(optimize.brentq(shortfall, 0, 8 * critical))


def conclude(estimate: Estimate, smallest_effect: float) -> Conclusion:
    """Put a result into one of three words.

    *significant*: the adjusted p-value is below 0.05. Otherwise *not significant* if
    the whole interval lies within plus and minus the smallest effect of interest, so
    that an effect that matters is excluded; *inconclusive* if it reaches further. A
    significant effect may be too small to matter: `Estimate.lies_within` tells.

    Args:
        estimate: Without a `p_adjusted` it is a family of its own.
        smallest_effect: In the unit of the estimate.

    Example:
        >>> found = Estimate(0.1, -0.3, 0.5, se=0.2, df=30, p=0.6)
        >>> conclude(found, smallest_effect=1), conclude(found, smallest_effect=0.4)
        ('not significant', 'inconclusive')
    """
    p = estimate.p if estimate.p_adjusted is None else estimate.p_adjusted
    if p < ALPHA:
        return "significant"
    excluded = estimate.lies_within(smallest_effect)
    return "not significant" if excluded else "inconclusive"


def _student(values: Floats, se: float, df: float) -> Estimate:
    """Student's interval and two-sided test of a mean."""
    mean = float(values.mean())
    half = float(stats.t.isf(ALPHA / 2, df)) * se
    p = 2 * float(stats.t.sf(abs(mean) / se, df)) if se else float(mean == 0)
    return Estimate(mean, mean - half, mean + half, se, df, p)


def _unknown(values: Floats) -> Estimate:
    """A mean of one value, which says nothing of the others."""
    return Estimate(float(values.mean()), -inf, inf, inf, 0.0, 1.0)


def _crossed(values: ArrayLike) -> Floats:
    """Values as (S, N) float64; refuse what no mean can be taken of."""
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"found {np.isfinite(array).sum()} finite values of shape {array.shape}, "
            "expected all finite, (S, N): leave images without a score out"
        )
    return array
