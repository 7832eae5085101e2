"""What a file shows, by whatever way it is read; see tests/faults/hostile.py."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hostile import ORDINARY, TURNED, encoded, picture, tiff, tiff_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data as samples

from colorlib.images import (
    PhotographError,
    PhotographFile,
    fit_square,
    left_out_as,
    load_rgb,
)


def difference(photograph, file):
    """How far values lie off what a file shows, of 255."""
    white = np.iinfo(photograph.rgb.dtype).max
    if photograph.rgb.shape != file.shows.shape:
        return np.inf
    off = np.abs(photograph.rgb * (255 / white) - file.shows).max()
    if file.alpha is False:
        return off
    if photograph.alpha is None or file.alpha is None:
        return off if photograph.alpha is file.alpha is None else np.inf
    return max(off, np.abs(photograph.alpha * (255 / white) - file.alpha).max())


@pytest.mark.parametrize("kind", ORDINARY, ids=lambda kind: kind.__name__)
def test_a_file_shows_the_same_by_path_and_by_bytes_and_rightly(kind, tmp_path):
    wrong, path = [], tmp_path / "photograph"
    for file in kind():
        path.write_bytes(file.content)
        read = []
        for source in (path, file.content):
            try:
                read.append(PhotographFile(source).read(deep=True))
            except PhotographError as error:
                read.append(error.reason)
        if isinstance(read[0], str):
            right = file.may_be_refused and read[0] == read[1]
        else:
            same = np.array_equal(read[0].rgb, read[1].rgb)
            right = same and difference(read[0], file) <= file.close
        wrong += [] if right else [f"{file.name}: {read[0]}"[:120]]
    assert wrong == []


def test_16_bits_are_kept_if_wanted_and_rounded_if_not():
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    file = PhotographFile(encoded(values, "PNG"))
    assert (file.read(deep=True).rgb == values[..., None]).all()
    assert (file.read().rgb == np.round(values / 257)[..., None]).all()
    assert file.read().rgb.dtype == np.uint8


def test_every_page_of_its_own_size_depth_and_orientation():
    first, shows, _ = tiff_of("gray", "u2", 6)
    file = io.BytesIO(first)
    with tifffile.TiffWriter(file, append=True) as writer:
        writer.write(picture(9, 7), photometric="rgb", metadata=None)
        writer.write(picture(4, 4), photometric="rgb", subfiletype=1)  # a small copy
    opened = PhotographFile(file.getvalue())
    assert opened.pages == 2
    assert opened.read(0, deep=True).rgb.shape == shows.shape
    assert (opened.read(1).rgb == picture(9, 7)).all()


# Data sets --------------------------------------------------------------------------


def photo(size=(40, 30), **options):
    image = Image.fromarray(samples.coffee()).resize(size)
    return encoded(image, "JPEG", quality=90, **options)


def test_at_least_so_many_pixels_are_kept_of_turned_photographs_too():
    content = encoded(samples.astronaut(), "JPEG", quality=95)
    for at_least, side in ((300, 512), (129, 256), (128, 128), (1, 64)):
        assert load_rgb(content, at_least).shape == (side, side, 3)
    reference = fit_square(samples.astronaut(), 128).astype(int)
    assert abs(load_rgb(content, 128) - reference).mean() < 3
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photo((400, 300), exif=exif)
    assert load_rgb(turned, 100).shape == (200, 150, 3)
    assert (load_rgb(turned) == TURNED[6](load_rgb(photo((400, 300))))).all()


def test_sources_of_every_kind(tmp_path, monkeypatch):
    content = encoded(picture(), "PNG")
    path = tmp_path / "größe\n[1].png"
    path.write_bytes(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "home.png").write_bytes(content)
    for source in (path, str(path), content, "~/home.png"):
        assert (PhotographFile(source).read().rgb == picture()).all()
    names = ["a.jpg", "b/c.JPEG", "x.tga", "x.pbm", "x.heic", "x.NEF"]
    others = ["a.txt", "jpg", "._x.jpg", "@eaDir/x.jpg", ".thumbnails/b/x.jpg"]
    others.append("x.coloured.jpg")  # made by us
    assert [n for n in names + others if not left_out_as(Path(n))] == names


# What is no photograph --------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"I am a text, whatever my name says.\n", "is not an image"),
        (b"%PDF-1.7", "is a PDF, expected a photograph"),
        (b'<?xml version="1.0"?><svg/>', "is an SVG drawing"),
        (b"\0\0\0\x18ftypheic", "is a HEIC file, .* export it as JPEG"),
        (b"II*\0\x10\0\0\0CR\x02\0", "is a camera's raw file"),
        (tiff_of("gray", "i2")[0], "signed numbers of 16 bits"),
        (tiff(np.array([[0, 300]], np.float32)), "floating-point numbers of 32 bits"),
        (encoded(picture(), "JPEG")[:-200], "(?i)premature end|truncated"),
        (None, "found nothing, expected a photograph; check the path"),
    ],
)
def test_a_refusal_is_one_line_with_name_and_reason(tmp_path, content, reason):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    for read in (lambda path: PhotographFile(path).read(), load_rgb):
        with pytest.raises(PhotographError, match=reason) as caught:
            read(path)
        assert caught.value.name == str(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
def test_the_limit_of_pixels_is_named_and_can_be_raised(file_format):
    content = encoded(picture(), file_format)
    expected = r"has 768 pixels, expected at most 700; .*--max-pixels"
    with pytest.raises(PhotographError, match=expected):
        PhotographFile(content, max_pixels=700).read()
    assert PhotographFile(content, max_pixels=768).read().rgb.shape == (24, 32, 3)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
@given(at=st.floats(0, 1), junk=st.binary(min_size=1, max_size=40))
def test_damage_never_escapes_as_another_error(file_format, at, junk):
    content = bytearray(encoded(picture(), file_format))
    start = int(at * len(content))
    content[start : start + len(junk)] = junk
    try:
        rgb = load_rgb(bytes(content))
    except PhotographError:
        return
    assert (rgb.dtype, rgb.ndim) == (np.uint8, 3)


def test_a_square_is_the_middle_and_antialiased():
    rgb = np.zeros((10, 30, 3), np.uint8)
    rgb[:, 10:20] = 200
    assert (fit_square(rgb, 10) == 200).all()
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    assert abs(fit_square(stripes, 16)[2:-2, 2:-2] - 127.5).max() < 3
