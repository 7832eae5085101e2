from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colorlib.features import Features
from colorlib.sampling import Batch, EpochLoader, EpochSampler, Samples, loader

COUNTS, SIZES, SEEDS = st.integers(1, 60), st.integers(1, 25), st.integers(0, 2**32)
PLACES = st.tuples(SEEDS, st.integers(0, 99))  # seed, epoch


def sampler_at(place, count=20, batch_size=3, **options):
    seed, epoch = place
    sampler = EpochSampler(count, batch_size, seed, **options)
    sampler.set_epoch(epoch)
    return sampler


def positions(draws):
    return [draw.positions.tolist() for draw in draws]


def numbered(count, features=None):
    """Samples whose image i has 0 on the left and i on the right."""
    images = np.zeros((count, 2, 2, 3), np.uint8)
    images[:, :, 1] = np.arange(count)[:, None, None]
    return Samples(images, features, np.arange(count))


def held(samples):
    """The same samples, as a GPU holds them: all in one batch."""
    return Samples(
        samples.images, None, samples.indices, samples.take(np.arange(len(samples)))
    )


# The order --------------------------------------------------------------------------


@given(COUNTS, SIZES, PLACES)
def test_an_epoch_holds_every_sample_once(count, batch_size, place):
    sampler = sampler_at(place, count, batch_size)
    drawn = positions(sampler)
    assert sorted([*chain(*drawn)]) == list(range(count))
    assert {len(batch) for batch in drawn[:-1]} <= {batch_size}
    assert len(drawn) == len(sampler)


@given(PLACES, PLACES)
def test_the_order_is_a_function_of_seed_and_epoch(place, other):
    once = positions(sampler_at(place, 60, hflip=True))
    for epoch in (7, place[1]):  # whatever was drawn before
        (again := sampler_at(place, 60, hflip=True)).set_epoch(epoch)
        drawn = positions(again)
    assert drawn == once == positions(sampler_at(place, 60))
    expected = np.random.default_rng(place).permutation(60)  # records depend on it
    assert [*chain(*once)] == expected.tolist()
    assert (positions(sampler_at(other, 60)) == once) == (place == other)


def test_without_a_seed_the_order_is_the_samples_own():
    samples = Samples(numbered(9).images, None, np.array([7, 2, 5]))
    batches = [batch.images[:, 0, 1, 0].tolist() for batch in loader(samples, 2)]
    assert batches == [[7, 2], [5]]


@given(PLACES, st.integers(0, 6))
def test_a_stopped_epoch_goes_on_with_the_batches_it_would_have_seen(place, done):
    whole = list(sampler_at(place, hflip=True))
    first = EpochLoader(numbered(20), sampler_at(place, hflip=True))
    for _ in zip(range(done), iter(first), strict=False):
        pass
    again = sampler_at(place, hflip=True)
    EpochLoader(numbered(20), again).load_state_dict({"batches_done": done % 7})
    rest = list(again)
    for expected, found in zip(whole[done % 7 :], rest, strict=True):
        assert (expected.positions == found.positions).all()
        assert (expected.flip_mask == found.flip_mask).all()
    assert len(list(again)) == 7  # nothing is left to skip


@pytest.mark.parametrize("done", range(7))
def test_a_loader_counts_the_batches_of_its_epoch(done):
    batches = EpochLoader(numbered(20), sampler_at((1, 2)))
    iterator = iter(batches)
    for _ in range(done):
        next(iterator)
    assert batches.state_dict() == {"batches_done": done}
    list(iterator)
    assert batches.state_dict() == {"batches_done": 0}


@given(COUNTS, SIZES, st.integers(1, 5), PLACES)
def test_ranks_share_each_batch(count, batch_size, world_size, place):
    whole = positions(sampler_at(place, count, batch_size))
    ranks = [
        positions(sampler_at(place, count, batch_size, rank=r, world_size=world_size))
        for r in range(world_size)
    ]
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert set([*chain(*shares)]) == set(batch)
        assert len({len(share) for share in shares}) == 1
        if len(batch) % world_size == 0:
            assert sorted([*chain(*shares)]) == sorted(batch)


# Batches ----------------------------------------------------------------------------


@pytest.mark.parametrize("made", [numbered, lambda count: held(numbered(count))])
def test_half_of_the_images_are_mirrored_and_others_each_epoch(made):
    flipped = []
    for epoch in (0, 1):
        sampler = sampler_at((3, epoch), 200, 16, hflip=True)
        batches = list(EpochLoader(made(200), sampler))
        images = torch.cat([batch.images for batch in batches])
        order = torch.tensor([*chain(*positions(sampler))])
        mask = images[:, 0, 1, 0] == 0  # the right column is on the left
        assert (images[:, :, 0].amax(1) == (order * mask)[:, None]).all()
        assert (images[:, :, 1].amax(1) == (order * ~mask)[:, None]).all()
        flipped.append(set(order[mask].tolist()) - {0})
    assert all(70 < len(mirrored) < 130 for mirrored in flipped)
    assert len(flipped[0] ^ flipped[1]) > 50


def test_features_stay_with_their_image():
    pooled = np.arange(8, dtype=np.float32).repeat(5).reshape(8, 5)
    samples = numbered(8, Features((pooled, 2 * pooled), "pooled"))
    cached = Samples(samples.images, None, samples.indices, samples.take(np.arange(8)))
    for made in (samples, cached):
        for batch in EpochLoader(made, EpochSampler(8, 3, seed=1)):
            numbers = batch.images[:, 0, 1, 0].float()
            assert torch.equal(batch.features[:, 4], numbers)
            assert torch.equal(batch.features[:, 9], 2 * numbers)
    assert samples.nbytes == 8 * (12 + 10 * 4)


def test_a_batch_is_a_copy_and_moves_whole():
    samples = numbered(3, Features((np.ones((3, 4), np.float32),), "pooled"))
    next(iter(loader(samples, 3))).images.zero_()
    assert samples.images[1, 0, 1, 0] == 1
    moved = next(iter(loader(samples, 3))).to("meta")
    assert moved.images.is_meta
    assert moved.features.is_meta
    assert Batch(torch.zeros(1), None).to("meta").features is None


@pytest.mark.parametrize("free", [10**9, 100])
def test_a_gpu_holds_what_fits(monkeypatch, free):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(torch.Tensor, "to", lambda own, device: own)  # there is none
    samples = numbered(11)
    brought = samples.cache_on_device(torch.device("cuda"))
    assert (brought.cached is not None) == (free > 100)
    if brought.cached:
        assert torch.equal(brought.cached.images, samples.take(np.arange(11)).images)
    assert samples.cache_on_device(torch.device("cpu")) is samples
