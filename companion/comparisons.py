"""What a study's records say: means over seeds, paired differences, and a verdict.

Two things could have come out otherwise: other photographs could have been tested on,
and other first weights could have been drawn. An interval over photographs says nothing
of the second, one over three seeds little of the first. So both are given, and a
difference counts as shown only if neither interval holds zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from colorlib.errors import UserError
from colorlib.evaluation import MODEL
from colorlib.metrics import METRICS, bootstrap_interval
from companion.records import RESULTS, Record, read_record
from companion.studies import load_experiments, plan

CONFIDENCE = 0.95
NO_DIFFERENCE = "no difference shown"
AS_SHARE = ("loss_eq1",)  # nobody knows what 0.001 of it is; decibels are no shares


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
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if array.size < 2:
        return Interval(mean, -np.inf, np.inf)  # one seed says nothing of the others
    error = array.std(ddof=1) / np.sqrt(array.size)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, array.size - 1) * error)
    return Interval(mean, mean - half, mean + half)


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
    low, high = bootstrap_interval(of_photographs, CONFIDENCE)
    mean = float(of_photographs.mean())
    photographs = Interval(mean, low, high)
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
