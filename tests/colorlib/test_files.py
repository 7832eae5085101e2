import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorlib.files import (
    atomic_rename,
    atomic_write,
    cached,
    file_lock,
    file_sha256,
    hash_of,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values))
def test_the_hash_does_not_depend_on_the_order_of_keys(values):
    assert hash_of(values) == hash_of(dict(reversed(values.items())))


def test_the_hash_depends_on_every_value():
    assert len({hash_of({"a": value}) for value in (0, 1, "0", None, [0])}) == 5


def test_the_sha256_is_that_of_the_standard(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-4, the first example
    assert file_sha256(path).startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    atomic_write(path, b"first")
    with pytest.raises(TypeError):
        atomic_write(path, "no bytes")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_new_files_obey_the_umask(tmp_path, umask):
    code = "import sys; from pathlib import Path; from colorlib.files import *\n"
    code += "atomic_write(Path('new'), b'')\nwith file_lock(Path('lock')): pass"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        umask=umask,
        check=True,
    )
    for name in ("new", "lock"):
        mode = stat.S_IMODE((tmp_path / name).stat().st_mode)
        assert mode == 0o666 & ~umask, name


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


def test_a_rename_replaces_a_file_and_not_a_folder(tmp_path):
    for name in ("made", "old"):
        (tmp_path / name).write_text(name)
    atomic_rename(tmp_path / "made", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "made"
    assert not (tmp_path / "made").exists()


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    held, released = threading.Event(), threading.Event()

    def hold():
        with file_lock(tmp_path / "in" / "lock"):
            held.set()
            released.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(60)
    with file_lock(tmp_path / "in" / "lock", wait=False) as mine:
        assert not mine
    released.set()
    with file_lock(tmp_path / "in" / "lock") as mine:  # waits for the other
        assert mine
    other.join()


def test_a_disk_without_flock_is_locked_all_the_same(tmp_path, monkeypatch):
    def no_flock(handle, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", no_flock)
    path = tmp_path / "lock"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        with file_lock(path) as mine:
            assert mine
            with file_lock(path, wait=False) as other:
                assert not other
        with file_lock(path, wait=False) as again:
            assert again
    assert len({str(one.message) for one in caught}) == 1


def test_of_a_cache_that_another_process_made_meanwhile_nothing_is_made(tmp_path):
    looks = iter([None, "made while we waited for the lock"])
    assert cached(tmp_path / "x", lambda: next(looks), make=None).startswith("made")
    assert cached(tmp_path / "in" / "y", lambda: "there", make=None) == "there"
    assert not (tmp_path / "in").exists()  # no lock is taken for what is there
