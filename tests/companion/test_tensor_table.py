"""The book's table of tensors, row by row against the tensors themselves."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch
from support import photographs

from colorlib import color
from colorlib.backbones import features_of_images, load_backbone
from colorlib.data import DataConfig, open_source, pack
from colorlib.model import PROJECTED, build_model
from colorlib.targets import Target

PAGE = Path(__file__).parents[2] / "book" / "tensors.md"
TINY = ("test_resnet.r160_in1k", "test_efficientnet.r160_in1k")  # random weights
SIZES = {"N": 8, "K": len(TINY), "H": 32, "W": 40, "S": 48}
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ")
]
TABLE = {name: rest for name, *rest in ROWS[1:]}


@pytest.fixture(scope="module")
@torch.no_grad()
def made(tmp_path_factory):
    """Name of a row -> tensors that it is of, each with what its letters stand for."""
    cache = tmp_path_factory.mktemp("cache")
    packed = pack(open_source(DataConfig(count=8)), SIZES["S"], cache)
    square = photographs(8, SIZES["S"]).float()
    rgb = square[..., : SIZES["H"], : SIZES["W"]]
    lab = color.rgb_to_lab(rgb)
    L_norm, ab_norm = color.normalize_lab(lab)
    gray = color.gray_from_L(color.normalize_lab(color.rgb_to_lab(square))[0])
    backbones = [load_backbone(name, "random") for name in TINY]
    given = {
        kind: features_of_images(backbones, gray, kind)
        for kind in ("softmax", "logits", "maps")
    }
    channels = tuple(b(gray, "maps").shape[1] for b in backbones)
    options = {"features": "maps", "feature_channels": channels}
    by_class = build_model("model3", backbones=TINY)
    by_maps = build_model("model3", backbones=TINY, **options)
    return {
        "`images`": [(torch.from_numpy(packed.images.copy()), {})],
        "`rgb`": [(rgb, {})],
        "`lab`": [(lab, {})],
        "`L_norm`": [(L_norm, {"L": lab[:, :1]})],
        "`ab_norm`": [(ab_norm, {"ab": lab[:, 1:]})],
        "`gray`": [(gray, {"L": color.rgb_to_lab(square)[:, :1]})],
        "`features`": [(given["softmax"], {}), (given["logits"], {})],
        "`features`, as maps": [(given["maps"], {"C": sum(channels)})],
        "`given`": [
            (by_class.feature_input(given["softmax"]), {"D": 1000, "g": 1}),
            (by_maps.feature_input(given["maps"]), {"D": PROJECTED, "g": 8}),
        ],
        "`features` of the encoder": [(by_class.encoder(L_norm)[-1], {})],
        "`logits` of bins": [(build_model("model4").eval().outputs(L_norm), {})],
        "`target_norm`": [
            (Target(space).split(rgb)[1], {}) for space in ("lab", "luv", "yuv", "rgb")
        ],
    }  # fmt: skip


def fits(shape, written, sizes):
    """Whether a shape is the one that is written, such as N, 256, H/8, W/8."""
    allowed = [
        {eval(side, {}, sizes) for side in choice.split(" or ")}
        for choice in written.split(", ")
    ]
    return len(shape) == len(allowed) and all(
        side in sides for side, sides in zip(shape, allowed, strict=True)
    )


def test_shapes_ranges_and_scales_are_those_of_the_table(made):
    assert list(TABLE) == list(made)
    for name, (shape, span, *_) in TABLE.items():
        written = re.findall(r"\(([^)]+)\)", shape)
        for tensor, more in made[name]:
            assert any(fits(tensor.shape, one, SIZES | more) for one in written), name
            assert (tensor.dtype == torch.uint8) == ("uint8" in shape)
            if limits := re.match(r"(-?\d+) (?:to (-?\d+)|and up)", span):
                assert tensor.min() >= int(limits[1])
                assert limits[2] is None or tensor.max() <= int(limits[2])
            if {"L", "ab"} & set(more):
                expected = eval(span.partition(": ")[2], {}, more)
                torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_names_places_that_there_are(name):
    places = re.findall(r"`([\w.]+)`", ", ".join(TABLE[name][2:]))
    assert places
    for place in places:
        module, *inner = place.split(".")
        found = importlib.import_module(f"colorlib.{module}")
        for part in inner:
            found = getattr(found, part)
        assert inspect.getsource(found)
