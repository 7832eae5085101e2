"""The same numbers: as before, in another process, on another number of threads."""

import json
import multiprocessing
import runpy
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch

from companion.builders import Folders
from companion.config import load_profile
from companion.pipeline import run_model

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden.json").read_text())["values"]


def test_the_numerics_have_not_moved():
    now = runpy.run_path(str(ROOT / "tools" / "golden.py"))["golden_values"]()
    assert set(now) == set(GOLDEN)  # every number is guarded
    for name, values in GOLDEN.items():
        assert now[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


def record_of(folder, threads=1):
    """The record of a run on some threads, without times."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    folders = Folders(cache=folder / "cache", runs=folder / "runs")
    record = run_model(load_profile("smoke").run("model3"), folders)
    torch.set_num_threads(before)
    times = {"created": True, "seconds": True, "training": {"seconds"}}
    return record.model_dump(exclude=times)


def test_runs_in_two_processes_are_equal_and_threads_change_rounding(tmp_path):
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as process:
        once = process.submit(record_of, tmp_path / "once").result()
    assert record_of(tmp_path / "again") == once
    two = record_of(tmp_path / "two", threads=2)
    assert two["hardware"]["threads"] == 2
    for metric, score in once["scores"]["test"]["model"].items():
        other = two["scores"]["test"]["model"][metric]["mean"]
        assert other == pytest.approx(score["mean"], rel=1e-3, abs=1e-6), metric
