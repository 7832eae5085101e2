import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from colorlib import features as features
from colorlib import files as files_module
from colorlib.backbone_specs import SPECS
from colorlib.backbones import (
    Backbone,
    features_of_images,
    hash_of_weights,
    load_backbone,
)
from colorlib.data import open_source, pack
from colorlib.errors import UserError
from colorlib.features import compute_features, gray_of_photographs
from colorlib.files import file_lock
from colorlib.scenes import render_scenes

COUNT = 11
BACKBONE_IMAGE_SIZE = 32
BATCH = 4


class CountingScenes:
    """Scenes that note how often they are read, and can break off."""

    def __init__(self, break_off_after=None):
        self.scenes = open_source("scenes", count=COUNT, seed=3)
        self.name, self.fingerprint = self.scenes.name, self.scenes.fingerprint
        self.items = self.scenes.items
        self.break_off_after = break_off_after
        self.passes = 0
        self.read_ids = []

    def read(self, size, ids=None):
        self.passes += 1
        for reading in self.scenes.read(size, ids):
            if len(self.read_ids) == self.break_off_after:
                raise KeyboardInterrupt
            self.read_ids.append(reading.item.id)
            yield reading


def classifier(seed, name="resnet50.tv_in1k"):
    """A network of one layer, where the way to it and back is what is tested."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(108, 1000, False)
    )
    with torch.no_grad():
        net[2].weight.normal_(std=0.1, generator=generator)
    return Backbone(replace(SPECS[name], input_size=32), net, "random", str(seed))


@pytest.fixture
def source():
    return CountingScenes()


@pytest.fixture
def manifest(tmp_path, source):
    return pack(source.scenes, 16, tmp_path).manifest


@pytest.fixture
def compute(tmp_path, manifest):
    def call(source, backbones, **options):
        settings = {
            "backbone_image_size": BACKBONE_IMAGE_SIZE,
            "batch_size": BATCH,
            "cache_root": tmp_path,
        }
        return compute_features(source, manifest, backbones, **settings | options)

    return call


def files(folder, suffix):
    return sorted((folder / "features").rglob(f"*{suffix}"))


def test_scores_are_those_of_the_photographs_in_order(source, compute):
    backbones = [classifier(0), classifier(1, "vgg16.tv_in1k")]
    images = torch.from_numpy(render_scenes(COUNT, BACKBONE_IMAGE_SIZE, seed=3))
    with torch.no_grad():
        gray = gray_of_photographs(images)
        expected = torch.stack([backbone(gray) for backbone in backbones], 1)
    logits = compute(source, backbones, kind="logits")
    assert logits.shape == (COUNT, 2, 1000)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-4, atol=1e-4)
    softmax = compute(source, backbones)
    np.testing.assert_allclose(softmax, expected.softmax(-1).numpy(), rtol=1e-3)
    np.testing.assert_allclose(softmax.sum(-1), 1, rtol=1e-5)


def test_scores_in_half_precision_differ_little_and_have_files_of_their_own(
    source, compute, tmp_path
):
    backbones = [classifier(0), classifier(1, "vgg16.tv_in1k")]
    exact = compute(source, backbones)
    half = compute(source, backbones, half=True)
    assert not np.array_equal(half, exact)
    moved = abs(half - exact).sum(-1) / 2  # (N, K), of all probability
    assert moved.max() < 0.01
    assert source.passes == 2
    np.testing.assert_array_equal(compute(source, backbones), exact)
    notes = [json.loads(path.read_text()) for path in files(tmp_path, ".json")]
    assert sorted(note["half"] for note in notes) == [False, False, True, True]


def test_each_photograph_is_read_once_for_all_networks_and_kinds(source, compute):
    backbones = [classifier(0), classifier(1)]
    first = compute(source, backbones)
    compute(source, backbones, kind="logits")
    assert source.passes == 1
    assert len(source.read_ids) == COUNT
    np.testing.assert_array_equal(compute(source, backbones[::-1]), first[:, ::-1])
    assert source.passes == 1


def test_a_further_network_does_not_recompute_the_others(source, compute):
    one, other = classifier(0), classifier(1)
    compute(source, [one])
    one.net = nn.Identity()  # would fail if it were called
    assert compute(source, [one, other]).shape == (COUNT, 2, 1000)


def test_what_changes_the_scores_changes_the_file(tmp_path, source, compute, manifest):
    backbone = classifier(0)
    bicubic = replace(backbone.spec, interpolation="bicubic")
    compute(source, [backbone])
    compute(source, [classifier(1)])  # other weights
    compute(source, [Backbone(bicubic, backbone.net, "random", "0")])
    compute(source, [backbone], backbone_image_size=40)
    assert len(files(tmp_path, ".npy")) == 4
    larger = pack(source.scenes, 24, tmp_path).manifest
    assert larger.manifest_hash != manifest.manifest_hash
    compute_features(
        source,
        larger,
        [backbone],
        backbone_image_size=BACKBONE_IMAGE_SIZE,
        cache_root=tmp_path,
    )
    assert source.passes == 4  # the same photographs, packed at another size


def test_a_remark_about_a_network_does_not_change_the_file(source, compute):
    backbone = classifier(0)
    compute(source, [backbone])
    remarks = {"note": "x", "hub_id": "", "hub_sha256": "0" * 64, "weights_file": "x"}
    spec = replace(backbone.spec, **remarks)
    compute(source, [Backbone(spec, backbone.net, "random", "0")])
    assert source.passes == 1


def test_a_file_says_what_it_was_made_from(tmp_path, source, compute, manifest):
    compute(source, [classifier(7)])
    (description,) = (json.loads(p.read_text()) for p in files(tmp_path, ".json"))
    assert description["backbone"]["name"] == "resnet50.tv_in1k"
    assert description["weights_kind"] == "random"
    assert description["weights_hash"] == "7"
    assert description["manifest_hash"] == manifest.manifest_hash
    assert description["photographs"] == COUNT
    assert description["versions"]["torch"] in torch.__version__


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [("features", (96,), np.float32), ("maps", (96, 8, 8), np.float16)],
)
def test_features_and_maps_are_kept_too(source, compute, kind, shape, dtype):
    backbone = load_backbone("test_resnet.r160_in1k", "random")
    told = compute(source, [backbone, backbone], kind=kind)
    assert told.shape == (COUNT, 2 * shape[0], *shape[1:])
    assert told.dtype == dtype
    gray = gray_of_photographs(
        torch.from_numpy(render_scenes(COUNT, BACKBONE_IMAGE_SIZE, seed=3))
    )
    expected = features_of_images([backbone, backbone], gray, kind).numpy()
    np.testing.assert_allclose(told, expected, rtol=2e-3, atol=2e-3)
    compute(source, [backbone], kind=kind)
    assert source.passes == 1  # found, not computed again


def test_maps_go_on_where_they_were_broken_off(tmp_path, source, compute):
    backbones = [load_backbone("test_resnet.r160_in1k", "random")]
    with pytest.raises(KeyboardInterrupt):
        compute(CountingScenes(break_off_after=7), backbones, kind="maps")
    resumed = compute(source, backbones, kind="maps")
    whole = compute(source, backbones, kind="maps", cache_root=tmp_path / "elsewhere")
    assert source.read_ids[0] == "3/000004"  # a whole batch was kept
    np.testing.assert_array_equal(resumed, whole)


def test_another_gray_image_gives_other_scores(tmp_path, source, compute):
    backbones = [classifier(0)]
    L, luma = (compute(source, backbones, gray=gray) for gray in ("L", "luma"))
    assert len(files(tmp_path, ".npy")) == 2
    assert np.abs(L - luma).max() > 0
    images = torch.from_numpy(render_scenes(COUNT, BACKBONE_IMAGE_SIZE, seed=3))
    with torch.no_grad():
        expected = backbones[0](gray_of_photographs(images, "luma")).softmax(-1)
    np.testing.assert_allclose(luma[:, 0], expected.numpy(), rtol=1e-3)


# ------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("read_before", [0, 3, 4, 7, 9, COUNT - 1])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    tmp_path, source, compute, read_before
):
    backbones = [classifier(0), classifier(1)]
    broken = CountingScenes(break_off_after=read_before)
    with pytest.raises(KeyboardInterrupt):
        compute(broken, backbones)
    assert files(tmp_path, ".npy") == []
    resumed = compute(source, backbones)
    kept = read_before // BATCH * BATCH
    assert source.read_ids == [f"3/{i:06d}" for i in range(kept, COUNT)]
    np.testing.assert_array_equal(
        resumed, compute(source, backbones, cache_root=tmp_path / "elsewhere")
    )


def test_networks_that_got_differently_far_meet(tmp_path, source, compute):
    with pytest.raises(KeyboardInterrupt):
        compute(CountingScenes(break_off_after=9), [classifier(0)])
    both = compute(source, [classifier(0), classifier(1)])
    assert source.passes == 1
    alone = compute(source, [classifier(0)], cache_root=tmp_path / "elsewhere")
    np.testing.assert_array_equal(both[:, :1], alone)


@pytest.mark.parametrize("size", [0, 5, 127, 128, 128 + 4000 * 5 + 17])
def test_a_growing_file_that_was_cut_anywhere_is_mended(
    tmp_path, source, compute, size
):
    expected = compute(source, [classifier(0)])
    (path,) = files(tmp_path, ".npy")
    content = path.read_bytes()
    path.unlink()
    path.with_suffix(".part").write_bytes(content[:size])
    np.testing.assert_array_equal(compute(source, [classifier(0)]), expected)
    assert path.read_bytes() == content
    assert files(tmp_path, ".part") == []


@pytest.mark.parametrize("size", [0, 60, 128, 4000])
def test_a_truncated_file_is_made_again(tmp_path, source, compute, size):
    expected = compute(source, [classifier(0)])
    (path,) = files(tmp_path, ".npy")
    os.truncate(path, size)
    np.testing.assert_array_equal(compute(source, [classifier(0)]), expected)


def test_a_full_disk_is_one_line_and_loses_nothing(source, compute, monkeypatch):
    synchronise, calls = os.fsync, []

    def full_after_one(handle):
        calls.append(handle)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synchronise(handle)

    monkeypatch.setattr(os, "fsync", full_after_one)
    with pytest.raises(UserError, match=r"cannot be completed: .*No space left"):
        compute(source, [classifier(0)])
    monkeypatch.undo()
    rest = CountingScenes()
    assert compute(rest, [classifier(0)]).shape == (COUNT, 1, 1000)
    assert len(rest.read_ids) < COUNT


def test_several_at_once_compute_once(source, compute):
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(compute(source, [classifier(0)]))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert source.passes == 1
    assert all((result == results[0]).all() for result in results)


class Same(nn.Module):
    """A network that sees nothing."""

    def __init__(self, row):
        super().__init__()
        self.row = row

    def forward(self, images):
        return self.row.expand(len(images), -1)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (torch.zeros(1000), "the same for every class"),
        (torch.arange(1000.0), "the same for every photograph"),
        (torch.full((1000,), torch.inf), "not finite"),
    ],
)
def test_a_network_that_sees_nothing_is_refused(source, compute, row, fault):
    net = Same(row)
    blind = Backbone(SPECS["resnet50.tv_in1k"], net, "file", hash_of_weights(net))
    with pytest.raises(UserError, match=fault):
        compute(source, [blind])


def test_a_photograph_that_is_gone_is_named(source, compute):
    fewer = open_source("scenes", count=COUNT - 2, seed=3)
    with pytest.raises(UserError, match=r"found nothing in place of 3/0000"):
        compute(fewer, [classifier(0)])


def test_progress_is_shown_on_request(source, compute, capsys):
    compute(source, [classifier(0)], progress=True)
    assert "class scores of scenes" in capsys.readouterr().err
    compute(source, [classifier(1)], progress=False)
    assert capsys.readouterr().err == ""


# Block by block ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["softmax", "logits", "features", "maps"])
def test_blocks_give_the_bits_of_one_pass(source, compute, tmp_path, kind):
    backbone = load_backbone("test_resnet.r160_in1k", "random")
    backbones = [backbone, backbone]  # fused twice, and asked once
    whole = compute(source, backbones, kind=kind)
    again = tmp_path / "again"
    blocks = compute(source, backbones, kind=kind, shard=BATCH, cache_root=again)
    assert isinstance(blocks, np.memmap)
    assert blocks.dtype == whole.dtype
    np.testing.assert_array_equal(blocks, whole)
    assert len(source.read_ids) == 2 * COUNT
    names = {path.name for path in files(again, "")}
    left = {name for name in names if not name.startswith("lock")}
    mapped, seal = sorted(left - {path.name for path in files(tmp_path, "")})
    assert mapped.startswith(kind)  # no block is left
    assert seal == f"{mapped}.sha256"


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_joined_scores_that_were_damaged_are_made_again(
    source, compute, tmp_path, harm
):
    whole = np.array(compute(source, [classifier(0)], shard=BATCH))
    (path,) = [p for p in files(tmp_path, ".npy") if p.name.startswith("softmax")]
    content = path.read_bytes()
    path.unlink()  # the array still maps the old file
    other = content[:-8] if harm == "cut" else content[:-8] + bytes(8)
    path.write_bytes(other)
    again = compute(source, [classifier(0)], shard=BATCH)
    np.testing.assert_array_equal(again, whole)
    assert path.read_bytes() == content
    assert source.passes == 3  # of one block each: nothing is computed again


def test_joined_scores_are_on_the_disk_before_they_have_their_name(
    source, compute, tmp_path, monkeypatch
):
    done = []

    def atomic_rename(made, path):
        done.append(("named", made))
        files_module.atomic_rename(made, path)

    monkeypatch.setattr(
        features,
        "synchronise",
        lambda file: done.append(("synchronised", Path(file.name))),
    )
    monkeypatch.setattr(features, "atomic_rename", atomic_rename)
    compute(source, [classifier(0)], shard=BATCH)
    (path,) = [p for p in files(tmp_path, ".npy") if p.name.startswith("softmax")]
    part = path.with_suffix(".part")
    assert done[-2:] == [("synchronised", part), ("named", part)]


def test_a_full_disk_is_one_line_where_scores_are_joined_too(
    source, compute, monkeypatch
):
    def full(path, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(features, "_write_joined", full)
    with pytest.raises(UserError, match=r"cannot be completed: .*No space left"):
        compute(source, [classifier(0)], shard=BATCH)


def test_blocks_are_shared_between_processes(compute, monkeypatch):
    """Two at once: each computes some of the blocks, and no block is computed twice."""
    both = threading.Barrier(2, timeout=60)

    class Meeting(CountingScenes):
        def read(self, size, ids=None):
            if not self.passes:
                both.wait()  # its first block is in hand when the other takes one
            yield from super().read(size, ids)

    sources, found = [Meeting(), Meeting()], [None, None]

    def work(one):
        found[one] = compute(sources[one], [classifier(0)], shard=BATCH)

    threads = [threading.Thread(target=work, args=[one]) for one in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = [source.read_ids for source in sources]
    assert all(read)
    assert sorted(read[0] + read[1]) == sorted(item.id for item in sources[0].items)
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("read_before", [0, 3, 4, 6, 10])
def test_blocks_go_on_where_they_were_broken_off(source, compute, read_before):
    breaking = CountingScenes(break_off_after=read_before)
    with pytest.raises(KeyboardInterrupt):
        compute(breaking, [classifier(0)], shard=BATCH)
    compute(source, [classifier(0)], shard=BATCH)
    assert len(source.read_ids) == COUNT - read_before // BATCH * BATCH


def test_a_block_of_a_process_that_died_is_computed_by_another(
    source, compute, tmp_path
):
    compute(source, [classifier(0)], shard=BATCH)
    whole = np.array(compute(source, [classifier(0)]))
    (path,) = [p for p in files(tmp_path, ".npy") if p.name.startswith("resnet50")]
    path.unlink()
    for mapped in files(tmp_path, ".npy"):
        mapped.unlink()
    held = path.parent / "lock-4"
    with file_lock(held):
        waiting = threading.Thread(
            target=compute, args=[source, [classifier(0)]], kwargs={"shard": BATCH}
        )
        waiting.start()
        waiting.join(timeout=2)
        assert waiting.is_alive()  # the rest is done, and it waits for this one
        assert len(files(tmp_path, ".0.npy")) == len(files(tmp_path, ".8.npy")) == 1
    waiting.join(timeout=60)
    np.testing.assert_array_equal(compute(source, [classifier(0)], shard=BATCH), whole)
