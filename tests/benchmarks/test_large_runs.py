"""Plans of large runs: bytes are counted, hours follow from one photograph's."""

import re
import subprocess
from pathlib import Path

import pytest
import typer

from benchmarks.planning import (
    Device,
    large_run_tables,
    measured_device,
    packed_bytes,
    plan,
)
from benchmarks.records import Measurement, SpeedRecord, latest_speed
from colorlib.data import SHARD, open_source, pack
from companion.cli import app
from companion.config import load_profile
from companion.records import Hardware

TRAIN = typer.main.get_command(app).commands["train"]
HELP = {option for parameter in TRAIN.params for option in parameter.opts}
PAGE = Path(__file__).parents[2] / "book" / "cluster.md"


def measured(case, seconds, images, flops=None):
    return Measurement(
        benchmark="x",
        case=case,
        images={"ours": images},
        seconds={"ours": [seconds]},
        flops=flops,
    )


@pytest.fixture
def record():
    """A photograph: 1 ms to decode, 1 µs to hand out, 5 GFLOP a step, 40 a score."""
    sizes = (64, 128, 256)
    steps = [measured(f"training step, {s} px, batch 4", 1, 4, 2 * 10**10)
             for s in sizes]  # fmt: skip
    waits = [measured(f"waiting for batches, {s} px", 4e-6, 4) for s in sizes]
    return SpeedRecord(
        name="bench", created="2026-01-01T00:00:00+00:00", commit="unknown",
        quick=False, load=0, seconds=1,
        hardware=Hardware(python="3.11", packages={}, system="Linux", cpu="any",
                          threads=2, gpu=None),
        measurements=(
            measured("decoding and packing, 64 px", 0.02, 20),
            measured("class scores of three networks", 1, 2, 8 * 10**10),
            measured("a later epoch, 64 px", 0.8, 20),
            *steps, *waits,
        ),
    )  # fmt: skip


def test_bytes_are_those_of_the_files(tmp_path):
    packed = pack(open_source("scenes", count=9), 16, tmp_path, shard=4)
    written = sum(path.stat().st_size for path in tmp_path.rglob("*.u8"))
    assert written == packed_bytes(9, 16)
    assert len(packed.images.shards) == 3


def test_a_slow_device_takes_its_own_time(record):
    # 1e9 operations a second: 40 s for the scores of a photograph, 5 s for a step
    slow = Device(peak=2e9, share=0.5, price=3)
    found = plan(1000, 128, epochs=10, device=slow, record=record)
    assert found.hours == pytest.approx(1000 * (40 + 10 * 5) / 3600)
    assert found.cost == pytest.approx(3 * found.hours)
    assert found.packed_bytes == 1000 * 128 * 128 * 3
    assert found.score_bytes == 1000 * 3 * 1000 * 4


def test_a_fast_device_waits_for_photographs(record):
    fast = Device(peak=1e30, share=1)
    found = plan(1000, 64, epochs=10, device=fast, record=record)
    assert found.hours == pytest.approx(1000 * (1e-3 + 10 * 1e-6) / 3600)


def test_the_share_of_a_device_is_that_of_its_fastest_step(record):
    # steps of 2e10 operations in 1 s, and one in half a second
    faster = measured("training step, 256 px, batch 256", 0.5, 4, 2 * 10**10)
    gpu = record.model_copy(update={"measurements": (*record.measurements, faster)})
    assert measured_device(gpu, peak=1e11) == Device(peak=1e11, share=0.4)


def test_the_tables_multiply_what_was_measured(record):
    tables = large_run_tables(record, Device(peak=2e9, share=0.5))
    assert "| packed, 128 px | 63 GB | 698 GB |" in tables["Bytes"]
    assert f"| files of them | {-(-1281167 // SHARD)} |" in tables["Bytes"]
    measured_hours = tables["Hours without a GPU, measured"]
    assert "| a later epoch, 64 px | 40 ms | 14.2 h | 6.57 days |" in measured_hours
    estimated = tables["Hours on a GPU: estimated"]
    assert "| an epoch, 64 px | 5 G | 0 | 1,000,000 | 74.1 days |" in estimated
    assert tables["Whole plans"].count("ImageNet-1k") == 3


def test_what_the_page_tells_of_a_gpu_is_what_was_measured():
    device = measured_device(latest_speed(on_gpu=True))
    page = PAGE.read_text()
    assert f"did {device.peak * device.share / 1e12:.0f} TFLOP/s" in page
    assert f"reached of it, here {device.share:.2f}." in page


def test_what_the_page_tells_of_files_is_so():
    (told,) = re.findall(r"Beyond ([\d,]+) photographs", PAGE.read_text())
    assert int(told.replace(",", "")) == SHARD


def block(language, which=0):
    """What the page gives to copy."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)[which]


def test_what_the_page_gives_to_copy_works(tmp_path, capsys):
    path = tmp_path / "big.yaml"
    path.write_text(block("yaml"))
    profile = load_profile(str(path))
    assert (profile.models, profile.batch_size) == (("model3",), 512)
    exec(block("python"), {})
    assert capsys.readouterr().out.startswith("Plan(packed_bytes=")
    for script in (block("bash", 0), block("bash", 1), block("bash", 2)):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        for option in re.findall(r" (--[a-z-]+-root|--profile|--resume)\b", script):
            assert option in HELP
