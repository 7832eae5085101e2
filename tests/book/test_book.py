"""The book as files: whole, from here, and made again only where something changed."""

import hashlib
import html
import json
import re
from base64 import b64decode
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from copies import ROOT, pages_of

from companion.config import load_profile
from companion.studies import plan

LOADED = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*?(?:src|href)=\"(https?:[^\"]+)\"[^>]*>"
)

RECORD_NAME = re.compile(
    r"\b[a-z]+-\d+-[a-z0-9]+-[0-9a-f]{8}\b|\bbench-\d{4}-\d\d-\d\dT\d{6}\b"
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


def test_no_style_sheet_loads_anything_from_elsewhere(copy):
    for sheet in copy.html.rglob("*.css"):
        fetched = re.findall(r"url\([\"']?((?:https?:)?//[^)]+)", sheet.read_text())
        assert fetched == [], sheet.name


@cache
def anchors(path: Path) -> set[str]:
    """Every place of a page that a link can lead to."""
    return set(re.findall(r'\bid="([^"]+)"', path.read_text()))


@pytest.mark.parametrize("page", pages_of(ROOT))
def test_links_within_the_book_lead_somewhere(copy, page):
    here = copy.html / f"{page}.html"
    article = here.read_text().split("<article", 1)[1].split("</article>", 1)[0]
    for address in re.findall(r'<a\b[^>]*?href="([^"]+)"', article):
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
def test_the_launch_buttons_open_the_notebook_of_the_repository(copy, page):
    text = (copy.html / f"{page}.html").read_text()
    colab = re.findall(r'href="(https://colab\.research\.google\.com[^"]+)"', text)
    binder = re.findall(r'href="(https://mybinder\.org[^"]+)"', text)
    assert colab
    assert all(address.endswith(f"/blob/main/{page}.ipynb") for address in colab)
    assert binder
    assert all(
        unquote(a).endswith(f"/main?urlpath=lab/tree/{page}.ipynb") for a in binder
    )


def test_no_page_shows_the_set_up_for_colab(copy):
    for page in (copy.html / "notebooks").glob("*.html"):
        assert "COLAB_RELEASE_TAG" not in page.read_text(), page.name


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
        tags = [c["metadata"].get("tags", []) for c in cells]
        assert all("hide-input" in t for t in tags if "injected-parameters" in t)


def pictures_of_cells(stage: Path) -> set[str]:
    """Hashes of all pictures that the cells of the executed lessons show."""
    found = set()
    for path in stage.glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                png = output.get("data", {}).get("image/png")
                if png:
                    found.add(hashlib.sha256(b64decode(png)).hexdigest())
    return found


def test_every_picture_comes_from_a_cell_or_is_drawn_in_the_repository(copy):
    known = pictures_of_cells(copy.root / "_build/smoke/stage/notebooks")
    drawn = (path for path in (ROOT / "book").rglob("*") if path.is_file())
    known |= {hashlib.sha256(path.read_bytes()).hexdigest() for path in drawn}
    shown = 0
    for page in pages_of(ROOT):
        text = (copy.html / f"{page}.html").read_text()
        article = text.split("<article", 1)[1].split("</article>", 1)[0]
        for address in re.findall(r'<img\b[^>]*?src="([^":]+)"', article):
            path = copy.html / page
            content = (path.parent / unquote(address)).read_bytes()
            assert hashlib.sha256(content).hexdigest() in known, f"{page}: {address}"
            shown += 1
    assert shown > 20


def test_every_record_that_is_named_exists(copy):
    kept = {path.stem for path in (ROOT / "results").glob("*.json")}
    kept |= {path.stem for path in (ROOT / "benchmarks/results").glob("*.json")}
    of_this_book = (copy.root / "_build/smoke/runs").glob("*/record.json")
    kept |= {json.loads(path.read_text())["name"] for path in of_this_book}
    named = set()
    texts = [ROOT / "README.md", *(ROOT / "colorlib").rglob("*.md")]
    for path in [*texts, *(copy.html / f"{page}.html" for page in pages_of(ROOT))]:
        named |= set(RECORD_NAME.findall(path.read_text()))
    assert len(named) > 100
    assert named <= kept


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


def test_a_time_stamp_or_a_comment_is_no_change(copy):
    (copy.root / "notebooks" / "01_colour_space.ipynb").touch()
    path = copy.root / "colorlib" / "training.py"
    before = path.read_text()
    try:
        path.write_text(before + "\n# a remark\n")
        assert "train" not in copy.planned()
        assert "notebook" not in copy.planned()
    finally:
        path.write_text(before)


def test_a_changed_notebook_is_executed_again_and_no_other(copy):
    path = copy.root / "notebooks" / "01_colour_space.ipynb"
    before = path.read_text()
    try:
        path.write_text(before.replace("figures.use_style()", "figures.use_style( )"))
        assert copy.planned() == {"notebook": 1, "book": 1}
    finally:
        path.write_text(before)


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
        assert copy.planned()["train"] == len(load_profile("smoke").models)
    finally:
        path.write_text(before)


def test_a_missing_record_says_which_study_to_run_and_leaves_the_last_good_book(copy):
    run = plan("table1", "studies")[-1]
    path, index = copy.root / "results" / f"{run.name}.json", copy.html / "index.html"
    before, book = path.read_bytes(), index.read_bytes()
    try:
        path.unlink()
        done = copy.make_book()
        assert done.returncode != 0
        assert "`companion study " in done.stdout + done.stderr
        assert run.name in done.stdout + done.stderr
        assert index.read_bytes() == book
    finally:
        path.write_bytes(before)
