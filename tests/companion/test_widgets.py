import base64
import io

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image

from companion.report.widgets import before_after, real_or_coloured


def shown(page):
    """The pixels of a page's images, (H, W, 3) each."""
    for image in page.find_all("img"):
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/png;base64"
        yield np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 9, 7, generator=generator)


def pixels(pictures):
    return (pictures.permute(0, 2, 3, 1) * 255).round().numpy()


def test_a_slider_carries_both_pictures_to_the_pixel(pictures):
    text = before_after(*pictures[:2], ("gray", "in colour"), "a <cat>")
    page = BeautifulSoup(text, "html.parser")
    np.testing.assert_array_equal([*shown(page)], pixels(pictures[:2]))
    alts = [image["alt"] for image in page.find_all("img")]
    assert alts == ["a <cat>, gray", "a <cat>, in colour"]
    assert page.div["data-label"] == "gray or in colour: a <cat>"
    with pytest.raises(ValueError, match="one size"):
        before_after(pictures[0], pictures[1][:, 1:], ("a", "b"), "")


def test_the_true_picture_stands_where_it_is_said(pictures):
    pairs = [(*pictures[:2], "One."), (*pictures[2:], "<Two>")]
    page = BeautifulSoup(real_or_coloured(pairs, [True, False]), "html.parser")
    np.testing.assert_array_equal([*shown(page)], pixels(pictures[[0, 1, 3, 2]]))
    assert [s["data-right"] for s in page.find_all("section")] == ["first", "second"]
    assert "The second one has its true colours. <Two>" in page.get_text()
    alts = [image["alt"] for image in page.find_all("img")[:2]]  # no help
    assert alts == ["question 1, first picture", "question 1, second picture"]
    with pytest.raises(ValueError, match="2 pairs and 1 places"):
        real_or_coloured(pairs, [True])
