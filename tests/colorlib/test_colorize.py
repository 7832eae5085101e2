import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from skimage import color as skcolor
from skimage import data

from colorlib import colorize
from colorlib.colorize import (
    Colorizer,
    chroma_along_lightness,
    colorize_file,
    gray_of,
    join_with_own_lightness,
    plan_outputs,
)
from colorlib.errors import UserError
from colorlib.images import Photograph, read_photograph
from colorlib.model import build_model, save_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    notes = {
        "size": 32,
        "scores": "softmax",
        "backbone_image_size": 64,
        "backbones": [],
    }
    notes |= {"target": "lab", "gray": "L"}
    save_model(build_model("plain", width=0.1), path, notes)
    return path


@pytest.fixture(scope="module")
def colorizer(weights):
    return Colorizer.load(weights)


def lightness(rgb):
    return skcolor.rgb2lab(rgb)[..., 0]


@pytest.mark.parametrize(("H", "W"), [(37, 61), (8, 8), (300, 40), (513, 129)])
def test_size_and_lightness_stay(colorizer, H, W):
    rgb = np.random.default_rng(0).integers(40, 215, (H, W, 3), dtype=np.uint8)
    coloured = colorizer.colorize(Photograph(rgb, None, None)).rgb
    assert coloured.shape == (H, W, 3)
    assert np.abs(lightness(coloured) - lightness(rgb)).max() < 0.5  # 8 bits


NAMES = ["astronaut", "coffee", "chelsea", "rocket"]


@pytest.mark.parametrize("name", NAMES)
def test_gray_is_that_of_the_same_lightness(name):
    rgb = getattr(data, name)()
    gray = gray_of(rgb)
    assert (np.ptp(gray, axis=2) == 0).all()
    levels = lightness(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2))
    furthest = np.diff(levels).max() / 2  # from the nearest of the 256 grays
    assert np.abs(lightness(gray) - lightness(rgb)).max() < furthest + 0.01
    np.testing.assert_array_equal(gray_of(gray), gray)


@pytest.mark.parametrize("name", NAMES)
def test_the_photograph_s_own_colour_is_not_looked_at(name):
    shipped, rgb = Colorizer.load(), getattr(data, name)()
    one, other = (
        skcolor.rgb2lab(shipped.colorize(Photograph(image)).rgb)
        for image in (rgb, gray_of(rgb))
    )
    # The gray one's lightness is rounded to 8 bits, and so are both results: together
    # 0.9 Lab units. Of copies that were made small in colour it was 1.8 to 4.
    assert np.abs(one - other).max() < 1.2


def predicted(colorizer, rgb, monkeypatch):
    """The chroma that is predicted for a photograph, before it is enlarged."""
    seen = []
    monkeypatch.setattr(
        colorize,
        "join_with_own_lightness",
        lambda photograph, gray, ab_norm: seen.append(ab_norm) or photograph.rgb,
    )
    colorizer.colorize(Photograph(rgb))
    return seen[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_to_a_photograph_is_that_to_its_gray_copy(name, monkeypatch):
    shipped, rgb = Colorizer.load(), getattr(data, name)()
    one, other = (predicted(shipped, i, monkeypatch) for i in (rgb, gray_of(rgb)))
    assert torch.equal(one, other)
    assert one.abs().max() > 0.05


def test_chroma_of_the_same_size_is_joined_pixel_by_pixel():
    rgb = data.coffee()[:300:2, :300:2]
    lab = skcolor.rgb2lab(rgb)
    ab_norm = torch.from_numpy(lab[..., 1:] / 128).permute(2, 0, 1)[None].float()
    gray = np.repeat(np.round(255 * lab[..., :1] / 100), 3, axis=2).astype(np.uint8)
    joined = join_with_own_lightness(Photograph(gray), gray, ab_norm)
    expected = np.dstack([lightness(gray), lab[..., 1:]])
    difference = joined - 255 * skcolor.lab2rgb(expected)
    assert np.abs(difference).max() <= 1


def test_strips_leave_no_seam(monkeypatch):
    photograph = Photograph(data.coffee()[:300, :40])
    gray = gray_of(photograph.rgb)
    ramp = torch.linspace(-0.2, 0.2, 64).reshape(1, 1, 64, 1).expand(1, 2, 64, 4)
    whole = join_with_own_lightness(photograph, gray, ramp)
    for rows in (1, 7, 256):
        monkeypatch.setattr(colorize, "STRIP_PIXELS", 40 * rows)
        in_strips = join_with_own_lightness(photograph, gray, ramp)
        # Lines of another length go through other vector units: the last bit differs.
        assert np.abs(in_strips.astype(int) - whole).max() <= 1


def test_chroma_goes_through_what_was_predicted():
    L_norm, ab_norm = torch.rand(1, 1, 9, 7) * 2 - 1, torch.rand(1, 2, 9, 7) - 0.5
    slope, offset = chroma_along_lightness(ab_norm, L_norm).chunk(2, dim=1)
    torch.testing.assert_close(slope * L_norm + offset, ab_norm)


def test_a_slope_is_that_of_least_squares():
    generator = torch.Generator().manual_seed(0)
    L_norm = torch.rand(1, 1, 3, 3, generator=generator) * 2 - 1
    a_unit = torch.rand(1, 1, 3, 3, generator=generator) - 0.5
    lines = chroma_along_lightness(torch.cat([a_unit, L_norm], 1), L_norm)
    x, y = (plane.flatten().double().numpy() for plane in (L_norm, a_unit))
    config = np.stack([x - x.mean(), np.zeros(9)]).T
    config = np.vstack([config, [np.sqrt(9 * colorize.FLAT), 0]])  # the ridge
    expected = np.linalg.lstsq(config, np.append(y - y.mean(), 0), rcond=None)[0][0]
    assert lines[0, 0, 1, 1].item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_chroma_along_lightness_is_closer_than_bilinear(monkeypatch, name):
    rgb = getattr(data, name)()
    scale = 64 / min(rgb.shape[:2])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    ab = skcolor.rgb2lab(small)[..., 1:].transpose(2, 0, 1).astype(np.float32)
    ab_norm = torch.from_numpy(ab)[None] / 128  # (1, 2, h, w)

    def error():
        joined = join_with_own_lightness(Photograph(rgb), gray_of(rgb), ab_norm)
        return skcolor.deltaE_ciede2000(*map(skcolor.rgb2lab, (rgb, joined))).mean()

    along_lightness = error()
    monkeypatch.setattr(colorize, "FLAT", 1e9)  # no slope: bilinear
    assert along_lightness < 0.98 * error()


def save(image, path, **options):
    image.save(path, **options)
    return path


def odd_images(folder):
    """Files as people have them, each with the size it should come out with."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(data.coffee()[:80, :120])
    deep = (rng.random((80, 120)) * 65535).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side: the width becomes the height
    return {
        "gray": save(rgb.convert("L"), folder / "gray.png"),
        "16 bits": save(Image.fromarray(deep), folder / "deep.png"),
        "palette": save(rgb.quantize(16), folder / "palette.png"),
        "cmyk": save(rgb.convert("CMYK"), folder / "cmyk.jpg"),
        "alpha": save(rgb.convert("RGBA"), folder / "alpha.png"),
        "gray alpha": save(rgb.convert("LA"), folder / "la.png"),
        "gray tiff": save(rgb.convert("L"), folder / "scan.tif"),
        "palette tiff": save(rgb.quantize(16), folder / "colours.tif"),
        "cmyk tiff": save(rgb.convert("CMYK"), folder / "inks.tif"),
        "turned": save(rgb, folder / "turned.jpg", exif=exif),
        "profile": save(
            rgb,
            folder / "profile.jpg",
            icc_profile=ImageCms.ImageCmsProfile(
                ImageCms.createProfile("sRGB")
            ).tobytes(),
        ),
    }


def test_odd_files_come_out_in_colour(colorizer, tmp_path):
    for kind, source in odd_images(tmp_path).items():
        target = tmp_path / "out" / f"{source.stem}.png"
        colorize_file(colorizer, source, target)
        with Image.open(target) as image:
            expected = (80, 120) if kind == "turned" else (120, 80)
            assert image.size == expected, kind
            assert ("A" in image.mode) == ("alpha" in kind), kind
        rgb = read_photograph(target).rgb.astype(int)
        assert (rgb.max(axis=2) - rgb.min(axis=2)).max() > 3, kind


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "I;16", "F", "CMYK", "RGB"])
def test_a_tiff_comes_out_as_a_tiff_that_opens(mode, colorizer, tmp_path):
    gray = np.linspace(0, 1, 48 * 64).reshape(48, 64)
    source, target = tmp_path / "in.tif", tmp_path / "out.tif"
    deep = {"I;16": (gray * 65535).astype("u2"), "F": gray.astype("f4")}
    image = Image.fromarray(deep.get(mode, (gray * 255).astype("u1")))
    (image if mode in deep else image.convert(mode)).save(source)
    colorize_file(colorizer, source, target)
    with Image.open(target) as written:
        assert "icc_profile" not in written.info
    other = target.with_suffix(".png")
    colorize_file(colorizer, source, other)
    np.testing.assert_array_equal(
        read_photograph(target).rgb, read_photograph(other).rgb
    )


def test_a_result_is_not_overwritten(colorizer, tmp_path):
    source = save(Image.fromarray(data.coffee()[:40, :40]), tmp_path / "a.png")
    target = tmp_path / "b.png"
    target.write_bytes(b"precious")
    with pytest.raises(UserError, match="--force"):
        colorize_file(colorizer, source, target)
    assert target.read_bytes() == b"precious"
    colorize_file(colorizer, source, target, overwrite=True)
    assert read_photograph(target).rgb.shape == (40, 40, 3)


def test_results_keep_the_layout_of_a_folder(tmp_path):
    for name in ("a.jpg", "deep/b.png", "deep/note.txt", "a.coloured.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    jobs = plan_outputs([tmp_path / "in"], tmp_path / "out")
    assert [str(target.relative_to(tmp_path)) for _, target in jobs] == [
        "out/a.coloured.jpg",
        "out/deep/b.coloured.png",
    ]


def test_results_go_beside_the_photographs(tmp_path):
    source = tmp_path / "a.gif"
    source.touch()
    assert plan_outputs([source], None) == [(source, tmp_path / "a.coloured.png")]


def test_missing_and_empty_inputs_are_named(tmp_path):
    with pytest.raises(UserError, match="none"):
        plan_outputs([tmp_path / "none"], None)
    with pytest.raises(UserError, match="no picture"):
        plan_outputs([tmp_path], None)


def test_two_results_of_one_name_are_refused(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()
    inputs = [tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.jpg"]
    with pytest.raises(UserError, match="rename one"):
        plan_outputs(inputs, tmp_path / "out")


def test_a_model_with_backbones_asks_them(tmp_path):
    from colorlib.backbones import load_backbone
    from companion.config import load_profile
    from companion.data_setup import Folders
    from companion.pipeline import evaluate_weights

    name = "test_resnet.r160_in1k"
    about = {"name": name, "weights": "random"}
    torch.manual_seed(0)
    model = build_model("model1", backbones=[name], width=0.1)
    notes = {"size": 32, "scores": "softmax", "backbone_image_size": 64}
    notes |= {"target": "lab", "gray": "L"}
    right = load_backbone(name, "random").weights_hash
    for weights_hash in (right, "0" * 64):
        path = tmp_path / f"{weights_hash[:4]}.safetensors"
        listed = [about | {"weights_hash": weights_hash}]
        save_model(model, path, notes | {"backbones": listed})
    photograph = Photograph(data.coffee()[:64, :96], None, None)
    found = Colorizer.load(tmp_path / f"{right[:4]}.safetensors").colorize(photograph)
    assert found.rgb.shape == (64, 96, 3)
    with pytest.raises(UserError, match="other weights"):
        Colorizer.load(tmp_path / "0000.safetensors")
    with pytest.raises(UserError, match="other weights"):
        evaluate_weights(
            load_profile("smoke"),
            tmp_path / "0000.safetensors",
            Folders(None, None, tmp_path / "cache", tmp_path / "runs"),
            say=lambda line: None,
        )


def test_bytes_are_a_photograph_too(colorizer):
    buffer = io.BytesIO()
    Image.fromarray(data.coffee()[:40, :40]).save(buffer, "PNG")
    photograph = read_photograph(buffer.getvalue())
    assert colorizer.colorize(photograph).rgb.shape == (40, 40, 3)
