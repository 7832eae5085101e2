"""The record of a run: what was done, with what, on what, and what came out.

A record is one JSON file of numbers and hashes. Everything that the book prints comes
from one, and carries its name.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorlib.backbones import BackboneRecord
from colorlib.errors import UserError
from colorlib.files import atomic_write
from colorlib.metrics import Summary
from colorlib.training import FitResult

TRUTH = "ground truth"  # a method of the scores: the true colours
RESULTS = Path(__file__).parent / "results"  # records kept in the repository

Summaries = dict[str, dict[str, dict[str, Summary]]]  # test set -> method -> metric


class Part(BaseModel):
    """A part of a record: frozen, and without keys that the schema does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


Kind = TypeVar("Kind", bound=Part)


class DataRecord(Part):
    """Which images, what was left out, and how they were divided.

    Attributes:
        tests: Name of a test set -> its images.
    """

    source: str
    size: int
    kept: int
    grayscale: int
    unreadable: int
    duplicates: int
    manifest_hash: str
    split_hash: str
    train: int
    validation: int
    tests: dict[str, int]


class ModelRecord(Part):
    """The network that was trained."""

    backbones: tuple[BackboneRecord, ...]
    parameters: int
    weights_sha256: str


class BreakdownRecord(Part):
    """How pale the colours are, see `colorlib.evaluation.chroma_by_true_chroma`.

    Attributes:
        pixels: Of each class of true chroma, 10 Lab units wide.
        predicted: Mean predicted chroma of each, Lab units; None if it has no pixel.
    """

    model_config = ConfigDict(extra="ignore")  # older records hold more

    pixels: list[int]
    predicted: list[float | None]


class Hardware(Part):
    """Where it ran, and with which versions."""

    python: str
    packages: dict[str, str]
    system: str
    cpu: str
    threads: int
    gpu: str | None


class Record(Part):
    """The whole record. Use `read_record` and `write_record`.

    Attributes:
        name: Of the run, and of the file.
        identity: Hash of all that the numbers depend on, see `provenance.identity`.
        protocol: Version of the protocol that the run belongs to; empty for none.
        settings: Of the run, all of them.
        scores: test set -> method -> metric -> summary; the model and the naive
            baselines. Empty where the test images stayed unseen.
        per_image: test set -> metric -> one value per image, of the model.
        groups: test set -> number of each image's class or person, for runs without
            fusion: all others are compared with them on the same images.
        breakdown: How pale the colours are, on the first test set.
        seconds: Stage -> wall time.
        note: What is wrong with the model; mostly empty.
    """

    schema_version: Literal[2] = 2
    name: str
    identity: str
    protocol: str
    created: str
    commit: str
    settings: dict[str, Any]
    data: DataRecord
    model: ModelRecord
    training: FitResult
    scores: Summaries = Field(default_factory=dict)
    per_image: dict[str, dict[str, list[float]]] = Field(default_factory=dict)
    groups: dict[str, list[int]] = Field(default_factory=dict)
    breakdown: BreakdownRecord | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    hardware: Hardware
    note: str = ""


def write_record(record: Record, path: Path) -> None:
    """Write a record, whole or not at all."""
    atomic_write(path, record.model_dump_json().encode() + b"\n")


def read_record(path: Path) -> Record:
    """Read and validate a record.

    Raises:
        UserError: If the file is missing, is no JSON or does not fit the schema; the
            message names the field.
    """
    return read_json(Record, path)


def read_json(kind: type[Kind], path: Path) -> Kind:
    """Read and validate a record of any kind; raises as `read_record` does."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"record {path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise UserError(f"record {path}: {field}: {fault['msg']}") from error
