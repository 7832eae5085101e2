"""The studies, run: every one of them end to end, with small networks."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from colorlib.errors import UserError
from colorlib.model import build_model
from companion import cli
from companion.comparisons import study_records
from companion.costs import forward_flops, matrix_rate, training_seconds
from companion.data_setup import Folders
from companion.records import read_record
from companion.runner import (
    estimated_seconds,
    missing_runs,
    perform,
    repeat,
    run_missing,
)
from companion.studies import load_experiments, plan


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One cache for all studies, as a user has."""
    root = tmp_path_factory.mktemp("studies")
    return Folders(None, None, root / "cache", root / "runs")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.mark.parametrize("study", load_experiments().studies)
def test_a_study_runs_from_photographs_to_records(study, folders, results):
    for run in missing_runs(plan(study, "smoke"), results):
        record = perform(run, folders, results, progress=False, say=lambda line: None)
        assert record.name == run.name
    records = study_records(study, "scenes", "smoke", results)
    for arm, one in records.items():
        scores = one[0].scores["model"]
        assert scores["loss_eq1"].mean < 0.2, arm  # guessing scores about 0.3
        assert one[0].data.test == 16


def test_a_record_can_be_run_again_and_gives_the_same(folders, results, tmp_path):
    run = plan("loss", "smoke")[0]
    perform(run, folders, results, progress=False, say=lambda line: None)
    elsewhere = Folders(None, None, folders.cache, tmp_path)
    old, new = repeat(results / f"{run.name}.json", elsewhere, say=lambda line: None)
    assert new.per_image == old.per_image
    assert new.model.weights_sha256 == old.model.weights_sha256


def test_snakemake_runs_what_is_missing_and_only_that(folders, tmp_path):
    kept, gone = plan("gray", "smoke")
    results = tmp_path / "results"
    perform(kept, folders, results, progress=False, say=lambda line: None)
    (record,) = results.iterdir()
    before = record.stat().st_mtime_ns
    # As in a fresh clone, which has records, but no folder that runs were made in.
    own = Folders(None, None, folders.cache, tmp_path / "runs")
    run_missing(["gray"], ["scenes"], "smoke", own, results, 2)
    assert {path.stem for path in results.iterdir()} == {kept.name, gone.name}
    assert record.stat().st_mtime_ns == before


def test_a_run_that_fails_names_its_log(tmp_path):
    nowhere = Folders(tmp_path, None, tmp_path / "cache", tmp_path / "runs")
    with pytest.raises(UserError, match=r"NAME/log\.txt"):
        run_missing(["gray"], ["lfw"], "studies", nowhere, tmp_path / "results", 1)


def test_list_names_every_study():
    shown = CliRunner().invoke(cli.app, ["study", "--list"]).output
    for name, study in load_experiments().studies.items():
        assert name in shown
        assert study.question in shown


def test_dry_run_says_what_would_run_and_for_how_long(tmp_path):
    arguments = ["study", "target", "--profile", "smoke", "--dry-run"]
    arguments += ["--results-root", str(tmp_path)]
    shown = CliRunner().invoke(cli.app, arguments).output
    assert "4 runs, 4 without a record" in shown
    for run in plan("target", "smoke"):
        assert run.name in shown
    assert "min" in shown
    assert not list(tmp_path.iterdir())


def test_command_line_runs_one_and_runs_it_again(folders, tmp_path):
    run = plan("gray", "smoke")[0]
    common = ["--cache-root", str(folders.cache), "--runs-root", str(tmp_path / "runs")]
    command = [sys.executable, "-m", "colorlib"]
    made = subprocess.run(
        [*command, "run", run.name, "--profile", "smoke", *common,
         "--results-root", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "evaluating plain" in made.stdout
    path = tmp_path / f"{run.name}.json"
    assert read_record(path).name == run.name
    again = subprocess.run(
        [*command, "rerun", str(path), *common],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "run again" in again.stdout


def test_a_record_of_another_profile_is_refused_in_one_line(folders, results, tmp_path):
    run = plan("gray", "smoke")[0]
    perform(run, folders, results, progress=False, say=lambda line: None)
    values = json.loads((results / f"{run.name}.json").read_text())
    values["profile"]["colour"] = "pink"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="colour"):
        repeat(path, folders)


# ------------------------------------------------------------------------------- costs


def test_operations_are_those_of_the_layers():
    # known of the baseline: 9.8 G multiply-adds at 256 px, with the 1000 repeated
    # planes that our fusion does without
    planes = 1000 * 256 * 32 * 32
    flops = forward_flops(build_model("plain"), 256)
    assert flops == pytest.approx(2 * (9.8e9 - planes), rel=0.01)


def test_fusing_networks_costs_next_to_nothing():
    flops = [forward_flops(build_model(name), 256) for name in ("plain", "model3")]
    assert flops[1] / flops[0] < 1.001


def test_the_estimate_grows_with_photographs_and_falls_with_the_rate():
    model = build_model("plain", width=0.25)
    one = training_seconds(model, 64, 1000, rate=1e11)
    assert training_seconds(model, 64, 2000, rate=1e11) == pytest.approx(2 * one)
    assert training_seconds(model, 64, 1000, rate=2e11) == pytest.approx(one / 2)


def test_every_run_gets_an_estimate():
    runs = [
        run for study in ("fusion", "scores", "table1") for run in plan(study, "smoke")
    ]
    seconds = estimated_seconds(runs, None)
    assert set(seconds) == {run.name for run in runs}
    assert all(0 < value < 3600 for value in seconds.values())
    assert matrix_rate(seconds=0.01) > 1e8
