import json
import subprocess
import sys

import pytest
import torch

from colorlib.model import build_model, save_model
from companion import cli


def run(*arguments, monkeypatch, capsys):
    """The exit status, standard output and standard error of a command."""
    monkeypatch.setattr(sys, "argv", ["colorlib", *map(str, arguments)])
    try:
        cli.main()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture
def colorlib(monkeypatch, capsys):
    return lambda *arguments: run(*arguments, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    return ["--cache-root", root / "cache", "--runs-root", root / "runs"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    notes = {
        "size": 32,
        "scores": "softmax",
        "backbone_image_size": 64,
        "backbones": [],
    }
    notes |= {"target": "lab", "gray": "L"}
    save_model(build_model("plain", width=0.1), path, {**notes, "model": "plain"})
    return path


def test_help_needs_no_torch():
    code = "import sys; import companion.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_names_every_command(colorlib):
    status, out, _ = colorlib("--help")
    assert status == 0
    commands = ("data", "train", "evaluate", "colorize", "bench")
    assert all(name in out for name in commands)


def test_data_prepare_counts(colorlib, folders):
    arguments = ["--profile", "smoke", "--count", 12, *folders[:2]]
    status, out, _ = colorlib("data", "prepare", *arguments)
    assert status == 0
    assert "kept 12, grayscale dropped 0, unreadable 0" in out


def test_a_model_is_trained_then_read_then_evaluated(colorlib, folders):
    train = ["train", "--profile", "smoke", "--model", "plain", *folders]
    status, out, _ = colorlib(*train)
    assert status == 0
    assert "training plain" in out
    record = json.loads((folders[3] / "plain" / "record.json").read_text())
    assert set(record["scores"]) == {
        "model",
        "no colour",
        "training mean",
        "pixel-wise training mean",
    }
    assert record["training"]["steps"] == 3

    status, out, _ = colorlib(*train)
    assert status == 0
    assert "already done" in out

    status, out, err = colorlib(*train, "--max-epochs", 2)
    assert status == 1
    assert "--resume" in err
    status, _, _ = colorlib(*train, "--max-epochs", 2, "--resume")
    record = json.loads((folders[3] / "plain" / "record.json").read_text())
    assert (record["training"]["epochs"], record["training"]["sessions"]) == (2, 2)

    status, _, err = colorlib(*train, "--resume")
    assert status == 1
    assert "found a training of 6 steps, expected at most the 3" in err
    status, _, _ = colorlib(*train, "--restart")
    record = json.loads((folders[3] / "plain" / "record.json").read_text())
    assert (record["training"]["epochs"], record["training"]["sessions"]) == (1, 1)

    path = folders[3] / "plain" / "model.safetensors"
    evaluate = ["evaluate", path, "--profile", "smoke", *folders[:2]]
    status, out, _ = colorlib(*evaluate)
    assert status == 0
    mean = record["scores"]["model"]["psnr_rgb"]["mean"]
    assert f"{mean:.4g}" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--profile", "none"], "expected one of gpu, laptop"),
        (["train", "--profile", "laptop", "--data-root", "/nowhere"], "lfw"),
        (["train", "--profile", "laptop"], "--data-root"),
        (["evaluate", "/nowhere/model.safetensors"], "train one first"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(colorlib, arguments, named):
    status, _, err = colorlib(*arguments)
    assert status == 1
    assert named in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_place_that_cannot_be_written_is_named_with_its_option(
    colorlib, folders, tmp_path
):
    (tmp_path / "file").touch()  # to root no folder is read-only
    train = ["train", "--profile", "smoke", "--model", "plain"]
    for option, others in (("--runs-root", folders[:2]), ("--cache-root", folders[2:])):
        status, _, err = colorlib(*train, *others, option, tmp_path / "file")
        assert status == 1
        assert str(tmp_path / "file") in err
        assert option in err
        assert err.count("\n") == 1


def test_debug_shows_the_traceback(colorlib):
    with pytest.raises(ValueError, match="found no profile"):
        colorlib("--debug", "train", "--profile", "none")
