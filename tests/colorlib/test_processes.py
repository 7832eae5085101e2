"""Two processes train as one: the same batches, the same curve, one record."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import together

from colorlib.training.session import started_processes

# Two processes add up the same gradients in another order, so they agree to rounding.
CURVE = 1e-5  # relative
WEIGHTS = 1e-5  # of weights of order 0.1


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
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    paths = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, "--nproc-per-node", "2", together.__file__, str(root)],
        env=os.environ | paths,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((root / f"{rank}.json").read_text()) for rank in range(2)]


def same(result, expected):
    """Whether two trainings agree but for rounding."""
    assert result["steps"] == expected["steps"] == 18
    for part, losses in expected["curve"].items():
        assert result["curve"][part] == pytest.approx(losses, rel=CURVE), part
    assert result["weights"] == pytest.approx(expected["weights"], abs=WEIGHTS)


def test_two_processes_train_as_one(two, alone):
    for rank in two:
        assert (rank["whole"]["processes"], alone["processes"]) == (2, 1)
        same(rank["whole"], alone)
    for epoch in range(together.EPOCHS):  # each image once, by one of them
        shares = [rank["whole"]["seen"][epoch] for rank in two]
        assert sorted(chain(*shares)) == sorted(alone["seen"][epoch])
        assert len(shares[0]) == len(shares[1]) == together.COUNT / 2


def test_both_have_the_same_weights_to_the_bit(two):
    for way in ("whole", "odd"):  # of an odd batch one image is seen by both
        assert two[0][way]["weights"] == two[1][way]["weights"]
        assert two[0][way]["curve"] == two[1][way]["curve"]
        seen = [rank[way]["seen"][0] for rank in two]
        assert set(chain(*seen)) == set(range(together.COUNT - (way == "odd")))


def test_more_or_fewer_processes_go_on(two, alone, root):
    for rank in two:
        same(rank["one, then two"], alone)
    assert two[0]["two, then one"]["steps"] == together.STOPPED
    same(together.train(root / "two, then one"), alone)


def test_a_signal_to_one_stops_all(two, alone, root):
    for rank in two:
        assert "stopped by SIGTERM; the training is saved at step 6" in rank["stopped"]
    same(together.train(root / "stopped"), alone)


def test_what_cannot_be_is_one_line_in_both(two, root):
    for rank in two:
        assert "the training has diverged" in rank["diverged"]
    assert not (root / "diverged" / "last.ckpt").exists()


def test_only_the_first_process_writes(two, root):
    assert two[0]["record"] == two[1]["record"]
    assert len(list(root.glob("whole/csv/*/metrics.csv"))) == 1
    assert len(list(root.glob("run/runs/*/record.json"))) == 1
    one = together.record(root / "run of one")
    assert two[0]["record"]["training"]["processes"] == 2
    assert two[0]["record"]["identity"] == one["identity"]
    for metric, score in one["scores"]["test"]["model"].items():
        found = two[0]["record"]["scores"]["test"]["model"][metric]["mean"]
        assert found == pytest.approx(score["mean"], rel=1e-3, abs=1e-5), metric


STARTED = [
    ({}, None),
    ({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "snakejob"}, (1, 1)),  # on any node
    ({"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2"}, (4, 2)),
    ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2"}, (2, 3)),
]


@pytest.mark.parametrize(("variables", "expected"), STARTED)
def test_torchrun_and_slurm_say_how_many(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert started_processes() == expected
