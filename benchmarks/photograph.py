"""A photograph of any size, coloured by the model of the package: time and memory."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import race_processes
from benchmarks.records import OURS, REFERENCE, Bar, Measurement
from benchmarks.workload import Workload

GIGA = 10**9
# Megapixels -> rounds. The reference would hold 50 of them in more memory than many
# machines have.
SIZES = {0.1: 3, 1: 3, 12: 2, 50: 1}
COMPARED = 12  # megapixels: up to here there is a reference
BARS = {
    12: (
        Bar(quantity="seconds", at_most=4),
        Bar(quantity="bytes", at_most=1.5 * GIGA),
    ),
    50: (Bar(quantity="bytes", at_most=3 * GIGA),),
}


def photograph(workload: Workload) -> Iterator[Measurement]:
    """Read a JPEG, colour it, write it: each in a process of its own.

    The seconds are those without the start of the process; the memory is all of it.
    """
    for megapixels, rounds in ({0.1: 1} if workload.quick else SIZES).items():
        source = workload.photograph(megapixels)
        target = str(workload.folder / "coloured.jpg")
        theirs = "benchmarks.reference.photographs"
        commands = {OURS: ["-m", "benchmarks.photograph", str(source), target]}
        if megapixels <= COMPARED:
            commands[REFERENCE] = ["-m", theirs, str(source), target]
        seconds, peak = race_processes(commands, rounds)
        yield Measurement(
            benchmark="photograph",
            case=f"one photograph of {megapixels:g} megapixels",
            reference="scikit-image, all at once" if REFERENCE in commands else "",
            images=dict.fromkeys(commands, 1),
            seconds=seconds,
            peak_bytes=peak,
            bars=BARS.get(int(megapixels), ()),
        )


def main() -> None:
    """Colour one file by the model of the package, and print the seconds."""
    from colorlib.colorize import Colorizer
    from colorlib.images.album import colorize_file

    source, target = map(Path, sys.argv[1:3])
    colorizer = Colorizer.load()
    start = time.perf_counter()
    colorize_file(colorizer, source, target, overwrite=True)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
