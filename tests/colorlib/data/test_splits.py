"""Splits: disjoint parts of the asked sizes, whole groups, near-duplicates."""

import io
from dataclasses import replace

import imagehash
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photographs

from colorlib.data import DataConfig, Manifest, PackedImages, split
from colorlib.errors import UserError
from colorlib.files import hash_of
from colorlib.images import fit_square

LFW = DataConfig(dataset="lfw", validation=0)


def packed(groups, phashes=None, size=16):
    """A packed data set of which only the names and the hashes matter."""
    ids = [f"{group}/{number}" for number, group in enumerate(groups)]
    phashes = phashes or [hash_of(name)[:16] for name in ids]
    manifest = Manifest("lfw", size, ids, list(groups), ids, phashes)
    return PackedImages(np.empty((len(ids), 0, 0, 3), np.uint8), manifest)


def parts_of(split):
    return [split.train, split.validation, *split.tests.values()]


def taken(split):
    return sorted(np.concatenate(parts_of(split)))


GROUPS = st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=60)
KINDS = st.sampled_from(["random", "group", "within_group"])


@given(GROUPS, KINDS, st.floats(0.05, 0.95), st.floats(0, 0.3), st.integers(0, 5))
def test_every_image_is_in_one_part(groups, kind, fraction, validation, seed):
    groups = sorted([*groups, "a", "b", "b"])
    config = replace(
        LFW, split=kind, test_fraction=fraction, validation=validation, seed=seed
    )
    parts = split(packed(groups), config)
    assert taken(parts) == list(range(len(groups)))
    assert all((np.diff(part) > 0).all() for part in parts_of(parts))
    train, validated, (test,) = parts.train, parts.validation, parts.tests.values()
    assert len(validated) == round(validation * (len(train) + len(validated)))
    names = np.array(groups)
    trained = {*names[train], *names[validated]}
    if kind == "random":
        wanted = min(max(fraction * len(groups), 1), len(groups) - 1)
        assert abs(len(test) - wanted) <= 0.5
    elif kind == "group":  # no person is on both sides
        assert not trained & set(names[test])
    else:  # every class that can be is on both sides
        assert trained == set(groups)
        assert set(names[test]) == {g for g in groups if groups.count(g) > 1}


def test_whole_groups_come_near_the_fraction():
    groups = [f"{person:03d}" for person in range(300) for _ in range(1 + person % 5)]
    parts = split(packed(groups), replace(LFW, split="group"))
    assert abs(len(parts.tests["test"]) / len(groups) - 0.25) < 0.005


def test_a_split_is_a_function_of_names_and_settings():
    groups = list("aabbccddee")
    whole = split(packed(groups), LFW)
    assert split(packed(groups, size=32), LFW).hash == whole.hash
    others = [
        split(packed(groups), replace(LFW, seed=1)),
        split(packed(groups), replace(LFW, split="group")),
        split(packed(list("aabbccddzz")), LFW),  # others, in the same places
    ]
    assert others[2].train.tolist() == whole.train.tolist()
    assert len({whole.hash, *(other.hash for other in others)}) == 4


SIZES = [
    ({}, [60, 0, 20]),  # as the paper: three quarters, and a quarter
    ({"validation": 0.25}, [45, 15, 20]),
    ({"validation": 7}, [53, 7, 20]),
    ({"train_count": 10, "test_count": 5, "validation": 8}, [10, 8, 5]),
]


@pytest.mark.parametrize(("changes", "sizes"), SIZES)
def test_parts_have_the_sizes_asked_for(changes, sizes):
    parts = parts_of(split(packed(["a"] * 80), replace(LFW, **changes)))
    assert [len(part) for part in parts] == sizes


TOO_FEW = [
    ("a" * 8, {"validation": 0.95}, "found 6 images .* validation 0.95"),
    ("a" * 8, {"validation": 6}, "validation 6, expected some left"),
    ("a", {}, "1 groups of 1 images, expected at least 2 to divide by random"),
    ("aaaaa", {"split": "group"}, "at least 2 to divide by group"),
    ("abcde", {"split": "within_group"}, "at least 2 to divide by within_group"),
    ("aabb", {"classes": 2, "per_class": 3}, "class a: found 2 .* lower per_class"),
    ("aabb", {"classes": 3, "per_class": 2}, "images of 2 classes, expected 3"),
]


@pytest.mark.parametrize(("groups", "changes", "message"), TOO_FEW)
def test_too_few_are_refused_in_one_line(groups, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        split(packed(list(groups)), replace(LFW, **changes))
    assert "\n" not in str(caught.value)


def test_each_class_gives_its_number_and_unseen_ones_are_only_tested_on():
    groups = [name for name in "dacb" for _ in range(12)]  # in the order of the draw
    config = DataConfig(
        dataset="imagenet", classes=3, per_class=8, unseen_classes=1,
        unseen_per_class=5, split="within_group", validation=4,
    )  # fmt: skip
    parts = split(packed(groups), config)
    names = np.array(groups)
    assert {*names[parts.train], *names[parts.validation]} == set("dac")
    assert parts.tests.keys() == {"seen", "unseen"}
    assert sorted(names[parts.tests["seen"]]) == sorted("aaccdd")
    assert list(names[parts.tests["unseen"]]) == ["b"] * 5
    assert len(parts.train) + len(parts.validation) == 3 * 6


# Near-duplicates --------------------------------------------------------------------


def saved_again(rgb):
    """The same picture, smaller, lighter and through JPEG."""
    file = io.BytesIO()
    small = Image.fromarray(rgb).resize((48, 48)).point(lambda v: v * 0.9 + 12)
    small.save(file, "JPEG", quality=60)
    return np.array(Image.open(file).resize((64, 64)))


def test_a_photograph_saved_again_is_in_no_part():
    names = ("astronaut", "coffee", "cat", "rocket")
    images = [fit_square(getattr(photographs, name)(), 64) for name in names]
    images += [saved_again(rgb) for rgb in images]
    phashes = [str(imagehash.phash(Image.fromarray(rgb))) for rgb in images]
    parts = split(packed("abcdefgh", phashes), LFW)
    assert parts.duplicates == 4
    assert taken(parts) == [0, 1, 2, 3]  # the first of each


def test_a_duplicate_within_a_class_is_replaced_by_a_further_candidate():
    phashes = [hash_of(number)[:16] for number in range(10)]
    phashes[1] = phashes[6] = phashes[0]
    phashes[3] = f"{int(phashes[2], 16) ^ 0b11111:016x}"  # more than four bits away
    config = replace(LFW, classes=2, per_class=4, split="within_group")
    parts = split(packed("aaaaabbbbb", phashes), config)
    assert (taken(parts), parts.duplicates) == ([0, 2, 3, 4, 5, 7, 8, 9], 2)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=9), st.data())
def test_near_duplicates_are_those_of_the_hamming_distance(hashes, draw):
    for one in hashes[:4]:  # some that differ by few bits
        flips = draw.draw(st.sets(st.integers(0, 63), max_size=6))
        hashes.append(one ^ sum(1 << bit for bit in flips))
    expected = []
    for one in range(len(hashes)):
        if all((hashes[one] ^ hashes[k]).bit_count() > 4 for k in expected):
            expected.append(one)
    assume(len(expected) > 1)
    parts = split(packed("a" * len(hashes), [f"{h:016x}" for h in hashes]), LFW)
    assert taken(parts) == expected
