"""Tables of scores and of comparisons, cell by cell."""

from dataclasses import replace

import pytest
from made_records import scored_record

from colorlib.errors import UserError
from colorlib.metrics import Summary
from colorlib.stats import Estimate
from companion.comparisons import PRIMARY, Result
from companion.report.tables import (
    NBSP,
    beside_the_baselines,
    comparison_table,
    mean_with_interval,
    score_table,
)

SCORE = Summary(mean=0.5, median=0.5, pooled=0.5, ci_low=0.25, ci_high=0.75, n=3)
RECORD = scored_record([0.1, 0.2, 0.3])


def test_a_table_has_a_row_a_method_and_a_column_a_metric():
    methods = {"gray": {"psnr_rgb": SCORE, "ciede2000": SCORE}, "truth": {}}
    assert score_table(methods, ["psnr_rgb", "ciede2000"]).splitlines() == [
        "| method | PSNR RGB (dB) ↑ | CIEDE2000 ↓ |",
        "|---|---|---|",
        "| gray | 0.5000 (0.2500–0.7500) | 0.5000 (0.2500–0.7500) |",
        "| truth | – | – |",
    ]


def test_models_stand_beside_the_baselines():
    methods = beside_the_baselines({"mine": RECORD, "other": RECORD})
    assert list(methods) == ["no colour", "per-pixel mean image", "mine", "other"]
    data = RECORD.data.model_copy(update={"split_hash": "other"})
    other = RECORD.model_copy(update={"data": data})
    with pytest.raises(UserError, match="found records of 2 data sets"):
        beside_the_baselines({"one": RECORD, "two": other})
    with pytest.raises(UserError, match="some without 'seen'"):
        beside_the_baselines({"one": RECORD}, "seen")


def test_no_colour_has_no_colourfulness():
    small = Summary(0.002955, 0, 0.003, 0.0029, 0.003, 3)  # of rounded constants
    assert mean_with_interval(small, "colourfulness").startswith("0.00 ")
    assert mean_with_interval(small, "loss_eq1").startswith("0.002955 ")


def row(contrast, *effect, p=0.5, conclusion="inconclusive", detectable=3.21):
    """Of a table of one contrast; spaces that do not break, as common ones."""
    estimate = Estimate(*effect, se=1, df=9, p=p, p_adjusted=p)
    found = Result(contrast, estimate, 5, 4250, 0, True, conclusion, detectable)
    head, _, line = comparison_table([found]).replace(NBSP, " ").splitlines()
    assert head.startswith("| comparison | conclusion | change |")
    return line


def test_a_contrast_has_its_conclusion_change_interval_and_power():
    first = row(PRIMARY[0], -7.04, -8.91, -0.04, p=2e-4, conclusion="significant")
    assert first == (
        "| H1, maps against none, imagenet, seen | significant | "
        "-7.0 % | -8.9 to -0.04 | 0.0002 | – | 5 | 4,250 |"
    )
    psnr = replace(PRIMARY[0], metric="psnr_rgb", hypothesis="")
    assert row(psnr, -0.001, -0.2, 0.21) == (
        "| maps against none, imagenet, seen, PSNR RGB | inconclusive | "
        "+0.00 dB | -0.20 to +0.21 | 0.5 | 3.2 dB | 5 | 4,250 |"
    )


@pytest.mark.parametrize(
    ("detectable", "cell"),
    [(3.21, "3.2 %"), (130.4, "130 %"), (float("inf"), "needs two seeds")],
)
def test_what_could_be_detected_has_two_digits(detectable, cell):
    contrast = next(c for c in PRIMARY if c.hypothesis == "H3, maps")
    line = row(contrast, -1, -9, 7, detectable=detectable)
    assert line.startswith("| H3, maps, gain of the first network less the mean gain ")
    assert f"| 0.5 | {cell} | 5 |" in line
