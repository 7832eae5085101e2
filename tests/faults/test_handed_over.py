"""Whatever a file says that was handed over: it fits, or the refusal names it.

Nothing in a file is ever run.
"""

import io
import json
import math
import pickle
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
import yaml

from colorlib.backbones import load_backbone
from colorlib.colorize import BUNDLED, Colorizer
from colorlib.errors import UserError
from colorlib.model import ColorizationModel, ModelConfig, save_model
from companion.config import Profile, load_profile
from companion.records import read_record

RECORD = {
    "name": "files",
    "title": "Files with other content",
    "expected": "the file is read because its values fit, or it is refused in one line "
    "that names it and the field; nothing in it is run",
}
WRONG = [
    None, True, -1, 0, 3, 2**80, -1.5, 1e300, math.inf, math.nan, "", "x", "\n", "../x",
    "1e9", [], [None], ["x"], [[1]], {}, {"x": 1}, "long" * 5000, 10**9, ["x"] * 999,
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


def changed(values, new):
    """Copies of nested JSON, each with one value changed; of a list, the first one."""
    yield new
    if isinstance(values, dict):
        for key, inner in values.items():
            yield from (values | {key: one} for one in changed(inner, new))
    elif isinstance(values, list) and values:
        yield from ([one, *values[1:]] for one in changed(values[0], new))


def try_values(trial, values, dump, read, path, every=1):
    """Change the values of a file, each so-manieth of all that can be tried."""
    trials = (
        (key, values | {key: one})
        for new in WRONG
        for key in values
        for one in changed(values[key], new)
    )
    for key, content in islice(trials, 0, None, every):
        path.write_bytes(dump(content))
        with trial():
            read_or_refused(read, path, key)


SOME = pytest.mark.parametrize("every", [pytest.param(3, marks=pytest.mark.faults), 99])


@SOME
def test_a_profile(tmp_path, tally, every):
    trial, path = partial(tally, "a field of a profile"), tmp_path / "mine.yaml"
    values = Profile().model_dump(mode="json")
    read = lambda path: load_profile(str(path))  # noqa: E731
    try_values(trial, values, lambda v: yaml.safe_dump(v).encode(), read, path, every)


@SOME
def test_a_record(tmp_path, alone, tally, every):
    trial, path = partial(tally, "a field of a record"), tmp_path / "record.json"
    (kept,) = alone.root.glob("runs/*/record.json")
    values, dump = json.loads(kept.read_bytes()), lambda v: json.dumps(v).encode()
    try_values(trial, values, dump, read_record, path, every)


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.safetensors"
    notes = {"size": 16, "backbones": []}
    save_model(ColorizationModel(ModelConfig(width=0.05)), path, notes)
    return path


@pytest.mark.parametrize("bundled", [False, True])
def test_the_settings_and_notes_of_a_model(model_file, tally, bundled):
    with safetensors.safe_open(BUNDLED if bundled else model_file, "pt") as file:
        about = json.loads(file.metadata()["colorlib"])
    weights = {} if bundled else safetensors.torch.load_file(model_file)

    def dump(content):
        return safetensors.torch.save(weights, {"colorlib": json.dumps(content[""])})

    trial = partial(tally, "the settings and notes of a model")
    try_values(trial, {"": about}, dump, Colorizer.load, model_file)


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
