"""Scores beside the naive baselines, where the errors are, and warnings."""

import numpy as np
import pytest
import torch
from skimage import color as skcolor

from colorlib.color import images_to_float, lab_to_rgb, normalize_lab, rgb_to_lab
from colorlib.evaluation import (
    CHROMA_CLASSES,
    GRAY,
    GRID,
    MEAN_COLOUR,
    MEAN_IMAGE,
    MODEL,
    baselines,
    break_down,
    degenerate_model_warnings,
    mean_image,
    score_predictor,
)
from colorlib.metrics import score_images
from colorlib.sampling import EpochLoader, Samples
from colorlib.targets import Target


@pytest.fixture
def images():
    # saturation kept low: nothing is clipped, so formulas hold exactly
    return np.random.default_rng(0).integers(90, 160, (10, 16, 16, 3), dtype=np.uint8)


def batches(images, batch_size=4):
    return EpochLoader(Samples(images, None, np.arange(len(images))), batch_size)


def lab_norm(images):
    return normalize_lab(rgb_to_lab(images_to_float(torch.from_numpy(images))))


def oracle(images):
    """A predictor that looks the answer up."""
    known_L_norm, known_ab_norm = lab_norm(images)

    def predict(L_norm, features):
        distances = (L_norm[:, None] - known_L_norm[None]).abs().sum(dim=(2, 3, 4))
        return known_ab_norm[distances.argmin(dim=1)]

    return predict


def constant(a, b):
    """A predictor of one colour, in Lab units."""

    def predict(L_norm, features):
        ab = torch.tensor([a, b]).view(1, 2, 1, 1) / 128
        return ab.expand(len(L_norm), 2, *L_norm.shape[-2:])

    return predict


# ------------------------------------------------------------------------------- scores


def test_the_right_answer_scores_no_error(images):
    scores = score_predictor(oracle(images), batches(images))
    assert {len(values) for values in scores.values()} == {10}
    assert scores["loss_eq1"].max() < 1e-12
    assert scores["psnr_rgb"].min() > 80
    assert scores["out_of_gamut"].max() == 0


def test_the_batch_size_changes_nothing(images):
    one, other = (
        score_predictor(oracle(images), batches(images, size)) for size in (1, 7)
    )
    for metric, values in one.items():
        torch.testing.assert_close(values, other[metric])
    means = [mean_image(batches(images, size)) for size in (3, 10)]
    torch.testing.assert_close(*means)
    torch.testing.assert_close(means[0], lab_norm(images)[1].mean(dim=0))


def test_the_baselines_are_what_they_are_called(images):
    train, test = images[:6], images[6:]
    (_, ab_norm), (_, train_ab_norm) = lab_norm(test), lab_norm(train)
    predictors = baselines(mean_image(batches(train)))
    predictions = {
        GRAY: torch.zeros_like(ab_norm),
        MEAN_COLOUR: train_ab_norm.mean(dim=(0, 2, 3))[None, :, None, None],
        MEAN_IMAGE: train_ab_norm.mean(dim=0, keepdim=True),
    }
    assert predictors.keys() == predictions.keys()
    for method, prediction in predictions.items():
        scores = score_predictor(predictors[method], batches(test))
        error = (prediction.expand_as(ab_norm) - ab_norm).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(scores["loss_eq1"], error)


def test_scores_are_of_the_image_that_is_shown(images):
    L_norm, _ = lab_norm(images)
    gray_rgb = lab_to_rgb(torch.cat([(L_norm + 1) * 50, torch.zeros(10, 2, 16, 16)], 1))
    expected = score_images(gray_rgb, images_to_float(torch.from_numpy(images)))
    scores = score_predictor(constant(0.0, 0.0), batches(images))
    for metric, values in expected.items():
        torch.testing.assert_close(scores[metric], values)


def test_colours_out_of_gamut_are_counted(images):
    scores = score_predictor(constant(128.0, 128.0), batches(images))
    assert scores["out_of_gamut"].min() == 1


# ----------------------------------------------------------------- where the errors are


@pytest.fixture
def vivid():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)


def test_errors_by_place_and_by_chroma_are_what_numpy_and_skimage_say(vivid):
    found = break_down(constant(6.0, 8.0), batches(vivid))
    ab = skcolor.rgb2lab(vivid)[..., 1:]  # (N, S, S, 2)
    squared = (((ab - [6.0, 8.0]) / 128) ** 2).mean(axis=-1)
    side = 16 // GRID
    place = squared.reshape(7, GRID, side, GRID, side).mean(axis=(0, 2, 4))
    np.testing.assert_allclose(found.place_mse, place, rtol=1e-4)
    kind = np.minimum(np.hypot(*np.moveaxis(ab, -1, 0)) // 10, CHROMA_CLASSES - 1)
    for k in range(CHROMA_CLASSES):
        # a pixel at the very edge of a class may round to the other side
        assert abs(found.pixels[k] - (kind == k).sum()) <= 1
        assert found.predicted[k] == pytest.approx(10)
        assert found.mse[k] == pytest.approx(squared[kind == k].mean(), rel=0.02)


def test_the_parts_make_up_the_whole_whatever_the_batches(vivid):
    one, other = (
        break_down(constant(3.0, -4.0), batches(vivid, size)) for size in (1, 7)
    )
    torch.testing.assert_close(one.place_mse, other.place_mse)
    assert torch.equal(one.pixels, other.pixels)
    assert one.pixels.sum() == vivid[..., 0].size
    of_classes = (one.pixels * one.mse).nansum() / one.pixels.sum()
    assert of_classes == pytest.approx(one.place_mse.mean().item(), rel=1e-6)


def test_an_empty_class_has_no_number():
    gray = np.full((2, 8, 8, 3), 120, dtype=np.uint8)
    found = break_down(constant(0.0, 0.0), batches(gray))
    assert found.pixels.tolist() == [128] + [0] * (CHROMA_CLASSES - 1)
    assert found.mse[1:].isnan().all()


@pytest.mark.parametrize("space", ["luv", "rgb_keep_L"])
def test_a_model_of_another_space_is_judged_in_lab(vivid, space):
    target = Target(space)

    def predict(L_norm, features):
        return target.split(images_to_float(torch.from_numpy(vivid)))[1]

    found = break_down(predict, batches(vivid, 7), target=target)
    assert found.place_mse.max() < 1e-6


# ----------------------------------------------------------------------------- warnings


def scores_of(model, mean):
    return {
        MODEL: {"loss_eq1": torch.tensor(model)},
        MEAN_IMAGE: {"loss_eq1": torch.tensor(mean)},
    }


BETTER = scores_of([0.01, 0.03], [0.02, 0.04])
VARIED = torch.linspace(-0.5, 0.5, 8 * 2 * 4 * 4).reshape(8, 2, 4, 4)


def test_a_model_that_has_learned_has_no_warning():
    assert degenerate_model_warnings(BETTER, VARIED) == ()


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_one_prediction_for_all_is_seen_whatever_it_is(offset):
    image = torch.linspace(-0.5, 0.5, 32).reshape(1, 2, 4, 4) + offset
    (warning,) = degenerate_model_warnings(BETTER, image.expand(8, -1, -1, -1))
    assert "predicts the same for all" in warning


def test_no_better_than_the_mean_image_is_seen():
    worse = scores_of([0.02, 0.04], [0.03, 0.03])
    (warning,) = degenerate_model_warnings(worse, VARIED)
    assert "0.03, is not below" in warning
    assert len(degenerate_model_warnings(worse, VARIED[:1].expand(2, -1, -1, -1))) == 2
