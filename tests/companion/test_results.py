"""The records that the repository keeps: complete, true to themselves, and planned."""

import pytest

from colorlib.metrics import METRICS
from companion.pipeline import recorded_config
from companion.records import RESULTS, read_record
from companion.scoring import KEPT_PER_IMAGE
from companion.studies import load_experiments, plan
from companion.verify import own_numbers, small_form

PROTOCOLS = ("2",)
KEPT = sorted(RESULTS.glob("*.json"))


@pytest.fixture(scope="module")
def planned():
    """Every run of the protocol, by its name."""
    names = load_experiments().ablations
    return {run.name: run for name in names for run in plan(name, "protocol")}


@pytest.fixture(scope="module", params=KEPT, ids=lambda path: path.stem)
def record(request):
    record = read_record(request.param)
    assert request.param.stem == record.name
    return record


def test_a_record_belongs_to_the_plan_its_protocol_and_a_commit(record, planned):
    config = planned[record.name].config
    assert record.name == config.run_name
    assert record.protocol in PROTOCOLS
    assert record.settings == config.model_dump(mode="json")
    assert len(record.commit) == 40
    assert set(record.commit) <= set("0123456789abcdef")


def test_a_record_agrees_with_itself_and_has_a_small_form(record):
    config = recorded_config(record)
    assert [check for check in own_numbers(record, config) if not check.holds] == []
    assert small_form(config).data.dataset == "scenes"
    for test, methods in record.scores.items():
        pooled = {m: score.pooled for m, score in methods["model"].items()}
        assert pooled["rmse_ab_norm"] ** 2 == pytest.approx(pooled["mse_ab_norm"])
        assert set(methods["model"]) <= set(METRICS)
        assert set(record.per_image[test]) <= set(KEPT_PER_IMAGE)
    curve = record.training.curve["validation"]
    assert curve[record.training.best_epoch - 1] == min(curve)
    assert len(curve) == record.training.epochs <= config.train.max_epochs


def test_tuning_has_seen_no_test_image_and_the_rest_has_seen_all(record):
    tests = set() if record.settings["validation_only"] else set(record.data.tests)
    assert set(record.scores) == set(record.per_image) == tests
    fuses = bool(record.settings["model"]["backbones"])
    assert set(record.groups) == (set() if fuses else tests)
