"""Image files to arrays and back: the one place that knows file formats.

Whatever a file holds, what comes out is upright and in sRGB, so that the rest of the
package never asks where a photograph came from. libvips decodes, turns, converts and
encodes. Pillow decodes what the wheel of libvips has no loader for, and small JPEGs,
of which it gives the same bytes in half the time.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from colorlib.images.decoding import (
    MAGIC,
    check_size,
    decode_by_pillow,
    kind_of,
    reason_of,
    to_srgb,
)
from colorlib.images.decoding import (
    PhotographError as PhotographError,
)
from colorlib.images.tiff_tags import (
    IPTC,
    XMP,
    Directory,
    exif_block,
    iptc_records,
    read_directories,
    tag_names,
    why_not,
)

PHOTOGRAPH_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif"}
    | {".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".mpo", ".pbm", ".pgm", ".png", ".pnm"}
    | {".ppm", ".tga", ".tif", ".tiff", ".webp"}
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"}
)
SIDE_FOLDERS = frozenset({"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN"})
MAX_PIXELS = 2 * 10**8  # A4 scanned at 1200 dpi has 139 million
SMALL_JPEG = 2**17  # bytes, see `_small_jpeg`
SHRINKS = (1, 2, 4, 8)
NO_DPI = (25.4, 72.0)  # what libvips says of a file that says nothing

pyvips.block_untrusted_set(True)

Source = Path | str | bytes | BinaryIO
Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Metadata:
    """What a file says beside its pixels; None and empty for what it does not say.

    Attributes:
        exif: An EXIF block.
        xmp: An XMP packet.
        iptc: IPTC records.
        dpi: Pixels per inch, across and down.
        comments: Name -> text, as PNG has it; that of a JPEG or a GIF is `Comment`.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    comments: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """What there is, tag by tag."""
        there = {"XMP": self.xmp, "IPTC": self.iptc, "dpi": self.dpi}
        names = {name for name, value in there.items() if value}
        return names | tag_names(self.exif) | self.comments.keys()


@dataclass(frozen=True)
class Photograph:
    """A decoded photograph.

    Attributes:
        rgb: (H, W, 3) uint8 or uint16, sRGB, upright.
        alpha: (H, W) of the same type, its highest value is opaque; None if the file
            has no transparency.
        metadata: What else the file holds; None for nothing.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    metadata: Metadata | None = None


def is_photograph(path: PurePath) -> bool:
    """Whether a file, by its name, is a visible photograph.

    Hidden are names that start with a dot (`._x.jpg`, `.thumbnails/x.jpg`), and the
    folders that cameras and servers keep beside the photographs.

    Args:
        path: Of the file, below the folder that was searched: where that folder itself
            lies says nothing.

    Example:
        >>> [is_photograph(Path(p)) for p in ("a/x.JPG", "a/._x.jpg", "@eaDir/x.jpg")]
        [True, False, False]
    """
    hidden = any(part.startswith(".") or part in SIDE_FOLDERS for part in path.parts)
    return not hidden and path.suffix.lower() in PHOTOGRAPH_SUFFIXES


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
    with suppress(Exception):  # then the other decoder names what is wrong
        small = _small_jpeg(source, at_least)
        if small is not None:
            return np.ascontiguousarray(small)
    rgb = PhotographFile(source).read(at_least=at_least).rgb
    return np.ascontiguousarray(rgb, np.uint8)


def read_photograph(
    source: Source, name: str | None = None, at_least: int | None = None
) -> Photograph:
    """Decode the first picture of an image file: upright, sRGB, 8 bits.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.
        name: What to call it in an error; the path by default.
        at_least: As of `load_rgb`.

    Raises:
        PhotographError: If it is not there, is not an image, is damaged, is too large,
            or stores its pixels in a way whose meaning would have to be guessed.

    Example:
        >>> read_photograph(b"P5 2 1 255 " + bytes([7, 9])).rgb[0, :, 0].tolist()
        [7, 9]
    """
    return PhotographFile(source, name).read(at_least=at_least)


class PhotographFile:
    """A file of one photograph, or of several pages.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.
        name: What to call it in an error; the path by default.
        max_pixels: A picture of more is refused before it is decoded.

    Attributes:
        kind: What its content says that it is, such as `jpeg`.
        pages: How many pictures it holds.
        lossy: Whether its format has lost detail already.

    Raises:
        PhotographError: If it is not there, or is no image that can be read.
    """

    def __init__(
        self, source: Source, name: str | None = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        named = isinstance(source, str | Path)
        self.name = name or str(source if named else getattr(source, "name", "image"))
        self._source: Path | bytes | BinaryIO
        if isinstance(source, str | Path):
            home = str(source).startswith("~/")
            self._source = Path(source).expanduser() if home else Path(source)
        elif isinstance(source, bytes) or _is_on_disk(source):
            self._source = source
        else:
            self._source = source.read()  # such as a member of an archive
        self._max_pixels = max_pixels
        self._directories: list[tuple[int, Directory]] = []
        with self._named_errors(), self._open() as file:
            head = file.read(2**16)
            self.kind = kind_of(head)
            self.lossy = self.kind in ("jpeg", "heif")
            self.lossy |= self.kind == "webp" and b"VP8L" not in head
            self.pages = self._count_pages(file)

    def read(
        self, page: int = 0, *, deep: bool = False, at_least: int | None = None
    ) -> Photograph:
        """Decode a page.

        Args:
            page: Which; frames of an animation count as pages.
            deep: Whether to keep more than 8 bits, as 16.
            at_least: As of `load_rgb`.
        """
        with self._named_errors(), self._open() as file:
            image = self._image(file, page, at_least)
            metadata = Metadata()
            with suppress(Exception):  # it never costs the photograph
                metadata = self._metadata(image, file, page)
            extras = self._directories[page][1].extras if self._directories else None
            values = to_srgb(image, extras, deep).numpy()  # (H, W, 3 or 4)
        alpha = values[..., 3] if values.shape[2] == 4 else None
        return Photograph(values[..., :3], alpha, metadata)

    def metadata(self, page: int = 0) -> Metadata:
        """What the file says of a page beside its pixels, which are not decoded."""
        with self._named_errors(), self._open() as file:
            return self._metadata(self._load(file, **self._page(page)), file, page)

    def _page(self, page: int) -> dict[str, Any]:
        """How libvips is told which page to open."""
        if self._directories:
            return {"page": self._directories[page][0]}
        return {"page": page} if page else {}

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Have every error name this file, in one line."""
        try:
            yield
        except PhotographError as error:
            raise PhotographError(self.name, error.reason) from error
        except MemoryError as error:
            reason = "needs more memory than is free; free some, or make it smaller"
            raise PhotographError(self.name, reason) from error
        except Exception as error:  # a damaged file makes a decoder raise anything
            reason = f"cannot be decoded: {reason_of(error)}"
            if isinstance(error, OSError) and error.strerror:
                reason = f"cannot be read: {error.strerror}"
            raise PhotographError(self.name, reason) from error

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        """Open the file, from its start."""
        source = self._source
        if isinstance(source, bytes):
            yield io.BytesIO(source)
        elif not isinstance(source, Path):
            source.seek(0)
            yield source
        elif source.is_file():  # a pipe would wait for ever
            with source.open("rb") as file:
                yield file
        else:
            found = "what is no file" if source.exists() else "nothing"
            reason = f"found {found}, expected a photograph; check the path"
            raise PhotographError("", reason)

    def _count_pages(self, file: BinaryIO) -> int:
        """Count the pictures, and refuse a TIFF without any."""
        if self.kind == "tiff":
            pages = list(enumerate(read_directories(file)))
            self._directories = [(n, page) for n, page in pages if page.is_picture]
            if not self._directories:
                reason = why_not(pages[0][1]) if pages else ""
                raise PhotographError("", reason or "holds no picture")
            return len(self._directories)
        if "." in self.kind:
            return 1
        image = self._load(file)
        return int(image.get("n-pages")) if image.get_typeof("n-pages") else 1

    def _image(self, file: BinaryIO, page: int, at_least: int | None) -> pyvips.Image:
        """Open a page, upright, its values still as they lie in the file."""
        if "." in self.kind:
            return decode_by_pillow(file, self.kind, self._max_pixels)
        if self._directories:
            refused = why_not(self._directories[page][1], first=page == 0)
            if refused:
                raise PhotographError("", refused)
        options = self._page(page)
        image = self._load(file, **options)
        check_size(image.width, image.height, self._max_pixels)
        turned = image.get_typeof("orientation") and image.get("orientation") > 1
        if turned or image.format == "float":  # not read from top to bottom
            options["access"] = "random"
        if self.kind == "jpeg" and at_least:
            shorter = min(image.width, image.height)
            fits = [shrink for shrink in SHRINKS if shrink * at_least <= shorter]
            options["shrink"] = max(fits, default=1)
        if options:
            image = self._load(file, **options)
        return image.autorot()

    def _load(self, file: BinaryIO, **options: Any) -> pyvips.Image:
        """Have libvips open the file; only the header is read."""
        if isinstance(self._source, bytes):
            source = pyvips.Source.new_from_memory(self._source)
        else:
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            source = pyvips.Source.new_from_descriptor(file.fileno())
        load = getattr(pyvips.Image, f"{self.kind}load_source")
        return load(source, **{"access": "sequential", "fail_on": "error"} | options)

    def _metadata(self, image: pyvips.Image, file: BinaryIO, page: int = 0) -> Metadata:
        """What the file says beside its pixels; what is broken is not there."""

        def get(name: str) -> Any:
            return image.get(name) if image.get_typeof(name) else None

        exif, xmp, iptc = (get(f"{name}-data") for name in ("exif", "xmp", "iptc"))
        if self._directories:
            tags = self._directories[page][1]
            exif = exif_block(tags)
            xmp, iptc = (tags.tags.get(tag, (0, 0, None))[2] for tag in (XMP, IPTC))
        across, down = image.xres * 25.4, image.yres * 25.4
        dpi = None if round(across, 1) in NO_DPI else (across, down)
        comments = {
            name.split("-", 3)[3]: str(get(name))
            for name in image.get_fields()
            if name.startswith("png-comment-")
        }
        if self.kind in ("jpeg", "gif"):
            comments = _pillow_comment(file)
        return Metadata(exif, xmp, iptc_records(iptc), dpi, comments)


def _is_on_disk(file: BinaryIO) -> bool:
    """Whether an open file is one that libvips can read by itself."""
    try:
        return file.fileno() >= 0
    except (AttributeError, OSError):
        return False


def _small_jpeg(source: Path | bytes, at_least: int | None) -> NDArray[np.uint8] | None:
    """Decode an ordinary small JPEG by Pillow; None if it is none.

    Both decoders are libjpeg-turbo and give the same bytes, but libvips wakes its
    threads for each image: at 84x84 that takes twice as long as the decoding.
    """
    if isinstance(source, Path) and not 0 < source.stat().st_size <= SMALL_JPEG:
        return None
    content = source if isinstance(source, bytes) else source.read_bytes()
    if len(content) > SMALL_JPEG or not re.match(MAGIC["jpeg"], content):
        return None
    with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as file:
        warnings.simplefilter("ignore")
        odd = file.mode not in ("L", "RGB") or "icc_profile" in file.info
        if odd or b"Exif\0\0" in content:
            return None
        width, height = file.size
        if at_least:
            file.draft(None, (at_least, at_least))
        shrink = round(width / file.width) if at_least else 1
        rgb = np.array(file.convert("RGB"))
        return rgb[: height // shrink, : width // shrink]  # libvips keeps whole pixels


def _pillow_comment(file: BinaryIO) -> dict[str, str]:
    """The comment of a JPEG or a GIF, of which libvips says nothing."""
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.seek(0)
        comment: bytes = Image.open(file).info.get("comment", b"")
        return {"Comment": comment.decode("utf-8", "replace")} if comment else {}
    return {}


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
