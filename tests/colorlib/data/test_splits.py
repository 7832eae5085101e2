import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorlib.data import Manifest, PackedImages, split
from colorlib.errors import UserError


def packed(groups, size=16):
    """A packed data set of which only the names matter."""
    ids = [f"{group}/{number}" for number, group in enumerate(groups)]
    manifest = Manifest(1, "lfw", "", size, ids, groups, ids, [], {}, [], "")
    return PackedImages(np.empty((len(ids), 0, 0, 3), np.uint8), manifest)


GROUPS = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=60)


@given(GROUPS, st.floats(0.05, 0.95), st.integers(0, 5))
def test_random_parts_are_disjoint_and_complete(groups, fraction, seed):
    parts = split(packed(groups), "random", fraction, seed)
    both = np.concatenate([parts.train, parts.test])
    assert sorted(both) == list(range(len(groups)))
    assert len(parts.train) > 0
    assert len(parts.test) > 0
    wanted = min(max(fraction * len(groups), 1), len(groups) - 1)
    assert abs(len(parts.test) - wanted) <= 0.5
    assert parts.train.dtype == parts.test.dtype == np.int64
    assert (np.diff(parts.train) > 0).all()


@given(GROUPS.filter(lambda groups: len(set(groups)) > 1), st.integers(0, 5))
def test_no_person_is_in_both_parts(groups, seed):
    parts = split(packed(groups), "group", 0.25, seed)
    people = np.array(groups)
    assert not set(people[parts.train]) & set(people[parts.test])
    assert len(parts.train) + len(parts.test) == len(groups)
    assert min(len(parts.train), len(parts.test)) > 0


def test_paper_takes_three_quarters():
    parts = split(packed(["a"] * 400))
    assert (len(parts.train), len(parts.test)) == (300, 100)


def test_whole_groups_come_near_the_fraction():
    groups = [f"{person:03d}" for person in range(300) for _ in range(1 + person % 5)]
    parts = split(packed(groups), "group")
    assert abs(len(parts.test) / len(groups) - 0.25) < 0.005


def test_split_is_a_function_of_its_arguments():
    data = packed(list("aabbccddee"))
    one, same, other = split(data), split(data), split(data, seed=1)
    assert (one.test == same.test).all()
    assert one.hash == same.hash
    assert one.hash != other.hash
    assert split(data, "group").hash != one.hash


def test_a_split_says_what_it_is():
    data = packed(list("aabbccddee"))
    plain, other = split(data), split(data, "group", 0.5, seed=7)
    assert (plain.kind, plain.seed) == ("random", 0)
    assert (other.kind, other.seed) == ("group", 7)
    assert plain.hash == split(data, "random", 0.25, 0).hash


def test_hash_is_over_the_names_in_both_parts():
    data = packed(list("aabbccddee"))
    whole = split(data)
    renamed = packed(list("aabbccddzz"))  # two others, in the same places
    assert split(renamed).test.tolist() == whole.test.tolist()
    assert split(renamed).hash != whole.hash


def test_hash_is_the_same_at_another_size():
    groups = list("aabbccddee")
    assert split(packed(groups, 16)).hash == split(packed(groups, 32)).hash


@pytest.mark.parametrize(("groups", "kind"), [(["a"] * 5, "group"), (["a"], "random")])
def test_too_few_to_divide(groups, kind):
    with pytest.raises(UserError, match="expected at least 2"):
        split(packed(groups), kind)


def test_a_split_of_no_kind_is_refused():
    with pytest.raises(UserError, match="found split 'groups', expected random or"):
        split(packed(["a", "b"]), "groups")
