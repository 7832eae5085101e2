"""Widgets as text: whole without a script, and with all that a script needs."""

import base64
import io

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image

from companion.report.widgets import (
    Pair,
    _one_of,
    ambiguity_picker,
    before_after,
    fused_networks,
    real_or_coloured,
)


def page_of(widget):
    """Its elements."""
    return BeautifulSoup(widget.html, "html.parser")


def shows(page, *pictures):
    """Whether its images are these, as far as the eye can tell."""
    for image, rgb in zip(page("img"), pictures, strict=True):
        data = image["src"].removeprefix("data:image/jpeg;base64,")
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        off = found.astype(float) - 255 * rgb.permute(1, 2, 0).numpy()
        assert abs(off).mean() < 2
    return True


@pytest.fixture
def pictures():
    """Soft ones, as photographs are: rgb (3, 36, 28)."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(4, 3, 4, 3, generator=generator)
    return [
        *torch.nn.functional.interpolate(small, (36, 28), mode="bicubic").clamp(0, 1)
    ]


def test_pictures_that_lie_over_each_other(pictures):
    names = ("gray", "<coloured>", "ground truth")
    widget = before_after(dict(zip(names, pictures, strict=False)), 'a "cat"')
    page = page_of(widget)
    assert shows(page, *pictures[:3])
    assert [image["alt"] for image in page("img")] == [
        'a "cat", gray', 'a "cat", <coloured>', 'a "cat", ground truth',
    ]  # fmt: skip
    assert page("colorlib-before-after")[0].attrs == {"data-label": 'a "cat"'}
    for wrong in ({"a": pictures[0]}, {"a": pictures[0], "b": pictures[1][:, 1:]}):
        with pytest.raises(ValueError, match="two or three of one size"):
            before_after(wrong, "")


def test_pictures_of_bytes_are_the_same_as_those_of_floats(pictures):
    pixels = (255 * pictures[0]).round().byte().permute(1, 2, 0).numpy()
    states = {"bytes": [pixels], "floats": [pictures[0]]}
    one, other = page_of(_one_of(states, ["a cat"], "Kind"))("img")
    assert one["src"] == other["src"]
    gray = np.full((8, 8, 3), 90, np.uint8)
    one, other = page_of(ambiguity_picker(gray, "a wall"))("img")
    assert one["src"] == other["src"]


def test_networks_that_were_not_tried_are_left_out():
    gray, strong = np.zeros((5, 2, 8, 8), np.int8), np.full((5, 2, 8, 8), 40, np.int8)
    kept = {"none": gray, "maps, two": strong, "maps": strong, "softmax": gray}
    page = page_of(fused_networks(kept, side=32))
    states = [row["data-name"] for row in page("section")]
    assert states == ["0 networks", "2 networks", "3 networks", "ground truth"]
    assert page("img")[4]["alt"] == "grace hopper, 0 networks"
    assert len({image["src"] for image in page("img")}) == 15  # two are the same


def test_the_real_picture_stands_where_it_is_said(pictures):
    one, other, third, fourth = pictures
    pairs = [Pair(one, other, "One.", "A"), Pair(third, fourth, "<Two>", "B & C")]
    widget = real_or_coloured(pairs, [True, False])
    page = page_of(widget)
    assert shows(page, one, other, fourth, third)
    assert [s["data-right"] for s in page("section")] == ["first", "second"]
    assert [s["data-model"] for s in page("section")] == ["A", "B & C"]
    assert "The second one has its true colours. &lt;Two&gt;" in widget.html
    alts = [image["alt"] for image in page("img")[:2]]  # they give nothing away
    assert alts == ["question 1, first picture", "question 1, second picture"]
    with pytest.raises(ValueError, match="2 pairs and 1 places"):
        real_or_coloured(pairs, [True])
