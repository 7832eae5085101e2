"""The book in a real browser, opened as files, without a network."""

import itertools

import pytest
from browsing import barriers, open_page
from copies import ROOT, pages_of

PAGES = pages_of(ROOT)
LESSONS = [
    page for page in PAGES if page.startswith("notebooks/") and page[10].isdigit()
]


@pytest.fixture(scope="module")
def shown(browser, copy, request):
    """A page, opened once for all that is asked of it; what went wrong there."""
    context = browser.new_context(offline=True)
    yield open_page(context, (copy.html / f"{request.param}.html").as_uri())
    context.close()


def of_pages(pages):
    """Ask a question of some pages, one after the other."""
    return pytest.mark.parametrize("shown", pages, indirect=True)


@of_pages(PAGES)
def test_a_page_opens_without_a_fault_and_its_pictures_have_a_text(shown):
    tab, faults = shown
    for image in tab.locator("img").all():
        image.evaluate("image => { image.loading = 'eager'; return image.decode() }")
    assert faults == []
    formulas = tab.locator("article .math")
    assert tab.locator("article .math mjx-container").count() == formulas.count()
    assert tab.locator("mjx-merror").count() == 0
    for image in tab.locator("article img").all():
        alt = image.get_attribute("alt") or ""
        assert len(alt) > 10
        assert alt not in (image.get_attribute("src") or "").rsplit("/", 1)[-1]


@of_pages(LESSONS)
def test_answers_are_folded_until_asked_for(shown):
    tab, _ = shown
    answers = tab.locator(".tag_solution")
    assert answers.count() >= 3
    for answer in answers.all():
        assert not answer.locator("pre").first.is_visible()
    answers.first.locator("summary").click()
    assert answers.first.locator("pre").first.is_visible()
    answers.first.locator("summary").click()  # as other tests want it


CHANGES = """images => images.flatMap(image => ["filter", "opacity", "mixBlendMode"]
  .map(name => getComputedStyle(image)[name]))"""


# The reference is thousands of generated signatures: minutes for the checker.
@pytest.mark.parametrize(("theme", "width"), [("light", 1400), ("dark", 390)])
@of_pages([page for page in PAGES if page != "book/api"])
def test_a_page_passes_the_accessibility_checker(shown, theme, width):
    tab, _ = shown
    assert barriers(tab, theme, width) == []
    # No theme changes the colours of a picture.
    looks = tab.locator("article img").evaluate_all(CHANGES)
    assert set(looks) <= {"none", "1", "normal"}


@of_pages(PAGES)
def test_a_page_is_not_too_long(shown):
    tab, _ = shown
    tab.set_viewport_size({"width": 1300, "height": 900})
    assert tab.evaluate("document.scrollingElement.scrollHeight") <= 9000
    tables = "[...document.querySelectorAll('article table')]"
    assert tab.evaluate(f"{tables}.filter(t => t.checkVisibility()).length") <= 4


@of_pages(LESSONS)
def test_the_first_screen_of_a_lesson_holds_a_picture(shown):
    tab, _ = shown
    tab.set_viewport_size({"width": 1300, "height": 900})
    pictures = tab.locator("article :is(img, canvas, svg.picture)").all()
    places = [p.bounding_box() for p in pictures if p.is_visible()]
    assert any(p["height"] > 60 and p["y"] < 800 for p in places)


@of_pages(PAGES)
def test_headings_go_down_one_step_at_a_time_and_a_telephone_is_wide_enough(shown):
    tab, _ = shown
    levels = tab.locator("article :is(h1, h2, h3, h4, h5, h6)").evaluate_all(
        "headings => headings.map(heading => Number(heading.tagName[1]))"
    )
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= 390


@of_pages(LESSONS)
def test_what_a_reader_can_move_is_alive(shown):
    tab, faults = shown
    pieces = "document.querySelectorAll('article *')"
    kinds = f"[...{pieces}].filter(e => e.localName.startsWith('colorlib-'))"
    assert tab.evaluate(f"{kinds}.every(e => e.classList.contains('live'))")
    assert tab.locator("article .colorlib-shared").count() == 0  # pages have it once
    assert faults == []
