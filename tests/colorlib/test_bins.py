"""Bins of the ab plane: which there are, encoding, decoding and rebalancing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from colorlib.bins import (
    annealed_mean,
    bin_centres,
    cautious_colour,
    rebalancing,
    soft_encode,
)


def image_of(ab):
    """Colours (M, 2) as an image one pixel high, (2, 1, M)."""
    return torch.tensor(np.array(ab), dtype=torch.float32).T[:, None]


def test_bins_are_the_cells_that_colours_fall_into():
    # scikit-image over the whole cube, every fifth level: no cell of it is missing
    level = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1)
    ab = rgb2lab(cube.reshape(1, -1, 3))[0, :, 1:]
    hit = {tuple(cell) for cell in np.round(ab / 10).astype(int) * 10}
    ours = {tuple(map(int, centre)) for centre in bin_centres().tolist()}
    assert hit <= ours
    assert len(ours) == len(bin_centres()) == 261
    assert (0, 0) in ours
    assert len(ours - hit) <= 3  # cells that only a corner between the levels reaches


@given(st.lists(st.tuples(*[st.floats(-80, 80)] * 2), min_size=1, max_size=20))
def test_shares_are_probabilities_of_the_nearest_bins(colours):
    shares = soft_encode(image_of(colours), bin_centres())
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(1, len(colours)))
    assert (shares >= 0).all()
    assert ((shares > 0).sum(dim=0) <= 5).all()


def test_shares_follow_the_gaussian_of_zhang():
    ab = np.array([12.0, -3.0])
    shares = soft_encode(image_of([ab]), bin_centres())[:, 0, 0].numpy()
    squared = ((bin_centres().numpy() - ab) ** 2).sum(axis=1)
    nearest = np.argsort(squared)[:5]
    expected = np.zeros(261)
    expected[nearest] = np.exp(-squared[nearest] / (2 * 5.0**2))
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=1e-6)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_decoding_the_shares_returns_the_colour(a, b):
    # the nearest bins surround the colour, so their mean is near
    shares = soft_encode(image_of([[a, b]]), bin_centres())
    ab = annealed_mean(shares.clamp(min=1e-12).log(), bin_centres(), temperature=1)
    assert (ab.flatten() - torch.tensor([a, b])).norm() < 4


def test_temperature_leads_from_the_mean_to_the_mode():
    centres = torch.tensor([[0.0, 0.0], [50.0, 0.0]])
    logits = torch.log(torch.tensor([0.4, 0.6])).view(2, 1, 1)
    a = [annealed_mean(logits, centres, t)[0].item() for t in (1, 0.38, 0.01)]
    assert a[0] == pytest.approx(30)
    expected = 50 * 0.6 ** (1 / 0.38) / (0.4 ** (1 / 0.38) + 0.6 ** (1 / 0.38))
    assert a[1] == pytest.approx(expected, rel=1e-5)
    assert a[2] == pytest.approx(50)


def expected_losses(shares, caution):
    """Of answering each bin, by the definition, in NumPy: (Q,)."""
    bins = bin_centres().numpy().astype(float)
    off = np.linalg.norm(bins[:, None] - bins, axis=-1)  # (Q answers, Q true colours)
    worse = np.maximum(0, off - np.linalg.norm(bins, axis=-1))  # than gray
    return (1 - np.exp(-(off**2) / (2 * 20**2)) + caution * worse) @ shares


@given(st.integers(0, 1000), st.floats(0, 0.02))
def test_the_cautious_colour_is_that_of_the_definition(seed, caution):
    noise = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(2, 261, 2, 3, generator=noise)
    found = cautious_colour(logits, bin_centres(), caution)  # (2, 2, 2, 3)
    for n, y, x in np.ndindex(2, 2, 3):
        losses = expected_losses(logits[n, :, y, x].softmax(0).numpy(), caution)
        nearly_least = np.exp((losses.min() - losses) / 0.03)
        expected = nearly_least @ bin_centres().numpy() / nearly_least.sum()
        np.testing.assert_allclose(found[n, :, y, x], expected, atol=0.05)


def chosen(shares, caution):
    """The cautious colour of a few bins with these probabilities: a and b."""
    logits = torch.full((1, 261, 1, 1), -30.0)
    for ab, share in shares.items():
        logits[0, (bin_centres() == torch.tensor(ab)).all(1)] = float(np.log(share))
    return cautious_colour(logits, bin_centres(), caution).flatten().numpy()


RED, GREEN, BROWN, GRAY = (60.0, 40.0), (-50.0, 40.0), (10.0, 10.0), (0.0, 0.0)


@pytest.mark.parametrize(
    ("shares", "caution", "expected"),
    [
        ({RED: 0.6, GRAY: 0.4}, 0.0, RED),
        ({RED: 0.6, GRAY: 0.4}, 0.01, GRAY),
        ({RED: 0.99, GRAY: 0.01}, 0.01, RED),
        ({RED: 0.6, GREEN: 0.4}, 0.0, RED),  # not the brown between them
        ({RED: 0.3, GREEN: 0.3, GRAY: 0.4}, 0.01, GRAY),
        ({BROWN: 0.7, GRAY: 0.3}, 0.01, BROWN),  # weak colours risk little
    ],
)
def test_a_colour_is_shown_if_it_is_worth_its_risk(shares, caution, expected):
    np.testing.assert_allclose(chosen(shares, caution), expected, atol=5)


def test_rebalancing_weighs_rare_colours_more_and_averages_to_one():
    torch.manual_seed(0)
    prior = torch.rand(261, dtype=torch.float64) ** 8
    prior /= prior.sum()
    weights = rebalancing(prior)
    assert (prior * weights).sum().item() == pytest.approx(1)
    assert weights[prior.argmin()] > weights[prior.argmax()]
    assert weights.max() / weights.min() <= 2 * 261
