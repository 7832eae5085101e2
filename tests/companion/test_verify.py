"""A true record holds; each way to falsify one is found."""

import json

import pytest
from safetensors.torch import save_file

from colorlib.backbones import load_backbone
from companion.builders import Folders, initial_model
from companion.pipeline import run_and_record
from companion.studies import plan
from companion.verify import Check, verify

TRUE = Check("small form", "", "", holds=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("verified")
    return Folders(cache=root / "cache", runs=root / "runs")


@pytest.fixture(scope="module")
def path(folders, tmp_path_factory):
    """A record of the smoke profile, its weights in place."""
    run = plan("fusion", "smoke")[3]
    results = tmp_path_factory.mktemp("results")
    run_and_record(run.config, folders, results)
    return results / f"{run.name}.json"


@pytest.fixture
def falsified(path, tmp_path, monkeypatch):
    """Writes a changed record; its small form is not trained."""
    monkeypatch.setattr("companion.verify._small_form", lambda *given: TRUE)

    def write(change):
        values = json.loads(path.read_text())
        change(values)
        (tmp_path / path.name).write_text(json.dumps(values))
        return tmp_path / path.name

    return write


def checked(path, folders):
    return {check.what: check.holds for check in verify(path, folders)}


def test_a_true_record_holds_and_everything_was_checked(path, folders):
    checks = checked(path, folders)
    assert all(checks.values())
    kinds = ("name", "mean of", "manifest hash", "split hash", "again", "small form")
    assert all(any(kind in what for what in checks) for kind in kinds)


FALSE = {
    "test: loss_eq1, mean": lambda v: v["scores"]["test"]["model"]["loss_eq1"].update(
        mean=0.01
    ),
    "test: ciede2000, mean": lambda v: v["per_image"]["test"]["ciede2000"].pop(),
    "name": lambda v: v["settings"]["train"].update(learning_rate=0.5),
    "split hash": lambda v: v["data"].update(split_hash="0" * 64),
    "tests": lambda v: v["data"]["tests"].update(test=15),
    "test: psnr_rgb again": lambda v: v["per_image"]["test"]["psnr_rgb"].reverse(),
}


@pytest.mark.parametrize("what", FALSE)
def test_a_false_record_is_found_out(what, falsified, folders):
    checks = checked(falsified(FALSE[what]), folders)
    differing = [name for name, holds in checks.items() if not holds]
    assert any(name.startswith(what) for name in differing)


def test_files_of_other_networks_are_found_out(falsified, tmp_path):
    record = falsified(lambda values: values["settings"].update(weights="file"))
    for one in json.loads(record.read_text())["model"]["backbones"]:
        state = load_backbone(one["name"], "random").net.state_dict()
        state = {key: values.contiguous() for key, values in state.items()}
        save_file(state, tmp_path / f"{one['name']}.safetensors")
    changed = {key: values + 1 for key, values in state.items()}  # of the last one
    save_file(changed, tmp_path / f"{one['name']}.safetensors")
    own = Folders(weights=tmp_path, cache=tmp_path, runs=tmp_path)
    found = {k: v for k, v in checked(record, own).items() if k.startswith("weights")}
    assert [*found.values()] == [True, True, False]


def test_a_training_that_is_not_the_same_twice_is_found_out(path, folders, monkeypatch):
    calls = []

    def other_each_time(*given):
        model = initial_model(*given)
        calls.append(next(model.parameters()).data.mul_(1 + 0.1 * len(calls)))
        return model

    monkeypatch.setattr("companion.builders.initial_model", other_each_time)
    monkeypatch.setattr("companion.verify._scores", lambda *given: [])
    checks = checked(path, folders)
    differing = [what for what, holds in checks.items() if not holds]
    assert differing == ["small form, twice"]


def test_what_is_not_here_is_not_checked_and_said(falsified, tmp_path, caplog):
    caplog.set_level("INFO", "companion")
    empty = Folders(cache=tmp_path, runs=tmp_path)
    assert not any("again" in what for what in checked(falsified(dict), empty))
    assert "scores are not checked" in caplog.text
    lfw = falsified(lambda v: v["settings"]["data"].update(dataset="lfw"))
    assert not any("hash" in what for what in checked(lfw, empty))
    assert "images and scores are not checked" in caplog.text
