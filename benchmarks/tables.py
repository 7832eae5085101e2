"""Tables of a benchmark record: for the command line in one, for the book in several.

Seconds are medians over the rounds, of one image where there are images.
Noise is half the distance between the quartiles over the rounds, as a share of the
median; a single round has none.
"""

import re
from collections.abc import Iterable, Iterator

from benchmarks.records import (
    MATRIX,
    OURS,
    REFERENCE,
    Bar,
    Measurement,
    Rounds,
    SpeedRecord,
)
from companion.report.tables import NBSP, NONE, markdown_table

COLUMNS = (
    "what", "ours", "reference", "ratio", "noise", "of the matrix rate", "memory", "bar"
)  # fmt: skip
PAPER_TRAINING = 12_750  # images: three quarters of 17,000, Section 5.1
PAPER_EPOCHS = 1000  # Section 4.3
LATER_EPOCH = "a later epoch"  # the case whose images are projected
YES, NO = "holds", "missed"

Row = list[str]


def summary_rows(record: SpeedRecord) -> list[Row]:
    """Everything that was measured, a measurement a row, under `COLUMNS`."""
    return [
        [
            m.case,
            *_times(m),
            _percent(m.matrix_share),
            " / ".join(map(_gigabytes, m.peak_bytes.values())),
            "; ".join(f"{bar_text(bar)}: {held}" for bar, _, held in _outcomes(m)),
        ]
        for m in record.measurements
    ]


def brief(measurement: Measurement) -> str:
    """A measurement in a few words, while the others go on."""
    ours, _, ratio, _ = _times(measurement)
    parts = [ours]
    if ratio:
        parts.append(f"ratio {ratio}")
    if measurement.matrix_share:
        parts.append(f"{_percent(measurement.matrix_share)} of the matrix rate")
    return ", ".join(parts)


def machine_table(record: SpeedRecord) -> str:
    """Where and with what a record was made, as a Markdown table."""
    machine = record.hardware
    facts = {
        "record": f"`benchmarks/results/{record.name}.json`",
        "commit": record.commit[:9],
        "GPU": machine.gpu,
        "processor": f"{machine.cpu}, {machine.threads} threads",
        "packages": ", ".join(f"{k} {v}" for k, v in machine.packages.items()),
        "other work on the machine": f"{'yes' if record.busy else 'none to speak of'}: "
        f"{record.load:.1f} processes ran or waited when it began",
        "work of its host for others": "not known"
        if record.stolen is None
        else f"{100 * record.stolen:.0f} % of the processors' time",
        "the whole run": f"{record.seconds:.0f} s",
        "what is wrong with it": record.note,
    }
    return markdown_table(
        ["what", "value"], [[what, fact] for what, fact in facts.items() if fact]
    )


def book_tables(record: SpeedRecord) -> dict[str, str]:
    """The tables of the book's page.

    Returns:
        heading -> a Markdown table; none that would be empty.
    """
    rows = record.measurements
    on_gpu = record.hardware.gpu is not None  # whose kernels have names of their own
    rates = [[m.case, *_rates(m)] for m in rows if m.matrix_share]
    memory = [
        [m.case, *(_gigabytes(m.peak_bytes[c]) if c in m.peak_bytes else NONE
                   for c in (OURS, REFERENCE))]
        for m in rows if m.peak_bytes
    ]  # fmt: skip
    bars = [
        [m.case, bar_text(bar), _measured(bar, value), outcome]
        for m in rows for bar, value, outcome in _outcomes(m)
    ]  # fmt: skip
    times = [[text or NONE for text in (m.case, m.reference, *_times(m))] for m in rows]
    tables = {
        "The bars": markdown_table(["what", "bar", "measured", "result"], bars)
        + _why_missed(rows),
        "Time": markdown_table(["what", "compared with", *COLUMNS[1:5]], times),
        "Share of the machine's matrix rate": markdown_table(
            ["what", "GFLOP/s", "matrix product, GFLOP/s", "share", "noise"], rates
        ),
        "Where the time goes": markdown_table(
            ["what", "operation", "share"],
            [
                [m.case, f"`{name}`", f"{100 * share:.0f} %"]
                for m in rows if not on_gpu
                for name, share in m.profile.items()
            ],
        ),
        "Memory at its peak": markdown_table(["what", *COLUMNS[1:3]], memory),
        "Projected: the paper's training": markdown_table(
            ["images of", "epoch, ours", "epoch, reference",
             "all epochs, ours", "all epochs, reference"],
            list(_projections(record)),
        ),
    }  # fmt: skip
    return {
        heading: _unbroken(table)
        for heading, table in tables.items()
        if table.count("\n") > 1
    }


def _why_missed(measurements: Iterable[Measurement]) -> str:
    """What stands in the way of the bars that are missed, each reason once."""
    missed: dict[str, list[str]] = {}
    for measurement in measurements:
        for bar, _, outcome in _outcomes(measurement):
            if outcome == NO:
                obstacle = bar.obstacle or "it is not known why"
                missed.setdefault(obstacle, []).append(measurement.case)
    return "".join(
        f"\n\nMissed by {'; '.join(cases)}: {obstacle}."
        for obstacle, cases in missed.items()
    )


def _unbroken(text: str) -> str:
    """Have numbers stay in one line with their units."""
    return re.sub(
        r"(?<=\d) (?=(?:%|GB|GFLOP/s|days|h|min|m?s|µs|px)(?!\w))", NBSP, text
    )


def _times(measurement: Measurement) -> Row:
    """Ours, the reference's, the ratio and its noise."""
    ours, theirs = measurement.per_image(OURS), measurement.per_image(REFERENCE)
    ratio = measurement.ratio
    noise = (ratio or ours or Rounds(0, None)).spread
    return [
        duration(ours.median) if ours else "",
        duration(theirs.median) if theirs else "",
        _three_digits(ratio.median) if ratio else "",
        f"{100 * noise:.0f} %" if noise is not None else "",
    ]


def _rates(measurement: Measurement) -> Row:
    """Operations a second, those of a matrix product, the share and its noise."""
    share = measurement.matrix_share
    assert share is not None
    assert measurement.flops is not None
    ours = measurement.flops / Rounds.of(measurement.seconds[OURS]).median
    matrix = measurement.matrix_flops / Rounds.of(measurement.seconds[MATRIX]).median
    return [
        f"{ours / 1e9:,.0f}",
        f"{matrix / 1e9:,.0f}",
        _percent(share),
        f"{100 * (share.spread or 0):.0f} %",
    ]


def _projections(record: SpeedRecord) -> Iterator[Row]:
    """What the measured images of an epoch mean for the paper's training."""
    for measurement in record.measurements:
        what, _, size = measurement.case.rpartition(", ")
        if what.startswith(LATER_EPOCH) and measurement.benchmark in ("epoch", "gpu"):
            each = [measurement.per_image(OURS), measurement.per_image(REFERENCE)]
            epochs = [PAPER_TRAINING * e.median for e in each if e]
            trainings = [duration(PAPER_EPOCHS * seconds) for seconds in epochs]
            yield [size, *map(duration, epochs), *trainings]


def _outcomes(measurement: Measurement) -> list[tuple[Bar, float, str]]:
    """Each bar of a measurement, what was measured, and whether it holds."""
    return [
        (bar, value, YES if bar.holds(value) else NO)
        for bar, value in measurement.reached()
    ]


def bar_text(bar: Bar) -> str:
    """A bar in words.

    Example:
        >>> bar_text(Bar(quantity="ratio", at_least=20))
        'ratio at least 20'
        >>> bar_text(Bar(quantity="bytes", at_most=1.5e9))
        'memory at most 1.5 GB'
    """
    name = {"bytes": "memory", "seconds": "time"}.get(bar.quantity, bar.quantity)
    sense = "at most" if bar.at_least is None else "at least"
    limit = bar.at_most if bar.at_least is None else bar.at_least
    return f"{name} {sense} {_measured(bar, limit or 0)}"


def _measured(bar: Bar, value: float) -> str:
    """A number in the unit of a bar."""
    if bar.quantity == "bytes":
        return _gigabytes(value)
    if bar.quantity == "seconds":
        return duration(value)
    if bar.quantity == "matrix share":
        return f"{100 * value:.0f} %"
    return _three_digits(value)


def duration(seconds: float) -> str:
    """Seconds in the unit that fits.

    Example:
        >>> [duration(value) for value in (4.2e-5, 0.0123, 30.0, 7200.0, 1e7)]
        ['42 µs', '12.3 ms', '30 s', '2 h', '116 days']
        >>> duration(1e8)
        '1,160 days'
    """
    units = {"days": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3}
    for unit, size in units.items():
        if seconds >= 2 * size or (size <= 1 and seconds >= size):
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds / 1e-6)} µs"


def _three_digits(value: float) -> str:
    """A number with the three digits that are meant, and no power of ten."""
    return f"{float(f'{value:.3g}'):,g}"


def _percent(share: Rounds | None) -> str:
    """A share in percent; nothing if not measured."""
    return f"{100 * share.median:.0f} %" if share else ""


def _gigabytes(size: float) -> str:
    """Bytes in units of 10^9."""
    return f"{size / 1e9:.2g} GB"
