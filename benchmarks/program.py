"""The program itself: importing it, asking it for help, a book that is up to date."""

from collections.abc import Iterator

from benchmarks.measuring import ROOT, race_processes
from benchmarks.records import OURS, REFERENCE, Bar, Measurement
from benchmarks.setting import Setting
from colorlib.errors import UserError

FAST = (Bar(quantity="seconds", at_most=0.3),)
MAKE = "import subprocess, sys; sys.exit(subprocess.call(['make', 'book']))"


def start(setting: Setting) -> Iterator[Measurement]:
    """From the start of the interpreter to its end."""
    programs = {
        "import colorlib": (["-c", "import colorlib"], FAST),
        "colorlib --help": (["-m", "colorlib", "--help"], ()),
    }
    for case, (command, bars) in programs.items():
        commands = {OURS: command, REFERENCE: ["-c", "pass"]}
        seconds, peak = race_processes(commands, setting.rounds)
        yield Measurement(
            benchmark="start",
            case=case,
            reference="Python alone",
            images={},
            seconds=seconds,
            peak_bytes=peak,
            bars=bars,
        )


def book(setting: Setting) -> Iterator[Measurement]:
    """`make book` where a book is and nothing has changed; only if asked for."""
    if not (ROOT / "_build" / "html" / ".complete").exists():
        raise UserError("found no book, expected one that is up to date: run make book")
    seconds, _ = race_processes({OURS: ["-c", MAKE]}, setting.few_rounds)
    yield Measurement(
        benchmark="book", case="make book, nothing changed", images={}, seconds=seconds
    )
