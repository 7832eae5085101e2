"""Features on disk: timm's numbers, names of files, killed passes, damage."""

import importlib
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional as F

from colorlib.backbones import Backbone, load_backbone
from colorlib.color import gray_from_L, images_to_float, rgb_to_lab
from colorlib.data import DataConfig, open_source, pack
from colorlib.errors import UserError
from colorlib.features import compute_features
from colorlib.images import PhotographError
from colorlib.scenes import render_scenes
from colorlib.targets import Target

COUNT, SIZE = 11, 64
CONFIG = DataConfig(count=COUNT, seed=3)
ROWS = np.arange(COUNT)
IMAGES = torch.from_numpy(render_scenes(COUNT, SIZE, 3))


@pytest.fixture
def read():
    """Numbers of the images that were read."""
    return []


@pytest.fixture
def source(tmp_path, read):
    """Scenes that note how often they are read."""
    scenes = open_source(CONFIG)

    def load(index, at_least):
        read.append(index)
        return scenes.open(index, at_least)

    return replace(scenes, open=load)


@pytest.fixture
def compute(tmp_path):
    manifest = pack(open_source(CONFIG), 16, tmp_path).manifest

    def call(source, *backbones, rows=ROWS, **options):
        sizes = [SIZE] * len(backbones)
        settings = {"kind": "softmax", "cache_root": tmp_path, "input_sizes": sizes}
        return compute_features(source, manifest, rows, backbones, **settings | options)

    return call


@pytest.fixture(scope="module")
def networks():
    """Three small classifiers of random weights."""
    names = "test_resnet", "test_byobnet", "test_efficientnet"
    return [load_backbone(f"{name}.r160_in1k", "random") for name in names]


def like(backbone, weights_hash="x", **changes):
    """The same network, of which something else is said."""
    spec = replace(backbone.spec, **changes)
    return Backbone(spec, backbone.net, "random", weights_hash)


def files(folder):
    return sorted((folder / "features").rglob("*.npy"))


def gray_of(images, gray="L"):
    """What the networks see of uint8 images."""
    return gray_from_L(Target(gray=gray).split(images_to_float(images))[0])


def close(found, expected, tolerance=1e-3):
    atol = tolerance * expected.std().item()
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=atol)


# What is computed -------------------------------------------------------------------


@torch.no_grad()
def test_each_image_goes_once_through_each_network(
    tmp_path, source, compute, networks, read
):
    one, other, third = networks
    logits = compute(source, one, other, kind="logits").take(ROWS)
    assert sorted(read) == sorted([*range(COUNT)] * 2)
    gray = gray_of(IMAGES)
    each = [b(gray, "logits", SIZE) for b in (one, other)]
    close(logits, torch.stack(each, dim=1))
    softmax = compute(source, other, one).take(ROWS[::-1])
    close(softmax, logits.softmax(-1).flip(0, 1))
    assert compute(source, one, one, third).take(ROWS).shape == (COUNT, 3, 1000)
    assert len(read) == 3 * COUNT  # for the new one alone
    assert len(files(tmp_path)) == 3


KINDS = [
    ("logits", (1000,), np.float32), ("softmax", (1000,), np.float32),
    ("maps", (96, 8, 8), np.float16),
]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize(("kind", "shape", "dtype"), KINDS)
def test_features_are_those_of_timm(source, compute, networks, kind, shape, dtype):
    found = compute(source, networks[0], kind=kind)
    assert (found.channels, found.arrays[0].dtype) == (shape[:1], dtype)
    torch.manual_seed(0)
    net = timm.create_model("test_resnet.r160_in1k").eval()
    L = rgb_to_lab(images_to_float(IMAGES))[:, :1]
    cfg = net.default_cfg
    mean, std = (torch.tensor(cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    maps = net.forward_features((L / 100 - mean) / std)
    logits = net.forward_head(maps)[:, None]  # (N, 1, 1000)
    expected = {
        "maps": F.interpolate(maps, (8, 8), mode="bilinear", antialias=True),
        "logits": logits,
        "softmax": logits.softmax(-1),
    }[kind]
    close(found.take(ROWS), expected, 2e-3)


def test_statistics_are_those_of_numpy_over_the_rows_asked_for(
    source, compute, networks, read
):
    rows = np.array([0, 3, 4, 9])
    found = compute(source, *networks[:2], kind="maps", rows=rows)
    assert sorted(read) == np.repeat(rows, 2).tolist()
    mean, std = found.statistics(rows)
    values = np.split(found.take(rows).double().numpy(), [found.channels[0]], axis=1)
    np.testing.assert_allclose(mean, [v.mean() for v in values], rtol=1e-5)
    np.testing.assert_allclose(std, [v.std() for v in values], rtol=1e-5)


@torch.no_grad()
def test_what_changes_the_features_changes_the_file(
    tmp_path, source, compute, networks
):
    backbone = networks[0]
    found = [
        compute(source, backbone),
        compute(source, like(backbone)),  # as if of other weights
        compute(source, like(backbone, mean=(0.4, 0.4, 0.4))),
        compute(source, backbone, input_sizes=[96]),
        compute(source, backbone, gray="luma"),
        compute(source, backbone, kind="maps"),
        compute(source, backbone, rows=ROWS[1:]),
        compute(source, like(backbone, backbone.weights_hash, note="a remark")),
    ]
    names = {one.arrays[0].filename for one in found}
    assert len(files(tmp_path)) == len(names) == 7  # a remark changes nothing
    gray = gray_of(IMAGES, "luma")
    logits = backbone(gray, "logits", SIZE)
    close(found[4].take(ROWS)[:, 0], logits.softmax(-1))


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "tap", "channels"),
    [("vgg16.convolutions_in1k", 4, 512), ("inception_v3.2015_in1k", 3, 768)],
)
def test_networks_without_a_head_give_the_maps_of_timm(
    source, compute, monkeypatch, name, tap, channels
):
    backbone, rows = load_backbone(name, "random"), ROWS[:2]
    found = compute(source, backbone, rows=rows, kind="maps", input_sizes=[96])
    assert found.channels == (channels,)
    assert 0.01 < found.take(rows).std() < 100  # neither lost nor too large
    timm_name = name.partition(".")[0]
    net = timm.create_model(timm_name, features_only=True, out_indices=(tap,)).eval()
    values = backbone.net.state_dict()
    net.load_state_dict({k.replace("pool.1.", "pool."): v for k, v in values.items()})
    # As TensorFlow pools, with which the weights of Inception were trained.
    pool = partial(F.avg_pool2d, count_include_pad=False)
    module = importlib.import_module("timm.models.inception_v3")
    monkeypatch.setattr(module, "F", Mock(wraps=F, avg_pool2d=pool))
    gray = gray_of(torch.from_numpy(render_scenes(2, 96, 3)))
    (maps,) = net(backbone.prepare(gray, 96))
    expected = F.interpolate(maps, (8, 8), mode="bilinear", antialias=True)
    close(found.take(rows), expected, 2e-3)
    with pytest.raises(UserError, match=r"network without a head.*take maps"):
        compute(source, backbone, rows=rows, kind="logits")
    (strong := like(backbone)).std *= 1e-6  # sees a million times the contrast
    with pytest.raises(UserError, match=r"features up to .*, expected at most 65504"):
        compute(source, strong, rows=rows, kind="maps", input_sizes=[96])


# Faults -----------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "empty", "rows", "objects"])
def test_a_damaged_file_is_made_again(tmp_path, source, compute, networks, damage):
    expected = compute(source, networks[0]).take(ROWS)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    path.unlink()  # the array still maps the old file
    if damage == "rows":
        np.save(path, np.ones((COUNT - 1, 1000), np.float32))
    elif damage == "objects":
        np.save(path, np.array([print] * COUNT, object), allow_pickle=True)
    else:
        path.write_bytes(content[:-9] if damage == "cut" else b"")
    assert torch.equal(compute(source, networks[0]).take(ROWS), expected)
    assert path.read_bytes() == content


BLIND = [
    (torch.zeros(1000), "one number"),
    (torch.arange(1000.0), "the same for every image"),
    (torch.full((1000,), torch.nan), "not finite"),
]


@pytest.mark.parametrize(("row", "fault"), BLIND)
def test_a_network_that_sees_nothing_is_refused(source, compute, row, fault):
    blind = load_backbone("test_resnet.r160_in1k", "random")
    blind.net.forward_head = lambda maps: row.expand(len(maps), -1)
    with pytest.raises(UserError, match=fault):
        compute(source, blind)


def test_an_image_that_is_gone_or_another_is_named(tmp_path, source, compute, networks):
    def gone(index, at_least):
        if index == 4:
            raise PhotographError("x.jpg", "is not a file")
        return source.open(index, at_least)

    def changed(index, at_least):
        rgb, sha256 = source.open(index, at_least)
        return rgb, "0" * 64 if index == 4 else sha256

    message = r"in place of 3/000004, expected the image that was packed; restore it"
    for load in (gone, changed):
        with pytest.raises(UserError, match=message):
            compute(replace(source, open=load), networks[0])
    with pytest.raises(UserError, match="found nothing in place of 3/000009"):
        compute(source.chosen(range(9)), networks[0])
    assert files(tmp_path) == []
