"""What the bytes of an image file mean: its format, the pages of a TIFF, its colours.

References:
    TIFF 6.0 (1992); BigTIFF (2007); DNG 1.4.
"""

import importlib
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyvips
from PIL.Image import Image
from PIL.ImageFile import ImageFile

from colorlib.errors import PhotographError

RAW = "a camera's raw file"
HEIC, HEIF = "a HEIC file", "heif"
# What the first bytes say that a file is: a loader of libvips, a class of Pillow, or
# else the name of what is refused.
MAGIC = {
    "jpeg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "gif": rb"GIF8[79]a",
    "webp": rb"RIFF....WEBP",
    RAW: rb"II\*\0....CR|IIR[OS]|IIU\0|MMOR|FUJIFILM|FOVb|....ftypcrx",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    HEIC: rb"....ftyphe[imv][cmsx]",  # its codec has patents: the wheel has none
    HEIF: rb"....ftyp(?:avi[fs]|mi[fa]1|msf1)",
    "BmpImagePlugin.BmpImageFile": rb"BM",
    "PpmImagePlugin.PpmImageFile": rb"P[1-6]\s",
    "Jpeg2KImagePlugin.Jpeg2KImageFile": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "a PDF": rb"%PDF",
    "a PostScript file": rb"%!PS|\xc5\xd0\xd3\xc6",
    "an SVG drawing": rb"\s*<(?:\?xml|!DOCTYPE svg|svg)",
    "a Photoshop document": rb"8BPS",
    "a JPEG XL file": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "TgaImagePlugin.TgaImageFile": (
        rb".(?:\x01[\x01\x09]|\0[\x02\x03\x0a\x0b]).{13}[\x08\x10\x18\x20][\0-?]"
    ),
}
PILLOW = {"jpeg": "JpegImagePlugin.JpegImageFile", "gif": "GifImagePlugin.GifImageFile"}
COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "cmyk": 4}
PROFILES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}

# Tags of a TIFF.
SUBFILE, BITS, COMPRESSION, PHOTOMETRIC, PLANES = 254, 258, 259, 262, 284
SUB_PICTURES, INKS, EXTRAS, SAMPLE_FORMAT, DNG_VERSION = 330, 332, 338, 339, 50706
NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # types of whole numbers
MAX_PAGES, MAX_TAGS, MAX_NUMBERS = 10_000, 1_000, 16
BROKEN = (struct.error, OverflowError, OSError, ValueError)
REDUCED, MASK = 1, 4  # kinds of SUBFILE
CAMERA_RAW = (32803, 34892)  # kinds of PHOTOMETRIC
GRAYS, CMYK, YCBCR = (0, 1), 5, 6
READABLE = (*GRAYS, 2, 3, CMYK)  # and RGB, palette
JPEG = 7  # a kind of COMPRESSION
SEPARATE = 2  # a kind of PLANES
ALPHAS = {1, 2}  # kinds of EXTRAS: premultiplied or not


def kind_of(head: bytes) -> str:
    """What the first bytes of a file say that it is.

    Raises:
        PhotographError: If that cannot be read.
    """
    kind = next((k for k, magic in MAGIC.items() if re.match(magic, head, re.S)), "")
    if kind == HEIF and b"hvc1" in head:
        kind = HEIC
    if " " in kind:
        reason = f"is {kind}, expected a photograph; export it as JPEG or TIFF"
        raise PhotographError("", reason)
    if not kind:
        raise PhotographError("", "is not an image file that can be read")
    return kind


def reason_of(error: Exception) -> str:
    """What an error says, in one line; of libvips without the names of its classes."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(getattr(error, "detail", "") or error).splitlines()
    noise = ("unable to call", "source: bad seek")
    messages = [line.strip() for line in lines if line and not line.startswith(noise)]
    return "; ".join(dict.fromkeys(messages)) or type(error).__name__


def check_size(width: int, height: int, limit: int) -> None:
    """Refuse what is larger than the memory should hold."""
    if width * height > limit:
        raise PhotographError(
            "",
            f"has {width * height:,} pixels, expected at most {limit:,}; raise the "
            "limit (--max-pixels) if there is memory for it",
        )


def opened_by_pillow(file: BinaryIO, kind: str) -> ImageFile:
    """Open a file of a kind as `MAGIC` has it; only the header is read.

    `Image.open` would warn of, or refuse, what has more pixels than Pillow likes.
    """
    module, name = PILLOW.get(kind, kind).split(".")
    opened: ImageFile = getattr(importlib.import_module(f"PIL.{module}"), name)(file)
    return opened


def decode_by_pillow(file: BinaryIO, kind: str, limit: int) -> pyvips.Image:
    """Decode a file of a kind that the wheel of libvips has no loader for."""
    image: Image = opened_by_pillow(file, kind)
    check_size(image.width, image.height, limit)
    deep = image.mode.startswith("I")
    if not deep and image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    values = np.array(image).astype(np.uint16 if deep else np.uint8)
    made = pyvips.Image.new_from_array(values)
    spaces = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    space = "cmyk" if image.mode == "CMYK" else spaces[made.bands > 2]
    return made.copy(interpretation=space)


@dataclass(frozen=True)
class TiffPage:
    """What a TIFF says of one of its directories.

    Attributes:
        number: Which, as libvips counts.
        order: Of the bytes in numbers, `<` or `>`.
        big: Whether it is a BigTIFF.
        offset: Where it lies in the file.
        tags: Tag -> its whole numbers; none of what is none, or of many.
    """

    number: int
    order: str
    big: bool
    offset: int
    tags: dict[int, tuple[int, ...]]

    def get(self, tag: int, default: int = 0) -> int:
        """The first number of a tag."""
        return (*self.tags.get(tag, ()), default)[0]

    @property
    def is_picture(self) -> bool:
        """Whether this is a page, and no small copy or mask of one."""
        return not self.get(SUBFILE) & (REDUCED | MASK)

    @property
    def has_alpha(self) -> bool:
        """Whether a sample beyond the colours is transparency, and not infrared."""
        return bool(ALPHAS & {*self.tags.get(EXTRAS, ())})


def tiff_pages(file: BinaryIO) -> Iterator[TiffPage]:
    """Read what a TIFF says of its pages, until the chain breaks off or leads back.

    Tag by tag, because the libraries that read them end at the first odd one: a tag
    that cannot be read is left out, and costs neither the others nor the photograph.
    """
    file.seek(0)
    head = file.read(4)
    order, big = "<" if head[:1] == b"I" else ">", 43 in head
    pointer, counter, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")

    def unpacked(layout: str) -> Any:
        return struct.unpack(order + layout, file.read(struct.calcsize("=" + layout)))

    seen = {0}
    with suppress(*BROKEN):
        file.seek(8 if big else 4)
        (at,) = unpacked(pointer)
        while at not in seen and len(seen) <= MAX_PAGES:
            seen.add(at)
            file.seek(at)
            (count,) = unpacked(counter)
            entries = [unpacked(entry) for _ in range(min(count, MAX_TAGS))]
            after = 0
            with suppress(struct.error):  # some writers end the file here
                (after,) = unpacked(pointer)
            tags = {tag: _numbers(file, order, *rest) for tag, *rest in entries}
            yield TiffPage(len(seen) - 2, order, big, at, tags)
            at = after


def _numbers(
    file: BinaryIO, order: str, kind: int, count: int, stored: bytes
) -> tuple[int, ...]:
    """The numbers of a tag, which lie in its entry or where that points to."""
    if kind not in NUMBERS or count > MAX_NUMBERS:
        return ()
    layout = f"{order}{count}{NUMBERS[kind]}"
    size = struct.calcsize(layout)
    with suppress(*BROKEN):
        if size > len(stored):
            file.seek(*struct.unpack(order + "IQ"[len(stored) > 4], stored))
            stored = file.read(size)
        return struct.unpack(layout, stored[:size])
    return ()


def why_not(page: TiffPage, first: bool) -> str:
    """Why the pixels of a page cannot be read for sure; empty if they can.

    Only what libvips would read wrongly, or refuse without a reason that helps.

    Args:
        page: Its tags.
        first: Whether it is the first page: cameras put a small copy there.
    """
    photometric, depths = page.get(PHOTOMETRIC), {*page.tags.get(BITS, (1,))}
    raw = photometric in CAMERA_RAW or DNG_VERSION in page.tags
    if raw or (first and not page.is_picture and SUB_PICTURES in page.tags):
        return f"is {RAW}; export it as JPEG or TIFF"
    inks = photometric == CMYK and page.get(INKS, 1) != 1
    jpeg = photometric == YCBCR and page.get(COMPRESSION) == JPEG
    if inks or not (photometric in READABLE or jpeg):
        names = {YCBCR: "YCbCr without JPEG", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB"}
        named = "inks other than CMYK" if inks else names.get(photometric)
        return f"holds {named or f'colours of kind {photometric}'}; save it as RGB"
    sample = page.get(SAMPLE_FORMAT, 1)
    if sample != 1 or not depths <= {1, 2, 4, 8, 16}:
        kind = {1: "whole", 2: "signed", 3: "floating-point"}.get(sample, "unknown")
        bits = "/".join(map(str, sorted(depths)))
        return f"holds {kind} numbers of {bits} bits; save it with 8 or 16 bits"
    if photometric in GRAYS and EXTRAS in page.tags and page.get(PLANES) == SEPARATE:
        return "holds gray and transparency apart; save it as RGB"
    return ""


def to_srgb(image: pyvips.Image, has_alpha: bool, deep: bool) -> pyvips.Image:
    """Bring an image to sRGB: 3 bands, or 4 with transparency, of 8 or 16 bits.

    Args:
        image: Of any kind of pixels.
        has_alpha: Whether a band beyond the colours is transparency.
        deep: Whether 16 bits are wanted, if there are more than 8.
    """
    if image.format not in ("uchar", "ushort"):
        raise PhotographError("", f"holds {image.format} values, expected 8 or 16 bits")
    if image.format == "ushort" and image.get_typeof("heif-compression"):
        spare = 16 - image.get("bits-per-sample")  # its white is 1023 x 64
        image = (image * (65535 / (65536 - 2**spare))).rint().cast("ushort")
    count = COLOURS.get(image.interpretation, 0)
    if not 0 < count <= image.bands <= count + 1:
        kind = f"{image.bands} bands of the kind {image.interpretation}"
        raise PhotographError("", f"holds {kind}, expected gray, RGB or CMYK")
    colours = _by_profile(image.extract_band(0, n=count))
    if has_alpha and image.bands > count:
        colours = colours.bandjoin(image[count])
    if image.format == "ushort" and not deep:
        colours = colours.linear(1 / 257, 0.5, uchar=True)  # cut off: rounded
    return colours


def _by_profile(colours: pyvips.Image) -> pyvips.Image:
    """From the space of an embedded profile, or as browsers do without one, to sRGB.

    A profile that is broken, or meant for other pixels, is ignored.
    """
    bits = 8 if colours.format == "uchar" else 16
    typed = colours.get_typeof("icc-profile-data")
    profile = colours.get("icc-profile-data") if typed else b""
    if profile[36:40] == b"acsp" and profile[16:20] == PROFILES[colours.bands]:
        options = {"embedded": True, "intent": "relative", "depth": bits}
        with suppress(pyvips.Error):
            options["black_point_compensation"] = True
            return colours.icc_transform("srgb", **options)
    if colours.bands == 4:
        white = 2**bits - 1
        ink = white - colours  # (cmy, k) -> how much light each lets through
        light = (ink[0:3] * ink[3] / white).rint().cast(colours.format)
        return light.copy(interpretation="srgb" if bits == 8 else "rgb16")
    return colours if colours.bands == 3 else colours.bandjoin([colours, colours])
