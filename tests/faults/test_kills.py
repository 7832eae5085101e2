"""A training killed at any moment ends, once resumed, as one that was left alone.

Each test is a process of its own that dies of SIGKILL, by its own hand at a certain
line (see `victim`) or by ours after a while, and is started again until it is done.
Then the weights and everything else it wrote are the same to the bit, and its record
is, but for times and sessions. A few kills are tried every time, the rest by
`make test-faults`; the moments are drawn from a seed.
"""

import signal

import numpy as np
import pytest
import victim

CAMPAIGN = {
    "name": "kills",
    "title": "Trainings killed",
    "expected": "a training that was killed by SIGKILL and then resumed leaves the "
    "same as one that was never interrupted: weights and caches to the bit, and the "
    "record but for times and sessions",
}
SEED = 6
EVERY_TIME = ("stepping", "writing a checkpoint")
KILLS_OF_A_PHASE = 3
KILLS_BY_TIME = 6


def kills():
    """Each phase several times; all but a few only when asked for."""
    for phase in victim.ALL:
        for number in range(KILLS_OF_A_PHASE):
            quick = phase in EVERY_TIME and number == 0
            marks = [] if quick else [pytest.mark.faults]
            yield pytest.param(phase, number, marks=marks, id=f"{phase}-{number}")


def test_an_uninterrupted_training_goes_through_every_phase(alone):
    assert alone.lines.keys() == set(victim.ALL)
    assert alone.left["record"]["training"]["epochs"] == 3
    # the model; the packed images and their manifest; features; scores of baselines
    assert len(alone.left["files"]) == 1 + 2 + 1 + 1


@pytest.mark.parametrize(("phase", "number"), list(kills()))
def test_killed_at_a_line_it_ends_as_if_left_alone(
    training, alone, tally, phase, number
):
    draw = np.random.default_rng((SEED, victim.ALL.index(phase), number))
    line = int(draw.integers(1, alone.lines[phase] + 1))
    print(f"{phase}: killed at line {line} of {alone.lines[phase]}")
    with tally(f"killed while {phase}"):
        status, said = training.harmed(phase, line, victim.die)
        assert status == -signal.SIGKILL, said
        assert training.finish() == alone.left


@pytest.mark.faults
@pytest.mark.parametrize("number", range(KILLS_BY_TIME))
def test_killed_again_and_again_at_any_time_it_ends_as_if_left_alone(
    training, alone, tally, number
):
    draw = np.random.default_rng((SEED, len(victim.ALL), number))
    killed = 0
    while killed < 3:
        delay = float(draw.uniform(0, alone.seconds / 8))
        process, _reading = training.start(victim.train)
        process.join(delay)
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            break  # it was done sooner
        killed += 1
        print(f"killed {delay:.2f} s after its start")
    if not killed:
        pytest.skip("it was done before the first kill, so nothing was tried")
    with tally(f"killed {killed} times in a row, at any time"):
        assert training.finish() == alone.left
