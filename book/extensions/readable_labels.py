"""Label the entries of the bibliography by authors and year: `Kiani et al. 2021`."""

from collections.abc import Iterable, Iterator
from typing import Any

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx


class AuthorYearLabels(BaseLabelStyle):
    """The last names of up to two authors, else the first with *et al.*; the year."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        """One label for each entry."""
        for entry in sorted_entries:
            names = [
                " ".join(str(part) for part in person.rich_last_names)
                for person in entry.persons["author"]
            ]
            if len(names) > 2 or names[1:] == ["others"]:
                names = [f"{names[0]} et al."]
            yield f"{' and '.join(names)} {entry.fields['year']}"


class AuthorYear(Style):
    """The plain style, with these labels."""

    default_label_style = AuthorYearLabels


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    register_plugin("pybtex.style.formatting", "author_year", AuthorYear)
    return {"parallel_read_safe": True}
