"""Scores of a run, and what an independent classifier names."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from colorlib.backbones import load_backbone
from colorlib.evaluation import MODEL, baselines, mean_image, score_predictor
from colorlib.model import build_model
from colorlib.sampling import EpochLoader
from companion import builders, scoring
from companion.builders import Folders, setup_data
from companion.config import load_profile
from companion.scoring import Scorer

CONFIG = load_profile("smoke", **{"data.size": 16, "data.count": 48}).run("plain")
CLASSES = ("n01440764", "n15075141")  # the first and the last of ImageNet


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images in two classes by turns."""
    data = setup_data(CONFIG, Folders(cache=tmp_path_factory.mktemp("cache")))
    groups = [CLASSES[i % 2] for i in range(len(data.packed))]
    manifest = replace(data.packed.manifest, groups=groups)
    return replace(data, packed=replace(data.packed, manifest=manifest))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model("plain", width=0.1).eval()


@pytest.fixture
def scorer(data, tmp_path):
    return Scorer(CONFIG, data, None, tmp_path)


def batches(data, indices):
    return EpochLoader(data.subset(None, indices), 7)


def test_scores_are_those_of_the_library(data, model, scorer):
    scores = scorer.scores(model)["test"]
    mean = mean_image(batches(data, data.split.train))
    test = data.split.tests["test"]
    expected = {
        name: score_predictor(predict, batches(data, test))
        for name, predict in baselines(mean).items()
    }
    naive = expected["per-pixel mean image"]["loss_eq1"]
    own = score_predictor(model, batches(data, test))
    expected[MODEL] = {**own, "mean_image_loss": naive}
    assert set(scores) == set(expected)
    for method, metrics in expected.items():
        torch.testing.assert_close(scores[method], metrics)


def test_baselines_are_computed_once_for_the_same_images(
    data, model, scorer, monkeypatch
):
    first = scorer.scores(model)
    monkeypatch.setattr(Scorer, "_naive", None)  # would fail if it were called
    torch.testing.assert_close(scorer.scores(model), first, rtol=0, atol=0)
    fewer = replace(data.split, train=data.split.train[:-1], hash="other")
    judge = load_backbone("test_resnet.r160_in1k", "random")
    for other in ({"data": replace(data, split=fewer)}, {"judge": judge}):
        with pytest.raises(TypeError):  # other training images have another mean
            replace(scorer, **other).scores(model)


def test_a_judge_names_the_classes_of_coloured_gray_and_true_images(
    data, model, scorer, monkeypatch
):
    monkeypatch.setattr(scoring, "MOST_JUDGED", 5)
    judge = load_backbone("test_resnet.r160_in1k", "random")
    judge.net.forward = lambda seen: torch.eye(1000)[torch.full((len(seen),), 999)]
    asked = replace(scorer, judge=judge)
    true = [float(i % 2) for i in data.split.tests["test"][:5].tolist()]
    scores = asked.scores(model)["test"]
    naive = ("no colour", "mean colour", "per-pixel mean image")
    assert set(scores) == {"model", *naive, "ground truth"}
    assert all(scores[method]["named"].tolist() == true for method in scores)
    kept = asked.in_record(model)
    assert kept["per_image"]["test"]["named"] == true
    assert kept["scores"]["test"]["model"]["named"].n == 5
    assert len(kept["per_image"]["test"]["loss_eq1"]) > 5


@pytest.mark.parametrize("folder", [None, Path("weights")])
def test_a_judge_is_trained_though_the_fused_networks_are_not(monkeypatch, folder):
    monkeypatch.setattr(builders, "load_backbone", lambda name, weights: weights)
    profile = load_profile("protocol", **{"weights": "random"})
    found = builders.load_judge(profile.run("plain"), Folders(weights=folder))
    assert found == (folder or "pretrained")


def test_a_record_keeps_groups_as_numbers_and_how_pale_colours_are(data, model, scorer):
    kept, test = scorer.in_record(model), data.split.tests["test"]
    assert kept["groups"]["test"] == (test % 2).tolist()
    assert sum(kept["breakdown"].pixels) == len(test) * 16 * 16
    assert "is not below the per-pixel mean image's" in kept["note"]  # it is untrained
