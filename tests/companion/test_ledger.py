import pytest
import torch
import yaml

from colorlib.errors import UserError
from colorlib.metrics import summarize
from companion.config import Profile
from companion.ledger import (
    NO_OPTION,
    NOT_MEASURED,
    Ambiguity,
    arm_records,
    effect,
    load_ledger,
    measured_effect,
)
from companion.records import RESULTS, read_record, write_record
from companion.studies import load_experiments, plan

ROWS = load_ledger()
BASE = read_record(sorted(RESULTS.glob("lfw-64-plain-*.json"))[0])
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))


def test_the_numbers_are_all_there():
    assert [row.number for row in ROWS] == list(range(1, 33))


def test_the_parts_are_in_order():
    parts = list(dict.fromkeys(row.part for row in ROWS))
    assert parts == ["architecture", "colour", "training", "evaluation", "text"]
    assert sorted(ROWS, key=lambda row: parts.index(row.part)) == ROWS


@each_row
def test_every_study_and_arm_exists(row):
    assert (row.study is None) == (row.arm is None)
    if row.study is None:
        assert row.against is None
        return
    study = load_experiments().studies[row.study]
    assert row.arm in study.arms
    ours = row.against or study.reference
    assert ours in study.arms
    assert ours != row.arm


@each_row
def test_every_key_is_one_of_a_profile(row):
    assert row.key is None or row.key in Profile.model_fields


def test_a_row_that_does_not_fit_is_named(tmp_path):
    path = tmp_path / "ledger.yaml"
    rows = [row.model_dump() for row in ROWS[:2]]
    path.write_text(yaml.safe_dump([rows[0], {**rows[1], "part": "weather"}]))
    with pytest.raises(UserError, match=r"row 1\.part"):
        load_ledger(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_ledger(tmp_path / "nowhere.yaml")


# ------------------------------------------------------------------- what is measured


def record(losses, seed=0, **data):
    """A record with these losses of Eq. 1, one a photograph."""
    values = torch.tensor(losses, dtype=torch.float64)
    return BASE.model_copy(
        update={
            "profile": {**BASE.profile, "seed": seed},
            "per_image": {"loss_eq1": values.tolist()},
            "scores": {"model": summarize({"loss_eq1": values})},
            "data": BASE.data.model_copy(update={"test": len(values), **data}),
        }
    )


def test_the_effect_is_of_the_root_of_the_mean_loss():
    reference = [record([1.0, 2.0, 3.0], seed) for seed in range(3)]
    worse = [record([1.21, 2.42, 3.63], seed) for seed in range(3)]
    assert effect(worse, reference) == "RMSE +10.0\u00a0% (worse)"
    assert effect(reference, reference) == "RMSE +0.0\u00a0% (no difference shown)"


def test_other_photographs_get_a_change_and_no_verdict():
    reference = [record([1.0, 3.0])]
    elsewhere = [record([2.0, 0.88], split_hash="other")]
    assert effect(elsewhere, reference) == (
        "RMSE -15.1\u00a0% (other photographs, no verdict)"  # the root of .72 is .849
    )


GRAY = Ambiguity(number=1, part="colour", paper="", reading="", study="gray",
                 arm="luma")  # fmt: skip


def keep(folder, run, losses):
    kept = record(losses, run.seed).model_copy(update={"name": run.name})
    write_record(kept, folder / f"{run.name}.json")


def test_the_effect_appears_when_its_records_do(tmp_path):
    runs = plan("gray", "studies")
    assert measured_effect(GRAY, "studies", tmp_path) == NOT_MEASURED
    reference = [r for r in runs if r.data == "lfw" and r.arm == "L"]
    other = [r for r in runs if r.data == "lfw" and r.arm == "luma"]
    for run in reference:
        keep(tmp_path, run, [1.0, 2.0, 3.0])
    for run in other[:-1]:
        keep(tmp_path, run, [4.0, 8.0, 12.0])
    assert measured_effect(GRAY, "studies", tmp_path) == NOT_MEASURED  # one is missing
    assert set(arm_records("gray", "L", "studies", tmp_path)) == {"lfw"}
    assert arm_records("gray", "luma", "studies", tmp_path) == {}
    keep(tmp_path, other[-1], [4.0, 8.0, 12.0])
    expected = "LFW: RMSE +100.0\u00a0% (worse)"
    assert measured_effect(GRAY, "studies", tmp_path) == expected


def test_our_reading_may_be_another_arm_than_the_reference(tmp_path):
    row = GRAY.model_copy(update={"arm": "L", "against": "luma"})
    for run in plan("gray", "smoke"):
        keep(tmp_path, run, [1.0, 1.0] if run.arm == "L" else [4.0, 4.0])
    told = measured_effect(row, "smoke", tmp_path)
    assert row.option == "study `gray`: `L` against `luma`"
    assert told == "drawn scenes: RMSE -50.0\u00a0% (no difference shown)"  # one seed


def test_what_no_study_tries_has_no_effect(tmp_path):
    row = GRAY.model_copy(update={"study": None, "arm": None})
    assert measured_effect(row, "studies", tmp_path) == NO_OPTION
    assert row.option == "none"
    assert row.model_copy(update={"key": "seed"}).option == "key `seed`"
