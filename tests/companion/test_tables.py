from dataclasses import replace

import pytest

from colorlib.errors import UserError
from colorlib.metrics import METRICS, Summary
from colorlib.stats import Estimate
from companion.comparisons import PRIMARY, Contrast, Result
from companion.report.tables import (
    NBSP,
    beside_the_baselines,
    change_label,
    comparison_table,
    heading,
    mean_with_interval,
    score_table,
    sources,
)

SCORE = Summary(mean=0.5, median=0.5, pooled=0.5, ci_low=0.25, ci_high=0.75, n=3)


@pytest.fixture
def record(record_with):
    return record_with({"test": {"loss_eq1": [0.1, 0.2, 0.3], "psnr_rgb": [9, 8, 7]}})


def cells(table):
    """Row by row; spaces that do not break, as common ones."""
    lines = table.replace(NBSP, " ").splitlines()
    return [[c.strip() for c in line.split("|")[1:-1]] for line in lines]


def test_a_table_has_a_row_a_method_and_a_column_a_metric():
    methods = {"gray": {"psnr_rgb": SCORE, "ciede2000": SCORE}, "truth": {}}
    lines = score_table(methods, ["psnr_rgb", "ciede2000"]).splitlines()
    assert lines == [
        "| method | PSNR RGB (dB) ↑ | CIEDE2000 ↓ |",
        "|---|---|---|",
        "| gray | 0.5000 (0.2500–0.7500) | 0.5000 (0.2500–0.7500) |",
        "| truth | – | – |",
    ]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_heading_with_its_direction(name):
    arrow = {True: "↑", False: "↓", None: ""}[METRICS[name].higher_is_better]
    assert heading(METRICS[name]).startswith(METRICS[name].label)
    assert heading(METRICS[name]).endswith(arrow)
    label = change_label(Contrast({"a": 1, "none": -1}, "none", "lfw", "test", name))
    assert label.startswith("change against none: ")
    assert label.endswith(arrow)


def test_models_stand_beside_the_baselines(record):
    methods = beside_the_baselines({"mine": record, "other": record})
    assert list(methods) == ["no colour", "per-pixel mean image", "mine", "other"]
    data = record.data.model_copy(update={"split_hash": "other"})
    other = record.model_copy(update={"data": data})
    with pytest.raises(UserError, match="found records of 2 data sets"):
        beside_the_baselines({"one": record, "two": other})
    with pytest.raises(UserError, match="some without 'seen'"):
        beside_the_baselines({"one": record}, "seen")


def test_no_colour_has_no_colourfulness(record):
    naive = record.scores["test"]["no colour"]  # what is left of rounded constants
    assert mean_with_interval(naive["colourfulness"], "colourfulness").startswith(
        "0.00"
    )
    small = Summary(0.002955, 0, 0.003, 0.0029, 0.003, 3)
    assert mean_with_interval(small, "loss_eq1").startswith("0.002955 ")


def found(contrast, mean, low, high, p=0.5, conclusion="inconclusive"):
    effect = Estimate(mean, low, high, se=1, df=9, p=p, p_adjusted=p)
    return Result(contrast, effect, 0.1, 5, 4250, 0, True, conclusion, 3.21)


def test_a_contrast_has_its_conclusion_change_interval_and_power():
    first = found(PRIMARY[0], -7.04, -8.91, -0.04, 2e-4, "significant")
    psnr = replace(PRIMARY[0], metric="psnr_rgb", hypothesis="")
    rows = cells(comparison_table([first, found(psnr, -0.001, -0.2, 0.21)]))
    assert rows[0][:3] == ["comparison", "conclusion", "change"]
    place = "H1, maps against none, imagenet, seen, Loss of Eq. 1"
    assert rows[2] == [
        place, "significant", "-7.0 %", "-8.9 to -0.04", "0.0002", "–", "5", "4,250",
    ]  # fmt: skip
    place = "maps against none, imagenet, seen, PSNR RGB"
    assert rows[3] == [
        place, "inconclusive", "+0.00 dB", "-0.20 to +0.21", "0.5", "3.2",
        "5", "4,250",
    ]  # fmt: skip


def test_sources_name_every_record_at_its_commit(record):
    assert "From 1 record<" in sources([record])
    other = record.model_copy(update={"commit": "d" * 40, "name": "other"})
    text = sources([record, other, other])
    assert "From 3 records" in text
    assert "commit ccccccccc: made\n" in text
    assert "commit ddddddddd: other, other\n" in text
