"""Which code a number depends on, as a hash that texts and comments do not change.

A result must be made again when the code that computes it has changed, and only then.
So modules are hashed as syntax trees, without docstrings and without the texts of
errors.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from modulefinder import ModuleFinder
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("colorlib", "companion")


def code_hash(code: str) -> str:
    """Hash what some code does, and all modules of this project that it imports.

    Args:
        code: Python source, such as the cells of a notebook.

    Returns:
        Hexadecimal SHA-256.

    Raises:
        SyntaxError: If the code is no Python.

    Example:
        >>> code_hash("import colorlib.color") == code_hash("import colorlib.losses")
        False
        >>> code_hash("x = 1  # one") == code_hash("x = 1")
        True
    """
    return _hashed([code, *(path.read_text("utf-8") for path in modules_behind(code))])


def modules_hash(names: Iterable[str]) -> str:
    """Hash what some modules of this project do, without those that they import.

    Args:
        names: Dotted names of modules or packages; of a package all its modules.

    Example:
        >>> len(modules_hash(["colorlib.color", "colorlib.training"]))
        64
    """
    files = []
    for name in names:
        path = ROOT / name.replace(".", "/")
        files += sorted(path.glob("*.py")) or [path.with_suffix(".py")]
    return _hashed(path.read_text(encoding="utf-8") for path in files)


def modules_behind(code: str) -> list[Path]:
    """Files of these packages that some code imports, directly or through others.

    Example:
        >>> [path.stem for path in modules_behind("from colorlib import targets")]
        ['__init__', 'color', 'targets']
    """
    finder = ModuleFinder(path=[str(ROOT)])
    main = finder.add_module("__main__")
    finder.scan_code(compile(code, "__main__", "exec"), main)
    ours = [m for name, m in finder.modules.items() if name.split(".")[0] in PACKAGES]
    return sorted(Path(str(vars(module)["__file__"])) for module in ours)


def notebook_code(path: Path) -> str:
    """The code cells of a notebook, one after the other."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def _hashed(sources: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(ast.dump(_Numbers().visit(ast.parse(source))).encode())
    return digest.hexdigest()


class _Numbers(ast.NodeTransformer):
    """Leaves out what changes no number: docstrings, and what errors say."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """An error without its text."""
        return ast.Raise()

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """A body without its docstring."""
        body = getattr(node, "body", None)
        if isinstance(body, list) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                del body[0]
        return super().generic_visit(node)
