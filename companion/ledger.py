"""The ledger: where the paper's text can be read in two ways, and what that changes.

The readings are data, `book/ambiguities.yaml`. Where a study tries the other reading,
its effect is computed from the records that are there, one data set after the other.
"""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from colorlib.errors import UserError
from companion.comparisons import compare, same_photographs, scores_over_seeds
from companion.records import RESULTS, Record, read_record
from companion.report.tables import NBSP
from companion.studies import load_experiments, plan

LEDGER = Path(__file__).parent / "ambiguities.yaml"
DATA_NAMES = {
    "lfw": "LFW",
    "imagenet": "ImageNet",
    "imagenette": "Imagenette",
    "scenes": "drawn scenes",
    "mixed": "LFW, ImageNet and drawn scenes",
    "folder": "a folder of photographs",
}
NOT_MEASURED = "not measured"
NO_OPTION = "–"
LOSS = "loss_eq1"  # compared by its root, in units of ab / 128


class Ambiguity(BaseModel):
    """One place where the text leaves a choice, or contradicts itself.

    Attributes:
        number: Counted from 1, in the order of the paper's parts.
        part: Of the paper's subject, such as `training`.
        paper: What the paper says, with the section.
        reading: What is done here.
        key: The key of a profile that sets the other reading; None if there is none.
        study: The study of `experiments.yaml` that tries it; None if none does.
        arm: The study's arm that is the other reading.
        against: The arm that is our reading; None for the study's reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    part: Literal["architecture", "colour", "training", "evaluation", "text"]
    paper: str
    reading: str
    key: str | None = None
    study: str | None
    arm: str | None
    against: str | None = None

    @property
    def compared_with(self) -> str | None:
        """The arm that the effect is against; None if no study tries the row.

        Example:
            >>> load_ledger()[23].compared_with
            'model3'
        """
        if self.study is None:
            return None
        return self.against or load_experiments().studies[self.study].reference

    @property
    def option(self) -> str:
        """How the other reading is tried, and which arm stands against which.

        Example:
            >>> load_ledger()[23].option
            'study `table1`: `model4` against `model3`'
        """
        if self.study:
            return f"study `{self.study}`: `{self.arm}` against `{self.compared_with}`"
        return f"key `{self.key}`" if self.key else "none"


def load_ledger(path: Path = LEDGER) -> list[Ambiguity]:
    """Read and validate the ledger.

    Raises:
        UserError: If it cannot be read or a row does not fit; the message names it.

    Example:
        >>> len(load_ledger())
        32
    """
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[Ambiguity]).validate_python(rows)
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{path}: row {place}: {fault['msg']}") from error


def arm_records(
    study: str, arm: str, profile_name: str = "studies", results: Path = RESULTS
) -> dict[str, list[Record]]:
    """Read the records of one arm, where every seed has been run.

    Unlike `companion.comparisons.study_records` it asks for no other arm, and a data
    set without all its records is left out instead of refused.

    Args:
        study: Its name.
        arm: One of its arms.
        profile_name: The profile it was run under.
        results: The folder of records.

    Returns:
        data set -> records, one a seed; empty if there are none.

    Raises:
        UserError: If there is no such study.
    """
    paths: dict[str, list[Path]] = {}
    for run in plan(study, profile_name):
        if run.arm == arm:
            paths.setdefault(run.data, []).append(results / f"{run.name}.json")
    return {
        data: [read_record(path) for path in of_data]
        for data, of_data in paths.items()
        if all(path.is_file() for path in of_data)
    }


def measured_effect(
    row: Ambiguity, profile_name: str = "studies", results: Path = RESULTS
) -> str:
    """What the other reading changes, as far as there are records.

    Args:
        row: Of the ledger.
        profile_name: The profile the studies were run under.
        results: The folder of records.

    Returns:
        For each data set with all records of both arms the change of the RMSE of
        ab / 128, other reading against ours, with the verdict; `not measured` if there
        is none; a dash if no study tries the other reading.

    Example:
        >>> measured_effect(load_ledger()[8])
        '–'
    """
    ours = row.compared_with
    if row.study is None or row.arm is None or ours is None:
        return NO_OPTION
    references = arm_records(row.study, ours, profile_name, results)
    others = arm_records(row.study, row.arm, profile_name, results)
    effects = [
        f"{DATA_NAMES.get(data, data)}: {effect(others[data], references[data])}"
        for data in references
        if data in others
    ]
    return "; ".join(effects) or NOT_MEASURED


def effect(arm: Sequence[Record], reference: Sequence[Record]) -> str:
    """Change of the RMSE of ab / 128 from one arm to another, with its verdict.

    The RMSE is the root of the mean loss of Eq. 1 over photographs and seeds, of the
    predictions themselves; `rmse_ab_norm` is of the colours that a screen can show. The
    verdict is that of `companion.comparisons.compare`; arms that were tested on other
    photographs do not pair up and get none.
    """
    if not same_photographs(arm, reference):
        means = [scores_over_seeds(records, LOSS).mean for records in (arm, reference)]
        return f"{_change_of_root(means[0] / means[1])} (other photographs, no verdict)"
    comparison = compare(arm, reference, LOSS)
    return f"{_change_of_root(1 + comparison.share)} ({comparison.verdict})"


def _change_of_root(ratio: float) -> str:
    """A ratio of two MSEs as a change of the RMSE, in percent."""
    percent = round(100 * (sqrt(ratio) - 1), 1) + 0.0  # no minus zero
    return f"RMSE {percent:+.1f}{NBSP}%"
