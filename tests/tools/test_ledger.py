import pytest
from made_records import made_record

from companion.config import load_profile
from companion.records import write_record
from companion.studies import load_experiments, plan
from tools.ledger import NOT_MEASURED, load_ledger, measured_effect

ROWS = load_ledger()
EXPERIMENTS = load_experiments()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_every_ablation_condition_and_key_exists(row):
    assert (row.ablation is None) == (row.condition is None)
    if row.ablation is not None:
        ablation = EXPERIMENTS.ablations[row.ablation]
        ours = row.against or ablation.reference
        assert {row.condition, ours} <= set(ablation.conditions)
        assert ours != row.condition
        assert f"`{row.condition}` against `{ours}`" in row.option
    if row.key is not None:
        part, _, inner = row.key.partition(".")
        value = load_profile("smoke").model_dump()[part]
        assert not inner or inner in value


def test_the_effect_appears_when_its_records_do(tmp_path):
    maps = ROWS[4]
    assert (maps.condition, maps.against) == ("maps", "softmax")
    assert measured_effect(maps, "protocol", tmp_path) == NOT_MEASURED
    factors = {"softmax": 1.0, "maps": 0.8}
    for run in plan("fusion", "protocol"):
        seed = run.config.train.seed
        if run.data == "imagenet" and run.condition in factors and seed < 3:
            factor = factors[run.condition]
            losses = [factor * value + 1e-6 * seed for value in (0.1, 0.2, 0.3)]
            scores = dict.fromkeys(("loss_eq1", "psnr_rgb", "ciede2000"), losses)
            made = made_record({"seen": scores, "unseen": scores}, seed, run.name)
            write_record(made, tmp_path / f"{run.name}.json")
    found = measured_effect(maps, "protocol", tmp_path).replace("\u00a0", " ")
    start = "ImageNet, seen: -20.0 % (-20.0 to -20.0); ImageNet, unseen"
    assert found.startswith(start)
