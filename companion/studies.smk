# The graph of the ablations: images and features prepared -> runs -> records.
#
# Called by `companion study`, which hands everything after `--` on to Snakemake:
#
#   companion study fusion -- --executor slurm --jobs 20
#
# A run is made if its record is missing, and never again: `companion rerun` is for that.

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from colorlib.files import hash_of
from companion.studies import missing_runs, plan


PROFILE = config["profile"]
RESULTS = Path(config["results_root"])
BUILD = Path(config["runs_root"])
WANTED = [
    run
    for ablation in config["ablations"].split(",")
    for run in plan(ablation, PROFILE)
    if run.data in config["data"].split(",")
]
# Others are no part of the graph, so a clone that has records but not the folders they
# were made in makes none of them again.
RUNS = {run.name: run for run in missing_runs(WANTED, RESULTS)}
# Runs that see the same images through the same networks share that work.
PREPARED = {
    name: hash_of([asdict(run.config.data), run.config.model.backbones,
                   run.config.model.input_sizes, run.config.model.features,
                   run.config.model.gray])[:12]
    for name, run in RUNS.items()
}
OPTIONS = " ".join(
    f"--{key.replace('_', '-')} {shlex.quote(str(config[key]))}"
    for key in ("profile", "data_root", "weights_root", "cache_root", "runs_root")
    if config.get(key)
)
COMPANION = f"{shlex.quote(sys.executable)} -m companion"


rule all:
    input:
        [RESULTS / f"{name}.json" for name in RUNS],


rule prepare:
    output:
        touch(BUILD / "prepared/{key}"),
    params:
        run=lambda wildcards: next(n for n, k in PREPARED.items() if k == wildcards.key),
    threads: workflow.cores
    shell:
        "{COMPANION} run {params.run} --prepare {OPTIONS}"


rule run:
    input:
        lambda wildcards: BUILD / "prepared" / PREPARED[wildcards.run],
    output:
        RESULTS / "{run}.json",
    log:
        BUILD / "{run}/log.txt",
    shell:
        "OMP_NUM_THREADS={threads} {COMPANION} run {wildcards.run} {OPTIONS}"
        " --results-root {RESULTS:q} > {log:q} 2>&1"
