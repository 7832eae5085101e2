"""What runs will need: images, bytes, hours; by arithmetic alone."""

import sys

import pytest

from benchmarks.needs import main, needs_of
from companion.config import NULL, load_profile
from companion.studies import plan


def test_needs_follow_from_images_networks_and_epochs():
    runs = {r.condition: r.config for r in plan("fusion", "protocol")[:4]}
    none, softmax, maps = (needs_of(runs[n]) for n in ("none", "softmax", "maps"))
    assert (none.trained, none.feature_bytes) == (12_110, {})
    assert none.gpu_hours == pytest.approx(606 * 15 * 20 * 0.0005 / 3600)
    images = 17_000 + 1_500  # of which maps are channels x 8 x 8 x 2 bytes
    channels = [size // (images * 64 * 2) for size in maps.feature_bytes.values()]
    assert channels == [768, 512, 1280]
    assert set(softmax.feature_bytes.values()) == {images * 4000}
    # the paper's own needs a GPU, and its maps a disk
    paper = needs_of(plan("fusion", "paper")[3].config)
    assert sum(paper.feature_bytes.values()) == 17_000 * 4096 * 128
    assert paper.cpu_hours > 1000 > 10 > paper.gpu_hours


@pytest.mark.parametrize(
    ("settings", "trained"),
    [
        ({"data.count": 64, "data.validation": 8}, 40),
        ({"data.count": 64, "data.validation": 0.5, "data.train_count": 10}, 10),
        ({"data.dataset": "imagenet", "data.classes": 10, "data.count": NULL}, 9_483),
    ],
)
def test_images_are_counted_as_they_are_divided(settings, trained):
    settings = {"data.validation": 0.05, **settings}
    needs = needs_of(load_profile("smoke", **settings).run("plain"))
    assert needs.trained == trained


def test_a_line_a_run_and_the_sum_of_all(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["needs", "fusion"])
    main()
    said = capsys.readouterr().out
    assert "maps: 12,110 images x 15 epochs" in said
    assert "maps of inception_v3.2015_in1k, imagenet: 1.82 GB on disk" in said
    assert "hours of training on two CPU cores" in said
