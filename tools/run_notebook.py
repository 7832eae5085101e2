"""Execute a notebook with the settings of a profile.

A notebook is given the profile and the folders that it declares in its parameters cell,
and no others. The executed copy appears whole or not at all, and says what it was made
from; a failing notebook prints its own traceback. Captions of figures may hold what is
only known when it has run, such as the number of images: that stands in a comment,
`<!-- of {len(images)}-->`, which readers of the notebook do not see, and is computed
at the end of the notebook.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

# The kernel of this environment, not one of the same name that the user installed.
os.environ["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")

import nbformat
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from colorlib.files import file_sha256
from tools.lesson_code import code_hash, notebook_code

MADE_FROM = "made_from"  # the key of the hashes among the metadata of a copy
INJECTED = "injected-parameters"
CAPTION = "**Figure.** "  # how a cell begins that is one
COMMENT = re.compile("<!--(.*?)-->")


def parameters_for(source: Path, given: dict[str, str]) -> dict[str, str]:
    """What the command line gave, of that which a notebook declares.

    Folders are given as they are seen from the notebook, which is where it runs:
    readers see them, and the paths of the machine that makes a book are nothing to
    them.
    """
    declared = papermill.inspect_notebook(str(source))
    parameters = {}
    for name, value in given.items():
        is_path = name != "profile" or Path(value).suffix in (".yaml", ".yml")
        if value and name in declared:
            parameters[name] = (
                os.path.relpath(value, source.parent) if is_path else value
            )
    return parameters


def captions_of(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that are captions of figures."""
    return [cell for cell in notebook.cells if cell.source.startswith(CAPTION)]


def computed(caption: str) -> str:
    """A caption as a Python expression: what is in comments is an f-string's."""
    parts = COMMENT.split(caption)  # text, comment, text, ...
    parts[::2] = [text.replace("{", "{{").replace("}", "}}") for text in parts[::2]]
    return f'rf"""{"".join(parts)}"""'


def captions_cell(notebook: NotebookNode) -> NotebookNode:
    """A cell that prints the captions of a notebook."""
    captions = ", ".join(computed(cell.source) for cell in captions_of(notebook))
    source = (
        "import json\nfrom companion.report.tables import DATA_NAMES\n"
        f"print(json.dumps([{captions}]))"
    )
    return nbformat.v4.new_code_cell(source)


def fill_captions(notebook: NotebookNode) -> None:
    """Take the last cell away again, and put what it printed in the captions' place."""
    outputs = notebook.cells.pop().outputs  # warnings may be among them
    # On a busy machine what is printed comes in several pieces.
    printed = [o.text for o in outputs if o.get("name") == "stdout"]
    captions = json.loads("".join(printed))
    for cell, caption in zip(captions_of(notebook), captions, strict=True):
        cell.source = caption


def made_from(source: Path) -> dict[str, str]:
    """Hashes of a notebook as it is kept, and of the package's code behind it."""
    code = code_hash(notebook_code(source))
    return {"source": file_sha256(source), "code": code}


def execute(source: Path, target: Path, parameters: dict[str, Any]) -> None:
    """Run a notebook into its executed copy, with the injected cell folded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial.ipynb")
    hashes = made_from(source)  # now: it may be edited while it runs
    notebook = nbformat.read(source, as_version=4)
    notebook.cells.append(captions_cell(notebook))
    papermill.execute_notebook(
        notebook,
        str(partial),
        parameters,
        progress_bar=False,
        extra_arguments=["--log-level=50"],  # the kernel's own messages are no news
        cwd=str(source.parent),
    )
    notebook = nbformat.read(partial, as_version=4)
    fill_captions(notebook)
    notebook.metadata[MADE_FROM] = hashes
    for cell in notebook.cells:
        if INJECTED in cell.metadata.get("tags", []):
            cell.metadata.tags.append("hide-input")
            cell.metadata.mystnb = {"code_prompt_show": "The parameters of this book"}
    nbformat.write(notebook, partial)
    partial.replace(target)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    for name in ("profile", "data_root", "weights_root"):
        parser.add_argument(f"--{name.replace('_', '-')}", default="", dest=name)
    given = vars(parser.parse_args())
    source, target = given.pop("source"), given.pop("target")
    print(f"executing {source}", flush=True)
    try:
        execute(source, target, parameters_for(source, given))
    except PapermillExecutionError as error:
        sys.exit(f"{source} failed in cell {error.exec_count}:\n{error}")


if __name__ == "__main__":
    main()
