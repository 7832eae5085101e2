"""Executing a lesson: what it is given, and captions that hold numbers."""

from pathlib import Path

import nbformat
from nbformat import v4

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


def test_what_stands_in_comments_is_computed(tmp_path):
    noisy = "{__import__('warnings').warn('loud') or count:,}"
    text = f"All<!-- {noisy}--> images<!-- of {{DATA_NAMES[data]}}-->, $R^{{2}}$, 5 %"
    cells = [
        v4.new_code_cell("count: int = 2", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("data = 'lfw'"),
        v4.new_markdown_cell(f"**Figure.** {text}"),
    ]
    source, target = tmp_path / "lesson.ipynb", tmp_path / "done.ipynb"
    nbformat.write(v4.new_notebook(cells=cells, metadata=KERNEL), source)
    execute(source, target, {"count": 13233})
    parameters, injected, figure, caption = nbformat.read(target, as_version=4).cells
    assert "13233" in injected.source
    assert caption.source == "**Figure.** All 13,233 images of LFW, $R^{2}$, 5 %"
    assert [c.execution_count for c in (parameters, injected, figure)] == [1, 2, 3]
