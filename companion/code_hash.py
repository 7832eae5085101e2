"""Which code a number depends on, as a hash that texts and comments do not change.

A result must be made again when the code that computes it has changed, and only then.
So modules are hashed as syntax trees, without docstrings and without the texts of
errors.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
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
        files += (
            sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        )
    return _hashed(path.read_text(encoding="utf-8") for path in files)


def modules_behind(code: str) -> list[Path]:
    """Files of these packages that some code imports, directly or through others.

    Example:
        >>> [path.stem for path in modules_behind("from colorlib import targets")]
        ['__init__', 'color', 'targets']
    """
    found: set[Path] = set()
    waiting = imported_modules(code)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting |= imported_modules(path.read_text(encoding="utf-8"))
    return sorted(found)


def notebook_code(path: Path) -> str:
    """The code cells of a notebook, one after the other."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def imported_modules(code: str) -> set[Path]:
    """Files of these packages that some code imports itself, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {path for name in names for path in _files_of(name)}


def _files_of(dotted: str) -> set[Path]:
    """The module or package a dotted name leads to, and the packages it lies in."""
    first, *rest = dotted.split(".")
    if first not in PACKAGES:
        return set()
    folder = ROOT / first
    files = {folder / "__init__.py"}
    for part in rest:
        if (folder / f"{part}.py").is_file():
            return files | {folder / f"{part}.py"}
        if not (folder / part / "__init__.py").is_file():
            break  # a name within the module
        folder = folder / part
        files.add(folder / "__init__.py")
    return files


def _hashed(sources: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(ast.dump(_Numbers().visit(ast.parse(source))).encode())
    return digest.hexdigest()


class _Numbers(ast.NodeTransformer):
    """Leaves out what changes no number: docstrings, and what errors say."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """An error without its text."""
        return ast.Pass()

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """A body without its docstring."""
        body = getattr(node, "body", None)
        if isinstance(body, list) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                del body[0]
        return super().generic_visit(node)
