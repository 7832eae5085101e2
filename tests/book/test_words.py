"""Words of the field in pages, lessons and code; those of our own are banned."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / name for name in ("Makefile", "Snakefile", "_config.yml")),
    *(ROOT / "book").rglob("*.md"),
    *(ROOT / "notebooks").glob("*.ipynb"),
    *(ROOT / "book" / "static").rglob("*.js"),
    *(path for name in ("colorlib", "companion", "benchmarks", "tools")
      for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".yaml", ".md")),
]  # fmt: skip
# Each as a stranger would find it: in identifiers and in sentences.
BANNED = re.compile(
    r"\b(told|opinions?|campaigns?|verdicts?|contestants?|trivial|pixel-wise)\b"
    r"|by heart|behind the (softmax|relu)|alike likely|drawn scenes?|enlargements?"
    r"|turn(ed)?[ _]to[ _]rare|prefer_rare|shown to be better|no difference (is )?shown"
    r"|holds?[ _]zero|over_(photographs|seeds)|comes with the package|in the box"
    r"|first weights|the truth\b|(chroma|ab|L)_unit|is_first_process|signs_of_collapse"
    r"|(write|rename)_whole|how_to_feed|see_size|EpochOrder|only_one_process",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_its_words_are_those_of_the_field(path):
    found = [match[0] for match in BANNED.finditer(path.read_text())]
    assert found == []
