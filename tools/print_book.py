"""Print the built book into one PDF: the pages in the order of the contents.

A browser prints, so that formulas, figures and code look as they do on the screen. The
pages are put behind each other into one, with a contents page before them. Links
between pages become links within the PDF, and headings its bookmarks. What is folded on
the screen is open: paper has no buttons.
"""

import shutil
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright

from tools.build_book import pages_of

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Of headings: with a margin at the top of a page, or a line that ends without its
# space, the browser writes a bookmark's title twice, or two of its words as one.
STYLE = """
@page { size: A4; margin: 18mm 16mm 20mm; }
article { break-before: page; }
figure, img, .admonition, mjx-container[display] { break-inside: avoid; }
h1, h2, h3, h4, h5 {
  margin-top: 0 !important; padding-top: 1em !important;
  white-space: break-spaces; break-after: avoid;
}
h1 { font-size: 1.5rem !important; }
h2 { font-size: 1.25rem !important; }
h3 { font-size: 1.1rem !important; }
h4, h5 { font-size: 1rem !important; }
dt { break-after: avoid; }
a.headerlink, .copybtn, .toggle-button, details > summary { display: none !important; }
pre { white-space: pre-wrap !important; }
"""
FOOTER = (
    '<p style="width: 100%; text-align: center; font: 8pt sans-serif">'
    '<span class="pageNumber"></span></p>'
)


def read_page(path: Path) -> BeautifulSoup:
    """A page of the book, parsed."""
    if not path.is_file():
        sys.exit(f"{path}: found no page, expected a built book; run `make book` first")
    return BeautifulSoup(path.read_text(), "html.parser")


def anchor(page: str, fragment: str = "") -> str:
    """The id, in the whole, of a page or of a place in it.

    Pages have ids in common, such as `exercises`; the page's name makes them differ.

    Example:
        >>> anchor("notebooks/02_data", "exercises")
        'notebooks/02_data:exercises'
    """
    return f"{page}:{fragment}" if fragment else page


def moved(address: str, page: str, html: Path) -> str:
    """An address in a page, as it has to be in the whole.

    Args:
        address: What stands in the page, relative to it.
        page: The page, such as `book/intro`.
        html: Folder of the book.
    """
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not address:
        return address
    here = html / f"{page}.html"
    target = here.parent / unquote(parts.path) if parts.path else here
    inside = target.resolve().relative_to(html.resolve())
    if inside.suffix == ".html":
        return f"#{anchor(inside.with_suffix('').as_posix(), parts.fragment)}"
    return quote(inside.as_posix())


def article_of(page: str, html: Path) -> Tag:
    """The text of a page, with ids and addresses of the whole."""
    article = read_page(html / f"{page}.html").find("article")
    for tag in article.find_all(id=True):
        tag["id"] = anchor(page, tag["id"])
    for name in ("href", "src"):
        for tag in article.find_all(attrs={name: True}):
            tag[name] = moved(tag[name], page, html)
    for fold in article.find_all("details"):
        fold["open"] = ""
    article["id"] = anchor(page)
    return article


def title_of(article: Tag) -> str:
    """The heading of a page, without the sign that links to it."""
    heading = article.find("h1")
    return "".join(heading.find_all(string=True, recursive=False)).strip()


def whole_book(html: Path, pages: list[str]) -> BeautifulSoup:
    """The pages behind each other, with the styles and scripts of the book."""
    whole = read_page(html / f"{pages[0]}.html")
    for tag in whole.head.find_all(["link", "script"]):
        for name in {"href", "src"} & tag.attrs.keys():
            tag[name] = moved(tag[name], pages[0], html)
    style = whole.new_tag("style")
    style.string = STYLE
    whole.head.append(style)
    contents = whole.new_tag("ul")
    title = whole.new_tag("h1")
    title.string = "Contents"
    articles = [article_of(page, html) for page in pages]
    for page, article in zip(pages, articles, strict=True):
        entry = whole.new_tag("a", href=f"#{anchor(page)}")
        entry.string = title_of(article)
        contents.append(whole.new_tag("li"))
        contents.contents[-1].append(entry)
    whole.body.clear()
    whole.body.extend([title, contents, *articles])
    return whole


def find_chromium() -> str:
    """The browser that prints."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        sys.exit(
            f"found no Chromium on the PATH, expected one of {', '.join(NAMES)}; "
            "install it (Debian: apt-get install chromium)"
        )
    return found


def print_page(page: Path, target: Path) -> None:
    """Have the browser print a page, once its formulas and pictures are there."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium())
        tab = browser.new_context(offline=True).new_page()
        tab.set_default_timeout(600_000)  # a whole book has thousands of formulas
        tab.goto(page.absolute().as_uri())
        tab.evaluate("window.MathJax?.startup?.promise")
        tab.evaluate(
            "Promise.all([...document.images].map("
            "image => { image.loading = 'eager'; return image.decode() }))"
        )
        tab.pdf(
            path=target,
            prefer_css_page_size=True,
            print_background=True,
            outline=True,
            tagged=True,  # for screen readers, and the bookmarks need it
            display_header_footer=True,
            header_template="<p></p>",
            footer_template=FOOTER,
        )
        browser.close()


def main() -> None:
    """Read the command line: the folder of the book, and where the PDF goes."""
    html, target = map(Path, sys.argv[1:3])
    page, partial = html / "whole_book.html", target.with_suffix(".partial.pdf")
    try:
        page.write_text(str(whole_book(html, pages_of(Path("_toc.yml")))))
        print_page(page, partial)
    finally:
        page.unlink(missing_ok=True)
    partial.replace(target)
    print(f"the book: {target}")


if __name__ == "__main__":
    main()
