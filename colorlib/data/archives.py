"""Archives of images: fetched with their hash checked, unpacked once, safely.

address ─ pooch ─► archive ─ tarfile, filter="data" ─► folder of images
"""

import errno
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Self

import pooch

from colorlib.errors import UserError
from colorlib.files import atomic_rename, atomic_write, file_lock, hash_of
from colorlib.images import PHOTOGRAPH_SUFFIXES, is_photograph

ARCHIVE_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")
MAX_FILE_BYTES = 256 * 2**20  # of one image; a larger member is not unpacked
MAX_GROWTH = 200  # unpacked to packed size: images are compressed already
FREE_BYTES = 64 * 2**20  # that any archive may unpack to
LEAST_BYTES = 100  # that an image takes in an archive: fewer are a bomb of files
FREE_FILES = 10_000  # that any archive may hold
MAX_NAME_BYTES = 2**20  # of an extended header, which `tarfile` reads in one piece
HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
UNUSABLE = (  # what the system says of a name that it cannot give to a file
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EINVAL, errno.EILSEQ),
)

LFW = (  # name, hash and addresses as in scikit-learn's fetch_lfw_people
    "lfw-funneled.tgz",
    "sha256:b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
    (
        "https://ndownloader.figshare.com/files/5976015",
        "https://figshare.com/ndownloader/files/5976015",
    ),
)


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, by its name."""
    return path.is_file() and path.name.endswith(ARCHIVE_SUFFIXES)


def fetch(folder: Path, name: str, known_hash: str, addresses: Sequence[str]) -> Path:
    """Download a file, unless it is there; its hash is checked.

    Args:
        folder: Where it goes.
        name: What it is called there.
        known_hash: `sha256:...` or `md5:...`.
        addresses: Mirrors, tried in this order.

    Raises:
        UserError: If no mirror gave the file with that hash.
    """
    reasons = []
    for address in () if (folder / name).exists() else addresses:
        try:
            pooch.retrieve(address, known_hash, name, folder, progressbar=True)
        except Exception as error:  # whatever the HTTP library raises
            reasons.append(f"{address}: {type(error).__name__}")
        else:
            break
    if not (folder / name).exists():
        raise UserError(
            f"{name}: no mirror gave the file with {known_hash} ({'; '.join(reasons)});"
            f" place it in {folder} by hand"
        )
    return folder / name


def left_out_as(path: PurePath) -> str:
    """What kind of file is not taken, by its name; nothing for a visible image.

    Args:
        path: Below the folder that is searched.

    Example:
        >>> [left_out_as(Path(name)) for name in ("a.jpg", "._a.jpg", "a.TXT", "a")]
        ['', 'hidden images', '.txt files', 'files without suffix']
    """
    if is_photograph(path):
        return ""
    if path.suffix.lower() in PHOTOGRAPH_SUFFIXES:
        return "hidden images"
    return f"{path.suffix.lower()} files" if path.suffix else "files without suffix"


def unpacked(archive: Path, cache_root: Path) -> tuple[Path, dict[str, int]]:
    """Unpack the images of a tar archive, or find the folder unpacked before.

    Only regular files that are images are unpacked, and nothing outside the folder:
    links, devices and paths that leave it are left out and counted.

    Args:
        archive: Its path.
        cache_root: The folder of caches.

    Returns:
        The folder of its images; and what was left out, kind -> how many.

    Raises:
        UserError: If the archive is damaged, or unpacks to more than images can; or the
            cache cannot be written.
    """
    status = archive.stat()
    key = hash_of([str(archive.resolve()), status.st_size, status.st_mtime_ns])[:16]
    folder = cache_root / "unpacked" / f"{archive.name.partition('.')[0]}-{key}"
    try:
        with file_lock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _make(archive, folder)
            counts = folder.with_suffix(".json")
            return folder, json.loads(counts.read_bytes()) if counts.exists() else {}
    except OSError as error:
        raise UserError(
            f"{archive}: cannot be unpacked to {folder}: {error.strerror or error}; "
            "make room there, or give another cache_root (--cache-root)"
        ) from error


def _make(archive: Path, folder: Path) -> None:
    """Unpack beside the folder's place, then rename it there."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    part.mkdir()
    try:
        left_out = _unpack(archive, part)
        atomic_write(folder.with_suffix(".json"), json.dumps(left_out).encode())
        atomic_rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> dict[str, int]:
    """Unpack the images of an archive into an empty folder; what was left out."""
    status, left_out = archive.stat(), Counter[str]()
    try:
        with tarfile.open(archive, tarinfo=_Member) as tar:
            for member in _members(tar, status.st_size):
                member.mtime = status.st_mtime  # what it says itself may be any number
                if kind := _kind(member) or _extract(tar, member, folder):
                    left_out[kind] += 1
            _check_end(tar)
    except Exception as error:  # a damaged archive makes tarfile raise almost anything
        if isinstance(error, OSError) and error.errno:
            raise  # of the disk
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{archive}: found a damaged or hostile archive ({reason.rstrip(':')}), "
            "expected a whole one of images; fetch it again"
        ) from error
    left_out.pop("folders", None)
    return dict(left_out)


class _Member(tarfile.TarInfo):
    """A member whose extended header, such as a long name, is no bomb."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in HEADERS and not 0 <= member.size <= MAX_NAME_BYTES:
            raise tarfile.ReadError(f"a header says that it has {member.size:,} bytes")
        return member


def _members(tar: tarfile.TarFile, packed: int) -> Iterator[tarfile.TarInfo]:
    """The members, as long as together they are not too large or too many."""
    most_bytes = max(FREE_BYTES, MAX_GROWTH * packed)
    most_files = max(FREE_FILES, packed // LEAST_BYTES)
    total = images = 0
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # it grows without end
        total += tarfile.BLOCKSIZE + member.size
        images += not _kind(member)
        if member.size < 0:
            raise tarfile.ReadError(f"a header says that it has {member.size} bytes")
        if total > most_bytes or images > most_files:
            raise tarfile.ReadError(
                f"it unpacks to more than {most_bytes:,} bytes or {most_files:,} files,"
                " of which images could not be packed so small"
            )
        yield member


def _kind(member: tarfile.TarInfo) -> str:
    """What kind of member is not unpacked; nothing for an image."""
    if member.isdir():
        return "folders"
    if not member.isreg():
        return "links" if member.issym() or member.islnk() else "devices"
    if member.size > MAX_FILE_BYTES:
        return f"files of more than {MAX_FILE_BYTES:,} bytes"
    return left_out_as(PurePath(member.name))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> str:
    """Unpack an image; what is wrong with its name, if that leads nowhere here."""
    wrong = "images whose names cannot be used"
    try:
        tar.extract(member, folder, filter="data")
    except (tarfile.FilterError, ValueError):  # it leads out, or holds a zero byte
        return wrong
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        return wrong
    return ""


def _check_end(tar: tarfile.TarFile) -> None:
    """Refuse an archive that was cut: `tarfile` takes a damaged header for its end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("it ends too early")
