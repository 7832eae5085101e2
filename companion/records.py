"""The record of a run: what was done, with what, on what, and what came out.

A record is one JSON file of numbers and hashes. Everything the book prints comes from
one, and carries its name.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorlib.errors import UserError
from colorlib.feeding import BackboneRecord
from colorlib.files import atomic_write
from colorlib.metrics import Summary
from colorlib.pace import PLAIN, Pace, Trial

RESULTS = Path(__file__).parent / "results"  # records kept in the repository


class Part(BaseModel):
    """A part of a record: frozen, and without keys that the schema does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class DataRecord(Part):
    """Which photographs, and how they were split."""

    source: str
    size: int
    kept: int
    grayscale_dropped: int
    unreadable: int
    manifest_hash: str
    split: str
    split_hash: str
    train: int
    validation: int
    test: int


class ModelRecord(Part):
    """The network that was trained."""

    name: str
    backbones: tuple[BackboneRecord, ...]
    width: float
    parameters: int
    weights_sha256: str


class TrainingRecord(Part):
    """How it was trained.

    Attributes:
        epochs: Passes over the training photographs.
        steps: Updates of the weights.
        sessions: How often it was started: more than one if it was resumed.
        seconds: Wall time over all sessions.
        curve: `train` and `validation`, after each epoch the loss that was trained by:
            in (ab/128)² if it is Eq. 1's; a cross-entropy, in nats, of a classifier.
        folder: Of its checkpoint and logs, beside the record.
        processes: How many trained together, in the last session.
        pace: How its steps were made.
        trials: What was measured to decide that, if it was left open.
    """

    epochs: int
    steps: int
    sessions: int
    seconds: float
    curve: dict[str, list[float]]
    folder: str
    processes: int = 1
    pace: Pace = PLAIN
    trials: tuple[Trial, ...] = ()


class ClassError(Part):
    """One class of a data set: how many test photographs, and their mean loss."""

    photographs: int
    loss_eq1: float


class BreakdownRecord(Part):
    """Where the model's errors are, see `colorlib.breakdown.Breakdown`.

    Attributes:
        place_mse: Rows of 8 numbers.
        pixels: Of each class of true chroma, 10 Lab units wide.
        predicted: Mean predicted chroma of each, Lab units; None if it has no pixel.
        mse: Of ab/128, alike.
        classes: The WordNet id of a class of ImageNet -> its error; of no other data
            set, as the groups of LFW are people's names.
    """

    place_mse: list[list[float]]
    pixels: list[int]
    predicted: list[float | None]
    mse: list[float | None]
    classes: dict[str, ClassError]


class Hardware(Part):
    """Where it ran, and with which versions."""

    python: str
    packages: dict[str, str]
    system: str
    cpu: str
    threads: int
    gpu: str | None


class Record(Part):
    """The whole record; `read_record` and `write_record` are its doors.

    Attributes:
        name: `<dataset>-<size>-<model>-<start of inputs_hash>`, the file's name.
        inputs_hash: Of everything that decides the result: profile, data, weights.
        scores: method -> metric -> summary; the model and the trivial baselines.
        parts: Of a mixed data set, part -> method -> metric -> summary; the baselines
            are of the part's own training photographs.
        per_image: metric -> one value a test photograph, of the model.
        breakdown: Where the errors are; None in records from before there was one.
        note: What is wrong with the model, see `colorlib.collapse`; mostly empty.
    """

    schema_version: Literal[1] = 1
    name: str
    inputs_hash: str
    created: str
    commit: str
    profile: dict[str, Any]
    data: DataRecord
    model: ModelRecord
    training: TrainingRecord
    scores: dict[str, dict[str, Summary]]
    parts: dict[str, dict[str, dict[str, Summary]]] = Field(default_factory=dict)
    per_image: dict[str, list[float]]
    breakdown: BreakdownRecord | None = None
    seconds: dict[str, float] = Field(default_factory=dict)  # stage -> wall time, s
    hardware: Hardware
    note: str = ""


def write_record(record: Record, path: Path) -> None:
    """Write a record, whole or not at all."""
    atomic_write(path, record.model_dump_json(indent=1).encode() + b"\n")


def kept_record(run: str) -> Record:
    """Read the record of a run that the repository keeps in `results/`.

    Args:
        run: Its name, see `companion.config.run_name`.

    Raises:
        UserError: If there is none.
    """
    path = RESULTS / f"{run}.json"
    if not path.is_file():
        raise UserError(
            f"found no record {path}, expected one: train it, "
            "and copy its record.json there under its name"
        )
    return read_record(path)


def read_record(path: Path) -> Record:
    """Read and validate a record.

    Raises:
        UserError: If the file is missing, is no JSON or does not fit the schema; the
            message names the field.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"record {path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise UserError(f"record {path}: {field}: {fault['msg']}") from error
