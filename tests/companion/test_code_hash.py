from pathlib import Path

import pytest

from companion import code_hash as hashing
from companion.code_hash import code_hash, modules_behind, modules_hash


def names(code):
    return {path.stem for path in modules_behind(code)}


def test_imports_are_followed_through_modules_packages_and_functions():
    behind = names("import companion.cli")
    assert {"pipeline", "metrics", "color", "callbacks", "splits"} <= behind
    assert "figures" not in names("import companion.pipeline")


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
        ("return 1", "return 1  # one", False),
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
    def hashes():
        high = "import colorlib.high", ["colorlib.high"], ["colorlib"]
        return code_hash(high[0]), modules_hash(high[1]), modules_hash(high[2])

    before = hashes()
    (package / "low.py").write_text("x = 2")
    same = [old == new for old, new in zip(before, hashes(), strict=True)]
    assert same == [False, True, False]  # `modules_hash` follows no imports


def test_modules_that_import_each_other_end(package: Path):
    (package / "low.py").write_text("import colorlib.high")
    assert len(modules_behind("import colorlib.low")) == 3
