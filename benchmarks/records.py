"""The record of a benchmark: the seconds as they were measured, and what follows.

Speed depends on the machine and on what else it does. So nothing is kept but the
seconds of each round, in which our code, a plain reference and a matrix product took
turns. What is reported are ratios within a round, their median, and their spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from colorlib.errors import UserError
from colorlib.files import atomic_write
from companion.records import Hardware, Part, read_json

# The records that the repository keeps.
KEPT = Path(__file__).parent / "results"
OURS, REFERENCE, MATRIX = "ours", "reference", "matrix"
MATRIX_SIDE = 2048  # of the float32 matrices whose product is the measure
MATRIX_FLOPS = 2 * MATRIX_SIDE**3  # a multiplication and an addition are two
IDLE_LOAD = 0.25  # processes a thread on average: above it, something else was running
IDLE_STOLEN = 0.05  # of the processors' time, alike

Quantity = Literal["ratio", "matrix share", "seconds", "bytes"]
Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Rounds:
    """A number from some rounds.

    Attributes:
        median: Over the rounds.
        spread: Half the distance between the quartiles, as a share of the median; None
            of a single round.
    """

    median: float
    spread: float | None

    @classmethod
    def of(cls, rounds: Sequence[float]) -> "Rounds":
        """Sum up the rounds.

        Example:
            >>> Rounds.of([1.0, 2.0, 3.0])
            Rounds(median=2.0, spread=0.25)
        """
        low, middle, high = np.percentile(rounds, [25, 50, 75]).tolist()
        return cls(middle, (high - low) / 2 / middle if len(rounds) > 1 else None)


class Bar(Part):
    """What a measurement is to reach.

    Attributes:
        quantity: `ratio`, how many times faster than the reference; `matrix share`, of
            the rate of a matrix product; `seconds` of one call; `bytes` at the peak.
        at_least: The bar of `ratio` and `matrix share`.
        at_most: The bar of `seconds` and `bytes`.
        obstacle: What is known to stand in the way, printed where it is missed.
    """

    quantity: Quantity
    at_least: float | None = None
    at_most: float | None = None
    obstacle: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value reaches the bar."""
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return bool(low <= value <= high)


class Measurement(Part):
    """One thing that was measured, beside its reference.

    Attributes:
        benchmark: Its name on the command line.
        case: What of it, such as the size.
        reference: What it is compared with, in words.
        images: Images in one call of each candidate.
        seconds: candidate -> one value a round; round by round they took turns.
        flops: Floating-point operations of one of our calls; None if not counted.
        dtype: Of the numbers that we compute with.
        matrix_dtype: Of those of the matrix product.
        matrix_flops: Operations of one call of it.
        profile: operation -> its share of our time, the largest first.
        peak_bytes: candidate -> largest resident memory of its process; on a GPU, what
            its first call holds there at most beside what was there before.
        bars: What is to be reached.
    """

    benchmark: str
    case: str
    reference: str = ""
    images: dict[str, int]
    seconds: dict[str, list[float]]
    flops: int | None = None
    dtype: Dtype = "float32"
    matrix_dtype: Dtype = "float32"
    matrix_flops: int = MATRIX_FLOPS
    profile: dict[str, float] = Field(default_factory=dict)
    peak_bytes: dict[str, int] = Field(default_factory=dict)
    bars: tuple[Bar, ...] = ()

    def per_image(self, candidate: str = OURS) -> Rounds | None:
        """Seconds an image, or a call if it is of none; None if not measured."""
        if candidate not in self.seconds:
            return None
        images = self.images.get(candidate, 1)
        return Rounds.of([value / images for value in self.seconds[candidate]])

    @property
    def ratio(self) -> Rounds | None:
        """How many times as long the reference takes for an image."""
        if REFERENCE not in self.seconds:
            return None
        share = self.images.get(OURS, 1) / self.images.get(REFERENCE, 1)
        pairs = zip(self.seconds[REFERENCE], self.seconds[OURS], strict=True)
        return Rounds.of([share * theirs / ours for theirs, ours in pairs])

    @property
    def matrix_share(self) -> Rounds | None:
        """Operations a second, as a fraction of those of a matrix product.

        Of one of the same dtype: a processor may emulate bfloat16, and a GPU multiplies
        it many times faster than float32. None if there is none.
        """
        if self.flops is None or MATRIX not in self.seconds:
            return None
        if self.dtype != self.matrix_dtype:
            return None
        share = self.flops / self.matrix_flops
        pairs = zip(self.seconds[MATRIX], self.seconds[OURS], strict=True)
        return Rounds.of([share * matrix / ours for matrix, ours in pairs])

    def value(self, quantity: Quantity) -> float:
        """The number that a bar is about."""
        if quantity == "bytes":
            return self.peak_bytes[OURS]
        found = {
            "ratio": self.ratio,
            "matrix share": self.matrix_share,
            "seconds": Rounds.of(self.seconds[OURS]),
        }[quantity]
        assert found is not None, f"{self.case}: a bar of what was not measured"
        return found.median

    def reached(self) -> list[tuple[Bar, float]]:
        """Each bar, and the number that was measured."""
        return [(bar, self.value(bar.quantity)) for bar in self.bars]


class SpeedRecord(Part):
    """A run of the benchmarks; `read_speed` and `write_speed` are its doors.

    Attributes:
        name: `bench-<date>-<time>`, the file's name.
        quick: Whether everything was as small as possible, to see that it works: its
            numbers tell nothing.
        load: Processes that ran or waited when it began, the average of a minute.
        stolen: Share of the processors' time that the host of a virtual machine gave to
            others meanwhile; None where the system does not tell.
        seconds: Wall time of the whole run.
        note: What is known to be wrong with it.
    """

    schema_version: Literal[1] = 1
    name: str
    created: str
    commit: str
    quick: bool
    load: float
    stolen: float | None = None
    seconds: float
    hardware: Hardware
    measurements: tuple[Measurement, ...]
    note: str = ""

    @property
    def busy(self) -> bool:
        """Whether the machine, or its host, had other work."""
        load = self.load / self.hardware.threads
        return load > IDLE_LOAD or (self.stolen or 0) > IDLE_STOLEN


def write_speed(record: SpeedRecord, folder: Path) -> Path:
    """Write a record under its name; where it is."""
    path = folder / f"{record.name}.json"
    atomic_write(path, record.model_dump_json(indent=1).encode() + b"\n")
    return path


def read_speed(path: Path) -> SpeedRecord:
    """Read and validate a record.

    Raises:
        UserError: If it is no JSON or does not fit the schema; the message names the
            field.
    """
    return read_json(SpeedRecord, path)


def latest_speed(folder: Path = KEPT, on_gpu: bool = False) -> SpeedRecord:
    """The newest record that the repository keeps.

    Args:
        folder: Of the records.
        on_gpu: Whether it is to be of a GPU, or of a processor alone.

    Raises:
        UserError: If there is none.
    """
    records = [read_speed(path) for path in folder.glob("*.json")]
    records = [r for r in records if (r.hardware.gpu is not None) == on_gpu]
    if not records:
        raise UserError(
            f"found no record in {folder}, expected one: run `python -m benchmarks"
            f"{' gpu' if on_gpu else ''}`, and copy it there"
        )
    return max(records, key=lambda record: record.created)
