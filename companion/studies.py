"""Ablations: which runs answer which question, as `experiments.yaml` declares them.

An ablation varies one thing. Its conditions are laid over a profile, each on every data
set of that profile and with every seed: that is its grid of runs, known before any is
run. Running what is missing is Snakemake's: as many at once as there are cores, and on
a cluster through its executors.
"""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from colorlib.errors import UserError
from companion.config import (
    ModelName,
    Profile,
    RunConfig,
    load_profile,
    overlaid,
    read_yaml,
    validated,
)

if TYPE_CHECKING:
    from companion.builders import Folders

EXPERIMENTS = Path(__file__).parent / "experiments.yaml"
SNAKEFILE = EXPERIMENTS.with_name("studies.smk")


class Ablation(BaseModel):
    """One question.

    Attributes:
        question: What is asked.
        paper: What the paper says to it, and where.
        evidence: Whether the protocol names its hypotheses before the runs.
        reference: The condition that the others are compared with.
        conditions: name -> what differs from the profile.
        only: Data sets that it is run on; empty for all of the profile.
        seeds: Those it is run with; empty for all of the profile.
        changes: What differs from the profile in all its conditions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    paper: str
    evidence: Literal["confirmatory", "exploratory", "tuning"]
    reference: str
    conditions: dict[str, dict[str, Any]]
    only: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    changes: dict[str, Any] = Field(default_factory=dict)


class Grid(BaseModel):
    """What a profile runs the ablations on.

    Attributes:
        seeds: Each condition is run with each of them.
        data: name of a data set -> what differs from the profile; `seeds` among it, if
            they are others there.
        networks: Whether the lists of networks are used; else the profile's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[int, ...] = Field(min_length=1)
    data: dict[str, dict[str, Any]] = Field(min_length=1)
    networks: bool = True


class Experiments(BaseModel):
    """The whole file; grids by the profile's name, ablations by their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    networks: dict[str, dict[str, Any]]
    grids: dict[str, Grid]
    ablations: dict[str, Ablation]


@dataclass(frozen=True)
class Run:
    """One training with one seed: a point of an ablation's grid.

    Attributes:
        ablation: Its name.
        condition: Its name.
        data: Name of the data set.
        config: All settings.
    """

    ablation: str
    condition: str
    data: str
    config: RunConfig

    @property
    def name(self) -> str:
        """Of the run and its record; runs that come to the same share it."""
        return self.config.run_name


def load_experiments(path: Path = EXPERIMENTS) -> Experiments:
    """Read and validate the file of ablations.

    Raises:
        UserError: If it is missing or does not fit the schema; the message names the
            place.

    Example:
        >>> load_experiments().ablations["fusion"].reference
        'none'
    """
    experiments = validated(Experiments, read_yaml(path), str(path))
    for name, ablation in experiments.ablations.items():
        if ablation.reference not in ablation.conditions:
            raise UserError(
                f"{path}: ablation {name}: found reference {ablation.reference!r}, "
                f"expected one of its conditions {list(ablation.conditions)}"
            )
    return experiments


def plan(ablation: str, profile_name: str, path: Path = EXPERIMENTS) -> list[Run]:
    """List the runs of an ablation under a profile.

    Args:
        ablation: One of `experiments.yaml`.
        profile_name: A profile that has a grid there.
        path: The file of ablations.

    Returns:
        The runs: data set by data set, seed by seed, condition by condition.

    Raises:
        UserError: If there is no such ablation or grid, or a condition does not fit.

    Example:
        >>> [run.condition for run in plan("fusion", "smoke")]
        ['none', 'softmax', 'logits', 'maps']
    """
    experiments = load_experiments(path)
    asked = _named(experiments.ablations, ablation, "ablation")
    grid = _named(experiments.grids, Path(profile_name).stem, "grid of profile")
    base, lists = load_profile(profile_name), experiments.networks
    runs = []
    for data, differs in grid.data.items():
        if asked.only and data not in asked.only:
            continue
        own = {key: value for key, value in differs.items() if key != "seeds"}
        for seed in asked.seeds or differs.get("seeds", grid.seeds):
            for condition, changes in asked.conditions.items():
                place = f"{path}: {ablation}.{condition}"
                changes = {**own, **asked.changes, **changes}
                used = lists if grid.networks else {}
                config = _settled(base, changes, used, seed, place)
                runs.append(Run(ablation, condition, data, config))
    return runs


def find_run(name: str, profile_name: str) -> Run:
    """Find a run of any ablation by its name.

    Raises:
        UserError: If no ablation has it under that profile.
    """
    for ablation in load_experiments().ablations:
        for run in plan(ablation, profile_name):
            if run.name == name:
                return run
    raise UserError(
        f"found no run {name} in the ablations under profile {profile_name!r}; "
        "`companion study NAME --dry-run` lists them"
    )


def missing_runs(runs: Iterable[Run], results: Path) -> list[Run]:
    """The runs without a record, each once."""
    named = {run.name: run for run in runs}
    return [
        run for name, run in named.items() if not (results / f"{name}.json").exists()
    ]


def run_missing(
    ablations: Sequence[str],
    data: Sequence[str],
    profile_name: str,
    folders: "Folders",
    results: Path,
    cores: int,
    snakemake_options: Sequence[str] = (),
) -> None:
    """Run all runs of some ablations that have no record yet.

    Args:
        ablations: Their names.
        data: Names of the grid's data sets.
        profile_name: The profile they are run under.
        folders: Where things are.
        results: The folder of records.
        cores: How many runs at once.
        snakemake_options: Further ones, such as `--executor slurm --jobs 20`.

    Raises:
        UserError: If a run failed; the others are done nevertheless.
    """
    if find_spec("snakemake") is None:
        raise UserError("found no Snakemake, which runs the ablations; `make setup`")
    config = {
        "ablations": ",".join(ablations),
        "data": ",".join(data),
        "profile": profile_name,
        "data_root": folders.data or "",
        "weights_root": folders.weights or "",
        "cache_root": folders.cache,
        "runs_root": folders.runs,
        "results_root": results.absolute(),
    }
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE)]
    command += ["--cores", str(cores), "--keep-going", "--rerun-incomplete", "--nolock"]
    command += ["--rerun-triggers", "mtime", "--quiet", "rules", "host"]
    command += ["--config", *(f"{key}={value}" for key, value in config.items())]
    if subprocess.run([*command, *snakemake_options], check=False).returncode:
        raise UserError(
            f"not every run ended well, see {folders.runs}/NAME/log.txt; "
            "the same command goes on with those that are missing"
        )


def _settled(
    base: Profile,
    changes: dict[str, Any],
    networks: dict[str, dict[str, Any]],
    seed: int,
    place: str,
) -> RunConfig:
    """The settings that a condition means."""
    name = changes.pop("name", "model3")
    if name not in get_args(ModelName):
        expected = ", ".join(get_args(ModelName))
        raise UserError(f"{place}: found model {name!r}, expected one of {expected}")
    use = changes.pop("use", None)
    if use is not None and networks:
        changes = {**_named(networks, use, f"{place}: networks"), **changes}
    values = overlaid(base.model_dump(mode="json"), changes)
    profile = validated(Profile, {**values, "models": (name,)}, place)
    return profile.run(name, seed)


def _named(things: dict[str, Any], name: str, what: str) -> Any:
    """One of several by its name."""
    if name not in things:
        raise UserError(f"found {what} {name!r}, expected one of {', '.join(things)}")
    return things[name]
