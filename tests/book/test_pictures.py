"""How many figures of the default book show real photographs: their pixels say it.

A figure shows one if a part of it, between white lines, has the lightness of one. Where
colours are predicted, the lightness is kept, so every row of a comparison counts; error
maps, crops, charts and synthetic scenes do not.
"""

import base64
import io
from functools import cache
from itertools import pairwise

import numpy as np
from bs4 import BeautifulSoup
from copies import ROOT, pages_of
from PIL import Image

from colorlib.scenes import render_scenes
from companion.photographs import PHOTOGRAPHS, photograph, square
from companion.report.figures import image_grid, photograph_grid

SIDE = 16  # pixels to which a part and a photograph are reduced, to be compared
SMALLEST = 40  # pixels, of a part; letters are smaller


def reduced(gray):
    """An image's lightness at `SIDE` pixels, without its mean and its contrast."""
    small = Image.fromarray(gray).resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(small, float) - np.mean(small)
    return values / max(np.linalg.norm(values), 1e-9)


@cache
def references():
    """Each photograph, whole and its central square."""
    shown = [(photograph(name), square(name, 256)) for name in PHOTOGRAPHS]
    grays = [Image.fromarray(rgb).convert("L") for pair in shown for rgb in pair]
    return [reduced(np.asarray(gray)) for gray in grays]


def parts(gray):
    """What stands between white lines, across and along, until nothing is divided."""
    for lines in (gray, gray.T):
        white = np.flatnonzero((lines > 245).all(1))
        edges = [-1, *white.tolist(), len(lines)]
        bands = [lines[a + 1 : b] for a, b in pairwise(edges) if b - a > SMALLEST]
        if len(white):
            for band in bands:
                yield from parts(band if lines is gray else band.T)
            return
    yield gray


def shows_a_photograph(image):
    return any(
        (reduced(part) * one).sum() > 0.95
        for part in parts(np.asarray(image.convert("L")))
        if min(part.shape) >= SMALLEST
        for one in references()
    )


def opened(img, folder):
    """The picture of an `img`, from a file of the book or from the page itself."""
    source = img["src"]
    data = source.partition(";base64,")[2]
    file = io.BytesIO(base64.b64decode(data)) if data else folder / source
    return Image.open(file)


def figures_with_photographs(html, pages):
    """Page -> how many of its figures show one; a widget's pictures are one figure."""
    counts = {}
    for page in pages:
        path = html / f"{page}.html"
        article = BeautifulSoup(path.read_text(), "html.parser").article
        singles = article.select("img[src*='_images/']:not([src$='.svg'])")
        widgets = article.find_all(lambda tag: tag.name.startswith("colorlib-"))
        counts[page] = sum(
            any(shows_a_photograph(opened(img, path.parent)) for img in figure)
            for figure in [[img] for img in singles] + [w("img") for w in widgets]
        )
    return counts


def as_image(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file)


def test_a_photograph_is_found_in_a_grid_and_a_scene_is_not():
    assert shows_a_photograph(as_image(photograph_grid({}, ["rocket"])))
    scenes = [[*render_scenes(3, 64)]]
    assert not shows_a_photograph(as_image(image_grid(scenes, "abc", ["scenes"])))


def test_the_default_book_shows_real_photographs(copy):
    counts = figures_with_photographs(copy.html, pages_of(ROOT))
    assert sum(counts.values()) >= 20, counts
    assert counts["book/intro"] == 1
