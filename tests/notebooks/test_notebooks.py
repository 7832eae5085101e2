"""The lessons: without outputs, in order, in one form."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from colorlib.profiles import Profile

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FOLDERS = {"profile", "data_root", "weights_root", "cache_root", "runs_root"}
PARAMETER = re.compile(r"^\w+: \w+ = .+  # .+$")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind="code"):
    content = json.loads(path.read_text())
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def tags(cell):
    return cell["metadata"].get("tags", [])


def source(cell):
    return "".join(cell["source"])


def parameters(path):
    (cell,) = (cell for cell in cells(path) if "parameters" in tags(cell))
    return source(cell).splitlines()


def test_the_numbers_are_the_order_of_the_book():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    listed = [Path(f).name for f in chapters if f.startswith("notebooks/")]
    assert listed == [path.stem for path in NOTEBOOKS]


@every_notebook
def test_outputs_are_stripped(path):
    for cell in cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@every_notebook
def test_papermill_can_run_it(path):
    metadata = json.loads(path.read_text())["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"]["name"] == "python"


@every_notebook
def test_parameters_have_type_value_and_meaning(path):
    for line in parameters(path):
        assert PARAMETER.match(line), line
        if "None" in line:
            assert "None for" in line, line


@every_notebook
def test_parameters_are_keys_of_a_profile_or_folders(path):
    own = {"photograph", "lightness", "model_name"}
    names = {line.split(":")[0] for line in parameters(path)}
    assert names <= FOLDERS | own | set(Profile.model_fields)


@every_notebook
def test_cells_are_short(path):
    lengths = {source(cell): len(source(cell).splitlines()) for cell in cells(path)}
    assert max(lengths.values()) <= 20, max(lengths, key=lengths.get)


@every_notebook
def test_nothing_reaches_outside(path):
    for cell in cells(path):
        for forbidden in ("!pip", "%pip", "../", "/home", "savefig"):
            assert forbidden not in source(cell)


@every_notebook
def test_it_opens_with_what_it_reproduces(path):
    first = source(cells(path, "markdown")[0])
    assert first.startswith("# ")
    for wanted in ("Reproduces", "**Time**", "**Hardware**", "**Data**"):
        assert wanted in first


@every_notebook
def test_it_ends_with_summary_exercises_and_references(path):
    text = "\n".join(source(cell) for cell in cells(path, "markdown"))
    for heading in ("## Summary", "## Exercises", "## References"):
        assert heading in text


@every_notebook
def test_every_exercise_has_a_place_to_work_and_an_answer_that_asserts(path):
    number = int(path.stem[:2])
    text = "\n".join(source(cell) for cell in cells(path, "markdown"))
    exercises = re.findall(r"\{admonition\} Exercise (\d+)\.(\d+) \((.*?)\)", text)
    assert [int(a) for a, _, _ in exercises] == [number] * len(exercises)
    assert [int(b) for _, b, _ in exercises] == list(range(1, len(exercises) + 1))
    code = cells(path)
    solutions = [i for i, cell in enumerate(code) if "solution" in tags(cell)]
    assert len(solutions) == len(exercises) > 0
    for i in solutions:
        assert source(code[i - 1]) == "# Your code here"
        assert "hide-cell" in tags(code[i])
        assert code[i]["metadata"]["jupyter"]["source_hidden"]
        statements = ast.walk(ast.parse(source(code[i])))
        assert any(isinstance(statement, ast.Assert) for statement in statements)


@every_notebook
def test_every_figure_has_a_caption_and_words_for_those_who_cannot_see(path):
    drawing = ("image_grid(", "subplots(", "learning_curves(", "score_bars(")
    for cell in cells(path):
        if any(call in source(cell) for call in (*drawing, "model_diagram(")):
            about = cell["metadata"]["mystnb"]
            assert len(about["image"]["alt"]) > 20
            assert len(about["figure"]["caption"]) > 20
