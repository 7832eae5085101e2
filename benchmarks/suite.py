"""All benchmarks by name, run one after the other into one record."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.colour_conversion import colour
from benchmarks.epochs import epoch
from benchmarks.gpu import gpu
from benchmarks.loading import data
from benchmarks.measuring import processor_ticks, stolen_share
from benchmarks.networks import features, modes, step
from benchmarks.photograph import photograph
from benchmarks.program import book, start
from benchmarks.records import Measurement, SpeedRecord, write_speed
from benchmarks.scoring import evaluation
from benchmarks.tables import COLUMNS, brief, summary_rows
from benchmarks.workload import Workload
from colorlib.errors import UserError
from companion.provenance import current_commit, now, this_hardware

__all__ = ["COLUMNS", "run", "summary_rows", "write_speed"]  # for the command line

Benchmark = Callable[[Workload], Iterator[Measurement]]

BENCHMARKS: dict[str, Benchmark] = {
    "start": start,
    "colour": colour,
    "data": data,
    "features": features,
    "step": step,
    "modes": modes,
    "epoch": epoch,
    "evaluation": evaluation,
    "photograph": photograph,
}
ON_REQUEST: dict[str, Benchmark] = {"book": book, "gpu": gpu}


def run(
    names: Sequence[str] = (),
    quick: bool = False,
    say: Callable[[str], None] = print,
    keep: Callable[[SpeedRecord], object] = lambda record: None,
) -> SpeedRecord:
    """Run benchmarks.

    Args:
        names: Which; all but those on request by default.
        quick: Whether to make everything as small as possible, to see that it works.
        say: Called with a line on what is being done.
        keep: Given the record as it is after each measurement.

    Returns:
        The record.

    Raises:
        UserError: If there is no benchmark of a name.
    """
    known = BENCHMARKS | ON_REQUEST
    for name in names:
        if name not in known:
            raise UserError(
                f"found benchmark {name!r}, expected some of {', '.join(known)}"
            )
    load, commit, created = os.getloadavg()[0], current_commit(), now()
    begin, ticks = time.perf_counter(), processor_ticks()
    hardware = this_hardware("cuda" if "gpu" in names else "cpu")
    measurements: list[Measurement] = []

    def record() -> SpeedRecord:
        return SpeedRecord(
            name=f"bench-{created[:19].replace(':', '')}",
            created=created,
            commit=commit,
            quick=quick,
            load=round(load, 2),
            stolen=stolen_share(ticks, processor_ticks()),
            seconds=round(time.perf_counter() - begin, 1),
            hardware=hardware,
            measurements=tuple(measurements),
        )

    with tempfile.TemporaryDirectory(prefix="colorlib-bench-") as folder:
        workload = Workload(Path(folder), quick)
        for name in names or BENCHMARKS:
            for measurement in known[name](workload):
                say(f"{measurement.case}: {brief(measurement)}")
                measurements.append(measurement)
                keep(record())
    return record()
