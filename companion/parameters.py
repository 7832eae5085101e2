"""Validation of a notebook's parameters.

Papermill hands a notebook whatever it is given, a misspelt name too, and so does
whoever edits the cell. Each lesson therefore lists its parameters as a small model:

    class Parameters(LessonParameters):
        size: int = Field(ge=16)

    Parameters.check(globals())
"""

import ast
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from colorlib.errors import UserError

INJECTED = "# Parameters"  # how papermill begins the cell that it puts in


class LessonParameters(BaseModel):
    """What a lesson can be given; the base of each lesson's own model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def check(cls, scope: dict[str, Any]) -> None:
        """Check the parameters of the notebook that calls this.

        Args:
            scope: Its `globals()`; `In` holds the cells that have been run.

        Raises:
            UserError: If a value does not fit, or papermill was given a name that the
                lesson does not have; the message names the parameter.

        Example:
            >>> class Parameters(LessonParameters):
            ...     size: int
            >>> Parameters.check({"size": 64})
        """
        cells = [cell for cell in scope.get("In", ()) if cell.startswith(INJECTED)]
        nodes = [node for cell in cells for node in ast.parse(cell).body]
        given = {ast.unparse(n.targets[0]) for n in nodes if isinstance(n, ast.Assign)}
        names = given | set(cls.model_fields)
        try:
            cls(**{name: scope[name] for name in names})
        except ValidationError as error:
            fault = error.errors()[0]
            found = f"{fault['loc'][0]} = {fault['input']!r}"
            raise UserError(f"found parameter {found}: {fault['msg']}") from None
