from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion import code_hash as dependencies
from companion.code_hash import code_hash, modules_behind

MODULES = sorted(path.stem for path in dependencies.PACKAGE.glob("[!_]*.py"))


def names(code):
    return {path.stem for path in modules_behind(code)}


def test_imports_are_followed_through_modules():
    assert {"metrics", "color", "training", "batches"} <= names(
        "from companion.pipeline import run_model"
    )


def test_imports_within_functions_count():
    assert "experiment" in names("import companion.cli")


def test_training_does_not_depend_on_figures():
    behind = names("import companion.cli, companion.pipeline")
    assert not {"figures", "tables"} & behind


@pytest.mark.parametrize(
    "code",
    [
        "import colorlib.color",
        "from colorlib import color",
        "from colorlib.color import a",
    ],
)
def test_every_form_of_import_counts(code):
    assert "color" in names(code)


def test_other_packages_do_not_count():
    assert modules_behind("import numpy, torch\nfrom matplotlib import pyplot") == []


def test_a_package_counts_with_what_it_imports():
    assert {"packed", "splits", "scenes"} <= names("import colorlib.data")


@given(comment=st.text(st.characters(codec="ascii", exclude_characters="\n\r\x00\f")))
def test_comments_do_not_change_the_hash(comment):
    assert code_hash(f"x = 1  #{comment}") == code_hash("x = 1")


def test_docstrings_do_not_change_the_hash_but_code_does():
    one = 'def f():\n    """One."""\n    return 1'
    other = 'def f():\n    """Another, longer."""\n    return 1'
    changed = 'def f():\n    """One."""\n    return 2'
    assert code_hash(one) == code_hash(other) != code_hash(changed)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in place of ours."""
    folder = tmp_path / "colorlib"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "low.py").write_text("x = 1")
    (folder / "high.py").write_text("from colorlib.low import x")
    monkeypatch.setattr(dependencies, "PACKAGE", folder)
    return folder


def test_a_change_deep_down_changes_the_hash(package: Path):
    before = code_hash("import colorlib.high")
    (package / "low.py").write_text("x = 2")
    assert code_hash("import colorlib.high") != before


def test_a_change_elsewhere_does_not(package: Path):
    before = code_hash("import colorlib.low")
    (package / "high.py").write_text("from colorlib.low import x as y")
    assert code_hash("import colorlib.low") == before


def test_modules_that_import_each_other_end(package: Path):
    (package / "low.py").write_text("import colorlib.high")
    assert len(modules_behind("import colorlib.low")) == 3
