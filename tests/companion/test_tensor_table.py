"""The book's table of tensors, row by row against the tensors themselves."""

import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from support import photographs

from colorlib import color
from colorlib.backbones import feature_shape, features_of_images, load_backbone
from colorlib.data import DataConfig, open_source, pack
from colorlib.model import PROJECTED, build_model
from colorlib.targets import Target

PAGE = Path(__file__).parents[2] / "book" / "tensors.md"
TINY = ("test_resnet.r160_in1k", "test_efficientnet.r160_in1k")  # random weights
N, K, H, W, S = 2, len(TINY), 32, 40, 48
SIZES = {"N": N, "K": K, "H": H, "W": W, "S": S}


def table():
    """Name of the row -> its other four cells."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[1:]]
    return {name: rest for name, *rest in rows}


TABLE = table()


@cache
def backbones():
    return tuple(load_backbone(name, "random") for name in TINY)


@cache
def rgb():
    return photographs(N, 48).float()[..., :H, :W]


@cache
def lab():
    return color.rgb_to_lab(rgb())


def packed_images():
    with TemporaryDirectory() as cache_root:
        source = open_source(DataConfig(count=8), None, Path(cache_root))
        packed = pack(source.chosen(range(N)), S, Path(cache_root))
        yield torch.from_numpy(packed.images.copy()), {}


def planes(place):
    yield color.normalize_lab(lab())[place], {}


def gray_images():
    yield square_gray(), {}


def square_gray():
    whole = color.rgb_to_lab(photographs(N, S).float())
    return color.gray_from_L(color.normalize_lab(whole)[0])


def features():
    for kind in ("softmax", "logits"):
        yield features_of_images(backbones(), square_gray(), kind), {}


def features_and_maps():
    for kind in ("pooled", "maps"):
        channels = sum(feature_shape(backbone, kind)[0] for backbone in backbones())
        yield features_of_images(backbones(), square_gray(), kind), {"C": channels}


def inside(config, told, module, place):
    """What a part of a model is given as its argument number `place`, or returns."""
    model = build_model(backbones=TINY, **config).eval()
    seen = []
    part = getattr(model, module)
    if place is None:
        part.register_forward_hook(lambda m, given, returned: seen.append(returned))
    else:
        part.register_forward_pre_hook(lambda m, given: seen.append(given[place]))
    with torch.no_grad():
        model(color.normalize_lab(lab())[0], told)
    return seen[0]


def opinions():
    scores = torch.rand(N, K, 1000)
    config = {"name": "model3"}
    yield inside(config, scores, "fusion", 1), {"D": 1000, "g": 1}
    lengths = tuple(feature_shape(backbone, "maps")[0] for backbone in backbones())
    config |= {"features": "maps", "feature_channels": lengths}
    maps = torch.rand(N, sum(lengths), 8, 8)
    yield inside(config, maps, "fusion", 1), {"D": PROJECTED, "g": 8}


def encoder_features():
    pyramid = inside({"name": "model3"}, torch.rand(N, K, 1000), "encoder", None)
    yield pyramid[-1], {}


def logits():
    model = build_model("model4").eval()
    with torch.no_grad():
        yield model.outputs(color.normalize_lab(lab())[0]), {}


def target_norm():
    for space in ("lab", "luv", "yuv", "rgb"):
        yield Target(space).split(rgb())[1], {}


MADE = {
    "`images`": packed_images,
    "`rgb`": lambda: [(rgb(), {})],
    "`lab`": lambda: [(lab(), {})],
    "`L_norm`": lambda: planes(0),
    "`ab_norm`": lambda: planes(1),
    "`gray`": gray_images,
    "`features`": features,
    "the same, of features or maps": features_and_maps,
    "`global_features`": opinions,
    "`features` of the encoder": encoder_features,
    "`logits` of bins": logits,
    "`target_norm`": target_norm,
}


def fits(shape, written, sizes):
    """Whether a shape is the one that is written, such as N, 256, H/8, W/8."""
    allowed = [
        {eval(side, {}, sizes) for side in choice.split(" or ")}
        for choice in written.split(", ")
    ]
    return len(shape) == len(allowed) and all(
        side in sides for side, sides in zip(shape, allowed, strict=True)
    )


def test_the_table_has_the_rows_that_are_tried():
    assert list(TABLE) == list(MADE)


@pytest.mark.parametrize("name", MADE)
def test_shapes_and_ranges_are_those_of_the_table(name):
    shape, span, *_ = TABLE[name]
    written = re.findall(r"\(([^)]+)\)", shape)
    for tensor, more_sizes in MADE[name]():
        sizes = SIZES | more_sizes
        assert any(fits(tensor.shape, one, sizes) for one in written), tensor.shape
        assert (tensor.dtype == torch.uint8) == ("uint8" in shape)
        if limits := re.match(r"(-?\d+) (?:to (-?\d+)|and up)", span):
            assert tensor.min() >= int(limits[1])
            assert limits[2] is None or tensor.max() <= int(limits[2])


@pytest.mark.parametrize("name", ["`L_norm`", "`ab_norm`", "`gray`"])
def test_the_scales_are_those_of_the_table(name):
    formula = TABLE[name][1].partition(": ")[2]
    whole = lab()
    if name == "`gray`":
        whole = color.rgb_to_lab(photographs(N, S).float())
    expected = eval(formula, {}, {"L": whole[:, :1], "ab": whole[:, 1:]})
    [(tensor, _)] = MADE[name]()
    torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-5)


def resolved(path):
    """The module, class or function that a cell names."""
    module, *inner = path.split(".")
    found = importlib.import_module(f"colorlib.{module}")
    for name in inner:
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("name", MADE)
def test_the_table_names_places_that_there_are(name):
    cells = ", ".join(TABLE[name][2:])
    places = re.findall(r"`([\w.]+)`", cells)
    assert places
    for place in places:
        assert inspect.getsource(resolved(place))
