"""Tables of scores as Markdown: a method a row, a metric a column.

Every mean stands with its interval, every metric with its unit and its direction.
"""

from collections.abc import Iterable, Mapping, Sequence

from colorlib.comparisons import (
    Comparison,
    Interval,
    compare,
    same_photographs,
    scores_over_seeds,
)
from colorlib.evaluation import MODEL
from colorlib.metrics import METRICS, Metric, Summary
from colorlib.records import Record

DIRECTION = {True: " ↑", False: " ↓", None: ""}


def heading(metric: Metric) -> str:
    """A metric with its unit and the direction that is better.

    Example:
        >>> heading(METRICS["psnr_rgb"])
        'PSNR RGB (dB) ↑'
    """
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.label}{unit}{DIRECTION[metric.higher_is_better]}"


def beside_the_baselines(
    records: Mapping[str, Record],
) -> dict[str, dict[str, Summary]]:
    """The trivial predictions, once, then the model of each record.

    Args:
        records: label -> record; all of the same test photographs.

    Returns:
        method -> metric -> summary.

    Raises:
        ValueError: If the records were not tested on the same photographs.
    """
    tested_on = {(r.data.manifest_hash, r.data.split_hash) for r in records.values()}
    if len(tested_on) != 1:
        raise ValueError(
            f"found records of {len(tested_on)} test sets ({', '.join(records)}), "
            "expected one: scores of different photographs do not compare"
        )
    first = next(iter(records.values()))
    trivial = {name: s for name, s in first.scores.items() if name != "model"}
    return trivial | {
        label: record.scores["model"] for label, record in records.items()
    }


def score_table(
    methods: Mapping[str, Mapping[str, Summary]], metrics: Sequence[str]
) -> str:
    """Means with their intervals, a method a row.

    Args:
        methods: method -> metric -> summary.
        metrics: Names of `METRICS`, the columns.

    Returns:
        A Markdown table.
    """
    headings = ["", *(heading(METRICS[name]) for name in metrics)]
    rows = [
        [method, *(mean_with_interval(scores[name]) for name in metrics)]
        for method, scores in methods.items()
    ]
    return markdown_table(headings, rows)


def study_table(
    arms: Mapping[str, Sequence[Record]],
    reference: str,
    metrics: Sequence[str] = ("rmse_ab_unit", "psnr_rgb", "ciede2000", "colourfulness"),
    compared: str = "loss_eq1",
) -> str:
    """A study on one data set: the trivial predictions, then an arm a row.

    Args:
        arms: arm -> records, one a seed, see `colorlib.comparisons.study_records`.
        reference: The arm that the others are compared with.
        metrics: Names of `METRICS`, the columns: pooled over photographs, their mean
            over seeds, and half of Student's 95 % interval.
        compared: The metric of the last two columns, as a share of the reference's.

    Returns:
        A Markdown table. An arm tested on other photographs is not compared.
    """
    names = [heading(METRICS[name]) for name in metrics]
    headings = ["", *names, f"{METRICS[compared].label}, change", "verdict"]
    first = arms[reference]
    trivial = [name for name in first[0].scores if name != MODEL]
    rows = [
        [name, *(_trivial(first, metric, name) for metric in metrics), "", ""]
        for name in trivial
    ]
    for arm, records in arms.items():
        scores = [_plus_minus(scores_over_seeds(records, m)) for m in metrics]
        rows.append([arm, *scores, *_against(records, arms[reference], compared)])
    return markdown_table(headings, rows)


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
    head = f"\n\n<details><summary>From {count} records</summary>\n\n"
    return head + "\n".join(lines) + "\n\n</details>"


def _against(
    arm: Sequence[Record], reference: Sequence[Record], metric: str
) -> tuple[str, str]:
    """Two cells: by how much an arm differs from the reference, and the verdict."""
    if arm is reference:
        return "", "reference"
    if not same_photographs(arm, reference):
        return "", "other photographs"
    comparison = compare(arm, reference, metric)
    return change(comparison), comparison.verdict


def change(comparison: Comparison) -> str:
    """A difference as a share of the reference, and as an effect size."""
    return f"{100 * comparison.share:+.1f} %, d = {comparison.effect:+.2f}"


def _trivial(records: Sequence[Record], metric: str, method: str) -> str:
    """One metric of a trivial prediction, which no seed changes."""
    return f"{scores_over_seeds(records, metric, method).mean:#.4g}"


def _plus_minus(interval: Interval) -> str:
    """A mean over seeds with half its interval, in the mean's last digits."""
    return f"{interval.mean:#.4g} ± {interval.high - interval.mean:.2g}"


def mean_with_interval(summary: Summary) -> str:
    """Four digits of the mean, and where 95 % of its resamples lie.

    Example:
        >>> mean_with_interval(Summary(0.09551, 0.09, 0.1, 0.0943, 0.0968, 3298))
        '0.09551 (0.09430–0.09680)'
    """
    return f"{summary.mean:#.4g} ({summary.ci_low:#.4g}–{summary.ci_high:#.4g})"


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
