from typing import get_args

import pytest
from pydantic import ValidationError

from colorlib.errors import UserError
from colorlib.model import MODELS
from companion.config import (
    PROFILES_FOLDER,
    ModelName,
    Profile,
    RunConfig,
    load_profile,
)

NAMES = sorted(path.stem for path in PROFILES_FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_is_valid(name):
    profile = load_profile(name)
    assert {profile.run(model).name for model in profile.models} == set(profile.models)
    if name in ("smoke", "quick"):  # the defaults need no network
        assert (profile.data.dataset, profile.weights) == ("scenes", "random")


def test_the_defaults_and_one_profile_are_the_paper_s():
    # Section 5.2: batches of 20, Adam with 0.001; Section 4.3: a quarter to test
    profile, paper = Profile(), load_profile("paper")
    assert (profile.train.batch_size, profile.train.learning_rate) == (20, 0.001)
    assert (profile.train.weight_decay, profile.data.test_fraction) == (0, 0.25)
    assert profile.run("model3").model.backbones == MODELS["model3"]
    assert profile.run("model2").model.backbones == MODELS["model3"][:2]
    assert (paper.data.size, paper.data.count) == (256, 17_000)
    assert (paper.train.batch_size, paper.train.max_epochs) == (20, 1000)
    assert (paper.weights, paper.model.width) == ("pretrained", 1)
    assert list(get_args(ModelName)) == list(MODELS)


def test_overrides_win_and_none_does_not():
    profile = load_profile("smoke", **{"train.max_epochs": 7, "data.size": None})
    assert profile.train.max_epochs == 7
    assert profile.data == load_profile("smoke").data


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("side: 64", "key 'side' does not exist"),
        ("data: {siez: 64}", r"key 'data\.siez' does not exist"),
        ("model: {droput: 0.5}", r"key 'model\.droput' does not exist"),
        ("data: {size: big}", r"data\.size"),
        ("data:", "data"),
        ("models: [plain, model9]", r"models\.1"),
        ("train: {max_epochs: 0}", r"train\.max_epochs"),
        ("- size", "expected lines"),
        ("1: 2", "Keys should be strings"),
        ("size: [", "cannot be read"),
        ("weights: {}", "weights"),
    ],
)
def test_a_wrong_profile_is_refused_by_key(tmp_path, text, named):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=named) as caught:
        load_profile(str(path))
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"data.siez": 32}, r"key 'data\.siez' does not exist"),
        ({"data.size.x": 32}, "data"),
        ({"weights.x": 32}, "weights"),
        ({"side": 32}, "key 'side' does not exist"),
        ({"train.hflip": True, "model.features": "maps"}, "found hflip with"),
        ({"train.loss": "cross_entropy", "model.target": "yuv"}, "loss of classes"),
        ({"models": ["model4"], "model.target": "rgb"}, "expected target 'lab'"),
    ],
)
def test_what_does_not_exist_or_fit_together_is_refused(settings, found):
    with pytest.raises(UserError, match=found) as caught:
        load_profile("smoke", **settings)
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_names_the_known_and_an_empty_one_is_the_defaults(tmp_path):
    for name in ("cluster", "long" * 99):
        with pytest.raises(UserError, match="expected one of gpu, laptop"):
            load_profile(name)
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert load_profile(str(path)) == Profile()


def test_a_changed_copy_is_validated_too():
    profile = load_profile("smoke", **{"model.features": "maps"})
    assert profile.model_copy(update={"weights": "file"}).weights == "file"
    assert type(profile.run("plain").model_copy()) is RunConfig
    hflip = {**profile.model_dump()["train"], "hflip": True}
    for settings in (profile, profile.run("model3")):
        with pytest.raises(ValidationError, match="found hflip with feature maps"):
            settings.model_copy(update={"train": hflip})
        with pytest.raises(ValidationError, match="siez"):
            settings.model_copy(update={"data": {"siez": 32}})


def test_names_tell_runs_apart_and_only_that():
    base = load_profile("smoke")
    # of a model without networks only that counts which concerns it
    fused = load_profile("smoke", **{"model.features": "maps", "model.dropout": 0.5})
    elsewhere = load_profile("smoke", **{"train.accelerator": "cuda"})
    name = base.run("model3").run_name
    assert name.startswith("scenes-32-model3-")
    assert elsewhere.run("model3").run_name == name
    assert fused.run("plain").run_name == base.run("plain").run_name
    others = [base.run("model2"), base.run("model3", seed=1), fused.run("model3")]
    assert name not in {other.run_name for other in others}
