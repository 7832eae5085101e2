"""Parameters of a lesson, checked before anything is computed from them.

Papermill hands a notebook whatever it is given, and so does whoever edits the cell. A
value that no lesson can work with is refused by its name, not by the error that it
would cause fifty cells on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os.path import isdir
from typing import Any

from colorlib.errors import UserError


@dataclass(frozen=True)
class Expected:
    """What a parameter may be.

    Attributes:
        words: What is told of it in an error.
        holds: Whether a value is so.
    """

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: "Expected") -> "Expected":
        """This or that.

        Example:
            >>> (whole(1) | NOTHING).words
            'a whole number from 1 on, or None'
        """
        words = f"{self.words}, or {other.words}"
        return Expected(words, lambda value: self.holds(value) or other.holds(value))


TEXT = Expected("a text", lambda value: isinstance(value, str) and value != "")
NOTHING = Expected("None", lambda value: value is None)
FOLDER = Expected(
    "the path of a folder that is there",
    lambda value: isinstance(value, str) and isdir(value),  # False of what is no path
)


def whole(low: int, high: int | None = None) -> Expected:
    """A whole number within some bounds, both included.

    Example:
        >>> [whole(1, 3).holds(value) for value in (1, 3, 4, 2.0, True)]
        [True, True, False, False, False]
    """
    return Expected(
        f"a whole number from {low} {'on' if high is None else f'to {high}'}",
        lambda value: (
            isinstance(value, int)
            and not isinstance(value, bool)
            and low <= value
            and (high is None or value <= high)
        ),
    )


def number(low: float, high: float) -> Expected:
    """A number within some bounds, both included.

    Example:
        >>> [number(0, 1).holds(value) for value in (0, 0.5, 2, float("nan"), "1")]
        [True, True, False, False, False]
    """
    return Expected(
        f"a number from {low:g} to {high:g}",
        lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and low <= value <= high
        ),
    )


def one_of(names: Iterable[str]) -> Expected:
    """One of some names.

    Example:
        >>> one_of(["Lab", "Luv"]).words
        'one of Lab, Luv'
    """
    known = list(names)
    return Expected(
        f"one of {', '.join(known)}",
        lambda value: isinstance(value, str) and value in known,
    )


def check(**given: tuple[object, Expected]) -> None:
    """Refuse the first value that is not as expected.

    Args:
        given: name -> the value, and what it may be.

    Raises:
        UserError: It names the parameter, the value and what is expected.

    Example:
        >>> check(size=(64, whole(16)), lightness=(60.0, number(0, 100)))
        >>> check(size=("64", whole(16)))
        Traceback (most recent call last):
        colorlib.errors.UserError: parameter size: found '64', expected a whole ...
    """
    for name, (value, expected) in given.items():
        if not expected.holds(value):
            raise UserError(
                f"parameter {name}: found {value!r}, expected {expected.words}"
            )
