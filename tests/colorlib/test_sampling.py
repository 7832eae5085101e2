"""Batches: order by seed and epoch, resuming, ranks, mirrored images, GPU."""

from dataclasses import replace
from itertools import chain, islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colorlib.features import Features
from colorlib.sampling import Batch, EpochLoader, EpochSampler, Samples

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
    batches = [batch.images[:, 0, 1, 0].tolist() for batch in EpochLoader(samples, 2)]
    assert batches == [[7, 2], [5]]


@given(PLACES, st.integers(0, 7))
def test_a_stopped_epoch_goes_on_with_the_batches_it_would_have_seen(place, done):
    def loader():
        made = EpochLoader(numbered(20), 3, place[0], hflip=True)
        made.sampler.set_epoch(place[1])
        return made

    whole, first, again = list(loader()), loader(), loader()  # seven batches
    list(islice(iter(first), done))
    assert first.state_dict() == {"batches_done": done % 7}
    again.load_state_dict(first.state_dict())
    for expected, found in zip(whole[done % 7 :], again, strict=True):
        assert torch.equal(expected.images, found.images)
    assert len(list(again)) == 7  # nothing is left to skip


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


@pytest.mark.parametrize("cached", [False, True])
def test_images_are_mirrored_and_their_features_stay_with_them(cached):
    maps = np.arange(200, dtype=np.float32).repeat(5).reshape(200, 5, 1, 1)
    samples = numbered(200, Features((maps, 2 * maps), "maps"))
    if cached:  # as a GPU holds them
        samples = replace(samples, cached=samples.take(np.arange(200)))
    flipped = []
    for epoch in (0, 1):
        batches = EpochLoader(samples, 16, seed=3, hflip=True)
        batches.sampler.set_epoch(epoch)
        images, features = map(torch.cat, zip(*batches, strict=True))
        numbers = images[:, 0, :, 0].amax(dim=1)
        mask = images[:, 0, 1, 0] == 0  # the right column is on the left
        assert torch.equal(images[:, 1, 0, 2], numbers * mask)
        assert torch.equal(images[:, 1, 1, 2], numbers * ~mask)
        assert torch.equal(
            features[:, [4, 9], 0, 0], numbers[:, None] * torch.tensor([1.0, 2])
        )
        flipped.append(set(numbers[mask].tolist()) - {0})
    assert all(70 < len(mirrored) < 130 for mirrored in flipped)
    assert len(flipped[0] ^ flipped[1]) > 50  # others in each epoch


def test_a_batch_is_a_copy_and_moves_whole():
    samples = numbered(3, Features((np.ones((3, 4), np.float32),), "logits"))
    batch = next(iter(EpochLoader(samples, 3)))
    batch.images.zero_()
    assert samples.images[1, 0, 1, 0] == 1
    assert all(part.is_meta for part in batch.to("meta"))
    assert Batch(batch.images, None).to("meta").features is None


@pytest.mark.parametrize(("free", "fits"), [(340, True), (320, False)])
def test_a_gpu_holds_what_fits_into_two_fifths_of_its_memory(monkeypatch, free, fits):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    monkeypatch.setattr(torch.Tensor, "to", lambda own, device: own)  # there is none
    samples = numbered(11)  # of 12 bytes each
    brought = samples.cache_on_device(torch.device("cuda"))
    assert (brought.cached is not None) == fits
    if brought.cached:
        assert torch.equal(brought.cached.images, samples.take(np.arange(11)).images)
    assert samples.cache_on_device(torch.device("cpu")) is samples
