import json
import subprocess
import sys

import pytest
from made_records import scored_record

from colorlib.errors import UserError
from companion import provenance
from companion.records import RESULTS, read_record, write_record


@pytest.fixture
def path(tmp_path):
    """A written record, with an infinite score."""
    record = scored_record([0.1, 0.2, 0.3], [9, float("inf"), 8], seed=3)
    write_record(record, tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == record
    assert record.seed == 3
    return tmp_path / "record.json"


def test_a_record_is_standard_json(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(path.read_text(), parse_constant=refuse)


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
def test_a_wrong_record_is_refused_by_field(path, change, named):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=named):
        read_record(path)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null"])
def test_what_is_no_record_is_refused(path, content):
    path.write_text(content)
    with pytest.raises(UserError, match=r"record\.json"):
        read_record(path)
    with pytest.raises(UserError, match=r"none\.json"):
        read_record(RESULTS / "none.json")


def test_the_commit_is_that_of_this_project_or_unknown(monkeypatch, tmp_path):
    commit = provenance.current_commit()
    assert len(commit.removesuffix("+changes")) == 40
    # as where the package lies in an environment within another repository
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "venv").mkdir()
    for place in ("venv", "nowhere"):
        monkeypatch.setattr(provenance, "ROOT", tmp_path / place)
        assert provenance.current_commit() == "unknown"


def test_a_record_names_its_machine():
    found = provenance.this_hardware("cpu")
    assert found.gpu is None
    assert found.threads > 0
    assert found.python == sys.version.split()[0]
    assert {"torch", "numpy"} < set(found.packages)
