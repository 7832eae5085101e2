"""What a lesson is handed is checked by name: any value is taken or refused."""

from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorlib.errors import UserError
from companion.parameters import FOLDER, TEXT, check, number, whole

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers(), max_size=2)
    | st.sampled_from(["model3", "coffee", "0,1", "loss_eq1", ".", "quick", "64"])
)


def source_of(path, tag):
    """The one cell of a notebook that has a tag."""
    cells = nbformat.read(path, as_version=4).cells
    (cell,) = (c for c in cells if tag in c.metadata.get("tags", []))
    return cell.source


def lesson(path):
    """What checks a lesson's parameters, compiled; and their names and values."""
    values = {}
    exec(source_of(path, "parameters"), values)
    del values["__builtins__"]
    annotations = values.pop("__annotations__")
    assert set(annotations) == set(values)
    return compile(source_of(path, "checks"), path.name, "exec"), values


def refused(check, values):
    """With which words values are refused; nothing, if they are taken."""
    try:
        exec(check, values)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_is_checked_and_its_own_value_is_taken(path):
    check, values = lesson(path)
    exec(check, dict(values))
    for name in values:
        with pytest.raises(UserError, match=f"^parameter {name}: found .* expected"):
            exec(check, values | {name: object()})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@given(data=st.data())
def test_any_value_is_taken_or_refused_by_name(path, data):
    check, values = lesson(path)
    name = data.draw(st.sampled_from(sorted(values)))
    value = data.draw(ANYTHING)
    refusal = refused(check, values | {name: value})
    assert refusal == "" or refusal.startswith(f"parameter {name}: found ")
    assert "\n" not in refusal


@given(low=st.integers(), high=st.integers(), value=st.integers())
def test_bounds_are_included(low, high, value):
    within = low <= value <= high
    assert whole(low, high).holds(value) == within
    assert whole(low).holds(value) == (value >= low)


@pytest.mark.parametrize("value", [True, "1", 1.0, None, float("inf")])
def test_a_whole_number_is_a_whole_number(value):
    assert not whole(0).holds(value)


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), 1.01])
def test_a_number_is_no_text_and_no_nan(value):
    assert not number(0, 1).holds(value)


@pytest.mark.parametrize(
    "path", ["", "not here", "zero \0 within", "\ud800", "long" * 99, 3, None]
)
def test_a_folder_is_there(path, tmp_path):
    assert not FOLDER.holds(path)
    assert FOLDER.holds(str(tmp_path))


def test_the_first_that_is_wrong_is_named():
    with pytest.raises(UserError, match="parameter b: found '', expected a text"):
        check(a=("x", TEXT), b=("", TEXT), c=("", TEXT))
