import time
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colorlib.sampling import (
    Batch,
    EpochSampler,
    OrderedBatches,
    Process,
    Samples,
    ShuffledBatches,
    prefetch,
)


def numbered(count, features=None):
    """Samples whose image i is filled with i, so that a batch tells what it holds."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(images, (count, 2, 2, 3)).copy()
    return Samples(images, features, np.arange(count))


def numbers(batches):
    return [batch.images[:, 0, 0, 0].tolist() for batch in batches]


@given(
    count=st.integers(1, 60), batch_size=st.integers(1, 25), seed=st.integers(0, 2**32)
)
def test_an_epoch_holds_every_sample_once(count, batch_size, seed):
    batches = ShuffledBatches(numbered(count), batch_size, seed)
    drawn = numbers(batches)
    assert sorted(chain(*drawn)) == list(range(count))
    assert len(drawn) == len(batches)


@given(seed=st.integers(0, 99), epoch=st.integers(0, 99), done=st.integers(0, 6))
def test_a_killed_epoch_goes_on_with_the_batches_it_would_have_seen(seed, epoch, done):
    whole = ShuffledBatches(numbered(20), 3, seed)
    whole.sampler.set_epoch(epoch)
    uninterrupted = numbers(whole)

    first = ShuffledBatches(numbered(20), 3, seed)
    first.sampler.set_epoch(epoch)
    iterator = iter(first)
    before = numbers(next(iterator) for _ in range(done))
    again = ShuffledBatches(numbered(20), 3, seed)
    again.sampler.set_epoch(epoch)
    again.load_state_dict(first.state_dict())
    assert before + numbers(again) == uninterrupted


def test_a_finished_epoch_leaves_nothing_to_skip():
    batches = ShuffledBatches(numbered(10), 3, seed=0)
    list(batches)
    assert batches.state_dict() == {"batches_done": 0}
    assert len(list(batches)) == 4


def test_epochs_and_seeds_differ():
    orders = []
    for seed, epoch in [(0, 0), (0, 1), (1, 0)]:
        order = EpochSampler(100, seed)
        order.set_epoch(epoch)
        orders.append(tuple(order.positions()))
    assert len(set(orders)) == 3


def test_class_scores_stay_with_their_image():
    features = np.repeat(np.arange(8, dtype=np.float32), 2 * 5).reshape(8, 2, 5)
    for batch in ShuffledBatches(numbered(8, features), 3, seed=1):
        torch.testing.assert_close(
            batch.features[:, 1, 4], batch.images[:, 0, 0, 0].float()
        )


def test_a_part_of_the_images_in_their_own_order():
    samples = Samples(numbered(9).images, None, np.array([7, 2, 5]))
    assert numbers(OrderedBatches(samples, 2)) == [[7, 2], [5]]


def test_a_batch_is_a_copy():
    samples = numbered(2)
    next(iter(OrderedBatches(samples, 2))).images.zero_()
    assert samples.images[1, 0, 0, 0] == 1


@pytest.mark.parametrize("scores", [None, np.ones((3, 1, 4), np.float32)])
def test_a_batch_moves_with_its_scores(scores):
    batch = next(iter(OrderedBatches(numbered(3, scores), 3))).to("meta")
    assert batch.images.is_meta
    assert (batch.features is None) == (scores is None)


def sided(count):
    """Samples whose left column is 0 and whose right column is the number."""
    samples = numbered(count)
    samples.images[:, :, 0] = 0
    return samples


def test_mirrored_images_are_exchanged_left_to_right_and_about_half_of_them():
    batches = ShuffledBatches(sided(200), 16, seed=3, hflip=True)
    images = np.concatenate([batch.images.numpy() for batch in batches])
    swapped = images[:, 0, 1, 0] == 0
    assert 70 < swapped[images.any((1, 2, 3))].sum() < 130
    plain = ShuffledBatches(sided(200), 16, seed=3)
    expected = np.concatenate([batch.images.numpy() for batch in plain])
    expected[swapped] = expected[swapped][:, :, ::-1]
    np.testing.assert_array_equal(images, expected)


def test_each_epoch_mirrors_others():
    order = EpochSampler(100, seed=0)
    first = order.flip_mask()
    assert (order.flip_mask() == first).all()
    order.set_epoch(1)
    assert (order.flip_mask() != first).any()


@given(done=st.integers(0, 6))
def test_a_killed_epoch_goes_on_with_the_same_images_mirrored(done):
    whole = [b.images for b in ShuffledBatches(sided(20), 3, 1, hflip=True)]
    again = ShuffledBatches(sided(20), 3, 1, hflip=True)
    again.load_state_dict({"batches_done": done})
    rest = [b.images for b in again]
    assert all((a == b).all() for a, b in zip(whole[done:], rest, strict=True))


# Several processes ------------------------------------------------------------------


def in_files(count, shard):
    """Numbered samples in files of `shard`, but for some that are not trained on."""
    indices = np.flatnonzero(np.random.default_rng(4).random(count) < 0.8)
    return Samples(numbered(count).images, None, indices, shard)


def shares(batches, processes):
    """What each process is given, batch by batch; what counts nothing is left out."""
    given = [
        batches.shard_for_rank(Process(rank, processes)) for rank in range(processes)
    ]
    assert len({len(one) for one in given}) == 1
    together = zip(*given, strict=True)
    return [
        [b.images[:, 0, 0, 0].tolist() if b.weight else [] for b in batch]
        for batch in together
    ]


@given(
    count=st.integers(2, 60),
    batch_size=st.integers(1, 25),
    processes=st.integers(1, 5),
    shard=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_processes_share_the_batches_of_one(count, batch_size, processes, shard, seed):
    samples = Samples(numbered(count).images, None, np.arange(count), shard)
    for batches in (
        ShuffledBatches(samples, batch_size, seed),
        OrderedBatches(samples, batch_size),
    ):
        shared = shares(batches, processes)
        assert sorted(chain(*chain(*shared))) == list(range(count))
        if isinstance(batches, ShuffledBatches):
            alone = [sorted(batch) for batch in numbers(batches)]
            assert [sorted(chain(*batch)) for batch in shared] == alone


@given(processes=st.integers(1, 7), batch_size=st.integers(1, 9))
def test_the_mean_over_processes_is_the_mean_over_the_batch(processes, batch_size):
    batches = ShuffledBatches(in_files(40, 7), batch_size, seed=0)
    given = [
        batches.shard_for_rank(Process(rank, processes)) for rank in range(processes)
    ]
    for whole, *parts in zip(batches, *given, strict=True):
        means = [part.weight * part.images.double().mean() for part in parts]
        assert sum(means) / processes == pytest.approx(whole.images.double().mean())
        assert {part.size for part in parts} == {len(whole.images)} == {whole.size}


@pytest.mark.parametrize("processes", [2, 3])
def test_each_process_reads_its_own_files(processes):
    samples = in_files(97, shard=10)  # ten files, the last of them smaller
    read = [set() for _ in range(processes)]
    for epoch in range(2):
        batches = ShuffledBatches(samples, 8, seed=0)
        batches.sampler.set_epoch(epoch)
        for batch in shares(batches, processes):
            for rank, share in enumerate(batch):
                read[rank] |= {number // 10 for number in share}
    for rank, files in enumerate(read):
        assert files == set(range(rank, 10, processes))


def test_more_processes_than_files_share_every_file():
    samples = in_files(97, shard=50)
    for batch in shares(ShuffledBatches(samples, 9, seed=0), 3):
        sizes = [len(share) for share in batch]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("shard", [30, 100, 170])  # 34, 11 and 6 files, all uneven
def test_shares_of_several_files_are_about_equal(shard):
    samples = Samples(np.zeros((1001, 1, 1, 3), np.uint8), None, np.arange(1001), shard)
    for batches in (ShuffledBatches(samples, 60, seed=0), OrderedBatches(samples, 60)):
        for batch in shares(batches, 3):
            size = sum(map(len, batch))
            assert max(map(len, batch)) <= size / 3 * 1.35


def test_files_are_shuffled_anew_in_each_epoch():
    order = EpochSampler(40, 0, np.arange(40) // 8)
    first = order.positions().tolist()
    order.set_epoch(1)
    assert order.positions().tolist() != first
    assert sorted(first) == list(range(40))
    assert first != sorted(first)


def test_one_file_is_shuffled_as_ever():
    # The first values that this order ever had: records of trainings depend on them.
    batches = ShuffledBatches(numbered(7), 7, seed=0)
    expected = np.random.default_rng((0, 0)).permutation(7).tolist()
    assert numbers(batches) == [expected]


# --------------------------------------------------------- on the way to the device

HERE = torch.accelerator.current_accelerator(True) or torch.device("cpu")


def coloured(count, features=None):
    """Samples no two pixels of which are alike, so that mirroring shows."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count + 3, 4, 4, 3)).astype(np.uint8)
    return Samples(images, features, rng.permutation(count + 3)[:count])


def assert_same_batches(found, expected):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected) > 0
    for own, other in zip(found, expected, strict=True):
        assert torch.equal(own.images.cpu(), other.images)
        assert (own.weight, own.size) == (other.weight, other.size)
        if other.features is None:
            assert own.features is None
        else:
            assert torch.equal(own.features.cpu(), other.features)


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("copied", [1, 4, 100])
def test_what_a_device_holds_comes_in_the_same_batches(monkeypatch, scored, copied):
    monkeypatch.setattr("colorlib.sampling.COPIED", copied)
    rng = np.random.default_rng(1)
    scores = rng.random((14, 2, 5)).astype(np.float32) if scored else None
    samples = coloured(11, scores)
    held = samples.cache_on_device(HERE)
    assert held.held.images.device.type == HERE.type
    for hflip in (False, True):
        assert_same_batches(
            ShuffledBatches(held, 3, seed=2, hflip=hflip),
            ShuffledBatches(samples, 3, seed=2, hflip=hflip),
        )
    assert_same_batches(OrderedBatches(held, 4), OrderedBatches(samples, 4))


def test_held_samples_are_as_large_as_they_say():
    samples = coloured(11, np.zeros((14, 2, 5), np.float16))
    held = samples.cache_on_device(HERE).held
    assert samples.nbytes == held.images.nbytes + held.features.nbytes


@pytest.mark.parametrize("free", [10**9, 100])
def test_a_gpu_holds_what_fits_and_is_handed_the_rest(monkeypatch, free):
    batches = ShuffledBatches(coloured(11), 3, seed=2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(Samples, "cache_on_device", lambda own, device: (own, device))
    brought = batches.to_device(torch.device("cuda"))
    assert brought.pinned == (free == 100)
    assert isinstance(brought.samples, tuple) != brought.pinned
    assert batches.to_device(torch.device("cpu")).samples is batches.samples


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_batches_made_ahead_are_the_same_and_count_what_was_used(monkeypatch, done):
    monkeypatch.setattr(Batch, "pinned", lambda batch: batch)  # there may be no GPU
    plain = ShuffledBatches(coloured(11), 3, seed=2, hflip=True)
    early = ShuffledBatches(coloured(11), 3, seed=2, hflip=True)
    early.pinned = True
    assert_same_batches(early, plain)
    iterator = iter(early)
    used = [next(iterator) for _ in range(done)]
    assert len(used) == done
    assert early.state_dict() == {"batches_done": done % 4}
    iterator.close()


def test_a_batch_is_made_while_the_one_before_it_is_used():
    made = []

    def batches():
        for number in range(3):
            made.append(number)
            yield Batch(torch.full((1,), number), None)

    for used in prefetch(batches()):
        number = int(used.images)
        deadline = time.monotonic() + 10
        while len(made) < min(number + 2, 3) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert made == list(range(min(number + 2, 3)))


def test_what_goes_wrong_ahead_goes_wrong():
    def batches():
        yield Batch(torch.zeros(1), None)
        raise OSError("the disk is gone")

    coming = prefetch(batches())
    next(coming)
    with pytest.raises(OSError, match="the disk is gone"):
        next(coming)
