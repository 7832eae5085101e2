"""The book as files: whole, from here, and made again only where something changed."""

import html
import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from copies import ROOT, pages_of

from companion.config import load_profile

RECORD_NAME = re.compile(
    r"\b[a-z]+-\d+-[a-z0-9]+-[0-9a-f]{8}\b|\bbench-\d{4}-\d\d-\d\dT\d{6}\b"
)
each_page = pytest.mark.parametrize("page", pages_of(ROOT))


def article_of(copy, page):
    """What a page says, without its menus."""
    text = (copy.html / f"{page}.html").read_text()
    return text.split("<article", 1)[1].split("</article>", 1)[0]


@cache
def anchors(path: Path) -> set[str]:
    """Every place of a page that a link can lead to."""
    return set(re.findall(r'\bid="([^"]+)"', path.read_text()))


@each_page
def test_links_within_the_book_lead_somewhere(copy, page):
    here = copy.html / f"{page}.html"
    for address in re.findall(r'<a\b[^>]*?href="([^"]+)"', article_of(copy, page)):
        target = urlsplit(html.unescape(address))
        if target.scheme or target.netloc:
            continue
        path = here.parent / unquote(target.path) if target.path else here
        assert path.resolve().is_file(), address
        if target.fragment:
            assert unquote(target.fragment) in anchors(path.resolve()), address


@pytest.mark.parametrize(
    "page", [page for page in pages_of(ROOT) if page.startswith("notebooks/")]
)
def test_a_lesson_opens_its_notebook_and_hides_the_set_up(copy, page):
    text = (copy.html / f"{page}.html").read_text()
    colab = re.findall(r'href="(https://colab\.research\.google\.com[^"]+)"', text)
    binder = re.findall(r'href="(https://mybinder\.org[^"]+)"', text)
    assert colab
    assert all(address.endswith(f"/blob/main/{page}.ipynb") for address in colab)
    assert binder
    assert all(unquote(a).endswith(f"lab/tree/{page}.ipynb") for a in binder)
    assert "COLAB_RELEASE_TAG" not in text


def test_every_record_that_is_named_exists(copy):
    kept = [*(ROOT / "companion/results").glob("*.json")]
    kept += (ROOT / "benchmarks/results").glob("*.json")
    names = {path.stem for path in kept}
    trained = [path.parent for path in copy.root.rglob("record.json")]
    assert {path.parent for path in trained} == {copy.root / "_build/runs"}  # lessons'
    assert len(trained) == len(load_profile("smoke").models)  # and none trained again
    names |= {path.name for path in trained}
    named = set()
    for page in pages_of(ROOT):
        named |= set(RECORD_NAME.findall(article_of(copy, page)))
    assert len(named) >= 3 + 2  # the runs of this book, and of speed
    assert named <= names


@contextmanager
def changed(path, change):
    """A file with another text, for a while."""
    before = path.read_text()
    path.write_text(change(before))
    try:
        yield
    finally:
        path.write_text(before)


def test_only_what_a_change_concerns_is_made_again(copy):
    lesson = copy.root / "notebooks/01_colour_space.ipynb"
    lesson.touch()
    assert copy.planned() == {}
    with changed(copy.root / "colorlib/metrics.py", lambda s: f"{s}\n# a remark\n"):
        assert set(copy.planned()) <= {"book"}
    with changed(lesson, lambda s: s.replace("use_style()", "use_style( )")):
        assert copy.planned() == {"notebook": 1, "book": 1}
    with changed(
        copy.root / "companion/report/figures.py", lambda s: f"{s}\nCHANGED = True\n"
    ):
        assert set(copy.planned()) == {"notebook", "book"}
    with changed(copy.root / "colorlib/model.py", lambda s: f"{s}\nCHANGED = True\n"):
        assert copy.planned()["train"] == len(load_profile("smoke").models)
