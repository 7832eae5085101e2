"""The scores of the bundled model: joined as the package does, beside fair means."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.data import chelsea
from support import SMALL

from colorlib.color import images_to_float
from colorlib.colorize import gray_of, join_with_own_lightness
from colorlib.images import Photograph, fit_square
from colorlib.metrics import score_images
from colorlib.unet import ColorUNet
from tools import evaluate_bundled
from tools.evaluate_bundled import (
    Colouring,
    add_scores,
    choose,
    evaluate,
    without_adjustment,
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
    colouring = Colouring(net, torch.from_numpy(photograph.rgb)[None], torch.zeros(261))
    ab_norm = colouring.ab_norm(colouring.logits(64, False), 0.4, 0.0)
    # The package shows the photograph's own lightness: here that of its gray copy.
    gray = gray_of(photograph.rgb)  # (H, W)
    expected = np.repeat(gray[..., None], 3, axis=-1)
    join_with_own_lightness(expected, gray, ab_norm, expected)
    found = (colouring.joined(ab_norm)[0] * 255).round().movedim(0, -1)
    difference = np.abs(found.numpy() - expected)
    assert difference.mean() < 0.5  # they make the small copy by different filters
    assert np.quantile(difference, 0.99) <= 4


def test_mirrored_views_do_not_depend_on_which_comes_first(net):
    images = torch.from_numpy(fit_square(chelsea(), 80))[None]
    one = Colouring(net, images, torch.zeros(261)).logits(64, True)
    other = Colouring(net, images.flip(2), torch.zeros(261)).logits(64, True)
    torch.testing.assert_close(one, other.flip(-1), rtol=1e-3, atol=1e-4)


def test_the_adjustment_prefers_what_is_rare(net):
    log_prior = torch.zeros(261)
    log_prior[7] = -1000.0
    colouring = Colouring(net, torch.zeros(1, 16, 16, 3, dtype=torch.uint8), log_prior)
    ab = 128 * colouring.ab_norm(colouring.logits(64, False), 0.4, 1.0)
    assert torch.equal(ab[0, :, 0, 0], net.centres[7])


def test_an_adjustment_is_not_chosen_on_top_of_another(net):
    log_prior, before = torch.linspace(-9, -1, 261), net.head.bias.detach().clone()
    notes = {"log_prior": log_prior.tolist(), "logit_adjustment": -0.15}
    with torch.no_grad():
        net.head.bias -= -0.15 * log_prior  # as `folded` does
    assert torch.equal(without_adjustment(net, notes), log_prior)
    torch.testing.assert_close(net.head.bias, before, rtol=0, atol=1e-6)


def test_choosing_ranks_good_settings_by_ciede2000(net, packed, monkeypatch):
    monkeypatch.setattr(evaluate_bundled, "VIEW_SIZES", (64,))
    monkeypatch.setattr(evaluate_bundled, "TEMPERATURES", (0.3, 1.0))
    monkeypatch.setattr(evaluate_bundled, "ADJUSTMENTS", (0.0,))
    monkeypatch.setattr(evaluate_bundled, "COLOURFUL", 0.0)
    monkeypatch.setattr(evaluate_bundled, "PATCHY", 1.0)
    found = choose(net, packed, torch.zeros(261), 3)
    assert len(found) == 4
    ciede = [row["mean"]["ciede2000"] for row in found]
    assert ciede == sorted(ciede)
    monkeypatch.setattr(evaluate_bundled, "COLOURFUL", 100.0)
    assert choose(net, packed, torch.zeros(261), 3) == found  # none is: all in order


def test_tests_are_scored_beside_the_baselines(net, packed):
    report = evaluate(net, packed, packed.parent / "data", False, 3)
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
    del found["patchy"]
    for name, (values,) in found.items():
        torch.testing.assert_close(values, expected[name])


@pytest.mark.parametrize(("rows", "patchy"), [(0, 0.0), (1, 0.0), (3, 1.0)])
def test_a_wrong_vivid_patch_counts_if_it_can_be_seen(rows, patchy):
    gray = torch.full((1, 50, 50, 3), 128, dtype=torch.uint8)
    red, scores = images_to_float(gray), defaultdict(list)
    red[:, :, :rows] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    add_scores(scores, red, gray)
    assert scores["patchy"][0].item() == patchy
