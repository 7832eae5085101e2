"""Notebooks read the same in JupyterLab, VS Code, GitHub and Colab, and in the book."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Of MyST: {note}, {cite}`a`, (label)=, :class: tip, % remark, {{ name }}
RAW = re.compile(
    r"^\s*(`{3,}|:{3,})\s*\{|\{[\w:-]+\}`|^\([\w-]+\)=|^:[\w-]+:|^%|\{\{", re.MULTILINE
)


def load_extension():
    file = ROOT / "book/extensions/plain_notebooks.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


book = load_extension()


def cells_of(path):
    return json.loads(path.read_text())["cells"]


def code(**metadata):
    return {"cell_type": "code", "metadata": metadata, "source": ["1"]}


def markdown(text):
    return {"cell_type": "markdown", "metadata": {}, "source": [text]}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_directive_stands_in_a_notebook(path):
    for cell in cells_of(path):
        if cell["cell_type"] == "markdown":
            assert not RAW.search("".join(cell["source"])), cell["id"]
        assert "figure" not in cell["metadata"].get("mystnb", {}), cell["id"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_the_book_folds_jupyterlab_folds_too(path):
    for cell in cells_of(path):
        tags = set(cell["metadata"].get("tags", []))
        folded = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        assert folded == bool(tags & {"set-up", "hide-input", "hide-cell"}), cell["id"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_in_the_book_each_exercise_and_each_caption_has_its_form(path):
    cells = cells_of(path)
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    captions = [text for text in texts if text.startswith("**Figure.**")]
    made = book.for_the_book(cells)
    found = [c["metadata"].get("mystnb", {}).get("figure") for c in made]
    assert len(made) == len(cells) - len(captions)
    assert sum(figure is not None for figure in found) == len(captions)
    text = "\n".join("".join(c["source"]) for c in made if c["cell_type"] != "code")
    boxes = text.count("{admonition}")
    assert boxes == len(
        re.findall(r"^### Exercise|^> \*\*[^*]+\*\*$", "\n".join(texts), re.M)
    )
    assert not re.search(r"^> ", text, re.MULTILINE)


def test_boxes_exercises_and_captions():
    cells = [
        markdown("# Title\n\n> **Note**\n>\n> One.\n>\n> Two.\n\nThree."),
        code(mystnb={"image": {"alt": "a cat"}}),
        markdown("**Figure.** A cat."),
        markdown("## Exercises\n\n### Exercise 1.1 (core)\n\nCompute.\n\nThen plot."),
    ]
    title, cat, exercise = book.for_the_book(cells)
    note = "````{admonition} Note\n:class: note\nOne.\n\nTwo.\n````\n"
    assert title["source"] == f"# Title\n\n{note}\nThree."
    assert cat["metadata"]["mystnb"]["figure"] == {"caption": "A cat."}
    task = ":class: tip\nCompute.\n\nThen plot.\n````"
    expected = f"## Exercises\n\n````{{admonition}} Exercise 1.1 (core)\n{task}"
    assert exercise["source"] == expected


def test_the_style_and_script_of_widgets_are_left_out():
    html = '<style class="colorlib-shared">a</style><p>b</p>'
    html += '<script class="colorlib-shared">\nc\n</script><script>d</script>'
    shown = {"output_type": "execute_result", "data": {"text/html": [html]}}
    [cell] = book.for_the_book([{**code(), "outputs": [shown]}])
    assert cell["outputs"][0]["data"] == {"text/html": "<p>b</p><script>d</script>"}


def test_the_colorizer_stands_where_it_is_wanted_and_its_link_leads_somewhere():
    [cell] = book.for_the_book([markdown("Try it.\n\n<!-- colorizer -->")])
    directive = "```{raw} html\n:file: ../book/static/colorizer/widget.html\n```"
    assert cell["source"] == f"Try it.\n\n{directive}"
    page = (ROOT / "book/static/colorizer/widget.html").read_text()
    [(lesson, section)] = re.findall(
        r'href="\.\./notebooks/(\w+)\.html#([\w-]+)"', page
    )
    texts = "\n".join("".join(c["source"]) for c in cells_of(NOTEBOOKS[9]))
    assert lesson == NOTEBOOKS[9].stem
    headings = re.findall(r"^## (.+)$", texts, re.MULTILINE)
    assert section in [re.sub(r"\W+", "-", h.lower()).strip("-") for h in headings]


def test_links_to_works_of_the_bibliography_are_citations():
    holm = "https://www.jstor.org/stable/4615733"
    wilson = "https://doi.org/10.1080/01621459.1927.10502953"
    for plain, cited in {
        f"as [Holm (1979)]({holm}) did": "as {cite:t}`holm_1979` did",
        f"so ([Holm, 1979]({holm})).": "so {cite:p}`holm_1979`.",
        f"([Holm, 1979]({holm}); [Wilson, 1927]({wilson}))":
            "{cite:p}`holm_1979,wilson_1927`",
        "[the report](https://arxiv.org/abs/2003.12206)": "[the report]"
            "(https://arxiv.org/abs/2003.12206)",
    }.items():  # fmt: skip
        assert book.with_citations(plain) == cited
    with pytest.raises(KeyError, match=r"example\.org"):
        book.with_citations("[Nobody (2000)](https://example.org)")
