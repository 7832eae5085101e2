"""Named image files in a folder or in a tar archive, read in one pass.

An archive is never unpacked: its members are read in memory, one after the other, so
no path in it can reach the disk.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from lzma import LZMAError
from pathlib import Path
from typing import Any, Protocol

from colorlib.errors import UserError
from colorlib.files import file_sha256
from colorlib.images import PHOTOGRAPH_SUFFIXES, PhotographError

ARCHIVE_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")
MAX_FILE_BYTES = 256 * 2**20  # one photograph; beyond it, something is wrong
MAX_FILES = 20_000_000  # of an archive; ImageNet-21k has 14 million
MAX_GROWTH = 200  # unpacked to packed size; photographs are compressed already
FREE_BYTES = 64 * 2**20  # that may come of any archive
PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open,
}  # fmt: skip


class Tree(Protocol):
    """Image files with names."""

    @property
    def path(self) -> Path:
        """Of the folder or archive."""

    @property
    def fingerprint(self) -> str:
        """What changes when the content changes."""

    @property
    def names(self) -> list[str]:
        """Names of the image files, `/` between folders, in reading order."""

    def read(
        self, wanted: Collection[str]
    ) -> Iterator[tuple[str, bytes | PhotographError]]:
        """The content of the wanted files in the order of `names`, or their fault."""


def open_tree(path: Path) -> Tree:
    """Open a folder or a tar archive of images.

    Raises:
        UserError: If the path is neither.
    """
    if path.is_dir():
        return Folder(path)
    if path.is_file() and path.name.endswith(ARCHIVE_SUFFIXES):
        return Archive(path)
    expected = "a folder or an archive (" + ", ".join(ARCHIVE_SUFFIXES) + ")"
    found = "a file of another kind" if path.exists() else "nothing"
    raise UserError(f"{path}: found {found}, expected {expected}")


class Folder:
    """The image files below a folder; links to folders are not followed.

    Its fingerprint is made of names, sizes and times of change: reading every file
    of ImageNet only to see whether a cache still holds would cost more than the cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def names(self) -> list[str]:
        """Names of the image files relative to the folder, sorted."""
        found = []
        for folder, _, files in os.walk(self.path):
            for file in files:
                name = (Path(folder) / file).relative_to(self.path).as_posix()
                if _is_image_name(name):
                    found.append(name)
        return sorted(found)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, sizes and times of change."""
        digest = hashlib.sha256()
        for name in self.names:
            try:
                status = (self.path / name).stat()
                facts = f"{name!r} {status.st_size} {status.st_mtime_ns}\n"
            except OSError:  # a broken link is named when it is read
                facts = f"{name!r} missing\n"
            digest.update(facts.encode())
        return digest.hexdigest()

    def read(
        self, wanted: Collection[str]
    ) -> Iterator[tuple[str, bytes | PhotographError]]:
        """The content of the wanted files in the order of `names`, or their fault."""
        for name in self.names:
            if name in wanted:
                yield name, self._content(name)

    def _content(self, name: str) -> bytes | PhotographError:
        """One file's bytes; opening a pipe would wait for ever, so it is not tried."""
        path = self.path / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return PhotographError(name, "is not a file")
            return _too_large(name, status.st_size) or path.read_bytes()
        except OSError as error:
            if not self.path.is_dir():  # else a cache would be made of what was left
                raise UserError(
                    f"{self.path}: found nothing any more, expected the photographs "
                    "that were there; restore the folder and give the same command"
                ) from error
            return PhotographError(name, f"cannot be read: {error.strerror}")


class Archive:
    """The image files of a tar archive, compressed or not, read from start to end."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the archive, whatever its publisher's was."""
        status = self.path.stat()
        return _archive_sha256(self.path, status.st_size, status.st_mtime_ns)

    @cached_property
    def names(self) -> list[str]:
        """Names of the image files, in the order of the archive, each once."""
        with self._damage_named():
            return list(dict.fromkeys(member.name for _, member in self._members()))

    def read(
        self, wanted: Collection[str]
    ) -> Iterator[tuple[str, bytes | PhotographError]]:
        """The content of the wanted files in the order of `names`, or their fault."""
        missing = set(wanted)
        with self._damage_named():
            for archive, member in self._members():
                if member.name not in missing:
                    continue
                missing.remove(member.name)
                fault = _too_large(member.name, member.size)
                file = None if fault else archive.extractfile(member)
                yield member.name, fault or (file.read() if file else b"")

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        """The archive's image files; links and devices are passed over."""
        with (
            _Unpacked(self.path) as content,
            tarfile.open(fileobj=content, mode="r:") as archive,
        ):
            for number, member in enumerate(archive):
                if number == MAX_FILES:
                    raise tarfile.TarError(f"more than {MAX_FILES:,} files")
                if member.isreg() and _is_image_name(member.name):
                    yield archive, member
            assert archive.fileobj is not None
            archive.fileobj.seek(archive.offset)
            # A whole archive ends with empty blocks; `tarfile` also ends, and says
            # nothing, at a header that is damaged or cut short.
            if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise EOFError("it ends too early")

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """Turn what a damaged archive raises into one line."""
        try:
            yield
        except (tarfile.TarError, OSError, EOFError, zlib.error, LZMAError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{self.path}: found a damaged archive ({reason.rstrip(':')}), "
                "expected a whole one; fetch it again"
            ) from error


class _Unpacked(io.BufferedIOBase):
    """The content of an archive, as a stream that never becomes a bomb.

    `tarfile` reads whatever a header claims into memory, and a compressed archive may
    grow a thousandfold.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            start = file.read(6)
        fitting = (opens for magic, opens in PACKED.items() if start.startswith(magic))
        self._content = next(fitting, open)(path, "rb")
        self._limit = max(FREE_BYTES, MAX_GROWTH * path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        """So many of the next bytes, or as many as there are."""
        if size is None or not 0 <= size <= max(MAX_FILE_BYTES, tarfile.BLOCKSIZE):
            raise tarfile.TarError(f"a header claims {size} bytes")
        self._check(self.tell() + size)
        return bytes(self._content.read(size))

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go on from another place, counted from the start: `tarfile` asks no other."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation(f"found whence {whence}, expected 0")
        self._check(position)
        return int(self._content.seek(position))

    def tell(self) -> int:
        """The place, in bytes from the start of the unpacked archive."""
        return int(self._content.tell())

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise tarfile.TarError(
                f"it claims to hold more than {self._limit:,} bytes, of which "
                "photographs could not be packed so small"
            )

    def close(self) -> None:
        """Let go of the file."""
        self._content.close()
        super().close()


def _is_image_name(name: str) -> bool:
    """Whether a name is that of a visible image file."""
    path = Path(name)
    return path.suffix.lower() in PHOTOGRAPH_SUFFIXES and not path.name.startswith(".")


def _too_large(name: str, size: int) -> PhotographError | None:
    """The fault of a file that no photograph needs."""
    limit = MAX_FILE_BYTES
    if size <= limit:
        return None
    return PhotographError(name, f"has {size:,} bytes, expected at most {limit:,}")


@lru_cache(maxsize=16)
def _archive_sha256(path: Path, size: int, changed: int) -> str:
    """The hash of an archive, computed once as long as size and time stay."""
    return file_sha256(path)
