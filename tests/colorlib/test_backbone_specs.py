from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from colorlib.backbone_specs import SPECS, spec_for, spec_from_timm, spec_of_file
from colorlib.errors import UserError

PAPER = ("vgg16.tv_in1k", "resnet50.tv_in1k", "inception_resnet_v2.tf_in1k")
METADATA = {
    "timm_model": "mobilenetv2_100",
    "num_classes": "1001",
    "pad_type": "same",
    "input_size": "3,224,224",
    "mean": "0.5,0.5,0.5",
    "std": "0.5,0.5,0.5",
    "interpolation": "bilinear",
    "license": "Apache-2.0",
}


def written(path, metadata):
    save_file({"weight": torch.zeros(1)}, path, metadata)
    return path


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_networks_are_stated_as_timm_states_them(name):
    timms = spec_from_timm(name)
    assert replace(SPECS[name], note="", hub_sha256="") == replace(timms, note="")
    assert SPECS[name].note.endswith(timms.note.split()[-1])  # the licence


def test_every_name_is_the_architecture_and_a_tag():
    for name, spec in SPECS.items():
        assert name == spec.name
        assert name.split(".")[0] == spec.timm_name.split(".")[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet50", r"without a tag.*resnet50\.tv_in1k"),
        ("resnet50.tv_in1", r"such as.*resnet50\.tv_in1k"),
        ("vit_base_patch16_224.augreg_in21k", "num_classes: found 21843"),
        ("hf-hub:someone/model", "expected a name of timm's"),
    ],
)
def test_refuses_what_is_no_classifier_of_imagenet(name, reason):
    with pytest.raises(UserError, match=reason):
        spec_for(name)


def test_a_file_describes_itself(tmp_path):
    path = written(tmp_path / "any.safetensors", METADATA)
    spec = spec_of_file(path, "mobilenetv2_100.tflite_in1k")
    known = SPECS["mobilenetv2_100.tflite_in1k"]
    assert spec == replace(known, weights_file="any.safetensors", note="Apache-2.0")


def test_a_file_without_description_is_what_its_name_says(tmp_path):
    path = written(tmp_path / "model.safetensors", {"format": "pt"})
    assert spec_of_file(path, PAPER[0]) is SPECS[PAPER[0]]


def test_refuses_the_file_of_another_network(tmp_path):
    path = written(tmp_path / "any.safetensors", METADATA)
    with pytest.raises(UserError, match="found weights of mobilenetv2_100, expected"):
        spec_of_file(path, "resnet50.tv_in1k")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_classes", "21841"),
        ("num_classes", None),
        ("input_size", "3,224,100000"),
        ("mean", "0.5,0.5"),
        ("mean", "nan,0,0"),
        ("std", ""),
        ("std", "0,0,0"),
        ("interpolation", "lanczos"),
    ],
)
def test_names_the_field_of_a_wrong_description(tmp_path, key, value):
    metadata = METADATA | {key: value}
    path = written(
        tmp_path / "any.safetensors", {k: v for k, v in metadata.items() if v}
    )
    with pytest.raises(UserError, match=rf"any\.safetensors, metadata: {key}"):
        spec_of_file(path, "mobilenetv2_100")


def test_refuses_a_name_that_leads_out_of_a_folder(tmp_path):
    path = written(tmp_path / "any.safetensors", METADATA)
    with pytest.raises(UserError, match="name: found"):
        spec_of_file(path, "mobilenetv2_100./../../x")


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_refuses_a_file_of_another_format(tmp_path, content):
    path = tmp_path / "any.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="found no safetensors file"):
        spec_of_file(path, "mobilenetv2_100")
