"""Records of fault injection: whole, validated, and no failure kept quiet."""

import json

import pytest

from colorlib.errors import UserError
from tools import fault_records
from tools.fault_records import Trial, fault_record


def test_a_record_comes_back_and_a_faulty_one_is_refused_by_its_field(tmp_path):
    trials = [
        Trial(kind="stepping", tried=3, held=3),
        Trial(kind="writing", tried=2, held=1, note="one lost"),
    ]
    about = {"name": "kills", "title": "Killed", "expected": "the same", "command": "x"}
    record = fault_record(trials, 1.0, **about)
    path = fault_records.write_fault_record(record, tmp_path)
    assert fault_records.read_fault_records(tmp_path) == [record]
    assert "| **all** | **5** | **4** |" in fault_records.fault_table(record)
    content = json.loads(path.read_text())
    del content["trials"][1]["held"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"kills.json: trials.1.held: Field required"):
        fault_records.read_fault_records(tmp_path)
