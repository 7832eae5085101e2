"""What goes wrong on a machine ends in one line, and costs nothing that was finished.

Each trial spoils something for a real training, checks that it says so in one line,
mends it, and checks that the training then ends as one that was left alone.
"""

import functools
import os
import shutil

import pytest
import victim
from photo_files import as_folder, jpeg
from trials import PROFILE, Training, error_line

CAMPAIGN = {
    "name": "faults",
    "title": "Machines that fail",
    "expected": "the training ends in one line that says what to do, or makes again "
    "what was damaged; once the fault is mended, it leaves the same as a training "
    "without a fault",
}


def some(values, every_time):
    """Parameters of which all but a few are tried only when asked for."""
    return [
        pytest.param(value, marks=[] if value in every_time else [pytest.mark.faults])
        for value in values
    ]


# The disk ---------------------------------------------------------------------------

WRITING = ["packing images", "extracting features", *victim.WRITTEN]
HARMS = {
    "full": (victim.fill_disk, "File too large"),
    "failing": (victim.lose_disk, "Input/output error"),
}


@pytest.mark.parametrize("disk", HARMS)
@pytest.mark.parametrize("phase", some(WRITING, ["writing a checkpoint"]))
def test_a_full_or_failing_disk(training, alone, tally, phase, disk):
    harm, reason = HARMS[disk]
    with tally(f"disk {disk} while {phase}"):
        status, said = training.harmed(phase, 1, harm)
        assert status == 1, said
        assert reason in error_line(said)
        assert training.finish() == alone.left


@pytest.mark.parametrize("folder", some(["cache", "runs"], ["runs"]))
def test_a_place_that_cannot_be_written(training, alone, tally, folder):
    # a file in the place of the folder: to root no folder is read-only
    with tally("a place that cannot be written"):
        (training.root / folder).write_bytes(b"")
        status, said = training.run()
        assert status == 1, said
        assert str(training.root / folder) in error_line(said)
        (training.root / folder).unlink()
        assert training.finish() == alone.left


# The memory -------------------------------------------------------------------------

HUNGRY = ["extracting features", "stepping", "validating", "scoring"]
MEMORY = [victim.take_torchs_memory, victim.take_gpus_memory, victim.take_memory]


@pytest.mark.faults
@pytest.mark.parametrize("harm", MEMORY)
@pytest.mark.parametrize("phase", HUNGRY)
def test_no_memory_for_a_batch(training, alone, tally, phase, harm):
    with tally(f"out of memory while {phase}"):
        status, said = training.harmed(phase, alone.lines[phase] // 2, harm)
        assert status == 1, said
        assert "found no memory left" in error_line(said)
        assert training.finish() == alone.left


# Images -----------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize("phase", ["packing images", "extracting features", None])
def test_images_gone_while_they_are_read_or_between_two_runs(tmp_path, tally, phase):
    images, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    as_folder(images, {f"{n % 3}/{n:02d}.jpg": jpeg(n) for n in range(24)})
    profile = PROFILE.replace("scenes, count: 48", "folder")
    training = Training(tmp_path, profile)
    training.arguments += ["--data-root", str(images)]
    with tally(f"images gone {f'while {phase}' if phase else 'between two runs'}"):
        harm = functools.partial(victim.move, images, elsewhere)
        if phase:
            status, said = training.harmed(phase, 20, harm)
        else:
            training.finish()
            next(tmp_path.glob("runs/*/record.json")).unlink()
            harm()
            status, said = training.run()
        assert status == 1, said
        assert str(images) in error_line(said) or "restore" in error_line(said)
        elsewhere.rename(images)
        assert training.finish()["record"]["data"]["kept"] == 24


# Damaged files ----------------------------------------------------------------------

CACHES = [
    "cache/packed/*/images.u8",
    "cache/packed/*/manifest.json",
    "cache/features/*/*.npy",
    "cache/baselines/*.safetensors",
    "runs/*/model.safetensors",
    "runs/*/record.json",
]


def shorten(root, pattern, left):
    """Cut a file to a part of its size; None cuts its last byte only."""
    (path,) = root.glob(pattern)
    size = path.stat().st_size
    os.truncate(path, size - 1 if left is None else int(left * size))
    return path


@pytest.fixture
def finished(tmp_path, alone):
    """A copy of the training that was left alone."""
    for folder in ("cache", "runs"):
        shutil.copytree(alone.root / folder, tmp_path / folder)
    return Training(tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("left", [0, 0.5, None])
@pytest.mark.parametrize("pattern", CACHES)
def test_a_damaged_file_is_made_again(finished, alone, tally, pattern, left):
    with tally(f"cut short: {pattern.rsplit('/')[-1]}"):
        shorten(finished.root, pattern, left)
        if not pattern.startswith("runs"):
            next(finished.root.glob("runs/*/record.json")).unlink()
        assert finished.finish() == alone.left


@pytest.mark.faults
def test_a_model_of_other_bytes_is_made_again(finished, alone, tally):
    with tally("a byte changed: model.safetensors"):
        (path,) = finished.root.glob("runs/*/model.safetensors")
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
        assert finished.finish() == alone.left


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("left", some([0, 0.5, None], [0.5]))
def test_a_damaged_checkpoint_is_named(finished, alone, tally, name, left):
    with tally(f"cut short: {name}.ckpt"):
        path = shorten(finished.root, f"runs/*/*/{name}.ckpt", left)
        next(finished.root.glob("runs/*/record.json")).unlink()
        status, said = finished.run()
        assert status == 1, said
        assert str(path) in error_line(said)
        assert "--restart" in error_line(said)
        assert finished.finish("--restart") == alone.left


# Two at a time ----------------------------------------------------------------------


@pytest.mark.parametrize("number", some(range(3), [0]))
def test_two_processes_make_one_cache(tmp_path, alone, tally, number):
    trainings = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        training = Training(tmp_path / name)
        training.arguments += ["--cache-root", str(tmp_path / "cache")]
        trainings.append(training)
    with tally("two trainings prepare one cache"):
        started = [training.start(victim.train) for training in trainings]
        for process, reading in started:
            with os.fdopen(os.dup(reading.fileno())) as file:
                said = file.read()
            process.join()
            assert process.exitcode == 0, said
        for training in trainings:
            (tmp_path / "cache").rename(training.root / "cache")
            assert training.left() == alone.left
            (training.root / "cache").rename(tmp_path / "cache")
