"""Files that are there whole or not at all, locks, and hashes of content."""

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from filelock import FileLock, Timeout

from colorlib.errors import UserError

T = TypeVar("T")


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, even after a crash.

    Its permissions are those of any new file: 0666 less the umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            synchronise(file)
        Path(temporary).chmod(0o666 & ~_umask())
        atomic_rename(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def synchronise(file: BinaryIO) -> None:
    """Have the disk hold what was written, even after a crash of the machine."""
    file.flush()
    os.fsync(file.fileno())


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


def _umask() -> int:
    """The umask of this process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock that no other process holds.

    On a disk without `flock` (some network file systems) the existence of a file is
    the lock; a killed process then leaves it behind, and `filelock` says so.

    Args:
        path: Of the lock file.
        wait: Whether to wait while another process holds it.

    Yields:
        Whether this process holds it; always, if it waits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o666 & ~_umask())
    with suppress(Timeout):
        lock.acquire(timeout=-1 if wait else 0)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def cached(path: Path, find: Callable[[], T | None], make: Callable[[Path], None]) -> T:
    """Find a file or folder of a cache, or make it: it is there whole or not at all.

    What is there is taken without a lock. Of several processes that miss it one makes
    it while the others wait.

    Args:
        path: Its place. Beside it, its lock and what is being made.
        find: Opens it; None if there is none, or it is damaged.
        make: Makes it at the path that it is given.

    Raises:
        UserError: If it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        if (found := find()) is None:
            with file_lock(path.with_name(f"{path.name}.lock")):
                if (found := find()) is None:  # nobody made it while we waited
                    _remove(part)  # of a process that was killed
                    try:
                        make(part)
                        _remove(path)  # if it was found damaged
                        atomic_rename(part, path)
                    finally:
                        _remove(part)
                    found = find()
    except OSError as error:
        raise UserError(
            f"{path}: the cache cannot be written: {error.strerror or error}; make "
            "room for it, or give another cache_root (--cache-root)"
        ) from error
    assert found is not None
    return found


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
