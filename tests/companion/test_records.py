import json
import subprocess
import sys

import pytest

from colorlib.errors import UserError
from companion import provenance
from companion.records import RESULTS, read_record, write_record

SCORES = {"test": {"loss_eq1": [0.1, 0.2, 0.3], "psnr_rgb": [9, float("inf"), 8]}}


@pytest.fixture
def record(record_with):
    return record_with(SCORES, seed=3, groups={"test": [0, 0, 1]})


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    write_record(record, tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == record
    assert record.seed == 3


def test_a_record_is_standard_json(record, tmp_path):
    write_record(record, tmp_path / "record.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads((tmp_path / "record.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda r: r.update(schema_version=1), "schema_version"),
        (lambda r: r["data"].pop("split_hash"), r"data\.split_hash"),
        (lambda r: r["training"].update(steps="many"), r"training\.steps"),
        (lambda r: r.update(extra=1), "extra"),
        (
            lambda r: r["scores"]["test"]["model"]["psnr_rgb"].pop("mean"),
            r"scores\.test\.model\.psnr_rgb",
        ),
    ],
)
def test_a_wrong_record_is_refused_by_field(record, tmp_path, change, named):
    values = json.loads(record.model_dump_json())
    change(values)
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=named):
        read_record(tmp_path / "record.json")


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null"])
def test_what_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(UserError, match=r"record\.json"):
        read_record(tmp_path / "record.json")


def test_a_missing_record_is_named():
    with pytest.raises(UserError, match=r"none\.json"):
        read_record(RESULTS / "none.json")


def test_the_commit_is_that_of_this_project_or_unknown(monkeypatch, tmp_path):
    commit = provenance.current_commit()
    assert len(commit.removesuffix("+changes")) == 40
    # as where the package lies in an environment within another repository
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    inner = tmp_path / "venv"
    inner.mkdir()
    monkeypatch.setattr(provenance, "ROOT", inner)
    assert provenance.current_commit() == "unknown"
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "nowhere")
    assert provenance.current_commit() == "unknown"


def test_a_record_names_its_machine():
    found = provenance.this_hardware("cpu")
    assert found.gpu is None
    assert found.threads > 0
    assert found.python == sys.version.split()[0]
    assert {"torch", "numpy"} < set(found.packages)
