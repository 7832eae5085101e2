"""The whole book on paper: one PDF, printed by the browser."""

import subprocess
import sys

from pypdf import PdfReader

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


def bookmarks(entries, reader, level=0):
    """(level, title, page) of every bookmark."""
    for entry in entries:
        if isinstance(entry, list):
            yield from bookmarks(entry, reader, level + 1)
        else:
            yield level, entry.title, reader.get_destination_page_number(entry)


def test_the_pages_stand_in_order_and_nothing_is_folded(chromium, small_book):
    (small_book.folder / "book/last.md").write_text(LAST)
    code, said = small_book(FIRST, chapters=["book/last"])
    assert code == 0, said
    command = [sys.executable, "-m", "tools.print_book", "html", "book.pdf"]
    subprocess.run(command, cwd=small_book.folder, check=True)
    printed = PdfReader(small_book.folder / "book.pdf")
    assert list(bookmarks(printed.outline, printed)) == [
        (0, "Contents", 0),
        (0, "A book", 1),
        (0, "A page", 2),
        (1, "Summary", 2),
        (0, LAST.splitlines()[0].removeprefix("# "), 3),
        (1, "Summary", 3),
    ]
    text = printed.pages[2].extract_text()
    assert "\\(" not in text  # the formula is set
    assert "Folded on the screen." in text
