"""Executing a lesson: what it is given, and captions that hold numbers."""

from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from papermill.exceptions import PapermillExecutionError

from tools.run_notebook import execute, parameters_for

ROOT = Path(__file__).parents[2]
KERNEL = {
    "kernelspec": {"name": "python3", "display_name": "Python"},
    "language_info": {"name": "python"},
}


def test_a_lesson_gets_what_it_declares_by_paths_as_seen_from_it(monkeypatch):
    monkeypatch.chdir(ROOT)  # as `make book` is
    given = {"profile": "companion/profiles/smoke.yaml", "weights_root": ""}
    given |= {"data_root": str(ROOT / "photographs"), "unknown": "1"}
    assert parameters_for(Path("notebooks/05_training.ipynb"), given) == {
        "profile": "../companion/profiles/smoke.yaml",
        "data_root": "../photographs",  # and does not name this machine's folders
    }


def run_with(tmp_path, caption):
    """A lesson of a parameter and a figure with a caption, executed; its cells."""
    cells = [
        v4.new_code_cell("count: int = 2", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("data = 'lfw'"),
        v4.new_markdown_cell(f"**Figure.** {caption}"),
        v4.new_markdown_cell("The end."),
    ]
    source, target = tmp_path / "lesson.ipynb", tmp_path / "done.ipynb"
    nbformat.write(v4.new_notebook(cells=cells, metadata=KERNEL), source)
    execute(source, target, {"count": 13233})
    return nbformat.read(target, as_version=4).cells


def test_what_stands_in_comments_is_computed(tmp_path):
    noisy = "{__import__('warnings').warn('loud') or count:,}"
    text = f"All<!-- {noisy}--> images<!-- of {{DATA_NAMES[data]}}-->, $R^{{2}}$, 5 %"
    parameters, injected, figure, caption, end = run_with(tmp_path, text)
    assert "13233" in injected.source
    assert caption.source == "**Figure.** All 13,233 images of LFW, $R^{2}$, 5 %"
    assert end.source == "The end."
    assert [c.execution_count for c in (parameters, injected, figure)] == [1, 2, 3]


def test_a_caption_of_something_unknown_fails(tmp_path):
    with pytest.raises(PapermillExecutionError, match="nowhere"):
        run_with(tmp_path, "All<!-- {nowhere}--> images")
    assert not (tmp_path / "done.ipynb").exists()
