"""Photographs to image files, with as much of their metadata as a format holds."""

import io
import logging
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips
from PIL import Image

from colorlib.errors import PhotographError
from colorlib.files import atomic_file
from colorlib.images import (
    BLOCKS,
    DESCRIPTIVE,
    EXIF,
    GPS,
    OF_PIXELS,
    Metadata,
    Photograph,
    PhotographFile,
    only_descriptive,
)
from colorlib.images.decoding import reason_of

# What is written, by suffix.
KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg"}
KINDS |= {".mpo": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff"}
KINDS |= {".webp": "webp", ".avif": "avif"}
SUFFIXES = {
    "jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp", "avif": ".avif",
}  # fmt: skip
DEEP = ("png", "tiff", "avif")  # these hold more than 8 bits
# Chroma is the point of a coloured photograph: all of it is kept.
LOSSY: dict[str, dict[str, Any]] = {
    "jpeg": {"Q": 95, "subsample_mode": "off"},
    "webp": {"Q": 90, "smart_subsample": True},
    "avif": {"Q": 85, "subsample_mode": "off", "compression": "av1", "effort": 3},
}
WITHOUT_DPI = 72 / 25.4  # what libvips takes for "not said"
BIG_TIFF = 35 * 10**8  # bytes before they are compressed
KEEP_ALL, KEEP_NO_EXIF = 63, 62  # of libvips, which else makes EXIF of its own
RECORD = b"\x1c"  # IPTC begins so, but in a JPEG
IPTC, UNDEFINED = 33723, 7  # a TIFF's tag, and a type of tags


def write_pages(
    pages: Iterable[Photograph],
    path: Path,
    quality: int | None = None,
    lossy: bool = False,
) -> set[str]:
    """Write photographs to a file: it is there whole or not at all.

    It has no colour profile: what has none is sRGB. Transparency and more than 8 bits
    are kept where the format can hold them, and metadata never costs the photograph.

    Args:
        pages: Several only for a TIFF; of others the first is written.
        path: Where; its suffix chooses one of `KINDS`.
        quality: 1 to 100, of what is lossy.
        lossy: Whether a WebP may lose detail, if no quality is given.

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
        with atomic_file(path) as file:
            if kind == "tiff":
                before = _write_tiff(pages, file)
            else:
                photograph = next(iter(pages))
                before = [photograph.metadata or {}]
                _save(photograph, file, kind, _options(kind, quality, lossy))
    except (OSError, pyvips.Error) as error:
        reason = f"cannot be written: {reason_of(error)}"
        raise PhotographError(str(path), reason) from error
    after = PhotographFile(path)
    lost: set[str] = set()
    for page, said in enumerate(before):
        kept = after.metadata(page)
        lost |= {name for name in said if not kept.get(name)}
        if _exif_tags(said) - _exif_tags(kept):
            lost.add("EXIF")
    return lost


def _exif_tags(said: Metadata) -> set[int]:
    """The tags of an EXIF block that describe the photograph."""
    exif, tags = Image.Exif(), set[int]()
    with suppress(Exception):
        exif.load(said.get("EXIF") or b"")
        tags |= {*exif} & DESCRIPTIVE
        tags |= exif.get_ifd(EXIF).keys() | exif.get_ifd(GPS).keys()
    return tags - {*OF_PIXELS}


def _options(kind: str, quality: int | None, lossy: bool) -> dict[str, Any]:
    """The options of libvips for a format."""
    if kind == "tiff":
        return {"compression": "deflate", "predictor": "horizontal", "resunit": "inch"}
    if kind == "png":
        return {"filter": "all"}
    if kind == "webp" and not lossy and quality is None:
        return {"lossless": True, "exact": True}
    return LOSSY[kind] | ({"Q": quality} if quality else {})


def _save(
    photograph: Photograph, file: BinaryIO, kind: str, options: dict[str, Any]
) -> None:
    """Have libvips write a photograph; without its metadata, if they stand against."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(photograph.rgb))
    if photograph.alpha is not None and kind != "jpeg":
        alpha = np.ascontiguousarray(photograph.alpha)
        image = image.bandjoin(pyvips.Image.new_from_array(alpha))
    if image.format == "ushort" and kind not in DEEP:
        image = image.linear(1 / 257, 0.5, uchar=True)
    space = "rgb16" if image.format == "ushort" else "srgb"
    image = image.copy(interpretation=space, xres=WITHOUT_DPI, yres=WITHOUT_DPI)
    if kind == "avif" and space == "rgb16":
        options = options | {"bitdepth": 12}
    save = f"{'heif' if kind == 'avif' else kind}save_target"
    said, versions = photograph.metadata or {}, [image]
    with suppress(Exception):  # whatever is said, the photograph is written
        versions.insert(0, _with_metadata(image, said, kind))
    for noted in versions:
        file.seek(0)
        file.truncate()
        target = pyvips.Target.new_to_descriptor(file.fileno())
        keep = KEEP_ALL if noted is not image and "EXIF" in said else KEEP_NO_EXIF
        try:
            getattr(noted, save)(target, keep=keep, **options)
        except pyvips.Error:
            if noted is image:
                raise
        else:
            return


def _with_metadata(image: pyvips.Image, said: Metadata, kind: str) -> pyvips.Image:
    """An image with what is said beside its pixels, as libvips writes it."""
    image = image.copy()
    for number, (name, value) in enumerate(said.items()):
        if name == "dpi":
            image = image.copy(xres=value[0] / 25.4, yres=value[1] / 25.4)
            image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
        elif not value or (name not in BLOCKS and not value.isascii()):
            continue  # it could not be read, or libvips would say it is of Latin 1
        elif name not in BLOCKS:
            field = f"png-comment-{number}-{name}"
            image.set_type(pyvips.GValue.gstr_type, field, value)
        # Of a TIFF, libvips writes no EXIF, and IPTC with a wrong length: `_tags_of`.
        elif name == "XMP" or (kind != "tiff" and (name == "EXIF" or kind == "jpeg")):
            image.set_type(pyvips.GValue.blob_type, BLOCKS[name], value)
    return image


def _write_tiff(pages: Iterable[Photograph], file: BinaryIO) -> Sequence[Metadata]:
    """Write pages of any sizes into a TIFF, each with its metadata, which is returned.

    libvips writes each page, tifftools joins them and adds the tags: libvips can join
    pages of one size only, and writes no EXIF.
    """
    import tifftools  # only those who write a TIFF wait for it

    logging.getLogger("tifftools").setLevel(logging.ERROR)
    directories, said = [], []
    with ExitStack() as stack:
        for photograph in pages:
            page = stack.enter_context(tempfile.TemporaryFile())
            options = _options("tiff", None, False)
            big = photograph.rgb.nbytes > BIG_TIFF
            _save(photograph, page, "tiff", options | {"bigtiff": big})
            directory = tifftools.read_tiff(page)["ifds"][0]
            said.append(photograph.metadata or {})
            with suppress(Exception):  # whatever a tag holds, the photograph is kept
                directory["tags"] |= _tags_of(said[-1])
            directories.append(directory)
            del photograph  # the next one may be large, too
        tifftools.write_tiff(directories, file)
    return said


def _tags_of(said: Metadata) -> dict[int, dict[str, Any]]:
    """EXIF and IPTC as tags of a TIFF, as tifftools holds them."""
    import tifftools

    tags: dict[int, dict[str, Any]] = {}
    iptc = said.get("IPTC")
    if iptc and iptc.startswith(RECORD):
        tags[IPTC] = {"datatype": UNDEFINED, "data": iptc}
    if said.get("EXIF"):
        exif = Image.Exif()
        exif.load(said["EXIF"])
        block = io.BytesIO(only_descriptive(exif).removeprefix(b"Exif\0\0"))
        tags |= tifftools.read_tiff(block)["ifds"][0]["tags"]
    return tags
