import numpy as np
import pytest
import torch
from torch import nn

from colorlib.color import images_to_float, lab_to_rgb, normalize_lab, rgb_to_lab
from colorlib.evaluation import GRAY, MEAN_COLOUR, MEAN_IMAGE, TrainingMean, evaluate
from colorlib.metrics import score_images
from colorlib.sampling import OrderedBatches, Samples


@pytest.fixture
def images():
    # saturation kept low: nothing is clipped, so formulas hold exactly
    return np.random.default_rng(0).integers(90, 160, (10, 16, 16, 3), dtype=np.uint8)


def batches(images, batch_size=4):
    return OrderedBatches(Samples(images, None, np.arange(len(images))), batch_size)


def lab_unit(images):
    return normalize_lab(rgb_to_lab(images_to_float(torch.from_numpy(images))))


class Knowing(nn.Module):
    """A model that has seen the answers."""

    def __init__(self, images):
        super().__init__()
        self.L_norm, self.ab_norm = lab_unit(images)

    def forward(self, L_norm, features):
        distances = (L_norm[:, None] - self.L_norm[None]).abs().sum(dim=(2, 3, 4))
        return self.ab_norm[distances.argmin(dim=1)]


def test_knowing_the_answer_scores_no_error(images):
    scores = evaluate(
        Knowing(images), batches(images), TrainingMean.of(batches(images))
    )
    assert scores["model"]["loss_eq1"].max() < 1e-12
    assert scores["model"]["psnr_rgb"].min() > 80
    assert scores["model"]["out_of_gamut"].max() == 0


def test_every_method_scores_every_photograph(images):
    scores = evaluate(
        Knowing(images), batches(images), TrainingMean.of(batches(images))
    )
    assert set(scores) == {"model", GRAY, MEAN_COLOUR, MEAN_IMAGE}
    for metrics in scores.values():
        assert {len(values) for values in metrics.values()} == {10}


def test_the_batch_size_changes_nothing(images):
    mean = TrainingMean.of(batches(images))
    one, other = (
        evaluate(Knowing(images), batches(images, size), mean) for size in (1, 7)
    )
    for method, metrics in one.items():
        for metric, values in metrics.items():
            torch.testing.assert_close(values, other[method][metric])


def test_the_means_are_those_of_the_training_photographs(images):
    _, ab_norm = lab_unit(images)
    mean = TrainingMean.of(batches(images, 3))
    torch.testing.assert_close(mean.ab_norm, ab_norm.mean(dim=0))


def test_the_baselines_are_what_they_are_called(images):
    train, test = images[:6], images[6:]
    _, ab_norm = lab_unit(test)
    _, train_ab_norm = lab_unit(train)
    scores = evaluate(Knowing(images), batches(test), TrainingMean.of(batches(train)))
    predictions = {
        GRAY: torch.zeros_like(ab_norm),
        MEAN_COLOUR: train_ab_norm.mean(dim=(0, 2, 3))[None, :, None, None],
        MEAN_IMAGE: train_ab_norm.mean(dim=0, keepdim=True),
    }
    for method, prediction in predictions.items():
        error = (prediction.expand_as(ab_norm) - ab_norm).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(scores[method]["loss_eq1"], error)


def test_scores_are_of_the_picture_that_is_shown(images):
    L_norm, _ = lab_unit(images)
    gray_rgb = lab_to_rgb(torch.cat([(L_norm + 1) * 50, torch.zeros(10, 2, 16, 16)], 1))
    true_rgb = images_to_float(torch.from_numpy(images))
    scores = evaluate(
        Knowing(images), batches(images), TrainingMean.of(batches(images))
    )
    expected = score_images(gray_rgb, true_rgb)
    for metric, values in expected.items():
        torch.testing.assert_close(scores[GRAY][metric], values)


def test_colours_out_of_gamut_are_counted(images):
    class Vivid(nn.Module):
        def forward(self, L_norm, features):
            return torch.ones_like(L_norm).expand(-1, 2, -1, -1)

    scores = evaluate(Vivid(), batches(images), TrainingMean.of(batches(images)))
    assert scores["model"]["out_of_gamut"].min() == 1
