"""What a packed cache holds: the record that everything made from it is bound to."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

FORMAT_VERSION = 1  # raise it when the same photographs would be packed otherwise


@dataclass(frozen=True)
class Manifest:
    """What a packed cache holds, and what was left out of it.

    Attributes:
        format_version: Of the cache.
        source: `lfw`, `scenes`, ...
        fingerprint: Of the folder or archive it was read from.
        size: Side of the images, pixels.
        ids: Of the kept photographs, in order.
        groups: Their persons, classes or folders.
        sha256s: Hashes of their files.
        grayscale: Ids of those dropped because they have no colour.
        unreadable: Id -> reason, of those that could not be read.
        upscaled: Ids of kept photographs that were smaller than `size`.
        pixels_sha256: Hash of the packed images.
    """

    format_version: int
    source: str
    fingerprint: str
    size: int
    ids: list[str]
    groups: list[str]
    sha256s: list[str]
    grayscale: list[str]
    unreadable: dict[str, str]
    upscaled: list[str]
    pixels_sha256: str

    @property
    def kept_count(self) -> int:
        """Number of photographs in the cache."""
        return len(self.ids)

    @property
    def grayscale_count(self) -> int:
        """Number of photographs dropped because they have no colour."""
        return len(self.grayscale)

    @property
    def unreadable_count(self) -> int:
        """Number of files that could not be read."""
        return len(self.unreadable)

    @cached_property
    def manifest_hash(self) -> str:
        """Which photographs, in which order, at which size; not where they were."""
        content = (self.format_version, self.source, self.size, self.ids, self.groups)
        text = json.dumps([*content, self.sha256s])
        return hashlib.sha256(text.encode()).hexdigest()
