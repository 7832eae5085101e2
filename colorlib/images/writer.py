"""Photographs to image files, with as much of their metadata as a format holds."""

import io
import logging
import os
import secrets
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips

from colorlib.files import atomic_rename
from colorlib.images import Metadata, Photograph, PhotographFile
from colorlib.images.decoding import PhotographError, reason_of
from colorlib.images.tiff_tags import IPTC, XMP, exif_block, iptc_segment, read_exif

# What is written, by suffix.
KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg"}
KINDS |= {".mpo": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff"}
KINDS |= {".webp": "webp", ".avif": "avif"}
SUFFIXES = {
    "jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp", "avif": ".avif",
}  # fmt: skip
DEEP = ("png", "tiff", "avif")  # these hold more than 8 bits
QUALITY = {"jpeg": 95, "webp": 90, "avif": 85}  # 1 to 100
WITHOUT_DPI = 72 / 25.4  # what libvips takes for "not said"
BIG_TIFF = 35 * 10**8  # bytes before they are compressed
ASCII, UNDEFINED = 2, 7  # types of a TIFF's tags
IMAGE_DESCRIPTION = 270
JPEG_SEGMENT = 65533  # bytes that one holds


def write_pages(
    pages: Iterable[Photograph],
    path: Path,
    quality: int | None = None,
    lossy: bool = False,
) -> set[str]:
    """Write photographs to a file: it is there whole or not at all.

    Args:
        pages: Several only for a TIFF; of others the first is written.
        path: Where; its suffix chooses one of `KINDS`.
        quality: As of `encode`.
        lossy: As of `encode`.

    Returns:
        What of the metadata could not be kept, by name.

    Raises:
        PhotographError: If the suffix is another one, or the file cannot be written.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        reason = f"found suffix {path.suffix!r}, expected one of {', '.join(KINDS)}"
        raise PhotographError(str(path), reason)
    try:
        with _new_file(path) as file:
            return encode(pages, file, kind, quality, lossy)
    except (OSError, pyvips.Error) as error:
        reason = f"cannot be written: {reason_of(error)}"
        raise PhotographError(str(path), reason) from error


def encode(
    pages: Iterable[Photograph],
    file: BinaryIO,
    kind: str,
    quality: int | None = None,
    lossy: bool = False,
) -> set[str]:
    """Write photographs into an open file.

    It has no colour profile: what has none is sRGB. Transparency and more than 8 bits
    are kept where the format can hold them, and metadata never costs the photograph.

    Args:
        pages: Several only for a TIFF; of others the first is written.
        file: On disk, empty, open for reading and writing.
        kind: One of `KINDS`.
        quality: 1 to 100, of what is lossy.
        lossy: Whether a WebP may lose detail, if no quality is given.

    Returns:
        What of the metadata could not be kept, by name.
    """
    if kind == "tiff":
        return _encode_tiff(pages, file)
    photograph = next(iter(pages))
    metadata = photograph.metadata or Metadata()
    if kind == "webp" and not lossy and quality is None:
        options: dict[str, Any] = {"lossless": True, "exact": True}
    elif kind == "png":
        options = {"filter": "all"}
    else:  # chroma is the point: all of it is kept
        options = {"Q": quality or QUALITY[kind]}
        whole = {"webp": ("smart_subsample", True)}.get(kind, ("subsample_mode", "off"))
        options |= dict([whole])
    if kind == "avif":
        depth = 12 if photograph.rgb.dtype == np.uint16 else 8
        options |= {"compression": "av1", "effort": 3, "bitdepth": depth}
    try:
        _save(photograph, metadata, file, kind, options)
    except pyvips.Error:
        if not metadata.names:
            raise
        _save(photograph, Metadata(), file, kind, options)
    return metadata.names - _names_in(file)


def _save(
    photograph: Photograph,
    metadata: Metadata,
    file: BinaryIO,
    kind: str,
    options: dict[str, Any],
) -> None:
    """Have libvips write one photograph over what is in a file."""
    image = _to_vips(photograph, kind)
    if metadata.dpi:
        across, down = metadata.dpi
        image = image.copy(xres=across / 25.4, yres=down / 25.4)
        image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    iptc = iptc_segment(metadata.iptc) if metadata.iptc else None
    for name, block in (("exif", metadata.exif), ("xmp", metadata.xmp), ("iptc", iptc)):
        if block:
            image.set_type(pyvips.GValue.blob_type, f"{name}-data", block)
    for number, (name, text) in enumerate(metadata.comments.items()):
        field = f"png-comment-{number}-{name}"
        image.set_type(pyvips.GValue.gstr_type, field, text)
    file.seek(0)
    file.truncate()
    if kind == "jpeg":
        content = image.jpegsave_buffer(**options)
        file.write(_with_comment(content, metadata.comments.get("Comment", "")))
        return
    target = pyvips.Target.new_to_descriptor(file.fileno())
    getattr(image, "heifsave_target" if kind == "avif" else f"{kind}save_target")(
        target, **options
    )


def _to_vips(photograph: Photograph, kind: str) -> pyvips.Image:
    """The pixels as libvips takes them, with what the format can hold of them."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(photograph.rgb))
    if photograph.alpha is not None and kind != "jpeg":
        alpha = np.ascontiguousarray(photograph.alpha)
        image = image.bandjoin(pyvips.Image.new_from_array(alpha))
    if image.format == "ushort" and kind not in DEEP:
        image = image.linear(1 / 257, 0.5, uchar=True)
    space = "rgb16" if image.format == "ushort" else "srgb"
    return image.copy(interpretation=space, xres=WITHOUT_DPI, yres=WITHOUT_DPI)


def _with_comment(content: bytes, comment: str) -> bytes:
    """Put a comment behind the first segment of a JPEG: libvips writes none."""
    text = comment.encode()
    if not 0 < len(text) <= JPEG_SEGMENT:
        return content
    (length,) = struct.unpack_from(">H", content, 4)
    segment = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
    return content[: 4 + length] + segment + content[4 + length :]


def _names_in(file: BinaryIO) -> set[str]:
    """Names of the metadata that are in a file that was just written."""
    file.seek(0)
    return PhotographFile(file).metadata().names


def _encode_tiff(pages: Iterable[Photograph], file: BinaryIO) -> set[str]:
    """Write pages of any sizes into a TIFF, each with its metadata.

    libvips writes each page, tifftools joins them and adds the tags: libvips can join
    pages of one size only, and writes no EXIF.
    """
    import tifftools  # only those who write a TIFF wait for it

    logging.getLogger("tifftools").setLevel(logging.ERROR)
    directories, before = [], []
    with ExitStack() as stack:
        for photograph in pages:
            page = stack.enter_context(tempfile.TemporaryFile())
            _save_tiff_page(photograph, page)
            directories += tifftools.read_tiff(page)["ifds"][:1]
            before.append(photograph.metadata or Metadata())
            del photograph  # the next one may be large, too
        plain = [{**one, "tags": dict(one["tags"])} for one in directories]
        try:
            for one, metadata in zip(directories, before, strict=True):
                one["tags"] |= _tags_of(metadata)
            tifftools.write_tiff(directories, file)
        except Exception:  # whatever a tag holds, it does not cost the photograph
            file.seek(0)
            file.truncate()
            tifftools.write_tiff(plain, file)
    file.flush()
    written = PhotographFile(file)
    after = [written.metadata(page).names for page in range(written.pages)]
    return set().union(*(b.names - a for b, a in zip(before, after, strict=True)))


def _save_tiff_page(photograph: Photograph, file: BinaryIO) -> None:
    """Write the pixels of one page."""
    image = _to_vips(photograph, "tiff")
    dpi = photograph.metadata.dpi if photograph.metadata else None
    if dpi:
        image = image.copy(xres=dpi[0] / 25.4, yres=dpi[1] / 25.4)
    big = photograph.rgb.nbytes > BIG_TIFF
    image.tiffsave_target(
        pyvips.Target.new_to_descriptor(file.fileno()),
        compression="deflate", predictor="horizontal", resunit="inch", bigtiff=big,
    )  # fmt: skip


def _tags_of(metadata: Metadata) -> dict[int, dict[str, Any]]:
    """Metadata as tags of a TIFF, as tifftools holds them."""
    import tifftools

    tags: dict[int, dict[str, Any]] = {}
    directories = read_exif(metadata.exif)
    block = exif_block(directories[0]) if directories else None
    if block:
        tags |= tifftools.read_tiff(io.BytesIO(block))["ifds"][0]["tags"]
    for tag, value in ((XMP, metadata.xmp), (IPTC, metadata.iptc)):
        if value:
            tags[tag] = {"datatype": UNDEFINED, "data": value}
    for text in metadata.comments.values():
        title = {"datatype": ASCII, "data": text.encode()}
        tags.setdefault(IMAGE_DESCRIPTION, title)
    return tags


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole; killed, it leaves nothing behind.

    Unlike one of `tempfile`, it is as readable as the user's umask has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{secrets.token_hex(8)}.half")
    try:  # a file without a name, where the system has such
        handle = os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o666)
        nameless = True
    except (AttributeError, OSError):
        handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        nameless = False
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if nameless:
                made = f"/proc/self/fd/{file.fileno()}"
                os.link(made, hidden, src_dir_fd=handle, follow_symlinks=True)
        atomic_rename(hidden, path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
