"""A training killed at any moment ends, once resumed, as one that was left alone.

Each test is a process of its own that dies of SIGKILL, by its own hand at a certain
line (see `victim`) or by ours after a while, and is started again until it is done.
Then the weights and everything else it wrote are the same to the bit, and its record
is, but for times and sessions. A few kills are tried every time, the rest by
`make test-faults`; the moments are drawn from a seed.
"""

import json
import multiprocessing
import signal
import time

import numpy as np
import pytest
import victim

from colorlib.files import file_sha256

CAMPAIGN = {
    "name": "kills",
    "title": "Trainings killed",
    "expected": "a training that SIGKILL ended, once resumed, leaves the same weights, "
    "samples and caches to the bit, and the same record but for times and sessions, as "
    "one that was left alone",
}
SEED = 6
PROFILE = """
dataset: scenes
count: 48
size: 16
width: 0.125
models: [model1]
backbones: [test_resnet.r160_in1k]
weights: random
validation_fraction: 0.2
batch_size: 5
mirror: true
max_epochs: 3
accelerator: cpu
"""
TIMES = ("created", "seconds", "sessions", "commit")
EVERY_TIME = ("stepping", "writing a checkpoint", "writing the record")
KILLS_OF_A_PHASE = 3
KILLS_BY_TIME = 6

processes = multiprocessing.get_context("forkserver")  # torch is imported once for all
processes.set_forkserver_preload(["colorlib.cli", "colorlib.experiment"])


def run(target, *arguments):
    """The exit code of a process, negative if a signal ended it."""
    process = processes.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


class Training:
    """The folders of one training, and what it leaves there."""

    def __init__(self, root):
        self.root, self.log = root, root / "log"
        (root / "tiny.yaml").write_text(PROFILE)
        folders = [
            "--cache-root",
            str(root / "cache"),
            "--runs-root",
            str(root / "runs"),
        ]
        self.arguments = ["--profile", str(root / "tiny.yaml"), "--resume", *folders]

    def finish(self):
        status = run(victim.train, self.arguments, self.log)
        assert status == 0, self.log.read_text()
        return self.left()

    def left(self):
        """What must not depend on how often it was killed."""
        (path,) = self.root.glob("runs/*/record.json")
        record = json.loads(path.read_text())
        wanted = ("runs/*/model.safetensors", "runs/*/*/samples/*.npy")
        wanted += (
            "cache/packed/*/*",
            "cache/class_scores/*/*.npy",
            "cache/baselines/*",
        )
        files = {
            str(path.relative_to(self.root)): file_sha256(path)
            for pattern in wanted
            for path in self.root.glob(pattern)
            if not path.name.startswith(".")  # what a killed process was writing
        }
        return {"record": without_times(record), "files": files}


def without_times(values):
    if not isinstance(values, dict):
        return values
    return {k: without_times(v) for k, v in values.items() if k not in TIMES}


@pytest.fixture
def training(tmp_path):
    return Training(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that was left alone: how many lines, how long, and what it left."""
    alone = Training(tmp_path_factory.mktemp("whole"))
    counts = alone.root / "counts.json"
    begun = time.monotonic()
    assert run(victim.count_lines, alone.arguments, alone.log, counts) == 0
    seconds = time.monotonic() - begun
    return json.loads(counts.read_text()), seconds, alone.left()


def kills():
    """Each phase several times; all but a few only when asked for."""
    for phase in victim.ALL:
        for number in range(KILLS_OF_A_PHASE):
            quick = phase in EVERY_TIME and number == 0
            marks = [] if quick else [pytest.mark.faults]
            yield pytest.param(phase, number, marks=marks, id=f"{phase}-{number}")


def test_an_uninterrupted_training_goes_through_every_phase(whole):
    lines, _, left = whole
    assert lines.keys() == set(victim.ALL)
    assert left["record"]["training"]["epochs"] == 3
    samples = [name for name in left["files"] if "/samples/" in name]
    assert len(samples) == 1 + 4  # the photographs; untrained and after each epoch
    assert len(left["files"]) == len(samples) + 5


@pytest.mark.parametrize(("phase", "number"), list(kills()))
def test_killed_at_a_line_it_ends_as_if_left_alone(
    training, whole, tally, phase, number
):
    lines, _, expected = whole
    draw = np.random.default_rng((SEED, victim.ALL.index(phase), number))
    line = int(draw.integers(1, lines[phase] + 1))
    print(f"{phase}: killed at line {line} of {lines[phase]}")
    with tally(f"killed while {phase}"):
        died = run(victim.train_until, training.arguments, training.log, phase, line)
        assert died == -signal.SIGKILL, training.log.read_text()
        assert training.finish() == expected


@pytest.mark.faults
@pytest.mark.parametrize("number", range(KILLS_BY_TIME))
def test_killed_again_and_again_at_any_time_it_ends_as_if_left_alone(
    training, whole, tally, number
):
    _, seconds, expected = whole
    draw = np.random.default_rng((SEED, len(victim.ALL), number))
    for _ in range(3):
        delay = float(draw.uniform(0, seconds))
        print(f"killed {delay:.2f} s after its start")
        process = processes.Process(
            target=victim.train, args=(training.arguments, training.log)
        )
        process.start()
        process.join(delay)
        process.kill()
        process.join()
    with tally("killed three times, at any time"):
        assert training.finish() == expected
