"""From the values that a file holds to sRGB, whatever the file means by them."""

import importlib
import re
import warnings
from contextlib import suppress
from typing import BinaryIO

import numpy as np
import pyvips

from colorlib.errors import UserError
from colorlib.images.tiff_tags import ALPHA

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
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "an SVG drawing": rb"\s*<(?:\?xml|!DOCTYPE svg|svg)",
    "a Photoshop document": rb"8BPS",
    "a JPEG XL file": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "TgaImagePlugin.TgaImageFile": (
        rb".(?:\x01[\x01\x09]|\0[\x02\x03\x0a\x0b]).{13}[\x08\x10\x18\x20][\0-?]"
    ),
}
COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "scrgb": 3, "cmyk": 4}
PROFILES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}


class PhotographError(UserError):
    """A file that is no photograph we can read or write; the message names it.

    Attributes:
        name: The file.
        reason: What is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def kind_of(head: bytes) -> str:
    """What the first bytes of a file say that it is.

    Raises:
        PhotographError: If that cannot be read.
    """
    kind = next((k for k, magic in MAGIC.items() if re.match(magic, head, re.S)), "")
    if kind == HEIF and b"hvc1" in head:
        kind = HEIC
    if " " in kind or kind == "PostScript":
        reason = f"is {kind}, expected a photograph; export it as JPEG or TIFF"
        raise PhotographError("", reason)
    if not kind:
        raise PhotographError("", "is not an image file that can be read")
    return kind


def reason_of(error: Exception) -> str:
    """What an error says, in one line; of libvips without the names of its classes."""
    told = str(getattr(error, "detail", "") or error)
    lines = [line.strip() for line in told.splitlines()]
    noise = ("unable to call", "source: bad seek")
    lines = [line for line in lines if line and not line.startswith(noise)]
    return "; ".join(dict.fromkeys(lines)) or type(error).__name__


def check_size(width: int, height: int, limit: int) -> None:
    """Refuse what is larger than the memory should hold."""
    if width * height > limit:
        raise PhotographError(
            "",
            f"has {width * height:,} pixels, expected at most {limit:,}; raise the "
            "limit (--max-pixels) if there is memory for it",
        )


def decode_by_pillow(file: BinaryIO, kind: str, limit: int) -> pyvips.Image:
    """Decode a file of a kind that the wheel of libvips has no loader for."""
    module, name = kind.split(".")
    loader = getattr(importlib.import_module(f"PIL.{module}"), name)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = loader(file)
        check_size(image.width, image.height, limit)
        deep = image.mode.startswith("I")
        if not deep and image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        values = np.array(image).astype(np.uint16 if deep else np.uint8)
    made = pyvips.Image.new_from_array(values)
    spaces = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    space = "cmyk" if image.mode == "CMYK" else spaces[made.bands > 2]
    return made.copy(interpretation=space)


def to_srgb(
    image: pyvips.Image, extras: tuple[int, ...] | None, deep: bool
) -> pyvips.Image:
    """Bring an image to sRGB: 3 bands, or 4 with transparency, of 8 or 16 bits.

    Args:
        image: Of any kind of pixels.
        extras: What its bands beyond the colours are, as a TIFF says it; None for
            transparency.
        deep: Whether 16 bits are wanted, if there are more than 8.
    """
    image = _whole_numbers(image)
    count = COLOURS.get(image.interpretation, 0)
    if not 0 < count <= image.bands <= count + 1:
        told = f"{image.bands} bands of the kind {image.interpretation}"
        raise PhotographError("", f"holds {told}, expected gray, RGB or CMYK")
    alpha = image[count] if image.bands > count else None
    if alpha is not None and extras is not None and not set(extras) & set(ALPHA):
        alpha = None  # such as a scanner's infrared
    colours = image.extract_band(0, n=count) if image.bands > count else image
    colours = _by_profile(colours)
    if alpha is not None:
        colours = colours.bandjoin(alpha)
    if image.format == "ushort" and not deep:
        colours = colours.linear(1 / 257, 0.5, uchar=True)  # cut off: rounded
    return colours


def _whole_numbers(image: pyvips.Image) -> pyvips.Image:
    """Bring values of any type to 8 or 16 bits, with white at the highest."""
    if image.format == "uint":
        image = image / 65537
    elif image.format == "float":
        low, high = image.min(), image.max()
        if not 0 <= low <= high <= 1 or (image != image).max():
            found = f"values from {low:g} to {high:g}"
            raise PhotographError("", f"holds {found}, expected 0 to 1; save 16 bits")
        image = image * 65535
    elif image.format not in ("uchar", "ushort"):
        raise PhotographError("", f"holds {image.format} values, expected 8 or 16 bits")
    elif image.get_typeof("heif-compression") and image.format == "ushort":
        spare = 16 - image.get("bits-per-sample")  # its white is 1023 x 64
        image = image * (65535 / (65536 - 2**spare))
    if image.format in ("uchar", "ushort"):
        return image
    kind = {1: "grey16", 2: "grey16", 3: "rgb16", 4: "rgb16"}.get(image.bands, "cmyk")
    if image.interpretation != "cmyk":
        image = image.copy(interpretation=kind)
    return image.rint().cast("ushort")


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
        light = ink[0:3] * ink[3] / white
        return (
            light.rint()
            .cast(colours.format)
            .copy(interpretation="srgb" if bits == 8 else "rgb16")
        )
    return colours if colours.bands == 3 else colours.bandjoin([colours, colours])
