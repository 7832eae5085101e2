"""Parameters of lessons: values that do not fit, and names that do not exist."""

import pytest
from nbformat import v4
from papermill.parameterize import parameterize_notebook
from pydantic import Field

from colorlib.errors import UserError
from companion.parameters import LessonParameters


class Parameters(LessonParameters):
    size: int = Field(ge=16)
    photograph: str | None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"size": 8}, "size"),
        ({"size": "64"}, "size"),
        ({"size": True}, "size"),
        ({"photograph": 3}, "photograph"),
        ({"In": ["size: int = 64", "# Parameters\nsixe = 64\n"], "sixe": 64}, "sixe"),
    ],
)
def test_what_does_not_fit_is_named(given, named):
    scope = {"size": 64, "photograph": None, "other": object()}
    Parameters.check(scope)
    with pytest.raises(UserError, match=named) as caught:
        Parameters.check(scope | given)
    assert "\n" not in str(caught.value)


def test_what_papermill_injects_is_recognised():
    cell = v4.new_code_cell("size: int = 64", metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "", "language": "python"}
    about = {"kernelspec": kernel, "papermill": {}}
    lesson = v4.new_notebook(cells=[cell], metadata=about)
    lesson = parameterize_notebook(lesson, {"size": 32, "sixe": 32})
    scope = {"photograph": None, "In": [cell.source for cell in lesson.cells]}
    exec("\n".join(scope["In"]), scope)
    with pytest.raises(UserError, match="sixe = 32: Extra inputs"):
        Parameters.check(scope)
    del scope["In"]
    Parameters.check(scope)
