"""Build the HTML book from executed notebooks; replace the old one only on success.

The stage gets the prose pages and the configuration beside the executed notebooks, at
the paths they have in the repository: the launch buttons depend on them. A notebook
that was executed before its source or the package changed is refused. Warnings are
errors. Jupyter Book 2 would ignore the configuration and write nothing, with success:
so the pages are looked for.
"""

import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import yaml

import colorlib
import companion
from benchmarks.planning import large_run_tables, measured_device
from benchmarks.records import latest_speed
from benchmarks.tables import book_tables, machine_table
from companion.provenance import current_commit, now, this_hardware
from companion.records import read_record
from companion.report.findings import Findings
from companion.report.tables import markdown_table
from tools.fault_records import fault_table, read_fault_records
from tools.ledger import load_ledger, measured_effect
from tools.page_weights import write_page_weights
from tools.pages import blocks, filled, pictures
from tools.run_notebook import MADE_FROM, made_from

FOLDED = "\n`````{{dropdown}} {0}\n{1}\n`````\n"
MODULE = "```{{eval-rst}}\n.. automodule:: {0}\n   :members:\n```"
UNDOCUMENTED = (".__main__", ".cli")  # the command line says what it is by --help


def fill_stage(stage: Path) -> None:
    """Copy what is not generated; pages that are gone disappear from the stage too."""
    shutil.rmtree(stage / "book", ignore_errors=True)
    shutil.copytree("book", stage / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(name, stage / name)


def check_lessons(stage: Path) -> None:
    """Refuse lessons that are not what the repository's notebooks give today."""
    for page in pages_of(Path("_toc.yml")):
        if not page.startswith("notebooks/"):
            continue
        source, executed = Path(f"{page}.ipynb"), stage / f"{page}.ipynb"
        lesson = nbformat.read(executed, as_version=4)
        if lesson.metadata.get(MADE_FROM) != made_from(source):
            sys.exit(
                f"found {executed} executed before {source} or the package changed, "
                "expected it made of both as they are; delete it and build again"
            )
        code = [cell for cell in lesson.cells if cell.cell_type == "code"]
        counts = [cell.execution_count for cell in code]
        if counts != list(range(1, len(code) + 1)):
            sys.exit(
                f"found {executed} executed in the order {counts}, expected from top "
                "to bottom; delete it and build again"
            )


def without_solutions(stage: Path) -> Path:
    """A copy of the stage in which the exercises have no answers.

    Students' own copies, not executed, go beside it: the notebooks as they are kept in
    the repository, with the answers taken out.
    """
    students = stage.with_name("student_stage")
    shutil.rmtree(students, ignore_errors=True)
    shutil.copytree(stage, students)
    for path in (students / "notebooks").glob("*.ipynb"):
        take_out_solutions(path, path)
        own_copy = Path("_build/student/notebooks") / path.name
        own_copy.parent.mkdir(parents=True, exist_ok=True)
        take_out_solutions(Path("notebooks") / path.name, own_copy)
    return students


def take_out_solutions(source: Path, target: Path) -> None:
    """Copy a notebook without the cells that are tagged `solution`."""
    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "solution" not in cell.metadata.get("tags", [])
    ]
    nbformat.write(notebook, target)


def append(
    stage: Path, page: str, sections: Mapping[str, str], folded: bool = False
) -> None:
    """Complete a page by what is only known when the book is built.

    Long tables are `folded`: a reader opens the one that is wanted.
    """
    form = FOLDED if folded else "\n## {0}\n\n{1}\n"
    with (stage / "book" / f"{page}.md").open("a") as file:
        file.writelines(form.format(*section) for section in sections.items())


def status(stage: Path, trained: Sequence[Path]) -> dict[str, str]:
    """Where, when and with what this book was made."""
    hardware = this_hardware()
    facts = {
        "made": now(),
        "commit": current_commit(),
        "profile": stage.parent.name,
        "processor": f"{hardware.cpu}, {hardware.threads} threads",
        "GPU": hardware.gpu or "none",
        "system": f"{hardware.system}, Python {hardware.python}",
        "packages": ", ".join(f"{k} {v}" for k, v in hardware.packages.items()),
    }
    lessons = []
    for path in sorted((stage / "notebooks").glob("*.ipynb")):
        run = nbformat.read(path, as_version=4).metadata.papermill
        link = f"[{path.stem}](../notebooks/{path.name})"
        lessons.append([link, f"{run.duration:.0f} s", run.start_time[:16]])
    runs = [
        [r.name, f"{sum(r.seconds.values()):.0f} s", r.created]
        for r in map(read_record, trained)
    ]
    table = markdown_table
    return {
        "Where and with what": table(["what", "value"], list(map(list, facts.items()))),
        "The lessons": table(["lesson", "time", "executed, UTC"], lessons),
        "The runs": table(["record", "time", "finished, UTC"], runs),
    }


def large_runs() -> dict[str, str]:
    """What trainings on millions of images take, by the newest speed records."""
    record, gpu_record = latest_speed(), latest_speed(on_gpu=True)
    source = (
        f"`benchmarks/results/{record.name}.json`: {record.hardware.cpu}, "
        f"{record.hardware.threads} threads, commit {record.commit[:7]}; and "
        f"`benchmarks/results/{gpu_record.name}.json`: {gpu_record.hardware.gpu}, "
        f"commit {gpu_record.commit[:7]}."
    )
    tables = large_run_tables(record, measured_device(gpu_record))
    return {**tables, "Sources": source}


def fault_injection() -> dict[str, str]:
    """What was done to break the program, by the records that are kept."""
    return {
        c.title: f"Expected: {c.expected}.\n\n{fault_table(c)}\n\n"
        f"`tests/faults/records/{c.name}.json`, commit {c.commit[:7]}, "
        f"{c.created[:10]}, {c.hardware.cpu}, {c.seconds:.0f} s; again by "
        f"`{c.command}`."
        for c in read_fault_records()
    }


def ledger() -> dict[str, str]:
    """Where the paper's text leaves a choice, with the measured effects."""
    heads = ["no.", "the paper", "our reading", "to try the other", "effect"]
    parts: dict[str, list[list[str]]] = {}
    for row in load_ledger():
        cells = [f"{row.number}", row.paper, row.reading, row.option]
        parts.setdefault(row.part, []).append([*cells, measured_effect(row)])
    return {
        f"{part.capitalize()}, {len(rows)} places": markdown_table(heads, rows)
        for part, rows in parts.items()
    }


def reference() -> dict[str, str]:
    """Every module of the two packages, by its docstrings."""
    packages = {"The paper: `colorlib`": colorlib, "The runs: `companion`": companion}
    sections = {}
    for heading, package in packages.items():
        modules = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        names = sorted(m.name for m in modules if not m.name.endswith(UNDOCUMENTED))
        sections[heading] = "".join(
            FOLDED.format(name, MODULE.format(name)) for name in names
        )
    return sections


def fill_findings(stage: Path) -> None:
    """Put what was found into the pages that say where; the strip is the preview."""
    found, folder = Findings.read(), stage / "book"
    texts = blocks(found) | pictures(found, folder)
    shutil.copy(folder / "strip.jpg", folder / "static" / "preview.jpg")
    for page in folder.glob("*.md"):
        page.write_text(filled(page.read_text(), texts))


def complete_pages(stage: Path, trained: Sequence[Path]) -> None:
    """Write what pages show of records, and of the package itself."""
    fill_findings(stage)
    append(stage, "status", status(stage, trained))
    for page, on_gpu in (("speed", False), ("gpu", True)):
        record = latest_speed(on_gpu=on_gpu)
        machine = {"Where and with what": machine_table(record)}
        append(stage, page, machine | book_tables(record), folded=True)
    append(stage, "cluster", large_runs())
    append(stage, "fault_injection", fault_injection(), folded=True)
    append(stage, "ledger", ledger(), folded=True)
    append(stage, "api", reference())


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


# What the theme and docutils write, and what a screen reader can make sense of.
SIDEBAR = '<div class="sidebar-primary-items__start sidebar-primary__section"'
MENDED = {
    'role="doc-biblioentry"': 'role="listitem"',
    f"{SIDEBAR}>": f'{SIDEBAR} role="region" aria-label="Book and contents">',
}


def mend_roles(html: Path) -> None:
    """Give parts of the pages, that are not ours to write, their right roles."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for found, wanted in MENDED.items():
            text = text.replace(found, wanted)
        page.write_text(text, encoding="utf-8")


def put_in_place(html: Path, target: Path) -> None:
    """Exchange the book that is there for the new one."""
    old = target.with_name("html.old")
    shutil.rmtree(old, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(old)
    html.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Read the command line: stage, target, `hide` or `show`, records of the runs."""
    stage, target, solutions, *trained = sys.argv[1:]
    fill_stage(Path(stage))
    write_page_weights(Path(stage) / "book/static/colorizer/weights.js")
    check_lessons(Path(stage))
    complete_pages(Path(stage), [Path(path) for path in trained])
    hide = solutions == "hide"
    html = build(without_solutions(Path(stage)) if hide else Path(stage))
    mend_roles(html)
    put_in_place(html, Path(target))


if __name__ == "__main__":
    main()
