"""The lesson on fusion, with no records, and with some: with all, the book runs it."""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from made_records import made_record, planned_runs

from companion.records import write_record

mpl.use("agg")
LESSON = Path(__file__).parents[2] / "notebooks/07_fusion.ipynb"
IMAGES = {"seen": 4250, "unseen": 1500, "test": 900}


def written(count, folder):
    """Write the records of the first runs, with effects that are known."""
    for run, effect, tests, noise in planned_runs(count):
        seed, scores = run.config.train.seed, {}
        for test in tests:
            own = np.random.default_rng(IMAGES[test])  # the images, the same in all
            loss = effect * own.gamma(4, 0.003, IMAGES[test])
            loss *= noise.normal(1, 0.02, len(loss))
            scores[test] = dict.fromkeys(("loss_eq1", "psnr_rgb", "ciede2000"), loss)
            scores[test] |= {"named": [1.0, 0.0] * 500} if test == "seen" else {}
        groups = {test: [i // 10 for i in range(IMAGES[test])] for test in scores}
        parts = {"source": run.data, "train": 12_110, "validation": 640}
        made = made_record(scores, seed, run.name, groups, **parts)
        write_record(made, folder / f"{run.name}.json")


def run_lesson(results):
    """Run the cells of the lesson, without its answers; its names."""
    names = {"__name__": "lesson"}
    for cell in json.loads(LESSON.read_text())["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "solution" not in tags:
            exec("".join(cell["source"]), names)
        if "parameters" in tags:
            names["results_root"] = str(results)
    return names


@pytest.mark.parametrize("count", [0, 1, 6])
def test_with_some_records_it_compares_what_pairs_up(tmp_path, capsys, count):
    written(count, tmp_path)
    names = run_lesson(tmp_path)
    said = capsys.readouterr().out
    assert f"{count} of 78 planned runs are recorded." in said
    assert ("nothing to compare" in said) == (count < 6)  # two seeds of two conditions
    assert bool(names["found"].results) == (count >= 6)
    if count >= 6:
        assert {answer for *_, answer in names["answered"]} == {"pending"}
