"""Scores beside the naive baselines, where the errors are, and warnings."""

import numpy as np
import pytest
import torch
from skimage import color as skcolor

from colorlib.color import images_to_float, lab_to_rgb, normalize_lab, rgb_to_lab
from colorlib.evaluation import (
    CHROMA_CLASSES,
    GRAY,
    MEAN_COLOUR,
    MEAN_IMAGE,
    MODEL,
    baselines,
    chroma_by_true_chroma,
    degenerate_model_warnings,
    mean_image,
    score_predictor,
)
from colorlib.metrics import score_images
from colorlib.sampling import EpochLoader, Samples
from colorlib.targets import PAPER, Target

# Saturation is low in these: nothing is clipped, so formulas hold exactly.
PALE = np.random.default_rng(0).integers(90, 160, (10, 16, 16, 3), dtype=np.uint8)
VIVID = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
PALE_RGB = images_to_float(torch.from_numpy(PALE))


def batches(images, batch_size=4):
    return EpochLoader(Samples(images, None, np.arange(len(images))), batch_size)


def oracle(images, target=PAPER):
    """A predictor that looks the answer up."""
    known, answers = target.split(images_to_float(torch.from_numpy(images)))

    def predict(L_norm, features):
        distances = (L_norm[:, None] - known[None]).abs().sum(dim=(2, 3, 4))
        return answers[distances.argmin(dim=1)]

    return predict


def constant(a, b):
    """A predictor of one colour, in Lab units."""

    def predict(L_norm, features):
        ab = torch.tensor([a, b]).view(1, 2, 1, 1) / 128
        return ab.expand(len(L_norm), 2, *L_norm.shape[-2:])

    return predict


# ------------------------------------------------------------------------------- scores


def test_the_right_answer_scores_no_error_whatever_the_batches():
    one, other = (score_predictor(oracle(PALE), batches(PALE, size)) for size in (1, 7))
    assert {len(values) for values in one.values()} == {10}
    assert one["loss_eq1"].max() < 1e-12
    assert one["psnr_rgb"].min() > 80
    assert one["out_of_gamut"].max() == 0
    for metric, values in one.items():
        torch.testing.assert_close(values, other[metric])
    vivid = score_predictor(constant(128.0, 128.0), batches(PALE))
    assert vivid["out_of_gamut"].min() == 1


def test_the_baselines_are_what_they_are_called():
    _, ab_norm = normalize_lab(rgb_to_lab(PALE_RGB))
    train_ab_norm, true_ab_norm = ab_norm.split([6, 4])
    means = [mean_image(batches(PALE[:6], size)) for size in (4, 6)]
    torch.testing.assert_close(*means)
    predictions = {
        GRAY: torch.zeros(1, 2, 1, 1),
        MEAN_COLOUR: train_ab_norm.mean(dim=(0, 2, 3))[None, :, None, None],
        MEAN_IMAGE: train_ab_norm.mean(dim=0, keepdim=True),
    }
    found = baselines(means[0])
    assert found.keys() == predictions.keys()
    for method, prediction in predictions.items():
        scores = score_predictor(found[method], batches(PALE[6:]))
        error = (prediction - true_ab_norm).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(scores["loss_eq1"], error)


def test_scores_are_of_the_image_that_is_shown():
    gray_lab = rgb_to_lab(PALE_RGB) * torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    scores = score_predictor(constant(0.0, 0.0), batches(PALE))
    for metric, values in score_images(lab_to_rgb(gray_lab), PALE_RGB).items():
        torch.testing.assert_close(scores[metric], values)


# -------------------------------------------------------------- how pale colours are


def test_chroma_by_true_chroma_is_what_numpy_and_skimage_say():
    found = chroma_by_true_chroma(oracle(VIVID, PAPER), batches(VIVID))
    chroma = np.hypot(*np.moveaxis(skcolor.rgb2lab(VIVID)[..., 1:], -1, 0))  # (N, S, S)
    kind = np.minimum(chroma // 10, CHROMA_CLASSES - 1)
    assert found["pixels"].sum() == VIVID[..., 0].size
    for k in range(CHROMA_CLASSES):
        # a pixel at the very edge of a class may round to the other side
        assert abs(found["pixels"][k] - (kind == k).sum()) <= 1
        assert found["predicted"][k] == pytest.approx(
            chroma[kind == k].mean(), rel=0.02
        )


def test_batches_do_not_matter():
    one, other = (
        chroma_by_true_chroma(oracle(VIVID, PAPER), batches(VIVID, n)) for n in (1, 7)
    )
    torch.testing.assert_close(one, other)


def test_an_empty_class_has_no_number():
    gray = np.full((2, 8, 8, 3), 120, dtype=np.uint8)
    found = chroma_by_true_chroma(constant(6.0, 8.0), batches(gray))
    assert found["pixels"].tolist() == [128] + [0] * (CHROMA_CLASSES - 1)
    assert found["predicted"][0] == pytest.approx(10)
    assert found["predicted"][1:].isnan().all()


@pytest.mark.parametrize("space", ["luv", "rgb_keep_L"])
def test_a_model_of_another_space_is_judged_in_lab(space):
    target = Target(space)
    scores = score_predictor(oracle(VIVID, target), batches(VIVID), target=target)
    assert scores["loss_eq1"].max() < 1e-6


# ----------------------------------------------------------------------------- warnings

VARIED = torch.linspace(-64, 64, 8 * 2 * 4 * 4).reshape(8, 2, 4, 4)  # Lab units


@pytest.mark.parametrize("loss", [0.02, 0.03])
@pytest.mark.parametrize("offset", [None, 0.0, 40.0])
def test_a_model_that_has_not_learned_is_warned_of(loss, offset):
    scores = {
        MODEL: {"loss_eq1": torch.tensor([0.01, 2 * loss - 0.01])},
        MEAN_IMAGE: {"loss_eq1": torch.tensor([0.02, 0.04])},
    }
    same = offset is not None
    one = VARIED[:1] + (offset or 0)
    pred_ab = one.expand(8, -1, -1, -1) if same else VARIED
    message = "; ".join(degenerate_model_warnings(scores, pred_ab))
    assert ("predicts the same for all" in message) is same
    assert ("0.03, is not below the per-pixel mean image's, 0.03" in message) == (
        loss == 0.03
    )
    assert message or (loss == 0.02 and not same)
