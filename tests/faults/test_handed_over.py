"""Whatever a file says that was handed over: it fits, or the refusal names it.

Nothing in a file is ever run.
"""

import json
import math
import pickle
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from trials import Training, error_line

from colorlib.backbones import load_backbone
from colorlib.colorize import Colorizer
from colorlib.errors import UserError
from colorlib.model import ColorizationModel, ModelConfig, load_model, save_model
from companion.config import PARTS, Profile, load_profile
from companion.records import read_record
from tools.fault_records import KEPT, read_campaigns

CAMPAIGN = {
    "name": "files",
    "title": "Files with other content",
    "expected": "the file is read because its values fit, or it is refused in one line "
    "that names it and the field; nothing in it is run",
}
WRONG = [
    None, True, -1, 0, 3, 2**80, -1.5, 1e300, math.inf, math.nan, "", "x", "\n", "../x",
    "1e9", [], [None], ["x"], [[1]], {}, {"x": 1}, "long" * 5000,
]  # fmt: skip


def read_or_refused(read, path, field=""):
    """A refusal is one line that names the file and the field."""
    try:
        return read(path)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017  # some are read, and rightly
        assert str(path) in str(error)  # noqa: PT017
        assert field in str(error)  # noqa: PT017
    return None


# Fields -----------------------------------------------------------------------------

INNER = [(part, own.name) for part, kind in PARTS.items() for own in fields(kind)]


@pytest.mark.parametrize("field", [(key,) for key in Profile.model_fields] + INNER)
def test_a_profile(tmp_path, tally, field):
    path = tmp_path / "mine.yaml"
    for value in WRONG:
        nested = value
        for key in reversed(field):
            nested = {key: nested}
        path.write_text(yaml.safe_dump(nested))
        with tally("a field of a profile"):
            read_or_refused(lambda path: load_profile(str(path)), path, field[0])


def places(values, place=()):
    """Where the values of nested JSON are; of a list, the first one only."""
    yield place
    if isinstance(values, dict):
        for key, value in values.items():
            yield from places(value, (*place, key))
    elif isinstance(values, list) and values:
        yield from places(values[0], (*place, 0))


def with_change(values, place, change):
    """A copy of nested JSON with one value changed."""
    if not place:
        return change
    copy = values.copy()
    copy[place[0]] = with_change(values[place[0]], place[1:], change)
    return copy


def try_json(tally, kind, read, path, every=1):
    """Change every so-manieth value of a JSON file in turn, to each of `WRONG`."""
    values = json.loads(path.read_text())
    for place in list(places(values))[1::every]:
        for change in WRONG if len(place) == 1 else WRONG[::5]:
            path.write_text(json.dumps(with_change(values, place, change)))
            with tally(kind):
                read_or_refused(read, path, str(place[0]))


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.faults), 40])
def test_a_record(tmp_path, alone, tally, every):
    (kept,) = alone.root.glob("runs/*/record.json")
    path = Path(shutil.copy(kept, tmp_path / "record.json"))
    try_json(tally, "a field of a record", read_record, path, every)


def test_the_record_of_fault_injection_tests(tmp_path, tally):
    path = Path(shutil.copy(sorted(KEPT.glob("*.json"))[0], tmp_path / "c.json"))
    kind = "a field of a record of fault-injection tests"
    try_json(tally, kind, lambda path: read_campaigns(path.parent), path)


# Trained models ---------------------------------------------------------------------

NOTES = {"size": 16, "backbones": []}


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(ColorizationModel(ModelConfig(width=0.05)), path, NOTES)
    return path


@pytest.mark.parametrize("field", [*(own.name for own in fields(ModelConfig)), "other"])
def test_the_settings_of_a_model(model_file, tally, field):
    weights = safetensors.torch.load_file(model_file)
    for value in [*WRONG, 30, 1000, 10**9, 10**18, ["x"] * 1000]:
        about = {"config": {"width": 0.05, field: value}, "notes": NOTES}
        content = safetensors.torch.save(weights, {"colorlib": json.dumps(about)})
        model_file.write_bytes(content)
        with tally("the settings of a model"):
            read_or_refused(load_model, model_file)


@pytest.mark.parametrize("field", NOTES)
def test_the_notes_of_a_model(model_file, tally, field):
    model = ColorizationModel(ModelConfig(width=0.05))
    for value in WRONG:
        save_model(model, model_file, NOTES | {field: value})
        with tally("the notes of a model"):
            taken = read_or_refused(Colorizer.load, model_file, field)
            assert taken is None or (field, value) == ("backbones", [])


@pytest.mark.parametrize("seed", range(40))
def test_the_bytes_of_a_model(model_file, tally, seed):
    content = np.frombuffer(model_file.read_bytes(), np.uint8).copy()
    draw = np.random.default_rng(seed)
    header = 8 + int.from_bytes(content[:8].tobytes(), "little")
    end = len(content) if seed % 2 else draw.integers(0, len(content))
    content[draw.integers(0, header, 4)] = draw.integers(0, 256, 4)
    model_file.write_bytes(content[:end].tobytes())
    with tally("the bytes of a model"):
        read_or_refused(Colorizer.load, model_file)


# Code -------------------------------------------------------------------------------


class Attack:
    """What a pickle can do when it is opened."""

    def __init__(self, touched):
        self.touched = touched

    def __reduce__(self):
        return Path.touch, (self.touched,)


ATTACKED = {
    "a trained model": (Colorizer.load, "model{}"),
    "a backbone": (
        lambda path: load_backbone("mobilenetv1_100.tflite_in1k", path),
        "mobilenetv1_100_in1k{}",
    ),
    "a backbone without a head": (
        lambda path: load_backbone("inception_v3.2015_in1k", path),
        "inception_v3_2015_in1k{}",
    ),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".ckpt", ".bin"])
@pytest.mark.parametrize("kind", ATTACKED)
def test_code_in_weights_is_not_run(tmp_path, tally, kind, suffix):
    load, name = ATTACKED[kind]
    path, touched = tmp_path / name.format(suffix), tmp_path / "touched"
    attack = {"weight": Attack(touched)}
    for save in (
        torch.save,
        lambda values, path: path.write_bytes(pickle.dumps(values)),
    ):
        save(attack, path)
        with tally(f"code in {kind}"):
            assert read_or_refused(load, path) is None
            assert not touched.exists()


@pytest.mark.parametrize("pattern", ["runs/*/*/last.ckpt", "cache/features/*/*.npy"])
def test_code_in_checkpoints_and_features_is_not_run(tmp_path, alone, tally, pattern):
    for folder in ("cache", "runs"):
        shutil.copytree(alone.root / folder, tmp_path / folder)
    next(tmp_path.glob("runs/*/record.json")).unlink()
    training, touched = Training(tmp_path), tmp_path / "touched"
    (path,) = tmp_path.glob(pattern)
    if path.suffix == ".npy":
        np.save(path, np.array([Attack(touched)], object), allow_pickle=True)
    else:
        checkpoint = torch.load(path, weights_only=True)
        torch.save(checkpoint | {"more": Attack(touched)}, path)
    with tally(f"code in *{path.suffix}"):
        status, said = training.run()
        if path.suffix == ".npy":  # computed again
            assert training.finish() == alone.left
        else:
            assert (status, str(path) in error_line(said)) == (1, True)
        assert not touched.exists()
