"""A true record holds; each way to falsify one is found."""

import json

import pytest

from companion.builders import Folders, initial_model
from companion.pipeline import run_model
from companion.records import RESULTS, read_record
from companion.runner import recorded_config, run_one
from companion.studies import plan
from companion.verify import Check, own_numbers, small_form, verify


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("verified")
    return Folders(cache=root / "cache", runs=root / "runs")


@pytest.fixture(scope="module")
def path(folders, tmp_path_factory):
    """A record of the smoke profile, its weights in place."""
    run = plan("fusion", "smoke")[3]
    results = tmp_path_factory.mktemp("results")
    run_one(run, folders, results)
    return results / f"{run.name}.json"


def checked(path, folders):
    return {check.what: check.holds for check in verify(path, folders)}


def falsified(path, folder, change):
    values = json.loads(path.read_text())
    change(values)
    (folder / path.name).write_text(json.dumps(values))
    return folder / path.name


def test_a_true_record_holds_and_everything_was_checked(path, folders):
    checks = checked(path, folders)
    assert all(checks.values())
    kinds = ("name", "mean of", "manifest hash", "split hash", "again", "small form")
    assert all(any(kind in what for what in checks) for kind in kinds)


def model_scores(values):
    return values["scores"]["test"]["model"]


FALSE = {
    "test: loss_eq1, mean": lambda v: model_scores(v)["loss_eq1"].update(mean=0.01),
    "test: ciede2000, mean": lambda v: v["per_image"]["test"]["ciede2000"].pop(),
    "name": lambda v: v["settings"]["train"].update(learning_rate=0.5),
    "split hash": lambda v: v["data"].update(split_hash="0" * 64),
    "tests": lambda v: v["data"]["tests"].update(test=15),
    "test: psnr_rgb again": lambda v: v["per_image"]["test"]["psnr_rgb"].reverse(),
}


@pytest.mark.parametrize("what", FALSE)
def test_a_false_record_is_found_out(what, path, folders, tmp_path, monkeypatch):
    held = Check("small form", "", "", holds=True)  # is tried elsewhere
    monkeypatch.setattr("companion.verify._small_form", lambda *given: held)
    other = falsified(path, tmp_path, FALSE[what])
    differing = [name for name, holds in checked(other, folders).items() if not holds]
    assert any(name.startswith(what) for name in differing)


def test_a_training_that_is_not_the_same_twice_is_found_out(
    path, folders, tmp_path, monkeypatch
):
    real, calls = initial_model, []

    def other_each_time(*given):
        model = real(*given)
        calls.append(next(model.parameters()).data.mul_(1 + 0.1 * len(calls)))
        return model

    monkeypatch.setattr("companion.builders.initial_model", other_each_time)
    monkeypatch.setattr("companion.verify._scores", lambda *given: [])
    checks = checked(path, folders)
    assert [what for what, holds in checks.items() if not holds] == [
        "small form, twice"
    ]  # fmt: skip


def test_what_is_not_here_is_not_checked_and_said(path, tmp_path, caplog, monkeypatch):
    held = Check("small form", "", "", holds=True)
    monkeypatch.setattr("companion.verify._small_form", lambda *given: held)
    caplog.set_level("INFO", "companion")
    checks = checked(path, Folders(cache=tmp_path, runs=tmp_path))
    assert not any("again" in what for what in checks)
    assert "scores are not checked" in caplog.text
    lfw = falsified(path, tmp_path, lambda v: v["settings"]["data"].update(
        dataset="lfw"))  # fmt: skip
    checks = checked(lfw, Folders(cache=tmp_path, runs=tmp_path))
    assert "images and scores are not checked" in caplog.text
    assert not any("hash" in what for what in checks)


def test_a_tuning_record_has_no_scores_and_holds(folders):
    run = plan("fusion", "smoke")[0]
    config = run.config.model_copy(update={"validation_only": True})
    record = run_model(config, folders)
    assert [check.holds for check in own_numbers(record, config)] == [True]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_every_committed_record_agrees_with_itself_and_has_a_small_form(path):
    record = read_record(path)
    config = recorded_config(record)
    assert [c for c in own_numbers(record, config) if not c.holds] == []
    assert small_form(config).data.dataset == "scenes"
