"""Whatever an archive holds, its images are read, or it is refused by its name."""

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from photo_files import as_archive, jpeg, people

from colorlib.data import DataConfig, archives, open_source
from colorlib.errors import UserError
from colorlib.images import PhotographError

CAMPAIGN = {
    "name": "archives",
    "title": "Hostile archives",
    "expected": "only images are unpacked, nothing is written elsewhere, memory and "
    "disk are bounded; or the archive is refused by its name in one line",
}
SUFFIXES = {"w": ".tar", "w:gz": ".tgz", "w:xz": ".tar.xz", "w:bz2": ".tar.bz2"}
PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
PLACES = 24  # where each kind of archive is cut or changed
OUTSIDE = [
    "../evil.jpg", "../../../../evil.jpg", "./../evil.jpg", "a/../../evil.jpg",
    "a" * 300 + ".jpg", "good.jpg/evil.jpg",
]  # fmt: skip
INSIDE = [
    "/evil.jpg", "//evil.jpg", "C:\\evil.jpg", "a\\..\\evil.jpg", "~/evil.jpg",
    "a\nb/evil.jpg", "b/" * 200 + "evil.jpg", "\u202egpj.evil.jpg", "-rf.jpg",
]  # fmt: skip
NO_FILES = {
    "a symbolic link": tarfile.SYMTYPE,
    "a hard link": tarfile.LNKTYPE,
    "a character device": tarfile.CHRTYPE,
    "a block device": tarfile.BLKTYPE,
    "a pipe": tarfile.FIFOTYPE,
    "a folder": tarfile.DIRTYPE,
}


def member(name, content=b"", kind=tarfile.REGTYPE, target="", **claims):
    """A member as the bytes of an archive: its header may claim anything."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    for key, value in claims.items():
        setattr(info, key, value)
    padding = bytes(-len(content) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.GNU_FORMAT) + content + padding


def archive(path, *members, packed=""):
    """An archive of members, compressed or not."""
    path = path / f"images.tar{packed}"
    end = bytes(2 * tarfile.BLOCKSIZE)
    path.write_bytes(PACKERS[packed](b"".join(members) + end))
    return path


def refused_or_read(path):
    """How many images were read; None if the archive was refused in one line."""
    root = path.parent
    try:
        source = open_source(DataConfig(dataset="folder"), path, root / "cache")
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017  # some are read, and rightly
        assert str(path) in str(error) or "found no image" in str(error)  # noqa: PT017
        return None
    read = 0
    for index in range(len(source)):
        with suppress(PhotographError):
            read += bool(source.load(index, 16))
    return read


def every(values, slice_of=1):
    """The first of some values every time, all of them when asked for."""
    for number, value in enumerate(values):
        marks = [] if number < slice_of else [pytest.mark.faults]
        yield pytest.param(value, marks=marks)


@pytest.mark.parametrize("mode", SUFFIXES)
@pytest.mark.parametrize("place", list(every(range(PLACES))))
def test_a_cut_archive_is_refused(tmp_path, tally, mode, place):
    path = as_archive(tmp_path / f"images{SUFFIXES[mode]}", people(), mode)
    content = path.read_bytes()
    # Two blocks of zeros end an archive; after them are zeros that nobody needs.
    end = content.rstrip(b"\0") if mode == "w" else content
    path.write_bytes(content[: len(end) * place // PLACES])
    with tally(f"cut short, {SUFFIXES[mode]}"):
        assert refused_or_read(path) is None
        assert not list(tmp_path.glob("cache/unpacked/*.part"))


@pytest.mark.parametrize("mode", SUFFIXES)
@pytest.mark.parametrize("seed", list(every(range(PLACES))))
def test_a_changed_archive_shows_no_other_images(tmp_path, tally, mode, seed):
    path = as_archive(tmp_path / f"images{SUFFIXES[mode]}", people(), mode)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    draw = np.random.default_rng(seed)
    content[draw.integers(0, len(content), 4)] ^= draw.integers(1, 256, 4, np.uint8)
    path.write_bytes(content.tobytes())
    with tally(f"bytes changed, {SUFFIXES[mode]}"):
        read = refused_or_read(path)
        assert read is None or read <= len(people())


@pytest.mark.parametrize("name", list(every([*INSIDE, *OUTSIDE], 2)))
def test_a_name_leads_nowhere(tmp_path, tally, name):
    box = tmp_path / "a" / "b"
    box.mkdir(parents=True)
    path = box / "images.tar"
    with tarfile.open(path, "w") as file:
        for one in ("good.jpg", name):
            info = tarfile.TarInfo(one)
            info.size = len(jpeg(0))
            file.addfile(info, io.BytesIO(jpeg(0)))
    with tally("a name that leads out"):
        assert refused_or_read(path) == 1 + (name in INSIDE)
        files = {p for p in tmp_path.rglob("*") if p.is_file()} - {path}
        assert all(p.is_relative_to(box / "cache" / "unpacked") for p in files)


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("target", list(every(["/etc/passwd", "b.jpg", "../c.jpg"])))
def test_what_is_no_file_is_passed_over(tmp_path, tally, kind, target):
    other = member("a.jpg", kind=NO_FILES[kind], target=target)
    path = archive(tmp_path, other, member("b.jpg", jpeg(0)))
    with tally(kind):
        assert refused_or_read(path) == 1


@pytest.mark.parametrize("size", list(every([2**31, -1, -512, 2**33, 2**40, 2**62], 2)))
def test_a_member_that_claims_too_much_or_less_than_nothing(tmp_path, tally, size):
    path = archive(tmp_path, member("a.jpg", jpeg(0), size=size))
    with tally("a size that is not there"):
        assert not refused_or_read(path)


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("kind", list(every([b"L", b"0", b"x", b"K", b"g"], 2)))
def test_a_bomb_is_not_unpacked(tmp_path, tally, packed, kind):
    zeros = bytes(2**27)  # in a hundred kilobytes
    path = archive(tmp_path, member("a.jpg", zeros, kind), packed=packed)
    tracemalloc.start()
    try:
        with tally("a bomb"):
            assert refused_or_read(path) is None
            assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".xz"])
def test_what_unpacks_to_far_more_than_images_is_refused(tmp_path, tally, packed):
    text = member("a.txt", bytes(2**27))  # no image, but on the way to one
    path = archive(tmp_path, text, member("b.jpg", jpeg(0)), packed=packed)
    with tally("a bomb"):
        assert refused_or_read(path) is None


def test_too_many_members_are_refused(tmp_path, tally, monkeypatch):
    monkeypatch.setattr(archives, "FREE_FILES", 5)
    monkeypatch.setattr(archives, "LEAST_BYTES", 10_000)
    path = as_archive(tmp_path / "images.tar", people(), "w")
    with tally("too many members"):
        assert refused_or_read(path) is None
    monkeypatch.setattr(archives, "FREE_FILES", 6)
    assert refused_or_read(path) == 6
