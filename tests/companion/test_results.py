"""The records that the repository keeps: planned, complete, and true to themselves."""

import math

import pytest

from colorlib.evaluation import GRAY, MEAN_COLOUR, MEAN_IMAGE, MODEL
from companion.records import RESULTS, read_record
from companion.studies import load_experiments, plan

KEPT = sorted(RESULTS.glob("*.json"))
PLANNED = {
    run.name: run
    for name in load_experiments().ablations
    for run in plan(name, "protocol")
}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_record_is_planned_and_complete(path):
    record = read_record(path)
    assert record.name == path.stem
    assert record.name in PLANNED
    assert record.protocol == record.settings["protocol"] == "1"
    tests = {} if record.settings["validation_only"] else record.data.tests
    assert set(record.scores) == set(record.per_image) == set(tests)
    for methods in record.scores.values():
        assert set(methods) >= {MODEL, GRAY, MEAN_COLOUR, MEAN_IMAGE}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_record_agrees_with_itself(path):
    record = read_record(path)
    curve = record.training.curve["validation"]
    assert record.training.best_epoch == 1 + curve.index(min(curve))
    for test, kept in record.per_image.items():
        for metric, values in kept.items():
            finite = [value for value in values if math.isfinite(value)]
            summary = record.scores[test][MODEL][metric]
            mean = sum(finite) / len(finite)
            assert summary.n == len(values) <= record.data.tests[test]
            assert summary.mean == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_record_names_the_commit_it_was_made_at(path):
    commit = read_record(path).commit
    assert len(commit) == 40
    assert set(commit) <= set("0123456789abcdef")
