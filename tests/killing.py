"""Training that is killed at a chosen moment, by a signal that nothing can catch.

A moment is the n-th time that the process opens a file for writing, renames one, or
begins a step of training. Python's audit hooks see the first two from outside, so the
package knows nothing of being watched. Whoever is killed while a file is open leaves
it half written.
"""

import json
import os
import signal
import sys
import threading
from multiprocessing import get_context
from pathlib import Path

SETTINGS = {"count": 48, "max_epochs": 3, "models": ("model3",), "batch_size": 6}
SERVER = get_context("forkserver")  # imports torch once; every child is a real process
SERVER.set_forkserver_preload(["colorlib.experiment", "killing"])
# What a file is for, by a part of its path; the first that fits.
PHASES = {
    "class_scores": "class scores",
    "packed": "packing",
    "cache": "packing",
    "last.ckpt": "checkpoint",
    "samples": "samples",
    "record.json": "record",
    "safetensors": "weights",
    "csv": "logs",
    "tensorboard": "logs",
}
STEPPING, WRITING = "stepping", "w"


def phase_of(path):
    """What the process does that writes to a path; None if it is none of ours."""
    return next((phase for part, phase in PHASES.items() if part in path), None)


class Watch:
    """Counts the moments of each phase, and kills the process at one of them."""

    def __init__(self, root, phase=None, moment=0, delay=0.0):
        self.root, self.phase, self.moment, self.delay = root, phase, moment, delay
        self.seen = {}

    def __call__(self, event, arguments):
        """The audit hook."""
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, _, flags = arguments
            writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            if writes:
                self.note(os.fsdecode(path))
        elif event == "os.rename":
            self.note(os.fsdecode(arguments[1]))

    def note(self, path):
        """A file is about to be written, or to get its name."""
        if path.startswith(str(self.root)):
            self.count(phase_of(path.removeprefix(str(self.root))))

    def count(self, phase):
        """One more moment of a phase."""
        if phase is None:
            return
        self.seen[phase] = self.seen.get(phase, 0) + 1
        if phase == self.phase and self.seen[phase] == self.moment:
            if not self.delay:
                die()
            threading.Timer(self.delay, die).start()  # in the middle of what follows


def die():
    """Nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


def run_watched(root, watch):
    """Train, evaluate and record a small model, watched; the record is in `root`."""
    import torch

    from colorlib.batches import ShuffledBatches
    from colorlib.experiment import run_model
    from colorlib.preparation import Folders
    from colorlib.profiles import load_profile

    torch.set_num_threads(1)
    sys.addaudithook(watch)
    draw = ShuffledBatches.__iter__

    def drawn(self):
        for batch in draw(self):
            watch.count(STEPPING)
            yield batch

    ShuffledBatches.__iter__ = drawn
    profile = load_profile("smoke").model_copy(update=SETTINGS)
    folders = Folders(None, None, root / "cache", root / "runs")
    run_model(profile, "model3", folders, progress=False, say=lambda line: None)
    (root / "moments.json").write_text(json.dumps(watch.seen))


def run(root, **kill):
    """Run in a process of its own; its exit code, -9 if it was killed."""
    process = SERVER.Process(target=run_watched, args=(root, Watch(root, **kill)))
    process.start()
    process.join(600)
    return process.exitcode


def results(root: Path):
    """All that a run leaves, without the times: record, hashes and samples."""
    folder = root / "runs" / "model3"
    record = json.loads((folder / "record.json").read_text())
    for place in (record, record["training"]):
        for key in ("seconds", "created", "sessions"):
            place.pop(key, None)
    samples = sorted(folder.glob("training-*/samples/*.npy"))
    return record, {path.name: path.read_bytes() for path in samples}
