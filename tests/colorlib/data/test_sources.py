import hashlib
import io
import os
import sys
import tarfile
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
import pytest
from photo_files import as_archive, as_folder, jpeg, people
from PIL import Image

from colorlib.data import downloads, fetch_missing, finding, open_source, trees
from colorlib.data.archives import open_tree
from colorlib.data.finding import find_imagenette, find_lfw
from colorlib.data.sources import MixedSource, ScenesSource
from colorlib.errors import UserError
from colorlib.scenes.rendering import render_scenes
from companion import cli

PEOPLE_IDS = [name.removeprefix("lfw/") for name in people()]


def read(source, size=16, ids=None):
    return list(source.read(size, ids))


def same_readings(one, other):
    return all(
        a.item == b.item and a.sha256 == b.sha256 and (a.rgb == b.rgb).all()
        for a, b in zip(one, other, strict=True)
    )


# Faces ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:xz"])
def test_people_are_the_same_from_an_archive_and_a_folder(tmp_path, mode):
    archive = as_archive(tmp_path / "lfw.tgz", people(), mode)
    as_folder(tmp_path / "unpacked", people())
    packed = open_source("lfw", tmp_path)
    unpacked = open_source("lfw", tmp_path / "unpacked")
    assert packed.tree.path == archive
    assert same_readings(read(packed), read(unpacked))
    assert [item.id for item in packed.items] == PEOPLE_IDS
    assert [item.group for item in packed.items] == [
        "Ann_A", "Ann_A", "Bo_B", "Zoë_C", "Zoë_C", "Zoë_C",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "place", ["lfw-deepfunneled.tgz", "lfw.tgz", "lfw_home/lfw-funneled.tgz"]
)
def test_faces_are_found_where_other_tools_put_them(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    as_archive(path, people())
    assert find_lfw(tmp_path) == path
    assert find_lfw(path) == path


def test_missing_faces_name_the_file_to_place(tmp_path):
    with pytest.raises(
        UserError, match=r"found none of lfw-deepfunneled\.tgz, .*place"
    ):
        open_source("lfw", tmp_path)
    with pytest.raises(UserError, match="--data-root"):
        open_source("lfw")
    with pytest.raises(UserError, match="found nothing"):
        open_source("lfw", tmp_path / "lfw.tgz")


def test_fingerprint_follows_the_content(tmp_path):
    path = as_archive(tmp_path / "lfw.tgz", people())
    before = open_source("lfw", tmp_path).fingerprint
    assert open_source("lfw", tmp_path).fingerprint == before
    as_archive(path, people() | {"lfw/New/New_0001.jpg": jpeg(99)})
    assert open_source("lfw", tmp_path).fingerprint != before


def test_fingerprint_of_a_folder_follows_its_files(tmp_path):
    root = as_folder(tmp_path, people())
    before = open_source("folder", root).fingerprint
    as_folder(root, {PEOPLE_IDS[0]: jpeg(99)})
    assert open_source("folder", root).fingerprint != before


# Classes ----------------------------------------------------------------------------


def classes(root):
    names = "n00000001", "n00000002"
    return {f"{root}{n}/{n}_{i}.JPEG": jpeg(i) for n in names for i in (1, 2)}


@pytest.mark.parametrize("name", ["imagenet-sample.tar", "imagenet.tar"])
def test_imagenet_archive(tmp_path, name):
    as_archive(tmp_path / name, classes("imagenet-sample/"), "w")
    items = open_source("imagenet", tmp_path).items
    assert items[0].id == "n00000001/n00000001_1.JPEG"
    assert [item.group for item in items] == ["n00000001"] * 2 + ["n00000002"] * 2


@pytest.mark.parametrize("root", ["", "train/", "val/", "imagenet/"])
def test_imagenet_tree(tmp_path, root):
    as_folder(tmp_path, classes(root))
    items = open_source("imagenet", tmp_path).items
    assert {item.group for item in items} == {"n00000001", "n00000002"}
    assert len(items) == 4


def test_one_class_alone_is_still_a_class(tmp_path):
    as_folder(tmp_path, {"n00000001/a.JPEG": jpeg(1), "n00000001/b.JPEG": jpeg(2)})
    assert {i.group for i in open_source("imagenet", tmp_path).items} == {"n00000001"}


def test_missing_imagenet_says_what_it_needs(tmp_path):
    with pytest.raises(UserError, match="one folder a class"):
        open_source("imagenet", tmp_path)


@pytest.mark.parametrize("archive", [True, False])
def test_imagenette_in_the_layout_of_torchvision(tmp_path, archive):
    files = classes("imagenette2-160/train/") | classes("imagenette2-160/val/")
    if archive:
        as_archive(tmp_path / "imagenette2-160.tgz", files)
    else:
        as_folder(tmp_path, files)
    items = open_source("imagenette", tmp_path).items
    assert len(items) == len({item.id for item in items}) == 8
    assert items[0].id == "train/n00000001/n00000001_1.JPEG"
    assert {item.group for item in items} == {"n00000001", "n00000002"}


def test_imagenette_may_be_named_itself(tmp_path):
    path = tmp_path / "imagenette2-320.tgz"
    with pytest.raises(UserError, match="imagenette2-320"):
        find_imagenette(path)
    path.touch()
    assert find_imagenette(path) == path


def test_missing_imagenette_names_the_file_to_place(tmp_path):
    with pytest.raises(UserError, match=r"place imagenette2-320\.tgz there by hand"):
        open_source("imagenette", tmp_path)


# Any folder -------------------------------------------------------------------------


def test_folder_of_anything(tmp_path):
    files = {
        "top.jpg": jpeg(0),
        "a/deep/ünï\ncode.PNG": jpeg(1),  # a JPEG, whatever its name says
        "a/.hidden.jpg": jpeg(2),
        "a/._resource.jpg": b"not an image",
        "a/readme.txt": b"not an image",
    }
    source = open_source("folder", as_folder(tmp_path, files))
    assert [(i.id, i.group) for i in source.items] == [
        ("a/deep/ünï\ncode.PNG", "a/deep"),
        ("top.jpg", "."),
    ]
    assert all(reading.rgb.shape == (16, 16, 3) for reading in read(source))


def test_unreadable_files_are_named_not_fatal(tmp_path):
    files = {"cut.jpg": jpeg(0)[:300], "empty.jpg": b"", "text.jpg": b"a text"}
    root = as_folder(tmp_path, files | {"whole.jpg": jpeg(1)})
    os.mkfifo(root / "pipe.jpg")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "folder.jpg").mkdir()
    (root / "round").symlink_to(root)
    readings = {r.item.id: r for r in read(open_source("folder", root))}
    whole = readings.pop("whole.jpg")
    assert whole.rgb is not None
    assert readings.keys() == files.keys() | {"pipe.jpg", "gone.jpg", "loop.jpg"}
    assert all(r.rgb is None and r.fault for r in readings.values())
    assert "not a file" in readings["pipe.jpg"].fault
    assert "cannot be decoded" in readings["cut.jpg"].fault


def test_small_photographs_are_enlarged_and_say_so(tmp_path):
    root = as_folder(tmp_path, {"big.jpg": jpeg(0), "tiny.jpg": jpeg(1, (9, 60))})
    big, tiny = read(open_source("folder", root), 32)
    assert (big.upscaled, tiny.upscaled) == (False, True)
    assert tiny.rgb.shape == (32, 32, 3)


def test_size_of_the_decoded_image_does_not_make_it_upscaled(tmp_path):
    large = Image.fromarray(np.zeros((700, 900, 3), np.uint8))
    file = io.BytesIO()
    large.save(file, "JPEG")
    root = as_folder(tmp_path, {"large.jpg": file.getvalue()})
    (reading,) = read(open_source("folder", root), 32)
    assert not reading.upscaled


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="found no image file"):
        _ = open_source("folder", tmp_path).items


def test_unknown_data_set_and_kind_of_file(tmp_path):
    with pytest.raises(UserError, match="expected one of scenes, lfw"):
        open_source("faces", tmp_path)
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(UserError, match="a file of another kind"):
        open_tree(tmp_path / "a.zip")


# Part of a source -------------------------------------------------------------------


def test_count_draws_by_seed(tmp_path):
    as_archive(tmp_path / "lfw.tgz", people())
    drawn = [open_source("lfw", tmp_path, 3, seed) for seed in (0, 0, 1)]
    ids = [[item.id for item in source.items] for source in drawn]
    assert ids[0] == ids[1] == sorted(ids[0])
    assert ids[0] != ids[2]
    assert len({source.fingerprint for source in drawn}) == 2
    assert [reading.item.id for reading in read(drawn[0])] == ids[0]


@pytest.mark.parametrize("dataset", ["lfw", "imagenet", "imagenette", "folder"])
def test_every_data_set_draws_by_count_and_seed(tmp_path, dataset):
    as_archive(tmp_path / "lfw.tgz", people())
    as_archive(tmp_path / "imagenet.tar", classes("imagenet/"), "w")
    as_archive(tmp_path / "imagenette2.tgz", classes("imagenette2/train/"))
    root = tmp_path / "lfw.tgz" if dataset == "folder" else tmp_path
    source = open_source(dataset, root, 3, seed=5)
    assert source.name == dataset
    assert (source.count, source.seed) == (3, 5)
    assert len(source.items) == 3
    everything = open_source(dataset, root)
    assert (everything.count, everything.seed) == (None, 0)
    assert len(everything.items) == (6 if dataset in ("lfw", "folder") else 4)
    assert {item.id for item in source.items} < {item.id for item in everything.items}


def test_mixed_is_so_many_of_each(tmp_path):
    as_archive(tmp_path / "lfw.tgz", people())
    as_archive(tmp_path / "imagenet.tar", classes("imagenet/"), "w")
    mixed = open_source("mixed", tmp_path, 2, seed=5)
    assert [(part.name, part.seed) for part in mixed.sources] == [
        ("lfw", 5), ("imagenet", 5), ("scenes", 5),
    ]  # fmt: skip
    assert [len(part.items) for part in mixed.sources] == [2, 2, 2]
    assert mixed.items[-1].id == "scenes:5/000001"


def test_scenes_have_a_number_and_a_seed_of_their_own():
    scenes = open_source("scenes")
    assert (len(scenes.items), scenes.seed) == (2000, 0)
    hashes = {reading.sha256 for reading in read(open_source("scenes", count=3))}
    others = {
        reading.sha256 for reading in read(open_source("scenes", count=3, seed=1))
    }
    assert len(hashes | others) == 6


def test_all_that_there_are_may_be_drawn(tmp_path):
    as_archive(tmp_path / "lfw.tgz", people())
    assert [item.id for item in open_source("lfw", tmp_path, 6).items] == PEOPLE_IDS


def test_a_photograph_of_the_very_size_is_not_enlarged(tmp_path):
    (exact,) = read(open_source("folder", as_folder(tmp_path, {"a.jpg": jpeg(0)})), 40)
    assert not exact.upscaled


def test_count_beyond_the_source_is_refused(tmp_path):
    as_archive(tmp_path / "lfw.tgz", people())
    with pytest.raises(UserError, match="found 6 photographs, expected 7"):
        _ = open_source("lfw", tmp_path, 7).items


def test_only_the_wanted_are_read(tmp_path):
    as_archive(tmp_path / "lfw.tgz", people())
    wanted = {PEOPLE_IDS[4], PEOPLE_IDS[1]}
    readings = read(open_source("lfw", tmp_path), ids=wanted)
    assert [r.item.id for r in readings] == [PEOPLE_IDS[1], PEOPLE_IDS[4]]


def test_scenes_are_a_source():
    source = open_source("scenes", count=5, seed=2)
    assert len(source.items) == len({item.id for item in source.items}) == 5
    readings = read(source, ids={source.items[3].id})
    assert [r.item for r in readings] == [source.items[3]]
    assert same_readings(readings, read(source)[3:4])
    drawn = render_scenes(5, 16, seed=2)
    assert all((r.rgb == one).all() for r, one in zip(read(source), drawn, strict=True))
    assert open_source("scenes", count=5, seed=3).fingerprint != source.fingerprint


# Archives from strangers ------------------------------------------------------------


def test_archive_reaches_nothing_outside_itself(tmp_path):
    path = tmp_path / "box" / "a.tar"
    path.parent.mkdir()
    link = tarfile.TarInfo("b/link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard = tarfile.TarInfo("b/hard.jpg")
    hard.type, hard.linkname = tarfile.LNKTYPE, "/etc/passwd"
    device = tarfile.TarInfo("b/device.jpg")
    device.type = tarfile.CHRTYPE
    with tarfile.open(path, "w") as archive:
        for member in (link, hard, device):
            archive.addfile(member)
        for name in ("../../evil.jpg", "/tmp/evil_absolute.jpg"):
            member = tarfile.TarInfo(name)
            member.size = len(jpeg(0))
            archive.addfile(member, io.BytesIO(jpeg(0)))
    source = open_source("folder", path)
    assert len(source.items) == 2  # the two plain files, under whatever name
    assert all(reading.rgb is not None for reading in read(source))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_member_of_absurd_size_is_not_read(tmp_path, monkeypatch):
    path = as_archive(tmp_path / "lfw.tgz", people())
    monkeypatch.setattr(trees, "MAX_FILE_BYTES", 100)
    for reading in read(open_source("lfw", path)):
        assert "expected at most 100" in reading.fault
    archive = trees.Archive(path)
    faults = dict(archive.read(set(archive.names)))
    assert {fault.name for fault in faults.values()} == set(faults)
    largest = max(len(content) for content in people().values())
    monkeypatch.setattr(trees, "MAX_FILE_BYTES", largest)
    assert not any(reading.fault for reading in read(open_source("lfw", path)))


def test_member_that_comes_twice_counts_once(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for seed in (0, 1):
            member = tarfile.TarInfo("x/a.jpg")
            member.size = len(jpeg(seed))
            archive.addfile(member, io.BytesIO(jpeg(seed)))
    assert len(read(open_source("folder", path))) == 1


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_cut_archive_is_one_clear_error(tmp_path, mode, keep):
    path = as_archive(tmp_path / "lfw.tgz", people(), mode)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(UserError, match=r"lfw\.tgz: found") as caught:
        read(open_source("lfw", tmp_path))
    assert "\n" not in str(caught.value)


def test_archive_that_is_none(tmp_path):
    (tmp_path / "lfw.tgz").write_bytes(b"<html>403 Forbidden</html>" * 100)
    with pytest.raises(UserError, match="found a damaged archive"):
        _ = open_source("lfw", tmp_path).items


def test_an_archive_is_gone_through_from_its_start_only(tmp_path):
    # the limit of what is unpacked is counted from there
    path = as_archive(tmp_path / "lfw.tgz", people())
    with trees._Unpacked(path) as content:
        assert content.seek(512) == 512
        for whence in (os.SEEK_CUR, os.SEEK_END):
            with pytest.raises(io.UnsupportedOperation, match=f"whence {whence}"):
                content.seek(1, whence)
        assert content.tell() == 512


def test_a_path_to_nothing_says_so(tmp_path):
    (tmp_path / "a.zip").touch()
    with pytest.raises(UserError, match=r"none\.tar: found nothing, expected a folder"):
        open_tree(tmp_path / "none.tar")
    with pytest.raises(UserError, match="found a file of another kind"):
        open_tree(tmp_path / "a.zip")


def test_a_fault_knows_its_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    ((name, fault),) = open_tree(tmp_path).read({"pipe.jpg"})
    assert (name, fault.name, fault.reason) == ("pipe.jpg", "pipe.jpg", "is not a file")


# Downloads, from a server on this machine -------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """Serves `tmp_path/server`; gives its address."""
    folder = tmp_path / "server"
    folder.mkdir()
    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture
def mirrors(tmp_path, server, monkeypatch):
    """A dead mirror, then one with an archive whose hash is the expected one."""
    path = as_archive(tmp_path / "server" / "lfw.tgz", people())
    known = open_tree(path).fingerprint
    monkeypatch.setattr(downloads, "LFW_SHA256", known)
    urls = f"{server}/gone.tgz", f"{server}/lfw.tgz"
    monkeypatch.setattr(downloads, "LFW_MIRRORS", urls)


@pytest.mark.usefixtures("mirrors")
def test_download_tries_the_mirrors_in_turn(tmp_path):
    path = downloads.download_lfw(tmp_path / "data")
    assert len(open_source("lfw", tmp_path / "data").items) == 6
    path.write_bytes(b"mine")
    assert downloads.download_lfw(tmp_path / "data").read_bytes() == b"mine"


@pytest.mark.usefixtures("mirrors")
def test_the_command_line_downloads_once_and_packs(tmp_path, monkeypatch, capsys):
    data_root = tmp_path / "photographs"
    command = ["colorlib", "data", "prepare", "--profile", "laptop", "--size", "16"]
    command += ["--cache-root", str(tmp_path / "cache"), "--download"]
    monkeypatch.setattr(sys, "argv", [*command, "--data-root", str(data_root)])
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        assert "kept 6, grayscale dropped 0" in capsys.readouterr().out
        monkeypatch.setattr(downloads, "LFW_MIRRORS", ())  # nothing is fetched again
    assert [path.name for path in data_root.iterdir()] == ["lfw-funneled.tgz"]


def test_a_download_needs_a_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["colorlib", "data", "prepare", "--profile", "laptop", "--download"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        cli.main()
    assert "found no --data-root" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_download_of_imagenette(tmp_path, server, monkeypatch):
    files = classes("imagenette2-320/train/")
    path = as_archive(tmp_path / "server" / "imagenette2-320.tgz", files)
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(downloads, "IMAGENETTE_MD5", md5)
    urls = (f"{server}/imagenette2-320.tgz",)
    monkeypatch.setattr(downloads, "IMAGENETTE_MIRRORS", urls)
    downloads.download_imagenette(tmp_path)
    assert len(open_source("imagenette", tmp_path).items) == 4
    monkeypatch.setattr(downloads, "IMAGENETTE_MD5", "0" * 32)
    with pytest.raises(UserError, match="with md5:0000"):
        downloads.download_imagenette(tmp_path / "elsewhere")


def test_mixed_sources_are_read_behind_each_other():
    parts = [ScenesSource(3, seed=0), ScenesSource(2, seed=1)]
    parts[1].name = "others"
    mixed = MixedSource(parts)
    assert [item.id for item in mixed.items] == [
        "scenes:0/000000", "scenes:0/000001", "scenes:0/000002",
        "others:1/000000", "others:1/000001",
    ]  # fmt: skip
    assert mixed.items[3].group == "others:0"
    whole = list(mixed.read(16))
    assert [reading.item for reading in whole] == mixed.items
    single = [reading for part in parts for reading in part.read(16)]
    for ours, theirs in zip(whole, single, strict=True):
        assert (ours.rgb == theirs.rgb).all()
        assert ours.sha256 == theirs.sha256
    some = [reading.item.id for reading in mixed.read(16, {"others:1/000001"})]
    assert some == ["others:1/000001"]
    assert mixed.fingerprint != MixedSource(parts[::-1]).fingerprint


def test_only_what_is_missing_is_fetched(tmp_path, monkeypatch):
    fetched = []
    for name in ("download_lfw", "download_imagenette"):
        monkeypatch.setattr(finding, name, lambda root, name=name: fetched.append(name))
    (tmp_path / "lfw.tgz").touch()
    fetch_missing("lfw", tmp_path)
    assert fetched == []
    fetch_missing("imagenette", tmp_path)
    fetch_missing("lfw", tmp_path / "elsewhere")
    assert fetched == ["download_imagenette", "download_lfw"]
    with pytest.raises(UserError, match="no address of imagenet"):
        fetch_missing("imagenet", tmp_path)


@pytest.mark.usefixtures("mirrors")
def test_download_of_something_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "LFW_SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"place it in .* by hand") as caught:
        downloads.download_lfw(tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert "gone.tgz: HTTPError; " in str(caught.value)  # each mirror, and its fault
    assert "lfw.tgz: ValueError" in str(caught.value)
    assert not list((tmp_path / "data").iterdir())


# The real archives ------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("dataset", "photographs", "groups"),
    [("lfw", 13_233, 5_749), ("imagenet", 1_600, 1_050)],
)
def test_real_archives(dataset, photographs, groups):
    root = os.environ.get("COLORLIB_DATA")
    if not root:
        pytest.skip("set COLORLIB_DATA to the folder of the archives")
    items = open_source(dataset, trees.Path(root)).items
    assert len(items) == len({item.id for item in items}) == photographs
    assert len({item.group for item in items}) == groups
