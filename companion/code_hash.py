"""Which code a number depends on, as a hash that texts and comments do not change.

A result must be made again when the code that computes it has changed, and only then.
So modules are hashed as syntax trees, without docstrings and without the texts of
errors.
"""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent


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
    return hash_of_code(path.read_text(encoding="utf-8") for path in files)


def hash_of_code(sources: Iterable[str]) -> str:
    """Hash what some Python sources do.

    Returns:
        Hexadecimal SHA-256.

    Raises:
        SyntaxError: If one is no Python.

    Example:
        >>> hash_of_code(["x = 1  # one"]) == hash_of_code(["x = 1"])
        True
    """
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
