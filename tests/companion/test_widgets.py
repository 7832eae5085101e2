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
        """Whether its images are these, to the pixel."""
        for image, rgb in zip(self.all("img"), pictures, strict=True):
            data = re.fullmatch("data:image/png;base64,(.*)", image["src"])[1]
            found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
            expected = (rgb.permute(1, 2, 0) * 255).round().numpy()
            np.testing.assert_array_equal(found, expected)
        return True


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, 9, 7, generator=generator) for _ in range(4)]


def test_a_slider_carries_both_pictures_to_the_pixel(pictures):
    page = Wellformed(before_after(*pictures[:2], ("gray", "in colour"), "a <cat>"))
    assert page.shows(*pictures[:2])
    alts = [image["alt"] for image in page.all("img")]
    assert alts == ["a <cat>, gray", "a <cat>, in colour"]
    assert page.all("div")[0]["data-label"] == "gray or in colour: a <cat>"
    with pytest.raises(ValueError, match="one size"):
        before_after(pictures[0], pictures[1][:, 1:], ("a", "b"), "")


def test_the_true_picture_stands_where_it_is_said(pictures):
    pairs = [(pictures[0], pictures[1], "One."), (pictures[2], pictures[3], "<Two>")]
    text = real_or_coloured(pairs, [True, False])
    page = Wellformed(text)
    assert page.shows(*(pictures[i] for i in (0, 1, 3, 2)))
    assert [s["data-right"] for s in page.all("section")] == ["first", "second"]
    assert "The second one has its true colours. &lt;Two&gt;" in text
    alts = [image["alt"] for image in page.all("img")[:2]]  # they give nothing away
    assert alts == ["question 1, first picture", "question 1, second picture"]
    with pytest.raises(ValueError, match="2 pairs and 1 places"):
        real_or_coloured(pairs, [True])
