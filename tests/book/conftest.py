"""A book of the smallest profile, built by the Makefile in a copy of the repository."""

import pytest
from copies import Copy, copy_repository, small_book_in


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy, with its book built."""
    made = copy_repository(tmp_path_factory.mktemp("clone"))
    done = made.make_book()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def small_book(tmp_path):
    """A book of two pages; called with the text of one, it says how building went."""
    return small_book_in(tmp_path)
