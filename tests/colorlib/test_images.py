import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageCms
from skimage import data as samples

from colorlib.images import (
    ORIENTATION_TAG,
    Photograph,
    PhotographError,
    fit_square,
    read_photograph,
    write_photograph,
)

# Colorants relative to D50, columns R, G, B: Adobe RGB (1998) specification, Annex C,
# and the sRGB profile published by the ICC. Both to four decimals.
ADOBE_TO_XYZ = np.array(
    [[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]]
)
SRGB_TO_XYZ = np.array(
    [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
)
ADOBE_GAMMA = 563 / 256


def encoded(image, file_format="PNG", **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def four_colours():
    """24 rows, 32 columns; every corner differs, so every turn shows."""
    rgb = np.zeros((24, 32, 3), np.uint8)
    rgb[:12, :16] = 220, 40, 40
    rgb[:12, 16:] = 40, 200, 60
    rgb[12:, :16] = 50, 60, 210
    rgb[12:, 16:] = 230, 220, 60
    return rgb


def wide_gamut_profile():
    """A version 2 ICC profile of Adobe RGB (1998), tag by tag."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(ADOBE_GAMMA * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    tags = {b"desc": text + b"\0" * (-len(text) % 4), b"cprt": b"text\0\0\0\0none"}
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + fixed((0.9642, 1.0, 0.8249))
    for channel, column in zip((b"r", b"g", b"b"), ADOBE_TO_XYZ.T, strict=True):
        tags[channel + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(column)
        tags[channel + b"TRC"] = curve
    offset, table, content = 132 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", offset + len(content), len(value))
        content += value
    header = struct.pack(">I4sI", offset + len(content), b"\0" * 4, 0x02100000)
    header += b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += fixed((0.9642, 1.0, 0.8249)) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + content


def adobe_to_srgb(rgb):
    linear = (rgb / 255) ** ADOBE_GAMMA
    linear = linear @ ADOBE_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T
    linear = linear.clip(0, 1)
    high = 1.055 * linear ** (1 / 2.4) - 0.055
    return 255 * np.where(linear > 0.0031308, high, 12.92 * linear)


# What a file holds ------------------------------------------------------------------


# How upright pixels lie in the file: EXIF 2.3, Section 4.6.4, "Orientation".
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),  # the viewer turns it clockwise
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_photograph_is_upright(orientation, file_format):
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](four_colours())))
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    options = {"quality": 100, "subsampling": 0} if file_format == "JPEG" else {}
    content = encoded(stored, file_format, exif=exif, **options)
    photograph = read_photograph(content)
    difference = photograph.rgb.astype(int) - four_colours()
    assert photograph.rgb.shape == (24, 32, 3)
    assert abs(difference).max() <= 3  # JPEG
    kept = Image.Exif()
    kept.load(photograph.exif or b"")
    assert ORIENTATION_TAG not in kept


def test_other_exif_is_kept(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION_TAG], exif[0x010F] = 6, "Maker"
    content = encoded(Image.fromarray(four_colours()), "JPEG", exif=exif)
    write_photograph(read_photograph(content), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif().get(0x010F) == "Maker"
        assert ORIENTATION_TAG not in image.getexif()
        assert image.size == (24, 32)


# A text where numbers belong (tag 320, the colour map): Pillow cannot write it again.
TEXT_FOR_NUMBERS = b"MM\0*\0\0\0\x08\0\x01\x01\x40\0\x02\0\0\0\x04abc\0\0\0\0\0"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "block", [b"XX no block", b"II*\0\xff\xff\xff\xff", TEXT_FOR_NUMBERS]
)
def test_broken_exif_is_ignored(file_format, block):
    image = Image.fromarray(four_colours())
    content = encoded(image, file_format, exif=b"Exif\0\0" + block)
    assert read_photograph(content).rgb.shape == (24, 32, 3)


@given(at=st.integers(0, 90), junk=st.binary(min_size=1, max_size=4))
def test_damaged_exif_never_costs_the_photograph(at, junk):
    exif = Image.Exif()
    exif[0x010F], exif[0x8769] = "Maker", {0x9000: b"0220"}
    block = bytearray(exif.tobytes())
    block[at : at + len(junk)] = junk
    content = encoded(Image.fromarray(four_colours()), exif=bytes(block))
    assert read_photograph(content).rgb.size == 24 * 32 * 3


def test_16_bit_gray_is_scaled_not_cut():
    values = np.array([[0, 128, 257, 32768, 65535]], np.uint16)
    photograph = read_photograph(encoded(Image.fromarray(values)))
    expected = np.round(values / 65535 * 255)
    assert (photograph.rgb == expected[..., None]).all()


def test_16_bit_gray_in_a_pgm_is_scaled_the_same():
    content = b"P5 2 1 65535\n" + struct.pack(">HH", 32768, 65535)
    assert read_photograph(content).rgb[0, :, 0].tolist() == [128, 255]


def test_float_tiff_from_0_to_1():
    values = np.linspace(0, 1, 6, dtype=np.float32)[None]
    photograph = read_photograph(encoded(Image.fromarray(values), "TIFF"))
    assert photograph.rgb[0, :, 1].tolist() == [0, 51, 102, 153, 204, 255]


@pytest.mark.parametrize("value", [255.0, -0.5, float("nan"), float("inf")])
def test_float_tiff_of_unknown_scale_is_refused(value):
    values = np.array([[0.0, value]], np.float32)
    with pytest.raises(PhotographError, match="not 0 to 1"):
        read_photograph(encoded(Image.fromarray(values), "TIFF"))


def test_palette_with_transparency():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    photograph = read_photograph(encoded(image, transparency=bytes([255, 128, 0])))
    assert photograph.rgb.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert photograph.alpha is not None
    assert photograph.alpha.tolist() == [[255, 128, 0]]


def test_cmyk_jpeg():
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[:] = 30, 200, 120, 40
    content = encoded(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100)
    rgb = read_photograph(content).rgb
    expected = [(255 - c) * (255 - 40) / 255 for c in (30, 200, 120)]
    assert abs(rgb - np.array(expected)).max() <= 4


@pytest.mark.parametrize(
    ("mode", "pixel", "rgb", "alpha"),
    [
        ("1", 255, (255, 255, 255), None),
        ("L", 77, (77, 77, 77), None),
        ("LA", (77, 9), (77, 77, 77), 9),
        ("RGB", (1, 2, 3), (1, 2, 3), None),
        ("RGBA", (1, 2, 3, 4), (1, 2, 3), 4),
    ],
)
def test_modes(mode, pixel, rgb, alpha):
    photograph = read_photograph(encoded(Image.new(mode, (2, 2), pixel)))
    assert (photograph.rgb == rgb).all()
    assert photograph.rgb.dtype == np.uint8
    assert (photograph.alpha is None) == (alpha is None)
    assert alpha is None or (photograph.alpha == alpha).all()


def test_wide_gamut_profile_is_brought_to_srgb():
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    content = encoded(Image.fromarray(rgb), icc_profile=wide_gamut_profile())
    difference = abs(read_photograph(content).rgb - adobe_to_srgb(rgb))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) <= 2
    assert abs(adobe_to_srgb(rgb) - rgb).mean() > 5  # the profile does something


def test_srgb_profile_changes_nothing():
    rgb = samples.astronaut()[::8, ::8]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(Image.fromarray(rgb), icc_profile=profile)
    assert abs(read_photograph(content).rgb.astype(int) - rgb).max() <= 1


def test_transparency_survives_a_profile():
    image = Image.new("RGBA", (2, 2), (200, 30, 30, 90))
    photograph = read_photograph(encoded(image, icc_profile=wide_gamut_profile()))
    assert photograph.alpha is not None
    assert (photograph.alpha == 90).all()
    assert photograph.rgb[0, 0, 0] > 200  # redder than sRGB's 200


@pytest.mark.parametrize("profile", [b"no profile", wide_gamut_profile()[:200]])
def test_broken_profile_is_ignored(profile):
    content = encoded(Image.fromarray(four_colours()), icc_profile=profile)
    assert (read_photograph(content).rgb == four_colours()).all()


def test_profile_of_other_pixels_is_ignored():
    content = encoded(Image.new("L", (2, 2), 90), icc_profile=wide_gamut_profile())
    assert (read_photograph(content).rgb == 90).all()


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), c) for c in ("#ff0000", "#00ff00")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (read_photograph(content).rgb == (255, 0, 0)).all()


def test_jpeg_may_be_decoded_smaller_but_not_too_small():
    content = encoded(Image.fromarray(samples.astronaut()), "JPEG", quality=95)
    assert read_photograph(content).rgb.shape == (512, 512, 3)
    small = read_photograph(content, at_least=100).rgb
    assert small.shape == (128, 128, 3)
    reference = fit_square(samples.astronaut(), 128)
    assert abs(small.astype(int) - reference).mean() < 3


def test_reads_paths_and_open_files(tmp_path):
    path = tmp_path / "größe\n.png"
    path.write_bytes(encoded(Image.fromarray(four_colours())))
    with path.open("rb") as file:
        for source in (path, str(path), file):
            assert (read_photograph(source).rgb == four_colours()).all()


# What is no photograph --------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image"),
        (b"I am a text, whatever my name says.\n", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image"),
        (encoded(Image.fromarray(four_colours()), "JPEG")[:-200], "(?i)truncated"),
        (encoded(Image.fromarray(samples.astronaut()))[:100_000], "truncated"),
    ],
)
def test_damaged_file_is_named(tmp_path, content, reason):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotographError, match=reason) as caught:
        read_photograph(path)
    assert caught.value.name == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
@given(at=st.floats(0, 1), junk=st.binary(min_size=1, max_size=40))
def test_damage_never_escapes_as_another_error(file_format, at, junk):
    content = bytearray(encoded(Image.fromarray(four_colours()), file_format))
    start = int(at * len(content))
    content[start : start + len(junk)] = junk
    try:
        rgb = read_photograph(bytes(content)).rgb
    except PhotographError:
        return
    assert rgb.dtype == np.uint8
    assert rgb.ndim == 3


def test_missing_file_and_folder_are_named(tmp_path):
    places = {tmp_path / "none.png": "nothing", tmp_path: "what is no file"}
    for path, found in places.items():
        expected = f"{path}: found {found}, expected a photograph; check the path"
        with pytest.raises(PhotographError, match=expected):
            read_photograph(path)


@pytest.mark.parametrize("limit", [500, 100])  # Pillow warns; above twice, it raises
def test_decompression_bomb_is_refused(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(PhotographError, match=f"at most {limit} pixels"):
        read_photograph(encoded(Image.fromarray(four_colours())))


# Writing ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".bmp", ".webp"])
def test_write_and_read_back(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_photograph(Photograph(four_colours()), path)
    assert (read_photograph(path).rgb == four_colours()).all()


def test_jpeg_keeps_the_chroma(tmp_path):
    write_photograph(Photograph(four_colours()), tmp_path / "a.jpg")
    read = read_photograph(tmp_path / "a.jpg").rgb
    assert abs(read.astype(int) - four_colours()).mean() < 2


@pytest.mark.parametrize(
    ("suffix", "kept"), [(".png", True), (".webp", True), (".jpg", False)]
)
def test_transparency_is_kept_where_it_can_be(tmp_path, suffix, kept):
    alpha = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    path = tmp_path / f"a{suffix}"
    write_photograph(Photograph(four_colours(), alpha), path)
    read = read_photograph(path).alpha
    assert (read is not None) == kept
    assert read is None or (read == alpha).all()


def test_long_exif_is_no_obstacle_to_a_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "long " * 20_000
    photograph = Photograph(four_colours(), exif=exif.tobytes())
    write_photograph(photograph, tmp_path / "a.jpg")
    assert read_photograph(tmp_path / "a.jpg").exif is None


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(PhotographError, match=r"found suffix '\.xyz', expected one of"):
        write_photograph(Photograph(four_colours()), tmp_path / "a.xyz")


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.webp"
    write_photograph(Photograph(four_colours()), path)
    before = path.read_bytes()
    too_wide = Photograph(np.zeros((1, 20_000, 3), np.uint8))  # WebP ends at 16,383
    with pytest.raises(PhotographError, match="cannot be written"):
        write_photograph(too_wide, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# Squares ----------------------------------------------------------------------------


def test_square_is_the_middle():
    rgb = np.zeros((10, 30, 3), np.uint8)
    rgb[:, 10:20] = 200
    assert (fit_square(rgb, 10) == 200).all()
    assert (fit_square(rgb.swapaxes(0, 1), 10) == 200).all()


def test_square_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = fit_square(stripes, 16)[2:-2, 2:-2]
    assert abs(inner - 127.5).max() < 3


@given(
    npst.arrays(
        np.uint8,
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)),
        elements=st.integers(0, 255),
        fill=st.integers(0, 255),
    ),
    st.integers(1, 33),
)
def test_square_has_its_size_and_mean(rgb, size):
    square = fit_square(rgb, size)
    assert square.shape == (size, size, 3)
    assert square.dtype == np.uint8
    flat = np.full_like(rgb, 123)
    assert (fit_square(flat, size) == 123).all()
