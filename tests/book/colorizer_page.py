"""A page with the colorizer alone, and what is given to it."""

import io
import shutil
from pathlib import Path

import numpy as np
import pydata_sphinx_theme
import sphinx_book_theme
import torch
from copies import ROOT
from PIL import Image
from skimage import data

from colorlib.colorize import (
    _own_L_norm,
    _small_copy,
    gray_of,
    join_with_own_lightness,
)
from colorlib.unet import ColorUNet
from tools.page_weights import write_page_weights

STYLES = {  # of the book's theme
    pydata_sphinx_theme: ("theme.css", "pydata-sphinx-theme.css"),
    sphinx_book_theme: ("sphinx-book-theme.css",),
}
PAGE = """<!DOCTYPE html><html lang="en" data-theme="light"><head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>A page</title>{styles}</head>
<body><main class="bd-article"><h1>A page</h1>{widget}</main></body></html>"""


def random_network():
    """Of the bundled network's shape, with colours that differ from place to place."""
    torch.manual_seed(0)
    net = ColorUNet()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    net.head.weight.data /= 3  # or a gray level more or less changes everything
    return net


def page_in(root, model):
    """Write a page as the book's build would; its address."""
    static = root / "_static"
    shutil.copytree(ROOT / "book/static/colorizer", static / "colorizer")
    write_page_weights(static / "colorizer/weights.js", model)
    (static / "styles").mkdir()
    (static / "basic.css").touch()  # of Sphinx, which the theme's asks for
    links = ""
    for theme, names in STYLES.items():
        styles = next(Path(theme.__file__).parent.glob("theme/*/static/styles"))
        for name in names:
            shutil.copy(styles / name, static / "styles")
            links += f'<link rel="stylesheet" href="../_static/styles/{name}">'
    widget = (static / "colorizer/widget.html").read_text()
    (root / "book").mkdir()
    page = root / "book/page.html"
    page.write_text(PAGE.format(styles=links, widget=widget))
    return page.as_uri()


def as_file(rgb, kind="PNG", **options):
    """The bytes of a picture file."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, kind, **options)
    return stream.getvalue()


def photograph(name):
    """One that scikit-image brings, (H, W, 3) uint8."""
    pixels = getattr(data, name)()
    return np.array(Image.fromarray(pixels).convert("RGB"))


def synthetic(name):
    """Noise, and lightness that rises from left to right."""
    noise = np.random.default_rng(0).integers(0, 256, (70, 101, 1), dtype=np.uint8)
    ramp = np.linspace(0, 255, 101).astype(np.uint8)[None, :, None].repeat(70, 0)
    return {"noise": noise, "ramp": ramp}[name].repeat(3, 2)


def seen_by(net, rgb, shorter_side=None):
    """What the network is given of a photograph, `L_norm` (1, 1, h, w)."""
    small = _small_copy(gray_of(rgb), shorter_side or net.config.view_size)  # (h, w)
    return _own_L_norm(np.repeat(small[..., None], 3, axis=-1), torch.device("cpu"))


def coloured(net, rgb):
    """What Python makes of a photograph, (H, W, 3) uint8."""
    with torch.no_grad():
        ab_norm = net(seen_by(net, rgb))
    out = np.empty_like(rgb)
    join_with_own_lightness(rgb, gray_of(rgb), ab_norm, out)
    return out
