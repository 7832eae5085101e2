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
RESTART = ("--restart",)


def some(values, every_time):
    """Parameters of which all but a few are tried only when asked for."""
    return [
        pytest.param(value, marks=[] if value in every_time else [pytest.mark.faults])
        for value in values
    ]


# ---------------------------------------------------------------------------- the disk

FILLED = [
    "packing photographs",
    "computing class scores",
    "writing a checkpoint",
    "writing samples",
    "writing the weights",
    "writing the record",
]


@pytest.mark.parametrize("phase", some(FILLED, ["writing a checkpoint"]))
def test_a_full_disk(training, alone, tally, phase):
    with tally(f"disk full while {phase}"):
        status, said = training.harmed(phase, 1, victim.fill_disk)
        assert status == 1, said
        assert "File too large" in error_line(said)
        assert training.finish() == alone.left


@pytest.mark.parametrize("phase", some(FILLED, ["writing the record"]))
def test_a_disk_that_fails(training, alone, tally, phase):
    with tally(f"disk fails while {phase}"):
        status, said = training.harmed(phase, 1, victim.lose_disk)
        assert status == 1, said
        assert "Input/output error" in error_line(said)
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


@pytest.mark.faults
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
@pytest.mark.parametrize("folder", ["cache", "runs"])
def test_a_read_only_folder(training, alone, tally, folder):
    with tally("a read-only folder"):
        (training.root / folder).mkdir(mode=0o500)
        status, said = training.run()
        assert status == 1, said
        assert "Permission denied" in error_line(said)
        (training.root / folder).chmod(0o700)
        assert training.finish() == alone.left


# -------------------------------------------------------------------------- the memory

HUNGRY = ["computing class scores", "stepping", "validating", "evaluating"]
MEMORY = [victim.take_torchs_memory, victim.take_gpus_memory, victim.take_memory]


@pytest.mark.parametrize("harm", MEMORY)
@pytest.mark.parametrize("phase", some(HUNGRY, []))
def test_no_memory_for_a_batch(training, alone, tally, phase, harm):
    with tally(f"out of memory while {phase}"):
        status, said = training.harmed(phase, alone.lines[phase] // 2, harm)
        assert status == 1, said
        assert "found no memory left" in error_line(said)
        assert training.finish() == alone.left


# ------------------------------------------------------------------------- photographs


@pytest.fixture
def photographed(tmp_path):
    """A training on photographs of a folder, and that folder."""
    photographs = tmp_path / "photographs"
    files = {f"{n % 3}/{n:02d}.jpg": jpeg(n) for n in range(24)}
    as_folder(photographs, files)
    profile = PROFILE.replace("scenes", "folder").replace("count: 48\n", "")
    training = Training(tmp_path, profile)
    training.arguments += ["--data-root", str(photographs)]
    return training, photographs


@pytest.mark.faults
def test_photographs_gone_between_two_runs(photographed, tally):
    training, photographs = photographed
    with tally("photographs gone between two runs"):
        one_epoch = training.run(options=["--max-epochs", "1"])
        assert one_epoch[0] == 0, one_epoch[1]
        photographs.rename(training.root / "elsewhere")
        status, said = training.run()
        assert status == 1, said
        assert str(photographs) in error_line(said)
        (training.root / "elsewhere").rename(photographs)
        left = training.finish()["record"]
        assert (left["training"]["epochs"], left["data"]["kept"]) == (3, 24)


@pytest.mark.parametrize(
    "phase", some(["packing photographs", "computing class scores"], [])
)
def test_photographs_gone_while_they_are_read(photographed, tally, phase):
    training, photographs = photographed
    elsewhere = training.root / "elsewhere"
    with tally(f"photographs gone while {phase}"):
        harm = functools.partial(victim.move, photographs, elsewhere)
        status, said = training.harmed(phase, 20, harm)
        assert status == 1, said
        assert "restore" in error_line(said)
        elsewhere.rename(photographs)
        assert training.finish()["record"]["data"]["kept"] == 24


# ----------------------------------------------------------------------- damaged files

CACHES = [
    "cache/packed/*/images.u8",
    "cache/packed/*/manifest.json",
    "cache/features/*/*.npy",
    "cache/features/*/*.json",
    "cache/baselines/*.safetensors",
    "runs/*/model.safetensors",
]


def shorten(root, pattern, left):
    """Cut a file to a part of its size; None cuts its last byte only."""
    (path,) = root.glob(pattern)
    size = path.stat().st_size
    os.truncate(path, size - 1 if left is None else int(left * size))
    return path


@pytest.fixture
def finished(tmp_path, alone):
    """A copy of the training that was left alone, without its record."""
    training = Training(tmp_path)
    for folder in ("cache", "runs"):
        shutil.copytree(alone.root / folder, tmp_path / folder)
    return training


@pytest.mark.parametrize("left", [0, 0.5, None])
@pytest.mark.parametrize("pattern", some(CACHES, []))
def test_a_damaged_cache_is_made_again(finished, alone, tally, pattern, left):
    with tally(f"cut short: {pattern.rsplit('/')[-1]}"):
        shorten(finished.root, pattern, left)
        if not pattern.startswith("runs"):
            next(finished.root.glob("runs/*/record.json")).unlink()
        assert finished.finish() == alone.left


@pytest.mark.parametrize("pattern", some(CACHES, []))
def test_a_cache_of_other_bytes_is_made_again(finished, alone, tally, pattern):
    with tally(f"a byte changed: {pattern.rsplit('/')[-1]}"):
        (path,) = finished.root.glob(pattern)
        content = bytearray(path.read_bytes())
        content[-20] ^= 1  # of the smallest change, far behind any header
        path.write_bytes(content)
        if not pattern.startswith("runs"):
            next(finished.root.glob("runs/*/record.json")).unlink()
        assert finished.finish() == alone.left


@pytest.mark.parametrize("left", some([0, 0.5, None], [0.5]))
def test_a_damaged_checkpoint_is_named(finished, alone, tally, left):
    with tally("cut short: last.ckpt"):
        path = shorten(finished.root, "runs/*/*/last.ckpt", left)
        next(finished.root.glob("runs/*/record.json")).unlink()
        status, said = finished.run()
        assert status == 1, said
        told = error_line(said)
        assert str(path) in told
        assert "--restart" in told
        assert finished.finish(*RESTART) == alone.left


@pytest.mark.parametrize("left", some([0, 0.5], []))
def test_a_damaged_record_is_named(finished, alone, tally, left):
    with tally("cut short: record.json"):
        path = shorten(finished.root, "runs/*/record.json", left)
        status, said = finished.run()
        assert status == 1, said
        assert str(path) in error_line(said)
        path.unlink()
        assert finished.finish() == alone.left


# ---------------------------------------------------------------------- two at a time


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
