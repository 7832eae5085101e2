"""Writing photographs: pixels, metadata, orientation, pages, failed writes."""

import struct

import numpy as np
import pytest
import tifffile
from hostile import TURNED, encoded, picture, rich_exif, tiff
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage import data

from colorlib.images import Photograph, PhotographError, PhotographFile, load_rgb
from colorlib.images.writer import write_pages

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a/></x:xmpmeta>'
IPTC = b"\x1c\x02\x05\0\x03abc"
SEGMENT = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08" + IPTC  # as in a JPEG
DEEP = picture().astype(np.uint16) * 257 + 5


@pytest.mark.parametrize(
    ("suffix", "deep", "close"),
    [(".png", True, 0), (".tif", True, 0), (".webp", False, 0), (".avif", True, 6),
     (".jpg", False, 8), (".TIFF", True, 0), (".JPEG", False, 8)],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_is_read(tmp_path, suffix, deep, close, dtype):
    rgb = picture() if dtype == np.uint8 else DEEP
    alpha = np.full((24, 32), np.iinfo(dtype).max // 3, dtype)
    path = tmp_path / f"a{suffix}"
    assert write_pages([Photograph(rgb, alpha)], path) == set()
    read = PhotographFile(path).read(deep=True)
    assert read.rgb.dtype == (dtype if deep else np.uint8)
    unit = [v / np.iinfo(v.dtype).max for v in (read.rgb, rgb)]
    assert np.abs(unit[0] - unit[1]).max() <= (close + (not deep) / 2) / 255
    assert (read.alpha is None) == (suffix in (".jpg", ".JPEG"))


def exif_of(path):
    """By another reader: maker, date, place, orientation."""
    with Image.open(path) as image:
        exif = image.getexif()
        date, place = exif.get_ifd(0x8769)[0x9003], exif.get_ifd(0x8825)[2]
        return exif[0x010F], date, place, exif.get(0x0112, 1)


RIGHT = ("Maker", "1999:01:01 01:01:01", (1.0, 2.0, 3.0), 1)
FULL = {"EXIF": rich_exif().tobytes(), "XMP": XMP, "dpi": (300.0, 300.0)}
FULL |= {"Comment": "said"}
LOST = {
    ".jpg": {"Comment"}, ".png": {"IPTC"}, ".tif": {"Comment"},
    ".webp": {"IPTC", "Comment", "dpi"}, ".avif": {"IPTC", "Comment", "dpi"},
}  # fmt: skip


@pytest.mark.parametrize("suffix", LOST)
def test_metadata_are_kept_or_their_loss_is_told(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    full = FULL | {"IPTC": SEGMENT if suffix == ".jpg" else IPTC}
    assert write_pages([Photograph(picture(), None, full)], path) == LOST[suffix]
    assert exif_of(path) == RIGHT
    kept = PhotographFile(path).read().metadata
    assert kept["XMP"].rstrip(b"\0") == XMP
    assert kept.keys() >= full.keys() - LOST[suffix]
    for name in ({"IPTC"} if suffix in (".jpg", ".tif") else {"Comment"}) & {*kept}:
        assert kept[name] == full[name]
    with Image.open(path) as image:
        if "dpi" in kept:
            assert [round(dots) for dots in image.info["dpi"]] == [300, 300]


@pytest.mark.parametrize("suffix", LOST)
@pytest.mark.parametrize("source", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_a_turned_photograph_is_turned_once_and_its_thumbnail_is_gone(
    tmp_path, suffix, source
):
    photograph = PhotographFile(turned_by_its_camera(source)).read()
    if source == "TIFF":  # none of those that write for us writes this EXIF
        write_pages([photograph], tmp_path / "source.tif")
        photograph = PhotographFile(tmp_path / "source.tif").read()
    path = tmp_path / f"a{suffix}"
    write_pages([photograph], path)
    assert exif_of(path) == RIGHT
    assert np.abs(load_rgb(path).astype(int) - TURNED[6](picture())).max() <= 24
    assert THUMBNAIL not in path.read_bytes()
    if suffix != ".png":  # where it is compressed
        assert b'tiff:Orientation="1"' in path.read_bytes()


THUMBNAIL = encoded(picture(8, 6), "JPEG")


def turned_by_its_camera(file_format):
    """A file with orientation 6 in EXIF and XMP, and with a small copy of itself."""
    exif = rich_exif()
    exif[0x0112] = 6
    block = bytearray(exif.tobytes())  # Exif\0\0, then a TIFF
    count = int.from_bytes(block[14:16], "big")
    struct.pack_into(">I", block, 16 + 12 * count, len(block) - 6)
    tags = [(513, 4, 1, len(block) - 6 + 30), (514, 4, 1, len(THUMBNAIL))]
    block += struct.pack(">H", 2) + b"".join(struct.pack(">HHII", *tag) for tag in tags)
    xmp = XMP.replace(b"<a/>", b'<a tiff:Orientation="6"/>')
    said = {"exif": bytes(block + bytes(4) + THUMBNAIL), "xmp": xmp}
    if file_format == "PNG":
        said["pnginfo"] = PngInfo()
        said["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    kind = "JPEG" if file_format == "TIFF" else file_format
    return encoded(picture(), kind, quality=95, **said)


def test_a_tiff_keeps_its_own_tags_and_no_structure_of_the_source(tmp_path):
    kept = {270: "A title", 316: "scanner", 315: "Zoë", 33432: "©"}
    tags = [(290, 3, 1, 2, True), (320, 3, 768, (0,) * 768, True)]
    tags += [(tag, 2, 0, text.encode(), True) for tag, text in kept.items()]
    for order, big in (("<", True), ("<", False), (">", False)):
        options = {"bigtiff": big, "byteorder": order, "extratags": tags}
        source = tiff(picture()[..., 0], **options)
        photograph = PhotographFile(source).read()
        assert write_pages([photograph], tmp_path / "a.tif") == set()
        with tifffile.TiffFile(tmp_path / "a.tif") as written:
            found = written.pages[0].tags
            assert {tag: found[tag].value for tag in kept} == kept
            assert not {290, 320} & {tag.code for tag in found}
            assert (written.asarray() == photograph.rgb).all()


def test_comments_of_a_png_a_gif_and_a_jpeg(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # Pillow warns, we do not
    info = PngInfo()
    for name, text in (("Author", "me"), ("Title", "Grüße"), ("Software", "写真")):
        info.add_text(name, text)  # as tEXt, which is Latin 1, or as iTXt
    for name in ("EXIF", "XMP", "dpi"):  # which are none
        info.add_text(name, "text")
    photograph = PhotographFile(encoded(picture(), "PNG", pnginfo=info)).read()
    assert write_pages([photograph], tmp_path / "a.png") == {"Title", "Software"}
    assert PhotographFile(tmp_path / "a.png").read().metadata == {"Author": "me"}
    for file_format in ("GIF", "JPEG"):
        content = encoded(picture(), file_format, comment=b"hello")
        assert PhotographFile(content).read().metadata["Comment"] == "hello"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_metadata_never_cost_the_photograph(tmp_path, suffix):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"x" * 70_000  # more than a segment of a JPEG holds
    loop = b"II*\0\x08\0\0\0\0\0\x08\0\0\0"  # its next directory is itself
    for block in (exif.tobytes(), b"Exif\0\0II*\0\xff\xff\xff\xff", b"junk", loop):
        odd = {"EXIF": block, "XMP": XMP * 3000, "IPTC": b"\0" * 70_000}
        odd |= {"dpi": (1e9, -1.0), "\0": "x" * 9**5, "number": 3}
        lost = write_pages([Photograph(picture(), None, odd)], tmp_path / f"a{suffix}")
        assert {"IPTC", "\0"} <= lost
        assert "EXIF" in lost or len(block) < 70_000 or suffix == ".tif"
        rgb = load_rgb(tmp_path / f"a{suffix}")
        assert np.abs(rgb.astype(int) - picture()).max() <= 8


def test_pages_of_several_sizes_and_depths(tmp_path):
    pages = [Photograph(picture()), Photograph(DEEP[:9], None, FULL)]
    assert write_pages(iter(pages), tmp_path / "a.tif") == {"Comment"}
    with tifffile.TiffFile(tmp_path / "a.tif") as written:
        assert [page.shape for page in written.pages] == [(24, 32, 3), (9, 32, 3)]
        assert (written.pages[1].asarray() == DEEP[:9]).all()


def test_a_lossy_webp_stays_small(tmp_path):
    source = encoded(data.astronaut(), "WEBP", quality=80)
    file, path = PhotographFile(source), tmp_path / "a.webp"
    write_pages([file.read()], path, lossy=file.lossy)
    assert path.stat().st_size < 3 * len(source)
    write_pages([file.read()], path, quality=20)
    assert path.stat().st_size < len(source)
    assert not PhotographFile(encoded(picture(), "WEBP", lossless=True)).lossy


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.webp"
    write_pages([Photograph(picture())], path)
    before = path.read_bytes()
    too_wide = Photograph(np.zeros((1, 20_000, 3), np.uint8))  # WebP ends at 16,383
    with pytest.raises(PhotographError, match="cannot be written"):
        write_pages([too_wide], path)
    with pytest.raises(PhotographError, match=r"found suffix '\.xyz', expected one of"):
        write_pages([too_wide], tmp_path / "a.xyz")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
