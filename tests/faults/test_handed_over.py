"""Whatever a file says that was handed over: it fits, or the refusal names it.

Nothing in a file is ever run.
"""

import io
import json
import math
import pickle
import shutil
from dataclasses import fields
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
import yaml
from trials import Training, error_line

from colorlib.backbones import load_backbone
from colorlib.colorize import BUNDLED, Colorizer
from colorlib.errors import UserError
from colorlib.model import ColorizationModel, ModelConfig, save_model
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


INNER = [(part, own.name) for part, kind in PARTS.items() for own in fields(kind)]


@pytest.mark.parametrize("field", [(key,) for key in Profile.model_fields] + INNER)
def test_a_profile(tmp_path, tally, field):
    path = tmp_path / "mine.yaml"
    for value in WRONG:
        part, *inner = field
        path.write_text(yaml.safe_dump({part: {inner[0]: value} if inner else value}))
        with tally("a field of a profile"):
            read_or_refused(lambda path: load_profile(str(path)), path, part)


def changed(values, new):
    """Copies of nested JSON, each with one value changed; of a list, the first one."""
    yield new
    if isinstance(values, dict):
        for key, inner in values.items():
            yield from (values | {key: one} for one in changed(inner, new))
    elif isinstance(values, list) and values:
        yield from ([one, *values[1:]] for one in changed(values[0], new))


def try_json(tally, kind, read, path, every):
    """Change the values of a JSON file, each so-manieth of all that can be tried."""
    values = json.loads(path.read_text())
    trials = (
        (key, values | {key: one})
        for new in WRONG
        for key in values
        for one in changed(values[key], new)
    )
    for key, content in islice(trials, 0, None, every):
        path.write_text(json.dumps(content))
        with tally(kind):
            read_or_refused(read, path, key)


@pytest.mark.parametrize("every", [pytest.param(3, marks=pytest.mark.faults), 99])
def test_a_record(tmp_path, alone, tally, every):
    (kept,) = alone.root.glob("runs/*/record.json")
    path = Path(shutil.copy(kept, tmp_path / "record.json"))
    try_json(tally, "a field of a record", read_record, path, every)


def test_the_record_of_fault_injection_tests(tmp_path, tally):
    path = Path(shutil.copy(sorted(KEPT.glob("*.json"))[0], tmp_path / "c.json"))
    kind = "a field of a record of fault-injection tests"
    try_json(tally, kind, lambda path: read_campaigns(path.parent), path, 1)


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.safetensors"
    notes = {"size": 16, "backbones": []}
    save_model(ColorizationModel(ModelConfig(width=0.05)), path, notes)
    return path


@pytest.mark.parametrize("new", [*WRONG, 30, 1000, 10**9, 10**18, ["x"] * 1000])
@pytest.mark.parametrize("bundled", [False, True])
def test_the_settings_and_notes_of_a_model(model_file, tally, bundled, new):
    with safetensors.safe_open(BUNDLED if bundled else model_file, "pt") as file:
        about = json.loads(file.metadata()["colorlib"])
    weights = {} if bundled else safetensors.torch.load_file(model_file)
    for content in changed(about, new):
        metadata = {"colorlib": json.dumps(content)}
        model_file.write_bytes(safetensors.torch.save(weights, metadata))
        with tally("the settings and notes of a model"):
            read_or_refused(Colorizer.load, model_file)


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


class Attack:
    """What a pickle can do when it is opened."""

    def __init__(self, touched):
        self.touched = touched

    def __reduce__(self):
        return Path.touch, (self.touched,)


ATTACKED = {
    "model": Colorizer.load,
    "mobilenetv1_100_in1k": partial(load_backbone, "mobilenetv1_100.tflite_in1k"),
    "inception_v3_2015_in1k": partial(load_backbone, "inception_v3.2015_in1k"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".ckpt", ".bin"])
@pytest.mark.parametrize("name", ATTACKED)
def test_code_in_weights_is_not_run(tmp_path, tally, name, suffix):
    path, touched, saved = tmp_path / f"{name}{suffix}", tmp_path / "run", io.BytesIO()
    attack = [Attack(touched)]
    torch.save(attack, saved)
    for content in (saved.getvalue(), pickle.dumps(attack)):
        path.write_bytes(content)
        with tally("code in a trained model or a backbone"):
            assert read_or_refused(ATTACKED[name], path) is None
            assert not touched.exists()


@pytest.mark.parametrize("pattern", ["runs/*/*/last.ckpt", "cache/features/*/*.npy"])
def test_code_in_checkpoints_and_features_is_not_run(tmp_path, alone, tally, pattern):
    training, touched = Training(tmp_path), tmp_path / "touched"
    path = training.go_on_from(alone, pattern)
    with tally(f"code in *{path.suffix}"):
        if path.suffix == ".npy":
            np.save(path, np.array([Attack(touched)], object), allow_pickle=True)
            assert training.finish() == alone.left  # computed again
        else:
            content = torch.load(path, weights_only=True) | {"more": Attack(touched)}
            torch.save(content, path)
            status, said = training.run()
            assert (status, str(path) in error_line(said)) == (1, True)
        assert not touched.exists()
