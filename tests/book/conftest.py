"""Books to look at, and a browser to look with."""

import pytest
from browsing import CHROMIUM
from copies import Copy, copy_repository, small_book_in
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="session")
def chromium():
    """The path of the browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    return CHROMIUM


@pytest.fixture(scope="module")
def browser(chromium):
    """A browser; closed before another module runs an event loop of its own."""
    with sync_playwright() as playwright:
        options = {"executable_path": chromium, "args": ["--force-color-profile=srgb"]}
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def copy(tmp_path_factory) -> Copy:
    """A copy of the repository, its book of the smallest profile built by `make`."""
    made = copy_repository(tmp_path_factory.mktemp("clone"))
    done = made.make_book()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def small_book(tmp_path):
    """A book of two pages; called with the text of one, it says how building went."""
    return small_book_in(tmp_path)
