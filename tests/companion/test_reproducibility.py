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
import json, sys
from pathlib import Path
from companion.builders import Folders
from companion.config import load_profile
from companion.pipeline import run_model

root = Path(sys.argv[1])
folders = Folders(None, None, root / "cache", root / "runs")
record = run_model(load_profile("smoke").run("model3"), folders)
print(record.model_dump_json())
"""
TIMES = ("seconds", "created")  # what two runs of one thing may differ in


@pytest.fixture(scope="module")
def now():
    return runpy.run_path(str(ROOT / "tools" / "golden.py"))["golden_values"]()


@pytest.mark.parametrize("name", GOLDEN["values"])
def test_the_numerics_have_not_moved(name, now):
    assert now[name] == pytest.approx(GOLDEN["values"][name], rel=1e-4, abs=1e-6)


def test_every_number_is_guarded(now):
    assert set(now) == set(GOLDEN["values"])


def record_of(folder, threads):
    """The record of a run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def without_times(record):
    training = {k: v for k, v in record["training"].items() if k not in TIMES}
    kept = {k: v for k, v in record.items() if k not in TIMES}
    return {**kept, "training": training}


@pytest.fixture(scope="module")
def one_thread(tmp_path_factory):
    return record_of(tmp_path_factory.mktemp("one"), threads=1)


def test_two_processes_make_one_record(one_thread, tmp_path):
    assert without_times(record_of(tmp_path, threads=1)) == without_times(one_thread)


def test_threads_change_results_by_rounding_only(one_thread, tmp_path):
    two = record_of(tmp_path, threads=2)
    assert two["hardware"]["threads"] == 2
    for metric, score in one_thread["scores"]["test"]["model"].items():
        other = two["scores"]["test"]["model"][metric]
        assert other["mean"] == pytest.approx(score["mean"], rel=1e-3, abs=1e-6), metric
