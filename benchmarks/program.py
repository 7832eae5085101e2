"""Start-up time of the commands, and of a book that is already built."""

from collections.abc import Iterator

from benchmarks.measuring import ROOT, race_processes
from benchmarks.records import OURS, REFERENCE, Bar, Measurement
from benchmarks.workload import Workload
from colorlib.errors import UserError

NOTHING = "pass"
COMMAND = "from colorlib.cli import main; main()"
MAKE = "import subprocess, sys; sys.exit(subprocess.call(['make', 'book']))"
FAST = (Bar(quantity="seconds", at_most=0.3),)
HARDLY_SLOWER = (Bar(quantity="ratio", at_least=1 / 2.2),)


def start(workload: Workload) -> Iterator[Measurement]:
    """From the start of the interpreter to its end."""
    photograph = str(workload.photograph(0.02))
    colorize = ["-c", COMMAND, "colorize", photograph, "--force"]
    programs = {
        "import colorlib": (["-c", "import colorlib"], NOTHING, FAST),
        "colorlib --help": (["-c", COMMAND, "--help"], NOTHING, ()),
        "colorlib colorize": (colorize, "import torch", HARDLY_SLOWER),
    }
    for case, (command, reference, bars) in programs.items():
        commands = {OURS: command, REFERENCE: ["-c", reference]}
        seconds, peak = race_processes(commands, workload.rounds)
        yield Measurement(
            benchmark="start",
            case=case,
            reference="Python alone" if reference == NOTHING else reference,
            images={},
            seconds=seconds,
            peak_bytes=peak,
            bars=bars,
        )


def book(workload: Workload) -> Iterator[Measurement]:
    """`make book` where a book is and nothing has changed; only if asked for."""
    if not (ROOT / "_build" / "html" / ".complete").exists():
        raise UserError("found no book, expected one that is up to date: run make book")
    seconds, _ = race_processes({OURS: ["-c", MAKE]}, workload.few_rounds)
    yield Measurement(
        benchmark="book", case="make book, nothing changed", images={}, seconds=seconds
    )
