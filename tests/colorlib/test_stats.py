"""Intervals and tests: published examples, simulated coverage, scipy, properties."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from colorlib import stats
from colorlib.stats import (
    Estimate,
    conclude,
    crossed_interval,
    holm,
    image_interval,
    ratio_interval,
    smallest_detectable_effect,
)

REPEATS = 600  # of a simulation: the standard error of a coverage of .95 is .009
CROSSED = arrays(
    np.float64,
    st.tuples(st.integers(2, 6), st.integers(2, 9)),
    elements=st.integers(-50, 50).map(float),
)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def drawn(rng, seed, image, residual, S=5, N=500):
    """Differences of mean zero with these standard deviations of their effects."""
    of_seeds, of_images = rng.normal(size=(S, 1)), rng.normal(size=(1, N))
    return seed * of_seeds + image * of_images + residual * rng.normal(size=(S, N))


def made(mean, seed, image, residual, S, N):
    """Values whose analysis of variance finds exactly these variance components."""
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(S, N))
    rest -= rest.mean(0) + rest.mean(1, keepdims=True) - rest.mean()
    rest *= np.sqrt(residual * (S - 1) * (N - 1) / np.square(rest).sum())
    effects = [
        np.sqrt(variance) * scipy_stats.zscore(rng.normal(size=count), ddof=1)
        for variance, count in ((seed + residual / N, S), (image + residual / S, N))
    ]
    return mean + effects[0][:, None] + effects[1] + rest


def contains(estimate, value):
    return estimate.ci_low <= value <= estimate.ci_high


# --------------------------------------------------------------- the crossed interval


def test_the_standard_error_is_that_of_a_published_crossed_design():
    # Davies & Goldsmith (1972), Section 6.6: six samples of penicillin on 24 plates, as
    # the documentation of lme4 fits it (Bates et al.): balanced, so REML is the ANOVA.
    values = made(22.97222, seed=3.7309, image=0.7169, residual=0.3024, S=6, N=24)
    found = crossed_interval(values)
    assert found.mean == pytest.approx(22.97222)
    assert found.se == pytest.approx(0.8086, abs=5e-5)
    assert found.mean / found.se == pytest.approx(28.41, abs=0.005)
    assert found.df == pytest.approx(5.487, abs=0.001)  # 94.15² / (89.84²/5 + ...)


def test_with_one_source_of_chance_it_is_the_t_test():
    values = made(0.2, seed=0.04, image=0, residual=1, S=5, N=40)
    values += 0.1 * (values.mean() - values.mean(0))  # fewer differences than by chance
    of_images = np.random.default_rng(0).normal(0.3, 1, size=50)
    for differences, sample in (
        (values, values.mean(1)),
        (np.tile(of_images, (5, 1)), of_images),  # with seeds alike
    ):
        expected, found = (
            scipy_stats.ttest_1samp(sample, 0),
            crossed_interval(differences),
        )
        assert (found.df, found.p) == pytest.approx((len(sample) - 1, expected.pvalue))
        low, high = expected.confidence_interval()
        assert (found.ci_low, found.ci_high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("seed", "image", "residual"),
    [
        (0, 1, 1),  # only images differ
        (0.1, 0, 1),  # only seeds
        (0.05, 1, 1),  # both
        (0, 0, 1),  # neither
    ],
)
def test_it_covers_the_truth_and_rejects_the_null_as_often_as_it_says(
    seed, image, residual
):
    rng = np.random.default_rng(1)
    found = [
        crossed_interval(3 + drawn(rng, seed, image, residual)) for _ in range(REPEATS)
    ]
    assert np.mean([contains(e, 3) for e in found]) == pytest.approx(0.95, abs=0.025)
    rejected = [
        crossed_interval(drawn(rng, seed, image, residual)).p < 0.05
        for _ in range(REPEATS)
    ]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.025)


@given(CROSSED, st.floats(0.1, 10))
@settings(deadline=None, max_examples=60)
def test_the_interval_and_the_test_agree_in_any_order_and_unit(values, factor):
    found = crossed_interval(values)
    assert contains(found, found.mean)
    assert found.mean == pytest.approx(values.mean())
    assert found.df >= min(values.shape) - 1
    if abs(found.p - 0.05) > 1e-9:
        assert (found.p > 0.05) is contains(found, 0)
    values = values + np.random.default_rng(0).normal(size=values.shape)  # no ties
    found = crossed_interval(values)
    assert vars(crossed_interval(values[::-1, ::-1])) == pytest.approx(vars(found))
    scaled = vars(crossed_interval(-factor * values))
    assert scaled == pytest.approx(vars(found.scaled(-factor)))


def test_one_seed_or_one_image_says_nothing_of_others():
    for values in ([[0.1, 0.2, 0.3]], [[0.1], [0.2]]):
        found = crossed_interval(values)
        assert (found.ci_low, found.ci_high, found.p) == (-np.inf, np.inf, 1)
        assert found.mean == pytest.approx(np.mean(values))
    alone = Estimate(0.3, -np.inf, np.inf, np.inf, 0, 1)
    assert image_interval([0.3]) == crossed_interval([[0.3]]) == alone


def test_differences_without_spread_leave_no_doubt():
    assert crossed_interval(np.zeros((3, 4))).p == 1
    found = crossed_interval(np.ones((3, 4)))
    assert (found.ci_low, found.ci_high, found.p) == (1, 1, 0)


# -------------------------------------------------------------------- groups of images


def test_groups_of_one_size_are_the_means_of_their_images():
    values = drawn(np.random.default_rng(0), 0.1, 1, 1, S=4, N=30)
    means = np.stack([values[:, k::6].mean(1) for k in range(6)], axis=1)  # (4, 6)
    for groups, expected in (
        ([str(i % 6) for i in range(30)], means),
        ([f"{i:02}" for i in range(30)], values),  # of one image each
    ):
        found = crossed_interval(values, groups)
        assert vars(found) == pytest.approx(vars(crossed_interval(expected)))


def test_groups_that_resemble_each_other_inside_widen_the_interval():
    sizes = [1] * 60 + [5] * 20 + [10] * 14
    index = np.repeat(np.arange(len(sizes)), sizes)
    groups, rng = index.astype(str).tolist(), np.random.default_rng(0)
    hits = np.zeros(2)
    for _ in range(REPEATS // 2):
        of_groups = 0.5 * rng.normal(size=len(sizes))[index]
        values = 1 + of_groups + drawn(rng, 0, 1, 1, N=index.size)
        found = crossed_interval(values, groups), crossed_interval(values)
        assert found[0].mean == pytest.approx(found[1].mean)
        hits += [contains(e, 1) for e in found]
    covered, ignored = hits / (REPEATS // 2)
    assert covered == pytest.approx(0.95, abs=0.03)
    assert ignored < 0.9


# ------------------------------------------------------------------------------ ratios


def losses(rng, change=-0.07, S=5, N=300, luck=0.02):
    """Skewed losses of a condition and its reference, (S, N), and of a baseline, (N,).

    The mean of the reference is 1, of the condition 1 + change, of the baseline 1.1.
    """
    hard = rng.gamma(1.5, 1 / 1.5, size=N)
    own = rng.lognormal(-0.045, 0.3, size=N)  # what the condition makes of an image

    def of(values):
        noise = rng.lognormal(-0.02, 0.2, size=(S, N))
        return values * noise * (1 + luck * rng.normal(size=(S, 1)))

    baseline = 1.1 * hard * rng.lognormal(-0.02, 0.2, size=N)
    return of((1 + change) * hard * own), of(hard), baseline


def test_a_ratio_covers_the_truth_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), np.zeros(2)
    for _ in range(REPEATS):
        loss, reference, baseline = losses(rng)
        change = ratio_interval(loss - reference, reference)
        removed = ratio_interval(baseline - loss, baseline)
        hits += contains(change, -0.07), contains(removed, 1 - 0.93 / 1.1)
    assert hits / REPEATS == pytest.approx([0.95, 0.95], abs=0.025)


def test_a_ratio_is_that_of_the_means_in_any_unit():
    loss, reference, baseline = losses(np.random.default_rng(0))
    change = ratio_interval(loss - reference, reference)
    assert change.mean == pytest.approx(loss.mean() / reference.mean() - 1)
    same = ratio_interval(1e-4 * (loss - reference), 1e-4 * reference)
    assert vars(same) == pytest.approx(vars(change))
    removed = ratio_interval(baseline - loss, baseline)
    assert removed.mean == pytest.approx(1 - loss.mean() / baseline.mean())
    repeated = np.tile(baseline, (5, 1))
    assert ratio_interval(repeated - loss, repeated) == removed
    difference = crossed_interval(loss - reference).scaled(0.25)
    found = ratio_interval(loss - reference, np.full(300, 4.0))  # of a constant
    assert vars(found) == pytest.approx(vars(difference))
    groups = [str(i // 10) for i in range(300)]
    grouped = ratio_interval(loss - reference, reference, groups)
    assert grouped.mean == pytest.approx(change.mean)
    assert grouped.se != change.se


# ------------------------------------------------------------ over the images of a run


def ends(values):
    found = image_interval(values)
    return found.ci_low, found.ci_high


def test_the_bootstrap_draws_as_it_always_did():
    values = np.random.default_rng(0).exponential(size=40)
    rng = np.random.default_rng(0)
    means = values[rng.integers(40, size=(1000, 40))].mean(1)  # (1000,)
    expected = tuple(np.quantile(means, [0.025, 0.975]))
    assert ends(values) == pytest.approx(expected, rel=1e-12)
    rounded = values.astype(np.float32)  # is summed in float64 all the same
    assert image_interval(rounded) == image_interval(rounded.astype(float))


def test_the_p_value_of_the_bootstrap_is_near_that_of_the_t_test(monkeypatch):
    values = np.random.default_rng(0).normal(0.1, 1, size=400)
    assert image_interval(values - values.mean()).p > 0.9
    assert image_interval(values + 9).p == pytest.approx(2 / 1001)
    assert image_interval(-values - 9).p == pytest.approx(2 / 1001)
    monkeypatch.setattr(stats, "RESAMPLES", 20_000)
    expected = scipy_stats.ttest_1samp(values, 0).pvalue
    assert image_interval(values).p == pytest.approx(expected, abs=0.01)


def test_blocks_bound_memory_and_change_nothing_else(monkeypatch):
    tracemalloc.start()
    image_interval(np.random.default_rng(0).exponential(size=5000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 2**20  # at once it would be 80 MB
    values = np.random.default_rng(0).exponential(size=33)
    at_once = ends(values)
    for block in (1, 100, 33 * 7):
        monkeypatch.setattr(stats, "BOOTSTRAP_BLOCK", block)
        assert ends(values) == at_once


# ------------------------------------------------------------------ several hypotheses


def test_holm_of_a_published_example():
    # Benjamini & Hochberg (1995), Section 3.2: at 5 % Bonferroni rejects three of the
    # fifteen hypotheses.
    p = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459,
        0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
    ]  # fmt: skip
    assert (holm(p) < 0.05).sum() == 3
    assert holm([]).size == 0


@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p):
    # Marcus, Peritz & Gabriel (1976): the worst of all families a hypothesis is in
    families = [f for n in range(len(p)) for f in combinations(range(len(p)), n + 1)]
    expected = [
        max(min(1, len(f) * min(p[j] for j in f)) for f in families if i in f)
        for i in range(len(p))
    ]
    assert holm(p) == pytest.approx(expected)


# ------------------------------------------------------------------ power, and the word


def test_the_detectable_effect_is_that_of_published_tables():
    # d = 0.5, one sample, two-sided 5 %, 80 %: 34 of them are needed (Cohen; G*Power)
    assert smallest_detectable_effect(1 / np.sqrt(34), 33) < 0.5
    assert smallest_detectable_effect(1 / np.sqrt(33), 32) > 0.5
    assert smallest_detectable_effect(np.inf, 0) == np.inf


@pytest.mark.parametrize("df", [1, 1.7, 4, 40, 4000, 1e6])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.99])
def test_the_detectable_effect_is_found_with_the_power_asked_for(df, power):
    rng = np.random.default_rng(0)
    effect = smallest_detectable_effect(2.0, df, power)
    t = (rng.normal(size=20_000) + effect / 2) / np.sqrt(rng.chisquare(df, 20_000) / df)
    assert (abs(t) > scipy_stats.t.isf(0.025, df)).mean() == pytest.approx(
        power, abs=0.015
    )


def estimate(low, high, p, p_adjusted=None):
    return Estimate((low + high) / 2, low, high, 1, 9, p, p_adjusted)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (estimate(0.1, 0.9, p=0.01), "significant"),
        (estimate(0.1, 0.9, p=0.01, p_adjusted=0.05), "not significant"),
        (estimate(0.1, 1.1, p=0.01, p_adjusted=0.05), "inconclusive"),
        (estimate(-1.0, 1.0, p=0.9), "not significant"),
        (estimate(-1.1, 0.1, p=0.1), "inconclusive"),
        (estimate(-np.inf, np.inf, p=1), "inconclusive"),
        (estimate(5, 9, p=0.04, p_adjusted=0.049), "significant"),
    ],
)
def test_a_result_is_one_of_three_words(found, word):
    assert conclude(found, smallest_effect=1) == word


# ------------------------------------------------------------------------------- faults


def test_arrays_that_do_not_fit_are_refused():
    for values in ([1.0, np.inf], [np.nan, 1.0], [], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="expected all finite"):
            image_interval(values)
    for values in ([1.0, 2.0], [[1.0, np.nan], [1.0, 2.0]], np.zeros((2, 0))):
        with pytest.raises(ValueError, match=r"expected all finite, \(S, N\)"):
            crossed_interval(values)
    with pytest.raises(ValueError, match="found 3 groups of 2 images"):
        crossed_interval([[1.0, 2.0], [3.0, 4.0]], ["a", "b", "c"])
    with pytest.raises(ValueError, match="found a denominator of mean 0"):
        ratio_interval([[1.0, 2.0], [3.0, 4.0]], [-1.0, 1.0])
    with pytest.raises(ValueError, match="broadcast"):
        ratio_interval([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0, 1.0])
