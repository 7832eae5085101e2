"""Leave out the scripts of thebe, which Jupyter Book adds to every page, twice.

They point at another server, and the second copy is an error in the console.
"""

from typing import Any

from sphinx.application import Sphinx


def drop_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Keep the scripts that have nothing to do with thebe."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script.filename} {script.attributes}".lower()
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", drop_scripts, priority=900)
    return {"parallel_read_safe": True}
