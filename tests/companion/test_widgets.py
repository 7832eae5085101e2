"""Widgets as text: whole without a script, and with all that a script needs."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from colorlib.bins import bin_centres
from companion.report.widgets import (
    Pair,
    _one_of,
    ambiguity_picker,
    before_after,
    fused_networks,
    prediction_and_truth,
    real_or_coloured,
    temperature_slider,
)


class Wellformed(HTMLParser):
    """Notes what is opened, and complains of what is closed wrongly."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.seen if name == tag]

    def shows(self, *pictures):
        """Whether its images are these, as far as the eye can tell."""
        for image, rgb in zip(self.all("img"), pictures, strict=True):
            data = re.fullmatch("data:image/jpeg;base64,(.*)", image["src"])[1]
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
    page = Wellformed(widget.html)
    assert page.shows(*pictures[:3])
    assert [image["alt"] for image in page.all("img")] == [
        'a "cat", gray', 'a "cat", <coloured>', 'a "cat", ground truth',
    ]  # fmt: skip
    assert page.all("colorlib-before-after") == [{"data-label": 'a "cat"'}]
    for wrong in ({"a": pictures[0]}, {"a": pictures[0], "b": pictures[1][:, 1:]}):
        with pytest.raises(ValueError, match="two or three of one size"):
            before_after(wrong, "")


def test_a_switch_holds_a_row_for_each_state(pictures):
    states = {"0 networks": pictures[:2], "1 network": pictures[2:]}
    page = Wellformed(_one_of(states, ["a cat", "a cup"], "Fused").html)
    assert page.shows(*pictures)
    assert [row["data-name"] for row in page.all("section")] == [*states]
    assert page.all("img")[3]["alt"] == "a cup, 1 network"
    with pytest.raises(ValueError, match="shorter"):
        _one_of(states, ["a cat"], "Fused")


def test_pictures_of_bytes_are_the_same_as_those_of_floats(pictures):
    pixels = (255 * pictures[0]).round().byte().permute(1, 2, 0).numpy()
    states = {"bytes": [pixels], "floats": [pictures[0]]}
    one, other = Wellformed(_one_of(states, ["a cat"], "Kind").html).all("img")
    assert one["src"] == other["src"]
    gray = np.full((8, 8, 3), 90, np.uint8)
    one, other = Wellformed(ambiguity_picker(gray, "a wall").html).all("img")
    assert one["src"] == other["src"]


def test_a_kept_prediction_stands_between_gray_and_truth():
    kept = {"maps": np.full((5, 2, 8, 8), 30, np.int8)}
    images = Wellformed(prediction_and_truth("coffee", kept).html).all("img")
    assert [image["alt"] for image in images] == [
        "coffee, gray", "coffee, coloured", "coffee, ground truth",
    ]  # fmt: skip
    assert len({image["src"] for image in images}) == 3


def test_networks_that_were_not_tried_are_left_out():
    gray, strong = np.zeros((5, 2, 8, 8), np.int8), np.full((5, 2, 8, 8), 40, np.int8)
    kept = {"none": gray, "maps, two": strong, "maps": strong, "softmax": gray}
    page = Wellformed(fused_networks(kept, side=32).html)
    states = [row["data-name"] for row in page.all("section")]
    assert states == ["0 networks", "2 networks", "3 networks", "ground truth"]
    assert page.all("img")[4]["alt"] == "grace hopper, 0 networks"
    assert len({image["src"] for image in page.all("img")}) == 15  # two are the same


def test_scores_are_kept_in_eight_bits_finest_near_the_best():
    generator = torch.Generator().manual_seed(0)
    logits = 6 * torch.randn(261, 2, 3, generator=generator)
    widget = temperature_slider(torch.full((1, 8, 12), 50.0), logits, "a cup")
    [kept] = Wellformed(widget.html).all("colorlib-temperature")
    assert kept["data-shape"] == "2,3"
    assert json.loads(kept["data-centres"]) == bin_centres().int().tolist()
    steps = np.frombuffer(base64.b64decode(kept["data-scores"]), np.uint8)
    reach = float(kept["data-reach"])
    depth = torch.from_numpy(reach * (steps.reshape(2, 3, 261) / 255) ** 2)
    true_depth = (logits.amax(dim=0) - logits).movedim(0, -1)  # (2, 3, 261)
    for temperature in (1.0, 0.38, 0.02):
        found, expected = ((-d / temperature).softmax(-1) for d in (depth, true_depth))
        assert (found - expected).abs().max() < 0.02


def test_a_photograph_to_repaint_comes_with_its_gray(pictures):
    gray = pictures[0].mean(0, keepdim=True).expand(3, -1, -1)
    page = Wellformed(ambiguity_picker(gray, "a cat", (0.25, 0.75)).html)
    assert page.shows(gray, gray)
    assert page.all("colorlib-ambiguity")[0]["data-place"] == "0.25,0.75"


def test_the_real_picture_stands_where_it_is_said(pictures):
    one, other, third, fourth = pictures
    pairs = [Pair(one, other, "One.", "A"), Pair(third, fourth, "<Two>", "B & C")]
    widget = real_or_coloured(pairs, [True, False])
    page = Wellformed(widget.html)
    assert page.shows(one, other, fourth, third)
    assert [s["data-right"] for s in page.all("section")] == ["first", "second"]
    assert [s["data-model"] for s in page.all("section")] == ["A", "B & C"]
    assert "The second one has its true colours. &lt;Two&gt;" in widget.html
    alts = [image["alt"] for image in page.all("img")[:2]]  # they give nothing away
    assert alts == ["question 1, first picture", "question 1, second picture"]
    with pytest.raises(ValueError, match="2 pairs and 1 places"):
        real_or_coloured(pairs, [True])


def test_a_notebook_gets_the_style_and_the_script_with_the_piece(pictures):
    widget = before_after({"a": pictures[0], "b": pictures[1]}, "a cat")
    shown = widget._repr_html_()
    assert widget.html in shown
    assert shown.count('class="colorlib-shared"') == 2
    assert "customElements.define(`colorlib-${name}`" in shown
    assert not re.search(r"https?://|@import|src=\"(?!data:)", shown)
