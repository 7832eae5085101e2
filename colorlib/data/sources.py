"""Where photographs come from: items with an id and a group, read as squares."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from colorlib.data.archives import Tree
from colorlib.errors import UserError
from colorlib.images import PhotographError, fit_square, read_photograph
from colorlib.scenes import SCENES_VERSION, render_scenes

DECODE_MARGIN = 2  # a JPEG may be decoded smaller, down to twice the size wanted


@dataclass(frozen=True)
class Item:
    """One photograph of a source.

    Attributes:
        id: Its name, unique in the source.
        group: What it shares with others: the person, the class, the folder.
    """

    id: str
    group: str


@dataclass(frozen=True)
class Reading:
    """What came of reading one item.

    Attributes:
        item: Which.
        rgb: (S, S, 3) uint8, or None if it could not be read.
        sha256: Of the file's bytes, or of what it was made from.
        fault: Why it could not be read; empty if it could.
        upscaled: Whether the photograph was smaller than S.
    """

    item: Item
    rgb: NDArray[np.uint8] | None
    sha256: str
    fault: str = ""
    upscaled: bool = False


class Source(Protocol):
    """A set of photographs that can be read, at any size, as often as needed."""

    @property
    def name(self) -> str:
        """`lfw`, `imagenet`, ..."""

    @property
    def fingerprint(self) -> str:
        """What identifies the content: it changes when the photographs do."""

    @property
    def items(self) -> Sequence[Item]:
        """The photographs, in reading order."""

    def read(self, size: int, ids: Collection[str] | None = None) -> Iterator[Reading]:
        """Read the items, or those with the given ids, in the order of `items`.

        Args:
            size: Side S of the squares, pixels.
            ids: Which items; all by default.
        """


class ScenesSource:
    """Rendered landscapes: the embedded data set, there on every machine."""

    name = "scenes"

    def __init__(self, count: int, seed: int) -> None:
        self.seed = seed
        self.fingerprint = f"scenes-{SCENES_VERSION}-{seed}-{count}"
        self.items = [Item(f"{seed}/{index:06d}", str(index)) for index in range(count)]

    def read(self, size: int, ids: Collection[str] | None = None) -> Iterator[Reading]:
        """Render the scenes; each is the same picture at any size."""
        for index, item in enumerate(self.items):
            if ids is None or item.id in ids:
                recipe = f"scenes-{SCENES_VERSION}-{item.id}"
                rgb = render_scenes(1, size, self.seed, first=index)[0]
                yield Reading(item, rgb, hashlib.sha256(recipe.encode()).hexdigest())


class FileSource:
    """Photographs in a folder or an archive; the subclasses say what a group is.

    Args:
        tree: The files.
        count: How many to take, drawn at random; None for all.
        seed: Of that draw.
    """

    name: ClassVar[str]

    def __init__(self, tree: Tree, count: int | None = None, seed: int = 0) -> None:
        self.tree = tree
        self.count = count
        self.seed = seed

    @cached_property
    def fingerprint(self) -> str:
        """The tree's, and which part of it was drawn."""
        drawn = "" if self.count is None else f"-{self.count}-{self.seed}"
        return self.tree.fingerprint + drawn

    @cached_property
    def items(self) -> list[Item]:
        """The photographs in reading order."""
        return list(self._items.values())

    @cached_property
    def _items(self) -> dict[str, Item]:
        """Name in the tree -> item."""
        names = self.tree.names
        if not names:
            raise UserError(
                f"{self.tree.path}: found no image file, expected photographs; "
                "check the path"
            )
        shown = self.shown_names(names)
        items = [Item(name, self.group_of(name)) for name in shown]
        drawn = self._drawn(len(names))
        return {names[index]: items[index] for index in drawn}

    def shown_names(self, names: list[str]) -> list[str]:
        """The items' ids: the names without the one folder that holds everything."""
        parts = [PurePosixPath(name).parts for name in names]
        nested = all(len(part) > 2 for part in parts)
        if nested and len({part[0] for part in parts}) == 1:
            parts = [part[1:] for part in parts]
        return ["/".join(part) for part in parts]

    def group_of(self, name: str) -> str:
        """The folder an item lies in."""
        return PurePosixPath(name).parent.name

    def read(self, size: int, ids: Collection[str] | None = None) -> Iterator[Reading]:
        """Decode the photographs in one pass over the files."""
        wanted = {
            name for name, item in self._items.items() if ids is None or item.id in ids
        }
        for name, content in self.tree.read(wanted):
            yield _reading(self._items[name], content, size)

    def _drawn(self, total: int) -> list[int]:
        """Which of the files are taken, in reading order."""
        if self.count is None:
            return list(range(total))
        if self.count > total:
            raise UserError(
                f"{self.tree.path}: found {total} photographs, expected {self.count}; "
                "lower the count"
            )
        generator = np.random.default_rng(self.seed)
        return sorted(generator.choice(total, self.count, replace=False).tolist())


class LfwSource(FileSource):
    """Labeled Faces in the Wild: one folder a person."""

    name = "lfw"


class ImageFolderSource(FileSource):
    """ImageNet in the usual layout: one folder a class."""

    name = "imagenet"


class ImagenetteSource(FileSource):
    """Ten easy classes of ImageNet: `train` and `val`, in them one folder a class."""

    name = "imagenette"


class FolderSource(FileSource):
    """Any photographs; a group is a folder."""

    name = "folder"

    def shown_names(self, names: list[str]) -> list[str]:
        """The names as they are."""
        return names

    def group_of(self, name: str) -> str:
        """The path of the folder an item lies in."""
        return PurePosixPath(name).parent.as_posix()


class MixedSource:
    """Several sources behind each other, as one.

    Args:
        sources: Each with a name of its own; it becomes the beginning of the ids and
            the groups.
    """

    name = "mixed"

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)

    @cached_property
    def fingerprint(self) -> str:
        """Those of its parts."""
        return "+".join(source.fingerprint for source in self.sources)

    @cached_property
    def items(self) -> list[Item]:
        """The photographs of all, part by part."""
        return [
            self._renamed(source, item)
            for source in self.sources
            for item in source.items
        ]

    def read(self, size: int, ids: Collection[str] | None = None) -> Iterator[Reading]:
        """Read part by part."""
        for source in self.sources:
            before = f"{source.name}:"
            own = None
            if ids is not None:
                own = {i.removeprefix(before) for i in ids if i.startswith(before)}
            for reading in source.read(size, own):
                yield replace(reading, item=self._renamed(source, reading.item))

    def _renamed(self, source: Source, item: Item) -> Item:
        """An item that says which part it is of."""
        return Item(f"{source.name}:{item.id}", f"{source.name}:{item.group}")


def _reading(item: Item, content: bytes | PhotographError, size: int) -> Reading:
    """Decode one file and cut its square."""
    if isinstance(content, PhotographError):
        return Reading(item, None, "", content.reason)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        rgb = read_photograph(content, item.id, DECODE_MARGIN * size).rgb
    except PhotographError as error:
        return Reading(item, None, sha256, error.reason)
    upscaled = min(rgb.shape[:2]) < size
    return Reading(item, fit_square(rgb, size), sha256, upscaled=upscaled)
