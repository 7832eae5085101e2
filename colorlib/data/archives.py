"""Archives of images: fetched with their hash checked, unpacked once, safely.

address ─ pooch ─► archive ─ tarfile, filter="data" ─► folder of images
"""

import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from lzma import LZMAError
from pathlib import Path

import pooch

from colorlib.errors import UserError
from colorlib.files import atomic_rename, file_lock, hash_of
from colorlib.images import is_photograph

ARCHIVE_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")
MAX_FILE_BYTES = 256 * 2**20  # of one image; a larger member is not unpacked
MAX_GROWTH = 200  # unpacked to packed size: images are compressed already
FREE_BYTES = 64 * 2**20  # that any archive may unpack to

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


def unpacked(archive: Path, cache_root: Path) -> Path:
    """Unpack the images of a tar archive, or find the folder unpacked before.

    Only regular files that are images are unpacked, and nothing outside the folder:
    links, devices and paths that leave it are left out.

    Args:
        archive: Its path.
        cache_root: The folder of caches.

    Returns:
        The folder of its images.

    Raises:
        UserError: If the archive is damaged, or unpacks to more than images can.
    """
    status = archive.stat()
    key = hash_of([str(archive.resolve()), status.st_size, status.st_mtime_ns])[:16]
    folder = cache_root / "unpacked" / f"{archive.name.partition('.')[0]}-{key}"
    with file_lock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                made = Path(temporary) / "images"
                made.mkdir()
                _unpack(archive, made, max(FREE_BYTES, MAX_GROWTH * status.st_size))
                atomic_rename(made, folder)
    return folder


def _unpack(archive: Path, folder: Path, limit: int) -> None:
    """Unpack the images of an archive into an empty folder."""
    try:
        with tarfile.open(archive) as tar:
            for member in _images(tar, limit):
                tar.extract(member, folder, filter="data")
            _check_end(tar)
    except (tarfile.TarError, OSError, EOFError, zlib.error, LZMAError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{archive}: found a damaged or hostile archive ({reason.rstrip(':')}), "
            "expected a whole one of images; fetch it again"
        ) from error


def _images(tar: tarfile.TarFile, limit: int) -> list[tarfile.TarInfo]:
    """The members that are images, if together they are not too large."""
    chosen, total = [], 0
    while (member := tar.next()) is not None:
        total += member.size
        if total > limit:
            raise tarfile.TarError(
                f"it unpacks to more than {limit:,} bytes, of which images could not "
                "be packed so small"
            )
        if member.isreg() and is_photograph(Path(member.name)):
            if member.size > MAX_FILE_BYTES:
                raise tarfile.TarError(f"{member.name} has {member.size:,} bytes")
            chosen.append(member)
    return chosen


def _check_end(tar: tarfile.TarFile) -> None:
    """Refuse an archive that was cut: `tarfile` takes a damaged header for its end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("it ends too early")
