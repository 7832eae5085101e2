from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from colorlib.errors import UserError
from colorlib.metrics import METRICS, summarize
from colorlib.stats import benjamini_hochberg, holm, image_interval
from companion.comparisons import (
    NO_DIFFERENCE,
    Contrast,
    against_reference,
    compare,
    compare_all,
    fraction_removed,
    over_seeds,
    same_photographs,
    scores_over_seeds,
    study_differences,
    study_records,
)
from companion.records import RESULTS, read_record, write_record
from companion.studies import plan

SEEDS, IMAGES = 5, 400
CLASSES = [f"n{i // 20:02}" for i in range(IMAGES)]  # 20 images of each


@dataclass(frozen=True)
class Run:
    """As much of a record as a comparison reads."""

    settings: dict[str, Any]
    seed: int
    per_image: dict[str, dict[str, list[float]]]


def condition(factor, seed, noise=0.05, **data):
    """Runs whose losses are a factor of the reference's, on two test sets."""
    hard, rng = (
        np.random.default_rng(7).gamma(2, 0.005, IMAGES),
        np.random.default_rng(seed),
    )
    runs = []
    for number in range(SEEDS):
        luck = 1 + 0.005 * rng.normal()
        losses = hard * factor * luck * rng.lognormal(0, noise, (2, IMAGES))
        sets = zip(("seen", "unseen"), losses, strict=True)
        per_image = {
            name: {"loss_eq1": of.tolist(), "psnr_rgb": (-10 * np.log10(of)).tolist()}
            for name, of in sets
        }
        runs.append(Run({"data": {"name": "imagenet", **data}}, number, per_image))
    return runs


@pytest.fixture
def runs():
    factors = {"none": 1.0, "maps": 0.93, "softmax": 1.0, "logits": 0.931}
    return {name: condition(f, i) for i, (name, f) in enumerate(factors.items())}


def difference(name, reference="none", test_set="seen", metric="loss_eq1", **rest):
    return Contrast({name: 1, reference: -1}, reference, test_set, metric, **rest)


def array(runs, test_set="seen", metric="loss_eq1"):
    return np.array([run.per_image[test_set][metric] for run in runs])


def test_a_difference_in_percent_is_recomputed_without_our_statistics(runs):
    a, b = array(runs["maps"]), array(runs["none"])  # (5, 400)
    ratio = a.mean() / b.mean()
    z = 100 * (a - ratio * b) / b.mean()
    rows, columns, everything = z.mean(1), z.mean(0), z.mean()
    rest = ((z - rows[:, None] - columns + everything) ** 2).sum() / (4 * 399)
    seed, image = 400 * rows.var(ddof=1), 5 * columns.var(ddof=1)
    keep = image > rest
    total = seed + keep * (image - rest)
    df = total**2 / (seed**2 / 4 + keep * (image**2 / 399 + rest**2 / (4 * 399)))
    half = stats.t.ppf(0.975, df) * np.sqrt(total / 2000)

    (result,) = compare_all(runs, [difference("maps", hypothesis="H1")])
    effect = 100 * (ratio - 1)
    assert result.effect.mean == pytest.approx(effect)
    assert result.effect.ci_low == pytest.approx(effect - half)
    assert result.effect.ci_high == pytest.approx(effect + half)
    assert result.effect.p_adjusted == result.effect.p
    assert result.conclusion == "significant"
    assert result.reference_mean == pytest.approx(b.mean())
    assert (result.seeds, result.images, result.left_out) == (5, 400, 0)
    assert -8 < effect < -6


def test_a_difference_in_decibels_is_in_decibels(runs):
    (result,) = compare_all(runs, [difference("maps", metric="psnr_rgb")])
    expected = array(runs["maps"], metric="psnr_rgb") - array(
        runs["none"], metric="psnr_rgb"
    )
    assert result.contrast.unit == "dB"
    assert result.effect.mean == pytest.approx(expected.mean())


def test_three_words_for_three_findings(runs):
    loose = {**runs, "loose": [condition(1.0, 9, noise=2.0)[s] for s in range(2)]}
    contrasts = [
        difference(name, smallest_effect=2) for name in ("maps", "softmax", "loose")
    ]
    found = compare_all(loose, contrasts)
    words = [result.conclusion for result in found]
    assert words == ["significant", "not significant", "inconclusive"]
    assert found[0].detectable < 7 < found[2].detectable
    assert found[2].seeds == 2  # those that both have
    strict = compare_all(runs, [difference("softmax")])
    assert strict[0].conclusion == "inconclusive"  # no bound, no equivalence


def test_families_are_corrected_each_for_itself(runs):
    names = ("maps", "softmax", "logits")
    primary = [difference(name, hypothesis="H1") for name in names]
    secondary = against_reference(
        list(runs), "none", ["seen", "unseen"], {"loss_eq1": 2, "psnr_rgb": 0.1}
    )
    assert len(secondary) == 3 * 2 * 2
    found = compare_all(runs, secondary + primary)
    assert [bool(r.contrast.hypothesis) for r in found] == [True] * 3 + [False] * 12
    for family, adjust in ((found[:3], holm), (found[3:], benjamini_hochberg)):
        expected = adjust([result.effect.p for result in family])
        assert [r.effect.p_adjusted for r in family] == pytest.approx(list(expected))
    assert found[0].detectable > found[3].detectable  # the first step of Holm


def test_what_has_not_been_run_counts_in_its_family(runs):
    planned = [difference(name, hypothesis="H1") for name in ("maps", "gate", "max")]
    (result,) = compare_all(runs, planned)
    assert result.effect.p_adjusted == pytest.approx(3 * result.effect.p)
    (alone,) = compare_all(runs, planned[:1])
    assert alone.effect.p_adjusted == alone.effect.p
    assert compare_all({"none": []}, planned) == []
    assert compare_all(runs, []) == []


def test_a_contrast_may_have_more_than_two_conditions(runs):
    # the first network's gain less that of the others: (none - maps) - (maps - logits)
    weights = {"none": 1, "maps": -2, "logits": 1}
    (result,) = compare_all(runs, [Contrast(weights, "none", "seen", "loss_eq1")])
    assert result.contrast.name == "+1 none -2 maps +1 logits"
    means = {name: array(runs[name]).mean() for name in weights}
    expected = means["none"] - 2 * means["maps"] + means["logits"]
    assert result.effect.mean == pytest.approx(100 * expected / means["none"])
    steps = [100 * (a - b) / means["none"] for a, b in pairwise(means.values())]
    assert result.effect.mean == pytest.approx(steps[0] - steps[1])
    assert result.effect.ci_low > 0


def test_classes_may_be_what_was_drawn(runs):
    planned = [difference("maps"), difference("maps", test_set="unseen")]
    images = compare_all(runs, planned)
    classes = compare_all(runs, planned, {"unseen": CLASSES})
    assert classes[0] == images[0]
    assert classes[1].effect.mean == pytest.approx(images[1].effect.mean)
    assert classes[1].effect.se != images[1].effect.se


def test_infinite_scores_are_left_out_and_counted(runs):
    runs["maps"][2].per_image["seen"]["psnr_rgb"][7] = np.inf
    planned = [difference("maps", metric="psnr_rgb")]
    (result,) = compare_all(runs, planned, {"seen": CLASSES})
    assert (result.images, result.left_out) == (IMAGES - 1, 1)
    kept = [
        np.delete(array(runs[name], metric="psnr_rgb"), 7, axis=1).mean()
        for name in ("maps", "none")
    ]
    assert result.effect.mean == pytest.approx(kept[0] - kept[1])


def test_the_order_of_seeds_does_not_matter(runs):
    planned = [difference("maps")]
    turned = {**runs, "maps": runs["maps"][::-1]}
    assert compare_all(turned, planned) == compare_all(runs, planned)


def test_the_fraction_of_the_mean_image_loss_that_is_removed(runs):
    mean_image = 1.1 * array(runs["none"]).mean(0)  # (400,)
    removed = fraction_removed(runs["maps"], mean_image, "seen")
    expected = 1 - array(runs["maps"]).mean() / mean_image.mean()
    assert removed.mean == pytest.approx(expected)
    assert removed.ci_low < expected < removed.ci_high
    by_class = fraction_removed(runs["maps"], mean_image, "seen", CLASSES)
    assert by_class.mean == pytest.approx(expected)


def test_runs_that_do_not_pair_up_are_refused(runs):
    planned = [difference("maps")]
    elsewhere = {**runs, "maps": condition(0.93, 1, split="other")}
    with pytest.raises(UserError, match="the runs do not pair up"):
        compare_all(elsewhere, planned)
    with pytest.raises(UserError, match="found 0 common seeds"):
        compare_all({"none": runs["none"][:2], "maps": runs["maps"][2:]}, planned)
    with pytest.raises(UserError, match="two runs of one condition and seed"):
        compare_all({**runs, "maps": [*runs["maps"], runs["maps"][0]]}, planned)
    for missing in ({"metric": "ssim_rgb"}, {"test_set": "faces"}):
        with pytest.raises(UserError, match="found runs without as many scores"):
            compare_all(runs, [difference("maps", **missing)])
    runs["maps"][0].per_image["seen"]["loss_eq1"].pop()
    with pytest.raises(UserError, match="found runs without as many scores"):
        compare_all(runs, planned)
    with pytest.raises(UserError, match="expected weights that sum to zero"):
        compare_all(runs, [Contrast({"maps": 1}, "none", "seen", "loss_eq1")])


def test_the_intervals_of_the_records_are_found_again():
    for path in sorted(RESULTS.glob("*.json"))[::24]:
        kept = read_record(path)
        for metric, values in kept.per_image.items():
            summary = kept.scores["model"][metric]
            found = image_interval(values)
            assert (found.ci_low, found.ci_high) == pytest.approx(
                (summary.ci_low, summary.ci_high), rel=0.002
            )


# ------------------------------------ of records of schema 1: delete with what it tests

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
