"""A copy of the repository, in which books are built and things are broken."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SOURCES = [
    "Makefile", "Snakefile", "_config.yml", "_toc.yml", "pyproject.toml",
    "requirements.lock", "colorlib", "companion", "notebooks", "book", "tools",
    "benchmarks", "tests/faults/records",
]  # fmt: skip


@dataclass(frozen=True)
class Copy:
    """A copy of the repository in which things may be broken and mended."""

    root: Path

    @property
    def html(self) -> Path:
        """The folder of the finished pages."""
        return self.root / "_build" / "html"

    def make_book(self) -> subprocess.CompletedProcess[str]:
        """`make book`, with the environment that runs the tests in place of .venv."""
        return self._run("make", "book", "PROFILE=smoke", "CORES=2")

    def planned(self) -> dict[str, int]:
        """The steps that `make book` would take: rule -> number of them."""
        settings = ("profile=smoke", "data_root=", "weights_root=")
        done = self._run(".venv/bin/snakemake", "-n", "--nolock", "--config", *settings)
        assert done.returncode == 0, done.stdout + done.stderr
        table = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
        return {rule: int(n) for rule, n in table if rule not in ("all", "total")}

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        own = os.environ | {"PYTHONPATH": str(self.root)}
        own.pop("MAKEFLAGS", None)  # these tests may run under `make test`
        return subprocess.run(
            command, cwd=self.root, env=own, capture_output=True, text=True
        )


def pages_of(root: Path) -> list[str]:
    """The pages that a repository's table of contents names, the first one first."""
    content = yaml.safe_load((root / "_toc.yml").read_text())
    chapters = [chapter for part in content["parts"] for chapter in part["chapters"]]
    return [content["root"], *(chapter["file"] for chapter in chapters)]


def copy_repository(root: Path) -> Copy:
    """Copy what a book is made of into a folder."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, root / name)
    (root / ".venv").mkdir()
    (root / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (root / ".venv" / ".complete").touch()  # newer than the lock: no set-up
    return Copy(root)


def small_book_in(folder):
    """A book of two pages; called with the text of one, it says how building went."""
    for name in ("tools", "colorlib", "companion", "benchmarks", "_config.yml"):
        (folder / name).symlink_to(ROOT / name)
    pages = shutil.ignore_patterns("*.md")
    shutil.copytree(ROOT / "book", folder / "book", ignore=pages)
    parts = [{"caption": "All", "chapters": [{"file": "book/page"}]}]
    contents = {"format": "jb-book", "root": "book/index", "parts": parts}
    (folder / "book/index.md").write_text("# A book\n")
    stage = folder / "_build/smoke/stage"
    stage.mkdir(parents=True)

    def build(text, solutions="show", chapters=()):
        parts[0]["chapters"][1:] = [{"file": chapter} for chapter in chapters]
        (folder / "_toc.yml").write_text(yaml.safe_dump(contents))
        (folder / "book/page.md").write_text(f"# A page\n\n{text}\n")
        command = [sys.executable, "-m", "tools.build_book", str(stage), "html"]
        done = subprocess.run(
            [*command, solutions], cwd=folder, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    build.folder, build.stage = folder, stage
    return build
