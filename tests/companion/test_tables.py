import re

import pytest

from colorlib.metrics import METRICS, Summary
from companion.comparisons import Comparison, Interval, study_differences
from companion.records import RESULTS, read_record
from companion.report.tables import (
    NBSP,
    beside_the_baselines,
    change_label,
    differences_table,
    heading,
    mean_with_interval,
    pair_table,
    plus_minus,
    score_table,
    sources,
    study_table,
    verdict_table,
)
from tools.fault_records import Trial, campaign_table, read_campaigns

SCORE = Summary(mean=0.5, median=0.5, pooled=0.5, ci_low=0.25, ci_high=0.75, n=3)


def test_a_table_has_a_row_a_method_and_a_column_a_metric():
    methods = {"gray": {"psnr_rgb": SCORE, "ciede2000": SCORE}}
    lines = score_table(methods, ["psnr_rgb", "ciede2000"]).splitlines()
    assert lines == [
        "| method | PSNR RGB (dB) ↑ | CIEDE2000 ↓ |",
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
    """Row by row; spaces that do not break, as common ones."""
    lines = table.replace(NBSP, " ").splitlines()
    return [[c.strip() for c in line.split("|")[1:-1]] for line in lines]


def test_a_study_s_table_has_baselines_arms_and_verdicts(arms):
    head, _, *rows = cells(study_table(arms, "ours"))
    assert head[:3] == ["method", "verdict", "Loss of Eq. 1, change"]
    assert head[3].startswith("RMSE ab/128")
    by_name = {row[0]: row for row in rows}
    assert list(by_name) == [
        "no colour", "training mean", "pixel-wise training mean", "ours", "worse",
    ]  # fmt: skip
    assert by_name["no colour"][1:3] == ["–", "–"]
    assert by_name["ours"][1:3] == ["reference", "–"]
    assert by_name["worse"][1] == "worse"
    assert by_name["worse"][2].startswith("+")
    assert " %, d = " in by_name["worse"][2]
    assert "±" in by_name["ours"][3]


def test_no_colour_has_no_colourfulness(record, arms):
    trivial = record.scores["no colour"]["colourfulness"]
    assert 0 < trivial.mean < 0.005  # what is left of rounded constants
    assert mean_with_interval(trivial, "colourfulness") == "0.00 (0.00–0.00)"
    table = score_table({"gray": record.scores["no colour"]}, ["colourfulness"])
    assert cells(table)[-1] == ["gray", "0.00 (0.00–0.00)"]
    assert cells(study_table(arms, "ours"))[2][-1] == "0.00"


def test_other_small_scores_keep_their_digits():
    small = Summary(0.002955, 0, 0.003, 0.0029, 0.003, 3)
    assert mean_with_interval(small, "loss_eq1").startswith("0.002955 ")


@pytest.mark.parametrize(
    ("half", "text"), [(0.00063, "0.00063"), (0.2, "0.20"), (4, "4.0"), (15, "15")]
)
def test_half_an_interval_has_two_digits(half, text):
    assert plus_minus(Interval(20, 20 - half, 20 + half)) == f"20.00 ±{NBSP}{text}"


def test_arms_of_other_photographs_get_no_verdict(arms):
    elsewhere = [
        r.model_copy(update={"data": r.data.model_copy(update={"split_hash": "other"})})
        for r in arms["worse"]
    ]
    table = study_table({"ours": arms["ours"], "elsewhere": elsewhere}, "ours")
    assert cells(table)[-1][1:3] == ["other photographs", "–"]


def difference(metric, mean=-0.2, reference=20.0):
    """What was found: seeds scatter more than photographs, none reaches zero."""
    return Comparison(
        metric=metric,
        image_ci=Interval(mean, 1.25 * mean, 0.75 * mean),
        over_seeds=Interval(mean, 1.5 * mean, 0.5 * mean),
        effect=-0.5,
        reference_mean=reference,
        verdict="better",
    )


def test_decibels_are_told_as_such_and_losses_in_percent():
    of = {m: difference(m) for m in ("psnr_rgb", "ciede2000", "loss_eq1")}
    rows = {m: cells(verdict_table("", {"arm": of[m]}))[-1] for m in of}
    change = {m: row[2] for m, row in rows.items()}
    assert change == {
        "psnr_rgb": "-0.20 dB", "ciede2000": "-0.20", "loss_eq1": "-1.0 %",
    }  # fmt: skip
    assert rows["psnr_rgb"][3:] == ["-0.25 to -0.15", "-0.30 to -0.10"]
    assert rows["loss_eq1"][3:] == ["-1.2 to -0.8", "-1.5 to -0.5"]
    for metric, found in of.items():
        assert change[metric].endswith(found.unit)
        assert found.unit in change_label(metric, "none")


def test_a_number_and_its_unit_stay_in_one_line(arms):
    row = verdict_table("", {"arm": difference("loss_eq1")}).splitlines()[-1]
    assert f"-1.0{NBSP}%" in row
    assert f"-1.5{NBSP}to{NBSP}-0.5" in row
    worse = study_table(arms, "ours").splitlines()[-1].split("|")[3]
    assert re.search(rf"\d{NBSP}%, d{NBSP}={NBSP}\+\d", worse)


def test_nothing_is_told_as_minus_zero():
    found = difference("loss_eq1", mean=-0.001)
    assert cells(verdict_table("", {"arm": found}))[-1][2] == "+0.0 %"


def test_the_differences_of_a_study_have_a_row_an_arm_and_a_data_set():
    head, _, *rows = cells(differences_table("gray", "ciede2000", ["lfw", "imagenet"]))
    assert head[:3] == ["CIEDE2000 ↓", "verdict", "change"]
    assert [row[0] for row in rows] == ["luma, lfw", "luma, imagenet"]
    found = study_differences("gray", "imagenet", "ciede2000")["luma"]
    assert rows[1][1:3] == [found.verdict, f"{found.image_ci.mean:+.2f}"]


def test_two_arms_are_compared_in_several_metrics(arms):
    metrics = ["loss_eq1", "psnr_rgb"]
    table = pair_table("these against ours", arms["worse"], arms["ours"], metrics)
    head, _, *rows = cells(table)
    assert head[0] == "these against ours"
    assert [row[0] for row in rows] == ["Loss of Eq. 1 ↓", "PSNR RGB (dB) ↑"]
    assert rows[0][1] == "worse"
    assert rows[0][2].startswith("+")
    assert rows[1][1:3] == ["no difference shown", "+0.00 dB"]


@pytest.mark.parametrize("metric", METRICS)
def test_every_change_is_labelled_with_its_better_direction(metric):
    word = {True: "higher is better", False: "lower is better", None: "none"}
    direction = word[METRICS[metric].higher_is_better]
    assert direction in change_label(metric, "none")


def test_only_campaigns_with_notes_have_a_column_for_them():
    for campaign in read_campaigns():
        head, _, *rows = cells(campaign_table(campaign))
        noted = any(trial.note for trial in campaign.trials)
        assert head == ["what was done", "tried", "held", "note"][: 4 if noted else 3]
        assert len(rows) == len(campaign.trials) + 1
        assert rows[-1][1] == f"**{campaign.tried:,}**"
        assert {len(row) for row in rows} == {len(head)}
        bare = [Trial(kind=t.kind, tried=t.tried, held=t.held) for t in campaign.trials]
        without = campaign.model_copy(update={"trials": tuple(bare)})
        assert cells(campaign_table(without))[0][-1] == "held"


def test_one_record_is_one_record():
    one = read_record(min(RESULTS.glob("*.json")))
    assert "From 1 record<" in sources([one])


def test_sources_name_every_record_at_its_commit():
    records = [read_record(path) for path in sorted(RESULTS.glob("*.json"))[:6]]
    text = sources(records)
    assert "From 6 records" in text
    for line in text.splitlines():
        for record in records:
            assert (record.name in line) == (f"commit {record.commit[:9]}:" in line)
