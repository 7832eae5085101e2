"""The notebooks as they are kept: stripped, short, and in the order of the book."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))  # the lessons
FOLDERS = {"data_root", "weights_root", "cache_root", "runs_root", "results_root"}
LONGEST_CELL = 15  # lines that are not empty
FACTS = ["Time", "Hardware", "Data", "Prerequisites"]
GRADES = ["warm-up", "core", "stretch"]  # from easy to hard
EXERCISE = re.compile(r"### Exercise (\d+)\.(\d+) \((.+)\)\n\n(.+)", re.DOTALL)
# What runs on one machine alone: installations, paths, files left behind.
ELSEWHERE = re.compile(
    r"""^\s*[!%]\s*(pip|conda)|\.\./|["'](/|~/|[A-Z]:\\)|savefig""", re.MULTILINE
)
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path, kind="code", tag=None):
    cells = nbformat.read(path, as_version=4).cells
    found = [cell for cell in cells if cell.cell_type == kind]
    return [c for c in found if tag is None or tag in c.metadata.get("tags", [])]


def text_of(path):
    return "\n".join(cell.source for cell in cells_of(path, "markdown"))


def test_the_numbers_are_the_order_in_the_table_of_contents():
    content = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [c["file"] for part in content["parts"] for c in part["chapters"]]
    listed = [Path(file).name for file in chapters if re.match(r"notebooks/\d", file)]
    assert listed == [path.stem for path in NOTEBOOKS]
    assert [int(name[:2]) for name in listed] == list(range(1, len(listed) + 1))


@each_notebook
def test_it_is_a_notebook_for_python_3_without_outputs_whose_cells_are_short(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}  # versions differ
    for cell in cells_of(path):
        assert (cell.outputs, cell.execution_count) == ([], None)
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= LONGEST_CELL, cell.source
        assert not ELSEWHERE.search(cell.source), cell.source


@each_notebook
def test_it_opens_with_its_title_and_a_box_and_says_what_is_learned(path):
    cells = nbformat.read(path, as_version=4).cells
    assert re.match(r"# \S.+\n\n", cells[0].source)
    [parameters] = cells_of(path, tag="parameters")
    before = cells[: cells.index(parameters)]
    opening = "\n\n".join(c.source for c in before if c.cell_type == "markdown")
    kinds = "Reproduces|Goes beyond the paper"
    [box] = re.findall(rf"^> \*\*(?:{kinds})\*\*\n((?:>.*\n?)+)", opening, re.M)
    [facts] = re.findall(r"^> (\*\*Time\*\* .+)$", box, re.MULTILINE)
    assert re.findall(r"\*\*(\w+)\*\* [^·\s]", facts) == FACTS
    assert re.search(r"^You will learn\n\n(\d\. .+[,.]\n?){2,}$", opening, re.M)


@each_notebook
def test_parameters_have_a_type_a_value_and_a_meaning_and_are_checked(path):
    [cell] = cells_of(path, tag="parameters")
    for line in cell.source.splitlines():
        assert re.fullmatch(r"\w+: \w+ = .+  # \S.+", line), line
    declared = set(papermill.inspect_notebook(str(path)))
    assert {name for name in declared if name.endswith("_root")} <= FOLDERS
    [check] = cells_of(path, tag="checks")
    [model] = [n for n in ast.parse(check.source).body if isinstance(n, ast.ClassDef)]
    assert {field.target.id for field in model.body} == declared
    assert check.source.endswith("Parameters.check(globals())")


@each_notebook
def test_every_exercise_has_a_grade_a_place_to_work_and_a_checked_answer(path):
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
    assert answers == cells_of(path, tag="solution")
    for cell in answers:
        assert "hide-cell" in cell.metadata.tags
        assert cell.metadata.jupyter.source_hidden is True
        assert cell.metadata.mystnb.code_prompt_show == "A solution"
        assert cell.metadata.mystnb.code_prompt_hide == "Hide the solution"
        assert "assert " in cell.source


@each_notebook
def test_it_ends_with_references_and_checks_its_claims(path):
    headings = re.findall(r"^## (.*)$", text_of(path), re.MULTILINE)
    assert headings[-3:] == ["Summary", "Exercises", "References"]
    assert len(set(headings)) == len(headings)
    claims = cells_of(path, tag="claims")  # what the text says of saved records
    assert all("assert " in cell.source for cell in claims)
    assert all("hide-cell" in cell.metadata.tags for cell in claims)
    assert claims or not re.search("compare_all|measured_effect", path.read_text())
