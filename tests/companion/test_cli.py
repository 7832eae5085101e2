"""The command line: what each command prints, writes and refuses."""

import json
import subprocess
import sys

import pytest
from made_records import scored_record

from companion import cli
from companion.builders import Folders
from companion.studies import load_experiments, plan
from companion.verify import Check


@pytest.fixture
def companion(monkeypatch, capsys):
    """The exit status, standard output and standard error of a command."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["companion", *map(str, arguments)])
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        printed = capsys.readouterr()
        return status, " ".join(printed.out.split()), printed.err

    return run


@pytest.fixture
def refused(companion):
    """The one line that a command which cannot be carried out ends with."""

    def run(*arguments):
        status, _, err = companion(*arguments)
        assert status == 1
        assert err.count("\n") == 1
        assert err.startswith("companion: ")
        assert "Traceback" not in err
        return err

    return run


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    return ["--cache-root", root / "cache", "--runs-root", root / "runs"]


def test_reading_records_imports_nothing_that_training_needs():
    code = "import sys, companion.builders, companion.report.findings\n"
    code += "import companion.report.figures, companion.studies\n"
    code += "assert not {'lightning', 'torchvision', 'timm'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


SMALL = ["--profile", "smoke", "--set", "data.count=48", "--set", "data.size=16"]


def test_help_needs_no_torch_and_names_every_command(companion):
    code = "import sys; import companion.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    _, out, _ = companion("--help")
    commands = ("data", "train", "evaluate", "study", "run", "rerun", "verify")
    assert all(name in out for name in commands)


def test_data_prepare_counts(companion, folders):
    status, out, _ = companion("data", "prepare", *SMALL, *folders[:2])
    assert status == 0
    assert "scenes: 48 images kept, 0 without colour, 0 unreadable" in out
    assert "train 32, validation 4, test 12" in out


def record_in(folders, out):
    """The record that a command names."""
    (name,) = {word for word in out.split() if word.endswith("record.json")}
    return json.loads((folders[3] / name.split("/")[-2] / "record.json").read_text())


def test_a_model_is_trained_then_read_then_evaluated(companion, folders):
    train = ["train", *SMALL, "--model", "plain", *folders]
    status, out, _ = companion(*train)
    assert (status, "training scenes-16-plain" in out) == (0, True)
    record = record_in(folders, out)
    assert record["training"]["steps"] == 2
    status, out, _ = companion(*train)
    assert (status, "already done" in out) == (0, True)
    weights = folders[3] / record["name"] / "model.safetensors"
    status, out, _ = companion("evaluate", weights, *SMALL, *folders[:2])
    assert status == 0
    for method in ("model", "no colour"):
        psnr = record["scores"]["test"][method]["psnr_rgb"]["mean"]
        assert f"{psnr:.4g} (" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["data", "prepare", *SMALL, "--download"], "--data-root"),
        (["train", "--profile", "none"], "expected one of gpu, laptop"),
        (["train", "--profile", "laptop", "--data-root", "/nowhere"], "lfw"),
        (["train", "--profile", "laptop"], "--data-root"),
        (["train", "--model", "model9"], "models.0"),
        (["train", "--set", "data.size"], "found --set data.size, expected KEY=VALUE"),
        (["train", "--set", "data.size=["], "expected KEY=VALUE"),
        (["train", "--set", "data.size=null"], "data.size"),
        (["train", *SMALL, "--set", "data.validation=0.99"], "lower validation"),
        (["evaluate", "/nowhere/model.safetensors"], "train one first"),
        (["study", "fusoin"], "found ablation 'fusoin'"),
        (["study", "fusion", "--profile", "laptop"], "found grid of profile 'laptop'"),
        (["run", "mnist-28-plain-00000000"], "--dry-run` lists them"),
        (["verify", "/nowhere/record.json"], "cannot be read"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(refused, folders, arguments, named):
    folders = folders if arguments[0] == "train" else []
    assert named in refused(*arguments, *folders)


def test_a_place_that_cannot_be_written_is_named_with_its_option(
    refused, folders, tmp_path
):
    file = tmp_path / "file"  # to root no folder is read-only
    file.touch()
    train = ["train", *SMALL, "--set", "train.seed=9", "--model", "plain"]
    for option, others in (("--runs-root", folders[:2]), ("--cache-root", folders[2:])):
        said = refused(*train, *others, option, file)
        assert str(file) in said
        assert option in said


def test_folders_do_not_depend_on_where_a_command_is_given(monkeypatch, tmp_path):
    here = cli._folders(None, None, None)
    monkeypatch.chdir(tmp_path)
    assert cli._folders(None, None, None) == here == Folders()
    assert here.cache.is_absolute()


def test_debug_shows_the_traceback(companion):
    with pytest.raises(ValueError, match=r"none\.yaml: cannot be read"):
        companion("--debug", "train", "--profile", "none")


def test_list_names_every_ablation(companion):
    _, out, _ = companion("study", "--list")
    for name, ablation in load_experiments().ablations.items():
        question = " ".join(ablation.question.split())
        assert f"{name} {ablation.evidence} {question}" in out


def test_dry_run_says_what_would_run(companion, tmp_path):
    arguments = ["study", "fusion", "--dry-run", "--results-root", tmp_path]
    _, out, _ = companion(*arguments, "--profile", "smoke")
    assert "4 runs, 4 without a record" in out
    assert all(run.name in out for run in plan("fusion", "smoke"))
    _, out, _ = companion(*arguments, "--data", "imagenet")
    assert "20 runs, 20 without a record" in out
    assert "fusion: maps, imagenet, seed 4" in out
    assert not list(tmp_path.iterdir())


def test_a_run_is_made_run_again_and_verified(
    companion, folders, tmp_path, monkeypatch
):
    small = Check("small form", "", "", holds=True)  # see `test_verify.py`
    monkeypatch.setattr("companion.verify._small_form", lambda config: small)
    name = plan("fusion", "smoke")[0].name
    run = ["run", name, "--profile", "smoke", "--results-root", tmp_path]
    status, out, _ = companion(*run, *folders)
    assert (status, "scoring" in out) == (0, True)
    path = tmp_path / f"{name}.json"
    status, out, _ = companion("rerun", path, *folders)
    assert (status, "run again, test | method |" in out) == (0, True)
    assert companion("verify", path, *folders)[0] == 0
    values = json.loads(path.read_text())
    values["per_image"]["test"]["psnr_rgb"].pop()
    path.write_text(json.dumps(values))
    status, out, err = companion("verify", path, *folders)
    assert (status, "DIFFERS" in out, "psnr_rgb" in err) == (1, True, True)


def test_what_is_wrong_with_a_model_is_said(capsys):
    cli.show_scores(scored_record([0.1, 0.2]).model_copy(update={"note": "all alike"}))
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: made: all alike" in said
