"""The lessons in stock JupyterLab: their text, and what a reader can move."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat import v4

from companion.report.widgets import ambiguity_picker, before_after

ROOT = Path(__file__).parents[2]
TRACKER = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
BIN = Path(sys.executable).parent


@pytest.fixture
def notebook(tmp_path):
    """The text of all lessons, and two widgets as if their cells had just been run."""
    texts = [
        cell.source
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown"
    ]
    gray, red = torch.full((3, 60, 60), 0.5), torch.ones(3, 60, 60)
    slider = before_after({"gray": gray, "red": red}, "a wall")
    widgets = [slider, ambiguity_picker(red, "a wall")]
    shown = [{"text/html": widget._repr_html_()} for widget in widgets]
    outputs = [[v4.new_output("execute_result", data)] for data in shown]
    cells = [v4.new_code_cell("1", outputs=output) for output in outputs]
    cells += [v4.new_markdown_cell(text) for text in texts]
    path = tmp_path / "lessons" / "all.ipynb"
    path.parent.mkdir()
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def lab(notebook, tmp_path):
    """The address of the notebook in a JupyterLab that knows no other settings."""
    settings = tmp_path / "settings" / TRACKER
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}))  # all cells at once
    own = {f"JUPYTER_{k}_DIR": str(tmp_path / k) for k in ("CONFIG", "DATA", "RUNTIME")}
    own["JUPYTERLAB_SETTINGS_DIR"] = str(tmp_path / "settings")
    own |= {"HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    environment = os.environ | own
    trust = [BIN / "jupyter", "trust", str(notebook)]  # its outputs are our own
    subprocess.run(trust, env=environment, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        BIN / "jupyter-lab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={port}", "--IdentityProvider.token=", "--LabApp.news_url=None",
        f"--ServerApp.root_dir={notebook.parent}",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        yield f"http://127.0.0.1:{port}/lab/tree/{notebook.name}"
        server.terminate()
        server.wait()


def opened(browser, address):
    """The page, once the server answers and the notebook is shown."""
    tab = browser.new_page()
    tab.set_default_timeout(120_000)
    for _ in range(240):
        try:
            tab.goto(address)
            break
        except Exception:  # the server is still starting
            tab.wait_for_timeout(500)
    tab.wait_for_selector(".jp-Notebook .jp-MarkdownOutput h1")
    return tab


def test_lessons_and_widgets_in_jupyterlab(browser, lab):
    tab = opened(browser, lab)
    tab.wait_for_selector("colorlib-ambiguity button")
    assert tab.locator("colorlib-before-after.live .stage").count() == 1
    tab.wait_for_selector(".jp-MarkdownOutput mjx-container")
    headings = "document.querySelectorAll('.jp-MarkdownOutput h1').length"
    lessons = len([*(ROOT / "notebooks").glob("*.ipynb")])
    tab.wait_for_function(f"{headings} === {lessons}")
    texts = tab.locator(".jp-MarkdownOutput").all_inner_texts()
    assert sum(text.startswith("Figure. ") for text in texts) >= 25
    for text in texts:
        assert not any(sign in text for sign in ("```", "{cite", "{admonition", "<!--"))
    assert tab.locator("mjx-merror").count() == 0
    exercises = tab.locator(".jp-MarkdownOutput h3")
    assert sum(t.startswith("Exercise ") for t in exercises.all_inner_texts()) >= 36
    assert tab.locator(".jp-MarkdownOutput blockquote strong").count() >= 12
