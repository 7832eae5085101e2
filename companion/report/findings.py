"""What was found: the protocol's records, and all that is estimated from them.

For the front page, README, the page of results and lesson 7.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from colorlib.stats import Estimate
from companion.comparisons import (
    LOSS,
    PRIMARY,
    REFERENCE,
    Outcome,
    Result,
    Runs,
    answers,
    collapsed,
    compare_all,
    learned,
    runs_of,
    secondary,
)
from companion.records import RESULTS, Record
from companion.report.tables import DATA_NAMES
from companion.similarity import kept_distances, removed_by_similarity

READINGS = {
    "maps": "feature maps",
    "logits": "class scores before the softmax",
    "softmax": "class scores after the softmax",
}
COUNTS = {"one": 1, "two": 2, "three": 3}  # networks; three stands in no name
PLACES = {
    ("imagenet", "seen"): "ImageNet, seen classes",
    ("imagenet", "unseen"): "ImageNet, unseen classes",
    ("lfw", "test"): "LFW, unseen people",
}
HYPOTHESES = {
    "H1": "each reading lowers the loss on seen classes",
    "H2a": "scores after the softmax do not lower the loss by 2 % on unseen classes",
    "H2b": "maps and logits lower the loss on unseen classes",
    "H3": "the first network adds more than the second and third on average",
    "H4a": "maps and logits differ by less than 2 %",
    "H4b": "maps and logits lower the loss more than the softmax",
    "H5": "on faces, no reading lowers the loss by 2 %",
}


@dataclass(frozen=True)
class Findings:
    """The records of the protocol's runs and all that is estimated from them.

    Attributes:
        runs: Of each condition.
        folder: Of the records.
    """

    runs: Runs
    folder: Path = RESULTS

    @classmethod
    def read(cls, results: Path = RESULTS) -> "Findings":
        """Read what is recorded of the planned runs.

        Example:
            >>> Findings.read(Path("nowhere")).recorded
            0
        """
        return cls(runs_of(results=results), results)

    @cached_property
    def results(self) -> list[Result]:
        """Of all planned contrasts whose runs are there, the primary ones first."""
        return compare_all(self.runs, [*PRIMARY, *secondary()])

    @property
    def primary(self) -> list[Result]:
        """Those of the protocol's hypotheses."""
        return [one for one in self.results if one.contrast.hypothesis]

    @cached_property
    def without_collapsed(self) -> "Findings":
        """The same without the runs that did not learn: a sensitivity analysis."""
        return Findings(learned(self.runs), self.folder)

    @property
    def did_not_learn(self) -> str:
        """How many runs predict the same colours for every image, in a sentence."""
        found = collapsed(self.runs)
        if not found:
            return ""
        seeds: dict[tuple[str, str], list[str]] = {}
        for data, name, seed in found:
            seeds.setdefault((data, name), []).append(str(seed))
        parts = [
            f"{len(of)} of the {len(self.runs[data, name])} runs "
            f"{'without fusion' if name == REFERENCE else f'of {name}'} on "
            f"{DATA_NAMES[data]} (seed{'s' * (len(of) > 1)} {' and '.join(of)})"
            for (data, name), of in seeds.items()
        ]
        return f"{', '.join(parts)} did not learn."

    @cached_property
    def outcomes(self) -> dict[str, Outcome]:
        """Hypothesis -> supported, contradicted, undecided or pending."""
        return answers(self.primary)

    @property
    def recorded(self) -> int:
        """How many runs have a record."""
        return sum(bool(r) for by_seed in self.runs.values() for r in by_seed.values())

    @property
    def planned(self) -> int:
        """How many runs the protocol plans."""
        return sum(map(len, self.runs.values()))

    @property
    def state(self) -> str:
        """How many of the planned runs are recorded, in a sentence."""
        count = "All" if self.recorded == self.planned else f"{self.recorded} of"
        return f"{count} {self.planned} planned runs are recorded."

    @property
    def significant_effects(self) -> str:
        """Which effects of three networks on the loss are significant."""
        lines = []
        for sign, change in ((-1, "lower"), (1, "higher")):
            parts = []
            for name in READINGS:
                of = {at: self.against_none(name, 3, at) for at in PLACES}
                own = [at for at, found in of.items() if found and found.sign == sign]
                where = ", ".join(PLACES[at].split(", ")[1] for at in own)
                parts += [f"{name} ({where})"] * bool(own)
            if parts:
                text = "; ".join(parts)
                lines.append(f"Significantly {change} loss: {text}.")
        return " ".join(lines) or "No change of the loss is significant."

    def against_none(
        self, reading: str, count: int, place: tuple[str, str]
    ) -> Result | None:
        """The effect on the loss, against no fusion; None before two seeds have run."""
        wanted = {condition(reading, count): 1.0, REFERENCE: -1.0}
        for one in self.results:
            of = one.contrast
            if (of.weights, of.data, of.test_set, of.metric) == (
                wanted, *place, LOSS,
            ) and one.seeds > 1:  # fmt: skip
                return one
        return None

    def panels(self) -> dict[str, dict[tuple[str, int], Result]]:
        """Place -> (reading, count) -> effect on the loss, as far as there are runs."""
        panels: dict[str, dict[tuple[str, int], Result]] = {}
        for place, title in PLACES.items():
            for reading in READINGS:
                for count in COUNTS.values():
                    one = self.against_none(reading, count, place)
                    if one is not None:
                        panels.setdefault(title, {})[reading, count] = one
        return panels

    def similarity_curves(self, measure: str) -> dict[str, dict[str, list[Estimate]]]:
        """Place -> condition -> fraction removed in fifths, similar images first."""
        distances = kept_distances(self.runs, self.folder)
        curves: dict[str, dict[str, list[Estimate]]] = {}
        for name in (*READINGS, REFERENCE):  # a reading has one colour in all figures
            removed = removed_by_similarity(self.runs, distances, name, measure)
            for place, fifths in removed.items():
                curves.setdefault(PLACES[place], {})[name] = fifths
        return curves

    def records(self, data: str, name: str) -> list[Record]:
        """The records that there are of one condition."""
        return [r for r in self.runs.get((data, name), {}).values() if r is not None]


def condition(reading: str, count: int) -> str:
    """The name of a condition of the ablations.

    Example:
        >>> condition("maps", 1), condition("maps", 3)
        ('maps, one', 'maps')
    """
    number = {value: name for name, value in COUNTS.items()}[count]
    return reading if count == 3 else f"{reading}, {number}"
