"""Image files as the world has them: odd, damaged, hostile. Made, never kept.

Each says what has to become of it: the picture it shows, or a refusal. A file that was
cut short or changed may do either, but never show something else than was saved.
`ORDINARY` are files that cameras, scanners and programs write; what they show is known
from how they were made, or from Pillow where that is the decoder not under test.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "GIF": ".gif",
    "BMP": ".bmp", "PPM": ".ppm",
}  # fmt: skip
LOSSLESS = {"WEBP": {"lossless": True, "exact": True}}
CUTS = 24  # places where a file of each format ends too early
DAMAGES = 8  # files of each format with bytes changed
ORIENTATION = 0x0112
# How each EXIF orientation shows a picture (H, W, 3) that is stored upright.
TURNED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}
Values = NDArray[Any]


@dataclass(frozen=True)
class Hostile:
    """A file, and what has to become of it.

    Attributes:
        kind: What is wrong with it, or odd.
        name: Of the file.
        content: Its bytes.
        shows: The picture it must be read as, (H, W, 3) in 0..255, if it is read.
        may_be_refused: Whether a refusal is right.
        close: How far any value may lie off, of 255.
        alpha: Its transparency, (H, W) in 0..255; False if that is not looked at.
    """

    kind: str
    name: str
    content: bytes
    shows: Values | None = None
    may_be_refused: bool = False
    close: float = 1.0
    alpha: Values | bool | None = False


def picture(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """Soft colours, with red on the left and blue below: no two corners alike."""
    y, x = np.mgrid[:height, :width]
    down, right = y / max(1, height - 1), x / max(1, width - 1)
    planes = 230 - 180 * right, 60 + 90 * down * right, 30 + 190 * down
    return np.stack(planes, axis=-1).round().astype(np.uint8)


def encoded(pixels: Values | Image.Image, file_format: str, **options: object) -> bytes:
    """The bytes of an image file, by Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def shown(content: bytes) -> Values:
    """What a file shows, by Pillow."""
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))


def as_rgb(gray: Values) -> Values:
    """(H, W) -> (H, W, 3)."""
    return np.repeat(np.asarray(gray)[..., None], 3, axis=2)


def packed(values: Values, bits: int) -> bytes:
    """Rows of whole numbers of so many bits, each row ending with a whole byte."""
    each = values.reshape(len(values), -1, 1) >> np.arange(bits)[::-1] & 1
    return np.packbits(each.reshape(len(values), -1).astype(bool), axis=1).tobytes()


# What cameras, scanners and programs write ------------------------------------------


def tiff(values: Values, **options: Any) -> bytes:
    """A TIFF of values as they are, by tifffile."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, metadata=None, **options)
    return file.getvalue()


# Layout -> photometric interpretation, extra samples, number of samples.
LAYOUTS = {
    "gray": ("minisblack", None, 1), "white-is-zero": ("miniswhite", None, 1),
    "gray-alpha": ("minisblack", ["unassalpha"], 2), "rgb": ("rgb", None, 3),
    "rgba": ("rgb", ["unassalpha"], 4), "premultiplied": ("rgb", ["assocalpha"], 4),
    "infrared": ("rgb", ["unspecified"], 4), "cmyk": ("separated", None, 4),
}  # fmt: skip


def meaning(layout: str, unit: Values) -> tuple[Values, Values | None]:
    """What values in [0, 1] of a layout show, and their transparency, in 0..255."""
    alpha = 255 * unit[..., -1] if LAYOUTS[layout][1] else None
    if layout == "cmyk":
        return 255 * (1 - unit[..., :3]) * (1 - unit[..., 3:]), alpha
    colours = unit[..., :3] if unit.shape[-1] > 2 else unit[..., [0, 0, 0]]
    if layout == "premultiplied":
        colours = colours / unit[..., 3:]
    shows = 255 * (1 - colours if layout == "white-is-zero" else colours)
    return shows, None if layout == "infrared" else alpha


def tiff_of(layout: str, dtype: str, orientation: int = 1, **options: Any) -> Any:
    """A TIFF, what it shows and its transparency."""
    photometric, extras, samples = LAYOUTS[layout]
    y, x = np.mgrid[:12, :16]
    planes = [x / 15, y / 11, (x + y) / 26, 1 - x / 20][:samples]
    unit = np.stack(planes, axis=-1)
    if layout == "premultiplied":
        unit[..., :3] *= unit[..., 3:]
    white = np.iinfo(dtype).max if dtype[0] != "f" else 1
    stored = (unit * white).astype(dtype)
    shows, alpha = meaning(layout, stored / white)
    lies = np.moveaxis(stored, -1, 0) if options.get("planarconfig") == 2 else stored
    tags = [(ORIENTATION, 3, 1, orientation, True)]
    content = tiff(
        stored[..., 0] if samples == 1 else np.ascontiguousarray(lies),
        photometric=photometric, extrasamples=extras, extratags=tags, **options,
    )  # fmt: skip
    turn = TURNED[orientation]
    return content, turn(shows), None if alpha is None else turn(alpha)


def tiffs() -> Iterator[Hostile]:
    """Every layout, depth, orientation, compression, order of bytes; other numbers."""
    ways = [
        (*way, {"compression": compression, "byteorder": order})
        for *way, compression, order in product(
            LAYOUTS, ("u1", "u2"), TURNED, (None, "zlib"), "<>"
        )
    ]
    others = [{"planarconfig": 2}, {"bigtiff": True}, {"tile": (16, 16)}]
    ways += product(LAYOUTS, ("u1", "u2"), (1, 6), others)
    types = ("u4", "f4", "f2", "f8", "i1", "i2", "i4")
    ways += product(("gray", "white-is-zero", "rgb"), types, (1,), [{}])
    for number, (layout, dtype, orientation, options) in enumerate(ways):
        planes = "planarconfig" in options
        if planes and LAYOUTS[layout][2] == 1:
            continue
        content, shows, alpha = tiff_of(layout, dtype, orientation, **options)
        refused = dtype not in ("u1", "u2") or (planes and layout == "gray-alpha")
        close = 4 if layout == "premultiplied" and dtype == "u1" else 1  # of few steps
        name = f"{number}-{layout}-{dtype}-{orientation}.tif"
        yield Hostile("TIFF layout", name, content, shows, refused, close, alpha)


def small_tiff(data: bytes, tags: dict[int, list[int]], order: str = "<") -> bytes:
    """A TIFF of one strip, tag by tag: for what no library writes."""
    tags |= {259: [1], 273: [8], 279: [len(data)]}
    at = 8 + len(data) + len(data) % 2
    table, values = b"", b""
    for tag, numbers in sorted(tags.items()):
        letter = "I" if tag in (273, 279) else "H"
        value = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(value) > 4:
            place = at + 2 + 12 * len(tags) + 4 + len(values)
            value, values = struct.pack(order + "I", place), values + value
        kind = 4 if letter == "I" else 3
        table += struct.pack(order + "HHI4s", tag, kind, len(numbers), value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    body = data + bytes(len(data) % 2) + struct.pack(order + "H", len(tags)) + table
    return head + body + bytes(4) + values


def bit_depths() -> Iterator[Hostile]:
    """TIFF and PNG of 1 to 16 bits: gray, inverted, palette, a transparent gray."""
    draw = np.random.default_rng(0)
    for bits, width in product((1, 2, 4, 8, 12, 16), (16, 13)):
        values = draw.integers(0, 2**bits, (9, width))
        palette = draw.integers(0, 256, (2**bits, 3))
        gray, key = as_rgb(values * (255 / (2**bits - 1))), int(values[0, 0])
        shown = {0: 255 - gray, 1: gray, 3: palette[values]}
        for photometric, order in product((0, 1, 3)[: 2 + (bits <= 8)], "<>"):
            tags = {256: [width], 257: [9], 258: [bits], 262: [photometric]}
            tags |= {277: [1], 278: [9]}
            if photometric == 3:
                tags[320] = [*(257 * palette.T).flatten()]
            data = values.astype(order + "u2").tobytes()
            data = data if bits == 16 else packed(values, bits)
            content = small_tiff(data, tags, order)
            name = f"bits-{bits}-{width}-{photometric}-{ord(order)}.tif"
            yield Hostile("bit depth", name, content, shown[photometric], bits == 12)
        chunks = [(0, {}), (0, {b"tRNS": struct.pack(">H", key)})]
        chunks += [(3, {b"PLTE": palette.astype("u1").tobytes()})] if bits <= 8 else []
        for number, (kind, extra) in enumerate(chunks if bits != 12 else []):
            alpha = np.where(values == key, 0, 255) if number == 1 else None
            content = png_of(values, bits, kind, extra)
            shows = palette[values] if kind == 3 else gray
            name = f"bits-{bits}-{width}-{number}.png"
            yield Hostile("bit depth", name, content, shows, alpha=alpha)
    for bits, (layout, kind) in product(
        (8, 16), (("rgb", 2), ("gray-alpha", 4), ("rgba", 6))
    ):
        values = draw.integers(0, 2**bits, (9, 13, LAYOUTS[layout][2]))
        shows, alpha = meaning(layout, values / (2**bits - 1))
        content = png_of(values, bits, kind, {})
        yield Hostile("bit depth", f"{layout}-{bits}.png", content, shows, alpha=alpha)


def png_of(
    values: Values, bits: int, colour_type: int, extra: dict[bytes, bytes]
) -> bytes:
    """A PNG of values as they are."""
    rows = packed(values, bits)
    length = len(rows) // len(values)
    lines = [b"\0" + rows[i : i + length] for i in range(0, len(rows), length)]
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return png_with(header, zlib.compress(b"".join(lines)), extra)


def png_with(
    header: bytes, data: bytes, extra: dict[bytes, bytes] | None = None
) -> bytes:
    """A PNG of a header of one's own and compressed rows."""
    chunks = {b"IHDR": header, **(extra or {}), b"IDAT": data, b"IEND": b""}
    body = b""
    for kind, content in chunks.items():
        check = struct.pack(">I", zlib.crc32(kind + content))
        body += struct.pack(">I", len(content)) + kind + content + check
    return b"\x89PNG\r\n\x1a\n" + body


def netpbm() -> Iterator[Hostile]:
    """PBM, PGM and PPM, in text and in bytes, with any white."""
    draw = np.random.default_rng(2)
    for white, samples in product((1, 7, 255, 256, 1000, 65535), (1, 3)):
        values = draw.integers(0, white + 1, (4, 5, samples))
        text = " ".join(map(str, values.flatten())).encode()
        data = values.astype("u1" if white < 256 else ">u2").tobytes()
        for number, body in ((2, text), (5, data)):
            magic = number + (samples == 3)
            content = b"P%d\n# made\n5 4\n%d\n" % (magic, white) + body
            shows = values * (255 / white) * np.ones(3)
            yield Hostile("Netpbm", f"{magic}-{white}.pnm", content, shows)
    dots = draw.integers(0, 2, (4, 5))
    content, shows = b"P4 5 4\n" + packed(dots, 1), as_rgb(255 * (1 - dots))
    yield Hostile("Netpbm", "4.pbm", content, shows)


# Format -> the modes that Pillow writes in it, and the ways to write each.
WRITTEN = {
    "JPEG": ("L RGB CMYK YCbCr", [
        {"subsampling": s, "progressive": p} for s in (0, 1, 2) for p in (0, 1)]),
    "BMP": ("1 L P RGB RGBA", [{}]), "GIF": ("1 L P RGB RGBA", [{}]),
    "TGA": ("L LA P RGB RGBA", [{}, {"orientation": 1}]),
    "JPEG2000": ("L LA RGB RGBA", [{}, {"no_jp2": True}]),
    "WEBP": ("L RGB RGBA", [LOSSLESS["WEBP"]]),
    "TIFF": ("L LA RGB RGBA CMYK", [
        {"compression": c} for c in ("tiff_lzw", "packbits", "jpeg")]),
}  # fmt: skip


def other_formats() -> Iterator[Hostile]:
    """What Pillow writes, mode by mode; what it shows is what Pillow says."""
    rgb = Image.fromarray(picture())
    modes = {m: rgb.convert(m) for m in ("1", "L", "P", "RGB", "CMYK", "YCbCr", "LA")}
    modes["RGBA"] = Image.fromarray(np.dstack([picture(), picture()[..., 0]]))
    ways = [
        (f, m, o) for f, (ms, os) in WRITTEN.items() for m in ms.split() for o in os
    ]
    for compression in ("group3", "group4", "tiff_lzw"):
        ways.append(("TIFF", "1", {"compression": compression}))
    for number, (file_format, mode, option) in enumerate(ways):
        content = encoded(modes[mode], file_format, **option)
        suffix = SUFFIXES.get(file_format, f".{file_format[:3].lower()}")
        name = f"{number}-{mode}{suffix}"
        yield Hostile("other format", name, content, shown(content), close=3)
    for number, option in enumerate(({}, {"compression": "jpeg"})):
        content = encoded(modes["YCbCr"], "TIFF", **option)
        name = f"ycbcr-{number}.tif"
        yield Hostile("other format", name, content, picture(), True, 8)


def noted(
    kind: str, name: str, shows: Values | None = None, **options: Any
) -> Iterator[Hostile]:
    """A picture in the formats whose pixels do not depend on what is noted beside."""
    shows = picture() if shows is None else shows
    for file_format, close in (("JPEG", 16), ("PNG", 0), ("WEBP", 0)):
        quality = {"quality": 95} if file_format == "JPEG" else {}
        options |= LOSSLESS.get(file_format, quality)
        content = encoded(picture(), file_format, **options)
        yield Hostile(kind, name + SUFFIXES[file_format], content, shows, close=close)


def turned() -> Iterator[Hostile]:
    """Turned and mirrored by a note in the file."""
    for orientation, turn in TURNED.items():
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        name = f"turned-{orientation}"
        yield from noted("turned", name, turn(picture()), exif=exif.tobytes())


def profile(space: bytes, gamma: float, columns: Any = ()) -> bytes:
    """A version 2 ICC profile, gray or of three colorants, tag by tag."""

    def fixed(values: Any) -> bytes:
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed((0.9642, 1.0, 0.8249)), b"kTRC": curve}
    for channel, column in zip((b"r", b"g", b"b"), columns, strict=False):
        tags[channel + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(column)
        tags[channel + b"TRC"] = curve
    offset, table, content = 132 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", offset + len(content), len(value))
        content += value
    header = struct.pack(">I4sI", offset + len(content), b"\0" * 4, 0x02100000)
    header += b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += fixed((0.9642, 1.0, 0.8249)) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + content


# Colorants relative to D50, columns R, G, B: Adobe RGB (1998) specification, Annex C,
# and the sRGB profile published by the ICC. Both to four decimals.
ADOBE_TO_XYZ = np.array(
    [[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]]
)
SRGB_TO_XYZ = np.array(
    [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
)


def linear_to_srgb(linear: Values) -> Values:
    """Light in [0, 1] as sRGB in 0..255."""
    high = 1.055 * linear.clip(0, 1) ** (1 / 2.4) - 0.055
    return 255 * np.where(linear > 0.0031308, high, 12.92 * linear)


def profiles() -> Iterator[Hostile]:
    """Gray and wide-gamut ICC profiles, on every mode and depth, and broken ones."""
    gray, wide = profile(b"GRAY", 1.4), profile(b"RGB ", 563 / 256, ADOBE_TO_XYZ.T)
    layouts = {"gray": gray, "gray-alpha": gray, "rgb": wide, "rgba": wide}
    matrix = ADOBE_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T
    for (layout, icc), dtype in product(layouts.items(), ("u1", "u2")):
        content, shows, alpha = tiff_of(layout, dtype, iccprofile=icc)
        if icc is gray:
            right = linear_to_srgb((shows / 255) ** 1.4)
        else:
            right = linear_to_srgb(((shows / 255) ** (563 / 256) @ matrix).clip(0, 1))
        name = f"profile-{layout}-{dtype}.tif"
        yield Hostile("profile", name, content, right, close=6, alpha=alpha)
    ramp = np.arange(250, dtype=np.uint8)[None]
    right = as_rgb(linear_to_srgb((ramp / 255) ** 1.4))
    for mode, extra in (("L", {}), ("L", {"transparency": 255}), ("LA", {})):
        image = Image.fromarray(ramp).convert(mode)
        content = encoded(image, "PNG", icc_profile=gray, **extra)
        name = f"profile-{mode}-{len(extra)}.png"
        yield Hostile("profile", name, content, right, close=4)
    junk = [b"", b"\0", b"junk", b"\0" * 200, bytes(range(200)), wide[:200], gray]
    for number, block in enumerate(junk):
        yield from noted("broken profile", f"profile-{number}", icc_profile=block)


def rich_exif() -> Image.Exif:
    """A block with a date, a camera, a position, and a side note."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "Maker", "2001:02:03 04:05:06"
    exif.get_ifd(0x8769)[0x9003] = "1999:01:01 01:01:01"
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    return exif


def metadata() -> Iterator[Hostile]:
    """What is said beside the pixels, whole and broken: it never costs the picture."""
    size = {256: [32], 257: [24], 258: [8] * 3, 262: [2], 277: [3], 278: [24]}
    odd = {290: [2], 291: [1, 2, 3, 4], 700: [60], 33723: [5], 34675: [9], 34853: [8]}
    for number, block in enumerate((3, 65535, 8 + picture().size)):  # itself at last
        content = small_tiff(picture().tobytes(), size | odd | {34665: [block]})
        yield Hostile("metadata", f"tags-{number}.tif", content, picture())
    rich = rich_exif()
    # A text where numbers belong (tag 320, the colour map).
    text = b"MM\0*\0\0\0\x08\0\x01\x01\x40\0\x02\0\0\0\x04abc\0\0\0\0\0"
    junk = [b"", b"XX no block", b"II*\0\xff\xff\xff\xff", text, bytes(range(200))]
    blocks = [rich.tobytes()[6:], rich.tobytes()[6:-9], *junk]
    for number, block in enumerate(blocks):
        yield from noted("metadata", f"exif-{number}", exif=b"Exif\0\0" + block)
    content = encoded(picture(), "TIFF", exif=rich)
    yield Hostile("metadata", "exif.tif", content, picture())


# Damaged, and made to do harm -------------------------------------------------------


def spoiled() -> Iterator[Hostile]:
    """Cut short, in each region of the file; bytes changed; under another suffix."""
    draw = np.random.default_rng(0)
    for file_format, suffix in SUFFIXES.items():
        content = encoded(picture(), file_format, **LOSSLESS.get(file_format, {}))
        shows = shown(content)
        for number in range(CUTS):
            kept = content[: len(content) * number // CUTS]
            name = f"cut-{file_format}-{number:02d}{suffix}"
            yield Hostile("cut short", name, kept, shows, True)
        for number in range(DAMAGES):  # what they show may be anything
            junk = np.frombuffer(content, np.uint8).copy()
            junk[draw.integers(0, len(junk), 6)] = draw.integers(0, 256, 6)
            name = f"changed-{file_format}-{number}{suffix}"
            yield Hostile("bytes changed", name, junk.tobytes(), None, True)
        for other in sorted({".jpg", ".png", ".bmp"} - {suffix}):
            name = f"misnamed-{file_format}{other}"
            yield Hostile("another suffix", name, content, shows)


def no_images() -> Iterator[Hostile]:
    """Files that are no images at all, or of kinds that are refused by name."""
    raw = {"dng": {50706: [1, 4]}, "nef": {254: [1], 330: [8]}, "cfa": {262: [32803]}}
    size = {256: [4], 257: [4], 258: [8], 262: [1], 277: [1], 278: [4]}
    contents = {
        "empty": b"", "one-byte": b"\xff", "text": b"This is no photograph.\n",
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF", "zeros": bytes(4096),
        "program": b"\x7fELF" + bytes(60), "archive": b"PK\x03\x04" + bytes(26),
        "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
        "script": b"#!/bin/sh\ntouch /tmp/hostile\n", "jpeg-magic": b"\xff\xd8\xff\xe0",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "png-magic": b"\x89PNG\r\n\x1a\n", "jxl": b"\xff\x0a" + bytes(30),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        "icon": b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0" + bytes(2000),
        **{name: small_tiff(bytes(16), size | tags) for name, tags in raw.items()},
    }  # fmt: skip
    for (what, content), suffix in product(contents.items(), (".jpg", ".png")):
        yield Hostile("no image", f"{what}{suffix}", content, None, True)


def shapes() -> Iterator[Hostile]:
    """A pixel, a line, a column, and very long ones."""
    sizes = [(1, 1), (1, 20000), (20000, 1), (2, 3), (1, 64), (64, 1)]
    for (height, width), file_format in product(sizes, ("PNG", "BMP", "TIFF")):
        shows = picture(height, width)
        name = f"{height}x{width}{SUFFIXES[file_format]}"
        yield Hostile("odd shape", name, encoded(shows, file_format), shows)


def bombs() -> Iterator[Hostile]:
    """A few bytes that claim to be, or become, gigabytes."""
    gif, bmp = (bytearray(encoded(picture(), kind)) for kind in ("GIF", "BMP"))
    gif[6:10], bmp[18:26] = b"\xff\xff\xff\xff", struct.pack("<ii", 60_000, 60_000)
    contents = {"gif": gif, "bmp": bmp, "ppm": b"P6 60000 60000 255\n" + bytes(100)}
    for number, side in enumerate((30_000, 65_000, 2**31 - 1, 16)):  # 16: too many rows
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        contents[f"{number}.png"] = png_with(header, zlib.compress(bytes(10**7), 9))
    for suffix, content in contents.items():
        yield Hostile("bomb", f"bomb.{suffix}", bytes(content), None, True)


def frames() -> Iterator[Hostile]:
    """Several pictures in a file: the first one counts."""
    first, second = Image.fromarray(picture()), Image.new("RGB", (32, 24), "green")
    for file_format in ("GIF", "PNG", "TIFF", "WEBP"):
        options = LOSSLESS.get(file_format, {}) | {"append_images": [second]}
        content = encoded(first, file_format, save_all=True, **options)
        name = f"frames{SUFFIXES[file_format]}"
        yield Hostile("several frames", name, content, shown(content))


def names() -> Iterator[Hostile]:
    """Names that a careless program trips over."""
    content = encoded(picture(), "PNG")
    for name in (
        "mit Leerzeichen.png", "Zoë.png", "写真.png", "-rf.png", "a'b\"c.png",
        "new\nline.png", "bell\a.png", "%s{0}[1].png", "x" * 236 + ".png", "UPPER.PNG",
    ):  # fmt: skip
        yield Hostile("odd name", name, content, picture())


ORDINARY = (tiffs, bit_depths, netpbm, other_formats, turned, profiles, metadata)
ORDINARY += (shapes, frames)
KINDS = (*ORDINARY, spoiled, no_images, bombs, names)


def corpus() -> Iterator[Hostile]:
    """Every file, kind after kind."""
    for kind in KINDS:
        yield from kind()


def no_files(folder: Path) -> list[Path]:
    """What lies among files and is none: links to nowhere, pipes, folders."""
    made = {name: folder / name for name in ("loop.jpg", "gone.jpg", "pipe.jpg")}
    made["loop.jpg"].symlink_to(made["loop.jpg"])
    made["gone.jpg"].symlink_to(folder / "nowhere.jpg")
    os.mkfifo(made["pipe.jpg"])
    (folder / "folder.jpg").mkdir()
    return list(made.values())
