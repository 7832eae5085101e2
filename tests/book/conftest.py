"""A book of the smallest profile, built by the Makefile in a copy of the repository."""

import pytest
from copies import Copy, copy_repository


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy, with its book built."""
    made = copy_repository(tmp_path_factory.mktemp("clone"))
    done = made.make_book()
    assert done.returncode == 0, done.stdout + done.stderr
    return made
