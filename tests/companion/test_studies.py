import pytest

from colorlib.errors import UserError
from companion.config import Profile, load_profile, run_name, settings_of
from companion.studies import find_run, load_experiments, plan, preparation_of

EXPERIMENTS = load_experiments()


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


SMALL = """
grids:
  smoke: {seeds: [0, 1], data: {scenes: {}, more: {count: 128}}}
studies:
  one:
    question: Which?
    paper: nowhere
    reference: a
    arms:
      a: {model: plain}
      b: {fusion: sum, only: [scenes]}
      c: {model: model2, use: [0, 2]}
"""


def test_a_plan_is_the_grid_of_data_arms_and_seeds(tmp_path):
    runs = plan("one", "smoke", write(tmp_path / "e.yaml", SMALL))
    assert [(run.data, run.arm, run.seed) for run in runs] == [
        (data, arm, seed)
        for data, arms in [("scenes", "abc"), ("more", "ac")]
        for arm in arms
        for seed in (0, 1)
    ]
    assert [run.model for run in runs[::2]] == [
        "plain", "model3", "model2", "plain", "model2",
    ]  # fmt: skip
    assert runs[2].profile.fusion == "sum"
    assert {run.profile.count for run in runs} == {64, 128}
    base = load_profile("smoke").backbones
    assert runs[4].profile.backbones == (base[0], base[2])


def test_names_tell_runs_apart_and_only_that():
    base = Profile(dataset="lfw")
    assert run_name(base, "plain") != run_name(base, "model3")
    other_seed = base.model_copy(update={"seed": 1})
    assert run_name(base, "plain") != run_name(other_seed, "plain")
    elsewhere = base.model_copy(update={"accelerator": "cpu", "devices": 2})
    assert run_name(base, "plain") == run_name(elsewhere, "plain")
    told_otherwise = base.model_copy(update={"scores": "logits", "fusion": "sum"})
    assert run_name(base, "plain") == run_name(told_otherwise, "plain")
    assert run_name(base, "model3") != run_name(told_otherwise, "model3")


def test_settings_are_what_differs_from_the_defaults():
    # so that a key added to Profile later changes no name
    profile = Profile(dataset="lfw", seed=3, learning_rate=1e-3)
    assert settings_of(profile, "plain") == {
        "model": "plain",
        "dataset": "lfw",
        "seed": 3,
    }


@pytest.mark.parametrize("profile", EXPERIMENTS.grids)
@pytest.mark.parametrize("study", EXPERIMENTS.studies)
def test_every_study_can_be_planned(study, profile):
    runs = plan(study, profile)
    declared = EXPERIMENTS.studies[study]
    assert {run.arm for run in runs} <= set(declared.arms)
    assert declared.reference in {run.arm for run in runs}
    if profile == "studies":  # elsewhere arms may come to the same
        assert len({run.name for run in runs}) == len(runs)


def test_real_studies_have_three_seeds_or_more():
    for name, grid in EXPERIMENTS.grids.items():
        assert name == "smoke" or len(set(grid.seeds)) >= 3


def test_studies_share_runs():
    names = [{run.name for run in plan(s, "studies")} for s in ("loss", "target")]
    assert names[0] & names[1], "the paper's arm is the same run in both"


def test_runs_share_what_they_prepare():
    mse, huber, *_ = plan("loss", "studies")[::3]
    assert mse.name != huber.name
    assert preparation_of(mse) == preparation_of(huber)
    logits = next(r for r in plan("scores", "studies") if r.arm == "logits")
    assert preparation_of(logits) != preparation_of(mse)


def test_a_run_is_found_by_its_name():
    run = plan("fusion", "smoke")[0]
    assert find_run(run.name, "smoke").profile == run.profile
    with pytest.raises(UserError, match="--dry-run` lists them"):
        find_run("mnist-28-plain-00000000", "smoke")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("reference: a", "reference: z"), "expected one of its arms"),
        (("model: plain", "model: model9"), "found model 'model9'"),
        (("[0, 2]", "[0, 3]"), "backbone number 3"),
        (("fusion: sum", "fusion: sums"), "one.b"),
        (("fusion: sum", "fusoin: sum"), "one.b"),
        (("paper: nowhere", "papers: nowhere"), "studies.one"),
        (("seeds: [0, 1]", "seeds: []"), "grids.smoke.seeds"),
        (("arms:", "arms: ["), "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, change, message):
    path = write(tmp_path / "e.yaml", SMALL.replace(*change))
    with pytest.raises(UserError) as caught:
        plan("one", "smoke", path)
    assert message in str(caught.value)


def test_unknown_studies_and_grids_are_named():
    with pytest.raises(UserError, match="found study 'fusoin', expected one of"):
        plan("fusoin", "smoke")
    with pytest.raises(UserError, match="found grid of profile 'laptop'"):
        plan("fusion", "laptop")
