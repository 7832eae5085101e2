"""Records of campaigns: whole, validated, and none of them a failure kept quiet."""

import json

import pytest

from colorlib.errors import UserError
from companion.records import Hardware
from tools.fault_records import Campaign, Trial, read_campaigns, write_campaign


@pytest.fixture
def campaign():
    return Campaign(
        name="kills",
        title="Killed",
        expected="the same weights",
        command="make test-faults",
        created="2026-01-01T00:00:00+00:00",
        commit="unknown",
        seconds=1.0,
        hardware=Hardware(
            python="3.11", packages={}, system="Linux", cpu="any", threads=2, gpu=None
        ),
        trials=(
            Trial(kind="stepping", tried=3, held=3),
            Trial(kind="writing", tried=2, held=1, note="one lost"),
        ),
    )


def test_a_record_comes_back_as_it_was(campaign, tmp_path):
    write_campaign(campaign, tmp_path)
    assert read_campaigns(tmp_path) == [campaign]
    assert (campaign.tried, campaign.held) == (5, 4)


def test_a_faulty_record_is_refused_by_its_field(campaign, tmp_path):
    path = write_campaign(campaign, tmp_path)
    content = json.loads(path.read_text())
    del content["trials"][1]["held"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"kills.json: trials.1.held: Field required"):
        read_campaigns(tmp_path)
