"""Files that are there whole or not at all, locks, and hashes of content."""

import hashlib
import json
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes its name when it is whole, even after a crash.

    Until then it has no name (Linux), and a killed process leaves nothing behind. Where
    the system has no such files (macOS, Windows, network disks) it is `.RANDOM.half`,
    hidden from whatever searches a folder for images, and may be deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{secrets.token_hex(8)}.half")
    try:
        handle = os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o666)
        nameless = True
    except (AttributeError, OSError):
        handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        nameless = False
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(handle)
            if nameless:  # given a folder, `link` follows what /proc points to
                os.link(f"/proc/self/fd/{handle}", hidden, src_dir_fd=handle)
        atomic_rename(hidden, path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(content)


def atomic_rename(made: Path, path: Path) -> None:
    """Give a finished file or folder its name, and have the disk know it.

    Some disks (SMB, WSL, some Lustre) cannot synchronise a folder; there a crash of
    the machine may still lose the name, so nothing stops and one warning says so.
    """
    made.replace(path)
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(folder)
    except OSError as error:
        warnings.warn(
            f"{path.parent}: its disk cannot synchronise folders ({error.strerror}); "
            "a crash of the machine may lose the last files written",
            stacklevel=2,
        )
    finally:
        os.close(folder)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock that no other process holds; waits for it.

    On a disk without `flock` (some network file systems) the existence of a file is
    the lock; a killed process then leaves it behind, and `filelock` says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(values: Any) -> str:
    """SHA-256 of anything JSON can hold, whatever the order of its keys.

    Example:
        >>> hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})
        True
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
