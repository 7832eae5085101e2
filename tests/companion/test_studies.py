import pytest

from colorlib.errors import UserError
from companion.config import NULL, load_profile
from companion.estimates import PUBLISHED, needs_of
from companion.runner import missing_runs
from companion.studies import find_run, load_experiments, plan

EXPERIMENTS = load_experiments()


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


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
      b: {model.aggregation: sum}
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


def test_a_plan_is_the_grid_of_data_conditions_and_seeds(tmp_path):
    runs = plan("one", "smoke", write(tmp_path / "e.yaml", SMALL))
    assert [(run.data, run.config.train.seed, run.condition) for run in runs] == [
        (data, seed, condition)
        for data, seeds in [("scenes", (0, 1)), ("more", (5,))]
        for seed in seeds
        for condition in "abc"
    ]
    assert [run.config.name for run in runs[:3]] == ["plain", "model3", "model2"]
    assert runs[1].config.model.aggregation == "sum"
    assert {run.config.data.count for run in runs} == {64, 128}
    two = runs[2].config.model
    assert two.backbones == ("test_resnet.r160_in1k", "test_byobnet.r160_in1k")
    assert two.input_sizes == (96, 64)
    (only,) = plan("only", "smoke", tmp_path / "e.yaml")
    assert (only.data, only.config.train.seed) == ("more", 7)
    assert only.config.validation_only


@pytest.mark.parametrize("profile", EXPERIMENTS.grids)
@pytest.mark.parametrize("name", EXPERIMENTS.ablations)
def test_every_ablation_can_be_planned(name, profile):
    runs = plan(name, profile)
    declared = EXPERIMENTS.ablations[name]
    assert {run.condition for run in runs} <= set(declared.conditions)
    if profile == "protocol":  # elsewhere conditions may come to the same
        assert len({run.name for run in runs}) == len(runs)


def test_the_protocol_has_its_seeds_images_and_version():
    runs = plan("fusion", "protocol")
    seeds = {(run.data, run.config.train.seed) for run in runs}
    assert seeds == {
        *[("imagenet", s) for s in range(5)],
        *[("lfw", s) for s in range(7)],
    }
    assert {run.config.protocol for run in runs} == {"2"}
    data = runs[0].config.data
    assert (data.classes * data.per_class, data.unseen_classes) == (17_000, 15)
    assert {run.config.data.validation for run in runs} == {640}
    tuned = plan("tuning", "protocol")
    assert all(run.config.validation_only for run in tuned)
    assert {run.config.train.seed for run in tuned} == {100}


def test_a_run_is_found_by_its_name(tmp_path):
    run = plan("fusion", "smoke")[0]
    assert find_run(run.name, "smoke").config == run.config
    with pytest.raises(UserError, match="--dry-run` lists them"):
        find_run("mnist-28-plain-00000000", "smoke")
    assert len(missing_runs([run, run], tmp_path)) == 1
    (tmp_path / f"{run.name}.json").touch()
    assert missing_runs([run], tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("reference: a", "reference: z"), "expected one of its conditions"),
        (("name: plain", "name: model9"), "found model 'model9'"),
        (("use: two", "use: three"), "found e.yaml: one.c: networks 'three'"),
        (("aggregation: sum", "aggregation: sums"), "one.b"),
        (("aggregation: sum", "agregation: sum"), "'model.agregation' does not exist"),
        (("data.count", "data.counts"), "'data.counts' does not exist"),
        (("paper: nowhere", "papers: nowhere"), "ablations.one"),
        (("seeds: [0, 1]", "seeds: []"), "grids.smoke.seeds"),
        (("conditions:", "conditions: ["), "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "e.yaml", SMALL.replace(*change))
    with pytest.raises(UserError) as caught:
        plan("one", "smoke", path.relative_to(tmp_path))
    assert message in " ".join(str(caught.value).split())


def test_unknown_ablations_and_grids_are_named():
    with pytest.raises(UserError, match="found ablation 'fusoin', expected one of"):
        plan("fusoin", "smoke")
    with pytest.raises(UserError, match="found grid of profile 'laptop'"):
        plan("fusion", "laptop")


# ---------------------------------------------------------------------- what they need


def test_the_protocol_needs_what_its_page_says():
    runs = {r.condition: r.config for r in plan("fusion", "protocol")[:4]}
    needs = {name: needs_of(config) for name, config in runs.items()}
    assert needs["none"].images == 17_000 + 1_500
    assert needs["none"].trained == 12_110
    assert needs["none"].steps == 15 * 606
    assert needs["none"].feature_bytes == {}
    maps = needs["maps"].feature_bytes  # channels x 8 x 8 x 2 bytes an image
    assert [size // (18_500 * 64 * 2) for size in maps.values()] == [768, 512, 1280]
    assert set(needs["softmax"].feature_bytes.values()) == {18_500 * 4000}


def test_the_paper_s_profile_needs_a_gpu_and_its_maps_a_disk():
    paper = {run.data: needs_of(run.config) for run in plan("fusion", "paper")[3::4]}
    assert paper["imagenet"].images == 17_000
    assert paper["lfw"].images == PUBLISHED["lfw"][0]
    assert sum(paper["imagenet"].feature_bytes.values()) == 17_000 * 4096 * 128
    assert paper["imagenet"].cpu_hours > 1000 > 10 > paper["imagenet"].gpu_hours


@pytest.mark.parametrize(
    ("settings", "images", "trained"),
    [
        ({"data.count": 64, "data.validation": 8}, 64, 40),
        ({"data.count": 64, "data.validation": 0.5, "data.train_count": 10}, 64, 10),
        (
            {"data.dataset": "imagenet", "data.classes": 10, "data.count": NULL},
            13_310, 9_483,
        ),
    ],
)  # fmt: skip
def test_images_are_counted_as_they_are_divided(settings, images, trained):
    settings = {"data.validation": 0.05, **settings}
    needs = needs_of(load_profile("smoke", **settings).run("plain"))
    assert (needs.images, needs.trained) == (images, trained)
