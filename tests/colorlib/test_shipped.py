"""The model that comes with the package: small, described truthfully, and coloured."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from setuptools import Distribution
from skimage import data
from typer.testing import CliRunner

from colorlib.color import images_to_float, normalize_lab, rgb_to_lab
from colorlib.colorize import SHIPPED, Colorizer
from colorlib.evaluation import MODEL
from colorlib.images import Photograph
from colorlib.metrics import colourfulness
from colorlib.model import load_model
from companion import cli
from companion.records import kept_record

ROOT = Path(__file__).parents[2]
NAMES = ["astronaut", "cat", "coffee", "rocket"]


@pytest.fixture(scope="module")
def notes():
    return load_model(SHIPPED)[1]


@pytest.fixture(scope="module")
def record(notes):
    return kept_record(notes["record"])


def as_rgb(photograph):
    """(H, W, 3) uint8 -> rgb (3, H, W)."""
    return images_to_float(torch.from_numpy(photograph)[None])[0]


def test_it_is_small_and_in_half_precision():
    assert SHIPPED.stat().st_size < 8e6
    with safe_open(SHIPPED, framework="pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert kinds == {torch.float16, torch.int64}  # batch normalisation counts batches


def test_it_is_the_model_of_its_record(record, notes):
    model, _ = load_model(SHIPPED)
    assert sum(p.numel() for p in model.parameters()) == record.model.parameters
    assert model.config.width == record.model.width
    assert notes["backbones"] == []
    assert record.data.source == "mixed"
    assert set(record.parts) == {"lfw", "imagenet", "scenes"}


def test_its_card_is_made_from_its_record(record, notes):
    tool = runpy.run_path(str(ROOT / "tools" / "ship_model.py"))
    text = tool["card"](record, SHIPPED.stat().st_size, notes["rounding_ab"])
    assert SHIPPED.with_name("README.md").read_text() == text


def test_it_beats_every_trivial_prediction(record):
    model = record.scores[MODEL]
    for method, scores in record.scores.items():
        if method != MODEL:
            assert model["rmse_ab_norm"].pooled < scores["rmse_ab_norm"].pooled
            assert model["loss_eq1"].ci_high < scores["loss_eq1"].ci_low, method


@pytest.mark.parametrize("name", NAMES)
def test_what_it_makes_of_a_photograph_is_coloured_and_not_sepia(name):
    original = getattr(data, name)()
    made = Colorizer.load().colorize(Photograph(original, None, None)).rgb
    assert made.shape == original.shape
    assert colourfulness(as_rgb(made)) > 8
    _, ab_norm = normalize_lab(rgb_to_lab(as_rgb(made)))
    strength = 128 * ab_norm.norm(dim=0).mean()
    of_mean = 128 * ab_norm.mean(dim=(1, 2)).norm()
    assert strength > 3  # Lab units
    assert of_mean < 0.99 * strength  # sepia: one hue, so the two are the same


def test_the_command_needs_no_weights(tmp_path):
    photograph = tmp_path / "cat.png"
    Image.fromarray(data.cat()).convert("L").save(photograph)
    done = CliRunner().invoke(cli.app, ["colorize", str(photograph)])
    assert done.exit_code == 0, done.output
    made = np.asarray(Image.open(tmp_path / "cat.coloured.png"))
    assert made.shape == data.cat().shape
    assert (made.max(axis=2) != made.min(axis=2)).mean() > 0.9


def test_a_wheel_takes_it_along():
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files([str(ROOT / "pyproject.toml")])
    step = distribution.get_command_obj("build_py")
    step.finalize_options()
    taken = {name for *_, names in step.data_files for name in names}
    assert {"shipped/model.safetensors", "shipped/README.md"} <= taken
