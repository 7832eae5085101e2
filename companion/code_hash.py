"""Which code a result depends on, as a hash that comments and docstrings do not change.

A result must be made again when the code behind it has changed, and only then. So the
modules that some code imports are followed through the package, and what they do is
hashed: their syntax trees, without docstrings.
"""

import ast
import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("colorlib", "companion")


def code_hash(code: str) -> str:
    """Hash what some code and all modules of both packages behind it do.

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
    digest = hashlib.sha256(_meaning(code).encode())
    for path in modules_behind(code):
        digest.update(_meaning(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def modules_behind(code: str) -> list[Path]:
    """Files of these packages that some code imports, directly or through others.

    Example:
        >>> [path.stem for path in modules_behind("from colorlib import metrics")]
        ['__init__', 'color', 'metrics']
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


def _meaning(code: str) -> str:
    """The syntax tree without docstrings and places."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body:
            continue
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            del body[0]
    return ast.dump(tree)
