from dataclasses import replace

import pytest
import torch

from colorlib.backbones import load_backbone
from colorlib.evaluation import MODEL, baselines, mean_image, score_predictor
from colorlib.model import build_model
from colorlib.sampling import EpochLoader
from companion import scoring
from companion.builders import Folders, setup_data
from companion.config import load_profile
from companion.scoring import Scorer

CONFIG = load_profile("smoke", **{"data.size": 16, "data.count": 48}).run("plain")


@pytest.fixture
def data(tmp_path):
    return setup_data(CONFIG, Folders(cache=tmp_path))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model("plain", width=0.1).eval()


def batches(data, indices):
    return EpochLoader(data.subset(None, indices), 7)


def in_two_groups(data, *names):
    """The same images, in two classes by turns."""
    groups = [names[i % 2] for i in range(len(data.packed))]
    manifest = replace(data.packed.manifest, groups=groups)
    return replace(data, packed=replace(data.packed, manifest=manifest))


def test_scores_are_those_of_the_library(data, model, tmp_path):
    scores = Scorer(CONFIG, data, None, tmp_path).scores(model)
    mean = mean_image(batches(data, data.split.train))
    test = data.split.tests["test"]
    expected = {
        name: score_predictor(predict, batches(data, test))
        for name, predict in baselines(mean).items()
    }
    naive = expected["per-pixel mean image"]["loss_eq1"]
    own = score_predictor(model, batches(data, test))
    expected[MODEL] = {**own, "mean_image_loss": naive}
    assert set(scores["test"]) == set(expected)
    for method, metrics in expected.items():
        assert set(scores["test"][method]) == set(metrics)
        for metric, values in metrics.items():
            torch.testing.assert_close(scores["test"][method][metric], values)


def test_baselines_are_computed_once_for_the_same_images(
    data, model, tmp_path, monkeypatch
):
    first = Scorer(CONFIG, data, None, tmp_path).scores(model)
    monkeypatch.setattr(Scorer, "_naive", None)  # would fail if it were called
    again = Scorer(CONFIG, data, None, tmp_path).scores(model)
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    fewer = replace(data.split, train=data.split.train[:-1], hash="other")
    with pytest.raises(TypeError):  # other training images, another mean
        Scorer(CONFIG, replace(data, split=fewer), None, tmp_path).scores(model)
    judge = load_backbone("test_resnet.r160_in1k", "random")
    with pytest.raises(TypeError):
        Scorer(CONFIG, data, None, tmp_path, judge).scores(model)


def test_a_judge_names_the_classes_of_coloured_gray_and_true_images(
    data, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(scoring, "JUDGED", 5)
    count = len(data.packed)
    names = [f"n{number}" for number in ("01440764", "15075141")]
    manifest = replace(
        data.packed.manifest, groups=[names[i % 2] for i in range(count)]
    )
    data = replace(data, packed=replace(data.packed, manifest=manifest))
    judge = load_backbone("test_resnet.r160_in1k", "random")
    judge.net.forward = lambda seen: torch.eye(1000)[torch.full((len(seen),), 999)]
    scores = Scorer(CONFIG, data, None, tmp_path, judge).scores(model)["test"]
    true = [float(i % 2) for i in data.split.tests["test"][:5].tolist()]
    asked = ("model", "no colour", "mean colour", "per-pixel mean image")
    assert set(scores) == {*asked, "ground truth"}
    assert all(scores[method]["named"].tolist() == true for method in scores)
    kept = Scorer(CONFIG, data, None, tmp_path, judge).in_record(model)
    assert kept["per_image"]["test"]["named"] == true
    assert kept["scores"]["test"]["model"]["named"].n == 5
    assert len(kept["per_image"]["test"]["loss_eq1"]) > 5


def test_a_record_keeps_groups_as_numbers_and_where_the_errors_are(
    data, model, tmp_path
):
    kept = Scorer(CONFIG, data, None, tmp_path).in_record(model)
    test = data.split.tests["test"]
    groups = [data.packed.manifest.groups[i] for i in test]
    numbers = kept["groups"]["test"]
    assert len(set(zip(groups, numbers, strict=True))) == len(set(groups))
    breakdown = kept["breakdown"]
    assert sum(breakdown.pixels) == len(test) * 16 * 16
    assert breakdown.classes == {}  # names of people are no part of a record
    assert "is not below the per-pixel mean image's" in kept["note"]  # it is untrained


def test_losses_of_classes_are_their_means(data, tmp_path):
    data = in_two_groups(data, "a", "b")
    data = replace(data, source=replace(data.source, name="imagenet"))
    test = data.split.tests["test"]
    losses = torch.rand(len(test), generator=torch.Generator().manual_seed(0))
    found = Scorer(CONFIG, data, None, tmp_path)._class_errors(losses)
    odd = torch.from_numpy(test % 2 == 1)
    assert found["b"].images == odd.sum()
    assert found["b"].loss_eq1 == pytest.approx(losses[odd].mean().item(), rel=1e-4)
