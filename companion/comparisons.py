"""Planned comparisons of conditions: from the records of runs to answers in words.

A condition is trained with several seeds, one record each. A contrast is a weighted sum
of conditions, planned before it is computed. `compare_all` estimates contrasts over
images and seeds, corrects their p-values (Holm over the primary ones, Benjamini-
Hochberg over the rest) and draws the conclusions, see `colorlib.stats`. What is
primary, and what supports or contradicts a hypothesis, is in `book/protocol.md`:

    records ─ runs_of ─► runs ─ compare_all(PRIMARY) ─► results ─ answers ─► supported?
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, t

from colorlib import stats
from colorlib.errors import UserError
from colorlib.evaluation import ALIKE
from colorlib.metrics import METRICS
from companion.records import RESULTS, TRUTH, Record, read_record
from companion.studies import load_experiments, plan

LOSS = "loss_eq1"
IN_PERCENT = (LOSS,)  # of the reference's mean; decibels are no fractions
# Metric -> smallest effect of interest: per cent of the loss, else its own unit.
SMALLEST = {LOSS: 2.0, "psnr_rgb": 0.1, "ciede2000": 0.2, "named": 0.02}
JUDGED = ("imagenet", "seen")  # the test set whose classes a classifier names
NOT_JUDGED = [metric for metric in SMALLEST if metric != "named"]
# Test sets whose images came by class or by person, so that these are the units.
BY_GROUP = (("imagenet", "unseen"), ("lfw", "test"))
FUSION = ("fusion", "networks")  # the ablations of the primary contrasts
REFERENCE = "none"

Outcome = Literal["supported", "contradicted", "undecided", "pending"]
Condition = tuple[str, str]  # data set, name of the condition
Groups = Mapping[tuple[str, str], list[str]]  # (data set, test set) -> of each image
Units = list[str] | None
Runs = Mapping[Condition, Mapping[int, Record | None]]  # seed -> record, if it has run


@dataclass(frozen=True)
class Contrast:
    """A planned comparison: a weighted sum of the mean scores of conditions.

    Attributes:
        weights: Condition -> weight, adding up to zero: `{"maps": 1, "none": -1}` is a
            difference.
        reference: The condition whose mean is 100 % where effects are in percent.
        data: Of the grid, such as `imagenet`.
        test_set: Of the records, such as `seen`.
        metric: Of the records.
        hypothesis: Of the protocol, such as `H1`; empty for all that is not primary.
        label: What the sum means, if it is no plain difference.
    """

    weights: Mapping[str, float]
    reference: str
    data: str
    test_set: str
    metric: str = LOSS
    hypothesis: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """Such as `maps against none`; else its label, or the weighted sum."""
        (first, *others), weights = self.weights, [*self.weights.values()]
        if weights == [1, -1]:
            return f"{first} against {others[0]}"
        terms = (f"{weight:+g} {name}" for name, weight in self.weights.items())
        return self.label or " ".join(terms)

    @property
    def unit(self) -> str:
        """Of the effect: `%`, or the metric's own."""
        return "%" if self.metric in IN_PERCENT else METRICS[self.metric].unit

    @property
    def smallest_effect(self) -> float:
        """Of interest, in `unit`; with 0 no null result is conclusive."""
        return SMALLEST.get(self.metric, 0.0)


def _against(
    hypothesis: str, conditions: str, reference: str, data: str, test_set: str
) -> list[Contrast]:
    """Several conditions, each against the same one."""
    return [
        Contrast({one: 1, reference: -1}, reference, data, test_set, LOSS, hypothesis)
        for one in conditions.split()
    ]


def _first_gain(reading: str) -> Contrast:
    """(none - one) - ((one - two) + (two - three)) / 2: positive if the first is more.

    Three networks are the condition that is called by the reading alone.
    """
    weights = {REFERENCE: 1.0, f"{reading}, one": -1.5, reading: 0.5}
    label = "gain of the first network less the mean gain of the second and third"
    return Contrast(
        weights, REFERENCE, "imagenet", "seen", LOSS, f"H3, {reading}", label
    )


PRIMARY: tuple[Contrast, ...] = (
    *_against("H1", "maps logits softmax", "none", "imagenet", "seen"),
    *_against("H2a", "softmax", "none", "imagenet", "unseen"),
    *_against("H2b", "maps logits", "none", "imagenet", "unseen"),
    *map(_first_gain, ("maps", "logits", "softmax")),
    *_against("H4a", "maps", "logits", "imagenet", "seen"),
    *_against("H4b", "maps logits", "softmax", "imagenet", "seen"),
    *_against("H5", "maps logits softmax", "none", "lfw", "test"),
)


@dataclass(frozen=True)
class Result:
    """What the runs say of a contrast.

    Attributes:
        contrast: As planned.
        effect: In `contrast.unit`, with `p_adjusted`.
        seeds: How many seeds all its conditions have.
        images: How many images were compared.
        left_out: How many more were not, as a score is infinite.
        complete: Whether all planned seeds of all its conditions have run.
        conclusion: One of three words, see `colorlib.stats.conclude`.
        detectable: The true effect found with 80 % power: of a primary contrast at the
            first step of Holm's procedure, of others without correction.
    """

    contrast: Contrast
    effect: stats.Estimate
    seeds: int
    images: int
    left_out: int
    complete: bool
    conclusion: stats.Conclusion = "inconclusive"
    detectable: float = inf

    @property
    def sign(self) -> int:
        """Of the effect, if it is significant; else 0."""
        positive = 1 if self.effect.mean > 0 else -1
        return positive if self.conclusion == "significant" else 0

    @property
    def null(self) -> bool:
        """Whether it is not significant, and an effect of interest is excluded."""
        return self.conclusion == "not significant"


# Hypothesis -> what supports it if it holds of all its results, and what contradicts it
# if it holds of one: the last columns of the protocol's table.
Rule = tuple[Callable[[Result], bool], Callable[[Result], bool]]
LEAST = SMALLEST[LOSS]
LOWERS: Rule = (lambda r: r.sign < 0, lambda r: r.null or r.sign > 0)
RULES: dict[str, Rule] = {
    "H1": LOWERS,
    "H2a": (
        lambda r: r.effect.ci_low > -LEAST,
        lambda r: r.sign < 0 and r.effect.ci_high < -LEAST,
    ),
    "H2b": LOWERS,
    "H3": (lambda r: r.sign > 0, lambda r: r.null or r.sign < 0),
    "H4a": (
        lambda r: r.effect.lies_within(LEAST),
        lambda r: r.effect.ci_low > LEAST or r.effect.ci_high < -LEAST,
    ),
    "H4b": LOWERS,
    "H5": (lambda r: r.effect.ci_low > -LEAST, lambda r: r.effect.ci_high < -LEAST),
}


# --------------------------------------------------------------------- what is planned


def runs_of(
    ablations: Sequence[str] = FUSION,
    profile: str = "protocol",
    results: Path = RESULTS,
) -> dict[Condition, dict[int, Record | None]]:
    """Read the records that there are of some ablations.

    Args:
        ablations: Their names; a condition of several of them is one condition.
        profile: The profile that they are run under.
        results: The folder of records.

    Returns:
        (data set, condition) -> planned seed -> its record, None if it has not run.

    Raises:
        UserError: If a record cannot be read, or one name means several conditions.
    """
    found: dict[Condition, dict[int, Record | None]] = {}
    meant: dict[tuple[Condition, int], str] = {}
    for run in (run for name in ablations for run in plan(name, profile)):
        condition, seed = (run.data, run.condition), run.config.train.seed
        if meant.setdefault((condition, seed), run.name) != run.name:
            raise UserError(
                f"found two conditions {run.condition!r} on {run.data}, expected one: "
                f"rename one in {', '.join(ablations)}"
            )
        path = results / f"{run.name}.json"
        record = read_record(path) if path.exists() else None
        found.setdefault(condition, {})[seed] = record
    return found


def secondary(
    ablations: Sequence[str] = FUSION, profile: str = "protocol"
) -> list[Contrast]:
    """Plan the exploratory comparisons: all with a reference that are not primary.

    Args:
        ablations: Their names.
        profile: The profile that they are run under.

    Returns:
        Of each ablation the other conditions against its reference, on each data set
        and test set, in each metric.
    """
    primary = [replace(one, hypothesis="") for one in PRIMARY]
    contrasts: list[Contrast] = []
    for name in ablations:
        reference = load_experiments().ablations[name].reference
        places = {(r.data, r.condition): r.config.data for r in plan(name, profile)}
        for (data, condition), divided in places.items():
            weights = {condition: 1.0, reference: -1.0}
            for test in ("seen", "unseen") if divided.unseen_classes else ("test",):
                for metric in SMALLEST if (data, test) == JUDGED else NOT_JUDGED:
                    one = Contrast(weights, reference, data, test, metric)
                    if condition != reference and one not in contrasts + primary:
                        contrasts.append(one)
    return contrasts


# ------------------------------------------------------------------- what the runs say


def compare_all(runs: Runs, contrasts: Sequence[Contrast]) -> list[Result]:
    """Estimate planned contrasts, correct their p-values and draw the conclusions.

    Those with a hypothesis are one family, the others another. A contrast whose
    conditions have not all been run has no result and counts in its family with p = 1.

    Args:
        runs: Of each condition.
        contrasts: All that are planned; results of the primary ones come first.

    Raises:
        UserError: If runs do not pair up, or have no scores of a test set and metric.
    """
    concluded: list[Result] = []
    groups = _groups(runs)
    for primary in (True, False):
        family = [c for c in contrasts if bool(c.hypothesis) is primary]
        found = [_estimate(runs, contrast, groups) for contrast in family]
        adjust = stats.holm if primary else false_discovery_control
        adjusted = adjust([r.effect.p if r else 1.0 for r in found]).tolist()
        alpha = stats.ALPHA / len(family) if primary and family else stats.ALPHA
        both = zip(found, adjusted, strict=True)
        concluded += [_conclude(result, p, alpha) for result, p in both if result]
    return concluded


def answers(results: Sequence[Result]) -> dict[str, Outcome]:
    """Answer the hypotheses of the protocol by its table.

    A hypothesis is pending until all runs of its contrasts are there. If these decide
    nothing, it stays pending until the whole family has run, because corrected p-values
    still fall; until then no null result counts against it. After that it is undecided.

    Args:
        results: Those of `PRIMARY` that `compare_all` has found.

    Returns:
        Hypothesis -> `supported`, `contradicted`, `undecided` or `pending`.
    """
    found = [next((r for r in results if r.contrast == c), None) for c in PRIMARY]
    ready = all(result is not None and result.complete for result in found)
    outcomes: dict[str, Outcome] = {}
    for hypothesis in dict.fromkeys(c.hypothesis for c in PRIMARY):
        both = zip(PRIMARY, found, strict=True)
        own = [r for c, r in both if c.hypothesis == hypothesis]
        known = [r for r in own if r is not None and r.complete]
        supports, contradicts = RULES[hypothesis.split(",")[0]]
        against = any(contradicts(r) for r in known if ready or not r.null)
        supported = all(map(supports, known))
        if len(known) == len(own) and supported != against:
            outcomes[hypothesis] = "supported" if supported else "contradicted"
        else:
            outcomes[hypothesis] = "undecided" if ready else "pending"
    return outcomes


def collapsed(runs: Runs) -> list[tuple[str, str, int]]:
    """Data set, condition and seed of the runs that predict the same for all images."""
    return [
        (*place, seed)
        for place, by_seed in runs.items()
        for seed, record in by_seed.items()
        if record is not None and ALIKE in record.note
    ]


def learned(runs: Runs) -> Runs:
    """The runs without those that did not learn.

    Comparisons are paired by seed, so that each leaves out these seeds of all its
    conditions: a sensitivity analysis, as the protocol removes no run.
    """
    out = set(collapsed(runs))
    return {
        place: {s: None if (*place, s) in out else r for s, r in by_seed.items()}
        for place, by_seed in runs.items()
    }


def stricter_p_values(results: Sequence[Result]) -> list[float]:
    """Holm's p-values if the degrees of freedom were those of the seeds, S - 1.

    Too strict where images or classes vary more than seeds do. Satterthwaite's are not
    strict enough for very small p-values: see the protocol's amendments.
    """
    ratios = [abs(one.effect.mean) / one.effect.se for one in results]
    p = [
        2 * t.sf(ratio, one.seeds - 1) if one.seeds > 1 else 1.0
        for ratio, one in zip(ratios, results, strict=True)
    ]
    missing = [1.0] * (len(PRIMARY) - len(results))
    adjusted: list[float] = stats.holm(p + missing).tolist()
    return adjusted[: len(results)]


def fraction_removed(
    runs: Runs, some: Mapping[tuple[str, str], NDArray[np.int64]] | None = None
) -> dict[tuple[str, str, str], stats.Estimate]:
    """The fraction of the loss of the per-pixel mean image that each condition removes.

    Args:
        runs: Of each condition, the one without fusion among them, whose records hold
            the loss of the mean image.
        some: (data set, test set) -> (M,), the images that count there, and nowhere
            else; by default all of all test sets.

    Returns:
        (data set, test set, condition) -> the fraction, with its interval.
    """
    groups = _groups(runs)
    naive = {
        (data, test_set): np.array(scores["mean_image_loss"])
        for (data, _), record in _recorded(runs)
        for test_set, scores in record.per_image.items()
        if "mean_image_loss" in scores
    }
    removed: dict[tuple[str, str, str], stats.Estimate] = {}
    for (data, condition), by_seed in runs.items():
        for place, whole in naive.items():
            if place[0] != data or (some is not None and place not in some):
                continue
            loss = _scores([by_seed], place[1], LOSS)  # (1, S, N)
            if loss is not None:
                part = np.arange(len(whole)) if some is None else some[place]
                own = _units(groups, place)
                removed[*place, condition] = stats.ratio_interval(
                    (whole - loss[0])[:, part],
                    whole[part],
                    None if own is None else [own[image] for image in part],
                )
    return removed


def _recorded(runs: Runs) -> Iterable[tuple[Condition, Record]]:
    """Every record that there is, with its condition."""
    for condition, by_seed in runs.items():
        yield from ((condition, record) for record in by_seed.values() if record)


def _groups(runs: Runs) -> Groups:
    """(data set, test set) -> each image's class or person.

    Records of runs without fusion hold them; without any, images are the units.
    """
    return {
        (data, test_set): [str(number) for number in numbers]
        for (data, _), record in _recorded(runs)
        for test_set, numbers in record.groups.items()
    }


def _units(groups: Groups, place: tuple[str, str], metric: str = LOSS) -> Units:
    """Each image's class or person, where these were drawn; else None.

    What is named are the first test images, so those of some of the classes.
    """
    by_group = place in BY_GROUP or metric == "named"
    return groups.get(place) if by_group else None


def _estimate(runs: Runs, contrast: Contrast, groups: Groups) -> Result | None:
    """The effect, not yet corrected; None if a condition has not been run."""
    weights = {contrast.reference: 0.0, **contrast.weights}  # the reference first
    if abs(sum(weights.values())) > 1e-9:
        raise UserError(f"found {contrast.weights}, expected weights that sum to zero")
    of_each = [runs.get((contrast.data, condition), {}) for condition in weights]
    scores = _scores(of_each, contrast.test_set, contrast.metric)  # (C, S, N)
    if scores is None:
        return None
    finite = np.asarray(np.isfinite(scores).all((0, 1)))  # (N,)
    own = _units(groups, (contrast.data, contrast.test_set), contrast.metric)
    own = own and [one for one, used in zip(own, finite.tolist(), strict=False) if used]
    weighted = np.tensordot(list(weights.values()), scores[..., finite], 1)  # (S, N)
    if contrast.unit == "%":
        effect = stats.ratio_interval(weighted, scores[0][:, finite], own).scaled(100)
    else:
        effect = stats.crossed_interval(weighted, own)
    return Result(
        contrast,
        effect,
        seeds=len(weighted),
        images=int(finite.sum()),
        left_out=int((~finite).sum()),
        complete=all(all(by_seed.values()) for by_seed in of_each),
    )


def _conclude(result: Result, p_adjusted: float, alpha: float) -> Result:
    """With the corrected p-value, the conclusion, and what could be detected."""
    effect = replace(result.effect, p_adjusted=p_adjusted)
    word = stats.conclude(effect, result.contrast.smallest_effect)
    least = stats.smallest_detectable_effect(effect.se, effect.df, alpha=alpha)
    return replace(result, effect=effect, conclusion=word, detectable=least)


def _scores(
    conditions: Sequence[Mapping[int, Record | None]], test_set: str, metric: str
) -> stats.Floats | None:
    """One metric of conditions, (C, S, N): of the seeds that all have run; or None."""
    ran = [{seed for seed, record in one.items() if record} for one in conditions]
    seeds = sorted(set.intersection(*ran))
    paired = [one[seed] for one in conditions for seed in seeds]
    records = [record for record in paired if record]
    if not records:
        return None
    if len({(r.data.manifest_hash, r.data.split_hash) for r in records}) > 1:
        raise UserError(
            f"found other images in {records[0].name} than in a run compared with it, "
            "expected the same: the runs do not pair up"
        )
    if metric == "named" and len({_named_in_truth(r, test_set) for r in records}) > 1:
        raise UserError(
            f"found another classifier in {records[0].name} than in a run compared "
            "with it, expected that both name the true colours equally well"
        )
    try:
        kept = [record.per_image[test_set][metric] for record in records]
        return np.array(kept, np.float64).reshape(len(conditions), len(seeds), -1)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"found runs without as many scores {metric} of {test_set!r} ({error}), "
            "expected one per image: score these runs again"
        ) from error


def _named_in_truth(record: Record, test_set: str) -> float | None:
    """How often the classifier is right in true colours: by this it is recognised."""
    true_colours = record.scores.get(test_set, {}).get(TRUTH, {})
    return true_colours["named"].mean if "named" in true_colours else None
