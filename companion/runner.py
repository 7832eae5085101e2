"""Doing what the ablations plan: one run, many runs, or one again.

Many runs are Snakemake's: it knows which records are missing, runs as many at once as
there are cores, and on a cluster through its executors.
"""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from colorlib.errors import UserError
from companion.builders import Folders, load_backbones, setup_data, setup_features
from companion.config import RunConfig, validated
from companion.pipeline import run_model
from companion.records import Record, read_record, write_record
from companion.studies import Run

SNAKEFILE = Path(__file__).parent / "studies.smk"


def run_one(
    run: Run, folders: Folders, results: Path, *, progress: bool = False
) -> Record:
    """Train and score a run of an ablation, and keep its record.

    Args:
        run: Of a plan.
        folders: Where things are.
        results: The folder of records.
        progress: Whether to draw progress bars.

    Returns:
        The record, also written to `<results>/<name of the run>.json`.
    """
    record = run_model(run.config, folders, progress=progress)
    write_record(record, results / f"{run.name}.json")
    return record


def prepare(run: Run, folders: Folders) -> None:
    """Do what a run shares with others: pack images, extract features."""
    data = setup_data(run.config, folders)
    setup_features(run.config, data, load_backbones(run.config, folders), folders)


def rerun(path: Path, folders: Folders) -> tuple[Record, Record]:
    """Run again what a record tells of.

    Args:
        path: The record.
        folders: Where things are; the new run gets a folder of its own.

    Returns:
        The record, and that of the new run.

    Raises:
        UserError: If the record is of another version's settings, or what it needs is
            not there.
    """
    old, own = read_record(path), replace(folders, runs=folders.runs / "again")
    config = recorded_config(old)
    (own.runs / config.run_name / "record.json").unlink(missing_ok=True)
    return old, run_model(config, own, unfinished="restart")


def recorded_config(record: Record) -> RunConfig:
    """The settings of a recorded run.

    Raises:
        UserError: If they are of another version.
    """
    place = f"record {record.name} (check out commit {record.commit} to run it again)"
    return validated(RunConfig, record.settings, place)


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
    folders: Folders,
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
