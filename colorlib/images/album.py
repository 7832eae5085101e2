"""Find photographs in folders, name their coloured copies, and colour one file."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from colorlib.errors import UserError
from colorlib.images import (
    MARK,
    MAX_PIXELS,
    PHOTOGRAPH_SUFFIXES,
    PhotographFile,
    left_out_as,
)
from colorlib.images.writer import DEEP, KINDS, SUFFIXES, write_pages

if TYPE_CHECKING:
    from colorlib.colorize import Colorizer

SHOWN_NAMES = 6  # of what was lost


@dataclass
class Album:
    """What a command is to colour.

    Attributes:
        jobs: (photograph, result) pairs; no two results have one name.
        left_out: Why files of the searched folders are not among them -> how many.
        faults: Folders that could not be searched, one line each.
    """

    jobs: list[tuple[Path, Path]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What was left out, in one line; empty if nothing was."""
        if not self.left_out:
            return ""
        counts = ", ".join(f"{n:,} {why}" for why, n in self.left_out.most_common())
        return f"left out: {counts}; to colour one, give it by its own name"


def plan_album(
    inputs: Sequence[Path], out: Path | None = None, kind: str | None = None
) -> Album:
    """Find the photographs, and where each result goes.

    A folder is searched with all below it, also behind links, for what `left_out_as`
    does not leave out; a file that is given by its name is always taken. What is found
    twice is taken once.

    Args:
        inputs: Files and folders.
        out: The folder of the results, which keeps the layout of the inputs below the
            folder that holds them all; or the file of the only result. None for beside
            the photographs.
        kind: Of the results, such as `png`; None for that of each photograph, and PNG
            for what is not written.

    Raises:
        UserError: If there is no photograph, or several for one file.
    """
    album = Album()
    sources = _found(inputs, album)
    if not sources:
        found = "; ".join([*album.faults, album.summary or "expected photographs"])
        given = ", ".join(map(str, inputs[:3])) + (", ..." if len(inputs) > 3 else "")
        raise UserError(f"found no photograph in {given}; {found}")
    named = out is not None and out.suffix.lower() in PHOTOGRAPH_SUFFIXES
    if out is not None and named and not out.is_dir():
        if len(sources) > 1:
            raise UserError(
                f"found {len(sources)} photographs, expected one for the file {out}; "
                "give a folder"
            )
        album.jobs.append((sources[0], out))
        return album
    base = os.path.commonpath([_folder_of(given) for given in inputs])
    taken: set[str] = set()
    for source in sources:
        place = source.parent
        if out is not None:
            place = out / os.path.relpath(os.path.abspath(source.parent), base)
        target = _free(place / _result_name(source, kind), taken)
        album.jobs.append((source, target))
    return album


def _folder_of(given: Path) -> str:
    """The folder that an input is, or lies in; links are not resolved."""
    return os.path.abspath(given if given.is_dir() else given.parent)


def _found(inputs: Sequence[Path], album: Album) -> list[Path]:
    """Every file that is given, and every photograph of the folders, each once."""

    def fault(error: OSError) -> None:
        reason = f"cannot be searched: {error.strerror}"
        album.faults.append(f"{error.filename}: {reason}")

    found: dict[str, Path] = {}
    for given in inputs:
        paths = [given]
        if given.is_dir():
            paths = photographs_below(given, album.left_out, fault)
        for path in paths:
            if found.setdefault(os.path.realpath(path), path) is not path:
                album.left_out["found twice"] += 1
    return list(found.values())


def photographs_below(
    folder: Path,
    left_out: Counter[str],
    onerror: Callable[[OSError], None] | None = None,
) -> list[Path]:
    """All visible photographs below a folder, in order.

    Links are followed out of the folder. Within it they lead where one comes anyway.

    Args:
        folder: Where to search.
        left_out: Takes what is not taken: kind -> how many, see `left_out_as`.
        onerror: Called for folders that cannot be searched; else they are counted.
    """

    def closed(_: OSError) -> None:
        left_out["folders that cannot be searched"] += 1

    paths, visited, top = [], set[str](), os.path.realpath(folder)
    search = os.walk(folder, onerror=onerror or closed, followlinks=True)
    for place, folders, names in search:
        real = os.path.realpath(place)
        inward = os.path.islink(place) and os.path.commonpath([real, top]) == top
        if real in visited or (inward and real != top):
            folders.clear()
            left_out["folders reached twice by links"] += 1
            continue
        visited.add(real)
        for path in (Path(place, name) for name in sorted(names)):
            if kind := left_out_as(path.relative_to(folder)):
                left_out[kind] += 1
            else:
                paths.append(path)
    return sorted(paths, key=lambda path: (str(path.parent), path.name))


def _result_name(source: Path, kind: str | None) -> str:
    """NAME.coloured.SUFFIX; NAME.SUFFIX.coloured.png if the format is another one."""
    own = KINDS.get(source.suffix.lower())
    if own is not None and kind in (None, own):
        return f"{source.stem}{MARK}{source.suffix}"
    return f"{source.name}{MARK}{SUFFIXES[kind or 'png']}"


def _free(path: Path, taken: set[str]) -> Path:
    """A path that no other result has, upper and lower case being the same."""
    stem, number = path.stem.removesuffix(MARK), 1
    while str(path).casefold() in taken:
        number += 1
        path = path.with_name(f"{stem}.{number}{MARK}{path.suffix}")
    taken.add(str(path).casefold())
    return path


def colorize_file(
    colorizer: "Colorizer",
    source: Path | bytes,
    target: Path,
    *,
    quality: int | None = None,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> list[str]:
    """Colour one file into another; every page of a TIFF if the result is one, too.

    Args:
        colorizer: The model.
        source: The photograph's file, or its bytes.
        target: A path, whose suffix chooses the format.
        quality: 1 to 100, of a lossy format.
        overwrite: Whether the target may be there already.
        max_pixels: A photograph of more is refused.

    Returns:
        What did not become part of the result, one line each.

    Raises:
        UserError: If the target is there, or is the photograph itself.
        PhotographError: If the photograph cannot be read, or the result written.
    """
    if os.path.lexists(target) and not overwrite:
        raise UserError(
            f"{target} exists; give --force to overwrite it, or --skip-existing"
        )
    if isinstance(source, Path) and target.exists() and target.samefile(source):
        raise UserError(f"{target} is the photograph itself; give another name")
    file = PhotographFile(source, "standard input", max_pixels)
    kind = KINDS.get(target.suffix.lower())
    every = file.kind == kind == "tiff"
    pages = (
        colorizer.colorize(file.read(page, deep=kind in DEEP), in_place=True)
        for page in range(file.pages if every else 1)
    )
    lost = sorted(write_pages(pages, target, quality, file.lossy))
    more = [f"{len(lost) - SHOWN_NAMES} more"] if len(lost) > SHOWN_NAMES else []
    notes = [f"without {', '.join(lost[:SHOWN_NAMES] + more)}"] if lost else []
    if file.pages > 1 and not every:
        hint = " (--format tiff for all)" if file.kind == "tiff" else ""
        notes.append(f"picture 1 of {file.pages} only{hint}")
    return notes
