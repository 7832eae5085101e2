"""Image files to arrays and back: the one place that knows file formats.

Whatever a file holds, what comes out is upright, 8 bits deep and in sRGB, so that the
rest of the package never asks where a photograph came from.
"""

import io
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from os.path import exists, isfile
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from colorlib.errors import UserError
from colorlib.files import atomic_write

ORIENTATION_TAG = 0x0112  # EXIF 2.3, Section 4.6.4
# How the pixels of a TIFF lie in its file, and their colour profile (TIFF 6.0).
STRUCTURE_TAGS = (
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320),
    *(322, 323, 324, 325, 330, 338, 339, 347, *range(512, 522), *range(529, 533)),
    *(700, 34377, 34675),
)
JPEG_EXIF_LIMIT = 65533  # bytes: what one JPEG segment holds
# What the first bytes say a file is; the kinds in capitals are read by Pillow, because
# the wheel of libvips has no loader for them.
MAGIC = {
    "jpeg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "gif": rb"GIF8[79]a",
    "webp": rb"RIFF....WEBP",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    "heif": rb"....ftyp(?:avi[fs]|mi[fa]1|msf1|he[imv][cmsx])",
    "BMP": rb"BM",
    "PPM": rb"P[1-6]\s",
    "JPEG2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
}
PHOTOGRAPH_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2"}
    | {".jpe", ".jpeg", ".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)
SIDE_FOLDERS = frozenset({"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN"})
MAX_PIXELS = 2 * 10**8  # A4 scanned at 1200 dpi has 139 million
SMALL_JPEG = 2**16  # bytes, below which Pillow decodes faster: see `_small_jpeg`
pyvips.block_untrusted_set(True)
SAVE_OPTIONS: dict[str, dict[str, object]] = {
    "BMP": {},
    "JPEG": {"quality": 95, "subsampling": 0},  # chroma is the point: keep all of it
    "PNG": {},
    "TIFF": {"compression": "tiff_deflate"},
    "WEBP": {"lossless": True, "exact": True},  # its lossy form halves the chroma
}
WITH_ALPHA = ("PNG", "TIFF", "WEBP")

Source = Path | str | bytes | BinaryIO


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


@dataclass(frozen=True)
class Photograph:
    """A decoded photograph.

    Attributes:
        rgb: (H, W, 3) uint8, sRGB, upright.
        alpha: (H, W) uint8, 255 is opaque; None if the file has no transparency.
        exif: The file's EXIF block with its orientation removed; None if it has none.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    exif: bytes | None = None


def read_photograph(
    source: Source, name: str | None = None, at_least: int | None = None
) -> Photograph:
    """Decode an image file: upright, 8 bits, sRGB.

    A colour profile that cannot be used is ignored, as browsers do. Of several pages
    or frames the first is read.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.
        name: What to call it in an error; the path by default.
        at_least: If given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as
            long as both sides keep at least this many pixels. Much faster.

    Returns:
        The photograph.

    Raises:
        PhotographError: If it is not there, is not an image, is damaged, is too large,
            or stores its pixels in a way whose meaning would have to be guessed.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("CMYK", (3, 2), (0, 255, 255, 0)).save(file, "JPEG")
        >>> read_photograph(file.getvalue()).rgb.shape
        (2, 3, 3)
    """
    name = name or _name_of(source)
    if isinstance(source, str | Path) and not isfile(source):  # a pipe would wait
        found = "what is no file" if exists(source) else "nothing"
        reason = f"found {found}, expected a photograph; check the path"
        raise PhotographError(name, reason)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata: only pixels matter here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(source, at_least)
    except UnidentifiedImageError as error:
        raise PhotographError(name, "is not an image file that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
        reason = f"is too large, expected at most {limit} pixels"
        raise PhotographError(name, reason) from error
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotographError(name, f"cannot be decoded: {reason}") from error


def is_photograph(path: PurePath) -> bool:
    """Whether a file, by its name, is a visible photograph.

    Hidden are names that start with a dot (`._x.jpg`, `.thumbnails/x.jpg`), and the
    folders that cameras' and servers' systems keep beside the photographs.

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
    name = "image" if isinstance(source, bytes) else str(source)
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        small = _small_jpeg(content, at_least)
        return _rgb8(_opened(content, at_least)) if small is None else small
    except PhotographError as error:
        raise PhotographError(name, error.reason) from error
    except pyvips.Error as error:
        reason = _reason_of(error)
        raise PhotographError(name, f"cannot be decoded: {reason}") from error
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotographError(name, f"cannot be decoded: {reason}") from error


def _small_jpeg(content: bytes, at_least: int | None) -> NDArray[np.uint8] | None:
    """Decode an ordinary small JPEG by Pillow; None if it is none.

    Both decoders are libjpeg-turbo and give the same bytes, but libvips wakes its
    threads for each image: at 84x84 that takes twice as long as the decoding.
    """
    if len(content) > SMALL_JPEG or not re.match(MAGIC["jpeg"], content):
        return None
    with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as file:
        warnings.simplefilter("ignore")
        odd = file.mode not in ("L", "RGB") or "icc_profile" in file.info
        if odd or b"Exif\0\0" in content:
            return None
        if at_least:
            file.draft(None, (at_least, at_least))
        return np.array(file.convert("RGB"))


def _shrink(width: int, height: int, at_least: int | None) -> int:
    """By how much a JPEG may be decoded smaller."""
    if not at_least:
        return 1
    return max(s for s in (8, 4, 2, 1) if s * at_least <= min(width, height) or s == 1)


def _opened(content: bytes, at_least: int | None = None) -> pyvips.Image:
    """Open a file, its pixels still as they lie in it; only the header is read."""
    kinds = (
        k for k, magic in MAGIC.items() if re.match(magic, content[:16], re.DOTALL)
    )
    kind = next(kinds, "")
    if not kind:
        raise PhotographError("image", "is not an image file that can be read")
    if kind.isupper():
        return _by_pillow(content, kind)
    load = getattr(pyvips.Image, f"{kind}load_buffer")
    options: dict[str, Any] = {"access": "sequential", "fail_on": "error"}
    image = load(content, **options)
    if image.width * image.height > MAX_PIXELS:
        reason = f"is too large, expected at most {MAX_PIXELS:,} pixels"
        raise PhotographError("image", reason)
    shrink = _shrink(image.width, image.height, at_least) if kind == "jpeg" else 1
    return load(content, shrink=shrink, **options) if shrink > 1 else image


def _by_pillow(content: bytes, kind: str) -> pyvips.Image:
    """Open a file of a kind that the wheel of libvips has no loader for."""
    with Image.open(io.BytesIO(content), formats=[kind]) as file:
        if file.width * file.height > MAX_PIXELS:
            reason = f"is too large, expected at most {MAX_PIXELS:,} pixels"
            raise PhotographError("image", reason)
        deep = file.mode.startswith("I")
        plain = file if deep or file.mode in ("L", "RGB", "RGBA") else None
        pixels = np.array(plain or file.convert("L" if file.mode == "1" else "RGB"))
        if deep:
            pixels = pixels.astype(np.uint16)
    return pyvips.Image.new_from_array(pixels)


def _rgb8(image: pyvips.Image) -> NDArray[np.uint8]:
    """Turn upright, bring to sRGB and to 8 bits, and decode."""
    if image.format not in ("uchar", "ushort"):
        reason = f"holds values of type {image.format}, expected 8 or 16 bits"
        raise PhotographError("image", reason)
    image = image.autorot()
    if image.get_typeof("icc-profile-data"):
        image = _by_profile(image)
    if image.interpretation != "srgb":
        image = image.colourspace("srgb")
    image = image.extract_band(0, n=3) if image.bands > 3 else image
    return image.numpy()  # type: ignore[no-any-return]  # pyvips has no types


def _by_profile(image: pyvips.Image) -> pyvips.Image:
    """From the space of an embedded colour profile to sRGB; a broken one is ignored."""
    options = {"embedded": True, "intent": "relative", "depth": 8}
    try:
        return image.icc_transform("srgb", black_point_compensation=True, **options)
    except pyvips.Error:
        return image


def _reason_of(error: pyvips.Error) -> str:
    """What libvips says, in one line."""
    return " ".join(str(error.detail or error.message).split())


def write_photograph(photograph: Photograph, path: Path) -> None:
    """Write a photograph: the file is there whole or not at all.

    Transparency is kept where the format can hold it. The file carries no colour
    profile: what has none is sRGB.

    Args:
        photograph: What to write.
        path: Where; the suffix chooses among BMP, JPEG, PNG, TIFF and WebP.

    Raises:
        PhotographError: If the suffix is another one or the file cannot be written.
    """
    file_format = Image.registered_extensions().get(path.suffix.lower())
    if file_format not in SAVE_OPTIONS:
        expected = ", ".join(SAVE_OPTIONS)
        reason = f"found suffix {path.suffix!r}, expected one of {expected}"
        raise PhotographError(str(path), reason)
    options = dict(SAVE_OPTIONS[file_format])
    exif = photograph.exif
    if exif and not (file_format == "JPEG" and len(exif) > JPEG_EXIF_LIMIT):
        options["exif"] = exif
    image = Image.fromarray(photograph.rgb)
    if photograph.alpha is not None and file_format in WITH_ALPHA:
        image.putalpha(Image.fromarray(photograph.alpha))
    content = io.BytesIO()
    try:
        image.save(content, file_format, **options)
        atomic_write(path, content.getvalue())
    except (OSError, ValueError) as error:
        raise PhotographError(str(path), f"cannot be written: {error}") from error


def fit_square(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Cut the central square out of an image and resize it, antialiased.

    Args:
        rgb: (H, W, 3) uint8.
        size: Side of the result, pixels.

    Returns:
        (size, size, 3) uint8, by bicubic interpolation.

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


def _name_of(source: Source) -> str:
    """What to call a source in an error."""
    if isinstance(source, str | Path):
        return str(source)
    return str(getattr(source, "name", "image"))


def _decode(source: Source, at_least: int | None) -> Photograph:
    """Open, turn upright, separate the transparency, bring to 8-bit sRGB."""
    with Image.open(
        io.BytesIO(source) if isinstance(source, bytes) else source
    ) as file:
        if at_least:
            file.draft(None, (at_least, at_least))
        file.load()
        image = _with_meaningful_mode(_upright(file))
        exif = _upright_exif(file)  # behind `_upright`, which needs the orientation
        profile = file.info.get("icc_profile")
    alpha = None
    if image.mode == "RGBA":
        alpha = np.array(image.getchannel("A"))
        image = image.convert("RGB")
    return Photograph(np.array(_to_srgb(image, profile)), alpha, exif)


def _upright(image: Image.Image) -> Image.Image:
    """Turn as the EXIF block says; a broken block says nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as above: a damaged block makes Pillow raise almost anything
        return image


def _upright_exif(image: Image.Image) -> bytes | None:
    """The EXIF block of the pixels handed on; None if there is no usable one.

    Without its orientation, and without what a TIFF says there of its own pixels.
    """
    try:
        exif = image.getexif()
        for tag in (ORIENTATION_TAG, *STRUCTURE_TAGS):
            exif.pop(tag, None)
        return exif.tobytes() if exif else None
    except Exception:  # as above
        return None


def _with_meaningful_mode(image: Image.Image) -> Image.Image:
    """Bring any of Pillow's pixel modes to L, RGB, RGBA or CMYK."""
    if image.mode.startswith(("I", "F")):
        return _from_deep(np.asarray(image))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_deep(values: NDArray[np.generic]) -> Image.Image:
    """Gray values of 16 bits, or floats in [0, 1], in 8 bits."""
    white = 1.0 if values.dtype.kind == "f" else 65535.0
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= white:
        raise ValueError(f"found values from {low:g} to {high:g}, not 0 to {white:g}")
    return Image.fromarray(
        (values.astype(np.float64) * (255 / white) + 0.5).astype("u1")
    )


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """From the space of an embedded colour profile, or assumed sRGB, to sRGB."""
    transform = _transform(profile, image.mode) if profile else None
    return transform.apply(image) if transform else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The colour transform of a profile; None if it is broken or for other pixels."""
    try:
        return ImageCms.ImageCmsTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
