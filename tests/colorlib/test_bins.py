"""Bins of the ab plane: which there are, encoding, decoding and rebalancing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
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


def expected_loss(ab, shares, caution):
    """Of answering ab, by the definition, in NumPy."""
    truths = bin_centres().numpy().astype(float)
    off = np.hypot(*(ab - truths).T)
    worse = np.maximum(0, off - np.hypot(*truths.T))  # than gray
    return shares @ (1 - np.exp(-(off**2) / (2 * 20**2)) + caution * worse)


@given(st.integers(0, 1000), st.floats(0, 0.02), st.floats(0.3, 2))
@settings(max_examples=10, deadline=None)
def test_the_cautious_colour_is_that_of_the_definition(seed, caution, temperature):
    logits = 4 * torch.randn(261, generator=torch.Generator().manual_seed(seed))
    shares = (logits / temperature).softmax(0).numpy()
    centres = bin_centres().numpy().astype(float)
    losses = np.array([expected_loss(c, shares, caution) for c in centres])
    nearly_least = np.exp((losses.min() - losses) / 0.03)
    expected = nearly_least @ centres / nearly_least.sum()
    given_ = logits.view(1, 261, 1, 1), bin_centres(), temperature, caution
    found = cautious_colour(*given_).flatten().numpy()
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_caution_turns_unlikely_colours_gray_and_leaves_certain_ones():
    red = (bin_centres() == torch.tensor([60.0, 40.0])).all(1).nonzero().item()
    gray = (bin_centres() == 0).all(1).nonzero().item()
    chroma = []
    for p, caution in ((0.6, 0.0), (0.6, 0.01), (0.99, 0.0), (0.99, 0.01)):
        probabilities = torch.full((1, 261, 1, 1), 1e-9)
        probabilities[0, red], probabilities[0, gray] = p, 1 - p
        ab = cautious_colour(probabilities.log(), bin_centres(), 1.0, caution)
        chroma.append(ab.norm().item())
    assert chroma[1] < 10 < 60 < chroma[0]
    assert chroma[3] == pytest.approx(chroma[2], abs=3)


def test_rebalancing_weighs_rare_colours_more_and_averages_to_one():
    torch.manual_seed(0)
    prior = torch.rand(261, dtype=torch.float64) ** 8
    prior /= prior.sum()
    weights = rebalancing(prior)
    assert (prior * weights).sum().item() == pytest.approx(1)
    assert weights[prior.argmin()] > weights[prior.argmax()]
    assert weights.max() / weights.min() <= 2 * 261
