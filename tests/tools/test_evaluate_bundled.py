"""The scores of the bundled model: joined as the package does, beside fair means."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.data import chelsea
from support import SMALL

from colorlib.color import images_to_float, lab_to_rgb, rgb_to_lab
from colorlib.colorize import gray_of, join_with_own_lightness
from colorlib.images import Photograph, fit_square
from colorlib.metrics import score_images
from colorlib.unet import ColorUNet
from tools import evaluate_bundled
from tools.evaluate_bundled import (
    Colouring,
    Setting,
    _ranked,
    add_scores,
    choose,
    evaluate,
)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return ColorUNet(replace(SMALL, view_size=64)).eval()


def test_chroma_is_joined_as_the_package_joins_it(net):
    photograph = Photograph(fit_square(chelsea(), 80))
    colouring = Colouring(net, torch.from_numpy(photograph.rgb)[None])
    ab_norm = colouring.ab_norm(colouring.logits(64), 0.002)
    # The package shows the photograph's own lightness: here that of its gray copy.
    gray = gray_of(photograph.rgb)  # (H, W)
    expected = np.repeat(gray[..., None], 3, axis=-1)
    join_with_own_lightness(expected, gray, ab_norm, expected)
    found = (colouring.joined(ab_norm)[0] * 255).round().movedim(0, -1)
    difference = np.abs(found.numpy() - expected)
    assert difference.mean() < 0.5  # they make the small copy by different filters
    assert np.quantile(difference, 0.99) <= 4


def test_choosing_scores_every_setting(net, packed, monkeypatch):
    monkeypatch.setattr(evaluate_bundled, "VIEW_SIZES", (64, 80))
    monkeypatch.setattr(evaluate_bundled, "CAUTIONS", (0.0, 0.02))
    found = choose(net, packed, 3)
    assert len({tuple(row["setting"].values()) for row in found}) == 4
    harm = {row["setting"]["caution"]: row["mean"]["harmed"] for row in found}
    assert harm[0.0] > harm[0.02]


def test_the_setting_chosen_harms_few_and_is_the_finest_of_those_alike():
    scores = {  # view size, caution: CIEDE2000, harmed, colourful
        (160, 0.0): (-2.9, 0.03, 0.9),  # harms too many
        (96, 0.01): (-1.949, 0.02, 0.4),  # the lowest of the others
        (128, 0.01): (-1.931, 0.01, 0.4),  # alike, larger
        (128, 0.005): (-1.93, 0.02, 0.5),  # alike, as large, more colourful
        (144, 0.01): (-1.92, 0.01, 0.6),  # larger, not alike
    }
    names = "ciede2000", "harmed", "colourful"
    tables = {
        Setting(*key): {"some": dict(zip(names, values, strict=True))}
        for key, values in scores.items()
    }
    ranked = [tuple(row["setting"].values()) for row in _ranked(tables)]
    assert ranked == [(128, 0.005), (128, 0.01), (96, 0.01), (144, 0.01), (160, 0.0)]


def test_tests_are_scored_beside_the_baselines(net, packed):
    report = evaluate(net, packed, packed.parent / "data", 3)
    (scores,) = report.values()
    assert scores["gray"]["colourfulness"]["mean"] < 0.5
    assert scores["gray"]["ciede2000"]["n"] == 3
    gain = scores["differences"]["mean image"]["ciede2000"]
    means = [scores[key]["ciede2000"]["mean"] for key in ("model", "mean image")]
    assert gain["mean"] == pytest.approx(means[0] - means[1], abs=1e-5)
    assert evaluate_bundled.line_of("mini", scores).startswith("mini (n = 3)")


def test_scores_are_those_of_the_package():
    rgb = torch.rand(2, 3, 20, 20)
    images = torch.randint(0, 256, (2, 20, 20, 3), dtype=torch.uint8)
    found = defaultdict(list)
    add_scores(found, rgb, images)
    expected = score_images(rgb, images_to_float(images))
    del found["harmed"]
    for name, (values,) in found.items():
        torch.testing.assert_close(values, expected[name])


@pytest.mark.parametrize(
    ("rows", "chroma", "harmed"), [(2, 30, 0), (3, 30, 1), (9, 14, 0)]
)
def test_a_photograph_is_harmed_where_gray_is_visibly_nearer(rows, chroma, harmed):
    gray = torch.full((1, 50, 50, 3), 128, dtype=torch.uint8)
    lab, scores = rgb_to_lab(images_to_float(gray)), defaultdict(list)
    lab[:, 1, :rows] = chroma  # of 50 rows
    add_scores(scores, lab_to_rgb(lab), gray)
    assert scores["harmed"][0].item() == harmed
