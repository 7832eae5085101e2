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
from trials import every_time

from colorlib.data import DataConfig
from colorlib.errors import UserError
from colorlib.images import PhotographError
from companion import datasets
from companion.datasets import find_source

RECORD = {
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


def member(name, content=b"", kind=tarfile.REGTYPE, size=None):
    """A member as the bytes of an archive: its header may claim anything."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content) if size is None else size
    padding = bytes(-len(content) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.GNU_FORMAT) + content + padding


def archive(folder, *members, packed=""):
    """An archive of members, compressed or not."""
    path = folder / f"images.tar{packed}"
    path.write_bytes(PACKERS[packed](b"".join(members) + bytes(2 * tarfile.BLOCKSIZE)))
    return path


def refused_or_read(path):
    """How many images were read; None if the archive was refused in one line."""
    try:
        source = find_source(DataConfig(dataset="folder"), path, path.parent / "cache")
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017  # some are read, and rightly
        assert str(path) in str(error) or "found no image" in str(error)  # noqa: PT017
        return None
    read = 0
    for index in range(len(source)):
        with suppress(PhotographError):
            read += bool(source.load(index, 16))
    return read


@pytest.mark.parametrize("mode", SUFFIXES)
@every_time("place", range(PLACES), 0)
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
@every_time("seed", range(PLACES), 0)
def test_a_changed_archive_shows_no_other_images(tmp_path, tally, mode, seed):
    path = as_archive(tmp_path / f"images{SUFFIXES[mode]}", people(), mode)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    draw = np.random.default_rng(seed)
    content[draw.integers(0, len(content), 4)] ^= draw.integers(1, 256, 4, np.uint8)
    path.write_bytes(content.tobytes())
    with tally(f"bytes changed, {SUFFIXES[mode]}"):
        assert (refused_or_read(path) or 0) <= len(people())


@every_time("name", [*INSIDE, *OUTSIDE], INSIDE[0], OUTSIDE[0])
def test_a_name_leads_nowhere(tmp_path, tally, name):
    (box := tmp_path / "a" / "b").mkdir(parents=True)
    with tarfile.open(box / "images.tar", "w") as file:
        for one in ("good.jpg", name):
            info = tarfile.TarInfo(one)
            info.size = len(jpeg(0))
            file.addfile(info, io.BytesIO(jpeg(0)))
    with tally("a name that leads out"):
        assert refused_or_read(box / "images.tar") == 1 + (name in INSIDE)
        files = {path for path in tmp_path.rglob("*") if path.is_file()}
        files -= {box / "images.tar"}
        assert all(path.is_relative_to(box / "cache" / "unpacked") for path in files)


@every_time("size", [2**31, -1, -512, 2**33, 2**40, 2**62], 2**31, -1)
def test_a_member_that_claims_too_much_or_less_than_nothing(tmp_path, tally, size):
    with tally("a size that is not there"):
        path = archive(tmp_path, member("a.jpg", jpeg(0), size=size))
        assert refused_or_read(path) is None


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".xz"])
@every_time("kind", [b"L", b"0", b"x", b"K", b"g", b"a text"], b"L", b"0")
def test_a_bomb_is_not_unpacked(tmp_path, tally, packed, kind):
    name, kind = ("a.txt", b"0") if kind == b"a text" else ("a.jpg", kind)
    zeros = member(name, bytes(2**27), kind)  # in a hundred kilobytes
    path = archive(tmp_path, zeros, member("b.jpg", jpeg(0)), packed=packed)
    tracemalloc.start()
    with tally("a bomb"):
        assert refused_or_read(path) is None
        assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_too_many_members_are_refused(tmp_path, tally, monkeypatch):
    path = as_archive(tmp_path / "images.tar", people(), "w")  # less than 2 kB each
    monkeypatch.setattr(datasets, "MAX_GROWTH", 1)
    monkeypatch.setattr(datasets, "FREE_BYTES", 6 * 2**14 + 12_000)
    with tally("too many members"):
        for most, read in ((2**15, None), (2**14, 6)):
            monkeypatch.setattr(datasets, "MEMBER_BYTES", most)
            assert refused_or_read(path) == read
