"""The ablations, run: end to end, with small networks."""

import json

import pytest

from colorlib.errors import UserError
from companion.builders import Folders
from companion.comparisons import compare_all, runs_of, secondary
from companion.records import read_record
from companion.runner import missing_runs, prepare, rerun, run_missing, run_one
from companion.studies import plan


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One cache for all ablations, as a user has."""
    root = tmp_path_factory.mktemp("ablations")
    return Folders(cache=root / "cache", runs=root / "runs")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def test_ablations_run_from_images_to_comparisons(folders, results):
    names = ("fusion", "networks")
    for run in [run for name in names for run in plan(name, "smoke")]:
        assert run_one(run, folders, results).name == run.name
    assert missing_runs(plan("networks", "smoke"), results) == []
    runs = runs_of(names, "smoke", results)
    found = compare_all(runs, secondary(names, "smoke"))
    assert len(found) == 9 * 3  # conditions x metrics
    assert {result.images for result in found} == {16}
    assert {result.conclusion for result in found} == {"inconclusive"}  # of one seed


def test_a_record_can_be_run_again_and_again_and_gives_the_same(folders, results):
    run = plan("fusion", "smoke")[0]
    run_one(run, folders, results)
    path = results / f"{run.name}.json"
    for _ in range(2):
        old, new = rerun(path, folders)
        assert new.per_image == old.per_image
        assert new.model.weights_sha256 == old.model.weights_sha256
        assert new.training.seconds != old.training.seconds  # it was trained
        assert new.training.sessions == 1


def test_what_runs_share_can_be_prepared(tmp_path):
    own = Folders(cache=tmp_path / "cache", runs=tmp_path / "runs")
    prepare(plan("fusion", "smoke")[3], own)
    assert len(list(own.cache.glob("features/*/*.npy"))) == 3
    assert not own.runs.exists()


@pytest.fixture
def one_missing(folders, tmp_path):
    """The records of an ablation, as in a fresh clone, but for one."""
    *kept, missing = plan("fusion", "smoke")
    for run in kept:
        run_one(run, folders, tmp_path / "results")
    return missing, tmp_path / "results"


def test_snakemake_runs_what_is_missing_and_only_that(one_missing, folders, tmp_path):
    missing, results = one_missing
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    own = Folders(cache=folders.cache, runs=tmp_path / "runs")
    run_missing(["fusion"], ["scenes"], "smoke", own, results, 1)
    made = read_record(results / f"{missing.name}.json")
    assert made.settings["model"]["features"] == "maps"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(results.iterdir())) == 4


def test_a_run_that_fails_names_its_log(one_missing, folders, tmp_path):
    _, results = one_missing
    (tmp_path / "file").touch()
    nowhere = Folders(cache=folders.cache, runs=tmp_path / "file")
    with pytest.raises(UserError, match=r"NAME/log\.txt"):
        run_missing(["fusion"], ["scenes"], "smoke", nowhere, results, 1)


def test_a_record_of_other_settings_is_refused_in_one_line(folders, results, tmp_path):
    run = plan("fusion", "smoke")[0]
    run_one(run, folders, results)
    values = json.loads((results / f"{run.name}.json").read_text())
    for part, key in (("model", "paint"), ("train", "speed"), (None, "colour")):
        settings = values["settings"] if part is None else values["settings"][part]
        settings[key] = "pink"
        path = tmp_path / "other.json"
        path.write_text(json.dumps(values))
        with pytest.raises(UserError, match=f"'{key}|{part}.{key}") as caught:
            rerun(path, folders)
        assert "check out commit" in str(caught.value)
        del settings[key]
