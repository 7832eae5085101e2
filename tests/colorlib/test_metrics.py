"""Scores of images against outside authorities, and their summary."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from skimage import color as skimage_color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from support import assert_close, photographs, pixels
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as torchmetrics_psnr,
)
from torchmetrics.functional.image import (
    structural_similarity_index_measure as torchmetrics_ssim,
)

from colorlib import metrics
from colorlib.metrics import (
    METRICS,
    ciede2000,
    colourfulness,
    score_images,
    ssim,
    summarize,
)
from colorlib.stats import image_interval

# Sharma, Wu & Dalal (2005), Table 1: L1 a1 b1, L2 a2 b2, CIEDE2000.
SHARMA = np.loadtxt(
    """
    50.0000   2.6772 -79.7751  50.0000   0.0000 -82.7485  2.0425
    50.0000   3.1571 -77.2803  50.0000   0.0000 -82.7485  2.8615
    50.0000   2.8361 -74.0200  50.0000   0.0000 -82.7485  3.4412
    50.0000  -1.3802 -84.2814  50.0000   0.0000 -82.7485  1.0000
    50.0000  -1.1848 -84.8006  50.0000   0.0000 -82.7485  1.0000
    50.0000  -0.9009 -85.5211  50.0000   0.0000 -82.7485  1.0000
    50.0000   0.0000   0.0000  50.0000  -1.0000   2.0000  2.3669
    50.0000  -1.0000   2.0000  50.0000   0.0000   0.0000  2.3669
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0009  7.1792
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0010  7.1792
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0011  7.2195
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0012  7.2195
    50.0000  -0.0010   2.4900  50.0000   0.0009  -2.4900  4.8045
    50.0000  -0.0010   2.4900  50.0000   0.0010  -2.4900  4.8045
    50.0000  -0.0010   2.4900  50.0000   0.0011  -2.4900  4.7461
    50.0000   2.5000   0.0000  50.0000   0.0000  -2.5000  4.3065
    50.0000   2.5000   0.0000  73.0000  25.0000 -18.0000 27.1492
    50.0000   2.5000   0.0000  61.0000  -5.0000  29.0000 22.8977
    50.0000   2.5000   0.0000  56.0000 -27.0000  -3.0000 31.9030
    50.0000   2.5000   0.0000  58.0000  24.0000  15.0000 19.4535
    50.0000   2.5000   0.0000  50.0000   3.1736   0.5854  1.0000
    50.0000   2.5000   0.0000  50.0000   3.2972   0.0000  1.0000
    50.0000   2.5000   0.0000  50.0000   1.8634   0.5757  1.0000
    50.0000   2.5000   0.0000  50.0000   3.2592   0.3350  1.0000
    60.2574 -34.0099  36.2677  60.4626 -34.1751  39.4387  1.2644
    63.0109 -31.0961  -5.8663  62.8187 -29.7946  -4.0864  1.2630
    61.2901   3.7196  -5.3901  61.4292   2.2480  -4.9620  1.8731
    35.0831 -44.1164   3.7933  35.0232 -40.0716   1.5901  1.8645
    22.7233  20.0904 -46.6940  23.0331  14.9730 -42.5619  2.0373
    36.4612  47.8580  18.3852  36.2715  50.5065  21.2231  1.4146
    90.8027  -2.0831   1.4410  91.1528  -1.6435   0.0447  1.4441
    90.9257  -0.5406  -0.9208  88.6381  -0.8985  -0.7239  1.5381
     6.7747  -0.2908  -2.4247   5.8714  -0.0985  -2.2286  0.6377
     2.0776   0.0795  -1.1350   0.9033  -0.0636  -0.5514  0.9082
    """.splitlines()
)

# Scored by the evaluation: clipped RGB does not tell.
BEFORE_CLIPPING = {"loss_eq1", "out_of_gamut", "named", "mean_image_loss"}
ERRORS = ("mse_ab_norm", "rmse_ab_norm", "rmse_ab", "mae_ab", "mse_rgb")

in_both_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def pair(count: int = 6, size: int = 32) -> tuple[Tensor, Tensor]:
    """Images and others that resemble them, (count, 3, size, size) float64."""
    true_rgb = photographs(count, size, seed=0)
    return 0.7 * true_rgb + 0.3 * photographs(count, size, seed=1), true_rgb


def last(image: Tensor) -> np.ndarray:
    """Channels last, as scikit-image wants them."""
    return image.double().movedim(-3, -1).numpy()


# ----------------------------------------- against scikit-image, torchmetrics and numpy


@in_both_precisions
def test_ssim_and_psnr_are_those_of_skimage_and_torchmetrics(dtype):
    pred, true = pair()
    options = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "channel_axis": -1,
    }
    images = [(last(t), last(p)) for p, t in zip(pred, true, strict=True)]
    of_ssim = [structural_similarity(*i, data_range=1, **options) for i in images]
    of_psnr = [peak_signal_noise_ratio(*i, data_range=1) for i in images]
    scores = score_images(pred.to(dtype), true.to(dtype))
    assert_close(scores["ssim_rgb"], of_ssim)
    assert_close(scores["psnr_rgb"], of_psnr, scale=10)
    assert torch.equal(ssim(pred.to(dtype), true.to(dtype)), scores["ssim_rgb"])
    _, full = torchmetrics_ssim(
        pred, true, data_range=1.0, reduction="none", return_full_image=True
    )  # where the window fits
    assert_close(ssim(pred, true), full[..., 5:-5, 5:-5].mean((1, 2, 3)))
    other = torchmetrics_psnr(
        pred, true, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    assert_close(scores["psnr_rgb"].float(), other, scale=10)  # its peak is a float32


def test_errors_of_the_chroma_are_those_of_skimage_and_numpy():
    pred, true = pair()
    labs = skimage_color.rgb2lab(last(pred)), skimage_color.rgb2lab(last(true))
    error = (labs[0] - labs[1])[..., 1:]
    scores = {name: s.numpy() for name, s in score_images(pred, true).items()}
    mse = ((error / 128) ** 2).mean((1, 2, 3))
    expected = {
        "mse_ab_norm": mse,
        "rmse_ab_norm": np.sqrt(mse),
        "rmse_ab": np.sqrt((error**2).mean((1, 2, 3))),
        "mae_ab": np.abs(error).mean((1, 2, 3)),
        "mse_rgb": ((last(pred) - last(true)) ** 2).mean((1, 2, 3)),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(scores[name], values, rtol=1e-4)
    expected = skimage_color.deltaE_ciede2000(*labs).mean((1, 2))
    np.testing.assert_allclose(scores["ciede2000"], expected, atol=1e-3)


def test_ciede2000_of_sharmas_pairs():
    one = pixels(SHARMA[:, :3], torch.float64)
    two = pixels(SHARMA[:, 3:6], torch.float64)
    for found in (ciede2000(one, two), ciede2000(two, one)):
        np.testing.assert_allclose(found[0], SHARMA[:, 6], atol=0.5e-4)


def test_colourfulness_is_the_formula_written_out():
    _, true = pair()
    R, G, B = np.moveaxis(255 * last(true), -1, 0)
    rg, yb = R - G, 0.5 * (R + G) - B
    axes = (1, 2)
    expected = np.sqrt(rg.std(axes) ** 2 + yb.std(axes) ** 2) + 0.3 * np.sqrt(
        rg.mean(axes) ** 2 + yb.mean(axes) ** 2
    )
    for found in (colourfulness(true), colourfulness(true[None])[0]):
        assert_close(found, expected, scale=100)
    assert_close(colourfulness(true[0]), expected[0], scale=100)
    rgb = pixels([(1, 0, 0), (0, 0, 1), (1, 1, 0), (0.3, 0.3, 0.3)], torch.float64)
    one_each = rgb.movedim(-1, 0).unsqueeze(-1)  # (4, 3, 1, 1)
    strength = [np.hypot(255, 127.5), 255, 255, 0]
    assert_close(colourfulness(one_each), 0.3 * np.array(strength), scale=100)


def test_alpha_beta_is_the_formula_written_out():
    _, true = pair()
    R, G, B = np.moveaxis(last(true), -1, 0)  # (N, H, W)
    L = (R + G + B) / 3 + metrics.ALPHA_BETA_TINY
    expected = np.stack([(B - 0.5 * (R + G)) / L, (R - G) / L], axis=1)
    assert_close(metrics.alpha_beta(true), expected, scale=3)
    black = metrics.alpha_beta(torch.zeros(1, 3, 2, 2))
    assert torch.equal(black, torch.zeros(1, 2, 2, 2))  # and not NaN


# ----------------------------------------------------------------------- what is scored


def test_every_metric_is_scored_and_its_direction_is_the_one_that_improves():
    pred, true = pair()
    worse, better = (score_images(true + k * (pred - true), true) for k in (1.0, 0.5))
    assert list(worse) == [name for name in METRICS if name not in BEFORE_CLIPPING]
    for name, values in worse.items():
        assert values.shape == (6,)
        if METRICS[name].higher_is_better is None:
            assert name.startswith("colourfulness")
        elif METRICS[name].higher_is_better:
            assert (better[name] > values).all()
        else:
            assert (better[name] < values).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        METRICS["mse_rgb"].unit = "dB"


def test_what_is_not_displayed_is_not_scored():
    pred, true = pair()
    vivid = 1.5 * pred - 0.25  # beyond [0, 1] at both ends
    assert (vivid < 0).any()
    assert (vivid > 1).any()
    found = score_images(vivid, true)
    for name, values in score_images(vivid.clamp(0, 1), true).items():
        assert torch.equal(found[name], values)
    assert not torch.equal(found["mse_rgb"], (vivid - true).square().mean((1, 2, 3)))


def test_identical_images_and_flat_ones():
    _, true = pair()
    scores = score_images(true, true)
    for name in (*ERRORS, "ciede2000"):
        assert (scores[name] == 0).all()
    assert (scores["psnr_rgb"] == torch.inf).all()
    assert_close(scores["ssim_rgb"], 1.0)
    assert torch.equal(scores["colourfulness"], scores["colourfulness_true"])
    for level in (0.0, 0.5, 1.0):
        flat = torch.full((1, 3, 11, 11), level)
        for name, values in score_images(flat, 1 - flat).items():
            assert values.isfinite().all() or name == "psnr_rgb"


def test_an_image_is_scored_for_itself_and_may_be_as_small_as_the_window():
    pred, true = (image[..., :11, :] for image in pair())
    together = score_images(pred, true)
    for name, values in together.items():
        alone = [score_images(pred[i : i + 1], true[i : i + 1])[name] for i in range(6)]
        assert_close(values, torch.cat(alone), scale=100)
        assert values.isfinite().all()


def test_scores_of_models_in_training_are_those_of_float32():
    pred, true = pair()
    half = pred.bfloat16().requires_grad_()
    exact = score_images(half.double(), true)
    for name, values in score_images(half, true.float()).items():
        assert (values.dtype, values.requires_grad) == (torch.float32, False)
        assert_close(values, exact[name], scale=100)
    plain = score_images(pred.float(), true.float())
    with torch.autocast("cpu", torch.bfloat16):
        for name, values in score_images(pred.float(), true.float()).items():
            assert torch.equal(values, plain[name])


# ------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("score", [score_images, ssim])
def test_images_that_do_not_pair_up_or_are_small_are_refused(score):
    for H, W in ((10, 32), (32, 10)):
        rgb = torch.zeros(2, 3, H, W)
        with pytest.raises(ValueError, match=f"found images of {H}x{W} pixels"):
            score(rgb, rgb)
    for pred, true in (
        ((1, 3, 16, 16), (2, 3, 16, 16)),  # would broadcast
        ((2, 3, 16, 16), (2, 3, 16, 17)),
        ((3, 16, 16), (3, 16, 16)),
    ):
        with pytest.raises(ValueError, match=r"expected both \(N, C, H, W\)"):
            score(torch.zeros(pred), torch.zeros(true))


def test_integers_and_other_channels_are_refused():
    rgb = torch.zeros(1, 3, 16, 16)
    for other in (torch.zeros(1, 1, 16, 16), rgb.byte()):  # gray, stored
        calls = [lambda other=other: colourfulness(other)]
        for score in (score_images, ssim, ciede2000):
            calls.append(lambda score=score, other=other: score(rgb, other))
            calls.append(lambda score=score, other=other: score(other, rgb))
        for call in calls:
            with pytest.raises((TypeError, ValueError), match="found an image of"):
                call()


# ----------------------------------------------------------------------------- together


def test_the_pooled_value_is_that_of_one_large_image():
    pred, true = pair(4)
    side_by_side = [torch.cat(list(image), -1)[None] for image in (pred, true)]
    of_all = score_images(*side_by_side)  # (1, 3, 32, 4 * 32)
    summaries = summarize(score_images(pred, true))
    for name in (*ERRORS, "psnr_rgb", "ciede2000"):
        assert summaries[name].pooled == pytest.approx(of_all[name].item())
    for name, summary in summaries.items():
        assert (summary.pooled == summary.mean) is (name not in metrics.POOLED)


def test_summaries_are_those_of_numpy_and_survive_json():
    scores = score_images(*pair())
    summaries = summarize(scores)
    assert list(summaries) == list(scores)
    for name, summary in summaries.items():
        values = scores[name].numpy()
        assert summary.mean == pytest.approx(values.mean())
        assert summary.median == pytest.approx(np.median(values))
        assert summary.ci_low < summary.mean < summary.ci_high
        assert (summary.n, summary.n_infinite) == (6, 0)
        interval = image_interval(values)
        assert (summary.ci_low, summary.ci_high) == (interval.ci_low, interval.ci_high)
        read = json.loads(json.dumps(dataclasses.asdict(summary)))
        assert metrics.Summary(**read) == summary


def test_infinite_scores_are_counted_and_left_out_of_the_mean():
    mse, psnr = np.array([0.0, 0.1, 0.001]), np.array([np.inf, 10.0, 30.0])
    summary = summarize({"mse_rgb": mse, "psnr_rgb": psnr})["psnr_rgb"]
    assert (summary.n, summary.n_infinite) == (3, 1)
    assert (summary.mean, summary.median) == (20, 30)
    assert summary.pooled == pytest.approx(-10 * np.log10(mse.mean()))
    assert summary.ci_low == image_interval(psnr[1:]).ci_low
    alone = summarize({"mse_rgb": 0 * mse, "psnr_rgb": np.full(3, np.inf)})["psnr_rgb"]
    assert alone == metrics.Summary(np.inf, np.inf, np.inf, np.inf, np.inf, 3, 3)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match=r"found 2 NaN among 3 .* model has diverged"):
        summarize({"mae_ab": torch.tensor([torch.nan, 1.0, torch.nan])})
