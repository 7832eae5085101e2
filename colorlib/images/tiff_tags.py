"""What a TIFF says of its own pixels, and the EXIF block, which is a TIFF without any.

Read here tag by tag, because the libraries that read them end at the first odd one: a
tag that cannot be read is left out, and costs neither the others nor the photograph.

References:
    TIFF 6.0 (1992); BigTIFF (2007); EXIF 2.3, Section 4.6; DNG 1.4.
"""

import io
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from PIL.ExifTags import GPSTAGS, TAGS

SIZES = dict(zip(range(1, 14), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), strict=True))
SIZES |= {16: 8, 17: 8, 18: 8}  # BigTIFF
NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
MAX_PAGES, MAX_TAGS = 10_000, 65_535
MAX_BYTES = 2**26  # of the values that are read of one file
BROKEN = (struct.error, OverflowError, OSError, ValueError)
EXIF, GPS, XMP, IPTC = 34665, 34853, 700, 33723
# What describes a photograph: title, camera, program, date, artist, computer, rights,
# and what Windows adds. The other tags of a first directory are about its pixels.
DESCRIPTIVE = {*range(269, 273), 285, 305, 306, 315, 316, 18246, 18249, 33432}
DESCRIPTIVE |= {*range(40091, 40096)}
OF_PIXELS = {36864, 37121, 40960, 40961, 40962, 40963, 40965}  # the same, in EXIF
DNG_VERSION, SUB_PICTURES = 50706, 330
PHOTOMETRIC = {0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
CAMERA_RAW = {32803, 34892}
UNSIGNED, FLOAT = 1, 3  # SampleFormat
DEPTHS = {UNSIGNED: (1, 2, 4, 8, 16, 32), FLOAT: (32,)}
REDUCED, MASK = 1, 4  # NewSubfileType
JPEG = 7  # Compression
SEPARATE = 2  # PlanarConfiguration
ALPHA = (1, 2)  # ExtraSamples: premultiplied or not


@dataclass(frozen=True)
class Directory:
    """Tags of one page, or of an EXIF block.

    Attributes:
        order: Of the bytes in numbers, `<` or `>`.
        tags: Tag -> its type, its count, and its value as it lies in the file.
        below: Pointer tag -> the directory that it points to.
    """

    order: str
    tags: dict[int, tuple[int, int, bytes]]
    below: dict[int, "Directory"] = field(default_factory=dict)

    def numbers(self, tag: int, default: int = 0) -> tuple[int, ...]:
        """The whole numbers of a tag; the default if it has none."""
        kind, count, value = self.tags.get(tag, (0, 0, b""))
        if kind not in NUMBERS:
            return (default,)
        return struct.unpack(f"{self.order}{count}{NUMBERS[kind]}", value)

    @property
    def is_picture(self) -> bool:
        """Whether this is a page, and no small copy or mask of one."""
        return not self.numbers(254)[0] & (REDUCED | MASK)

    @property
    def extras(self) -> tuple[int, ...]:
        """What the samples beyond the colours are, as `ALPHA` has it."""
        return self.numbers(338) if 338 in self.tags else ()


def read_directories(file: BinaryIO) -> list[Directory]:
    """Read the tags of every page of a TIFF, or those of an EXIF block.

    Args:
        file: Begins with the header of a TIFF.

    Returns:
        One a page; fewer if the chain breaks off or leads back.
    """
    reader = _Reader(file)
    found: list[Directory] = []
    seen: set[int] = set()
    with suppress(*BROKEN):  # it ends here
        at = reader.first()
        while at and at not in seen and len(found) < MAX_PAGES:
            seen.add(at)
            directory, at = reader.directory(at)
            found.append(directory)
    return found


class _Reader:
    """Reads directories of a file; of values no more than `MAX_BYTES` together."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        head = file.read(4)
        self.file = file
        self.order = "<" if head[:1] == b"I" else ">"
        self.big = 43 in head[2:]
        self.left = MAX_BYTES

    def unpacked(self, layout: str) -> tuple[Any, ...]:
        """What comes next in the file."""
        size = struct.calcsize("=" + layout)
        return struct.unpack(self.order + layout, self.file.read(size))

    def first(self) -> int:
        """The offset of the first directory."""
        self.file.seek(8 if self.big else 4)
        return int(self.unpacked("IQ"[self.big])[0])

    def directory(
        self, at: int, follow: Iterable[int] = (EXIF, GPS)
    ) -> tuple[Directory, int]:
        """The directory at an offset, and the offset of the next one."""
        self.file.seek(at)
        (count,) = self.unpacked("HQ"[self.big])
        if count > MAX_TAGS:
            raise OverflowError
        layout = "HHQ8s" if self.big else "HHI4s"
        entries = [self.unpacked(layout) for _ in range(count)]
        directory, after = Directory(self.order, {}), 0
        with suppress(struct.error):  # some writers end the file here
            (after,) = self.unpacked("IQ"[self.big])
        for tag, kind, values, stored in entries:
            value = self.value(stored, SIZES.get(kind, 0) * values)
            if value:
                directory.tags[tag] = kind, values, value
        for pointer in directory.tags.keys() & follow:
            with suppress(*BROKEN):
                at = directory.numbers(pointer)[0]
                directory.below[pointer] = self.directory(at, ())[0]
        return directory, after

    def value(self, stored: bytes, length: int) -> bytes:
        """The bytes of a tag's value; none if they are not all there."""
        if length <= len(stored):
            return stored[:length]
        if length > self.left:
            return b""
        self.left -= length
        with suppress(*BROKEN):
            self.file.seek(*struct.unpack(self.order + "IQ"[self.big], stored))
            value = self.file.read(length)
            return value if len(value) == length else b""
        return b""


def why_not(page: Directory, first: bool = True) -> str:
    """Why the pixels of a page cannot be read for sure; empty if they can.

    Args:
        page: Its tags.
        first: Whether it is the first page: cameras put a small copy there.
    """
    photometric, depths = page.numbers(262)[0], set(page.numbers(258, 1))
    sample = page.numbers(339, UNSIGNED)[0]
    raw = photometric in CAMERA_RAW or DNG_VERSION in page.tags
    if raw or (first and not page.is_picture and SUB_PICTURES in page.tags):
        return "is a camera's raw file; export it as JPEG or TIFF"
    space = PHOTOMETRIC.get(photometric)
    odd_inks = space == "CMYK" and page.numbers(332, 1)[0] != 1
    if not space or odd_inks or (space == "YCbCr" and page.numbers(259)[0] != JPEG):
        names = {6: "YCbCr without JPEG", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB"}
        named = "inks other than CMYK" if odd_inks else names.get(photometric)
        return f"holds {named or f'colours of kind {photometric}'}; save it as RGB"
    inverted = sample == FLOAT and photometric == 0
    if sample not in DEPTHS or not depths <= {*DEPTHS[sample]} or inverted:
        kinds = {UNSIGNED: "whole", 2: "signed", FLOAT: "floating-point"}
        bits = "/".join(map(str, sorted(depths)))
        kind = kinds.get(sample, "unknown")
        return f"holds {kind} numbers of {bits} bits; save it with 8 or 16 bits"
    if len(page.extras) > 1:
        return "holds more channels than colours and transparency; merge them"
    apart = space == "gray" and page.numbers(284)[0] == SEPARATE
    if page.extras and (apart or depths == {32}):  # libvips reads these wrongly
        return "holds transparency in an unusual way; save it as 8 or 16 bit RGB"
    return ""


def exif_block(page: Directory) -> bytes | None:
    """The tags that describe the photograph as an EXIF block; None if there are none.

    Those about pixels stay behind: what is written has pixels of its own.
    """
    kept = {t: v for t, v in page.tags.items() if t in DESCRIPTIVE}
    below = {}
    for pointer, block in page.below.items():
        tags = {t: v for t, v in block.tags.items() if t not in OF_PIXELS}
        if tags:
            below[pointer] = Directory(block.order, tags)
    if not kept and not below:
        return None
    head = (b"II*\0" if page.order == "<" else b"MM\0*") + struct.pack(
        page.order + "I", 8
    )
    return head + _packed(Directory(page.order, kept, below), 8)


def _packed(page: Directory, at: int) -> bytes:
    """A directory and what is below it, as it lies at an offset of a small TIFF."""
    table, values = b"", b""
    after = at + 2 + 12 * (len(page.tags) + len(page.below)) + 4
    for tag in sorted(page.tags.keys() | page.below.keys()):
        kind, count, value = page.tags.get(tag, (4, 1, b""))
        if tag in page.below:
            value = _packed(page.below[tag], after + len(values))
        if tag in page.below or len(value) > 4:
            place = struct.pack(page.order + "I", after + len(values))
            values += value + b"\0" * (len(value) % 2)
            value = place
        table += struct.pack(page.order + "HHI", tag, kind, count) + value.ljust(
            4, b"\0"
        )
    count = len(page.tags) + len(page.below)
    return struct.pack(page.order + "H", count) + table + bytes(4) + values


def tag_names(block: bytes | None) -> set[str]:
    """Names of the tags that `exif_block` keeps of an EXIF block."""
    names: set[str] = set()
    for page in read_exif(block)[:1]:
        names |= {
            TAGS.get(tag, f"tag {tag}") for tag in page.tags if tag in DESCRIPTIVE
        }
        for pointer, below in page.below.items():
            known = GPSTAGS if pointer == GPS else TAGS
            names |= {
                known.get(t, f"tag {t}") for t in below.tags if t not in OF_PIXELS
            }
    return names


def read_exif(block: bytes | None) -> list[Directory]:
    """The directories of an EXIF block, with or without the name in front."""
    return read_directories(io.BytesIO((block or b"").removeprefix(b"Exif\0\0")))


# The resource of Photoshop's in which a JPEG holds IPTC records.
RESOURCES, RESOURCE = b"Photoshop 3.0\0", b"8BIM\x04\x04\0\0"


def iptc_records(block: bytes | None) -> bytes | None:
    """IPTC records without what a JPEG wraps them in; None if there are none."""
    if not block or not block.startswith(RESOURCES):
        return block or None
    at = block.find(RESOURCE) + len(RESOURCE)
    if at < len(RESOURCE) or len(block) < at + 4:
        return None
    (length,) = struct.unpack_from(">I", block, at)
    return block[at + 4 : at + 4 + length] or None


def iptc_segment(records: bytes) -> bytes:
    """IPTC records as a JPEG holds them.

    Example:
        >>> iptc_records(iptc_segment(b"abc"))
        b'abc'
    """
    size = struct.pack(">I", len(records))
    return RESOURCES + RESOURCE + size + records + b"\0" * (len(records) % 2)
