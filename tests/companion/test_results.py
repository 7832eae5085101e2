"""The records that the repository keeps: complete, and of real photographs."""

import pytest

from colorlib.metrics import METRICS
from companion.records import RESULTS, kept_record, read_record

LATER = {"mse_alpha_beta", "rmse_alpha_beta"}  # measured since there are studies
KEPT = sorted(RESULTS.glob("*.json"))


def test_there_are_records():
    assert KEPT


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_record_is_complete(path):
    record = read_record(path)
    assert record.name == path.stem
    assert set(record.scores) >= {"model", "no colour", "pixel-wise training mean"}
    for scores in record.scores.values():
        assert set(METRICS) - LATER <= set(scores) <= set(METRICS)
        assert {summary.n for summary in scores.values()} == {record.data.test}
    assert {len(values) for values in record.per_image.values()} == {record.data.test}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_record_agrees_with_itself(path):
    record = read_record(path)
    scores = record.scores["model"]
    for metric, values in record.per_image.items():
        mean = sum(values) / len(values)
        assert scores[metric].mean == pytest.approx(mean, rel=1e-4)
    assert scores["rmse_ab_norm"].pooled ** 2 == pytest.approx(
        scores["mse_ab_norm"].pooled
    )


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_record_names_the_commit_it_was_made_at(path):
    commit = read_record(path).commit
    assert len(commit) == 40
    assert set(commit) <= set("0123456789abcdef")


def test_a_missing_record_says_what_to_run():
    from colorlib.errors import UserError

    with pytest.raises(UserError, match="train it"):
        kept_record("mnist-64-plain")
