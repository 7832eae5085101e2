"""The colorizer of the book's pages: against torch, and in a browser, as a file."""

import base64
import io
import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pydata_sphinx_theme
import pytest
import sphinx_book_theme
import torch
from browsing import barriers, open_page
from copies import ROOT
from PIL import Image
from skimage import data

from colorlib.bins import cautious_colour
from colorlib.colorize import (
    BUNDLED,
    _own_L_norm,
    _small_copy,
    gray_of,
    join_with_own_lightness,
)
from colorlib.unet import load_unet
from tools.page_weights import write_page_weights

PAGE = """<!DOCTYPE html><html lang="en" data-theme="light"><head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>A page</title>{styles}</head>
<body><main class="bd-article"><h1>A page</h1>{widget}</main></body></html>"""
NAMES = ("astronaut", "coffee", "hubble_deep_field", "moon", "retina")
SEEN = (
    "/^(In colour|Saved|This|“)/.test(document.querySelector('.colorizer-status').{})"
)
SEEN = SEEN.format("textContent")

# --------------------------------------------------------------- a page and photographs


def page_in(root):
    """Write a page with the colorizer as the book's build would; its address."""
    static = root / "_static"
    shutil.copytree(ROOT / "book/static/colorizer", static / "colorizer")
    write_page_weights(static / "colorizer/weights.js")
    (static / "basic.css").touch()  # of Sphinx, which the theme's asks for
    (static / "styles").mkdir()
    shutil.copy(ROOT / "book/static/widgets.css", static)  # of every page
    links = '<link rel="stylesheet" href="../_static/widgets.css">'
    for theme in (pydata_sphinx_theme, sphinx_book_theme):
        for style in Path(theme.__file__).parent.glob(
            "theme/*/static/styles/*theme.css"
        ):
            shutil.copy(style, static / "styles")
            links += f'<link rel="stylesheet" href="../_static/styles/{style.name}">'
    widget = (static / "colorizer/widget.html").read_text()
    (root / "book").mkdir()
    page = root / "book/page.html"
    page.write_text(PAGE.format(styles=links, widget=widget))
    return page.as_uri()


def photograph(name="cat", side=None):
    """One that scikit-image brings, or its upper left corner, (H, W, 3) uint8."""
    whole = Image.fromarray(getattr(data, name)()).convert("RGB")
    return np.array(whole)[:side, :side]


def as_file(rgb, kind="PNG", **options):
    """The bytes of a picture file."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, kind, **options)
    return stream.getvalue()


def pixels(image):
    """(H, W, 3), numbers that can be subtracted."""
    return np.asarray(image.convert("RGB")).astype(int)


def seen_by(net, rgb, shorter_side=None):
    """What the network is given of a photograph, `L_norm` (1, 1, h, w)."""
    small = _small_copy(gray_of(rgb), shorter_side or net.config.view_size)  # (h, w)
    return _own_L_norm(np.repeat(small[..., None], 3, axis=-1), torch.device("cpu"))


@torch.no_grad()
def coloured(net, rgb):
    """What Python makes of a photograph, (H, W, 3) uint8."""
    out = np.empty_like(rgb)
    join_with_own_lightness(rgb, gray_of(rgb), net(seen_by(net, rgb)), out)
    return out


@pytest.fixture(scope="module")
def net():
    return load_unet(BUNDLED)[0]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return page_in(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def tab(browser, book):
    """The page on a telephone, offline; at the end nothing has gone wrong in it."""
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    context = browser.new_context(offline=True, **phone)
    tab, faults = open_page(context, book)
    yield tab
    assert faults == []
    context.close()


def message(tab):
    """What the page says."""
    return tab.locator("[role=status]").inner_text()


def give(tab, content, name="photograph.png"):
    """Choose a file, wait until the page has something to say, and return that."""
    tab.evaluate("document.querySelector('.colorizer-status').textContent = ''")
    file = {"name": name, "mimeType": "image/png", "buffer": content}
    tab.set_input_files(".colorizer [type=file]", [file])
    tab.wait_for_function(SEEN)
    return message(tab)


def saved(tab, kind="png"):
    """Save the photograph in colour; its name and its picture."""
    with tab.expect_download() as download:
        tab.click(f".colorizer button[value={kind}]")
    content = Path(download.value.path()).read_bytes()
    return download.value.suggested_filename, Image.open(io.BytesIO(content))


# -------------------------------------------------------------------------- the network

RUN = """([L_norm, height, width, temperature, caution]) => {
  window.net ??= colorNetwork().unpack(window.colorizerWeights);
  const { logits, cautiousColour } = colorNetwork();
  const seen = logits(net, Float32Array.from(L_norm), height, width);
  const { a, b } = cautiousColour(net, seen, temperature, caution);
  return [seen.height, seen.width, [...a, ...b]];
}"""


def test_the_network_computes_what_torch_computes(browser, book, net):
    tab = browser.new_page()
    tab.goto(book)
    tab.add_script_tag(
        url=book.replace("book/page.html", "_static/colorizer/weights.js")
    )
    noise = torch.Generator().manual_seed(0)
    own = 1.0, net.config.caution  # the temperature, and the caution
    given = [(seen_by(net, photograph(name), 64), own) for name in NAMES]
    others = {(33, 35): (0.1, 0.0), (64, 33): (2.0, 0.0), (37, 70): (0.6, 0.03)}
    for size, settings in others.items():
        given.append((torch.rand(1, 1, *size, generator=noise) * 2 - 1, settings))
    spread = []
    for L_norm, (T, caution) in given:
        with torch.no_grad():
            logits = net.logits(L_norm).float() / T
            expected = cautious_colour(logits, net.centres, caution)[0]  # (2, h, w)
        numbers = [L_norm.flatten().tolist(), *L_norm.shape[2:], T, caution]
        h, w, ab = tab.evaluate(RUN, numbers)
        assert (torch.tensor(ab).view(2, h, w) - expected).abs().max() < 0.5
        spread.append(float(expected.std()))
    assert max(spread) > 3  # there was colour to compare
    tab.close()


# ------------------------------------------------------------------------ a photograph


@pytest.mark.parametrize("name", ["cat", "coffee"])
def test_a_photograph_is_coloured_as_python_colours_it_and_shown_as_saved(
    tab, net, name
):
    rgb = photograph(name)
    assert give(tab, as_file(rgb), f"{name}.old.png").startswith("In colour after ")
    file, picture = saved(tab)
    assert file == f"{name}.old.coloured.png"
    assert "Saved as" in message(tab)
    apart = np.abs(pixels(picture) - coloured(net, rgb))  # levels of 255
    assert apart.mean() < 0.5
    assert np.quantile(apart, 0.99) <= 3
    shown = []
    for number in (0, 1):
        address = tab.locator("canvas").nth(number).evaluate("c => c.toDataURL()")
        content = base64.b64decode(address.split(",")[1])
        shown.append(pixels(Image.open(io.BytesIO(content))))
    apart = np.abs(shown[0] - gray_of(rgb)[..., None])
    assert apart.max() <= 1  # by the steps of its tables
    assert apart.mean() < 0.01
    assert np.array_equal(shown[1], pixels(picture))


def test_large_photographs_are_reduced_in_strips_as_python_does(tab, net):
    # more pixels than the 2^22 of one strip of worker.js
    rgb = np.array(Image.fromarray(photograph("coffee")).resize((2200, 1920)))
    give(tab, as_file(rgb, "PNG", compress_level=1))
    width = tab.locator("canvas").nth(1).evaluate("canvas => canvas.width")
    assert width == 2048  # on the screen; but in the file:
    found = pixels(saved(tab)[1])
    assert found.shape == rgb.shape
    apart = np.abs(found - coloured(net, rgb))
    assert apart.mean() < 2  # what is seen was made small in other steps
    assert np.quantile(apart, 0.99) <= 8


OLD = """() => {
  window.bitmapOf = window.createImageBitmap;
  window.createImageBitmap = async (from) => {
    if (from instanceof Blob) throw new TypeError("not of files");
    return bitmapOf(from);
  };
}"""  # a browser that makes bitmaps of elements only


@pytest.mark.parametrize("browser_is", ["new", "old"])
def test_a_photograph_stands_upright_as_its_exif_says(tab, browser_is):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    rgb = photograph()[:120, :80]
    if browser_is == "old":
        tab.evaluate(OLD)
    give(tab, as_file(rgb, "JPEG", exif=exif, quality=95), "turned.jpg")
    if browser_is == "old":
        tab.evaluate("() => { window.createImageBitmap = window.bitmapOf }")
    kept = np.asarray(saved(tab)[1].convert("L")).astype(int)
    upright = np.asarray(Image.fromarray(np.rot90(rgb, -1)).convert("L")).astype(int)
    assert kept.shape == (80, 120)
    assert np.corrcoef(kept.flat, upright.flat)[0, 1] > 0.98


def test_transparency_stays_in_png_and_is_white_in_jpeg(tab):
    alpha = np.full((90, 90, 1), 255, np.uint8)
    alpha[:40] = 0
    give(tab, as_file(np.concatenate([photograph(side=90), alpha], 2)))
    assert np.array_equal(np.asarray(saved(tab)[1])[..., 3:], alpha)
    file, jpeg = saved(tab, "jpeg")
    assert file.endswith(".coloured.jpg")
    assert np.asarray(jpeg)[:30].min() > 245


def test_what_is_too_large_is_made_smaller_and_the_page_says_so(tab):
    tab.evaluate("document.querySelector('.colorizer').dataset.most = 10000")
    sentence = give(tab, as_file(photograph(side=200)))
    tab.evaluate("delete document.querySelector('.colorizer').dataset.most")
    assert "Its 200 × 200 pixels are too many here" in sentence
    assert saved(tab)[1].size == (100, 100)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no picture", "cannot read “bad.png” as a picture"),
        (b"", "cannot read “bad.png” as a picture"),
        (as_file(np.zeros((5, 90, 3), np.uint8)), "“bad.png” has 90 × 5 pixels"),
    ],
    ids=["text", "empty", "small"],
)
def test_a_bad_file_gets_a_sentence_and_the_next_its_colour(tab, content, sentence):
    assert sentence in give(tab, content, "bad.png")
    assert tab.locator("progress").is_hidden()
    assert give(tab, as_file(photograph(side=64))).startswith("In colour")


DROP = """([event, files]) => {
  const given = new DataTransfer();
  for (const [bytes, name, type] of files) {
    given.items.add(new File([new Uint8Array(bytes)], name, { type }));
  }
  const options = { bubbles: true, cancelable: true };
  document.body.dispatchEvent(event === "drop"
    ? new DragEvent("drop", { ...options, dataTransfer: given })
    : new ClipboardEvent("paste", { ...options, clipboardData: given }));
}"""


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_photograph_is_dropped_or_pasted(tab, event):
    picture = [*as_file(photograph(side=64))]
    files = [[[0, 1, 2], "notes.txt", "text/plain"], [picture, "x.png", "image/png"]]
    tab.evaluate("document.querySelector('.colorizer-status').textContent = ''")
    tab.evaluate(DROP, [event, files])
    tab.wait_for_function(SEEN)
    assert message(tab).startswith("In colour")


# ----------------------------------------------------------------------- how it is used


@pytest.fixture(scope="module")
def result(tab):
    """The page with a photograph in colour, and its settings open."""
    give(tab, as_file(photograph("coffee", 256)))
    tab.locator("details").evaluate("details => { details.open = true }")
    return tab


def divider_at(tab):
    """Where gray ends and colour begins, percent."""
    clip = tab.locator("canvas").nth(1).evaluate("c => getComputedStyle(c).clipPath")
    return float(re.search(r"([\d.]+)%", clip)[1])


def test_all_is_reached_by_keyboard_and_the_divider_moved_by_finger_too(result):
    divider = result.get_by_label("Where gray ends")
    divider.fill("50")
    result.locator("[type=file]").focus()
    reached = []
    for _ in range(8):
        result.keyboard.press("Tab")
        focused = "(({ type, tagName }) => type || tagName)(document.activeElement)"
        reached.append(result.evaluate(focused))
    buttons, sliders = ["button", "button"], ["range", "range"]
    assert reached == ["range", "A", *buttons, "SUMMARY", *sliders, "radio"]
    divider.focus()
    for _ in range(10):
        result.keyboard.press("ArrowLeft")
    assert divider_at(result) == 40
    assert divider.get_attribute("aria-valuetext") == "60 % in colour"
    stage = result.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    middle = box["y"] + box["height"] / 2
    result.mouse.move(box["x"] + 0.5 * box["width"], middle)
    result.mouse.down()
    result.mouse.move(box["x"] + 0.25 * box["width"], middle, steps=4)
    result.mouse.up()
    result.mouse.move(box["x"] + 0.9 * box["width"], middle)  # not held: nothing moves
    assert divider_at(result) == pytest.approx(25, abs=1)
    result.touchscreen.tap(box["x"] + 0.75 * box["width"], middle)
    assert divider_at(result) == pytest.approx(75, abs=1)


def test_settings_change_the_colours(result, net):
    temperature, caution = map(result.get_by_label, ("Temperature", "Caution"))
    given = str(net.config.view_size)
    made = [pixels(saved(result)[1])]
    temperature.fill("0.5")
    made.append(pixels(saved(result)[1]))
    caution.fill("0.02")
    made.append(pixels(saved(result)[1]))
    assert result.locator("output").all_inner_texts() == ["0.50", "0.0200"]
    result.get_by_label("64" if given != "64" else "96", exact=True).check()
    made.append(pixels(saved(result)[1]))
    for before, after in itertools.pairwise(made):
        assert np.abs(after - before).max() > 3
    result.get_by_label(given, exact=True).check()
    temperature.fill("1")
    caution.fill(str(net.config.caution))
    assert np.array_equal(pixels(saved(result)[1]), made[0])


@pytest.mark.parametrize(("theme", "width"), [("light", 1400), ("dark", 390)])
def test_it_fits_and_passes_the_accessibility_checker(result, theme, width):
    assert barriers(result, theme, width) == []
    assert result.evaluate("document.scrollingElement.scrollWidth") <= width
    filters = "all => all.map(canvas => getComputedStyle(canvas).filter)"
    assert set(result.locator("canvas").evaluate_all(filters)) == {"none"}


def test_a_page_brings_little_and_says_what_it_lacks(browser, book, tmp_path):
    root = tmp_path / "book"
    shutil.copytree(Path(book.removeprefix("file://")).parents[1], root)
    (root / "_static/colorizer/weights.js").unlink()
    address = (root / "book/page.html").as_uri()
    tab, faults = open_page(browser.new_context(offline=True), address)
    assert tab.locator(".colorizer-result").is_hidden()
    assert barriers(tab) == faults == []  # the weights are not asked for
    sentence = give(tab, as_file(photograph(side=64)))
    assert sentence.endswith("built without the network: weights.js is missing.")
    plain = browser.new_page(java_script_enabled=False)
    plain.goto(address)
    assert plain.get_by_text("colorlib.Colorizer").is_visible()
    assert plain.locator(".colorizer").is_hidden()
