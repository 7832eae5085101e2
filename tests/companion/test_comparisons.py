import numpy as np
import pytest
import torch
from scipy import stats

from colorlib.errors import UserError
from colorlib.metrics import METRICS, summarize
from companion.comparisons import (
    NO_DIFFERENCE,
    compare,
    over_seeds,
    same_photographs,
    scores_over_seeds,
    study_differences,
    study_records,
)
from companion.records import RESULTS, read_record, write_record
from companion.studies import plan

BASE = read_record(sorted(RESULTS.glob("lfw-64-plain-*.json"))[0])


def record(losses, seed, **data):
    """A record with these losses, one a photograph."""
    values = torch.tensor(np.asarray(losses), dtype=torch.float64)
    scores = summarize({"loss_eq1": values, "colourfulness": values})
    return BASE.model_copy(
        update={
            "profile": {**BASE.profile, "seed": seed},
            "per_image": {
                "loss_eq1": values.tolist(),
                "colourfulness": values.tolist(),
            },
            "scores": {"model": scores},
            "data": BASE.data.model_copy(update={"test": len(values), **data}),
        }
    )


def arms(shift, luck=(0.0, 0.0, 0.0), seeds=3, count=200):
    """Two arms whose losses differ by `shift`, and by a seed's own `luck`."""
    rng = np.random.default_rng(0)
    hard = rng.uniform(1, 9, count)  # what makes a photograph hard is in both
    reference = [record(hard + rng.normal(0, 0.1, count), s) for s in range(seeds)]
    arm = [
        record(hard + shift + luck[s] + rng.normal(0, 0.1, count), s)
        for s in range(seeds)
    ]
    return arm, reference


def test_student_s_interval_is_scipy_s():
    values = [0.31, 0.29, 0.36, 0.30]
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    interval = over_seeds(values)
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_one_seed_says_nothing_of_others():
    interval = over_seeds([0.3])
    assert (interval.low, interval.high) == (-np.inf, np.inf)
    arm, reference = arms(shift=-1, seeds=1)
    assert compare(arm, reference, "loss_eq1").verdict == NO_DIFFERENCE


@pytest.mark.parametrize(("shift", "verdict"), [(-0.2, "better"), (0.2, "worse")])
def test_a_difference_in_all_seeds_is_shown(shift, verdict):
    comparison = compare(*arms(shift), "loss_eq1")
    assert comparison.verdict == verdict
    assert comparison.image_ci.mean == pytest.approx(shift, abs=0.02)
    assert comparison.over_seeds.mean == pytest.approx(comparison.image_ci.mean)
    assert comparison.share == pytest.approx(shift / 5, abs=0.01)
    mean, photographs, seeds = comparison.percent()
    assert mean == pytest.approx(100 * comparison.share)
    assert photographs[0] < mean < photographs[1]
    assert seeds[0] < mean < seeds[1]
    assert comparison.unit == "%"
    assert comparison.in_unit() == comparison.percent()
    assert np.sign(comparison.effect) == np.sign(shift)


def test_what_has_a_unit_of_its_own_is_told_in_it():
    comparison = compare(*arms(shift=-0.2), "colourfulness")
    assert comparison.unit == METRICS["colourfulness"].unit == ""
    mean, photographs, seeds = comparison.in_unit()
    assert mean == pytest.approx(-0.2, abs=0.02)
    for interval, (low, high) in [
        (comparison.image_ci, photographs),
        (comparison.over_seeds, seeds),
    ]:
        assert (low, high) == (interval.low, interval.high)


def test_a_difference_of_one_lucky_seed_is_not_shown():
    # over photographs it is far from zero, over seeds it is not
    comparison = compare(*arms(shift=0.05, luck=(1, -0.9, 0)), "loss_eq1")
    assert not comparison.image_ci.contains_zero
    assert comparison.over_seeds.contains_zero
    assert comparison.verdict == NO_DIFFERENCE


def test_no_difference_is_said():
    assert compare(*arms(shift=0.0), "loss_eq1").verdict == NO_DIFFERENCE


def test_more_colour_is_neither_better_nor_worse():
    assert compare(*arms(shift=1.0), "colourfulness").verdict == "more"
    assert compare(*arms(shift=-1.0), "colourfulness").verdict == "less"


def test_effect_is_cohen_s_d_of_pairs():
    arm, reference = arms(shift=0.3)
    differences = np.mean(
        [
            np.subtract(a.per_image["loss_eq1"], b.per_image["loss_eq1"])
            for a, b in zip(arm, reference, strict=True)
        ],
        axis=0,
    )
    expected = differences.mean() / differences.std(ddof=1)
    assert compare(arm, reference, "loss_eq1").effect == pytest.approx(expected)


def test_other_photographs_do_not_pair_up():
    arm, reference = arms(shift=0.0)
    elsewhere = [record(r.per_image["loss_eq1"], s, split_hash="other")
                 for s, r in enumerate(arm)]  # fmt: skip
    assert not same_photographs(elsewhere, reference)
    with pytest.raises(ValueError, match="different photographs"):
        compare(elsewhere, reference, "loss_eq1")
    with pytest.raises(ValueError, match="expected the same"):
        compare(arm, reference[::-1], "loss_eq1")


def test_scores_are_averaged_over_seeds():
    records = [record([1.0, 3.0], 0), record([2.0, 6.0], 1)]
    assert scores_over_seeds(records, "loss_eq1").mean == 3.0


def test_a_missing_record_names_the_study(tmp_path):
    runs = plan("gray", "smoke")
    for run in runs[:-1]:
        write_record(BASE.model_copy(update={"name": run.name}),
                     tmp_path / f"{run.name}.json")  # fmt: skip
    with pytest.raises(UserError, match="run `companion study gray --profile smoke`"):
        study_records("gray", "scenes", "smoke", tmp_path)
    with pytest.raises(UserError, match="no runs of study gray on 'mars'"):
        study_records("gray", "mars", "smoke", tmp_path)


def test_the_arms_of_a_study_are_compared_with_its_reference(tmp_path):
    arm, reference = arms(shift=0.5, seeds=1)
    for run in plan("gray", "smoke"):
        (made,) = arm if run.arm == "luma" else reference
        write_record(made, tmp_path / f"{run.name}.json")
    found = study_differences("gray", "scenes", "loss_eq1", "smoke", tmp_path)
    assert list(found) == ["luma"]
    expected = compare(arm, reference, "loss_eq1").image_ci.mean
    assert found["luma"].image_ci.mean == pytest.approx(expected)


def test_arms_on_other_photographs_are_left_out(tmp_path):
    for run in plan("gray", "smoke"):
        other = record([1.0, 2.0, 3.0], 0, split_hash=run.arm)
        write_record(other, tmp_path / f"{run.name}.json")
    assert study_differences("gray", "scenes", "loss_eq1", "smoke", tmp_path) == {}
