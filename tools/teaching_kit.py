"""A lecturer's kit, from a built book: slides, an exercise sheet, the solutions apart.

    stage/notebooks, executed ─► kit/figures/01-parts.png, ...: a figure a file
    book/slides/class_1.md    ─► kit/class_1.html: slides that show these figures
    html, the pages           ─► kit/exercises.html, kit/solutions.html: to print

The kit lies in the book's folder, whose copy of MathJax sets its formulas.
"""

import base64
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup, Tag
from markdown_it import MarkdownIt
from PIL import Image

SLIDES = Path("book/slides")
CAPTION = "**Figure.**"
PICTURE = re.compile(r"figures/([\w-]+)\.png")
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="stylesheet" href="../_static/kit.css">
<script defer src="../_static/mathjax/tex-chtml.js"></script>
<body class="{kind}">
{body}
</body>
</html>
"""
# Space and Page Down scroll by themselves; remote controls and fingers want arrows.
KEYS = """<script>
addEventListener("keydown", event => {
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  if (step) { event.preventDefault(); scrollBy(0, step * innerHeight); }
});
</script>"""


def figure_names(notebook: Path) -> list[str]:
    """The ids of the cells of a notebook whose figures have a caption."""
    cells = nbformat.read(notebook, as_version=4).cells
    return [
        cell.id.removesuffix("-caption")
        for cell in cells
        if cell.source.startswith(CAPTION)
    ]


def write_figures(stage: Path, folder: Path) -> None:
    """Save each figure of the executed notebooks as a PNG, by the id of its cell."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((stage / "notebooks").glob("*.ipynb")):
        names = figure_names(path)
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []) if cell.id in names else []:
                data = output.get("data", {})
                if picture := data.get("image/png") or data.get("image/jpeg"):
                    decoded = Image.open(io.BytesIO(base64.b64decode(picture)))
                    decoded.save(folder / f"{cell.id}.png")


def deck(source: Path) -> str:
    """The slides of one class; lines of `---` divide them.

    Example:
        >>> deck(SLIDES / "class_1.md").count("<section>") > 10
        True
    """
    markdown = MarkdownIt("commonmark").enable("table")
    slides = source.read_text(encoding="utf-8").split("\n---\n")
    body = "\n".join(f"<section>{markdown.render(text)}</section>" for text in slides)
    title = slides[0].strip().removeprefix("# ").partition("\n")[0]
    return PAGE.format(title=title, kind="slides", body=body + KEYS)


def exercises(html: Path) -> Iterator[tuple[str, Tag, list[Tag]]]:
    """Of each exercise of the book its lesson's title, its text and its solution."""
    for path in sorted((html / "notebooks").glob("[0-9]*.html")):
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        assert page.h1 is not None
        title = next(page.h1.stripped_strings)
        for box in page.select("article .admonition.tip"):
            for link in box.find_all("a"):
                link.unwrap()  # paper has no links
            answers = [
                cell
                for cell in box.find_next_siblings(limit=2)
                if "tag_solution" in (cell.get("class") or ())
            ]
            yield title, box, answers


def sheet(html: Path, solved: bool) -> str:
    """All exercises on one page to print, with space to write or with solutions."""
    title = "Solutions" if solved else "Exercises"
    body, lesson = f"<h1>{title}</h1><p>“Above” means above in the lesson.</p>", ""
    for heading, box, answers in exercises(html):
        if heading != lesson:
            body, lesson = f"{body}<h2>{heading}</h2>", heading
        body += str(box)
        if solved:
            body += "".join(opened(answer) for answer in answers)
        else:
            body += '<div class="space"></div>'
    return PAGE.format(title=title, kind="sheet", body=body)


def opened(answer: Tag) -> str:
    """A solution without its fold; its pictures lie beside the book's pages."""
    for summary in answer.find_all("summary"):
        summary.decompose()
    for details in answer.find_all("details"):
        details.unwrap()
    return str(answer)


def write_kit(stage: Path, html: Path) -> Path:
    """Write everything; solutions only if the book has them."""
    kit = html / "kit"
    write_figures(stage, kit / "figures")
    files = {f"{source.stem}.html": deck(source) for source in SLIDES.glob("*.md")}
    files["exercises.html"] = sheet(html, solved=False)
    if any(answers for *_, answers in exercises(html)):
        files["solutions.html"] = sheet(html, solved=True)
    for name, text in files.items():
        for figure in PICTURE.findall(text):
            if not (kit / f"figures/{figure}.png").is_file():
                sys.exit(f"{name}: found no figure {figure}, expected one of a lesson")
        (kit / name).write_text(text, encoding="utf-8")
    return kit


if __name__ == "__main__":
    print(f"the kit: {write_kit(Path(sys.argv[1]), Path(sys.argv[2]))}")
