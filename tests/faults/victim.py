"""A training that harms itself: a child process, for the tests beside this file.

The program knows nothing of this. A tracer of Python's watches the lines it executes,
tells by file and function which phase a line belongs to, and at the line that was asked
for does the harm: sends a signal, fills the disk, takes the memory.
"""

import errno
import json
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from colorlib import training
from companion import cli

# phase -> (end of the file's name, functions)
PHASES = {
    "packing images": ("data/packed.py", {"_write", "_kept"}),
    "extracting features": ("features.py", {"_extract", "_write", "_gray_batches"}),
    "stepping": ("training/__init__.py", {"training_step", "configure_optimizers"}),
    "updating the weights": ("optim/adam.py", {"step", "_single_tensor_adam"}),
    "validating": ("training/__init__.py", {"validation_step"}),
    "after a validation": (
        "training/callbacks.py",
        {"on_validation_end", "check_finite"},
    ),
    "scoring": ("evaluation.py", {"score_predictor", "_score", "break_down"}),
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


def train(
    arguments: list[str], told: Connection, tell: Callable[[str], None] | None = None
) -> None:
    """Run `companion train`, its output to `told`; the process ends with its status.

    Args:
        arguments: Of the command.
        told: Where its output goes.
        tell: Called with the phase before each line that belongs to one.
    """
    torch.set_num_threads(1)
    training.SAVE_EVERY = BETWEEN_CHECKPOINTS
    for stream in (1, 2):
        os.dup2(told.fileno(), stream)
    told.close()
    sys.argv = ["companion", "train", *arguments]
    if tell:
        _watch(tell)
    cli.main()


def count_lines(arguments: list[str], told: Connection, counts: Path) -> None:
    """Train to the end, and write how many lines each phase executed."""
    seen: Counter[str] = Counter()
    try:
        train(arguments, told, lambda phase: seen.update([phase]))
    finally:  # it ends by `sys.exit`
        counts.write_text(json.dumps(seen))


def train_until(
    arguments: list[str],
    told: Connection,
    phase: str,
    line: int,
    harm: Callable[[], None],
) -> None:
    """Train, and do some harm before the n-th line that a phase executes."""
    left = line

    def at(now: str) -> None:
        nonlocal left
        left -= now == phase
        if now == phase and left == 0:
            harm()

    train(arguments, told, at)


# harms


def die() -> None:
    """As the system ends a process where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def get_signal(signum: int) -> None:
    """As from the keyboard, or from a cluster's scheduler."""
    signal.raise_signal(signum)


def fill_disk() -> None:
    """From now on no file can grow beyond 100 bytes, by a limit of the system."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))


def lose_disk() -> None:
    """As a disk that fails: the system's error, at this place."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def take_torchs_memory() -> None:
    """Ask torch for more than any machine has: its own error, at this place."""
    torch.empty(1 << 60, dtype=torch.uint8)


def take_gpus_memory() -> None:
    """What torch raises where a GPU is full; there may be none here."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n2.00 GiB.")


def take_memory() -> None:
    """Ask Python for more than any machine has."""
    bytearray(1 << 60)


def move(source: Path, target: Path) -> None:
    """Take a folder away, as a disk that is no longer mounted."""
    source.rename(target)


# watching


def _watch(tell: Callable[[str], None]) -> None:
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
    if code.co_name in ("atomic_write", "atomic_rename"):
        name = Path(frame.f_locals["path"]).name
        return next((p for p, start in WRITTEN.items() if name.startswith(start)), None)
    for phase, (file, functions) in PHASES.items():
        if code.co_name in functions and code.co_filename.endswith(file):
            return phase
    return None
