"""Parameters of lessons: values that do not fit, and names that do not exist."""

import papermill
import pytest
from nbformat import v4
from papermill.exceptions import PapermillExecutionError
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
    scope = {"size": 64, "photograph": None, "other": object(), **given}
    with pytest.raises(UserError, match=named) as caught:
        Parameters.check(scope)
    assert "\n" not in str(caught.value)


def test_papermill_may_give_some_of_them_and_no_others(tmp_path):
    code = "from companion.parameters import LessonParameters\n\n"
    code += "class Parameters(LessonParameters):\n    size: int\n\n"
    code += "Parameters.check(globals())"
    cells = [
        v4.new_code_cell("size: int = 64", metadata={"tags": ["parameters"]}),
        v4.new_code_cell(code),
    ]
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    about["language_info"] = {"name": "python"}
    lesson = v4.new_notebook(cells=cells, metadata=about)

    def run(**given):
        papermill.execute_notebook(
            lesson, str(tmp_path / "done.ipynb"), given, progress_bar=False
        )

    run(size=32)
    with pytest.raises(PapermillExecutionError, match="sixe = 32: Extra inputs"):
        run(sixe=32)
