import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from companion.report.widgets import before_after, real_or_coloured


class Wellformed(HTMLParser):
    """Counts what is opened, and complains of what is closed wrongly."""

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


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, 9, 7, generator=generator) for _ in range(4)]


def pixels_of(source):
    data = base64.b64decode(re.fullmatch("data:image/png;base64,(.*)", source)[1])
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_slider_carries_both_pictures_to_the_pixel(pictures):
    page = Wellformed(before_after(*pictures[:2], ("gray", "in colour"), "a <cat>"))
    for image, rgb in zip(page.all("img"), pictures, strict=False):
        expected = (rgb.permute(1, 2, 0) * 255).round().numpy()
        np.testing.assert_array_equal(pixels_of(image["src"]), expected)
    alts = [image["alt"] for image in page.all("img")]
    assert alts == ["a <cat>, gray", "a <cat>, in colour"]
    assert page.all("div")[0]["data-label"] == "gray or in colour: a <cat>"


def test_pictures_of_two_sizes_are_refused(pictures):
    with pytest.raises(ValueError, match="one size"):
        before_after(pictures[0], pictures[1][:, 1:], ("a", "b"), "")


def test_the_true_picture_stands_where_it_is_said(pictures):
    pairs = [(pictures[0], pictures[1], "One."), (pictures[2], pictures[3], "<Two>")]
    page = Wellformed(real_or_coloured(pairs, [True, False]))
    shown = [pixels_of(image["src"]) for image in page.all("img")]
    order = [pictures[i] for i in (0, 1, 3, 2)]
    for found, rgb in zip(shown, order, strict=True):
        np.testing.assert_array_equal(
            found, (rgb.permute(1, 2, 0) * 255).round().numpy()
        )
    assert [s["data-right"] for s in page.all("section")] == ["first", "second"]
    text = real_or_coloured(pairs, [True, False])
    assert "The second one has its true colours. &lt;Two&gt;" in text


def test_no_alternative_text_gives_the_answer_away(pictures):
    text = real_or_coloured([(pictures[0], pictures[1], "Why.")], [False])
    alts = [image["alt"] for image in Wellformed(text).all("img")]
    assert alts == ["question 1, first picture", "question 1, second picture"]


def test_every_pair_needs_a_place(pictures):
    with pytest.raises(ValueError, match="1 pairs and 2 places"):
        real_or_coloured([(pictures[0], pictures[1], "")], [True, False])
