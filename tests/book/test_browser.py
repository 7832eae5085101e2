"""The book in a real browser, opened as files, without a network."""

import shutil

import pytest
from copies import ROOT, pages_of
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
PAGES = pages_of(ROOT)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium on the PATH, so the book was not looked at in a browser; "
    "install it (Debian: apt-get install chromium) to run these tests",
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, copy):
    """Opens a page of the book; the tab and what went wrong in it."""
    context = browser.new_context(offline=True)

    def open_page(page, **viewport):
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
        if viewport:
            tab.set_viewport_size(viewport)
        tab.goto((copy.html / f"{page}.html").as_uri())
        tab.evaluate("window.MathJax?.startup?.promise")  # until formulas are set
        return tab, faults

    yield open_page
    context.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_a_fault(opened, page):
    tab, faults = opened(page)
    for image in tab.locator("img").all():
        image.evaluate("image => { image.loading = 'eager'; return image.decode() }")
    assert faults == []


@pytest.mark.parametrize("page", PAGES)
def test_formulas_are_set(opened, page):
    tab, _ = opened(page)
    formulas = tab.locator("article .math")
    assert tab.locator("article .math mjx-container").count() == formulas.count()
    assert tab.locator("mjx-merror").count() == 0


def test_there_are_formulas_to_set(opened):
    tab, _ = opened("book/paper")
    assert tab.locator("article .math mjx-container").count() > 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_no_theme_changes_the_colours_of_an_image(opened, page, theme):
    tab, _ = opened(page)
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    for image in tab.locator("article img").all():
        changes = "image => ['filter', 'opacity', 'mixBlendMode'].map("
        changes += "name => getComputedStyle(image)[name])"
        assert image.evaluate(changes) == ["none", "1", "normal"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_telephone(opened, page):
    tab, _ = opened(page, width=390, height=844)
    width = tab.evaluate("document.scrollingElement.scrollWidth")
    assert width <= 390


def test_the_search_finds_a_word_of_the_book(opened):
    tab, faults = opened("search")
    tab.goto(tab.url + "?q=fusion")
    tab.wait_for_selector("#search-results li")
    assert "fusion" in tab.locator("#search-results").inner_text().lower()
    assert faults == []
