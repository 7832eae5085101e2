"""The code of a lesson and all that it imports of this project, as a hash.

Snakemake executes a lesson again when this changes, and the book refuses an older one.
"""

import json
from modulefinder import ModuleFinder
from pathlib import Path

from companion.code_hash import ROOT, hash_of_code

PACKAGES = ("colorlib", "companion")


def notebook_code(path: Path) -> str:
    """The code cells of a notebook, one after the other."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def code_hash(code: str) -> str:
    """Hash what some code does, and all modules of this project that it imports."""
    return hash_of_code([code, *(p.read_text("utf-8") for p in modules_behind(code))])


def modules_behind(code: str) -> list[Path]:
    """Files of these packages that some code imports, directly or through others."""
    finder = ModuleFinder(path=[str(ROOT)])
    main = finder.add_module("__main__")
    finder.scan_code(compile(code, "__main__", "exec"), main)
    ours = [m for name, m in finder.modules.items() if name.split(".")[0] in PACKAGES]
    return sorted(Path(str(vars(module)["__file__"])) for module in ours)
