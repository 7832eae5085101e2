import hashlib
import io
import os
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from photo_files import as_archive, as_folder, jpeg, people, served
from PIL import Image
from pydantic import ValidationError

from colorlib.data import DataConfig, ImageSource, archives, download, open_source
from colorlib.errors import UserError
from colorlib.images import PhotographError
from colorlib.scenes import render_scenes

NAMES = ("lfw", "imagenet", "imagenette", "folder")
LFW, IMAGENET, IMAGENETTE, FOLDER = (DataConfig(dataset=name) for name in NAMES)
PEOPLE_IDS = [name.removeprefix("lfw/") for name in people()]


@pytest.fixture
def opened(tmp_path):
    return lambda config, root=tmp_path: open_source(config, root, tmp_path / "cache")


def classes(root="", per_class=2):
    """Two classes of images."""
    return {
        f"{root}n0000000{k}/n0000000{k}_{i}.JPEG": jpeg(10 * k + i)
        for k in (1, 2)
        for i in range(per_class)
    }


# Data sets --------------------------------------------------------------------------

PLACES = ["lfw-deepfunneled.tgz", "lfw.tar", "lfw-funneled.tar.xz"]


@pytest.mark.parametrize("place", PLACES)
def test_people_are_the_same_from_an_archive_and_a_folder(tmp_path, opened, place):
    mode = {".tgz": "w:gz", ".tar": "w", ".xz": "w:xz"}
    path = as_archive(tmp_path / place, people(), mode[(tmp_path / place).suffix])
    as_folder(tmp_path / "unpacked", people())
    packed, unpacked = opened(LFW), opened(LFW, tmp_path / "unpacked")
    assert packed.ids == unpacked.ids == opened(LFW, path).ids == PEOPLE_IDS
    assert packed.groups == ["Ann_A", "Ann_A", "Bo_B", "Zoë_C", "Zoë_C", "Zoë_C"]
    for index, content in enumerate(people().values()):
        rgb, sha256 = packed.load(index, 16)
        assert (rgb == unpacked.load(index, 16)[0]).all()
        assert sha256 == hashlib.sha256(content).hexdigest()


LAYOUTS = [
    ("",),
    ("imagenet/",),
    ("val/",),
    ("imagenet-sample/train/",),
    ("train/", "val/"),
]


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_classes_in_any_layout(tmp_path, opened, layout, archive):
    files = {f"{layout[0]}README.txt": b"", f"{layout[0]}stray.jpg": b""}
    for root in layout:  # the parts of one data set
        files |= classes(root)
    if archive:
        as_archive(tmp_path / "imagenet.tar", files, "w")
    else:
        as_folder(tmp_path, files)
    source = opened(IMAGENET)
    assert source.groups == (["n00000001"] * 2 + ["n00000002"] * 2) * len(layout)
    assert source.ids[0].endswith("n00000001/n00000001_0.JPEG")
    assert len(set(source.ids)) == len(source)
    if layout != ("",):  # else the folder holds more than the data set
        assert source.left_out == {".txt files": 1, "images in no class": 1}


def test_scenes_are_a_source(opened):
    source = opened(DataConfig(count=8, seed=2), None)
    rendered = [source.load(index, 24)[0] for index in range(8)]
    assert (np.stack(rendered) == render_scenes(8, 24, seed=2)).all()
    assert len({source.load(index, 16)[1] for index in range(8)}) == 8
    assert opened(DataConfig(count=8), None).fingerprint != source.fingerprint


MISSING = [
    (LFW, "no lfw, expected .* lfw-deepfunneled, .*place it there"),
    (IMAGENETTE, "found no image, expected some, of classes in one folder a class"),
    (replace(IMAGENET, classes=3), "found 2 classes, expected 3; lower classes"),
    (replace(IMAGENET, count=8), "found 4 images, expected 8; lower count"),
    (replace(FOLDER, count=9), "found 4 images, expected 9"),
]


@pytest.mark.parametrize(("config", "message"), MISSING)
def test_what_is_not_there_is_one_line(tmp_path, opened, config, message):
    as_folder(tmp_path / "imagenet", classes())
    (tmp_path / "imagenette2").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        opened(config)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="needs one: --data-root"):
        opened(config, None)
    with pytest.raises(UserError, match="found no"):
        opened(config, tmp_path / "none")
    with pytest.raises(UserError, match="found no image"):
        opened(FOLDER, tmp_path / "imagenette2")


UNSEEN = {"unseen_classes": 2, "unseen_per_class": 2}
ODD = [
    ({"classes": 2, "count": 9}, "expected one of them"),
    (UNSEEN, "expected both"),
    ({"classes": 2, "unseen_classes": 2}, "expected unseen_per_class"),
    ({"dataset": "scenes", "classes": 2}, "expected none"),
    ({"siez": 64}, "Unexpected keyword"),
]


@pytest.mark.parametrize(("settings", "message"), ODD)
def test_settings_that_would_be_others_than_they_seem_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig(**{"dataset": "lfw"} | settings)


# Draws ------------------------------------------------------------------------------


def test_a_draw_depends_on_seed_and_names_only(tmp_path, opened):
    for count in (10, 12):
        files = {f"{n:02}.jpg": jpeg(n) for n in range(count)}
        as_folder(tmp_path / str(count), files)

    def drawn(count, of, seed=0):
        return opened(replace(FOLDER, count=count, seed=seed), tmp_path / str(of))

    assert set(drawn(8, 12).ids) < set(drawn(9, 12).ids)
    assert set(drawn(8, 12).ids) - {"10.jpg", "11.jpg"} <= set(drawn(8, 10).ids)
    other = drawn(8, 12, seed=1)
    assert sorted(drawn(8, 12).ids) != other.ids == sorted(other.ids)
    expected = hashlib.sha256(jpeg(int(other.ids[3][:2]))).hexdigest()
    assert other.load(3, 16)[1] == expected


def test_classes_are_drawn_one_after_the_other(tmp_path, opened):
    as_folder(tmp_path, classes(per_class=9))
    counts = {"per_class": 4, "unseen_classes": 1, "unseen_per_class": 2}
    one, *_, other = opened(replace(IMAGENET, classes=1)).groups
    assert one == other  # all of a class
    groups = list(opened(replace(IMAGENET, classes=1, **counts)).groups)
    assert groups == [one] * 5 + [groups[-1]] * 2 != [one] * 7  # a quarter more


def test_the_fingerprint_follows_names_sizes_and_times(tmp_path, opened):
    archive = as_archive(tmp_path / "lfw.tgz", people())
    folder = as_folder(tmp_path / "folder", people())
    before = opened(LFW).fingerprint, opened(FOLDER, folder).fingerprint
    os.utime(archive, (1, 1))  # as if another one of the same size were there
    as_folder(folder, {"lfw/New/New_0001.jpg": jpeg(99)})
    after = opened(LFW).fingerprint, opened(FOLDER, folder).fingerprint
    assert len({*before, *after}) == 4


# Folders as people have them --------------------------------------------------------


def test_a_folder_of_anything(tmp_path, opened):
    files = {
        "top.jpg": jpeg(0),
        "a/deep/ünï\ncode.PNG": jpeg(1),  # a JPEG, whatever its name says
        "a/.hidden.jpg": jpeg(2),
        "a/@eaDir/thumbnail.jpg": jpeg(2),
        "a/readme.TXT": b"not an image",
        "a/Makefile": b"",
    }
    root = as_folder(tmp_path / ".album" / "@eaDir", files)  # no matter where
    source = opened(FOLDER, root)
    assert dict(zip(source.ids, source.groups, strict=True)) == {
        "top.jpg": ".", "a/deep/ünï\ncode.PNG": "a/deep",
    }  # fmt: skip
    assert source.load(1, 16)[0].shape == (16, 16, 3)
    others = {"hidden images": 2, ".txt files": 1, "files without suffix": 1}
    assert source.left_out == others


def test_links_are_followed_out_of_the_folder_and_never_in_a_circle(tmp_path, opened):
    root = as_folder(tmp_path / "imagenet", classes())
    as_folder(tmp_path / "elsewhere", {"x/1.jpg": jpeg(31), "y/2.jpg": jpeg(32)})
    (root / "n00000003").symlink_to(tmp_path / "elsewhere")
    (root / "n00000001" / "again").symlink_to(root / "n00000002")
    (root / "n00000002" / "round").symlink_to(root)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path)  # which holds both
    for config in (IMAGENET, FOLDER):
        source = opened(config, root)
        assert len(source) == len(set(source.ids)) == 6
        assert source.left_out == {"folders reached twice by links": 4}
    assert opened(IMAGENET, root).groups[-2:] == ["n00000003"] * 2


def test_an_unreadable_file_is_named(tmp_path, opened):
    files = {"cut.jpg": jpeg(0)[:300], "empty.jpg": b"", "text.jpg": b"a text"}
    root = as_folder(tmp_path / "album", files)
    os.mkfifo(root / "pipe.jpg")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "folder.jpg").mkdir()
    source = opened(FOLDER, root)
    assert {*source.ids} == files.keys() | {"pipe.jpg", "gone.jpg", "loop.jpg"}
    for index in range(len(source)):
        with pytest.raises(
            PhotographError, match=r"is no file|found nothing|cannot be|not an image"
        ):
            source.load(index, 16)
    root.rename(tmp_path / "elsewhere")  # as a disk that is no longer mounted
    with pytest.raises(UserError, match="restore it") as caught:
        source.load(source.ids.index("cut.jpg"), 16)
    assert not isinstance(caught.value, PhotographError)  # it says nothing of the image


def square(rgb, size):
    """An image as a source loads it."""
    return ImageSource("x", ["x"], [""], lambda *_: (rgb, ""), "").load(0, size)[0]


@pytest.mark.parametrize("shape", [(50, 80), (80, 50), (31, 31), (16, 16), (9, 30)])
def test_squares_are_those_of_pillow(shape):
    image = Image.open(io.BytesIO(jpeg(3, shape)))
    height, width = (side * 16 // min(shape) for side in shape)
    resized = np.array(image.resize((width, height), Image.Resampling.BICUBIC), int)
    top, left = round((height - 16) / 2), round((width - 16) / 2)
    expected = resized[top : top + 16, left : left + 16]
    assert abs(square(np.array(image), 16) - expected).max() <= 1


def test_of_a_long_strip_the_middle_is_shown():
    strip = np.zeros((2, 200_000, 3), np.uint8)
    strip[:, 100_000 - 20 : 100_000 + 20] = 200  # as resized: a gigabyte
    for rgb in (strip, strip.transpose(1, 0, 2)):
        assert (square(rgb, 64) == 200).all()


def test_an_archive_reaches_nothing_outside_itself(tmp_path, opened):  # see also faults
    path = tmp_path / "a.tar"
    names = ["../../evil.jpg", "/tmp/evil_absolute.jpg", "b/good.jpg", "b/.hidden.jpg"]
    others = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "tty": tarfile.CHRTYPE}
    with tarfile.open(path, "w") as archive:
        for name, kind in others.items():
            member = tarfile.TarInfo(f"{name}.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for name in (*names, "b/twice.jpg", "b/twice.jpg", "x" * 300 + ".jpg"):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(jpeg(0)), 2**40
            archive.addfile(member, io.BytesIO(jpeg(0)))
    for _ in range(2):  # unpacked, and found
        source = opened(FOLDER, path)
        assert source.ids == ["b/good.jpg", "b/twice.jpg", "tmp/evil_absolute.jpg"]
        assert source.left_out == {
            "links": 2, "devices": 1, "hidden images": 2,
            "images whose names cannot be used": 1,
        }  # fmt: skip
    assert not [*tmp_path.rglob("evil.jpg"), *tmp_path.rglob("*.part")]


# Downloads, from a server on this machine -------------------------------------------


@pytest.fixture
def server(tmp_path):
    (tmp_path / "server").mkdir()
    with served(tmp_path / "server") as address:
        yield address


def test_a_download_is_checked(tmp_path, opened, server, monkeypatch):
    data, files = tmp_path / "data", {"lfw.tgz": people()}
    files["imagenette2-320.tgz"] = classes("imagenette2-320/train/")
    for dataset, (name, content) in zip(archives.DOWNLOADS, files.items(), strict=True):
        path = as_archive(tmp_path / "server" / name, content)
        known = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for address, error in (("gone.tgz", "HTTPError"), (name, "ValueError")):
            wrong = (name, f"sha256:{'0' * 64}", f"{server}/{address}")
            monkeypatch.setitem(archives.DOWNLOADS, dataset, wrong)
            with pytest.raises(UserError, match=rf"{error}.* place .* by hand"):
                download(dataset, data)
            assert not (data / name).exists()
        right = (name, known, f"{server}/{name}")
        monkeypatch.setitem(archives.DOWNLOADS, dataset, right)
        download(dataset, data)
        assert len(opened(DataConfig(dataset=dataset), data)) == len(content)
        (data / name).write_bytes(b"mine")
        download(dataset, data)
        assert (data / name).read_bytes() == b"mine"
    with pytest.raises(UserError, match="no address of imagenet"):
        download("imagenet", data)
