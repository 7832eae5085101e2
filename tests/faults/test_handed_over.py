"""Whatever a file says that was handed over: it fits, or the refusal names it.

Nothing in a file is ever run.
"""

import json
import math
import pickle
import shutil
from dataclasses import asdict
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
from companion.config import Profile, load_profile
from companion.records import RESULTS, read_record
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


def check(error, path, field=""):
    """A refusal is one line that names the file and the field."""
    said = str(error)
    assert "\n" not in said
    assert str(path) in said
    assert field in said


# ------------------------------------------------------------------------------ fields


@pytest.mark.parametrize("field", Profile.model_fields)
def test_a_profile(tmp_path, tally, field):
    path = tmp_path / "mine.yaml"
    for value in WRONG:
        path.write_text(yaml.safe_dump({field: value}))
        with tally("a field of a profile"):
            try:
                load_profile(str(path))
            except UserError as error:
                check(error, path, field)


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
                try:
                    read()
                except UserError as error:
                    check(error, path, str(place[0]))


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.faults), 40])
def test_a_record(tmp_path, tally, every):
    kept = sorted(RESULTS.glob("*-model3-*.json"))[0]
    path = Path(shutil.copy(kept, tmp_path / "record.json"))
    try_json(tally, "a field of a record", lambda: read_record(path), path, every)


def test_the_record_of_a_campaign(tmp_path, tally):
    path = Path(shutil.copy(sorted(KEPT.glob("*.json"))[0], tmp_path / "c.json"))
    kind = "a field of a campaign's record"
    try_json(tally, kind, lambda: read_campaigns(tmp_path), path)


# ----------------------------------------------------------------------- trained models

NOTES = {"backbones": [], "size": 16, "backbone_image_size": 16, "scores": "softmax"}
NOTES |= {"target": "lab", "gray": "L"}


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(ColorizationModel(ModelConfig(width=0.05)), path, NOTES)
    return path


@pytest.mark.parametrize("field", [*ModelConfig.__dataclass_fields__, "other"])
def test_the_design_of_a_model(model_file, tally, field):
    weights = safetensors.torch.load_file(model_file)
    design = {"width": 0.05}
    for value in [*WRONG, 30, 1000, 10**9, 10**18, ["x"] * 1000]:
        about = json.dumps({"config": design | {field: value}, "notes": NOTES})
        model_file.write_bytes(safetensors.torch.save(weights, {"colorlib": about}))
        with tally("the design of a model"):
            try:
                load_model(model_file)
            except UserError as error:
                check(error, model_file)


@pytest.mark.parametrize("field", NOTES)
def test_the_notes_of_a_model(model_file, tally, field):
    model = ColorizationModel(ModelConfig(width=0.05))
    for value in WRONG:
        save_model(model, model_file, NOTES | {field: value})
        with tally("the notes of a model"):
            try:
                colorizer = Colorizer.load(model_file)
            except UserError as error:
                check(error, model_file, field)
            else:  # it was taken as it is
                taken = asdict(colorizer.target) | vars(colorizer)
                assert taken[field] == (tuple(value) if value == [] else value)


@pytest.mark.parametrize("seed", range(40))
def test_the_bytes_of_a_model(model_file, tally, seed):
    content = np.frombuffer(model_file.read_bytes(), np.uint8).copy()
    draw = np.random.default_rng(seed)
    header = 8 + int.from_bytes(content[:8].tobytes(), "little")
    end = len(content) if seed % 2 else draw.integers(0, len(content))
    content[draw.integers(0, header, 4)] = draw.integers(0, 256, 4)
    model_file.write_bytes(content[:end].tobytes())
    with tally("the bytes of a model"):
        try:
            load_model(model_file)
        except UserError as error:
            check(error, model_file)


# -------------------------------------------------------------------------------- code


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
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".ckpt", ".bin"])
@pytest.mark.parametrize("kind", ATTACKED)
@pytest.mark.parametrize(
    "save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))]
)
def test_code_in_weights_is_not_run(tmp_path, tally, kind, suffix, save):
    load, name = ATTACKED[kind]
    path, touched = tmp_path / name.format(suffix), tmp_path / "touched"
    save({"weight": Attack(touched)}, path)
    with tally(f"code in {kind}"):
        with pytest.raises(UserError) as caught:
            load(path)
        check(caught.value, path)
        assert "safetensors" in str(caught.value)
        assert not touched.exists()


def copy_of(alone, root):
    """A finished training whose record is gone, so that it goes on."""
    for folder in ("cache", "runs"):
        shutil.copytree(alone.root / folder, root / folder)
    next(root.glob("runs/*/record.json")).unlink()
    return Training(root)


def test_code_in_a_checkpoint_is_not_run(tmp_path, alone, tally):
    training, touched = copy_of(alone, tmp_path), tmp_path / "touched"
    (path,) = tmp_path.glob("runs/*/*/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {"more": Attack(touched)}, path)
    with tally("code in a checkpoint"):
        status, said = training.run()
        assert status == 1
        assert str(path) in error_line(said)
        assert not touched.exists()


def test_code_in_class_scores_is_not_run(tmp_path, alone, tally):
    from colorlib.files import write_checksum

    training, touched = copy_of(alone, tmp_path), tmp_path / "touched"
    path = next(tmp_path.glob("cache/features/*/*.npy"))
    np.save(path, np.array([Attack(touched)], object), allow_pickle=True)
    write_checksum(path)
    with tally("code in class scores"):
        assert training.finish() == alone.left  # computed again
        assert not touched.exists()
