import pytest

from colorlib.metrics import METRICS, Summary
from colorlib.records import RESULTS, read_record
from colorlib.tables import beside_the_baselines, heading, score_table

SCORE = Summary(mean=0.5, median=0.5, pooled=0.5, ci_low=0.25, ci_high=0.75, n=3)


def test_a_table_has_a_row_a_method_and_a_column_a_metric():
    methods = {"gray": {"psnr_rgb": SCORE, "ciede2000": SCORE}}
    lines = score_table(methods, ["psnr_rgb", "ciede2000"]).splitlines()
    assert lines == [
        "|  | PSNR RGB (dB) ↑ | CIEDE2000 ↓ |",
        "|---|---|---|",
        "| gray | 0.5 (0.25–0.75) | 0.5 (0.25–0.75) |",
    ]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_heading_with_its_direction(name):
    arrow = {True: "↑", False: "↓", None: ""}[METRICS[name].higher_is_better]
    assert heading(METRICS[name]).startswith(METRICS[name].label)
    assert heading(METRICS[name]).endswith(arrow)


@pytest.fixture
def record():
    return read_record(sorted(RESULTS.glob("lfw-64-plain-*.json"))[0])


def test_models_stand_beside_the_baselines(record):
    methods = beside_the_baselines({"mine": record})
    assert list(methods)[-1] == "mine"
    assert {"no colour", "training mean", "pixel-wise training mean"} < set(methods)


def test_records_of_other_photographs_are_not_compared(record):
    other = record.model_copy(
        update={"data": record.data.model_copy(update={"split_hash": "other"})}
    )
    with pytest.raises(ValueError, match="expected one"):
        beside_the_baselines({"one": record, "two": other})
