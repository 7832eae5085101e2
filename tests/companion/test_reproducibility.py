"""The same numbers: as before, in another process, on another number of threads."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden.json").read_text())
RUN = """
import sys
from companion.builders import Folders
from companion.config import load_profile
from companion.pipeline import run_model

folders = Folders.choose(cache_root=sys.argv[1], runs_root=sys.argv[1])
print(run_model(load_profile("smoke").run("model3"), folders).model_dump_json())
"""


@pytest.fixture(scope="module")
def now():
    return runpy.run_path(str(ROOT / "tools" / "golden.py"))["golden_values"]()


def test_the_numerics_have_not_moved(now):
    assert set(now) == set(GOLDEN["values"])  # every number is guarded
    for name, values in GOLDEN["values"].items():
        assert now[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


def record_of(folder, threads):
    """The record of a run in a process of its own, without times."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    record = json.loads(done.stdout.splitlines()[-1])
    for part in (record, record["training"]):
        del part["seconds"]
    return {key: value for key, value in record.items() if key != "created"}


def test_runs_in_two_processes_are_equal_and_threads_change_rounding(tmp_path):
    once, again, two = (
        record_of(tmp_path / name, threads)
        for name, threads in (("once", 1), ("again", 1), ("two", 2))
    )
    assert again == once
    assert two["hardware"]["threads"] == 2
    for metric, score in once["scores"]["test"]["model"].items():
        other = two["scores"]["test"]["model"][metric]["mean"]
        assert other == pytest.approx(score["mean"], rel=1e-3, abs=1e-6), metric
