"""The packed cache: every file accounted for, hashes, interruptions, damage."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photo_files import as_folder, jpeg, people
from skimage.color import rgb2lab

from colorlib.color import lab_to_rgb
from colorlib.data import DataConfig, open_source, pack
from colorlib.data.packed import is_grayscale
from colorlib.errors import UserError

LFW = DataConfig(dataset="lfw")
MIXED = people() | {
    "lfw/Gray_G/Gray_G_0001.jpg": jpeg(50, gray=True),
    "lfw/Cut_C/Cut_C_0001.jpg": jpeg(51)[:250],
    "lfw/Zz_Z/Zz_Z_0001.jpg": jpeg(52, (20, 9)),
    "lfw/Zz_Z/notes.txt": b"",
}
KEPT = [*(name[4:] for name in people()), "Zz_Z/Zz_Z_0001.jpg"]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def faces(tmp_path):
    return open_source(LFW, as_folder(tmp_path, MIXED) / "lfw")


def left_behind(cache):
    """What packing left but its locks."""
    return [p for p in cache.glob("packed/*") if not p.name.endswith(".lock")]


# What is packed ---------------------------------------------------------------------


def test_every_file_is_kept_or_accounted_for(faces, cache):
    found = pack(faces, 16, cache)
    manifest = found.manifest
    assert (found.images.shape, found.images.dtype) == ((7, 16, 16, 3), np.uint8)
    assert manifest.ids == KEPT
    assert manifest.groups[:3] == ["Ann_A", "Ann_A", "Bo_B"]
    assert manifest.grayscale == ["Gray_G/Gray_G_0001.jpg"]
    assert list(manifest.unreadable) == ["Cut_C/Cut_C_0001.jpg"]
    assert "cannot be decoded" in manifest.unreadable["Cut_C/Cut_C_0001.jpg"]
    assert manifest.left_out == {".txt files": 1}
    for index, name in enumerate(manifest.ids):
        rgb, sha256 = faces.load(faces.ids.index(name), 16)
        assert (found.images[index] == rgb).all()
        assert manifest.sha256s[index] == sha256
    with pytest.raises(ValueError, match="read-only"):
        found.images[0] = 0
    (path,) = cache.rglob("manifest.json")
    assert json.loads(path.read_text()) == asdict(manifest)


def test_the_hash_is_that_of_images_and_size(tmp_path, cache):
    first, again = (
        open_source(LFW, as_folder(tmp_path / name, people()) / "lfw") for name in "ab"
    )
    one, other = (pack(source, 16, cache).manifest for source in (first, again))
    assert first.fingerprint != again.fingerprint  # by the times of the files
    assert one.manifest_hash == other.manifest_hash
    larger = pack(first, 24, cache).manifest
    part = pack(first.chosen([0, 2, 3]), 16, cache).manifest
    assert len({m.manifest_hash for m in (one, larger, part)}) == 3
    assert one.content_hash == larger.content_hash != part.content_hash


@pytest.mark.parametrize("files", [people(gray=True), {"lfw/a/b.jpg": jpeg(0)[:99]}])
def test_data_without_colour_is_refused(files, cache, tmp_path):
    root = as_folder(tmp_path, files) / "lfw"
    gray = len(files) if len(files) > 1 else 0
    message = (
        rf"lfw: found {gray} images without colour and {1 - bool(gray)} unreadable"
    )
    with pytest.raises(UserError, match=message) as caught:
        pack(open_source(LFW, root), 16, cache)
    assert "\n" not in str(caught.value)
    assert ("such as a/b.jpg (cannot be decoded" in str(caught.value)) == (not gray)
    assert not left_behind(cache)


CHROMA = st.one_of(st.floats(0, 3.5), st.floats(8, 30))  # gray, or not


@given(st.floats(5, 95), st.floats(0, 360), CHROMA)
def test_grayscale_is_what_scikit_image_says(L, hue, chroma):
    ab = chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))
    lab = torch.tensor([L, *ab])[:, None, None].expand(3, 9, 9)
    rgb = (lab_to_rgb(lab) * 255).round().byte().permute(1, 2, 0).numpy()
    expected = bool((abs(rgb2lab(rgb)[..., 1:]) <= 5).all())
    assert is_grayscale(rgb) == expected
    rgb[7, 8] = 200, 30, 30  # one pixel, which is not looked at first
    assert not is_grayscale(rgb)


# The cache --------------------------------------------------------------------------


def test_what_is_packed_is_found_again(faces, cache):
    unread = replace(faces, open=None)
    first, second = pack(faces, 16, cache), pack(unread, 16, cache)
    assert (first.images == second.images).all()
    assert first.manifest == second.manifest
    others = [pack(faces, 17, cache), pack(faces.chosen([0, 1]), 16, cache)]
    assert len({one.images.filename for one in (first, *others)}) == 3


DAMAGES = {
    "cut images": ("images.u8", lambda content: content[:-7]),
    "no images": ("images.u8", None),
    "cut manifest": ("manifest.json", lambda content: content[:-7]),
    "other manifest": ("manifest.json", lambda content: b'{"ids": 5}'),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_made_again(faces, cache, name, damage):
    before = np.array(pack(faces, 16, cache).images)
    (path,) = cache.rglob(name)
    content = path.read_bytes()
    path.unlink()
    if damage:
        assert damage(content) != content
        path.write_bytes(damage(content))
    found = pack(faces, 16, cache)
    assert (found.images == before).all()
    assert found.manifest.groups[2] == "Bo_B"
