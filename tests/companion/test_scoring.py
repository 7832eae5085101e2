from dataclasses import replace

import pytest
import torch

from colorlib.data.sources import MixedSource
from colorlib.evaluation import MODEL, TrainingMean, evaluate, evaluate_baselines
from colorlib.model import build_model
from colorlib.sampling import OrderedBatches
from companion import scoring
from companion.builders import target_of
from companion.config import load_profile
from companion.data_setup import Folders, prepare_data, subset


@pytest.fixture
def smoke(tmp_path):
    profile = load_profile("smoke", size=16)
    folders = Folders(None, None, tmp_path, tmp_path / "runs")
    return profile, prepare_data(profile, folders, say=lambda line: None)


def batches(data, indices):
    return OrderedBatches(subset(data, None, indices), 7)


def test_scores_are_those_of_evaluate(smoke, tmp_path):
    profile, data = smoke
    torch.manual_seed(0)
    model = build_model("plain", width=0.1)
    scores = scoring.score_model(profile, model, data, None, tmp_path)
    mean = TrainingMean.of(batches(data, data.train))
    expected = evaluate(
        model, batches(data, data.test), mean, target=target_of(profile)
    )
    assert list(scores) == list(expected)
    for method, metrics in expected.items():
        assert list(scores[method]) == list(metrics)
        for metric, values in metrics.items():
            torch.testing.assert_close(scores[method][metric], values)


def test_baselines_are_computed_once_for_the_same_photographs(
    smoke, tmp_path, monkeypatch
):
    profile, data = smoke
    first = scoring.baseline_scores(profile, data, tmp_path)
    monkeypatch.setattr(scoring, "_computed", None)  # would fail if it were called
    again = scoring.baseline_scores(profile, data, tmp_path)
    assert MODEL not in again
    for method, metrics in first.items():
        for metric, values in metrics.items():
            assert torch.equal(again[method][metric], values)
    fewer = replace(data, train=data.train[:-1])
    with pytest.raises(TypeError):  # other training photographs, another mean
        scoring.baseline_scores(profile, fewer, tmp_path)


def test_parts_of_a_mixed_data_set_have_means_of_their_own(smoke, tmp_path):
    profile, data = smoke
    count = len(data.packed.images)
    groups = [f"{'odd' if i % 2 else 'even'}:scene" for i in range(count)]
    manifest = replace(data.packed.manifest, groups=groups)
    mixed = replace(
        data,
        source=MixedSource([data.source]),
        packed=replace(data.packed, manifest=manifest),
    )
    model = build_model("plain", width=0.1)
    whole = scoring.score_model(profile, model, mixed, None, tmp_path)
    parts = scoring.score_parts(profile, mixed, whole[MODEL], tmp_path)
    assert set(parts) == {"odd", "even"}
    for name, remainder in (("odd", 1), ("even", 0)):
        of_part = data.test % 2 == remainder
        values = parts[name][MODEL]["psnr_rgb"]
        assert torch.equal(values, whole[MODEL]["psnr_rgb"][torch.from_numpy(of_part)])
        train, test = (x[x % 2 == remainder] for x in (data.train, data.test))
        own = TrainingMean.of(batches(data, train))
        expected = evaluate_baselines(batches(data, test), own)
        for method, metrics in expected.items():
            torch.testing.assert_close(
                parts[name][method]["loss_eq1"], metrics["loss_eq1"]
            )


def test_other_data_sets_have_no_parts(smoke, tmp_path):
    profile, data = smoke
    assert scoring.score_parts(profile, data, {}, tmp_path) == {}
