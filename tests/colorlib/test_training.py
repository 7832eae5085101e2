import csv
import signal
import time
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from colorlib.checkpoints import WholeCheckpoints
from colorlib.errors import Interrupted, UserError
from colorlib.files import file_lock
from colorlib.losses import chroma_mse
from colorlib.model import build_model
from colorlib.pace import PLAIN, TOLERANCES
from colorlib.sampling import OrderedBatches, Samples, ShuffledBatches
from colorlib.training import FitOptions, KeepSamples, discard, fit
from companion.provenance import training_key

CPU = {"accelerator": "cpu", "progress": False}


def sunsets(count, size=16):
    """Images whose colour follows their lightness: something to learn."""
    rng = np.random.default_rng(0)
    light = rng.uniform(0.2, 1, (count, size, size, 1))
    return (255 * light * np.array([1.0, 0.7, 0.3])).astype(np.uint8)


@pytest.fixture
def samples():
    return Samples(sunsets(24), None, np.arange(24))


def new_model(seed=0):
    torch.manual_seed(seed)
    return build_model("plain", width=0.1)


def weights_of(model):
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def train(model, samples, folder, **options):
    batches = ShuffledBatches(samples, 5, seed=0)
    watched = OrderedBatches(samples, 8)
    return fit(
        model, chroma_mse, batches, watched, folder, FitOptions(**CPU, **options)
    )


def test_learns(samples, tmp_path):
    result = train(new_model(), samples, tmp_path, max_epochs=6, learning_rate=3e-3)
    for losses in result.curve.values():
        assert len(losses) == 6
        assert losses[-1] < losses[0] / 2
    assert (result.epochs, result.steps, result.sessions) == (6, 30, 1)


def test_a_training_that_diverges_says_so_and_keeps_its_last_checkpoint(
    samples, tmp_path
):
    train(new_model(), samples, tmp_path, max_epochs=1)
    before = (tmp_path / "last.ckpt").read_bytes()

    def broken(outputs, true_target_norm):
        return chroma_mse(outputs, true_target_norm) * float("nan")

    batches = ShuffledBatches(samples, 5, seed=0)
    with pytest.raises(UserError, match=r"loss of nan in epoch 1, .*learning_rate"):
        fit(
            new_model(),
            broken,
            batches,
            None,
            tmp_path,
            FitOptions(**CPU, max_epochs=2),
        )
    assert (tmp_path / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize(("share", "expected"), [(1.0, 10), (1e-9, 2)])
def test_checkpoints_take_a_share_of_the_time_at_most(
    samples, tmp_path, monkeypatch, share, expected
):
    written = []
    save = WholeCheckpoints.save_checkpoint

    def counted(self, checkpoint, path, storage_options=None):
        written.append(checkpoint["global_step"])
        save(self, checkpoint, path)

    monkeypatch.setattr(WholeCheckpoints, "save_checkpoint", counted)
    options = {"checkpoint_every": 1, "checkpoint_share": share}
    train(new_model(), samples, tmp_path, max_epochs=2, **options)
    assert (written[0], written[-1]) == (1, 10)  # the last one, whatever its price
    assert len(written) == expected
    resumed = train(new_model(), samples, tmp_path, max_epochs=3, **options)
    assert (resumed.sessions, resumed.steps) == (2, 15)


def test_a_signal_while_the_last_checkpoint_is_written_is_heard(
    samples, tmp_path, monkeypatch
):
    save = WholeCheckpoints.save_checkpoint

    def interrupted(self, checkpoint, path, storage_options=None):
        save(self, checkpoint, path)
        if checkpoint["global_step"] == 10:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(WholeCheckpoints, "save_checkpoint", interrupted)
    with pytest.raises(Interrupted, match="saved at step 10, give --resume"):
        train(new_model(), samples, tmp_path, max_epochs=2)


def test_the_curve_is_the_mean_over_the_epoch(samples, tmp_path):
    # with a learning rate of nothing every batch sees the first model
    model = new_model()
    result = train(model, samples, tmp_path, max_epochs=1, learning_rate=1e-30)
    whole = next(iter(OrderedBatches(samples, 24)))
    from colorlib.color import images_to_float, normalize_lab, rgb_to_lab

    L_norm, ab_norm = normalize_lab(rgb_to_lab(images_to_float(whole.images)))
    expected = chroma_mse(model(L_norm), ab_norm).item()
    assert result.curve["train"] == pytest.approx([expected], rel=1e-5)
    assert result.curve["validation"] == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("stop_after", [5, 7, 10, 12])
def test_a_stopped_training_goes_on_to_the_same_weights(samples, tmp_path, stop_after):
    whole = new_model()
    uninterrupted = train(whole, samples, tmp_path / "whole", max_epochs=3)

    first = new_model()
    train(first, samples, tmp_path / "parts", max_epochs=3, max_steps=stop_after)
    resumed = new_model(seed=99)  # its own weights must not matter
    result = train(resumed, samples, tmp_path / "parts", max_epochs=3)

    assert torch.equal(weights_of(whole), weights_of(resumed))
    assert result.steps == uninterrupted.steps == 15
    assert result.sessions == 2
    assert result.curve["train"] == uninterrupted.curve["train"]
    assert result.curve["validation"] == uninterrupted.curve["validation"]


def test_more_epochs_continue_a_finished_training(samples, tmp_path):
    train(new_model(), samples, tmp_path / "parts", max_epochs=2)
    longer = new_model(seed=99)
    result = train(longer, samples, tmp_path / "parts", max_epochs=4)
    whole = new_model()
    train(whole, samples, tmp_path / "whole", max_epochs=4)
    assert result.epochs == 4
    assert torch.equal(weights_of(whole), weights_of(longer))


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [({"max_epochs": 1}, 5), ({"max_epochs": 3, "max_steps": 7}, 7)],
)
def test_a_training_does_not_pass_for_a_shorter_one(samples, tmp_path, bounds, allowed):
    train(new_model(), samples, tmp_path, max_epochs=2)
    before = (tmp_path / "last.ckpt").read_bytes()
    expected = rf"a training of 10 steps, expected at most the {allowed} .*--restart"
    with pytest.raises(UserError, match=expected):
        train(new_model(), samples, tmp_path, **bounds)
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert train(new_model(), samples, tmp_path, max_epochs=2).steps == 10


@pytest.mark.parametrize(
    "options",
    [{}, {"upsampling": "bilinear", "skips": True, "normalisation": "batch"}],
)
def test_deterministic_mode_changes_nothing_on_a_processor(samples, tmp_path, options):
    weights = []
    for deterministic in (False, True):
        torch.manual_seed(0)
        model = build_model("plain", width=0.1, **options)
        folder = tmp_path / str(deterministic)
        train(model, samples, folder, max_epochs=2, deterministic=deterministic)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        weights.append(weights_of(model))
    torch.use_deterministic_algorithms(False)
    assert torch.equal(*weights)


def test_class_scores_reach_the_model(tmp_path):
    # the photographs are alike; only the class scores tell the two colours apart
    gray = np.full((16, 16, 16, 3), 128, np.uint8)
    gray[::2, ..., 0], gray[1::2, ..., 2] = 160, 160
    features = np.zeros((16, 1, 1000), np.float32)
    features[::2, 0, 3], features[1::2, 0, 7] = 1, 1
    told = Samples(gray, features, np.arange(16))
    torch.manual_seed(0)
    model = build_model("model1", backbones=["any"], width=0.25)
    batches = ShuffledBatches(told, 8, seed=0)
    options = FitOptions(max_epochs=60, **CPU)
    result = fit(model, chroma_mse, batches, None, tmp_path, options)
    assert result.curve["train"][-1] < result.curve["train"][0] / 10
    assert result.curve["validation"] == []


def test_time_ends_a_training(samples, tmp_path):
    start = time.monotonic()
    result = train(
        new_model(), samples, tmp_path, max_epochs=100_000, max_minutes=1.5 / 60
    )
    assert time.monotonic() - start < 20
    assert 0 < result.epochs < 100_000


def watch(model, samples, folder, **options):
    """Train with samples kept."""
    batches, watched = ShuffledBatches(samples, 12, seed=0), OrderedBatches(samples, 8)
    keep = KeepSamples(samples.take(np.arange(2)), folder)
    options = FitOptions(**CPU, **options)
    fit(model, chroma_mse, batches, watched, folder, options, [keep])
    return [np.load(path) for path in sorted(folder.glob("samples/epoch_*.npy"))]


def test_samples_are_kept_after_each_epoch(samples, tmp_path):
    kept = watch(new_model(), samples, tmp_path, max_epochs=2)
    assert [k.shape for k in kept] == [(2, 2, 16, 16)] * 3
    assert not np.array_equal(kept[0], kept[2])


def test_samples_do_not_depend_on_interruptions(samples, tmp_path):
    whole = watch(new_model(), samples, tmp_path / "whole", max_epochs=3)
    for steps in (3, 4):  # within an epoch, and where one ends
        folder = tmp_path / str(steps)
        watch(new_model(), samples, folder, max_epochs=3, max_steps=steps)
        resumed = watch(new_model(seed=99), samples, folder, max_epochs=3)
        np.testing.assert_array_equal(resumed, whole)


def test_keeping_samples_changes_nothing(samples, tmp_path):
    weights = []
    for keep in (False, True):
        torch.manual_seed(0)
        model = build_model("plain", width=0.1, normalisation="batch")
        if keep:
            watch(model, samples, tmp_path / "kept", max_epochs=2)
        else:
            batches, watched = (
                ShuffledBatches(samples, 12, 0),
                OrderedBatches(samples, 8),
            )
            options = FitOptions(**CPU, max_epochs=2)
            fit(model, chroma_mse, batches, watched, tmp_path / "not", options)
        weights.append(weights_of(model))
    assert torch.equal(*weights)


def test_every_session_leaves_its_log(samples, tmp_path):
    for epochs in (1, 2):
        train(new_model(), samples, tmp_path, max_epochs=epochs)
    logs = sorted(tmp_path.glob("csv/*/metrics.csv"))
    assert len(logs) == 2
    with logs[0].open() as file:
        assert "val_loss" in next(csv.reader(file))
    assert list(tmp_path.glob("tensorboard/events.*"))


# --------------------------------------------------------- where the way is left open


@pytest.fixture
def hasty(monkeypatch):
    """As if even the shortest training were worth trials."""
    monkeypatch.setattr("colorlib.pace.LONG", 1)


def choose(monkeypatch, index):
    """As if one of the ways had been the fastest."""
    monkeypatch.setattr("colorlib.pace.quickest", lambda trials, steps: trials[index])


class NotePrecision(Callback):
    """Notes what the trainer was told."""

    def on_train_start(self, trainer, task):
        self.precision = trainer.precision


@pytest.mark.parametrize(("index", "precision"), [(0, "32-true"), (1, "bf16-mixed")])
def test_the_way_taken_is_the_way_gone(
    samples, tmp_path, monkeypatch, hasty, index, precision
):
    choose(monkeypatch, index)
    noted = NotePrecision()
    options = FitOptions(**CPU, max_epochs=1, precision="auto")
    batches = ShuffledBatches(samples, 5, seed=0)
    result = fit(new_model(), chroma_mse, batches, None, tmp_path, options, [noted])
    assert noted.precision == result.pace.precision == precision
    ways = [trial.pace.precision for trial in result.trials]
    assert ways == ["32-true", "bf16-mixed"]


def test_trials_change_nothing_of_the_training(samples, tmp_path, monkeypatch, hasty):
    choose(monkeypatch, 0)
    model, tried = new_model(), new_model()
    train(model, samples, tmp_path / "plain", max_epochs=2)
    train(tried, samples, tmp_path / "tried", max_epochs=2, precision="auto")
    assert (tmp_path / "tried" / "pace.json").exists()
    assert torch.equal(weights_of(model), weights_of(tried))


def test_a_resumed_training_goes_on_the_way_it_began(
    samples, tmp_path, monkeypatch, hasty
):
    choose(monkeypatch, 1)
    train(new_model(), samples, tmp_path, max_epochs=1, precision="auto")
    choose(monkeypatch, 0)
    later = train(new_model(), samples, tmp_path, max_epochs=2, precision="auto")
    assert later.pace.precision == "bf16-mixed"
    assert later.sessions == 2


def test_a_discarded_training_leaves_what_other_processes_may_be_reading(
    samples, tmp_path, monkeypatch, hasty
):
    choose(monkeypatch, 1)
    watch(new_model(), samples, tmp_path, max_epochs=1, precision="auto")
    decided = (tmp_path / "pace.json").read_bytes()
    with file_lock(tmp_path / "pace.lock"):  # as another one that decides
        discard(tmp_path)
        with file_lock(tmp_path / "pace.lock", wait=False) as held:
            assert not held
    assert {path.name for path in tmp_path.iterdir()} == {"pace.json", "pace.lock"}
    assert (tmp_path / "pace.json").read_bytes() == decided


def test_what_is_to_be_the_same_each_time_does_not_ask_a_clock(
    samples, tmp_path, hasty
):
    options = {"precision": "auto", "compiled": "auto", "deterministic": True}
    result = train(new_model(), samples, tmp_path, max_epochs=1, **options)
    assert (result.pace, result.trials) == (PLAIN, ())


def test_a_compiled_training_learns_the_same(samples, tmp_path, monkeypatch):
    # captured, but left to PyTorch's own operations: a compiler takes half a minute
    captured = partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(
        torch, "compile", lambda step, mode, dynamic: captured(step, dynamic=dynamic)
    )
    curves = [
        train(new_model(), samples, tmp_path / way, max_epochs=3, compiled=way).curve
        for way in ("none", "default")
    ]
    for part in ("train", "validation"):  # 24 photographs by 5: the last batch is of 4
        plain, compiled = (curve[part] for curve in curves)
        assert compiled == pytest.approx(plain, rel=TOLERANCES["32-true"])


def test_a_falling_rate_is_another_training_for_every_length():
    def key(**settings):
        return training_key({"profile": {"max_epochs": 2, "seed": 0} | settings})

    assert key() == key(max_epochs=4)
    assert key(schedule="cosine") == key(schedule="cosine", logit_adjustment=0.5)
    assert key(schedule="cosine") != key(schedule="cosine", max_epochs=4)
