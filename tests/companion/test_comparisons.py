"""Contrasts, corrections and hypotheses, against hand calculation and SciPy."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from made_records import made_record
from scipy.stats import false_discovery_control

from colorlib.errors import UserError
from colorlib.stats import holm, ratio_interval
from companion.comparisons import (
    PRIMARY,
    SMALLEST,
    Contrast,
    answers,
    compare_all,
    runs_of,
    secondary,
)
from companion.records import write_record
from companion.studies import load_experiments, plan

SEEDS, IMAGES = 5, 200
CLASSES = [i // 10 for i in range(IMAGES)]  # 10 images of each
PLACES = [("imagenet", "seen"), ("imagenet", "unseen")]
FACTORS = {"none": 1.0, "maps": 0.93, "softmax": 1.0, "logits": 0.931}


def condition(factor, draw, noise=0.05, seeds=SEEDS, tests=("seen", "unseen")):
    """Seed -> a run whose losses are a factor of the reference's."""
    hard = np.random.default_rng(7).gamma(2, 0.005, IMAGES)
    rng, runs = np.random.default_rng(draw), {}
    for seed in range(seeds):
        luck, per_image = 1 + noise / 10 * rng.normal(), {}
        for test in tests:
            loss = hard * factor * luck * rng.lognormal(0, noise, IMAGES)
            psnr = -10 * np.log10(loss)
            metrics = {"loss_eq1": loss, "psnr_rgb": psnr, "ciede2000": 99 * loss}
            if test == "seen":
                metrics["named"] = rng.random(100) < 0.5
            if draw == 0:  # none
                metrics["mean_image_loss"] = 1.1 * hard
            per_image[test] = metrics
        groups = dict.fromkeys(tests, CLASSES) if draw == 0 else {}
        runs[seed] = made_record(per_image, seed, groups=groups)
    return runs


@pytest.fixture
def runs():
    return {
        ("imagenet", name): condition(factor, draw)
        for draw, (name, factor) in enumerate(FACTORS.items())
    }


def against(name, reference="none", test_set="seen", metric="loss_eq1", hypothesis=""):
    weights = {name: 1, reference: -1}
    return Contrast(weights, reference, "imagenet", test_set, metric, hypothesis)


def array(runs, name, metric="loss_eq1"):
    records = runs["imagenet", name].values()
    return np.array([record.per_image["seen"][metric] for record in records])


def test_a_loss_is_compared_in_percent_and_decibels_as_such(runs):
    planned = [against("maps", hypothesis="H1"), against("maps", metric="psnr_rgb")]
    loss, psnr = compare_all(runs, planned)
    a, b = array(runs, "maps"), array(runs, "none")  # (5, 200)
    expected = ratio_interval(a - b, b).scaled(100)
    assert loss.effect.ci_low == pytest.approx(expected.ci_low)
    assert loss.effect.p == pytest.approx(expected.p)
    assert loss.effect.mean == pytest.approx(100 * (a.mean() / b.mean() - 1))
    assert -8 < loss.effect.mean < -6
    assert loss.effect.p_adjusted == loss.effect.p
    assert (loss.conclusion, loss.sign) == ("significant", -1)
    assert (loss.seeds, loss.images, loss.left_out) == (5, 200, 0)
    a, b = (array(runs, name, "psnr_rgb") for name in ("maps", "none"))
    assert (psnr.contrast.unit, psnr.contrast.smallest_effect) == ("dB", 0.1)
    assert psnr.effect.mean == pytest.approx((a - b).mean())


def test_three_words_for_three_findings(runs):
    runs["imagenet", "loose"] = condition(1.0, 9, noise=2.0, seeds=2)
    found = compare_all(runs, [against(n) for n in ("maps", "softmax", "loose")])
    words = [result.conclusion for result in found]
    assert words == ["significant", "not significant", "inconclusive"]
    assert found[0].detectable < 7 < found[2].detectable
    assert found[2].seeds == 2  # those that both have


def test_families_are_corrected_each_for_itself(runs):
    primary = [against(n, hypothesis="H1") for n in ("maps", "softmax", "logits")]
    rest = [against(n, metric=m) for n in ("maps", "softmax") for m in SMALLEST]
    found = compare_all(runs, rest + primary)
    assert [bool(r.contrast.hypothesis) for r in found] == [True] * 3 + [False] * 8
    for family, adjust in ((found[:3], holm), (found[3:], false_discovery_control)):
        expected = adjust([result.effect.p for result in family])
        assert [r.effect.p_adjusted for r in family] == pytest.approx(list(expected))
    assert found[0].detectable > found[3].detectable  # the first step of Holm


def test_what_has_not_been_run_counts_in_its_family_and_the_rest_is_compared(runs):
    planned = [against(name, hypothesis="H1") for name in ("maps", "gate", "max")]
    some = runs["imagenet", "maps"]
    runs["imagenet", "gate"] = dict.fromkeys(range(SEEDS))
    runs["imagenet", "maps"] = {s: r if s < 3 else None for s, r in some.items()}
    (result,) = compare_all(runs, planned)
    assert (result.seeds, result.complete) == (3, False)
    assert result.effect.p_adjusted == pytest.approx(3 * result.effect.p)
    assert compare_all({}, planned) == compare_all(runs, []) == []
    del runs["imagenet", "none"][0]
    runs["imagenet", "maps"] = {0: some[0], 1: None}
    assert compare_all(runs, [against("maps")]) == []  # no seed in common


def test_a_contrast_may_have_more_than_two_conditions(runs):
    # the first network's gain less that of the others: (none - maps) - (maps - logits)
    weights = {"none": 1, "maps": -2, "logits": 1}
    planned = Contrast(weights, "none", "imagenet", "seen")
    (result,) = compare_all(runs, [planned])
    assert planned.name == "+1 none -2 maps +1 logits"
    means = [array(runs, name).mean() for name in weights]
    steps = [100 * (a - b) / means[0] for a, b in pairwise(means)]
    assert result.effect.mean == pytest.approx(steps[0] - steps[1])
    assert result.effect.ci_low > 0


def test_infinite_scores_are_left_out_and_counted(runs):
    runs["imagenet", "maps"][2].per_image["seen"]["psnr_rgb"][7] = np.inf
    (result,) = compare_all(runs, [against("maps", metric="psnr_rgb")])
    assert (result.images, result.left_out) == (IMAGES - 1, 1)
    scores = [array(runs, name, "psnr_rgb") for name in ("maps", "none")]
    kept = [np.delete(values, 7, axis=1).mean() for values in scores]
    assert result.effect.mean == pytest.approx(kept[0] - kept[1])


def test_runs_that_do_not_pair_up_are_refused(runs):
    for missing in ({"metric": "ssim_rgb"}, {"test_set": "faces"}):
        with pytest.raises(UserError, match="found runs without as many scores"):
            compare_all(runs, [against("maps", **missing)])
    with pytest.raises(UserError, match="expected weights that sum to zero"):
        compare_all(runs, [Contrast({"maps": 1}, "none", "imagenet", "seen")])
    other = runs["imagenet", "maps"]
    other[0].per_image["seen"]["loss_eq1"].pop()
    with pytest.raises(UserError, match="found runs without as many scores"):
        compare_all(runs, [against("maps")])
    data = other[1].data.model_copy(update={"split_hash": "other"})
    other[0] = other[1].model_copy(update={"data": data})
    with pytest.raises(UserError, match="the runs do not pair up"):
        compare_all(runs, [against("maps")])


def test_runs_that_another_classifier_judged_are_refused():
    runs, asked = runs_of(["untrained"]), secondary(["untrained"])
    assert any(one.contrast.metric == "named" for one in compare_all(runs, asked))
    scores = runs["imagenet", "logits"][0].scores["seen"]["ground truth"]
    scores["named"] = replace(scores["named"], mean=0.02)
    with pytest.raises(UserError, match="found another classifier in"):
        compare_all(runs, asked)


# ------------------------------------------------------------------- the protocol's own


def test_the_primary_contrasts_are_those_of_the_protocol():
    counts = Counter(contrast.hypothesis.split(",")[0] for contrast in PRIMARY)
    assert counts == {
        "H1": 3, "H2a": 1, "H2b": 2, "H3": 3, "H4a": 1, "H4b": 2, "H5": 3,
    }  # fmt: skip
    conditions = set(runs_of())
    for contrast in PRIMARY:
        assert sum(contrast.weights.values()) == 0
        assert {(contrast.data, name) for name in contrast.weights} <= conditions
        assert contrast.smallest_effect == 2
    runs = {run.condition: run.config.model for run in plan("networks", "protocol")}
    for reading in ("maps", "logits", "softmax"):
        of = [runs[name] for name in (f"{reading}, one", f"{reading}, two", reading)]
        assert [len(model.backbones) for model in of] == [1, 2, 3]
        assert of[0].backbones == of[2].backbones[:1]
        assert {model.features for model in of} == {reading}


def test_the_rest_is_exploratory_and_one_name_means_one_condition():
    rest = secondary()
    assert len(rest) == 9 * 7 + 3 * 3 - 9  # of these nine are primary
    assert not any(contrast.hypothesis for contrast in rest)
    assert {contrast.metric for contrast in rest} == set(SMALLEST)
    assert len({str(contrast) for contrast in rest}) == len(rest)
    known = load_experiments().ablations.items()
    names = [name for name, one in known if one.evidence != "tuning"]
    assert runs_of(names)
    assert {str(c) for c in secondary(names)}.isdisjoint(map(str, PRIMARY))


def whole(noise=0.05, **factors):
    """All runs of the protocol, with effects that support some and contradict some."""
    factors = {
        "none": 1, "maps": 0.9, "logits": 0.9, "softmax": 0.96,
        "maps, one": 0.91, "logits, one": 1, "softmax, one": 0.97, **factors,
    }  # fmt: skip
    runs = {
        ("imagenet", name): condition(factor, draw, noise)
        for draw, (name, factor) in enumerate(factors.items())
    }
    for draw, name in enumerate(("none", "maps", "logits", "softmax")):
        runs["lfw", name] = condition(1, draw, tests=("test",))
    return runs


def test_hypotheses_are_answered_by_the_table():
    found = answers(compare_all(whole(), PRIMARY))
    assert found == {
        "H1": "supported", "H2a": "contradicted", "H2b": "supported",
        "H3, maps": "supported", "H3, logits": "contradicted",
        "H3, softmax": "supported", "H4a": "supported", "H4b": "supported",
        "H5": "supported",
    }  # fmt: skip
    other = whole(maps=1.0, softmax=0.8, logits=1.1)
    found = answers(compare_all(other, PRIMARY))
    assert {name for name, word in found.items() if word == "contradicted"} == {
        "H1", "H2a", "H2b", "H4a", "H4b", "H3, softmax",
    }  # fmt: skip


def test_a_hypothesis_waits_for_its_runs():
    runs = whole(maps=1.0)
    del runs["imagenet", "softmax"]
    found = answers(compare_all(runs, PRIMARY))
    assert found["H4b"] == found["H2a"] == found["H3, softmax"] == "pending"
    assert found["H1"] == "pending"  # maps are not significant, but the family waits
    assert found["H4a"] == "contradicted"
    assert found["H5"] == "supported"
    del runs["lfw", "none"]
    assert answers(compare_all(runs, PRIMARY))["H5"] == "pending"
    assert set(answers([]).values()) == {"pending"}


def test_a_hypothesis_is_undecided_only_after_all_runs():
    runs = whole(logits=0.918)  # the interval of H4a contains -2 %
    assert answers(compare_all(runs, PRIMARY))["H4a"] == "undecided"
    del runs["lfw", "none"]
    assert answers(compare_all(runs, PRIMARY))["H4a"] == "pending"


def test_a_significant_gain_below_the_smallest_of_interest_supports_h3():
    runs = whole(0.005, maps=0.985, **{"maps, one": 0.985})  # the first gains 1.5 %
    results = compare_all(runs, PRIMARY)
    (first,) = (r for r in results if r.contrast.hypothesis == "H3, maps")
    assert first.sign > 0
    assert first.effect.lies_within(2)
    assert answers(results)["H3, maps"] == "supported"


def test_records_are_found_under_the_conditions_they_are_planned_as(tmp_path):
    scores = {m: [0.1, 0.2] for m in ("loss_eq1", "psnr_rgb", "ciede2000")}
    for run in plan("networks", "smoke"):
        if run.condition != "maps, one":
            made = made_record({"test": scores}, name=run.name)
            write_record(made, tmp_path / f"{run.name}.json")
    runs = runs_of(("fusion", "networks"), "smoke", tmp_path)
    assert runs["scenes", "softmax"][0].name == plan("fusion", "smoke")[1].name
    assert runs["scenes", "maps, one"] == {0: None}
    found = compare_all(runs, secondary(profile="smoke"))
    assert len(found) == 8 * 3  # conditions x metrics
    assert "softmax against none" in {r.contrast.name for r in found}
