"""A training that harms itself: a child process, for the tests beside this file.

The program knows nothing of this. A tracer of Python's watches the lines it executes,
tells by file and function which phase a line belongs to, and at the line that was asked
for does the harm: sends a signal, fills the disk, takes the memory.
"""

import json
import os
import resource
import sys
from collections import Counter
from pathlib import Path

import torch

from colorlib.training import session
from companion import cli

# phase -> (end of the file's name, functions)
PHASES = {
    "packing images": ("data/packed.py", {"_write", "_kept"}),
    "extracting features": ("features.py", {"_extract", "_stored", "_gray_batches"}),
    "stepping": ("training/loop.py", {"training_step", "configure_optimizers"}),
    "updating the weights": ("optim/adam.py", {"step", "_single_tensor_adam"}),
    "validating": ("training/loop.py", {"validation_step"}),
    "after a validation": ("training/session.py", {"on_validation_end"}),
    "scoring": (
        "evaluation.py",
        {"score_predictor", "_score", "chroma_by_true_chroma"},
    ),
}
# phase -> name of the file that `atomic_write` is writing
WRITTEN = {
    "writing a checkpoint": "last.ckpt",
    "writing the best weights": "best.ckpt",
    "writing the model": "model.safetensors",
    "writing the record": "record.json",
}
ALL = (*PHASES, *WRITTEN)
BETWEEN_CHECKPOINTS = 3  # steps; the program's 200 are more than a small run has


def train(arguments, output, tell=None):
    """Run `companion train`, its output to a pipe; the process ends with its status.

    Before each line that belongs to a phase, `tell` is called with that.
    """
    torch.set_num_threads(1)
    session.SAVE_EVERY = BETWEEN_CHECKPOINTS
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    sys.argv = ["companion", "train", *arguments]
    if tell:
        _watch(tell)
    cli.main()


def count_lines(arguments, output, counts):
    """Train to the end, and write how many lines each phase executed."""
    seen = Counter()
    try:
        train(arguments, output, lambda phase: seen.update([phase]))
    finally:  # it ends by `sys.exit`
        counts.write_text(json.dumps(seen))


def train_until(arguments, output, phase, line, harm):
    """Train, and do some harm before the n-th line that a phase executes."""
    left = line

    def at(now):
        nonlocal left
        left -= now == phase
        if now == phase and left == 0:
            harm()

    train(arguments, output, at)


def fill_disk():
    """From now on no file can grow beyond 100 bytes, by a limit of the system."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))


def fail(error):
    """As torch, Python or the system does: its error, at this place."""
    raise error


def _watch(tell):
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


def _phase_of(frame):
    """Which phase a function that is entered belongs to; None for most."""
    code = frame.f_code
    if code.co_name in ("atomic_write", "atomic_file", "atomic_rename"):
        name = Path(frame.f_locals["path"]).name
        return next((p for p, start in WRITTEN.items() if name.startswith(start)), None)
    for phase, (file, functions) in PHASES.items():
        if code.co_name in functions and code.co_filename.endswith(file):
            return phase
    return None
