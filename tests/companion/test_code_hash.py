from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion import code_hash as hashing
from companion.code_hash import code_hash, modules_behind, modules_hash


def names(code):
    return {path.stem for path in modules_behind(code)}


def test_imports_are_followed_through_modules_and_packages():
    found = names("from companion.pipeline import run_model")
    assert {"metrics", "color", "callbacks", "sampling", "splits"} <= found


def test_imports_within_functions_count():
    assert "pipeline" in names("import companion.cli")


def test_training_does_not_depend_on_figures():
    behind = names("import companion.pipeline")
    assert not {"figures", "tables"} & behind


@pytest.mark.parametrize(
    "code",
    [
        "import colorlib.color",
        "from colorlib import color",
        "from colorlib.color import a",
        "def f():\n    import colorlib.color as c",
    ],
)
def test_every_form_of_import_counts(code):
    assert "color" in names(code)


def test_other_packages_do_not_count():
    assert modules_behind("import numpy, torch\nfrom matplotlib import pyplot") == []


@given(comment=st.text(st.characters(codec="ascii", exclude_characters="\n\r\x00\f")))
def test_comments_do_not_change_the_hash(comment):
    assert code_hash(f"x = 1  #{comment}") == code_hash("x = 1")


CODE = '''
"""A module."""
class A:
    """A class."""
    def f(self, x):
        """One."""
        if x < 0:
            raise ValueError(f"found {x}, expected more")
        return 1
'''


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("A module.", "Another.", False),
        ("A class.", "", False),
        ("One.", "Another,\n        longer.", False),
        ("found {x}, expected more", "found {x!r}", False),
        ("return 1", "return 2", True),
        ("x < 0", "x < 1", True),
    ],
)
def test_texts_do_not_change_the_hash_but_code_does(old, new, counts):
    assert (code_hash(CODE) != code_hash(CODE.replace(old, new))) is counts


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in place of ours."""
    folder = tmp_path / "colorlib"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "low.py").write_text("x = 1")
    (folder / "high.py").write_text("from colorlib.low import x")
    monkeypatch.setattr(hashing, "ROOT", tmp_path)
    return folder


def test_a_change_deep_down_changes_the_hash(package: Path):
    before = code_hash("import colorlib.high"), modules_hash(["colorlib.high"])
    (package / "low.py").write_text("x = 2")
    assert code_hash("import colorlib.high") != before[0]
    assert modules_hash(["colorlib.high"]) == before[1]  # which is not followed


def test_a_change_elsewhere_does_not(package: Path):
    before = code_hash("import colorlib.low")
    (package / "high.py").write_text("from colorlib.low import x as y")
    assert code_hash("import colorlib.low") == before


def test_all_modules_of_a_package_count(package: Path):
    before = modules_hash(["colorlib"])
    (package / "high.py").write_text("x = 3")
    assert modules_hash(["colorlib"]) != before


def test_modules_that_import_each_other_end(package: Path):
    (package / "low.py").write_text("import colorlib.high")
    assert len(modules_behind("import colorlib.low")) == 3
