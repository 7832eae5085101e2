"""Build the book from its stage, and put it in place only when it is whole.

The stage gets the prose pages and the configuration beside the executed notebooks, at
the paths they have in the repository: the launch buttons depend on them. A notebook
that was executed before its source or the package changed is refused. Warnings are
errors. Jupyter Book 2 would ignore the configuration and write nothing, with success:
so the pages are looked for.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from benchmarks.planning import large_run_tables, measured_device
from benchmarks.records import latest_speed
from benchmarks.tables import book_tables, machine_table
from companion.provenance import current_commit, now, this_hardware
from companion.records import read_record
from companion.report.tables import markdown_table
from tools.fault_records import campaign_table, read_campaigns
from tools.run_notebook import MADE_FROM, made_from


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


def write_status(stage: Path) -> None:
    """Complete the page that says where, when and with what this book was made."""
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
    trainings = [
        [r.model.name, r.name, f"{sum(r.seconds.values()):.0f} s", r.created]
        for r in map(read_record, sorted(stage.parent.glob("runs/*/record.json")))
    ]
    tables = {
        "Where and with what": (["what", "value"], list(map(list, facts.items()))),
        "The lessons": (["lesson", "time", "executed, UTC"], lessons),
        "The models": (["model", "record", "time", "finished, UTC"], trainings),
    }
    parts = [f"## {name}\n\n{markdown_table(*t)}" for name, t in tables.items()]
    with (stage / "book" / "status.md").open("a") as page:
        page.write("\n" + "\n\n".join(parts) + "\n")


def write_speed(stage: Path) -> None:
    """Complete the pages on speed by the newest records that are kept."""
    for name, on_gpu in (("speed.md", False), ("gpu.md", True)):
        record = latest_speed(on_gpu=on_gpu)
        tables = {"Where and with what": machine_table(record), **book_tables(record)}
        parts = [f"## {heading}\n\n{table}" for heading, table in tables.items()]
        with (stage / "book" / name).open("a") as page:
            page.write("\n" + "\n\n".join(parts) + "\n")


def write_large_runs(stage: Path) -> None:
    """Complete the page that plans large runs, by the newest speed record."""
    record, gpu_record = latest_speed(), latest_speed(on_gpu=True)
    tables = large_run_tables(record, measured_device(gpu_record))
    parts = [f"## {name}\n\n{table}" for name, table in tables.items()]
    parts.append(
        f"From `benchmarks/results/{record.name}.json`: {record.hardware.cpu}, "
        f"{record.hardware.threads} threads, commit {record.commit[:7]}; and "
        f"`benchmarks/results/{gpu_record.name}.json`: {gpu_record.hardware.gpu}, "
        f"commit {gpu_record.commit[:7]}."
    )
    with (stage / "book" / "cluster.md").open("a") as page:
        page.write("\n" + "\n\n".join(parts) + "\n")


def write_campaigns(stage: Path) -> None:
    """Complete the page on what was done to break the program, by the records kept."""
    parts = []
    for campaign in read_campaigns():
        parts += [
            f"## {campaign.title}",
            f"Expected: {campaign.expected}.",
            campaign_table(campaign),
            f"`campaigns/{campaign.name}.json`, commit {campaign.commit[:7]}, "
            f"{campaign.created[:10]}, {campaign.hardware.cpu}, "
            f"{campaign.seconds:.0f} s; again by `{campaign.command}`.",
        ]
    with (stage / "book" / "campaigns.md").open("a") as page:
        page.write("\n" + "\n\n".join(parts) + "\n")


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
    """Read the command line: the stage, where the book goes, and `hide` or `show`."""
    stage, target = map(Path, sys.argv[1:3])
    fill_stage(stage)
    check_lessons(stage)
    write_status(stage)
    write_speed(stage)
    write_large_runs(stage)
    write_campaigns(stage)
    hide = sys.argv[3:] == ["hide"]
    html = build(without_solutions(stage) if hide else stage)
    mend_roles(html)
    put_in_place(html, target)


if __name__ == "__main__":
    main()
