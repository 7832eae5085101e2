"""What trained runs make of the book's photographs is what their models predict."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_records import made_record

from colorlib.color import images_to_float, normalize_lab, rgb_to_lab
from colorlib.colorize import Colorizer
from colorlib.model import build_model, load_model, save_model
from companion import photographs
from companion.builders import Folders, initial_model, load_backbones
from companion.config import load_profile
from companion.photographs import PHOTOGRAPHS, square
from companion.provenance import notes
from tools import keep_photographs


@pytest.fixture
def trained(tmp_path):
    """A run's folder with an untrained model, and the run."""
    config = load_profile("smoke").run("plain")
    model = build_model("plain", width=0.125)
    folder = tmp_path / "runs" / "a-run"
    folder.mkdir(parents=True)
    save_model(model, folder / "model.safetensors", notes(config, []))
    return SimpleNamespace(name="a-run", condition="none", data="scenes"), folder


def test_a_run_predicts_as_its_model_does(trained, tmp_path):
    run, folder = trained
    nothing = keep_photographs.compute_predictions([run], folder.parent, None)
    assert set(nothing) == {"origin"}  # no record yet
    record = made_record({"test": {"loss_eq1": [0.1, 0.2]}})
    (folder / "record.json").write_text(record.model_dump_json())
    arrays = keep_photographs.compute_predictions([run, run], folder.parent, None)
    keep_photographs.write_arrays(arrays, tmp_path / photographs.PREDICTIONS)
    kept = photographs.kept_predictions(tmp_path)
    assert set(kept) == {"none"}
    origin = {"none": {"record": "a-run", "weights_sha256": "c"}}
    assert json.loads(arrays["origin"]) == origin
    model, _ = load_model(folder / "model.safetensors")
    rgb = images_to_float(torch.from_numpy(square("coffee", 32))[None])
    L_norm, _ = normalize_lab(rgb_to_lab(rgb))
    with torch.no_grad():
        ab = 128 * model(L_norm)[0].numpy()
    found = kept["none"][PHOTOGRAPHS.index("coffee")]
    assert np.abs(found - ab).max() <= 0.51


def test_features_are_those_of_the_photographs():
    config = load_profile("smoke").run("model1")
    backbones = load_backbones(config, Folders())
    model = initial_model(config, None, np.arange(3))
    ab = keep_photographs.predicted(Colorizer(model.eval(), backbones, 32))
    assert ab.shape == (len(PHOTOGRAPHS), 2, 32, 32)
