"""Each headline again, from the records' JSON with a few lines of numpy alone.

Nothing of the project computes here but what is compared; the formulas are those that
`book/protocol.md` states in words.
"""

import json

import numpy as np
import pytest
from scipy import stats

from companion import comparisons
from companion.records import RESULTS
from companion.studies import plan

RUNS = comparisons.runs_of()
RESULTS_FOUND = comparisons.compare_all(RUNS, comparisons.PRIMARY)


def losses(data, condition, seeds, test_set):
    """(S, N), read from the files."""
    names = {
        (run.data, run.condition, run.config.train.seed): run.name
        for ablation in ("fusion", "networks")
        for run in plan(ablation, "protocol")
    }
    files = [RESULTS / f"{names[data, condition, seed]}.json" for seed in seeds]
    records = [json.loads(file.read_text()) for file in files]
    return np.array([r["per_image"][test_set]["loss_eq1"] for r in records])


def groups(data, test_set):
    """(N,) of a record without fusion, where classes or persons are the units."""
    if (data, test_set) == ("imagenet", "seen"):
        return None
    run = next(r for r in plan("fusion", "protocol") if (r.data, r.condition) == (
        data, "none"))  # fmt: skip
    return json.loads((RESULTS / f"{run.name}.json").read_text())["groups"][test_set]


def interval(differences, reference, units):
    """Change in percent of the reference, its 95 % interval and p-value."""
    ratio = differences.mean() / reference.mean()
    z = ratio + (differences - ratio * reference) / reference.mean()  # (S, N)
    if units is not None:
        _, index = np.unique(units, return_inverse=True)
        sums = [np.bincount(index, row - z.mean()) for row in z]
        z = z.mean() + np.array(sums) * (index.max() + 1) / len(index)
    S, N = z.shape
    rows, columns = z.mean(1, keepdims=True), z.mean(0, keepdims=True)
    seed, image = N * rows.var(ddof=1), S * columns.var(ddof=1)
    rest = ((z - rows - columns + z.mean()) ** 2).sum() / ((S - 1) * (N - 1))
    variance, spread = seed, seed**2 / (S - 1)
    if image > rest:
        variance += image - rest
        spread += image**2 / (N - 1) + rest**2 / ((S - 1) * (N - 1))
    df = max(variance**2 / spread, min(S, N) - 1)
    se = np.sqrt(variance / (S * N))
    half = stats.t.ppf(0.975, df) * se
    p = 2 * stats.t.sf(abs(ratio) / se, df)
    return 100 * ratio, 100 * (ratio - half), 100 * (ratio + half), p


@pytest.mark.parametrize("found", RESULTS_FOUND, ids=lambda r: r.contrast.hypothesis)
def test_a_primary_contrast_is_found_again(found):
    one = found.contrast
    run = [RUNS[one.data, condition] for condition in {**one.weights, one.reference: 0}]
    seeds = sorted(set.intersection(*({s for s, r in of.items() if r} for of in run)))
    if len(seeds) < 2:
        pytest.skip("one seed has no interval")
    weighted = sum(
        weight * losses(one.data, condition, seeds, one.test_set)
        for condition, weight in one.weights.items()
    )
    reference = losses(one.data, one.reference, seeds, one.test_set)
    again = interval(weighted, reference, groups(one.data, one.test_set))
    effect = found.effect
    assert again[:3] == pytest.approx((effect.mean, effect.ci_low, effect.ci_high))
    assert again[3] == pytest.approx(effect.p, abs=1e-12)


def test_corrected_p_values_and_answers_are_found_again():
    p = [r.effect.p for r in RESULTS_FOUND] + [1.0] * (15 - len(RESULTS_FOUND))
    for found in RESULTS_FOUND:  # Holm: the largest of what is not larger, times rank
        steps = [(15 - sum(q < one for q in p)) * one for one in p
                 if one <= found.effect.p]  # fmt: skip
        assert found.effect.p_adjusted == pytest.approx(min(1, max(steps)))
    by_hypothesis = {}
    for found in RESULTS_FOUND:
        by_hypothesis.setdefault(found.contrast.hypothesis, []).append(found)
    answers = comparisons.answers(RESULTS_FOUND)
    for name, results in by_hypothesis.items():
        if answers[name] == "supported":
            ends = [(r.effect.ci_low, r.effect.ci_high) for r in results]
            p = [r.effect.p_adjusted for r in results]
            expected = {
                "H1": max(high for _, high in ends) < 0 and max(p) < 0.05,
                "H2a": min(low for low, _ in ends) > -2,
                "H2b": max(high for _, high in ends) < 0 and max(p) < 0.05,
                "H3": min(low for low, _ in ends) > 0 and max(p) < 0.05,
                "H4a": all(low >= -2 and high <= 2 for low, high in ends),
                "H4b": max(high for _, high in ends) < 0 and max(p) < 0.05,
                "H5": min(low for low, _ in ends) > -2,
            }
            assert expected[name.split(",")[0]]


def test_the_fraction_of_the_mean_image_loss_is_found_again():
    for (data, test_set, condition), found in comparisons.fraction_removed(
        RUNS
    ).items():
        seeds = [seed for seed, record in RUNS[data, condition].items() if record]
        loss = losses(data, condition, seeds, test_set).mean()
        naive = next(r for r in RUNS[data, "none"].values() if r)
        mean_image = np.mean(naive.per_image[test_set]["mean_image_loss"])
        assert found.mean == pytest.approx(1 - loss / mean_image)
