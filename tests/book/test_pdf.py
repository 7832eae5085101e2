"""The whole book on paper: one PDF, printed by the browser."""

import subprocess
import sys

import pytest
from copies import small_book_in
from pypdf import PdfReader
from test_browser import CHROMIUM

FIRST = """
The formula $a^2$, [the end](last.md), [outside](https://example.org/page).

```{admonition} A secret
:class: dropdown
Folded on the screen.
```

## Summary

Of the first page.
"""
LAST = """# The last page, with a heading that is too long for one line of the paper

[Back](page.md). There is {ref}`a place <place>` below.

(place)=
## Summary

Of the last page.
"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium on the PATH, so no book was printed; install it "
    "(Debian: apt-get install chromium) to run these tests",
)


def print_book(folder):
    """Print the book of a folder; how that went."""
    command = [sys.executable, "-m", "tools.print_book", "html", "book.pdf"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def bookmarks(entries, reader, level=0):
    """(level, title, page) of every bookmark."""
    for entry in entries:
        if isinstance(entry, list):
            yield from bookmarks(entry, reader, level + 1)
        else:
            yield level, entry.title, reader.get_destination_page_number(entry)


def links(reader):
    """(page, address) or (page, page it leads to) of every link."""
    for number, page in enumerate(reader.pages):
        for link in page.get("/Annots", []):
            link = link.get_object()
            if "/Dest" in link:
                place = reader.named_destinations[link["/Dest"]]
                yield number, reader.get_destination_page_number(place)
            else:
                yield number, link["/A"]["/URI"]


def test_the_pages_stand_in_order_and_nothing_is_folded(tmp_path):
    small_book = small_book_in(tmp_path)
    assert "run `make book` first" in print_book(small_book.folder).stderr
    (small_book.folder / "book/last.md").write_text(LAST)
    code, said = small_book(FIRST, chapters=["book/last"])
    assert code == 0, said
    done = print_book(small_book.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = PdfReader(small_book.folder / "book.pdf")
    assert list(bookmarks(printed.outline, printed)) == [
        (0, "Contents", 0),
        (0, "A book", 1),
        (0, "A page", 2),
        (1, "Summary", 2),
        (0, LAST.splitlines()[0].removeprefix("# "), 3),
        (1, "Summary", 3),
    ]
    assert list(links(printed)) == [
        (0, 1), (0, 2), (0, 3),  # the contents
        (2, 3), (2, "https://example.org/page"),
        (3, 2), (3, 3),
    ]  # fmt: skip
    text = printed.pages[2].extract_text()
    assert "\\(" not in text  # the formula is set
    assert "Folded on the screen." in text
