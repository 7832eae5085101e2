import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorlib.errors import UserError
from colorlib.files import atomic_write, file_sha256, hash_of
from colorlib.metrics import Summary
from companion.records import (
    DataRecord,
    Hardware,
    ModelRecord,
    Record,
    TrainingRecord,
    read_record,
    write_record,
)


@pytest.fixture
def record():
    score = Summary(mean=0.1, median=0.1, pooled=0.1, ci_low=0.09, ci_high=0.11, n=3)
    endless = Summary(
        mean=float("inf"), median=float("inf"), pooled=float("inf"),
        ci_low=float("inf"), ci_high=float("inf"), n=3, n_infinite=3,
    )  # fmt: skip
    return Record(
        name="scenes-32-plain-00000000",
        inputs_hash="0" * 64,
        created="2026-01-01T00:00:00+00:00",
        commit="unknown",
        profile={"size": 32},
        data=DataRecord(
            source="scenes", size=32, kept=9, grayscale_dropped=0, unreadable=0,
            manifest_hash="a", split="random", split_hash="b", train=5, validation=1,
            test=3,
        ),
        model=ModelRecord(
            name="plain", backbones=(), width=1, parameters=10, weights_sha256="c"
        ),
        training=TrainingRecord(
            epochs=1, steps=1, sessions=1, seconds=1, curve={"train": [1.0]}, folder=""
        ),
        scores={"model": {"rmse_ab_norm": score, "psnr_rgb": endless}},
        per_image={"loss_eq1": [0.1, 0.2, 0.3]},
        seconds={"training": 0.5},
        hardware=Hardware(
            python="3.11", packages={}, system="Linux", cpu="any", threads=1, gpu=None
        ),
    )  # fmt: skip


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    write_record(record, tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == record


def test_a_record_is_standard_json(record, tmp_path):
    write_record(record, tmp_path / "record.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads((tmp_path / "record.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda r: r.update(schema_version=99), "schema_version"),
        (lambda r: r["data"].pop("split_hash"), "data.split_hash"),
        (lambda r: r["training"].update(steps="many"), "training.steps"),
        (lambda r: r.update(extra=1), "extra"),
        (
            lambda r: r["scores"]["model"]["psnr_rgb"].pop("mean"),
            "scores.model.psnr_rgb",
        ),
    ],
)
def test_a_wrong_record_is_refused_by_field(record, tmp_path, change, named):
    values = json.loads(record.model_dump_json())
    change(values)
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=named):
        read_record(tmp_path / "record.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_what_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(UserError, match=r"record\.json"):
        read_record(tmp_path / "record.json")


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json"):
        read_record(tmp_path / "none.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values))
def test_the_hash_does_not_depend_on_the_order_of_keys(values):
    assert hash_of(values) == hash_of(dict(reversed(values.items())))


def test_the_hash_depends_on_every_value():
    assert len({hash_of({"a": value}) for value in (0, 1, "0", None, [0])}) == 5


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    atomic_write(path, b"first")
    with pytest.raises(TypeError):
        atomic_write(path, "no bytes")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_sha256_is_that_of_the_standard(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-4, the first example
    assert file_sha256(path).startswith("ba7816bf8f01cfea414140de5dae2223")
