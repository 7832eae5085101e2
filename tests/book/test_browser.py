"""The book in a real browser, opened as files, without a network."""

import itertools
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from copies import ROOT, pages_of
from playwright.sync_api import sync_playwright

from tools.print_book import NAMES

CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
PAGES = pages_of(ROOT)
LESSONS = [page for page in PAGES if page.startswith("notebooks/")]
# Preloaded, style sheets would be asked for once more, which files refuse.
AXE = {"resultTypes": ["violations"], "preload": False}

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium on the PATH, so the book was not looked at in a browser; "
    "install it (Debian: apt-get install chromium) to run these tests",
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--force-color-profile=srgb"]
        )
        yield browser
        browser.close()


def open_page(context, address):
    """Open a page; the tab, and a list of what goes wrong in it, now and later."""
    tab = context.new_page()
    faults = []
    tab.on("console", lambda m: m.type == "error" and faults.append(m.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("requestfailed", lambda r: faults.append(f"failed: {r.url}"))
    tab.on(
        "request",
        lambda r: (
            r.url.startswith(("file:", "data:", "blob:"))
            or faults.append(f"outside: {r.url}")
        ),
    )
    tab.goto(address)
    tab.evaluate("window.MathJax?.startup?.promise")  # until formulas are set
    return tab, faults


@pytest.fixture(scope="module")
def shown(browser, copy, request):
    """A page, opened once for all that is asked of it; what went wrong there."""
    context = browser.new_context(offline=True)
    yield open_page(context, (copy.html / f"{request.param}.html").as_uri())
    context.close()


def of_pages(pages):
    """Ask a question of some pages, one after the other."""
    return pytest.mark.parametrize("shown", pages, indirect=True)


def set_theme(tab, theme):
    """Light or dark, as the button in the corner does."""
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)


@of_pages(PAGES)
def test_a_page_opens_without_a_fault(shown):
    tab, faults = shown
    for image in tab.locator("img").all():
        image.evaluate("image => { image.loading = 'eager'; return image.decode() }")
    assert faults == []
    formulas = tab.locator("article .math")
    assert tab.locator("article .math mjx-container").count() == formulas.count()
    assert tab.locator("mjx-merror").count() == 0


@of_pages(PAGES)
def test_pictures_have_a_text_and_the_colours_of_their_file(shown):
    tab, _ = shown
    changes = "image => ['filter', 'opacity', 'mixBlendMode'].map("
    changes += "name => getComputedStyle(image)[name])"
    for image in tab.locator("article img").all():
        alt = image.get_attribute("alt") or ""
        file = (image.get_attribute("src") or "").rsplit("/", 1)[-1]
        assert len(alt) > 10
        assert alt not in file
        for theme in ("light", "dark"):
            set_theme(tab, theme)
            assert image.evaluate(changes) == ["none", "1", "normal"]


@of_pages(LESSONS)
def test_answers_are_folded_until_asked_for(shown):
    tab, _ = shown
    answers = tab.locator(".tag_solution")
    assert answers.count() >= 3
    for answer in answers.all():
        assert not answer.locator("pre").first.is_visible()
    answers.first.locator("summary").click()
    assert answers.first.locator("pre").first.is_visible()


# The reference is thousands of generated signatures: minutes for the checker.
@pytest.mark.parametrize("theme", ["light", "dark"])
@of_pages([page for page in PAGES if page != "book/api"])
def test_a_page_passes_the_accessibility_checker(shown, theme):
    tab, _ = shown
    width = {"light": 1400, "dark": 390}[theme]  # each once, in two tests
    tab.set_viewport_size({"width": width, "height": 900})
    set_theme(tab, theme)
    tab.wait_for_timeout(300)  # colours change smoothly
    found = Axe().run(tab, options=AXE).response
    assert [
        f"{rule['id']}: {rule['help']}: {node['html'][:120]}"
        for rule in found["violations"]
        if rule["impact"] != "minor"  # such as the empty corner of a table
        for node in rule["nodes"]
    ] == []


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
