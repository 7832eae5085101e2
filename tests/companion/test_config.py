from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
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


def test_the_profiles_and_the_models_are_those_there_are():
    assert {"gpu", "laptop", "paper", "protocol", "quick", "smoke"} < set(NAMES)
    assert list(get_args(ModelName)) == list(MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_is_valid(name):
    profile = load_profile(name)
    assert {profile.run(model).name for model in profile.models} == set(profile.models)


def test_the_defaults_are_the_paper_s():
    # Section 5.2: batches of 20, Adam with 0.001; Section 4.3: a quarter to test
    profile = Profile()
    assert (profile.train.batch_size, profile.train.learning_rate) == (20, 0.001)
    assert (profile.train.weight_decay, profile.data.test_fraction) == (0, 0.25)
    assert profile.run("model3").model.backbones == MODELS["model3"]
    assert profile.run("model2").model.backbones == MODELS["model3"][:2]


def test_the_paper_s_profile_is_the_paper_s():
    profile = load_profile("paper")
    assert (profile.data.size, profile.data.count) == (256, 17_000)
    assert (profile.train.batch_size, profile.train.max_epochs) == (20, 1000)
    assert (profile.weights, profile.model.width) == ("pretrained", 1)


def test_default_profiles_need_no_network():
    for profile in (load_profile("smoke"), load_profile("quick")):
        assert (profile.data.dataset, profile.weights) == ("scenes", "random")


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


@pytest.mark.parametrize("key", ["data.siez", "data.size.x", "weights.x", "side"])
def test_a_wrong_override_is_refused_by_key(key):
    with pytest.raises(UserError, match=key.split(".")[0]):
        load_profile("smoke", **{key: 32})


def test_an_unknown_profile_names_the_known_and_an_empty_one_is_the_defaults(tmp_path):
    for name in ("cluster", "long" * 99):
        with pytest.raises(UserError, match="expected one of gpu, laptop"):
            load_profile(name)
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert load_profile(str(path)) == Profile()


anything = st.none() | st.integers() | st.floats() | st.text(max_size=5)


@given(
    st.dictionaries(
        st.sampled_from([*Profile.model_fields, "other"]),
        anything | st.lists(st.text()) | st.dictionaries(st.text(), anything),
        max_size=4,
    )
)
def test_any_values_are_taken_or_refused_in_one_line(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("profile") / "any.yaml"
    path.write_text(yaml.safe_dump(values))
    try:
        load_profile(str(path))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"train.hflip": True, "model.features": "maps"}, "found hflip with"),
        ({"train.loss": "cross_entropy", "model.target": "yuv"}, "loss of classes"),
        ({"models": ["model4"], "model.target": "rgb"}, "expected target 'lab'"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings, found):
    with pytest.raises(UserError, match=found) as caught:
        load_profile("smoke", **settings)
    assert "\n" not in str(caught.value)


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
    name = base.run("model3").run_name
    assert name.startswith("scenes-32-model3-")
    assert name != base.run("model2").run_name
    assert name != base.run("model3", seed=1).run_name
    elsewhere = load_profile("smoke", **{"train.accelerator": "cuda"})
    assert elsewhere.run("model3").run_name == name
    # of a model without networks only that counts which concerns it
    fused = load_profile("smoke", **{"model.features": "maps", "model.dropout": 0.5})
    assert fused.run("plain").run_name == base.run("plain").run_name
    assert fused.run("model3").run_name != name
