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
FOUND = comparisons.compare_all(RUNS, comparisons.PRIMARY)
SEVERAL = [one for one in FOUND if one.seeds > 1]  # one seed has no interval
NAMES = {
    (run.data, run.condition, run.config.train.seed): run.name
    for ablation in ("fusion", "networks")
    for run in plan(ablation, "protocol")
}


def read(data, condition, seed):
    return json.loads((RESULTS / f"{NAMES[data, condition, seed]}.json").read_text())


def losses(data, condition, seeds, test_set):
    """(S, N), read from the files."""
    records = [read(data, condition, seed) for seed in seeds]
    return np.array([r["per_image"][test_set]["loss_eq1"] for r in records])


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


@pytest.mark.parametrize("found", SEVERAL, ids=lambda r: r.contrast.hypothesis)
def test_a_primary_contrast_is_found_again(found):
    one, effect = found.contrast, found.effect
    of_each = [RUNS[one.data, name] for name in {**one.weights, one.reference: 0}]
    ran = ({seed for seed, record in of.items() if record} for of in of_each)
    seeds = sorted(set.intersection(*ran))
    weighted = sum(
        weight * losses(one.data, condition, seeds, one.test_set)
        for condition, weight in one.weights.items()
    )
    reference = losses(one.data, one.reference, seeds, one.test_set)
    # Classes or persons are the units, but for those classes that are fixed.
    fixed = (one.data, one.test_set) == ("imagenet", "seen")
    units = None if fixed else read(one.data, "none", seeds[0])["groups"][one.test_set]
    *ends, p = interval(weighted, reference, units)
    assert ends == pytest.approx([effect.mean, effect.ci_low, effect.ci_high])
    assert p == pytest.approx(effect.p, abs=1e-12)


def test_corrected_p_values_and_answers_are_found_again():
    p = [r.effect.p for r in FOUND] + [1.0] * (15 - len(FOUND))
    for found in FOUND:  # Holm: the largest of what is not larger, times its rank
        smaller = [one for one in p if one <= found.effect.p]
        steps = [(15 - sum(q < one for q in p)) * one for one in smaller]
        assert found.effect.p_adjusted == pytest.approx(min(1, max(steps)))
    for name, answer in comparisons.answers(FOUND).items():
        own = [r.effect for r in FOUND if r.contrast.hypothesis == name]
        if answer == "supported":
            low, high = min(e.ci_low for e in own), max(e.ci_high for e in own)
            significant = max(e.p_adjusted for e in own) < 0.05
            lower, not_lower = high < 0 and significant, low > -2
            assert {
                "H1": lower, "H2a": not_lower, "H2b": lower, "H4b": lower,
                "H3": low > 0 and significant, "H4a": low >= -2 and high <= 2,
                "H5": not_lower,
            }[name.split(",")[0]]  # fmt: skip


def test_the_fraction_of_the_mean_image_loss_is_found_again():
    removed = comparisons.fraction_removed(RUNS)
    for (data, test_set, condition), found in removed.items():
        seeds = [seed for seed, record in RUNS[data, condition].items() if record]
        loss = losses(data, condition, seeds, test_set).mean()
        naive = next(r for r in RUNS[data, "none"].values() if r)
        mean_image = np.mean(naive.per_image[test_set]["mean_image_loss"])
        assert found.mean == pytest.approx(1 - loss / mean_image)
