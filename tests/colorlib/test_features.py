import errno
import importlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from colorlib.backbones import (
    SPECS,
    Backbone,
    feature_shape,
    features_of_images,
    hash_of_weights,
    load_backbone,
)
from colorlib.color import images_to_float, rgb_to_lab
from colorlib.data import DataConfig, open_source, pack
from colorlib.errors import UserError
from colorlib.features import compute_features, gray_of_images
from colorlib.images import PhotographError
from colorlib.scenes import render_scenes

COUNT, SIZE = 11, 32
CONFIG = DataConfig(count=COUNT, seed=3)
ROWS = np.arange(COUNT)


@pytest.fixture
def source(tmp_path):
    """Scenes that note how often they are read: `source.read`."""
    scenes, read = open_source(CONFIG, None, tmp_path), []

    def load(index, at_least):
        read.append(index)
        return scenes.open(index, at_least)

    counted = replace(scenes, open=load)
    object.__setattr__(counted, "read", read)
    return counted


@pytest.fixture
def compute(tmp_path):
    manifest = pack(open_source(CONFIG, None, tmp_path), 16, tmp_path).manifest

    def call(source, backbones, rows=ROWS, **options):
        sizes = [SIZE] * len(backbones)
        settings = {"kind": "softmax", "cache_root": tmp_path, "input_sizes": sizes}
        return compute_features(source, manifest, rows, backbones, **settings | options)

    return call


def classifier(seed, name="resnet50.tv_in1k"):
    """A network of one layer, where the way to it and back is what is tested."""
    generator = torch.Generator().manual_seed(seed)
    net = OneLayer()
    with torch.no_grad():
        net.layer.weight.normal_(std=0.1, generator=generator)
    return Backbone(replace(SPECS[name], input_size=32), net, "random", str(seed))


class OneLayer(nn.Module):
    """Classifies 6 x 6 means."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(108, 1000, bias=False)

    def forward_features(self, images):
        return F.adaptive_avg_pool2d(images, 6)

    def forward_head(self, maps, pre_logits):
        return maps.flatten(1) if pre_logits else self.layer(maps.flatten(1))


def gray_scenes(gray="L"):
    return gray_of_images(torch.from_numpy(render_scenes(COUNT, SIZE, 3)), gray)


def files(folder):
    return sorted((folder / "features").rglob("*.npy"))


def test_each_image_goes_once_through_each_network(tmp_path, source, compute):
    one, other = classifier(0), classifier(1, "vgg16.tv_in1k")
    logits = compute(source, [one, other], kind="logits").take(ROWS)
    assert sorted(source.read) == list(range(COUNT))  # one pass for two networks
    expected = torch.stack(
        [b(gray_scenes(), ["logits"])["logits"] for b in (one, other)], 1
    )
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    softmax = compute(source, [other, one]).take(ROWS[::-1])
    torch.testing.assert_close(softmax, expected.softmax(-1).flip(0, 1))
    assert compute(source, [one, one, classifier(2)]).take(ROWS).shape == (
        COUNT,
        3,
        1000,
    )
    assert len(source.read) == 2 * COUNT  # for the new one alone
    assert len(files(tmp_path)) == 3


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [
        ("logits", (1000,), np.float32),
        ("softmax", (1000,), np.float32),
        ("pooled", (96,), np.float32),
        ("maps", (96, 8, 8), np.float16),
    ],
)
def test_features_are_those_of_timm(source, compute, kind, shape, dtype):
    name = "test_resnet.r160_in1k"
    backbone = load_backbone(name, "random")
    found = compute(source, [backbone], kind=kind, input_sizes=[64])
    assert (found.channels, found.arrays[0].dtype) == (shape[:1], dtype)
    torch.manual_seed(0)
    net = timm.create_model(name).eval()
    images = torch.from_numpy(render_scenes(COUNT, 64, 3))
    L = rgb_to_lab(images_to_float(images))[:, :1]
    mean, std = (
        torch.tensor(net.default_cfg[k]).view(3, 1, 1) for k in ("mean", "std")
    )
    maps = net.forward_features((L / 100 - mean) / std)
    logits = net.forward_head(maps)
    expected = {
        "maps": F.interpolate(maps, (8, 8), mode="bilinear", antialias=True),
        "pooled": net.forward_head(maps, pre_logits=True),
        "logits": logits[:, None],
        "softmax": logits.softmax(-1)[:, None],
    }[kind]
    close = {"rtol": 2e-3, "atol": 2e-3 * expected.std().item()}
    torch.testing.assert_close(found.take(ROWS), expected, **close)
    same = features_of_images([backbone], gray_of_images(images), kind, [64])
    torch.testing.assert_close(same, expected, **close)


def test_statistics_are_those_of_numpy(source, compute):
    backbones = [load_backbone("test_resnet.r160_in1k", "random"), classifier(0)]
    found = compute(source, backbones, kind="pooled")
    rows = np.array([0, 3, 4, 9])
    mean, std = found.statistics(rows)
    values = np.split(found.take(rows).double().numpy(), [found.channels[0]], axis=1)
    np.testing.assert_allclose(mean, [v.mean() for v in values], rtol=1e-5)
    np.testing.assert_allclose(std, [v.std() for v in values], rtol=1e-5)


def test_only_what_is_asked_for_is_computed(source, compute):
    rows = np.array([1, 4, 5])
    found = compute(source, [classifier(0)], rows)
    assert sorted(source.read) == rows.tolist()
    whole = compute(source, [classifier(0)])
    torch.testing.assert_close(found.take(rows), whole.take(rows))


def test_what_changes_the_features_changes_the_file(tmp_path, source, compute):
    backbone = classifier(0)
    bicubic = replace(backbone.spec, interpolation="bicubic")
    remark = replace(backbone.spec, note="x", hub_id="", weights_file="y")
    found = [
        compute(source, [backbone]),
        compute(source, [classifier(1)]),  # other weights
        compute(source, [Backbone(bicubic, backbone.net, "random", "0")]),
        compute(source, [backbone], input_sizes=[40]),
        compute(source, [backbone], gray="luma"),
        compute(source, [backbone], kind="pooled"),
        compute(source, [backbone], ROWS[1:]),
        compute(source, [Backbone(remark, backbone.net, "random", "0")]),  # no change
    ]
    assert len(files(tmp_path)) == len({one.arrays[0].filename for one in found}) == 7
    expected = backbone(gray_scenes("luma"), ["logits"])["logits"].softmax(-1)
    torch.testing.assert_close(found[4].take(ROWS)[:, 0], expected)


def weaken(net):
    """Have random convolutions make numbers of order 1; they are not normalised."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data *= 0.7


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "tap", "channels"),
    [("vgg16.convolutions_in1k", 4, 512), ("inception_v3.2015_in1k", 3, 768)],
)
def test_networks_of_convolutions_give_the_maps_of_timm(
    source, compute, monkeypatch, name, tap, channels
):
    backbone, rows = load_backbone(name, "random"), ROWS[:2]
    assert feature_shape(backbone, "maps") == (channels, 8, 8)
    weaken(backbone.net)
    found = compute(source, [backbone], rows, kind="maps", input_sizes=[96])
    with pytest.raises(UserError, match=r"network without a head.*take maps"):
        compute(source, [backbone], rows, kind="logits", input_sizes=[96])
    torch.manual_seed(0)
    timm_name = name.partition(".")[0]
    net = timm.create_model(timm_name, features_only=True, out_indices=(tap,)).eval()
    weaken(net)
    # As TensorFlow pools, with which the weights were trained.
    pool = partial(F.avg_pool2d, count_include_pad=False)
    module = importlib.import_module("timm.models.inception_v3")
    monkeypatch.setattr(module, "F", Mock(wraps=F, avg_pool2d=pool))
    gray = gray_of_images(torch.from_numpy(render_scenes(2, 96, 3)))
    (maps,) = net(backbone.prepare(gray, 96))
    expected = F.interpolate(maps, (8, 8), mode="bilinear", antialias=True)
    scale = expected.std().item()
    torch.testing.assert_close(found.take(rows), expected, rtol=2e-3, atol=2e-3 * scale)


# Faults -----------------------------------------------------------------------------


def test_maps_beyond_half_precision_are_refused(source, compute):
    backbone = load_backbone("inception_v3.2015_in1k", "random")
    with pytest.raises(UserError, match=r"features up to .*, expected at most 65504"):
        compute(source, [backbone], ROWS[:2], kind="maps", input_sizes=[96])


@pytest.mark.parametrize("read_before", [0, 7, COUNT - 1])
def test_a_broken_pass_leaves_nothing_and_starts_again(
    tmp_path, source, compute, read_before
):
    def load(index, at_least):
        if index >= read_before:
            raise KeyboardInterrupt
        return source.open(index, at_least)

    with pytest.raises(KeyboardInterrupt):
        compute(replace(source, open=load), [classifier(0)])
    (lock,) = tmp_path.glob("features/*/*")
    folder = lock.parent
    (folder / "part").mkdir()  # of a process that was killed
    (folder / "part" / "any.npy").touch()
    assert compute(source, [classifier(0)]).take(ROWS).shape == (COUNT, 1, 1000)
    assert not (folder / "part").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "rows", "objects", "text"])
def test_a_damaged_file_is_made_again(tmp_path, source, compute, damage):
    expected = compute(source, [classifier(0)]).take(ROWS)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    path.unlink()  # the array still maps the old file
    if damage == "rows":
        np.save(path, np.ones((COUNT - 1, 1000), np.float32))
    elif damage == "objects":
        np.save(path, np.array([print] * COUNT, object), allow_pickle=True)
    else:
        path.write_bytes({"cut": content[:-9], "empty": b"", "text": b"x"}[damage])
    assert torch.equal(compute(source, [classifier(0)]).take(ROWS), expected)
    assert path.read_bytes() == content


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path, source, compute, monkeypatch
):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot be written: .*No space left"):
        compute(source, [classifier(0)])
    monkeypatch.undo()
    assert files(tmp_path) == []
    assert len(compute(source, [classifier(0)]).take(ROWS)) == COUNT


def test_several_at_once_compute_once(source, compute):
    both = threading.Barrier(3)

    def work():
        both.wait(60)
        return compute(source, [classifier(0)]).take(ROWS)

    with ThreadPoolExecutor(3) as threads:
        results = [task.result() for task in [threads.submit(work) for _ in range(3)]]
    assert sorted(source.read) == list(range(COUNT))
    assert all(torch.equal(result, results[0]) for result in results)


class Same(OneLayer):
    """A network that sees nothing."""

    def __init__(self, row):
        super().__init__()
        self.row = row

    def forward_head(self, maps, pre_logits):
        return self.row.expand(len(maps), -1)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (torch.zeros(1000), "one number"),
        (torch.arange(1000.0), "the same for every image"),
        (torch.full((1000,), torch.nan), "not finite"),
    ],
)
def test_a_network_that_sees_nothing_is_refused(source, compute, row, fault):
    net = Same(row)
    blind = Backbone(SPECS["resnet50.tv_in1k"], net, "file", hash_of_weights(net))
    with pytest.raises(UserError, match=fault):
        compute(source, [blind])


def test_an_image_that_is_gone_or_another_is_named(tmp_path, source, compute):
    def gone(index, at_least):
        if index == 4:
            raise PhotographError("x.jpg", "is not a file")
        return source.open(index, at_least)

    def changed(index, at_least):
        rgb, sha256 = source.open(index, at_least)
        return rgb, "0" * 64 if index == 4 else sha256

    told = r"in place of 3/000004, expected the image that was packed; restore it"
    for load in (gone, changed):
        with pytest.raises(UserError, match=told):
            compute(replace(source, open=load), [classifier(0)])
    with pytest.raises(UserError, match="found nothing in place of 3/000009"):
        compute(source.chosen(range(9)), [classifier(0)])
    assert files(tmp_path) == []
