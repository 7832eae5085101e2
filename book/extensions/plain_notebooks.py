"""Give plain Markdown of the notebooks the form that it has in the book.

The notebooks are read in JupyterLab, VS Code, GitHub and Colab, too, which show
directives raw. So they hold plain Markdown, and this turns it into directives while
Sphinx reads them; the files stay as they are, for those who download them.

| in a notebook                                  | in the book                    |
|------------------------------------------------|--------------------------------|
| a quotation that begins with a line in bold    | a box with that title          |
| a cell that ends in `### Exercise 1.2 (core)`  | a box with that title          |
| a cell `**Figure.** ...` below one of code     | the caption of what that shows |
| `[Holm (1979)](address)`, of a work in the     | a citation, listed in the      |
| bibliography                                   | bibliography                   |
| the style and script of a widget               | left out: pages have them once |
| the comment `<!-- colorizer -->`               | the colorizer of photographs   |
"""

import json
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

from pybtex.database import parse_file
from sphinx.application import Sphinx

BIBLIOGRAPHY = Path(__file__).parent.parent / "references.bib"
CAPTION = "**Figure.** "
BOX = re.compile(r"^> \*\*([^*\n]+)\*\*\n((?:>.*(?:\n|$))+)", re.MULTILINE)
EXERCISE = re.compile(r"^### (Exercise [\d.]+ \([\w-]+\))\n\n(.+)\Z", re.M | re.S)
# One work in brackets, or several: ([Holm, 1979](a); [Wilson, 1927](b)).
LINK = r"\[[^\[\]]+, \d{4}\]\((http[^\s)]+)\)"
IN_BRACKETS = re.compile(rf"\({LINK}(?:; {LINK})*\)")
COLORIZER = "<!-- colorizer -->"
WIDGET = "```{raw} html\n:file: ../book/static/colorizer/widget.html\n```"
SHARED = re.compile(r'<(style|script) class="colorlib-shared">.*?</\1>', re.DOTALL)
IN_A_SENTENCE = re.compile(r"\[[^\[\]]+ \(\d{4}\)\]\((http[^\s)]+)\)")


@cache
def works() -> dict[str, str]:
    """The key of each work of the bibliography, by its address."""
    entries = parse_file(BIBLIOGRAPHY).entries
    return {
        entry.fields.get("url", f"https://doi.org/{entry.fields.get('doi')}"): key
        for key, entry in entries.items()
    }


def with_citations(text: str) -> str:
    """Links to works become citations of them; a work unknown is an error."""

    def cite(role: str, found: re.Match[str]) -> str:
        keys = [works()[url] for url in re.findall(r"\((http[^\s)]+)\)", found[0])]
        return f"{{cite:{role}}}`{','.join(keys)}`"

    text = IN_BRACKETS.sub(partial(cite, "p"), text)
    return IN_A_SENTENCE.sub(partial(cite, "t"), text)


def with_boxes(text: str) -> str:
    """Quotations with a title, and exercises, become boxes."""

    def box(found: re.Match[str]) -> str:
        content = re.sub(r"^> ?", "", found[2], flags=re.MULTILINE).strip()
        return f"````{{admonition}} {found[1]}\n:class: note\n{content}\n````\n"

    return EXERCISE.sub(
        r"````{admonition} \1\n:class: tip\n\2\n````", BOX.sub(box, text)
    )


def without_scripts(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a cell shows, without that which every page of the book has anyway."""
    for output in outputs:
        text = "".join(output.get("data", {}).get("text/html", ""))
        if SHARED.search(text):
            output["data"]["text/html"] = SHARED.sub("", text)
    return outputs


def for_the_book(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells of a notebook, with directives in place of plain Markdown."""
    kept: list[dict[str, Any]] = []
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] != "markdown":
            kept.append(cell | {"outputs": without_scripts(cell.get("outputs", []))})
        elif text.startswith(CAPTION) and kept[-1]["cell_type"] == "code":
            shown = kept[-1]["metadata"].setdefault("mystnb", {})
            shown["figure"] = {"caption": with_citations(text.removeprefix(CAPTION))}
        else:
            text = with_boxes(with_citations(text)).replace(COLORIZER, WIDGET)
            kept.append(cell | {"source": text})
    return kept


def change_notebook(app: Sphinx, page: str, source: list[str]) -> None:
    """Called with the text of each page as it is read."""
    if app.env.doc2path(page).endswith(".ipynb"):
        notebook = json.loads(source[0])
        notebook["cells"] = for_the_book(notebook["cells"])
        source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", change_notebook)
    return {"parallel_read_safe": True}
