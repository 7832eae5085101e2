"""Books of two or three pages, with something wrong in them, or without answers."""

import nbformat
import pytest
from nbformat import v4

from tools.run_notebook import execute

KERNEL = {
    "kernelspec": {"name": "python3", "display_name": "", "language": "python"},
    "language_info": {"name": "python"},
}


def test_a_fault_in_a_page_fails_as_often_as_it_is_tried(small_book):
    code, said = small_book("Nothing is wrong.")
    assert code == 0, said
    page = small_book.folder / "html/book/page.html"
    good = page.read_bytes()
    for _ in range(2):
        code, said = small_book("{ref}`a-label-that-is-nowhere`")
        assert code != 0
        assert "a-label-that-is-nowhere" in said
    assert page.read_bytes() == good


@pytest.fixture
def lesson(small_book):
    """A lesson of a small book, executed on its stage; the path of its source."""
    answer = {"tags": ["solution", "hide-cell"]}
    cells = [
        v4.new_markdown_cell("# A lesson\n\nHow much is 6 times 7?"),
        v4.new_code_cell("# Your code here"),
        v4.new_code_cell("assert 6 * 7 == 42", metadata=answer),
    ]
    source = small_book.folder / "notebooks/lesson.ipynb"
    source.parent.mkdir()
    nbformat.write(v4.new_notebook(cells=cells, metadata=KERNEL), source)
    execute(source, small_book.stage / "notebooks/lesson.ipynb", {})
    return source


def test_students_get_no_answers(small_book, lesson):
    code, said = small_book("Text.", "hide", chapters=["notebooks/lesson"])
    assert code == 0, said
    page = (small_book.folder / "html/notebooks/lesson.html").read_text()
    assert "6 times 7" in page
    assert "Your code here" in page
    assert "42" not in page.split("<article", 1)[1].split("</article>", 1)[0]
    own = small_book.folder / "_build/student/notebooks/lesson.ipynb"
    assert [c.source for c in nbformat.read(own, 4).cells] == [
        c.source for c in nbformat.read(lesson, 4).cells[:2]
    ]
    kept = nbformat.read(small_book.stage / "notebooks/lesson.ipynb", 4)
    assert len(kept.cells) == 3  # the book with answers is not touched


def test_a_lesson_that_is_stale_or_ran_out_of_order_is_refused(small_book, lesson):
    executed = small_book.stage / "notebooks/lesson.ipynb"
    notebook = nbformat.read(executed, as_version=4)
    notebook.cells[1].execution_count = 7
    nbformat.write(notebook, executed)
    code, said = small_book("Text.", chapters=["notebooks/lesson"])
    assert code != 0
    assert "in the order [7, 2]" in said
    lesson.write_text(lesson.read_text().replace("6 times 7", "7 times 6"))
    code, said = small_book("Text.", chapters=["notebooks/lesson"])
    assert code != 0
    assert "lesson.ipynb executed before" in said
    assert not (small_book.folder / "html").exists()
