"""Two processes train as one: the same batches, the same curve, one record."""

import csv
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
import together

from colorlib import processes
from colorlib.processes import local_rank, started_processes
from companion.records import read_record

ROOT = Path(__file__).parents[2]

# Two processes add up the same gradients in another order, so they agree to rounding:
# both differed by 1e-7. If shares counted alike, whatever their size: by 3e-4.
CURVE = 1e-5  # relative
WEIGHTS = 1e-5  # of weights of order 0.1


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def python(*arguments, **variables):
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def torchrun(*arguments):
    """Run a program in two processes, as `torchrun --nproc-per-node 2` does."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return python(*launch, *arguments)


def lightning(*arguments):
    """Run a program that starts the second process itself."""
    return python(*arguments, "--devices", 2)


def srun(*arguments):
    """Run a program in two processes that find the variables of SLURM."""
    job = {
        "SLURM_JOB_ID": str(os.getpid()),  # Lightning makes a port of it
        "SLURM_JOB_NAME": "colorlib",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
    }
    with ThreadPoolExecutor() as tasks:
        ranks = [{"SLURM_PROCID": str(r), "SLURM_LOCALID": str(r)} for r in range(2)]
        done = list(tasks.map(lambda rank: python(*arguments, **job | rank), ranks))
    worst = max(done, key=lambda one: abs(one.returncode))
    worst.stdout = "".join(one.stdout for one in done)
    return worst


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def alone(root):
    """The same training by this process alone."""
    return together.train(root / "alone")


@pytest.fixture(scope="module")
def two(root):
    """What each of two processes saw and made."""
    together.train(root / "one, then two", max_steps=together.STOPPED)
    done = torchrun(Path(together.__file__), root)
    assert done.returncode == 0, done.stderr
    return [json.loads((root / f"{rank}.json").read_text()) for rank in range(2)]


def same(result, expected):
    """Whether two trainings agree but for rounding."""
    assert result["steps"] == expected["steps"] == 15
    for part, losses in expected["curve"].items():
        assert result["curve"][part] == pytest.approx(losses, rel=CURVE), part
    assert result["weights"] == pytest.approx(expected["weights"], abs=WEIGHTS)


def test_every_photograph_is_seen_once_an_epoch_by_one_of_them(two, alone):
    for epoch in range(together.EPOCHS):
        shares = [rank["whole"]["seen"][epoch] for rank in two]
        assert sorted(chain(*shares)) == list(range(together.COUNT))
        assert abs(len(shares[0]) - len(shares[1])) <= 5  # one a batch
        assert set(chain(*shares)) == set(alone["seen"][epoch])


def test_two_processes_have_the_curve_and_the_weights_of_one(two, alone):
    for rank in two:
        assert rank["whole"]["processes"] == 2
        same(rank["whole"], alone)


def test_both_have_the_same_weights_to_the_bit(two):
    assert two[0]["whole"]["weights"] == two[1]["whole"]["weights"]
    assert two[0]["whole"]["curve"] == two[1]["whole"]["curve"]


def test_two_go_on_where_one_stopped(two, alone):
    for rank in two:
        same(rank["one, then two"], alone)


def test_one_goes_on_where_two_stopped(two, alone, root):
    assert two[0]["two, then one"]["steps"] == together.STOPPED
    same(together.train(root / "two, then one"), alone)


def test_each_trains_on_its_own_files_as_one_does_on_all(two, root):
    alone = together.train(root / "all files", shard=together.SHARD)
    for rank, result in enumerate(two):
        same(result["files"], alone)
        seen = set(chain(*result["files"]["seen"]))
        assert {number // together.SHARD % 2 for number in seen} == {rank}
    assert two[0]["files"]["seen"] != two[0]["whole"]["seen"]


def test_only_the_first_process_writes(two, root):
    assert len(list(root.glob("whole/csv/*/metrics.csv"))) == 1
    assert len(list(root.glob("whole/tensorboard/events.*"))) == 1
    assert len(list(root.glob("whole/samples/*.npy"))) == 1 + 1 + together.EPOCHS


def logged(folder, name):
    """What the log of a training says of each of its steps that are logged."""
    (path,) = folder.glob("csv/*/metrics.csv")
    with path.open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@pytest.mark.parametrize("name", ["train_loss", "val_loss"])
def test_the_log_tells_of_whole_batches(two, alone, root, name):
    expected = logged(root / "alone", name)
    assert len(expected) == {"train_loss": 1, "val_loss": together.EPOCHS}[name]
    assert logged(root / "whole", name) == pytest.approx(expected, rel=CURVE)


def test_normalisation_over_shares_is_refused(two):
    for rank in two:
        assert "found batch normalisation and 2 processes" in rank["normalised"]


def test_a_loss_that_is_no_number_anywhere_ends_all(two, root):
    for rank in two:
        assert "the training has diverged" in rank["diverged"]
    assert not (root / "diverged" / "last.ckpt").exists()


TRAINING = ["-m", "colorlib", "train", "--profile", "smoke", "--model", "model3"]


def record_of(launch, folder):
    """Train a model with three backbones, from photographs to record, in a folder."""
    places = ["--cache-root", folder / "cache", "--runs-root", folder / "runs"]
    done = launch(*TRAINING, *places)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("record: ") == 1
    assert done.stderr.count("warning: ") == 1  # so short a training learns nothing
    return read_record(folder / "runs" / "model3" / "record.json")


@pytest.fixture(scope="module")
def record_of_one(tmp_path_factory):
    return record_of(python, tmp_path_factory.mktemp("one"))


@pytest.mark.slow
@pytest.mark.parametrize("launch", [torchrun, lightning, srun])
def test_the_command_line_makes_one_record_of_two(launch, record_of_one, tmp_path):
    two = record_of(launch, tmp_path)
    assert (two.training.processes, record_of_one.training.processes) == (2, 1)
    assert two.inputs_hash == record_of_one.inputs_hash
    assert two.data == record_of_one.data
    for metric, score in record_of_one.scores["model"].items():
        found = two.scores["model"][metric].mean
        assert found == pytest.approx(score.mean, rel=1e-3, abs=1e-5), metric


def test_torchrun_and_slurm_say_how_many(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "snakejob")
    assert started_processes() == (1, 1)  # a job of Snakemake's, on a node of 4 GPUs
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    monkeypatch.setenv("SLURM_NNODES", "2")
    assert started_processes() == (4, 2)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert started_processes() == (2, 3)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert local_rank() == 1


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    """What can be seen of it without a GPU: which one is asked for."""
    monkeypatch.setattr(processes.torch.cuda, "device_count", lambda: 4)
    assert str(processes.torch_device("cuda")) == "cuda"  # alone: as ever
    monkeypatch.setattr(processes, "started_processes", lambda: (4, 2))
    monkeypatch.setattr(processes, "local_rank", lambda: 3)
    assert str(processes.torch_device("cuda")) == "cuda:3"
    assert str(processes.torch_device("cpu")) == "cpu"
    monkeypatch.setattr(processes.torch.cuda, "device_count", lambda: 1)
    assert str(processes.torch_device("cuda")) == "cuda:0"  # it sees but its own
