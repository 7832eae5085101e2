import io

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from colorlib.data import identical, near_duplicates
from colorlib.errors import UserError
from colorlib.images import fit_square
from colorlib.scenes import render_scenes
from companion.config import load_profile
from companion.data_setup import Folders, prepare_data

NAMES = ("astronaut", "coffee", "cat", "rocket")


@pytest.fixture(scope="module")
def photographs():
    """(4, 64, 64, 3) uint8."""
    return np.stack([fit_square(getattr(data, name)(), 64) for name in NAMES])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 11))
def test_identical_is_what_comparing_all_pixels_says(values, cut):
    images = np.array(values, np.uint8)[:, None, None, None]
    images = np.broadcast_to(images, (len(values), 4, 4, 3))
    indices = np.arange(len(values))
    mine, others = indices[:cut], indices[cut:]
    expected = [any(values[i] == values[k] for k in others) for i in mine]
    assert identical(images, mine, others).tolist() == expected


def test_one_pixel_makes_another_photograph(photographs):
    images = np.stack([photographs[0], photographs[0]])
    images[1, 0, 0, 0] ^= 1  # not in the row that is looked at first
    assert not identical(images, np.array([1]), np.array([0])).any()


def saved_again(rgb):
    """The same picture, smaller, lighter and through JPEG."""
    file = io.BytesIO()
    small = Image.fromarray(rgb).resize((48, 48)).point(lambda v: v * 0.9 + 12)
    small.save(file, "JPEG", quality=60)
    return np.array(Image.open(file).resize((64, 64)))


def test_a_photograph_saved_again_is_found(photographs):
    again = np.stack([saved_again(rgb) for rgb in photographs])
    images = np.concatenate([photographs, again])
    pairs = near_duplicates(images, np.arange(4, 8), np.arange(4))
    assert sorted(pairs) == [(4, 0), (5, 1), (6, 2), (7, 3)]
    assert not identical(images, np.arange(4, 8), np.arange(4)).any()


def test_of_no_photographs_none_is_identical():
    images, none = np.zeros((2, 8, 8, 3), np.uint8), np.arange(0)
    found = identical(images, none, np.arange(2))
    assert (found.shape, found.dtype) == ((0,), bool)


def faded(rgb, share):
    """The picture, and more and more of another one over it."""
    other = fit_square(data.chelsea(), 64)
    return (rgb + share * (other.astype(float) - rgb)).astype(np.uint8)


@pytest.mark.parametrize("options", [{}, {"distance": 0}, {"distance": 6}])
def test_what_is_alike_is_what_the_hashes_say(photographs, options):
    coffee = photographs[NAMES.index("coffee")]
    shares = np.linspace(0, 0.6, 40)
    images = np.stack([coffee, *(faded(coffee, share) for share in shares)])
    hashes = [imagehash.phash(Image.fromarray(image)) for image in images]
    differ = {k: hashes[0] - hashes[k] for k in range(1, 41)}
    assert {0, 2, 4, 6, 8} <= set(differ.values())  # as many ones as zeros: even
    limit = options.get("distance", 4)
    near = sorted((bits, k) for k, bits in differ.items() if bits <= limit)
    pairs = near_duplicates(images, np.array([0]), np.arange(1, 41), **options)
    assert pairs == [(0, k) for _, k in near]


def test_different_scenes_are_not_called_alike():
    images = np.stack(list(render_scenes(60, 64, seed=3)))
    assert near_duplicates(images, np.arange(30), np.arange(30, 60)) == []


def prepared(folder, photographs):
    """The data set of a folder of photographs, and what was said of it."""
    folder.mkdir()
    for number, rgb in enumerate(photographs):
        Image.fromarray(rgb).save(folder / f"{number:02d}.png")
    said = []
    count = len(photographs)
    profile = load_profile("smoke", dataset="folder", count=count, size=64)
    folders = Folders(folder, None, folder / "cache", folder / "runs")
    return prepare_data(profile, folders, said.append), said


def test_what_is_trained_on_is_not_tested_on(tmp_path):
    twice = [*render_scenes(16, 64, seed=1), *render_scenes(8, 64, seed=1)]
    found, said = prepared(tmp_path / "photographs", twice)
    images, parts = found.packed.images, found.split
    leaked = identical(images, parts.test, parts.train)
    assert 0 < leaked.sum() < len(parts.test)
    assert found.test.tolist() == parts.test[~leaked].tolist()
    assert f"left out {leaked.sum()} test photographs" in said[-1]


def test_nothing_left_to_test_on_is_refused(photographs, tmp_path):
    with pytest.raises(UserError, match="every test photograph is also a training"):
        prepared(tmp_path / "photographs", [photographs[0]] * 12)
