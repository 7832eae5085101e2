"""Tables of scores as Markdown: a method a row, a metric a column.

Every mean stands with its interval, every metric with its unit and its direction.
"""

from collections.abc import Iterable, Mapping, Sequence

from colorlib.evaluation import MODEL
from colorlib.metrics import METRICS, Metric, Summary
from companion.comparisons import (
    AS_SHARE,
    Comparison,
    Interval,
    compare,
    same_photographs,
    scores_over_seeds,
    study_differences,
)
from companion.records import Record

DIRECTION = {True: " ↑", False: " ↓", None: ""}
BETTER = {True: ", higher is better", False: ", lower is better", None: ""}

NONE = "–"  # a cell of which there is nothing to say
END_DIGITS = 4  # at most, behind the point, of the end of an interval
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
    headings = ["method", *(heading(METRICS[name]) for name in metrics)]
    rows = [
        [method, *(mean_with_interval(scores[name], name) for name in metrics)]
        for method, scores in methods.items()
    ]
    return markdown_table(headings, rows)


def study_table(
    arms: Mapping[str, Sequence[Record]],
    reference: str,
    metrics: Sequence[str] = ("rmse_ab_norm", "psnr_rgb", "ciede2000", "colourfulness"),
    compared: str = "loss_eq1",
) -> str:
    """A study on one data set: the trivial predictions, then an arm a row.

    Args:
        arms: arm -> records, one a seed, see `companion.comparisons.study_records`.
        reference: The arm that the others are compared with.
        metrics: Names of `METRICS`, the last columns: pooled over photographs, their
            mean over seeds, and half of Student's 95 % interval.
        compared: The metric of the verdict and the change, which stand first: the rest
            of a wide table is beyond the edge of a phone.

    Returns:
        A Markdown table. An arm tested on other photographs is not compared.
    """
    names = [heading(METRICS[name]) for name in metrics]
    headings = ["method", "verdict", f"{METRICS[compared].label}, change", *names]
    first = arms[reference]
    trivial = [name for name in first[0].scores if name != MODEL]
    rows = [
        [name, NONE, NONE, *(_trivial(first, metric, name) for metric in metrics)]
        for name in trivial
    ]
    for arm, records in arms.items():
        scores = [plus_minus(scores_over_seeds(records, m), m) for m in metrics]
        rows.append([arm, *_against(records, first, compared), *scores])
    return markdown_table(headings, rows)


def differences_table(study: str, metric: str, data_sets: Sequence[str]) -> str:
    """A study's differences in one metric, an arm on a data set a row.

    Args:
        study: Its name.
        metric: One that records keep for each photograph.
        data_sets: Names of data sets in the profile's grid.

    Returns:
        See `verdict_table`.
    """
    found = {
        f"{arm}, {data}": comparison
        for data in data_sets
        for arm, comparison in study_differences(study, data, metric).items()
    }
    return verdict_table(heading(METRICS[metric]), found)


def pair_table(
    what: str,
    arm: Sequence[Record],
    reference: Sequence[Record],
    metrics: Sequence[str],
) -> str:
    """Two arms, of one study or of two, a metric a row.

    Args:
        what: Is compared with what.
        arm: Records, one a seed.
        reference: Records of the same seeds, tested on the same photographs.
        metrics: Those that records keep for each photograph.

    Returns:
        See `verdict_table`.
    """
    found = {heading(METRICS[m]): compare(arm, reference, m) for m in metrics}
    return verdict_table(what, found)


def verdict_table(what: str, comparisons: Mapping[str, Comparison]) -> str:
    """Differences, each with its verdict and both intervals.

    Args:
        what: The first column's heading.
        comparisons: A row's name -> what was found.

    Returns:
        A Markdown table; the numbers are in percent of the reference for a loss, else
        in the metric's own unit.
    """
    headings = [what, "verdict", "change", "over photographs", "over seeds"]
    rows = [[name, c.verdict, *_with_intervals(c)] for name, c in comparisons.items()]
    return markdown_table(headings, rows)


def change_label(metric: str, reference: str) -> str:
    """What an axis of changes shows, with its unit and the direction that is better.

    Example:
        >>> change_label("psnr_rgb", "none")
        'PSNR RGB, change against none (dB), higher is better'
    """
    known = METRICS[metric]
    unit = "%" if metric in AS_SHARE else known.unit
    shown = f" ({unit})" if unit else ""
    better = BETTER[known.higher_is_better]
    return f"{known.label}, change against {reference}{shown}{better}"


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


def _against(
    arm: Sequence[Record], reference: Sequence[Record], metric: str
) -> tuple[str, str]:
    """Two cells: the verdict, and by how much an arm differs from the reference."""
    if arm is reference:
        return "reference", NONE
    if not same_photographs(arm, reference):
        return "other photographs", NONE
    found = compare(arm, reference, metric)
    effect = round(found.effect, 2) + 0.0  # no minus zero
    change = _with_intervals(found)[0]
    return found.verdict, f"{change}, d{NBSP}={NBSP}{effect:+.2f}"


def _with_intervals(comparison: Comparison) -> tuple[str, str, str]:
    """Three cells: the mean difference with its unit, and both intervals."""
    mean, *intervals = comparison.in_unit()
    digits = 1 if comparison.unit == "%" else 2
    unit = f"{NBSP}{comparison.unit}" if comparison.unit else ""
    mean = round(mean, digits) + 0.0  # no minus zero
    photographs, seeds = (
        f"{_end(low, digits)}{NBSP}to{NBSP}{_end(high, digits)}"
        for low, high in intervals
    )
    return f"{mean:+.{digits}f}{unit}", photographs, seeds


def _end(value: float, digits: int) -> str:
    """An end of an interval; one that is nearly zero has the digits to see its side.

    Example:
        >>> [_end(value, 1) for value in (-8.91, -0.04, 0.0)]
        ['-8.9', '-0.04', '+0.0']
    """
    while value and digits < END_DIGITS and round(value, digits) == 0:
        digits += 1
    return f"{value:+.{digits}f}"


def number(value: float, metric: str = "") -> str:
    """Four digits of a score.

    Example:
        >>> number(0.0955123), number(0.002955, "colourfulness")
        ('0.09551', '0.00')
    """
    if metric == "colourfulness" and abs(value) < COLOURLESS:
        return "0.00"
    return f"{value:#.4g}"


def _trivial(records: Sequence[Record], metric: str, method: str) -> str:
    """One metric of a trivial prediction, which no seed changes."""
    return number(scores_over_seeds(records, metric, method).mean, metric)


def plus_minus(interval: Interval, metric: str = "") -> str:
    r"""A mean over seeds, and two digits of half its interval.

    Example:
        >>> plus_minus(Interval(25.951, 21.951, 29.951))
        '25.95 ±\xa04.0'
    """
    half = f"{interval.high - interval.mean:#.2g}".removesuffix(".")
    return f"{number(interval.mean, metric)} ±{NBSP}{half}"


def mean_with_interval(summary: Summary, metric: str = "") -> str:
    """Four digits of the mean, and where 95 % of its resamples lie.

    Example:
        >>> mean_with_interval(Summary(0.09551, 0.09, 0.1, 0.0943, 0.0968, 3298))
        '0.09551 (0.09430–0.09680)'
    """
    mean, low, high = (
        number(value, metric)
        for value in (summary.mean, summary.ci_low, summary.ci_high)
    )
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
