"""Records of fault-injection tests: what was done to the program, and how it went.

They try many bad things, more than the tests of every day: kills, broken files, changed
code. What they counted is kept, and the book's page is made of it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from colorlib.files import atomic_write
from companion.provenance import current_commit, now, this_hardware
from companion.records import Hardware, Part, read_json
from companion.report.tables import markdown_table

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "tests/faults/records"  # those in the repository


class Trial(Part):
    """One kind of bad thing.

    Attributes:
        kind: What was done, such as "killed while a checkpoint is written".
        tried: How often.
        held: How often the program did what is expected of it.
        note: What is to be said about those that it did not, or about the kind.
    """

    kind: str
    tried: int
    held: int
    note: str = ""


class FaultRecord(Part):
    """What was tried; `read_fault_records` and `write_fault_record` are its doors.

    Attributes:
        name: One word, the file's name.
        title: The heading of its table.
        expected: What the program must do for a trial to count as held, one sentence.
        command: What runs the tests again.
        seconds: Wall time.
        trials: One a kind.
    """

    schema_version: Literal[1] = 1
    name: str
    title: str
    expected: str
    command: str
    created: str
    commit: str
    seconds: float
    hardware: Hardware
    trials: tuple[Trial, ...]

    @property
    def tried(self) -> int:
        """How many bad things were done."""
        return sum(trial.tried for trial in self.trials)

    @property
    def held(self) -> int:
        """How many of them did no harm."""
        return sum(trial.held for trial in self.trials)


def fault_record(trials: Iterable[Trial], seconds: float, **about: str) -> FaultRecord:
    """What was counted on this machine, now.

    Args:
        trials: One a kind.
        seconds: Wall time.
        about: The name, the title, what was expected and the command.
    """
    return FaultRecord(
        **about,
        created=now(),
        commit=current_commit(),
        seconds=round(seconds, 1),
        hardware=this_hardware("cpu"),
        trials=tuple(trials),
    )


def write_fault_record(record: FaultRecord, folder: Path = KEPT) -> Path:
    """Write a record under its name, over an older one; where it is."""
    path = folder / f"{record.name}.json"
    atomic_write(path, record.model_dump_json(indent=1).encode() + b"\n")
    return path


def read_fault_records(folder: Path = KEPT) -> list[FaultRecord]:
    """The records of a folder, by name.

    Raises:
        UserError: If one is no JSON or does not fit the schema; the message names the
            field.
    """
    return [read_json(FaultRecord, path) for path in sorted(folder.glob("*.json"))]


def fault_table(record: FaultRecord) -> str:
    """What was tried and how often the program held, a kind a row.

    Args:
        record: Its record.

    Returns:
        A Markdown table; the column of notes is there if a kind has one.
    """
    headings = ["what was done", "tried", "held", "note"]
    rows = [[t.kind, f"{t.tried:,}", f"{t.held:,}", t.note] for t in record.trials]
    rows.append(["**all**", f"**{record.tried:,}**", f"**{record.held:,}**", ""])
    width = 4 if any(trial.note for trial in record.trials) else 3
    return markdown_table(headings[:width], [row[:width] for row in rows])
