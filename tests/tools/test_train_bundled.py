"""The recipe of the bundled model, on a handful of small photographs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from skimage.data import astronaut, chelsea
from torch import nn
from torch.nn import functional as F

from colorlib.bins import bin_centres, soft_encode
from colorlib.images import fit_square
from colorlib.unet import ColorUNet, UNetConfig, load_unet
from tools import bundled_batches, bundled_data, train_bundled
from tools.bundled_batches import Photographs, make_batch
from tools.bundled_data import TEST, TRAIN, VALIDATION, PhotographSet
from tools.bundled_network import folded, pretrained_encoder, trainable
from tools.train_bundled import ColourLoss, Recipe, Training


def table_of(packed):
    with np.load(packed / "mini-imagenet.npz") as table:
        return dict(table)


def test_what_cannot_be_used_is_counted(packed):
    table = table_of(packed)
    assert table["counts"].tolist() == [
        "gray: 1",
        "identical: 1",
        "unreadable: 1",
        "used: 16",
    ]
    purposes = np.bincount(table["purpose"], minlength=3)
    assert purposes[TEST] in (3, 4)  # a gray or broken one may have been drawn
    assert purposes[VALIDATION] in (3, 4)
    with pytest.raises(SystemExit, match="found no photographs"):
        Photographs(packed / "elsewhere")


def test_a_draw_takes_as_many_of_each_class_and_depends_on_nothing_else():
    hashes = {f"train/n{i % 3}/{i}.jpg": f"{(i * 7919) % 1000:03}" for i in range(90)}
    classes = PhotographSet("some", "some", 40)
    drawn = bundled_data.draw(classes, hashes, 30)
    backwards = dict(reversed(hashes.items()))
    assert bundled_data.draw(classes, backwards, 30) == drawn
    names = [path.split("/")[1] for path, hash_ in hashes.items() if hash_ in drawn]
    assert np.unique(names, return_counts=True)[1].tolist() == [10, 10, 10]


def test_people_are_drawn_whole():
    people = PhotographSet("lfw", "lfw", 40, test=20, validation=10, group="person")
    hashes = {f"p{i // 4}/{i}.jpg": f"{i:03}" for i in range(80)}
    purposes = bundled_data.divide(people, hashes)
    for person in range(20):
        assert (
            len({purposes[f"{i:03}"] for i in range(4 * person, 4 * person + 4)}) == 1
        )
    assert list(purposes.values()).count(TEST) == 20


def test_a_copy_of_a_test_photograph_is_no_training_photograph(tmp_path):
    pictures = (astronaut(), fit_square(astronaut(), 90), chelsea())
    looks = np.array([bundled_data._perceptual_hash(p) for p in pictures], np.uint64)
    purpose = np.array([TEST, TRAIN, TRAIN], np.uint8)
    np.savez(
        tmp_path / "some.npz",
        looks=looks,
        purpose=purpose,
        sha=np.array(["a", "b", "c"]),
    )
    taken = bundled_data.separate([tmp_path / "some.npz"])
    assert taken == {"some": 1}
    with np.load(tmp_path / "some.npz") as table:
        assert table["purpose"].tolist() == [TEST, bundled_data.LEFT_OUT, TRAIN]
    assert bundled_data.held_out_list([tmp_path / "some.npz"]).endswith(
        "# some: 1\na\n"
    )


def test_the_encoder_is_timms(tmp_path):
    """At even and odd sizes, with statistics that are not those of a new network."""
    torch.manual_seed(0)
    options = {"num_classes": 1001, "pad_type": "same"}
    timms = timm.create_model("mobilenetv2_100", **options, features_only=True).eval()
    for module in timms.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.uniform_(-0.2, 0.2)
    save_file(timms.state_dict(), tmp_path / "timm.safetensors")
    net = ColorUNet().eval()
    missing = net.load_state_dict(
        pretrained_encoder(tmp_path / "timm.safetensors"), strict=False
    ).missing_keys
    assert all(name.startswith(("decoder", "head", "centres")) for name in missing)
    for size in ((64, 96), (75, 50)):
        L_norm = torch.rand(1, 1, *size) * 2 - 1
        with torch.no_grad():
            expected = timms(L_norm.expand(-1, 3, -1, -1))
            found = net.encode(L_norm.flip(-2, -1))
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours.flip(-2, -1), theirs, rtol=1e-3, atol=1e-3)


def test_the_loss_is_cross_entropy_with_soft_targets():
    torch.manual_seed(0)
    logits = torch.randn(2, 261, 3, 4, requires_grad=True)
    ab = torch.randint(-60, 60, (2, 2, 3, 4)).float()
    expected = F.cross_entropy(logits, soft_encode(ab, bin_centres()))
    torch.testing.assert_close(ColourLoss()(logits, ab), expected)


def test_rare_colours_weigh_more_and_the_mean_weight_is_1():
    prior = torch.full((261,), 0.001)
    prior[100] = 0.74
    loss = ColourLoss(prior, rare=0.5)
    whole = torch.zeros(65536, 261).scatter_(1, loss.bins, loss.shares)
    plain = ColourLoss()
    unweighted = torch.zeros(65536, 261).scatter_(1, plain.bins, plain.shares)
    weights = (whole / unweighted)[unweighted > 0].unique()
    ratio = weights.max() / weights.min()
    assert ratio.item() == pytest.approx((0.74 / 0.001) ** 0.5, rel=1e-3)


def test_a_batch_is_a_function_of_seed_and_step(packed):
    photographs = Photographs(packed)
    one, again = (make_batch(photographs, 3, 5, 4) for _ in range(2))
    assert torch.equal(one.L_norm, again.L_norm)
    assert torch.equal(one.ab, again.ab)
    other = make_batch(photographs, 3, 6, 4)
    assert other.ab.shape != one.ab.shape or not torch.equal(other.ab, one.ab)
    N, _, S, _ = one.L_norm.shape
    assert (N, one.ab.shape) == (4, (4, 2, S // 4, S // 4))
    assert one.L_norm.abs().max() <= 1


def test_only_the_input_is_faded(packed, monkeypatch):
    photographs = Photographs(packed)
    faded = make_batch(photographs, 0, 0, 8)
    monkeypatch.setattr("tools.bundled_batches.fade", lambda L_norm, _: L_norm)
    monkeypatch.setattr(
        "tools.bundled_batches.on_other_film", lambda _, L_norm, __: L_norm
    )
    plain = make_batch(photographs, 0, 0, 8)
    assert torch.equal(faded.ab, plain.ab)
    assert not torch.equal(faded.L_norm, plain.L_norm)


def test_folding_takes_back_only_what_the_weighting_of_rare_colours_adds():
    net = trainable(0, None)
    net(torch.rand(2, 1, 64, 64))  # so that its statistics are not those of a new one
    prior = torch.rand(261)
    prior /= prior.sum()
    used = folded(net, prior, 0.5, UNetConfig(view_size=96))
    L_norm = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        moved = net.eval().logits(L_norm) - used.logits(L_norm)
    expected = -0.5 * prior.log()[:, None, None].expand(-1, 16, 16)
    torch.testing.assert_close(moved[0], expected, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in used.modules())
    assert used.config.view_size == 96


@pytest.fixture
def small_runs(monkeypatch):
    monkeypatch.setattr(train_bundled, "PRIOR_BATCHES", 2)
    monkeypatch.setattr(bundled_batches, "SIZES", {64: 1.0})


RECIPE = Recipe(samples=8, batch=2, warm_up=2, validation=2, validation_size=64)


def test_a_run_that_stopped_goes_on_as_if_it_had_not(
    packed, tmp_path, small_runs, monkeypatch
):
    photographs = Photographs(packed)
    whole = Training(RECIPE, photographs, tmp_path, bf16=False)
    lines = list(whole.run(save_every=2, validate_every=4))
    assert lines[-1]["validation"]["mini-imagenet"]["ciede2000"] > 0
    (tmp_path / "checkpoint.pt").unlink()
    first = Training(RECIPE, photographs, tmp_path, bf16=False)
    for _ in range(2):
        first.take_step()
    first.save()
    second = Training(RECIPE, photographs, tmp_path, bf16=False)
    second.resume()
    assert second.step == 2
    list(second.run(save_every=2, validate_every=4))
    for name, value in whole.average.state_dict().items():
        assert torch.equal(second.average.state_dict()[name], value), name
    second.export(UNetConfig(caution=0.1), None)
    assert (tmp_path / "model.safetensors").stat().st_size < 8e6
    # what is recorded is scored as what is written
    record = json.loads((tmp_path / "record.json").read_text())
    net, _ = load_unet(tmp_path / "model.safetensors")
    monkeypatch.setattr(second, "_folded", lambda _: net)
    again = second.validate()["validation"]["mini-imagenet"]
    assert again == pytest.approx(record["validation"]["mini-imagenet"], rel=0.01)


def test_only_the_length_may_change_before_the_cool_down(packed, tmp_path, small_runs):
    photographs = Photographs(packed)

    def training(**changes):
        recipe = replace(RECIPE, **changes)
        return Training(recipe, photographs, tmp_path, bf16=False)

    first = training()
    first.save()
    training(samples=80).resume()
    with pytest.raises(SystemExit, match="another recipe"):
        training(batch=4).resume()
    first.step = RECIPE.steps
    first.save()
    with pytest.raises(SystemExit, match="another recipe"):
        training(samples=80).resume()


def test_the_rate_rises_stays_and_falls(packed, tmp_path, small_runs):
    recipe = replace(RECIPE, samples=200, warm_up=10)
    training = Training(recipe, Photographs(packed), tmp_path, bf16=False)
    rates = []
    for training.step in range(recipe.steps):
        rates.append(training.schedule())
    assert np.argmax(rates) == 9
    assert rates[9:76] == [1.0] * 67
    assert rates[-1] == pytest.approx(1 / 25)
