"""Sources of images: draws, links, unreadable files, squares as Pillow's."""

import hashlib
import io
import os
from dataclasses import replace

import numpy as np
import pytest
from photo_files import as_folder, classes, jpeg, people
from PIL import Image
from pydantic import ValidationError

from colorlib.data import DataConfig, ImageSource, open_source
from colorlib.errors import UserError
from colorlib.images import PhotographError
from colorlib.scenes import render_scenes

IMAGENET, FOLDER = (DataConfig(dataset=name) for name in ("imagenet", "folder"))


def test_scenes_are_a_source():
    source = open_source(DataConfig(count=8, seed=2))
    rendered = [source.load(index, 24)[0] for index in range(8)]
    assert (np.stack(rendered) == render_scenes(8, 24, seed=2)).all()
    assert len({source.load(index, 16)[1] for index in range(8)}) == 8
    assert open_source(DataConfig(count=8)).fingerprint != source.fingerprint


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


def test_a_draw_depends_on_seed_and_names_only(tmp_path):
    for count in (10, 12):
        files = {f"{n:02}.jpg": jpeg(n) for n in range(count)}
        as_folder(tmp_path / str(count), files)

    def drawn(count, of, seed=0):
        return open_source(replace(FOLDER, count=count, seed=seed), tmp_path / str(of))

    assert set(drawn(8, 12).ids) < set(drawn(9, 12).ids)
    assert set(drawn(8, 12).ids) - {"10.jpg", "11.jpg"} <= set(drawn(8, 10).ids)
    other = drawn(8, 12, seed=1)
    assert sorted(drawn(8, 12).ids) != other.ids == sorted(other.ids)
    expected = hashlib.sha256(jpeg(int(other.ids[3][:2]))).hexdigest()
    assert other.load(3, 16)[1] == expected


def test_classes_are_drawn_one_after_the_other(tmp_path):
    as_folder(tmp_path, classes(per_class=9))
    counts = {"per_class": 4, "unseen_classes": 1, "unseen_per_class": 2}
    one, *_, other = open_source(replace(IMAGENET, classes=1), tmp_path).groups
    assert one == other  # all of a class
    groups = list(open_source(replace(IMAGENET, classes=1, **counts), tmp_path).groups)
    assert groups == [one] * 5 + [groups[-1]] * 2 != [one] * 7  # a quarter more


def test_the_fingerprint_follows_names_sizes_and_times(tmp_path):
    folder = as_folder(tmp_path, people())
    found = [open_source(FOLDER, folder).fingerprint]
    os.utime(folder / "lfw/Bo_B/Bo_B_0001.jpg", (1, 1))  # of the same size
    found.append(open_source(FOLDER, folder).fingerprint)
    as_folder(folder, {"lfw/New/New_0001.jpg": jpeg(99)})
    assert len({*found, open_source(FOLDER, folder).fingerprint}) == 3


# Folders as people have them --------------------------------------------------------


def test_a_folder_of_anything(tmp_path):
    files = {
        "top.jpg": jpeg(0),
        "a/deep/ünï\ncode.PNG": jpeg(1),  # a JPEG, whatever its name says
        "a/.hidden.jpg": jpeg(2),
        "a/@eaDir/thumbnail.jpg": jpeg(2),
        "a/readme.TXT": b"not an image",
        "a/Makefile": b"",
    }
    root = as_folder(tmp_path / ".album" / "@eaDir", files)  # no matter where
    source = open_source(FOLDER, root)
    assert dict(zip(source.ids, source.groups, strict=True)) == {
        "top.jpg": ".", "a/deep/ünï\ncode.PNG": "a/deep",
    }  # fmt: skip
    assert source.load(1, 16)[0].shape == (16, 16, 3)
    others = {"hidden images": 2, ".txt files": 1, "files without suffix": 1}
    assert source.left_out == others


def test_links_are_followed_out_of_the_folder_and_never_in_a_circle(tmp_path):
    root = as_folder(tmp_path / "imagenet", classes())
    as_folder(tmp_path / "elsewhere", {"x/1.jpg": jpeg(31), "y/2.jpg": jpeg(32)})
    (root / "n00000003").symlink_to(tmp_path / "elsewhere")
    (root / "n00000001" / "again").symlink_to(root / "n00000002")
    (root / "n00000002" / "round").symlink_to(root)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path)  # which holds both
    for config in (IMAGENET, FOLDER):
        source = open_source(config, root)
        assert len(source) == len(set(source.ids)) == 6
        assert source.left_out == {"folders reached twice by links": 4}
    assert open_source(IMAGENET, root).groups[-2:] == ["n00000003"] * 2


def test_an_unreadable_file_is_named(tmp_path):
    files = {"cut.jpg": jpeg(0)[:300], "empty.jpg": b"", "text.jpg": b"a text"}
    root = as_folder(tmp_path / "album", files)
    os.mkfifo(root / "pipe.jpg")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "folder.jpg").mkdir()
    source = open_source(FOLDER, root)
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
