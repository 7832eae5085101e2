"""Killed at any moment, a run goes on to the very bits of an uninterrupted one."""

import json
import random
import shutil

import pytest
from killing import results, run

from colorlib.campaigns import Trial

KILLED = -9
SEED = 0
A_FEW = [("checkpoint", 4, 0.0), ("stepping", 8, 0.0)]  # of every test run
EACH = 4  # kills of the campaign in each phase


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run, and how many moments each of its phases has."""
    root = tmp_path_factory.mktemp("whole")
    assert run(root) == 0
    return results(root), json.loads((root / "moments.json").read_text())


@pytest.mark.parametrize(("phase", "moment", "delay"), A_FEW)
def test_a_killed_run_goes_on_to_the_same_bits(whole, tmp_path, phase, moment, delay):
    assert run(tmp_path, phase=phase, moment=moment, delay=delay) == KILLED
    assert run(tmp_path) == 0
    assert results(tmp_path) == whole[0]


def kills_in(phase, count):
    """Moments of a phase, and delays in seconds, drawn without an end."""
    draw = random.Random(f"{SEED} {phase}")
    while True:
        yield draw.randint(1, count), draw.choice([0.0, draw.uniform(0, 0.003)])


def survives(root, expected, phase, moment, delay, again):
    """Whether a killed run ends as it should; None if the signal came too late."""
    code = run(root, phase=phase, moment=moment, delay=delay)
    print(f"{phase}, moment {moment}, {1000 * delay:.1f} ms later: exit code {code}")
    if code != KILLED:
        return None
    if again:
        run(root, phase="stepping", moment=3)
    return run(root) == 0 and results(root) == expected


@pytest.mark.faults
def test_the_campaign_of_kills(whole, tmp_path, keep_campaign):
    expected, moments = whole
    trials = []
    for phase, count in moments.items():
        outcomes = []
        for number, (moment, delay) in enumerate(kills_in(phase, count)):
            root = tmp_path / f"{phase}-{number}".replace(" ", "-")
            again = number % 2 == 1  # every other one dies twice
            held = survives(root, expected, phase, moment, delay, again)
            shutil.rmtree(root)
            if held is not None:
                outcomes.append(held)
            if len(outcomes) == EACH:
                break
        kind = f"killed in the phase: {phase}"
        trials.append(Trial(kind=kind, tried=EACH, held=sum(outcomes)))
    keep_campaign(
        name="kills",
        title="Killed",
        expected="continued, the run ends with the same weights, bit by bit, the same "
        "record but for times, and the same kept samples as an uninterrupted one",
        trials=trials,
    )
    assert all(trial.held == trial.tried for trial in trials)
