"""Data sets on this machine: in any layout, packed or not, hostile or downloaded."""

import hashlib
import io
import tarfile
from dataclasses import replace

import pytest
from photo_files import as_archive, as_folder, classes, jpeg, people, served
from torchvision.datasets import Imagenette

from colorlib.data import DataConfig
from colorlib.errors import UserError
from companion import datasets
from companion.datasets import download, find_source

NAMES = ("lfw", "imagenet", "imagenette", "folder")
LFW, IMAGENET, IMAGENETTE, FOLDER = (DataConfig(dataset=name) for name in NAMES)
PEOPLE_IDS = [name.removeprefix("lfw/") for name in people()]


@pytest.fixture
def opened(tmp_path):
    return lambda config, root=tmp_path: find_source(config, root, tmp_path / "cache")


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


def test_an_archive_is_unpacked_once_or_again_if_it_changed(tmp_path, opened):
    path = as_archive(tmp_path / "lfw.tgz", people())
    before = opened(LFW)
    assert opened(LFW).fingerprint == before.fingerprint
    as_archive(path, {**people(), "lfw/New/New_0001.jpg": jpeg(99)})
    assert opened(LFW).fingerprint != before.fingerprint


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


def test_the_address_of_imagenette_is_that_of_torchvision():
    known = datasets.DOWNLOADS["imagenette"]
    address, md5 = Imagenette._ARCHIVES["320px"]
    assert known == ("imagenette2-320.tgz", f"md5:{md5}", address)


def test_a_download_is_checked(tmp_path, opened, server, monkeypatch):
    data, files = tmp_path / "data", {"lfw.tgz": people()}
    files["imagenette2-320.tgz"] = classes("imagenette2-320/train/")
    for dataset, (name, content) in zip(datasets.DOWNLOADS, files.items(), strict=True):
        path = as_archive(tmp_path / "server" / name, content)
        known = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for address, error in (("gone.tgz", "HTTPError"), (name, "ValueError")):
            wrong = (name, f"sha256:{'0' * 64}", f"{server}/{address}")
            monkeypatch.setitem(datasets.DOWNLOADS, dataset, wrong)
            with pytest.raises(UserError, match=rf"{error}.* place .* by hand"):
                download(dataset, data)
            assert not (data / name).exists()
        right = (name, known, f"{server}/{name}")
        monkeypatch.setitem(datasets.DOWNLOADS, dataset, right)
        download(dataset, data)
        assert len(opened(DataConfig(dataset=dataset), data)) == len(content)
        (data / name).write_bytes(b"mine")
        download(dataset, data)
        assert (data / name).read_bytes() == b"mine"
    with pytest.raises(UserError, match="no address of imagenet"):
        download("imagenet", data)
