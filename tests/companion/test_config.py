from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from colorlib.errors import UserError
from colorlib.model import MODELS
from companion.config import PROFILES_FOLDER, ModelName, Profile, load_profile

NAMES = sorted(path.stem for path in PROFILES_FOLDER.glob("*.yaml"))


def test_the_profiles_are_there():
    assert NAMES == [
        "gpu", "laptop", "paper", "published", "quick", "shipped", "smoke", "studies",
    ]  # fmt: skip


def test_the_models_are_those_there_are():
    assert list(get_args(ModelName)) == list(MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_is_valid(name):
    assert load_profile(name).models


def test_the_defaults_are_the_paper_s():
    # Section 5.2: batches of 20, Adam with 0.001; Section 4.3: a quarter to test
    profile = Profile()
    assert (profile.batch_size, profile.learning_rate) == (20, 0.001)
    assert profile.test_fraction == 0.25
    assert profile.backbones is None


def test_the_paper_s_profile_is_the_paper_s():
    profile = load_profile("paper")
    found = (profile.size, profile.count, profile.batch_size, profile.max_epochs)
    assert found == (256, 17_000, 20, 1000)
    assert (profile.weights, profile.width) == ("pretrained", 1)


@pytest.mark.parametrize("name", ["smoke", "quick"])
def test_default_profiles_need_no_network(name):
    profile = load_profile(name)
    assert (profile.dataset, profile.weights) == ("scenes", "random")


def test_overrides_win_and_none_does_not():
    profile = load_profile("smoke", max_epochs=7, size=None)
    assert profile.max_epochs == 7
    assert profile.size == load_profile("smoke").size


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("side: 64", "'side' does not exist"),
        ("size: big", "size"),
        ("size: -1", "size"),
        ("models: [plain, model9]", "models"),
        ("dataset: mnist", "dataset"),
        ("max_epochs: 0", "max_epochs"),
        ("- size", "expected lines"),
        ("1: 2", "expected lines"),
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


@pytest.mark.parametrize("name", ["cluster", "long" * 99, "long" * 99 + ".yaml"])
def test_an_unknown_profile_names_the_known(name):
    with pytest.raises(UserError, match="expected one of gpu, laptop"):
        load_profile(name)


def test_an_empty_profile_is_the_defaults(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert load_profile(str(path)) == Profile()


@given(
    values=st.dictionaries(
        st.sampled_from([*Profile.model_fields, "other"]),
        st.none()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.lists(st.text()),
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
    ("settings", "said"),
    [
        ({"logit_adjustment": 0.5}, "only classes can be rare"),
        ({"mirror": True, "scores": "maps"}, "maps"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings, said):
    with pytest.raises(UserError, match=said):
        load_profile("smoke", **settings)


@pytest.mark.parametrize("target", ["luv", "yuv", "rgb"])
def test_a_classifier_predicts_bins_of_lab_and_of_nothing_else(target):
    with pytest.raises(ValidationError, match="expected target 'lab'"):
        Profile(models=("plain", "model4"), target=target)


@pytest.mark.parametrize("devices", [0, -1])
def test_there_is_no_training_on_no_device(devices):
    with pytest.raises(ValidationError, match="devices"):
        Profile(devices=devices)
