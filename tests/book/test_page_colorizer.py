"""The colorizer of the book's pages: against torch, and in a browser, as a file."""

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from colorizer_page import (
    as_file,
    coloured,
    page_in,
    photograph,
    random_network,
    seen_by,
    synthetic,
)
from PIL import Image
from playwright.sync_api import sync_playwright
from test_browser import AXE, CHROMIUM, open_page, set_theme

from colorlib.colorize import BUNDLED, gray_of
from colorlib.errors import UserError
from colorlib.unet import load_unet, save_unet
from tools.page_weights import page_weights

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")

WIDGET = ".colorizer"
SEEN = "/^(In colour|Saved|This|“)/.test(document.querySelector('.colorizer-told').{})"
SEEN = SEEN.format("textContent")
NAMES = (
    "astronaut", "camera", "cat", "coffee", "coins", "hubble_deep_field",
    "immunohistochemistry", "moon", "retina", "rocket",
)  # fmt: skip


# ----------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file of the network that the pages bring."""
    try:
        load_unet(BUNDLED)
    except UserError:
        path = tmp_path_factory.mktemp("model") / "model.safetensors"
        save_unet(random_network(), path, {})
        return path
    return BUNDLED


@pytest.fixture(scope="module")
def net(model):
    return load_unet(model)[0]


@pytest.fixture(scope="module")
def book(model, tmp_path_factory):
    """The address of a page with the colorizer, as the book's build would put it."""
    return page_in(tmp_path_factory.mktemp("book"), model)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--force-color-profile=srgb"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser, book):
    """The page on a telephone, offline; at the end nothing has gone wrong in it."""
    context = browser.new_context(
        offline=True, viewport={"width": 390, "height": 844}, has_touch=True
    )
    tab, faults = open_page(context, book)
    tab.set_default_timeout(120_000)
    yield tab
    assert faults == []
    context.close()


# ------------------------------------------------------------------------ what is asked


def beside(book, name):
    """The address of one of the colorizer's files."""
    return book.replace("book/page.html", f"_static/colorizer/{name}")


def give(tab, content, name="photograph.png"):
    """Choose a file, wait until the page has something to say, and return that."""
    tab.evaluate("document.querySelector('.colorizer-told').textContent = ''")
    file = {"name": name, "mimeType": "image/png", "buffer": content}
    tab.set_input_files(f"{WIDGET} [type=file]", [file])
    tab.wait_for_function(SEEN)
    return told(tab)


def told(tab):
    """What the page says."""
    return tab.locator("[role=status]").inner_text()


def saved(tab, kind="png"):
    """Save the photograph in colour; its name and its pixels."""
    with tab.expect_download() as download:
        tab.click(f"{WIDGET} button[value={kind}]")
    content = Path(download.value.path()).read_bytes()
    return download.value.suggested_filename, Image.open(io.BytesIO(content))


def divider_at(tab):
    """Where gray ends and colour begins, percent."""
    clip = tab.locator("canvas").nth(1).evaluate("c => getComputedStyle(c).clipPath")
    return float(re.search(r"([\d.]+)%", clip)[1])


# -------------------------------------------------------------------------- the network

RUN = """([L_norm, height, width, temperature]) => {
  window.net ??= colorNetwork().unpack(window.colorizerWeights);
  const { logits, annealedMean } = colorNetwork();
  const seen = logits(net, Float32Array.from(L_norm), height, width);
  const { a, b } = annealedMean(net, seen, temperature);
  return [seen.height, seen.width, [...a, ...b]];
}"""


def test_the_network_computes_what_torch_computes(browser, book, net, capsys):
    tab = browser.new_page()
    tab.goto(book)
    tab.add_script_tag(url=beside(book, "weights.js"))
    worst, spread = {}, []
    pictures = {name: photograph(name) for name in NAMES}
    pictures |= {name: synthetic(name) for name in ("noise", "ramp")}
    for name, rgb in pictures.items():
        L_norm = seen_by(net, rgb, 64)
        with torch.no_grad():
            expected = 128 * net(L_norm)[0]  # (2, h, w), Lab units
        given = [L_norm.flatten().tolist(), *L_norm.shape[2:], net.config.temperature]
        h, w, ab = tab.evaluate(RUN, given)
        found = torch.tensor(ab).view(2, h, w)
        worst[name] = float((found - expected).abs().max())
        spread.append(float(expected.std()))
    with capsys.disabled():
        print(f"\nlargest difference of ab: {max(worst.values()):.5f} units")
    tab.close()
    assert max(worst.values()) < 0.5, worst
    assert max(spread) > 3  # there was colour to compare


def test_odd_sizes_and_other_temperatures_too(browser, book, net):
    tab = browser.new_page()
    tab.goto(book)
    tab.add_script_tag(url=beside(book, "weights.js"))
    generator = torch.Generator().manual_seed(0)
    for (H, W), temperature in {(33, 35): 0.1, (64, 33): 1.0, (37, 70): 0.6}.items():
        L_norm = torch.rand(1, 1, H, W, generator=generator) * 2 - 1
        with torch.no_grad():
            expected = 128 * net(L_norm, temperature)[0]
        h, w, ab = tab.evaluate(RUN, [L_norm.flatten().tolist(), H, W, temperature])
        assert (torch.tensor(ab).view(2, h, w) - expected).abs().max() < 0.5
    tab.close()


def test_the_weights_are_the_same_each_time_and_of_the_length_told(model):
    script = page_weights(model)
    assert script == page_weights(model)
    counts = [int(count) for count in re.findall(r'\["[\w.]+", (\d+)\]', script)]
    halves = script.rsplit('"', 2)[1]
    assert len(halves) == 4 * -(-2 * sum(counts) // 3)


def test_a_file_that_is_no_such_network_is_refused(tmp_path):
    with pytest.raises(UserError, match="found no model"):
        page_weights(tmp_path / "none.safetensors")


# ------------------------------------------------------------------------ a photograph


@pytest.mark.parametrize("name", ["cat", "coffee"])
def test_a_photograph_is_coloured_as_python_colours_it(tab, net, name, capsys):
    rgb = photograph(name)
    sentence = give(tab, as_file(rgb), f"{name}.old.png")
    with capsys.disabled():
        print(f"\n{name} at 390 px: {sentence}")
    assert sentence.startswith("In colour after ")
    file, picture = saved(tab)
    assert file == f"{name}.old.coloured.png"
    found = np.asarray(picture.convert("RGB")).astype(int)
    apart = np.abs(found - coloured(net, rgb))  # levels of 255
    assert apart.mean() < 0.5
    assert np.quantile(apart, 0.99) <= 3
    assert "Saved as" in told(tab)


def test_the_page_shows_what_it_saves(tab):
    rgb = photograph("cat")
    give(tab, as_file(rgb))
    shown = []
    for number in (0, 1):
        address = tab.locator("canvas").nth(number).evaluate("c => c.toDataURL()")
        content = base64.b64decode(address.split(",")[1])
        shown.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    gray, colour = shown
    apart = np.abs(gray.astype(int) - gray_of(rgb)[..., None])
    assert apart.max() <= 1  # by the steps of its tables
    assert apart.mean() < 0.01
    assert np.array_equal(colour, np.asarray(saved(tab)[1].convert("RGB")))


def test_large_photographs_are_reduced_in_strips_as_python_does(tab, net):
    large = Image.fromarray(photograph("coffee")).resize((2400, 1600))
    rgb = np.array(large)
    give(tab, as_file(rgb, "PNG", compress_level=1))
    width = tab.locator("canvas").nth(1).evaluate("canvas => canvas.width")
    assert width == 2048  # on the screen; but in the file:
    found = np.asarray(saved(tab)[1].convert("RGB")).astype(int)
    assert found.shape == rgb.shape
    apart = np.abs(found - coloured(net, rgb))
    assert apart.mean() < 2  # what is seen was made small in other steps
    assert np.quantile(apart, 0.99) <= 8


def no_bitmap_of_files(tab):
    """Let the page's browser be one that makes bitmaps of elements only."""
    tab.evaluate(
        """() => {
          window.bitmapOf = window.createImageBitmap;
          window.createImageBitmap = async (from) => {
            if (from instanceof Blob) throw new TypeError("not of files");
            return bitmapOf(from);
          };
        }"""
    )


@pytest.mark.parametrize("browser_is", ["new", "old"])
def test_a_photograph_stands_upright_as_its_exif_says(tab, browser_is):
    if browser_is == "old":
        no_bitmap_of_files(tab)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    rgb = photograph("cat")[:120, :80]
    give(tab, as_file(rgb, "JPEG", exif=exif, quality=95), "turned.jpg")
    if browser_is == "old":
        tab.evaluate("() => { window.createImageBitmap = window.bitmapOf }")
    kept = np.asarray(saved(tab)[1].convert("L")).astype(int)
    upright = np.asarray(Image.fromarray(np.rot90(rgb, -1)).convert("L")).astype(int)
    assert kept.shape == (80, 120)
    assert np.corrcoef(kept.flat, upright.flat)[0, 1] > 0.98


def test_transparency_stays_in_png_and_is_white_in_jpeg(tab):
    rgb = photograph("cat")[:90, :90]
    alpha = np.full((90, 90, 1), 255, np.uint8)
    alpha[:40] = 0
    give(tab, as_file(np.concatenate([rgb, alpha], 2)))
    kept = np.asarray(saved(tab)[1])
    assert np.array_equal(kept[..., 3:], alpha)
    file, jpeg = saved(tab, "jpeg")
    assert file.endswith(".coloured.jpg")
    assert np.asarray(jpeg)[:30].min() > 245


def test_what_is_too_large_is_made_smaller_and_the_page_says_so(tab):
    tab.evaluate("document.querySelector('.colorizer').dataset.most = 10000")
    try:
        sentence = give(tab, as_file(photograph("cat")[:200, :200]))
        assert "Its 200 × 200 pixels are too many here" in sentence
        assert saved(tab)[1].size == (100, 100)
    finally:
        tab.evaluate("delete document.querySelector('.colorizer').dataset.most")


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
    assert give(tab, as_file(photograph("cat")[:64, :64])).startswith("In colour")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_photograph_is_dropped_or_pasted(tab, event):
    picture = as_file(photograph("cat")[:64, :64])
    files = [[[0, 1, 2], "notes.txt", "text/plain"]]
    files.append([list(picture), "x.png", "image/png"])
    tab.evaluate("document.querySelector('.colorizer-told').textContent = ''")
    tab.evaluate(
        """async ([event, files]) => {
          const given = new DataTransfer();
          for (const [bytes, name, type] of files) {
            given.items.add(new File([new Uint8Array(bytes)], name, { type }));
          }
          const options = { bubbles: true, cancelable: true };
          document.body.dispatchEvent(event === "drop"
            ? new DragEvent("drop", { ...options, dataTransfer: given })
            : new ClipboardEvent("paste", { ...options, clipboardData: given }));
        }""",
        [event, files],
    )
    tab.wait_for_function(SEEN)
    assert told(tab).startswith("In colour")


# ----------------------------------------------------------------------- how it is used


@pytest.fixture
def result(tab):
    """The page with a photograph in colour."""
    give(tab, as_file(photograph("coffee")[:256, :256]))
    return tab


def test_the_divider_is_moved_by_keyboard(result):
    divider = result.get_by_label("Where gray ends")
    divider.fill("50")
    divider.focus()
    for _ in range(10):
        result.keyboard.press("ArrowLeft")
    assert divider_at(result) == 40
    assert divider.get_attribute("aria-valuetext") == "60 % in colour"


def test_the_divider_is_dragged_on_the_picture(result):
    stage = result.locator(".colorizer-stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    middle = box["y"] + box["height"] / 2
    result.mouse.move(box["x"] + 0.5 * box["width"], middle)
    result.mouse.down()
    result.mouse.move(box["x"] + 0.25 * box["width"], middle, steps=4)
    result.mouse.up()
    assert divider_at(result) == pytest.approx(25, abs=1)
    result.mouse.move(box["x"] + 0.9 * box["width"], middle)  # not held: nothing moves
    assert divider_at(result) == pytest.approx(25, abs=1)
    result.touchscreen.tap(box["x"] + 0.75 * box["width"], middle)
    assert divider_at(result) == pytest.approx(75, abs=1)


FOCUSED = "(({ type, tagName }) => type || tagName)(document.activeElement)"


def test_all_is_reached_by_keyboard(result):
    result.locator("details").evaluate("details => { details.open = true }")
    result.locator("[type=file]").focus()
    reached = []
    for _ in range(7):
        result.keyboard.press("Tab")
        reached.append(result.evaluate(FOCUSED))
    assert reached == ["range", "A", "button", "button", "SUMMARY", "range", "radio"]


def test_settings_change_the_colours(result, net):
    result.locator("details").evaluate("details => { details.open = true }")
    temperature = result.get_by_label("Temperature")
    given = str(net.config.view_size)
    other = "64" if given != "64" else "96"

    def colours():
        return np.asarray(saved(result)[1].convert("RGB")).astype(int)

    first = colours()
    temperature.fill("1")
    mean = colours()
    assert result.locator("output").inner_text() == "1.00"
    result.get_by_label(other, exact=True).check()
    small = colours()
    assert np.abs(mean - first).max() > 3
    assert np.abs(small - mean).max() > 3
    result.get_by_label(given, exact=True).check()
    temperature.fill(str(net.config.temperature))
    assert np.array_equal(colours(), first)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_it_fits_and_passes_the_accessibility_checker(result, theme, width):
    result.set_viewport_size({"width": width, "height": 844})
    result.locator("details").evaluate("details => { details.open = true }")
    set_theme(result, theme)
    result.wait_for_timeout(300)  # colours change smoothly
    assert result.evaluate("document.scrollingElement.scrollWidth") <= width
    filters = "all => all.map(canvas => getComputedStyle(canvas).filter)"
    assert set(result.locator("canvas").evaluate_all(filters)) == {"none"}
    found = Axe().run(result, options=AXE).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []


def test_before_a_photograph_there_is_little_and_no_weights(browser, book):
    context = browser.new_context(offline=True)
    asked = []
    context.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    tab, faults = open_page(context, book)
    assert "weights.js" not in asked
    assert "network.js" in asked
    assert tab.locator(".colorizer-result").is_hidden()
    found = Axe().run(tab, options=AXE).response["violations"]
    assert [rule["id"] for rule in found] == []
    assert faults == []
    context.close()


def test_without_the_weights_the_page_says_what_is_missing(browser, book, tmp_path):
    root = tmp_path / "book"
    shutil.copytree(Path(book.removeprefix("file://")).parents[1], root)
    (root / "_static/colorizer/weights.js").unlink()
    tab = browser.new_page()
    tab.goto((root / "book/page.html").as_uri())
    sentence = give(tab, as_file(photograph("cat")[:64, :64]))
    assert sentence == "This book was built without the network: weights.js is missing."
    tab.close()


def test_without_javascript_the_page_names_another_way(browser, book):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(book)
    assert tab.get_by_text("colorlib.Colorizer").is_visible()
    assert tab.locator(WIDGET).is_hidden()
    context.close()
