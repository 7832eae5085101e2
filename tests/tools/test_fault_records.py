"""Records of fault injection: whole, validated, and no failure kept quiet."""

import json

import pytest

from colorlib.errors import UserError
from companion.provenance import this_hardware
from tools import fault_records
from tools.fault_records import FaultRecord, Trial


def test_a_record_comes_back_and_a_faulty_one_is_refused_by_its_field(tmp_path):
    record = FaultRecord(
        name="kills",
        title="Killed",
        expected="the same weights",
        command="make test-faults",
        created="2026-01-01T00:00:00+00:00",
        commit="unknown",
        seconds=1.0,
        hardware=this_hardware("cpu"),
        trials=(
            Trial(kind="stepping", tried=3, held=3),
            Trial(kind="writing", tried=2, held=1, note="one lost"),
        ),
    )
    path = fault_records.write_fault_record(record, tmp_path)
    assert fault_records.read_fault_records(tmp_path) == [record]
    assert "| **all** | **5** | **4** |" in fault_records.fault_table(record)
    content = json.loads(path.read_text())
    del content["trials"][1]["held"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"kills.json: trials.1.held: Field required"):
        fault_records.read_fault_records(tmp_path)
