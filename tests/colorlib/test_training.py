"""Training: the curve, best weights, resuming, signals, damaged checkpoints."""

import math
import signal
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback, Timer
from torch.nn import functional as F

from colorlib.color import images_to_float, normalize_lab, rgb_to_lab
from colorlib.errors import Interrupted, UserError
from colorlib.losses import chroma_mse
from colorlib.model import build_model
from colorlib.sampling import Samples
from colorlib.training import TrainConfig
from colorlib.training.loop import discard, fit

CPU = TrainConfig(batch_size=5, accelerator="cpu", max_epochs=3)  # 15 steps
LIGHT = np.random.default_rng(0).uniform(0.2, 1, (32, 16, 16, 1))
SUNSETS = (255 * LIGHT * np.array([1.0, 0.7, 0.3])).astype(np.uint8)  # colour by light
TRAIN, WATCHED, NONE = (
    Samples(SUNSETS, None, np.arange(*ends)) for ends in ((0, 24), (24, 32), (0, 0))
)


def new_model(seed=0):
    torch.manual_seed(seed)
    return build_model("plain", width=0.1)


def train(folder, *further, model=None, loss=chroma_mse, watched=WATCHED, **changes):
    """Train, and tell what came of it: the result, and the weights."""
    model, config = model or new_model(), replace(CPU, **changes)
    result = fit(model, loss, TRAIN, watched, folder, config, callbacks=further)
    return result, torch.cat([value.flatten() for value in model.state_dict().values()])


def same(one, other):
    """Whether two trainings ended alike: weights to the bit, curves, counts."""
    results = [replace(result, seconds=0, sessions=0) for result, _ in (one, other)]
    return torch.equal(one[1], other[1]) and results[0] == results[1]


def checkpoints(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.ckpt")}


def mean_loss(model, samples):
    batch = samples.take(np.arange(len(samples)))
    L_norm, ab_norm = normalize_lab(rgb_to_lab(images_to_float(batch.images)))
    return chroma_mse(model(L_norm), ab_norm).item()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The training that others are compared with."""
    return train(tmp_path_factory.mktemp("whole"))


def at(when, steps, do):
    """Do something before or after a step, or before the validation after it."""
    hooks = {"before": "train_batch_start", "after": "train_batch_end"}
    hook = f"on_{hooks.get(when, 'validation_start')}"

    def look(trainer, task, *_):
        if trainer.global_step in steps:
            do(task)

    return LambdaCallback(**{hook: look})


@torch.no_grad()
def spoil(task, value=0.2):
    for weights in task.model.parameters():
        weights += value


# Learning ---------------------------------------------------------------------------


def test_learns(tmp_path):
    result, _ = train(tmp_path, max_epochs=6, learning_rate=3e-3)
    for losses in result.curve.values():
        assert len(losses) == 6
        assert losses[-1] < losses[0] / 2
    assert (result.epochs, result.steps, result.sessions) == (6, 30, 1)
    assert (tmp_path / "csv" / "version_0" / "metrics.csv").exists()


def test_the_curve_is_the_mean_over_the_images(tmp_path):
    model = new_model()  # with a rate of nothing every batch sees the first model
    options = {"max_epochs": 1, "learning_rate": 1e-30, "batch_size": 6}
    result, _ = train(tmp_path, model=model, **options)
    for part, samples in (("train", TRAIN), ("validation", WATCHED)):
        expected = mean_loss(model, samples)
        assert result.curve[part] == pytest.approx([expected], rel=1e-5)


def test_the_weights_are_those_of_the_lowest_validation_loss(tmp_path):
    model, worse = new_model(), at("after", {15, 20}, spoil)
    result, weights = train(tmp_path / "worse", worse, model=model, max_epochs=4)
    losses = result.curve["validation"]
    assert min(losses) == losses[1] < losses[2]
    assert result.best_epoch == 2
    assert mean_loss(model, WATCHED) == pytest.approx(losses[1])
    assert torch.equal(weights, train(tmp_path / "two", max_epochs=2)[1])


def test_without_validation_the_last_weights_are_returned(tmp_path, whole):
    result, weights = train(tmp_path, watched=NONE)
    assert (result.best_epoch, result.curve["validation"]) == (3, [])
    assert result.curve["train"] == whole[0].curve["train"]
    assert torch.equal(weights, whole[1])  # watching changes nothing
    assert same(train(tmp_path, watched=NONE), (result, weights))


def test_patience_ends_a_training_for_good(tmp_path):
    options = {"max_epochs": 9, "patience": 2}
    ended = train(tmp_path, at("after", {20, 25}, spoil), **options)
    assert (ended[0].best_epoch, ended[0].epochs) == (3, 5)
    before = checkpoints(tmp_path)
    assert same(train(tmp_path, model=new_model(99), **options), ended)
    assert checkpoints(tmp_path) == before


@pytest.mark.parametrize(("schedule", "decay"), [("constant", 0.0), ("cosine", 0.2)])
def test_the_rate_falls_as_a_cosine_and_decay_is_that_of_adamw(
    tmp_path, schedule, decay
):
    model, rates = new_model(), []
    for weights in model.parameters():
        weights.register_hook(torch.zeros_like)
    before = [p.detach().clone() for p in model.parameters()]

    def note(task):
        rates.append(task.trainer.optimizers[0].param_groups[0]["lr"])

    noting = at("before", range(15), note)
    train(
        tmp_path,
        noting,
        model=model,
        schedule=schedule,
        weight_decay=decay,
        watched=NONE,
    )
    wave = [5e-4 * (1 + math.cos(math.pi * step / 15)) for step in range(15)]
    assert rates == pytest.approx(wave if schedule == "cosine" else [1e-3] * 15)
    left = math.prod(1 - rate * decay for rate in rates)
    after = [p.detach() for p in model.parameters()]
    torch.testing.assert_close(after, [left * p for p in before])


# Going on ---------------------------------------------------------------------------


@pytest.mark.parametrize("watched", [WATCHED, NONE], ids=["watched", "not"])
@pytest.mark.parametrize(("stop", "every"), [(3, 2), (5, 2), (7, 2), (10, 5), (12, 3)])
def test_a_stopped_training_goes_on_to_the_same_bits(
    tmp_path, whole, monkeypatch, stop, every, watched
):
    monkeypatch.setattr("colorlib.training.session.SAVE_EVERY", every)
    first, _ = train(tmp_path / "here", max_steps=stop, watched=watched)
    assert (first.steps, first.epochs) == (stop, stop // 5)
    (tmp_path / "here").rename(tmp_path / "moved")
    resumed = train(tmp_path / "moved", model=new_model(99), watched=watched)
    unwatched = train(tmp_path / "not", watched=NONE)
    assert same(resumed, whole if len(watched) else unwatched)
    assert resumed[0].sessions == 2


def with_dropout(model):
    """The same model, whose encoder is shown half of the pixels while it trains."""
    model.encoder.register_forward_pre_hook(
        lambda encoder, given: F.dropout(given[0], 0.5, encoder.training)
    )
    return model


def test_what_dropout_drops_follows_from_seed_and_step(tmp_path):
    """And not from what was drawn before, so a stopped training goes on the same."""
    whole = train(tmp_path / "whole", model=with_dropout(new_model()))
    torch.manual_seed(99)
    train(tmp_path / "parts", model=with_dropout(new_model()), max_steps=7)
    torch.manual_seed(100)
    resumed = train(tmp_path / "parts", model=with_dropout(new_model(99)))
    assert same(resumed, whole)
    other = train(
        tmp_path / "other", model=with_dropout(new_model()), seed=1, max_steps=1
    )
    assert not torch.equal(other[1], whole[1])


MOMENTS = [
    ("before", 6, 7, WATCHED), ("before", 9, 10, WATCHED), ("before", 9, 10, NONE),
    ("validating", 5, 5, WATCHED),
]  # fmt: skip


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("when", "step", "saved", "watched"), MOMENTS)
def test_a_signal_ends_a_training_saved(tmp_path, when, step, saved, watched, signum):
    worse = at("after", {10, 15}, spoil)  # than after the first epoch
    expected = train(tmp_path / "whole", worse, watched=watched)
    harm = at(when, {step}, lambda _: signal.raise_signal(signum))
    message = f"stopped by {signum.name}; the training is saved at step {saved}, give"
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted, match=message) as caught:
        train(tmp_path / "parts", worse, harm, watched=watched)
    assert (caught.value.signum, signal.getsignal(signum)) == (signum, before)
    again = {"model": new_model(99), "watched": watched}
    resumed = train(tmp_path / "parts", worse, **again)
    assert same(resumed, expected)
    assert resumed[0].best_epoch == (1 if len(watched) else 3)


def test_a_second_signal_does_not_wait(tmp_path):
    def twice(_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="go on from the last checkpoint"):
        train(tmp_path, at("before", {7}, twice))


def test_a_finished_training_is_only_read_and_goes_on_if_longer(tmp_path, whole):
    train(tmp_path, max_epochs=2)
    assert same(train(tmp_path, model=new_model(99)), whole)
    before = checkpoints(tmp_path)
    assert same(train(tmp_path, model=new_model(99)), whole)
    assert checkpoints(tmp_path) == before


def test_a_training_does_not_pass_for_a_shorter_one(tmp_path):
    train(tmp_path, max_epochs=2)
    before = checkpoints(tmp_path)
    for bounds, allowed in (
        ({"max_epochs": 1}, 5), ({"max_steps": 7}, 7), ({"batch_size": 12}, 6),
    ):  # fmt: skip
        message = rf"a training of 10 steps, expected at most the {allowed} .*--restart"
        with pytest.raises(UserError, match=message):
            train(tmp_path, **bounds)
    assert checkpoints(tmp_path) == before


def test_a_restart_forgets_what_was_before(tmp_path, whole):
    train(tmp_path, max_epochs=4)
    broken = at("before", {0}, lambda _: 1 / 0)
    data = new_model(), chroma_mse, TRAIN, WATCHED, tmp_path, CPU
    with pytest.raises(ZeroDivisionError):
        fit(*data, resume=False, callbacks=[broken])
    assert not checkpoints(tmp_path)
    assert same(train(tmp_path), whole)
    discard(tmp_path)
    assert not checkpoints(tmp_path)


def test_time_ends_a_training_but_no_epoch(tmp_path, monkeypatch):
    clock = count()  # of a second a look
    monkeypatch.setattr(Timer, "time_elapsed", lambda *_: next(clock))
    result, weights = train(tmp_path / "bound", max_minutes=0.2, max_epochs=999)
    assert 5 < result.steps < 20
    assert result.steps % 5
    assert result.epochs == result.steps // 5 == len(result.curve["validation"])
    shorter = train(tmp_path / "shorter", max_epochs=result.epochs)
    assert torch.equal(weights, shorter[1])


# Faults -----------------------------------------------------------------------------


@pytest.mark.parametrize(("when", "steps"), [("after", 6), ("validating", 10)])
def test_a_training_that_diverges_keeps_its_checkpoint(
    tmp_path, monkeypatch, when, steps
):
    train(tmp_path, max_epochs=1)
    before = checkpoints(tmp_path)
    monkeypatch.setattr("colorlib.training.session.SAVE_EVERY", steps)
    harm = at(when, {steps}, lambda task: spoil(task, torch.nan))
    with pytest.raises(UserError, match=rf"after {steps} steps, .*learning_rate"):
        train(tmp_path, harm)
    assert checkpoints(tmp_path) == before


class Attack:
    """What a pickle can do when it is opened."""

    def __reduce__(self):
        return exec, ("raise SystemExit('was run')",)


def changed(content):
    """With another byte in the midst of the weights."""
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "byte": lambda path: path.write_bytes(changed(path.read_bytes())),
    "other": lambda path: torch.save({"weights": 1}, path),
    "code": lambda path: torch.save(
        torch.load(path, weights_only=True) | {"more": Attack()}, path
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_damaged_checkpoint_is_refused_by_its_name(tmp_path, name, damage):
    train(tmp_path, max_epochs=1)
    DAMAGES[damage](tmp_path / name)
    with pytest.raises(UserError, match=rf"{name}: found .*give --restart") as caught:
        train(tmp_path, max_epochs=1)
    assert "\n" not in str(caught.value)
