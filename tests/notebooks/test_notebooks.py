"""The notebooks as they are kept: stripped, short, and in the order of the book."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

from companion.config import Profile

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FOLDERS = {"data_root", "weights_root", "cache_root", "runs_root"}
LONGEST_CELL = 15  # lines that are not empty
FACTS = ["Time", "Hardware", "Data", "Prerequisites"]
GRADES = ["warm-up", "core", "stretch"]  # from easy to hard
EXERCISE = re.compile(
    r"```\{admonition\} Exercise (\d+)\.(\d+) \((.+)\)\n:class: tip\n(.+)\n```"
)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(path):
    notebook = nbformat.read(path, as_version=4)
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def parameters_cell(path):
    cells = [c for c in code_cells(path) if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    return cells[0]


def test_the_numbers_are_the_order_in_the_table_of_contents():
    content = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [
        chapter["file"] for part in content["parts"] for chapter in part["chapters"]
    ]
    listed = [Path(file).name for file in chapters if file.startswith("notebooks/")]
    assert listed == [path.stem for path in NOTEBOOKS]
    assert [int(name[:2]) for name in listed] == list(range(1, len(listed) + 1))


@each_notebook
def test_it_is_a_notebook_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None


@each_notebook
def test_papermill_is_told_which_kernel_and_language(path):
    metadata = nbformat.read(path, as_version=4).metadata
    assert metadata.kernelspec.name == "python3"
    assert metadata.language_info == {"name": "python"}  # no version: it would differ


@each_notebook
def test_it_opens_with_its_title_a_box_and_what_is_learnt(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    title, box, facts, goals = first.source.split("\n\n", 3)
    assert re.fullmatch(r"# \S.+", title)
    kinds = "Reproduces|Goes beyond the paper"
    assert re.match(rf"```{{admonition}} ({kinds})\n:class: note\n\S", box)
    assert re.findall(r"\*\*(\w+)\*\* [^·\s]", facts) == FACTS
    assert re.fullmatch(r"You will learn\n\n(\d\. .+[,.]\n?){2,}", goals)


@each_notebook
def test_parameters_have_a_type_a_value_and_a_meaning(path):
    for line in parameters_cell(path).source.splitlines():
        assert re.fullmatch(r"\w+: \w+ = .+  # \S.+", line), line
        assert isinstance(ast.parse(line).body[0], ast.AnnAssign)


@each_notebook
def test_parameters_that_profiles_know_mean_the_same(path):
    """papermill only warns of a name that a notebook does not have: so look here."""
    declared = papermill.inspect_notebook(str(path))
    near_misses = {
        name
        for name in declared
        if name not in Profile.model_fields.keys() | FOLDERS
        and name.replace("_", "")
        in {key.replace("_", "") for key in Profile.model_fields}
    }
    assert near_misses == set()
    assert {name for name in declared if name.endswith("_root")} <= FOLDERS


@each_notebook
def test_cells_are_short(path):
    for cell in code_cells(path):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= LONGEST_CELL, cell.source


@each_notebook
def test_it_runs_anywhere(path):
    for cell in code_cells(path):
        assert not re.search(r"^\s*[!%]\s*(pip|conda)", cell.source, re.MULTILINE)
        assert "../" not in cell.source
        assert not re.search(r"""["'](/|~/|[A-Z]:\\)""", cell.source)
        assert "savefig" not in cell.source


@each_notebook
def test_answers_are_executed_folded_and_checked(path):
    answers = [c for c in code_cells(path) if "solution" in c.metadata.get("tags", [])]
    assert answers
    for cell in answers:
        assert "hide-cell" in cell.metadata.tags
        assert cell.metadata.jupyter.source_hidden is True
        assert cell.metadata.mystnb.code_prompt_show == "A solution"
        assert cell.metadata.mystnb.code_prompt_hide == "Hide the solution"
        assert "assert " in cell.source


@each_notebook
def test_every_exercise_has_a_grade_a_place_to_work_and_an_answer(path):
    cells = nbformat.read(path, as_version=4).cells
    start = next(i for i, c in enumerate(cells) if "## Exercises" in c.source)
    cells[start].source = cells[start].source.partition("## Exercises\n\n")[2]
    *cells, references = cells[start:]
    assert references.source.startswith("## References")
    asked, stubs, answers = cells[::3], cells[1::3], cells[2::3]
    found = [EXERCISE.fullmatch(cell.source).groups() for cell in asked]
    places = [(str(int(path.stem[:2])), str(k + 1)) for k in range(len(asked))]
    assert [(lesson, place) for lesson, place, _, _ in found] == places
    grades = [grade for _, _, grade, _ in found]
    assert set(grades) == set(GRADES)
    assert grades == sorted(grades, key=GRADES.index)
    assert [cell.source for cell in stubs] == ["# Your code here"] * len(asked)
    assert all("solution" in cell.metadata.get("tags", []) for cell in answers)
    assert len(answers) == len(asked)


@each_notebook
def test_a_lesson_ends_with_summary_exercises_and_references(path):
    headings = re.findall(r"^## (.*)$", text_of(path), re.MULTILINE)
    assert headings[-3:] == ["Summary", "Exercises", "References"]
    assert len(set(headings)) == len(headings)


@each_notebook
def test_what_the_text_says_of_records_is_checked(path):
    claims = [c for c in code_cells(path) if "claims" in c.metadata.get("tags", [])]
    for cell in claims:
        assert "assert " in cell.source
        assert "hide-cell" in cell.metadata.tags
    code = "\n".join(cell.source for cell in code_cells(path))
    if re.search(r"\b(study|arm)_records\b", code):
        assert claims
    assert not claims or re.search(r"\b(study_records|arm_records|kept_record)\b", code)
