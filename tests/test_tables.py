import pytest

from colorlib.metrics import METRICS, Summary
from colorlib.records import RESULTS, read_record
from colorlib.tables import (
    beside_the_baselines,
    heading,
    score_table,
    sources,
    study_table,
)

SCORE = Summary(mean=0.5, median=0.5, pooled=0.5, ci_low=0.25, ci_high=0.75, n=3)


def test_a_table_has_a_row_a_method_and_a_column_a_metric():
    methods = {"gray": {"psnr_rgb": SCORE, "ciede2000": SCORE}}
    lines = score_table(methods, ["psnr_rgb", "ciede2000"]).splitlines()
    assert lines == [
        "|  | PSNR RGB (dB) ↑ | CIEDE2000 ↓ |",
        "|---|---|---|",
        "| gray | 0.5000 (0.2500–0.7500) | 0.5000 (0.2500–0.7500) |",
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


def shifted(record, seed, shift):
    """The record of another seed, a little worse on every photograph."""
    losses = [value + shift for value in record.per_image["loss_eq1"]]
    return record.model_copy(
        update={
            "profile": {**record.profile, "seed": seed},
            "per_image": {**record.per_image, "loss_eq1": losses},
        }
    )


@pytest.fixture
def arms(record):
    return {
        "ours": [shifted(record, seed, 1e-6 * seed) for seed in range(3)],
        "worse": [shifted(record, seed, 1e-3 + 1e-6 * seed**2) for seed in range(3)],
    }


def cells(table):
    return [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()]


def test_a_study_s_table_has_baselines_arms_and_verdicts(arms):
    head, _, *rows = cells(study_table(arms, "ours"))
    assert head[1].startswith("RMSE ab/128")
    by_name = {row[0]: row for row in rows}
    assert list(by_name) == [
        "no colour", "training mean", "pixel-wise training mean", "ours", "worse",
    ]  # fmt: skip
    assert by_name["no colour"][-2:] == ["", ""]
    assert by_name["ours"][-2:] == ["", "reference"]
    assert by_name["worse"][-1] == "worse"
    assert by_name["worse"][-2].startswith("+")
    assert "±" in by_name["ours"][1]


def test_arms_of_other_photographs_get_no_verdict(arms):
    elsewhere = [
        r.model_copy(update={"data": r.data.model_copy(update={"split_hash": "other"})})
        for r in arms["worse"]
    ]
    table = study_table({"ours": arms["ours"], "elsewhere": elsewhere}, "ours")
    assert cells(table)[-1][-2:] == ["", "other photographs"]


def test_sources_name_every_record_at_its_commit():
    records = [read_record(path) for path in sorted(RESULTS.glob("*.json"))[:6]]
    text = sources(records)
    assert "From 6 records" in text
    for line in text.splitlines():
        for record in records:
            assert (record.name in line) == (f"commit {record.commit[:9]}:" in line)
