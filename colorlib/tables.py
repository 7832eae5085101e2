"""Tables of scores as Markdown: a method a row, a metric a column.

Every mean stands with its interval, every metric with its unit and its direction.
"""

from collections.abc import Mapping, Sequence

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


def mean_with_interval(summary: Summary) -> str:
    """Four digits of the mean, and where 95 % of its resamples lie.

    Example:
        >>> mean_with_interval(Summary(0.09551, 0.09, 0.1, 0.0943, 0.0968, 3298))
        '0.09551 (0.0943–0.0968)'
    """
    return f"{summary.mean:.4g} ({summary.ci_low:.4g}–{summary.ci_high:.4g})"


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
