"""The benchmarks do what they say, and their references do the same work as ours.

No test asks how fast anything is: what follows from seconds is tested on given numbers.
"""

import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks import measuring, photograph, suite
from benchmarks.__main__ import app
from benchmarks.gpu import OnDevice
from benchmarks.loading import folder_source
from benchmarks.networks import OurStep
from benchmarks.records import MATRIX_FLOPS, read_speed
from benchmarks.reference import network, photographs
from benchmarks.workload import Workload
from colorlib.color import images_to_float
from colorlib.errors import UserError
from colorlib.evaluation import score_predictor
from colorlib.images import load_rgb
from colorlib.targets import PAPER

CPU = torch.device("cpu")
IN_PROCESSES = {"photograph", "start"}  # their programs are tested without a process


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    return Workload(tmp_path_factory.mktemp("bench"), quick=True)


def test_contestants_take_turns():
    calls = []
    turns = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = measuring.race(turns, rounds=2, warm_up=1)
    assert calls == ["a", "b"] * 3
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_memory_is_that_of_the_program_and_a_failure_is_named():
    ballast = np.ones(2**25)  # 256 MB here
    large = "b = bytearray(10**8); b[::4096] = b'1' * len(b[::4096])"
    programs = {"small": ["-c", "pass"], "large": ["-c", large]}
    _, peak = measuring.race_processes(programs, 1)
    assert peak["small"] < ballast.nbytes
    assert 0.9e8 < peak["large"] - peak["small"] < 1.5e8
    with pytest.raises(UserError, match="no such thing"):
        measuring.race_processes({"bad": ["-c", "exit('no such thing')"]}, 1)


def test_calls_and_operations_are_as_many_as_are_counted():
    assert measuring.count_flops(measuring.MatrixProduct()) == MATRIX_FLOPS
    half = measuring.MatrixProduct(64, dtype=torch.bfloat16)
    assert measuring.count_flops(half) == half.flops == 2 * 64**3
    calls = []
    measuring.waited_for(lambda: calls.append(1), CPU, calls=3)()
    assert measuring.device_memory(lambda: calls.append(1), CPU) is None
    assert len(calls) == 4


@pytest.mark.parametrize("name", sorted(set(suite.BENCHMARKS) - IN_PROCESSES))
def test_a_benchmark_measures_what_its_bars_need(workload, name):
    measurements = list(suite.BENCHMARKS[name](workload))
    assert measurements
    for measurement in measurements:
        assert measurement.benchmark == name
        assert len({len(values) for values in measurement.seconds.values()}) == 1
        assert all(np.isfinite(value) for _, value in measurement.reached())


def test_what_runs_on_a_gpu_is_measured_on_any_device(workload, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.FULL", 4)  # that of the quick batch
    measurements = list(OnDevice(workload, CPU).measurements())
    assert {m.benchmark for m in measurements} == {"gpu"}
    steps = [m for m in measurements if m.case.startswith("training step")]
    assert [m.case for m in steps] == [
        "training step, float32, 32 px, batch 4",
        "training step, bfloat16, 32 px, batch 4",
    ]
    assert [m.matrix_dtype for m in steps] == ["float32", "bfloat16"]
    assert [len(m.bars) for m in steps].count(1) == 1
    counted = [m for m in measurements if m.flops]
    assert len(counted) == 3
    assert all(m.dtype == m.matrix_dtype and m.matrix_share for m in counted)
    assert len(OnDevice(Workload(workload.folder), CPU).modes) == 4
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="found no GPU"):
        list(suite.ON_REQUEST["gpu"](workload))


def test_what_is_measured_outlives_what_fails(monkeypatch):
    def broken(workload):
        yield from suite.BENCHMARKS["colour"](workload)
        raise RuntimeError("a wire")

    kept = []
    monkeypatch.setitem(suite.ON_REQUEST, "broken", broken)
    with pytest.raises(RuntimeError, match="a wire"):
        suite.run(["broken"], quick=True, say=lambda line: None, keep=kept.append)
    assert [len(record.measurements) for record in kept] == [1, 2]


def test_the_command_prints_a_table_and_writes_a_record(tmp_path):
    done = CliRunner().invoke(app, ["colour", "--quick", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.glob("bench-*.json")
    cases = ["RGB to Lab, 32 px", "Lab to RGB, 32 px"]
    assert [m.case for m in read_speed(path).measurements] == cases
    assert all(case in done.output for case in cases)
    unknown = CliRunner().invoke(app, ["none"])
    assert "expected some of start, colour" in str(unknown.exception)


def test_the_reference_network_predicts_and_learns_as_ours(workload):
    ours, theirs = workload.model(), network.FusionNetwork(workload.width)
    shapes = [p.shape for p in theirs.parameters()]
    assert shapes == [p.shape for p in ours.parameters()]
    for mine, plain in zip(ours.parameters(), theirs.parameters(), strict=True):
        plain.data.copy_(mine)
    L_norm, scores = torch.rand(2, 1, 32, 32), torch.rand(2, 3, 1000).softmax(-1)
    torch.testing.assert_close(
        theirs(L_norm, scores.mean(1)), ours(L_norm, scores), rtol=1e-4, atol=1e-5
    )
    batch = workload.batch(4, 32)
    L_norm, ab_norm = PAPER.split(images_to_float(batch.images))
    OurStep(ours)(batch)
    network.Step(theirs)(L_norm, ab_norm, batch.features.mean(1))
    for mine, plain in zip(ours.parameters(), theirs.parameters(), strict=True):
        # The first step of Adam moves every weight by the learning rate, 0.001.
        assert (mine - plain).abs().mean() < 1e-5


def test_the_reference_reads_and_scores_as_ours(workload):
    paths = workload.jpegs(2)
    L_norm, _ = photographs.JpegDataset(paths, 32)[0]
    rgb, _ = folder_source(paths[0].parent).load(0, 32)
    ours, _ = PAPER.split(images_to_float(torch.from_numpy(rgb)[None]))
    assert (ours[0] - L_norm).abs().mean() < 0.02  # two antialiasing filters
    batch, model = workload.batch(2, 32, backbones=0), workload.model("plain").eval()
    scores = score_predictor(model, [batch])
    theirs = photographs.evaluate(model, batch.images.numpy())
    for name in ("psnr_rgb", "ciede2000", "rmse_ab_norm"):
        expected = [of_image[name] for of_image in theirs]
        np.testing.assert_allclose(scores[name], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
@pytest.mark.parametrize("program", [photograph, photographs])
def test_a_photograph_is_coloured_and_its_seconds_printed(
    workload, program, monkeypatch, capsys
):
    source, target = workload.photograph(0.02), workload.folder / "coloured.jpg"
    target.unlink(missing_ok=True)
    monkeypatch.setattr(sys, "argv", ["program", str(source), str(target)])
    program.main()
    assert float(capsys.readouterr().out) > 0
    coloured = load_rgb(target)
    assert coloured.shape == load_rgb(source).shape
    assert np.ptp(coloured.astype(int), axis=2).max() > 3
