"""The book as files: whole, from here, and made again only where something changed."""

import json
import re

import pytest
from copies import ROOT, pages_of

LOADED = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*?(?:src|href)=\"(https?:[^\"]+)\"[^>]*>"
)


@pytest.mark.parametrize("page", pages_of(ROOT))
def test_every_page_of_the_contents_is_there(copy, page):
    text = (copy.html / f"{page}.html").read_text()
    assert "<h1>" in text
    assert len(text) > 5000


def test_no_page_loads_anything_from_elsewhere(copy):
    for page in copy.html.rglob("*.html"):
        for tag in re.finditer(LOADED, page.read_text()):
            assert 'rel="canonical"' in tag.group(0), f"{page.name}: {tag.group(1)}"


def test_the_executed_notebooks_ran_from_top_to_bottom(copy):
    stage = copy.root / "_build" / "smoke" / "stage" / "notebooks"
    executed = sorted(stage.glob("*.ipynb"))
    assert [p.name for p in executed] == [
        p.name for p in sorted((ROOT / "notebooks").glob("*.ipynb"))
    ]
    for path in executed:
        cells = json.loads(path.read_text())["cells"]
        counts = [c["execution_count"] for c in cells if c["cell_type"] == "code"]
        assert counts == list(range(1, len(counts) + 1))


def test_the_tables_of_results_are_tables(copy):
    text = (copy.html / "notebooks/06_results.html").read_text()
    assert text.count("<table") >= 4
    assert "pixel-wise training mean" in text


def test_citations_lead_to_the_bibliography(copy):
    bibliography = (copy.html / "book/bibliography.html").read_text()
    entries = set(re.findall(r'id="(id\d+)"', bibliography))
    text = (copy.html / "book/paper.html").read_text()
    cited = set(re.findall(r'href="bibliography\.html#(id\d+)"', text))
    assert cited
    assert cited <= entries


def test_nothing_is_made_again_when_nothing_changed(copy):
    assert copy.planned() == {}


def test_a_change_of_figures_trains_nothing_again(copy):
    path = copy.root / "colorlib" / "figures.py"
    before = path.read_text()
    try:
        path.write_text(before + "\nCHANGED = True\n")
        assert set(copy.planned()) == {"notebook", "book"}
    finally:
        path.write_text(before)


def test_a_change_of_the_model_trains_again(copy):
    path = copy.root / "colorlib" / "model.py"
    before = path.read_text()
    try:
        path.write_text(before + "\nCHANGED = True\n")
        assert copy.planned()["train"] == 2
    finally:
        path.write_text(before)


def test_a_failing_notebook_says_why_and_leaves_the_last_good_book(copy):
    path = copy.root / "notebooks" / "01_colour_space.ipynb"
    index = copy.html / "index.html"
    before, book = path.read_text(), index.read_bytes()
    try:
        path.write_text(before.replace("figures.use_style()", "figures.no_style()", 1))
        done = copy.make_book()
        assert done.returncode != 0
        assert "has no attribute 'no_style'" in done.stdout + done.stderr
        assert index.read_bytes() == book
    finally:
        path.write_text(before)
