"""A trained model is fed ever after as it was in its training."""

import json

import pytest
import torch

from colorlib.backbones import load_backbone
from colorlib.colorize import Colorizer
from colorlib.model import build_model, save_model
from companion.config import load_profile
from companion.data_setup import Folders
from companion.pipeline import evaluate_weights

BACKBONE = "test_resnet.r160_in1k"


@pytest.fixture
def weights(tmp_path):
    """A model that was trained with another `backbone_image_size` than ours, and has no name."""
    torch.manual_seed(0)
    backbone = {"name": BACKBONE, "weights": "random"}
    backbone["weights_hash"] = load_backbone(BACKBONE, "random").weights_hash
    notes = {
        "size": 16,
        "backbone_image_size": 48,
        "scores": "softmax",
        "backbones": [backbone],
    }
    notes |= {"target": "lab", "gray": "L"}
    path = tmp_path / "model.safetensors"
    save_model(build_model("model1", backbones=[BACKBONE], width=0.1), path, notes)
    return path


def test_its_backbones_are_shown_squares_of_the_size_of_its_training(weights, tmp_path):
    profile = load_profile("smoke", count=12)
    folders = Folders(None, None, tmp_path / "cache", tmp_path / "runs")
    scores = evaluate_weights(profile, weights, folders, say=lambda line: None)
    assert scores["model"]["loss_eq1"] > 0
    (about,) = tmp_path.rglob("features/*/*.json")
    found = json.loads(about.read_text())["backbone_image_size"]
    assert found == Colorizer.load(weights).backbone_image_size == 48
