"""The pieces of companion/report/widgets.py in a browser, without a network."""

import base64
import io

import numpy as np
import pytest
import torch
from browsing import barriers, open_page
from PIL import Image
from scipy.stats import binomtest

from colorlib.bins import annealed_mean, bin_centres
from colorlib.color import images_to_float, lab_to_rgb, rgb_to_lab
from companion.photographs import square
from companion.report.widgets import (
    Pair,
    Widget,
    _one_of,
    ambiguity_picker,
    before_after,
    real_or_coloured,
    temperature_slider,
)

PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Widgets</title>
<style>[data-theme=dark] body {{ background: #121212; color: #ddd; color-scheme: dark }}
</style></head><body><main><h1>Widgets</h1>{}</main></body></html>"""
PLACE = (0.2, 0.4)  # on the saucer


def pixels_of(name, side):
    return images_to_float(torch.from_numpy(square(name, side))[None])[0]


CAT, COFFEE = pixels_of("cat", 160), pixels_of("coffee", 160)
LAB = rgb_to_lab(COFFEE)
GRAY = LAB[:1].expand(3, -1, -1) / 100
LOGITS = 5 * torch.randn(261, 16, 16, generator=torch.Generator().manual_seed(0))
QUESTIONS = [(CAT, GRAY, "A", True), (COFFEE, GRAY, "B", False), (CAT, CAT, "A", True)]
PIECES = {
    "before-after": before_after(
        {"gray": GRAY, "coloured": CAT, "ground truth": COFFEE}, "a cup of coffee"
    ),
    "one-of": _one_of(
        {"0": [GRAY, CAT], "1": [CAT, GRAY]}, ["a cup", "a cat"], "Fused networks"
    ),
    "temperature": temperature_slider(LAB[:1], LOGITS, "a cup of coffee", PLACE),
    "ambiguity": ambiguity_picker(COFFEE, "a cup of coffee", PLACE),
    "real-or-coloured": real_or_coloured(
        [Pair(real, made, "Look.", model) for real, made, model, _ in QUESTIONS],
        [first for *_, first in QUESTIONS],
    ),
}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The address of a page with all pieces, each as a notebook gets it."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    pieces = [Widget._repr_html_(piece) for piece in PIECES.values()]
    path.write_text(PAGE.format("".join(pieces)))
    return path.as_uri()


@pytest.fixture
def tab(browser, page):
    """The page on a telephone; at the end nothing has gone wrong, nothing was asked."""
    size = {"width": 390, "height": 844}
    context = browser.new_context(offline=True, viewport=size, has_touch=True)
    tab, faults = open_page(context, page)
    tab.wait_for_selector("colorlib-ambiguity button")
    yield tab
    assert faults == []
    context.close()


def seen(canvas):
    """The pixels of a canvas, (H, W, 3)."""
    data = canvas.evaluate("canvas => canvas.toDataURL()").partition(",")[2]
    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    return np.asarray(picture).astype(float)


def lab_of(rgb):
    """(H, W, 3), 0 to 255 -> Lab (3, H, W)."""
    return rgb_to_lab(torch.from_numpy(rgb / 255).float().permute(2, 0, 1))


def away_from(rgb, place):
    """Pixels that no ring covers, (N, 3)."""
    H, W, _ = rgb.shape
    y, x = np.mgrid[:H, :W]
    far = np.hypot(x - place[0] * W, y - place[1] * H) > 10
    return rgb[far]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_passes_the_accessibility_checker_and_is_as_wide_as_a_telephone(tab, theme):
    assert barriers(tab, theme, width=390) == []
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_the_divider_is_dragged_on_the_picture_and_moved_by_keys(tab):
    box = tab.locator("colorlib-before-after")
    upper = box.locator(".stage img").nth(1)

    def divider():
        clip = upper.evaluate("image => getComputedStyle(image).clipPath")
        return float(clip.rpartition(" ")[2].rstrip("%)"))

    assert divider() == 50
    place = box.locator(".stage").bounding_box()
    tab.mouse.move(place["x"] + place["width"] * 0.5, place["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(place["x"] + place["width"] * 0.2, place["y"] + 60)
    tab.mouse.up()
    assert divider() == pytest.approx(20, abs=1)
    box.locator("[type=range]").focus()
    tab.keyboard.press("ArrowRight")
    assert divider() == pytest.approx(21, abs=1)
    tab.touchscreen.tap(place["x"] + place["width"] * 0.9, place["y"] + 30)
    assert divider() == pytest.approx(90, abs=1)


def test_the_ground_truth_is_a_third_state(tab):
    box = tab.locator("colorlib-before-after")
    sides, slider = box.locator(".sides"), box.locator("[type=range]")
    assert sides.inner_text().split("\n") == ["gray", "coloured"]
    box.locator("[type=radio]").first.focus()
    tab.keyboard.press("ArrowDown")
    assert box.locator(".sides").inner_text().split("\n") == [
        "coloured",
        "ground truth",
    ]
    alts = [i.get_attribute("alt") for i in box.locator(".stage img").all()]
    assert alts == ["a cup of coffee, coloured", "a cup of coffee, ground truth"]
    assert "ground truth begins" in slider.get_attribute("aria-label")


def test_a_switch_shows_one_row_and_nothing_jumps(tab):
    box = tab.locator("colorlib-one-of")
    before = box.locator("img:visible").first.bounding_box()
    assert box.locator("img:visible").count() == 2
    box.get_by_label("1").check()
    assert box.locator("section:visible").get_attribute("data-name") == "1"
    assert box.locator("img:visible").first.bounding_box() == before


@pytest.mark.parametrize("temperature", [0.1, 0.38, 1.0])
def test_colours_at_a_temperature_are_those_of_torch(tab, temperature):
    box = tab.locator("colorlib-temperature")
    box.locator("[type=range]").fill(str(temperature))
    assert box.locator("output").inner_text() == f"{temperature:.2f}"
    ab = annealed_mean(LOGITS[None], bin_centres(), temperature)
    large = torch.nn.functional.interpolate(ab, (160, 160), mode="bilinear")[0]
    expected = lab_to_rgb(torch.cat([LAB[:1], large])).permute(1, 2, 0).numpy()
    found = seen(box.locator("canvas").first)
    off = away_from(found, PLACE) - away_from(255 * expected, PLACE)
    assert abs(off).mean() < 2  # the kept picture and scores have eight bits
    assert abs(off).max() < 40


def test_the_distribution_is_that_of_the_place_chosen_by_key(tab):
    box = tab.locator("colorlib-temperature")
    said = box.locator(".said")
    canvas = box.locator("canvas").first
    before, plane = said.inner_text(), seen(box.locator("canvas").nth(1))
    canvas.focus()
    for _ in range(5):
        tab.keyboard.press("Shift+ArrowRight")
    assert said.inner_text() != before
    assert said.inner_text() == canvas.get_attribute("aria-valuetext")
    column, row = int((PLACE[0] + 0.5) * 16), int(PLACE[1] * 16)
    shares = (LOGITS[:, row, column] / 0.38).softmax(0)
    a, b = (shares @ bin_centres()).round().int().tolist()
    assert f"a = {a}, b = {b}." in said.inner_text().replace("-0", "0")
    assert abs(seen(box.locator("canvas").nth(1)) - plane).max() > 50


def test_what_has_the_lightness_of_a_pixel_is_repainted_and_nothing_else(tab):
    box = tab.locator("colorlib-ambiguity")
    picture, gray, plane = box.locator("canvas").all()
    plane.scroll_into_view_if_needed()
    shown = plane.bounding_box()
    before = seen(picture)
    tab.touchscreen.tap(  # a = 23, b = -23: a violet
        shown["x"] + 0.6 * shown["width"], shown["y"] + 0.6 * shown["height"]
    )
    after = seen(picture)
    old, new, plain = map(lab_of, (before, after, seen(gray)))  # (3, H, W)
    H, W = old.shape[1:]
    y, x = np.mgrid[:H, :W]
    seen_at = np.hypot(x - PLACE[0] * W, y - PLACE[1] * H) > 10  # no ring is there
    L0 = plain[0, int(PLACE[1] * H), int(PLACE[0] * W)]
    off = (old[0] - L0).abs().numpy()  # Lab units
    unlike, like = (off > 4.5) & seen_at, (off < 1) & seen_at
    assert (after[unlike] == before[unlike]).all()
    painted = new[1:, torch.from_numpy(like)].median(dim=1).values
    torch.testing.assert_close(painted, torch.tensor([23.0, -23.0]), atol=3, rtol=0)
    changed = (new[0] - plain[0]).abs()[torch.from_numpy(seen_at)]
    assert changed.mean() < 0.5
    assert "colours of this lightness" in box.locator(".said").inner_text()
    box.get_by_text("Start again").click()
    assert (seen(picture) == before).all()


def test_the_human_test_is_taken_by_keyboard_and_scored_by_model(tab):
    box = tab.locator("colorlib-real-or-coloured")
    questions, said = box.locator("section"), box.locator(".answer")
    for number in range(3):
        assert f"Pair {number + 1} of 3" in said.inner_text()
        assert box.locator("section:visible").count() == 1
        images = questions.nth(number).locator("img").all()
        boxes = [image.bounding_box() for image in images]
        assert [box["width"] for box in boxes] == [160, 160]  # in their own size
        assert boxes[0]["y"] == boxes[1]["y"]  # side by side
        questions.nth(number).locator("button").first.focus()
        tab.keyboard.press("Enter")
        tab.keyboard.press("Enter")
    ends = binomtest(2, 3).proportion_ci(method="wilson")
    low, high = (round(100 * end) for end in ends)
    score = f"2 of 3 right: 67\xa0% (95 % interval {low} to {high}\xa0%)"
    assert score in said.inner_text()
    assert "Your votes, for the analysis below: 1,0,1" in said.inner_text()
    rows = [row.inner_text().split("\t") for row in box.locator("tr").all()]
    assert [row[:2] for row in rows[1:]] == [["A", "0 of 2"], ["B", "1 of 1"]]


def test_without_a_script_and_in_print_all_pictures_are_there(browser, page):
    for options, media in (({"java_script_enabled": False}, None), ({}, "print")):
        context = browser.new_context(offline=True, **options)
        tab = context.new_page()
        tab.goto(page)
        if media:
            tab.wait_for_selector("colorlib-ambiguity button")
            tab.emulate_media(media=media)
        for kind, piece in PIECES.items():
            images = tab.locator(f"colorlib-{kind} img:visible")
            assert images.count() == piece.html.count("<img"), kind
        assert tab.locator("canvas:visible, button:visible").count() == 0
        context.close()


def test_a_piece_that_is_moved_in_the_page_stays_as_it_is(tab):
    """As JupyterLab does with cells that leave the screen."""
    box = tab.locator("colorlib-one-of")
    box.get_by_label("1").check()
    box.evaluate(
        "box => { const home = box.parentNode; box.remove(); home.append(box) }"
    )
    assert box.locator("fieldset").count() == 1
    assert box.locator("section:visible").get_attribute("data-name") == "1"
