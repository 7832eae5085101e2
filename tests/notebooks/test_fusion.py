"""The lesson on fusion, with no records, with some, and with all of them."""

import json
import runpy
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from companion.records import write_record
from companion.studies import plan

mpl.use("agg")
ROOT = Path(__file__).parents[2]
made_record = runpy.run_path(str(ROOT / "tests/companion/conftest.py"))["made_record"]
EFFECT = {"none": 1.0, "softmax": 0.97, "logits": 0.93, "maps": 0.92}  # of the loss
IMAGES = {"seen": 4250, "unseen": 1500, "test": 900}


def made_up(run):
    """A record of a run, with an effect that is known."""
    reading, _, count = run.condition.partition(", ")
    effect = EFFECT[reading] + {"one": 0.02, "two": 0.01}.get(count, 0)
    seed, scores = run.config.train.seed, {}
    for test in ["test"] if run.data == "lfw" else ["seen", "unseen"]:
        own = np.random.default_rng(IMAGES[test])  # the images, the same in all runs
        noise = np.random.default_rng([seed, len(run.condition)])
        loss = effect * own.gamma(4, 0.003, IMAGES[test])
        loss *= noise.normal(1, 0.02, len(loss))
        scores[test] = dict.fromkeys(("loss_eq1", "psnr_rgb", "ciede2000"), loss)
        scores[test] |= {"named": [1.0, 0.0] * 500} if test == "seen" else {}
    groups = {test: [i // 10 for i in range(IMAGES[test])] for test in scores}
    parts = {"source": run.data, "train": 12_110, "validation": 640}
    return made_record(scores, seed, run.name, groups, summarized=False, **parts)


def run_lesson(results):
    """Run the cells of the lesson, without its answers; its names."""
    cells = json.loads((ROOT / "notebooks/07_fusion.ipynb").read_text())["cells"]
    names = {"__name__": "lesson"}
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        tags = cell["metadata"].get("tags", [])
        if "solution" not in tags:
            exec("".join(cell["source"]), names)
        if "parameters" in tags:
            names["results_root"] = str(results)
    return names


@pytest.fixture(scope="module")
def planned():
    """The runs that the protocol plans."""
    runs = [*plan("fusion", "protocol"), *plan("networks", "protocol")]
    return {run.name: run for run in runs}


def written(runs, folder):
    for run in runs:
        write_record(made_up(run), folder / f"{run.name}.json")
    return folder


def test_without_a_record_it_shows_the_plan(tmp_path, capsys):
    names = run_lesson(tmp_path)
    said = capsys.readouterr().out
    assert "none of 78 is recorded yet" in said
    assert "nothing to compare yet" in said
    assert names["found"].results == []
    assert len(names["planned"]) == 15


@pytest.mark.parametrize("count", [1, 3, 6, 17])
def test_with_some_records_it_compares_what_pairs_up(planned, tmp_path, capsys, count):
    names = run_lesson(written([*planned.values()][:count], tmp_path))
    said = capsys.readouterr().out
    assert f"{count} of 78 are recorded" in said
    assert ("nothing to compare" in said) == (count < 6)  # two seeds of two conditions
    assert {answer for *_, answer in names["answered"]} == {"undecided"}


def test_with_all_records_each_hypothesis_has_its_answer(planned, tmp_path):
    names = run_lesson(written(planned.values(), tmp_path))
    primary = names["found"].primary
    effects = {one.contrast.name: one.effect.mean for one in primary}
    assert effects["maps against none"] == pytest.approx(-8, abs=0.3)
    assert len(names["panels"]) == 3  # seen and unseen classes, faces
    answers = {name: answer for name, _, answer in names["answered"]}
    assert answers["H1"] == "supported"  # a lower loss in each reading
    assert answers["H2a"] == "contradicted"  # the softmax gains 3 %, as made up
