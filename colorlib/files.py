"""Atomic file writing, saved networks, caches, locks and hashes."""

import hashlib
import json
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from filelock import FileLock

from colorlib.errors import UserError

if TYPE_CHECKING:  # torch is imported by those who have networks
    from torch import Tensor, nn

Network = TypeVar("Network", bound="nn.Module")
T = TypeVar("T")


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
            os.fsync(file.fileno())  # even after a crash of the machine
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


def save_network(
    path: Path, weights: "Mapping[str, Tensor]", about: Mapping[str, Any]
) -> None:
    """Write a network as safetensors: numbers and text, nothing that is executed.

    Args:
        path: The file, by custom `.safetensors`; appears whole or not at all.
        weights: The state of the network.
        about: How to build it, and `notes` on its use; anything JSON can hold.
    """
    from safetensors.torch import save

    whole = {name: value.contiguous() for name, value in weights.items()}
    atomic_write(path, save(whole, {"colorlib": json.dumps(about)}))


def load_network(
    path: Path, build: Callable[[dict[str, Any]], Network], maker: str
) -> tuple[Network, dict[str, Any]]:
    """Read a network that `save_network` wrote.

    Args:
        path: The file.
        build: Called with `about`, makes the network whose weights these are.
        maker: What writes such files, for the error.

    Returns:
        The network on the CPU, float32, in evaluation mode; and its notes.

    Raises:
        UserError: If the file is missing, or holds no such network.
    """
    import torch
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["colorlib"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        with torch.device("meta"):  # the shapes are compared before memory is taken
            network = build(about)
        network.load_state_dict(weights, assign=True)
        return network.float().eval(), dict(about["notes"])
    except FileNotFoundError as error:
        raise UserError(f"found no model at {path}; train one first") from error
    except Exception as error:  # a foreign file makes torch raise almost anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path} is no model of this package, expected a safetensors file written "
            f"by `{maker}`: {reason}"
        ) from error


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock that no other process holds; waits for it.

    On a disk without `flock` (some network file systems) the existence of a file is
    the lock; a killed process then leaves it behind, and `filelock` says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


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
