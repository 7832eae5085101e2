import numpy as np
import pytest
import torch

from colorlib import color
from colorlib.backbones import features_of_images, load_backbone
from colorlib.bins import bin_centres, rebalancing
from colorlib.losses import BinCrossEntropy, chroma_huber, chroma_l1, chroma_mse
from colorlib.model import MODELS, build_model
from colorlib.sampling import OrderedBatches, Samples
from companion.builders import (
    adjust_logits,
    bin_prior,
    loss_for,
    model_for,
    target_of,
)
from companion.config import Profile


def batches_of(*colours, count=4, size=16):
    """Photographs of one colour each."""
    images = np.zeros((count * len(colours), size, size, 3), np.uint8)
    for place, colour in enumerate(colours):
        images[place * count : (place + 1) * count] = colour
    return OrderedBatches(Samples(images, None, np.arange(len(images))), 3)


def test_the_prior_is_the_share_of_each_colour():
    prior = bin_prior(batches_of((128, 128, 128), (255, 0, 0)))
    assert prior.sum().item() == pytest.approx(1)
    gray = (bin_centres() == 0).all(dim=1)
    red = ((bin_centres() - torch.tensor([80.0, 70.0])).norm(dim=1)) < 12
    assert prior[gray].item() == pytest.approx(
        0.5 * share_of_the_nearest(0.0, 0.0), 0.01
    )
    assert prior[red].sum() > 0.4


def share_of_the_nearest(a, b):
    """How much of a colour its nearest bin gets."""
    squared = (bin_centres() - torch.tensor([a, b])).square().sum(dim=1)
    nearest = squared.sort().values[:5]
    return (-nearest / 50).softmax(dim=0)[0].item()


@pytest.mark.parametrize(
    ("kind", "loss"), [("mse", chroma_mse), ("l1", chroma_l1), ("huber", chroma_huber)]
)
def test_losses_have_names(kind, loss):
    assert loss_for(Profile(loss=kind), "plain", batches_of((9, 9, 9))) is loss


def test_the_paper_s_loss_is_the_default_but_for_model4():
    train = batches_of((128, 128, 128), (200, 30, 30))
    assert loss_for(Profile(), "model3", train) is chroma_mse
    rebalanced = loss_for(Profile(), "model4", train)
    assert isinstance(rebalanced, BinCrossEntropy)
    weights = rebalanced.weights
    assert (bin_prior(train) * weights).sum().item() == pytest.approx(1)
    plain = loss_for(Profile(loss="cross_entropy"), "plain", train)
    assert plain.weights is None


def test_a_model_is_what_its_profile_says():
    profile = Profile(
        width=0.1, fusion="max", skips=True, normalisation="batch",
        upsampling="bilinear", target="rgb",
    )  # fmt: skip
    config = model_for(profile, "model3", ["a", "b"]).config
    assert (config.backbones, config.width) == (("a", "b"), 0.1)
    assert (config.fusion, config.skips, config.normalisation) == ("max", True, "batch")
    assert (config.upsampling, config.channels) == ("bilinear", 3)
    assert not config.classes
    assert target_of(profile).space == "rgb"


def test_a_model_classifies_if_its_loss_does():
    for loss, model, classes in [
        (None, "plain", False), (None, "model4", True),
        ("rebalanced", "plain", True), ("mse", "model4", False),
    ]:  # fmt: skip
        profile = Profile(width=0.1, loss=loss)
        assert model_for(profile, model, []).config.classes is classes


def test_classes_are_of_lab():
    with pytest.raises(ValueError, match="target 'lab'"):
        Profile(loss="cross_entropy", target="yuv")


def test_turning_to_rare_colours_multiplies_the_answer_by_their_weights():
    torch.manual_seed(0)
    model = build_model("plain", width=0.1, classes=True).eval()
    L_norm = torch.rand(2, 1, 16, 16)
    prior = torch.rand(261, dtype=torch.float64)
    prior /= prior.sum()
    with torch.no_grad():
        before = model.outputs(L_norm).softmax(dim=1)
        adjust_logits(model, prior, 0.5)
        after = model.outputs(L_norm).softmax(dim=1)
    weighed = before * rebalancing(prior).sqrt().float().view(1, -1, 1, 1)
    expected = weighed / weighed.sum(dim=1, keepdim=True)
    torch.testing.assert_close(after, expected)


def alike_in_gray(target):
    """Two photographs of other colours with the same lightness, (2, 3, 64, 64)."""
    light = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    light = light.expand(2, 1, 64, 64)
    chroma = torch.tensor([[20.0, 10], [-15, -20]])[..., None, None]
    chroma = chroma.expand(2, 2, 64, 64)
    if target == "yuv":
        yuv = torch.cat([0.4 + 0.2 * light, chroma / 200], dim=1)
        return color.yuv_to_rgb(yuv)
    return color.lab_to_rgb(torch.cat([50 + 20 * light, chroma], dim=1))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("target", ["lab", "luv", "yuv"])
def test_colour_reaches_no_model(name, target):
    profile = Profile(target=target, width=0.1, loss=None if target == "lab" else "mse")
    L_norm, target_norm = target_of(profile).split(alike_in_gray(target))
    assert (target_norm[0] - target_norm[1]).abs().max() > 0.1
    backbones = [load_backbone("test_resnet.r160_in1k", "random")] * len(MODELS[name])
    told = None
    if backbones:
        told = features_of_images(backbones, color.gray_from_L(L_norm))
    model = model_for(profile, name, [one.spec.name for one in backbones]).eval()
    with torch.no_grad():
        torch.testing.assert_close(*model(L_norm, told), rtol=1e-4, atol=1e-4)
