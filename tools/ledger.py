"""The ledger: where the paper's text can be read in two ways, and what that changes.

The readings are data, `ambiguities.yaml`. Where an ablation tries the other reading,
its effect is computed from the records that are there.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from companion.comparisons import FUSION, Contrast, compare_all, runs_of
from companion.config import read_yaml, validated
from companion.records import RESULTS
from companion.report.tables import DATA_NAMES, interval, signed
from companion.studies import EXPERIMENTS, load_experiments

LEDGER = EXPERIMENTS.with_name("ambiguities.yaml")
NOT_MEASURED = "not measured"


class Ambiguity(BaseModel):
    """One place where the text leaves a choice, or contradicts itself.

    Attributes:
        number: Counted from 1, in the order of the paper's parts.
        part: Of the paper's subject, such as `training`.
        paper: What the paper says, with the section.
        reading: What is done here.
        key: The key of a profile that sets the other reading; None if there is none.
        ablation: That of `experiments.yaml` that tries it; None if none does.
        condition: Its condition that is the other reading.
        against: The condition that is our reading; None for the ablation's reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    part: Literal["architecture", "colour", "training", "evaluation", "text"]
    paper: str
    reading: str
    key: str | None = None
    ablation: str | None = None
    condition: str | None = None
    against: str | None = None

    @property
    def option(self) -> str:
        """How the other reading is tried, and which condition is compared with which.

        Example:
            >>> load_ledger()[1].option
            'ablation `networks`: `maps, two` against `maps`'
        """
        if self.ablation:
            ours = self.against or load_experiments().ablations[self.ablation].reference
            return f"ablation `{self.ablation}`: `{self.condition}` against `{ours}`"
        return f"key `{self.key}`" if self.key else "none"


class _Ledger(BaseModel):
    """The whole file."""

    row: tuple[Ambiguity, ...]


def load_ledger(path: Path = LEDGER) -> list[Ambiguity]:
    """Read and validate the ledger.

    Raises:
        UserError: If it cannot be read or a row does not fit; the message names it.
    """
    return list(validated(_Ledger, {"row": read_yaml(path)}, str(path)).row)


def measured_effect(
    row: Ambiguity, profile: str = "protocol", results: Path = RESULTS
) -> str:
    """What the other reading changes, as far as there are records.

    Args:
        row: Of the ledger.
        profile: The profile that the ablations were run under.
        results: The folder of records.

    Returns:
        For each data set and test set the change of the loss in percent with its 95 %
        interval, the other reading against ours, not corrected for the number of
        comparisons; `not measured` if there are no records of both.
    """
    if row.ablation is None or row.condition is None:
        return NOT_MEASURED
    ours = row.against or load_experiments().ablations[row.ablation].reference
    # Runs without fusion say which class or person each image is of.
    runs = runs_of([*FUSION, row.ablation], profile, results)
    tests = {
        (data, test)
        for (data, name), by_seed in runs.items()
        if name == row.condition
        for record in by_seed.values()
        for test in (record.per_image if record else ())
    }
    weights = {row.condition: 1.0, ours: -1.0}
    planned = [Contrast(weights, ours, *place) for place in sorted(tests)]
    effects = [
        f"{DATA_NAMES.get(one.contrast.data)}, {one.contrast.test_set}: "
        f"{signed(one.effect.mean, '%')} ({interval(one.effect, 1)})"
        for one in compare_all(runs, planned)
    ]
    return "; ".join(effects) or NOT_MEASURED
