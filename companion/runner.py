"""Doing what the studies plan: one run, many runs, or one again.

Many runs are Snakemake's: it knows which records are missing, runs as many at once as
there are cores, and on a cluster through its executors.
"""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from pydantic import ValidationError

from colorlib.data import open_source
from colorlib.errors import UserError
from colorlib.model import ColorizationModel
from companion.builders import model_for
from companion.config import Profile
from companion.costs import matrix_rate, training_seconds
from companion.data_setup import (
    Folders,
    Say,
    backbone_names,
    load_backbones,
    prepare_data,
    scores_of,
)
from companion.pipeline import run_model
from companion.records import Record, read_record, write_record
from companion.studies import Run

SNAKEFILE = Path(__file__).parent / "studies.smk"
START_SECONDS = 15.0  # of every run: imports, evaluation
TYPICAL_FEATURES = 1280  # channels of a backbone's last maps, for the estimate


def perform(
    run: Run,
    folders: Folders,
    results: Path,
    *,
    progress: bool = True,
    say: Say = print,
) -> Record:
    """Train and score a run, and keep its record.

    Args:
        run: Of a study's plan.
        folders: Where things are; the run's own folder is made in `runs`.
        results: The folder of records.
        progress: Whether to draw progress bars.
        say: Told, in one line, what is being done.

    Returns:
        The record, also written to `<results>/<name of the run>.json`.
    """
    own = Folders(folders.data, folders.weights, folders.cache, folders.runs / run.name)
    record = run_model(run.profile, run.model, own, progress=progress, say=say)
    write_record(record, results / f"{run.name}.json")
    return record


def prepare(run: Run, folders: Folders, say: Say = print) -> None:
    """Do what a run shares with others: pack photographs, ask the backbones."""
    data = prepare_data(run.profile, folders, say)
    backbones = load_backbones(run.profile, run.model, folders)
    scores_of(run.profile, data, backbones, folders, progress=False)


def repeat(path: Path, folders: Folders, say: Say = print) -> tuple[Record, Record]:
    """Run again what a record tells of.

    Args:
        path: The record.
        folders: Where things are.
        say: Told, in one line, what is being done.

    Returns:
        The record, and that of the new run.

    Raises:
        UserError: If the record is of another version's profile, or what it needs is
            not there.
    """
    old = read_record(path)
    profile = recorded_profile(old)
    own = Folders(folders.data, folders.weights, folders.cache, folders.runs / old.name)
    new = run_model(profile, old.model.name, own, unfinished="restart", say=say)
    return old, new


def recorded_profile(record: Record) -> Profile:
    """The profile of a recorded run.

    Raises:
        UserError: If it is of another version.
    """
    try:
        return Profile(**record.profile)
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(
            f"record {record.name}: found a profile that this version does not know "
            f"({key}); check out commit {record.commit} to run it again"
        ) from error


def missing_runs(runs: Iterable[Run], results: Path) -> list[Run]:
    """The runs without a record, each once."""
    named = {run.name: run for run in runs}
    return [run for run in named.values() if not record_path(run, results).exists()]


def record_path(run: Run, results: Path) -> Path:
    """Where the record of a run is kept."""
    return results / f"{run.name}.json"


def run_missing(
    studies: Sequence[str],
    data: Sequence[str],
    profile_name: str,
    folders: Folders,
    results: Path,
    cores: int,
    snakemake_options: Sequence[str] = (),
) -> None:
    """Run all runs of some studies that have no record yet.

    Args:
        studies: Their names.
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
        raise UserError("found no Snakemake, which runs the studies; `make setup`")
    config = {
        "studies": ",".join(studies),
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


def estimated_seconds(runs: Iterable[Run], data_root: Path | None) -> dict[str, float]:
    """Estimate how long runs take on this machine, one after the other.

    Args:
        runs: Of a plan.
        data_root: Where the photographs are, to count them.

    Returns:
        name of the run -> seconds; training, imports and evaluation, but not the class
        scores, which are computed once.
    """
    rate = matrix_rate()
    counts: dict[str, int] = {}
    seconds = {}
    for run in runs:
        if run.data not in counts:
            counts[run.data] = _photographs(run.profile, data_root)
        trained_on = (1 - run.profile.test_fraction) * counts[run.data]
        seen = min(trained_on, run.profile.train_count or trained_on)
        seen *= run.profile.max_epochs
        if run.profile.max_steps:
            seen = min(seen, run.profile.max_steps * run.profile.batch_size)
        model = _without_weights(run)
        training = training_seconds(model, run.profile.size, int(seen), rate)
        seconds[run.name] = START_SECONDS + training
    return seconds


def _photographs(profile: Profile, data_root: Path | None) -> int:
    """How many photographs a data set has."""
    return len(open_source(profile.dataset, data_root, profile.count).items)


def _without_weights(run: Run) -> ColorizationModel:
    """The model of a run on a device without numbers, to count its operations."""
    backbones = backbone_names(run.profile, run.model)
    features = run.profile.scores in ("features", "maps")
    lengths = (TYPICAL_FEATURES,) * len(backbones) if features else ()
    with torch.device("meta"):
        return model_for(run.profile, run.model, backbones, lengths)
