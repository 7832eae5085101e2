"""The photographs that packages bring, and what is kept of them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_records import made_record
from skimage.color import rgb2lab

from colorlib.color import images_to_float, normalize_lab, rgb_to_lab
from colorlib.colorize import Colorizer
from colorlib.model import build_model, load_model, save_model
from companion import cli, photographs
from companion.config import load_profile
from companion.photographs import CLASSIFIERS, PHOTOGRAPHS, VIEWS, coloured, square
from companion.provenance import notes


def test_every_photograph_is_there_and_in_colour():
    for name in PHOTOGRAPHS:
        rgb = photographs.photograph(name)
        assert rgb.dtype == np.uint8
        assert min(rgb.shape[:2]) >= 300
        assert square(name, 64).shape == (64, 64, 3)
        assert (np.ptp(rgb, axis=2) > 30).any()


def test_lightness_stays_and_chroma_is_that_given():
    """By scikit-image's Lab: a lightness within what rounding to 8 bits changes."""
    ab = np.zeros((2, 64, 64), np.int8)
    ab[0], ab[1] = 10, 20
    true, out = (rgb2lab(of) for of in (square("cat", 96), coloured("cat", ab, 96)))
    inside = (true[..., 0] > 30) & (true[..., 0] < 85)  # where no screen clips
    assert np.abs(out[..., 0] - true[..., 0])[inside].max() < 1.5
    assert np.abs(out[..., 1:] - (10, 20))[inside].mean() < 1
    gray = coloured("cat", np.zeros((2, 64, 64)), 96)
    assert np.abs(rgb2lab(gray)[..., 1:]).max() < 1


def test_class_scores_are_those_of_the_protocol():
    kept = photographs.kept_class_scores()
    assert kept.classifiers == CLASSIFIERS
    assert kept.logits.shape == (len(PHOTOGRAPHS), len(VIEWS), 3, 1000)
    assert np.isfinite(kept.logits).all()
    assert all(len(digest) == 64 for digest in kept.weights)
    assert (kept.of("coffee", "colour").argmax(-1) == 967).all()  # espresso
    assert not np.allclose(kept.of("coffee", "gray"), kept.of("coffee", "colour"))


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
    write = photographs.write_arrays
    assert set(photographs.compute_predictions([run], folder.parent, None)) == {
        "origin"
    }  # no record yet
    record = made_record({"test": {"loss_eq1": [0.1, 0.2]}})
    (folder / "record.json").write_text(record.model_dump_json())
    arrays = photographs.compute_predictions([run, run], folder.parent, None)
    write(arrays, tmp_path / photographs.PREDICTIONS)
    kept = photographs.kept_predictions(tmp_path)
    assert set(kept) == {"none"}
    assert photographs.prediction_origins(tmp_path) == {
        "none": {"record": "a-run", "weights_sha256": "c"}
    }
    model, _ = load_model(folder / "model.safetensors")
    rgb = images_to_float(torch.from_numpy(square("coffee", 32))[None])
    L_norm, _ = normalize_lab(rgb_to_lab(rgb))
    with torch.no_grad():
        ab = 128 * model(L_norm)[0].numpy()
    found = kept["none"][PHOTOGRAPHS.index("coffee")]
    assert np.abs(found - ab).max() <= 0.51
    assert json.loads(str(arrays["origin"]))


def test_features_are_those_of_the_photographs(tmp_path):
    config = load_profile("smoke").run("model1")
    from companion.builders import Folders, initial_model, load_backbones

    backbones = load_backbones(config, Folders())
    model = initial_model(config, backbones, None, np.arange(3))
    ab = photographs.predicted(Colorizer(model.eval(), backbones, 32))
    assert ab.shape == (len(PHOTOGRAPHS), 2, 32, 32)


def test_nothing_is_kept_without_runs(tmp_path, monkeypatch, capsys):
    assert photographs.kept_predictions(tmp_path) == {}
    argv = ["companion", "photographs", "--runs-root", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*argv, "--results-root", str(tmp_path)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "found no trained run of imagenet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
