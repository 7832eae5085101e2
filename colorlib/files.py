"""Files that are there whole or not at all, and what identifies their content."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

CHECKED_BYTES = 2**31  # a larger cache is not read through whenever it is opened


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, even after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        atomic_rename(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def atomic_rename(made: Path, path: Path) -> None:
    """Give what was written and synchronised its name, and have the disk know it."""
    made.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def synchronise(file: BinaryIO) -> None:
    """Make sure that what was written survives a crash of the machine."""
    file.flush()
    os.fsync(file.fileno())


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksum(made: Path, name: Path | None = None) -> None:
    """Note beside a file what it holds, as `sha256sum --check` reads it.

    Args:
        made: The file.
        name: What it will be called, if that is not yet its name.
    """
    name = name or made
    line = f"{file_sha256(made)}  {name.name}\n"
    atomic_write(_seal_of(name), line.encode())


def checksum_matches(path: Path, at_most: int = CHECKED_BYTES) -> bool:
    """Whether a file is there and holds what it held when it was sealed.

    Args:
        path: The file.
        at_most: Of a larger file, bytes, only the seal is looked for.
    """
    try:
        seal, status = _seal_of(path).read_bytes(), path.stat()
        if status.st_size > at_most:
            return True
        found = _sha256_once(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return False
    return seal == f"{found}  {path.name}\n".encode()


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


@lru_cache(maxsize=256)
def _sha256_once(path: Path, size: int, changed: int) -> str:
    """The hash of a file, computed once as long as its size and time stay."""
    return file_sha256(path)


def hash_of(values: Any) -> str:
    """SHA-256 of anything JSON can hold, whatever the order of its keys.

    Example:
        >>> hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})
        True
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock that no other process holds; the system frees it at any death.

    Args:
        path: Of the lock.
        wait: Whether to wait for it while another process holds it.

    Yields:
        Whether this process holds it; always, if it waits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except BlockingIOError:
            held = False
        yield held
