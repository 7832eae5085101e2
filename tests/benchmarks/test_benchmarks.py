"""The benchmarks do what they say, and their references do the same work as we do."""

import json
import sys

import numpy as np
import pytest
import torch

from benchmarks import colouring, suite
from benchmarks.gpu import Device, way_text
from benchmarks.measuring import (
    MatrixProduct,
    count_flops,
    device_memory,
    race,
    race_processes,
    waited_for,
)
from benchmarks.networks import OurStep
from benchmarks.records import MATRIX_FLOPS, latest_speed, read_speed
from benchmarks.reference import network, photographs
from benchmarks.setting import Setting
from colorlib.color import images_to_float
from colorlib.errors import UserError
from colorlib.evaluation import score_predictor
from colorlib.images import read_photograph
from colorlib.pace import open_ways
from colorlib.targets import PAPER
from companion import cli


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Setting(tmp_path_factory.mktemp("bench"), quick=True)


def test_contestants_take_turns():
    calls = []
    turns = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = race(turns, rounds=2, warm_up=1)
    assert calls == ["a", "b"] * 3
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_memory_is_that_of_the_program_and_not_of_this_one():
    ballast = np.ones(2**25)  # 256 MB here
    large = "b = bytearray(10**8); b[::4096] = b'1' * len(b[::4096])"
    _, peak = race_processes({"small": ["-c", "pass"], "large": ["-c", large]}, 1)
    assert peak["small"] < ballast.nbytes
    assert 0.9e8 < peak["large"] - peak["small"] < 1.5e8


def test_a_program_that_fails_is_named():
    with pytest.raises(UserError, match="no such thing"):
        race_processes({"bad": ["-c", "raise SystemExit('no such thing')"]}, 1)


def test_the_matrix_product_does_the_operations_it_is_counted_for():
    assert count_flops(MatrixProduct()) == MATRIX_FLOPS


def test_a_matrix_product_of_any_kind_is_counted():
    product = MatrixProduct(64, dtype=torch.bfloat16)
    assert count_flops(product) == product.flops == 2 * 64**3
    assert product.product.dtype == torch.bfloat16


def test_a_gpu_is_measured_by_several_calls_and_one_wait():
    calls = []
    waited_for(lambda: calls.append(1), torch.device("cpu"), calls=3)()
    assert len(calls) == 3
    assert device_memory(lambda: calls.append(1), torch.device("cpu")) is None
    assert len(calls) == 4


def test_what_runs_on_a_gpu_is_measured_on_any_device(setting):
    measurements = list(Device(setting, torch.device("cpu")).measurements())
    cases = [m.case for m in measurements]
    assert {m.benchmark for m in measurements} == {"gpu"}
    assert [c for c in cases if c.startswith("training step")] == [
        "training step, float32, 32 px, batch 4",
        "training step, bfloat16, 32 px, batch 4",
    ]
    assert sum(c.startswith("a later epoch") for c in cases) == 1
    for measurement in measurements:
        assert measurement.ratio.median > 0
    shares = [m.matrix_share.median for m in measurements if m.flops]
    assert len(shares) == 3
    assert all(0 < share < 1 for share in shares)


def test_the_full_measurement_of_a_gpu_has_each_way_and_one_bar(setting, monkeypatch):
    device = Device(setting, torch.device("cpu"))
    monkeypatch.setattr("benchmarks.gpu.FULL", 4)  # that of the quick batch
    ways = list(device.steps(32, 4))
    assert [len(m.bars) for m in ways].count(1) == 1
    (best,) = [m for m in ways if m.bars]
    assert best.per_image().median == min(m.per_image().median for m in ways)
    on_gpu = open_ways("auto", "auto", torch.device("cuda"))
    told = {way_text(way) for way in on_gpu}
    assert len(told) == len(on_gpu)


def test_without_a_gpu_its_benchmark_is_refused(setting, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="found no GPU"):
        list(suite.ON_REQUEST["gpu"](setting))


def test_what_is_measured_outlives_what_fails(monkeypatch):
    def broken(setting):
        yield from suite.BENCHMARKS["data"](setting)
        raise RuntimeError("a wire")

    kept = []
    monkeypatch.setitem(suite.ON_REQUEST, "broken", broken)
    with pytest.raises(RuntimeError, match="a wire"):
        suite.run(["broken"], quick=True, say=lambda line: None, keep=kept.append)
    assert [len(record.measurements) for record in kept] == [1, 2]
    assert len({record.name for record in kept}) == 1


def test_the_reference_network_has_the_weights_of_ours_and_gives_the_same(setting):
    ours = Setting(setting.folder).model()  # full width
    theirs = network.FusionNetwork()
    shapes = [p.shape for p in theirs.parameters()]
    assert shapes == [p.shape for p in ours.parameters()]
    theirs.load_state_dict(
        dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True))
    )
    L_norm, told = torch.rand(2, 1, 32, 32), torch.rand(2, 3, 1000).softmax(-1)
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(L_norm, told.mean(1)), ours(L_norm, told), rtol=1e-4, atol=1e-5
        )


def test_one_step_of_the_reference_is_one_step_of_ours(setting):
    model, theirs = setting.model(), network.FusionNetwork(setting.width)
    weights = zip(theirs.state_dict(), model.state_dict().values(), strict=True)
    theirs.load_state_dict({name: value.clone() for name, value in weights})
    batch = setting.batch(4, 32)
    L_norm, ab_norm = PAPER.split(images_to_float(batch.images))
    OurStep(model)(batch)
    network.Step(theirs)(L_norm, ab_norm, batch.features.mean(1))
    for ours, plain in zip(model.parameters(), theirs.parameters(), strict=True):
        # The first step of Adam moves every weight by the learning rate, 0.001.
        assert (ours - plain).abs().mean() < 1e-5


def test_the_reference_reads_what_ours_reads(setting):
    paths = setting.jpegs(2)
    L_norm, ab_norm = photographs.JpegDataset(paths, 32)[0]
    assert (L_norm.shape, ab_norm.shape) == ((1, 32, 32), (2, 32, 32))
    from colorlib.data import open_source

    (reading, _) = open_source("folder", paths[0].parent).read(32)
    ours, _ = PAPER.split(images_to_float(torch.from_numpy(reading.rgb)[None]))
    assert (ours[0] - L_norm).abs().mean() < 0.02  # two antialiasing filters


def test_the_reference_scores_as_ours(setting):
    batch, model = setting.batch(2, 32, backbones=0), setting.model("plain").eval()
    ours = score_predictor(model, [batch])
    theirs = photographs.evaluate(model, batch.images.numpy())
    for name in ("psnr_rgb", "ciede2000", "rmse_ab_norm"):
        expected = [scores[name] for scores in theirs]
        np.testing.assert_allclose(ours[name].numpy(), expected, rtol=1e-3, atol=1e-4)


IN_PROCESSES = {"photograph"}  # its programs are tested below, without a process


@pytest.mark.parametrize("name", sorted(set(suite.BENCHMARKS) - IN_PROCESSES))
def test_a_benchmark_measures_what_its_bars_need(setting, name):
    measurements = list(suite.BENCHMARKS[name](setting))
    assert measurements
    for measurement in measurements:
        assert measurement.benchmark == name
        assert all(min(values) > 0 for values in measurement.seconds.values())
        assert len({len(values) for values in measurement.seconds.values()}) == 1
        for _, value in measurement.reached():
            assert value > 0


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
@pytest.mark.parametrize("program", [colouring, photographs])
def test_a_photograph_is_coloured_and_its_seconds_printed(
    setting, program, monkeypatch, capsys
):
    source, target = setting.photograph(0.02), setting.folder / "coloured.jpg"
    target.unlink(missing_ok=True)
    monkeypatch.setattr(sys, "argv", ["program", str(source), str(target)])
    program.main()
    assert float(capsys.readouterr().out) > 0
    coloured = read_photograph(target).rgb
    assert coloured.shape == read_photograph(source).rgb.shape
    assert np.ptp(coloured.astype(int), axis=2).max() > 3


def test_the_command_prints_a_table_and_writes_a_record(monkeypatch, capsys, tmp_path):
    command = ["colorlib", "bench", "colour", "--quick", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    printed = capsys.readouterr().out
    (path,) = tmp_path.glob("bench-*.json")
    assert "RGB to Lab, 32 px" in printed
    assert path.name in printed.replace("\n", "")
    assert [m.case for m in read_speed(path).measurements] == [
        "RGB to Lab, 32 px",
        "Lab to RGB, 32 px",
    ]


def test_an_unknown_benchmark_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["colorlib", "bench", "none"])
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert "expected some of start, colour" in capsys.readouterr().err


def test_the_kept_record_covers_the_whole_suite():
    record = latest_speed()
    assert not record.quick
    assert {m.benchmark for m in record.measurements} >= set(suite.BENCHMARKS)
    assert len(record.commit) == 40
    assert json.loads(record.model_dump_json())["hardware"]["cpu"]
