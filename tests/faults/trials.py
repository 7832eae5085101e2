"""What the tests of faults share: a small training in processes of its own."""

import json
import multiprocessing
import os
import shutil

import pytest
import victim

from colorlib.files import file_sha256

PROFILE = """
data: {dataset: scenes, count: 48, size: 16, validation: 0.2}
model: {width: 0.125, backbones: [test_resnet.r160_in1k], input_sizes: [64]}
train: {batch_size: 5, hflip: true, max_epochs: 3, accelerator: cpu}
models: [model1]
weights: random
"""
TIMES = ("created", "seconds", "sessions", "commit")
KEPT = ("runs/*/model.safetensors", "cache/packed/*/*", "cache/features/*/*.npy")
KEPT += ("cache/baselines/*.safetensors",)

# Torch and its friends are imported once, and each process is a fork of that one.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["companion.cli", "companion.pipeline", "timm"])


class Training:
    """The folders of one training, what runs there, and what it leaves."""

    def __init__(self, root, profile=PROFILE):
        self.root = root
        (root / "tiny.yaml").write_text(profile)
        self.arguments = ["--profile", str(root / "tiny.yaml")]
        for folder in ("cache", "runs"):
            self.arguments += [f"--{folder}-root", str(root / folder)]

    def go_on_from(self, alone, pattern):
        """Begin with what another one left, without its record; a file of it."""
        for folder in ("cache", "runs"):
            shutil.copytree(alone.root / folder, self.root / folder)
        (path,) = self.root.glob(pattern)
        if path.parents[1].name != "runs":  # else its model or record is asked for
            next(self.root.glob("runs/*/record.json")).unlink()
        return path

    def start(self, target, *further, options=("--resume",)):
        """A process, and where to read what it says."""
        reading, writing = processes.Pipe(duplex=False)
        arguments = ([*self.arguments, *options], writing, *further)
        process = processes.Process(target=target, args=arguments)
        process.start()
        writing.close()
        return process, reading

    def run(self, target=victim.train, *further, options=("--resume",)):
        """Exit status, negative if a signal ended it, and output of a process."""
        return ended(*self.start(target, *further, options=options))

    def harmed(self, phase, line, harm):
        """Exit status and output of a training that something happens to."""
        return self.run(victim.train_until, phase, line, harm)

    def finish(self, *options):
        """Train to the end, and tell what is left."""
        status, said = self.run(options=options or ("--resume",))
        assert status == 0, said
        return self.left()

    def left(self):
        """What must not depend on what happened on the way."""
        (path,) = self.root.glob("runs/*/record.json")
        files = {
            str(path.relative_to(self.root)): file_sha256(path)
            for pattern in KEPT
            for path in self.root.glob(pattern)
            if not path.name.startswith(".")  # what a killed process was writing
        }
        return {"record": without_times(json.loads(path.read_text())), "files": files}


def ended(process, reading):
    """Wait for a process: its exit status and what it said."""
    with os.fdopen(os.dup(reading.fileno())) as file:
        said = file.read()
    process.join()
    return process.exitcode, said


def without_times(values):
    """A record without what differs from run to run."""
    if not isinstance(values, dict):
        return values
    return {k: without_times(v) for k, v in values.items() if k not in TIMES}


def error_line(said):
    """The one line that a command ends with."""
    (line,) = [one for one in said.splitlines() if one.startswith("companion: ")]
    assert "Traceback" not in said
    assert said.rstrip().endswith(line)
    return line


def every_time(name, values, *quick):
    """Parameters of which some are tried every time, and the rest when asked for."""
    marks = {True: [], False: [pytest.mark.faults]}
    pairs = [(v if isinstance(v, tuple) else (v,), marks[v in quick]) for v in values]
    return pytest.mark.parametrize(name, [pytest.param(*v, marks=m) for v, m in pairs])
