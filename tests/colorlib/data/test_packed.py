import hashlib
import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photo_files import as_archive, as_folder, jpeg, people
from skimage.color import rgb2lab

from colorlib.color import lab_to_rgb
from colorlib.data import identical, iterate_kept, open_source, pack
from colorlib.data.manifest import FORMAT_VERSION
from colorlib.data.packed import is_grayscale
from colorlib.errors import UserError

MIXED = people() | {
    "lfw/Gray_G/Gray_G_0001.jpg": jpeg(50, gray=True),
    "lfw/Cut_C/Cut_C_0001.jpg": jpeg(51)[:250],
    "lfw/Tiny_T/Tiny_T_0001.jpg": jpeg(52, (20, 9)),
}
KEPT = [name.removeprefix("lfw/") for name in [*people(), list(MIXED)[-1]]]


class Interrupted:
    """A source that breaks off after some photographs."""

    def __init__(self, source, after, error):
        self.source, self.after, self.error = source, after, error
        self.name, self.fingerprint = source.name, source.fingerprint
        self.items = source.items

    def read(self, size, ids=None):
        for number, reading in enumerate(self.source.read(size, ids)):
            if number == self.after:
                raise self.error
            yield reading


@pytest.fixture
def faces(tmp_path):
    as_archive(tmp_path / "lfw.tgz", MIXED)
    return open_source("lfw", tmp_path)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# What is packed ---------------------------------------------------------------------


def test_everything_is_kept_or_accounted_for(faces, cache):
    packed = pack(faces, 16, cache)
    manifest = packed.manifest
    assert packed.images.shape == (7, 16, 16, 3)
    assert packed.images.dtype == np.uint8
    assert packed.ids == KEPT
    assert packed.groups[:3] == ["Ann_A", "Ann_A", "Bo_B"]
    assert manifest.grayscale == ["Gray_G/Gray_G_0001.jpg"]
    assert list(manifest.unreadable) == ["Cut_C/Cut_C_0001.jpg"]
    assert "cannot be decoded" in manifest.unreadable["Cut_C/Cut_C_0001.jpg"]
    assert manifest.upscaled == ["Tiny_T/Tiny_T_0001.jpg"]
    assert (manifest.kept_count, manifest.grayscale_count) == (7, 1)
    assert manifest.format_version == FORMAT_VERSION
    pixels = np.asarray(packed.images).tobytes()
    assert manifest.pixels_sha256 == hashlib.sha256(pixels).hexdigest()
    assert manifest.unreadable_count == 1


def test_images_are_those_of_the_source(faces, cache):
    packed = pack(faces, 16, cache)
    readings = faces.read(16, set(packed.ids))
    for image, reading in zip(packed.images, readings, strict=True):
        assert (image == reading.rgb).all()


def test_images_cannot_be_written(faces, cache):
    with pytest.raises(ValueError, match="read-only"):
        pack(faces, 16, cache).images[0] = 0


def test_manifest_is_plain_json(faces, cache):
    packed = pack(faces, 16, cache)
    (path,) = cache.rglob("manifest.json")
    assert json.loads(path.read_text()) == asdict(packed.manifest)


def test_manifest_hash_is_that_of_the_photographs(cache, tmp_path):
    as_archive(tmp_path / "lfw.tgz", people())
    as_folder(tmp_path / "unpacked", people())
    packed, unpacked = (
        open_source("lfw", p) for p in (tmp_path, tmp_path / "unpacked")
    )
    one, other = (pack(source, 16, cache).manifest for source in (packed, unpacked))
    assert one.fingerprint != other.fingerprint
    assert one.manifest_hash == other.manifest_hash
    larger = pack(packed, 24, cache).manifest
    part = pack(open_source("lfw", tmp_path, count=5), 16, cache).manifest
    assert len({m.manifest_hash for m in (one, larger, part)}) == 3


@pytest.mark.parametrize("files", [people(gray=True), {"lfw/a/b.jpg": jpeg(0)[:99]}])
def test_data_without_colour_is_refused(files, cache, tmp_path):
    as_archive(tmp_path / "lfw.tgz", files)
    with pytest.raises(UserError, match="expected photographs in colour") as caught:
        pack(open_source("lfw", tmp_path), 16, cache)
    assert "\n" not in str(caught.value)
    assert not [name for name in files_below(cache) if not name.endswith(".lock")]


def test_a_refusal_counts_and_names_what_was_found(cache, tmp_path):
    files = people(gray=True) | {"lfw/Cut_C/Cut_C_0001.jpg": jpeg(51)[:250]}
    as_archive(tmp_path / "lfw.tgz", files)
    told = (
        r"^lfw: found 6 grayscale photographs and 1 unreadable files, such as "
        r"Cut_C/Cut_C_0001\.jpg \(cannot be decoded.*\), expected photographs in colour"
    )
    with pytest.raises(UserError, match=told):
        pack(open_source("lfw", tmp_path), 16, cache)


@given(
    st.floats(5, 95),
    st.floats(0, 360),
    st.one_of(st.floats(0, 3.5), st.floats(8, 30)),
)
def test_grayscale_is_what_scikit_image_says(L, hue, chroma):
    ab = chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))
    lab = torch.tensor([L, *ab])[:, None, None].expand(3, 9, 9)
    rgb = (lab_to_rgb(lab) * 255).round().byte().permute(1, 2, 0).numpy()
    expected = bool((abs(rgb2lab(rgb)[..., 1:]) <= 5).all())
    assert is_grayscale(rgb) == expected


def test_one_coloured_pixel_is_colour():
    rgb = np.full((31, 31, 3), 90, np.uint8)
    assert is_grayscale(rgb)
    rgb[29, 30] = 200, 30, 30
    assert not is_grayscale(rgb)


# The cache --------------------------------------------------------------------------


def test_second_pack_reads_nothing(faces, cache):
    first = pack(faces, 16, cache)
    second = pack(Interrupted(faces, 0, AssertionError("read again")), 16, cache)
    assert (first.images == second.images).all()
    assert first.manifest == second.manifest


def test_another_size_or_source_is_another_cache(faces, cache, tmp_path):
    (tmp_path / "other").mkdir()
    as_archive(tmp_path / "other" / "lfw.tgz", people())
    other = open_source("lfw", tmp_path / "other")
    sources = [faces, other, open_source("scenes", count=3)]
    packs = [pack(source, size, cache) for source in sources for size in (16, 17)]
    assert len({packed.images.filename for packed in packs}) == 6


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("damaged")])
def test_interrupted_pack_leaves_nothing_half(faces, cache, error):
    with pytest.raises(type(error)):
        pack(Interrupted(faces, 4, error), 16, cache)
    assert not [name for name in files_below(cache) if not name.endswith(".lock")]
    assert len(pack(faces, 16, cache).images) == 7


def test_remains_of_a_killed_process_are_cleared(faces, cache):
    where = pack(faces, 16, cache).images.filename
    folder = os.path.dirname(where)
    os.rename(folder, folder + ".part")  # as if it had been killed before the end
    assert len(pack(faces, 16, cache).images) == 7
    assert not list(cache.rglob("*.part"))


@pytest.mark.parametrize("damage", ["images.u8", "manifest.json"])
def test_damaged_cache_is_made_again(faces, cache, damage):
    before = np.array(pack(faces, 16, cache).images)
    (path,) = cache.rglob(damage)
    path.write_bytes(path.read_bytes()[:-7])
    assert (pack(faces, 16, cache).images == before).all()


def test_full_disk_is_one_clear_error(faces, cache):
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(UserError, match="the cache cannot be written") as caught:
            pack(faces, 64, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the cache cannot be written: File too large; make" in str(caught.value)
    assert not [name for name in files_below(cache) if not name.endswith(".lock")]


def test_cache_in_an_impossible_place(faces, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="the cache cannot be written"):
        pack(faces, 16, tmp_path / "file")


def test_two_processes_at_once(faces, cache, tmp_path):
    script = (
        "import sys; from pathlib import Path; from colorlib.data import *;"
        "p = pack(open_source('lfw', Path(sys.argv[1])), 16, Path(sys.argv[2]));"
        "print(p.manifest.pixels_sha256, len(p.images))"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    manifest = pack(Interrupted(faces, 0, AssertionError()), 16, cache).manifest
    assert outputs == {f"{manifest.pixels_sha256} 7\n".encode()}


def test_progress_bar(faces, cache, capsys):
    pack(faces, 16, cache, progress=True)
    assert "packing lfw at 16 px" in capsys.readouterr().err
    pack(faces, 17, cache, progress=False)
    pack(faces, 18, cache)  # this is no terminal
    assert not capsys.readouterr().err


# Read again, at another size --------------------------------------------------------


def test_kept_photographs_at_another_size(faces, cache):
    manifest = pack(faces, 16, cache).manifest
    larger = list(iterate_kept(faces, manifest, 40))
    assert [image.shape for image in larger] == [(40, 40, 3)] * 7
    again = list(iterate_kept(faces, manifest, 16))
    assert (np.stack(again) == pack(faces, 16, cache).images).all()


def test_kept_scenes_at_another_size(cache):
    source = open_source("scenes", count=4)
    manifest = pack(source, 16, cache).manifest
    assert len(list(iterate_kept(source, manifest, 48))) == 4


@pytest.mark.parametrize(
    ("change", "found"),
    [(jpeg(77), "another photograph"), (b"", "another photograph"), (None, "lfw")],
)
def test_photograph_that_changed_since_is_named(tmp_path, cache, change, found):
    root = as_folder(tmp_path, people())
    manifest = pack(open_source("lfw", root), 16, cache).manifest
    path = root / "lfw" / manifest.ids[2]
    path.unlink()
    if change is not None:
        path.write_bytes(change)
    with pytest.raises(UserError, match=f"{found}.*{manifest.ids[2]}"):
        list(iterate_kept(open_source("lfw", root), manifest, 16))


def test_photograph_that_is_gone_is_named(tmp_path, cache):
    root = as_folder(tmp_path, people())
    manifest = pack(open_source("lfw", root), 16, cache).manifest
    (root / "lfw" / manifest.ids[-1]).unlink()
    with pytest.raises(
        UserError, match=f"found nothing in place of {manifest.ids[-1]}"
    ):
        list(iterate_kept(open_source("lfw", root), manifest, 16))


# Several files ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shard", "sizes"), [(3, [3, 3, 1]), (2, [2, 2, 2, 1]), (6, [6, 1])]
)
def test_a_large_data_set_is_cut_into_files(faces, cache, tmp_path, shard, sizes):
    one = pack(faces, 16, tmp_path / "one")
    several = pack(faces, 16, cache, shard=shard)
    assert [len(file) for file in several.images.shards] == sizes
    assert not list(cache.rglob("images.u8"))
    assert several.manifest == one.manifest
    assert several.images.shape == one.images.shape
    again = pack(Interrupted(faces, 0, AssertionError("read again")), 16, cache)
    for images in (several.images, again.images):
        assert (np.asarray(images) == one.images).all()


@pytest.mark.parametrize("shard", [7, 8])
def test_a_data_set_of_one_file_is_as_it_ever_was(faces, cache, shard):
    packed = pack(faces, 16, cache, shard=shard)
    assert isinstance(packed.images, np.memmap)
    assert [path.name for path in cache.rglob("*.u8")] == ["images.u8"]


@pytest.mark.parametrize(
    "index",
    [
        0, -1, slice(None), slice(1, 6, 2), slice(None, None, -1), slice(2, 2),
        [6, 0, 3, 3], [], np.array([[1, 5], [4, -7]]), np.arange(7) % 2 == 0,
        (4, 8), (slice(2, 5), 3, slice(0, 2)), ([6, 1], slice(None), 0, 2),
    ],
    ids=lambda index: "".join(str(index).split()),  # of one line
)  # fmt: skip
def test_several_files_are_indexed_as_one_array(faces, cache, index):
    images = pack(faces, 16, cache, shard=3).images
    whole = np.asarray(images)
    if isinstance(index, list) and not index:
        index = np.array([], np.int64)
    found = images[index]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, whole[index])


@pytest.mark.parametrize("index", [7, -8, [0, 7]])
def test_an_index_beyond_all_files_is_refused(faces, cache, index):
    with pytest.raises(IndexError, match="expected one of 7"):
        pack(faces, 16, cache, shard=3).images[index]


@pytest.mark.parametrize("damage", ["gone", "cut", "one photograph less"])
def test_a_damaged_file_of_several_is_made_again(faces, cache, damage):
    before = np.asarray(pack(faces, 16, cache, shard=3).images)
    path = sorted(cache.rglob("*.u8"))[1]
    if damage == "gone":
        path.unlink()
    else:
        lost = 7 if damage == "cut" else 16 * 16 * 3
        path.write_bytes(path.read_bytes()[:-lost])
    assert (np.asarray(pack(faces, 16, cache, shard=3).images) == before).all()


def test_what_is_identical_is_found_across_files(tmp_path, cache):
    twice = people() | {"lfw/Twin_T/Twin_T_0001.jpg": next(iter(people().values()))}
    images = pack(open_source("lfw", as_folder(tmp_path, twice)), 16, cache, shard=2)
    everyone = np.arange(len(images.images))
    found = [
        identical(images.images, np.array([i]), np.delete(everyone, i))[0]
        for i in everyone
    ]
    assert sum(found) == 2


# The real archives ------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("dataset", ["lfw", "imagenet"])
def test_real_archives(dataset, cache):
    root = os.environ.get("COLORLIB_DATA")
    if not root:
        pytest.skip("set COLORLIB_DATA to the folder of the archives")
    manifest = pack(open_source(dataset, root), 64, cache).manifest
    assert manifest.unreadable_count == 0
    assert manifest.grayscale_count == 42
