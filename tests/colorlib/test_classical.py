"""Colours from scribbles and from an example: what stays, edges, faults."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import color, data, transform

from colorlib.classical import propagate_scribbles, transfer_colour


@pytest.fixture(scope="module")
def lab():
    """A small photograph, (3, 64, 64)."""
    small = transform.resize(data.astronaut(), (64, 64), anti_aliasing=True)
    return np.moveaxis(color.rgb2lab(small), -1, 0)


def scribbles(count):
    chosen = np.zeros((64, 64), dtype=bool)
    chosen.ravel()[np.random.default_rng(0).permutation(chosen.size)[:count]] = True
    return chosen


def rmse(one, other):
    return np.sqrt(np.square(one - other).mean())


def test_scribbles_stay_and_all_others_are_means_of_their_neighbours(lab):
    """So no colour lies outside of those that were scribbled: the maximum principle."""
    chosen = scribbles(20)
    ab = propagate_scribbles(lab[0], lab[1:], chosen)
    np.testing.assert_allclose(ab[:, chosen], lab[1:, chosen])
    for plane, given_plane in zip(ab, lab[1:, chosen], strict=True):
        assert given_plane.min() - 1e-6 <= plane.min()
        assert plane.max() <= given_plane.max() + 1e-6


def test_one_scribble_colours_everything_alike(lab):
    chosen = scribbles(1)
    ab = propagate_scribbles(lab[0], lab[1:], chosen)
    np.testing.assert_allclose(ab, lab[1:, chosen][:, :, None] * np.ones((2, 64, 64)))


def test_more_scribbles_are_better(lab):
    errors = [
        rmse(propagate_scribbles(lab[0], lab[1:], scribbles(n)), lab[1:])
        for n in (10, 100, 1000)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < rmse(lab[1:], 0) / 3


def test_colour_stops_at_an_edge_of_lightness():
    L = np.full((20, 20), 30.0)
    L[:, 10:] = 80.0
    chosen = np.zeros((20, 20), dtype=bool)
    chosen[10, [2, 17]] = True
    ab = np.where(L < 50, 40.0, -40.0) * np.ones((2, 1, 1))
    off = np.abs(propagate_scribbles(L, ab, chosen) - ab)
    assert off[:, :, [0, 5, 14, 19]].max() < 4


def test_what_has_no_answer_is_refused(lab):
    with pytest.raises(ValueError, match="no scribble"):
        propagate_scribbles(lab[0], lab[1:], np.zeros((64, 64), dtype=bool))
    with pytest.raises(ValueError, match="10 x 10"):
        transfer_colour(lab[0], np.zeros((3, 10, 10)))


def test_the_photograph_itself_is_a_good_example(lab):
    from_itself = transfer_colour(lab[0], lab, samples=4096)
    assert rmse(from_itself, lab[1:]) < rmse(lab[1:], 0)


@given(gain=st.floats(0.2, 3), shift=st.floats(-30, 30))
def test_exposure_of_the_example_makes_no_difference(lab, gain, shift):
    exposed = lab.copy()
    exposed[0] = gain * lab[0] + shift
    same = transfer_colour(lab[0], lab) == transfer_colour(lab[0], exposed)
    assert same.mean() > 0.99  # rounding may turn a tie


def test_only_colours_of_the_example_are_given(lab):
    example = np.moveaxis(color.rgb2lab(data.coffee()[::8, ::8]), -1, 0)
    ab = transfer_colour(lab[0], example).reshape(2, -1).T
    assert {*map(tuple, ab)} <= {*map(tuple, example[1:].reshape(2, -1).T)}
    flat = np.ones((3, 20, 20)) * np.array([50.0, 10.0, 20.0]).reshape(3, 1, 1)
    np.testing.assert_array_equal(transfer_colour(lab[0], flat)[:, 0, 0], [10.0, 20.0])
