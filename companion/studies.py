"""Studies: which runs answer which question, as `experiments.yaml` declares them.

A study varies one thing. Its arms are laid over a profile, each on every data set of
that profile and with every seed: that is its grid of runs, known before any is run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorlib.errors import UserError
from colorlib.model import MODELS
from companion.config import Profile, load_profile, run_name

EXPERIMENTS = Path(__file__).parent / "experiments.yaml"


class Study(BaseModel):
    """One question.

    Attributes:
        question: What is asked.
        paper: What the paper says to it, and where.
        reference: The arm that the others are compared with.
        arms: name -> what differs from the profile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    paper: str
    reference: str
    arms: dict[str, dict[str, Any]]


class Grid(BaseModel):
    """What a profile runs the studies on.

    Attributes:
        seeds: Each arm is run with each of them.
        data: name of a data set -> what differs from the profile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[int, ...] = Field(min_length=1)
    data: dict[str, dict[str, Any]] = Field(min_length=1)


class Experiments(BaseModel):
    """The whole file; grids by the profile's name, studies by their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grids: dict[str, Grid]
    studies: dict[str, Study]


@dataclass(frozen=True)
class Run:
    """One training with one seed: a point of a study's grid.

    Attributes:
        name: Of the run and its record; runs that come to the same share it.
        study: Name of the study.
        arm: Name of the arm.
        data: Name of the data set.
        seed: Of the first weights and of the order of batches.
        model: `plain`, `model1`, ...
        profile: Everything else.
    """

    name: str
    study: str
    arm: str
    data: str
    seed: int
    model: str
    profile: Profile


def load_experiments(path: Path = EXPERIMENTS) -> Experiments:
    """Read and validate the file of studies.

    Raises:
        UserError: If it is missing or does not fit the schema; the message names the
            place.

    Example:
        >>> load_experiments().studies["fusion"].reference
        'average'
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        experiments = Experiments.model_validate(values)
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{path}: {place}: {fault['msg']}") from error
    for name, study in experiments.studies.items():
        if study.reference not in study.arms:
            raise UserError(
                f"{path}: study {name}: found reference {study.reference!r}, expected "
                f"one of its arms {list(study.arms)}"
            )
    return experiments


def plan(study_name: str, profile_name: str, path: Path = EXPERIMENTS) -> list[Run]:
    """List the runs of a study under a profile.

    Args:
        study_name: One of `experiments.yaml`.
        profile_name: A profile that has a grid there.
        path: The file of studies.

    Returns:
        The runs: data set by data set, arm by arm, seed by seed.

    Raises:
        UserError: If there is no such study or grid, or an arm does not fit.

    Example:
        >>> [run.arm for run in plan("gray", "smoke")]
        ['L', 'luma']
    """
    experiments = load_experiments(path)
    study = _named(experiments.studies, study_name, "study")
    grid = _named(experiments.grids, Path(profile_name).stem, "grid of profile")
    base = load_profile(profile_name)
    runs = []
    for data, differs in grid.data.items():
        for arm, changes in study.arms.items():
            if data not in changes.get("only", grid.data):
                continue
            model, profile = _settle(
                base, {**differs, **changes}, f"{study_name}.{arm}"
            )
            for seed in grid.seeds:
                seeded = profile.model_copy(update={"seed": seed})
                name = run_name(seeded, model)
                runs.append(Run(name, study_name, arm, data, seed, model, seeded))
    return runs


def find_run(name: str, profile_name: str) -> Run:
    """Find a run of any study by its name.

    Raises:
        UserError: If no study has it under that profile.
    """
    for study in load_experiments().studies:
        for run in plan(study, profile_name):
            if run.name == name:
                return run
    raise UserError(
        f"found no run {name} in the studies under profile {profile_name!r}; "
        "`companion study --dry-run` lists them"
    )


def preparation_of(run: Run) -> dict[str, Any]:
    """What is done before a run's training, and is shared by all that need the same."""
    needs_scores = bool(MODELS[run.model])
    keys = ["dataset", "count", "size", "data_seed"]
    keys += ["gray", "scores", "backbones", "weights"] if needs_scores else []
    settings = run.profile.model_dump(mode="json")
    return {key: settings[key] for key in keys}


def _settle(base: Profile, changes: dict[str, Any], place: str) -> tuple[str, Profile]:
    """The model and the profile that an arm means."""
    changes = {key: value for key, value in changes.items() if key != "only"}
    model = changes.pop("model", "model3")
    if model not in MODELS:
        raise UserError(f"{place}: found model {model!r}, expected one of {[*MODELS]}")
    use = changes.pop("use", None)
    if use is not None:
        backbones = base.backbones or MODELS["model3"]
        if max(use) >= len(backbones):
            raise UserError(
                f"{place}: found backbone number {max(use)}, expected less than "
                f"{len(backbones)}, the number of the profile's"
            )
        changes["backbones"] = tuple(backbones[index] for index in use)
    try:
        changes["models"] = (model,)
        profile = Profile(**{**base.model_dump(exclude_unset=True), **changes})
    except ValidationError as error:
        raise UserError(f"{place}: {error.errors()[0]['msg']}") from error
    return model, profile


def _named(things: dict[str, Any], name: str, what: str) -> Any:
    """One of several by its name."""
    if name not in things:
        raise UserError(f"found {what} {name!r}, expected one of {', '.join(things)}")
    return things[name]
