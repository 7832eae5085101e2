"""Data sets on this machine: downloaded, found in the data folder, unpacked safely.

address ─ pooch ─► archive ─ tarfile, filter="data" ─► folder of images ─► ImageSource
"""

import errno
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import Self

import pooch

from colorlib.data import PARTS, DataConfig, ImageSource, open_source
from colorlib.errors import UserError
from colorlib.files import atomic_write, cached, hash_of
from colorlib.images import left_out_as

NAMES = {  # in the data folder: archives or folders, the first one found is taken
    "lfw": ("lfw-deepfunneled", "lfw-funneled", "lfw_funneled", "lfw"),
    "imagenet": ("imagenet", "mini-imagenet", "imagenet-sample"),
    "imagenette": ("imagenette2", "imagenette2-320", "imagenette2-160"),
}
ARCHIVE_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")
MAX_GROWTH = 200  # unpacked to packed size: images are compressed already
FREE_BYTES = 64 * 2**20  # that any archive may unpack to
MEMBER_BYTES = 2**14  # that a member counts for beside its content: an empty one, too
MAX_NAME_BYTES = 2**20  # of an extended header, which `tarfile` reads in one piece
HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
UNUSABLE = (  # what the system says of a name that it cannot give to a file
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EINVAL, errno.EILSEQ),
)

# Name, hash and address: of LFW as in scikit-learn's `fetch_lfw_people`, of Imagenette
# as in torchvision, which itself would leave it half unpacked if it were killed.
DOWNLOADS = {
    "lfw": (
        "lfw-funneled.tgz",
        "sha256:b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
        "https://ndownloader.figshare.com/files/5976015",
    ),
    "imagenette": (
        "imagenette2-320.tgz",
        "md5:3df6f0d01a2c9592104656642f5e78a3",
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
    ),
}


def download(dataset: str, data_root: Path) -> None:
    """Download a data set that has a free address, unless a file of its name is there.

    Args:
        dataset: `lfw` or `imagenette`.
        data_root: The folder it goes to.

    Raises:
        UserError: If it has no free address, or that gives no file of the known hash.
    """
    if dataset not in DOWNLOADS:
        raise UserError(
            f"found no address of {dataset}, expected one of {', '.join(DOWNLOADS)}; "
            "place its files in the data folder by hand"
        )
    name, known_hash, address = DOWNLOADS[dataset]
    if (data_root / name).exists():
        return
    try:
        pooch.retrieve(address, known_hash, name, data_root, progressbar=True)
    except Exception as error:  # whatever the HTTP library raises
        raise UserError(
            f"{address}: found no file with {known_hash} ({type(error).__name__}); "
            f"place {name} in {data_root} by hand"
        ) from error


def find_source(
    config: DataConfig, data_root: Path | None, cache_root: Path
) -> ImageSource:
    """Find a data set in the data folder, and open it.

    Args:
        config: Names the data set and the draw.
        data_root: A folder of data sets, or the folder or archive of the one meant;
            `scenes` needs none.
        cache_root: Where archives are unpacked.

    Raises:
        UserError: If the data set is not there, or an archive of it is damaged or
            unpacks to more than images can; or as `open_source` does.
    """
    if config.dataset == "scenes":
        return open_source(config)
    if data_root is None:
        raise UserError(
            f"found no data folder, but {config.dataset} needs one: --data-root"
        )
    root, left_out = _find(config.dataset, data_root), Counter[str]()
    if _is_archive(root):
        root, counts = unpacked(root, cache_root)
        left_out.update(counts)
    source = open_source(config, root)
    return replace(source, left_out=dict(left_out + Counter(source.left_out)))


def _find(dataset: str, data_root: Path) -> Path:
    """The folder or archive of a data set, in the data folder or that itself."""
    names = NAMES.get(dataset)
    own_name = data_root.name.partition(".")[0]
    if names is None or own_name in names or _is_archive(data_root):
        return data_root
    for name in names:
        for path in [data_root / name, *sorted(data_root.glob(f"{name}.t*"))]:
            if path.is_dir() or _is_archive(path):
                return path
    looks = [*data_root.glob("n[0-9]*"), *(data_root / part for part in PARTS)]
    if dataset != "lfw" and any(path.is_dir() for path in looks):
        return data_root  # the folder of classes itself
    raise UserError(
        f"{data_root}: found no {dataset}, expected a folder or tar archive called one "
        f"of {', '.join(names)}; place it there"
    )


def _is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, by its name."""
    return path.is_file() and path.name.endswith(ARCHIVE_SUFFIXES)


def unpacked(archive: Path, cache_root: Path) -> tuple[Path, dict[str, int]]:
    """The folder of a tar archive's images, and what was left out: kind -> how many.

    Only regular files that are images are unpacked, and nothing outside the folder:
    links, devices and paths that leave it are left out and counted.

    Raises:
        UserError: If the archive is damaged, or unpacks to more than images can; or the
            cache cannot be written.
    """
    status = archive.stat()
    key = hash_of([str(archive.resolve()), status.st_size, status.st_mtime_ns])[:16]
    folder = cache_root / "unpacked" / f"{archive.name.partition('.')[0]}-{key}"
    counts = folder.with_suffix(".json")

    def find() -> dict[str, int] | None:
        whole = folder.is_dir() and counts.exists()
        return json.loads(counts.read_bytes()) if whole else None

    return folder, cached(folder, find, partial(_unpack, archive, counts))


def _unpack(archive: Path, counts: Path, folder: Path) -> None:
    """Unpack the images of an archive into a new folder, and note what is left out."""
    folder.mkdir()
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
    atomic_write(counts, json.dumps(left_out).encode())


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
    total, most = 0, max(FREE_BYTES, MAX_GROWTH * packed)
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # it grows without end
        total += MEMBER_BYTES + member.size
        if total > most or member.size < 0:
            raise tarfile.ReadError(
                f"it unpacks to {total:,} bytes or more, at most {most:,} of images"
            )
        yield member


def _kind(member: tarfile.TarInfo) -> str:
    """What kind of member is not unpacked; nothing for an image."""
    if member.isdir():
        return "folders"
    if not member.isreg():
        return "links" if member.issym() or member.islnk() else "devices"
    return left_out_as(PurePath(member.name))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> str:
    """Unpack an image; what is wrong with its name, if that leads nowhere here."""
    try:
        tar.extract(member, folder, filter="data")
    except (tarfile.FilterError, ValueError, OSError) as error:
        # It leads out, or holds a zero byte; or the system cannot use it.
        if isinstance(error, OSError) and error.errno not in UNUSABLE:
            raise
        return "images whose names cannot be used"
    return ""


def _check_end(tar: tarfile.TarFile) -> None:
    """Refuse an archive that was cut: `tarfile` takes a damaged header for its end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("it ends too early")
