"""SIGINT and SIGTERM end a training in order: saved, in one line, by own exit codes."""

import functools
import signal
from itertools import product

import numpy as np
import victim
from trials import error_line, every_time

RECORD = {
    "name": "signals",
    "title": "Trainings interrupted",
    "expected": "a training that gets SIGINT or SIGTERM ends with exit code 130 or 143 "
    "and one line that says how to go on, and saves what it has learned; once resumed, "
    "it leaves the same as a training that was never interrupted",
}
SEED = 7
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
QUICK = ("after a validation", signal.SIGTERM)
SAVED = victim.ALL[2:6]  # while the training runs


@every_time(("phase", "signum"), product(victim.ALL, CODES), QUICK)
def test_it_is_saved_and_says_how_to_go_on(training, alone, tally, phase, signum):
    draw = np.random.default_rng((SEED, victim.ALL.index(phase), signum))
    line = int(draw.integers(1, alone.lines[phase] + 1))
    print(f"{signum.name} at line {line} of {alone.lines[phase]} of {phase}")
    with tally(f"{signum.name} while {phase}"):
        harm = functools.partial(signal.raise_signal, signum)
        status, said = training.harmed(phase, line, harm)
        assert status == CODES[signum], said
        assert f"stopped by {signum.name}; " in error_line(said)
        if phase in SAVED:
            assert "the training is saved at step" in error_line(said)
            assert "give --resume to go on" in error_line(said)
            assert len(list(training.root.glob("runs/*/*/last.ckpt"))) == 1
        assert training.finish() == alone.left
