"""Planned comparisons of conditions: from the records of runs to results in words.

A condition is trained with several seeds, one record each. A contrast is a weighted sum
of conditions, planned before it is computed. `compare_all` estimates contrasts over
images and seeds, corrects their p-values (Holm over the primary ones, Benjamini-
Hochberg over the rest) and draws the conclusions, see `colorlib.stats`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from colorlib import stats
from colorlib.errors import UserError
from colorlib.evaluation import MODEL
from colorlib.metrics import METRICS
from companion.records import RESULTS, Record, read_record
from companion.studies import load_experiments, plan

IN_PERCENT = ("loss_eq1",)  # of the reference's mean; decibels are no fractions


class ScoredRun(Protocol):
    """What is read of a record: `settings["data"]` decides which images are tested."""

    @property
    def settings(self) -> Mapping[str, Any]: ...  # noqa: D102

    @property
    def seed(self) -> int: ...  # noqa: D102

    @property
    def per_image(self) -> Mapping[str, Mapping[str, Sequence[float]]]: ...  # noqa: D102


Runs = Mapping[str, Sequence[ScoredRun]]  # condition -> its runs, one a seed
Groups = Mapping[str, Sequence[str]]  # test set -> the class or person of each image


@dataclass(frozen=True)
class Contrast:
    """A planned comparison: a weighted sum of the mean scores of conditions.

    Attributes:
        weights: Condition -> weight, adding up to zero: `{"maps": 1, "none": -1}` is a
            difference, `{"none": 1, "maps1": -2, "maps3": 1}` the gain of the first
            network less that of the two others.
        reference: The condition whose mean is 100 % where effects are in percent.
        test_set: Of the records, such as `seen`; `metric` likewise.
        hypothesis: Of the protocol, such as `H1`; empty for all that is not primary.
        smallest_effect: Of interest, in `unit`; with 0 no null result is conclusive.
    """

    weights: Mapping[str, float]
    reference: str
    test_set: str
    metric: str
    hypothesis: str = ""
    smallest_effect: float = 0.0

    @property
    def name(self) -> str:
        """The weighted sum, such as `+1 maps -1 none`."""
        return " ".join(f"{weight:+g} {name}" for name, weight in self.weights.items())

    @property
    def unit(self) -> str:
        """Of the effect: `%`, or the metric's own."""
        own = METRICS[self.metric].unit if self.metric in METRICS else ""
        return "%" if self.metric in IN_PERCENT else own


@dataclass(frozen=True)
class Result:
    """What the runs say of a contrast.

    Attributes:
        contrast: As planned.
        effect: In `contrast.unit`, with `p_adjusted`.
        reference_mean: What the reference scores, in the unit of the metric.
        seeds: How many seeds all its conditions have.
        images: How many images were compared.
        left_out: How many more were not, as a score is infinite.
        conclusion: One of three words, see `colorlib.stats.conclude`.
        detectable: The true effect found with 80 % power: of a primary contrast at the
            first step of Holm's procedure, of others without correction.
    """

    contrast: Contrast
    effect: stats.Estimate
    reference_mean: float
    seeds: int
    images: int
    left_out: int
    conclusion: stats.Conclusion = "inconclusive"
    detectable: float = inf


def against_reference(
    conditions: Sequence[str],
    reference: str,
    test_sets: Sequence[str],
    smallest_effects: Mapping[str, float],
) -> list[Contrast]:
    """Plan secondary contrasts: each other condition, test set and metric."""
    return [
        Contrast({other: 1, reference: -1}, reference, test_set, metric, "", effect)
        for test_set in test_sets
        for metric, effect in smallest_effects.items()
        for other in conditions
        if other != reference
    ]


def compare_all(
    runs: Runs, contrasts: Sequence[Contrast], groups: Groups | None = None
) -> list[Result]:
    """Estimate planned contrasts, correct their p-values and draw the conclusions.

    Those with a hypothesis are one family, the others another. A contrast whose
    conditions have not all been run has no result and counts in its family with p = 1.

    Args:
        runs: Of each condition.
        contrasts: All that are planned; results of the primary ones come first.
        groups: Of the test sets whose images were drawn by class or by person.

    Raises:
        UserError: If runs do not pair up, or have no scores of a test set and metric.
    """
    concluded: list[Result] = []
    for primary in (True, False):
        family = [c for c in contrasts if bool(c.hypothesis) is primary]
        found = [_estimate(runs, contrast, groups or {}) for contrast in family]
        adjust = stats.holm if primary else stats.benjamini_hochberg
        adjusted = adjust([r.effect.p if r else 1.0 for r in found]).tolist()
        alpha = stats.ALPHA / len(family) if primary and family else stats.ALPHA
        both = zip(found, adjusted, strict=True)
        concluded += [_conclude(result, p, alpha) for result, p in both if result]
    return concluded


def fraction_removed(
    runs: Sequence[ScoredRun],
    mean_image: stats.Floats,
    test_set: str,
    groups: Sequence[str] | None = None,
) -> stats.Estimate:
    """The fraction of the mean-image loss, (N,), that a condition removes."""
    (loss,) = _scores([runs], test_set, "loss_eq1")  # (S, N)
    return stats.ratio_interval(mean_image - loss, mean_image, groups)


def _estimate(runs: Runs, contrast: Contrast, groups: Groups) -> Result | None:
    """The effect, not yet corrected; None if a condition has not been run."""
    weights = {contrast.reference: 0.0, **contrast.weights}  # the reference first
    if abs(sum(weights.values())) > 1e-9:
        raise UserError(f"found {contrast.weights}, expected weights that sum to zero")
    if not all(map(runs.get, weights)):
        return None
    scores = _scores([runs[c] for c in weights], contrast.test_set, contrast.metric)
    finite = np.asarray(np.isfinite(scores).all((0, 1))).tolist()  # (N,)
    scores = scores[..., finite]
    own = groups.get(contrast.test_set)
    own = own and [group for group, kept in zip(own, finite, strict=True) if kept]
    weighted = np.tensordot(list(weights.values()), scores, 1)  # (S, N)
    if contrast.unit == "%":
        effect = stats.ratio_interval(weighted, scores[0], own).scaled(100)
    else:
        effect = stats.crossed_interval(weighted, own)
    counts = *weighted.shape, finite.count(False)
    return Result(contrast, effect, float(scores[0].mean()), *counts)


def _conclude(result: Result, p_adjusted: float, alpha: float) -> Result:
    """With the corrected p-value, the conclusion, and what could be detected."""
    effect = replace(result.effect, p_adjusted=p_adjusted)
    word = stats.conclude(effect, result.contrast.smallest_effect)
    least = stats.smallest_detectable_effect(effect.se, effect.df, alpha=alpha)
    return replace(result, effect=effect, conclusion=word, detectable=least)


def _scores(
    conditions: Sequence[Sequence[ScoredRun]], test_set: str, metric: str
) -> stats.Floats:
    """One metric of conditions, (C, S, N): of the seeds that all of them have."""
    by_seed = [{run.seed: run for run in runs} for runs in conditions]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    paired = [[runs[seed] for seed in seeds] for runs in by_seed]
    data = [run.settings["data"] for runs in paired for run in runs]
    if not seeds or any(other != data[0] for other in data):
        raise UserError(
            f"found {len(seeds)} common seeds, on {data[:1]} or other data, expected "
            "common seeds and the same data: the runs do not pair up"
        )
    if [*map(len, by_seed)] != [*map(len, conditions)]:
        raise UserError("found two runs of one condition and seed, expected one")
    try:
        kept = [[run.per_image[test_set][metric] for run in runs] for runs in paired]
        return np.array(kept, np.float64)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"found runs without as many scores {metric} of {test_set!r} ({error}), "
            "expected one per image: score these runs again"
        ) from error


# What `report.tables`, `ledger` and the lessons read of records of schema 1. Nothing
# above needs it: delete the rest of the file once they read `Result`.

NO_DIFFERENCE = "no difference shown"
AS_SHARE = IN_PERCENT


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie, in the unit of what it is of."""

    mean: float
    low: float
    high: float

    @property
    def contains_zero(self) -> bool:
        """Whether there may be nothing."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Comparison:
    """One arm against the reference, in one metric.

    Attributes:
        metric: Name in `METRICS`.
        image_ci: Mean difference, arm less reference, and the interval of a
            paired bootstrap over the test photographs.
        over_seeds: The same mean, and Student's interval over the seeds.
        effect: The mean difference in standard deviations of the photographs'
            differences: Cohen's d for pairs.
        reference_mean: What the reference scores.
        verdict: `better`, `worse` or `no difference shown`.
    """

    metric: str
    image_ci: Interval
    over_seeds: Interval
    effect: float
    reference_mean: float
    verdict: str

    @property
    def share(self) -> float:
        """The mean difference as a share of what the reference scores."""
        return self.image_ci.mean / self.reference_mean

    def percent(self) -> tuple[float, tuple[float, float], tuple[float, float]]:
        """In percent of what the reference scores: the mean, and both intervals."""
        scale = 100 / self.reference_mean
        photographs, seeds = (
            (scale * interval.low, scale * interval.high)
            for interval in (self.image_ci, self.over_seeds)
        )
        return scale * self.image_ci.mean, photographs, seeds

    @property
    def unit(self) -> str:
        """Of what is told of it: `%` for a loss, else the metric's own."""
        return "%" if self.metric in AS_SHARE else METRICS[self.metric].unit

    def in_unit(self) -> tuple[float, tuple[float, float], tuple[float, float]]:
        """In `unit`: the mean, and both intervals."""
        if self.unit == "%":
            return self.percent()
        photographs, seeds = (
            (interval.low, interval.high)
            for interval in (self.image_ci, self.over_seeds)
        )
        return self.image_ci.mean, photographs, seeds


def study_records(
    study: str, data: str, profile_name: str = "studies", results: Path = RESULTS
) -> dict[str, list[Record]]:
    """Read the records of a study's arms on one data set.

    Args:
        study: Its name.
        data: Name of the data set in the profile's grid.
        profile_name: The profile it was run under.
        results: The folder of records.

    Returns:
        arm -> records, one a seed, in the order of the file of studies.

    Raises:
        UserError: If one is missing; the message says which study to run.
    """
    found: dict[str, list[Record]] = {}
    for run in plan(study, profile_name):
        if run.data != data:
            continue
        path = results / f"{run.name}.json"
        if not path.is_file():
            raise UserError(
                f"found no record {path} (study {study}, arm {run.arm}, {data}, seed "
                f"{run.seed}), expected one: run `companion study {study} "
                f"--profile {profile_name}`"
            )
        found.setdefault(run.arm, []).append(read_record(path))
    if not found:
        raise UserError(
            f"found no runs of study {study} on {data!r} under profile "
            f"{profile_name!r}; `companion study {study} --dry-run` lists them"
        )
    return found


def over_seeds(values: Sequence[float]) -> Interval:
    """Mean of one number a seed, with Student's interval.

    Example:
        >>> interval = over_seeds([1.0, 2.0, 3.0])
        >>> round(interval.low, 3), interval.mean, round(interval.high, 3)
        (-0.484, 2.0, 4.484)
    """
    found = stats.seed_interval(values)
    return Interval(found.mean, found.ci_low, found.ci_high)


def scores_over_seeds(
    records: Sequence[Record], metric: str, method: str = MODEL, value: str = "pooled"
) -> Interval:
    """One metric of an arm: a number a record, and what lies between the seeds.

    Args:
        records: Of one arm, one a seed.
        metric: Name in `METRICS`.
        method: `model`, or the name of a trivial prediction.
        value: `pooled`, `mean` or `median` over the photographs.
    """
    return over_seeds([getattr(r.scores[method][metric], value) for r in records])


def compare(
    arm: Sequence[Record], reference: Sequence[Record], metric: str
) -> Comparison:
    """Compare two arms, seed by seed and photograph by photograph.

    Args:
        arm: Records, one a seed.
        reference: Records of the same seeds, tested on the same photographs.
        metric: One that records keep for each photograph.

    Raises:
        ValueError: If the photographs or the seeds are not the same.

    Reference:
        Student (1908); Efron & Tibshirani (1993), Chapter 13; Cohen (1988), Section
        2.3.5, for the effect size of pairs.
    """
    _check_pairs(arm, reference)
    differences = _per_image(arm, metric) - _per_image(reference, metric)  # (S, N)
    of_photographs = differences.mean(axis=0)  # (N,)
    found = stats.image_interval(of_photographs)
    mean = found.mean
    photographs = Interval(mean, found.ci_low, found.ci_high)
    seeds = over_seeds(list(differences.mean(axis=1)))
    spread = of_photographs.std(ddof=1)
    return Comparison(
        metric=metric,
        image_ci=photographs,
        over_seeds=seeds,
        effect=float(mean / spread) if spread else 0.0,
        reference_mean=float(_per_image(reference, metric).mean()),
        verdict=_verdict(metric, photographs, seeds),
    )


def study_differences(
    study: str,
    data: str,
    metric: str,
    profile_name: str = "studies",
    results: Path = RESULTS,
) -> dict[str, Comparison]:
    """Compare the arms of a study with its reference on one data set.

    Args:
        study: Its name.
        data: Name of the data set in the profile's grid.
        metric: One that records keep for each photograph.
        profile_name: The profile it was run under.
        results: The folder of records.

    Returns:
        arm -> comparison; arms that were tested on other photographs are left out.

    Raises:
        UserError: If a record is missing; the message says which study to run.
    """
    arms = study_records(study, data, profile_name, results)
    reference = arms.pop(load_experiments().studies[study].reference)
    return {
        arm: compare(records, reference, metric)
        for arm, records in arms.items()
        if same_photographs(records, reference)
    }


def _verdict(metric: str, photographs: Interval, seeds: Interval) -> str:
    """Better or worse, if neither interval holds zero."""
    if photographs.contains_zero or seeds.contains_zero:
        return NO_DIFFERENCE
    higher = METRICS[metric].higher_is_better
    if higher is None:
        return "more" if photographs.mean > 0 else "less"
    return "better" if (photographs.mean > 0) is higher else "worse"


def same_photographs(arm: Sequence[Record], reference: Sequence[Record]) -> bool:
    """Whether two arms were tested on the same photographs."""
    tested = {(r.data.manifest_hash, r.data.split_hash, r.data.test) for r in arm}
    return tested == {
        (r.data.manifest_hash, r.data.split_hash, r.data.test) for r in reference
    }


def _check_pairs(arm: Sequence[Record], reference: Sequence[Record]) -> None:
    """Refuse records that do not pair up."""
    seeds = [[r.profile["seed"] for r in records] for records in (arm, reference)]
    if seeds[0] != seeds[1]:
        raise ValueError(f"found seeds {seeds[0]} and {seeds[1]}, expected the same")
    if not same_photographs(arm, reference):
        raise ValueError(
            f"found {arm[0].name} and {reference[0].name} tested on different "
            "photographs, expected the same: their scores do not pair up"
        )


def _per_image(records: Sequence[Record], metric: str) -> np.ndarray:
    """One metric of each photograph, (seeds, photographs)."""
    return np.array([record.per_image[metric] for record in records])
