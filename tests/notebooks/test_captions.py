"""Captions that hold numbers: computed when the notebook runs, never typed."""

import runpy
from pathlib import Path
from typing import get_args

import nbformat
import pytest
from papermill.exceptions import PapermillExecutionError

from companion.config import Dataset
from companion.ledger import DATA_NAMES

ROOT = Path(__file__).parents[2]
execute = runpy.run_path(str(ROOT / "tools" / "run_notebook.py"))["execute"]


@pytest.fixture
def lesson(tmp_path):
    """Writes a notebook with a parameter and a captioned figure; its path."""

    def write(caption):
        figure = {"mystnb": {"figure": {"caption": caption}}}
        notebook = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(
                    "count: int = 2", metadata={"tags": ["parameters"]}
                ),
                nbformat.v4.new_code_cell("data = 'lfw'", metadata=figure),
                nbformat.v4.new_markdown_cell("The end."),
            ],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python"},
                "language_info": {"name": "python"},
            },
        )
        nbformat.write(notebook, tmp_path / "lesson.ipynb")
        return tmp_path / "lesson.ipynb"

    return write


def test_what_stands_in_braces_is_computed(lesson, tmp_path):
    source = lesson("{count:,} photographs of {DATA_NAMES[data]}, 5 %")
    execute(source, tmp_path / "done.ipynb", {"count": 13233})
    cells = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells
    told = "13,233 photographs of LFW, 5 %"
    parameters, injected, figure, end = cells
    assert "13233" in injected.source
    assert figure.metadata.mystnb.figure.caption == told
    assert end.source == "The end."
    assert [c.execution_count for c in (parameters, injected, figure)] == [1, 2, 3]


def test_captions_may_come_in_pieces(lesson, tmp_path):
    told = "__import__('sys').stdout"
    source = lesson(f"{{{told}.write(' ') and {told}.flush() or count}} photographs")
    execute(source, tmp_path / "done.ipynb", {})
    figure = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells[1]
    assert figure.metadata.mystnb.figure.caption == "2 photographs"


def test_warnings_are_no_captions(lesson, tmp_path):
    source = lesson("{__import__('warnings').warn('loud') or count}")
    execute(source, tmp_path / "done.ipynb", {})
    figure = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells[1]
    assert figure.metadata.mystnb.figure.caption == "2"


def test_a_caption_of_something_unknown_fails(lesson, tmp_path):
    with pytest.raises(PapermillExecutionError, match="nowhere"):
        execute(lesson("{nowhere} photographs"), tmp_path / "done.ipynb", {})
    assert not (tmp_path / "done.ipynb").exists()


def test_every_data_set_has_a_name_to_be_printed():
    assert set(DATA_NAMES) == set(get_args(Dataset))
