"""The ablations, run: end to end, with small networks."""

import json
from dataclasses import replace

import pytest

from colorlib.errors import UserError
from companion.builders import Folders
from companion.comparisons import compare_all, runs_of, secondary
from companion.pipeline import rerun, run_and_record
from companion.records import read_record
from companion.studies import missing_runs, plan, run_missing

RUNS = plan("fusion", "smoke")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One cache for all ablations, as a user has."""
    root = tmp_path_factory.mktemp("ablations")
    return Folders(cache=root / "cache", runs=root / "runs")


@pytest.fixture(scope="module")
def results(folders, tmp_path_factory):
    """The records of an ablation."""
    results = tmp_path_factory.mktemp("results")
    for run in RUNS:
        assert run_and_record(run.config, folders, results).name == run.name
    return results


def test_an_ablation_runs_from_images_to_comparisons(results):
    assert missing_runs(RUNS, results) == []
    runs = runs_of(["fusion"], "smoke", results)
    found = compare_all(runs, secondary(["fusion"], "smoke"))
    assert len(found) == 3 * 3  # conditions x metrics
    assert {result.images for result in found} == {16}
    assert {result.conclusion for result in found} == {"inconclusive"}  # of one seed


def test_a_record_can_be_run_again_and_again_and_gives_the_same(folders, results):
    for _ in range(2):
        old, new = rerun(results / f"{RUNS[0].name}.json", folders)
        assert new.per_image == old.per_image
        assert new.model.weights_sha256 == old.model.weights_sha256
        assert new.training.sessions == 1  # it was trained


def test_snakemake_runs_what_is_missing_whatever_fails(folders, tmp_path):
    own, results = replace(folders, runs=tmp_path / "runs"), tmp_path / "results"
    for run in RUNS[1:3]:
        run_and_record(run.config, folders, results)
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    (own.runs / RUNS[0].name / "lock").mkdir(parents=True)  # so that it cannot be run
    with pytest.raises(UserError, match=r"NAME/log\.txt"):
        run_missing(["fusion"], ["scenes"], "smoke", own, results, 1)
    assert "found a place" in (own.runs / RUNS[0].name / "log.txt").read_text()
    made = read_record(results / f"{RUNS[3].name}.json")
    assert made.settings["model"]["features"] == "maps"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(results.iterdir())) == 3


@pytest.mark.parametrize("key", ["model.paint", "train.speed", "colour"])
def test_a_record_of_other_settings_is_refused_in_one_line(
    folders, results, tmp_path, key
):
    values = json.loads((results / f"{RUNS[0].name}.json").read_text())
    part, _, inner = key.rpartition(".")
    settings = values["settings"]
    (settings[part] if part else settings)[inner] = "pink"
    (tmp_path / "other.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=f"'{key}'.*") as caught:
        rerun(tmp_path / "other.json", folders)
    assert "check out commit" in str(caught.value)
