"""Image files to arrays and back: the one place that knows file formats.

Whatever a file holds, what comes out is upright and in sRGB, so that the rest of the
package never asks where a photograph came from. libvips decodes, turns, converts and
encodes. Pillow decodes what the wheel of libvips has no loader for.
"""

import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from colorlib.errors import PhotographError as PhotographError
from colorlib.images.decoding import (
    TiffPage,
    check_size,
    decode_by_pillow,
    kind_of,
    opened_by_pillow,
    reason_of,
    tiff_pages,
    to_srgb,
    why_not,
)

PHOTOGRAPH_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif"}
    | {".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".mpo", ".pbm", ".pgm", ".png", ".pnm"}
    | {".ppm", ".tga", ".tif", ".tiff", ".webp"}
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"}
)
SIDE_FOLDERS = frozenset({"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN"})
MARK = ".coloured"  # at the end of a result's stem
MAX_PIXELS = 2 * 10**8  # A4 scanned at 1200 dpi has 139 million
SHRINKS = (8, 4, 2, 1)  # of a JPEG, while it is decoded
NO_DPI = (25.4, 72.0)  # what libvips says of a file that says nothing
BLOCKS = {"EXIF": "exif-data", "XMP": "xmp-data", "IPTC": "iptc-data"}
TURNED_XMP = rb"(tiff:Orientation\s*(?:=\s*[\"']|>))[2-8]"
# Tags of a TIFF, which EXIF is, too; the last two point to further ones.
ORIENTATION, EXIF, GPS = 274, 34665, 34853
# Those that describe a photograph: title, camera, program, date, artist, computer,
# rights, and what Windows adds. The others of a page are about its pixels.
DESCRIPTIVE = {*range(269, 273), 285, 305, 306, 315, 316, 18246, 18249, 33432}
DESCRIPTIVE |= {*range(40091, 40096), EXIF, GPS}
OF_PIXELS = (36864, 37121, 40960, 40961, 40962, 40963, 40965)  # the same, in EXIF

pyvips.block_untrusted_set(True)

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
# What a file says beside its pixels, by name: `EXIF`, `XMP`, `IPTC` (blocks of bytes),
# `dpi` (across and down), and texts: those of a PNG, or `Comment`.
Metadata = dict[str, Any]


@dataclass(frozen=True)
class Photograph:
    """A decoded photograph.

    Attributes:
        rgb: (H, W, 3) uint8 or uint16, sRGB, upright.
        alpha: (H, W) of the same type, its highest value is opaque; None if the file
            has no transparency.
        metadata: What else the file says, see `Metadata`; None for nothing.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    metadata: Metadata | None = None


def left_out_as(path: PurePath) -> str:
    """What kind of file is passed over in a folder; empty for a photograph.

    Hidden are names that start with a dot (`._x.jpg`, `.thumbnails/x.jpg`), and the
    folders that cameras and servers keep beside the photographs. What `MARK` ends is
    the result of an earlier run: no input of another one, nor of a data set.

    Args:
        path: Of the file, below the folder that was searched: where that folder itself
            lies says nothing.

    Example:
        >>> [left_out_as(Path(name)) for name in ("a/x.JPG", "@eaDir/x.jpg", "a.TXT")]
        ['', 'hidden images', '.txt files']
    """
    suffix = path.suffix.lower()
    if suffix not in PHOTOGRAPH_SUFFIXES:
        return f"{suffix} files" if suffix else "files without suffix"
    if path.stem.endswith(MARK):
        return "results of an earlier run"
    hidden = any(part.startswith(".") or part in SIDE_FOLDERS for part in path.parts)
    return "hidden images" if hidden else ""


def load_rgb(source: Path | bytes, at_least: int | None = None) -> NDArray[np.uint8]:
    """Decode an image file to what a data set needs: upright, sRGB, 8 bits.

    Transparency is laid on no background: the colours below it are those of the file.
    Of several pages or frames the first is read. The same bytes give the same array,
    on one thread or on many.

    Args:
        source: A path, or the bytes of a file.
        at_least: If given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as
            long as its shorter side keeps at least this many pixels. Much faster.

    Returns:
        (H, W, 3) uint8.

    Raises:
        PhotographError: If it cannot be read, in one line that says why.

    Example:
        >>> load_rgb(b"P6 2 1 255 " + bytes(range(6))).tolist()
        [[[0, 1, 2], [3, 4, 5]]]
    """
    rgb = PhotographFile(source).read(at_least=at_least).rgb
    return np.ascontiguousarray(rgb, np.uint8)


class PhotographFile:
    """A file of one photograph, or of several pages.

    Args:
        source: A path, or the bytes of a file.
        name: What to call it in an error; the path by default.
        max_pixels: A picture of more is refused before it is decoded.

    Attributes:
        kind: What its content says that it is, such as `jpeg`.
        pages: How many pictures it holds.
        lossy: Whether its format has lost detail already.

    Raises:
        PhotographError: If it is not there, or is no image that can be read.

    Example:
        >>> PhotographFile(b"P5 2 1 255 " + bytes([7, 9])).read().rgb[0, :, 0].tolist()
        [7, 9]
    """

    def __init__(
        self,
        source: Path | str | bytes,
        name: str = "image",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if isinstance(source, str):
            source = Path(os.path.expanduser(source))
        self.name = name if isinstance(source, bytes) else str(source)
        self._source = source
        self._max_pixels = max_pixels
        self._tiff: list[TiffPage] = []
        with self._opened() as file:
            head = file.read(2**16)
            self.kind = kind_of(head)
            self.lossy = self.kind in ("jpeg", "heif")
            self.lossy |= self.kind == "webp" and b"VP8L" not in head
            self.pages = self._count_pages(file)

    def read(
        self, page: int = 0, *, deep: bool = False, at_least: int | None = None
    ) -> Photograph:
        """Decode a page: upright, sRGB, 8 bits.

        Args:
            page: Which; frames of an animation count as pages.
            deep: Whether to keep more than 8 bits, as 16.
            at_least: As of `load_rgb`.

        Raises:
            PhotographError: If it is damaged, is too large, or stores its pixels in a
                way whose meaning would have to be guessed.
        """
        with self._opened() as file:
            image = self._image(file, page, at_least)
            metadata = self._metadata(image, file, page)
            has_alpha = not self._tiff or self._tiff[page].has_alpha
            values = to_srgb(image, has_alpha, deep).numpy()  # (H, W, 3 or 4)
        alpha = values[..., 3] if values.shape[2] == 4 else None
        return Photograph(values[..., :3], alpha, metadata)

    def metadata(self, page: int = 0) -> Metadata:
        """What the file says of a page beside its pixels, which are not decoded."""
        with self._opened() as file:
            return self._metadata(self._load(file, page), file, page)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The file from its start; every error names it, in one line."""
        source = self._source
        try:
            if isinstance(source, bytes):
                yield io.BytesIO(source)
            elif source.is_file():  # a pipe would wait for ever
                with source.open("rb") as file:
                    yield file
            else:
                found = "what is no file" if source.exists() else "nothing"
                reason = f"found {found}, expected a photograph; check the path"
                raise PhotographError("", reason)
        except PhotographError as error:
            raise PhotographError(self.name, error.reason) from error
        except MemoryError as error:
            reason = "needs more memory than is free; free some, or make it smaller"
            raise PhotographError(self.name, reason) from error
        except Exception as error:  # a damaged file makes a decoder raise anything
            verb = "read" if getattr(error, "strerror", "") else "decoded"
            reason = f"cannot be {verb}: {reason_of(error)}"
            raise PhotographError(self.name, reason) from error

    def _count_pages(self, file: BinaryIO) -> int:
        """Count the pictures, and refuse a TIFF without any."""
        if self.kind == "tiff":
            pages = list(tiff_pages(file))
            self._tiff = [page for page in pages if page.is_picture]
            if not self._tiff:
                reason = why_not(pages[0], first=True) if pages else ""
                raise PhotographError("", reason or "holds no picture")
            return len(self._tiff)
        if "." in self.kind:  # by Pillow
            return 1
        image = self._load(file)
        return int(image.get("n-pages")) if image.get_typeof("n-pages") else 1

    def _image(self, file: BinaryIO, page: int, at_least: int | None) -> pyvips.Image:
        """Open a page, upright, its values still as they lie in the file."""
        if "." in self.kind:
            return decode_by_pillow(file, self.kind, self._max_pixels)
        if self._tiff:
            refused = why_not(self._tiff[page], first=page == 0)
            if refused:
                raise PhotographError("", refused)
        image = self._load(file, page)
        check_size(image.width, image.height, self._max_pixels)
        options: dict[str, Any] = {}
        if image.get_typeof("orientation") and image.get("orientation") > 1:
            options["access"] = "random"  # not read from top to bottom
        if self.kind == "jpeg" and at_least:
            shorter = min(image.width, image.height)
            fits = (shrink for shrink in SHRINKS if shrink * at_least <= shorter)
            options["shrink"] = next(fits, 1)
        return (self._load(file, page, **options) if options else image).autorot()

    def _load(self, file: BinaryIO, page: int = 0, **options: Any) -> pyvips.Image:
        """Have libvips open a page; only the header is read."""
        if isinstance(self._source, bytes):
            source = pyvips.Source.new_from_memory(self._source)
        else:
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            source = pyvips.Source.new_from_descriptor(file.fileno())
        if self._tiff:
            page = self._tiff[page].number
        if page:
            options["page"] = page
        load = getattr(pyvips.Image, f"{self.kind}load_source")
        return load(source, **{"access": "sequential", "fail_on": "error"} | options)

    def _metadata(self, image: pyvips.Image, file: BinaryIO, page: int) -> Metadata:
        """What the file says beside its pixels; of what is broken, the name alone."""
        fields = image.get_fields()
        texts = (field for field in fields if field.startswith("png-comment-"))
        named = {field.split("-", 3)[3]: field for field in texts}
        named = {k: v for k, v in named.items() if k not in (*BLOCKS, "dpi")}
        named |= {name: field for name, field in BLOCKS.items() if field in fields}
        said: Metadata = dict.fromkeys(named)
        for name, field in named.items():
            with suppress(Exception):
                said[name] = image.get(field)
        across, down = image.xres * 25.4, image.yres * 25.4
        if round(across, 1) not in NO_DPI:
            said["dpi"] = (across, down)
        if self.kind in ("jpeg", "gif"):
            said |= _comment(file, self.kind)
        if said.get("EXIF"):
            said["EXIF"] = _upright(said["EXIF"])
        if said.get("XMP"):
            said["XMP"] = re.sub(TURNED_XMP, rb"\g<1>1", said["XMP"])
        if self._tiff and DESCRIPTIVE & self._tiff[page].tags.keys():
            said["EXIF"] = _exif_of_tiff(file, self._tiff[page])
        return said


def _comment(file: BinaryIO, kind: str) -> Metadata:
    """The comment of a JPEG or a GIF, of which libvips says nothing."""
    with suppress(Exception):
        file.seek(0)
        comment = opened_by_pillow(file, kind).info["comment"]
        return {"Comment": comment.decode("utf-8", "replace")}
    return {}


def _upright(block: bytes) -> bytes:
    """An EXIF block of a picture that was turned; empty if it cannot be read.

    Its second directory is a small copy of the picture, gray and not turned: without.
    """
    content = bytearray(block.removeprefix(b"Exif\0\0"))
    order = "<" if content[:1] == b"I" else ">"
    with suppress(struct.error):
        (at,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            if struct.unpack_from(order + "H", content, entry)[0] == ORIENTATION:
                struct.pack_into(order + "H", content, entry + 8, 1)
        struct.pack_into(order + "I", content, at + 2 + 12 * count, 0)
        return bytes(content)
    return b""


def _exif_of_tiff(file: BinaryIO, page: TiffPage) -> bytes:
    """What describes the photograph, as an EXIF block; empty if it cannot be read."""
    exif = Image.Exif()
    exif.endian, exif.bigtiff = page.order, page.big
    with suppress(Exception):
        exif.load_from_fp(file, page.offset)
        return only_descriptive(exif)
    return b""


def only_descriptive(exif: Image.Exif) -> bytes:
    """An EXIF block without what is about pixels: a new file has pixels of its own."""
    for tag in {*exif}:
        if tag not in DESCRIPTIVE:
            del exif[tag]
        elif isinstance(exif[tag], str):  # byte by byte, whatever the encoding
            exif[tag] = exif[tag].encode("latin-1")
    exif.bigtiff = False
    for tag in OF_PIXELS if EXIF in exif else ():
        exif.get_ifd(EXIF).pop(tag, None)
    return exif.tobytes()


def resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize an image, antialiased (Lanczos).

    Args:
        pixels: (H, W, 3) or (H, W) uint8.
        height: Rows of the result.
        width: Columns of the result.

    Example:
        >>> resized(np.zeros((50, 80), np.uint8), 5, 8).shape
        (5, 8)
    """
    size, method = (width, height), Image.Resampling.LANCZOS
    return np.array(Image.fromarray(pixels).resize(size, method, reducing_gap=2))


def fit_square(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Cut the central square out of an image and resize it, antialiased.

    Args:
        rgb: (H, W, 3) or (H, W) uint8.
        size: Side of the result, pixels.

    Returns:
        (size, size, 3) or (size, size) uint8, by bicubic interpolation.

    Example:
        >>> fit_square(np.zeros((50, 80, 3), np.uint8), 16).shape
        (16, 16, 3)
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    box = (left, top, left + side, top + side)
    image = Image.fromarray(rgb)
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box))
