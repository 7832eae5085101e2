"""What follows from seconds: ratios, rates, bars, tables, plans; on given numbers."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import suite
from benchmarks.planning import Device, large_run_tables, measured_device, plan
from benchmarks.records import (
    MATRIX_FLOPS,
    Bar,
    Measurement,
    Rounds,
    SpeedRecord,
    latest_speed,
    read_speed,
    write_speed,
)
from benchmarks.tables import book_tables, summary_rows
from colorlib.errors import UserError
from companion.records import Hardware

MACHINE = Hardware(
    python="3.11", packages={}, system="Linux", cpu="any", threads=2, gpu=None
)
CLUSTER = Path(__file__).parents[2] / "book" / "cluster.md"
EPOCH = Measurement(
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


def record_of(*measurements):
    return SpeedRecord(
        name="bench-2026-01-01T000000", created="2026-01-01T00:00:00+00:00",
        commit="unknown", quick=False, load=0.1, seconds=60, hardware=MACHINE,
        measurements=measurements,
    )  # fmt: skip


def changed(part, **values):
    return part.model_copy(update=values)


def test_ratios_are_of_images_within_a_round_and_rates_of_one_kind_of_numbers():
    # An image: ours .1, .2, .1 s; the reference's 2, 2, 4 s.
    assert EPOCH.ratio == Rounds.of([20, 10, 40])
    assert EPOCH.per_image("reference").median == pytest.approx(2)
    held = [bar.holds(value) for bar, value in EPOCH.reached()]
    assert held == [True, False, True, False]
    # A processor that emulates bfloat16 may do more float32 operations than those.
    assert EPOCH.matrix_share == Rounds.of([0.75, 0.75, 1.5])
    larger = changed(EPOCH, matrix_flops=4 * MATRIX_FLOPS)
    assert larger.matrix_share.median == EPOCH.matrix_share.median / 4
    assert changed(EPOCH, matrix_dtype="bfloat16").matrix_share is None
    assert changed(EPOCH, flops=None).matrix_share is None
    assert changed(EPOCH, seconds={"ours": [1.0]}).ratio is None


def test_the_newest_record_of_a_kind_of_machine_is_taken(tmp_path):
    record = record_of(EPOCH)
    with pytest.raises(UserError, match="python -m benchmarks"):
        latest_speed(tmp_path)
    path = write_speed(record, tmp_path)
    assert read_speed(path) == record
    newer = changed(record, name="b", created="2026-02-01T00:00:00+00:00")
    gpu = changed(newer, name="c", hardware=changed(MACHINE, gpu="any GPU"))
    for one in (newer, gpu):
        write_speed(one, tmp_path)
    assert latest_speed(tmp_path) == newer
    assert latest_speed(tmp_path, on_gpu=True) == gpu


def test_a_record_names_a_wrong_field_and_other_work(tmp_path):
    values = json.loads(record_of(EPOCH).model_dump_json())
    values["measurements"][0]["seconds"] = "fast"
    (tmp_path / "bench.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"measurements\.0\.seconds"):
        read_speed(tmp_path / "bench.json")
    record = record_of(EPOCH)
    work = ({}, {"load": 2.0}, {"stolen": 0.01}, {"stolen": 0.3})
    assert [changed(record, **w).busy for w in work] == [False, True, False, True]


def test_the_saved_records_cover_the_whole_suite():
    record = latest_speed()
    assert {m.benchmark for m in record.measurements} >= set(suite.BENCHMARKS)
    shares = [m for m in latest_speed(on_gpu=True).measurements if m.matrix_share]
    assert {m.dtype for m in shares} == {"bfloat16"}


def test_tables_show_every_number_and_which_bars_are_missed_and_why():
    (row,) = summary_rows(record_of(EPOCH))
    assert row[:5] == ["a later epoch, 64 px", "100 ms", "2 s", "20", "38 %"]
    assert row[5:7] == ["75 %", "2 GB / 1 GB"]
    assert row[7].startswith("ratio at least 20: holds; matrix share at least 80 %: mi")
    other = changed(EPOCH, case="another epoch, 64 px")
    tables = book_tables(record_of(EPOCH, other))
    bars = tables["The bars"].replace("\u00a0", " ")
    assert "| a later epoch, 64 px | ratio at least 20 | 20 | holds |" in bars
    assert "| 75 % | missed |" in bars
    assert "Missed by a later epoch, 64 px; another epoch, 64 px: a tank." in bars
    assert bars.count("a tank") == 1
    assert "a wall" not in bars  # of a bar that holds
    projected = tables["Projected: the paper's training"].replace("\u00a0", " ")
    assert "| 64 px | 21.2 min | 7.08 h | 14.8 days | 295 days |" in projected
    for heading, table in tables.items():  # no number without its unit in one line
        assert not re.search(r"\d (%|GB|h|s|ms|days|min|px)\b", table), heading


@pytest.fixture
def counted():
    """An image: 1 ms to decode, 1 µs to hand out, 5 GFLOP a step, 40 for its scores."""

    def measured(case, seconds, images, flops=None):
        found = {"images": {"ours": images}, "seconds": {"ours": [seconds]}}
        return Measurement(benchmark="x", case=case, flops=flops, **found)

    sizes = (64, 128, 256)
    return record_of(
        measured("decoding and packing, 64 px", 0.02, 20),
        measured("class scores of three networks", 1, 2, 8 * 10**10),
        measured("a later epoch, 64 px", 0.8, 20),
        *(measured(f"training step, {s} px", 1, 4, 2 * 10**10) for s in sizes),
        *(measured(f"waiting for batches, {s} px", 4e-6, 4) for s in sizes),
        measured("training step, 256 px, batch 256", 0.5, 4, 2 * 10**10),
    )


def test_a_slow_device_takes_its_own_time_and_a_fast_one_waits(counted):
    # 1e9 operations a second: 40 s for the scores of an image, 5 s for a step
    slow = Device(peak=2e9, share=0.5, price=3)
    found = plan(1000, 128, epochs=10, device=slow, record=counted)
    assert found.hours == pytest.approx(1000 * (40 + 10 * 5) / 3600)
    assert found.cost == pytest.approx(3 * found.hours)
    assert found.packed_bytes == 1000 * 128 * 128 * 3
    assert found.score_bytes == 1000 * 3 * 1000 * 4
    fast = Device(peak=1e30, share=1)
    found = plan(1000, 64, epochs=10, device=fast, record=counted)
    assert found.hours == pytest.approx(1000 * (1e-3 + 10 * 1e-6) / 3600)
    # steps of 2e10 operations in 1 s, and one in half a second
    assert measured_device(counted, peak=1e11) == Device(peak=1e11, share=0.4)


def test_the_tables_multiply_what_was_measured(counted):
    tables = large_run_tables(counted, Device(peak=2e9, share=0.5))
    measured_hours = tables["Hours without a GPU, measured"]
    assert "| a later epoch, 64 px | 40 ms | 14.2 h | 6.57 days |" in measured_hours
    estimated = tables["Hours on a GPU: estimated"]
    assert "| an epoch, 64 px | 5 s | 74.1 days | 822 days |" in estimated
    assert "| ImageNet-1k | 128 px | 78 GB |" in tables["Whole plans"]


def test_what_the_page_gives_to_copy_works(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", CLUSTER.read_text(), re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.startswith("Plan(packed_bytes=")
