import json
import subprocess

import pytest
from made_records import scored_record

from colorlib.errors import UserError
from companion import provenance
from companion.records import RESULTS, read_record, write_record


def test_a_record_is_standard_json_and_comes_back(tmp_path):
    path = tmp_path / "record.json"
    record = scored_record([0.1, 0.2, 0.3], [9, float("inf"), 8], seed=3)
    write_record(record, path)
    assert read_record(path) == record

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    values = json.loads(path.read_text(), parse_constant=refuse)
    del values["scores"]["test"]["model"]["psnr_rgb"]["mean"]
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"scores\.test\.model\.psnr_rgb"):
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
