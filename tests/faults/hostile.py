"""Image files as the world has them: damaged, odd, hostile. Made, never kept.

Each says what has to become of it: the picture it shows, or a refusal. A file that was
cut short or changed may do either, but never show something else than was saved.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "GIF": ".gif",
    "BMP": ".bmp", "PPM": ".ppm",
}  # fmt: skip
LOSSLESS = {"WEBP": {"lossless": True}}
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


@dataclass(frozen=True)
class Hostile:
    """A file, and what has to become of it.

    Attributes:
        kind: What is wrong with it, or odd.
        name: Of the file.
        content: Its bytes.
        shows: The picture it must be read as, (H, W, 3) uint8, if it is read.
        may_be_refused: Whether a refusal is right.
        close: How far the mean of the values may lie off, of 255.
    """

    kind: str
    name: str
    content: bytes
    shows: NDArray[np.uint8] | None = None
    may_be_refused: bool = False
    close: float = 0.0


def picture(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """Soft colours, with red on the left and blue below: no two corners alike."""
    y, x = np.mgrid[:height, :width]
    down, right = y / max(1, height - 1), x / max(1, width - 1)
    planes = 230 - 180 * right, 60 + 90 * down * right, 30 + 190 * down
    return np.stack(planes, axis=-1).round().astype(np.uint8)


def encoded(
    pixels: NDArray[np.uint8] | Image.Image, file_format: str, **options: object
) -> bytes:
    """A picture as the bytes of a file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def plain(file_format: str) -> tuple[bytes, NDArray[np.uint8]]:
    """A faultless file of a format, and what it shows, after its own losses."""
    content = encoded(picture(), file_format, **LOSSLESS.get(file_format, {}))
    with Image.open(io.BytesIO(content)) as image:
        return content, np.array(image.convert("RGB"))


def corpus() -> Iterator[Hostile]:
    """Every file, kind after kind."""
    for kind in KINDS:
        yield from kind()


def cut_short() -> Iterator[Hostile]:
    """Ends at every region of the file: within the header, the pixels, the trailer."""
    for file_format, suffix in SUFFIXES.items():
        content, shows = plain(file_format)
        for number in range(CUTS):
            kept = len(content) * number // CUTS
            name = f"cut-{file_format}-{number:02d}{suffix}"
            yield Hostile("cut short", name, content[:kept], shows, True)


def changed() -> Iterator[Hostile]:
    """Some bytes are others: what is shown may be anything, but nothing may break."""
    draw = np.random.default_rng(0)
    for file_format, suffix in SUFFIXES.items():
        content = np.frombuffer(plain(file_format)[0], np.uint8)
        for number in range(DAMAGES):
            junk = content.copy()
            junk[draw.integers(0, len(junk), 6)] = draw.integers(0, 256, 6)
            name = f"changed-{file_format}-{number}{suffix}"
            yield Hostile("bytes changed", name, junk.tobytes(), None, True)


def misnamed() -> Iterator[Hostile]:
    """The content decides, and not the suffix."""
    for file_format in SUFFIXES:
        content, shows = plain(file_format)
        for suffix in (".jpg", ".png", ".bmp"):
            if suffix != SUFFIXES[file_format]:
                name = f"misnamed-{file_format}{suffix}"
                yield Hostile("another suffix", name, content, shows)


def no_images() -> Iterator[Hostile]:
    """Files that are no images at all."""
    contents = {
        "empty": b"",
        "one-byte": b"\xff",
        "text": b"This is no photograph.\n",
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF",
        "program": b"\x7fELF" + bytes(60),
        "archive": b"PK\x03\x04" + bytes(26),
        "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
        "script": b"#!/bin/sh\ntouch /tmp/hostile\n",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "zeros": bytes(4096),
        "jpeg-magic": b"\xff\xd8\xff\xe0",
        "png-magic": b"\x89PNG\r\n\x1a\n",
    }
    for what, content in contents.items():
        for suffix in (".jpg", ".png"):
            yield Hostile("no image", f"{what}{suffix}", content, None, True)


def shapes() -> Iterator[Hostile]:
    """A pixel, a line, a column, and very long ones."""
    for height, width in [(1, 1), (1, 20000), (20000, 1), (2, 3), (1, 64), (64, 1)]:
        shows = picture(height, width)
        for file_format in ("PNG", "BMP", "TIFF"):
            name = f"{height}x{width}{SUFFIXES[file_format]}"
            content = encoded(shows, file_format)
            yield Hostile("odd shape", name, content, shows)


def png_of(header: bytes, data: bytes) -> bytes:
    """A PNG of a header of one's own and compressed rows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
        )

    body = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bombs() -> Iterator[Hostile]:
    """A few bytes that claim to be, or become, gigabytes."""
    for side in (30_000, 65_000, 2**31 - 1):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        content = png_of(header, zlib.compress(bytes(10**6)))
        yield Hostile("bomb", f"bomb-{side}.png", content, None, True)
    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)  # far too many rows
    content = png_of(header, zlib.compress(bytes(10**7), 9))
    yield Hostile("bomb", "bomb-rows.png", content, None, True)
    gif = bytearray(plain("GIF")[0])
    gif[6:10] = b"\xff\xff\xff\xff"
    yield Hostile("bomb", "bomb.gif", bytes(gif), None, True)
    bmp = bytearray(plain("BMP")[0])
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    yield Hostile("bomb", "bomb.bmp", bytes(bmp), None, True)
    ppm = b"P6 60000 60000 255\n" + bytes(100)
    yield Hostile("bomb", "bomb.ppm", ppm, None, True)


def depths() -> Iterator[Hostile]:
    """Other ways to store a pixel than eight bits of R, G and B."""
    kind, ramp = "another depth or mode", np.arange(0, 65536, 2048, np.uint16)
    gray16 = np.tile(ramp, (16, 1))  # (16, 32)
    as_8 = (gray16 / 257).round().astype(np.uint8)
    shows = np.repeat(as_8[..., None], 3, axis=-1)
    for file_format in ("PNG", "TIFF"):
        content = encoded(Image.fromarray(gray16), file_format)
        yield Hostile(kind, f"gray16{SUFFIXES[file_format]}", content, shows, close=1)
    deep = np.repeat(gray16[..., None], 3, axis=-1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 32, 16, 16, 2, 0, 0, 0)
    content = png_of(header, zlib.compress(rows))
    yield Hostile(kind, "rgb16.png", content, shows, close=1)
    unit = (gray16 / 65535).astype(np.float32)
    content = encoded(Image.fromarray(unit), "TIFF")
    yield Hostile(kind, "float.tif", content, shows, close=1)
    content = encoded(Image.fromarray(1000 * unit), "TIFF")
    yield Hostile(kind, "float-of-unknown-scale.tif", content, None, True)
    rgb = Image.fromarray(picture())
    for mode, file_format in [
        ("1", "PNG"), ("L", "PNG"), ("L", "JPEG"), ("LA", "PNG"), ("P", "PNG"),
        ("P", "GIF"), ("RGBA", "PNG"), ("RGBA", "TIFF"), ("RGBA", "WEBP"),
        ("CMYK", "TIFF"), ("CMYK", "JPEG"), ("YCbCr", "TIFF"), ("LAB", "TIFF"),
    ]:  # fmt: skip
        image = rgb.convert("LA").convert("LA") if mode == "LA" else rgb
        image = image if mode in ("LAB", "LA") else image.convert(mode)
        if mode == "LAB":
            image = Image.merge("LAB", rgb.split())
        content = encoded(image, file_format)
        expected = None
        if mode not in ("LAB",):
            with Image.open(io.BytesIO(content)) as stored:
                expected = np.array(stored.convert("RGB"))
        name = f"mode-{mode}{SUFFIXES[file_format]}"
        yield Hostile(kind, name, content, expected, mode == "LAB", close=2)
    adobe = bytearray(encoded(rgb.convert("CMYK"), "JPEG"))
    at = adobe.find(b"Adobe") + 11
    adobe[at] = 2  # its four planes are now read as YCCK
    yield Hostile(kind, "ycck.jpg", bytes(adobe), None, True)


def frames() -> Iterator[Hostile]:
    """Several pictures in a file: the first one counts. And rows in another order."""
    first, second = Image.fromarray(picture()), Image.new("RGB", (32, 24), "green")
    both = {"save_all": True, "append_images": [second]}
    for file_format, options in [
        ("GIF", both), ("PNG", both), ("TIFF", both),
        ("WEBP", both | {"lossless": True}),
    ]:  # fmt: skip
        content = encoded(first, file_format, **options)
        with Image.open(io.BytesIO(content)) as image:
            shows = np.array(image.convert("RGB"))
        name = f"frames{SUFFIXES[file_format]}"
        yield Hostile("several frames", name, content, shows)
    content = encoded(picture(), "JPEG", progressive=True, quality=95)
    yield Hostile("progressive", "progressive.jpg", content, picture(), close=6)


def orientations() -> Iterator[Hostile]:
    """Turned and mirrored by a note in the file."""
    for file_format in ("JPEG", "PNG", "TIFF", "WEBP"):
        for orientation, turned in TURNED.items():
            exif = Image.Exif()
            exif[ORIENTATION] = orientation
            options = LOSSLESS.get(file_format, {})
            options = options | ({"quality": 95} if file_format == "JPEG" else {})
            content = encoded(picture(), file_format, exif=exif.tobytes(), **options)
            close = 6 if file_format == "JPEG" else 0
            name = f"turned-{orientation}{SUFFIXES[file_format]}"
            yield Hostile("turned", name, content, turned(picture()), close=close)


def blocks() -> Iterator[Hostile]:
    """Colour profiles and EXIF blocks that are broken: the picture is not."""
    junk = [b"", b"\0", b"junk", b"\0" * 200, os.urandom(0) + bytes(range(200))]
    for number, block in enumerate(junk):
        for file_format in ("JPEG", "PNG", "WEBP"):
            options = LOSSLESS.get(file_format, {})
            close = 6 if file_format == "JPEG" else 0
            for what, key in [("profile", "icc_profile"), ("exif", "exif")]:
                if key == "exif" and file_format != "WEBP":
                    block = b"Exif\0\0" + block
                content = encoded(picture(), file_format, **options, **{key: block})
                name = f"{what}-{number}{SUFFIXES[file_format]}"
                kind = f"broken {what}"
                yield Hostile(kind, name, content, picture(), close=close)


def names() -> Iterator[Hostile]:
    """Names that a careless program trips over."""
    content = encoded(picture(), "PNG")
    for name in (
        "mit Leerzeichen.png", "Zoë.png", "写真.png", "-rf.png", "a'b\"c.png",
        "new\nline.png", "bell\a.png", "%s{0}.png", "x" * 200 + ".png", "UPPER.PNG",
    ):  # fmt: skip
        yield Hostile("odd name", name, content, picture())


KINDS = (
    cut_short, changed, misnamed, no_images, shapes, bombs, depths, frames,
    orientations, blocks, names,
)  # fmt: skip


def no_files(folder: Path) -> list[Path]:
    """What lies among files and is none: links to nowhere, pipes, folders."""
    made = {name: folder / name for name in ("loop.jpg", "gone.jpg", "pipe.jpg")}
    made["loop.jpg"].symlink_to(made["loop.jpg"])
    made["gone.jpg"].symlink_to(folder / "nowhere.jpg")
    os.mkfifo(made["pipe.jpg"])
    (folder / "folder.jpg").mkdir()
    return list(made.values())
