"""The lecturer's kit: figures by name, slides that show them, sheets to print."""

import base64
import io
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from PIL import Image

from tools import teaching_kit
from tools.teaching_kit import PICTURE, SLIDES, deck, figure_names, sheet, write_figures

ROOT = Path(__file__).parents[2]
DECKS = sorted((ROOT / SLIDES).glob("*.md"))
BOX = '<div class="tip admonition"><p>{}</p><p>Why <a href="#x">so</a>?</p></div>'
STUB = '<div class="cell"><pre># Your code here</pre></div>'
ANSWER = (
    '<div class="cell tag_solution"><details><summary>A</summary>42</details></div>'
)


@pytest.mark.parametrize("source", DECKS, ids=lambda path: path.stem)
def test_slides_show_figures_of_lessons(source):
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    known = {name for path in notebooks for name in figure_names(path)}
    shown = PICTURE.findall(source.read_text())
    assert len(shown) >= 2
    assert set(shown) <= known
    html = deck(source)
    assert html.count("<section>") == source.read_text().count("\n---\n") + 1
    assert len(re.findall(r"<img src=\"figures/", html)) == len(shown)
    assert "http" not in html


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_every_figure_becomes_a_png(kind, tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, kind)
    data = {f"image/{kind}": base64.b64encode(file.getvalue()).decode()}
    shown = v4.new_code_cell(id="03-x", outputs=[v4.new_output("display_data", data)])
    caption = v4.new_markdown_cell("**Figure.** A figure.", id="03-x-caption")
    (tmp_path / "notebooks").mkdir()
    notebook = v4.new_notebook(cells=[shown, caption])
    nbformat.write(notebook, tmp_path / "notebooks/03_lesson.ipynb")
    write_figures(tmp_path, tmp_path / "figures")
    with Image.open(tmp_path / "figures/03-x.png") as saved:
        assert (saved.format, saved.size) == ("PNG", (8, 6))


def test_a_class_is_a_deck():
    assert [path.stem for path in DECKS] == [f"class_{n}" for n in range(1, 7)]


def test_exercises_are_printed_and_solutions_apart(tmp_path):
    page = f"<article><h1>A lesson</h1>{BOX.format('Exercise 1.1')}{STUB}{ANSWER}"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/01_lesson.html").write_text(f"{page}</article>")
    asked, solved = sheet(tmp_path, solved=False), sheet(tmp_path, solved=True)
    for text in (asked, solved):
        assert "<h2>A lesson</h2>" in text
        assert "Exercise 1.1" in text
        assert "<a " not in text
    assert "42" not in asked
    assert "42" in solved
    assert "<details" not in solved


def test_without_answers_no_solutions_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "html/notebooks").mkdir(parents=True)
    monkeypatch.setattr(teaching_kit, "PICTURE", re.compile("none is looked for"))
    page = f"<article><h1>A lesson</h1>{BOX.format('Exercise 1.1')}{STUB}</article>"
    (tmp_path / "html/notebooks/01_lesson.html").write_text(page)
    kit = teaching_kit.write_kit(tmp_path, tmp_path / "html")
    assert {path.name for path in kit.glob("*.html")} == {
        "exercises.html", *(f"class_{n}.html" for n in range(1, 7)),
    }  # fmt: skip


def test_a_slide_without_its_figure_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(SystemExit, match="found no figure 0"):
        teaching_kit.write_kit(tmp_path, tmp_path)
