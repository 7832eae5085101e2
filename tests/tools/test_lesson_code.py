import pytest

from companion.code_hash import modules_hash
from tools.lesson_code import code_hash, modules_behind


def names(code):
    return {path.stem for path in modules_behind(code)}


def test_imports_are_followed_through_modules_packages_and_functions():
    behind = names("import companion.cli")
    assert {"pipeline", "metrics", "color", "session", "splits"} <= behind
    assert "figures" not in names("import companion.pipeline")
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


def test_a_change_deep_down_changes_the_hash_of_what_follows_imports(
    tmp_path, monkeypatch
):
    for module in ("companion.code_hash", "tools.lesson_code"):
        monkeypatch.setattr(f"{module}.ROOT", tmp_path)
    (tmp_path / "colorlib").mkdir()
    files = {"__init__": "", "low": "x = 1", "high": "from colorlib.low import x"}

    def hashes(**changed):
        for name, code in (files | changed).items():
            (tmp_path / f"colorlib/{name}.py").write_text(code)
        code = "import colorlib.high"
        return (
            code_hash(code),
            modules_hash(["colorlib"]),
            modules_hash(["colorlib.high"]),
        )

    one, other = hashes(), hashes(low="x = 2")
    assert [a == b for a, b in zip(one, other, strict=True)] == [False, False, True]
    hashes(low="import colorlib.high")  # modules that import each other end
    assert len(modules_behind("import colorlib.low")) == 3
