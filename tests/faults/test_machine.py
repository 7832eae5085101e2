"""What goes wrong on a machine ends in one line, and costs nothing that was finished.

Each trial spoils something for a real training, checks that it says so in one line,
mends it, and checks that the training then ends as one that was left alone.
"""

import errno
import os
from functools import partial

import pytest
import torch
import victim
from trials import Training, ended, error_line, every_time

RECORD = {
    "name": "faults",
    "title": "Machines that fail",
    "expected": "the training ends in one line that says what to do, or makes again "
    "what was damaged; once the fault is mended, it leaves the same as a training "
    "without a fault",
}


def harm_and_mend(training, alone, phase, line, harm, reason):
    """A training that something happens to says so, and then ends as if left alone."""
    status, said = training.harmed(phase, line, harm)
    assert status == 1, said
    assert reason in error_line(said)
    assert training.finish() == alone.left


WRITING = ["packing images", "extracting features", *victim.WRITTEN]
BROKEN = partial(victim.fail, OSError(errno.EIO, os.strerror(errno.EIO)))
DISKS = {
    "full": (victim.fill_disk, "File too large"),
    "failing": (BROKEN, "Input/output error"),
}


@pytest.mark.parametrize("disk", DISKS)
@every_time("phase", WRITING, "writing a checkpoint")
def test_a_full_or_failing_disk(training, alone, tally, phase, disk):
    with tally(f"disk {disk} while {phase}"):
        harm_and_mend(training, alone, phase, 1, *DISKS[disk])


@every_time("folder", ["cache", "runs"])
def test_a_place_that_cannot_be_written(training, alone, tally, folder):
    place = training.root / folder
    place.write_bytes(b"")  # a file in the place of the folder: root may write anywhere
    with tally("a place that cannot be written"):
        status, said = training.run()
        assert status == 1, said
        assert str(place) in error_line(said)
        place.unlink()
        assert training.finish() == alone.left


HUNGRY = ["extracting features", "stepping", "validating", "scoring"]
MEMORY = [  # more than any machine has; and what torch says of a GPU's
    partial(bytearray, 1 << 60),
    partial(torch.empty, 1 << 60, dtype=torch.uint8),
    partial(
        victim.fail, torch.OutOfMemoryError("CUDA out of memory. Tried\n2.00 GiB.")
    ),
]


@pytest.mark.faults
@pytest.mark.parametrize("harm", MEMORY)
@pytest.mark.parametrize("phase", HUNGRY)
def test_no_memory_for_a_batch(training, alone, tally, phase, harm):
    half = alone.lines[phase] // 2
    with tally(f"out of memory while {phase}"):
        harm_and_mend(training, alone, phase, half, harm, "found no memory left")


def damage(path, left):
    """Cut a file to a part of its size; None changes a byte of it."""
    content = path.read_bytes()
    third = len(content) // 3
    changed = content[:third] + bytes([content[third] ^ 1]) + content[third + 1 :]
    path.write_bytes(changed if left is None else content[: int(left * len(content))])


CACHES = [
    ("cache/packed/*/images.u8", 0.999), ("cache/packed/*/manifest.json", 0.9),
    ("cache/features/*/*.npy", 0.999), ("cache/baselines/*.safetensors", 0.9),
    ("runs/*/model.safetensors", None), ("runs/*/record.json", 0.9),
]  # fmt: skip
CACHES += [(pattern, left) for pattern, _ in CACHES for left in (0, 0.5)]


@pytest.mark.faults
@pytest.mark.parametrize(("pattern", "left"), CACHES)
def test_a_damaged_file_is_made_again(training, alone, tally, pattern, left):
    with tally(f"cut short or changed: {pattern.rsplit('/')[-1]}"):
        damage(training.go_on_from(alone, pattern), left)
        assert training.finish() == alone.left


@pytest.mark.parametrize("name", ["last", "best"])
@every_time("left", [0, 0.5, 0.999, None])
def test_a_damaged_checkpoint_is_named(training, alone, tally, name, left):
    with tally(f"cut short or changed: {name}.ckpt"):
        damage(path := training.go_on_from(alone, f"runs/*/*/{name}.ckpt"), left)
        status, said = training.run()
        assert status == 1, said
        assert str(path) in error_line(said)
        assert "--restart" in error_line(said)
        assert training.finish("--restart") == alone.left


@every_time("number", range(3), 0)
def test_two_processes_make_one_cache(tmp_path, alone, tally, number):
    trainings = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        trainings.append(Training(tmp_path / name))
        trainings[-1].arguments += ["--cache-root", str(tmp_path / "cache")]
    with tally("two trainings prepare one cache"):
        for process in [training.start(victim.train) for training in trainings]:
            status, said = ended(*process)
            assert status == 0, said
        for training in trainings:
            (tmp_path / "cache").rename(training.root / "cache")
            assert training.left() == alone.left
            (training.root / "cache").rename(tmp_path / "cache")
