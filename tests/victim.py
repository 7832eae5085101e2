"""A training that kills itself: a child process, for `test_kills`.

The program knows nothing of this. A tracer of Python's watches the lines it executes,
tells by file and function which phase a line belongs to, and at the line that was asked
for sends SIGKILL, as the system does where memory runs out.
"""

import contextlib
import functools
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import torch

from colorlib import cli, experiment
from colorlib.training import FitOptions

# phase -> (end of the file's name, functions); "" for all functions of the file
PHASES = {
    "packing photographs": (
        "datasets/packed.py",
        {"_write", "_synchronise", "_pack_into"},
    ),
    "computing class scores": (
        "class_scores.py",
        {"_complete", "begin", "append", "batches"},
    ),
    "stepping": ("training.py", {"training_step", "configure_optimizers"}),
    "updating the weights": ("optim/adam.py", {"step", "_single_tensor_adam"}),
    "validating": ("training.py", {"validation_step", "on_validation_end"}),
    "keeping samples": ("training.py", {"_keep", "_write"}),
    "evaluating": ("evaluation.py", {"evaluate", "evaluate_baselines", "_score"}),
}
# phase -> name of the file that `write_whole` is writing
WRITTEN = {
    "writing a checkpoint": "last.ckpt",
    "writing samples": "epoch_",
    "writing the weights": "model.safetensors",
    "writing the record": "record.json",
}
ALL = (*PHASES, *WRITTEN)
BETWEEN_CHECKPOINTS = 3  # steps; the command line's 200 are more than a small run has


def train(arguments: list[str], log: Path) -> None:
    """Run `colorlib train`, its output to a file; the process ends with its status."""
    torch.set_num_threads(1)
    experiment.FitOptions = functools.partial(
        FitOptions, checkpoint_every=BETWEEN_CHECKPOINTS
    )
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["colorlib", "train", *arguments]
    cli.main()


def count_lines(arguments: list[str], log: Path, counts: Path) -> None:
    """Train to the end, and write how many lines each phase executed."""
    seen: Counter[str] = Counter()
    _watch(lambda phase: seen.update([phase]))
    with contextlib.suppress(SystemExit):
        train(arguments, log)
    counts.write_text(json.dumps(seen))


def train_until(arguments: list[str], log: Path, phase: str, line: int) -> None:
    """Train, and die at the n-th line that a phase executes."""
    left = Counter({phase: line})

    def die_at(now: str) -> None:
        left[now] -= 1
        if now == phase and left[now] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch(die_at)
    train(arguments, log)


def _watch(tell) -> None:
    """Call `tell(phase)` before each line of a phase is executed."""

    def enter(frame, event, _):
        phase = _phase_of(frame)
        if phase is None:
            return None

        def line(frame, event, _):
            if event == "line":
                tell(phase)
            return line

        return line

    sys.settrace(enter)


def _phase_of(frame) -> str | None:
    """Which phase a function that is entered belongs to."""
    code = frame.f_code
    if code.co_name in ("write_whole", "rename_whole"):
        name = Path(frame.f_locals["path"]).name
        return next((p for p, start in WRITTEN.items() if name.startswith(start)), None)
    for phase, (file, functions) in PHASES.items():
        if code.co_name in functions and code.co_filename.endswith(file):
            return phase
    return None
