"""A trained model is fed ever after as it was in its training."""

import json

import pytest
import torch

from colorlib.backbones import load_backbone
from colorlib.colorize import Colorizer
from colorlib.experiment import evaluate_weights
from colorlib.model import build_model, save_model
from colorlib.preparation import Folders
from colorlib.profiles import load_profile

BACKBONE = "test_resnet.r160_in1k"


@pytest.fixture
def weights(tmp_path):
    """A model that was trained with another `see_size` than ours, and has no name."""
    torch.manual_seed(0)
    backbone = {"name": BACKBONE, "weights": "random"}
    backbone["weights_hash"] = load_backbone(BACKBONE, "random").weights_hash
    notes = {"size": 16, "see_size": 48, "scores": "softmax", "backbones": [backbone]}
    notes |= {"target": "lab", "gray": "L"}
    path = tmp_path / "model.safetensors"
    save_model(build_model("model1", backbones=[BACKBONE], width=0.1), path, notes)
    return path


def test_its_backbones_are_shown_squares_of_the_size_of_its_training(weights, tmp_path):
    profile = load_profile("smoke", count=12)
    folders = Folders(None, None, tmp_path / "cache", tmp_path / "runs")
    scores = evaluate_weights(profile, weights, folders, say=lambda line: None)
    assert scores["model"]["loss_eq1"] > 0
    (about,) = tmp_path.rglob("class_scores/*/*.json")
    found = json.loads(about.read_text())["see_size"]
    assert found == Colorizer.load(weights).see_size == 48
