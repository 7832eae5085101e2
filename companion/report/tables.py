"""Tables as Markdown: scores of methods, contrasts of conditions.

Every mean stands with its interval, every metric with its unit and its direction.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from colorlib.errors import UserError
from colorlib.evaluation import GRAY, MEAN_COLOUR, MEAN_IMAGE, MODEL
from colorlib.metrics import METRICS, Metric, Summary
from colorlib.stats import Estimate
from companion.comparisons import LOSS, Result
from companion.records import Record

DATA_NAMES = {
    "lfw": "LFW",
    "imagenet": "ImageNet",
    "imagenette": "Imagenette",
    "scenes": "synthetic scenes",
    "folder": "a folder of images",
}
DIRECTION = {True: " ↑", False: " ↓", None: ""}

NONE = "–"  # a cell of which there is nothing to say
END_DIGITS = 4  # at most, after the point, of the end of an interval
NBSP = "\u00a0"  # holds a number and its unit in one line
COLOURLESS = 0.005  # gray has 0.003: white point and matrix are of a few digits


def heading(metric: Metric) -> str:
    """A metric with its unit and the direction that is better.

    Example:
        >>> heading(METRICS["psnr_rgb"])
        'PSNR RGB (dB) ↑'
    """
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.label}{unit}{DIRECTION[metric.higher_is_better]}"


def beside_the_baselines(
    records: Mapping[str, Record], test_set: str = "test"
) -> dict[str, dict[str, Summary]]:
    """The naive baselines, once, then the model of each record.

    Args:
        records: label -> record; all of the same test images.
        test_set: One that they were tested on.

    Returns:
        method -> metric -> summary.

    Raises:
        UserError: If the records were not tested on the same images.
    """
    tested = {(r.data.manifest_hash, r.data.split_hash) for r in records.values()}
    if len(tested) != 1 or not all(test_set in r.scores for r in records.values()):
        raise UserError(
            f"found records of {len(tested)} data sets, some without {test_set!r} "
            f"({', '.join(records)}), expected one test set: scores of different "
            "images do not compare"
        )
    first = next(iter(records.values())).scores[test_set]
    naive = {one: first[one] for one in (GRAY, MEAN_COLOUR, MEAN_IMAGE) if one in first}
    own = {label: record.scores[test_set][MODEL] for label, record in records.items()}
    return naive | own


def score_table(
    methods: Mapping[str, Mapping[str, Summary]], metrics: Sequence[str]
) -> str:
    """Means with their intervals over the images, a method a row.

    Args:
        methods: method -> metric -> summary.
        metrics: Names of `METRICS`, the columns.

    Returns:
        A Markdown table.
    """
    rows = [
        [method]
        + [mean_with_interval(s[m], m) if m in s else NONE for m in metrics]
        for method, s in methods.items()
    ]  # fmt: skip
    return markdown_table(["method", *(heading(METRICS[m]) for m in metrics)], rows)


def comparison_table(results: Iterable[Result]) -> str:
    """Contrasts of conditions, one a row.

    Args:
        results: Of `companion.comparisons.compare_all`.

    Returns:
        A Markdown table: the conclusion first, as the rest of a wide table is beyond
        the edge of a phone; the change in percent of the reference's loss, or in the
        metric's own unit; the smallest effect that would have been detected, of those
        that are not significant. The metric is named unless it is the loss.
    """
    headings = [
        "comparison", "conclusion", "change", "95 % interval", "adjusted p",
        "detectable", "seeds", "images",
    ]  # fmt: skip
    rows = []
    for one in results:
        contrast, effect = one.contrast, one.effect
        hidden = one.conclusion != "significant"
        parts = [contrast.hypothesis, contrast.name, contrast.data, contrast.test_set]
        if contrast.metric != LOSS:
            parts.append(METRICS[contrast.metric].label)
        digits = 1 if contrast.unit == "%" else 2
        rows.append(
            [
                ", ".join(filter(None, parts)), one.conclusion,
                signed(effect.mean, contrast.unit),
                interval(effect, digits), f"{effect.p_adjusted:.2g}",
                _detectable(one) if hidden else NONE,
                f"{one.seeds}", f"{one.images:,}",
            ]
        )  # fmt: skip
    return markdown_table(headings, rows)


def _detectable(one: Result) -> str:
    """Two digits with their unit, as the change has it."""
    if not np.isfinite(one.detectable):
        return "needs two seeds"
    return f"{float(f'{one.detectable:.2g}'):g}{NBSP}{one.contrast.unit}".strip()


def sources(records: Iterable[Record]) -> str:
    """The records a table was made from, by the commit they were made at, folded.

    Args:
        records: All of them.

    Returns:
        Markdown, to stand below the table.
    """
    named: dict[str, list[str]] = {}
    for record in records:
        named.setdefault(record.commit[:9], []).append(record.name)
    count = sum(len(names) for names in named.values())
    lines = [f"- commit {at}: {', '.join(names)}" for at, names in named.items()]
    what = "1 record" if count == 1 else f"{count:,} records"
    head = f"\n\n<details><summary>From {what}</summary>\n\n"
    return head + "\n".join(lines) + "\n\n</details>"


def signed(value: float, unit: str = "") -> str:
    r"""A change with its sign and its unit.

    Example:
        >>> signed(-7.04, "%"), signed(-0.0001, "dB")
        ('-7.0\xa0%', '+0.00\xa0dB')
    """
    digits = 1 if unit == "%" else 2
    value = round(value, digits) + 0.0  # no minus zero
    return f"{value:+.{digits}f}" + (f"{NBSP}{unit}" if unit else "")


def interval(estimate: Estimate, digits: int) -> str:
    """Both ends; one that is nearly zero has the digits to see its side.

    A single seed has no interval, and the text says so.

    Example:
        >>> interval(Estimate(-4, -8.91, -0.04, 1, 9, 0.04), 1).replace(NBSP, " ")
        '-8.9 to -0.04'
    """
    if not np.isfinite([estimate.ci_low, estimate.ci_high]).all():
        return f"one seed, no{NBSP}interval"
    ends = []
    for end in (estimate.ci_low, estimate.ci_high):
        shown = digits
        while end and shown < END_DIGITS and round(end, shown) == 0:
            shown += 1
        ends.append(f"{end:+.{shown}f}")
    return f"{NBSP}to{NBSP}".join(ends)


def mean_with_interval(summary: Summary, metric: str = "") -> str:
    """Four digits of the mean, and where 95 % of its resamples lie.

    Example:
        >>> mean_with_interval(Summary(0.09551, 0.09, 0.1, 0.0943, 0.0968, 3298))
        '0.09551 (0.09430–0.09680)'
    """
    ends = (summary.mean, summary.ci_low, summary.ci_high)
    if metric == "colourfulness" and abs(summary.mean) < COLOURLESS:
        mean, low, high = ("0.00" for _ in ends)
    else:
        mean, low, high = (f"{value:#.4g}" for value in ends)
    return f"{mean} ({low}–{high})"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of a Markdown table.

    Example:
        >>> print(markdown_table(["", "dB"], [["gray", "22.3"]]))
        |  | dB |
        |---|---|
        | gray | 22.3 |
    """
    head, *body = ("| " + " | ".join(line) + " |" for line in [headings, *rows])
    return "\n".join([head, "|" + "---|" * len(headings), *body])
