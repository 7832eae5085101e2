import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from hostile import encoded, picture, rich_exif, tiff
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage import data

from colorlib.images import (
    Metadata,
    Photograph,
    PhotographError,
    PhotographFile,
    read_photograph,
)
from colorlib.images.writer import write_pages

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a/></x:xmpmeta>'
IPTC = b"\x1c\x02\x05\0\x03abc"
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


FULL = Metadata(rich_exif().tobytes(), XMP, IPTC, (300.0, 300.0), {"Comment": "Grüße"})
LOST = {
    ".jpg": set(), ".png": {"IPTC"}, ".tif": {"Comment"},
    ".webp": {"IPTC", "Comment", "dpi"}, ".avif": {"IPTC", "Comment", "dpi"},
}  # fmt: skip


@pytest.mark.parametrize("suffix", LOST)
def test_metadata_are_kept_or_their_loss_is_told(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    lost = write_pages([Photograph(picture(), None, FULL)], path)
    assert lost == LOST[suffix]
    with Image.open(path) as image:  # by another reader
        exif = image.getexif()
        assert exif[0x010F] == "Maker"
        assert exif.get_ifd(0x8769)[0x9003] == "1999:01:01 01:01:01"
        assert exif.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0)
        assert exif.get(0x0112, 1) == 1
        xmp = image.info.get("XML:com.adobe.xmp", "").encode()
        assert XMP in (image.info.get("xmp") or xmp)
    kept = PhotographFile(path).read().metadata
    assert kept.iptc == (IPTC if "IPTC" not in lost else None)
    if suffix in (".jpg", ".png", ".tif"):
        assert [round(dots) for dots in image.info["dpi"]] == [300, 300]


def test_a_tiff_keeps_its_own_tags_and_no_structure_of_the_source(tmp_path):
    tags = [(290, 3, 1, 2, True), (270, 2, 0, "A title", True)]
    tags += [(315, 2, 0, "Artist", True), (320, 3, 768, (0,) * 768, True)]
    source = tiff(picture()[..., 0], bigtiff=True, software="scan", extratags=tags)
    photograph = read_photograph(source)
    assert write_pages([photograph], tmp_path / "a.tif") == set()
    with tifffile.TiffFile(tmp_path / "a.tif") as written:
        kept = {270: "A title", 305: "scan", 315: "Artist"}
        found = written.pages[0].tags
        assert {tag: found[tag].value for tag in kept} == kept
        assert 290 not in found
        assert 320 not in found
        assert (written.asarray() == photograph.rgb).all()


def test_exif_goes_from_a_tiff_to_a_tiff_and_to_a_jpeg(tmp_path):
    write_pages([Photograph(picture(), None, FULL)], tmp_path / "a.tif")
    photograph = read_photograph(tmp_path / "a.tif")
    for name in ("b.tif", "b.jpg"):
        write_pages([photograph], tmp_path / name)
        with Image.open(tmp_path / name) as image:
            exif = image.getexif()
            assert exif.get_ifd(0x8769)[0x9003] == "1999:01:01 01:01:01"
            assert exif.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0)
        assert PhotographFile(tmp_path / name).read().metadata.iptc == IPTC


def test_a_comment_of_a_png_and_of_a_gif(tmp_path):
    info = PngInfo()
    info.add_text("Author", "me")
    content = encoded(picture(), "PNG", pnginfo=info)
    write_pages([read_photograph(content)], tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.text["Author"] == "me"
    photograph = read_photograph(encoded(picture(), "GIF", comment=b"hello"))
    assert photograph.metadata.comments == {"Comment": "hello"}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_metadata_never_cost_the_photograph(tmp_path, suffix):
    long = {0x9286: b"x" * 70_000}  # more than a segment of a JPEG holds
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(long)
    for block in (exif.tobytes(), b"Exif\0\0II*\0\xff\xff\xff\xff", b"junk"):
        odd = Metadata(
            block, XMP * 3000, b"\0" * 70_000, (1e9, -1.0), {"\0": "x" * 9**5}
        )
        write_pages([Photograph(picture(), None, odd)], tmp_path / f"a{suffix}")
        rgb = read_photograph(tmp_path / f"a{suffix}").rgb
        assert np.abs(rgb.astype(int) - picture()).max() <= 8


def test_pages_of_several_sizes_and_depths(tmp_path):
    pages = [Photograph(picture()), Photograph(DEEP[:9], None, FULL)]
    assert write_pages(iter(pages), tmp_path / "a.tif") == {"Comment"}
    written = tifffile.TiffFile(tmp_path / "a.tif")
    assert [page.shape for page in written.pages] == [(24, 32, 3), (9, 32, 3)]
    assert (written.pages[1].asarray() == DEEP[:9]).all()
    written.close()


def test_a_lossy_webp_stays_small(tmp_path):
    source = encoded(data.astronaut(), "WEBP", quality=80)
    file, path = PhotographFile(source), tmp_path / "a.webp"
    write_pages([file.read()], path, lossy=file.lossy)
    assert path.stat().st_size < 3 * len(source)
    write_pages([file.read()], path, quality=20)
    assert path.stat().st_size < len(source)
    assert not PhotographFile(encoded(picture(), "WEBP", lossless=True)).lossy


def test_permissions_are_those_of_the_user(tmp_path):
    before = os.umask(0o027)
    try:
        write_pages([Photograph(picture())], tmp_path / "deep" / "a.png")
    finally:
        os.umask(before)
    assert (tmp_path / "deep" / "a.png").stat().st_mode & 0o777 == 0o640


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


ENDLESS = """
import sys, numpy as np
from pathlib import Path
from colorlib.images.writer import write_pages
from colorlib.images import Photograph
rgb = np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)
print("ready", flush=True)
while True:
    write_pages([Photograph(rgb)], Path(sys.argv[1]))
"""


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_kill_leaves_a_whole_file_or_none(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    arguments = [sys.executable, "-c", ENDLESS, str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == [path]
    assert read_photograph(path).rgb.shape == (900, 900, 3)
