"""Build the book from its stage, and put it in place only when it is whole.

The stage gets the prose pages and the configuration beside the executed notebooks, at
the paths they have in the repository: the launch buttons depend on them. Warnings are
errors. Jupyter Book 2 would ignore the configuration and write nothing, with success:
so the pages are looked for.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml


def fill_stage(stage: Path) -> None:
    """Copy what is not generated; pages that are gone disappear from the stage too."""
    shutil.copytree("book", stage / "book", dirs_exist_ok=True)
    for staged in (stage / "book").rglob("*"):
        if (
            staged.is_file()
            and not (Path("book") / staged.relative_to(stage / "book")).exists()
        ):
            staged.unlink()
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(name, stage / name)


def pages_of(toc: Path) -> list[str]:
    """The pages that the table of contents promises."""
    content = yaml.safe_load(toc.read_text())
    chapters = [chapter for part in content["parts"] for chapter in part["chapters"]]
    return [content["root"], *(chapter["file"] for chapter in chapters)]


def build(stage: Path) -> Path:
    """Run Jupyter Book; the folder of its pages.

    It starts afresh: over the pages of a failed run it would not read the faulty page
    again, and succeed.
    """
    output = stage.parent / "_build"
    shutil.rmtree(output, ignore_errors=True)
    command = [
        Path(sys.executable).with_name("jupyter-book"), "build", str(stage),
        "--path-output", str(stage.parent), "-W", "-n", "--keep-going",
    ]  # fmt: skip
    print("rendering the pages", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}\nthe book was not built")
    html = output / "html"
    missing = [
        page
        for page in pages_of(Path("_toc.yml"))
        if not (html / f"{page}.html").is_file()
    ]
    if missing:
        sys.exit(f"jupyter-book wrote no page for {', '.join(missing)}")
    return html


def put_in_place(html: Path, target: Path) -> None:
    """Exchange the book that is there for the new one."""
    old = target.with_name("html.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    html.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Read the command line: the stage, and where the book goes."""
    stage, target = map(Path, sys.argv[1:])
    fill_stage(stage)
    put_in_place(build(stage), target)


if __name__ == "__main__":
    main()
