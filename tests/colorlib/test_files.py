"""Files: atomic writing under faults, locks, caches and hashes."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import warnings

import pytest
from filelock import FileLock, Timeout
from hypothesis import given
from hypothesis import strategies as st

from colorlib.errors import UserError
from colorlib.files import atomic_write, cached, file_lock, file_sha256, hash_of
from colorlib.images import left_out_as

values = st.none() | st.booleans() | st.integers() | st.lists(st.text())


@given(st.dictionaries(st.text(), values | st.dictionaries(st.text(), values)))
def test_the_hash_does_not_depend_on_the_order_of_keys(values):
    assert hash_of(values) == hash_of(dict(reversed(values.items())))


def test_the_hash_depends_on_every_value():
    assert len({hash_of({"a": value}) for value in (0, 1, "0", None, [0])}) == 5


def test_the_sha256_is_that_of_the_standard(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-4, the first example
    assert file_sha256(path).startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.fixture(params=[True, False], ids=["nameless files", "named files"])
def nameless(request, monkeypatch):
    """Linux has files without a name; network disks, macOS and Windows have not."""
    if not request.param:
        monkeypatch.delattr(os, "O_TMPFILE")
    return request.param


@pytest.mark.usefixtures("nameless")
def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    atomic_write(path, b"first")
    with pytest.raises(TypeError):
        atomic_write(path, "no bytes")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from colorlib.files import atomic_file
if len(sys.argv) > 2:
    del os.O_TMPFILE
with atomic_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_leaves_is_no_photograph(tmp_path, nameless):
    options = [] if nameless else ["named"]
    command = [sys.executable, "-c", KILLED, tmp_path / "a.png", *options]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    left = list(tmp_path.iterdir())
    assert len(left) == (not nameless)
    assert all(left_out_as(path.relative_to(tmp_path)) for path in left)


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_new_files_obey_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "in" / "new", b"")
        with file_lock(tmp_path / "lock"):
            modes = [(tmp_path / p).stat().st_mode for p in ("in/new", "lock")]
    finally:
        os.umask(before)
    assert [stat.S_IMODE(mode) for mode in modes] == [0o666 & ~umask] * 2


def test_a_disk_that_cannot_synchronise_folders_works_with_one_warning(
    tmp_path, monkeypatch
):
    """SMB, WSL and some Lustre: EINVAL for the folder, not for the file."""
    synchronise = os.fsync

    def of_files(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        synchronise(handle)

    monkeypatch.setattr(os, "fsync", of_files)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for content in (b"first", b"second"):
            atomic_write(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == b"second"
    assert len(caught) == 1
    assert "cannot synchronise folders" in str(caught[0].message)


def test_a_disk_without_flock_is_locked_all_the_same(tmp_path, monkeypatch):
    def no_flock(handle, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", no_flock)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            with file_lock(tmp_path / "lock"), pytest.raises(Timeout):
                FileLock(tmp_path / "lock").acquire(timeout=0)
    assert len({str(one.message) for one in caught}) == 1


def test_of_a_cache_that_another_process_made_meanwhile_nothing_is_made(tmp_path):
    looks = iter([None, "made while we waited for the lock"])
    assert cached(tmp_path / "x", lambda: next(looks), make=None).startswith("made")
    assert cached(tmp_path / "in" / "y", lambda: "there", make=None) == "there"
    assert not (tmp_path / "in").exists()  # no lock is taken for what is there


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left")])
def test_what_is_half_made_leaves_nothing_and_is_made_again(tmp_path, error):
    path, part = tmp_path / "x", tmp_path / "x.part"

    def find():
        return path.read_bytes() if path.exists() else None

    def fails(half):
        half.write_bytes(b"half")
        raise error

    with pytest.raises((KeyboardInterrupt, UserError), match=r"^$|written: No space"):
        cached(path, find, fails)
    assert [left.name for left in tmp_path.iterdir()] == ["x.lock"]
    part.mkdir()  # of a process that was killed
    assert cached(path, find, lambda new: new.write_bytes(b"whole")) == b"whole"
    assert not part.exists()
