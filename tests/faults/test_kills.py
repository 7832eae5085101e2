"""A training killed at any moment ends, once resumed, as one that was left alone.

Each test is a process of its own that dies of SIGKILL, by its own hand at a certain
line (see `victim`) or by ours after a while, and is started again until it is done.
A few kills are tried every time, the rest by `make test-faults`; the moments are drawn
from a seed.
"""

import functools
import signal
from itertools import product

import numpy as np
import pytest
import victim
from trials import every_time

RECORD = {
    "name": "kills",
    "title": "Trainings killed",
    "expected": "a training that was killed by SIGKILL and then resumed leaves the "
    "same as one that was never interrupted: weights and caches to the bit, and the "
    "record but for times and sessions",
}
SEED = 6
DIE = functools.partial(signal.raise_signal, signal.SIGKILL)
QUICK = (("stepping", 0), ("writing a checkpoint", 0))


def test_an_uninterrupted_training_goes_through_every_phase(alone):
    assert alone.lines.keys() == set(victim.ALL)
    assert alone.left["record"]["training"]["epochs"] == 3
    # the model; the packed images and their manifest; features; scores of baselines
    assert len(alone.left["files"]) == 1 + 2 + 1 + 1


@every_time(("phase", "number"), product(victim.ALL, range(3)), *QUICK)
def test_killed_at_a_line_it_ends_as_if_left_alone(
    training, alone, tally, phase, number
):
    draw = np.random.default_rng((SEED, victim.ALL.index(phase), number))
    line = int(draw.integers(1, alone.lines[phase] + 1))
    print(f"{phase}: killed at line {line} of {alone.lines[phase]}")
    with tally(f"killed while {phase}"):
        status, said = training.harmed(phase, line, DIE)
        assert status == -signal.SIGKILL, said
        assert training.finish() == alone.left


@pytest.mark.faults
@pytest.mark.parametrize("number", range(6))
def test_killed_three_times_at_any_time_it_ends_as_if_left_alone(
    training, alone, tally, number
):
    draw = np.random.default_rng((SEED, len(victim.ALL), number))
    with tally("killed three times in a row, at any time"):
        for delay in draw.uniform(0, alone.seconds / 6, 3):  # it may be done before
            process, _reading = training.start(victim.train)
            process.join(delay)
            process.kill()
            process.join()
            print(f"killed {delay:.2f} s after its start: {process.exitcode}")
        assert training.finish() == alone.left
