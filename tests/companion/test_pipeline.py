"""Runs end to end, and what they may and may not take for done."""

import json
from dataclasses import replace

import pytest
import torch

from colorlib import color
from colorlib.errors import UserError
from colorlib.files import file_sha256
from colorlib.model import load_model
from companion import pipeline, provenance
from companion.builders import (
    Folders,
    initial_model,
    load_backbones,
    setup_data,
    setup_features,
)
from companion.config import load_profile
from companion.pipeline import evaluate_weights, predict_images, run_model
from companion.records import read_record

SMOKE = load_profile("smoke", **{"data.size": 16, "data.count": 48})
PLAIN, FUSED = SMOKE.run("plain"), SMOKE.run("model1")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folders(cache, tmp_path):
    return Folders(cache=cache, runs=tmp_path / "runs")


@pytest.fixture
def trainings(monkeypatch):
    """The folders in which something was trained."""
    fit, trained = pipeline.fit, []

    def counted(*given, **options):
        trained.append(given[4])
        return fit(*given, **options)

    monkeypatch.setattr(pipeline, "fit", counted)
    return trained


@pytest.mark.parametrize("features", ["softmax", "logits", "maps"])
def test_a_run_goes_from_images_to_a_record(folders, features):
    config = load_profile("smoke", **{"model.features": features}).run("model2")
    record, folder = run_model(config, folders), folders.runs / config.run_name
    weights = folder / "model.safetensors"
    assert read_record(folder / "record.json") == record
    assert record.model.weights_sha256 == file_sha256(weights)
    scores = record.scores["test"]
    assert set(scores["model"]) == set(scores["no colour"])
    assert 0 < scores["model"]["loss_eq1"].mean < 0.2  # guessing scores about 0.3
    assert record.data.tests == {"test": len(record.per_image["test"]["loss_eq1"])}
    assert [one.weights for one in record.model.backbones] == ["random"] * 2
    assert set(record.seconds) == {"data", "features", "training", "scoring"}
    assert record.groups == {}  # of runs without fusion alone
    assert "mean_image_loss" not in record.per_image["test"]
    model, notes = load_model(weights)
    assert notes["record"] == config.run_name
    if features == "maps":  # standardised over the training images
        data, networks = setup_data(config, folders), load_backbones(config, folders)
        maps = setup_features(config, data, networks, folders)
        first = maps.take(data.split.train)[:, : maps.channels[0]]
        mean, std = model.feature_input.mean[0], model.feature_input.std[0]
        assert mean.item() == pytest.approx(first.mean().item())
        assert std.item() == pytest.approx(first.std(correction=0).item(), rel=1e-4)


def test_tuning_sees_no_test_image(folders, monkeypatch):
    monkeypatch.setattr(pipeline, "Scorer", None)  # would fail if called
    config = PLAIN.model_copy(update={"validation_only": True})
    record = run_model(config, folders)
    assert record.scores == record.per_image == record.groups == {}
    assert len(record.training.curve["validation"]) == 1


# ------------------------------------------------------------------ done and unfinished


def test_a_return_to_earlier_settings_is_no_unfinished_training(folders, trainings):
    for seed in (0, 1, 0):
        run_model(SMOKE.run("plain", seed), folders, unfinished="refuse")
    assert len(trainings) == len(set(trainings)) == 2


def test_of_two_processes_the_second_reads_what_the_first_made(
    folders, trainings, monkeypatch
):
    lock, first = pipeline._lock, []

    def waits(folder, held):
        monkeypatch.setattr(pipeline, "_lock", lock)
        first.append(run_model(PLAIN, folders))  # by the one that has the lock
        lock(folder, held)

    monkeypatch.setattr(pipeline, "_lock", waits)
    assert run_model(PLAIN, folders) == first[0]
    assert len(trainings) == 1


def other_identity(folder):
    values = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**values, "identity": "f" * 64}))


CHANGES = {
    "a damaged record": lambda run: (run / "record.json").write_text("{}"),
    "other weights": lambda run: (run / "model.safetensors").write_bytes(b"others"),
    "another identity": other_identity,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_result_of_the_run_is_made_again(folders, trainings, change):
    first = run_model(PLAIN, folders)
    CHANGES[change](folders.runs / PLAIN.run_name)
    again = run_model(PLAIN, folders)
    assert len(trainings) == 2
    assert again.per_image == first.per_image
    assert again.training.sessions == 2  # of its own finished training


def test_a_run_is_all_that_its_numbers_depend_on(folders, monkeypatch):
    data, networks = setup_data(FUSED, folders), load_backbones(FUSED, folders)

    def identity(config=FUSED, data=data, networks=networks):
        return provenance.identity(config, data, networks)

    manifest = data.packed.manifest
    shas = ["0" * 64, *manifest.sha256s[1:]]
    images = replace(data.packed, manifest=replace(manifest, sha256s=shas))
    trained = load_backbones(FUSED, folders)
    trained[0].weights_hash = "other"
    others = [
        identity(config=SMOKE.run("model1", seed=1)),
        identity(data=replace(data, packed=images)),  # of another data root
        identity(data=replace(data, split=replace(data.split, hash="other"))),
        identity(networks=trained),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "NUMERICS", provenance.NUMERICS[1:])
        others.append(identity())
    assert FUSED.decisive()["model"]["upsampling"] == "nearest"  # defaults count
    assert not {"accelerator", "devices"} & set(FUSED.decisive()["train"])
    assert identity() == identity()
    assert len({identity(), *others}) == 6


def test_unfinished_trainings_are_refused_resumed_or_restarted(folders, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "Scorer", None)
        with pytest.raises(TypeError):
            run_model(PLAIN, folders)  # trained, and then cut off
    with pytest.raises(UserError, match="give --resume to continue it"):
        run_model(PLAIN, folders, unfinished="refuse")
    assert run_model(PLAIN, folders).training.sessions == 2
    (folders.runs / PLAIN.run_name / "record.json").unlink()
    restarted = run_model(PLAIN, folders, unfinished="restart")
    assert restarted.training.sessions == 1


# ---------------------------------------------------------------- what a run is made of


def test_predictions_and_scores_are_those_of_the_trained_model(folders):
    record, data = run_model(FUSED, folders), setup_data(FUSED, folders)
    test = data.split.tests["test"]
    found = predict_images(FUSED, folders, test)
    true = color.images_to_float(torch.from_numpy(data.packed.images[test]))
    _, ab_norm = color.normalize_lab(color.rgb_to_lab(true))
    losses = (found[:, 1:] / 128 - ab_norm).square().mean((1, 2, 3)).tolist()
    assert losses == pytest.approx(record.per_image["test"]["loss_eq1"], rel=1e-3)
    weights = folders.runs / FUSED.run_name / "model.safetensors"
    again = evaluate_weights(SMOKE, weights, folders)["test"]["model"]
    for metric, summary in record.scores["test"]["model"].items():
        assert again[metric].mean == pytest.approx(summary.mean, rel=1e-3)


def test_the_seed_decides_the_initial_weights():
    state = torch.random.get_rng_state()
    first, other, again = (
        next(initial_model(SMOKE.run("model4", seed), None, []).parameters())
        for seed in (0, 1, 0)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        ("plain", {"data.count": 8, "data.validation": 0.95}, "lower validation"),
        ("model1", {"weights": "file"}, "give --weights-root"),
        ("model4", {"encoder_weights": "pretrained"}, "has width 1"),
    ],
)
def test_what_a_run_lacks_is_an_error_of_the_user(folders, model, settings, said):
    with pytest.raises(UserError, match=said):
        run_model(load_profile("smoke", **settings).run(model), folders)
