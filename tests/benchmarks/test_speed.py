"""Records of benchmarks: what follows from seconds, and which bars they reach."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.records import (
    MATRIX_FLOPS,
    Bar,
    Estimate,
    Measurement,
    SpeedRecord,
    latest_speed,
    read_speed,
    write_speed,
)
from benchmarks.tables import book_tables, summary_rows
from colorlib.errors import UserError
from colorlib.pace import Pace, quickest
from companion.records import Hardware, kept_record

BOOK = Path(__file__).parents[2] / "book"
CONTESTANTS = ("ours", "reference")


@pytest.fixture
def measurement():
    return Measurement(
        benchmark="epoch",
        case="a later epoch, 64 px",
        reference="written plainly",
        images={"ours": 20, "reference": 4},
        seconds={
            "ours": [2.0, 4.0, 2.0],
            "reference": [8.0, 8.0, 16.0],
            "matrix": [0.5, 1.0, 1.0],
        },
        flops=3 * MATRIX_FLOPS,
        peak_bytes={"ours": 2 * 10**9, "reference": 10**9},
        bars=(
            Bar(quantity="ratio", at_least=20, obstacle="a wall"),
            Bar(quantity="matrix share", at_least=0.8),
            Bar(quantity="seconds", at_most=2),
            Bar(quantity="bytes", at_most=10**9, obstacle="a tank"),
        ),
    )


@pytest.fixture
def record(measurement):
    return SpeedRecord(
        name="bench-2026-01-01T000000",
        created="2026-01-01T00:00:00+00:00",
        commit="unknown",
        quick=False,
        load=0.1,
        seconds=60,
        hardware=Hardware(
            python="3.11", packages={}, system="Linux", cpu="any", threads=2, gpu=None
        ),
        measurements=(measurement,),
    )


def test_ratios_are_of_photographs_and_within_a_round(measurement):
    # A photograph: ours .1, .2, .1 s; the reference's 2, 2, 4 s.
    assert measurement.ratio == Estimate.of([20, 10, 40])
    assert measurement.per_image("reference").median == pytest.approx(2)
    assert measurement.matrix_share == Estimate.of([0.75, 0.75, 1.5])


def test_the_spread_is_half_the_distance_of_the_quartiles():
    assert Estimate.of([1, 2, 3, 4, 5]).spread == pytest.approx((4 - 2) / 2 / 3)
    assert Estimate.of([7.0]) == Estimate(7.0, None)


def test_every_quantity_has_its_bar(measurement):
    held = [bar.holds(value) for bar, value in measurement.reached()]
    assert held == [True, False, True, False]


def test_what_was_not_measured_is_nothing():
    alone = Measurement(benchmark="book", case="x", images={}, seconds={"ours": [1.0]})
    assert alone.ratio is None
    assert alone.matrix_share is None
    assert alone.per_image("reference") is None


def test_a_record_is_read_as_it_was_written_and_the_newest_is_taken(record, tmp_path):
    newer = record.model_copy(
        update={"name": "bench-b", "created": "2026-02-01T00:00:00+00:00"}
    )
    write_speed(newer, tmp_path)
    path = write_speed(record, tmp_path)
    assert read_speed(path) == record
    assert latest_speed(tmp_path) == newer


def test_records_of_gpus_are_taken_apart(record, tmp_path):
    gpu = record.hardware.model_copy(update={"gpu": "any GPU"})
    other = record.model_copy(
        update={"name": "b", "created": "2026-02-01T00:00:00+00:00", "hardware": gpu}
    )
    write_speed(record, tmp_path)
    with pytest.raises(UserError, match="python -m benchmarks gpu"):
        latest_speed(tmp_path, on_gpu=True)
    write_speed(other, tmp_path)
    assert latest_speed(tmp_path) == record
    assert latest_speed(tmp_path, on_gpu=True) == other


def test_a_share_is_of_the_matrix_product_that_took_turns(measurement):
    larger = measurement.model_copy(update={"matrix_flops": 4 * MATRIX_FLOPS})
    assert larger.matrix_share.median == measurement.matrix_share.median / 4


def test_a_wrong_or_missing_record_is_named(record, tmp_path):
    with pytest.raises(UserError, match="python -m benchmarks"):
        latest_speed(tmp_path)
    values = json.loads(record.model_dump_json())
    values["measurements"][0]["seconds"] = "fast"
    (tmp_path / "bench.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"measurements\.0\.seconds"):
        read_speed(tmp_path / "bench.json")


def test_other_work_on_the_machine_is_told(record):
    assert not record.busy
    assert record.model_copy(update={"load": 2.0}).busy
    assert not record.model_copy(update={"stolen": 0.01}).busy
    assert record.model_copy(update={"stolen": 0.3}).busy


def test_the_command_line_shows_every_measurement(record):
    (row,) = summary_rows(record)
    assert row[:5] == ["a later epoch, 64 px", "100 ms", "2 s", "20", "38 %"]
    assert row[5:7] == ["75 %", "2 GB / 1 GB"]
    assert row[7].startswith("ratio at least 20: holds; matrix share at least 80 %: mi")


def test_the_page_says_which_bars_are_missed_and_why(record):
    tables = book_tables(record)
    held, missed, *_ = tables["The bars"].splitlines()[2:]
    assert plain(held) == "| a later epoch, 64 px | ratio at least 20 | 20 | holds |"
    assert "| 75 % | missed |" in plain(missed)
    projected = plain(tables["Projected: the paper's training"])
    assert "| 64 px | 21.2 min | 7.08 h | 14.8 days | 295 days |" in projected


def test_a_reason_that_several_bars_share_is_told_once(record, measurement):
    other = measurement.model_copy(update={"case": "another epoch, 64 px"})
    both = record.model_copy(update={"measurements": (measurement, other)})
    told = plain(book_tables(both)["The bars"])
    assert told.count("a tank") == 1
    assert "Missed by a later epoch, 64 px; another epoch, 64 px: a tank." in told
    assert "a wall" not in told  # of a bar that holds


def test_no_number_is_told_as_a_power_of_ten(measurement, record):
    slow = {"ours": [0.001], "reference": [8.0], "matrix": [0.5]}
    far = measurement.model_copy(update={"seconds": slow})
    (row,) = summary_rows(record.model_copy(update={"measurements": (far,)}))
    assert row[3] == "40,000"  # 2 s a photograph against 50 µs


def test_no_number_stands_in_another_line_than_its_unit(record):
    for heading, table in book_tables(record).items():
        assert not re.search(r"\d (%|GB|h|s|ms|days|min|px)\b", table), heading


def test_what_the_page_on_gpus_tells_is_what_was_measured():
    page = plain((BOOK / "gpu.md").read_text())
    steps = {m.case: m for m in latest_speed(on_gpu=True).measurements}

    def step(case):
        return steps[f"training step, bfloat16{case}"]

    full = step(", compiled, 256 px, batch 256")
    assert f"a step reaches {100 * full.matrix_share.median:.0f} % of the mat" in page
    assert f"takes {full.ratio.median:.2g} times as long" in page
    half = step(", 256 px, batch 256").matrix_share.median
    assert f"without compilation a step reaches {100 * half:.0f} %" in page
    graphs = [step(f", as a CUDA graph, {s} px, batch 20") for s in (64, 128, 256)]
    low, *_, high = sorted(graph.ratio.median for graph in graphs)
    assert f"a step is {low:.1f} to {high:.1f} times as fast as the plain" in page
    for size in (64, 128):
        slower = step(f", {size} px, batch 20").per_image().median
        float32 = steps[f"training step, float32, {size} px, batch 20"]
        assert slower > float32.per_image().median
        assert step(f", compiled, {size} px, batch 20").ratio.median < 1
    scattered = [share for k, share in full.profile.items() if "index_put" in k]
    assert 1 / sum(scattered) == pytest.approx(6, abs=0.3)  # "a sixth of the time"
    (epoch,) = [m for case, m in steps.items() if case.startswith("a later epoch")]
    ours, theirs = (1000 * 12_750 * epoch.per_image(c).median for c in CONTESTANTS)
    assert f"would take {ours / 60:.0f} minutes by the benchmark's" in page
    assert f"would take {theirs / 86_400:.2g} days" in page


def test_what_the_page_on_gpus_tells_of_trainings_is_in_their_records():
    page = plain((BOOK / "gpu.md").read_text())
    record = kept_record("lfw-256-model3-d8bcd6bf")
    rate = 20 * record.training.steps / record.training.seconds
    assert f"{rate:,.0f} photographs a second were reached" in page
    assert f"which makes {1000 * 12_750 / rate / 60:.0f} minutes" in page
    assert f"took {record.seconds['class scores']:.0f} seconds" in page
    trials = kept_record("lfw-128-plain-4df6c7cc").training.trials
    eager, compiled = (trial.losses[2] for trial in trials[:2])
    assert f"were {100 * abs(eager / compiled - 1):.0f} % apart" in page
    fast = quickest(trials, 9400)
    assert fast.pace == Pace("32-true", "reduce-overhead")  # taken now, refused then
    every = 200 * record.training.seconds / record.training.steps
    assert f"{every:.1f}" == "1.6"  # seconds: the page says "a second and a half"


def plain(text):
    """Text with ordinary spaces."""
    return text.replace("\u00a0", " ")
