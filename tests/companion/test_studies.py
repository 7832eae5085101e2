"""The ablations: their runs, names and faults in the file that declares them."""

from itertools import product

import pytest

from colorlib.errors import UserError
from companion.studies import find_run, load_experiments, missing_runs, plan

EXPERIMENTS = load_experiments()
SMALL = """
networks:
  two: {model.backbones: [test_resnet.r160_in1k, test_byobnet.r160_in1k]}
grids:
  smoke:
    seeds: [0, 1]
    data: {scenes: {}, more: {data.count: 128, seeds: [5]}}
ablations:
  one:
    question: Which?
    paper: nowhere
    evidence: exploratory
    reference: a
    conditions:
      a: {name: plain}
      b: {model.aggregation: max}
      c: {name: model2, use: two, model.input_sizes: [96, 64]}
  only:
    question: Which?
    paper: nowhere
    evidence: tuning
    reference: a
    only: [more]
    seeds: [7]
    changes: {validation_only: true}
    conditions: {a: {name: plain}}
"""


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Plans an ablation of a small file, in which one text may replace another."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "e.yaml"

    def run(name, old="", new=""):
        path.write_text(SMALL.replace(old, new), encoding="utf-8")
        return plan(name, "smoke", path.relative_to(tmp_path))

    return run


def test_a_plan_is_the_grid_of_data_conditions_and_seeds(planned):
    runs = planned("one")
    assert [(run.data, run.config.train.seed, run.condition) for run in runs] == [
        *product(["scenes"], (0, 1), "abc"),
        *product(["more"], [5], "abc"),
    ]
    assert [run.config.name for run in runs[:3]] == ["plain", "model3", "model2"]
    assert runs[1].config.model.aggregation == "max"
    assert {run.config.data.count for run in runs} == {64, 128}
    two = runs[2].config.model
    assert two.backbones == ("test_resnet.r160_in1k", "test_byobnet.r160_in1k")
    assert two.input_sizes == (96, 64)
    (only,) = planned("only")
    assert (only.data, only.config.train.seed) == ("more", 7)
    assert only.config.validation_only


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reference: a", "reference: z", "expected one of its conditions"),
        ("name: plain", "name: model9", "found model 'model9'"),
        ("use: two", "use: three", "found e.yaml: one.c: networks 'three'"),
        ("aggregation: max", "aggregation: most", "one.b"),
        ("aggregation: max", "agregation: max", "'model.agregation' does not exist"),
        ("data.count", "data.counts", "'data.counts' does not exist"),
        ("paper: nowhere", "papers: nowhere", "ablations.one"),
        ("seeds: [0, 1]", "seeds: []", "grids.smoke.seeds"),
        ("conditions:", "conditions: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(planned, old, new, message):
    with pytest.raises(UserError) as caught:
        planned("one", old, new)
    assert message in " ".join(str(caught.value).split())


@pytest.mark.parametrize("profile", EXPERIMENTS.grids)
@pytest.mark.parametrize("name", EXPERIMENTS.ablations)
def test_every_ablation_can_be_planned(name, profile):
    runs = plan(name, profile)
    declared = EXPERIMENTS.ablations[name]
    assert {run.condition for run in runs} <= set(declared.conditions)
    if profile == "protocol":  # elsewhere conditions may come to the same
        assert len({run.name for run in runs}) == len(runs)


def test_a_run_is_found_by_its_name_and_missing_without_its_record(tmp_path):
    run = plan("fusion", "smoke")[0]
    assert find_run(run.name, "smoke").config == run.config
    assert len(missing_runs([run, run], tmp_path)) == 1
    (tmp_path / f"{run.name}.json").touch()
    assert missing_runs([run], tmp_path) == []
