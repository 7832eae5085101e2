import pytest
import yaml

from colorlib.errors import UserError
from companion.config import load_profile
from companion.ledger import (
    DATA_NAMES,
    NOT_MEASURED,
    Ambiguity,
    load_ledger,
    measured_effect,
)
from companion.records import write_record
from companion.studies import load_experiments, plan

ROWS = load_ledger()
EXPERIMENTS = load_experiments()
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))


def test_the_numbers_are_all_there():
    assert [row.number for row in ROWS] == list(range(1, 33))


def test_the_parts_are_in_order():
    parts = list(dict.fromkeys(row.part for row in ROWS))
    assert parts == ["architecture", "colour", "training", "evaluation", "text"]
    assert sorted(ROWS, key=lambda row: parts.index(row.part)) == ROWS


@each_row
def test_every_ablation_and_condition_exists(row):
    assert (row.ablation is None) == (row.condition is None)
    if row.ablation is None:
        assert row.against is None
        return
    ablation = EXPERIMENTS.ablations[row.ablation]
    ours = row.against or ablation.reference
    assert {row.condition, ours} <= set(ablation.conditions)
    assert ours != row.condition
    assert f"`{row.condition}` against `{ours}`" in row.option


@each_row
def test_every_key_is_one_of_a_profile(row):
    if row.key is not None:
        values = load_profile("smoke").model_dump()
        part, _, inner = row.key.partition(".")
        assert part in values
        assert not inner or inner in values[part]


def test_every_data_set_has_a_name():
    grid = EXPERIMENTS.grids["protocol"]
    assert set(grid.data) < set(DATA_NAMES)


def test_a_row_that_does_not_fit_is_named(tmp_path):
    path = tmp_path / "ledger.yaml"
    rows = [row.model_dump() for row in ROWS[:2]]
    path.write_text(yaml.safe_dump([rows[0], {**rows[1], "part": "weather"}]))
    with pytest.raises(UserError, match=r"row\.1\.part"):
        load_ledger(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_ledger(tmp_path / "nowhere.yaml")


def test_the_effect_appears_when_its_records_do(record_with, tmp_path):
    maps = ROWS[4]
    assert (maps.condition, maps.against) == ("maps", "softmax")
    assert measured_effect(maps, "protocol", tmp_path) == NOT_MEASURED
    for run in plan("fusion", "protocol"):
        seed = run.config.train.seed
        if run.data == "imagenet" and run.condition in ("softmax", "maps") and seed < 3:
            factor = 0.8 if run.condition == "maps" else 1.0
            losses = [factor * value + 1e-6 * seed for value in (0.1, 0.2, 0.3)]
            scores = {m: losses for m in ("loss_eq1", "psnr_rgb", "ciede2000")}
            made = record_with({"seen": scores, "unseen": scores}, seed, run.name)
            write_record(made, tmp_path / f"{run.name}.json")
    found = measured_effect(maps, "protocol", tmp_path).replace("\u00a0", " ")
    assert found.startswith(
        "ImageNet, seen: -20.0 % (-20.0 to -20.0); ImageNet, unseen"
    )


def test_what_no_ablation_tries_is_not_measured():
    row = Ambiguity(number=1, part="colour", paper="", reading="", key="train.seed")
    assert measured_effect(row) == NOT_MEASURED
    assert row.option == "key `train.seed`"
    assert row.model_copy(update={"key": None}).option == "none"
