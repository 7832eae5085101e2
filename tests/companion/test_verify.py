"""A true record holds; each way to falsify one is found."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from companion import cli
from companion.config import Profile
from companion.data_setup import Folders
from companion.records import RESULTS, read_record
from companion.runner import perform, recorded_profile
from companion.studies import plan
from companion.verify import Check, own_numbers, small_form, verify


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("verified")
    return Folders(None, None, root / "cache", root / "runs")


@pytest.fixture(scope="module")
def path(folders, tmp_path_factory):
    """A record of the smoke profile, its weights in place."""
    run = plan("gray", "smoke")[0]
    results = tmp_path_factory.mktemp("results")
    perform(run, folders, results, progress=False, say=lambda line: None)
    return results / f"{run.name}.json"


def checked(path, folders):
    return {c.what: c.holds for c in verify(path, folders, say=lambda line: None)}


def falsified(path, folder, change):
    values = json.loads(path.read_text())
    change(values)
    other = folder / path.name
    other.write_text(json.dumps(values))
    return other


def test_a_true_record_holds_and_everything_was_checked(path, folders):
    checks = checked(path, folders)
    assert all(checks.values())
    kinds = ("name", "mean of", "split hash", "again", "small form")
    assert all(any(kind in what for what in checks) for kind in kinds)


FALSE = {
    "loss_eq1, mean": lambda v: v["scores"]["model"]["loss_eq1"].update(mean=0.01),
    "ciede2000, mean": lambda v: v["per_image"]["ciede2000"].pop(),
    "name": lambda v: v["profile"].update(learning_rate=0.5),
    "split hash": lambda v: v["data"].update(split_hash="0" * 64),
    "psnr_rgb again": lambda v: v["per_image"]["psnr_rgb"].reverse(),
}


@pytest.mark.parametrize("what", FALSE)
def test_a_false_record_is_found_out(what, path, folders, tmp_path, monkeypatch):
    held = Check("small form", "", "", holds=True)  # is tried elsewhere
    monkeypatch.setattr("companion.verify._small_form", lambda *given: held)
    other = falsified(path, tmp_path, FALSE[what])
    differing = [name for name, holds in checked(other, folders).items() if not holds]
    assert any(name.startswith(what) for name in differing)


def test_without_photographs_what_is_left_out_is_said(tmp_path):
    record = next(RESULTS.glob("lfw-64-plain-*.json"))
    said = []
    checks = verify(record, Folders(None, None, tmp_path, tmp_path), said.append)
    assert all(check.holds for check in checks)
    assert "photographs and scores are not checked" in said[0]


def test_the_command_ends_badly_where_a_number_differs(path, folders, tmp_path):
    other = falsified(path, tmp_path, FALSE["loss_eq1, mean"])
    options = ["--cache-root", str(folders.cache), "--runs-root", str(folders.runs)]
    good = CliRunner().invoke(cli.app, ["verify", str(path), *options])
    bad = CliRunner().invoke(cli.app, ["verify", str(other), *options])
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "DIFFERS" in bad.stdout
    assert "DIFFERS" not in good.stdout


def committed():
    return sorted(RESULTS.glob("*.json"), key=lambda path: path.name)


@pytest.mark.parametrize("record", committed(), ids=lambda path: path.stem)
def test_every_committed_record_agrees_with_itself_and_has_a_small_form(record: Path):
    found = read_record(record)
    profile = recorded_profile(found)
    assert [c for c in own_numbers(found, profile) if not c.holds] == []
    small = small_form(profile, found.model.name)
    assert Profile(**small.model_dump()) == small
