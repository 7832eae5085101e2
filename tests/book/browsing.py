"""What tests ask of a page in a real browser."""

import shutil

from axe_playwright_python.sync_playwright import Axe

from tools.print_book import NAMES

CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
# Preloaded, style sheets would be asked for once more, which files refuse.
AXE = {"resultTypes": ["violations"], "preload": False}

# The theme lets the keyboard reach what scrolls, some time after the width has changed.
BOXES = "pre[tabindex], .pst-scrollable-table-container[tabindex]"
REACHED = f"""[...document.querySelectorAll("{BOXES}")].every(
  box => box.scrollWidth <= box.clientWidth || box.tabIndex === 0)"""


def open_page(context, address):
    """Open a page; the tab, and a list of what goes wrong in it, now and later."""
    tab = context.new_page()
    tab.set_default_timeout(120_000)  # a busy machine must not fail a test
    faults = []
    tab.on("console", lambda m: m.type == "error" and faults.append(m.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("requestfailed", lambda r: faults.append(f"failed: {r.url}"))
    tab.on(
        "request",
        lambda r: (
            r.url.startswith(("file:", "data:", "blob:"))
            or faults.append(f"outside: {r.url}")
        ),
    )
    tab.goto(address)
    tab.evaluate("window.MathJax?.startup?.promise")  # until formulas are set
    return tab, faults


def barriers(tab, theme="light", width=1400):
    """What the accessibility checker finds in a page, in a theme and at a width."""
    tab.set_viewport_size({"width": width, "height": 900})
    tab.add_style_tag(content="* { transition: none !important }")  # at once
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    tab.wait_for_function(REACHED)
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:120]}"
        for rule in Axe().run(tab, options=AXE).response["violations"]
        if rule["impact"] != "minor"  # such as the empty corner of a table
        for node in rule["nodes"]
    ]
