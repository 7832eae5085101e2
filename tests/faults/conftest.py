"""A training that was left alone: what all others are compared with."""

import json
import time
from types import SimpleNamespace

import pytest
import victim
from trials import Training


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Train once, without any harm.

    `root` is its folder, `lines` how many lines each phase executed, `seconds` its
    time, and `left` what it left, see `Training.left`.
    """
    training = Training(tmp_path_factory.mktemp("alone"))
    counts, begun = training.root / "counts.json", time.monotonic()
    status, said = training.run(victim.count_lines, counts)
    assert status == 0, said
    return SimpleNamespace(
        root=training.root,
        lines=json.loads(counts.read_text()),
        seconds=time.monotonic() - begun,
        left=training.left(),
    )


@pytest.fixture
def training(tmp_path) -> Training:
    """One that has not begun."""
    return Training(tmp_path)
